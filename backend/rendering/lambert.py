"""LAP's light: ambient plus one distant lamp on a Lambertian surface, in the frame of the canonical camera.

Normals here point *into* the scene (z > 0 where the surface faces the camera) and the light's direction is that of the
light rays, as in Unsup3D. Their product equals that of the outward normal and the direction to the lamp.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LambertLight:
    """One light per image.

    Attributes
    ----------
    ambient, diffuse : (N,) strengths in [0, 1]. direction : (N, 3) unit vector along which light travels, z > 0.
    """

    ambient: torch.Tensor
    diffuse: torch.Tensor
    direction: torch.Tensor


def light_from_network(outputs: torch.Tensor) -> LambertLight:
    """The light of four tanh outputs (N, 4): ambient and diffuse x / 2 + 1 / 2, direction normalize(dx, dy, 1)."""
    ambient, diffuse = (outputs[:, :2] / 2 + 0.5).unbind(1)
    slope = torch.cat([outputs[:, 2:4], torch.ones_like(outputs[:, :1])], 1)
    return LambertLight(ambient, diffuse, torch.nn.functional.normalize(slope, dim=1))


def lambert_shading(normals: torch.Tensor, light: LambertLight) -> torch.Tensor:
    """Shading (N, H, W) = ambient + diffuse max(0, n . l) of normals (N, H, W, 3) that point into the scene."""
    cosine = (normals * light.direction[:, None, None]).sum(-1).clamp(min=0)
    return light.ambient[:, None, None] + light.diffuse[:, None, None] * cosine


def lambert_image(albedo: torch.Tensor, shading: torch.Tensor) -> torch.Tensor:
    """Image (N, 3, H, W) in [-1, 1] = (albedo / 2 + 1 / 2) * shading * 2 - 1 of albedo (N, 3, H, W) in [-1, 1]."""
    return (albedo / 2 + 0.5) * shading[:, None] * 2 - 1
