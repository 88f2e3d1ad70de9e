"""Files of weights from elsewhere are read as their own libraries read them, or refused; never anything else."""

import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from app.exports.reading import UnreadableWeights, in_our_names, read_weights
from app.exports.weights import to_npz

pytestmark = pytest.mark.slow

LIMIT = 2**20
Arrays = dict[str, np.ndarray]


def arrays() -> Arrays:
    draw = np.random.default_rng(5).normal
    shapes = {"layers.0.weight": (4, 3), "layers.0.bias": (4,), "layers.1.weight": (2, 4), "layers.1.bias": (2,)}
    return {name: draw(size=shape).astype(np.float32) for name, shape in shapes.items()}


def read(content: bytes, max_bytes: int = LIMIT) -> Arrays:
    return read_weights(io.BytesIO(content), max_bytes=max_bytes)[1]


def numpy_npz(given: Arrays, save: Callable[..., None] = np.savez) -> bytes:
    file = io.BytesIO()
    save(file, **given)
    return file.getvalue()


def safetensors_of(header: object, numbers: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


FILES = {
    "safetensors": safetensors.numpy.save(arrays()),
    "npz": numpy_npz(arrays()),
    "npz, compressed": numpy_npz(arrays(), np.savez_compressed),
    "npz, our own": to_npz(arrays()),
}


def by_library(content: bytes) -> Arrays:
    if content.startswith(b"PK"):
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    return safetensors.numpy.load(content)


def assert_equal(found: Arrays, expected: Arrays) -> None:
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_its_library_reads_it(name: str) -> None:
    assert_equal(read(FILES[name]), arrays())


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", "|i1", "<i4", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_precision_and_order_of_numpy_is_read(dtype: str, order: str) -> None:
    given = {"a": np.asarray(np.arange(12).reshape(3, 4), dtype, order=order), "b": np.array(3, dtype)}
    assert_equal(read(numpy_npz(given)), given)


def test_bfloat16_is_the_upper_half_of_float32() -> None:
    numbers = np.array([1.0, -2.5, 3.140625, 1e30], np.float32).view(np.uint32) >> 16 << 16
    halves = (numbers >> 16).astype("<u2").tobytes()
    content = safetensors_of({"a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}, halves)
    np.testing.assert_array_equal(read(content)["a"], numbers.view(np.float32).reshape(2, 2), strict=True)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(FILES[draw(st.sampled_from(sorted(FILES)))])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.sampled_from(["change", "cut", "insert", "drop"])):
            case "change":
                content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del content[at:]
            case "insert":
                content[at:at] = draw(st.binary(max_size=12))
            case "drop":
                del content[at : at + draw(st.integers(1, 12))]
    return bytes(content)


@settings(max_examples=400, deadline=None)
@given(content=damaged() | st.binary(max_size=200) | st.binary(max_size=200).map(b"PK\x03\x04".__add__))
def test_a_damaged_file_is_refused_or_read_as_its_library_reads_it(content: bytes) -> None:
    try:
        found = read(content)
    except UnreadableWeights:
        return
    assert_equal(found, by_library(content))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F64", "BF16", "I64"]) | JSON,
        "shape": st.lists(st.integers(0, 4), max_size=3) | st.lists(st.integers(), max_size=9) | JSON,
        "data_offsets": st.lists(st.integers(0, 64), min_size=2, max_size=2) | st.lists(st.integers()) | JSON,
    }
)


@settings(max_examples=300, deadline=None)
@given(header=JSON | st.dictionaries(st.text(max_size=5), ENTRY | JSON, max_size=4), numbers=st.binary(max_size=64))
def test_any_header_of_safetensors_is_refused_or_understood(header: object, numbers: bytes) -> None:
    content = safetensors_of(header, numbers)
    try:
        found = read(content)
    except UnreadableWeights:
        return
    assert isinstance(header, dict)
    assert set(found) == {name for name in header if name != "__metadata__"}
    assert sum(array.nbytes for array in found.values()) >= len(numbers)


