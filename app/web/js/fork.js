import { catalog } from "./catalog.js";
import { el } from "./elements.js";
import { asNullable, newField } from "./fields.js";
import { Sections, trainingSections, variants } from "./sections.js";
import { SpecField } from "./spec.js";
import { count } from "./words.js";
import { ask } from "./wire.js";

const FIXED = new Set(["seed", "dtype"]); // a fork keeps its parent's

/** What a fork goes on from, and what it trains differently; `sent` is its description. */
export class ForkForm {
  /** Make it for a job, as it is now. */
  static async of(job, path, signal) {
    const [{ items }, known] = await Promise.all([ask(`${path}/checkpoints`, { signal }), catalog()]);
    return new ForkForm(job, items, known);
  }

  constructor(job, checkpoints, known) {
    const { training } = job.resolved;
    const states = checkpoints.map(({ id, kind, epoch }) => [id, `${kind}, epoch ${count(epoch)}`]);
    this.before = Object.fromEntries(Object.entries(training).filter(([name]) => !FIXED.has(name)));
    const optimizer = variants("optimizer", "Optimizer of the fork", known.optimizers, "adam", "learning_rate");
    const schedule = variants("schedule", "Schedule of the fork", known.schedules, "constant");
    const main = [
      newField({ pointer: "/checkpoint_id", label: "Go on from", options: states, value: states[0]?.[0], isNeeded: true }),
      newField({ pointer: "/training/epochs", label: "Up to epoch", mode: "numeric", hint: "Counted from the first one on." }),
      newField({ pointer: "/training/batch_size", label: "Rows of a step", hint: "Or full." }),
      newField({ pointer: "/name", label: "Name of the fork", write: asNullable }),
    ];
    const { overfitting, steps, limits } = trainingSections(known, [optimizer, schedule]);
    this.sections = new Sections([overfitting, steps, limits]);
    this.pieces = [...main, optimizer, schedule, ...this.sections.pieces.filter((piece) => piece.take)];
    this.spec = new SpecField("The fork as JSON", "What it trains differently, and what it goes on from. The form and this text follow each other.");
    this.show({ name: `${job.name} (fork)`.slice(-200), checkpoint_id: states[0]?.[0], training: { epochs: 2 * training.epochs } });
    const touched = (event) => (event.target === this.spec.input ? event.type === "input" && this.written() : this.changed());
    this.element = el("div", { oninput: touched, onchange: touched },
      el("div", { class: "fields" }, ...main.flatMap((piece) => piece.elements), optimizer.name.element, optimizer.apart, schedule.name.element),
      el("p", { class: "quiet" }, "While the optimizer and its settings stay as they are, it goes on with what it remembers. The seed and the type of the numbers stay."),
      this.sections.element, this.spec.element);
    this.first = main[0];
    this.sections.tell(false);
  }

  fields() {
    return this.pieces.flatMap((piece) => piece.fields());
  }

  /** Show a description, over what the job was trained with. */
  show(sent) {
    this.sent = sent;
    this.take();
    this.spec.show(sent);
  }

  take() {
    const { training, ...others } = this.sent;
    this.rest = structuredClone({ ...others, training: { ...this.before, ...training } });
    for (const piece of this.pieces) piece.take(this.rest);
  }

  changed() {
    const body = structuredClone(this.rest);
    for (const piece of this.pieces) piece.put(body);
    const changes = Object.entries(body.training ?? {}).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(this.before[name]));
    this.sent = { ...body, training: Object.fromEntries(changes) };
    this.spec.show(this.sent);
  }

  written() {
    const read = this.spec.read();
    if (read === undefined) return;
    this.sent = read;
    this.take();
  }
}
