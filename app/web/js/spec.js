import { el } from "./elements.js";
import { count } from "./words.js";

/** A description as JSON, to be read, copied and changed: nothing that the service takes is out of reach. */
export class SpecField {
  constructor(label, hint) {
    this.input = el("textarea", { id: "spec", rows: 16, spellcheck: "false", autocomplete: "off", autocapitalize: "off", "aria-describedby": "spec-hint spec-faults", "aria-invalid": "false" });
    this.faults = el("p", { class: "bad", id: "spec-faults" });
    this.said = el("span", { class: "quiet" });
    this.element = el("details", { class: "section" }, el("summary", {}, label, " ", this.said),
      el("div", { class: "field spec" }, el("label", { for: "spec" }, `${label}, as it is sent`), el("p", { class: "quiet", id: "spec-hint" }, hint), this.input, this.faults));
  }

  show(body) {
    this.input.value = inLines(body);
    this.blame("");
  }

  /** Say how many settings are here that have no field. */
  tell(names) {
    const more = names.length > 4 ? ` and ${count(names.length - 4)} more` : "";
    this.said.textContent = names.length ? `only here: ${names.slice(0, 4).join(", ")}${more}` : "";
  }

  /** The description that is written here; undefined, and said so, if it is none. */
  read() {
    try {
      const body = JSON.parse(this.input.value);
      if (body === null || typeof body !== "object" || Array.isArray(body)) throw new Error("It must be an object: { … }.");
      this.blame("");
      return body;
    } catch (error) {
      this.blame(`This is no description yet. ${error.message}`);
      return undefined;
    }
  }

  blame(message) {
    this.faults.textContent = message;
    this.input.setAttribute("aria-invalid", message !== "");
    this.element.classList.toggle("wrong", message !== "");
  }
}

/** JSON to be read: an object over several lines, a list of plain values in one. */
function inLines(body) {
  const text = JSON.stringify(body, null, 2);
  return text.replace(/\[\n\s+([^[\]{}]*?)\n\s+\]/g, (_, inside) => `[${inside.replaceAll(/,\n\s+/g, ", ")}]`);
}
