import { el } from "./elements.js";
import { newField } from "./fields.js";
import { Layers } from "./layers.js";
import { leavesOf } from "./pointers.js";
import { jobSections, Sections, variants } from "./sections.js";

const EVERYWHERE = new Set(["dataset_id", "features"]);

/** Everything that can be said of a training, as fields; `read` makes the description that is sent, `take` shows one. */
export class Settings {
  constructor(columns, known, datasets, models, onchange) {
    const { activation, epochs, batch_size } = known.defaults;
    this.target = newField({ pointer: "/target", label: "Target", hint: "The column to predict.", options: columns.map(({ name, kind }) => [name, `${name} (${kind})`]), value: null });
    this.layers = new Layers(known.activations, onchange);
    this.optimizer = variants("optimizer", "Optimizer", known.optimizers, "adam", "learning_rate");
    this.schedule = variants("schedule", "Schedule", known.schedules, "constant");
    const main = [
      this.target, this.layers,
      newField({ pointer: "/network/activation", label: "Activation", options: known.activations, value: activation, hint: "Of the hidden layers that name none." }),
      newField({ pointer: "/training/epochs", label: "Epochs", value: String(epochs), mode: "numeric", hint: "Passes over the rows." }),
      newField({ pointer: "/training/batch_size", label: "Batch size", value: String(batch_size), hint: "Rows of a step; or full." }),
    ];
    this.sections = new Sections([
      ...jobSections(known, columns, { datasets, models, choices: [this.optimizer, this.schedule], target: () => this.target.read() }),
    ]);
    this.pieces = [...main, this.optimizer, this.schedule, ...this.sections.pieces.filter((piece) => piece.take)];
    this.rest = {};
    this.element = el("div", {},
      el("div", { class: "fields" }, ...main.flatMap((piece) => piece.elements), this.optimizer.name.element, this.optimizer.apart, this.schedule.name.element),
      this.sections.element);
  }

  fields() {
    return this.pieces.flatMap((piece) => piece.fields());
  }

  /** Show a description. What has no field is kept. */
  take(body) {
    this.rest = structuredClone(body);
    for (const piece of this.pieces) piece.take(this.rest);
    this.sections.tell();
  }

  read() {
    const body = structuredClone(this.rest);
    for (const piece of this.pieces) piece.put(body);
    return body;
  }

  /** The places of what has no field here. */
  unshown() {
    return leavesOf(this.rest).filter((path) => path && !EVERYWHERE.has(path));
  }
}
