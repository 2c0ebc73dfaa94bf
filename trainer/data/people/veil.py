"""Blend the half-transparent layer over a rendered picture."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from trainer.data.people.attachments.layers import VEIL_LABEL_ALPHA, SurfaceLayer, fibre_highlight, surface_tone
from trainer.data.people.scene import HeadLight
from trainer.data.people.shading import fill_light, key_light, unit
from trainer.data.people.view import Cameras


def blend_veil(linear: Tensor, labels: Tensor, depth: Tensor, layer: SurfaceLayer, cameras: Cameras, light: HeadLight,
             scale: float, backend: str) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Blend ``layer`` over pictures (N, H, W, 3) and labels (N, H, W) where it is nearer than depth (N, H, W).

    ``scale`` : pixels of these pictures per pixel of the cameras.
    """
    if len(layer.faces) == 0:
        return linear, labels
    size = linear.shape[1:3]
    pixels = cameras.project(layer.vertices) * linear.new_tensor([scale, scale, 1.0])
    found = fragments(face_ids(pixels, layer.faces, (size[0], size[1]), backend=backend), layer.faces)
    weights = fragment_barycentrics(pixels, found)
    even = fill_light(layer.normals, torch.full_like(layer.alpha, 0.85), light)
    tail = torch.stack([layer.alpha, layer.mirror, layer.specular, layer.roughness], -1)
    sight = cameras.places()[:, None] - layer.vertices
    attributes = torch.cat(
        [pixels[..., 2:], layer.normals, sight, layer.tangent, even, layer.albedo, layer.detail, tail], -1
    )
    values = fragment_values(attributes, found, weights)
    own_depth, normal, sight = values[:, 0], unit(values[:, 1:4]), unit(values[:, 4:7])
    tangent, even, albedo, detail = values[:, 7:10], values[:, 10:13], values[:, 13:16], values[:, 16:20]
    alpha, mirror, specular, rough = values[:, 20:].unbind(-1)
    key = key_light(light, found.image)
    cosine = (normal * key.direction).sum(-1, keepdim=True).clamp(min=0)
    color = albedo * surface_tone(detail) * (even + cosine * key.colour)
    shine = fibre_highlight(tangent, key.direction, sight, rough)[:, 0] * specular * 0.1
    alpha = torch.where(own_depth < found.gather(depth), alpha, torch.zeros_like(alpha)).clamp(0, 1)
    color = (color + key.colour * shine[:, None]) * alpha[:, None]
    color = color + torch.where(alpha > 0, mirror, torch.zeros_like(mirror))[:, None]
    over = found.scatter(torch.cat([color, alpha[:, None]], -1))
    linear = linear * (1 - over[..., 3:]) + over[..., :3]
    own = layer.labels.flatten()[found.image * len(layer.faces) + found.face].int()
    own = torch.where(alpha >= VEIL_LABEL_ALPHA, own, torch.full_like(own, -1))
    veiled = found.scatter(own[:, None], -1)[..., 0]
    return linear, torch.where(veiled >= 0, veiled.to(torch.uint8), labels)
