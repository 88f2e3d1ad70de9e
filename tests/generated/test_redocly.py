"""Redocly finds nothing in the OpenAPI document."""

import json
import os
import subprocess

from tests.service import ROOT, Service

REDOCLY = os.environ["TEST_REDOCLY"]
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


def test_redocly_has_neither_errors_nor_warnings(service: Service) -> None:
    url = f"http://127.0.0.1:{service.port}/openapi.json"
    done = subprocess.run(
        [REDOCLY, "lint", url, "--config", ROOT / "redocly.yaml", "--format", "json"],
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert (done.returncode, told["problems"]) == (0, []), done.stdout
    assert told["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}
