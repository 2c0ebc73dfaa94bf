"""Paint eyeballs without catchlights, and the shadows of lids and lashes."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.noise import fractal_noise, gradient_noise
from backend.geometry.smoothstep import smoothstep
from backend.rig.eye_surfaces import IRIS_RADIUS

PUPIL_RADIUS = 0.0021  # metres; typical of portraits taken indoors
SCLERA = np.array([0.66, 0.61, 0.57])  # linear light; the sclera is darker than paper
_VEIN = np.array([0.55, 0.20, 0.16])
_LIT_SHARE = 0.8  # share of the light that reaches the middle of the open eye
_UPPER_SHADE, _UPPER_REACH = 0.80, 0.0027  # share blocked at the upper lid's edge; metres in which it falls to a third
_LOWER_SHADE, _LOWER_REACH = 0.45, 0.0012  # the same for the lower lid
_CAUSTIC = 0.35  # gradient by which the cornea focuses light from above onto the iris's lower half
_LID_RIM_DISTANCE = 0.0006  # metres: lid skin nearer than this to the eyeball is the lid's rim
_LASH_ROOT_DISTANCE = 0.0022  # metres from the rim to the lash roots
_UPPER_LASHES, _LOWER_LASHES = 0.55, 0.15  # share of the light that lashes block
_PUPIL = np.array([0.004, 0.004, 0.004])


def paint_eyeball(points: np.ndarray, iris: np.ndarray, seed: int, white: np.ndarray = SCLERA) -> np.ndarray:
    """Albedo of an eyeball looking straight ahead.

    Parameters
    ----------
    points : (N, 3) metres relative to the eye's centre of rotation, z out of the face.
    iris : (3,) linear-light iris colour.
    seed : pattern of fibres and veins.
    white : (3,) linear-light colour of the sclera.

    Returns
    -------
    (N, 3) float32 linear light: pupil, iris with fibres, collarette and limbal ring, sclera with faint veins. Contains
    no highlights and no shadows.
    """
    radius = np.hypot(points[:, 0], points[:, 1])  # metres from the optical axis
    limbus = (1.0 - smoothstep(IRIS_RADIUS - 0.0008, IRIS_RADIUS + 0.0006, radius)) * (points[:, 2] > 0)
    colour = np.zeros((len(points), 3))
    on_iris, on_sclera = np.flatnonzero(limbus > 0), np.flatnonzero(limbus < 1)  # noise is the slow part
    colour[on_iris] = _iris(points[on_iris], radius[on_iris], iris, seed) * limbus[on_iris, None]
    shown = 1.0 - limbus[on_sclera, None]
    colour[on_sclera] += _sclera(points[on_sclera], radius[on_sclera], white, seed) * shown
    return colour.astype(np.float32)


def _iris(points: np.ndarray, radius: np.ndarray, iris: np.ndarray, seed: int) -> np.ndarray:
    """(N, 3) colour of pupil and iris at points (N, 3) with distances (N,) from the axis."""
    angle = np.arctan2(points[:, 1], points[:, 0])
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    relative = np.clip((radius - PUPIL_RADIUS) / (IRIS_RADIUS - PUPIL_RADIUS), 0.0, 1.0)
    fibre_space = np.concatenate([ring, relative[:, None] * 0.35], 1)  # long along the radius, thin around it
    fibres = 0.6 * gradient_noise(fibre_space, 0.09, seed) + 0.4 * gradient_noise(fibre_space, 0.04, seed + 1)
    blotches = gradient_noise(points, 0.004, seed + 2)
    tone = 1.0 + 0.26 * fibres + 0.10 * blotches
    collarette = np.exp(-(((relative - 0.28) / 0.13) ** 2))
    rim = smoothstep(0.66, 0.96, relative)
    gathered = 1.0 - _CAUSTIC * points[:, 1] / IRIS_RADIUS
    warm = np.array([1.12, 1.0, 0.82])
    iris_rgb = iris * tone[:, None] * (1.0 + 0.30 * collarette[:, None] * warm)
    iris_rgb *= (gathered * (0.98 - 0.6 * rim))[:, None]
    pupil = 1.0 - smoothstep(PUPIL_RADIUS - 0.00018, PUPIL_RADIUS + 0.00022, radius)
    return iris_rgb * (1.0 - pupil[:, None]) + _PUPIL * pupil[:, None]


def _sclera(points: np.ndarray, radius: np.ndarray, white: np.ndarray, seed: int) -> np.ndarray:
    """(N, 3) colour of the sclera with veins at points (N, 3) with distances (N,) from the axis."""
    side = np.clip(np.abs(points[:, 0]) / 0.012, 0.0, 1.0)
    away = smoothstep(IRIS_RADIUS + 0.001, 0.011, radius)  # 0 beside the iris, 1 near the canthi
    warp = np.stack([gradient_noise(points, 0.006, seed + 3 + k) for k in range(3)], 1) * 0.0016
    stretched = (points + warp) * np.array([0.35, 1.0, 0.6])  # veins run from the canthi inwards
    thin = np.exp(-((gradient_noise(stretched, 0.0021, seed + 8) / 0.10) ** 2))
    fine = np.exp(-((gradient_noise(stretched, 0.0011, seed + 9) / 0.12) ** 2))
    vein = np.clip((0.30 * thin + 0.14 * fine) * away * (0.3 + 0.7 * side), 0.0, 0.5)
    sclera = white * (1.0 + 0.015 * fractal_noise(points, 0.004, 2, seed + 10))[:, None]
    sclera = sclera * (1.0 - np.outer(away * side, [0.05, 0.16, 0.20]))
    sclera = sclera * (1.0 - vein[:, None]) + _VEIN * vein[:, None]
    back = smoothstep(0.0, -0.006, points[:, 2])
    return sclera * (1.0 - 0.5 * back[:, None]) + _VEIN * 0.5 * back[:, None]


def lid_shadow(points: np.ndarray, lids: np.ndarray, centre_height: float) -> np.ndarray:
    """(N,) share of the light that reaches an eyeball's points (N, 3) past lids and lashes in the resting pose.

    It is baked into the eye's colour because neither a viewport nor a game engine casts the lashes' shadow, and an eye
    without it stares. lids : (L, 3) the lids' skin; centre_height : y of the eye's centre, metres.
    """
    upper = lids[:, 1] > centre_height
    share = np.full(len(points), _LIT_SHARE)
    for lid, shade, reach in ((lids[upper], _UPPER_SHADE, _UPPER_REACH), (lids[~upper], _LOWER_SHADE, _LOWER_REACH)):
        if len(lid) > 0:
            distance, _ = cKDTree(lid).query(points)
            share *= 1.0 - shade * np.exp(-((distance / reach) ** 1.5))
    return share.astype(np.float32)


def lash_line(points: np.ndarray, lids: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """(N,) share of the light that reaches skin at points (N, 3) past the lash roots in the resting pose.

    Projected photos can be a millimetre off at the lids and lose the dark line at their edge; without it eyes look cut
    out. lids : (L, 3) the lids' skin; centre (3,), radius : of the eyeball, metres.
    """
    offset = lids - centre
    touching = np.abs(np.linalg.norm(offset, axis=1) - radius) < _LID_RIM_DISTANCE
    rim = lids[touching & (offset[:, 2] > 0.35 * radius)]
    if len(rim) == 0:
        return np.ones(len(points), np.float32)
    distance, nearest = cKDTree(rim).query(points)
    edge = np.exp(-((distance / _LASH_ROOT_DISTANCE) ** 2))
    upper = smoothstep(-0.003, 0.001, rim[nearest, 1] - centre[1])
    corner = smoothstep(0.0135, 0.0105, np.abs(points[:, 0] - centre[0]))
    return (1.0 - (_LOWER_LASHES + (_UPPER_LASHES - _LOWER_LASHES) * upper) * corner * edge).astype(np.float32)
