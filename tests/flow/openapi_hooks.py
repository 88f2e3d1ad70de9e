"""What schemathesis is told beside the OpenAPI document: ids that exist, and what a table looks like."""

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
LONGEST_WAIT_S = 0.1


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Name objects that exist, three times of four; ask for others otherwise, and do not wait for what never ends."""
    deletes = case.operation.method == "delete"
    for name, value in (case.path_parameters or {}).items():
        known = IDS.get(f"spare_{name}" if deletes else name)
        # By the value, so that the same case names the same object on every run.
        draw = random.Random(repr(value))
        if known and draw.random() < 0.75:
            case.path_parameters[name] = draw.choice(known)
        elif str(value).startswith("job_"):
            case.path_parameters[name] = "job_of_nobody"  # one that waits for a worker, which there is none of
    wait_s = (case.query or {}).get("wait_s")
    if isinstance(wait_s, int | float) and LONGEST_WAIT_S < wait_s <= 60:
        case.query["wait_s"] = LONGEST_WAIT_S


schemathesis.openapi.media_type("text/csv", st.sampled_from(TABLES))
schemathesis.openapi.media_type("application/octet-stream", st.binary(max_size=100))


@schemathesis.serializer("text/csv", "text/tab-separated-values", "application/jsonl", "application/x-ndjson")
def as_it_is(context: Any, value: Any) -> Any:
    """Send a table of an example as its bytes."""
    return value if isinstance(value, bytes) else str(value).encode()
