"""Shading of surfaces: environment in SH bands, lamps with soft terminators, highlights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from backend.rendering.spherical_harmonics import shade
from trainer.data.people.scene import HeadLight
from trainer.data.people.skin import Painted

WRAP = (0.19, 0.10, 0.06)
"""Wrap of the diffuse term past the terminator of skin for red, green and blue (subsurface scattering)."""
REFLECTANCE = 0.034
"""Specular reflectance of skin at normal incidence."""


@dataclass(frozen=True)
class KeyLight:
    """The key lamp at each pixel: direction (P, 3) towards it, colour (P, 3)."""

    direction: Tensor
    colour: Tensor

    def at(self, chosen: Tensor) -> KeyLight:
        """Select some of the pixels."""
        return KeyLight(self.direction.index_select(0, chosen), self.colour.index_select(0, chosen))


def key_light(light: HeadLight, image: Tensor) -> KeyLight:
    """Look up the key lamp at pixels of images (P,)."""
    return KeyLight(light.directions[:, 0].index_select(0, image), light.colours[:, 0].index_select(0, image))


def unit(vectors: Tensor) -> Tensor:
    """Normalise vectors (..., 3) to unit length."""
    x, y, z = vectors.unbind(-1)
    return vectors * (x * x + y * y + z * z).clamp(min=1e-20).rsqrt()[..., None]


def fill_light(normals: Tensor, opened: Tensor, light: HeadLight) -> Tensor:
    """(N, V, 3) light of everything except the key lamp at unit normals (N, V, 3), scaled by the openness (N, V)."""
    even = shade(normals, light.ambient).clamp(min=0)
    wrap = normals.new_tensor(WRAP)
    for lamp in range(1, light.directions.shape[1]):
        cosine = (normals @ light.directions[:, lamp, :, None] + wrap) / (1 + wrap)
        even = even + cosine.clamp(min=0) * light.colours[:, lamp, None]
    return even * opened[..., None]


def shade_surface(
    paint: Painted, normal: Tensor, sight: Tensor, even: Tensor, visible: Tensor, key: KeyLight
) -> Tensor:
    """(P, 3) light towards the camera.

    normal, sight (P, 3) unit; even (P, 3) light of everything except the key lamp; visible (P,) visibility of the key
    lamp. The highlight is normalised Blinn-Phong, with Schlick's Fresnel term for the environment.
    """
    cosine = (normal * key.direction).sum(-1)
    wrap = normal.new_tensor(WRAP)
    diffuse = ((cosine[:, None] + wrap) / (1 + wrap)).clamp(min=0) * visible[:, None]
    facing = (normal * sight).sum(-1).clamp(0, 1)
    half = unit(key.direction + sight)
    alpha = (paint.roughness * paint.roughness).clamp(min=0.01)
    power = 0.5 / (alpha * alpha) + 2
    lobe = ((power + 8) / 8) * (normal * half).sum(-1).clamp(min=1e-4, max=1) ** power
    lobe = lobe * cosine.clamp(min=0) * visible
    away = 1 - facing
    squared = away * away
    fresnel = REFLECTANCE + 0.22 * squared * squared * away
    glow = even * (fresnel * paint.gloss.clamp(max=2.0) * (1 - paint.roughness))[:, None]
    shine = (REFLECTANCE * paint.gloss * lobe).clamp(max=6)
    return paint.albedo * (even + diffuse * key.colour) + key.colour * shine[:, None] + glow
