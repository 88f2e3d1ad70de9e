"""Odd tables: what people, and machines, really send. Each is a pair of bytes and what is said of them."""

import csv
import gzip
import io
import json

import numpy as np
import polars as pl
import zstandard
from hypothesis import strategies as st

from app.contract.datasets import Format

NUMBERS = [
    "0",
    "1",
    "-1",
    "1.5",
    "1e308",
    "-1.7976931348623157e308",
    "5e-324",
    "1e400",
    "inf",
    "-Infinity",
    "NaN",
    "1,5",
]
NUMBERS += [
    "1.234,5",
    "1,234.5",
    "00123",
    "+7",
    ".5",
    "5.",
    "1_000",
    "0x1F",
    "1e",
    "--5",
    "٣",
    "½",
    "1 000",
    "$5",
    "5%",
]
NUMBERS += [str(2**53), str(2**53 + 1), str(2**63), str(10**30), "9" * 400]
WORDS = [
    "a",
    "B",
    "ä",
    "日本",
    "😀",
    "🇩🇪",
    "e\u0301",
    "\u202eabc",
    "\ufeff",
    "\u200b",
    "\u2028",
    "\u00a0",
    "\x7f",
    "\x0b",
    "\x1b[0m",
]
WORDS += ["true", "FALSE", "yes", "T", "None", "NA", "n.a.", "-", "?", "\\N", "NaT", "#VALUE!", "null", "", " ", "\t"]
WORDS += [
    "=1+1",
    "@x",
    "'; DROP TABLE x; --",
    "<script>",
    "../../etc/passwd",
    "a,b",
    "a;b",
    'say "hi"',
    "two\nlines",
    "cr\rhere",
    "nul\0",
]
TIMES = [
    "2024-01-31",
    "2024-01-31T10:00:00Z",
    "2024-02-30",
    "0000-00-00",
    "9999-12-31",
    "31.01.2024",
    "01/31/2024",
    "31/01/2024",
]
TIMES += [
    "01/02/2024",
    "2024/1/5",
    "Jan 31, 2024",
    "Wed, 31 Jan 2024 10:00:00 +0100",
    "13:00",
    "1/1/0000",
    "31-Dec-9999 11:59 PM",
]
POOLS = [NUMBERS, WORDS, TIMES, NUMBERS + WORDS + TIMES, ["0", "1"], ["1", "2", "NA"], [""], ["x"]]
ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "cp1252",
    "latin-1",
    "cp1251",
    "shift_jis",
    "koi8-r",
]

cells = st.one_of(*(st.sampled_from(pool) for pool in POOLS), st.text(max_size=8))
names = st.one_of(
    st.sampled_from(["a", "a", "b", "", " ", "row", "index", "x0", "y0", "literal", "column_0", "a_2", "a/b", "~1", "len", "*"]),
    st.sampled_from(WORDS),
    st.text(max_size=5),
)  # fmt: skip


@st.composite
def grids(draw):
    """Names and rows of text; each column is from a pool, and something else may come late."""
    shape = draw(st.sampled_from([(1, 1), (1, 3), (30, 1), (3, 3), (20, 2), (1, 200), (200, 2)]))
    n_rows, n_columns = shape
    pools = [draw(st.sampled_from(POOLS)) for _ in range(min(n_columns, 6))]
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = [[str(seed.choice(pools[column % len(pools)])) for column in range(n_columns)] for _ in range(n_rows)]
    for _ in range(draw(st.integers(0, 2))):
        rows[-1][draw(st.integers(0, n_columns - 1))] = draw(cells)
    head = [draw(names) if column < 6 else f"c{column}" for column in range(n_columns)]
    return head, rows


@st.composite
def csv_files(draw):
    head, rows = draw(grids())
    text = io.StringIO(newline="")
    separator = draw(st.sampled_from([",", ",", ";", "\t", "|", "^", " ", ":"]))
    lines = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\r\n"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, None]))
    rows = [head, *rows] if draw(st.booleans()) else rows
    if quoting is None:  # as programs write that never heard of quotes
        written = "".join(separator.join(row) + lines for row in rows)
    else:
        csv.writer(text, delimiter=separator, lineterminator=lines, quoting=quoting).writerows(rows)
        written = text.getvalue()
    written = draw(
        st.sampled_from(
            [
                written,
                written,
                written,
                written.rstrip("\r\n"),
                written + "\n\n",
                written + "x",
                written.replace('"', "", 1),
            ]
        )
    )
    written += draw(st.sampled_from(["", "", "\r\n1,2\n", "\x1a", "# total,5\n"]))
    content = written.encode(draw(st.sampled_from(ENCODINGS)), errors="replace")
    options = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "separator": st.sampled_from([separator, ",", "x"]),
                "header": st.sampled_from(["true", "false", "auto"]),
                "encoding": st.sampled_from([*ENCODINGS, "klingon"]),
            },
        )
    )
    return content, Format.CSV, options


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS + NUMBERS + TIMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=4,
)


