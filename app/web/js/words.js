export const TERMINAL = new Set(["succeeded", "failed", "cancelled"]);

export const STOPPED_BECAUSE = {
  completed: "every epoch was trained",
  early_stopping: "the loss did not get better any more",
  max_seconds: "its time was over",
  cancelled: "it was cancelled",
  converged: "it converged",
  diverged: "it diverged",
};

/** 20000 → 20,000 */
export const count = (n) => n.toLocaleString("en");

/** 0.41 → 41 %, on one line */
export const percent = (fraction) => `${Math.floor(100 * fraction)}\u00a0%`;

/** A loss or a metric in four digits; null is a dash. */
export function figure(x) {
  if (x === null || x === undefined) return "–";
  const size = Math.abs(x);
  if (x === 0) return "0";
  if (size < 1e-3 || size >= 1e5) return x.toExponential(2);
  return x.toFixed(Math.min(4, Math.max(0, 3 - Math.floor(Math.log10(size)))));
}

/** A value of a column, in six digits at most: 32.1, not 32.10. */
export const value = (x) => (Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(6))));

/** A probability, on one line: neither 0 nor all of it unless it is. */
export function chance(share) {
  if (share > 0 && share < 0.001) return "< 0.1\u00a0%";
  if (share < 1 && share >= 0.999) return "> 99.9\u00a0%";
  return share < 0.1 || share > 0.9 ? `${Number((100 * share).toFixed(1))}\u00a0%` : percent(share);
}

/** A tenth of it, in a few digits. */
export const tenth = (x) => Number((x / 10).toPrecision(6));

export function duration(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return `${Math.round(seconds)}\u00a0s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}\u00a0min`;
  return `${(seconds / 3600).toFixed(1)}\u00a0h`;
}

export const when = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

export function size(bytes) {
  const power = Math.min(3, Math.floor(Math.log10(bytes || 1) / 3));
  return `${(bytes / 1000 ** power).toFixed(power && 1)}\u00a0${["bytes", "kB", "MB", "GB"][power]}`;
}
