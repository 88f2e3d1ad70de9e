"""Datasets as `multipart/form-data`: the same as the raw bytes, and every fault of a form is told."""

import contextlib
import http.client
import json
import socket
from typing import Any

import httpx
import pytest

from tests.service import PENGUINS, Service, pointers, problem

TABLE = b"a,b\n1,2\n3,4\n"
FILE = b'Content-Disposition: form-data; name="file"; filename="t.csv"\r\n'


def form(*parts: bytes, end: bytes = b"--B--\r\n") -> bytes:
    return b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + end


def send(service: Service, body: bytes, content_type: str = "multipart/form-data; boundary=B") -> httpx.Response:
    return service.http.post("/v1/datasets", content=body, headers={"Content-Type": content_type})


def part(name: str, value: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def stored_files(service: Service) -> int:
    return sum(1 for path in (service.data_dir / "blobs").rglob("*") if path.is_file())


def test_a_form_makes_the_same_dataset_as_the_raw_bytes(service: Service) -> None:
    raw = service.upload(PENGUINS.read_bytes(), "penguins.csv")
    answer = service.http.post("/v1/datasets", files={"file": ("penguins.csv", PENGUINS.read_bytes(), "text/csv")})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/datasets/{answer.json()['id']}"
    different = {"id", "created_at"}
    assert {k: v for k, v in answer.json().items() if k not in different} == {
        k: v for k, v in raw.items() if k not in different
    }


@pytest.mark.parametrize("where", ["query", "form"])
def test_name_format_and_kinds_are_taken_from_query_or_form(service: Service, where: str) -> None:
    said = {"name": "Ünï", "format": "csv", "kinds": json.dumps({"a": "categorical"})}
    fields = {"data": said} if where == "form" else {"params": said}
    answer = service.http.post("/v1/datasets", files={"file": ("x.json", TABLE)}, **fields)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["columns"][0]["kind"]) == ("Ünï", "categorical")


def test_what_is_said_in_query_and_form_is_refused(service: Service) -> None:
    twice = {"name": "n", "format": "csv", "kinds": '{"a": "text"}'}
    answer = service.http.post("/v1/datasets", params=twice, data=twice, files={"file": ("t.csv", TABLE)})
    assert pointers(problem(answer, 422, "invalid_request")) == {"?name", "?format", "?kinds"}


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("../../etc/penguins.csv", "penguins"),
        (r"C:\\Users\\ann\\penguins.csv", "penguins"),
        ("パンギン.csv", "パンギン"),
        ("x" * 600 + ".csv", "x" * 196),
        ("a\x01b.csv", "ab"),
        ("/.csv", ".csv"),
    ],
)
def test_a_file_name_however_odd_becomes_a_name(service: Service, file_name: str, name: str) -> None:
    head = f'Content-Disposition: form-data; name="file"; filename="{file_name}"\r\nContent-Type: text/csv\r\n\r\n'
    answer = send(service, form(head.encode() + TABLE))
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == name
    assert not [path for path in service.data_dir.rglob("*") if "penguins" in path.name or "パ" in path.name]


@pytest.mark.parametrize("step", [1, 7, 64])
def test_a_form_may_be_cut_anywhere_between_its_pieces(service: Service, step: int) -> None:
    nearly_boundaries = b'a,b\r\n1,"\r\n--A\r\n-"\r\n3,"\n--B\r--B--"\r\n'
    body = form(part("name", "tricky"), FILE + b"Content-Type: text/csv\r\n\r\n" + nearly_boundaries)
    pieces = (body[i : i + step] for i in range(0, len(body), step))
    answer = service.http.post(
        "/v1/datasets", content=pieces, headers={"Content-Type": "multipart/form-data; boundary=B"}
    )
    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["n_rows"]) == ("tricky", 2)
    assert service.http.get(f"/v1/datasets/{answer.json()['id']}/content").content == nearly_boundaries


