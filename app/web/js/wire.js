const NOTHING = 0;
export const RETRY_MS = 2000;

/** What the service answered instead of a result, in its words. */
export class Problem extends Error {
  constructor({ title, detail, errors, status }) {
    super(detail || title);
    this.faults = errors ?? [];
    this.status = status;
  }

  /** Whether the same may pass later: nothing answers, or something that is needed for the answer does not. */
  get isPassing() {
    return [NOTHING, 502, 503, 504].includes(this.status);
  }
}

/** Ask the service. A body that is no string is sent as it is, with `type` as its media type. */
export async function ask(path, { method = "GET", json, body, type, signal } = {}) {
  const headers = json !== undefined ? { "Content-Type": "application/json" } : type ? { "Content-Type": type } : {};
  const response = await reach(path, { method, headers, signal, body: json !== undefined ? JSON.stringify(json) : body });
  return response.json();
}

/** Ask until there is an answer, and say meanwhile that there is none. */
export async function insist(path, signal) {
  const connection = document.getElementById("connection");
  for (;;) {
    try {
      const answer = await ask(path, { signal });
      connection.textContent = "";
      return answer;
    } catch (error) {
      if (signal.aborted || !error.isPassing) throw error;
      connection.textContent = `${error.message} Trying again.`;
      await pause(RETRY_MS, signal);
    }
  }
}

/** Hear a job's events after the given epoch, in the batches in which they arrive: `[{event, value}, …]`. */
export async function* hear(path, after, signal) {
  const response = await reach(`${path}?after=${after}`, { headers: { Accept: "text/event-stream" }, signal });
  if (response.status === 204) return;
  let rest = "";
  for await (const text of pieces(response.body.pipeThrough(new TextDecoderStream()))) {
    const blocks = (rest + text).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    yield blocks.map(parse).filter(({ event }) => event);
  }
}

/** Wait; longer, if the page is not looked at. Rejects when `signal` aborts. */
export async function pause(ms, signal) {
  await new Promise((resolve) => setTimeout(resolve, ms));
  while (document.hidden && !signal.aborted) {
    await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true, signal }));
  }
  signal.throwIfAborted();
}

/** A signal that aborts with the given one, or when the page is no longer looked at: open streams are few in a browser. */
export function whileVisible(signal) {
  const hidden = new AbortController();
  document.addEventListener("visibilitychange", () => document.hidden && hidden.abort(), { signal: hidden.signal });
  return AbortSignal.any([signal, hidden.signal]);
}

async function reach(path, options) {
  const response = await fetch(path, options).catch((error) => {
    throw options.signal?.aborted ? error : new Problem({ title: "The service does not answer.", status: NOTHING });
  });
  if (response.ok) return response;
  const told = await response.json().catch(() => ({ title: `The service answered ${response.status}.` }));
  throw new Problem({ ...told, status: response.status });
}

async function* pieces(stream) {
  const reader = stream.getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value;
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block) {
  const lines = block.split(/\r?\n/);
  const field = (name) => lines.filter((line) => line.startsWith(name)).map((line) => line.slice(name.length).trim());
  const [event] = field("event:");
  return { event, value: event && JSON.parse(field("data:").join("\n")) };
}
