import { el, inWords } from "./elements.js";

/**
 * A field of the job's description, with a place for what the service has against it.
 *
 * `pointer` is where its value goes; `options` makes it a choice, a boolean `value` a box to tick, else it is a text.
 * `fullLabel` says the label to those who do not see what stands around it. `write` turns the text into the value that is sent; undefined leaves it out, for the service to choose.
 */
export function newField({ pointer, label, fullLabel = null, hint = "", value = "", options, mode = "text", write = asNumber }) {
  const id = `field${pointer.replaceAll("/", "-")}`;
  const about = { id, "aria-describedby": `${id}-hint ${id}-faults`, "aria-invalid": "false", "aria-label": fullLabel };
  const isBox = typeof value === "boolean";
  const input = options
    ? el("select", about, ...options.map((option) => newOption(option, value)))
    : el("input", { ...about, type: isBox ? "checkbox" : "text", value: isBox ? null : value, checked: value === true, inputmode: mode === "text" ? null : mode, autocomplete: "off", spellcheck: "false" });
  const faults = el("p", { class: "bad", id: `${id}-faults` });
  const element = el("div", { class: isBox ? "field box" : "field" },
    el("label", { for: id }, label), input, el("p", { class: "quiet", id: `${id}-hint` }, hint), faults);
  function blame(found) {
    input.setAttribute("aria-invalid", found.length > 0);
    faults.textContent = found.map((fault) => which(fault.pointer.slice(pointer.length)) + inWords(fault)).join(" ");
    return found.length > 0;
  }
  const read = () => (isBox ? input.checked : options ? input.value || undefined : write(input.value));
  return { pointer, element, input, blame, read };
}

/** A text as the number it is; what is none goes as it is, and the service says what is wrong with it. */
export const asNumber = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text));

/** Likewise; nothing where nothing is written. */
export const asOptional = (text) => (text.trim() === "" ? undefined : asNumber(text));

/** Some numbers, between commas or spaces. */
export const asNumbers = (text) => text.split(/[\s,;]+/).filter(Boolean).map(asNumber);

/** Put a value where a JSON pointer says; undefined is not put. */
export function put(body, pointer, value) {
  if (value === undefined) return;
  const names = pointer.split("/").slice(1);
  const last = names.pop();
  let place = body;
  for (const name of names) place = place[name] ??= {};
  place[last] = value;
}

/** Show each fault at its field, and give those that have none. */
export function blameFields(fields, faults) {
  const isOf = (field) => (fault) => fault.pointer === field.pointer || fault.pointer.startsWith(`${field.pointer}/`);
  const owner = (fault) => fields.filter((field) => isOf(field)(fault)).sort((a, b) => b.pointer.length - a.pointer.length)[0];
  const owners = faults.map(owner);
  const blamed = fields.filter((field) => field.blame(faults.filter((_, i) => owners[i] === field)));
  return { blamed, rest: faults.filter((_, i) => !owners[i]) };
}

function newOption(option, chosen) {
  const [value, text] = Array.isArray(option) ? option : [option, option.replaceAll("_", " ")];
  return el("option", { value, selected: value === chosen }, text);
}

/** Which of several values is meant, by the rest of its pointer: `/1` is the second. */
const which = (rest) => (/^\/\d+/.test(rest) ? `Number ${parseInt(rest.slice(1), 10) + 1}: ` : "");
