"""Shadow maps of distant lamps, and ambient occlusion of the mean face."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from backend.geometry.normals import vertex_normals
from backend.geometry.sphere import spread_directions
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids

REACH = 0.17
"""Metres, half side of the square that a shadow map covers."""
BIAS = 0.0035
"""Metres by which a vertex may lie behind the shadow map and still be lit."""
_LAMP_DISTANCE = 2.0
_TAPS = ((0.2, 0.5), (1.1, -0.5), (-0.8, 1.1), (-1.2, -0.5), (0.3, -1.5), (1.4, 1.2))
"""Sample offsets in the shadow map, which are averaged."""


def lamp_axes(directions: Tensor) -> Tensor:
    """(N, 3, 3) rotations whose third row is the direction (N, 3) towards the lamp."""
    helper = torch.where(
        (directions[:, 1:2].abs() < 0.9), directions.new_tensor([0.0, 1.0, 0.0]), directions.new_tensor([1.0, 0.0, 0.0])
    )
    across = torch.nn.functional.normalize(torch.linalg.cross(helper, directions), dim=-1)
    return torch.stack([across, torch.linalg.cross(directions, across), directions], 1)


def lamp_visibility(
    vertices: Tensor, faces: Tensor, directions: Tensor, softness: Tensor, resolution: int, backend: str = "auto"
) -> Tensor:
    """(N, V) visibility in [0, 1] of a distant lamp from vertices (N, V, 3), with triangles faces (F, 3) as occluders.

    directions : (N, 3) unit, towards the lamp. softness : (N,) 0 for the sun, 1 for a large window.
    """
    n, count, _ = vertices.shape
    centre = vertices.new_tensor([0.0, 0.70, 0.04])
    turned = (vertices - centre) @ lamp_axes(directions).transpose(1, 2)  # (N, V, 3)
    place = (turned[..., :2] / REACH + 1) * (resolution / 2)
    seen = torch.cat([place, _LAMP_DISTANCE - turned[..., 2:]], -1)
    found = fragments(face_ids(seen, faces, (resolution, resolution), backend=backend), faces)
    depth = found.scatter(fragment_values(seen[..., 2:], found, fragment_barycentrics(seen, found)), 9.0)
    depth = depth.view(n, resolution * resolution)
    total = torch.zeros(n, count, device=vertices.device)
    spacing = (0.7 + 2.6 * softness)[:, None] * resolution / 128
    own = seen[..., 2]
    for dx, dy in _TAPS:
        column = (place[..., 0] + dx * spacing).floor().clamp(0, resolution - 1).long()
        row = (place[..., 1] + dy * spacing).floor().clamp(0, resolution - 1).long()
        blocker = depth.gather(1, row * resolution + column)
        allowed = BIAS + (0.0012 * (abs(dx) + abs(dy))) * spacing
        total += ((own - blocker - allowed) / 0.003).clamp(0, 1)
    return 1 - total / len(_TAPS)


def openness(vertices: Tensor, faces: Tensor, directions: int = 64, resolution: int = 112) -> Tensor:
    """(V,) share of a uniform sky's light that reaches vertices (V, 3) past faces (F, 3), weighted by the cosine."""
    sphere = torch.from_numpy(spread_directions(directions).astype(np.float32))
    sphere = sphere.to(vertices.device)
    normals = vertex_normals(vertices, faces)
    lit, total = torch.zeros(len(vertices), device=vertices.device), torch.zeros(len(vertices), device=vertices.device)
    for start in range(0, directions, 16):
        part = sphere[start : start + 16]
        visible = lamp_visibility(
            vertices.expand(len(part), -1, -1),
            faces,
            part,
            torch.full((len(part),), 0.2, device=part.device),
            resolution,
        )
        cosine = (part @ normals.t()).clamp(min=0)
        lit += (visible * cosine).sum(0)
        total += cosine.sum(0)
    return lit / total.clamp(min=1e-6)
