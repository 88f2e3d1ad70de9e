import { showCompare } from "./compare.js";
import { el, tell, write } from "./elements.js";
import { showJob } from "./job.js";
import { showJobs } from "./list.js";
import { showModel, showModels } from "./model.js";
import { showPlayground } from "./playground.js";
import { showAgain, showStart } from "./start.js";
import { pause, RETRY_MS } from "./wire.js";

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

const main = document.getElementById("main"), connection = document.getElementById("connection");
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
  write(connection, "");
  while (!(await isShown(show, pattern.exec(location.hash)[1], signal, event, room))) {
    if (await pause(RETRY_MS, signal).then(() => false, () => true)) return;
  }
}

/** Show a room, or why it cannot be shown; false: it may be shown later. */
async function isShown(show, of, signal, isEntered, room) {
  const place = el("div"), attempt = new AbortController();
  main.replaceChildren(place);
  try {
    await show(place, of, AbortSignal.any([signal, attempt.signal]), () => isEntered && place.querySelector("h1")?.focus());
    if (!signal.aborted) write(connection, "");
  } catch (error) {
    if (signal.aborted) return true;
    if (error.isPassing) {
      attempt.abort(); // what it listens to is left, too
      write(connection, `${error.message} Trying again.`);
      return false;
    }
    const alert = el("div", { role: "alert" });
    if (!place.childElementCount) {
      place.append(el("h1", { tabindex: -1 }, error.status === 404 ? "Nothing is here" : "This cannot be shown"));
      place.append(el("p", {}, el("a", { href: room }, room === "#/models" ? "All models" : room === "#/start" ? "Start a training" : "All jobs")));
      if (isEntered) place.firstElementChild.focus();
    }
    place.firstElementChild.after(alert);
    tell(alert, error.faults ? error : Object.assign(error, { faults: [] }));
  }
  return true;
}

async function showNothing(place) {
  place.append(el("h1", { tabindex: -1 }, "There is no such page"), el("a", { href: "#/" }, "All jobs"));
}

addEventListener("hashchange", enter);
enter();
