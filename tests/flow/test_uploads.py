"""Datasets sent in pieces: what was acknowledged stays, what does not fit is refused, and the dataset is the same."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from tests.service import PENGUINS, Service, pointers, problem

TABLE = PENGUINS.read_bytes()
# More than a killed service may lose of a piece.
LARGE = TABLE + TABLE[TABLE.index(b"\n") + 1 :] * 600
SHA256 = hashlib.sha256(TABLE).hexdigest()


def begin(service: Service, **fields: Any) -> str:
    answer = service.http.post("/v1/uploads", json={"name": "penguins.csv", **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/uploads/{answer.json()['id']}"
    return str(answer.json()["id"])


def append(service: Service, upload: str, offset: int, piece: bytes) -> httpx.Response:
    return service.http.patch(f"/v1/uploads/{upload}", headers={"Upload-Offset": str(offset)}, content=piece)


def complete(service: Service, upload: str) -> httpx.Response:
    return service.http.post(f"/v1/uploads/{upload}/complete")


def offset_of(service: Service, upload: str) -> int:
    told = service.http.get(f"/v1/uploads/{upload}")
    looked = service.http.head(f"/v1/uploads/{upload}")
    assert (looked.status_code, looked.content) == (200, b"")
    assert int(told.headers["Upload-Offset"]) == int(looked.headers["Upload-Offset"]) == told.json()["offset"]
    return int(told.json()["offset"])


def parts(service: Service, upload: str) -> list[Path]:
    return list((service.data_dir / "blobs").rglob(f"{upload}*"))


def open_piece(service: Service, upload: str, offset: int, length: int, sent: bytes) -> socket.socket:
    """Begin to send a piece, and leave it at that."""
    connection = socket.create_connection(("127.0.0.1", service.port), 30)
    head = (
        f"PATCH /v1/uploads/{upload} HTTP/1.1\r\nHost: x\r\nUpload-Offset: {offset}\r\nContent-Length: {length}\r\n\r\n"
    )
    connection.sendall(head.encode() + sent)
    return connection


def wait_until_some_is_kept(service: Service, upload: str) -> None:
    """Wait for a piece that is being sent to be under way; nobody else can add to the upload from then on."""
    deadline = time.monotonic() + 60
    while service.http.get(f"/v1/uploads/{upload}").json()["offset"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def neighbour(service: Service) -> Iterator[Service]:
    """Give another owner's API on the same database and files."""
    url = service.environment.get("DESCENT_DATABASE_URL")
    other = Service(service.data_dir, url, owner="bob")
    try:
        other.start_api()
        yield other
    finally:
        other.close()


def test_pieces_make_the_same_dataset_as_one_body(service: Service) -> None:
    whole = service.upload(TABLE, "penguins.csv")
    upload = begin(service, size_bytes=len(TABLE), sha256=SHA256, kinds={})
    for start in range(0, len(TABLE), 4000):
        answer = append(service, upload, start, TABLE[start : start + 4000])
        assert answer.status_code == 200, answer.text
        end = min(start + 4000, len(TABLE))
        assert (answer.json()["offset"], answer.headers["Upload-Offset"]) == (end, str(end))
    made = complete(service, upload)
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == f"/v1/datasets/{made.json()['id']}"
    different = {"id", "created_at"}
    assert {k: v for k, v in made.json().items() if k not in different} == {
        k: v for k, v in whole.items() if k not in different
    }
    assert service.http.get(f"/v1/datasets/{made.json()['id']}/content").content == TABLE
    assert not parts(service, upload), "the pieces are stored once"
    assert service.http.get(f"/v1/uploads/{upload}").json()["dataset_id"] == made.json()["id"]


def test_completing_twice_gives_the_same_dataset(service: Service) -> None:
    upload = begin(service)
    append(service, upload, 0, TABLE)
    first, again = complete(service, upload), complete(service, upload)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    problem(append(service, upload, len(TABLE), b"x"), 409, "upload_complete")
    assert service.http.delete(f"/v1/uploads/{upload}").status_code == 204
    assert service.http.get(f"/v1/datasets/{first.json()['id']}").status_code == 200
    problem(complete(service, upload), 404, "not_found")


