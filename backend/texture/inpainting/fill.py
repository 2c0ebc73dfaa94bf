"""Fill holes in blended bands (mirrored side, then surroundings) and synthesise pores."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from backend.geometry.noise import gradient_noise
from backend.geometry.smoothstep import smoothstep
from backend.texture.delighting.skin_tone import HAEMOGLOBIN_DENSITY
from backend.texture.inpainting.settings import INPAINTING
from backend.texture.unwrapping.uv_filters import push_pull


def pigment_prior(regions: Mapping[str, np.ndarray]) -> np.ndarray:
    """(V, 3) log offsets from plain skin for unseen texels: redder lips, ears, nose and lid margins."""
    haemoglobin = 1.1 * regions["lips"] + 0.12 * regions["ears"] + 0.10 * regions["nose"]
    haemoglobin = haemoglobin + 0.15 * np.maximum(regions["lids_left"], regions["lids_right"])
    return -haemoglobin[:, None] * HAEMOGLOBIN_DENSITY - 0.12 * regions["lips"][:, None]


def fill_from_mirror(image: np.ndarray, cover: np.ndarray, fade: float) -> tuple[np.ndarray, np.ndarray]:
    """Fill unseen texels from the mirrored side of the face.

    Both sides are mixed over ``fade`` inside the border of what is seen, because they differ in light and in what the
    border's mask got wrong, and a brow or a wrinkle that ends there would end in a line. Where the other side ends at
    the same place (eyes, nostrils, the middle), a side keeps its own.

    image : (R, R, C) in a UV chart that is its own mirror image; cover : (R, R) in [0, 1]. fade : texels.

    Returns
    -------
    The filled image and its new coverage.
    """
    inside = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    sure = cover * smoothstep(0.0, max(fade, 1.0), inside)
    other, other_cover, other_sure = image[:, ::-1], cover[:, ::-1], sure[:, ::-1]
    own = np.maximum(sure, cover * (1.0 - other_sure))
    surer = (1.0 - sure) * np.maximum(other_sure - sure, 0.0)
    take = np.maximum(surer, (1.0 - cover) * other_cover * (cover < 0.5))
    filled = (image * own[..., None] + other * take[..., None]) / np.maximum(own + take, 1e-6)[..., None]
    return filled.astype(np.float32), (cover + (1.0 - cover) * other_cover).astype(np.float32)


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
