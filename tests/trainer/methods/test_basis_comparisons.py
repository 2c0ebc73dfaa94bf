"""The learned face model's figures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.models.learned_basis.network import LearnedBasisConfig, LearnedBasisNet
from trainer.methods.learned_basis import evaluate as basis
from trainer.methods.learned_basis.data import FacePeople, FacePeopleConfig
from trainer.methods.learned_basis.start import begin_from_people

SMALL = LearnedBasisConfig(
    size=24, level=0, nodes=60, identity=12, reflectance=2, expression=6, width=8, stages=2, feature=16, focal=0.0
)


def test_equal_error_rate_by_hand() -> None:
    same, other = np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.6, 0.3, 0.1, 0.0])
    # at a threshold of 0.3 to 0.6 one of four is refused; 0.6 alone is taken above 0.3, so a quarter of each
    assert basis.equal_error_rate(same, other) == pytest.approx(0.25)
    assert basis.equal_error_rate(np.array([0.8, 0.9]), np.array([0.1, 0.7])) == 0.0
    assert basis.equal_error_rate(np.array([0.1, 0.2]), np.array([0.8, 0.9])) == 1.0
    draws = np.random.default_rng(0).normal(size=(2, 4000))
    assert basis.equal_error_rate(*draws) == pytest.approx(0.5, abs=0.02)


def test_cosines_of_pairs_by_hand() -> None:
    first, second = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([[0.0, -2.0], [-2.0, 0.0]])
    same, other = basis.similarities(first, second)  # the mean code is zero
    np.testing.assert_allclose(same, [0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(other, [-1.0, -1.0])
    moved = basis.similarities(first + 5, second + 5)
    np.testing.assert_allclose(moved[1], other)


def test_people_with_one_photo_make_no_pair(tmp_path: Path) -> None:
    for name, count in (("a", 2), ("b", 1), ("c", 3)):
        (tmp_path / name).mkdir()
        for number in range(count):
            cv2.imwrite(str(tmp_path / name / f"{number}.jpg"), np.full((20, 20, 3), 99, np.uint8))
    pairs = basis.pairs_of_photos(tmp_path, 10)
    assert [(one.parent.name, one.name, two.name) for one, two in pairs] == [
        ("a", "0.jpg", "1.jpg"),
        ("c", "0.jpg", "1.jpg"),
    ]
    assert len(basis.pairs_of_photos(tmp_path, 1)) == 1
    assert basis.read_face(pairs[0][0]) is None, "a grey square is no face"


def test_separation_tells_who_from_what() -> None:
    torch.manual_seed(0)
    network = LearnedBasisNet(SMALL).eval()
    begin_from_people(network.bases, 20)
    config = FacePeopleConfig(size=24, seed=8, photos=2, film=False)
    batch = FacePeople(config, basis.SameFaces(config)).batch(range(3), torch.device("cpu"))
    moved = (batch.truth.vertices - batch.truth.neutral).reshape(3, 2, -1)
    same, other = (moved[0] - moved[1]).norm(dim=1).mean(), (moved[:, 0] - moved[:, 1]).norm(dim=1).mean()
    assert same < 0.3 * other, "people make the same faces"
    found = basis.separation(network, batch)
    assert len(found) == 4 and all(value > 0 for value in found.values())
