import { el } from "./elements.js";
import { asNumber, asNumbers, newField } from "./fields.js";

const POINTER = "/network/hidden_layers";
const MOST_ROWS = 20;

/** The hidden layers: their widths in one line, and each layer's own settings below it. */
export class Layers {
  constructor(activations, onchange) {
    this.widths = newField({ pointer: POINTER, label: "Hidden layers", value: "16, 8", hint: "Units of each, from input to output. Empty: none." });
    this.activations = activations;
    this.onchange = onchange;
    this.rows = [];
    this.list = el("ol", { class: "layers", "aria-label": "Settings of each hidden layer" });
    const more = el("button", { type: "button", onclick: () => this.set([...this.texts(), this.texts().at(-1) ?? "16"]) }, "Add a layer");
    this.element = el("div", { class: "field wider" }, ...this.widths.element.childNodes, this.list, more);
    this.widths.input.addEventListener("input", () => this.follow());
    this.follow();
  }

  /** The fields that faults can stand at. */
  fields() {
    return [this.widths, ...this.rows.flatMap((row) => row.fields)];
  }

  /** The layers as they are sent: a number, where there is nothing more to say. */
  read() {
    return asNumbers(this.widths.input.value).map((units, i) => {
      const own = this.rows[i]?.read() ?? {};
      return Object.keys(own).length ? { units, ...own } : units;
    });
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
    texts.forEach((text, i) => (this.rows[i].title.textContent = `${i + 1}: ${text} units`));
  }

  newRow(i) {
    const of = (name) => `${POINTER}/${i}/${name}`;
    const fields = [
      newField({ pointer: of("activation"), label: "Activation", fullLabel: `Activation of layer ${i + 1}`, options: [["", "as below"], ...this.activations] }),
      newField({ pointer: of("dropout"), label: "Dropout", fullLabel: `Dropout of layer ${i + 1}`, value: "0", mode: "decimal", write: asNumber }),
      newField({ pointer: of("batch_norm"), label: "Batch norm", fullLabel: `Batch norm in layer ${i + 1}`, value: false }),
    ];
    const title = el("strong");
    const remove = el("button", { type: "button", "aria-label": `Remove layer ${i + 1}`, onclick: () => this.remove(i) }, "Remove");
    const element = el("li", {}, title, ...fields.map((field) => field.element), remove);
    const [activation, dropout, norm] = fields;
    const read = () => ({
      ...(activation.read() && { activation: activation.read() }),
      ...(dropout.read() !== 0 && { dropout: dropout.read() }),
      ...(norm.read() && { batch_norm: true }),
    });
    return { element, title, fields, read };
  }

  /** Take one layer out; the settings of those after it move up with their widths. */
  remove(i) {
    const texts = this.texts();
    for (let row = i; row + 1 < this.rows.length; row++) {
      const [to, from] = [this.rows[row].fields, this.rows[row + 1].fields];
      to.forEach((field, at) => ((field.input.value = from[at].input.value), (field.input.checked = from[at].input.checked)));
    }
    texts.splice(i, 1);
    this.set(texts);
    this.widths.input.focus();
  }
}
