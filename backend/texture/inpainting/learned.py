"""Correct the inpainted skin of a texture with a network that learned the errors of the inpainting rules."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from backend.geometry.template import Template, load_template
from backend.models.graph_albedo.apply import GraphAlbedoModel, skin_correction
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.texture.inpainting.settings import INPAINTING
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import head_surface, texture_space
from backend.texture.unwrapping.unwrap import DARKEST

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
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1] / (INPAINTING.chart_edge * size)
    return (np.clip(distance - 0.5, 0.0, 1.0) * atlas.image(skin)).astype(np.float32)