@contextmanager
def memory_below(bytes_allowed: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < bytes_allowed
    finally:
        tracemalloc.stop()


def zip_of(name: str, content: bytes, **patch: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    data = bytearray(file.getvalue())
    directory = data.index(b"PK\x01\x02")
    for field, value in patch.items():
        struct.pack_into("<L", data, directory + {"file_size": 24}[field], value)
    return bytes(data)


def npy(shape: tuple[int, ...], numbers: bytes = b"", descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + numbers


def many_names() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i in range(30_000):
            archive.writestr(f"layers.{i}.weight.npy" + "x" * 40, b"")
    return file.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "300 MB in 300 KB": lambda: zip_of("a.npy", npy((75_000_000,), bytes(300_000_000))),
    "300 MB that are said to be 1 KB": lambda: zip_of(
        "a.npy", npy((240,), bytes(300_000_000)), file_size=len(npy((240,), bytes(960)))
    ),
    "a shape of 10^18 numbers": lambda: zip_of("a.npy", npy((10**9, 10**9))),
    "a shape of a thousand dimensions": lambda: zip_of("a.npy", npy((9,) * 1000)),
    "a table of contents of 30,000 names": many_names,
    "objects": lambda: zip_of("a.npy", npy((1,), b"\x80\x04N.", "|O")),
    "an endless header": lambda: zip_of("a.npy", b"\x93NUMPY\x02\x00" + struct.pack("<L", 2**31)),
    "numbers that make a regular expression slow": lambda: zip_of("a.npy", npy((int("1" * 200),))),
    "a header of 2^62 bytes": lambda: struct.pack("<Q", 2**62) + b'{"a":',
    "a header of brackets": lambda: struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995,
    "a tensor of 2^62 numbers": lambda: safetensors_of(
        {"a": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 4]}}
    ),
    "two tensors in one place": lambda: safetensors_of(
        {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}, bytes(4)
    ),
    "a million dimensions": lambda: safetensors_of(
        {"a": {"dtype": "F32", "shape": [9] * 500_000, "data_offsets": [0, 0]}}
    ),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.timeout(30)
def test_a_bomb_is_refused_with_little_memory(name: str) -> None:
    content = BOMBS[name]()
    with memory_below(48 * 2**20 + len(content)), pytest.raises(UnreadableWeights):
        read(content, max_bytes=128 * 2**20)


@pytest.mark.parametrize("save", [safetensors.numpy.save, numpy_npz])
def test_arrays_larger_than_accepted_are_refused(save: Callable[[Arrays], bytes]) -> None:
    content = save({"a": np.zeros(2_000, np.float32), "b": np.zeros(2_000, np.float32)})
    assert set(read(content, max_bytes=16_000)) == {"a", "b"}
    with pytest.raises(UnreadableWeights, match="larger than the 7,000 bytes"):
        read(content, max_bytes=7_000)


def test_a_sequential_is_taken_in_order_with_its_normalisations() -> None:
    W, v = np.zeros((2, 3)), np.zeros(2)
    norm = {f"1.{part}": v for part in ("weight", "bias", "running_mean", "running_var")}
    state = {"10.weight": np.ones((4, 2)), "10.bias": np.ones(4), "0.weight": W, "0.bias": v, **norm}
    named = in_our_names({**state, "1.num_batches_tracked": np.array(7)})
    assert {name: sent for name, sent in named.sent_as.items() if sent.startswith("1")} == {
        "layers.1.weight": "10.weight",
        "layers.1.bias": "10.bias",
        **{f"layers.0.batch_norm.{part.removeprefix('1.')}": part for part in norm},
    }
    assert named.arrays["layers.0.weight"] is W


@pytest.mark.parametrize(
    "names",
    [[], ["fc1.weight"], ["layers.0.weight", "0.weight"], ["00.weight"], ["layers.00.weight"], ["99999.weight"]],
)
def test_names_of_another_kind_are_refused(names: list[str]) -> None:
    with pytest.raises(UnreadableWeights):
        in_our_names({name: np.zeros((1, 1)) for name in names})
