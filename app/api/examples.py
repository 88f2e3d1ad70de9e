"""Examples in the OpenAPI document: a body for each operation that takes one, and a problem of each kind."""

from typing import Any

Json = dict[str, Any]

_PROBLEMS: dict[int, tuple[str, str, str, list[Json]]] = {
    400: ("invalid_json", "Invalid JSON", "The body is not JSON.", []),
    404: ("not_found", "Not found", "There is no such job.", []),
    406: ("not_acceptable", "Not acceptable", "The weights cannot be had in that media type.", []),
    408: ("too_slow", "Too slow", "No byte came for 60 seconds; what had come is kept.", []),
    409: ("illegal_transition", "Illegal transition", "A job that has succeeded cannot be paused.", []),
    413: ("too_large", "Content too large", "The body is larger than the 4,194,304 bytes accepted here.", []),
    415: (
        "unsupported_format",
        "Unsupported format",
        "Send the body as JSON, with the header `Content-Type: application/json`.",
        [],
    ),
    416: ("requested_range_not_satisfiable", "Requested Range Not Satisfiable", "Cannot satisfy request range.", []),
    422: (
        "invalid_request",
        "Invalid request",
        "The request has fields that cannot be used.",
        [
            {
                "pointer": "/training/optimizer/name",
                "message": "Not one of the allowed values.",
                "code": "not_allowed",
                "allowed": ["adam", "lbfgs"],
            },
            {
                "pointer": "/training/epochs",
                "message": "Input should be a valid integer.",
                "code": "int_type",
                "allowed": None,
            },
        ],
    ),
    500: ("internal_error", "Internal error", "A fault of this service; it is in its log.", []),
    503: ("unavailable", "Service unavailable", "The database does not answer; the same request may pass later.", []),
    507: ("storage_full", "Storage full", "There is no room left to store it; nothing was stored.", []),
}

EVENT = {"event": "status", "id": "0-running", "data": '{"id": "job_01hzy5m3kq0v", "status": "running"}'}
_JOB = {
    "dataset_id": "ds_01hzy5m3kq0v",
    "target": "species",
    "network": {"hidden_layers": [16]},
    "training": {"epochs": 100, "optimizer": {"name": "adam", "learning_rate": 0.01}},
}
_XOR = {
    "name": "xor",
    "data": {"inputs": [[0, 0], [0, 1], [1, 0], [1, 1]], "targets": [[0], [1], [1], [0]]},
    "validation": None,
    "network": {"hidden_layers": [{"units": 8, "activation": "tanh"}]},
    "training": {"epochs": 500, "batch_size": "full", "loss": "quadratic"},
}
_PENGUIN = {"island": "Biscoe", "bill_length_mm": 47.5, "flipper_length_mm": 217, "sex": None}
_LAYERS = [
    {"weight": [[1.0, -1.0], [-1.0, 1.0]], "bias": [0.0, 0.0]},
    {"weight": [[1.0, 1.0]], "bias": [0.0]},
]

# operation: media type: examples by name
_BODIES: dict[str, dict[str, dict[str, Any]]] = {
    "create_dataset": {
        "text/csv": {"table": "length,width,species\n5.1,3.5,setosa\n6.2,2.9,virginica\n"},
        "application/json": {
            "columns": {"columns": {"length": [5.1, 6.2], "species": ["setosa", "virginica"]}},
            "rows": {"inputs": [[0, 0], [0, 1]], "targets": [[0], [1]]},
        },
    },
    "create_upload": {"application/json": {"large": {"name": "large.csv", "size_bytes": 1500000000}}},
    "submit_job": {"application/json": {"dataset": _JOB, "inline": _XOR}},
    "fork_job": {"application/json": {"longer": {"training": {"epochs": 200}}}},
    "create_model": {
        "application/json": {
            "layers": {
                "task": "regression",
                "n_inputs": 2,
                "network": {"hidden_layers": [2], "activation": "relu"},
                "layers": _LAYERS,
            }
        }
    },
    "predict": {
        "application/json": {
            "rows": {"rows": [_PENGUIN]},
            "inputs": {"inputs": [[0, 1]]},
            "dataset": {"dataset_id": "ds_01hzy5m3kq0v"},
        }
    },
    "evaluate": {"application/json": {"dataset": {"dataset_id": "ds_01hzy5m3kq0v"}}},
    "importance": {"application/json": {"dataset": {"dataset_id": "ds_01hzy5m3kq0v", "repeats": 5}}},
    "losses": {"application/json": {"hardest": {"dataset_id": "ds_01hzy5m3kq0v", "limit": 10}}},
}


def problem(status: int) -> Json:
    """Give a problem of a status."""
    code, title, detail, errors = _PROBLEMS[status]
    return {
        "type": f"/docs/problems#{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": errors,
    }


def add(document: Json) -> None:
    """Put the bodies into the document."""
    for methods in document["paths"].values():
        for operation in methods.values():
            for media_type, bodies in _BODIES.get(operation["operationId"], {}).items():
                content = operation["requestBody"]["content"][media_type]
                content["examples"] = {name: {"value": body} for name, body in bodies.items()}
