"""What is shown of a dataset: rows from anywhere, profiles, and the bytes as they were sent."""

import time
from urllib.parse import unquote

import pytest

from tests.service import PENGUINS, Service, pointers, problem

TABLE = PENGUINS.read_bytes()


def test_rows_are_given_from_anywhere(service: Service) -> None:
    n_rows = 200_000
    dataset = service.upload(b"a,b\n" + b"".join(b"%d,x\n" % i for i in range(n_rows)))["id"]

    def rows(**query: int) -> list[int]:
        answer = service.http.get(f"/v1/datasets/{dataset}/rows", params=query)
        assert answer.status_code == 200, answer.text
        return [row["a"] for row in answer.json()["items"]]

    assert rows() == list(range(20))
    for offset in (1, 65_535, 65_536, 131_071, n_rows - 5):
        assert rows(offset=offset, limit=10) == list(range(offset, min(offset + 10, n_rows)))
    assert rows(offset=n_rows) == rows(offset=2**53) == []

    def fastest(offset: int) -> float:
        times = []
        for _ in range(5):
            began_at = time.perf_counter()
            rows(offset=offset, limit=10)
            times.append(time.perf_counter() - began_at)
        return min(times)

    assert fastest(n_rows - 10) < 10 * fastest(0) + 0.05


@pytest.mark.parametrize("query", ["offset=-1", "offset=x", "offset=9007199254740993", "limit=0", "limit=1001"])
def test_rows_that_cannot_be_are_refused(service: Service, penguins: str, query: str) -> None:
    answer = service.http.get(f"/v1/datasets/{penguins}/rows?{query}")
    assert pointers(problem(answer, 422, "invalid_request")) == {"?" + query.partition("=")[0]}


def test_more_cells_than_fit_into_an_answer_are_refused(service: Service) -> None:
    names = ",".join(f"c{i}" for i in range(5000))
    dataset = service.upload(f"{names}\n{','.join('1' * 5000)}\n".encode())["id"]
    answer = service.http.get(f"/v1/datasets/{dataset}/rows?limit=1000")
    assert pointers(problem(answer, 422, "invalid_request")) == {"?limit"}
    assert len(service.http.get(f"/v1/datasets/{dataset}/rows?limit=200").json()["items"]) == 1


