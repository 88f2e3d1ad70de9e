"""What schemathesis is told beside the OpenAPI document: ids that exist, and what a table looks like. Counts the cases."""

import atexit
import json
import os
import random
import re
import secrets
from collections import Counter
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.generation.meta import TestPhase

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
GIVEN = re.compile(r"(?:ds|upload|job|model)_[0-9a-z]{26}|ckpt_[0-9a-z]{26}_[0-9a-z]+")
STOCK = {id for ids in IDS.values() for id in ids}
COUNTED: Counter[str] = Counter()
BEGINNINGS: dict[str, Any] = {}


@atexit.register
def tell() -> None:
    """Write how many requests each operation was sent."""
    Path(os.environ["OPENAPI_TEST_COUNTS"]).write_text(json.dumps(COUNTED))


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Remember the examples. Leave that of a CSV out: of a type with a strategy of its own, schemathesis takes only bytes."""
    for path, methods in raw_schema["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        if "{" not in path and "examples" in content:
            BEGINNINGS[f"POST {path}"] = [one["value"] for one in content["examples"].values()][-1]
    del raw_schema["paths"]["/v1/datasets"]["post"]["requestBody"]["content"]["text/csv"]["examples"]


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Name objects that exist, three times of four; ask for others otherwise, and do not wait for what never ends.

    An id that the service gave stays: in a chain of steps, one asks for what another made, or deleted.
    """
    COUNTED[case.operation.label] += 1
    deletes = case.operation.method == "delete"
    for name, value in (case.path_parameters or {}).items():
        if value is None:
            # A link led to a field that is null: it names nothing, and what is named instead may be gone.
            case._override.path_parameters.pop(name, None)
        known = IDS.get(f"spare_{name}" if deletes else name)
        is_given = GIVEN.fullmatch(str(value)) is not None
        # By the value, so that the same case names the same object on every run.
        draw = random.Random(repr(value))
        if deletes and value in STOCK:
            case.path_parameters[name] = "what_all_others_need"
        elif known and not is_given and draw.random() < 0.75:
            case.path_parameters[name] = draw.choice(known)
    _wait_for_nothing(case)
    if case.meta.phase.name is TestPhase.STATEFUL:
        _begin_well(case)


def _begin_well(case: Any) -> None:
    """Have chains make things to go on with, two times of three, and each its own."""
    label = case.operation.label
    often = random.Random(repr(case.body)).random() < 2 / 3
    if often and label in BEGINNINGS and case.meta.generation.mode.is_positive:
        case.media_type, case.body, case.query = "application/json", deepcopy(BEGINNINGS[label]), {}
    key = (case.headers or {}).get("Idempotency-Key")
    if key and len(key) < 200:
        # Under the key of an earlier chain, or run, the answer would be what that one made, and may have deleted.
        case.headers["Idempotency-Key"] = f"{key}-{secrets.token_hex(8)}"


def _wait_for_nothing(case: Any) -> None:
    """There is no worker: a job that has not ended never does."""
    with suppress(KeyError, TypeError, ValueError):
        if LONGEST_WAIT_S < float(case.query["wait_s"]) <= 60:
            case.query["wait_s"] = LONGEST_WAIT_S
    if case.operation.label == "GET /v1/jobs/{job_id}/events" and case.path_parameters["job_id"] not in STOCK:
        headers = case.headers or {}
        if len(headers.get("Last-Event-ID", "")) <= 100:  # what is longer is refused, and has to be
            case.headers = {**headers, "Last-Event-ID": "0-done"}


schemathesis.openapi.media_type("text/csv", st.sampled_from(TABLES))
schemathesis.openapi.media_type("application/octet-stream", st.binary(max_size=100))
