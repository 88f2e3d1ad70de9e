"""The speed of this machine is measured once, and kept."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from app.services import gauge
from engine.cost import Speed


@pytest.mark.slow
def test_the_speed_is_measured_once_and_kept_for_the_same_version(tmp_path: Path) -> None:
    speed = gauge.gauge(tmp_path)
    kept = json.loads((tmp_path / gauge.FILE).read_text())
    assert kept["speed"] == asdict(speed)
    assert all(1 / gauge.MOST < factor < gauge.MOST for factor in asdict(speed).values())
    assert gauge.gauge(tmp_path) is speed
    (tmp_path / "other").mkdir()
    other = Speed(2.0, 3.0, 4.0)
    (tmp_path / "other" / gauge.FILE).write_text(json.dumps({**kept, "speed": asdict(other)}))
    assert gauge.gauge(tmp_path / "other") == other


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"machine": "another", "speed": {}}', '{"speed": 1'])
def test_a_file_of_another_version_or_a_broken_one_is_not_believed(content: str, tmp_path: Path) -> None:
    (tmp_path / gauge.FILE).write_text(content)
    assert gauge._read(tmp_path / gauge.FILE) is None
