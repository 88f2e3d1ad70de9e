"""Blobs that are on disk before they have their keys."""

from pathlib import Path

import pytest

from app.store.blobs import Blobs


def test_what_is_staged_has_its_key_only_when_it_is_published(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    blobs.put("models/m/weights.npz", b"of the run that has the job")
    with blobs.staged([("models/m/weights.npz", b"new"), ("models/m/best.npz", b"best")]) as publish:
        assert blobs.get("models/m/weights.npz").read_bytes() == b"of the run that has the job"
        assert not blobs.get("models/m/best.npz").exists()
        publish()
    assert blobs.get("models/m/weights.npz").read_bytes() == b"new"
    assert blobs.get("models/m/best.npz").read_bytes() == b"best"
    assert not list(blobs.parts.iterdir())


def test_what_is_staged_and_not_published_leaves_no_trace(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    with pytest.raises(ZeroDivisionError), blobs.staged([("models/m/weights.npz", b"of a run that lost its job")]):
        raise ZeroDivisionError
    assert not list(blobs.path("models").iterdir())
    assert not list(blobs.parts.iterdir())
