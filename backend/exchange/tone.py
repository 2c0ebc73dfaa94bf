"""Ratio of the texture stage's skin tone to the fit's, to convert lights and colours from one to the other."""

from __future__ import annotations

import numpy as np

from backend.exchange.face_asset import FaceAsset
from backend.rendering.color import linear_from_srgb


def tone_change(asset: FaceAsset, vertex_albedo: np.ndarray, face_region: np.ndarray) -> np.ndarray:
    """(3,) ratio of the asset's albedo to the fit's, linear: the median over the face's vertices.

    A photo determines the product of albedo and light, not each. Multiplying the fit's albedo by this ratio and
    dividing its lights by it leaves renders unchanged.

    Parameters
    ----------
    vertex_albedo : (V_head, 3) linear, the fit's. face_region : (V_head,) weights in [0, 1] of visible vertices.
    """
    head = asset.part("head")
    uv = np.zeros((len(head.vertices), 2), np.float32)
    uv[head.quads] = head.uv[head.uv_quads]
    size = len(asset.albedo)
    texel = np.clip(np.stack([uv[:, 0], 1 - uv[:, 1]]) * size, 0, size - 1).astype(int)
    texture = linear_from_srgb(asset.albedo[texel[1], texel[0]])
    shown = face_region > 0.5
    return np.median(np.maximum(texture[shown], 1e-3) / np.maximum(vertex_albedo[shown], 1e-3), axis=0)
