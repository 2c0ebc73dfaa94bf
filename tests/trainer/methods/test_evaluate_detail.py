"""Figures of the detail network: perfect ones for the truth, the expected ones for nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from backend.models.detail import DetailConfig
from backend.models.registry import DETAIL
from trainer.evaluate.command import EVALUATIONS
from trainer.methods.detail import evaluate as detail
from trainer.methods.detail.data import DetailPeopleConfig


class Guess:
    """Stands where a model is asked for; ``displacements`` is replaced beside it."""

    class network:  # noqa: N801
        config = DetailConfig()


@pytest.fixture(scope="module")
def person():
    return DetailPeopleConfig(seed=detail.SEED).build().person(3)


def test_the_truth_is_perfect(monkeypatch: pytest.MonkeyPatch, person) -> None:
    truth, allowed = person.displacement[:, 0].numpy(), person.allowed[0].numpy()
    monkeypatch.setattr(detail, "displacements", lambda *_: truth / np.maximum(allowed, 1e-3))
    figures = detail.person_figures(Guess, person, np.zeros_like(truth))
    known = [value for name, value in figures.items() if name.startswith("correlation.found") and np.isfinite(value)]
    assert known and min(known) > 0.999
    assert [figures[f"error.{kind}"] for kind in detail.KINDS] == pytest.approx([0.0, 0.0, 0.0], abs=1e-3)


def test_nothing_found_is_an_error_of_one(monkeypatch: pytest.MonkeyPatch, person) -> None:
    truth = person.displacement[:, 0].numpy()
    monkeypatch.setattr(detail, "displacements", lambda *_: np.zeros_like(truth))
    figures = detail.person_figures(Guess, person, truth)
    assert [figures[f"error.{kind}"] for kind in detail.KINDS] == pytest.approx([1.0, 1.0, 1.0])
    means = [value for name, value in figures.items() if name.startswith("correlation.mean.") and np.isfinite(value)]
    assert means and min(means) > 0.999  # here the mean was the truth


def test_regions_are_where_they_are_called() -> None:
    rows = {name: np.average(np.mgrid[:512, :512][0], weights=detail.region_mask(name)) for name in detail.REGIONS}
    assert rows["forehead"] < rows["crows_feet"] < rows["nose_lip_folds"]


def test_without_a_model_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv(DETAIL.folder_variable, str(tmp_path))
    assert detail.run(argparse.Namespace(model=None, people=4), Console()) == {"detail": "not trained"}
    assert "not trained" in capsys.readouterr().out
    assert "detail" in EVALUATIONS
