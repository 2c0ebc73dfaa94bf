"""``evaluate lap``: figures of a model, and what it says when there is none."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
from pathlib import Path

import pytest
from canonical_hand_made import TINY, save_tiny
from rich.console import Console

from trainer.measures.harness import write_figures
from trainer.methods.lap import evaluate as lap


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    lap.add_arguments(parser)
    return parser.parse_args(list(words))


def saved(folder: Path) -> Path:
    return save_tiny(folder, dataclasses.replace(TINY, rotation_degrees=60.0, refine_residual=True, border_columns=0))


def test_figures_of_a_model_by_number_of_photos(tmp_path: Path) -> None:
    model = str(saved(tmp_path / "model"))
    words = ("--model", model, "--people", "3", "--kept", str(tmp_path))
    figures = lap.run(arguments(*words), Console(file=io.StringIO()))
    for count in range(1, 7):
        assert 0.1 < figures[f"side.n{count}"] < 10 and 1 < figures[f"mad.n{count}"] < 90
    assert figures["side.floor"] < figures["side.n1"], "truth is better than an untrained network"
    assert figures["ratio.n4_n1"] == pytest.approx(figures["side.n4"] / figures["side.n1"], rel=1e-4)
    assert figures["ratio.n4_n1.low"] <= figures["ratio.n4_n1"] <= figures["ratio.n4_n1.high"]
    assert figures["spread.people"] >= 0
    assert figures["side.canonical.mean_face"] < figures["side.canonical.n1"], "untrained networks know no faces"
    assert figures["side.mean_face_true_view"] < figures["side.mean_face_no_view"]
    assert figures["ratio.canonical.n4_n1"] == pytest.approx(1, abs=0.05)
    shown = figures["side.canonical.n1"] / figures["side.canonical.mean_face"]
    assert figures["ratio.canonical.mean_face.n1"] == pytest.approx(shown)
    assert figures["ratio.mean_of_codes.n4.low"] <= figures["ratio.mean_of_codes.n4"]
    assert figures["ratio.mean_of_codes.n4"] == pytest.approx(1, abs=0.1), "untrained weights are nearly even"
    assert figures["poor.ratio.n4_n1"] == pytest.approx(
        figures["poor.side.canonical.n4"] / figures["poor.side.canonical.n1"], rel=1e-4
    )
    assert figures["poor.side.canonical.mean_face"] == pytest.approx(figures["side.canonical.mean_face"], rel=1e-3)


def test_without_a_model_it_says_not_trained(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    figures = lap.run(arguments("--model", str(tmp_path / "nothing")), Console(file=io.StringIO()))
    assert figures["side.n1"] == figures["mad.n6"] == "not trained"
    write_figures(tmp_path / "figures.json", figures)
    assert json.loads((tmp_path / "figures.json").read_text())["side.n1"] == "not trained"
