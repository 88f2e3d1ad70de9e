"""Equal bytes are stored once, for as long as a dataset has them and no longer; and they never pass through memory as a whole."""

import hashlib
import http.client
import os
import random
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.service import Service, problem

MIB = 2**20


def table(seed: int, n_rows: int = 50) -> bytes:
    """Make bytes that no other test has."""
    generator = random.Random(f"contents {seed}")
    return b"a,b\n" + b"".join(b"%d,%d\n" % (i, generator.randrange(10**9)) for i in range(n_rows))


def content_file(service: Service, content: bytes) -> Path:
    return service.data_dir / "blobs" / "content" / hashlib.sha256(content).hexdigest()


def content_of(service: Service, dataset: str) -> bytes:
    answer = service.http.get(f"/v1/datasets/{dataset}/content")
    assert answer.status_code == 200, answer.text
    return answer.content


def delete(service: Service, dataset: str) -> httpx.Response:
    return service.http.delete(f"/v1/datasets/{dataset}")


def test_equal_bytes_are_stored_once_until_the_last_dataset_is_gone(service: Service) -> None:
    content = table(1)
    first = service.upload(content, "first.csv")["id"]
    second = service.http.post("/v1/datasets", files={"file": ("second.csv", content)}).json()["id"]
    upload = service.http.post("/v1/uploads", json={"name": "third.csv"}).json()["id"]
    service.http.patch(f"/v1/uploads/{upload}", headers={"Upload-Offset": "0"}, content=content)
    third = service.http.post(f"/v1/uploads/{upload}/complete").json()["id"]
    copies = [
        path for path in (service.data_dir / "blobs").rglob("*") if path.is_file() and path.read_bytes() == content
    ]
    assert copies == [content_file(service, content)]
    for gone, rest in ((first, {second, third}), (third, {second}), (second, set[str]())):
        assert delete(service, gone).status_code == 204
        problem(service.http.get(f"/v1/datasets/{gone}/content"), 404, "not_found")
        assert content_file(service, content).exists() == bool(rest)
        for dataset in rest:
            assert content_of(service, dataset) == content
            assert service.http.get(f"/v1/datasets/{dataset}/rows?limit=1").json()["items"][0]["a"] == 0


def test_equal_bytes_may_be_read_in_different_ways(service: Service) -> None:
    content = table(2)
    plain = service.upload(content, "plain.csv")
    other = service.http.post(
        "/v1/datasets", params={"format": "csv", "kinds": '{"a": "categorical"}'}, content=content
    ).json()
    assert (plain["columns"][0]["kind"], other["columns"][0]["kind"]) == ("numeric", "categorical")
    assert service.http.get(f"/v1/datasets/{plain['id']}/rows?limit=1").json()["items"][0]["a"] == 0
    assert service.http.get(f"/v1/datasets/{other['id']}/rows?limit=1").json()["items"][0]["a"] == "0"


@pytest.mark.slow
def test_bytes_uploaded_while_their_last_dataset_is_deleted_are_not_lost(service: Service) -> None:
    content = table(3)
    n_lost = 0
    dataset = service.upload(content)["id"]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(60):
            deletion = pool.submit(delete, service, dataset)
            uploads = [pool.submit(service.upload, content) for _ in range(2)]
            assert deletion.result().status_code == 204
            made = [upload.result()["id"] for upload in uploads]
            n_lost += sum(service.http.get(f"/v1/datasets/{one}/content").content != content for one in made)
            dataset, extra = made
            assert delete(service, extra).status_code == 204
            n_lost += service.http.get(f"/v1/datasets/{dataset}/content").content != content
    assert n_lost == 0
    assert delete(service, dataset).status_code == 204
    assert not content_file(service, content).exists()


@pytest.mark.slow
def test_looking_at_a_dataset_while_it_is_deleted_is_never_a_fault_of_the_service(service: Service) -> None:
    content = table(4, 5000)
    paths = ("", "/rows", "/profile", "/content")
    with ThreadPoolExecutor(5) as pool:
        for _ in range(20):
            dataset = service.upload(content)["id"]
            looks = [pool.submit(service.http.get, f"/v1/datasets/{dataset}{path}") for path in paths]
            assert delete(service, dataset).status_code == 204
            assert {look.result().status_code for look in looks} <= {200, 404}


def test_inline_rows_are_stored_and_deleted_like_others(service: Service) -> None:
    data = {"inputs": [[i, i * i] for i in range(20)], "targets": [i % 2 for i in range(20)]}
    before = set((service.data_dir / "blobs" / "content").iterdir())
    jobs = [service.submit(data=data, training={"epochs": 1, "batch_size": 4}) for _ in range(2)]
    datasets = [service.wait(job["id"])["resolved"]["dataset_id"] for job in jobs]
    assert len(set((service.data_dir / "blobs" / "content").iterdir()) - before) == 1
    for dataset in datasets:
        assert delete(service, dataset).status_code == 204
    assert set((service.data_dir / "blobs" / "content").iterdir()) == before


