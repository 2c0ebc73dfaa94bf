"""Remove streaks from the upper lids: skin folded away in an open eye is filled from the lid skin beside the fold.

A photo of an open eye shows the fold at a grazing angle, or brow and lashes in front of it, within one or two
millimetres. A blink stretches this strip to three times its height, together with every hair and shadow in it.
"""

from __future__ import annotations

import numpy as np

from backend.geometry.smoothstep import smoothstep
from backend.geometry.template import Template
from backend.rig.arkit import ARKIT_INDEX
from backend.rig.face_loops import face_loops
from backend.texture.inpainting.fill import pore_noise
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import HeadSurface
from backend.texture.unwrapping.uv_filters import masked_lowpass, push_pull

_STRETCH_STEP = (1.35, 2.0)
"""Ratio of edge lengths, closed eye over open eye: skin keeps its texture up to the first value and is filled entirely
from the second on."""
_LID_LOOPS = (1, 8)  # edge loops, counted outwards from the lid margin: the lid's own skin, below the brow
_LOWPASS_WIDTH = 0.0025  # metres: low-pass width for the folded skin; hairs and streaks are narrower
_LOW_FREQUENCIES_KEPT = 0.35  # share kept of the folded skin's own low frequencies: the crease of an open eye
_SHADOW_CONTRAST = 0.35  # log units below the lid's median from which its texture is a hair or a shadow
_PORE_DEVIATION = (
    0.02  # standard deviation of log brightness of synthetic pores, which replace those removed with the streaks
)
_MIN_TEXELS = 50  # texels of open skin needed


def inpaint_lid_folds(
    skin: np.ndarray,
    atlas: SurfaceAtlas,
    template: Template,
    surface: HeadSurface,
    positions: np.ndarray,
    density: float,
) -> np.ndarray:
    """Inpaint the folds of the upper lids.

    Parameters
    ----------
    skin : (P, 3) linear albedo at the atlas's texels. positions : (V, 3) neutral, metres. density : texels per metre.

    Returns
    -------
    (P, 3) float32 linear albedo.
    """
    result = skin.astype(np.float32).copy()
    fields = surface.lifted(lid_fold(template)[: surface.count])  # (V, 4) own skin and fold of the left and right eye
    sampled = atlas.sample(fields.astype(np.float32))
    for eye in (0, 1):
        own, fold = sampled[:, 2 * eye], sampled[:, 2 * eye + 1]
        used = np.flatnonzero(own > 0.02)
        if len(used) < _MIN_TEXELS:
            continue
        part = atlas.part(used)
        log = np.log(np.maximum(skin[used], 1e-3))
        result[used] = np.exp(
            _inpaint_fold(log, own[used], fold[used], part, _LOWPASS_WIDTH * density)
            + fold[used, None] * pore_noise(part.sample(positions), _PORE_DEVIATION, 23 + eye)
        )
    return result


def lid_fold(template: Template) -> np.ndarray:
    """(V, 4) masks in [0, 1] on the head's vertices: the left upper lid's own skin and how far a blink unfolds it, then
    the same for the right eye."""
    fields = np.zeros((template.head.vertex_stop, 4))
    first, last = _LID_LOOPS
    for eye, side in enumerate(("Left", "Right")):
        loops = face_loops(template).eyes[eye]
        grid = loops.rows[loops.margin :, loops.upper]
        blink = template.expressions[ARKIT_INDEX[f"eyeBlink{side}"]]
        open_eye, shut = template.vertices[grid], template.vertices[grid] + blink[grid]
        lengths = [np.linalg.norm(np.diff(points, axis=0), axis=2) for points in (shut, open_eye)]
        stretch = lengths[0] / np.maximum(lengths[1], 1e-6)  # (R - 1, 13)
        at_vertex = np.maximum(np.pad(stretch, ((1, 0), (0, 0))), np.pad(stretch, ((0, 1), (0, 0))))
        rows = slice(first, last + 1)
        fields[grid[rows], 2 * eye] = 1.0
        fields[grid[rows], 2 * eye + 1] = smoothstep(*_STRETCH_STEP, at_vertex[rows])
    return fields


def _inpaint_fold(log: np.ndarray, own: np.ndarray, fold: np.ndarray, part: SurfaceAtlas, even: float) -> np.ndarray:
    """(N, 3) log albedo of one lid. The fold is low-passed over ``even`` texels and blended with the skin beside it."""
    y, x = np.divmod(part.texel, part.resolution)
    y, x = y - y.min(), x - x.min()
    shape = (int(y.max()) + 1, int(x.max()) + 1)
    image = np.zeros((*shape, 3), np.float32)
    open_skin, inside = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    image[y, x] = log
    inside[y, x] = own
    brightness = log.mean(axis=1)
    shown = own * (1.0 - fold) > 0.5
    if shown.sum() < _MIN_TEXELS:
        return log
    clear = smoothstep(
        np.median(brightness[shown]) - _SHADOW_CONTRAST,
        np.median(brightness[shown]) - 0.5 * _SHADOW_CONTRAST,
        brightness,
    )
    open_skin[y, x] = own * (1.0 - fold) * clear
    beside = push_pull(*_lowpass_and_support(image, open_skin, even))
    broad, _ = masked_lowpass(image, inside, even)
    fill = (1.0 - _LOW_FREQUENCIES_KEPT) * beside[y, x] + _LOW_FREQUENCIES_KEPT * broad[y, x]
    return log * (1.0 - fold[:, None]) + fill * fold[:, None]


def _lowpass_and_support(image: np.ndarray, weights: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Masked low-pass of ``image`` and its support in [0, 1], in the form that ``push_pull`` takes."""
    mean, support = masked_lowpass(image, weights, sigma)
    return mean, np.clip(support / 0.3, 0.0, 1.0)
