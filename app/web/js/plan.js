import { el, write } from "./elements.js";
import { drawNetwork } from "./network.js";
import { count, duration, size } from "./words.js";

/** What a training would be and would cost, by a dry run. */
export class PlanPanel {
  constructor() {
    this.state = el("p", { class: "quiet said", role: "status" }, "…");
    this.facts = el("dl", {});
    this.warnings = el("ul", { class: "warnings", hidden: true, "aria-label": "Warnings" });
    this.picture = el("div");
    this.foot = el("div", { class: "foot" });
    this.element = el("aside", { class: "plan", "aria-labelledby": "plan" },
      el("h2", { id: "plan" }, "What it costs"), this.state, this.facts, this.warnings, this.picture, this.foot);
  }

  /** Say that the answer is on its way: what stands here is of before. */
  wait() {
    this.element.setAttribute("aria-busy", "true");
  }

  show({ resolved, n_parameters, memory_bytes, flops_per_epoch, estimated_seconds, warnings }) {
    const { network, n_train_rows, n_validation_rows, task, training } = resolved;
    this.element.removeAttribute("aria-busy");
    this.state.classList.add("unseen"); // the list says it to those who see
    write(this.state, `${count(n_parameters)} parameters, ${duration(estimated_seconds)}, ${size(memory_bytes)}`);
    const facts = [
      ["Task", `${task}, loss ${training.loss.replaceAll("_", " ")}`],
      ["Rows", n_validation_rows ? `${count(n_train_rows)} to train, ${count(n_validation_rows)} to validate` : count(n_train_rows)],
      ["Parameters", count(n_parameters)],
      ["Memory", size(memory_bytes)],
      ["Time", estimated_seconds < 1 ? duration(estimated_seconds) : `about ${duration(estimated_seconds)}`],
      ["An epoch", `${short(flops_per_epoch)} operations`],
    ];
    this.facts.replaceChildren(...facts.flatMap(([term, fact]) => [el("dt", {}, term), el("dd", {}, fact)]));
    this.warnings.hidden = !warnings.length;
    this.warnings.replaceChildren(...warnings.map(({ message }) => el("li", {}, message)));
    const wasOpen = this.picture.querySelector("details")?.open;
    this.picture.replaceChildren(drawNetwork(network, 300));
    if (wasOpen) this.picture.querySelector("details").open = true;
  }

  /** Say that there is no plan, since something is wrong. */
  fail(message) {
    this.element.removeAttribute("aria-busy");
    this.state.classList.remove("unseen");
    write(this.state, message);
    this.facts.replaceChildren();
    this.warnings.hidden = true;
    this.picture.replaceChildren();
  }
}

const short = (n) => new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(n);
