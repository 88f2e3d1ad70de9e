"""Datasets in every format, over HTTP."""

import gzip
import io
import time

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.app.tables.odd_tables import odd_tables
from tests.service import Service, pointers, problem

TABLE = pl.DataFrame({"n": [1.5, None, -3.0], "w": ["a", "b", None]})


def in_bytes(write, *arguments, **options) -> bytes:
    buffer = io.BytesIO()
    write(buffer, *arguments, **options)
    return buffer.getvalue()


CSV = b"n,w\n1.5,a\n,b\n-3,\n"
# What is sent, what the request says of it, the format, and the media type that it comes back with.
UPLOADS = {
    "by the name": (CSV, {"name": "t.csv"}, {}, "csv", "text/csv; charset=utf-8"),
    "by the name of a packed file": (gzip.compress(CSV), {"name": "t.csv.gz"}, {}, "csv", "application/gzip"),
    "by the bytes": (CSV, {"name": "t"}, {}, "csv", "text/csv; charset=utf-8"),
    "by the type": (CSV, {"name": "t"}, {"content-type": "text/csv; charset=utf-8"}, "csv", "text/csv; charset=utf-8"),
    "in Latin-1, by the type": (
        "n,w\n1.5,\xe9\n".encode("latin-1"),
        {"name": "t"},
        {"content-type": "text/csv; charset=latin-1"},
        "csv",
        "text/csv; charset=iso8859-1",
    ),
    "JSON lines": (TABLE.write_ndjson().encode(), {"name": "t.ndjson"}, {}, "jsonl", "application/jsonl"),
    "Parquet": (in_bytes(TABLE.write_parquet), {"name": "t.pq"}, {}, "parquet", "application/vnd.apache.parquet"),
    "Arrow": (in_bytes(TABLE.write_ipc), {"name": "t.feather"}, {}, "arrow", "application/vnd.apache.arrow.file"),
    "a stream of Arrow": (
        in_bytes(TABLE.write_ipc_stream),
        {"name": "t"},
        {"content-type": "application/vnd.apache.arrow.stream"},
        "arrow",
        "application/vnd.apache.arrow.file",
    ),
    "npz": (in_bytes(np.savez, x=np.ones((3, 2)), y=np.arange(3)), {"name": "t.npz"}, {}, "npz", "application/zip"),
    "npy": (in_bytes(np.save, np.ones((3, 2))), {"name": "t"}, {}, "npy", "application/octet-stream"),
}


@pytest.mark.parametrize("how", UPLOADS)
def test_an_upload_in_any_format_is_a_dataset_and_comes_back_as_it_was_sent(service: Service, how: str) -> None:
    content, query, headers, format, media_type = UPLOADS[how]
    answer = service.http.post("/v1/datasets", params=query, headers=headers, content=content)
    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert (dataset["format"], dataset["name"], dataset["size_bytes"]) == (format, "t", len(content))
    assert set(dataset["read"]) == {"encoding", "separator", "has_header", "compression"}
    assert service.http.get(f"/v1/datasets/{dataset['id']}").json() == dataset
    back = service.http.get(f"/v1/datasets/{dataset['id']}/content")
    assert (back.content, back.headers["content-type"]) == (content, media_type)


def test_what_was_guessed_is_in_the_answer(service: Service) -> None:
    content = gzip.compress("5,1;Müller;Müller\n4,9;Schäfer;x\n".encode("cp1252"))
    dataset = service.http.post("/v1/datasets", content=content).json()
    assert dataset["read"] == {"encoding": "cp1252", "separator": ";", "has_header": False, "compression": "gzip"}
    assert [warning["code"] for warning in dataset["warnings"]] == ["guessed_encoding", "no_header"]
    assert [column["name"] for column in dataset["columns"]] == ["column_0", "column_1", "column_2"]
    assert (dataset["columns"][0]["mean"], dataset["columns"][1]["categories"]) == (5.0, ["Müller", "Schäfer"])


def test_what_is_declared_is_used(service: Service) -> None:
    query = {"separator": ":", "encoding": "windows-1252", "header": "false", "format": "csv"}
    dataset = service.http.post("/v1/datasets", params=query, content="a:é\nb:c\n".encode("cp1252")).json()
    assert dataset["read"] == {"encoding": "cp1252", "separator": ":", "has_header": False, "compression": None}
    assert dataset["warnings"] == []


def test_what_is_declared_wrongly_is_refused(service: Service) -> None:
    for wrong in (
        {"separator": "::"},
        {"separator": '"'},
        {"separator": "é"},
        {"encoding": "a b"},
        {"header": "maybe"},
    ):
        answer = service.http.post("/v1/datasets", params={"format": "csv", **wrong}, content=CSV)
        assert pointers(problem(answer, 422, "invalid_request")) == {f"?{next(iter(wrong))}"}
    unknown = service.http.post("/v1/datasets", params={"encoding": "klingon"}, content=CSV)
    assert pointers(problem(unknown, 422, "invalid_request")) == {"?encoding"}
    contradicted = service.http.post("/v1/datasets", params={"format": "parquet"}, content=CSV)
    assert pointers(problem(contradicted, 422, "unreadable_dataset")) == {"?format"}


def test_a_gzip_bomb_is_too_large(service: Service) -> None:
    content = gzip.compress(b"a\n") + gzip.compress(bytes(2**20)) * 200
    problem(service.http.post("/v1/datasets", content=content), 413, "too_much_packed")
    assert not list((service.data_dir / "blobs" / "parts").iterdir())


def test_openapi_names_every_format_and_every_field(service: Service) -> None:
    document = service.http.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["Format"]["enum"] == ["csv", "json", "jsonl", "parquet", "arrow", "npz", "npy"]
    assert {"read", "warnings"} <= set(schemas["Dataset"]["required"])
    operation = document["paths"]["/v1/datasets"]["post"]
    assert {"separator", "encoding", "header"} <= {one["name"] for one in operation["parameters"]}
    assert "application/vnd.apache.parquet" in operation["requestBody"]["content"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_odd_tables_get_a_dataset_or_a_clear_4xx_over_http(service: Service) -> None:
    statuses = set()

    @settings(
        max_examples=150,
        deadline=None,
        phases=[Phase.generate],
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(odd_tables())
    def each(odd) -> None:
        content, format, options = odd
        query = {**options, **({} if format is None else {"format": str(format)})}
        start = time.monotonic()
        answer = service.http.post("/v1/datasets", params=query, content=content)
        assert time.monotonic() - start < 15
        statuses.add(answer.status_code)
        if answer.status_code == 201:
            path = f"/v1/datasets/{answer.json()['id']}"
            rows = service.http.get(f"{path}/rows")
            assert rows.status_code == 200
            assert service.http.delete(path).status_code == 204
        else:
            assert answer.json()["errors"] or answer.status_code == 413 or answer.json()["code"] == "empty_dataset"
            problem(answer, answer.status_code, answer.json()["code"])

    each()
    assert {201, 422} <= statuses <= {201, 413, 415, 422}
