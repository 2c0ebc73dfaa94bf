"""The head's mesh at several resolutions, for graph convolutions; made once, read from ``assets``. Pooling keeps a
subset of the vertices, unpooling interpolates barycentrically on the coarser mesh, as in Ranjan et al., Generating 3D
Faces using Convolutional Mesh Autoencoders (ECCV 2018).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.system.files import ASSETS, read_asset


def spread(matrix: Tensor, features: Tensor) -> Tensor:
    """(B, M, F) product of a sparse matrix (M, N) and features (B, N, F)."""
    batch, count, width = features.shape
    flat = features.permute(1, 0, 2).reshape(count, batch * width)
    with torch.autocast(features.device.type, enabled=False):  # sparse products do not support half precision
        gathered = torch.sparse.mm(matrix, flat.float())
    return gathered.view(matrix.shape[0], batch, width).permute(1, 0, 2)


_INTEGERS = ("vertices", "faces", "edges", "up_rows", "up_columns")
HIERARCHY_PATH = ASSETS / "mesh_hierarchy.safetensors"


@dataclass(frozen=True)
class MeshLevel:
    """One resolution.

    Attributes
    ----------
    vertices : (N,) int64 ids of the kept head vertices, ascending.
    faces : (T, 3) int64 triangles, indices into ``vertices``, counter-clockwise from outside.
    edges : (E, 2) int64 neighbours, indices into ``vertices``, each pair once, smaller first.
    up_rows, up_columns, up_values : the sparse matrix (N of the next finer level, N) that interpolates to that level,
        with rows that sum to 1; empty in the finest.
    """

    vertices: np.ndarray
    faces: np.ndarray
    edges: np.ndarray
    up_rows: np.ndarray
    up_columns: np.ndarray
    up_values: np.ndarray


@dataclass(frozen=True)
class MeshHierarchy:
    """``levels`` : finest first; the first has all of the head's vertices."""

    levels: tuple[MeshLevel, ...]


@lru_cache(maxsize=2)
def load_mesh_hierarchy(path: Path = HIERARCHY_PATH) -> MeshHierarchy:
    """Read the file.

    Raises as ``backend.system.files.read_asset`` does.
    """
    arrays = read_asset(path).arrays
    levels = []
    while f"{len(levels)}.vertices" in arrays:
        number = len(levels)
        whole = {name: arrays[f"{number}.{name}"].astype(np.int64) for name in _INTEGERS}
        levels.append(MeshLevel(**whole, up_values=arrays[f"{number}.up_values"]))
    return MeshHierarchy(tuple(levels))
