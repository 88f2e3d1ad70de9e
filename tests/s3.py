"""A server that speaks S3 (moto's, in an environment of its own), and a line to it that can be cut."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from app.store import weights
from app.store.blobs_bucket import MARK
from app.store.session import Database
from app.store.tables import ModelRow
from tests.service import ROOT, Service, fresh_database

SERVER = os.environ.get("TEST_S3_SERVER", str(ROOT / ".venv-s3" / "bin" / "moto_server"))
BUCKET = "descent-test"
PREFIX = "some/where"
URL = f"s3://{BUCKET}/{PREFIX}"
READY_WITHIN_S = 60


class Line:
    """Passes bytes on to a port of this machine, and counts them. Cut, it drops every connection and refuses new ones.

    `wait_s` is how long each 64 KiB, or what comes at once, is kept back.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = _listen(0)
        self.port = int(self._listener.getsockname()[1])
        self.n_bytes = 0
        self.wait_s = 0.0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.restore()

    def restore(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = _listen(self.port)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._join, args=(client, server), daemon=True).start()

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self._open |= {client, server}
        back = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
        back.start()
        self._pass_on(client, server)
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                time.sleep(self.wait_s)
                target.sendall(piece)
                self.n_bytes += len(piece)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


class Store:
    """A running server with one bucket, and the line to it that the service is to use."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        with (folder / "s3.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [SERVER, "-H", "127.0.0.1", "-p", str(port)], cwd=folder, stdout=log, stderr=log
            )
        # It checks no signature, but gives nothing to those who have none.
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, Signature=0"}
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=signed, timeout=30)
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                if self._http.put(f"/{BUCKET}").status_code == 200:
                    break
            assert time.monotonic() < deadline, "the S3 server did not get ready"
            time.sleep(0.1)
        self.line = Line(port)
        self.environment = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.line.port}",
        }

    def freeze(self) -> None:
        """Stop it where it is; when this returns, none of its threads goes on."""
        self._process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while not self.is_frozen():
            assert time.monotonic() < deadline, "it does not stop"
            time.sleep(0.01)

    def is_frozen(self) -> bool:
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.line.cut()
        self._http.close()
        self._process.kill()
        self._process.wait()

    def objects(self) -> set[str]:
        """Give the keys of all objects but the mark, without the prefix."""
        answer = self._http.get(f"/{BUCKET}", params={"list-type": "2"})
        assert answer.status_code == 200, answer.text
        found = re.findall(r"<Key>([^<]+)</Key>", answer.text)
        assert all(key.startswith(f"{PREFIX}/") for key in found)
        return {key.removeprefix(f"{PREFIX}/") for key in found if not key.endswith(f"/{MARK}")}

    def content(self, key: str) -> bytes:
        answer = self._http.get(f"/{BUCKET}/{PREFIX}/{key}")
        assert answer.status_code == 200, key
        return answer.content

    def damage(self, key: str) -> None:
        """Change one byte of an object, and nothing of what is said of it."""
        answer = self._http.get(f"/{BUCKET}/{PREFIX}/{key}")
        content = bytearray(answer.content)
        content[len(content) // 2] ^= 1
        said = {name: value for name, value in answer.headers.items() if name.startswith("x-amz-meta-")}
        assert said, "it has a hash"
        assert self._http.put(f"/{BUCKET}/{PREFIX}/{key}", content=bytes(content), headers=said).status_code == 200

    def overwrite(self, key: str, content: bytes) -> None:
        """Store something else, without a hash."""
        assert self._http.put(f"/{BUCKET}/{PREFIX}/{key}", content=content).status_code == 200

    def remove(self, key: str) -> None:
        assert self._http.delete(f"/{BUCKET}/{PREFIX}/{key}").status_code == 204


@contextlib.contextmanager
def store_in(folder: Path) -> Iterator[Store]:
    folder.mkdir(parents=True, exist_ok=True)
    running = Store(folder)
    try:
        yield running
    finally:
        running.thaw()
        running.close()


class Machines:
    """An API on one machine and workers on another, which share a database and a bucket, and no folder."""

    def __init__(self, folder: Path, store: Store, database_url: str | None, **settings: str) -> None:
        self._folder, self._store, self._settings = folder, store, settings
        self._url = database_url
        self.store = store
        self._all: list[Service] = []
        self.api = self.machine("a")
        self.trains = self.machine("b")

    def machine(self, name: str) -> Service:
        """Give a machine whose folder is empty."""
        folder = self._folder / name
        folder.mkdir(parents=True)
        if self._url is None:
            # The database is a file, beside which workers show that they live.
            first = self._folder / "a"
            (first / "workers").mkdir(exist_ok=True)
            if name != "a":
                (folder / "workers").symlink_to(first / "workers")
        url = self._url or f"sqlite:///{self._folder / 'a' / 'descent.db'}"
        one = Service(folder, url, **{"worker_slots": "1", "blobs_url": URL, **self._settings})
        one.environment |= self._store.environment
        self._all.append(one)
        return one

    def start(self) -> "Machines":
        self.api.start_api()
        self.trains.start_worker()
        self.api._until(lambda: self.api.http.get("/readyz").json()["workers"] >= 1)
        return self

    def close(self) -> None:
        for one in self._all:
            one.close()


@contextlib.contextmanager
def machines(folder: Path, store: Store, **settings: Any) -> Iterator[Machines]:
    """Give two machines that have not been started."""
    with fresh_database() as url:
        both = Machines(folder, store, url, **settings)
        try:
            yield both
        finally:
            both.close()


def objects_named(service: Service) -> set[str]:
    """Give the keys of the objects that the datasets and models of a service need."""
    datasets = service.http.get("/v1/datasets", params={"limit": 100}).json()["items"]
    database = Database(service.environment["DESCENT_DATABASE_URL"])
    try:
        with database.reading() as session:
            models = list(session.scalars(select(ModelRow)))
    finally:
        database.dispose()
    return {
        *(f"content/{one['sha256']}" for one in datasets),
        *(f"datasets/{one['id']}/table.arrow" for one in datasets),
        *(f"{weights.files_of(one)}/weights.npz" for one in models),
        *(
            f"{weights.files_of(one)}/{which}.npz"
            for one in models
            for which, version in (one.versions or {}).items()
            if version["sha256"] != one.sha256
        ),
    }
