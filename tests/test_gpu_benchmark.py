"""``benchmarks/gpu.py`` at toy size: without a card the processor equals itself, so what a card shows is the card's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import gpu

SIDE, YAWS = 256, (0.0, 40.0)


def test_the_dense_loops_equal_themselves_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.albedo, "fine_band", gpu.albedo.fine_band)  # the benchmark puts its clock there
    figures = gpu.texel_figures("cpu", SIDE, YAWS)
    differences = [figures.pop(name) for name in sorted(figures) if name.startswith("differs.")]
    assert len(differences) == 10 and not any(differences)
    assert {f"{device}.seconds.{part}" for device in ("cpu", "card") for part in ("unwrapped", "texture")} < set(
        figures
    )
    assert min(figures.values()) > 0.0


def test_a_head_that_moved_is_found(tmp_path: Path) -> None:
    for folder, height in (("cpu", 0.0), ("card", 0.001)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "face.obj").write_text(f"v 0 {height} 0\nv 1 {height} 0\n")
    found = gpu.differences(tmp_path / "cpu", tmp_path / "card")
    assert found["differs.vertices_mm_p99"] == pytest.approx(1.0)
    assert found["differs.vertices_mm_p99"] > gpu.TOLERANCES["differs.vertices_mm_p99"]
    (tmp_path / "card" / "face.obj").write_text("v 0 0 0\n")
    assert gpu.differences(tmp_path / "cpu", tmp_path / "card") == {"differs.vertices_mm_p99": float("inf")}
