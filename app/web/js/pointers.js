/** Places in a description, named by JSON pointers. */

const namesOf = (pointer) => pointer.split("/").slice(1).map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** A name as a JSON pointer writes it. */
export const escaped = (name) => name.replaceAll("~", "~0").replaceAll("/", "~1");

/** Put a value there; undefined is not put. */
export function putAt(body, pointer, value) {
  if (value === undefined) return;
  const names = namesOf(pointer), last = names.pop();
  let place = body;
  for (const name of names) {
    if (!isObject(place[name])) own(place, name, {});
    place = place[name];
  }
  own(place, last, value);
}

/** Take the value out that is there, and what is empty without it; undefined if there is none. */
export function takeAt(body, pointer) {
  const [name, ...rest] = namesOf(pointer);
  if (!isObject(body) || !Object.hasOwn(body, name)) return undefined;
  const value = body[name];
  if (!rest.length) {
    delete body[name];
    return value;
  }
  const found = takeAt(value, `/${rest.map(escaped).join("/")}`);
  if (found !== undefined && !Object.keys(value).length) delete body[name];
  return found;
}

/** The places of a description that have a value which is no object. */
export function leavesOf(value, path = "") {
  if (!isObject(value)) return [path];
  return Object.entries(value).flatMap(([name, one]) => leavesOf(one, path ? `${path}.${name}` : name));
}

/** A column may be called `__proto__`: it is a name like any other. */
function own(object, name, value) {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}
