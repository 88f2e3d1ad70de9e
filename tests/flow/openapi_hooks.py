"""What schemathesis is told beside the OpenAPI document: ids that exist, and what a table looks like. Counts the cases."""

import atexit
import json
import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st

IDS: dict[str, list[str]] = json.loads(os.environ["OPENAPI_TEST_IDS"])
TABLES = (
    b"length,width,species\n5.1,3.5,setosa\n6.2,2.9,virginica\n",
    b"a,b,c\n1,2,x\n3,4,y\n5,6,x\n",
    b'{"columns": {"a": [1, 2], "b": ["x", "y"]}}',
    b"a,b\n1\n",
    b"",
    b"\xff\xfe",
)
LONGEST_WAIT_S = 0.1
# An id of an earlier answer: this is a step of a chain.
OF_THE_SERVICE = re.compile("(ds|job|model|upload)_[0-9a-z]{26}")
COUNTED: Counter[str] = Counter()


@atexit.register
def tell() -> None:
    """Write how many requests each operation was sent."""
    Path(os.environ["OPENAPI_TEST_COUNTS"]).write_text(json.dumps(COUNTED))


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Leave the example of a CSV out: of a type with a strategy of its own, schemathesis takes nothing else but bytes."""
    del raw_schema["paths"]["/v1/datasets"]["post"]["requestBody"]["content"]["text/csv"]["examples"]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Name objects that exist, three times of four; ask for others otherwise, and do not wait for what never ends."""
    COUNTED[case.operation.label] += 1
    deletes = case.operation.method == "delete"
    for name, value in (case.path_parameters or {}).items():
        if OF_THE_SERVICE.fullmatch(str(value)):
            if case.operation.path.endswith("/events"):
                case.headers["Last-Event-ID"] = "0-done"  # the job of an earlier step has no worker, and never ends
            continue
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
