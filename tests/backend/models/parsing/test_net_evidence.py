"""Classifiers on the parsing net's features: they belong to the shipped net; a mirrored face is the other one."""

from __future__ import annotations

import numpy as np
import pytest

from backend.errors import LikenessError
from backend.models.parsing.accessories import eye_features, mouth_features, net_evidence
from backend.models.parsing.network import FaceParser
from backend.photos.faces import mean_landmarks
from backend.system.assets import ASSETS
from trainer.methods.parsing.net_features import degraded_picture, fit

SIZE = 256


@pytest.fixture
def landmarks() -> np.ndarray:
    """(478, 3) of a face that fills its square."""
    points = mean_landmarks().points.astype(np.float64)
    return (points - points.mean(0)) / np.ptp(points[:468, 1]) * 0.9 * SIZE + SIZE / 2


@pytest.fixture(scope="module")
def parser() -> FaceParser:
    """The shipped net."""
    try:
        return FaceParser.load()
    except LikenessError as error:
        pytest.skip(str(error))


def test_the_classifiers_are_those_of_the_shipped_net(parser: FaceParser) -> None:
    for name in ("glasses_by_net", "beard_by_net"):
        with np.load(ASSETS / "parsing" / f"{name}.npz") as data:
            assert str(data["net"]) == parser.version, f"make {name} anew: python -m trainer net-classifiers"


def test_features_are_those_behind_the_probabilities(parser: FaceParser) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
    look = parser.look(pixels)
    np.testing.assert_allclose(look.probabilities, parser.probabilities(pixels), atol=1e-5)
    assert look.features.shape[1:] == (SIZE // 4, SIZE // 4)


def test_a_mirrored_face_has_the_mirrored_features(landmarks: np.ndarray) -> None:
    features = np.random.default_rng(1).random((3, SIZE // 4, SIZE // 4), dtype=np.float32)
    flipped = (landmarks * [-1, 1, 1] + [SIZE, 0, 0])[mean_landmarks().mirror]
    for sampled in (eye_features, mouth_features):
        there = sampled(np.ascontiguousarray(features[:, :, ::-1]), flipped)
        np.testing.assert_allclose(sampled(features, landmarks, mirror=True), there, atol=1e-3)
        assert np.abs(sampled(features, landmarks) - there).max() > 0.1


def test_evidence_is_the_mean_of_both_looks(landmarks: np.ndarray, parser: FaceParser) -> None:
    rng = np.random.default_rng(2)
    first, second = (parser.look(rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)).features for _ in range(2))
    both = net_evidence(first, second, landmarks)
    alone = [net_evidence(one, other, landmarks) for one, other in ((first, first), (second, second))]
    swapped = net_evidence(second, first, landmarks)
    assert both.glasses + swapped.glasses == pytest.approx(alone[0].glasses + alone[1].glasses, abs=1e-3)


def test_weights_undo_the_scaling_of_features() -> None:
    rng = np.random.default_rng(3)
    labels = (rng.random(400) < 0.3).astype(float)
    features = rng.normal(0, [1, 100, 0.01], (400, 3)) + labels[:, None] * [0, 0, 0.02]
    mean, weights, bias = fit(features, labels)
    scores = (features - mean) @ weights + bias
    assert ((scores > 0) == (labels > 0)).mean() > 0.8
    assert abs(weights[1]) * 100 < abs(weights[2]) * 0.01


def test_a_spoilt_picture_is_the_same_picture() -> None:
    ramp = np.tile(np.linspace(20, 200, SIZE, dtype=np.uint8)[None, :, None], (SIZE, 1, 3))
    worse = degraded_picture(ramp, np.random.default_rng(4))
    assert worse.shape == ramp.shape and worse.dtype == np.uint8
    assert np.corrcoef(worse[..., 1].ravel(), ramp[..., 1].ravel())[0, 1] > 0.98
