import { el } from "./elements.js";
import { newField } from "./fields.js";
import { escaped, putAt, takeAt } from "./pointers.js";

/**
 * A choice of some ways, each with fields of its own: those of the chosen way are shown, and only they are sent.
 *
 * `ways` gives by key `{text, about, fields, send}`: `fields()` describes its fields by name, `send(values)` makes the value that is sent.
 * `wayOf(value)` tells which way a value is. `apart` is a field that stands elsewhere, in `this.apart`; `isTitled`: the others stand far from the choice.
 */
export class Choice {
  constructor({ pointer, label, ways, initial, wayOf, apart = null, isTitled = false }) {
    Object.assign(this, { pointer, ways, initial, wayOf, isTitled, apartName: apart });
    const options = Object.entries(ways).map(([key, { text }]) => [key, text ?? key.replaceAll("_", " ")]);
    this.name = newField({ pointer, label, options, value: initial });
    this.hint = this.name.element.querySelector("p");
    this.apart = el("div", { class: "field" });
    this.own = el("div", { class: "fields own" });
    this.elements = [this.name.element, this.own];
    this.name.input.addEventListener("change", () => this.fill({}));
    this.take({});
  }

  fields() {
    return [this.name, ...this.parts];
  }

  /** Have the fields of the chosen way, with what is given of them. */
  fill(values) {
    const way = this.ways[this.name.input.value];
    this.parts = (way?.fields?.() ?? []).map((part) => newField({ ...part, pointer: `${this.pointer}/${escaped(part.name)}` }));
    for (const part of this.parts) part.take(wrapped(this.pointer, values));
    this.hint.textContent = firstSentence(way?.about);
    const apart = this.parts.find((part) => part.pointer === `${this.pointer}/${this.apartName}`);
    this.apart.replaceChildren(...(apart ? apart.element.childNodes : []));
    const shown = this.parts.filter((part) => part !== apart);
    const title = this.isTitled ? [el("p", { class: "quiet" }, `Of ${this.name.input.selectedOptions[0]?.text}:`)] : [];
    this.own.replaceChildren(...title, ...shown.map((part) => part.element));
    this.own.hidden = !shown.length;
  }

  take(body) {
    this.given = takeAt(body, this.pointer);
    this.name.show(this.given === undefined ? undefined : this.wayOf(this.given) ?? this.initial);
    this.fill(this.given ?? {});
  }

  isTouched() {
    return this.fields().some((field) => field.isTouched());
  }

  put(body) {
    if (!this.isTouched()) return putAt(body, this.pointer, this.given);
    const key = this.name.input.value, way = this.ways[key];
    const whole = wrapped(this.pointer, this.name.isTouched() ? {} : this.given);
    for (const part of this.parts) takeAt(whole, part.pointer), part.put(whole);
    const values = takeAt(whole, this.pointer) ?? {};
    putAt(body, this.pointer, way?.send ? way.send(values) : values);
  }

  said() {
    if (!this.isTouched() && this.given === undefined) return [];
    const [label, text] = [this.name.element.querySelector("label").textContent, this.name.input.selectedOptions[0]?.text];
    return [`${label}: ${text}`, ...this.parts.flatMap((part) => part.said())];
  }
}

/** A copy of some values where a body has them. */
function wrapped(pointer, values) {
  const body = {};
  putAt(body, pointer, values !== null && typeof values === "object" && !Array.isArray(values) ? { ...values } : {});
  return body;
}

const firstSentence = (text) => /^.*?[.:](?=\s|$)/s.exec(text ?? "")?.[0] ?? text ?? "";
