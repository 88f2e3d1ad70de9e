"""A client that a program made of the OpenAPI document does the main job."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.service import PENGUINS, Service

GENERATOR = Path(os.environ["TEST_CLIENT_GENERATOR"])
pytestmark = pytest.mark.slow


@pytest.mark.timeout(400)
def test_a_generated_client_does_the_main_job(service: Service, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_bytes(service.http.get("/openapi.json").content)
    generated = ("generate", "--path", document, "--meta", "none", "--output-path", tmp_path / "generated")
    settings = ("--config", Path(__file__).with_name("generator.yaml"))
    made = subprocess.run([GENERATOR, *generated, *settings], capture_output=True, text=True, timeout=200, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    script = Path(__file__).with_name("main_job.py")
    done = subprocess.run(
        [GENERATOR.with_name("python"), script, str(service.http.base_url).rstrip("/"), PENGUINS],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {
        "status": "succeeded",
        "epochs": list(range(21, 31)),
        "arrays": [f"layers.{layer}.{part}.npy" for layer in (0, 1) for part in ("bias", "weight")],
        "shapes": [[16, 10], [3, 16]],
        "value": "Gentoo",
        "problem": "not_found",
    }
