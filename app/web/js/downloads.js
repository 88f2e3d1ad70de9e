import { el } from "./elements.js";
import { figure } from "./words.js";

const FILES = [
  ["onnx", "The whole model as ONNX"],
  ["npz", "Weights for NumPy (.npz)"],
  ["safetensors", "Weights as safetensors"],
  ["json", "Weights as JSON"],
];

/** What can be had of a model, as files. */
export function downloads(modelId) {
  const path = `/v1/models/${modelId}`;
  const link = (href, text) => el("li", {}, el("a", { href: path + href, download: "" }, text));
  return el("ul", { class: "links" }, ...FILES.map(([format, text]) => link(`/weights.${format}`, text)), link("/card", "Model card"));
}

/** Which of the files were checked, with what, and how far they were from the engine. */
export function checkedFiles(verified) {
  const lines = FILES.map(([format]) => {
    const found = verified[format];
    const said = !found ? "not yet: it is checked before it is first handed out"
      : `${found.ok ? "agrees" : "does not agree: not handed out"}, by ${found.library} ${found.version}` + (found.max_difference === null ? "" : `; largest difference ${figure(found.max_difference)} over ${found.n_rows} rows`);
    return [el("dt", {}, format), el("dd", {}, found ? el("span", { class: "status", "data-status": found.ok ? "succeeded" : "failed" }, found.ok ? "verified" : "wrong") : "", found ? ` ${said}` : said)];
  });
  return el("dl", { class: "verified" }, ...lines.flat());
}