def test_completing_from_many_clients_makes_one_dataset(service: Service) -> None:
    upload = begin(service)
    append(service, upload, 0, TABLE)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: complete(service, upload), range(8)))
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert made == {complete(service, upload).json()["id"]}
    for answer in answers:
        if answer.status_code != 201:
            assert answer.json()["code"] in {"upload_busy", "upload_complete"}
            problem(answer, 409, answer.json()["code"])


@pytest.mark.parametrize("offset", ["1", "3999", "4001", str(2**53)])
def test_a_piece_at_another_offset_is_told_the_right_one(service: Service, offset: str) -> None:
    upload = begin(service)
    append(service, upload, 0, TABLE[:4000])
    answer = service.http.patch(f"/v1/uploads/{upload}", headers={"Upload-Offset": offset}, content=b"x")
    body = problem(answer, 409, "wrong_offset")
    assert (answer.headers["Upload-Offset"], pointers(body)) == ("4000", {"header:Upload-Offset"})
    assert offset_of(service, upload) == 4000


@pytest.mark.parametrize("offset", [None, "", "-1", "x", "1.5", "9" * 30, "NaN"])
def test_an_offset_that_is_no_number_is_refused(service: Service, offset: str | None) -> None:
    upload = begin(service)
    headers = {} if offset is None else {"Upload-Offset": offset}
    answer = service.http.patch(f"/v1/uploads/{upload}", headers=headers, content=b"x")
    assert pointers(problem(answer, 422, "invalid_request")) == {"header:Upload-Offset"}
    assert offset_of(service, upload) == 0


def test_a_connection_cut_in_the_middle_keeps_what_came(service: Service) -> None:
    upload = begin(service)
    with closing(open_piece(service, upload, 0, len(LARGE), LARGE[:-100])):
        wait_until_some_is_kept(service, upload)
    deadline = time.monotonic() + 60
    while append(service, upload, 0, b"").json()["code"] == "upload_busy":
        assert time.monotonic() < deadline, "the service does not notice that the other end is gone"
    offset = offset_of(service, upload)
    assert 8 * 2**20 <= offset <= len(LARGE) - 100
    assert append(service, upload, offset, LARGE[offset:]).status_code == 200
    assert complete(service, upload).json()["sha256"] == hashlib.sha256(LARGE).hexdigest()


def test_only_one_request_at_a_time_adds_to_an_upload(service: Service) -> None:
    upload = begin(service)
    with closing(open_piece(service, upload, 0, len(LARGE), LARGE[:-100])) as held:
        wait_until_some_is_kept(service, upload)
        problem(append(service, upload, 0, b"x"), 409, "upload_busy")
        problem(complete(service, upload), 409, "upload_busy")
        held.sendall(LARGE[-100:])
        assert held.recv(100).startswith(b"HTTP/1.1 200")
    assert complete(service, upload).json()["sha256"] == hashlib.sha256(LARGE).hexdigest()


def test_pieces_sent_at_once_never_mix(service: Service) -> None:
    upload = begin(service)
    letters = "abcdefgh"
    size = 300_000
    start = 0
    for _ in range(5):
        with ThreadPoolExecutor(len(letters)) as pool:
            pieces = [letter.encode() * size for letter in letters]
            answers = list(pool.map(lambda piece, at=start: append(service, upload, at, piece), pieces))
        assert sum(answer.status_code == 200 for answer in answers) == 1
        for answer in answers:
            if answer.status_code != 200:
                problem(answer, 409, answer.json()["code"])
                assert answer.json()["code"] in {"upload_busy", "wrong_offset"}
        start += size
        assert offset_of(service, upload) == start
    (file,) = parts(service, upload)
    content = file.read_bytes()
    assert [len(set(content[i : i + size])) for i in range(0, start, size)] == [1] * 5


CREATIONS: dict[str, tuple[dict[str, Any], int, set[str]]] = {
    "fields nobody knows": ({"nme": "x", "name": "a.csv"}, 422, {"/nme"}),
    "everything wrong at once": (
        {"name": "", "format": "xls", "kinds": {"a": "colour"}, "size_bytes": 0, "sha256": "abc"},
        422,
        {"/name", "/format", "/kinds/a", "/size_bytes", "/sha256"},
    ),
    "a name with half a character": ({"name": "\ud800.csv"}, 422, {"/name"}),
    "a name that is too long": ({"name": "x" * 201 + ".csv"}, 422, {"/name"}),
    "a size that is no number": ({"name": "a.csv", "size_bytes": 1e400}, 422, {"/size_bytes"}),
    "a size larger than allowed": ({"name": "a.csv", "size_bytes": 2**50}, 413, {"/size_bytes"}),
    "a separator that is none, and a header": (
        {"name": "a", "separator": ",,", "header": "perhaps"},
        422,
        {"/separator", "/header"},
    ),
}


