"""Small building blocks of attachment meshes: grids, tubes, and layers with one material."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.geometry.unit import unit
from trainer.data.people.attachments.layers import SurfaceLayer


def grid_faces(rows: int, columns: int, device: torch.device | str) -> Tensor:
    """(2 (rows-1) (columns-1), 3) int64 for vertices (rows, columns) in row-major order."""
    start = (
        torch.arange(rows - 1, device=device)[:, None] * columns + torch.arange(columns - 1, device=device)
    ).reshape(-1)
    right, below = start + 1, start + columns
    return torch.cat([torch.stack([start, below, right], 1), torch.stack([right, below, below + 1], 1)])


def grid_normals(vertices: Tensor, *, closed: bool = False) -> Tensor:
    """Unit normals of grids (N, rows, columns, 3): down the rows x along the columns; ``closed``: the last column
    repeats the first."""
    rows = torch.cat([vertices[:, 1:2] - vertices[:, :1], vertices[:, 2:] - vertices[:, :-2],
                      vertices[:, -1:] - vertices[:, -2:-1]], 1)  # fmt: skip
    if closed:
        body = vertices[:, :, :-1]
        columns = body.roll(-1, 2) - body.roll(1, 2)
        columns = torch.cat([columns, columns[:, :, :1]], 2)
    else:
        columns = torch.cat([vertices[:, :, 1:2] - vertices[:, :, :1], vertices[:, :, 2:] - vertices[:, :, :-2],
                             vertices[:, :, -1:] - vertices[:, :, -2:-1]], 2)  # fmt: skip
    return unit(torch.linalg.cross(rows, columns))


def layer_of(
    vertices: Tensor,
    normals: Tensor,
    faces: Tensor,
    label: int | Tensor,
    albedo: Tensor,
    *,
    specular: float | Tensor = 0.0,
    roughness: float | Tensor = 0.5,
    alpha: Tensor | None = None,
    mirror: Tensor | None = None,
    detail: Tensor | None = None,
) -> SurfaceLayer:
    """Make a layer from arrays (N, ..., 3 or 4), flattening middle axes; one label (or (N,) uint8) for all faces."""
    n = len(vertices)
    points = vertices.reshape(n, -1, 3)
    ones = torch.ones_like(points[..., 0])

    def filled(value: float | Tensor | None, default: float) -> Tensor:
        if value is None:
            return ones * default
        if isinstance(value, Tensor):
            return (ones * value[:, None]) if value.ndim == 1 else value.reshape(n, -1)
        return ones * value

    if isinstance(label, Tensor):
        labels = label.to(torch.uint8)[:, None].expand(n, len(faces)).contiguous()
    else:
        labels = torch.full((n, len(faces)), label, dtype=torch.uint8, device=points.device)
    return SurfaceLayer(
        vertices=points,
        normals=normals.reshape(n, -1, 3),
        faces=faces,
        labels=labels,
        albedo=albedo.expand(*vertices.shape).reshape(n, -1, 3),
        specular=filled(specular, 0.0),
        roughness=filled(roughness, 0.5),
        tangent=torch.zeros_like(points),
        alpha=filled(alpha, 1.0),
        mirror=filled(mirror, 0.0),
        detail=points.new_zeros(n, points.shape[1], 4) if detail is None else detail.reshape(n, -1, 4),
    )


def tube(path: Tensor, radius: Tensor, sides: int, *, flatten: float = 1.0) -> tuple[Tensor, Tensor]:
    """Vertices and normals (N, P, sides, 3) of tubes around paths (N, P, 3); the last side repeats the first.

    ``radius`` (N, P) along the direction most upright; across it ``flatten`` times that.
    """
    step = torch.cat([path[:, 1:2] - path[:, :1], path[:, 2:] - path[:, :-2], path[:, -1:] - path[:, -2:-1]], 1)
    tangent = unit(step)
    upright = path.new_tensor([0.0, 1.0, 0.0]).expand_as(tangent)
    steep = tangent[..., 1:2].abs() > 0.9
    upright = torch.where(steep, path.new_tensor([0.0, 0.0, 1.0]).expand_as(tangent), upright)
    side = unit(torch.linalg.cross(upright, tangent))
    up = torch.linalg.cross(tangent, side)
    angle = torch.linspace(0, 2 * torch.pi, sides, device=path.device)
    ring = up[:, :, None] * angle.cos()[:, None] + side[:, :, None] * (flatten * angle.sin())[:, None]
    normals = up[:, :, None] * (flatten * angle.cos())[:, None] + side[:, :, None] * angle.sin()[:, None]
    vertices = path[:, :, None] + ring * radius[:, :, None, None]
    return vertices, unit(normals)
