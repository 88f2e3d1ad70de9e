import { el, inWords } from "./elements.js";
import { putAt, takeAt } from "./pointers.js";

/**
 * A field of a description, with a place for what the service has against it.
 *
 * `pointer` is where its value goes; `options` makes it a choice, a boolean `value` a box to tick, else it is a text. `value` is what
 * the service takes where nothing is said; a field that was not touched says what was said before, to the letter, or nothing.
 * `fullLabel` says the label to those who do not see what stands around it. `write` turns the text into the value that is sent;
 * undefined leaves it out, for the service to choose. `isNeeded`: the service has nothing to take, so it is always sent.
 */
export function newField({ pointer, label, fullLabel = null, hint = "", value = "", options, mode = "text", write = asOptional, isNeeded = false }) {
  const id = `field${pointer.replaceAll(/[^\w-]/g, (letter) => (letter === "/" ? "-" : `_${letter.codePointAt(0)}`))}`;
  const about = { id, "aria-describedby": `${id}-hint ${id}-faults`, "aria-invalid": "false", "aria-label": fullLabel };
  const isBox = typeof value === "boolean";
  const input = options
    ? el("select", about, ...options.map(newOption))
    : el("input", { ...about, type: isBox ? "checkbox" : "text", inputmode: mode === "text" ? null : mode, autocomplete: "off", spellcheck: "false" });
  const faults = el("p", { class: "bad", id: `${id}-faults` });
  const element = el("div", { class: isBox ? "field box" : "field" },
    el("label", { for: id }, label), input, el("p", { class: "quiet", id: `${id}-hint` }, hint), faults);
  let given; // what was said before, and how that looked
  let looked;
  const looks = () => (isBox ? input.checked : input.value);
  function show(now) {
    const said = now === undefined ? value : now;
    const text = asText(said);
    if (options && ![...input.options].some((option) => option.value === text)) input.append(newOption([text, text || "–"]));
    if (isBox) input.checked = said === true;
    else input.value = text;
    [given, looked] = [now, looks()];
  }
  const isTouched = () => looks() !== looked;
  function read() {
    if (!isTouched() && (given !== undefined || !isNeeded)) return given;
    return isBox ? input.checked : options ? input.value || undefined : write(input.value);
  }
  function blame(found) {
    input.setAttribute("aria-invalid", found.length > 0);
    faults.textContent = found.map((fault) => which(fault.pointer.slice(pointer.length)) + inWords(fault)).join(" ");
    return found.length > 0;
  }
  /** What is said here, in short; nothing, where the service chooses. */
  function said() {
    if (read() === undefined || element.hidden) return [];
    return isBox ? [`${label}: ${input.checked ? "yes" : "no"}`] : [`${label}: ${(options ? input.selectedOptions[0]?.text : input.value) || "none"}`];
  }
  const field = { pointer, element, elements: [element], input, blame, show, read, said, isTouched };
  field.fields = () => [field];
  field.take = (body) => show(takeAt(body, pointer));
  field.put = (body) => putAt(body, pointer, read());
  show(undefined);
  return field;
}

/** A text as the number it is; what is none goes as it is, and the service says what is wrong with it. */
export const asNumber = (text) => (text.trim() === "" || !Number.isFinite(Number(text)) ? text : Number(text));

/** Likewise; nothing where nothing is written. */
export const asOptional = (text) => (text.trim() === "" ? undefined : asNumber(text));

/** Likewise; null where nothing is written. */
export const asNullable = (text) => asOptional(text) ?? null;

/** Some numbers, between commas or spaces. */
export const asNumbers = (text) => text.split(/[\s,;]+/).filter(Boolean).map(asNumber);

/** Some words or numbers, between commas; nothing where nothing is written. */
export const asList = (text) => (text.trim() === "" ? undefined : text.split(",").map((one) => one.trim()).filter(Boolean).map(asNumber));

/** What stands before each colon, with what stands after it: `delta: 2, margin: 1`. `of` makes the values of the texts. */
export const asNamed = (of) => (text) => {
  if (text.trim() === "") return undefined;
  const pairs = text.split(",").filter((one) => one.trim()).map((one) => /^\s*([^:]*?)\s*(?::\s*(.*?))?\s*$/.exec(one));
  return Object.fromEntries(pairs.map(([, name, value = ""]) => [name, of(value)]));
};

/** A value as it is written in a field. */
function asText(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.map(asText).join(", ");
  if (typeof value === "object") return Object.entries(value).map(([name, one]) => `${name}: ${asText(one)}`).join(", ");
  return String(value);
}

/** Show each fault at its field, and give those that have none. */
export function blameFields(fields, faults) {
  const isOf = (field) => (fault) => fault.pointer === field.pointer || fault.pointer.startsWith(`${field.pointer}/`);
  const owner = (fault) => fields.filter((field) => isOf(field)(fault)).sort((a, b) => b.pointer.length - a.pointer.length)[0];
  const owners = faults.map(owner);
  const blamed = fields.filter((field) => field.blame(faults.filter((_, i) => owners[i] === field)));
  return { blamed, rest: faults.filter((_, i) => !owners[i]) };
}

function newOption(option) {
  const [value, text] = Array.isArray(option) ? option : [option, option.replaceAll("_", " ")];
  return el("option", { value }, text);
}

/** Which of several values is meant, by the rest of its pointer: `/1` is the second. */
const which = (rest) => (/^\/\d+/.test(rest) ? `Number ${parseInt(rest.slice(1), 10) + 1}: ` : "");
