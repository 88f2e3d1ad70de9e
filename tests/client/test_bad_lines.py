"""What a client makes of lines that drop, cut and refuse."""

import asyncio
import os
from hashlib import sha256
from pathlib import Path

import pytest

from descent import AsyncClient, Client, Dataset, Job, Retries, Unreachable, transfers
from descent.errors import ServerError
from tests.client.conftest import FEW_EPOCHS, QUICK
from tests.client.proxy import Fault, Proxy
from tests.service import PENGUINS


@pytest.mark.parametrize("fault", ["lost", "unanswered"])
def test_a_job_is_made_once_however_often_it_is_sent(
    client: Client, far: Client, line: Proxy, birds: Dataset, fault: str
) -> None:
    line.faults.extend([Fault(fault), Fault(fault), Fault("answered", status=502)])
    tag = {"once": f"{fault}-{os.urandom(4).hex()}"}
    job = far.jobs.create(birds.id, target="species", tags=tag, **FEW_EPOCHS)
    assert [one.id for one in client.jobs.list(tag=f"once:{tag['once']}")] == [job.id]
    keys = [request.headers["idempotency-key"] for request in line.seen]
    assert len(keys) == 4
    assert len(set(keys)) == 1
    job.wait(60)


def test_a_dataset_is_sent_again_from_its_start(client: Client, far: Client, line: Proxy) -> None:
    line.faults.append(Fault("unanswered"))
    before = len(list(client.datasets.list()))
    dataset = far.datasets.create(PENGUINS)
    assert dataset.sha256 == sha256(PENGUINS.read_bytes()).hexdigest()
    assert len(list(client.datasets.list())) == before + 1


def test_the_asynchronous_client_retries_the_same(client: Client, line: Proxy) -> None:
    async def go() -> str:
        async with AsyncClient(line.url, retries=QUICK) as far:
            return (await far.datasets.create(PENGUINS)).id

    line.faults.extend([Fault("unanswered"), Fault("lost")])
    before = len(list(client.datasets.list()))
    assert client.datasets.get(asyncio.run(go())).n_rows == 344
    assert len(list(client.datasets.list())) == before + 1


def test_the_wait_is_as_long_as_the_service_asks(far: Client, line: Proxy) -> None:
    line.faults.append(Fault("answered", status=503, retry_after="1"))
    far.limits()
    first, second = line.seen
    assert second.at - first.at >= 1


def test_a_service_that_asks_for_an_hour_is_not_waited_for(far: Client, line: Proxy) -> None:
    line.faults.append(Fault("answered", status=429, retry_after="3600"))
    with pytest.raises(Exception, match="429"):
        far.limits()
    assert len(line.seen) == 1


def test_retries_end(far: Client, line: Proxy) -> None:
    line.faults.extend([Fault("answered", status=503)] * 20)
    with pytest.raises(ServerError) as caught:
        far.limits()
    assert caught.value.attempts == len(line.seen) == 5
    line.faults.clear()
    line.faults.extend([Fault("lost")] * 20)
    with pytest.raises(Unreachable, match="Is the service running"):
        far.limits()


def test_a_bug_of_the_service_is_not_asked_for_again(far: Client, line: Proxy) -> None:
    line.faults.append(Fault("answered", status=500))
    with pytest.raises(ServerError):
        far.limits()
    assert len(line.seen) == 1


def test_waits_are_drawn_and_grow() -> None:
    retries = Retries(most=3, first_s=1, longest_s=3)
    drawn = [{retries.delay_s(attempt) for _ in range(50)} for attempt in (1, 2, 3)]
    assert all(len(delays) > 10 for delays in drawn)
    assert all(0.5 <= delay <= 1 for delay in drawn[0] if delay is not None)
    assert all(1.5 <= delay <= 3 for delay in drawn[2] if delay is not None)
    assert retries.delay_s(4) is None


def test_what_a_lost_answer_did_is_no_error(client: Client, far: Client, line: Proxy, birds: Dataset) -> None:
    job = client.jobs.create(birds, target="species", training={"epochs": 10_000_000})
    next(job.epochs())
    line.faults.append(Fault("unanswered"))
    assert far.jobs.get(job.id).id == job.id
    line.faults.append(Fault("unanswered"))
    far.jobs.get(job.id).pause()
    job.cancel().wait(90)
    line.faults.append(Fault("unanswered"))
    far.jobs.delete(job.id)
    assert job.id not in [one.id for one in client.jobs.list()]


@pytest.mark.parametrize("fault", ["lost", "unanswered"])
def test_a_verb_that_is_sent_twice_does_what_it_does_once(
    client: Client, far: Client, line: Proxy, birds: Dataset, fault: str
) -> None:
    line.only_for = "POST"
    job = client.jobs.create(birds, target="species", training={"epochs": 10_000_000})
    next(job.epochs())
    there = far.jobs.get(job.id)
    for verb, after, waited_for in (
        (there.pause, {"pausing", "paused"}, "paused"),
        (there.resume, {"queued", "running"}, "running"),
        (there.cancel, {"cancelling", "cancelled"}, "cancelled"),
    ):
        line.faults.append(Fault(fault))
        sent = len([one for one in line.seen if one.method == "POST"])
        assert verb().status in after
        assert len([one for one in line.seen if one.method == "POST"]) == sent + 2
        while job.refresh().status != waited_for:
            assert job.status in {*after, "running"}
    assert job.attempt == 2  # it was handed out anew once, by the one resume
    assert [one.epoch for one in job.history()] == list(range(1, job.progress.epoch + 1))


