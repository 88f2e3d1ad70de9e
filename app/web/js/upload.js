import { catalog } from "./catalog.js";
import { el, tell } from "./elements.js";
import { size } from "./words.js";
import { ask } from "./wire.js";

/** A place to drop a table; the whole page takes the file. `done` gets the dataset that it became. */
export function dropZone(alert, done, signal) {
  const input = el("input", { type: "file" });
  const title = el("strong", {}, "Drop a CSV here");
  const hint = el("span", { class: "quiet" }, "or choose a file. The first line names the columns.");
  const zone = el("label", { class: "drop" }, input, title, " ", hint);
  const state = el("p", { class: "quiet", role: "status" });
  const format = el("select", { id: "format" }, el("option", { value: "" }, "by the file's name"));
  const choice = el("p", { class: "quiet format" }, el("label", { for: "format" }, "Format "), format);
  catalog().then(({ formats }) => {
    format.append(...formats.map((name) => el("option", { value: name }, name)));
    hint.textContent = `or choose a file: ${formats.join(", ")}.`;
  }, () => {});
  input.addEventListener("change", () => take(input.files[0]));
  addEventListener("dragover", (event) => (event.preventDefault(), zone.classList.add("over")), { signal });
  addEventListener("dragleave", () => zone.classList.remove("over"), { signal });
  addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files[0]);
  }, { signal });
  return el("div", {}, zone, choice, state);

  async function take(file) {
    if (!file) return;
    alert.replaceChildren();
    state.textContent = `Reading ${file.name}, ${size(file.size)} …`;
    const query = new URLSearchParams({ name: file.name.slice(-200) });
    const chosen = format.value || await ofName(file.name);
    if (chosen) query.set("format", chosen);
    try {
      // Not as the browser's type for the file: some systems call a CSV a spreadsheet.
      done(await ask(`/v1/datasets?${query}`, { method: "POST", body: file, type: "application/octet-stream", signal }));
      return;
    } catch (error) {
      if (signal.aborted) return;
      tell(alert, error.faults ? error : { message: "The file could not be read.", faults: [] });
    }
    state.textContent = "";
    input.value = "";
  }
}

/** The format that an ending names. A text that names none is taken for a CSV; anything else is the service's to tell. */
async function ofName(name) {
  const { formats } = await catalog().catch(() => ({ formats: [] }));
  const ending = /\.(\w+)(?:\.(?:gz|zst|zip))?$/i.exec(name)?.[1]?.toLowerCase();
  if (formats.includes(ending)) return ending;
  return ending === undefined || ["txt", "tsv", "data", "tab"].includes(ending) ? "csv" : undefined;
}
