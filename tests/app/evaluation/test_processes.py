"""The processes that apply models: bounded, replaced when they die, and ended when nobody waits for them."""

import os
import signal
import threading
import time
from pathlib import Path

import anyio
import pytest

from app.api import streams
from app.contract.evaluation import PredictionsFormat
from app.errors import DescentError, InvalidRequest, NotFound, Unavailable
from app.evaluation import processes
from app.evaluation.measures import evaluate
from app.evaluation.processes import Processes

pytestmark = pytest.mark.slow

ROWS = "a,b,y\n" + "".join(f"{i % 17},{i % 5},{i % 11}.5\n" for i in range(50))


@pytest.fixture
def appliers():
    found = Processes(slots=1, timeout_s=30)
    yield found
    found.close()


@pytest.fixture
def heavy(bench):
    """More predictions than a pipe holds."""
    header, rest = ROWS.split("\n", 1)
    return bench.table(header + "\n" + rest * 6000)[0]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def drain(work):
    while work.piece():
        pass


def test_a_process_answers_as_the_function_does_and_is_kept(bench, appliers):
    subject = bench.model(ROWS, "y")
    table, _ = bench.table(ROWS)
    assert not appliers.pids, "none is started before it is needed"
    assert appliers.answer("evaluate", table, subject) == evaluate(table, subject)
    first = appliers.pids
    with pytest.raises(InvalidRequest) as caught:
        appliers.answer("evaluate", bench.table("a,b,y\n1,2,\n")[0], subject)
    assert [fault.code for fault in caught.value.faults] == ["no_rows"]
    with pytest.raises(NotFound):
        appliers.answer("evaluate", table.with_name("gone"), subject)
    assert appliers.pids == first


def test_work_that_nobody_waits_for_ends_its_process_and_frees_its_slot(bench, appliers, heavy):
    subject = bench.model(ROWS, "y")
    work = appliers.begin("predict", heavy, subject, PredictionsFormat.CSV)
    assert work.piece()
    (pid,) = appliers.pids
    work.close()
    work.close()
    assert not is_alive(pid)
    assert appliers.answer("evaluate", bench.table(ROWS)[0], subject)["n_evaluated"] == 50


def test_more_requests_than_slots_wait_or_are_told_to_come_again(bench, appliers, heavy, monkeypatch):
    monkeypatch.setattr(processes, "WAIT_S", 0.1)
    subject = bench.model(ROWS, "y")
    small, _ = bench.table(ROWS)
    work = appliers.begin("predict", heavy, subject, PredictionsFormat.CSV)
    with pytest.raises(Unavailable):
        appliers.answer("evaluate", small, subject)
    monkeypatch.setattr(processes, "WAIT_S", 30)
    found = []
    waiting = threading.Thread(target=lambda: found.append(appliers.answer("evaluate", small, subject)))
    waiting.start()
    monkeypatch.setattr(processes, "MAX_WAITING", 1)
    deadline = time.monotonic() + 10
    while not appliers._waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        appliers.answer("evaluate", small, subject)
    assert time.monotonic() - began < 5, "it is told at once"
    work.close()
    waiting.join(30)
    assert found[0]["n_evaluated"] == 50
    assert len(appliers.pids) == 1


def test_a_process_that_was_killed_is_replaced(bench, appliers, heavy):
    subject = bench.model(ROWS, "y")
    small, _ = bench.table(ROWS)
    appliers.answer("evaluate", small, subject)
    os.kill(appliers.pids[0], signal.SIGKILL)
    assert appliers.answer("evaluate", small, subject)["n_evaluated"] == 50
    work = appliers.begin("predict", heavy, subject, PredictionsFormat.CSV)
    os.kill(appliers.pids[0], signal.SIGKILL)
    with pytest.raises(DescentError) as caught:
        drain(work)
    work.close()
    assert caught.value.faults[0].code == "out_of_memory"
    assert appliers.answer("evaluate", small, subject)["n_evaluated"] == 50


@pytest.mark.anyio
async def test_a_client_that_takes_nothing_loses_its_slot(bench, appliers, heavy, monkeypatch):
    monkeypatch.setattr(streams, "TAKEN_WITHIN_S", 0.2)
    work = appliers.begin("predict", heavy, bench.model(ROWS, "y"), PredictionsFormat.CSV)
    response = streams.WorkResponse(work, media_type="text/csv", headers={})
    sent = []

    async def send(message):
        sent.append(message["type"])
        if len(sent) > 2:
            await anyio.sleep_forever()

    with anyio.fail_after(20), pytest.raises(anyio.BrokenResourceError):
        await response({"type": "http", "asgi": {"spec_version": "2.3"}}, anyio.sleep_forever, send)
    assert sent == ["http.response.start", "http.response.body", "http.response.body"]
    assert not appliers.pids


@pytest.fixture
def anyio_backend():
    return "asyncio"


def test_work_that_takes_too_long_is_ended(bench, heavy):
    subject = bench.model(ROWS, "y")
    hasty = Processes(slots=1, timeout_s=30)
    try:
        hasty.answer("evaluate", bench.table(ROWS)[0], subject)
        hasty._timeout_s = 0.02
        with pytest.raises(InvalidRequest) as caught:
            hasty.answer("importance", heavy, subject, "loss", repeats=100, seed=0, max_rows=1_000_000)
        assert caught.value.faults[0].code == "too_slow"
        assert not hasty.pids
    finally:
        hasty.close()


def test_closing_ends_what_runs(bench, heavy):
    appliers = Processes(slots=2, timeout_s=30)
    subject = bench.model(ROWS, "y")
    appliers.answer("evaluate", bench.table(ROWS)[0], subject)
    work = appliers.begin("predict", heavy, subject, PredictionsFormat.CSV)
    pids = appliers.pids
    appliers.close()
    with pytest.raises(Unavailable):
        drain(work)
    work.close()
    assert not any(map(is_alive, pids))
    with pytest.raises(Unavailable):
        appliers.begin("evaluate", heavy, subject)
