"""Layers on the vertices of a mesh hierarchy: Chebyshev convolution, unpooling, pooling."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.geometry.mesh_hierarchy import MeshLevel
from backend.geometry.sparse_product import spread


def scaled_laplacian(level: MeshLevel) -> Tensor:
    """(N, N) sparse 2 L / lambda_max - I of the normalised graph Laplacian L = I - D^-1/2 A D^-1/2.

    lambda_max is replaced by its bound 2, so that only -D^-1/2 A D^-1/2 remains (Kipf & Welling 2017).
    """
    start, stop, degree = _directed(level)
    return _sparse(start, stop, -1.0 / np.sqrt(degree[start] * degree[stop]), (len(degree), len(degree)))


def neighbour_means(level: MeshLevel) -> Tensor:
    """(N, N) sparse matrix that averages over each vertex's neighbours."""
    start, stop, degree = _directed(level)
    return _sparse(start, stop, 1.0 / degree[start], (len(degree), len(degree)))


def _directed(level: MeshLevel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts and ends (2 E,) of the edges in both directions, and the degree of each vertex (N,)."""
    start, stop = np.concatenate([level.edges, level.edges[:, ::-1]]).T
    return start, stop, np.bincount(start, minlength=len(level.vertices)).astype(np.float64)


def unpooling(level: MeshLevel, finer: int) -> Tensor:
    """(finer, N) sparse matrix that interpolates to the next finer level, which has ``finer`` vertices."""
    return _sparse(level.up_rows, level.up_columns, level.up_values, (finer, len(level.vertices)))


def _sparse(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Tensor:
    places = torch.from_numpy(np.stack([rows, columns]).astype(np.int64))
    matrix = torch.sparse_coo_tensor(places, torch.from_numpy(values.astype(np.float32)), shape, check_invariants=False)
    return matrix.coalesce()


class ChebyshevConvolution(nn.Module):
    """y = sum_k T_k(L) x W_k + b, T_k Chebyshev polynomials of the scaled Laplacian (Defferrard et al. 2016).

    Summed by Clenshaw's recurrence, which applies L to y's features, because towards finer levels these are fewer.
    """

    def __init__(self, laplacian: Tensor, inputs: int, outputs: int, order: int) -> None:
        super().__init__()
        if order < 1:
            raise ValueError(f"the order must be at least 1, not {order}")
        self.order = order
        self.register_buffer("laplacian", laplacian, persistent=False)
        bound = (order * inputs) ** -0.5
        self.weight = nn.Parameter(torch.empty(order, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, inputs) to (B, N, outputs)."""
        batch, count, inputs = features.shape
        rows = features.transpose(0, 1).reshape(count * batch, inputs)

        def term(k: int) -> Tensor:
            """(N, B * outputs) of x W_k."""
            return functional.linear(rows, self.weight[k]).float().view(count, -1)

        with torch.autocast(features.device.type, enabled=False):  # sparse products do not support half precision
            after, last = None, term(self.order - 1)  # b_{k + 2}, b_{k + 1}
            for k in range(self.order - 2, -1, -1):
                step = torch.sparse.mm(self.laplacian, last)
                now = torch.add(term(k), step, alpha=2.0 if k else 1.0)
                after, last = last, now if after is None else now - after
        return last.view(count, batch, -1).transpose(0, 1) + self.bias


class Unpooling(nn.Module):
    """Interpolation from a level to the next finer one."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, F) to (B, N of the finer level, F)."""
        return spread(self.matrix, features)
