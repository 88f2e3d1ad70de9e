import { Chart } from "./chart.js";
import { detailOf } from "./detail.js";
import { downloads } from "./downloads.js";
import { el, tell, write } from "./elements.js";
import { fillCheckpoints, fillEpochs, fillFacts, inAdvice, inVerification } from "./facts.js";
import { History } from "./history.js";
import { drawNetwork } from "./network.js";
import { Verbs } from "./verbs.js";
import { count, duration, percent, STOPPED_BECAUSE, TERMINAL } from "./words.js";
import { ask, hear, pause, whileVisible } from "./wire.js";

const POLL_MS = 1000;
const MAX_POINTS = 500;
const RECENT = 8;

/** One job: how it goes, its curves, and what can be had of it. */
export async function showJob(place, id, signal, ready) {
  const path = `/v1/jobs/${id}`;
  const connection = document.getElementById("connection");
  let job = await ask(path, { signal });
  let epoch = job.progress.epoch;
  let recent = [];
  const history = new History();

  const status = el("span", { class: "status", role: "status" });
  const far = el("p", { class: "quiet" });
  const bar = el("progress", { max: 1, "aria-label": "Progress" });
  const alert = el("div", { role: "alert" }), failure = el("div", { role: "alert" });
  const verified = el("div", { role: "status" });
  const verbs = new Verbs(path, alert, signal, show);
  const { loss, others } = charts(history, () => job);
  loss.onzoom = detailOf([[history, path]], () => loss.ask(), signal);
  const curves = el("div", { class: "curves" }, loss.element, el("div", { class: "columns" }, ...others.map((chart) => chart.element)));
  const last = el("table", { class: "dense" });
  const facts = el("dl");
  const model = el("section", { "aria-labelledby": "model", hidden: true });
  const states = el("table", { class: "dense" });
  const kept = el("details", { ontoggle: () => kept.open && showStates().catch((error) => signal.aborted || tell(alert, error)) }, el("summary", {}, "Checkpoints"), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Stored states" }, states));
  const spec = el("details", {}, el("summary", {}, "Every setting, with defaults filled in"), el("pre", { tabindex: 0 }, JSON.stringify(job.resolved, null, 2)));
  place.append(
    el("h1", { tabindex: -1 }, job.name),
    el("div", { class: "headline" }, el("div", { class: "row" }, el("p", {}, status), far, verbs.element), bar),
    verbs.form, alert, failure, verified, curves, model,
    el("div", { class: "columns" },
      el("section", { "aria-labelledby": "last" }, el("h2", { id: "last" }, "Last epochs"), last),
      el("section", { "aria-labelledby": "facts" }, el("h2", { id: "facts" }, "What is trained"), facts, drawNetwork(job.resolved.network))),
    el("section", {}, kept, spec));
  show(job);
  ready();
  await Promise.all([poll(), follow()]);

  async function showStates() {
    const { items } = await ask(`${path}/checkpoints`, { signal });
    fillCheckpoints(states, items);
  }

  async function poll() {
    while (!TERMINAL.has(job.status)) {
      await pause(POLL_MS, signal);
      await ask(path, { signal }).then(show, lost);
      if (kept.open) await showStates().catch(lost);
    }
  }

  async function follow() {
    for (;;) {
      const heard = whileVisible(signal);
      try {
        const hasEnded = TERMINAL.has(job.status);
        const { items } = await ask(`${path}/epochs?max_points=${MAX_POINTS}`, { signal: heard });
        const end = items.at(-1)?.epoch ?? 0;
        const tail = await ask(`${path}/epochs?after=${Math.max(0, end - RECENT)}&limit=${RECENT}`, { signal: heard });
        history.begin(items);
        recent = tail.items;
        advance();
        show(job);
        if (hasEnded) return;
        for await (const events of hear(`${path}/events`, end, heard)) {
          const epochs = events.filter(({ event }) => event === "epoch").map(({ value }) => value);
          history.add(epochs);
          recent = [...recent, ...epochs].slice(-RECENT);
          advance();
          const done = events.find(({ event }) => event === "done");
          if (done) return show(done.value);
        }
      } catch (error) {
        if (!heard.aborted) lost(error);
      }
      await pause(POLL_MS, signal);
    }
  }

  function lost(error) {
    signal.throwIfAborted();
    if (!error.faults || error.status === 404) throw error;
    write(connection, `${error.message} Trying again.`);
  }

  /** The stream is ahead of the job that is polled. */
  function advance() {
    epoch = Math.max(epoch, recent.at(-1)?.epoch ?? 0);
    bar.value = epoch / job.progress.epochs;
    write(far, howFar(job, epoch));
    loss.ask();
  }

  function show(now) {
    if (TERMINAL.has(job.status) && !TERMINAL.has(now.status)) return; // an answer that was overtaken
    job = now;
    const hasEnded = TERMINAL.has(job.status);
    epoch = hasEnded ? job.progress.epoch : Math.max(epoch, job.progress.epoch);
    write(connection, "");
    write(status, job.status);
    status.dataset.status = job.status;
    document.title = `${job.name}, ${job.status} — Descent`;
    advance();
    verbs.show(job);
    if (job.error && !failure.childNodes.length) failure.replaceChildren(...inAdvice(job));
    if (job.verification && !verified.childNodes.length) verified.replaceChildren(...inVerification(job.verification));
    curves.hidden = !recent.length;
    fillEpochs(last, recent);
    fillFacts(facts, job);
    if (job.model_id && model.hidden) showModel(model, job.model_id);
  }
}

/** The losses, and below them what moved the weights: the same epochs, as smooth. */
function charts(history, job) {
  const isSplit = Boolean(job().resolved.n_validation_rows);
  const of = (name, kind, figure) => ({ name, kind, points: () => history.of((epoch) => epoch[figure]) });
  const losses = [of("train", "train", "train_loss"), ...(isSplit ? [of("validation", "validation", "validation_loss")] : [])];
  const best = () => {
    const found = job().best;
    return found && { epoch: found.epoch, value: found.validation_loss ?? found.train_loss };
  };
  const loss = new Chart({ label: "Loss", series: losses, best });
  const smaller = (label, figure, isLog) => new Chart({ label, series: [of(label.toLowerCase(), "rate", figure)], follows: loss, canSmooth: false, isLog });
  const others = [smaller("Learning rate", "learning_rate", false), smaller("Gradient norm", "gradient_norm", true)];
  loss.lead(...others);
  return { loss, others };
}

function howFar({ status, progress, queue_position, stopped_because }, epoch) {
  const epochs = `epoch ${count(epoch)} of ${count(progress.epochs)}`;
  if (stopped_because) return `${epochs}; ${STOPPED_BECAUSE[stopped_because] ?? stopped_because}`;
  if (status === "queued") return queue_position > 1 ? `${count(queue_position - 1)} before it` : "next in the queue";
  const left = progress.eta_s === null || status !== "running" ? "" : `, about ${duration(progress.eta_s)} left`;
  return `${epochs} (${percent(epoch / progress.epochs)})${left}`;
}

function showModel(section, id) {
  section.hidden = false;
  section.append(
    el("h2", { id: "model" }, "The trained network"),
    el("p", {}, el("a", { class: "button", href: `#/models/${id}` }, "Predict and evaluate")),
    downloads(id));
}
