"""The learned face model's figures against others: pairs, lights, clips, and the fit with and without its start."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.models.learned_basis.apply import render_face
from backend.models.learned_basis.network import LearnedBasisNet
from backend.rendering.spherical_harmonics import light_from_directions
from trainer.methods.learned_basis import evaluate

sys.path.append(str(Path(__file__).resolve().parents[2] / "trainer"))
from encoded_hand_made import tiny_network


@pytest.fixture(scope="module")
def network() -> LearnedBasisNet:
    return tiny_network()


def test_equal_error_rate_by_hand() -> None:
    same, other = np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.6, 0.3, 0.1, 0.0])
    # at a threshold of 0.3 to 0.6 one of four is refused; 0.6 alone is taken above 0.3, so a quarter of each
    assert evaluate.equal_error_rate(same, other) == pytest.approx(0.25)
    assert evaluate.equal_error_rate(np.array([0.8, 0.9]), np.array([0.1, 0.7])) == 0.0
    assert evaluate.equal_error_rate(np.array([0.1, 0.2]), np.array([0.8, 0.9])) == 1.0
    draws = np.random.default_rng(0).normal(size=(2, 4000))
    assert evaluate.equal_error_rate(*draws) == pytest.approx(0.5, abs=0.02)


def test_cosines_of_pairs_by_hand() -> None:
    first, second = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([[0.0, -2.0], [-2.0, 0.0]])
    same, other = evaluate.similarities(first, second)  # the mean code is zero
    np.testing.assert_allclose(same, [0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(other, [-1.0, -1.0])
    moved = evaluate.similarities(first + 5, second + 5)
    np.testing.assert_allclose(moved[1], other)


def test_people_with_one_photo_make_no_pair(tmp_path: Path) -> None:
    for name, count in (("a", 2), ("b", 1), ("c", 3)):
        (tmp_path / name).mkdir()
        for number in range(count):
            cv2.imwrite(str(tmp_path / name / f"{number}.jpg"), np.full((20, 20, 3), 99, np.uint8))
    pairs = evaluate.pairs_of_photos(tmp_path, 10)
    assert [(one.parent.name, one.name, two.name) for one, two in pairs] == [
        ("a", "0.jpg", "1.jpg"),
        ("c", "0.jpg", "1.jpg"),
    ]
    assert len(evaluate.pairs_of_photos(tmp_path, 1)) == 1
    assert evaluate.read_face(pairs[0][0]) is None, "a grey square is no face"


def test_the_best_light_is_the_one_that_a_picture_was_made_with(network: LearnedBasisNet) -> None:
    bases = network.bases
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    code = network(pictures, torch.arange(2))
    with torch.no_grad():
        face = network.face(code)
        pixels = code.pose.cameras(64).project(face.vertices)
        lamps = torch.tensor([[[0.4, 0.5, 0.77]], [[-0.6, 0.1, 0.79]]])
        true = torch.stack([light_from_directions(lamp, torch.tensor([[1.3, 1.1, 0.9]]), 0.5) for lamp in lamps])
        made = render_face(bases, face, pixels, true, 64)
        found = evaluate.best_lights(bases, face, pixels, made.image, made.mask)
        again = render_face(bases, face, pixels, found, 64)
        dark = render_face(bases, face, pixels, 0.3 * true, 64)
    off = (again.image - made.image).abs().mean(1)[made.mask].mean()
    assert off < 0.004 < 0.1 < (dark.image - made.image).abs().mean(1)[made.mask].mean()


def test_the_priors_face_is_near_and_has_nobodys_reflectance(network: LearnedBasisNet) -> None:
    with torch.no_grad():
        face = network.face(network(torch.rand(1, 3, 32, 32), torch.zeros(1, dtype=torch.long)))
        prior = evaluate.prior_face(network.bases, face)
    mean = network.bases.mean
    apart = (prior.neutral - face.neutral).norm(dim=-1).mean()
    assert apart < (mean - face.neutral).norm(dim=-1).mean()
    torch.testing.assert_close(prior.reflectance[0], network.bases.reflectance_mean)
