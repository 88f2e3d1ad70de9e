import { catalog } from "./catalog.js";
import { Columns } from "./columns.js";
import { el, tell } from "./elements.js";
import { blameFields } from "./fields.js";
import { PlanPanel } from "./plan.js";
import { Settings } from "./settings.js";
import { dropZone } from "./upload.js";
import { count } from "./words.js";
import { ask } from "./wire.js";

const STILL_MS = 300;
const PROFILED = 50;

/** From a file to a job: send the rows, choose what to predict, see what it costs, start. */
export async function showStart(place, datasetId, signal, ready) {
  document.title = "Start — Descent";
  const alert = el("div", { role: "alert" });
  const below = el("div");
  const zone = dropZone(alert, (dataset) => (location.hash = `#/start/${dataset.id}`), signal);
  place.append(el("h1", { tabindex: -1 }, "Start a training"), zone, alert, below);
  ready();
  if (!datasetId) return showEarlier(below, signal);
  const [dataset, known] = await Promise.all([ask(`/v1/datasets/${datasetId}`, { signal }), catalog()]);
  showForm(below, dataset, known, signal);
}

async function showEarlier(place, signal) {
  const { items } = await ask("/v1/datasets?limit=10", { signal });
  if (!items.length) return;
  const link = ({ id, name, n_rows }) => el("li", {}, el("a", { href: `#/start/${id}` }, name), el("span", { class: "quiet" }, ` ${count(n_rows)} rows`));
  place.append(el("section", { "aria-labelledby": "earlier" }, el("h2", { id: "earlier" }, "Or take a dataset that is here"), el("ul", { class: "links" }, ...items.map(link))));
}

function showForm(place, dataset, known, signal) {
  const alert = el("div", { role: "alert" });
  const button = el("button", { type: "submit" }, "Start");
  const settings = new Settings(dataset.columns, known, changed);
  const columns = new Columns(dataset, changed);
  const panel = new PlanPanel();
  let still = 0, newest = 0;
  const form = el("form", { novalidate: true, onsubmit: start, oninput: changed, onchange: changed }, settings.element, alert, button);
  place.append(
    el("section", { "aria-labelledby": "dataset" }, el("h2", { id: "dataset" }, dataset.name), columns.element),
    el("div", { class: "beside" },
      el("section", { "aria-labelledby": "network" }, el("h2", { id: "network" }, "What to train"), form), panel.element));
  ask(`/v1/datasets/${dataset.id}/profile?limit=${PROFILED}`, { signal }).then((profile) => columns.profile(profile), () => {});
  plan();

  function described() {
    const body = { dataset_id: dataset.id, ...settings.read() };
    const features = columns.features(body.target);
    return features === undefined ? body : { ...body, features };
  }

  /** Ask what it would cost, once the form is left alone for a moment. */
  function changed() {
    clearTimeout(still);
    panel.wait();
    still = setTimeout(plan, STILL_MS);
  }

  async function plan() {
    const number = ++newest, body = described();
    try {
      const answer = await ask("/v1/jobs?dry_run=true", { method: "POST", json: body, signal });
      if (number !== newest) return;
      blameFields(settings.fields(), []);
      alert.replaceChildren();
      panel.show(answer);
      columns.show(answer.columns, body.target);
    } catch (error) {
      if (signal.aborted || number !== newest) return;
      if (!error.faults) throw error;
      const { rest } = blameFields(settings.fields(), error.faults);
      panel.fail([error.message, ...rest.map((fault) => fault.message)].join(" "));
    }
  }

  async function start(event) {
    event.preventDefault();
    clearTimeout(still);
    newest++;
    button.disabled = true;
    alert.replaceChildren();
    try {
      const { id } = await ask("/v1/jobs", { method: "POST", json: described(), signal });
      location.hash = `#/jobs/${id}`;
    } catch (error) {
      if (signal.aborted) return;
      if (!error.faults) throw error;
      const { blamed, rest } = blameFields(settings.fields(), error.faults);
      tell(alert, error, rest);
      if (blamed[0]) settings.goTo(blamed[0]);
    }
    button.disabled = false;
  }
}
