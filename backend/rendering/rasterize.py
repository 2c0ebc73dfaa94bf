"""Rasterization: the visible face at each pixel. One signature, several backends with the same result.

All backends follow these rules in float32 arithmetic, operation by operation:

- a face with a vertex at depth z <= 1e-8 or with zero or non-finite area in the image is dropped (no clipping);
- with ``cull_backfaces`` only faces with cross(v1 - v0, v2 - v0) < 0 in pixels (y down) are kept, which are
  counter-clockwise for the viewer;
- a pixel belongs to a face when its centre (column + 0.5, row + 0.5) is inside or exactly on the border (edge
  functions >= 0), so that meshes are watertight even where vertices and edges lie on pixel centres;
- the edge function of the edge a, b at the pixel centre p is (a - p) x (b - p); for b, a it is exactly the negative, so
  that no pixel is lost between two faces that share the edge;
- depth is perspective-correct; the nearest face wins, among equals the one with the lowest index.

Face ids carry no gradient. Barycentrics, depth and interpolation are in ``interpolate``, the same for all backends.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache

import torch

BACKENDS = ("torch", "numba", "pytorch3d", "reference")

Backend = Callable[[torch.Tensor, torch.Tensor, tuple[int, int], bool], torch.Tensor]


def face_ids(
    vertices_px: torch.Tensor,
    faces: torch.Tensor,
    size: tuple[int, int],
    *,
    backend: str = "auto",
    cull_backfaces: bool = False,
) -> torch.Tensor:
    """Index of the nearest face at every pixel centre.

    Parameters
    ----------
    vertices_px : (N, V, 3) x right and y down in pixels (pixel centres at i + 0.5), z camera depth in any unit > 0.
    faces : (F, 3) int64 vertex indices, shared by the batch.
    size : (height, width) of the image.
    backend : "auto" (numba on the CPU where installed, PyTorch3D on CUDA where importable, else torch), or one of
        ``BACKENDS``.
    cull_backfaces : keep only faces with cross(v1 - v0, v2 - v0) < 0 in pixels with y down.

    Returns
    -------
    (N, H, W) int64 face indices, -1 where there is none. No gradient.

    Raises
    ------
    ValueError : shapes or dtypes do not fit, or the backend is unknown.
    ModuleNotFoundError : the requested backend is not installed.
    """
    if vertices_px.ndim != 3 or vertices_px.shape[-1] != 3:
        raise ValueError(f"vertices_px must be (N, V, 3), not {tuple(vertices_px.shape)}")
    if faces.ndim != 2 or faces.shape[-1] != 3 or faces.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"faces must be (F, 3) int64, not {tuple(faces.shape)} {faces.dtype}")
    height, width = size
    if height < 0 or width < 0:
        raise ValueError(f"size must be (height, width) >= 0, not {size}")
    if backend == "auto":
        backend = default_backend(vertices_px.device)
    vertices = vertices_px.detach().float()
    if vertices.shape[0] * faces.shape[0] * height * width == 0:
        return torch.full((vertices.shape[0], height, width), -1, dtype=torch.int64, device=vertices.device)
    return _backend(backend)(vertices, faces.long(), (int(height), int(width)), cull_backfaces)


def default_backend(device: torch.device) -> str:
    """The backend of "auto" for tensors on ``device``."""
    if device.type == "cpu" and _installed("numba"):
        return "numba"
    if device.type == "cuda" and _installed("pytorch3d"):
        return "pytorch3d"
    return "torch"


@cache
def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@cache
def _backend(name: str) -> Backend:
    """Import a backend on first use, so that none is needed to import this package."""
    if name == "torch":
        from backend.rendering.rasterize_torch import face_ids_torch as function
    elif name == "numba":
        from backend.rendering.rasterize_numba import face_ids_numba as function
    elif name == "pytorch3d":
        from backend.rendering.rasterize_pytorch3d import face_ids_pytorch3d as function
    elif name == "reference":
        from backend.rendering.rasterize_reference import face_ids_reference as function
    else:
        raise ValueError(f"unknown rasterizer {name!r}; known are {', '.join(BACKENDS)}")
    return function
