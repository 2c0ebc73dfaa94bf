"""Face ids by PyTorch3D's CUDA rasterizer. Optional: imported only on request, and never required."""

from __future__ import annotations

import torch
from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
from pytorch3d.structures import Meshes

from backend.rendering.camera import MIN_DEPTH

_BORDER = 1e-12
"""Blur radius with which PyTorch3D's strict inside test includes pixel centres on an edge or a vertex."""


def face_ids_pytorch3d(
    vertices: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], cull_backfaces: bool
) -> torch.Tensor:
    """See ``rasterize.face_ids``. The choice among faces at exactly equal depth is PyTorch3D's own."""
    height, width = size
    count, face_count = vertices.shape[0], faces.shape[0]
    half = min(height, width) / 2
    x, y, z = vertices.unbind(-1)
    ndc = torch.stack([(width / 2 - x) / half, (height / 2 - y) / half, z], -1)  # x to the left, y up
    behind = (z <= MIN_DEPTH) | ~vertices.isfinite().all(-1)  # (N, V)
    ndc = torch.where(behind[..., None], -1.0, ndc)
    dropped = behind[:, faces].any(-1)  # (N, F)
    # A dropped face becomes a point behind the camera, which PyTorch3D ignores.
    lost = torch.full((count, 1, 3), -1.0, device=ndc.device)
    own_faces = torch.where(dropped[..., None], vertices.shape[1], faces[None])  # (N, F, 3)
    meshes = Meshes(torch.cat([ndc, lost], 1), own_faces)
    packed_ids = rasterize_meshes(
        meshes,
        image_size=(height, width),
        blur_radius=_BORDER,
        faces_per_pixel=1,
        perspective_correct=True,
        cull_backfaces=cull_backfaces,
    )[0][..., 0]  # (N, H, W), counted over the whole batch
    first = torch.arange(count, device=packed_ids.device)[:, None, None] * face_count
    return torch.where(packed_ids < 0, -1, packed_ids - first)
