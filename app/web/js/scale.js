/** Lowest and highest value of a picture, and the values that are marked. A part that is looked at closely need not show 0. */
export function scale(values, isLog, isClose = false) {
  const least = values.reduce((a, b) => Math.min(a, b), Infinity), most = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!values.length) return [isLog ? 1 : 0, isLog ? 10 : 1, []];
  if (!isLog) {
    const room = isClose ? 0.05 * (most - least) : 0;
    const low = room ? least - room : Math.min(0, least);
    const high = most + room > low ? most + room : low + 1;
    return [low, high, ticks(low, high, 5)];
  }
  const powers = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))];
  const every = Math.ceil((powers[1] - powers[0]) / 6) || 1;
  const decades = Array.from({ length: Math.floor((powers[1] - powers[0]) / every) + 1 }, (_, i) => powers[0] + i * every);
  const steps = decades.length > 2 ? [1] : [1, 2, 5];
  const high = most > least ? most : least * 10;
  const marks = decades.flatMap((power) => steps.map((step) => step * 10 ** power));
  const inside = marks.filter((mark) => mark >= least && mark <= high);
  return [least, high, inside.length > 1 ? inside : ticks(least, high, 4)];
}

/** Round numbers between two others, about so many. */
export function ticks(low, high, about) {
  const raw = (high - low) / Math.max(1, about), power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const all = [];
  for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-9); i++) all.push(Number((i * step).toPrecision(12)));
  return all;
}

/** The running mean of values, each weighing `amount` times as much as the next; 0 leaves them as they are. */
export function smooth(points, amount) {
  let mean = 0, weight = 0;
  return points.map(([x, y]) => {
    mean = amount * mean + (1 - amount) * y;
    weight = amount * weight + (1 - amount);
    return [x, mean / weight];
  });
}

export const short = (x) => (x !== 0 && (Math.abs(x) < 1e-4 || Math.abs(x) >= 1e5) ? Number(x.toPrecision(3)).toExponential() : String(Number(x.toPrecision(6))));
