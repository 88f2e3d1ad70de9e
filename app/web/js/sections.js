import { Choice } from "./choice.js";
import { el } from "./elements.js";
import { asList, asNamed, asNullable, asNumber, asNumbers, newField } from "./fields.js";

/** The groups of settings that stand behind a fold each: what is set in one is said beside its title. */
export class Sections {
  constructor(sections) {
    this.sections = sections.map(([title, about, pieces]) => {
      const said = el("span", { class: "quiet" });
      const details = el("details", { class: "section" }, el("summary", {}, title, " ", said),
        el("div", { class: "fields" }, ...pieces.flatMap((piece) => piece.elements)));
      return { details, said, about, pieces };
    });
    this.pieces = this.sections.flatMap(({ pieces }) => pieces);
    this.element = el("div", { class: "sections" }, ...this.sections.map(({ details }) => details));
  }

  /** Say what is set in each, unless that is everything, and where something is wrong. */
  tell(isSaid = true) {
    for (const { said, about, details, pieces } of this.sections) {
      const isWrong = pieces.flatMap((piece) => piece.fields()).some((field) => field.input.getAttribute("aria-invalid") === "true");
      details.classList.toggle("wrong", isWrong);
      const set = isSaid ? pieces.flatMap((piece) => piece.said()).join(", ") : "";
      said.textContent = isWrong ? "something here cannot be used" : set || about;
      said.classList.toggle("set", set !== "");
    }
  }

  /** Go to a field, wherever it is. */
  goTo(field) {
    for (const { details } of this.sections) if (details.contains(field.element)) details.open = true;
    field.input.focus();
  }
}

const number = (pointer, label, hint, more = {}) => newField({ pointer, label, hint, mode: "decimal", ...more });
const choice = (pointer, label, options, value, hint = "") => newField({ pointer, label, options, value, hint });

/** Optimizer or schedule, with the parameters that the chosen one has. */
export function variants(part, label, known, initial, apart) {
  const ways = Object.entries(known).map(([name, { about, parameters }]) => [name, {
    about,
    fields: () => parameters.map(({ name: parameter, value, about: hint }) => ({
      name: parameter, label: parameter === apart ? "Learning rate" : parameter, hint: parameter === apart ? "Size of a step." : hint,
      mode: "decimal", value, write: Array.isArray(value) ? asNumbers : undefined,
    })),
    send: (values) => ({ name, ...values, ...{ name } }),
  }]);
  return new Choice({ pointer: `/training/${part}`, label, ways: Object.fromEntries(ways), initial, wayOf: (given) => given?.name, apart, isTitled: true });
}

/** How the training goes, beside what stands always in sight; a fork can change this, too. */
export function trainingSections(known, choices) {
  const on = (given) => (given === null ? "off" : "on");
  const stopping = new Choice({ pointer: "/training/early_stopping", label: "Stop early", initial: "off", wayOf: on, ways: {
    off: { text: "never", send: () => null },
    on: { text: "when the loss gets no better", about: "Ends the training when more epochs do not help.", fields: () => [
      { name: "patience", label: "Patience", hint: "Epochs to wait for a better loss.", mode: "numeric", value: "10" },
      { name: "min_delta", label: "Better by", hint: "What counts as a better loss.", mode: "decimal", value: "0" },
      { name: "monitor", label: "Watched loss", options: known.monitors, value: known.monitors[0] },
      { name: "restore_best", label: "Take the weights of the best epoch", value: true },
    ] } } });
  const keeping = new Choice({ pointer: "/training/keep_checkpoints", label: "Keep checkpoints", initial: "off", wayOf: on, ways: {
    off: { text: "the latest and the best", send: () => null },
    on: { text: "every so many epochs", about: "To fork from, or to watch the weights.", fields: () => [
      { name: "every_epochs", label: "Keep one after every", hint: "So many passes over the rows.", mode: "numeric", value: "10", isNeeded: true },
      { name: "most", label: "At most", hint: "The oldest goes first.", mode: "numeric", value: "10" },
    ] } } });
  return {
    overfitting: ["Against overfitting", "early stopping, L1 and L2, max norm", [
      stopping,
      number("/training/l1", "L1", "Times the sum of |W|.", { value: "0" }),
      number("/training/l2", "L2", "Times half the sum of W².", { value: "0" }),
      number("/training/max_norm", "Max norm", "Longest that the weights into a unit may be. Empty: any.", { write: asNullable }),
      number("/training/label_smoothing", "Label smoothing", "Share of equal chances in the targets.", { value: "0" }),
    ]],
    steps: ["Loss, optimizer, schedule", "their parameters, clipping", [
      ...withParameters(choice("/training/loss", "Loss", known.losses, "auto"), "/training/loss_parameters", "Parameters of the loss", known.lossParameters),
      number("/training/gradient_clip_norm", "Longest gradient", "A longer one is scaled down. Empty: never.", { write: asNullable }),
      number("/training/gradient_clip_value", "Largest component", "Larger parts of the gradient are cut. Empty: never.", { write: asNullable }),
      newField({ pointer: "/training/shuffle", label: "A new order of the rows in each epoch", value: true }),
      ...choices.map(ownOf),
    ]],
    limits: ["Time, threads, checkpoints", "how long, and what is kept", [
      number("/training/max_seconds", "Longest time", "In seconds. Empty: no limit.", { write: asNullable }),
      newField({ pointer: "/training/threads", label: "Threads", hint: "Of the matrix products: a number, or auto.", value: "auto" }),
      keeping,
      number("/training/checkpoint_every_s", "Store the state every", "So many seconds, against crashes.", { value: "10" }),
    ]],
  };
}

