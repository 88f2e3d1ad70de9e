"""The receipt of a model: what it was made of, where, and the chain of hashes that a repetition must meet."""

from hashlib import sha256
from json import dumps
from typing import Any

from app.store.tables import JobRow
from app.worker.chain import Chain
from app.worker.machine import class_of

# What is estimated of a training is no part of it.
ESTIMATED = frozenset({"memory_bytes"})


def receipt(
    row: JobRow, datasets: tuple[str | None, str | None], environments: list[dict[str, Any]], chain: Chain
) -> dict[str, Any]:
    """Write the receipt of a job that ends here.

    Args:
        row: The job.
        datasets: Hashes of the bytes of its dataset, as they were sent, and of the one that it is validated on.
        environments: Where its runs were, one of each class; the last one is this one.
        chain: Its chain, with the last link.
    """
    asked = {name: value for name, value in row.resolved.items() if name not in ESTIMATED}
    return {
        "job_id": row.id,
        "parent_job_id": row.parent_job_id,
        "dataset_sha256": datasets[0],
        "validation_dataset_sha256": datasets[1],
        "spec_sha256": sha256(dumps([asked, row.preprocessing], sort_keys=True).encode()).hexdigest(),
        "seed": row.resolved["training"]["seed"],
        "environment": environments[-1],
        "receipt_class": class_of(environments[-1]),
        "other_classes": [class_of(one) for one in environments[:-1]],
        "chain": chain.links,
    }
