"""Trains a network through a running service, and looks at all that comes out: `python3 tests/smoke.py http://127.0.0.1:8000`.

It needs Python and nothing else. What it stores it deletes again.
"""

import argparse
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PENGUINS = Path(__file__).parent.parent / "examples" / "penguins.csv"
GENTOO = {
    "island": "Biscoe",
    "bill_length_mm": 50.0,
    "bill_depth_mm": 15.2,
    "flipper_length_mm": 218,
    "body_mass_g": 5700,
    "sex": "male",
    "year": 2009,
}


class Service:
    """The service at an address."""

    def __init__(self, address: str, patience_s: float) -> None:
        self._address = address.rstrip("/")
        self._gives_up_at = time.monotonic() + patience_s

    def send(self, method: str, path: str, body: Any = None) -> bytes:
        """Send a request, and give the answer's body; a refusal ends the program with what the service says of it."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = "text/csv" if isinstance(body, bytes) else "application/json"
        request = Request(self._address + path, content, {"Content-Type": kind}, method=method)
        try:
            with urlopen(request, timeout=90) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request, and give the JSON that is answered."""
        return json.loads(self.send(method, path, body))

    def wait_ready(self) -> None:
        """Wait until database and workers answer."""
        while True:
            try:
                with urlopen(self._address + "/readyz", timeout=10):
                    return
            except (URLError, ConnectionError, TimeoutError) as error:
                self._patiently(f"{self._address} is not ready: {error}")
                time.sleep(0.2)

    def wait_for(self, job_id: str) -> Any:
        """Wait until a job has ended."""
        while True:
            job = self.ask("GET", f"/v1/jobs/{job_id}?wait_s=30")
            if job["status"] in ("succeeded", "failed", "cancelled"):
                return job
            self._patiently(f"the job is still {job['status']}: {job['progress']}")

    def _patiently(self, otherwise: str) -> None:
        if time.monotonic() > self._gives_up_at:
            sys.exit(otherwise)


def pages(page: Callable[[int], Any]) -> list[Any]:
    """Read a job's whole history."""
    epochs: list[Any] = []
    after: int | None = 0
    while after is not None:
        answer = page(after)
        epochs += answer["items"]
        after = answer["next_after"]
    return epochs


def check(what: str, found: Any, expected: Any) -> None:
    """End the program if something is not as it must be."""
    if found != expected:
        sys.exit(f"{what}: {found!r} instead of {expected!r}")


def main() -> None:
    """Upload, train, watch, download, predict, delete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:8000")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--units", type=int, default=32, help="of the hidden layer")
    parser.add_argument("--patience", type=float, default=300, metavar="SECONDS")
    asked = parser.parse_args()
    started = time.monotonic()
    service = Service(asked.address, asked.patience)
    service.wait_ready()

    dataset = service.ask("POST", "/v1/datasets?name=smoke.csv&format=csv", PENGUINS.read_bytes())
    check("rows", dataset["n_rows"], len(PENGUINS.read_text().splitlines()) - 1)
    network = {"hidden_layers": [asked.units]}
    training = {"epochs": asked.epochs, "seed": 0, "checkpoint_every_s": 1}
    job = service.ask(
        "POST",
        "/v1/jobs",
        {"name": "smoke", "dataset_id": dataset["id"], "target": "species", "network": network, "training": training},
    )

    job = service.wait_for(job["id"])
    check(f"status ({job['error']})", job["status"], "succeeded")
    epochs = pages(lambda after: service.ask("GET", f"/v1/jobs/{job['id']}/epochs?after={after}&limit=1000"))
    check("epochs in the history", [epoch["epoch"] for epoch in epochs], list(range(1, asked.epochs + 1)))

    model = f"/v1/models/{job['model_id']}"
    with zipfile.ZipFile(io.BytesIO(service.send("GET", f"{model}/weights?format=npz"))) as weights:
        check("damaged member of the weights", weights.testzip(), None)
        names = [f"layers.{layer}.{part}.npy" for layer in range(2) for part in ("bias", "weight")]
        check("members of the weights", sorted(weights.namelist()), names)
    (prediction,) = service.ask("POST", f"{model}/predict", {"rows": [GENTOO]})["predictions"]
    check("prediction", prediction["value"], "Gentoo")

    for path in (model, f"/v1/jobs/{job['id']}", f"/v1/datasets/{dataset['id']}"):
        service.send("DELETE", path)
    latest = job["latest"]
    sys.stdout.write(
        f"{asked.epochs} epochs in {time.monotonic() - started:.2f} s, attempt {job['attempt']}: "
        f"train loss {latest['train_loss']:.4f}, validation loss {latest['validation_loss']:.4f}; "
        f"npz whole; a Gentoo is a {prediction['value']} (p = {prediction['probabilities']['Gentoo']:.3f})\n"
    )


if __name__ == "__main__":
    main()
