"""Gradient-domain solve of the albedo's detail in the head's UV chart, over all photos at once.

Photos ``p`` show log detail ``d_p`` (log light, less the photo's light field and the smooth skin) with weights ``w_p``.
The detail ``v`` of the texture minimises ``sum |grad v - c g|² + |v|² / L²`` over the texels, where ``g`` is the
weighted mean of the photos' gradients and ``c`` in [0, 1] is how surely any photo shows the place (Pérez et al.,
"Poisson image editing", 2003). No value is joined, so neither a border between photos nor the border of all of them
makes a step: away from the photos ``v`` fades to 0, which is the prior's posterior. Constant coefficients make it one
product in the basis of the discrete cosine transform. What only the other side of the face shows enters as mirrored
gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import fft

from backend.geometry.vectors import smoothstep
from backend.system.numba_cache import njit, prange

_WEIGHT = 1e-3
"""Summed weight of photos below which a texel has no gradient."""


@njit(cache=True, parallel=True, nogil=True)
def _add_gradients(detail, weight, across, down, sums):
    """Add one photo's weighted differences to the next texel (S, S, C), and the weights (S, S, 2)."""
    size = detail.shape[0]
    for i in prange(size):
        for j in range(size):
            right = min(weight[i, j], weight[i, j + 1]) if j + 1 < size else 0.0
            below = min(weight[i, j], weight[i + 1, j]) if i + 1 < size else 0.0
            sums[i, j, 0] += right
            sums[i, j, 1] += below
            for k in range(detail.shape[2]):
                if right > 0.0:
                    across[i, j, k] += right * (detail[i, j + 1, k] - detail[i, j, k])
                if below > 0.0:
                    down[i, j, k] += below * (detail[i + 1, j, k] - detail[i, j, k])


def mean_gradients(details: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean differences (S, S, C) to the next texel, across and down, of images (S, S, C) with weights
    (S, S). An edge counts as far as both of its texels do; 0 where none counts."""
    across, down = np.zeros_like(details[0]), np.zeros_like(details[0])
    sums = np.zeros((*weights[0].shape, 2), np.float32)
    for detail, weight in zip(details, weights, strict=True):
        _add_gradients(detail, weight, across, down, sums)
    for gradient, total in ((across, sums[..., :1]), (down, sums[..., 1:])):
        gradient *= (total > _WEIGHT) / np.maximum(total, _WEIGHT)
    return across, down


def mirrored_gradients(
    across: np.ndarray, down: np.ndarray, cover: np.ndarray, mirrored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients (S, S, C) weighted by ``cover`` (S, S), and where it is low by the other side's, by ``mirrored``
    (S, S), its share in [0, 1]. The chart is its own mirror image."""
    own, other = cover[..., None], mirrored[..., None]
    flipped = np.zeros_like(across)
    flipped[:, :-1] = -across[:, -2::-1]  # an edge to the right is one to the left on the other side
    return own * across + other * flipped, own * down + other * down[:, ::-1]


def screened_poisson(across: np.ndarray, down: np.ndarray, length: float) -> np.ndarray:
    """(S, S, C) float32 image whose differences are nearest to ``across`` and ``down`` (S, S, C) and whose values are
    nearest to 0: minimises ``sum |differences|² + |v|² / length²``, ``length`` in texels. Free at the borders."""
    across, down = across.copy(), down.copy()
    across[:, -1], down[-1] = 0.0, 0.0
    divergence = -across - down
    divergence[:, 1:] += across[:, :-1]
    divergence[1:] += down[:-1]
    height, width = divergence.shape[:2]
    rows, columns = (2.0 - 2.0 * np.cos(np.pi * np.arange(count) / count) for count in (height, width))
    gain = (1.0 / (rows[:, None] + columns + 1.0 / length**2)).astype(np.float32)
    out = np.empty_like(divergence)
    for channel in range(divergence.shape[2]):
        spectrum = fft.dctn(divergence[..., channel], norm="ortho", overwrite_x=True)
        out[..., channel] = fft.idctn(spectrum * gain, norm="ortho", overwrite_x=True)
    return out


def photos_cover(shown: np.ndarray, chart: np.ndarray, hole: float, fade: float) -> np.ndarray:
    """(S, S) float32 in [0, 1], how surely photos show a texel: 1 well inside what they show, 0 at its border.

    The last millimetres of every mask are wrong: skin is specular at grazing angles, hair and background bleed in.

    Parameters
    ----------
    shown : (S, S) bool, shown by a photo. chart : (S, S) bool, texels of the surface; its end is no border.
    hole : square texels; smaller unseen spots are no border. fade : texels.
    """
    known = shown | ~chart
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats((~known).astype(np.uint8), connectivity=4)
    small = statistics[:, cv2.CC_STAT_AREA] < hole
    small[0] = False
    if count > 1:
        known = known | small[pieces]
    distance = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, 5)
    return (smoothstep(0.15, 1.0, distance / np.float32(fade)) * known).astype(np.float32)
