"""The skin's relief as height maps in UV map ``Head``: the groups of keys that share a map, its shade for renderers
without bumps, and the skin's roughness by region.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from backend.detail import window as windows
from backend.geometry.template import Template, uniform_laplacian
from backend.geometry.vectors import unit_vectors
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import LUMINANCE
from backend.rig.measure import EyeLoops, face_loops
from protocol.names import ARKIT_INDEX, ARKIT_NAMES

KEY_GROUPS: Mapping[str, tuple[str, ...]] = {
    "brows_up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brows_down": ("browDownLeft", "browDownRight"),
    "squint": (
        "eyeSquintLeft", "eyeSquintRight", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight",
    ),
    "sneer": ("noseSneerLeft", "noseSneerRight"),
    "smile": ("mouthSmileLeft", "mouthSmileRight", "mouthDimpleLeft", "mouthDimpleRight"),
    "stretch": ("mouthStretchLeft", "mouthStretchRight", "mouthFrownLeft", "mouthFrownRight"),
    "pucker": ("mouthPucker", "mouthFunnel"),
    "jaw_open": ("jawOpen",),
    "chin": ("mouthShrugLower", "mouthRollLower", "mouthPressLeft", "mouthPressRight"),
}  # fmt: skip
"""Name of a wrinkle map -> the keys that activate it."""


def group_weights(group: str) -> np.ndarray:
    """(52,) weights in the order of ``ARKIT_NAMES``: all keys of a group at full strength, except blinking, which would
    shut the eyes and dominate the map."""
    weights = np.zeros(len(ARKIT_NAMES), np.float32)
    for key in KEY_GROUPS[group]:
        if not key.startswith("eyeBlink"):
            weights[ARKIT_INDEX[key]] = 1.0
    return weights


MIDDLE = 32768
"""Stored value of height 0."""


@dataclass(frozen=True)
class HeightMap:
    """Heights along the outward normal as 16-bit steps: millimetres = (steps - ``MIDDLE``) / ``MIDDLE`` * reach.

    Attributes
    ----------
    steps : (S, S) uint16, row 0 is the top (v = 1) of UV map ``Head``. reach : millimetres at the largest step.
    """

    steps: np.ndarray
    reach: float

    def millimetres(self) -> np.ndarray:
        """(S, S) float32 heights."""
        return (self.steps.astype(np.float32) - MIDDLE) * np.float32(self.reach / MIDDLE)


@dataclass(frozen=True)
class SkinDetail:
    """Relief of the skin at rest and under expressions.

    Attributes
    ----------
    always : relief at rest, pores included. wrinkles : name of a group of keys (``KEY_GROUPS``) -> height added by its
        keys at full strength. All wrinkle maps have the same size and reach.
    """

    always: HeightMap
    wrinkles: Mapping[str, HeightMap]


def height_map(millimetres: np.ndarray, reach: float) -> HeightMap:
    """Quantise heights (S, S) in millimetres, clipped to ``reach``."""
    steps = np.clip(np.rint(millimetres * (MIDDLE / reach)), 1 - MIDDLE, MIDDLE - 1) + MIDDLE
    return HeightMap(steps.astype(np.uint16), float(reach))


def tangent_normals(millimetres: np.ndarray, texels_per_metre: float) -> np.ndarray:
    """(S, S, 3) uint8 normal map of heights (S, S): x right, y up, z out of the skin, 128 is 0 (OpenGL and glTF).

    ``texels_per_metre`` is the face's; elsewhere the relief is flatter or steeper as the map's scale differs.
    """
    down, right = np.gradient(millimetres.astype(np.float32) * np.float32(texels_per_metre / 1000.0))
    length, out = np.sqrt(right * right + down * down + np.float32(1)), np.float32(1)
    return np.stack([np.rint(127.5 + 127.5 * (part / length)).astype(np.uint8) for part in (-right, down, out)], -1)


SIZE = 512
"""Most texels a side of the window in which shades are computed; half as many as a smaller map has."""
_DARKEST, _BRIGHTEST = 0.3, 2.0
"""Limits of the factor: three SH bands can give negative light on a slope."""


def relief_shading(
    detail: SkinDetail,
    template: Template,
    head: np.ndarray,
    light: np.ndarray,
    resolution: int,
    expression: np.ndarray | None = None,
) -> np.ndarray:
    """(R, R) float32 in map ``Head``: shading of the relief over that of the smooth skin, 1 outside the face.

    Parameters
    ----------
    head : (C, 3) posed vertices of the head's cage. light : (9, 3) coefficients of the shading. resolution : R.
    expression : (52,) weights that activate wrinkles.
    """
    size = min(SIZE, resolution // 2)
    window = windows.detail_window(template, size)
    frames = window.frames(window.surface.lifted(head.astype(np.float64)))
    normals, across = windows.frames_in_window(window, frames)
    heights = posed_heights(detail, window, expression) * window.allowed
    down, right = np.gradient(heights * np.float32(1e-3 * size))
    bumped = unit_vectors(normals - (right[..., None] * across[..., 0, :] + down[..., None] * across[..., 1, :]))
    grey = (light @ np.array(LUMINANCE)).astype(np.float32)
    smooth, rough = sh.basis(normals) @ grey, sh.basis(bumped) @ grey
    floor = 0.1 * float(np.mean(smooth[window.allowed > 0]))
    ratio = np.clip(np.maximum(rough, floor) / np.maximum(smooth, floor), _DARKEST, _BRIGHTEST)
    return 1.0 + windows.insert_in_map((ratio - 1.0) * (window.allowed > 0), resolution)


def posed_heights(detail: SkinDetail, window: windows.DetailWindow, expression: np.ndarray | None) -> np.ndarray:
    """(N, N) millimetres at a window's texels under an expression (52,); one-sided keys act on their side only."""
    size = window.size
    heights = _in_window(detail.always, size)
    if expression is None:
        return heights
    left = np.clip(((np.arange(size) + 0.5) / size * windows.SIDE + windows.ORIGIN[0] - 0.5) / 0.06 + 0.5, 0, 1)[None]
    for name, keys in KEY_GROUPS.items():
        sides = [
            max(float(expression[ARKIT_INDEX[key]]) for key in keys if not key.endswith(other))
            for other in ("Right", "Left")
        ]
        if max(sides) > 0:
            weight = left * sides[0] + (1.0 - left) * sides[1]
            heights = heights + weight * _in_window(detail.wrinkles[name], size)
    return heights.astype(np.float32)