@pytest.mark.slow
def test_files_that_a_crash_left_are_swept_at_the_start_and_no_others(own_service: Service) -> None:
    own_service.start_api()
    content = table(5)
    kept = own_service.upload(content)["id"]
    upload = own_service.http.post("/v1/uploads", json={"name": "a.csv"}).json()["id"]
    assert own_service.api is not None
    own_service.api.kill()
    own_service.api.wait()
    blobs = own_service.data_dir / "blobs"
    old, fresh = [], []
    for files, suffix in ((old, "old"), (fresh, "new")):
        for name in (f"parts/tmp{suffix}", f"datasets/ds_{suffix}/table.arrow", f"uploads/upload_{suffix}"):
            files.append(blobs / name)
    old.append(blobs / "content" / ("0" * 64))
    for path in (*old, *fresh):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left behind")
    (blobs / "parts" / "rows-worker").mkdir()
    two_days_ago = time.time() - 2 * 86400
    for path in [*blobs.rglob("*")]:
        if "new" not in path.name and "new" not in path.parent.name:
            os.utime(path, (two_days_ago, two_days_ago))
    own_service.start_api()
    deadline = time.monotonic() + 60
    while any(path.exists() for path in old):
        assert time.monotonic() < deadline, [path for path in old if path.exists()]
        time.sleep(0.05)
    time.sleep(0.5)
    assert all(path.exists() for path in fresh)
    assert (blobs / "parts" / "rows-worker").exists(), "a worker's"
    assert content_of(own_service, kept) == content
    assert own_service.http.get(f"/v1/datasets/{kept}/rows").status_code == 200
    assert own_service.http.head(f"/v1/uploads/{upload}").status_code == 200
    assert (blobs / "uploads" / upload).exists()


def test_bytes_that_an_earlier_version_stored_are_found_and_deleted(service: Service) -> None:
    content = table(6)
    old, new = service.upload(content)["id"], service.upload(table(7))["id"]
    beside_the_table = service.data_dir / "blobs" / "datasets" / old / "content"
    content_file(service, content).rename(beside_the_table)
    assert content_of(service, old) == content
    again = service.upload(content)["id"]
    assert content_of(service, again) == content
    assert delete(service, again).status_code == 204
    assert content_of(service, old) == content
    assert delete(service, old).status_code == 204
    assert not beside_the_table.parent.exists()
    assert not content_file(service, content).exists()
    assert content_of(service, new) == table(7)


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def large_table(size_bytes: int) -> Iterator[bytes]:
    rows = table(8, 20_000)
    yield rows
    rows = rows[rows.index(b"\n") + 1 :]
    for _ in range(size_bytes // len(rows)):
        yield rows


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["raw", "form", "pieces"])
def test_memory_does_not_grow_with_the_size_of_an_upload(own_service: Service, how: str) -> None:
    own_service.start_api()
    assert own_service.api is not None
    own_service.upload(table(9))
    before = peak_bytes(own_service.api.pid)
    size_bytes = sum(map(len, large_table(256 * MIB)))
    head, tail = b"", b""
    method, path, headers = "POST", "/v1/datasets?format=csv", {"Content-Type": "text/csv"}
    if how == "form":
        head = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        tail = b"\r\n--B--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=B"}
    if how == "pieces":
        upload = own_service.http.post("/v1/uploads", json={"name": "a.csv", "size_bytes": size_bytes}).json()["id"]
        method, path, headers = "PATCH", f"/v1/uploads/{upload}", {"Upload-Offset": "0"}
    connection = http.client.HTTPConnection("127.0.0.1", own_service.port, timeout=500)
    with closing(connection):
        connection.putrequest(method, path)
        for name, value in {**headers, "Content-Length": str(size_bytes + len(head) + len(tail))}.items():
            connection.putheader(name, value)
        connection.endheaders()
        digest = hashlib.sha256()
        connection.send(head)
        for piece in large_table(256 * MIB):
            digest.update(piece)
            connection.send(piece)
        connection.send(tail)
        answer = connection.getresponse()
        assert answer.status in {200, 201}, answer.read()
        answer.read()
        if how == "pieces":
            connection.request("POST", f"{path}/complete")
            assert connection.getresponse().status == 201
    dataset = own_service.http.get("/v1/datasets").json()["items"][0]
    assert (dataset["size_bytes"], dataset["sha256"]) == (size_bytes, digest.hexdigest())
    assert peak_bytes(own_service.api.pid) - before < 100 * MIB
    shutil.rmtree(own_service.data_dir / "blobs")
