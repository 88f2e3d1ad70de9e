import { el, tell, write } from "./elements.js";
import { asOptional, blameFields, newField } from "./fields.js";
import { count, TERMINAL } from "./words.js";
import { ask } from "./wire.js";

/** What can be done with a job: hold it, end it, train it again, go on from one of its checkpoints. */
export class Verbs {
  constructor(path, alert, signal, done) {
    Object.assign(this, { path, alert, signal, done });
    const button = (text, act) => el("button", { type: "button", onclick: act }, text);
    this.hold = button("Pause", () => this.act(this.hold.dataset.verb));
    this.cancel = button("Cancel", () => this.act("cancel"));
    this.verify = button("Verify", () => this.make("verify"));
    this.verify.title = "Train it again and compare every epoch";
    this.forkButton = button("Fork", () => this.openFork());
    this.forkButton.setAttribute("aria-expanded", "false");
    this.element = el("span", { class: "verbs" }, this.hold, this.cancel, this.forkButton, this.verify);
    this.form = el("form", { class: "fork", novalidate: true, hidden: true, onsubmit: (event) => this.fork(event) });
  }

  show(job) {
    this.job = job;
    const hasEnded = TERMINAL.has(job.status), isTraining = job.kind === "training";
    const isHeld = job.status === "paused" || job.status === "pausing";
    this.hold.hidden = this.cancel.hidden = hasEnded;
    this.hold.disabled = this.cancel.disabled = job.status === "cancelling";
    this.hold.dataset.verb = isHeld ? "resume" : "pause";
    write(this.hold, isHeld ? "Resume" : "Pause");
    this.verify.hidden = !isTraining || !hasEnded || !job.latest;
    this.forkButton.hidden = !isTraining || !job.latest;
  }

  async act(verb) {
    try {
      this.done(await ask(`${this.path}/${verb}`, { method: "POST", signal: this.signal }));
    } catch (error) {
      this.refused(error);
    }
  }

  /** Make another job of this one, and go there. */
  async make(verb, json) {
    const { id } = await ask(`${this.path}/${verb}`, { method: "POST", json, signal: this.signal }).catch((error) => (this.refused(error), {}));
    if (id) location.hash = `#/jobs/${id}`;
  }

  refused(error) {
    if (this.signal.aborted) return;
    if (!error.faults) throw error;
    const { blamed, rest } = blameFields(this.fields ?? [], error.faults);
    tell(this.alert, error, rest);
    blamed[0]?.input.focus();
  }

  async openFork() {
    this.form.hidden = !this.form.hidden;
    this.forkButton.setAttribute("aria-expanded", String(!this.form.hidden));
    if (this.form.hidden) return;
    const { items } = await ask(`${this.path}/checkpoints`, { signal: this.signal });
    const { training } = this.job.resolved;
    const states = items.map(({ id, kind, epoch }) => [id, `${kind}, epoch ${count(epoch)}`]);
    this.fields = [
      newField({ pointer: "/checkpoint_id", label: "Go on from", options: states, value: states[0]?.[0] }),
      newField({ pointer: "/training/epochs", label: "Up to epoch", value: String(2 * training.epochs), mode: "numeric", write: asOptional, hint: "Counted from the first one on." }),
      newField({ pointer: "/training/optimizer/learning_rate", label: "With learning rate", value: String(training.optimizer.learning_rate), mode: "decimal", write: asOptional, hint: "Unchanged: the optimizer goes on with what it remembers." }),
      newField({ pointer: "/name", label: "Name of the fork", value: `${this.job.name} (fork)`.slice(-200), write: (text) => text || undefined }),
    ];
    this.form.replaceChildren(el("div", { class: "fields" }, ...this.fields.map((field) => field.element)), el("button", { type: "submit" }, "Start the fork"));
    this.fields[0].input.focus();
  }

  async fork(event) {
    event.preventDefault();
    const [checkpoint_id, epochs, learning_rate, name] = this.fields.map((field) => field.read());
    const before = this.job.resolved.training.optimizer;
    const training = { epochs, ...(learning_rate !== before.learning_rate && { optimizer: { ...before, learning_rate } }) };
    await this.make("fork", { checkpoint_id, name, training });
  }
}