@pytest.mark.parametrize("name", CREATIONS)
def test_an_upload_that_cannot_be_is_refused(service: Service, name: str) -> None:
    fields, status, expected = CREATIONS[name]
    answer = service.http.post("/v1/uploads", content=json.dumps(fields), headers={"Content-Type": "application/json"})
    assert pointers(problem(answer, status, answer.json()["code"])) == expected


def test_path_characters_in_a_name_reach_no_file(service: Service) -> None:
    upload = begin(service, name="../../../../evil.csv")
    append(service, upload, 0, TABLE)
    made = complete(service, upload).json()
    assert made["name"] == "evil"
    assert not list(service.data_dir.parent.rglob("*evil*"))
    for path in ("..%2F..%2Fdescent.db", "%2e%2e", "upload_/../x"):
        assert service.http.get(f"/v1/uploads/{path}").status_code == 404


def test_an_upload_that_is_not_what_was_announced_makes_no_dataset(service: Service) -> None:
    short = begin(service, size_bytes=len(TABLE))
    append(service, short, 0, TABLE[:-1])
    assert pointers(problem(complete(service, short), 422, "incomplete_upload")) == {"/size_bytes"}
    problem(append(service, short, len(TABLE) - 1, b"xy"), 413, "too_large")
    assert offset_of(service, short) == len(TABLE) - 1
    assert append(service, short, len(TABLE) - 1, TABLE[-1:]).status_code == 200
    assert complete(service, short).status_code == 201
    other = begin(service, sha256="0" * 64)
    append(service, other, 0, TABLE)
    assert pointers(problem(complete(service, other), 422, "wrong_hash")) == {"/sha256"}
    empty = begin(service)
    problem(complete(service, empty), 422, "empty_dataset")
    no_table = begin(service)
    append(service, no_table, 0, b"a,b\n1,2,3\n")
    problem(complete(service, no_table), 422, "unreadable_dataset")
    assert offset_of(service, no_table) == 10, "the bytes are still there to be looked at"


def test_more_than_was_announced_is_refused_without_a_content_length_too(service: Service) -> None:
    upload = begin(service, size_bytes=100)
    answer = service.http.patch(
        f"/v1/uploads/{upload}", headers={"Upload-Offset": "0"}, content=iter([b"x" * 60, b"y" * 60])
    )
    problem(answer, 413, "too_large")
    assert offset_of(service, upload) in {0, 60}, "what came before is kept, and nothing of what was too much"


def test_a_deleted_upload_is_gone_even_while_a_piece_comes(service: Service) -> None:
    upload = begin(service)
    with closing(open_piece(service, upload, 0, len(LARGE), LARGE[:-100])) as held:
        wait_until_some_is_kept(service, upload)
        assert service.http.delete(f"/v1/uploads/{upload}").status_code == 204
        held.sendall(LARGE[-100:])
        assert held.recv(100).startswith(b"HTTP/1.1 404")
    for answer in (
        service.http.get(f"/v1/uploads/{upload}"),
        append(service, upload, 0, b"x"),
        complete(service, upload),
        service.http.delete(f"/v1/uploads/{upload}"),
    ):
        problem(answer, 404, "not_found")
    assert not parts(service, upload)


def test_an_upload_begun_twice_with_one_key_is_one_upload(service: Service) -> None:
    headers = {"Idempotency-Key": "begin once"}
    first, again = (service.http.post("/v1/uploads", json={"name": "a.csv"}, headers=headers) for _ in range(2))
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")


