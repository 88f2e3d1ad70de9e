import { el, inWords, tell } from "./elements.js";
import { count, size, value } from "./words.js";
import { ask } from "./wire.js";

const MOST_COLUMNS = 50;
const FIELDS = [
  { pointer: "/target", label: "Target", hint: "The column to predict, from all the others." },
  { pointer: "/network/hidden_layers", label: "Hidden layers", value: "16, 8", hint: "Units of each, from input to output. Empty: none." },
  { pointer: "/training/epochs", label: "Epochs", value: "200", mode: "numeric", hint: "Passes over the rows." },
  { pointer: "/training/optimizer/learning_rate", label: "Learning rate", value: "0.001", mode: "decimal", hint: "Size of a step (adam)." },
];

/** From a file to a job: send the rows, choose what to predict, start. */
export async function showStart(place, datasetId, signal, ready) {
  document.title = "Start — Descent";
  const alert = el("div", { role: "alert" });
  const below = el("div");
  place.append(el("h1", { tabindex: -1 }, "Start a training"), dropZone(send, signal), alert, below);
  ready();
  if (datasetId) await showForm(below, await ask(`/v1/datasets/${datasetId}`, { signal }), signal);
  else await showEarlier(below, signal);

  async function send(file, say) {
    alert.replaceChildren();
    say(`Reading ${file.name}, ${size(file.size)} …`);
    const isJson = /\.json$/i.test(file.name);
    const type = isJson ? "application/json" : "text/csv";
    const query = new URLSearchParams({ name: file.name.slice(-200), format: isJson ? "json" : "csv" });
    try {
      const dataset = await ask(`/v1/datasets?${query}`, { method: "POST", body: file, type, signal });
      location.hash = `#/start/${dataset.id}`;
    } catch (error) {
      if (signal.aborted) return;
      say(null);
      tell(alert, error.faults ? error : { message: "The file could not be read.", faults: [] });
    }
  }
}

function dropZone(send, signal) {
  const input = el("input", { type: "file", accept: ".csv,text/csv,.json" });
  const title = el("strong", {}, "Drop a CSV here");
  const hint = el("span", { class: "quiet" }, "or choose a file. The first line names the columns.");
  const zone = el("label", { class: "drop" }, input, title, hint);
  const state = el("p", { class: "quiet", role: "status" });
  const take = (file) => file && send(file, (text) => ((state.textContent = text ?? ""), (input.value = "")));
  input.addEventListener("change", () => take(input.files[0]));
  // The whole page takes the file: beside the zone, a browser would open it instead.
  addEventListener("dragover", (event) => (event.preventDefault(), zone.classList.add("over")), { signal });
  addEventListener("dragleave", () => zone.classList.remove("over"), { signal });
  addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files[0]);
  }, { signal });
  return el("div", {}, zone, state);
}

async function showEarlier(place, signal) {
  const { items } = await ask("/v1/datasets?limit=10", { signal });
  if (!items.length) return;
  const link = ({ id, name, n_rows }) => el("li", {}, el("a", { href: `#/start/${id}` }, name), el("span", { class: "quiet" }, ` ${count(n_rows)} rows`));
  place.append(el("section", { "aria-labelledby": "earlier" }, el("h2", { id: "earlier" }, "Or take a dataset that is here"), el("ul", { class: "links" }, ...items.map(link))));
}

