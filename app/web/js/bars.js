import { el, svg } from "./elements.js";

const WIDTH = 160, HEIGHT = 14;

/** A bar from nothing to a value, on a scale from `low` to `high`, with its spread; the figures stand beside it. */
export function bar(value, spread, [low, high]) {
  const x = (at) => ((Math.min(high, Math.max(low, at)) - low) / (high - low || 1)) * WIDTH;
  if (value === null) return el("span");
  const [left, right] = [x(Math.min(0, value)), x(Math.max(0, value))];
  const whisker = spread ? [svg("line", { x1: x(value - spread), x2: x(value + spread), y1: HEIGHT / 2, y2: HEIGHT / 2 })] : [];
  return svg("svg", { class: value < 0 ? "bar below" : "bar", "aria-hidden": "true", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT },
    svg("rect", { x: left, width: Math.max(1, right - left), y: 2, height: HEIGHT - 4 }), svg("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: HEIGHT }), ...whisker);
}

/** The scale on which all of them fit, nothing among them. */
export function scaleOf(values, spreads = []) {
  const ends = values.flatMap((value, i) => (value === null ? [] : [value - (spreads[i] ?? 0), value + (spreads[i] ?? 0)]));
  return [Math.min(0, ...ends), Math.max(0, ...ends)];
}