def _in_window(heights: HeightMap, size: int) -> np.ndarray:
    """(N, N) millimetres in the window."""
    resolution = len(heights.steps)
    left, top, side = (
        round(value * resolution) for value in (windows.ORIGIN[0], 1.0 - windows.ORIGIN[1] - windows.SIDE, windows.SIDE)
    )
    part = replace(heights, steps=heights.steps[top : top + side, left : left + side]).millimetres()
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(part, (size, size), interpolation=method)


DEFAULT_ROUGHNESS = 0.55
"""Roughness (GGX, as in Principled BSDF and glTF) of cheeks and of all unlisted skin."""
REGION_ROUGHNESS: dict[str, float] = {
    "forehead": 0.45,  # with the nose (T zone), the most sebum
    "nose": 0.45,
    "chin": 0.50,  # lower end of the T zone, less sebum
    "neck": 0.60,  # few glands, dry
    "ears": 0.60,
    "scalp": 0.60,  # hair absorbs the sebum
    "lips": 0.35,  # moist, hardly any horny layer
    "mouth_interior": 0.22,  # wet
    "eye_sockets": 0.30,
}
LID_MARGIN = 0.30
"""Roughness of the lids' edges, which the tear film wets."""
_MOIST_ROWS = (1.0, 0.7, 0.25)
"""Weight of ``LID_MARGIN`` in the loop on a lid's edge and in the loops outside it, about a millimetre apart: the tear
film ends before the lash roots."""
_CORNER_SHARES = (0.0, 0.1, 0.4, 0.8)
"""Factor on that weight at the lids' corner and in the columns next to it, a millimetre apart: both lids' edges are
exposed there, 2 mm beside the caruncle, and a wet edge drew a bright line on the skin."""
_STEPS = 3
"""Smoothing steps over neighbours 4 mm apart: regions blend over about a centimetre."""


def skin_roughness(template: Template) -> np.ndarray:
    """(V,) float32 roughness in [0, 1] of the head's vertices, blended between regions; lips and lids keep sharp
    edges."""
    count = template.head.vertex_stop
    mirror = template.mirror[:count]
    regions = {name: np.maximum(mask[:count], mask[mirror]) for name, mask in template.regions.items()}
    rough = np.full(count, DEFAULT_ROUGHNESS)
    moist = ("lips", "mouth_interior", "eye_sockets")
    for name in (name for name in REGION_ROUGHNESS if name not in moist):
        rough += regions[name] * (REGION_ROUGHNESS[name] - rough)
    laplacian = uniform_laplacian(template.quads[: template.head.face_stop], count)
    for _ in range(_STEPS):
        rough += 0.5 * (laplacian @ rough)
    for name in moist:
        rough += regions[name] * (REGION_ROUGHNESS[name] - rough)
    for eye in face_loops(template).eyes:
        rough[eye.rows[: eye.margin]] = LID_MARGIN
        along = _moist_along(eye)
        for row, share in enumerate(_MOIST_ROWS, eye.margin):
            rough[eye.rows[row]] += share * along * (LID_MARGIN - rough[eye.rows[row]])
    return rough.astype(np.float32)


def _moist_along(eye: EyeLoops) -> np.ndarray:
    """(C,) factor on the lids' moisture by column: 0 at both corners."""
    columns = np.arange(eye.rows.shape[1])
    around = [(columns - corner) % len(columns) for corner in (eye.inner, eye.outer)]
    away = np.min([np.minimum(turn, len(columns) - turn) for turn in around], axis=0)
    return np.array([*_CORNER_SHARES, 1.0])[np.minimum(away, len(_CORNER_SHARES))]
