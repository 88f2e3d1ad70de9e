import { el } from "./elements.js";
import { asNumber, asNumbers, asOptional, newField, put } from "./fields.js";
import { Layers } from "./layers.js";

/** Everything that can be said of a training, as fields; `read` makes the description that is sent. */
export class Settings {
  constructor(columns, known, onchange) {
    this.known = known;
    this.target = newField({ pointer: "/target", label: "Target", hint: "The column to predict.", options: targets(columns), value: likely(columns) });
    this.layers = new Layers(known.activations, onchange);
    this.choice = { optimizer: this.newChoice("optimizer", "Optimizer", known.optimizers, "adam"), schedule: this.newChoice("schedule", "Schedule", known.schedules, "constant") };
    const { optimizer, schedule } = this.choice;
    this.main = [
      newField({ pointer: "/network/activation", label: "Activation", options: known.activations, value: "relu", hint: "Of the hidden layers that name none." }),
      newField({ pointer: "/training/epochs", label: "Epochs", value: "200", mode: "numeric", hint: "Passes over the rows." }),
      newField({ pointer: "/training/batch_size", label: "Batch size", value: "32", hint: "Rows of a step; or full." }),
    ];
    this.more = rarer(known).map(([title, fields]) => [title, fields.map(newField)]);
    const group = (title, fields) => el("fieldset", {}, el("legend", {}, title), el("div", { class: "fields" }, ...fields.map((field) => field.element)));
    this.element = el("div", {},
      el("div", { class: "fields" }, this.target.element, this.layers.element, ...this.main.map((field) => field.element), optimizer.name.element, optimizer.rate, schedule.name.element),
      this.details = el("details", {}, el("summary", {}, "More settings"),
        optimizer.own, schedule.own, ...this.more.map(([title, fields]) => group(title, fields))));
  }

  fields() {
    const { optimizer, schedule } = this.choice;
    return [this.target, ...this.layers.fields(), ...this.main, optimizer.name, ...optimizer.fields, schedule.name, ...schedule.fields, ...this.more.flatMap(([, fields]) => fields)];
  }

  read() {
    const body = {};
    for (const field of this.fields()) if (!field.pointer.startsWith("/network/hidden_layers")) put(body, field.pointer, field.read());
    body.network.hidden_layers = this.layers.read();
    return body;
  }

  /** Go to the first field that is wrong, wherever it is. */
  goTo(field) {
    if (this.details.contains(field.element)) this.details.open = true;
    field.input.focus();
  }

  /** A choice by name, with the parameters that the chosen one has; the learning rate stands apart. */
  newChoice(part, label, variants, initial) {
    const pointer = `/training/${part}`;
    const name = newField({ pointer: `${pointer}/name`, label, options: Object.keys(variants), value: initial });
    const rate = el("div", { class: "field" }), own = el("fieldset", {});
    const choice = { name, rate, own, fields: [] };
    const fill = () => {
      const { about, parameters } = variants[name.input.value];
      choice.fields = parameters.map(({ name: parameter, value, about: hint }) => newField({
        pointer: `${pointer}/${parameter}`, hint, label: parameter === "learning_rate" ? "Learning rate" : parameter, mode: "decimal",
        value: typeof value === "boolean" ? value : String(value ?? ""), write: Array.isArray(value) ? asNumbers : asOptional,
      }));
      const apart = choice.fields.find((field) => field.pointer.endsWith("/learning_rate"));
      const others = choice.fields.filter((field) => field !== apart);
      if (apart) apart.element.querySelector("p").textContent = "Size of a step.";
      rate.replaceChildren(...(apart ? apart.element.childNodes : []));
      name.element.querySelector("p").textContent = firstSentence(about);
      own.replaceChildren(el("legend", {}, `${label}: ${name.input.value.replaceAll("_", " ")}`), el("div", { class: "fields" }, ...others.map((field) => field.element)));
      own.hidden = !others.length;
    };
    name.input.addEventListener("change", fill);
    fill();
    return choice;
  }
}

function rarer(known) {
  const number = (pointer, label, hint, more = {}) => ({ pointer, label, hint, mode: "decimal", write: asOptional, ...more });
  const choice = (pointer, label, options, value, hint = "") => ({ pointer, label, options, value, hint });
  const inside = (name) => (text) => (text.trim() === "" ? undefined : { [name]: asNumber(text) });
  return [
    ["Rows and columns", [
      choice("/task", "Task", known.tasks, "auto"),
      { pointer: "/validation", label: "Held out for validation", value: "0.2", mode: "decimal", hint: "Share of the rows. Empty: none.", write: (text) => (text.trim() === "" ? null : { fraction: asNumber(text) }) },
      choice("/preprocessing/numeric", "Numbers", known.numeric, "standardize"),
      choice("/preprocessing/missing", "Missing numbers", known.missing, "mean"),
      choice("/preprocessing/categorical", "Categories", known.categorical, "one_hot"),
      choice("/class_weight", "Weights of the classes", [["", "all the same"], ["balanced", "balanced"]], ""),
    ]],
    ["Network", [
      choice("/network/output_activation", "Output", known.outputActivations, "auto"),
      choice("/network/initializer", "Initial weights", known.initializers, "auto"),
      { pointer: "/network/bias", label: "Add a bias in each layer", value: true },
    ]],
    ["Training", [
      choice("/training/loss", "Loss", known.losses, "auto"),
      number("/training/l1", "L1", "Times the sum of |W|.", { value: "0" }),
      number("/training/l2", "L2", "Times half the sum of W².", { value: "0" }),
      number("/training/gradient_clip_norm", "Longest gradient", "A longer one is scaled down. Empty: never."),
      number("/training/label_smoothing", "Label smoothing", "Share of equal chances.", { value: "0" }),
      number("/training/early_stopping", "Patience", "Stop after so long without a better loss. Empty: never.", { write: inside("patience") }),
      number("/training/max_seconds", "Longest time", "In seconds. Empty: no limit."),
      number("/training/keep_checkpoints", "Keep a checkpoint every", "So many passes over the rows. Empty: the latest and the best only.", { write: inside("every_epochs") }),
      number("/training/seed", "Seed", "Equal seeds give equal networks.", { value: "0", mode: "numeric" }),
      choice("/training/dtype", "Numbers of", ["float32", "float64"], "float32"),
    ]],
    ["Its name", [{ pointer: "/name", label: "Name", hint: "Empty: made of the target and the dataset.", write: (text) => text || undefined }]],
  ];
}

function likely(columns) {
  const isClass = ({ kind }) => kind === "categorical" || kind === "boolean";
  return (columns.find((column) => column.role_hint) ?? columns.find(isClass) ?? columns.at(-1)).name;
}

const targets = (columns) => columns.map(({ name, kind }) => [name, `${name} (${kind})`]);

const firstSentence = (text) => /^.*?[.:](?=\s|$)/s.exec(text ?? "")?.[0] ?? text ?? "";
