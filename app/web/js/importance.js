import { bar, scaleOf } from "./bars.js";
import { el } from "./elements.js";
import { chance, count, figure, value } from "./words.js";

const MOST = 100;

/** What each column matters: how much worse the model does when its values are shuffled; bars, with their figures beside them. */
export function showImportance({ columns, metric, repeats, baseline, n_rows }) {
  const shown = columns.slice(0, MOST);
  const scale = scaleOf(shown.map(({ mean }) => mean), shown.map(({ std }) => std));
  const cut = columns.length > MOST ? ` The first ${MOST} of ${count(columns.length)} columns.` : "";
  const caption = `How much worse ${metric.replaceAll("_", " ")} gets when a column is shuffled: mean and spread of ${count(repeats)} ${repeats === 1 ? "time" : "times"}, over ${count(n_rows)} rows. As they are: ${figure(baseline)}.${cut}`;
  const heads = [["Column"], ["Worse by", "wide"], ["Mean", "number"], ["Spread", "number"]];
  return scrolled("Importance of the columns", el("table", { class: "dense" },
    el("caption", {}, caption), head(heads),
    el("tbody", {}, ...shown.map(({ name, mean, std }) => el("tr", {},
      el("th", { scope: "row" }, name), el("td", { class: "wide" }, bar(mean, std, scale)),
      el("td", { class: "number" }, figure(mean)), el("td", { class: "number" }, figure(std)))))));
}

/** The rows that cost the model most, with all that the dataset says of them. */
export function showLosses({ rows, loss_name, n_evaluated }) {
  const names = Object.keys(rows[0]?.values ?? {});
  const scale = scaleOf(rows.map(({ loss }) => loss));
  const isChance = rows.some(({ probability }) => probability !== null);
  const heads = [["Row", "number"], ["Loss", "number"], ["", "wide"], ["Actual"], ["Predicted"], ...(isChance ? [["Chance of the actual", "number"]] : []), ...names.map((name) => [name, "name"])];
  const text = (one) => (typeof one === "number" ? value(one) : Array.isArray(one) ? one.map(text).join(", ") : one === null || one === undefined ? "–" : String(one));
  const line = (one) => el("tr", {},
    el("th", { scope: "row", class: "number" }, count(one.row)), el("td", { class: "number" }, figure(one.loss)), el("td", { class: "wide" }, bar(one.loss, null, scale)),
    el("td", {}, text(one.actual)), el("td", {}, text(one.predicted)),
    ...(isChance ? [el("td", { class: "number" }, one.probability === null ? "–" : chance(one.probability))] : []),
    ...names.map((name) => el("td", {}, text(one.values[name]))));
  return scrolled("Hardest rows", el("table", { class: "dense" },
    el("caption", {}, `Of ${count(n_evaluated)} rows, those of the highest ${loss_name.replaceAll("_", " ")}; the first row is 0. Wrong labels are often among them.`),
    head(heads), el("tbody", {}, ...rows.map(line))));
}

const head = (heads) => el("thead", {}, el("tr", {}, ...heads.map(([name, kind = null]) => (name ? el("th", { scope: "col", class: kind }, name) : el("td", { class: kind })))));

const scrolled = (label, table) => el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
