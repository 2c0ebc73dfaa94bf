"""Paint the bust's skin into its own chart of map ``Head``, without photos."""

from __future__ import annotations

import numpy as np

from backend.geometry.noise import fractal_noise
from backend.geometry.template import Template
from backend.geometry.topology import triangulate
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rendering.uv_space import dilate
from backend.rig.bust import BustModel
from backend.texture.unwrapping.atlas import UvChart, build_atlases

_MOTTLE, _MOTTLE_METRES = 0.025, 0.005
"""Log units and size in metres of the mottling of skin, the same as on inpainted skin."""
_GUTTER = 0.004
"""Gutter as a fraction of the map's side: the chart's rim is dilated this far, for coarse mipmaps."""


def with_bust(albedo: np.ndarray, template: Template, model: BustModel, vertices: np.ndarray) -> np.ndarray:
    """Paint the bust's chart: the neck's colours at its rim, blending to their median farther down.

    Parameters
    ----------
    albedo : (R, R, 3) uint8 sRGB, row 0 is v = 1 of map ``Head``. vertices : (B, 3) of the bust, metres.
    """
    side = len(albedo)
    rim = np.log(np.maximum(_above_rim(albedo, template, model), 1e-3))  # (rim, 3)
    tone = np.median(rim, axis=0)
    log_colour = tone + model.carried(rim - tone)  # (B, 3)
    split = triangulate(model.quads)
    (atlas,) = build_atlases([UvChart(model.uv, split.apply(model.uv_quads), split.faces)], side)
    sampled = atlas.sample(np.concatenate([log_colour, vertices], 1))
    painted = np.exp(sampled[:, :3] + _MOTTLE * fractal_noise(sampled[:, 3:], _MOTTLE_METRES, 3, 95)[:, None])
    covered = np.zeros((side, side), bool)
    covered.reshape(-1)[atlas.texel] = True
    result = albedo.copy()
    result.reshape(-1, 3)[atlas.texel] = srgb_bytes(painted)
    gutter = max(2, round(_GUTTER * side))
    row, column = np.nonzero(covered)
    window = (
        slice(max(row.min() - gutter, 0), row.max() + gutter + 1),
        slice(max(column.min() - gutter, 0), column.max() + gutter + 1),
    )
    result[window] = dilate(result[window], covered[window], gutter)
    return result


def _above_rim(albedo: np.ndarray, template: Template, model: BustModel) -> np.ndarray:
    """(rim, 3) linear colour of the neck beside each vertex of the bust's rim."""
    quads = template.quads[: template.head.face_stop]
    middle = template.uv_head[template.uv_head_quads[: len(quads)]].mean(1)  # (F, 2)
    place = np.clip((np.stack([middle[:, 0], 1.0 - middle[:, 1]], 1) * len(albedo)).astype(int), 0, len(albedo) - 1)
    reach = max(1, len(albedo) // 512)
    beside = [np.flatnonzero((quads == vertex).any(1)) for vertex in model.rim]
    return np.array([np.mean([_around(albedo, *place[face], reach) for face in faces], axis=0) for faces in beside])


def _around(albedo: np.ndarray, column: int, row: int, reach: int) -> np.ndarray:
    """(3,) mean linear colour around a texel."""
    part = albedo[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
    return linear_from_srgb(part).reshape(-1, 3).mean(0)
