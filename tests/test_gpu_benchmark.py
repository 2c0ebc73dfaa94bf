"""``benchmarks/gpu.py`` finds heads that differ."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import gpu


def test_a_head_that_moved_is_found(tmp_path: Path) -> None:
    for folder, height in (("cpu", 0.0), ("card", 0.001)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "face.obj").write_text(f"v 0 {height} 0\nv 1 {height} 0\n")
    found = gpu.differences(tmp_path / "cpu", tmp_path / "card")
    assert found["differs.vertices_mm_p99"] == pytest.approx(1.0)
    assert found["differs.vertices_mm_p99"] > gpu.TOLERANCES["differs.vertices_mm_p99"]
    (tmp_path / "card" / "face.obj").write_text("v 0 0 0\n")
    assert gpu.differences(tmp_path / "cpu", tmp_path / "card") == {"differs.vertices_mm_p99": float("inf")}
