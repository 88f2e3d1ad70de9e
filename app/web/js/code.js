import { el, write } from "./elements.js";

/** What predicts a row from a shell and from Python, to be copied. */
export function snippets(modelId, row) {
  const address = `${location.origin}/v1/models/${modelId}`;
  return [
    snippet("curl", curl(address, row)),
    snippet("Python", python(address, row)),
    snippet("Download", `curl -OJ ${address}/weights.onnx`),
  ];
}

function curl(address, row) {
  // A shell must take the names of columns as they are.
  const body = JSON.stringify({ rows: [row] }).replaceAll("'", "'\\''");
  return `curl ${address}/predict \\\n  -H 'Content-Type: application/json' \\\n  -d '${body}'`;
}

function python(address, row) {
  return [
    "import json",
    "from urllib.request import Request, urlopen",
    "",
    `rows = ${inPython([row])}`,
    "body = json.dumps({\"rows\": rows}).encode()",
    `request = Request("${address}/predict", body, {"Content-Type": "application/json"})`,
    `print(json.load(urlopen(request))["predictions"])`,
  ].join("\n");
}

/** A value as Python writes it; the escapes of JSON's texts are Python's, too. */
function inPython(value) {
  if (Array.isArray(value)) return `[${value.map(inPython).join(", ")}]`;
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${inPython(one)}`).join(", ")}}`;
}

function snippet(title, text) {
  const code = el("pre", { tabindex: 0, "aria-label": title }, text);
  const copy = el("button", { type: "button", "aria-label": `Copy ${title}`, onclick: () => copied(code, copy) }, "Copy");
  return el("div", { class: "snippet" }, el("div", { class: "row" }, el("h3", {}, title), copy), code);
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