function showForm(place, dataset, signal) {
  const alert = el("div", { role: "alert" });
  const button = el("button", { type: "submit" }, "Start");
  const fields = FIELDS.map((field) => newField(field, dataset.columns));
  const form = el("form", { novalidate: true, onsubmit: start }, el("div", { class: "fields" }, ...fields.map((field) => field.element)), alert, button);
  const shape = `${count(dataset.n_rows)} rows, ${count(dataset.columns.length)} columns`;
  place.append(
    el("section", { "aria-labelledby": "dataset" }, el("h2", { id: "dataset" }, dataset.name), columnTable(dataset.columns, shape)),
    el("section", { "aria-labelledby": "network" }, el("h2", { id: "network" }, "What to train"), form));

  async function start(event) {
    event.preventDefault();
    const [target, layers, epochs, rate] = fields.map(({ input }) => input.value);
    const job = {
      dataset_id: dataset.id,
      target,
      network: { hidden_layers: layers.split(/[\s,;]+/).filter(Boolean).map(asNumber) },
      training: { epochs: asNumber(epochs), optimizer: { name: "adam", learning_rate: asNumber(rate) } },
    };
    button.disabled = true;
    alert.replaceChildren();
    fields.forEach((field) => field.blame([]));
    try {
      const { id } = await ask("/v1/jobs", { method: "POST", json: job, signal });
      location.hash = `#/jobs/${id}`;
    } catch (error) {
      if (signal.aborted) return;
      const isOf = (field) => (fault) => fault.pointer === field.pointer || fault.pointer.startsWith(`${field.pointer}/`);
      const blamed = fields.filter((field) => field.blame(error.faults.filter(isOf(field))));
      tell(alert, error, error.faults.filter((fault) => !fields.some((field) => isOf(field)(fault))));
      blamed[0]?.input.focus();
    }
    button.disabled = false;
  }
}

/** A field, with a place for what the service has against it. */
function newField({ pointer, label, value: initial, mode = "text", hint }, columns) {
  const id = `field${pointer.replaceAll("/", "-")}`;
  const faults = el("p", { class: "bad", id: `${id}-faults` });
  const about = { id, "aria-describedby": `${id}-hint ${id}-faults` };
  const input = pointer === "/target" ? el("select", about, ...targets(columns)) : el("input", { ...about, type: "text", value: initial, inputmode: mode, autocomplete: "off" });
  const element = el("div", { class: "field" }, el("label", { for: id }, label), input, el("p", { class: "quiet", id: `${id}-hint` }, hint), faults);
  function blame(found) {
    input.setAttribute("aria-invalid", found.length > 0);
    faults.textContent = found.map((fault) => which(fault.pointer.slice(pointer.length)) + inWords(fault)).join(" ");
    return found.length > 0;
  }
  return { pointer, element, input, blame };
}

/** Which of several values is meant, by the rest of its pointer: `/1` is the second. */
const which = (rest) => (/^\/\d+/.test(rest) ? `Number ${parseInt(rest.slice(1), 10) + 1}: ` : "");

function targets(columns) {
  const likely = columns.find((column) => column.role_hint) ?? columns.find(({ kind }) => kind === "categorical" || kind === "boolean") ?? columns.at(-1);
  return columns.map((column) => el("option", { value: column.name, selected: column === likely }, `${column.name} (${column.kind})`));
}

function columnTable(columns, shape) {
  const left = columns.length - MOST_COLUMNS;
  const values = (column) => column.categories?.slice(0, 6).concat(column.categories.length > 6 ? "…" : []).join(", ")
    ?? (column.min === null ? `${count(column.n_unique)} different` : `${value(column.min)} to ${value(column.max)}`);
  const line = (column) => el("tr", {}, el("th", { scope: "row" }, column.name), el("td", { class: "quiet" }, column.kind), el("td", {}, values(column)), el("td", { class: "number" }, count(column.n_missing)));
  const heads = ["Column", "Kind", "Values", "Missing"].map((head, i) => el("th", { scope: "col", class: i === 3 ? "number" : null }, head));
  return el("table", { class: "dense" },
    el("caption", {}, left > 0 ? `${shape}; the first ${MOST_COLUMNS} are shown.` : `${shape}.`),
    el("thead", {}, el("tr", {}, ...heads)),
    el("tbody", {}, ...columns.slice(0, MOST_COLUMNS).map(line)));
}

/** A text as the number it is; what is none goes as it is, and the service says what is wrong with it. */
const asNumber = (text) => (text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text));
