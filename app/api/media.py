"""The media types of model files, and which one a client prefers."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from app.contract.models import WeightsFormat
from app.errors import Fault, NotAcceptable

SENT_AS: Mapping[WeightsFormat, str] = MappingProxyType(
    {
        WeightsFormat.NPZ: "application/x-npz",
        WeightsFormat.SAFETENSORS: "application/x-safetensors",
        WeightsFormat.ONNX: "application/x-onnx",
        WeightsFormat.JSON: "application/json",
    }
)
# In the order of preference where a client has none.
_ASKED: Mapping[str, WeightsFormat] = MappingProxyType(
    {
        "application/x-npz": WeightsFormat.NPZ,
        "application/octet-stream": WeightsFormat.NPZ,
        "application/x-safetensors": WeightsFormat.SAFETENSORS,
        "application/x-onnx": WeightsFormat.ONNX,
        "application/onnx": WeightsFormat.ONNX,
        "application/json": WeightsFormat.JSON,
    }
)
# What OpenAPI says of bytes, whatever they are.
BINARY = {"schema": {"type": "string", "format": "binary"}}
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)
MEDIA_TYPES = tuple(media_type for media_type in SENT_AS.values() if media_type != "application/json")


def preferred(accept: str | None) -> WeightsFormat:
    """Give the format that an `Accept` header asks for (RFC 9110): the most specific range decides how much a type is wanted.

    Raises:
        NotAcceptable: None of the formats may be sent.
    """
    ranges = dict(_ranges(accept or "*/*"))
    wanted = {media_type: _quality(media_type, ranges) for media_type in _ASKED}
    best = max(wanted, key=lambda media_type: wanted[media_type])  # the first of equals
    if wanted[best] > 0:
        return _ASKED[best]
    fault = Fault("?format", "Ask for one of these.", "not_allowed", tuple(WeightsFormat))
    raise NotAcceptable("The weights cannot be had in that media type.", [fault])


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((one.partition("=")[2] for one in parameters if one.startswith("q=")), "1")
        yield media_range, float(quality) if _QUALITY.fullmatch(quality) else 0.0


def _quality(media_type: str, ranges: Mapping[str, float]) -> float:
    for media_range in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0
