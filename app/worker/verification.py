"""Comparing a training with its repetition."""

from typing import Any

from app.store import checkpoints
from app.store import jobs as store
from app.store.session import Session
from app.store.tables import JobRow
from app.worker.chain import Chain
from app.worker.machine import class_of


def compare(session: Session, row: JobRow, chain: Chain, environment: dict[str, Any]) -> dict[str, Any]:
    """Say whether the repetition `row` came out as the job that it repeats, or from which epoch on it did not.

    Every epoch's losses, rate and gradient are compared, and every link that both chains have: with equal losses, weights
    can differ only between two links.
    """
    assert row.parent_job_id is not None
    original = checkpoints.latest(session, row.parent_job_id)
    saved = original.receipt if original is not None and original.receipt is not None else {}
    environments = saved.get("environments", [])
    links = {link["epoch"]: link["sha256"] for link in saved.get("chain", {}).get("links", [])}
    differing = [link["epoch"] for link in chain.links if links.get(link["epoch"], link["sha256"]) != link["sha256"]]
    by_history = store.first_difference(session, row.parent_job_id, row.id)
    first = min([*differing[:1], *([] if by_history is None else [by_history])], default=None)
    differences = [_between(then, environment) for then in environments]
    worst = max(differences, key=len, default=[])
    same_class = all(class_of(then) == class_of(environment) for then in environments)
    answer = "identical" if first is None else "differs" if same_class else "other_class"
    return {"answer": answer, "first_epoch": first, "epochs": row.epochs, "differences": worst}


def _between(then: dict[str, Any], now: dict[str, Any]) -> list[dict[str, Any]]:
    names = [*then, *(name for name in now if name not in then)]
    return [
        {"name": name, "then": then.get(name), "now": now.get(name)}
        for name in names
        if then.get(name) != now.get(name)
    ]
