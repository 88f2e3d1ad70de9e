import { ask } from "./wire.js";

const MAX_POINTS = 500;
const STILL_MS = 200;

/**
 * Ask for the epochs that a thinned-out history leaves out, where a chart is zoomed in.
 *
 * `histories` are pairs of a history and the path of its job. Gives what is to be called with each new range; null is everything.
 */
export function detailOf(histories, drawn, signal) {
  let wanted = null, still = 0;
  return (range) => {
    clearTimeout(still);
    wanted = range;
    if (range) still = setTimeout(() => fetchAll(range).catch((error) => signal.aborted || !error.faults || drawn()), STILL_MS);
    else histories.forEach(([history]) => history.refine(null));
  };

  async function fetchAll(range) {
    const [first, last] = range;
    await Promise.all(histories.filter(([history]) => history.isCoarse(range)).map(async ([history, path]) => {
      const { items } = await ask(`${path}/epochs?after=${first - 1}&until=${last}&max_points=${MAX_POINTS}`, { signal });
      if (wanted === range && items.length) history.refine(range, items);
    }));
    drawn();
  }
}
