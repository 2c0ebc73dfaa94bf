"""Positions of the ears' points and the hairline in the photos, shown to the user for correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from backend.exchange.face_asset import AssetPhoto
from backend.fitting.fitted_face import FittedPhoto
from backend.geometry.head_points import HAIR_DEGREES, ear_vertices
from backend.geometry.template import Template
from backend.hair.hair_line import line_places
from backend.hair.hair_views import closed_head
from backend.photos.collection import PhotoFace
from backend.rendering.visibility import depth_map, point_visibility

_SIDE = 256
"""Pixels of the longer side of the crop in which occlusion is tested: an ear has about 20."""
_BIAS = 0.01
"""Metres that a point may lie behind the surface: the hull that carries the hairline cuts corners by as much."""


def with_shown_points(
    photos: Sequence[AssetPhoto],
    fitted: Sequence[FittedPhoto],
    faces: Sequence[PhotoFace],
    template: Template,
    style: Mapping[str, float] | None,
    looked: bool = True,
) -> tuple[AssetPhoto, ...]:
    """The photos with ``AssetPhoto.head_points``. ``style`` : parameters of the hair, None without hair and so without
    a hairline, or if hair was not examined (``looked`` False)."""
    return tuple(
        replace(photo, head_points=_points(one, face, template, style, looked))
        for photo, one, face in zip(photos, fitted, faces, strict=True)
    )


def _points(
    photo: FittedPhoto, face: PhotoFace, template: Template, style: Mapping[str, float] | None, looked: bool
) -> np.ndarray:
    ears = photo.vertices[ear_vertices()].astype(np.float64)
    line = np.zeros((len(HAIR_DEGREES), 3)) if style is None else line_places(template, photo.vertices, style)
    places = np.concatenate([ears, line])
    camera = photo.camera.scaled(min(1.0, _SIDE / max(face.labels.shape)))
    depth = depth_map(*closed_head(photo.vertices, template), camera)
    seen = (point_visibility(places, camera, depth, bias=_BIAS) > 0.5).astype(np.float32)
    if style is None:
        seen[len(ears) :] = 0.0 if looked else -1.0
    in_file = photo.camera.project(places)[:, :2] / face.crop_scale + np.asarray(face.crop_offset)
    return np.concatenate([in_file, seen[:, None]], axis=1).astype(np.float32)
