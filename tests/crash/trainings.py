"""Trainings whose checkpoints have much to carry, and all that is measured of them, to the last bit."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.service import PENGUINS, Service

# Clocks differ from run to run; all else has to be the same.
CLOCKS = {"duration_s", "at"}

_TANH = {"hidden_layers": [32, 16], "activation": "tanh"}
_NOISY = [{"units": 16, "dropout": 0.2, "batch_norm": True}, {"units": 8, "activation": "tanh", "dropout": 0.1}]


def _training(epochs: int, optimizer: str, batch_size: int | str = 24, **more: Any) -> dict[str, Any]:
    rates = {"lbfgs": 1.0, "backtracking": 1.0, "nesterov": 0.02}
    chosen: dict[str, Any] = {"name": optimizer, "learning_rate": rates.get(optimizer, 0.002)}
    if optimizer == "lbfgs":
        chosen["max_iter"] = 2  # or it converges within ten epochs
    return {"epochs": epochs, "batch_size": batch_size, "seed": 11, "optimizer": chosen, **more}


# A new order each epoch and an odd last batch, masks of dropout, running statistics, moments, patience, a plateau.
JOBS: dict[str, dict[str, Any]] = {
    "adam, dropout, batch norm, step": {
        "network": {"hidden_layers": _NOISY},
        "training": _training(180, "adam", schedule={"name": "step", "step_size": 50, "gamma": 0.5}),
    },
    "nesterov, one cycle": {
        "network": _TANH,
        "training": _training(2500, "nesterov", schedule={"name": "one_cycle"}, gradient_clip_norm=1.0),
    },
    "amsgrad, plateau, early stopping": {
        "network": {**_TANH, "activation": "relu"},
        "training": _training(
            3000,
            "amsgrad",
            schedule={"name": "reduce_on_plateau", "patience": 40},
            early_stopping={"monitor": "validation_loss", "patience": 900, "restore_best": True},
        ),
    },
    "lbfgs": {
        "network": {"hidden_layers": [24], "activation": "tanh"},
        "training": _training(120, "lbfgs", "full", l2=0.01),
    },
    "backtracking": {"network": _TANH, "training": _training(400, "backtracking", "full")},
}
KEPT_EPOCH = 1000


@dataclass(frozen=True)
class Outcome:
    """What must not depend on what was killed when.

    Args:
        weights: SHA-256 of the file, as it is downloaded.
        history: Every measured field of every epoch.
        said: What job and model say of the training, links of the chain included.
    """

    weights: str
    history: list[dict[str, Any]]
    said: dict[str, Any]


def outcome(service: Service, job: dict[str, Any]) -> Outcome:
    history = [{name: row[name] for name in row.keys() - CLOCKS} for row in service.history(job["id"])]
    content = service.weights(job["model_id"])
    model = service.http.get(f"/v1/models/{job['model_id']}").json()
    said = {name: job[name] for name in ("status", "error", "stopped_because", "latest", "best", "parent_epoch")}
    said |= {name: model[name] for name in ("sha256", "size_bytes", "epoch", "metrics", "monotone", "versions")}
    return Outcome(hashlib.sha256(content).hexdigest(), history, {**said, "chain": model["receipt"]["chain"]})


def differences(service: Service, job: dict[str, Any], expected: Outcome) -> list[str]:
    """Say in what a job that has ended is not as the undisturbed one."""
    where = f"{job['id']} ({job['name']}, {job['attempt']} runs)"
    if job["status"] != "succeeded":
        return [f"{where}: {job['status']}, {job['error']}"]
    found = outcome(service, job)
    epochs = [row["epoch"] for row in found.history]
    first = (job["parent_epoch"] or 0) + 1
    wrong = [] if epochs == list(range(first, first + len(epochs))) else [f"{where}: its history has a gap"]
    if found.history != expected.history:
        pairs = zip(found.history, expected.history, strict=False)
        unequal = next((row["epoch"] for row, other in pairs if row != other), "the end")
        wrong.append(f"{where}: its history differs from epoch {unequal} on")
    wrong += [
        f"{where}: {name} differs" for name in ("weights", "said") if getattr(found, name) != getattr(expected, name)
    ]
    return wrong


class Trainings:
    """The trainings, each of them done once undisturbed.

    Args:
        service: Whose workers are there until the undisturbed ones are done.
        names: Only those of `JOBS`; the fork and the warm start always.
    """

    def __init__(self, service: Service, finish: Callable[[list[str]], list[dict[str, Any]]], names: set[str]) -> None:
        self._service = service
        self._dataset = str(service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"])
        kept = {"keep_checkpoints": {"every_epochs": KEPT_EPOCH, "most": 1}}
        parent = {"network": _TANH, "training": _training(KEPT_EPOCH + 200, "adam", **kept)}
        (done,) = finish([self._post("/v1/jobs", self._job("parent", parent), None)["id"]])
        (checkpoint,) = [
            one
            for one in service.http.get(f"/v1/jobs/{done['id']}/checkpoints").json()["items"]
            if one["kind"] == "kept"
        ]
        forked = {"checkpoint_id": checkpoint["id"], "training": {"epochs": 3 * KEPT_EPOCH, "l2": 0.001}}
        warm = {
            "network": _TANH,
            "training": _training(2000, "adam"),
            "initial_weights": {"model_id": done["model_id"]},
        }
        self._requests = {
            **{name: ("/v1/jobs", self._job(name, JOBS[name])) for name in JOBS if name in names},
            "warm start": ("/v1/jobs", self._job("warm start", warm)),
            "fork": (f"/v1/jobs/{done['id']}/fork", {"name": "fork", "tags": {"round": "torture"}, **forked}),
        }
        ids = {name: self.submit(name)["id"] for name in self._requests}
        ended = finish(list(ids.values()))
        self.expected = {job["name"]: outcome(service, job) for job in ended}
        assert len({one.weights for one in self.expected.values()}) == len(ids)

    @property
    def names(self) -> list[str]:
        return list(self._requests)

    def submit(self, name: str, key: str | None = None) -> dict[str, Any]:
        """Have one accepted. With a key this sends it until there is an answer, whatever is killed meanwhile."""
        return self._post(*self._requests[name], key)

    def _job(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"dataset_id": self._dataset, "target": "species", "name": name, "tags": {"round": "torture"}, **body}

    def _post(self, url: str, body: dict[str, Any], key: str | None) -> dict[str, Any]:
        headers = {} if key is None else {"Idempotency-Key": key}
        deadline = time.monotonic() + 120
        while True:
            try:
                answer = self._service.http.post(url, json=body, headers=headers)
            except httpx.TransportError:
                assert key is not None
                assert time.monotonic() < deadline, "the API did not come back"
                time.sleep(0.05)
                continue
            assert answer.status_code == 202, answer.text
            return dict(answer.json())
