"""A proxy between a client and the service that does what lines do: drop, cut, and answer for the service."""

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    Args:
        kind: `lost`: it does not reach the service; `unanswered`: it does, and the answer is lost; `answered`: the proxy
            answers `status` itself; `cut`: so many bytes of the answer's body come; `cut_request`: so many bytes of the
            request's body reach the service.
        bytes: See `cut`.
        status: See `answered`.
        retry_after: The header of that answer.
    """

    kind: str
    bytes: int = 0
    status: int = 503
    retry_after: str = ""


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    at: float


@dataclass
class Proxy:
    """Listens on its own port; `faults` are used up one by one by the requests whose line has `only_for` in it."""

    target: tuple[str, int]
    faults: deque[Fault] = field(default_factory=deque)
    only_for: str = ""
    seen: list[Seen] = field(default_factory=list)
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def close(self) -> None:
        # A blocked accept() does not notice close() alone.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as incoming:
            first = incoming.readline()
            if not first:
                return
            headers = {}
            while (line := incoming.readline()) not in {b"\r\n", b""}:
                name, _, value = line.decode().partition(":")
                headers[name.strip().lower()] = value.strip()
            method, path, _ = first.decode().split()
            self.seen.append(Seen(method, path, headers, time.monotonic()))
            fault = self.faults.popleft() if self.faults and self.only_for in first.decode() else None
            body = incoming.read(int(headers.get("content-length", 0)))
            if fault is not None and fault.kind == "lost":
                return
            if fault is not None and fault.kind == "answered":
                retry = f"Retry-After: {fault.retry_after}\r\n" if fault.retry_after else ""
                client.sendall(f"HTTP/1.1 {fault.status} No\r\n{retry}Content-Length: 0\r\n\r\n".encode())
                return
            kept = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name != "connection")
            with socket.create_connection(self.target) as service:
                service.sendall(first + kept.encode() + b"Connection: close\r\n\r\n")
                if fault is not None and fault.kind == "cut_request":
                    service.sendall(body[: fault.bytes])
                    time.sleep(0.2)
                    return
                service.sendall(body)
                if fault is not None and fault.kind == "unanswered":
                    while service.recv(65536):
                        pass
                    return
                self._relay(service, client, fault.bytes if fault is not None else None)

    @staticmethod
    def _relay(service: socket.socket, client: socket.socket, most: int | None) -> None:
        head, left = b"", most
        in_body = False
        while piece := service.recv(65536):
            if not in_body:
                head += piece
                if b"\r\n\r\n" not in head:
                    continue
                in_body = True
                headers, _, piece = head.partition(b"\r\n\r\n")
                client.sendall(headers + b"\r\n\r\n")
            if left is not None:
                piece = piece[:left]
                left -= len(piece)
            client.sendall(piece)
            if left == 0:
                return


@contextlib.contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    """Give a proxy to a service on this port."""
    running = Proxy(("127.0.0.1", port))
    thread = threading.Thread(target=running.serve, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.close()
        thread.join(5)
