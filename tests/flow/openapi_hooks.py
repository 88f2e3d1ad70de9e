"""What schemathesis is told beside the OpenAPI document: ids that exist, and the format of tables."""

import json
import os
import random
from typing import Any

import schemathesis
from hypothesis import strategies as st

IDS: dict[str, list[str]] = json.loads(os.environ["OPENAPI_TEST_IDS"])
TABLES = (
    b"a,b,c\n1,2,x\n3,4,y\n5,6,x\n",
    b'{"columns": {"a": [1, 2], "b": ["x", "y"]}}',
    b"a,b\n1\n",
    b"",
    b"\xff\xfe",
)


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Give an id that exists three times of four; what is deleted is another one, since the first is needed."""
    if not path_parameters:
        return path_parameters
    deletes = context.operation is not None and context.operation.method == "delete"
    chosen = {}
    for name, value in path_parameters.items():
        known = IDS.get(f"spare_{name}" if deletes else name)
        # By the value, so that the same case has the same id on every run.
        draw = random.Random(repr(value))
        chosen[name] = draw.choice(known) if known and draw.random() < 0.75 else value
    return chosen


schemathesis.openapi.media_type("text/csv", st.sampled_from(TABLES))
schemathesis.openapi.media_type("application/octet-stream", st.binary(max_size=100))
