import { snippets } from "./code.js";
import { checkedFiles, downloads } from "./downloads.js";
import { el, tell } from "./elements.js";
import { judging } from "./judge.js";
import { drawNetwork } from "./network.js";
import { predictForm } from "./predict.js";
import { count, figure, size, when } from "./words.js";
import { ask } from "./wire.js";

/** All models, newest first. */
export async function showModels(place, _id, signal, ready) {
  document.title = "Models — Descent";
  const table = el("table", {});
  const alone = el("p", { class: "quiet" });
  place.append(el("h1", { tabindex: -1 }, "Models"), alone, table);
  ready();
  const { items, next_cursor } = await ask("/v1/models?limit=100", { signal });
  alone.textContent = items.length ? "" : "There are none yet: a training that ends leaves one.";
  if (!items.length) return alone.after(el("p", {}, el("a", { class: "button", href: "#/start" }, "Start a training")));
  const heads = [["Name"], ["Predicts"], ["Loss", "number"], ["Parameters", "number wide"], ["Created", "number wide"]];
  table.append(
    el("caption", {}, next_cursor ? "The newest 100." : "Newest first. The loss is of the validation rows, where some are held out."),
    el("thead", {}, el("tr", {}, ...heads.map(([head, kind = null]) => el("th", { scope: "col", class: kind }, head)))),
    el("tbody", {}, ...items.map((model) => el("tr", {},
      el("th", { scope: "row" }, el("a", { class: "clamped", href: `#/models/${model.id}` }, model.name)),
      el("td", {}, (model.preprocessing.targets ?? []).map((target) => target.name).join(", ")),
      el("td", { class: "number" }, figure(model.metrics?.validation_loss ?? model.metrics?.train_loss)),
      el("td", { class: "number wide" }, count(model.n_parameters)),
      el("td", { class: "number wide quiet" }, when(model.created_at))))));
}

/** One model: what it is, how good it is, what it says of a row, and what can be had of it. */
export async function showModel(place, id, signal, ready) {
  const model = await ask(`/v1/models/${id}`, { signal });
  document.title = `${model.name}, model — Descent`;
  const checks = el("div", {}, checkedFiles(model.verified));
  const code = el("div");
  const predicting = el("section", { "aria-labelledby": "predict" }, el("h2", { id: "predict" }, "Predict a row"));
  place.append(
    el("h1", { tabindex: -1 }, model.name),
    el("p", { class: "quiet" }, "A trained model", ...(model.job_id ? [", from ", el("a", { href: `#/jobs/${model.job_id}` }, "its job")] : []), ", ", when(model.created_at)),
    measures(model), predicting,
    judging(model, signal),
    el("section", { "aria-labelledby": "files" }, el("h2", { id: "files" }, "Its files"), downloads(id), checks, again(checks, id, signal)),
    el("section", { "aria-labelledby": "code" }, el("h2", { id: "code" }, "From a program"), code),
    el("section", { "aria-labelledby": "network" }, el("h2", { id: "network" }, "The network"), drawNetwork(model.network),
      el("details", {}, el("summary", {}, "What was fitted on the training rows"), el("pre", { tabindex: 0 }, JSON.stringify(model.preprocessing, null, 2)))));
  ready();
  const example = await exampleRow(model, signal);
  const show = (row) => code.replaceChildren(...snippets(id, row));
  predicting.append(predictForm(model, example, show, signal));
}

function measures({ metrics, epoch, n_parameters, dtype, size_bytes, task, network }) {
  const tile = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));
  const named = Object.entries(metrics?.metrics ?? {}).map(([name, value]) => tile(name.replaceAll("_", " "), figure(value)));
  const widths = [network.input_width, ...network.hidden_layers.map((layer) => layer.units), network.output_width];
  return el("dl", { class: "tiles" }, ...named,
    ...(metrics?.validation_loss != null ? [tile("validation loss", figure(metrics.validation_loss))] : []),
    ...(metrics ? [tile("train loss", figure(metrics.train_loss))] : []),
    tile("of epoch", count(epoch)), tile("task", task), tile("widths", widths.map(count).join(" → ")), tile("parameters", `${count(n_parameters)}, ${dtype}`), tile("size", size(size_bytes)));
}

/** After a download its check is known: a button, since nothing tells when one ended. */
function again(checks, id, signal) {
  const alert = el("div", { role: "alert" });
  const look = () => ask(`/v1/models/${id}`, { signal }).then(({ verified }) => {
    alert.replaceChildren();
    checks.replaceChildren(checkedFiles(verified));
  }, (error) => signal.aborted || tell(alert, error));
  return el("div", {}, alert, el("button", { type: "button", onclick: look }, "Look at the checks again"));
}

/** A row to begin with: of its dataset, or of what stands in for missing values. */
async function exampleRow({ dataset_id, preprocessing }, signal) {
  const rows = dataset_id ? await ask(`/v1/datasets/${dataset_id}/rows?limit=1`, { signal }).catch(() => null) : null;
  const found = rows?.items[0] ?? {};
  return Object.fromEntries((preprocessing.inputs ?? []).map(({ name, fill, categories }) => [name, found[name] ?? fill ?? categories?.[0] ?? null]));
}
