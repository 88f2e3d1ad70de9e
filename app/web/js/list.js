import { el, write } from "./elements.js";
import { count, figure, percent, TERMINAL, when } from "./words.js";
import { ask, pause } from "./wire.js";

const POLL_MS = 2000;
const PAGE = 20;
const MOST = 100;

/** All jobs, newest first, as they are now. */
export async function showJobs(place, _id, signal, ready) {
  document.title = "Jobs — Descent";
  let shown = PAGE;
  const connection = document.getElementById("connection");
  const summary = el("p", { class: "quiet", role: "status" });
  const body = el("tbody");
  const more = el("button", { type: "button", hidden: true }, "Show more");
  const compare = el("a", { class: "button", hidden: true }, "Compare");
  const heads = [[""], ["Name"], ["Status"], ["Progress"], ["Loss", "number"], ["Created", "number wide"]];
  const table = el("table", { class: "jobs", hidden: true },
    el("caption", {}, "Newest first. The loss is the latest: of the validation rows, where some are held out."),
    el("thead", {}, el("tr", {}, ...heads.map(([head, kind = null]) => (head ? el("th", { scope: "col", class: kind }, head) : el("td"))))),
    body);
  const title = el("div", { class: "row" }, el("h1", { tabindex: -1 }, "Jobs"), compare, el("a", { class: "button", href: "#/start" }, "Start a training"));
  place.append(title, summary, table, el("p", {}, more));
  ready();

  const lines = new Map();
  const chosen = new Set();
  function choose(id, isChosen) {
    if (isChosen) chosen.add(id);
    else chosen.delete(id);
    compare.hidden = chosen.size < 2;
    compare.href = `#/compare/${[...chosen].join("+")}`;
    write(compare, `Compare ${chosen.size} jobs`);
  }
  async function refresh() {
    const { items, next_cursor } = await ask(`/v1/jobs?limit=${shown}`, { signal });
    const ids = new Set(items.map((job) => job.id));
    for (const [id, line] of lines) if (!ids.has(id)) (line.element.remove(), lines.delete(id), choose(id, false));
    items.forEach((job, i) => {
      if (!lines.has(job.id)) lines.set(job.id, newLine(job, choose));
      const { element, update } = lines.get(job.id);
      update(job);
      if (body.children[i] !== element) body.insertBefore(element, body.children[i] ?? null);
    });
    table.hidden = !items.length;
    more.hidden = next_cursor === null || shown >= MOST;
    write(summary, inShort(items, next_cursor !== null));
  }
  more.addEventListener("click", () => (shown = Math.min(MOST, shown + PAGE), refresh().catch(() => {})));

  for (;;) {
    await refresh().then(() => write(connection, ""), (error) => signal.aborted || write(connection, `${error.message} Trying again.`));
    await pause(POLL_MS, signal);
  }
}

function newLine({ id, name, created_at }, choose) {
  const box = el("input", { type: "checkbox", "aria-label": `Compare ${name}`, onchange: () => choose(id, box.checked) });
  const status = el("span", { class: "status" });
  const bar = el("progress", { max: 1, "aria-label": `Progress of ${name}` });
  const done = el("span");
  const loss = el("td", { class: "number loss" });
  const element = el("tr", {},
    el("td", {}, box),
    el("th", { scope: "row" }, el("a", { class: "clamped", href: `#/jobs/${id}` }, name)),
    el("td", {}, status), el("td", { class: "progress" }, bar, done), loss,
    el("td", { class: "number wide quiet" }, el("time", { datetime: created_at }, when(created_at))));
  function update(job) {
    write(status, job.status);
    status.dataset.status = job.status;
    bar.value = job.progress.fraction;
    write(done, percent(job.progress.fraction));
    write(loss, figure(job.latest?.validation_loss ?? job.latest?.train_loss));
  }
  return { element, update };
}

function inShort(jobs, isPart) {
  if (!jobs.length) return "There are none yet. Drop a CSV and start the first.";
  const running = jobs.filter((job) => job.status === "running").length;
  const waiting = jobs.filter((job) => job.status === "queued").length;
  const ended = jobs.filter((job) => TERMINAL.has(job.status)).length;
  const among = isPart ? `Of the newest ${count(jobs.length)}: ` : "";
  return `${among}${running} running, ${waiting} queued, ${ended} ended.`;
}
