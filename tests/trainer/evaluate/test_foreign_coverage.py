"""Whether the landmark net's claimed deviations are tested by true points on heads that are not its own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from backend.errors import LikenessError
from backend.fitting.detector_model import face_scale
from backend.geometry.template import load_template
from backend.models.landmarks import net_points
from trainer.evaluate import foreign as evaluation
from trainer.evaluate.foreign import coverage_figures, less_others_mean
from trainer.heads.drawing import draw_shot
from trainer.heads.dressed import face_middle
from trainer.heads.foreign import SOURCES, drawn_head
from trainer.measures.estimate import as_estimate

TEMPLATE = load_template()


def head(identity: np.ndarray) -> np.ndarray:
    """Cage vertices of a head by the first identity coefficients."""
    return TEMPLATE.vertices + np.tensordot(identity, TEMPLATE.identity_modes[: len(identity)], 1).astype(np.float64)


def drawn(folder, cage: np.ndarray) -> None:
    """A head's truth file, as it is drawn, and an empty photo."""
    estimate, marks = as_estimate(cage), TEMPLATE.landmarks478.positions(cage)
    near = np.linalg.norm(estimate.vertices - marks[1], axis=1) < 0.11
    kept = np.where(near, np.cumsum(near) - 1, -1)[estimate.faces]
    folder.mkdir(parents=True)
    np.savez(folder / "truth.npz", scan=estimate.vertices[near], triangles=kept[(kept >= 0).all(1)], marks=marks)
    (folder / "0.jpg").write_bytes(b"")


def test_drawn_heads_are_known_by_name():
    source, number = drawn_head("ict_21")
    assert source is SOURCES["ict"] and number == 21
    with pytest.raises(KeyError, match="nobody"):
        drawn_head("nobody_00")


def test_errors_less_the_others_mean_keep_their_variance():
    errors = np.random.default_rng(1).normal(size=(5, 478, 2)) + 3.0
    left = less_others_mean(errors)
    assert left.std() == pytest.approx(1.0, abs=0.05) and abs(left.mean()) < 1e-9


@pytest.mark.slow
def test_coverage_is_of_the_nets_own_points(tmp_path, monkeypatch):
    """Points that are twice as far from the true surface's as the net claims are measured to be so."""
    generator, faces, heads = np.random.default_rng(4), {}, {}
    for name, identity in (("gnm_07", [1.2, -1.0, 0.6]), ("gnm_09", [-0.8, 0.5, 1.0])):
        cage, folder = head(np.array(identity)), tmp_path / name
        drawn(folder, cage)
        marks = TEMPLATE.landmarks478.positions(cage).astype(np.float64)
        source, number = drawn_head(name)
        camera = draw_shot(source.seed + number, 0, face_middle(marks)).camera
        places = camera.project(net_points().positions(cage))[:, :2]
        claimed = 0.02 * face_scale(places)
        found = places + 2.0 * claimed * generator.normal(size=(478, 2))
        surface = SimpleNamespace(positions=0.5 * (found - [10.0, 20.0]), deviation=np.full(478, 0.5 * claimed))
        faces[folder / "0.jpg"] = SimpleNamespace(crop_scale=0.5, crop_offset=(10.0, 20.0), surface=surface)
        heads[name] = (folder / "0.jpg",)
    monkeypatch.setattr(evaluation, "found_faces", lambda photos: (faces[photos[0]],))
    figures = coverage_figures(heads)
    assert figures["coverage.net.deviation"] == pytest.approx(2.0, rel=0.1)
    assert figures["coverage.net.less_mean.within"] == pytest.approx(0.67, abs=0.04)
    monkeypatch.setattr(evaluation, "found_faces", lambda photos: ())
    with pytest.raises(LikenessError, match="Fewer than two"):
        coverage_figures(heads)
