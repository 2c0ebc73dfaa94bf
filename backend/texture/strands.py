"""Strands that are painted on the scalp, combed from the crown."""

from __future__ import annotations

import numpy as np

from backend.geometry.smoothstep import smoothstep
from backend.texture.noise import fractal_noise, gradient_noise

_CROWN = np.array([0.0, 0.85, -0.527])  # unit vector from the skull's middle to where hair parts
_SKULL = 0.09  # metres, its radius
_ALONG = 0.12  # strands change so many times slower along than across


def paint_hair(
    log_albedo: np.ndarray, positions: np.ndarray, cover: np.ndarray, log_color: np.ndarray, skull: np.ndarray
) -> np.ndarray:
    """Hair combed from the crown over skin.

    Parameters
    ----------
    log_albedo : (P, 3) what is there. positions : (P, 3) neutral, metres. cover : (P,) in [0, 1], how far hair covers.
    log_color : (P, 3) smooth colour of the hair. skull : (3,) the middle of the scalp, metres.

    Returns
    -------
    (P, 3) float32 log albedo.
    """
    result = log_albedo.astype(np.float32)
    used = np.flatnonzero(cover > 0.05)
    if len(used) == 0:
        return result
    where = positions[used]
    combed = _combed(where - skull)
    pattern = 0.55 * gradient_noise(combed, 0.0013, 71) + 0.45 * gradient_noise(combed, 0.0006, 72)
    locks = gradient_noise(combed, 0.007, 74)
    patches = fractal_noise(where, 0.014, 2, 73)
    share = smoothstep(0.25, 0.75, cover[used] + 0.22 * pattern * (1.0 - cover[used]) + 0.05 * patches)
    hair = log_color[used] + (0.17 * pattern + 0.07 * locks + 0.03 * patches)[:, None]
    mixed = (1.0 - share[:, None]) * np.exp(result[used]) + share[:, None] * np.exp(hair)
    result[used] = np.log(np.maximum(mixed, 1e-3))
    return result


def _combed(points: np.ndarray) -> np.ndarray:
    """(P, 3) float32 coordinates of points (P, 3) around a skull's middle that change fast across the hair and slowly
    along it."""
    across, along = np.array([0.0, _CROWN[2], -_CROWN[1]]), points @ _CROWN
    flat = np.stack([points[:, 0], points @ across], 1)  # (P, 2) seen along the crown's axis
    radius = np.maximum(np.linalg.norm(flat, axis=1), 1e-6)
    turn = flat / radius[:, None] * _SKULL
    return np.concatenate([turn, (_ALONG * _SKULL * np.arctan2(radius, along))[:, None]], 1).astype(np.float32)
