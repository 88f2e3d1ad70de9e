/** Points in the plane, of two classes, that a network can be watched on. Each function gives a point of class 0 or 1. */
const SHAPES = {
  "two moons": (random, isSecond) => {
    const angle = Math.PI * random();
    return isSecond ? [0.42 - 0.84 * Math.cos(angle), 0.3 - 0.84 * Math.sin(angle)] : [0.84 * Math.cos(angle) - 0.42, 0.84 * Math.sin(angle) - 0.3];
  },
  "two spirals": (random, isSecond) => {
    const far = Math.sqrt(0.05 + 0.95 * random()), angle = 1.5 * Math.PI * far * 1.6 + (isSecond ? Math.PI : 0);
    return [1.3 * far * Math.cos(angle), 1.3 * far * Math.sin(angle)];
  },
  "xor": (random, isSecond) => {
    const [x, y] = [0.1 + 1.1 * random(), 0.1 + 1.1 * random()], side = random() < 0.5 ? 1 : -1;
    return [side * x, side * (isSecond ? -y : y)];
  },
  "a ring": (random, isSecond) => {
    const angle = 2 * Math.PI * random(), far = isSecond ? 0.9 + 0.3 * random() : 0.55 * Math.sqrt(random());
    return [far * Math.cos(angle), far * Math.sin(angle)];
  },
};

export const TOYS = Object.keys(SHAPES);
export const CLASSES = ["blue", "orange"];
export const EDGE = 1.6; // the plane is drawn from -EDGE to EDGE

/** So many points of a shape, the same ones each time: `{inputs: [[x, y], …], targets: [class, …]}`. */
export function toy(name, n, noise) {
  const random = generator(7);
  const bell = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const inputs = Array.from({ length: n }, (_, i) => SHAPES[name](random, i % 2 === 1).map((at) => Number((at + noise * bell()).toFixed(4))));
  return { inputs, targets: inputs.map((_, i) => CLASSES[i % 2]) };
}

/** Numbers from 0 to 1 that look drawn (a linear congruential generator with Knuth's constants for 32 bits). */
function generator(seed) {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}
