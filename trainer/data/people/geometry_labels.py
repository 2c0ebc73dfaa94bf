"""Geometric labels: landmarks with their visibility, depth and normals of the bare head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.normals import vertex_normals
from backend.geometry.template import LandmarkEmbedding
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from trainer.data.people.scene import Posed
from trainer.data.people.shading import unit
from trainer.data.people.surface import PeopleSurface

_HIDDEN_DEPTH = 0.006
"""Metres behind the depth map beyond which a landmark is hidden."""


@dataclass(frozen=True)
class Landmarks:
    """places : (N, L, 2) pixels. visible : (N, L) bool: inside the picture and unoccluded."""

    places: Tensor
    visible: Tensor


class LandmarkLabels:
    """One of the template's sets of landmarks, on a device."""

    def __init__(self, embedding: LandmarkEmbedding, device: torch.device) -> None:
        self._vertices = torch.from_numpy(embedding.vertices.astype(np.int64)).to(device)
        self._weights = torch.from_numpy(embedding.barycentrics).to(device)[..., None]

    def __call__(self, posed: Posed, depth: Tensor, size: int) -> Landmarks:
        """Project the landmarks. depth (N, H, W) is that of everything opaque in the picture, inf on the background, at
        any resolution."""
        points = posed.cameras.project((posed.drawn[:, self._vertices] * self._weights).sum(2))  # (N, L, 3)
        n, height, width = depth.shape
        column = (points[..., 0] * width / size).floor()
        row = (points[..., 1] * height / size).floor()
        within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        place = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
        before = depth.view(n, -1).gather(1, place)
        return Landmarks(points[..., :2], within & (points[..., 2] < before + _HIDDEN_DEPTH))


def head_depth(posed: Posed, surface: PeopleSurface, size: int, backend: str) -> tuple[Tensor, Tensor]:
    """Depth (N, S, S) in metres and normals (N, 3, S, S) in the head frame of head, eyes, teeth and tongue.

    Zero elsewhere; exact at pixel centres.
    """
    pixels = posed.cameras.project(posed.drawn)
    found = fragments(face_ids(pixels, surface.faces, (size, size), backend=backend), surface.faces)
    normals = vertex_normals(posed.drawn, surface.faces)
    values = fragment_values(torch.cat([pixels[..., 2:], normals], -1), found, fragment_barycentrics(pixels, found))
    images = found.scatter(torch.cat([values[:, :1], unit(values[:, 1:])], -1))
    return images[..., 0], images[..., 1:].permute(0, 3, 1, 2)
