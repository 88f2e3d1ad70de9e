"""A PostgreSQL server of a test's own, that can be killed and started again."""

import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path


class Cluster:
    """A server on a port of this machine; it syncs, since it is to be killed."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="descent-postgres-"))
        # Below the ports that clients get: one that tries again and again while nobody listens would connect to itself.
        self.port = random.SystemRandom().randrange(20_000, 30_000)
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "-l", str(self.folder / "log"), "-w", "-t", "60", "start", "-o", options)

    def kill(self) -> None:
        """End it at once, as a crash would: no transaction is finished, nothing is written out."""
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def close(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.kill()
        shutil.rmtree(self.folder)

    def _run(self, program: str, *arguments: str) -> None:
        (path, *_) = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)
        user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*user, str(path), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)
