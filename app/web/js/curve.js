import { el, svg, write } from "./elements.js";
import { count, figure } from "./words.js";

const MOST_POINTS = 1000;
const LEFT = 56, RIGHT = 8, TOP = 8, BOTTOM = 28;
let isLog = false;

/** The losses by epoch, drawn anew at most once a frame, however fast the epochs arrive. */
export class Curve {
  constructor() {
    this.train = svg("path", { class: "train" });
    this.validation = svg("path", { class: "validation" });
    this.cursor = svg("line", { class: "cursor", y1: TOP, visibility: "hidden" });
    this.grid = svg("g", {});
    this.picture = svg("svg", { role: "img", "aria-label": "Loss by epoch" }, this.grid, this.train, this.validation, this.cursor);
    this.keys = [el("span"), el("span", { class: "key" }), el("span", { class: "key validation" })];
    const log = el("input", { type: "checkbox", onchange: () => ((isLog = log.checked), this.ask()) });
    log.checked = isLog;
    const toggle = el("label", {}, log, " log scale");
    this.element = el("figure", {}, el("figcaption", {}, el("span", {}, ...this.keys), toggle), this.picture);
    this.picture.addEventListener("pointermove", (event) => ((this.pointer = event.clientX - this.picture.getBoundingClientRect().left), this.ask()));
    this.picture.addEventListener("pointerleave", () => ((this.pointer = null), this.ask()));
    new ResizeObserver(() => this.ask()).observe(this.picture);
    this.begin([]);
  }

  /** Begin with a history that may be thinned out already. */
  begin(epochs) {
    this.points = [];
    this.tip = null;
    this.stride = epochs.length > 2 ? epochs[1].epoch - epochs[0].epoch : 1;
    this.add(epochs);
  }

  /** Go on. Epochs that are kept are evenly spread, and so many that a screen can show them. */
  add(epochs) {
    const isKept = ({ epoch }) => (epoch - 1) % this.stride === 0;
    for (const epoch of epochs) {
      if (isKept(epoch)) this.points.push(epoch);
      if (this.points.length > MOST_POINTS) {
        this.stride *= 2;
        this.points = this.points.filter(isKept);
      }
      this.tip = epoch;
    }
    this.ask();
  }

  ask() {
    this.frame ??= requestAnimationFrame(() => ((this.frame = null), this.draw()));
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.picture;
    if (!this.tip || !width) return;
    const points = this.points.at(-1) === this.tip ? this.points : [...this.points, this.tip];
    const isDrawn = (loss) => loss !== null && (!isLog || loss > 0);
    const losses = points.flatMap((point) => [point.train_loss, point.validation_loss]).filter(isDrawn);
    const first = points[0].epoch, last = Math.max(points.at(-1).epoch, first + 1);
    const [low, high, marks] = scale(losses);
    const bent = isLog ? Math.log10 : (loss) => loss;
    const x = (epoch) => LEFT + ((epoch - first) / (last - first)) * (width - LEFT - RIGHT);
    const y = (loss) => height - BOTTOM - ((bent(loss) - bent(low)) / (bent(high) - bent(low))) * (height - TOP - BOTTOM);

    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const name of ["train", "validation"]) {
      const drawn = points.filter((point) => isDrawn(point[`${name}_loss`]));
      const d = drawn.map((point) => `${x(point.epoch).toFixed(1)} ${y(point[`${name}_loss`]).toFixed(1)}`).join("L");
      this[name].setAttribute("d", d && `M${d}`);
    }
    const epochs = ticks(first, last, width / 110).filter((epoch) => Number.isInteger(epoch) && epoch >= first);
    this.grid.replaceChildren(
      ...marks.flatMap((loss) => [
        svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(loss), y2: y(loss) }),
        svg("text", { x: LEFT - 10, y: y(loss) + 4, "text-anchor": "end" }, short(loss)),
      ]),
      ...epochs.map((epoch) => {
        const anchor = x(epoch) > width - 40 ? "end" : "middle";
        return svg("text", { x: anchor === "end" ? width - RIGHT : x(epoch), y: height - 6, "text-anchor": anchor }, count(epoch));
      }));
    this.read(points, x, height);
  }

  /** Say the losses of the epoch under the pointer, or of the last one. */
  read(points, x, height) {
    const far = ({ epoch }) => Math.abs(x(epoch) - this.pointer);
    const isPointed = this.pointer !== null && this.pointer !== undefined;
    const point = isPointed ? points.reduce((best, one) => (far(one) < far(best) ? one : best)) : this.tip;
    this.cursor.setAttribute("visibility", isPointed ? "visible" : "hidden");
    for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, x(point.epoch));
    this.cursor.setAttribute("y2", height - BOTTOM);
    const texts = [`Epoch ${count(point.epoch)}`, `train ${figure(point.train_loss)}`, `validation ${figure(point.validation_loss)}`];
    texts.forEach((text, i) => write(this.keys[i], text));
    this.keys[2].hidden = point.validation_loss === null;
  }
}

/** Lowest and highest loss of the picture, and the losses that are marked. */
function scale(losses) {
  const least = losses.reduce((a, b) => Math.min(a, b), Infinity), most = losses.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!losses.length) return [isLog ? 1 : 0, isLog ? 10 : 1, []];
  if (!isLog) {
    const low = Math.min(0, least), high = most > low ? most : low + 1;
    return [low, high, ticks(low, high, 5)];
  }
  const powers = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))];
  const every = Math.ceil((powers[1] - powers[0]) / 6) || 1;
  const decades = Array.from({ length: Math.floor((powers[1] - powers[0]) / every) + 1 }, (_, i) => powers[0] + i * every);
  const steps = decades.length > 2 ? [1] : [1, 2, 5];
  const high = most > least ? most : least * 10;
  const marks = decades.flatMap((power) => steps.map((step) => step * 10 ** power));
  return [least, high, marks.filter((mark) => mark >= least && mark <= high)];
}

/** Round numbers between two others, about so many. */
function ticks(low, high, about) {
  const raw = (high - low) / Math.max(1, about), power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const all = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-9); i++) all.push(Number((i * step).toPrecision(12)));
  return all;
}

const short = (loss) => (loss !== 0 && (Math.abs(loss) < 1e-3 || Math.abs(loss) >= 1e5) ? loss.toExponential(0) : String(Number(loss.toPrecision(6))));
