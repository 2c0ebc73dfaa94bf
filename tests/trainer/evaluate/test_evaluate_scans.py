"""The scan evaluation with made-up scans: deformed templates, so that the true cage is known."""

import argparse
import io

import numpy as np
import pytest
from rich.console import Console

from backend.errors import LikenessError
from backend.geometry.template import load_template
from trainer.evaluate import command, scans
from trainer.heads.scans import ScanHead, ScanTruth
from trainer.measures.estimate import Fitted, as_estimate


def wider_cage(amount: float) -> np.ndarray:
    """The template with a nose and chin that stick out by ``amount`` metres more, smoothly."""
    template = load_template()
    cage = template.vertices.astype(np.float64)
    tip = template.landmarks478.positions(cage)[1]
    pull = np.exp(-((cage - tip) ** 2).sum(1) / 0.02**2)
    return cage + pull[:, None] * [0, 0, amount]


def made_up_head(name: str) -> ScanHead:
    estimate = as_estimate(wider_cage(0.006))
    near = np.linalg.norm(estimate.vertices - estimate.nose_tip, axis=1) < 0.09
    scan = estimate.vertices[near & (estimate.vertices[:, 2] > estimate.nose_tip[2] - 0.06)]
    truth = ScanTruth(name, scan, estimate.seven, estimate.nose_tip, estimate.bridge, np.full((2, 3), np.nan))
    return ScanHead(truth, None)


@pytest.fixture
def figures_of(monkeypatch):
    monkeypatch.setattr(scans.scans, "scan_head", made_up_head)
    monkeypatch.setattr(scans.scans, "scan_photos", lambda name, distance=None: tuple(f"{name}{i}" for i in range(6)))
    options = scans.ScanOptions(heads=2, photos_per_head=(1, 6), distances=False)
    monkeypatch.setattr(scans.scans, "true_focals", lambda name: np.full(6, 500.0))

    def figures(cage):
        def fit(paths):
            return Fitted(cage(paths), np.array([600.0] * (len(paths) - 1) + [np.nan]))

        return scans.evaluate_scans(options, fit, Console(file=io.StringIO()))

    return figures


def test_the_true_shape_measures_zero_and_the_template_does_not(figures_of):
    figures = figures_of(lambda paths: wider_cage(0.006) if len(paths) == 6 else wider_cage(0.003))
    assert figures["median_mm.n6"] == pytest.approx(0, abs=1e-4)
    assert 0 < figures["mean_mm.n1"] < figures["mean_mm.template"]
    assert figures["head.SIMPOP_15.median_mm.n6"] == pytest.approx(0, abs=1e-4)
    assert {"head.SIMPOP_16.mean_mm.n1", "median_mm.template", "std_mm.n6"} <= set(figures)
    assert figures["simulated.bias_mm.nose_tip.template"] < figures["simulated.bias_mm.nose_tip.n1.high"] < -0.2
    assert figures["simulated.bias_mm.nose_tip.n6"] == pytest.approx(0, abs=1e-3)
    assert figures["simulated.focal_ratio.n6"] == 1.2
    assert "simulated.focal_ratio.n1" not in figures


def test_a_failed_fit_counts_as_the_template(figures_of):
    def failing(paths):
        raise LikenessError("no_face", "No photo shows a face.")

    figures = figures_of(failing)
    assert figures["median_mm.n6"] == figures["median_mm.template"]


def test_scale_and_pose_of_the_estimate_do_not_matter(figures_of):
    turn = np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])
    figures = figures_of(lambda paths: 1.3 * wider_cage(0.006) @ turn.T + 0.5)
    assert figures["median_mm.n6"] == pytest.approx(0, abs=1e-3)


def test_each_evaluation_has_its_own_options_wherever_the_words_come_from() -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    for _ in range(2):
        assert parser.parse_args(["scans", "--photos-per-head", "1,6"]).photos_per_head
    with pytest.raises(SystemExit):
        parser.parse_args(["likeness", "--photos-per-head", "1,6"])
