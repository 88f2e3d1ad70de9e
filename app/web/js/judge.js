import { el, tell, write } from "./elements.js";
import { showEvaluation } from "./evaluation.js";
import { showImportance, showLosses } from "./importance.js";
import { count } from "./words.js";
import { ask } from "./wire.js";

const HARDEST = 20;
const METRICS = {
  classification: ["loss", "accuracy", "balanced_accuracy", "roc_auc", "log_loss"],
  regression: ["loss", "rmse", "mae", "r2"],
};

/** How good a model is on a dataset: its metrics, what each column matters, and the rows that it finds hardest; each when asked for. */
export function judging({ id, dataset_id, task }, signal) {
  const choice = el("select", { id: "on" });
  const metric = el("select", { id: "metric" }, ...METRICS[task].map((name) => el("option", { value: name }, name.replaceAll("_", " "))));
  const body = (more = {}) => ({ dataset_id: choice.value, ...more });
  const parts = [
    newPart("Evaluate", "evaluate", "Evaluation", () => body(), showEvaluation),
    newPart("Hardest rows", "losses", "Rows", () => body({ limit: HARDEST }), (found) => [showLosses(found)]),
    newPart("Importance of the columns", "importance", "Importance", () => body({ metric: metric.value }), (found) => [showImportance(found)]),
  ];
  const [evaluate, losses, importance] = parts;
  const buttons = (isOff) => parts.forEach(({ button }) => (button.disabled = isOff));
  buttons(true); // until it is known which datasets there are
  ask("/v1/datasets?limit=100", { signal }).then(({ items }) => {
    const own = items.some((one) => one.id === dataset_id);
    const named = (one) => el("option", { value: one.id, selected: one.id === dataset_id }, `${one.name}, ${count(one.n_rows)} rows${one.id === dataset_id ? " (trained on it)" : ""}`);
    choice.append(...(own || !dataset_id ? [] : [el("option", { value: dataset_id }, "the one it was trained on")]), ...items.map(named));
    buttons(!choice.options.length);
  }, () => {});
  return el("section", { "aria-labelledby": "evaluate" }, el("h2", { id: "evaluate" }, "How good is it?"),
    el("p", { class: "line" }, el("label", { for: "on" }, "Dataset"), choice),
    el("div", { class: "line" }, evaluate.button, losses.button, importance.button, el("span", { class: "pair" }, el("label", { for: "metric" }, "for "), metric)),
    ...parts.map((part) => part.element));

  /** A button, and what the service answers to it. */
  function newPart(label, verb, name, request, shown) {
    const button = el("button", { type: "button", class: verb === "evaluate" ? "button" : null, onclick: () => run() }, label);
    const state = el("p", { class: "quiet", role: "status" });
    const alert = el("div", { role: "alert" });
    const result = el("div", { class: "judged", role: "region", "aria-label": name, "aria-live": "polite" });
    async function run() {
      button.disabled = true;
      alert.replaceChildren();
      write(state, `${label}: looking at the rows …`);
      try {
        result.replaceChildren(...shown(await ask(`/v1/models/${id}/${verb}`, { method: "POST", json: request(), signal })));
      } catch (error) {
        if (signal.aborted) return;
        if (!error.faults) throw error;
        result.replaceChildren();
        tell(alert, error);
      }
      write(state, "");
      button.disabled = false;
    }
    return { button, element: el("div", {}, state, alert, result) };
  }
}
