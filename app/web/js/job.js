import { Curve } from "./curve.js";
import { el, tell, write } from "./elements.js";
import { count, duration, figure, percent, STOPPED_BECAUSE, TERMINAL, when } from "./words.js";
import { ask, hear, pause, whileVisible } from "./wire.js";

const POLL_MS = 1000;
const MAX_POINTS = 500;
const RECENT = 8;

/** One job: how it goes, its curve, and what can be had of it. */
export async function showJob(place, id, signal, ready) {
  const path = `/v1/jobs/${id}`;
  const connection = document.getElementById("connection");
  let job = await ask(path, { signal });
  let epoch = job.progress.epoch;
  let recent = [];

  const status = el("span", { class: "status", role: "status" });
  const far = el("p", { class: "quiet" });
  const bar = el("progress", { max: 1, "aria-label": "Progress" });
  const cancel = el("button", { type: "button", onclick: () => act("cancel") }, "Cancel");
  const hold = el("button", { type: "button", onclick: () => act(hold.dataset.verb) }, "Pause");
  const alert = el("div", { role: "alert" });
  const curve = new Curve();
  const last = el("table", { class: "dense" });
  const facts = el("dl");
  const model = el("section", { "aria-labelledby": "model", hidden: true });
  const spec = el("details", {}, el("summary", {}, "Every setting, with defaults filled in"), el("pre", { tabindex: 0 }, JSON.stringify(job.resolved, null, 2)));
  place.append(
    el("h1", { tabindex: -1 }, job.name),
    el("div", { class: "headline" }, el("div", { class: "row" }, el("p", {}, status), far, hold, cancel), bar),
    alert, curve.element, model,
    el("div", { class: "columns" },
      el("section", { "aria-labelledby": "last" }, el("h2", { id: "last" }, "Last epochs"), last),
      el("section", { "aria-labelledby": "facts" }, el("h2", { id: "facts" }, "What is trained"), facts)),
    el("section", {}, spec));
  show(job);
  ready();
  await Promise.all([poll(), follow()]);

  async function act(verb) {
    try {
      show(await ask(`${path}/${verb}`, { method: "POST", signal }));
    } catch (error) {
      if (!signal.aborted) tell(alert, error);
    }
  }

  async function poll() {
    while (!TERMINAL.has(job.status)) {
      await pause(POLL_MS, signal);
      await ask(path, { signal }).then(show, lost);
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
        curve.begin(items);
        recent = tail.items;
        advance();
        show(job);
        if (hasEnded) return;
        for await (const events of hear(`${path}/events`, end, heard)) {
          const epochs = events.filter(({ event }) => event === "epoch").map(({ value }) => value);
          curve.add(epochs);
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
    if (!error.faults) throw error;
    write(connection, `${error.message} Trying again.`);
  }

  /** The stream is ahead of the job that is polled. */
  function advance() {
    epoch = Math.max(epoch, recent.at(-1)?.epoch ?? 0);
    bar.value = epoch / job.progress.epochs;
    write(far, howFar(job, epoch));
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
    cancel.hidden = hasEnded;
    cancel.disabled = job.status === "cancelling";
    const isHeld = job.status === "paused" || job.status === "pausing";
    hold.hidden = hasEnded;
    hold.disabled = job.status === "cancelling";
    hold.dataset.verb = isHeld ? "resume" : "pause";
    write(hold, isHeld ? "Resume" : "Pause");
    if (job.error) tell(alert, { message: `${job.error.message} (${job.error.code})`, faults: [] });
    curve.element.hidden = !recent.length;
    fillEpochs(last, recent);
    fillFacts(facts, job);
    if (job.model_id && model.hidden) showModel(model, job, signal);
  }
}

function howFar({ status, progress, queue_position, stopped_because }, epoch) {
  const epochs = `epoch ${count(epoch)} of ${count(progress.epochs)}`;
  if (stopped_because) return `${epochs}; ${STOPPED_BECAUSE[stopped_because] ?? stopped_because}`;
  if (status === "queued") return queue_position > 1 ? `${count(queue_position - 1)} before it` : "next in the queue";
  const left = progress.eta_s === null ? "" : `, about ${duration(progress.eta_s)} left`;
  return `${epochs} (${percent(epoch / progress.epochs)})${left}`;
}

function fillEpochs(table, epochs) {
  const metrics = Object.keys(epochs[0]?.metrics ?? {});
  const heads = ["Epoch", "Train loss", "Validation loss", ...metrics];
  const cells = (one) => [one.train_loss, one.validation_loss, ...metrics.map((name) => one.metrics[name])].map(figure);
  const lines = [...epochs].reverse().map((one) =>
    el("tr", {}, el("th", { scope: "row" }, count(one.epoch)), ...cells(one).map((cell) => el("td", { class: "number" }, cell))));
  table.replaceChildren(
    el("caption", {}, epochs.length ? "Newest first." : "No epoch has ended."),
    el("thead", {}, el("tr", {}, ...heads.map((head, i) => el("th", { scope: "col", class: i ? "number" : null }, head)))),
    el("tbody", {}, ...lines));
  table.tHead.hidden = !epochs.length;
}

function fillFacts(list, { resolved, best, created_at }) {
  const { network, training, validation } = resolved;
  const widths = [network.input_width, ...network.hidden_layers.map((layer) => layer.units), network.output_width];
  const bestLoss = best && (best.validation_loss ?? best.train_loss);
  const facts = [
    ["Target", `${resolved.target.join(", ")} (${resolved.task})`],
    ["Rows", `${count(resolved.n_train_rows)} to train` + (validation ? `, ${count(resolved.n_validation_rows)} to validate` : "")],
    ["Network", `${widths.map(count).join(" → ")}; ${count(resolved.n_parameters)} parameters`],
    ["Optimizer", `${training.optimizer.name.replaceAll("_", " ")}, learning rate ${training.optimizer.learning_rate}`],
    ["Loss", training.loss.replaceAll("_", " ")],
    ["Best", best ? `${figure(bestLoss)} in epoch ${count(best.epoch)}` : "–"],
    ["Created", when(created_at)],
  ];
  list.replaceChildren(...facts.flatMap(([term, fact]) => [el("dt", {}, term), el("dd", {}, fact)]));
}

async function showModel(section, job, signal) {
  section.hidden = false;
  const path = `/v1/models/${job.model_id}`;
  const link = (href, text) => el("li", {}, el("a", { href: path + href, download: "" }, text));
  const checks = el("p", {});
  const curl = el("pre", { tabindex: 0 });
  const copy = el("button", { type: "button", onclick: () => copied(curl, copy) }, "Copy");
  section.append(
    el("h2", { id: "model" }, "The trained network"),
    el("ul", { class: "links" },
      link("/weights.onnx", "The whole model as ONNX"), link("/weights.npz", "Weights for NumPy (.npz)"),
      link("/weights.safetensors", "Weights as safetensors"), link("/weights.json", "Weights as JSON"), link("/card", "Model card")),
    checks,
    el("div", { class: "row" }, el("p", {}, "Predict a row:"), copy), curl);
  ask(path, { signal }).then(({ verified }) => write(checks, checkedFiles(verified)), () => {});
  const row = await ask(`/v1/datasets/${job.resolved.dataset_id}/rows?limit=1`, { signal }).then(({ items }) => items[0], () => ({}));
  const body = JSON.stringify({ rows: [Object.fromEntries(job.resolved.features.map((name) => [name, row[name] ?? null]))] });
  // A shell must take the names of columns as they are.
  write(curl, `curl ${location.origin}${path}/predict \\\n  -H 'Content-Type: application/json' \\\n  -d '${body.replaceAll("'", "'\\''")}'`);
}

function checkedFiles(verified) {
  const right = Object.entries(verified).filter(([, found]) => found?.ok);
  const each = right.map(([format, found]) => `${format} by ${found.library} ${found.version}, largest difference ${found.max_difference ?? 0}`);
  return `A file is checked against the engine before it is first handed out${each.length ? `; checked: ${each.join("; ")}.` : "."}`;
}

async function copied(node, button) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    write(button, "Copied");
    setTimeout(() => write(button, "Copy"), 2000);
  } catch {
    getSelection().selectAllChildren(node); // no clipboard without https: it is marked, to be copied by hand
  }
}
