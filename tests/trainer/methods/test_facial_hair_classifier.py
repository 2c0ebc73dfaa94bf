"""The classifier of facial hair: what it learns from, and that it learns."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
from mean_face import mean_face

from backend.models.parsing.accessories import FacialHairClassifier
from backend.photos.faces import landmark_window
from trainer.methods.parsing.facial_hair import Rows, fit, press_like, save

FEATURES = 2484


def _rows(rng: np.random.Generator, count: int) -> Rows:
    """Rows whose first features are a moustache's and whose last ones are a beard's."""
    moustache, beard = (rng.random(count) < 0.4).astype(float), (rng.random(count) < 0.3).astype(float)
    features = rng.normal(0, 0.1, (count, FEATURES)).astype(np.float32)
    features[:, :40] += 0.15 * moustache[:, None]
    features[:, -40:] += 0.3 * beard[:, None]
    return Rows(features, moustache, beard)


def test_a_picture_as_of_the_press_is_smaller_and_its_landmarks_with_it() -> None:
    landmarks = mean_face(250.0, (200.0, 200.0))
    pixels = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    small, places = press_like(pixels, landmarks, np.random.default_rng(1))
    assert small.dtype == np.uint8 and small.shape[0] == small.shape[1] < 400
    assert 50 < landmark_window(places, 1.0).side < 130
    assert np.allclose(places / small.shape[0], landmarks / 400)


def test_it_learns_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classifier = fit(_rows(rng, 500), _rows(rng, 100))
    unseen = _rows(rng, 200)
    scores = [classifier.scores(row) for row in unseen.features]
    assert np.mean([(score.lip > 0) == worn for score, worn in zip(scores, unseen.moustache, strict=True)]) > 0.9
    assert np.mean([(score.chin > 0) == worn for score, worn in zip(scores, unseen.beard, strict=True)]) > 0.9
    save(classifier, tmp_path / "parsing" / "facial_hair_classifier.npz")
    with np.load(tmp_path / "parsing" / "facial_hair_classifier.npz") as data:
        assert set(data.files) == {field.name for field in fields(FacialHairClassifier)}
        again = FacialHairClassifier(**{name: data[name].astype(np.float32) for name in data.files})
    assert abs(again.scores(unseen.features[0]).lip - scores[0].lip) < 0.05
