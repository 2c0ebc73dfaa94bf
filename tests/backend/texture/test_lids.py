"""The skin that a blink unfolds shows no streaks of what lay in front of it."""

from __future__ import annotations

import cv2
import numpy as np
from texture_scene import Shot, make_scene, with_labels

from backend.geometry.template import load_template
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, lid_folds, texture_space

SIZE = 512


def test_streaks_in_the_fold_go_and_all_other_skin_stays() -> None:
    scene = make_scene([Shot(0.0, size=640)])
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    folded = np.flatnonzero(lid_folds(scene.template) > 0.5)
    streaked = []
    for face, photo in zip(scene.faces, scene.fitted.photos, strict=True):
        pixels = face.pixels.copy()
        for x, y in photo.camera.project(photo.vertices[folded].astype(np.float64))[:, :2]:
            cv2.line(pixels, (round(x), round(y) - 1), (round(x), round(y) + 1), (40, 25, 18), 1)  # a hair
        streaked.append(with_labels(face, face.labels, pixels))
    clean, found = (
        np.log(np.maximum(linear_from_srgb(build_albedo(scene.template, scene.fitted, faces, SIZE).albedo), 1e-3))
        for faces in (scene.faces, streaked)
    )
    fold = space.skin.image(space.skin.sample(surface.regions["lid_folds"][:, None])[:, 0])
    darker = (clean - found).mean(-1)
    assert (fold > 0.98).sum() > 50
    assert np.percentile(darker[fold > 0.98], 90) < 0.2, "log units; the hairs are darker by 2"
    around = cv2.dilate(fold, np.ones((41, 41)))  # lids and brows beside it may be darker, as the hairs are wide
    assert np.abs(darker[(around == 0.0) & (space.skin.image(np.ones(len(space.skin.texel))) > 0)]).max() < 0.1
    assert 0.001 < (fold > 0.0).mean() < 0.02


def test_the_fold_is_on_both_upper_lids_and_nowhere_else() -> None:
    template = load_template()
    folds = lid_folds(template)
    for eye, sign in ((0, 1), (1, -1)):
        folded = np.flatnonzero((folds > 0.5) & (sign * template.vertices[: len(folds), 0] > 0.0))
        offset = template.vertices[folded] - template.eye_pivots[eye]
        assert len(folded) > 15 and (offset[:, 1] > 0).all() and (sign * template.vertices[folded, 0] > 0.01).all()
        assert np.linalg.norm(offset, axis=1).max() < 0.025
