/** The checksum of the weights that a job began with and whose numbers the service does not tell; null if there are none. */
export function untold({ request, resolved }) {
  const start = resolved.initial_weights;
  return start && !start.model_id && !request.parent_job_id ? start.sha256 : null;
}

/** The description that a job was made of, to make another one of it. */
export function descriptionOf({ request, resolved, kind, parent_job_id }) {
  // A fork was made of another job: what it came to is all that there is.
  const body = parent_job_id && kind === "training" ? ofResolved(resolved) : structuredClone(request);
  // Weights that were sent along are told by their checksum only.
  if (body.initial_weights && !body.initial_weights.model_id) delete body.initial_weights;
  return body;
}

function ofResolved({ dataset_id, target, features, task, preprocessing, validation, sample_weight, class_weight, network, training }) {
  const { input_width: _input, output_width: _output, ...shape } = network;
  return { dataset_id, target: target.length === 1 ? target[0] : target, features, task, preprocessing, validation, sample_weight, class_weight, network: shape, training };
}
