"""A bucket is marked with the database whose files it holds, and no other one starts on it, writes into it, or sweeps it."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.store.blobs_bucket import MARK, Bucket
from app.store.faults import WrongStore
from tests.crash.test_s3 import sweep, table
from tests.s3 import BUCKET, PREFIX, Line, Machines, Store, machines, objects_named
from tests.service import ROOT, free_port, problem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def stranger(store: Store, tmp_path: Path) -> Iterator[Machines]:
    """Give a machine with another database, and by mistake the same bucket."""
    with machines(tmp_path / "stranger", store) as made:
        yield made


def started(machine: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=machine.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_service_with_another_database_does_not_start_and_says_what_to_do(
    both: Machines, stranger: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.api.start_api()
    made = both.api.upload(table("kept"), "kept.csv")
    mark, before = both.store.content(MARK), both.store.objects()
    api = ("uvicorn", "app.main:app", "--http", "app.api.connection:Connection", "--port", str(free_port()))
    for arguments in (("app",), ("app.worker",), ("app.fill_bucket",), api):
        done = started(stranger.api, *arguments)
        assert done.returncode not in {0, None}, arguments
        for said in (f"s3://{BUCKET}/{PREFIX}", MARK, "DESCENT_DATABASE_URL", "DESCENT_BLOBS_URL"):
            assert said in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr or arguments == api
    with pytest.raises(WrongStore):
        sweep(stranger, tmp_path, monkeypatch)
    doctor = [json.loads(line) for line in started(stranger.api, "app.doctor").stdout.splitlines()]
    (found,) = (one for one in doctor if one["check"] == "blobs")
    assert (found["status"], "another database" in found["found"]) == ("bad", True)
    assert (both.store.content(MARK), both.store.objects()) == (mark, before)
    third = both.machine("third")
    third.start_api()
    assert third.http.get(f"/v1/datasets/{made['id']}/content").content == table("kept")


def test_a_bucket_that_was_away_at_the_start_is_looked_at_before_it_is_changed(
    both: Machines, stranger: Machines
) -> None:
    both.api.start_api()
    kept = both.api.upload(table("kept"), "kept.csv")
    before = both.store.objects()
    both.store.line.cut()
    stranger.api.start_api()
    both.store.line.restore()
    answer = stranger.api.http.post("/v1/datasets", params={"name": "a.csv"}, content=table("kept"))
    problem(answer, 503, "unavailable")
    upload = stranger.api.http.post("/v1/uploads", json={"name": "a.csv"}).json()["id"]
    sent = stranger.api.http.patch(f"/v1/uploads/{upload}", headers={"Upload-Offset": "0"}, content=b"a,b\n")
    problem(sent, 503, "unavailable")
    assert stranger.api.http.delete(f"/v1/uploads/{upload}").status_code == 204
    assert "another database's" in stranger.api.log.read_text()
    assert both.store.objects() == before
    assert both.store.content(f"content/{kept['sha256']}") == table("kept")


def test_a_bucket_without_a_mark_is_adopted_with_all_that_is_in_it(
    both: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one is that an older version filled."""
    both.api.start_api()
    made = both.api.upload(table("kept"), "kept.csv")
    mark = both.store.content(MARK)
    both.store.remove(MARK)
    third = both.machine("third")
    third.start_api()
    assert both.store.content(MARK) == mark, "of the same database"
    assert third.http.get(f"/v1/datasets/{made['id']}/content").content == table("kept")
    assert sweep(both, tmp_path, monkeypatch) == 0
    assert both.store.objects() == objects_named(third)


@pytest.mark.parametrize("knows_conditions", [True, False])
def test_of_many_databases_that_start_at_once_one_has_the_bucket(
    store: Store, monkeypatch: pytest.MonkeyPatch, knows_conditions: bool
) -> None:
    line = Line(store.line.port) if knows_conditions else LineWithoutConditions(store.line.port)
    for name, value in (store.environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{line.port}"}).items():
        monkeypatch.setenv(name, value)
    bucket = Bucket(BUCKET, PREFIX)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(bucket.mark, map(str, range(16 if knows_conditions else 1))))
    assert set(found) == {store.content(MARK).decode()}
    assert bucket.mark("late") == found[0]
    line.cut()


class LineWithoutConditions(Line):
    """To a store that says it knows nothing of them."""

    def _pass_on(self, source: Any, target: Any) -> None:
        body = b"<Error><Code>NotImplemented</Code></Error>"
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if b"if-none-match:" in piece.lower():
                    source.sendall(b"HTTP/1.1 501 Not Implemented\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                else:
                    target.sendall(piece)