FORMS: dict[str, tuple[bytes, int, str, set[str]]] = {
    "no part": (form(), 422, "invalid_request", {"/file"}),
    "no file": (form(part("name", "n")), 422, "invalid_request", {"/file"}),
    "two files": (form(FILE + b"\r\n" + TABLE, FILE + b"\r\n" + TABLE), 422, "invalid_request", {"/file"}),
    "a field twice": (
        form(FILE + b"\r\n" + TABLE, part("name", "a"), part("name", "b")),
        422,
        "invalid_request",
        {"/name"},
    ),
    "everything wrong at once": (
        form(part("nme", "x"), part("format", "xls"), part("kinds", "{"), part("name", "")),
        422,
        "invalid_request",
        {"/file", "/nme", "/format", "/kinds", "/name"},
    ),
    "kinds that are none": (
        form(FILE + b"\r\n" + TABLE, part("kinds", '{"a": "colour"}')),
        422,
        "invalid_request",
        {"/kinds/a"},
    ),
    "kinds nested deeply": (
        form(FILE + b"\r\n" + TABLE, part("kinds", "[" * 100_000)),
        422,
        "invalid_request",
        {"/kinds"},
    ),
    "kinds that are too long": (
        form(FILE + b"\r\n" + TABLE, part("kinds", " " * 500_000)),
        422,
        "invalid_request",
        {"/kinds"},
    ),
    "a name that is no text": (
        form(FILE + b"\r\n" + TABLE, b'Content-Disposition: form-data; name="name"\r\n\r\n\xff'),
        422,
        "invalid_request",
        {"/name"},
    ),
    "an empty file": (form(FILE + b"\r\n"), 422, "empty_dataset", set()),
    "an end that never comes": (form(FILE + b"\r\n" + TABLE, end=b""), 400, "invalid_multipart", set()),
    "an end in the middle of a boundary": (form(FILE + b"\r\n" + TABLE, end=b"--B-"), 400, "invalid_multipart", set()),
    "an end in the middle of a header": (b"--B\r\nContent-Dispo", 400, "invalid_multipart", set()),
    "no form at all": (TABLE, 400, "invalid_multipart", set()),
    "nothing": (b"", 400, "invalid_multipart", set()),
    "a part without a name": (form(b"Content-Type: text/csv\r\n\r\n" + TABLE), 400, "invalid_multipart", set()),
    "a part in base64": (
        form(FILE + b"Content-Transfer-Encoding: base64\r\n\r\nYSxi"),
        400,
        "invalid_multipart",
        set(),
    ),
    "a header without end": (b"--B\r\nX: " + b"x" * 100_000, 400, "invalid_multipart", set()),
    "a thousand parts": (form(*[part(f"p{i}", "x") for i in range(1000)]), 400, "invalid_multipart", set()),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_none_is_refused_and_leaves_nothing(service: Service, name: str) -> None:
    body, status, code, expected = FORMS[name]
    before = stored_files(service)
    answer = send(service, body)
    assert pointers(problem(answer, status, code)) == expected
    assert stored_files(service) == before


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "b" * 5000, '; boundary="'])
def test_a_boundary_that_is_none_is_refused(service: Service, boundary: str) -> None:
    answer = send(service, form(FILE + b"\r\n" + TABLE), f"multipart/form-data{boundary}")
    problem(answer, 400, "invalid_multipart")


def test_a_format_that_no_part_of_the_form_tells_is_told_by_the_bytes(service: Service) -> None:
    answer = service.http.post("/v1/datasets", files={"file": ("table", TABLE, "application/octet-stream")})
    assert (answer.status_code, answer.json()["format"]) == (201, "csv")
    answer = service.http.post("/v1/datasets", files={"file": ("table", b"%PDF-1.7\n", "application/octet-stream")})
    assert pointers(problem(answer, 415, "unsupported_format")) == {"?format"}
    read = {"separator": ";", "header": "false", "encoding": "latin-1", "name": "wine"}
    answer = service.http.post(
        "/v1/datasets", data=read, files={"file": ("table", b"ros\xe9;1\nblanc;2\n", "text/csv")}
    )
    assert answer.json()["read"] == {
        "encoding": "iso8859-1", "separator": ";", "has_header": False, "compression": None
    }  # fmt: skip
    named = service.http.post(
        "/v1/datasets", files={"file": ("t.csv", TABLE, "application/octet-stream")}, params={"name": "penguins"}
    )
    assert (named.status_code, named.json()["name"]) == (201, "penguins")


def test_a_form_with_the_same_key_is_answered_once_whatever_its_boundary(service: Service) -> None:
    def post(boundary: str, table: bytes = TABLE, name: str = "t.csv") -> httpx.Response:
        headers = {"Idempotency-Key": "form", "Content-Type": f"multipart/form-data; boundary={boundary}"}
        return service.http.post("/v1/datasets", files={"file": (name, table)}, headers=headers)

    first, again = post("one"), post("another")
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    problem(post("one", TABLE + b"5,6\n"), 422, "idempotency_key_reused")
    problem(post("one", name="other.csv"), 422, "idempotency_key_reused")


def test_a_body_that_ends_before_its_content_length_stores_nothing(service: Service) -> None:
    before = stored_files(service)
    for path, content_type, body in (
        ("/v1/datasets?format=csv", "text/csv", TABLE),
        ("/v1/datasets", "multipart/form-data; boundary=B", form(FILE + b"\r\n" + TABLE)),
    ):
        with socket.create_connection(("127.0.0.1", service.port), 10) as connection:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type}\r\nContent-Length: 100000\r\n\r\n"
            connection.sendall(head.encode() + body)
            connection.shutdown(socket.SHUT_WR)
            answer: Any = connection.recv(1000)
        assert not answer.startswith(b"HTTP/1.1 2"), answer
    assert service.http.get("/healthz").status_code == 200
    assert stored_files(service) == before
    assert "ClientDisconnect" not in service.log.read_text(), "a cut connection is no fault of the service"


def test_a_form_larger_than_allowed_is_refused_before_it_is_read(service: Service) -> None:
    announced = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    with contextlib.closing(announced):
        announced.putrequest("POST", "/v1/datasets")
        announced.putheader("Content-Type", "multipart/form-data; boundary=B")
        announced.putheader("Content-Length", str(2**50))
        announced.endheaders()
        assert announced.getresponse().status == 413
