"""Uploads in pieces with a bucket: the pieces of one upload go to any machine, and none is lost or taken twice."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.flow.test_uploads import (  # noqa: F401 - what holds for a folder holds here, word for word
    LARGE,
    SHA256,
    TABLE,
    append,
    begin,
    complete,
    expire,
    offset_of,
    open_piece,
    parts,
    test_a_kill_while_a_large_piece_comes_keeps_most_of_it,
    test_a_piece_at_another_offset_is_told_the_right_one,
    test_an_upload_survives_kills_of_the_service,
    test_an_upload_that_is_not_what_was_announced_makes_no_dataset,
    test_completing_from_many_clients_makes_one_dataset,
    test_completing_twice_gives_the_same_dataset,
    test_more_than_was_announced_is_refused_without_a_content_length_too,
    test_pieces_make_the_same_dataset_as_one_body,
    wait_until_some_is_kept,
)
from tests.s3 import URL, Machines, Store, machines, store_in
from tests.service import Service, problem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store_in(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="module")
def both(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Give two machines that answer requests; nobody trains."""
    with machines(tmp_path_factory.mktemp("machines"), store) as made:
        made.api.start_api()
        made.trains.start_api()
        yield made


@pytest.fixture(scope="module")
def service(both: Machines) -> Service:
    return both.api


@pytest.fixture
def own_service(store: Store, tmp_path: Path) -> Iterator[Service]:
    with machines(tmp_path, store, blobs_url=f"{URL}/{tmp_path.name}") as made:
        yield made.api


def in_turn(both: Machines, upload: str, content: bytes, sizes: list[int]) -> None:
    """Send so large pieces, each to the other machine than the one before."""
    start = 0
    for number, size in enumerate(sizes):
        machine = (both.api, both.trains)[number % 2]
        answer = append(machine, upload, start, content[start : start + size])
        assert answer.status_code == 200, answer.text
        start += size
        assert (answer.json()["offset"], answer.headers["Upload-Offset"]) == (start, str(start))
    assert start == len(content)


def objects_of(both: Machines, upload: str) -> list[str]:
    return [key for key in both.store.objects() if key.startswith(f"uploads/{upload}/")]


