"""What no photo shows: the mirrored side, then plausible skin, the insides of mouth and nose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backend.geometry.noise import fractal_noise, gradient_noise
from backend.geometry.smoothstep import smoothstep
from backend.texture.blending.pyramids import masked_lowpass, push_pull
from backend.texture.delighting.skin_tone import HAEMOGLOBIN_DENSITY

PORE_OCTAVES = (0.0016, 0.0008, 0.0004)  # metres
MOUTH_FRONT = np.array([0.36, 0.13, 0.115])
NOSTRIL = -0.8 * HAEMOGLOBIN_DENSITY - 1.5  # log, relative to the skin around
MOUTH_BACK = np.array([0.10, 0.028, 0.026])
_NEAR = (0.03, 0.35)  # share of the surroundings that is seen: a wide gap, and a narrow one


def pigment_prior(regions: Mapping[str, np.ndarray]) -> np.ndarray:
    """(V, 3) log offsets from plain skin where photos say nothing: redder lips, ears, nose and lid margins."""
    haemoglobin = 1.1 * regions["lips"] + 0.12 * regions["ears"] + 0.10 * regions["nose"]
    haemoglobin = haemoglobin + 0.15 * np.maximum(regions["lids_left"], regions["lids_right"])
    return -haemoglobin[:, None] * HAEMOGLOBIN_DENSITY - 0.12 * regions["lips"][:, None]


def fill_from_mirror(image: np.ndarray, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the other side of the face where this one is unseen.

    image : (R, R, C) in a UV chart that is its own mirror image; cover : (R, R) in [0, 1].

    Returns
    -------
    The filled image, and the coverage that it now has.
    """
    other, other_cover = image[:, ::-1], cover[:, ::-1]
    take = (1.0 - cover) * other_cover
    total = cover + take
    filled = (image * cover[..., None] + other * take[..., None]) / np.maximum(total, 1e-6)[..., None]
    return filled.astype(np.float32), total.astype(np.float32)


def fill_gaps(image: np.ndarray, cover: np.ndarray, prior: np.ndarray, reach: float) -> np.ndarray:
    """Narrow gaps from their surroundings, wide ones from ``prior``.

    image, prior : (R, R, C); cover : (R, R) in [0, 1]; reach : texels over which surroundings have a say.
    """
    around = push_pull(image - prior, cover)  # what the surroundings add to the prior
    _, support = masked_lowpass(cover[..., None], cover, reach)
    near = smoothstep(*_NEAR, support)[..., None]
    return (
        prior + image * cover[..., None] - prior * cover[..., None] + around * near * (1 - cover)[..., None]
    ).astype(np.float32)


def pore_noise(positions: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """(P, 3) float32 log detail of skin at positions (P, 3) metres with a given standard deviation of brightness."""
    noise = sum(gradient_noise(positions, wave, seed + k) for k, wave in enumerate(PORE_OCTAVES))
    noise = noise * np.float32(deviation / np.sqrt(len(PORE_OCTAVES)))
    return noise[:, None] * np.array([0.85, 1.05, 1.10], np.float32)


def pore_deviation(high: np.ndarray, mask: np.ndarray) -> float:
    """Robust standard deviation of fine detail's brightness (R, R, 3) where ``mask`` (R, R); bounded."""
    values = high[mask].mean(1)
    if len(values) < 500:
        return 0.03
    return float(np.clip(1.4826 * np.median(np.abs(values - np.median(values))), 0.010, 0.035))


def paint_cavities(
    log_albedo: np.ndarray, openness: np.ndarray, nose: np.ndarray, unseen: np.ndarray, log_skin: np.ndarray
) -> np.ndarray:
    """Nostrils in dark red, and closed places of the face darker, where no photo shows them: log albedo (P, 3).

    openness, nose (mask), unseen : (P,) in [0, 1].
    """
    result = log_albedo.astype(np.float32)
    used = np.flatnonzero((openness < 0.5) & (unseen > 0.01))
    openness, nose, unseen = openness[used], nose[used], unseen[used]
    inside = (smoothstep(0.30, 0.08, openness) * smoothstep(0.3, 0.7, nose) * unseen)[:, None]
    closed = (0.35 * smoothstep(0.5, 0.1, openness) * (1.0 - nose) * unseen)[:, None]
    dark = log_skin[used] + NOSTRIL
    result[used] = (result[used] - closed) * (1 - inside) + dark * inside
    return result


def paint_inner(
    positions: np.ndarray,
    mouth: np.ndarray,
    sockets: np.ndarray,
    neck: np.ndarray,
    lip_depth: np.ndarray,
    log_skin: np.ndarray,
    log_lips: np.ndarray,
) -> np.ndarray:
    """Linear albedo (P, 3) of the head's small charts: the mouth's inside, eye sockets, front of the neck, nostrils.

    Parameters
    ----------
    positions : (P, 3) neutral, metres. mouth, sockets, neck : (P,) masks; what is none of them is a nostril.
    lip_depth : (P,) metres behind the lips. log_skin : (P, 3) base there; log_lips : (3,).
    """
    mottle = 1.0 + 0.05 * fractal_noise(positions, 0.004, 3, 91)[:, None]
    depth = smoothstep(0.002, 0.030, lip_depth)[:, None]
    front = 0.5 * np.exp(log_lips) + 0.5 * MOUTH_FRONT
    inside = (front * (1 - depth) + MOUTH_BACK * depth) * mottle
    skin = np.exp(log_skin + 0.02 * fractal_noise(positions, 0.002, 3, 92)[:, None])
    socket = np.exp(log_skin - 0.8 * HAEMOGLOBIN_DENSITY - 0.4)
    nostril = np.exp(log_skin + NOSTRIL)
    other = np.clip(1.0 - mouth - sockets - neck, 0.0, 1.0)[:, None]
    shares = (mouth[:, None], sockets[:, None], neck[:, None], other)
    total = np.maximum(sum(shares), 1e-6)
    mixed = inside * shares[0] + socket * shares[1] + skin * shares[2] + nostril * shares[3]
    return (mixed / total).astype(np.float32)
