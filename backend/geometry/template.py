"""The template: topology, parts, UV maps, landmarks, 52 expression deltas and the identity prior, read from assets/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PartRange:
    """Where a part lies in the template's arrays: vertices[v0:v1], quads[f0:f1]."""

    vertex_start: int
    vertex_stop: int
    face_start: int
    face_stop: int


@dataclass(frozen=True)
class LandmarkEmbedding:
    """Landmarks on the head's surface.

    Attributes
    ----------
    vertices : (L, 3) int32 template vertex ids of the triangle.
    barycentrics : (L, 3) float32, rows sum to 1.
    deviation : (L,) float32 typical error of the detector at this landmark, in per cent of the distance of the eyes'
        outer corners (for weighting residuals), frontal views.
    valid : (L,) bool, False where a landmark has no meaningful place on the template.
    """

    vertices: np.ndarray
    barycentrics: np.ndarray
    deviation: np.ndarray
    valid: np.ndarray

    def positions(self, mesh: np.ndarray) -> np.ndarray:
        """Landmark positions (..., L, 3) on a mesh (..., V, 3)."""
        return (mesh[..., self.vertices, :] * self.barycentrics[:, :, None]).sum(-2)


@dataclass(frozen=True)
class Template:
    """Everything that is the same for all faces. All lengths in metres, head frame (x to the person's left, y up, z
    out of the face, origin as in ``hm08``). All parts share one vertex array and one quad array; head first.

    Attributes
    ----------
    parts : part name -> ``PartRange``, in the order of ``exchange.face_asset.PART_NAMES``.
    vertices : (V, 3) float32 mean neutral face, lips closed, teeth behind the lips.
    quads : (F, 4) int32; a triangle repeats its last vertex. Counter-clockwise from outside.
    uv_head : (T, 2) float32 map ``Head``; uv_head_quads : (F, 4) int32. v up. All parts have their own place in it.
    uv_makehuman : (T2, 2) float32 original atlas; uv_makehuman_quads : (F, 4) int32.
    hm08_vertex : (V,) int32.
    mirror : (V,) int32, vertex across the median plane (eyes and other parts included).
    regions : name -> (V,) float32 in [0, 1]. At least: face (front of the head: what a photo fit may trust), lips,
        lip_upper, lip_lower, lids_left, lids_right, mouth_interior, nose, brows, cheeks, forehead, chin, ears, scalp,
        neck, eye_sockets.
    landmarks68, landmarks478 : ``LandmarkEmbedding``; 468-477 are the irises
        and lie on the eyeballs.
    contour_rows : (R, C) int32 rows of head vertices along which the face's outline slides when the head turns
        (ear to chin to ear), -1 padded; each row runs from the middle of the cheek outwards.
    jaw_weights : (V,) float32 skin weight of the jaw; jaw_pivot : (3,) and jaw_axis : (3,).
    eye_pivots : (2, 3) centres of eye_left and eye_right; eye_radius : float metres.
    expressions : (52, V, 3) float32 offsets at weight 1, order of ``rig.arkit.ARKIT_NAMES``.
    identity_modes : (K, V, 3) float32 offset of one standard deviation each; decorrelated, sorted by variance.
    """

    parts: Mapping[str, PartRange]
    vertices: np.ndarray
    quads: np.ndarray
    uv_head: np.ndarray
    uv_head_quads: np.ndarray
    uv_makehuman: np.ndarray
    uv_makehuman_quads: np.ndarray
    hm08_vertex: np.ndarray
    mirror: np.ndarray
    regions: Mapping[str, np.ndarray]
    landmarks68: LandmarkEmbedding
    landmarks478: LandmarkEmbedding
    contour_rows: np.ndarray
    jaw_weights: np.ndarray
    jaw_pivot: np.ndarray
    jaw_axis: np.ndarray
    eye_pivots: np.ndarray
    eye_radius: float
    expressions: np.ndarray
    identity_modes: np.ndarray

    @property
    def head(self) -> PartRange:
        """The head's range."""
        return self.parts["head"]
