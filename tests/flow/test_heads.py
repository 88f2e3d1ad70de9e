"""First lines and headers that have no end, and what is no HTTP at all."""

import contextlib
import json
import socket
from pathlib import Path

import pytest

from tests.service import Service

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


def told(service: Service, *pieces: bytes) -> tuple[int, dict[str, object], int]:
    """Send pieces until the service hangs up; give status, problem, and how many bytes went out."""
    sent = 0
    with socket.create_connection(("127.0.0.1", service.port), 20) as line:
        try:
            for piece in pieces:
                line.sendall(piece)
                sent += len(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while piece := line.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    return int(head.split()[1]), json.loads(body), sent


def memory_kib(service: Service) -> int:
    assert service.api is not None
    status = Path(f"/proc/{service.api.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def test_what_is_no_http_has_a_problem(service: Service) -> None:
    assert told(service, b"hello\r\n\r\n")[:2] == (400, {
        "type": "/docs/problems#invalid_http", "title": "Invalid HTTP", "status": 400,
        "detail": "Invalid HTTP request received.", "code": "invalid_http", "errors": [],
    })  # fmt: skip


def test_a_first_line_of_more_than_64_kib_has_a_problem(service: Service) -> None:
    status, problem, _ = told(service, b"GET /healthz?" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n")
    assert (status, problem["code"]) == (400, "invalid_http")


@pytest.mark.parametrize("endless", [b"a" * 65_536, b"X-B: 1\r\n" * 8_192], ids=["one header", "many headers"])
def test_headers_without_end_are_cut_and_take_no_memory(service: Service, endless: bytes) -> None:
    before = memory_kib(service)
    status, problem, sent = told(service, GET, b"X-A: ", *[endless] * 1_600)
    assert (status, problem["code"]) == (431, "head_too_large")
    assert sent < 40 * 2**20  # what fits between the two
    assert memory_kib(service) - before < 20_000


def test_trailers_without_end_are_cut(service: Service) -> None:
    chunked = b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    before = memory_kib(service)
    sent = 0
    with socket.create_connection(("127.0.0.1", service.port), 20) as line, contextlib.suppress(OSError):
        line.sendall(chunked)
        for _ in range(1_600):
            line.sendall(b"X-B: 1\r\n" * 8_192)
            sent += 65_536
    assert sent < 40 * 2**20
    assert memory_kib(service) - before < 20_000


def test_a_large_body_is_no_head(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), 20) as line:
        line.sendall(b"POST /v1/datasets?name=a.csv HTTP/1.1\r\nHost: x\r\nContent-Length: 400003\r\n\r\na\n")
        line.sendall(b"1" * 400_000 + b"\n" + GET + b"\r\n")  # and the next request after it
        answers = b""
        while answers.count(b"HTTP/1.1") < 2 or not answers.endswith(b"}"):
            answers += line.recv(65536)
    assert b'{"status":"alive"}' in answers
