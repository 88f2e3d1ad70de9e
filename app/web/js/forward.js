const ACTIVATIONS = {
  tanh: Math.tanh,
  relu: (z) => Math.max(0, z),
  sigmoid: (z) => 1 / (1 + Math.exp(-z)),
  softplus: (z) => Math.log1p(Math.exp(-Math.abs(z))) + Math.max(0, z),
  linear: (z) => z,
};

/** The activations that this page can compute. */
export const COMPUTED = Object.keys(ACTIVATIONS).filter((name) => name !== "linear");

/** What each unit says of one point, layer by layer: a^l = act(W^l a^(l-1) + b^l). */
export function feedForward(layers, activations, point) {
  const said = [];
  let a = point;
  layers.forEach(({ weight, bias }, depth) => {
    const act = ACTIVATIONS[activations[depth]];
    const before = a;
    a = weight.map((row, unit) => act(row.reduce((sum, w, i) => sum + w * before[i], bias?.[unit] ?? 0)));
    said.push(a);
  });
  return said;
}

/** What each unit says at the points of an even grid: a list of units, each a list of `side * side` values, row by row. */
export function overPlane(layers, activations, side, edge) {
  const units = layers.map(({ weight }) => weight.map(() => new Float32Array(side * side)));
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const point = [((column + 0.5) / side * 2 - 1) * edge, (1 - (row + 0.5) / side * 2) * edge];
      feedForward(layers, activations, point).forEach((layer, depth) => layer.forEach((a, unit) => (units[depth][unit][row * side + column] = a)));
    }
  }
  return units;
}