@pytest.mark.parametrize(
    "sizes",
    [[4000] * 3, [1] * 300, [10_000, 0, 1, 100, 1000, 0, 2], [7, 70, 700, 7000], [*range(100, 0, -1)]],
    ids=["alike", "tiny", "uneven", "growing", "falling"],
)
def test_alternate_pieces_to_two_machines_make_the_dataset_of_one_body(both: Machines, sizes: list[int]) -> None:
    content = TABLE + f"Adelie,{len(sizes)},39.1,18.7,181,3750,male,2007\n".encode()
    sizes = [*sizes, len(content) - sum(sizes)]
    upload = begin(both.trains, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    in_turn(both, upload, content, sizes)
    assert len(objects_of(both, upload)) <= len(content).bit_length(), "small ones are put together"
    made = complete(both.api, upload)
    assert made.status_code == 201, made.text
    again = complete(both.trains, upload)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (made.json(), "true")
    assert both.trains.http.get(f"/v1/datasets/{made.json()['id']}/content").content == content
    assert not objects_of(both, upload)
    assert not parts(both.api, upload)
    problem(append(both.trains, upload, len(content), b"x"), 409, "upload_complete")


def test_large_pieces_to_two_machines_are_joined(both: Machines) -> None:
    content = LARGE * 3
    upload = begin(both.api)
    in_turn(both, upload, content, [len(LARGE), len(LARGE) // 2, len(content) - len(LARGE) - len(LARGE) // 2])
    assert complete(both.trains, upload).json()["sha256"] == hashlib.sha256(content).hexdigest()


def test_pieces_sent_to_two_machines_at_once_never_mix(both: Machines) -> None:
    upload = begin(both.api)
    letters, size, start = "abcdefgh", 300_000, 0
    for _ in range(5):
        with ThreadPoolExecutor(len(letters)) as pool:
            sent = [((both.api, both.trains)[i % 2], letter.encode() * size) for i, letter in enumerate(letters)]
            answers = list(pool.map(lambda one, at=start: append(one[0], upload, at, one[1]), sent))
        assert sum(answer.status_code == 200 for answer in answers) == 1
        for answer in answers:
            if answer.status_code != 200:
                problem(answer, 409, answer.json()["code"])
                assert answer.json()["code"] in {"upload_busy", "wrong_offset"}
        start += size
        assert offset_of(both.trains, upload) == start
    header = b"a\n"
    assert append(both.api, upload, start, header).status_code == 200
    stored = sorted(objects_of(both, upload))
    content = b"".join(both.store.content(key) for key in stored)
    assert len(content) == start + len(header), "what was refused left nothing"
    assert sorted(len(set(content[i : i + size])) for i in range(0, start, size)) == [1] * 5


def test_completing_on_two_machines_at_once_makes_one_dataset(both: Machines) -> None:
    upload = begin(both.api)
    content = TABLE + b"Adelie,both,39.1,18.7,181,3750,male,2007\n"
    append(both.api, upload, 0, content)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: complete((both.api, both.trains)[i % 2], upload), range(8)))
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert made == {complete(both.api, upload).json()["id"]}
    for answer in answers:
        if answer.status_code != 201:
            assert answer.json()["code"] in {"upload_busy", "upload_complete"}
            problem(answer, 409, answer.json()["code"])


def test_an_upload_goes_on_elsewhere_when_its_machine_dies_in_the_middle_of_a_piece(
    store: Store, tmp_path: Path
) -> None:
    with machines(tmp_path, store, blobs_url=f"{URL}/killed") as both:
        both.api.start_api()
        both.trains.start_api()
        upload = begin(both.api)
        with closing(open_piece(both.api, upload, 0, 2 * len(LARGE), LARGE)):
            wait_until_some_is_kept(both.trains, upload)
            assert both.api.api is not None
            both.api.api.kill()
            both.api.api.wait()
        offset = offset_of(both.trains, upload)
        assert append(both.trains, upload, offset, LARGE[offset:]).status_code == 200
        assert complete(both.trains, upload).json()["sha256"] == hashlib.sha256(LARGE).hexdigest()
        assert not [key for key in both.store.objects() if upload in key]
        both.api.start_api()


def test_deleted_and_expired_uploads_leave_nothing_in_the_bucket(both: Machines) -> None:
    deleted, expired = begin(both.api), begin(both.api)
    for upload in (deleted, expired):
        in_turn(both, upload, TABLE, [4000, len(TABLE) - 4000])
        assert objects_of(both, upload)
    assert both.trains.http.delete(f"/v1/uploads/{deleted}").status_code == 204
    assert not objects_of(both, deleted)
    expire(both.api, expired)
    begin(both.trains)
    assert not objects_of(both, expired)


def test_an_upload_deleted_elsewhere_while_a_piece_comes_is_gone_with_all_of_it(both: Machines) -> None:
    upload = begin(both.api)
    with closing(open_piece(both.api, upload, 0, len(LARGE), LARGE[:-100])) as held:
        wait_until_some_is_kept(both.trains, upload)
        assert both.trains.http.delete(f"/v1/uploads/{upload}").status_code == 204
        held.sendall(LARGE[-100:])
        assert held.recv(100).startswith(b"HTTP/1.1 404")
    problem(append(both.api, upload, 0, b"x"), 404, "not_found")
    assert not objects_of(both, upload)


def test_a_damaged_piece_makes_no_dataset(both: Machines) -> None:
    upload = begin(both.api)
    append(both.api, upload, 0, TABLE)
    (key,) = objects_of(both, upload)
    both.store.damage(key)
    problem(complete(both.trains, upload), 500, "damaged_file")
    assert complete(both.api, upload).json()["sha256"] == SHA256, "the copy here is whole"


def test_a_bucket_that_is_away_takes_no_piece_and_loses_none(both: Machines) -> None:
    """The last of these: for some seconds after it, what is deleted is left to be swept."""
    upload = begin(both.api)
    assert append(both.api, upload, 0, TABLE[:4000]).status_code == 200
    both.store.line.cut()
    try:
        answer = append(both.trains, upload, 4000, TABLE[4000:])
        problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    finally:
        both.store.line.restore()
    assert offset_of(both.api, upload) == 4000
    assert append(both.trains, upload, 4000, TABLE[4000:]).status_code == 200
    assert complete(both.api, upload).json()["sha256"] == SHA256
