"""Detail of skin that no photo shows: blotches and pores by the statistics of the skin that is seen; and a network that
corrects the colour of unseen skin."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from backend.geometry.noise import fractal_noise, gradient_noise
from backend.geometry.template import Template, load_template
from backend.models.graph_albedo import GraphAlbedoModel, skin_correction
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.texture.surface import SurfaceAtlas, head_surface, masked_lowpass, texture_space
from backend.texture.unwrap import DARKEST

PORE_OCTAVES = (0.0016, 0.0008, 0.0004)
"""Metres: wavelengths of synthetic pores."""
_BLOTCH = 0.009
"""Metres: wavelength of synthetic blotches; coarser ones are the smooth skin's."""
_PORE_RANGE, _BLOTCH_RANGE = (0.010, 0.035), (0.008, 0.025)
"""Log units: bounds of the deviations that are taken over from seen skin; noise and wrinkles have more."""
_LEAST_TEXELS = 500
_CHART_EDGE = 0.02
"""Share of the map's side over which the learned correction fades towards the chart's border, so that both sides of the
seam match."""


def _robust_deviation(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """(C,) robust standard deviation of values (N, C), within bounds; the bounds' mean for few values."""
    if len(values) < _LEAST_TEXELS:
        return np.full(values.shape[1], np.mean(bounds))
    return np.clip(1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0), *bounds)


def blotch_deviation(solved: np.ndarray, seen: np.ndarray, density: float) -> np.ndarray:
    """(3,) standard deviation of blotches in the solved detail (S, S, 3) within ``seen`` (S, S) bool."""
    mask = seen.astype(np.float32)
    fine, coarse = (masked_lowpass(solved, mask, length * density)[0] for length in (_BLOTCH / 8, _BLOTCH / 2))
    return _robust_deviation((fine - coarse)[seen], _BLOTCH_RANGE)


def pore_deviation(fine: np.ndarray, seen: np.ndarray) -> float:
    """Standard deviation of the brightness of fine detail (P, 3) within ``seen`` (P,) bool."""
    return float(_robust_deviation(fine[seen].mean(1, keepdims=True), _PORE_RANGE)[0])


def skin_noise(positions: np.ndarray, pores: float, blotches: np.ndarray) -> np.ndarray:
    """(P, 3) float32 detail of unseen skin in log units at positions (P, 3) metres; standard deviations of ``pores``
    and ``blotches`` (3,)."""
    broad = fractal_noise(positions, _BLOTCH, 2, 19)[:, None] * blotches.astype(np.float32)
    return pore_noise(positions, pores, seed=17) + broad


def pore_noise(positions: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """(P, 3) float32 synthetic pores in log units at positions (P, 3) metres; ``deviation`` : standard deviation of
    brightness."""
    noise = sum(gradient_noise(positions, wave, seed + k) for k, wave in enumerate(PORE_OCTAVES))
    noise = noise * np.float32(deviation / np.sqrt(len(PORE_OCTAVES)))
    return noise[:, None] * np.array([0.85, 1.05, 1.10], np.float32)


_SKIN = ("face", "ears", "neck")
_NO_SKIN = ("scalp", "mouth_interior", "eye_sockets")


def with_learned_completion(
    template: Template, albedo: np.ndarray, coverage: np.ndarray, model: GraphAlbedoModel
) -> np.ndarray:
    """(R, R, 3) uint8 sRGB texture ``albedo`` in UV map ``Head``, corrected where ``coverage`` (R, R) in [0, 1] is low.

    Seen skin, scalp, eyes and mouth interior stay unchanged.
    """
    size, resolution = model.size, len(albedo)
    linear = linear_from_srgb(albedo)
    made, cover = small_maps(linear, coverage, texture_space(template, size).skin)
    correction = skin_correction(made, cover, bare_skin(size), model)
    wide = cv2.resize(correction, (resolution, resolution), interpolation=cv2.INTER_LINEAR)
    return np.where((np.abs(wide) > 1e-3).any(-1, keepdims=True), srgb_bytes(linear * np.exp(wide)), albedo)


def small_maps(linear: np.ndarray, coverage: np.ndarray, atlas: SurfaceAtlas) -> tuple[np.ndarray, np.ndarray]:
    """Downsample a linear texture (R, R, 3) and its coverage (R, R) to an atlas's size: log albedo (S, S, 3) and cover
    (S, S), both zero outside the head's large chart."""
    size = atlas.resolution
    small, cover = (cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in (linear, coverage))
    logs = np.log(np.maximum(small, DARKEST)).astype(np.float32)
    inside = atlas.image(np.ones(len(atlas.texel), bool))
    return logs * inside[..., None], np.where(inside, cover, 0.0).astype(np.float32)


@lru_cache(maxsize=4)
def bare_skin(size: int) -> np.ndarray:
    """(S, S) float32 mask in [0, 1] of face, ear and neck skin in the head's large chart, fading towards its border."""
    surface, atlas = head_surface(load_template()), texture_space(load_template(), size).skin
    regions = atlas.sample(np.stack([surface.regions[name] for name in _SKIN + _NO_SKIN], 1))
    skin = regions[:, : len(_SKIN)].max(1) * (1.0 - regions[:, len(_SKIN) :].max(1))
    inside = np.pad(atlas.image(np.ones(len(atlas.texel), np.uint8)), 1)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1] / (_CHART_EDGE * size)
    return (np.clip(distance - 0.5, 0.0, 1.0) * atlas.image(skin)).astype(np.float32)
