import { descriptionOf, untold } from "./again.js";
import { catalog } from "./catalog.js";
import { Columns } from "./columns.js";
import { el, tell } from "./elements.js";
import { blameFields } from "./fields.js";
import { PlanPanel } from "./plan.js";
import { putAt } from "./pointers.js";
import { Settings } from "./settings.js";
import { SpecField } from "./spec.js";
import { dropZone } from "./upload.js";
import { count, tenth } from "./words.js";
import { ask, RETRY_MS } from "./wire.js";

const STILL_MS = 300;
const PROFILED = 50;

/** From a file to a job: send the rows, choose what to predict, see what it costs, start. */
export async function showStart(place, datasetId, signal, ready) {
  const below = begin(place, "Start a training", signal);
  ready();
  if (!datasetId) return showEarlier(below, signal);
  const dataset = await ask(`/v1/datasets/${datasetId}`, { signal });
  const body = { dataset_id: dataset.id, target: likely(dataset.columns), network: { hidden_layers: [16, 8] }, training: { epochs: 200 } };
  await showForm(place, below, dataset, body, signal);
}

/** The same with the settings of a job filled in; `…/slower`: with a tenth of its learning rate. */
export async function showAgain(place, address, signal, ready) {
  const [jobId, change] = address.split("/");
  const job = await ask(`/v1/jobs/${jobId}`, { signal });
  const below = begin(place, "Start again", signal);
  const anew = job.parent_job_id ? " It went on from another job; this one begins anew." : "";
  below.append(el("p", {}, "With the settings of ", el("a", { href: `#/jobs/${job.id}` }, job.name), `.${anew}`));
  if (untold(job)) below.append(aboutWeights(untold(job)));
  ready();
  const body = descriptionOf(job);
  const { optimizer } = job.resolved.training;
  if (change) putAt(body, "/training/optimizer", { ...optimizer, learning_rate: tenth(optimizer.learning_rate) });
  const dataset = await ask(`/v1/datasets/${body.dataset_id}`, { signal }).catch((error) => {
    throw error.faults ? Object.assign(error, { message: "The dataset of this job was deleted. Drop the file again to start." }) : error;
  });
  await showForm(place, below, dataset, body, signal);
}

/** Weights that were sent along cannot be sent again by this page: it has never had them. */
function aboutWeights(sha256) {
  return el("p", { class: "note", role: "note" },
    el("strong", {}, "Its first weights are not taken over."), " They were sent along with that job, and of such weights the service tells the checksum only (",
    el("code", {}, `${sha256.slice(0, 12)}…`), "): this training begins with drawn ones. To begin with the same, put them below, at ",
    el("em", {}, "Everything as JSON"), ", as ", el("code", {}, "initial_weights"), ".");
}

function begin(place, title, signal) {
  document.title = `${title} — Descent`;
  const alert = el("div", { role: "alert" });
  const below = el("div");
  const zone = dropZone(alert, (dataset) => (location.hash = `#/start/${dataset.id}`), signal);
  place.append(el("h1", { tabindex: -1 }, title), zone, alert, below);
  return below;
}

async function showEarlier(place, signal) {
  const { items } = await ask("/v1/datasets?limit=10", { signal });
  if (!items.length) return;
  const link = ({ id, name, n_rows }) => el("li", {}, el("a", { href: `#/start/${id}` }, name), el("span", { class: "quiet" }, ` ${count(n_rows)} rows`));
  place.append(el("section", { "aria-labelledby": "earlier" }, el("h2", { id: "earlier" }, "Or take a dataset that is here"), el("ul", { class: "links" }, ...items.map(link))));
}