def test_a_profile_has_every_column_and_is_not_made_twice(service: Service, penguins: str) -> None:
    answer = service.http.get(f"/v1/datasets/{penguins}/profile")
    columns = {column["name"]: column for column in answer.json()["columns"]}
    described = service.http.get(f"/v1/datasets/{penguins}").json()
    assert list(columns) == [column["name"] for column in described["columns"]]
    for column in described["columns"]:
        assert all(columns[column["name"]][field] == column[field] for field in ("kind", "n_missing", "n_unique"))
    assert columns["species"]["top"][0] == {"value": "Adelie", "count": 152}
    assert sum(columns["body_mass_g"]["histogram"]["counts"]) == 342
    assert (answer.json()["n_rows"], answer.json()["next_cursor"]) == (344, None)
    tag = answer.headers["ETag"]
    again = service.http.get(f"/v1/datasets/{penguins}/profile", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    other = service.http.get(f"/v1/datasets/{penguins}/profile?columns=sex", headers={"If-None-Match": tag})
    assert other.status_code == 200


def test_columns_of_a_profile_are_chosen_or_come_in_pages(service: Service, penguins: str) -> None:
    url = f"/v1/datasets/{penguins}/profile"
    chosen = service.http.get(url, params={"columns": ["sex", "species", "sex"]}).json()
    assert [column["name"] for column in chosen["columns"]] == ["sex", "species"]
    names: list[str] = []
    cursor = None
    while True:
        page = service.http.get(url, params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        names += [column["name"] for column in page["columns"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == [column["name"] for column in service.http.get(f"/v1/datasets/{penguins}").json()["columns"]]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("columns=nobody", "?columns"),
        ("columns=", "?columns"),
        ("cursor=x", "?cursor"),
        ("cursor=8", "?cursor"),
        ("cursor=-1", "?cursor"),
        ("cursor=%D9%A3", "?cursor"),
        ("limit=101", "?limit"),
        ("&".join(["columns=sex"] * 101), "?columns"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(service: Service, penguins: str, query: str, pointer: str) -> None:
    answer = service.http.get(f"/v1/datasets/{penguins}/profile?{query}")
    assert pointers(problem(answer, 422, "invalid_request")) == {pointer}


def test_bytes_come_back_as_they_were_sent(service: Service) -> None:
    dataset = service.upload(TABLE, "penguins.csv")
    url = f"/v1/datasets/{dataset['id']}/content"
    whole = service.http.get(url)
    assert (whole.content, whole.headers["ETag"]) == (TABLE, f'"{dataset["sha256"]}"')
    assert whole.headers["Content-Disposition"] == 'attachment; filename="penguins.csv"'
    tag = whole.headers["ETag"]
    assert service.http.get(url, headers={"If-None-Match": tag}).status_code == 304
    assert service.http.get(url, headers={"If-None-Match": f'"x", W/{tag}'}).status_code == 304
    ranges = {"bytes=5-9": TABLE[5:10], "bytes=-7": TABLE[-7:], "bytes=100-": TABLE[100:], "bytes=0-99999999": TABLE}
    for sent, expected in ranges.items():
        part = service.http.get(url, headers={"Range": sent})
        assert (part.status_code, part.content) == (206, expected), sent
        assert part.headers["Content-Range"].endswith(f"/{len(TABLE)}")
    fresh = service.http.get(url, headers={"Range": "bytes=5-9", "If-Range": tag})
    stale = service.http.get(url, headers={"Range": "bytes=5-9", "If-Range": '"other"'})
    assert (fresh.status_code, stale.status_code, stale.content) == (206, 200, TABLE)
    several = service.http.get(url, headers={"Range": "bytes=0-1,5-9"})
    assert several.status_code == 206
    assert TABLE[5:10] in several.content


def test_a_range_outside_of_the_file_is_a_problem(service: Service, penguins: str) -> None:
    answer = service.http.get(f"/v1/datasets/{penguins}/content", headers={"Range": "bytes=99999999-"})
    problem(answer, 416, answer.json()["code"])
    assert answer.headers["Content-Range"] == f"bytes */{len(TABLE)}"


@pytest.mark.parametrize("sent", ["bytes=9-5", "bytes=", "rows=1-2"])
def test_a_range_that_is_none_is_ignored(service: Service, penguins: str, sent: str) -> None:
    answer = service.http.get(f"/v1/datasets/{penguins}/content", headers={"Range": sent})
    assert (answer.status_code, answer.content) == (200, TABLE)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Übung 1", "_bung 1.csv"),
        ("ペンギン", "____.csv"),
        ('a"b', "a_b.csv"),
        ("a/../b\\c", "a_.._b_c.csv"),
        ("100%", "100_.csv"),
        ("x" * 200, None),
    ],
)
def test_a_download_has_the_name_of_its_dataset(service: Service, name: str, plain: str | None) -> None:
    answer = service.http.post("/v1/datasets", params={"name": name, "format": "csv"}, content=TABLE)
    assert answer.status_code == 201, answer.text
    header = service.http.get(f"/v1/datasets/{answer.json()['id']}/content").headers["Content-Disposition"]
    if plain is None:
        assert header == f'attachment; filename="{name}.csv"'
        return
    ascii_name, _, encoded = header.partition("; filename*=UTF-8''")
    assert ascii_name == f'attachment; filename="{plain}"'
    expected = name.replace("/", "_").replace("\\", "_") + ".csv"
    assert not encoded or unquote(encoded) == expected
    assert encoded or expected == plain
