import { el } from "./elements.js";
import { asNumbers, newField } from "./fields.js";
import { putAt, takeAt } from "./pointers.js";

const POINTER = "/network/hidden_layers";
const MOST_ROWS = 20;

/** The hidden layers: their widths in one line, and each layer's own settings below it. */
export class Layers {
  constructor(activations, onchange) {
    this.widths = newField({ pointer: POINTER, label: "Hidden layers", hint: "Units of each, from input to output. Empty: none." });
    this.activations = activations;
    this.onchange = onchange;
    this.rows = [];
    this.given = [];
    this.list = el("ol", { class: "layers", "aria-label": "Settings of each hidden layer" });
    const more = el("button", { type: "button", onclick: () => this.set([...this.texts(), this.texts().at(-1) ?? "16"]) }, "Add a layer");
    this.elements = [el("div", { class: "field wider" }, ...this.widths.element.childNodes, this.list, more)];
    this.widths.input.addEventListener("input", () => this.follow());
    this.follow();
  }

  /** The fields that faults can stand at. */
  fields() {
    return [this.widths, ...this.rows.flatMap((row) => row.fields)];
  }

  take(body) {
    const given = takeAt(body, POINTER);
    const isList = Array.isArray(given);
    this.isGiven = isList;
    this.given = isList ? [...given] : [];
    const texts = this.given.map((layer) => String(layer?.units ?? (typeof layer === "object" ? "?" : layer)));
    this.widths.show(undefined);
    this.widths.input.value = texts.join(", ");
    this.follow();
    this.rows.forEach((row, i) => row.take(this.given[i]));
    if (!isList) putAt(body, POINTER, given); // what is no list is carried, for the service to say so
  }

  /** The layers as they are sent: a number, where there is nothing more to say. */
  put(body) {
    const layers = asNumbers(this.widths.input.value).map((units, i) => {
      const own = this.rows[i]?.read() ?? (typeof this.given[i] === "object" ? this.given[i] : {});
      return Object.keys(own).length ? { units, ...own, ...{ units } } : units;
    });
    if (layers.length || this.isGiven) putAt(body, POINTER, layers);
  }

  said() {
    return [];
  }

  texts() {
    return this.widths.input.value.split(/[\s,;]+/).filter(Boolean);
  }

  set(texts) {
    this.widths.input.value = texts.join(", ");
    this.follow();
    this.onchange();
  }

  /** Have as many rows as there are widths; what a row says stays. */
  follow() {
    const texts = this.texts().slice(0, MOST_ROWS);
    while (this.rows.length > texts.length) this.rows.pop().element.remove();
    while (this.rows.length < texts.length) {
      this.rows.push(this.newRow(this.rows.length));
      this.list.append(this.rows.at(-1).element);
    }
    texts.forEach((text, i) => (this.rows[i].title.textContent = `${i + 1}: ${text} unit${text === "1" ? "" : "s"}`));
  }

  newRow(i) {
    const of = (name) => `${POINTER}/${i}/${name}`;
    const fields = [
      newField({ pointer: of("activation"), label: "Activation", fullLabel: `Activation of layer ${i + 1}`, options: [["", "the same"], ...this.activations] }),
      newField({ pointer: of("dropout"), label: "Dropout", fullLabel: `Dropout of layer ${i + 1}`, value: "0", mode: "decimal" }),
      newField({ pointer: of("batch_norm"), label: "Batch\u00a0norm", fullLabel: `Batch norm in layer ${i + 1}`, value: false }),
    ];
    const title = el("strong");
    const remove = el("button", { type: "button", "aria-label": `Remove layer ${i + 1}`, onclick: () => this.remove(i) }, "Remove");
    const element = el("li", {}, title, ...fields.map((field) => field.element), remove);
    const at = (name) => `/${name}`, names = ["activation", "dropout", "batch_norm"];
    let more = {}; // what is said of the layer without a field
    function take(given) {
      more = typeof given === "object" && given !== null ? { ...given } : {};
      delete more.units;
      fields.forEach((field, k) => field.show(takeAt(more, at(names[k]))));
    }
    function read() {
      const own = { ...more };
      fields.forEach((field, k) => putAt(own, at(names[k]), field.read()));
      return own;
    }
    return { element, title, fields, take, read };
  }

  /** Take one layer out; the settings of those after it move up with their widths. */
  remove(i) {
    const texts = this.texts();
    for (let row = i; row + 1 < this.rows.length; row++) this.rows[row].take(this.rows[row + 1].read());
    texts.splice(i, 1);
    this.given.splice(i, 1);
    this.set(texts);
    this.widths.input.focus();
  }
}
