"""A job that was given its first weights is resumed to the same bits, too, whenever its worker is killed."""

import contextlib
import os
import signal
import time
from typing import Any

import pytest

from tests.crash.test_kill import JOB, LASTS_S, outcome
from tests.service import PENGUINS, Service


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_killed_in_mid_job_changes_no_bit_of_a_warm_start(own_service: Service) -> None:
    """Killed as soon as it begins, and later on, with all it started; the model it starts from is deleted before."""
    own_service.start()
    dataset = own_service.upload(PENGUINS.read_bytes(), "penguins.csv")["id"]
    short: dict[str, Any] = {**JOB, "training": {**JOB["training"], "epochs": 3, "seed": 1}}  # type: ignore[dict-item]
    source = own_service.wait(own_service.submit(dataset_id=dataset, **short)["id"])["model_id"]
    warm = own_service.lasting(LASTS_S, dataset_id=dataset, **JOB, initial_weights={"model_id": source})
    expected = outcome(own_service, own_service.wait(own_service.submit(**warm)["id"]))
    job_id = own_service.submit(**warm)["id"]
    assert own_service.http.delete(f"/v1/models/{source}").status_code == 204
    for attempt, epoch in ((1, 0), (2, 50)):
        while (job := own_service.job(job_id))["attempt"] < attempt or job["progress"]["epoch"] < epoch:
            assert job["status"] in {"queued", "running"}, "it ended before it could be killed"
            time.sleep(0.01)
        (worker,) = own_service.workers
        children = own_service.children(worker)
        own_service.kill_worker(worker)
        for child in children:
            with contextlib.suppress(ProcessLookupError):  # it has noticed already that its worker is gone
                os.kill(child, signal.SIGKILL)
        own_service.start_worker()
    job = own_service.wait(job_id)
    assert job["attempt"] == 3
    assert outcome(own_service, job) == expected