def test_a_stream_that_is_cut_goes_on_without_gap_or_duplicate(far: Client, line: Proxy, ended: Job) -> None:
    line.only_for = "/events"
    # An event has about 300 bytes: each connection ends within one.
    line.faults.extend([Fault("cut", bytes=size) for size in (200, 1000, 700, 1, 2500, 999)])
    job = far.jobs.get(ended.id)
    assert [row.epoch for row in job.epochs()] == list(range(1, 21))
    connections = [request for request in line.seen if request.path.endswith("/events")]
    assert len(connections) == 7
    assert "last-event-id" not in connections[0].headers
    assert connections[-1].headers["last-event-id"].split("-")[0].isdigit()


def test_the_asynchronous_stream_goes_on_as_well(line: Proxy, ended: Job) -> None:
    async def go() -> list[int]:
        async with AsyncClient(line.url, retries=QUICK) as far:
            job = await far.jobs.get(ended.id)
            return [row.epoch async for row in job.epochs()]

    line.only_for = "/events"
    line.faults.extend([Fault("cut", bytes=size) for size in (1000, 700, 999)])
    assert asyncio.run(go()) == list(range(1, 21))


def test_a_download_goes_on_where_it_was_cut(far: Client, line: Proxy, ended: Job, tmp_path: Path) -> None:
    model = far.models.get(ended.model().id)
    line.only_for = "/weights"
    line.faults.extend([Fault("cut", bytes=300), Fault("lost"), Fault("cut", bytes=200)])
    path = model.download(tmp_path / "model.npz")
    assert sha256(path.read_bytes()).hexdigest() == model.sha256
    ranges = [request.headers.get("range") for request in line.seen if "/weights" in request.path]
    assert ranges == [None, "bytes=300-", "bytes=300-", "bytes=500-"]
    assert [one.name for one in tmp_path.iterdir()] == ["model.npz"]


def test_another_run_goes_on_with_what_was_left(far: Client, line: Proxy, ended: Job, tmp_path: Path) -> None:
    model = far.models.get(ended.model().id)
    line.only_for = "/weights"
    line.faults.extend([Fault("cut", bytes=400), *[Fault("lost")] * 10])
    with pytest.raises(Unreachable):
        model.download(tmp_path / "model.npz")
    line.faults.clear()
    model.download(tmp_path / "model.npz")
    assert line.seen[-1].headers["range"] == "bytes=400-"
    assert [one.name for one in tmp_path.iterdir()] == ["model.npz"]


def test_what_was_left_of_another_file_is_not_mixed_in(client: Client, ended: Job, tmp_path: Path) -> None:
    model = ended.model()
    (tmp_path / f".model.npz.{'0' * 64}.part").write_bytes(b"something else")
    path = model.download(tmp_path / "model.npz")
    assert sha256(path.read_bytes()).hexdigest() == model.sha256
    assert [one.name for one in tmp_path.iterdir()] == ["model.npz"]


def test_bytes_that_are_not_those_announced_are_thrown_away(client: Client, ended: Job, tmp_path: Path) -> None:
    model = ended.model()
    (tmp_path / f".model.npz.{model.sha256}.part").write_bytes(b"something else")
    with pytest.raises(Exception, match="SHA-256"):
        model.download(tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a file that is sent in many pieces, since pieces are small here."""
    monkeypatch.setattr(transfers, "WHOLE_BYTES", 10_000)
    monkeypatch.setattr(transfers, "PIECE_BYTES", 30_000)
    path = tmp_path / "large.csv"
    path.write_text("a,b\n" + "".join(f"{number},{number * 7 % 11}{os.urandom(1)[0]}\n" for number in range(20_000)))
    return path


def test_a_large_file_goes_on_at_the_byte_where_it_was_cut(far: Client, line: Proxy, large: Path) -> None:
    line.only_for = "PATCH"
    line.faults.extend([Fault("cut_request", bytes=10_000), Fault("unanswered"), Fault("lost")])
    dataset = far.datasets.create(large)
    assert dataset.sha256 == sha256(large.read_bytes()).hexdigest()
    assert (dataset.name, dataset.n_rows) == ("large", 20_000)
    pieces = [request for request in line.seen if request.method == "PATCH"]
    least = -(-large.stat().st_size // 30_000)
    assert least <= len(pieces) <= least + 4


def test_a_large_file_goes_on_in_another_run(far: Client, line: Proxy, large: Path) -> None:
    line.only_for = "PATCH"
    line.faults.extend([Fault("unanswered"), Fault("unanswered"), *[Fault("lost")] * 20])
    with pytest.raises(Unreachable):
        far.datasets.create(large)
    line.faults.clear()
    begun = len(line.seen)
    first = far.datasets.create(large)
    offsets = [int(one.headers["upload-offset"]) for one in line.seen[begun:] if one.method == "PATCH"]
    assert offsets[0] > 0
    assert first.sha256 == sha256(large.read_bytes()).hexdigest()
    assert far.datasets.create(large).id != first.id
