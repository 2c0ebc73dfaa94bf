"""A smile's folds stay out of the texture, which is that of a face at rest."""

from __future__ import annotations

import cv2
import numpy as np
from texture_scene import Shot, make_scene, with_labels

from backend.photos.collection import FaceClass
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space
from protocol.names import ARKIT_INDEX

SIZE = 256
SMILE = tuple((ARKIT_INDEX[name], 0.9) for name in ("mouthSmileLeft", "mouthSmileRight"))


def _fold(shots: list[Shot], farther: int = 0) -> float:
    """How much darker (log units) the texture's cheeks are, where most, for a fold beside the mouth in every photo,
    which is ``farther`` pixels farther out in each next one."""
    scene = make_scene(shots)
    faces = []
    for number, face in enumerate(scene.faces):
        line = np.zeros(face.labels.shape, np.float32)
        wing, corner = face.landmarks[64, :2] - (14, 0), face.landmarks[61, :2] - (16, -4)
        other = face.landmarks[294, :2] + (14, 0), face.landmarks[291, :2] + (16, 4)
        out = np.array([number * farther, 0.0])
        for start, end in ((wing - out, corner - out), (other[0] + out, other[1] + out)):
            cv2.line(line, tuple(map(int, start)), tuple(map(int, end)), 1.0, 5)
        shade = 1.0 - 0.45 * cv2.GaussianBlur(line, (0, 0), 2.5) * (face.labels == FaceClass.SKIN)
        faces.append(with_labels(face, face.labels, (face.pixels * shade[..., None]).astype(np.uint8)))
    clean = linear_from_srgb(build_albedo(scene.template, scene.fitted, scene.faces, SIZE).albedo)
    found = linear_from_srgb(build_albedo(scene.template, scene.fitted, faces, SIZE).albedo)
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    face_skin = space.skin.image(space.skin.sample(surface.regions["face"][:, None])[:, 0]) > 0.9
    darker = np.log(np.maximum(clean.mean(2), 1e-3)) - np.log(np.maximum(found.mean(2), 1e-3))
    return float(np.percentile(darker[face_skin], 99.5))


def test_folds_that_a_smile_makes_fade_where_one_photo_is_all() -> None:
    at_rest, smiling = _fold([Shot(0.0)]), _fold([Shot(0.0, expression=SMILE)])
    assert at_rest > 0.25
    assert smiling < 0.7 * at_rest


def test_folds_that_a_photo_at_rest_shows_stay_beside_smiles() -> None:
    calm, smiles = Shot(0.0), [Shot(turn, expression=SMILE) for turn in (8.0, -8.0)]
    assert _fold([calm, *smiles]) > 0.6 * _fold([calm])


def test_folds_that_lie_elsewhere_in_each_photo_are_no_pigment() -> None:
    """Two laughs crease the cheek at two places: neither is drawn on the skin."""
    scattered = _fold([Shot(turn, expression=SMILE) for turn in (8.0, -8.0)], farther=14)
    assert scattered < 0.3