async function showForm(room, place, dataset, initial, signal) {
  room.classList.add("has-dataset");
  const listed = (path) => ask(`${path}?limit=100`, { signal }).then(({ items }) => items);
  const [known, datasets, models] = await Promise.all([catalog(), listed("/v1/datasets"), listed("/v1/models")]);
  const alert = el("div", { role: "alert" });
  const button = el("button", { type: "submit", form: "settings" }, "Start");
  const settings = new Settings(dataset.columns, known, datasets.filter(({ id }) => id !== dataset.id), models, changed);
  const columns = new Columns(dataset, changed);
  const panel = new PlanPanel();
  const spec = new SpecField("Everything as JSON", "The form and this text follow each other. Every setting of the API can be written here, also those without a field.");
  let body = initial, still = 0, newest = 0;
  const touched = (event) => (event.target === spec.input ? event.type === "input" && written() : changed());
  const form = el("form", { id: "settings", novalidate: true, onsubmit: start, oninput: touched, onchange: touched }, settings.element, spec.element);
  panel.foot.append(alert, button);
  place.append(
    el("section", { "aria-labelledby": "dataset" }, el("h2", { id: "dataset" }, dataset.name), columns.element),
    el("div", { class: "beside" },
      el("section", { "aria-labelledby": "network" }, el("h2", { id: "network" }, "What to train"), form), panel.element));
  ask(`/v1/datasets/${dataset.id}/profile?limit=${PROFILED}`, { signal }).then((profile) => columns.profile(profile), () => {});
  take();
  spec.show(body);
  plan();

  function take() {
    const rest = structuredClone(body);
    columns.take(rest);
    settings.take(rest);
    spec.tell(settings.unshown());
  }

  /** The form was changed: the text follows. */
  function changed() {
    body = settings.read();
    columns.put(body);
    settings.sections.tell();
    spec.show(body);
    later();
  }

  /** The text was changed: the form follows, once it is a description. */
  function written() {
    const read = spec.read();
    if (read === undefined) return;
    body = read;
    take();
    later();
  }

  /** Ask what it would cost, once the form is left alone for a moment. */
  function later() {
    clearTimeout(still);
    panel.wait();
    still = setTimeout(plan, STILL_MS);
  }

  async function plan() {
    const number = ++newest, asked = body;
    try {
      const answer = await ask("/v1/jobs?dry_run=true", { method: "POST", json: asked, signal });
      if (number !== newest) return;
      blameFields(settings.fields(), []);
      alert.replaceChildren();
      panel.show(answer);
      columns.show(answer.columns, answer.resolved.target);
    } catch (error) {
      if (signal.aborted || number !== newest) return;
      if (!error.faults) throw error;
      if (error.isPassing) {
        still = setTimeout(plan, RETRY_MS);
        return panel.fail(`${error.message} Trying again.`);
      }
      const { rest } = blameFields(settings.fields(), error.faults);
      panel.fail([error.message, ...rest.map((fault) => `${fault.pointer ?? ""} ${fault.message}`)].join(" "));
    }
    settings.sections.tell();
  }

  async function start(event) {
    event.preventDefault();
    clearTimeout(still);
    newest++;
    alert.replaceChildren();
    if (spec.read() === undefined) return goToSpec();
    button.disabled = true;
    try {
      const { id } = await ask("/v1/jobs", { method: "POST", json: body, signal });
      location.hash = `#/jobs/${id}`;
    } catch (error) {
      if (signal.aborted) return;
      if (!error.faults) throw error;
      const { blamed, rest } = blameFields(settings.fields(), error.faults);
      tell(alert, error, rest);
      settings.sections.tell();
      if (blamed[0]) settings.sections.goTo(blamed[0]);
      if (error.isPassing) later();
    }
    button.disabled = false;
  }

  function goToSpec() {
    spec.element.open = true;
    spec.input.focus();
  }
}

/** The column that is most likely to be predicted. */
function likely(columns) {
  const isClass = ({ kind }) => kind === "categorical" || kind === "boolean";
  return (columns.find((column) => column.role_hint) ?? columns.find(isClass) ?? columns.at(-1)).name;
}
