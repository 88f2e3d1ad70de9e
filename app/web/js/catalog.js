import { ask } from "./wire.js";

let asked = null;

/** What this service knows by name, with defaults, read from its own description: nothing is listed here a second time. */
export function catalog() {
  asked ??= ask("/openapi.json").then(read);
  asked.catch(() => (asked = null));
  return asked;
}

function read({ components: { schemas } }) {
  const names = (model, field) => schemas[model].properties[field].enum;
  const variants = (field) => Object.fromEntries(
    Object.entries(schemas.Training.properties[field].discriminator.mapping).map(([name, reference]) => [name, variant(schemas[reference.split("/").at(-1)])]));
  return {
    formats: schemas.Format.enum,
    activations: names("Network", "activation"),
    outputActivations: names("Network", "output_activation"),
    initializers: names("Network", "initializer"),
    losses: names("Training", "loss"),
    numeric: schemas.Numeric.enum,
    missing: schemas.Missing.enum,
    categorical: schemas.Categorical.enum,
    tasks: schemas.Task.enum,
    optimizers: variants("optimizer"),
    schedules: variants("schedule"),
  };
}

/** One optimizer or schedule: what it is, and its parameters beside the name. */
function variant({ description, properties }) {
  const parameters = Object.entries(properties).filter(([name]) => name !== "name");
  return { about: description, parameters: parameters.map(([name, field]) => ({ name, value: field.default, about: field.description })) };
}
