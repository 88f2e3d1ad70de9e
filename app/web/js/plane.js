import { CLASSES, EDGE } from "./toys.js";

export const FINE = 64, COARSE = 20;

/** The colours of the style sheet, as they are now: of low values, of high ones, and between them. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const rgb = (name) => [1, 3, 5].map((at) => parseInt(style.getPropertyValue(name).trim().slice(at, at + 2), 16));
  return { low: rgb("--cold"), high: rgb("--warm"), middle: rgb("--middle"), ink: style.getPropertyValue("--ink").trim() };
}

/** Values from -1 to 1 as a picture of `side * side` pixels. */
export function heat(values, side, { low, high, middle }) {
  const picture = document.createElement("canvas");
  picture.width = picture.height = side;
  const image = new ImageData(side, side);
  values.forEach((value, i) => {
    const share = Math.min(1, Math.abs(value)), end = value < 0 ? low : high;
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = middle[c] + share * (end[c] - middle[c]);
    image.data[4 * i + 3] = 255;
  });
  picture.getContext("2d").putImageData(image, 0, 0);
  return picture;
}

/** Draw what the network decides over the plane, and the points it learns from. */
export function drawDecision(canvas, probabilities, { inputs, targets }, palette) {
  const size = fit(canvas, 1), context = canvas.getContext("2d");
  if (probabilities) context.drawImage(heat(probabilities.map((p) => 1.6 * (p - 0.5)), FINE, palette), 0, 0, size, size);
  inputs.forEach(([x, y], i) => {
    const colour = targets[i] === CLASSES[1] ? palette.high : palette.low;
    context.beginPath();
    context.arc((x / EDGE + 1) / 2 * size, (1 - y / EDGE) / 2 * size, size / 90, 0, 7);
    context.fillStyle = `rgb(${colour})`;
    context.fill();
    context.strokeStyle = `rgb(${palette.middle})`;
    context.lineWidth = size / 300;
    context.stroke();
  });
}

/** Draw each hidden unit as what it says over the plane, and the weights between them: thick is strong, colour is the sign. */
export function drawNeurons(canvas, layers, units, palette) {
  const most = Math.max(...layers.map(({ weight }) => weight.length), 2);
  const width = fit(canvas, 0.75), height = width * 0.75, context = canvas.getContext("2d");
  const unit = Math.min(width / (layers.length + 1) / 1.7, height / most / 1.2, width / 7);
  const x = (depth) => unit / 2 + (depth / layers.length) * (width - unit);
  const y = (i, n) => height / 2 + (i - (n - 1) / 2) * Math.min(unit * 1.25, height / n);
  layers.forEach(({ weight }, depth) => weight.forEach((row, to) => row.forEach((w, from) => {
    context.beginPath();
    context.moveTo(x(depth) + unit / 2, y(from, row.length));
    context.lineTo(x(depth + 1) - unit / 2, y(to, weight.length));
    context.strokeStyle = `rgb(${w < 0 ? palette.low : palette.high})`;
    context.globalAlpha = 0.75;
    context.lineWidth = Math.min(unit / 8, Math.abs(w) * unit / 30 + 0.3);
    context.stroke();
  })));
  context.globalAlpha = 1;
  const inputs = [0, 1].map((axis) => Float32Array.from({ length: COARSE ** 2 }, (_, i) => (axis ? 1 - (Math.floor(i / COARSE) + 0.5) / COARSE * 2 : ((i % COARSE) + 0.5) / COARSE * 2 - 1)));
  [inputs, ...units].forEach((layer, depth) => layer.forEach((values, i) => {
    const isOutput = depth === layers.length, strongest = isOutput ? 1 : values.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-6);
    const shown = values.map((value) => (isOutput ? 2 * value - 1 : value / strongest));
    const [left, top] = [x(depth) - unit / 2, y(i, layer.length) - unit / 2];
    context.drawImage(heat(shown, COARSE, palette), left, top, unit, unit);
    context.strokeStyle = palette.ink;
    context.lineWidth = 1;
    context.strokeRect(left, top, unit, unit);
  }));
}

/** Give a canvas as many pixels as it has on the screen. */
function fit(canvas, ratio) {
  const width = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  canvas.width = width;
  canvas.height = Math.round(width * ratio);
  canvas.getContext("2d").imageSmoothingEnabled = true;
  return width;
}
