/** Make an element. Strings among the children become text, never markup; `on…` attributes are listeners. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** Have other children in an element. Who stands on a link there stays on it, or on the one in its place. */
export function refill(element, ...children) {
  const links = () => [...element.querySelectorAll("a")];
  const focused = document.activeElement, at = links().indexOf(focused);
  element.replaceChildren(...children);
  if (at >= 0) (links().find(({ href }) => href === focused.href) ?? links()[at])?.focus({ preventScroll: true });
}

/** Write a text, unless it is there: an unchanged text is not announced again. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Tell what is wrong with a request: in words, with every fault that found no place of its own. */
export function tell(alert, problem, faults = problem.faults) {
  const named = (fault) => (fault.pointer ? `${fault.pointer}: ${inWords(fault)}` : inWords(fault));
  const list = faults.length ? el("ul", {}, ...faults.map((fault) => el("li", {}, named(fault)))) : "";
  alert.replaceChildren(el("p", {}, problem.message), list);
}

/** A fault with what would be accepted. */
export function inWords({ message, allowed }) {
  if (!allowed?.length) return message;
  const more = allowed.length > 12 ? ", …" : "";
  return `${message} One of: ${allowed.slice(0, 12).join(", ")}${more}`;
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
