"""Landmarks of the modelled face with a sliding outline, the grid of its lips, and masks of visible lips."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from backend.geometry.template import load_template
from backend.models.learned_basis.encoder import LANDMARKS
from backend.models.learned_basis.network import FaceBases
from backend.rendering.camera_models import PerspectiveCameras
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from backend.rig.face_loops import face_loops
from trainer.losses.lip_contour import LipGrid

OUTLINE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""MediaPipe's landmarks of the face's outline."""
_FACING = 0.05


class FaceMarks(nn.Module):
    """Landmarks and outline rows of the template on the surface's cage vertices."""

    def __init__(self) -> None:
        super().__init__()
        template = load_template()
        marks = template.landmarks478
        rows = template.contour_rows
        outline = np.array(OUTLINE)
        places = marks.positions(template.vertices)[outline]  # (O, 3)
        points = np.where(rows[..., None] >= 0, template.vertices[np.maximum(rows, 0)], np.inf)  # (R, C, 3)
        distance = np.linalg.norm(points[None] - places[:, None, None], axis=-1)  # (O, R, C)
        row = distance.min(-1).argmin(1)
        resting = distance[np.arange(len(outline)), row].argmin(1)
        own = rows[row]  # (O, C)
        beyond = (np.arange(own.shape[1]) > resting[:, None]) | (own < 0)
        for name, value in {
            "vertices": marks.vertices[:LANDMARKS].astype(np.int64),
            "weights": marks.barycentrics[:LANDMARKS].astype(np.float32),
            "outline": outline.astype(np.int64),
            "row": np.maximum(own, 0).astype(np.int64),
            "beyond": beyond,
        }.items():
            self.register_buffer(name, torch.from_numpy(value), persistent=False)

    def points(self, vertices: Tensor) -> Tensor:
        """(N, 468, 3) landmarks on vertices (N, V, 3), of which the first are the cage's."""
        return (vertices[:, self.vertices] * self.weights[..., None]).sum(2)

    def slid(self, vertices: Tensor, normals: Tensor, cameras: PerspectiveCameras, slides: Tensor) -> Tensor:
        """As ``points``, but where ``slides`` (N,) the outline landmarks slide to the silhouette.

        Each landmark has a row of vertices that runs outwards over the cheek. It slides to the last vertex before the
        first that faces away from the camera, and never beyond its own place. normals : (N, V, 3).
        """
        marks = self.points(vertices)
        with torch.no_grad():
            centre = -(cameras.rotation.transpose(1, 2) @ cameras.translation[..., None]).transpose(1, 2)
            on_row = vertices[:, self.row]  # (N, O, C, 3)
            facing = (normals[:, self.row] * (centre[:, :, None] - on_row)).sum(-1)
            facing = facing / (centre[:, :, None] - on_row).norm(dim=-1)
            open_so_far = ((facing > _FACING) & ~self.beyond).cumprod(-1)  # (N, O, C)
            last = (open_so_far.sum(-1) - 1).clamp(min=0)
            stops = ((facing <= _FACING) & ~self.beyond).any(-1)  # (N, O) faces away before the landmark's own place
            vertex = self.row.expand(len(marks), -1, -1).gather(2, last[..., None])[..., 0]
        moved = vertices.gather(1, vertex[..., None].expand(-1, -1, 3))
        chosen = (stops & slides[:, None])[..., None]
        outline = torch.where(chosen, moved, marks[:, self.outline])
        return marks.index_copy(1, self.outline, outline)


def lip_grid() -> LipGrid:
    """Grid of the lips on the cage: columns from corner to corner, and the row at which each column leaves the lip."""
    template = load_template()
    mouth = face_loops(template).mouth
    region = template.regions["lips"]
    grids, borders = [], []
    for columns in (mouth.upper, mouth.lower):
        rows = mouth.rows[:, np.r_[mouth.right, columns, mouth.left]]  # (R, C)
        inside = region[rows]
        border = np.empty(rows.shape[1], np.float32)
        for column, values in enumerate(inside.T):
            last = int(np.flatnonzero(values > 0.5).max(initial=mouth.contact))
            after = values[min(last + 1, len(values) - 1)]
            border[column] = last + np.clip((values[last] - 0.5) / max(values[last] - after, 1e-3), 0, 1)
        first = int(np.flatnonzero((inside > 0.5).any(1)).min())  # rows farther inside belong to the mouth's pocket
        grids.append(torch.from_numpy(rows[first:].astype(np.int64)))
        borders.append(torch.from_numpy(np.minimum(border, len(rows) - 1) - first))
    return LipGrid(*grids, *borders)


def lip_pictures(bases: FaceBases, pixels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Masks (N, S, S) bool of the visible upper and lower lip."""
    surface = bases.surface
    regions = torch.stack([surface.lip_upper, surface.lip_lower], -1).to(pixels)[None]
    found = fragments(face_ids(pixels, bases.faces, (size, size), cull_backfaces=True), bases.faces)
    seen = found.scatter(fragment_values(regions, found, fragment_barycentrics(pixels, found))) > 0.5
    return seen[..., 0], seen[..., 1]
