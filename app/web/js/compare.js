import { Chart } from "./chart.js";
import { detailOf } from "./detail.js";
import { el, refill, write } from "./elements.js";
import { History } from "./history.js";
import { count, figure, TERMINAL } from "./words.js";
import { ask, pause } from "./wire.js";

const POLL_MS = 1500;
const MAX_POINTS = 500;
const MOST = 6;
const LOSSES = { validation_loss: "Validation loss", train_loss: "Train loss" };

/** Several jobs side by side: their curves over one another, and only the settings that differ. */
export async function showCompare(place, ids, signal, ready) {
  document.title = "Compare — Descent";
  const connection = document.getElementById("connection");
  const chosen = [...new Set(ids.split("+"))].slice(0, MOST);
  let jobs = await Promise.all(chosen.map((id) => ask(`/v1/jobs/${id}`, { signal })));
  const histories = jobs.map(() => new History());
  const which = el("select", { id: "which", onchange: () => chart.have(series()) }, ...Object.entries(LOSSES).map(([name, text]) => el("option", { value: name }, text)));
  if (!jobs.every((job) => job.resolved.n_validation_rows)) which.value = "train_loss";
  const series = () => jobs.map((job, i) => ({ name: job.name, kind: `job-${i}`, points: () => histories[i].of((epoch) => epoch[which.value]) }));
  const chart = new Chart({ label: "Loss", series: series() });
  chart.onzoom = detailOf(histories.map((history, i) => [history, `/v1/jobs/${chosen[i]}`]), () => chart.ask(), signal);
  const results = el("table", {});
  const settings = el("table", { class: "dense" });
  const scrolled = (label, table) => el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
  place.append(
    el("h1", { tabindex: -1 }, `Compare ${count(jobs.length)} jobs`),
    el("p", { class: "line" }, el("label", { for: "which" }, "Curves of"), which),
    chart.element,
    el("section", { "aria-labelledby": "results" }, el("h2", { id: "results" }, "Where they are"), scrolled("Results", results)),
    el("section", { "aria-labelledby": "settings" }, el("h2", { id: "settings" }, "What differs"), scrolled("Settings", settings)));
  fillSettings(settings, jobs);
  ready();
  for (;;) {
    await refresh().then(() => write(connection, ""), lost);
    if (jobs.every((job) => TERMINAL.has(job.status))) return;
    await pause(POLL_MS, signal);
  }

  async function refresh() {
    jobs = await Promise.all(chosen.map((id) => ask(`/v1/jobs/${id}`, { signal })));
    const parts = await Promise.all(chosen.map((id) => ask(`/v1/jobs/${id}/epochs?max_points=${MAX_POINTS}`, { signal })));
    parts.forEach(({ items }, i) => histories[i].begin(items));
    fillResults(results, jobs);
    chart.ask();
  }

  function lost(error) {
    signal.throwIfAborted();
    if (!error.faults || error.status === 404) throw error;
    write(connection, `${error.message} Trying again.`);
  }
}

function fillResults(table, jobs) {
  const line = (job, i) => el("tr", {},
    el("th", { scope: "row" }, el("span", { class: `key job-${i}` }), el("a", { href: `#/jobs/${job.id}` }, job.name)),
    el("td", {}, el("span", { class: "status", "data-status": job.status }, job.status)),
    el("td", { class: "number" }, count(job.progress.epoch)),
    ...["train_loss", "validation_loss"].map((name) => el("td", { class: "number" }, figure(job.best?.[name]))),
    el("td", { class: "number" }, job.best ? count(job.best.epoch) : "–"));
  const heads = ["Job", "Status", "Epochs", "Best: train loss", "validation loss", "in epoch"];
  refill(table, el("caption", {}, "The best epoch of each."),
    el("thead", {}, el("tr", {}, ...heads.map((head, i) => el("th", { scope: "col", class: i > 1 ? "number" : null }, head)))),
    el("tbody", {}, ...jobs.map(line)));
}

/** One line a setting that is not the same in all of them. */
function fillSettings(table, jobs) {
  const flat = jobs.map(({ resolved }) => new Map(leaves(resolved)));
  const names = [...new Set(flat.flatMap((one) => [...one.keys()]))];
  const differing = names.filter((name) => new Set(flat.map((one) => one.get(name))).size > 1);
  table.replaceChildren(
    el("caption", {}, differing.length ? `${count(names.length - differing.length)} other settings are the same.` : "They have the same settings."),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Setting"), ...jobs.map((job, i) => el("th", { scope: "col", class: "name" }, el("span", { class: `key job-${i}` }), job.name)))),
    el("tbody", {}, ...differing.map((name) => el("tr", {}, el("th", { scope: "row" }, name), ...flat.map((one) => el("td", {}, one.get(name) ?? "–"))))));
}

/** The values of a description by their path; lists of plain values stay whole. */
function leaves(value, path = "") {
  const isPlain = (one) => one === null || typeof one !== "object";
  if (isPlain(value)) return [[path, String(value ?? "none")]];
  if (Array.isArray(value) && value.every(isPlain)) return [[path, value.join(", ") || "none"]];
  return Object.entries(value).flatMap(([name, one]) => leaves(one, path ? `${path}.${name}` : name));
}
