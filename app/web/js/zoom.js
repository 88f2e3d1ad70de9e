import { el } from "./elements.js";

/** Which epochs a chart shows: by dragging, by the wheel, or by two numbers; all of them, as they grow, unless told. */
export class Zoom {
  constructor(picture, chart) {
    this.range = null; // null: everything, also what is still to come
    this.chart = chart;
    const number = (label) => el("input", { type: "number", min: 1, step: 1, "aria-label": label, onchange: () => this.typed() });
    this.from = number("First epoch shown");
    this.to = number("Last epoch shown");
    this.reset = el("button", { type: "button", hidden: true, onclick: () => this.set(null) }, "Show all");
    this.element = el("span", { class: "zoom" }, "epochs ", this.from, " to ", this.to, " ", this.reset);
    picture.addEventListener("pointerdown", (event) => event.button === 0 && event.pointerType !== "touch" && ((this.start = this.at(event)), picture.setPointerCapture(event.pointerId)));
    picture.addEventListener("pointerup", (event) => this.dropped(event));
    picture.addEventListener("dblclick", () => this.set(null));
    picture.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
  }

  /** The epoch under the pointer. */
  at(event) {
    const box = this.chart.picture.getBoundingClientRect();
    return this.chart.epochAt(event.clientX - box.left);
  }

  set(range) {
    const [first, last] = this.chart.extent();
    if (range) {
      const [low, high] = [Math.max(first, Math.round(range[0])), Math.min(last, Math.round(range[1]))];
      range = high - low < 1 || (low <= first && high >= last) ? null : [low, high];
    }
    this.range = range;
    this.reset.hidden = range === null;
    this.chart.onzoom(range);
    this.chart.ask();
  }

  /** Show in the two numbers what is shown, unless they are being typed. */
  tell([first, last]) {
    if (document.activeElement !== this.from) this.from.value = first;
    if (document.activeElement !== this.to) this.to.value = last;
  }

  typed() {
    const [from, to] = [this.from.valueAsNumber, this.to.valueAsNumber];
    if (to > from) this.set([from, to]);
  }

  dropped(event) {
    if (this.start === undefined) return;
    const range = [this.start, this.at(event)].sort((a, b) => a - b);
    const [first, last] = this.range ?? this.chart.extent();
    if (range[1] - range[0] > (last - first) * 0.01) this.set(range);
    this.start = undefined;
    this.chart.ask();
  }

  wheeled(event) {
    if (!this.range && event.deltaY > 0) return; // nothing to zoom out of: the page scrolls
    event.preventDefault();
    const [first, last] = this.range ?? this.chart.extent();
    const centre = this.at(event), factor = event.deltaY < 0 ? 0.8 : 1.25;
    this.set([centre - (centre - first) * factor, centre + (last - centre) * factor]);
  }
}
