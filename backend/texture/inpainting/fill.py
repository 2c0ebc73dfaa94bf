"""Fill holes in blended bands (mirrored side, then surroundings) and synthesise pores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backend.geometry.noise import gradient_noise
from backend.texture.delighting.skin_tone import HAEMOGLOBIN_DENSITY
from backend.texture.inpainting.settings import INPAINTING
from backend.texture.unwrapping.uv_filters import push_pull


def pigment_prior(regions: Mapping[str, np.ndarray]) -> np.ndarray:
    """(V, 3) log offsets from plain skin for unseen texels: redder lips, ears, nose and lid margins."""
    haemoglobin = 1.1 * regions["lips"] + 0.12 * regions["ears"] + 0.10 * regions["nose"]
    haemoglobin = haemoglobin + 0.15 * np.maximum(regions["lids_left"], regions["lids_right"])
    return -haemoglobin[:, None] * HAEMOGLOBIN_DENSITY - 0.12 * regions["lips"][:, None]


def fill_from_mirror(image: np.ndarray, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill unseen texels from the mirrored side of the face.

    image : (R, R, C) in a UV chart that is its own mirror image; cover : (R, R) in [0, 1].

    Returns
    -------
    The filled image and its new coverage.
    """
    other, other_cover = image[:, ::-1], cover[:, ::-1]
    take = (1.0 - cover) * other_cover
    total = cover + take
    filled = (image * cover[..., None] + other * take[..., None]) / np.maximum(total, 1e-6)[..., None]
    return filled.astype(np.float32), total.astype(np.float32)


def fill_gaps(image: np.ndarray, cover: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Fill gaps with ``prior`` and the offset of their surroundings from it.

    image, prior : (R, R, C); cover : (R, R) in [0, 1].
    """
    return (prior + push_pull(image - prior, cover)).astype(np.float32)


def pore_noise(positions: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """(P, 3) float32 synthetic pores in log units at positions (P, 3) metres; ``deviation`` : standard deviation of
    brightness."""
    noise = sum(gradient_noise(positions, wave, seed + k) for k, wave in enumerate(INPAINTING.pore_octaves))
    noise = noise * np.float32(deviation / np.sqrt(len(INPAINTING.pore_octaves)))
    return noise[:, None] * np.array([0.85, 1.05, 1.10], np.float32)


def pore_deviation(high: np.ndarray, mask: np.ndarray) -> float:
    """Robust standard deviation of the brightness of fine detail (R, R, 3) within ``mask`` (R, R); bounded."""
    values = high[mask].mean(1)
    if len(values) < 500:
        return 0.03
    return float(np.clip(1.4826 * np.median(np.abs(values - np.median(values))), 0.010, 0.035))
