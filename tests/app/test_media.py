"""Which file a client gets that says what it takes (RFC 9110, 12.5.1)."""

import pytest

from app.api.media import preferred
from app.contract.models import WeightsFormat
from app.errors import NotAcceptable


@pytest.mark.parametrize(
    ("accept", "format"),
    [
        (None, "npz"),
        ("*/*", "npz"),
        ("application/octet-stream", "npz"),
        ("application/x-npz", "npz"),
        ("application/json", "json"),
        ("application/x-onnx", "onnx"),
        ("application/onnx", "onnx"),
        ("application/x-safetensors", "safetensors"),
        ("APPLICATION/JSON ; charset=utf-8", "json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "npz"),
        ("application/json, */*;q=0.1", "json"),
        ("application/json;q=0.2, application/x-onnx;q=0.9", "onnx"),
        ("application/*;q=0.5, application/x-safetensors", "safetensors"),
        ("application/octet-stream;q=0, application/x-npz;q=0, application/*", "safetensors"),
        ("application/x-onnx;q=0.0, application/json;q=0.001", "json"),
        ("application/json;q=nan, application/x-onnx;q=0.1", "onnx"),
    ],
)
def test_the_best_of_what_a_client_takes_is_sent(accept: str | None, format: str) -> None:
    assert preferred(accept) is WeightsFormat(format)


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "*/*;q=0", "image/*, text/*", "json", "*/*;q=2"]
)
def test_what_a_client_does_not_take_is_not_sent(accept: str) -> None:
    with pytest.raises(NotAcceptable) as raised:
        preferred(accept)
    assert raised.value.faults[0].allowed == ("npz", "safetensors", "onnx", "json")
