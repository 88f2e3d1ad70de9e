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
  const parameters = (model, field) => byName(schemas[model].properties[field].description);
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
    monitors: names("EarlyStopping", "monitor"),
    dtypes: names("Training", "dtype"),
    lossParameters: parameters("Training", "loss_parameters"),
    initializerParameters: parameters("Network", "initializer_parameters"),
    defaults: { activation: schemas.Network.properties.activation.default, epochs: schemas.Training.properties.epochs.default, batch_size: schemas.Training.properties.batch_size.default },
    optimizers: variants("optimizer"),
    schedules: variants("schedule"),
  };
}

/** One optimizer or schedule: what it is, and its parameters beside the name. */
function variant({ description, properties }) {
  const parameters = Object.entries(properties).filter(([name]) => name !== "name");
  return { about: description, parameters: parameters.map(([name, field]) => ({ name, value: field.default, about: field.description })) };
}

/** What is said of each name: "… `huber`: `delta` (1): Where …. `hinge`: …" */
function byName(description) {
  const parts = description.split(/(?<=\.) (?=`\w+`: `)/).slice(1);
  return Object.fromEntries(parts.map((part) => [/^`(\w+)`/.exec(part)[1], part.replace(/^`\w+`: /, "").replaceAll("`", "")]));
}
