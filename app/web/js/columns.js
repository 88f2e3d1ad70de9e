import { el, svg, write } from "./elements.js";
import { count, percent, value } from "./words.js";

const MOST_COLUMNS = 50;
const WIDTH = 120, HEIGHT = 28;

/** The columns of a dataset: what is in them, and what becomes of them. Which are used can be chosen by hand. */
export class Columns {
  constructor(dataset, onchange) {
    this.chosen = null; // names, once chosen by hand
    this.planned = [];
    this.onchange = onchange;
    const left = dataset.columns.length - MOST_COLUMNS;
    const shape = `${count(dataset.n_rows)} rows, ${count(dataset.columns.length)} columns`;
    this.lines = new Map(dataset.columns.slice(0, MOST_COLUMNS).map((column) => [column.name, this.newLine(column)]));
    const heads = [["Use"], ["Column"], ["Values"], ["Spread", "wide"], ["Missing", "number"], ["What becomes of it"]];
    this.reset = el("button", { type: "button", hidden: true, onclick: () => this.choose(null) }, "Let the service choose the columns");
    this.element = el("div", {},
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Columns of the dataset" }, el("table", { class: "dense columns-table" },
        el("caption", {}, left > 0 ? `${shape}; the first ${MOST_COLUMNS} are shown.` : `${shape}.`),
        el("thead", {}, el("tr", {}, ...heads.map(([head, kind = null]) => el("th", { scope: "col", class: kind }, head)))),
        el("tbody", {}, ...[...this.lines.values()].map((line) => line.element)))),
      this.reset);
  }

  /** Draw how the values are distributed, once that is known. */
  profile(profile) {
    for (const column of profile.columns) this.lines.get(column.name)?.spread.append(spread(column, profile.n_rows));
  }

  /** Show what a dry run says becomes of each column. */
  show(columns, targets) {
    this.planned = columns.filter((column) => !targets.includes(column.name));
    for (const { name, used, encoding, width, why } of columns) {
      const line = this.lines.get(name);
      if (!line) continue;
      const isTarget = targets.includes(name);
      write(line.fate, used ? `${becomes(isTarget, encoding, width)}: ${why}` : `not used: ${why}`);
      line.fate.classList.toggle("quiet", !used);
      line.box.checked = used;
      line.box.disabled = isTarget;
    }
    this.reset.hidden = this.chosen === null;
  }

  take(body) {
    this.chosen = Array.isArray(body.features) ? new Set(body.features) : null;
    this.reset.hidden = this.chosen === null;
    if (this.chosen || body.features === null) delete body.features;
  }

  /** Put the features to ask for, if they were chosen by hand; else they are left to the service. */
  put(body) {
    if (this.chosen) body.features = [...this.chosen].filter((name) => ![body.target].flat().includes(name));
  }

  toggle(name, isUsed) {
    const chosen = this.chosen ?? new Set(this.planned.filter((column) => column.used).map((column) => column.name));
    if (isUsed) chosen.add(name);
    else chosen.delete(name);
    this.choose(chosen);
  }

  choose(names) {
    this.chosen = names;
    this.reset.hidden = names === null;
    this.onchange();
  }

  newLine(column) {
    const box = el("input", { type: "checkbox", checked: true, "aria-label": `Use ${column.name}`, onchange: () => this.toggle(column.name, box.checked) });
    const fate = el("td", { class: "fate" });
    const graph = el("td", { class: "wide" });
    const element = el("tr", {}, el("td", {}, box), el("th", { scope: "row" }, column.name, el("span", { class: "kind" }, column.kind)),
      el("td", { class: "values" }, values(column)), graph, el("td", { class: "number" }, count(column.n_missing)), fate);
    return { element, box, fate, spread: graph };
  }
}

function becomes(isTarget, encoding, width) {
  if (!width) return encoding?.replaceAll("_", " ") ?? "used";
  return `${isTarget ? "target, " : ""}${count(width)} ${isTarget ? "output" : "input"}${width === 1 ? "" : "s"}`;
}

function values({ categories, min, max, n_unique }) {
  if (categories) return categories.slice(0, 6).concat(categories.length > 6 ? "…" : []).join(", ");
  return min === null ? `${count(n_unique)} different` : `${value(min)} to ${value(max)}`;
}

/** A small histogram; its figures are said to those who cannot see it. */
function spread({ histogram, top, lengths }, rows) {
  if (lengths) return el("span", { class: "quiet" }, `${count(lengths.min)} to ${count(lengths.max)} letters`);
  const counts = histogram?.counts ?? top?.map((one) => one.count) ?? [];
  if (!counts.length) return el("span");
  const most = Math.max(...counts), step = WIDTH / counts.length;
  const bars = counts.map((n, i) => svg("rect", { x: i * step, width: Math.max(1, step - 1), y: HEIGHT - (n / most) * HEIGHT, height: (n / most) * HEIGHT }));
  const shown = (edge) => (typeof edge === "number" ? value(edge) : String(edge));
  const where = histogram
    ? counts.map((n, i) => `${shown(histogram.edges[i])} to ${shown(histogram.edges[i + 1])}: ${n}`)
    : top.map((one) => `${one.value}: ${one.count}, ${percent(one.count / rows)}`);
  const words = where.join("; ");
  return svg("svg", { class: "spread", role: "img", "aria-label": `Values: ${words}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT }, svg("title", {}, words), ...bars);
}
