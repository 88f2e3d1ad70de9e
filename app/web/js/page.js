import { showCompare } from "./compare.js";
import { el, tell } from "./elements.js";
import { showJob } from "./job.js";
import { showJobs } from "./list.js";
import { showModel, showModels } from "./model.js";
import { showPlayground } from "./playground.js";
import { showAgain, showStart } from "./start.js";

const ROOMS = [
  [/^#\/jobs\/(job_\w+)$/, showJob, "#/"],
  [/^#\/compare\/(job_\w+(?:\+job_\w+)*)$/, showCompare, "#/"],
  [/^#\/models\/(model_\w+)$/, showModel, "#/models"],
  [/^#\/models$/, showModels, "#/models"],
  [/^#\/playground$/, showPlayground, "#/playground"],
  [/^#\/again\/(job_\w+(?:\/slower)?)$/, showAgain, "#/start"],
  [/^#\/start(?:\/(ds_\w+))?$/, showStart, "#/start"],
  [/^(?:#\/?)?$/, showJobs, "#/"],
];

const main = document.getElementById("main");
let leaving = new AbortController();

/** Show what the address names. What the page before had under way ends. */
async function enter(event) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [pattern, show, room] = ROOMS.find(([pattern]) => pattern.test(location.hash)) ?? [/()/, showNothing, null];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === room) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.getElementById("connection").textContent = "";
  const place = el("div");
  main.replaceChildren(place);
  try {
    await show(place, pattern.exec(location.hash)[1], signal, () => event && place.querySelector("h1")?.focus());
  } catch (error) {
    if (signal.aborted) return;
    const alert = el("div", { role: "alert" });
    place.append(alert);
    tell(alert, error.faults ? error : Object.assign(error, { faults: [] }));
  }
}

async function showNothing(place) {
  place.append(el("h1", { tabindex: -1 }, "There is no such page"), el("a", { href: "#/" }, "All jobs"));
}

addEventListener("hashchange", enter);
enter();
