"""Enforce one beard state: photos from before and after a shave must not both texture the lower face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.robust_statistics import weighted_quantile
from backend.geometry.smoothstep import smoothstep
from backend.geometry.template import Template
from backend.photos.collection import CONTRADICTED_LABEL, LABELS_SIDE, FaceClass, PhotoFace
from backend.rendering.render import render_linear
from backend.texture.unwrapping.head_surface import HeadSurface, head_surface
from backend.texture.unwrapping.photo_selection import photo_trust
from backend.texture.unwrapping.unwrap import sample_labels, view_surface

BEARD_DIFFERENCE_SHARE = 0.5
"""Share of the chin: a photo that differs from the others by more than half the chin shows another beard."""
LEAST_CHIN = 0.3
"""Share of the chin that a photo has to show to count: a third, so that a head from the side still counts."""
_SHAVEN_OR_NOT = (FaceClass.SKIN, FaceClass.FACIAL_HAIR)


def with_consistent_beards(template: Template, fitted: FittedFace, faces: Sequence[PhotoFace]) -> tuple[PhotoFace, ...]:
    """Label the lower face ``CONTRADICTED_LABEL`` in photos whose chin is bearded where most photos' is bare, or the
    reverse. The median weighted by the photos' trust decides. Moustaches alone are left unchanged.

    ``faces`` : (P,) in the order of ``fitted.photos``.
    """
    surface = head_surface(template)
    chin = surface.regions["chin"][: surface.count]
    bearded = np.array([_bearded(surface, chin, face, photo) for face, photo in zip(faces, fitted.photos, strict=True)])
    known = np.isfinite(bearded)
    if known.sum() < 2 or np.ptp(bearded[known]) <= BEARD_DIFFERENCE_SHARE:
        return tuple(faces)
    trust = np.array([photo_trust(face, photo) for face, photo in zip(faces, fitted.photos, strict=True)])
    usual = weighted_quantile(bearded[known, None], trust[known], 0.5)[0]
    place = _beard_region(surface, fitted.neutral[: surface.count])
    other = known & (np.abs(bearded - usual) > BEARD_DIFFERENCE_SHARE)
    return tuple(
        _without_beard(surface, place, face, photo) if odd else face
        for face, photo, odd in zip(faces, fitted.photos, other, strict=True)
    )


def _bearded(surface: HeadSurface, chin: np.ndarray, face: PhotoFace, photo: FittedPhoto) -> float:
    """Share of the visible chin that a photo labels as beard; NaN if too little of it is visible."""
    view = view_surface(photo.vertices[: surface.count].astype(np.float64), surface.cage_triangles, photo.camera)
    labels = sample_labels(face.labels, view.pixels)
    shown = chin * view.visible * np.isin(labels, _SHAVEN_OR_NOT)
    if shown.sum() < LEAST_CHIN * chin.sum():
        return float("nan")
    return float((shown * (labels == FaceClass.FACIAL_HAIR)).sum() / shown.sum())


def _beard_region(surface: HeadSurface, positions: np.ndarray) -> np.ndarray:
    """(C,) mask in [0, 1] on the cage: cheeks, jaw, chin and upper lip below half way from mouth to eyes."""
    regions = {name: region[: surface.count] for name, region in surface.regions.items()}
    lids = np.maximum(regions["lids_left"], regions["lids_right"])
    mouth, eyes = (float(np.median(positions[region > 0.5, 1])) for region in (regions["lips"], lids))
    half = mouth + 0.5 * (eyes - mouth)
    below = smoothstep(half + 0.006, half - 0.006, positions[:, 1])
    elsewhere = np.maximum.reduce([regions["lips"], regions["nose"], regions["mouth_interior"], regions["ears"]])
    return below * (1.0 - elsewhere) * np.maximum(regions["face"], regions["neck"])


def _without_beard(surface: HeadSurface, place: np.ndarray, face: PhotoFace, photo: FittedPhoto) -> PhotoFace:
    """The face with its beard, and skin where beards grow, labelled ``CONTRADICTED_LABEL``."""
    height, width = face.labels.shape
    scale = min(1.0, LABELS_SIDE / max(height, width))
    drawn = render_linear(
        photo.vertices[: surface.count],
        surface.cage_triangles,
        photo.camera.scaled(scale),
        colors=np.repeat(place[:, None], 3, axis=1),
        supersample=1,
    )
    there = cv2.resize(drawn.color[..., 0], (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    there = (there & np.isin(face.labels, _SHAVEN_OR_NOT)) | (face.labels == FaceClass.FACIAL_HAIR)
    return replace(face, labels=np.where(there, np.uint8(CONTRADICTED_LABEL), face.labels))
