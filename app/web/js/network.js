import { el, svg } from "./elements.js";
import { count } from "./words.js";

const MOST_UNITS = 8;
const HEIGHT = 210, TOP = 14, BOTTOM = 44;

/** A network drawn with its widths, and the same as a table. Of a wide layer some units stand for all. `width` is that of the place, so that words stay legible. */
export function drawNetwork({ input_width, hidden_layers, output_activation, output_width, bias }, width = 440) {
  const x = (i, n) => 40 + (i / (n - 1)) * (width - 80);
  const layers = [
    { name: "inputs", units: input_width, kind: "" },
    ...hidden_layers.map((layer) => ({ name: layer.activation.replaceAll("_", " "), units: layer.units, kind: "hidden", ...layer })),
    { name: output_activation, units: output_width, kind: "output" },
  ];
  const dots = layers.map((layer, i) => positions(layer.units, x(i, layers.length)));
  const lines = dots.slice(1).flatMap((after, i) => dots[i].flatMap((from) => after.map((to) => svg("line", { x1: from.x, y1: from.y, x2: to.x, y2: to.y }))));
  const units = dots.flatMap((layer, i) => layer.map(({ x, y }) => svg("circle", { class: layers[i].kind, cx: x, cy: y, r: 6 })));
  const words = layers.flatMap((layer, i) => [
    svg("text", { class: "width", x: x(i, layers.length), y: HEIGHT - 24, "text-anchor": "middle" }, (layer.units > MOST_UNITS ? "⋮ " : "") + count(layer.units)),
    svg("text", { x: x(i, layers.length), y: HEIGHT - 8, "text-anchor": "middle" }, layers.length * 64 > width ? "" : layer.name),
  ]);
  const label = `Network: ${layers.map((layer) => count(layer.units)).join(" → ")} units`;
  return el("figure", { class: "network" },
    svg("svg", { role: "img", "aria-label": label, viewBox: `0 0 ${width} ${HEIGHT}` }, svg("g", {}, ...lines), ...units, ...words),
    el("details", {}, el("summary", {}, "The network as a table"), table(layers, bias)));
}

function positions(units, x) {
  const shown = Math.min(units, MOST_UNITS), gap = Math.min(28, (HEIGHT - TOP - BOTTOM) / Math.max(1, shown));
  const middle = (HEIGHT - BOTTOM + TOP) / 2;
  return Array.from({ length: shown }, (_, i) => ({ x, y: middle + (i - (shown - 1) / 2) * gap }));
}

function table(layers, bias) {
  const heads = ["Layer", "Units", "Activation", "Dropout", "Batch norm", "Parameters"];
  const lines = layers.map((layer, i) => {
    const from = layers[i - 1]?.units;
    const own = i ? layer.units * (from + (bias ? 1 : 0) + (layer.batch_norm ? 2 : 0)) : 0;
    const cells = [count(layer.units), i ? layer.name : "–", layer.dropout ? String(layer.dropout) : "–", layer.batch_norm ? "yes" : "–", count(own)];
    return el("tr", {}, el("th", { scope: "row" }, i === 0 ? "inputs" : i === layers.length - 1 ? "outputs" : `hidden ${i}`), ...cells.map((cell) => el("td", {}, cell)));
  });
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Layers of the network" }, el("table", { class: "dense" }, el("caption", {}, "From the input to the output."),
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, ...lines)));
}
