import { el, refill } from "./elements.js";
import { count, figure, size, tenth, when } from "./words.js";

const ADVICE = {
  diverged: "Most often the steps are too long: then a tenth of the learning rate helps. In the form, “Longest gradient” clips, and “Numbers” standardizes.",
  out_of_memory: "Fewer units, a smaller batch or float32 need less; the plan of a new job says how much before it starts. Or start the worker where there is more memory.",
  worker_lost: "The process of the training ended several times, most often because the machine ran out of memory or was restarted. See the worker's log; then start again, smaller if memory was short, or fork the last checkpoint.",
  storage_error: "See that the disk of the service is not full and is healthy. What was stored before is still there: then start again, or fork the last checkpoint.",
  internal_error: "This is a fault of the service, not of the job: its log names this job. Starting again may help; other settings may avoid it.",
};

/** Why a job failed, and what to do about it. */
export function inAdvice({ error: { code, message, epoch }, id, kind, resolved }) {
  const where = epoch ? ` in epoch ${count(epoch)}` : "";
  const again = (to, text) => el("li", {}, el("a", { href: `#/again/${id}${to}` }, text));
  const slower = code === "diverged" ? [again("/slower", `Start again with a learning rate of ${tenth(resolved.training.optimizer.learning_rate)}`)] : [];
  const ways = kind === "training" ? [el("ul", { class: "links" }, ...slower, again("", "Start again with other settings"))] : [];
  return [el("p", {}, el("strong", {}, message), ` (${code}${where})`), el("p", { class: "advice" }, ADVICE[code] ?? "See the worker's log for what happened."), ...ways];
}

/** The last epochs, newest first. */
export function fillEpochs(table, epochs) {
  const metrics = Object.keys(epochs[0]?.metrics ?? {});
  const heads = ["Epoch", "Train loss", "Validation loss", ...metrics];
  const cells = (one) => [one.train_loss, one.validation_loss, ...metrics.map((name) => one.metrics[name])].map(figure);
  const lines = [...epochs].reverse().map((one) =>
    el("tr", {}, el("th", { scope: "row" }, count(one.epoch)), ...cells(one).map((cell) => el("td", { class: "number" }, cell))));
  table.replaceChildren(
    el("caption", {}, epochs.length ? "Newest first." : "No epoch has ended."),
    el("thead", {}, el("tr", {}, ...heads.map((head, i) => el("th", { scope: "col", class: i ? "number" : null }, head)))),
    el("tbody", {}, ...lines));
  table.tHead.hidden = !epochs.length;
}

/** What is trained, in short. */
export function fillFacts(list, { resolved, best, created_at, parent_job_id, parent_epoch, kind, attempt }) {
  const { network, training, validation } = resolved;
  const widths = [network.input_width, ...network.hidden_layers.map((layer) => layer.units), network.output_width];
  const bestLoss = best && (best.validation_loss ?? best.train_loss);
  const parent = () => el("span", {}, el("a", { href: `#/jobs/${parent_job_id}` }, "an earlier job"), kind === "verification" ? ", trained again" : `, from epoch ${count(parent_epoch ?? 0)} on`);
  const facts = [
    ["Target", `${resolved.target.join(", ")} (${resolved.task})`],
    ["Rows", `${count(resolved.n_train_rows)} to train` + (validation ? `, ${count(resolved.n_validation_rows)} to validate` : "")],
    ["Network", `${widths.map(count).join(" → ")}; ${count(resolved.n_parameters)} parameters`],
    ["Optimizer", `${training.optimizer.name.replaceAll("_", " ")}, learning rate ${training.optimizer.learning_rate}`],
    ["Loss", training.loss.replaceAll("_", " ")],
    ["Best", best ? `${figure(bestLoss)} in epoch ${count(best.epoch)}` : "–"],
    ["Created", when(created_at)],
    ...(attempt > 1 ? [["Attempts", count(attempt)]] : []),
    ...(parent_job_id ? [["From", parent()]] : []),
  ];
  refill(list, ...facts.flatMap(([term, fact]) => [el("dt", {}, term), el("dd", {}, fact)]));
}

/** What came out when a job was trained again. */
export function inVerification({ answer, first_epoch, epochs, differences }) {
  const said = {
    identical: `Identical: all ${count(epochs)} epochs and the weights, to the last bit.`,
    differs: `It differs${first_epoch === null ? "" : ` from epoch ${count(first_epoch)} on`}, though the machines do not.`,
    other_class: `It differs${first_epoch === null ? "" : ` from epoch ${count(first_epoch)} on`}, as it may: the machines do, too.`,
  };
  const other = differences.map(({ name, then, now }) => el("li", {}, `${name}: ${JSON.stringify(then)}, now ${JSON.stringify(now)}`));
  return [el("p", {}, el("strong", {}, said[answer] ?? answer)), other.length ? el("ul", {}, ...other) : ""];
}

/** The stored states of a job. */
export function fillCheckpoints(table, items) {
  const heads = ["State", "Epoch", "Size", "Stored", "Weights"];
  const formats = (weights) => ["npz", "safetensors", "onnx", "json"].map((format) => el("a", { href: `${weights}?format=${format}`, download: "" }, format));
  const lines = items.map(({ kind, epoch, size_bytes, at, weights }) => el("tr", {},
    el("th", { scope: "row" }, kind), el("td", {}, count(epoch)), el("td", {}, size(size_bytes)), el("td", { class: "wide" }, when(at)),
    el("td", {}, el("span", { class: "links" }, ...formats(weights)))));
  refill(table,
    el("caption", {}, items.length ? "Newest first. The latest is what the job goes on from." : "None is stored yet."),
    el("thead", {}, el("tr", {}, ...heads.map((head, i) => el("th", { scope: "col", class: i === 3 ? "wide" : null }, head)))),
    el("tbody", {}, ...lines));
  table.tHead.hidden = !items.length;
}