@st.composite
def json_files(draw):
    n_rows = draw(st.integers(0, 4))
    values = st.lists(
        draw(st.sampled_from([json_values, st.integers(), st.floats(), cells])), min_size=n_rows, max_size=n_rows + 1
    )
    document = draw(
        st.fixed_dictionaries({"columns": st.dictionaries(names, values, max_size=4)})
        | st.fixed_dictionaries({"inputs": st.lists(values, max_size=4), "targets": values})
        | st.lists(st.dictionaries(names, json_values, max_size=4) | json_values, max_size=4)
    )
    return json.dumps(document, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass"), Format.JSON, {}


@st.composite
def json_lines(draw):
    rows = draw(st.lists(st.dictionaries(names, json_values, max_size=4) | json_values, max_size=6))
    lines = [json.dumps(row, ensure_ascii=draw(st.booleans())) for row in rows]
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines).encode(errors="surrogatepass"), Format.JSONL, {}


SERIES = {
    "ints": [2**63 - 1, -(2**63), None],
    "floats": [1e308, -1e308, float("nan")],
    "infinite": [float("inf"), 1.0, None],
    "text": ["\0", "😀", None],
    "lists": [[1], [], None],
    "objects": [{"a": [1]}, {"a": []}, None],
    "bytes": [b"\xff", b"", None],
    "truth": [True, None, False],
    "nothing": [None, None, None],
}
EXTREME = {"ms": 2**62, "us": 2**62, "ns": 2**63 - 1}


@st.composite
def typed_files(draw):
    chosen = draw(st.lists(st.sampled_from(sorted(SERIES)), max_size=4, unique=True))
    columns = [pl.Series(draw(names) if draw(st.booleans()) else name, SERIES[name]) for name in chosen]
    for unit in draw(st.lists(st.sampled_from(sorted(EXTREME)), max_size=2, unique=True)):
        dtype = draw(st.sampled_from([pl.Datetime(unit), pl.Duration(unit)]))
        columns.append(pl.Series(unit, [EXTREME[unit], 0, -EXTREME[unit]]).cast(dtype))
    unique = {one.name: one for one in columns}
    frame = pl.DataFrame(list(unique.values())).head(draw(st.integers(0, 3)))
    buffer = io.BytesIO()
    write = draw(st.sampled_from(["write_parquet", "write_ipc", "write_ipc_stream"]))
    getattr(frame, write)(buffer)
    return buffer.getvalue(), Format.PARQUET if write == "write_parquet" else Format.ARROW, {}


DTYPES = ["?", "i1", ">i8", "u8", "f2", "f8", "g", "U3", "S3", "M8[ns]", "M8[Y]", "m8[D]", "c16", "V4"]


@st.composite
def array_files(draw):
    shape = draw(st.sampled_from([(), (0,), (3,), (3, 2), (3, 0), (2, 2, 2), (1, 300)]))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    raw = np.random.default_rng(draw(st.integers(0, 99))).bytes(int(np.prod(shape)) * dtype.itemsize)
    array = np.frombuffer(raw, dtype).reshape(shape)
    buffer = io.BytesIO()
    if draw(st.booleans()):
        np.save(buffer, array)
        return buffer.getvalue(), Format.NPY, {}
    arrays = draw(
        st.sampled_from([{"x": array}, {"x": np.ones((3, 1)), "y": array}, {"x": array, "y": array}, {"z": array}])
    )
    np.savez(buffer, **arrays)
    return buffer.getvalue(), Format.NPZ, {}


@st.composite
def odd_tables(draw):
    """Bytes, the format that is said (or None), and what is said of how to read them."""
    kinds = [csv_files(), csv_files(), csv_files(), json_files(), json_lines(), typed_files(), array_files()]
    content, format, options = draw(st.one_of(*kinds))
    pack = draw(st.sampled_from([None, None, None, gzip.compress, zstandard.ZstdCompressor().compress]))
    content = content if pack is None else pack(content)
    said = draw(st.sampled_from([format, format, format, None, *Format]))
    return content, said, options
