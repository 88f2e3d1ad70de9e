"""The command, as its users start it."""

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from descent import Client, Dataset, Job
from descent.plot import curve
from tests.service import PENGUINS, ROOT, Service, free_port

DESCENT = [sys.executable, "-m", "descent"]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DESCENT_")}
    return {**kept, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", **more}


def descent(*arguments: str, cwd: Path, typed: str = "", within_s: float = 150, **more: str) -> Any:
    return subprocess.run(
        [*DESCENT, *arguments],
        cwd=cwd,
        env=environment(**more),
        input=typed,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


@pytest.fixture
def url(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_one_command_does_the_whole_job_without_a_service(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    arguments = ("train", str(PENGUINS), "--target", "species", "--epochs", "40", "-r", "0.01", "--local", "--json")
    done = descent(*arguments, cwd=tmp_path, TMPDIR=str(scratch))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["status"] == "succeeded"
    assert said["metrics"]["metrics"]["accuracy"] > 0.95
    onnxruntime.InferenceSession(tmp_path / said["path"])
    assert list(scratch.glob("descent-*")) == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ctrl_c_saves_what_was_learned_and_leaves_no_process(tmp_path: Path) -> None:
    arguments = ("train", str(PENGUINS), "-t", "species", "--epochs", "10000000", "--data-dir", "kept", "-o", "m.npz")
    with _started(*arguments, cwd=tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch "):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "cancelled" in out
    with np.load(tmp_path / "m.npz", allow_pickle=False) as weights:
        assert weights["layers.0.weight"].shape == (32, 10)
    assert _processes_with(str(tmp_path / "kept")) == []


def _processes_with(text: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
    return found


def test_training_on_a_running_service_prints_plain_lines(url: str, tmp_path: Path) -> None:
    arguments = ("train", str(PENGUINS), "-t", "body_mass_g", "--hidden", "8,4", "--epochs", "5", "-o", "mass.onnx")
    done = descent(*arguments, "--url", url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "epoch 5/5" in done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert float(lines["rmse"]) > 0
    assert lines["saved"] == "mass.onnx"


def test_a_terminal_shows_the_curve(url: str, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    arguments = ("train", str(PENGUINS), "-t", "species", "--epochs", "200", "--url", url)
    process = subprocess.Popen(
        [*DESCENT, *arguments],
        cwd=tmp_path,
        env=environment(TERM="xterm", COLUMNS="80", LINES="40", LANG="C.UTF-8", PYTHONIOENCODING="utf-8"),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = io.BytesIO()
    with contextlib.suppress(OSError):  # a terminal that is closed on the other side is an error to read
        while select.select([leader], [], [], 60)[0] and (piece := os.read(leader, 65536)):
            shown.write(piece)
    os.close(leader)
    assert process.wait(60) == 0
    text = shown.getvalue().decode(errors="replace")
    assert "validation loss" in text
    assert any(0x2801 <= ord(letter) <= 0x28FF for letter in text)


def test_jobs_are_listed_watched_downloaded_and_used(url: str, client: Client, ended: Job, tmp_path: Path) -> None:
    done = descent("jobs", "--url", url, "--limit", "2", "--json", cwd=tmp_path)
    assert next(one["id"] for one in json.loads(done.stdout)) == ended.id
    done = descent("jobs", cwd=tmp_path, DESCENT_URL=url)
    assert done.stdout.splitlines()[0].split("\t")[:2] == [ended.id, "succeeded"]
    done = descent("watch", ended.id, "--json", "--url", url, cwd=tmp_path)
    assert [json.loads(line)["epoch"] for line in done.stdout.splitlines()] == list(range(1, 21))
    done = descent("download", ended.id, "-o", "m.npz", "--url", url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "m.npz\n")
    assert (tmp_path / "m.npz").stat().st_size == ended.model().size_bytes
    before = len(list(client.datasets.list()))
    done = descent("predict", ended.id, str(PENGUINS), "--url", url, cwd=tmp_path)
    assert done.stdout.splitlines()[0] == "species,p_Adelie,p_Chinstrap,p_Gentoo"
    assert len(done.stdout.splitlines()) == 345
    assert len(list(client.datasets.list())) == before
    done = descent("predict", ended.id, str(PENGUINS), "--json", "--url", url, cwd=tmp_path)
    first = json.loads(done.stdout)[0]
    assert first["species"] in {"Adelie", "Chinstrap", "Gentoo"}
    assert sum(first[name] for name in ("p_Adelie", "p_Chinstrap", "p_Gentoo")) == pytest.approx(1)
    row = dict.fromkeys(ended.resolved.features)
    done = descent("predict", ended.id, "--url", url, cwd=tmp_path, typed=json.dumps(row))
    assert json.loads(done.stdout)[0]["value"] in {"Adelie", "Chinstrap", "Gentoo"}


def test_exit_codes_tell_what_went_wrong(url: str, client: Client, birds: Dataset, tmp_path: Path) -> None:
    wrong = descent("train", str(PENGUINS), "-t", "species", "--optimizer", "adm", "--url", url, cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "adamw" in wrong.stderr
    assert descent("download", "model_none", "-o", "m.npz", "--url", url, cwd=tmp_path).returncode == 2
    assert descent("train", "no.csv", "-t", "species", cwd=tmp_path).returncode == 2
    assert descent("predict", "job_x", cwd=tmp_path, typed="1", DESCENT_URL=url).returncode == 2
    away = descent("jobs", "--url", f"http://127.0.0.1:{free_port()}", cwd=tmp_path)
    assert away.returncode == 3
    assert "descent serve" in away.stderr
    assert "Traceback" not in away.stderr
    job = client.jobs.create(
        birds,
        target="year",
        task="regression",
        training={"optimizer": {"name": "gradient_descent", "learning_rate": 1e6}},
    )
    failed = descent("watch", job.id, "--url", url, cwd=tmp_path)
    assert failed.returncode == 1
    assert "diverged" in failed.stderr


@pytest.mark.parametrize("output", ["model.xyz", "no/such/folder/model.onnx"])
def test_where_a_model_cannot_go_is_told_before_the_training(
    url: str, client: Client, tmp_path: Path, output: str
) -> None:
    before = [job.id for job in client.jobs.list()]
    done = descent("train", str(PENGUINS), "-t", "species", "-o", output, "--url", url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert output.partition("/model")[0] in done.stderr
    assert [job.id for job in client.jobs.list()] == before


def test_a_narrow_terminal_leaves_ids_whole_in_a_line_each(url: str, ended: Job, tmp_path: Path) -> None:
    shown = _in_a_terminal(50, "jobs", "--url", url, "--limit", "2", cwd=tmp_path)
    assert [line for line in shown.splitlines() if line.startswith(ended.id)] != []
    assert len(shown.strip().splitlines()) <= 3
    assert "\x1b[3" not in _in_a_terminal(50, "jobs", "--url", url, cwd=tmp_path, NO_COLOR="1")


def _in_a_terminal(columns: int, *arguments: str, cwd: Path, **more: str) -> str:
    """Run a command in a terminal of so many columns, and give what it shows."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    said = environment(TERM="xterm", **more)
    with subprocess.Popen([*DESCENT, *arguments], cwd=cwd, env=said, stdout=follower, stderr=follower) as process:
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # that is how the other end is closed
            while piece := os.read(leader, 65536):
                shown += piece
        os.close(leader)
        assert process.wait(30) == 0
    return shown.decode()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_service_is_served_migrated_and_examined(tmp_path: Path) -> None:
    for _ in range(2):
        done = descent("migrate", "--data-dir", "kept", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "The database is up to date.\n")
    port = free_port()
    arguments = ("serve", "--port", str(port), "--data-dir", "kept")
    with _started(*arguments, cwd=tmp_path) as process, Client(f"http://127.0.0.1:{port}") as client:
        deadline = time.monotonic() + 90
        while not (client.is_alive() and client.ready().workers):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        done = descent("doctor", "--json", "--data-dir", "kept", cwd=tmp_path)
        found = {one["check"]: one["status"] for one in json.loads(done.stdout)}
        assert set(found) == {"python", "packages", "database", "blobs", "workers", "disk", "blas"}
        assert {found[name] for name in ("python", "database", "blobs", "workers")} == {"ok"}
        assert done.returncode == 0
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Fatal" not in said


@contextlib.contextmanager
def _started(*arguments: str, cwd: Path) -> Iterator["subprocess.Popen[str]"]:
    """Give a running command, which does not outlive a test that fails."""
    with subprocess.Popen(
        [*DESCENT, *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_the_doctor_says_what_is_bad(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    done = descent("doctor", cwd=tmp_path, DESCENT_DATABASE_URL=url)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("bad")]
    assert "DESCENT_DATABASE_URL" in line
    assert descent("doctor", cwd=tmp_path, DESCENT_PROT="1").returncode == 1


def test_a_curve_falls_from_the_left_to_the_right() -> None:
    lines = curve([4.0, 3.0, 2.0, 1.0], width=2, height=1)
    # One point in each column, each one row lower: 0x01, 0x10, then 0x04, 0x80.
    assert lines == [f"4 {chr(0x2800 | 0x01 | 0x10)}{chr(0x2800 | 0x04 | 0x80)}"]
    assert curve([], width=10, height=2) == []
    assert curve([None, float("nan")], width=10, height=2) == []
    assert len(curve([1e6, 1.0, 0.0, None], width=10, height=3)) == 3
