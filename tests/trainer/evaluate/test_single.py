"""Figures of heads from one photograph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plain_photo import plain_photo

from backend.geometry.template import load_template
from backend.photos.collection import PhotoFace
from backend.photos.faces import LOWER_LIP_EDGE, UPPER_LIP_EDGE
from backend.texture.surface import texture_space
from trainer.evaluate import single

TEMPLATE = load_template()


def face(mouth: float, yaw: float = 0.0) -> PhotoFace:
    """A face with eyes 100 pixels apart and a mouth so wide."""
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[[33, 263], 0] = 0.0, 100.0
    landmarks[[61, 291], 0] = 0.0, mouth
    return plain_photo((200, 200), landmarks=landmarks, yaw_degrees=yaw)


def test_the_mouths_opening_is_a_share_of_the_faces_scale() -> None:
    landmarks = face(60.0).landmarks.copy()
    landmarks[list(LOWER_LIP_EDGE), 1] = 8.0
    landmarks[list(UPPER_LIP_EDGE), 1] = 3.0
    assert single.opening(landmarks) == pytest.approx(0.05)


def test_a_pair_is_the_narrowest_and_the_widest_mouth_of_frontal_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = {"a": (face(60.0),), "b": (face(75.0),), "c": (face(50.0, yaw=40.0),), "d": (face(64.0),), "e": ()}
    monkeypatch.setattr(single, "found_faces", lambda paths: photos[paths[0].name])
    pair = single.chosen_pair([Path(name) for name in photos])
    assert pair is not None and (pair.calm.name, pair.smiling.name) == ("a", "b")
    assert [path.name for path in pair.others] == ["c", "d", "e"]
    assert single.chosen_pair([Path("a"), Path("d")]) is None, "nobody smiles"


def test_covered_faces_are_left_out() -> None:
    plain = face(60.0)
    assert single.clear(plain)
    assert not single.clear(replace(plain, quality=replace(plain.quality, occlusion=0.5)))


def test_lines_across_a_laughs_folds_raise_the_contrast() -> None:
    skin = np.full((512, 512, 3), 150, np.uint8)
    atlas = texture_space(TEMPLATE, 512).skin
    folds = atlas.image(atlas.sample(single.folding()[:, None])[:, 0])
    lines = skin.copy()
    rows, columns = np.nonzero((folds > 0.1) & (np.arange(512) % 8 < 4)[:, None])
    lines[rows, columns] = 110
    elsewhere = skin.copy()
    rows, columns = np.nonzero((folds == 0) & (np.arange(512) % 8 < 4)[:, None])
    elsewhere[rows, columns] = 110
    plain, folded, other = (single.fold_contrast(one, TEMPLATE.vertices) for one in (skin, lines, elsewhere))
    assert folded > 0.03 and plain < 1e-3 and other < 0.5 * folded


def test_lips_are_as_far_apart_as_they_were_moved() -> None:
    moved = TEMPLATE.vertices.astype(np.float64).copy()
    lips = TEMPLATE.regions["lips"] > 0.5
    moved[lips, 2] += 0.003
    assert single.lips_apart(TEMPLATE.vertices, TEMPLATE.vertices) == pytest.approx(0.0, abs=1e-6)
    assert single.lips_apart(TEMPLATE.vertices, moved) == pytest.approx(2.7, abs=0.5)


def test_figures_are_means_over_both_photos() -> None:
    calm = single.OneHead(TEMPLATE.vertices, 0.1, {"outline": 2.0, "overlay": 0.3}, ())
    smiling = single.OneHead(TEMPLATE.vertices, 0.2, {"outline": 4.0, "overlay": 0.5, "mouth": 0.9}, ())
    figures = single.pair_figures(calm, smiling)
    assert figures["smile.folds"] == pytest.approx(2.0) and figures["smile.lips_mm"] == pytest.approx(0.0, abs=1e-6)
    assert figures["outline"] == pytest.approx(3.0) and figures["mouth"] == pytest.approx(0.9)
    assert figures["overlay.smiling"] == pytest.approx(0.5)
