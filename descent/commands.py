"""What the commands need besides the client."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def train_options(
    *,
    hidden: str,
    activation: str,
    epochs: int,
    batch_size: str,
    optimizer: str,
    learning_rate: float | None,
    patience: int | None,
    validation: float,
    seed: int,
) -> Any:
    """Make of the options of `descent train` those of a job; the service says what is wrong with them."""
    layers = [int(units) if units.strip().isdigit() else units.strip() for units in hidden.split(",")]
    training: dict[str, Any] = {
        "optimizer": {"name": optimizer, **({} if learning_rate is None else {"learning_rate": learning_rate})},
        "epochs": epochs,
        "batch_size": int(batch_size) if batch_size.isdigit() else batch_size,
        "seed": seed,
    }
    if patience is not None:
        training["early_stopping"] = {
            "patience": patience,
            "monitor": "validation_loss" if validation else "train_loss",
        }
    return {
        "network": {"hidden_layers": [] if layers == [0] else layers, "activation": activation},
        "training": training,
        "validation": {"fraction": validation} if validation else None,
    }


def load_rows(text: str) -> list[dict[str, Any]]:
    """Read rows from JSON.

    Raises:
        ValueError: It is neither an object nor a list.
    """
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise ValueError(f"Standard input is no JSON: {error}.") from None
    if not isinstance(rows, dict | list):
        raise ValueError("Give a JSON object, or a list of them.")
    return [rows] if isinstance(rows, dict) else rows


def doctor_findings(data_dir: Path | None) -> tuple[list[dict[str, Any]], str]:
    """Have the installation of this machine examined; gives what was found, and what was said if nothing could be."""
    environment = {**os.environ, **({} if data_dir is None else {"DESCENT_DATA_DIR": str(data_dir)})}
    done = subprocess.run(
        [sys.executable, "-m", "app.doctor"], env=environment, capture_output=True, text=True, check=False
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return found, "\n".join(done.stderr.strip().splitlines()[-5:])
