import { el, tell, write } from "./elements.js";
import { blameFields } from "./fields.js";
import { ForkForm } from "./fork.js";
import { TERMINAL } from "./words.js";
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
    this.again = el("a", { class: "button plain" }, "Start again");
    this.element = el("span", { class: "verbs" }, this.hold, this.cancel, this.again, this.forkButton, this.verify);
    this.form = el("form", { class: "fork", novalidate: true, hidden: true, onsubmit: (event) => this.fork(event) });
  }

  show(job) {
    this.job = job;
    this.again.href = `#/again/${job.id}`;
    const hasEnded = TERMINAL.has(job.status), isTraining = job.kind === "training";
    const isHeld = job.status === "paused" || job.status === "pausing";
    this.hold.hidden = this.cancel.hidden = hasEnded;
    this.hold.disabled = this.cancel.disabled = job.status === "cancelling";
    this.hold.dataset.verb = isHeld ? "resume" : "pause";
    write(this.hold, isHeld ? "Resume" : "Pause");
    this.again.hidden = !isTraining;
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
    const { blamed, rest } = blameFields(this.made?.fields() ?? [], error.faults);
    tell(this.alert, error, rest);
    if (!blamed[0]) return;
    this.made.sections.tell(false);
    this.made.sections.goTo(blamed[0]);
  }

  async openFork() {
    this.form.hidden = !this.form.hidden;
    this.forkButton.setAttribute("aria-expanded", String(!this.form.hidden));
    if (this.form.hidden) return;
    try {
      this.made = await ForkForm.of(this.job, this.path, this.signal);
    } catch (error) {
      this.form.hidden = true;
      return this.refused(error);
    }
    this.form.replaceChildren(this.made.element, el("button", { type: "submit" }, "Start the fork"));
    this.made.first.input.focus();
  }

  async fork(event) {
    event.preventDefault();
    this.alert.replaceChildren();
    blameFields(this.made.fields(), []);
    if (this.made.spec.read() === undefined) return this.made.spec.input.focus();
    await this.make("fork", this.made.sent);
  }
}
