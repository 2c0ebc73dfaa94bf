"""Differentiable rendering of the learned model's faces: equation 4 of Mallikarjun et al. (CVPR 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.geometry.normals import vertex_normals
from backend.models.learned_basis.network import FaceBases, ModelledFace
from backend.rendering.color import srgb_from_linear
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from backend.rendering.spherical_harmonics import shade


@dataclass(frozen=True)
class RenderedFace:
    """Pictures of N faces.

    Attributes
    ----------
    image : (N, 3, S, S) sRGB in [0, 1]. albedo : the same for the reflectance alone. mask : (N, S, S) bool coverage.
    """

    image: Tensor
    albedo: Tensor
    mask: Tensor


def render_face(bases: FaceBases, face: ModelledFace, pixels: Tensor, light: Tensor, size: int) -> RenderedFace:
    """Shade the vertices by equation 4, and interpolate their colours over the triangles (section 3.2).

    pixels : (N, V, 3) projected vertices. light : (N, 9, 3), head frame.
    """
    normals = vertex_normals(face.vertices, bases.faces)
    colour = face.reflectance * shade(normals, light).clamp(min=0)
    pictures, mask = draw_colours(torch.cat([colour, face.reflectance], -1), pixels, bases.faces, size)
    return RenderedFace(pictures[:, :3], pictures[:, 3:], mask)


def draw_colours(colours: Tensor, pixels: Tensor, faces: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Interpolate linear colours (N, V, K) at projected vertices (N, V, 3) over triangles (F, 3): pictures
    (N, K, S, S), sRGB in [0, 1], and (N, S, S) bool coverage."""
    found = fragments(face_ids(pixels, faces, (size, size), cull_backfaces=True), faces)
    values = fragment_values(colours, found, fragment_barycentrics(pixels, found))
    pictures = found.scatter(srgb_from_linear(values.clamp(1e-4, 1.0))).permute(0, 3, 1, 2)
    return pictures, found.scatter(torch.ones_like(values[:, 0])) > 0.5
