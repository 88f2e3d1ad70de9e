import { Chart } from "./chart.js";
import { el, tell, write } from "./elements.js";
import { asNumber, asNumbers, blameFields, newField } from "./fields.js";
import { COMPUTED, feedForward, overPlane } from "./forward.js";
import { History } from "./history.js";
import { COARSE, colours, drawDecision, drawNeurons, FINE } from "./plane.js";
import { CLASSES, EDGE, toy, TOYS } from "./toys.js";
import { count, figure, percent, TERMINAL } from "./words.js";
import { ask, insist, pause, Problem } from "./wire.js";

const FRAMES = 60;
const POLL_MS = 200, FRAME_MS = 60;
const AT_ONCE = 6;
const TABLE = 5;
const MOST_LAYERS = 5, MOST_UNITS = 12;

/** A network of two inputs as it learns: jobs of the service keep checkpoints, and their weights are drawn. */
export async function showPlayground(place, _id, signal, ready) {
  document.title = "Playground — Descent";
  const alert = el("div", { role: "alert" });
  const fields = newFields();
  const [shape, noise, ...described] = fields;
  const train = el("button", { type: "submit" }, "Train");
  const more = el("button", { type: "button", disabled: true, onclick: () => run(goOn) }, "Train on");
  const play = el("button", { type: "button", disabled: true, onclick: () => replay() }, "Play again");
  const slider = el("input", { type: "range", min: 0, max: 0, value: 0, disabled: true, "aria-label": "Checkpoint", oninput: () => show(slider.valueAsNumber) });
  const said = el("p", { class: "quiet" }, "Not trained yet.");
  const decision = el("canvas", { role: "img", "aria-label": "The points" });
  const neurons = el("canvas", { role: "img", "aria-label": "The neurons, before training" });
  const table = el("table", { class: "dense" });
  const state = el("p", { class: "quiet", role: "status" });
  const history = new History();
  const of = (name) => ({ name, kind: name, points: () => history.of((epoch) => epoch[`${name}_loss`]) });
  const curve = new Chart({ label: "Loss", series: [of("train"), of("validation")] });
  curve.element.hidden = true;
  const figures = el("details", { hidden: true }, el("summary", {}, "The decision as a table"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The decision as a table" }, table));
  const seen = el("figure", { hidden: true }, el("figcaption", {}, el("strong", {}, "What each neuron sees")), neurons);
  const form = el("form", { novalidate: true, onsubmit: (event) => (event.preventDefault(), run(begin)), onchange: drawPoints },
    el("div", { class: "fields narrow" }, ...fields.map((field) => field.element)), alert, el("span", { class: "verbs" }, train, more), state);
  place.append(
    el("h1", { tabindex: -1 }, "Playground"),
    el("p", {}, "A network with two inputs, watched while it learns. The service trains it and keeps checkpoints; this page draws their weights."),
    form,
    el("div", { class: "watch" },
      el("figure", {}, el("figcaption", {}, el("strong", {}, "What it decides")), decision),
      seen),
    el("div", { class: "line scrub" }, play, slider, said),
    figures,
    curve.element);
  ready();
  let points = null, frames = [], job = null, activations = [], playing = 0;
  drawPoints();
  new ResizeObserver(() => show(slider.valueAsNumber)).observe(decision);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(slider.valueAsNumber), { signal });

  function drawPoints() {
    const level = Number(noise.input.value);
    const now = toy(shape.input.value, 200, Number.isFinite(level) ? Math.min(1, Math.max(0, level)) : 0);
    if (JSON.stringify(now) === JSON.stringify(points)) return;
    points = now;
    frames = [];
    show(0);
  }

  /** Submit a job and draw it; one at a time. */
  async function run(submit) {
    train.disabled = more.disabled = true;
    alert.replaceChildren();
    blameFields(described, []);
    try {
      job = await submit();
      await watch();
    } catch (error) {
      if (signal.aborted) return;
      if (!error.faults) throw error;
      const { blamed, rest } = blameFields(described, error.faults);
      tell(alert, error, rest);
      blamed[0]?.input.focus();
      write(state, "");
    }
    train.disabled = false;
    more.disabled = !frames.length;
  }

  async function begin() {
    drawPoints();
    const [layers, activation, name, rate, epochs] = described.map((field) => field.read());
    if (layers.length > MOST_LAYERS || layers.some((units) => units > MOST_UNITS)) {
      const message = `Up to ${MOST_LAYERS} layers of ${MOST_UNITS} units can be drawn.`;
      throw new Problem({ title: "This network is too large for the playground.", errors: [{ pointer: "/network/hidden_layers", message }] });
    }
    const every = Math.max(1, Math.ceil(epochs / FRAMES)) || 1;
    const made = await ask("/v1/jobs", { method: "POST", signal, json: {
      name: `Playground: ${shape.input.value}`, tags: { from: "playground" }, data: points, preprocessing: { numeric: "none" },
      network: { hidden_layers: layers, activation },
      training: { epochs, batch_size: 16, optimizer: { name, learning_rate: rate }, keep_checkpoints: { every_epochs: every, most: 100 } },
    } });
    frames = [];
    history.begin([]);
    return made;
  }

  async function goOn() {
    const { epochs } = job.resolved.training;
    return ask(`/v1/jobs/${job.id}/fork`, { method: "POST", signal, json: { training: { epochs: epochs + asNumber(described.at(-1).input.value) } } });
  }

  /** Draw each checkpoint as it comes, until the job has ended. */
  async function watch() {
    const { network } = job.resolved, path = `/v1/jobs/${job.id}`;
    activations = [...network.hidden_layers.map((layer) => layer.activation), network.output_activation];
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const start = frames.at(-1)?.epoch ?? 0;
    for (let hasEnded = false; !hasEnded; ) {
      hasEnded = TERMINAL.has((job = await insist(path, signal)).status);
      if (!hasEnded) write(state, `${job.status}: epoch ${count(job.progress.epoch)} of ${count(job.progress.epochs)}`);
      const { items } = await insist(`${path}/checkpoints`, signal);
      const fresh = items.filter((one) => one.kind === "kept" && one.epoch > (frames.at(-1)?.epoch ?? 0)).reverse();
      for (let done = 0; done < fresh.length; done += AT_ONCE) {
        const got = await Promise.all(fresh.slice(done, done + AT_ONCE).map(async ({ epoch, weights }) => ({ epoch, layers: (await insist(`${weights}?format=json`, signal)).layers })));
        for (const frame of got) {
          frames.push(frame);
          slider.max = frames.length - 1;
          if (!calm) show(frames.length - 1);
          await drawn();
        }
        if (hasEnded) write(state, `${job.status}: its weights are drawn, ${count(frames.length)} of ${count(frames.length + fresh.length - done - got.length)}`);
      }
      const { items: epochs } = await insist(`${path}/epochs?after=${Math.max(start, history.tip?.epoch ?? 0)}&limit=1000`, signal);
      history.add(epochs);
      curve.element.hidden = !history.tip;
      curve.ask();
      if (!hasEnded) await pause(POLL_MS, signal);
    }
    write(state, job.error ? `${job.error.message} (${job.error.code})` : `${job.status}: epoch ${count(job.progress.epoch)} of ${count(job.progress.epochs)}`);
    slider.disabled = play.disabled = !frames.length;
    show(frames.length - 1);
  }

  async function replay() {
    const mine = ++playing;
    for (let i = 0; i < frames.length && mine === playing; i++) {
      show(i);
      await pause(FRAME_MS, signal);
    }
  }

  function show(i) {
    const frame = frames[i], palette = colours();
    slider.value = Math.max(0, i);
    seen.hidden = figures.hidden = !frame;
    if (!frame) {
      drawDecision(decision, null, points, palette);
      neurons.getContext("2d").clearRect(0, 0, neurons.width, neurons.height);
      slider.disabled = play.disabled = true;
      write(said, "Not trained yet.");
      return;
    }
    drawDecision(decision, overPlane(frame.layers, activations, FINE, EDGE).at(-1)[0], points, palette);
    drawNeurons(neurons, frame.layers, overPlane(frame.layers, activations, COARSE, EDGE), palette);
    const decide = (point) => feedForward(frame.layers, activations, point).at(-1)[0];
    const right = points.inputs.filter((point, n) => (decide(point) >= 0.5) === (points.targets[n] === CLASSES[1])).length;
    write(said, `Epoch ${count(frame.epoch)}: ${percent(right / points.inputs.length)} of the points are on their side.`);
    decision.setAttribute("aria-label", `The decision after epoch ${frame.epoch}: ${percent(right / points.inputs.length)} of the points are on their side`);
    neurons.setAttribute("aria-label", `The neurons after epoch ${frame.epoch}`);
    fillDecision(table, decide);
  }
}

const drawn = () => new Promise((resolve) => setTimeout(resolve)); // the screen has its turn

function newFields() {
  const needed = (field) => newField({ ...field, isNeeded: true });
  return [
    needed({ pointer: "/playground/shape", label: "Points", options: TOYS, value: TOYS[0] }),
    needed({ pointer: "/playground/noise", label: "Noise", value: "0.1", mode: "decimal" }),
    needed({ pointer: "/network/hidden_layers", label: "Hidden layers", value: "6, 4", write: asNumbers }),
    needed({ pointer: "/network/activation", label: "Activation", options: COMPUTED, value: "tanh" }),
    needed({ pointer: "/training/optimizer/name", label: "Optimizer", options: ["adam", "momentum", "gradient_descent"], value: "adam" }),
    needed({ pointer: "/training/optimizer/learning_rate", label: "Learning rate", value: "0.01", mode: "decimal" }),
    needed({ pointer: "/training/epochs", label: "Epochs", value: "120", mode: "numeric" }),
  ];
}

/** The probability of the second class at some points of the plane. */
function fillDecision(table, decide) {
  const marks = Array.from({ length: TABLE }, (_, i) => Number((((2 * i) / (TABLE - 1) - 1) * 1.5).toFixed(2)));
  table.replaceChildren(
    el("caption", {}, `Probability of ${CLASSES[1]}, by x0 (across) and x1 (down).`),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "x1 ↓ x0 →"), ...marks.map((x) => el("th", { scope: "col", class: "number" }, String(x))))),
    el("tbody", {}, ...[...marks].reverse().map((y) => el("tr", {}, el("th", { scope: "row" }, String(y)), ...marks.map((x) => el("td", { class: "number" }, figure(decide([x, y]))))))));
}
