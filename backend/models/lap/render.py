"""Render LAP's faces: in the views of photos, turned, and as shaded surfaces."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.models.lap.network import CanonicalMaps, LapConfig, Scene
from backend.rendering.camera_models import CanonicalCamera, View, rotation_from_euler
from backend.rendering.depth_surface import ViewedSurface, normals_from_depth, view_surface
from backend.rendering.lambert import LambertLight, lambert_shading

STUDIO = (0.35, 0.65, (0.35, -0.35))
"""Ambient, diffuse and slope of the studio light that shows surfaces: from above and the picture's right."""


@dataclass(frozen=True)
class RenderedFace:
    """Pictures (N, 3, S, S) in [-1, 1] of faces in views, undefined outside the mask, and the surfaces shown."""

    image: Tensor
    surface: ViewedSurface

    @property
    def mask(self) -> Tensor:
        """(N, S, S) bool."""
        return self.surface.mask


def view_of(face: CanonicalMaps, view: View, config: LapConfig) -> ViewedSurface:
    """The surfaces of N faces in one view each."""
    camera = CanonicalCamera(tuple(face.depth.shape[-2:]))
    return view_surface(face.depth, view, camera, depth_range=config.view_depth_range)


def render_face(face: CanonicalMaps, scene: Scene, config: LapConfig) -> RenderedFace:
    """Equation 1: N faces lit in the canonical frame, then seen in their photos' views."""
    surface = view_of(face, scene.view, config)
    return RenderedFace(surface.sample(face.shaded(scene.light)), surface)


def turned_view(yaw_degrees: Tensor, pitch_degrees: Tensor) -> View:
    """Views (N,) of faces turned to their left and up about the pivot."""
    angles = torch.stack([pitch_degrees, -yaw_degrees, torch.zeros_like(yaw_degrees)], 1) * (math.pi / 180)
    return View(rotation_from_euler(angles), torch.zeros_like(angles))


def studio_light(count: int, like: Tensor) -> LambertLight:
    """The light ``STUDIO`` for ``count`` pictures, on the device of ``like``."""
    ambient, diffuse, slope = STUDIO
    direction = like.new_tensor([-slope[0], -slope[1], 1.0])
    direction = (direction / direction.norm()).expand(count, 3)
    return LambertLight(like.new_full((count,), ambient), like.new_full((count,), diffuse), direction)


def shaded_surface(depth: Tensor) -> Tensor:
    """(N, 3, S, S) in [0, 1]: depth maps (N, S, S) as white plaster under the studio's light."""
    camera = CanonicalCamera(tuple(depth.shape[-2:]))
    shading = lambert_shading(normals_from_depth(depth, camera), studio_light(len(depth), depth))
    return shading.clamp(0, 1)[:, None].expand(-1, 3, -1, -1)