def test_etag_of_an_upload_changes_with_it(service: Service) -> None:
    upload = begin(service)
    tag = service.http.get(f"/v1/uploads/{upload}").headers["ETag"]
    assert service.http.get(f"/v1/uploads/{upload}", headers={"If-None-Match": tag}).status_code == 304
    append(service, upload, 0, b"x")
    assert service.http.get(f"/v1/uploads/{upload}", headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.slow
def test_what_another_owner_uploads_is_not_there(service: Service, neighbour: Service) -> None:
    upload = begin(service)
    append(service, upload, 0, TABLE)
    dataset = service.upload(TABLE, "penguins.csv")["id"]
    for answer in (
        neighbour.http.get(f"/v1/uploads/{upload}"),
        append(neighbour, upload, len(TABLE), b"x"),
        complete(neighbour, upload),
        neighbour.http.delete(f"/v1/uploads/{upload}"),
        neighbour.http.get(f"/v1/datasets/{dataset}/profile"),
        neighbour.http.get(f"/v1/datasets/{dataset}/rows?offset=1"),
        neighbour.http.get(f"/v1/datasets/{dataset}/content"),
        neighbour.http.delete(f"/v1/datasets/{dataset}"),
    ):
        problem(answer, 404, "not_found")
    theirs = neighbour.upload(TABLE, "penguins.csv")["id"]
    assert service.http.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert neighbour.http.get(f"/v1/datasets/{theirs}/content").content == TABLE, "shared with another owner"
    assert offset_of(service, upload) == len(TABLE)


@pytest.mark.slow
def test_an_upload_survives_kills_of_the_service(own_service: Service) -> None:
    own_service.start_api()
    upload = begin(own_service, sha256=SHA256)
    append(own_service, upload, 0, TABLE[:5000])
    offset = 5000
    for end in (6000, 9000, len(TABLE)):
        held = open_piece(own_service, upload, offset, 10**6, b"noise that was never acknowledged")
        time.sleep(0.2)
        assert own_service.api is not None
        own_service.api.kill()
        own_service.api.wait()
        held.close()
        own_service.start_api()
        assert offset_of(own_service, upload) == offset
        assert append(own_service, upload, offset, TABLE[offset:end]).status_code == 200
        offset = end
    made = complete(own_service, upload)
    assert (made.status_code, made.json()["sha256"]) == (201, SHA256)


@pytest.mark.slow
def test_a_kill_while_a_large_piece_comes_keeps_most_of_it(own_service: Service) -> None:
    own_service.start_api()
    upload = begin(own_service)
    size = 40 * 2**20
    held = open_piece(own_service, upload, 0, 2 * size, b"")
    sender = threading.Thread(target=held.sendall, args=(bytes(size),))
    sender.start()
    sender.join()
    deadline = time.monotonic() + 60
    while own_service.http.get(f"/v1/uploads/{upload}").json()["offset"] < size - 9 * 2**20:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert own_service.api is not None
    own_service.api.kill()
    own_service.api.wait()
    held.close()
    own_service.start_api()
    assert offset_of(own_service, upload) >= size - 9 * 2**20


@pytest.mark.slow
def test_too_many_uploads_are_refused_and_expired_ones_are_swept(own_service: Service) -> None:
    own_service.environment["DESCENT_MAX_OPEN_UPLOADS"] = "2"
    own_service.start_api()
    first, second = begin(own_service), begin(own_service)
    append(own_service, first, 0, TABLE)
    problem(own_service.http.post("/v1/uploads", json={"name": "a.csv"}), 409, "too_many_uploads")
    complete(own_service, first)
    third = begin(own_service)
    problem(own_service.http.post("/v1/uploads", json={"name": "a.csv"}), 409, "too_many_uploads")
    expire(own_service, second, third)
    for upload in (second, third):
        problem(own_service.http.get(f"/v1/uploads/{upload}"), 404, "not_found")
        problem(append(own_service, upload, 0, b"x"), 404, "not_found")
        problem(complete(own_service, upload), 404, "not_found")
    assert parts(own_service, second)
    begin(own_service)
    assert not parts(own_service, second)
    assert not parts(own_service, third)


def expire(service: Service, *uploads: str) -> None:
    """Set the clock of uploads past their end, behind the service's back."""
    url = service.environment.get("DESCENT_DATABASE_URL", f"sqlite:///{service.data_dir / 'descent.db'}")
    engine = create_engine(url)
    with engine.begin() as connection:
        for upload in uploads:
            connection.execute(
                text("UPDATE uploads SET expires_at = '2020-01-01 00:00:00.000000' WHERE id = :id"), {"id": upload}
            )
    engine.dispose()