/** What a new job can say beside: the rows and columns, the network, the numbers, the name. */
export function jobSections(known, columns, { datasets, models, choices, target }) {
  const training = trainingSections(known, choices);
  const names = columns.map(({ name }) => name);
  return [
    ["Rows held out", "a fifth, at random", [heldOut(names, datasets)]],
    ["Columns and classes", "preparation, missing numbers, weights", [
      choice("/task", "Task", known.tasks, "auto"),
      choice("/preprocessing/numeric", "Numbers", known.numeric, "standardize"),
      choice("/preprocessing/missing", "Missing numbers", known.missing, "mean"),
      choice("/preprocessing/categorical", "Categories", known.categorical, "one_hot"),
      number("/preprocessing/max_categories", "Most categories", "A column of more is left out.", { value: "100" }),
      choice("/sample_weight", "Weight of a row", [["", "all the same"], ...names], "", "The column that says how much a row counts."),
      classWeights(columns, target),
    ]],
    training.overfitting,
    ["Network", "output, first weights, bias", [
      choice("/network/output_activation", "Output", known.outputActivations, "auto"),
      ...withParameters(choice("/network/initializer", "First weights", known.initializers, "auto"), "/network/initializer_parameters", "Their parameters", known.initializerParameters),
      choice("/initial_weights/model_id", "Begin with the weights of", [["", "none: they are drawn"], ...models.map(({ id, name }) => [id, name])], "", "A model of the same shape."),
      newField({ pointer: "/network/bias", label: "Add a bias in each layer", value: true }),
    ]],
    training.steps,
    ["Seed, time, threads, checkpoints", "how long, and what is kept", [
      number("/training/seed", "Seed", "Equal seeds give equal networks. Empty: one is drawn.", { value: "0", mode: "numeric", write: asNullable }),
      choice("/training/dtype", "Numbers of", known.dtypes, known.dtypes[0]),
      ...training.limits[2],
    ]],
    ["Name and turn", "name, tags, priority", [
      newField({ pointer: "/name", label: "Name", hint: "Empty: made of the target and the dataset.", write: (text) => text || undefined }),
      newField({ pointer: "/tags", label: "Tags", hint: "Such as team: botany, to find it by.", write: asNamed(String) }),
      number("/priority", "Priority", "-10 to 10: of yours, those of a higher one start first.", { value: "0", mode: "numeric" }),
    ]],
  ];
}

/** The parameters of a choice whose name stands elsewhere; the choice itself is shown and sent there. */
function ownOf(choice) {
  const fields = () => choice.parts.filter((part) => choice.own.contains(part.element));
  return { elements: [choice.own], fields, said: () => fields().flatMap((part) => part.said()) };
}

/** Which rows are held out: each of the service's ways is known by the field that only it has. */
function heldOut(names, datasets) {
  const marks = ["group_column", "time_column", "column", "dataset_id"];
  const fraction = { name: "fraction", label: "Share held out", hint: "Of the rows, 0 to 1.", mode: "decimal", value: "0.2" };
  const column = (name, hint) => ({ name, label: "Column", hint, options: names, value: names[0], isNeeded: true });
  const others = datasets.map(({ id, name }) => [id, name]);
  return new Choice({
    pointer: "/validation", label: "Held out for validation", initial: "random",
    wayOf: (given) => (given === null ? "none" : marks.find((mark) => mark in Object(given)) ?? "random"),
    ways: {
      random: { text: "rows at random", about: "To see how it does on rows that it does not learn from.", fields: () => [fraction, { name: "stratify", label: "The same share of each class", value: true }] },
      group_column: { text: "whole groups", about: "Rows of one group are never on both sides.", fields: () => [column("group_column", "Rows with the same value are a group."), fraction] },
      time_column: { text: "the latest rows", about: "As it will be used: on later rows than it has learned from.", fields: () => [column("time_column", "Of times, or numbers."), fraction] },
      column: { text: "those that a column marks", fields: () => [column("column", "It says which rows are held out."), { name: "values", label: "Values that mean validation", hint: "Between commas. Empty: true, 1, validation, valid, val and test.", write: asList }] },
      dataset_id: { text: "the rows of another dataset", about: "It has the same columns.", fields: () => [{ name: "dataset_id", label: "Dataset", options: others, value: others[0]?.[0] ?? "", isNeeded: true }] },
      none: { text: "none", about: "All rows are learned from, and nothing tells how well.", send: () => null },
    },
  });
}

/** How much each class counts; those of the chosen target, if it has any. */
function classWeights(columns, target) {
  const classes = () => {
    const found = columns.find(({ name }) => name === target());
    return (found?.categories ?? (found?.kind === "boolean" ? ["false", "true"] : [])).slice(0, 30).map(String);
  };
  return new Choice({
    pointer: "/class_weight", label: "Weights of the classes", initial: "same",
    wayOf: (given) => (given === null ? "same" : given === "balanced" ? "balanced" : "each"),
    ways: {
      same: { text: "all the same", send: () => null },
      balanced: { text: "balanced", about: "Rare classes count more.", send: () => "balanced" },
      each: { text: "by class", about: "How much a row of each class counts.", fields: () => classes().map((name) => ({ name, label: name, fullLabel: `Weight of ${name}`, mode: "decimal", value: "1" })) },
    },
  });
}

/** A choice, and a field for the parameters of what is chosen; it is there only where there are some. */
function withParameters(chosen, pointer, label, abouts) {
  const field = newField({ pointer, label, write: asNamed(asNumber) });
  function follow() {
    const about = abouts[chosen.input.value];
    field.element.hidden = !about && !field.input.value;
    field.element.querySelector("p").textContent = about ? `As name: value. ${about}` : "";
  }
  chosen.input.addEventListener("change", follow);
  follow();
  return [chosen, { ...field, take: (body) => (field.take(body), follow()) }];
}
