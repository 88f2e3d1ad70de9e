import { el } from "./elements.js";
import { count, figure, percent } from "./words.js";

const SUMS = ["accuracy", "balanced_accuracy", "roc_auc", "log_loss", "rmse", "mae", "r2", "loss"];
const MOST_CLASSES = 30;

/** What an evaluation found: the metrics, then class by class or target by target. */
export function showEvaluation(found) {
  const sums = SUMS.filter((name) => name in found);
  const tiles = el("dl", { class: "tiles" }, ...sums.map((name) => el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, figure(found[name])))));
  const left = found.n_rows - found.n_evaluated;
  const rows = el("p", { class: "quiet" }, `Of ${count(found.n_evaluated)} rows${left ? `; ${count(left)} could not be measured` : ""}.`);
  const warnings = found.warnings.length ? [el("ul", { class: "warnings" }, ...found.warnings.map(({ message }) => el("li", {}, message)))] : [];
  const parts = found.task === "classification" ? [confusion(found.confusion_matrix), byName("class", found.per_class)] : [byName("target", found.per_target)];
  return [tiles, rows, ...warnings, ...parts];
}

/** The confusion matrix, shaded by the share of each actual class. */
function confusion({ labels, counts }) {
  if (labels.length > MOST_CLASSES) return el("p", { class: "quiet" }, `The confusion matrix of ${count(labels.length)} classes is too large to be shown.`);
  const cell = (n, sum, isRight, actual, predicted) => {
    const td = el("td", { class: isRight ? "number right" : "number", title: `${actual} taken for ${predicted}: ${count(n)}, ${percent(sum ? n / sum : 0)} of them` }, count(n));
    td.style.setProperty("--share", sum ? n / sum : 0);
    return td;
  };
  const lines = labels.map((actual, i) => {
    const sum = counts[i].reduce((a, b) => a + b, 0);
    return el("tr", {}, el("th", { scope: "row" }, actual), ...counts[i].map((n, j) => cell(n, sum, i === j, actual, labels[j])));
  });
  return scrolled("Confusion matrix", el("table", { class: "dense confusion" },
    el("caption", {}, "Confusion matrix: a line for each actual class, a column for each predicted one."),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Actual ↓ predicted →"), ...labels.map((label) => el("th", { scope: "col", class: "number name" }, label)))),
    el("tbody", {}, ...lines)));
}

function byName(what, figures) {
  const names = Object.keys(figures), columns = Object.keys(figures[names[0]] ?? {});
  const shown = (name, column) => (column === "support" ? count(figures[name][column]) : figure(figures[name][column]));
  return scrolled(`By ${what}`, el("table", { class: "dense" }, el("caption", {}, `By ${what}.`),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, what), ...columns.map((column) => el("th", { scope: "col", class: "number" }, column.replaceAll("_", " "))))),
    el("tbody", {}, ...names.map((name) => el("tr", {}, el("th", { scope: "row" }, name), ...columns.map((column) => el("td", { class: "number" }, shown(name, column))))))));
}

const scrolled = (label, table) => el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
