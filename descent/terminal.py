"""What the commands write: tables for people, plain lines through a pipe, JSON for programs."""

import csv
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.contract.jobs import Job
from descent.client import Client
from descent.handles import Model
from descent.progress import summary

_COLOURS = {"ok": "green", "note": "yellow", "bad": "red", "succeeded": "green", "failed": "red", "running": "cyan"}


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, one_line: bool = False) -> None:
    """Write a table; through a pipe, fields with tabs between them, so that a program can cut them.

    Args:
        one_line: What does not fit is cut off, but for the first two columns, rather than written below.
    """
    if not sys.stdout.isatty():
        for row in rows:
            sys.stdout.write("\t".join(row) + "\n")
        return
    table = Table(box=None, pad_edge=False)
    for place, title in enumerate(titles):
        whole = max([len(title), *(len(row[place]) for row in rows)]) if one_line and place < 2 else None
        table.add_column(title, overflow="ellipsis" if one_line else "fold", no_wrap=one_line, min_width=whole)
    for row in rows:
        # As text, never as markup: names are their users'.
        table.add_row(*(Text(_shown(cell), style=_COLOURS.get(cell, "")) for cell in row))
    Console().print(table)


def _shown(text: str) -> str:
    """A name could move the cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def show_jobs(listed: Sequence[Job]) -> None:
    """List jobs."""
    rows = [(job.id, job.status.value, _shown(job.name), summary(job)) for job in listed]
    _table(("job", "status", "name", "progress"), rows, one_line=True)


def show_job(job: Job) -> None:
    """Say what became of a job."""
    why = f" ({job.stopped_because})" if job.stopped_because else ""
    sys.stdout.write(f"{job.id} {job.status}{why}  {summary(job)}\n")
    if job.model_id:
        sys.stdout.write(f"model {job.model_id}\n")


def show_result(job: Job, model: Model, path: Path, *, as_json: bool) -> None:
    """Say what a training came to, and where its model is."""
    measured = None if model.metrics is None else model.metrics.model_dump(mode="json")
    if as_json:
        said: dict[str, Any] = {"job_id": job.id, "model_id": model.id, "status": job.status.value}
        said |= {"stopped_because": job.stopped_because, "epoch": model.epoch, "metrics": measured, "path": str(path)}
        sys.stdout.write(json.dumps(said) + "\n")
        return
    show_job(job)
    if model.metrics is not None:
        losses = {"train_loss": model.metrics.train_loss, "validation_loss": model.metrics.validation_loss}
        for name, value in {**losses, **model.metrics.metrics}.items():
            if value is not None:
                sys.stdout.write(f"{name} {value:.6g}\n")
    sys.stdout.write(f"saved {path}\n")


def show_predictions(client: Client, model: Model, table: Path, output: Path | None, *, as_json: bool) -> None:
    """Predict the rows of a file, into a file or to standard output."""
    dataset = client.datasets.create(table)
    try:
        if output is not None:
            sys.stdout.write(f"{model.predict_dataset(dataset, output)}\n")
            return
        with tempfile.TemporaryDirectory() as folder:
            text = model.predict_dataset(dataset, Path(folder) / "predictions.csv").read_text()
        sys.stdout.write(_as_json(text, model) if as_json else text)
    finally:
        dataset.delete()


def _as_json(text: str, model: Model) -> str:
    """Make objects of the lines of a CSV. All is numbers in it, but the class."""
    names, *lines = csv.reader(io.StringIO(text))
    classified = model.task == "classification"

    def value(place: int, cell: str) -> str | float | None:
        return cell if classified and place == 0 else float(cell) if cell else None

    rows = [
        {name: value(place, cell) for place, (name, cell) in enumerate(zip(names, line, strict=True))} for line in lines
    ]
    return json.dumps(rows) + "\n"


def show_findings(findings: Sequence[dict[str, Any]]) -> None:
    """Say what the doctor found."""
    rows = [(one["status"], one["check"], one["found"], one["helps"] or "") for one in findings]
    _table(("", "check", "found", "what helps"), rows)
