import { el, svg, write } from "./elements.js";
import { scale, short, smooth, ticks } from "./scale.js";
import { count, figure } from "./words.js";
import { Zoom } from "./zoom.js";

const LEFT = 64, RIGHT = 8, TOP = 8, BOTTOM = 28;
const TABLE_ROWS = 25;
let charts = 0;

/**
 * Curves by epoch, with their figures as a table; drawn anew at most once a frame, however fast the epochs arrive.
 *
 * Each of `series` is `{name, kind, points}`: `kind` is its class in the style sheet, `points()` gives `[[epoch, value], …]`, oldest
 * first, null where there is none. `best()` gives the epoch that is marked, or null. `follows` is a chart whose epochs and smoothing this one takes.
 */
export class Chart {
  constructor({ label, series, best = () => null, isLog = false, canSmooth = true, follows = null }) {
    Object.assign(this, { label, best, follows });
    const clip = `clip-${++charts}`;
    this.onzoom = () => {}; // called with the epochs that are shown from now on; null: all
    this.frameOfLines = svg("rect", { x: LEFT, y: 0 });
    this.lines = svg("g", { "clip-path": `url(#${clip})` });
    this.grid = svg("g", {});
    this.mark = svg("circle", { class: "best", r: 4.5, visibility: "hidden" }, svg("title", {}, "The best epoch"));
    this.cursor = svg("line", { class: "cursor", y1: TOP, visibility: "hidden" });
    this.band = svg("rect", { class: "band", y: TOP, visibility: "hidden" });
    this.picture = svg("svg", { class: "plot", role: "img", "aria-label": `${label} by epoch` }, svg("clipPath", { id: clip }, this.frameOfLines), this.grid, this.band, this.lines, this.mark, this.cursor);
    this.keys = el("span", { class: "keys" });
    this.epoch = el("span");
    this.log = el("input", { type: "checkbox", checked: isLog, "aria-label": `log scale of ${label.toLowerCase()}`, onchange: () => this.ask() });
    this.smoothing = el("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, oninput: () => this.ask() });
    this.zoom = follows ? null : new Zoom(this.picture, this);
    const tools = el("span", { class: "tools" }, this.zoom?.element ?? "", canSmooth ? el("label", {}, "smoothing ", this.smoothing) : "", el("label", {}, this.log, " log scale"));
    this.table = el("table", { class: "dense" });
    this.details = el("details", { ontoggle: () => this.ask() }, el("summary", {}, `${label} as a table`), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `${label} by epoch, as a table` }, this.table));
    this.element = el("figure", { class: "chart" }, el("figcaption", {}, el("span", {}, el("strong", {}, label), this.epoch, this.keys), tools), this.picture, this.details);
    this.picture.addEventListener("pointermove", (event) => ((this.pointer = event.clientX - this.picture.getBoundingClientRect().left), this.ask()));
    this.picture.addEventListener("pointerleave", () => ((this.pointer = null), this.ask()));
    new ResizeObserver(() => this.ask()).observe(this.picture);
    this.have(series);
  }

  /** Have these curves from now on. */
  have(series) {
    this.series = series.map((one) => ({
      ...one,
      raw: svg("path", { class: "raw" }), path: svg("path", { class: one.kind }), key: el("span", { class: `key ${one.kind}` }),
    }));
    this.lines.replaceChildren(...this.series.map(({ kind, raw, path }) => svg("g", { class: kind }, raw, path)));
    this.keys.replaceChildren(...this.series.map(({ key }) => key));
    this.ask();
  }

  ask() {
    this.frame ??= requestAnimationFrame(() => ((this.frame = null), this.draw()));
  }

  /** First and last epoch that there is. */
  extent() {
    const ends = this.all.filter((points) => points.length);
    const first = Math.min(...ends.map((points) => points[0][0])), last = Math.max(...ends.map((points) => points.at(-1)[0]));
    return ends.length ? [first, Math.max(last, first + 1)] : [1, 2];
  }

  epochAt(left) {
    const [first, last] = this.shown;
    return first + ((left - LEFT) / (this.picture.clientWidth - LEFT - RIGHT)) * (last - first);
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.picture;
    this.all = this.series.map((one) => one.points().filter(([, value]) => value !== null && value !== undefined));
    if (!this.all.some((points) => points.length) || !width) return;
    const isLog = this.log.checked;
    const { range } = this.zoom ?? this.follows.zoom;
    const [first, last] = (this.shown = range ?? this.extent());
    const amount = Number((this.follows ?? this).smoothing.value);
    const drawable = this.all.map((points) => points.filter(([, value]) => !isLog || value > 0));
    const raw = drawable.map((points) => between(points, first, last));
    const smoothed = drawable.map((points) => (amount ? between(smooth(points, amount), first, last) : null));
    const inside = raw.flatMap((points) => points.filter(([x]) => x >= first && x <= last));
    const values = (inside.length ? inside : raw.flat()).map(([, value]) => value);
    const [low, high, marks] = scale(values, isLog, range !== null);
    const bent = isLog ? Math.log10 : (value) => value;
    const x = (epoch) => LEFT + ((epoch - first) / (last - first)) * (width - LEFT - RIGHT);
    const y = (value) => height - BOTTOM - ((bent(value) - bent(low)) / (bent(high) - bent(low))) * (height - TOP - BOTTOM);
    const path = (points) => points && points.length && `M${points.map((one) => `${x(one[0]).toFixed(1)} ${y(one[1]).toFixed(1)}`).join("L")}`;

    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.frameOfLines.setAttribute("width", Math.max(0, width - LEFT - RIGHT + 1));
    this.frameOfLines.setAttribute("height", Math.max(0, height - BOTTOM + 2));
    this.series.forEach((one, i) => {
      one.path.setAttribute("d", path(smoothed[i] ?? raw[i]) || "");
      one.raw.setAttribute("d", (smoothed[i] && path(raw[i])) || "");
    });
    this.drawGrid(marks, [first, last], x, y, width, height);
    this.markBest(x, y, [first, last]);
    this.read(x, height);
    this.zoom?.tell([Math.round(first), Math.round(last)]);
    if (this.details.open) this.fill([first, last]);
    this.followers?.forEach((chart) => chart.ask());
  }

  drawGrid(marks, [first, last], x, y, width, height) {
    const epochs = ticks(first, last, width / 80).filter((epoch) => Number.isInteger(epoch) && epoch >= first);
    this.grid.replaceChildren(
      ...marks.flatMap((value) => [
        svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
        svg("text", { x: LEFT - 10, y: y(value) + 4, "text-anchor": "end" }, short(value)),
      ]),
      ...epochs.map((epoch) => {
        const anchor = x(epoch) > width - 40 ? "end" : "middle";
        return svg("text", { x: anchor === "end" ? width - RIGHT : x(epoch), y: height - 6, "text-anchor": anchor }, count(epoch));
      }));
  }

  markBest(x, y, [first, last]) {
    const best = this.best();
    const isShown = best && best.epoch >= first && best.epoch <= last && (best.value > 0 || !this.log.checked);
    this.mark.setAttribute("visibility", isShown ? "visible" : "hidden");
    if (isShown) for (const [name, at] of [["cx", x(best.epoch)], ["cy", y(best.value)]]) this.mark.setAttribute(name, at);
  }

  /** Say the values of the epoch under the pointer, or of the last one; show what is being dragged over. */
  read(x, height) {
    const isPointed = this.pointer !== null && this.pointer !== undefined;
    const wanted = isPointed ? this.epochAt(this.pointer) : this.shown[1];
    const found = this.all.map((points) => nearest(points, wanted));
    const epoch = found.filter(Boolean).reduce((best, [at]) => (Math.abs(at - wanted) < Math.abs(best - wanted) ? at : best), Infinity);
    write(this.epoch, `Epoch ${count(epoch)}`);
    this.series.forEach(({ key, name }, i) => {
      // A lone curve has its name in the title.
      write(key, `${this.series.length > 1 ? name : ""} ${figure(found[i]?.[1])}`);
      key.hidden = !found[i];
    });
    this.cursor.setAttribute("visibility", isPointed ? "visible" : "hidden");
    for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, x(epoch));
    this.cursor.setAttribute("y2", height - BOTTOM);
    const start = this.zoom?.start, isDragged = isPointed && start !== undefined;
    this.band.setAttribute("visibility", isDragged ? "visible" : "hidden");
    if (!isDragged) return;
    this.band.setAttribute("x", Math.min(x(start), this.pointer));
    this.band.setAttribute("width", Math.abs(x(start) - this.pointer));
    this.band.setAttribute("height", Math.max(0, height - TOP - BOTTOM));
  }

  /** The same as a table: some epochs, evenly spread over what is shown. */
  fill([first, last]) {
    const longest = this.all.reduce((a, b) => (b.length > a.length ? b : a)).filter(([x]) => x >= first && x <= last);
    const every = Math.max(1, Math.ceil(longest.length / TABLE_ROWS));
    const epochs = longest.filter((_, i) => i % every === 0 || i === longest.length - 1).map(([epoch]) => epoch);
    const at = this.all.map((points) => new Map(points));
    const cell = (values, epoch) => el("td", { class: "number" }, figure(values.get(epoch)));
    this.table.replaceChildren(
      el("caption", {}, every > 1 ? `Every ${count(every)}th of the epochs that are shown.` : "The epochs that are shown."),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Epoch"), ...this.series.map(({ name, kind }) => el("th", { scope: "col", class: kind.startsWith("job") ? "number name" : "number" }, name)))),
      el("tbody", {}, ...epochs.map((epoch) => el("tr", {}, el("th", { scope: "row" }, count(epoch)), ...at.map((values) => cell(values, epoch))))));
  }

  /** Have another chart show the same epochs, as smooth as this one. */
  lead(...charts) {
    this.followers = charts;
  }
}

/** The points from one epoch to another, and their neighbours: lines go on to the edges. */
function between(points, first, last) {
  const from = points.findIndex(([x]) => x >= first), to = points.findLastIndex(([x]) => x <= last);
  return from < 0 || to < 0 ? [] : points.slice(Math.max(0, from - 1), to + 2);
}

function nearest(points, wanted) {
  let low = 0, high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= wanted) low = middle;
    else high = middle;
  }
  if (high < 0) return null;
  return Math.abs(points[low][0] - wanted) <= Math.abs(points[high][0] - wanted) ? points[low] : points[high];
}
