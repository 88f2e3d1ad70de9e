"""Everything on one machine: `python -m app` brings the database up to date and starts a worker and the API."""

import os
import subprocess
import sys
import threading

# Before anything loads NumPy: the API answers from many threads, and each may call it with one thread only.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import uvicorn

from app.api.connection import Connection
from app.main import create_app
from app.migrate import migrate_all
from app.settings import Settings, settings
from app.store.blobs_by_url import open_blobs
from app.store.faults import WrongStore
from app.store.identity import claim_at_start
from app.store.session import Database

WORKER_ENDS_WITHIN_S = 10.0
RESTART_AFTER_S = 1.0


class Worker:
    """The worker's process: started again if it ends by itself, ended with us.

    It runs outside of our terminal's process group, so that Ctrl-C reaches it only through us; and when we are killed, the
    pipe to it closes, and it ends too.
    """

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._process = self._start()
        threading.Thread(target=self._watch, daemon=True).start()

    def end(self) -> None:
        """Have it write its checkpoints and end."""
        self._ending.set()
        self._process.terminate()
        try:
            self._process.wait(WORKER_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "app.worker", "--end-with-stdin"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def _watch(self) -> None:
        while not self._ending.is_set():
            self._process.wait()
            if not self._ending.wait(RESTART_AFTER_S):
                self._process = self._start()


class Server(uvicorn.Server):
    """Says where it is once it answers."""

    def __init__(self, configured: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(configured),
                http=Connection,
                host=configured.host,
                port=configured.port,
                log_level="warning",
                timeout_graceful_shutdown=5,
                timeout_keep_alive=75,
            )
        )
        self._configured = configured

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Start, then greet."""
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            sys.stdout.write(_greeting(f"http://{self._configured.host}:{port}", self._configured))
            sys.stdout.flush()


def _greeting(address: str, configured: Settings) -> str:
    return f"""
  Descent is running.      page   {address}/
                           API    {address}/docs
                           data   {configured.data_dir.resolve()}

  Try:  curl -s '{address}/v1/datasets?name=penguins.csv' --data-binary @examples/penguins.csv
  Stop: Ctrl-C

"""


def main() -> int:
    """Run until Ctrl-C."""
    configured = settings()
    configured.data_dir.mkdir(parents=True, exist_ok=True)
    migrate_all(configured)
    database = Database(configured.database)
    try:
        claim_at_start(database, open_blobs(configured))
    except WrongStore as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        database.dispose()
    worker = Worker()
    server = Server(configured)
    try:
        server.run()
    except KeyboardInterrupt:
        pass  # uvicorn raises it again after it has shut down in good order
    finally:
        worker.end()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
