"""Result of the fit, for texture, rig and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backend.photos.collection import PhotoFace
from backend.rendering.camera import Camera

MOST_LANDMARK_ERROR = 4.5
"""Per cent, 3 to 6: three times the usual ``FittedPhoto.landmark_error_percent``. 68 single photographs and portraits
have 0.9 to 3.6, median 1.5; landmarks on a face that stands on its head have 13."""


@dataclass(frozen=True)
class FittedPhoto:
    """One photo's part of the fit.

    Attributes
    ----------
    name : the photo's name.
    camera : in pixels of the photo's crop (``PhotoFace.pixels``).
    expression : (52,) weights in [0, 1], order of ``protocol.names.ARKIT_NAMES``.
    vertices : (V, 3) float32 posed vertices of all parts in the head frame, metres (neutral + this expression).
    light : (9, 3) float32 spherical-harmonics coefficients of the irradiance (bands 0-2, real basis, head frame,
        RGB): shading(n) = sum_k basis_k(n) light[k]; linear colour = albedo * shading. Exposure and white balance
        are inside. For a monochrome photo the three channels are equal.
    landmark_error_percent : median distance of projected and found landmarks, in per cent of the distance of the
        eyes' outer corners.
    photometric_error : mean absolute difference of render and photo over visible skin, in sRGB units 0-1.
    landmarks : (478, 4) float32 crop pixels: x and y of each detected landmark, then of its projection from the fitted
        head; None where they were not asked for.
    """

    name: str
    camera: Camera
    expression: np.ndarray
    vertices: np.ndarray
    light: np.ndarray
    landmark_error_percent: float
    photometric_error: float
    landmarks: np.ndarray | None = None

    @property
    def doubt(self) -> str:
        """A sentence for the user where the landmarks do not fit any head; empty otherwise."""
        if self.landmark_error_percent <= MOST_LANDMARK_ERROR:
            return ""
        return (
            f"The landmarks do not fit a head: their error of {self.landmark_error_percent:.0f} % is more than three "
            "times the usual. Look at the result with care, or correct the landmarks."
        )


@dataclass(frozen=True)
class FittedFace:
    """One person: shared identity, and one ``FittedPhoto`` per used photo.

    Attributes
    ----------
    identity : (K,) coefficients in standard deviations of ``Template.identity_modes``.
    neutral : (V, 3) float32 neutral vertices of all parts in the template's order, head frame, metres
        (identity and cage offsets included).
    vertex_albedo : (V_head, 3) float32 linear-light albedo estimated by the fit, per head vertex.
    rejected : (name, reason) of photos that the fit left out because they do not show this person's shape.
    doubts : (name, sentence) of photos that seem to show two people.
    photos : in the order of ``PhotoCollection.faces`` (rejected ones left out).
    """

    identity: np.ndarray
    neutral: np.ndarray
    vertex_albedo: np.ndarray
    photos: tuple[FittedPhoto, ...]
    rejected: tuple[tuple[str, str], ...] = ()
    doubts: tuple[tuple[str, str], ...] = ()

    def all_doubts(self) -> dict[str, str]:
        """Name of a used photo -> what is doubtful about it, empty if nothing is."""
        others = dict(self.doubts)
        return {photo.name: f"{photo.doubt} {others.get(photo.name, '')}".strip() for photo in self.photos}

    def used_faces(self, faces: Sequence[PhotoFace]) -> tuple[PhotoFace, ...]:
        """Those of ``faces`` that the fit used, in its order."""
        by_name = {face.name: face for face in faces}
        return tuple(by_name[photo.name] for photo in self.photos)

    def for_texture(self, faces: Sequence[PhotoFace]) -> FittedFace:
        """The same face without the photos that the user has reserved for the shape."""
        shape_only = {face.name for face in faces if face.use == "shape"}
        return replace(self, photos=tuple(photo for photo in self.photos if photo.name not in shape_only))
