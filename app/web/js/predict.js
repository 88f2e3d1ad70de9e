import { el, tell, write } from "./elements.js";
import { asNumber } from "./fields.js";
import { escaped } from "./pointers.js";
import { chance, figure } from "./words.js";
import { ask } from "./wire.js";

const MOST_FIELDS = 60;
const MOST_CLASSES = 12;

/** A form made of the model's columns; `told` hears of the row that is in it. */
export function predictForm({ id, preprocessing }, example, told, signal) {
  const fields = (preprocessing.inputs ?? []).slice(0, MOST_FIELDS).map((column, i) => newInput(column, example[column.name], `row-${i}`));
  const alert = el("div", { role: "alert" });
  const answer = el("div", { class: "answer", role: "region", "aria-label": "Prediction", "aria-live": "polite" });
  const row = () => ({ ...example, ...Object.fromEntries(fields.map(({ name, read }) => [name, read()])) });
  const form = el("form", { novalidate: true, onsubmit: predict, oninput: () => told(row()) },
    el("div", { class: "fields narrow" }, ...fields.map((field) => field.element)), alert,
    el("button", { type: "submit" }, "Predict"), answer);
  told(row());
  return form;

  async function predict(event) {
    event.preventDefault();
    alert.replaceChildren();
    fields.forEach((field) => field.blame(""));
    try {
      const { predictions } = await ask(`/v1/models/${id}/predict`, { method: "POST", json: { rows: [row()] }, signal });
      answer.replaceChildren(...said(predictions[0], preprocessing.targets ?? []));
    } catch (error) {
      if (signal.aborted) return;
      if (!error.faults) throw error;
      const rest = error.faults.filter((fault) => !fields.some((field) => fault.pointer === `/rows/0/${escaped(field.name)}` && field.blame(fault.message)));
      tell(alert, error, rest);
    }
  }
}

/** Empty is a missing value. */
function newInput({ name, kind, categories }, value, id) {
  const faults = el("p", { class: "bad", id: `${id}-faults` });
  const about = { id, "aria-describedby": `${id}-faults` };
  const text = value === null || value === undefined ? "" : String(value);
  const known = categories?.map(String) ?? (kind === "boolean" ? ["true", "false"] : null);
  const input = known && known.length <= 100
    ? el("select", about, el("option", { value: "" }, "(missing)"), ...known.map((one) => el("option", { value: one, selected: one === text }, one)))
    : el("input", { ...about, type: "text", value: text, inputmode: kind === "numeric" ? "decimal" : null, placeholder: "missing", autocomplete: "off" });
  const element = el("div", { class: "field" }, el("label", { for: id }, name), input, faults);
  const read = () => {
    if (input.value === "") return null;
    if (kind === "numeric") return asNumber(input.value);
    // What the dataset's row says is sent as it is: a year that is a category stays a number.
    if (input.value === text) return value;
    return kind === "boolean" && ["true", "false"].includes(input.value) ? input.value === "true" : input.value;
  };
  const blame = (message) => (write(faults, message), input.setAttribute("aria-invalid", message !== ""), message !== "");
  return { name, element, read, blame };
}

function said({ value, probabilities }, targets) {
  const values = Array.isArray(value) ? value : [value];
  const shown = (one) => (typeof one === "number" ? figure(one) : String(one ?? "–"));
  const result = el("p", { class: "result" }, ...values.map((one, i) => el("span", {}, el("span", { class: "quiet" }, `${targets[i]?.name ?? "value"} `), el("strong", {}, shown(one)))));
  if (!probabilities) return [result];
  const sorted = Object.entries(probabilities).sort((a, b) => b[1] - a[1]).slice(0, MOST_CLASSES);
  const lines = sorted.map(([name, share]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, el("progress", { max: 1, value: share, "aria-label": `Probability of ${name}` })), el("td", { class: "number" }, chance(share))));
  return [result, el("table", { class: "dense chances" }, el("caption", {}, "Probability of each class."), el("tbody", {}, ...lines))];
}
