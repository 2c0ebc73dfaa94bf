"""Triangle meshes as arrays: normals, neighbours, connected pieces, smoothing. Only numpy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Surface:
    """Triangle mesh. vertices : (V, 3) float64. triangles : (T, 3) int."""

    vertices: np.ndarray
    triangles: np.ndarray

    def moved(self, vertices: np.ndarray) -> Surface:
        """The same triangles with new vertices (V, 3)."""
        return Surface(vertices, self.triangles)

    @cached_property
    def normals(self) -> np.ndarray:
        """(V, 3) unit normals, area-weighted; zero at vertices without area."""
        a, b, c = (self.vertices[self.triangles[:, k]] for k in range(3))
        face = np.cross(b - a, c - a)
        return unit(scatter(self.triangles, np.repeat(face[:, None], 3, axis=1), len(self.vertices)))

    @cached_property
    def edges(self) -> np.ndarray:
        """(E, 2) each edge once."""
        pairs = np.concatenate([self.triangles[:, [0, 1]], self.triangles[:, [1, 2]], self.triangles[:, [2, 0]]])
        low, high = pairs.min(axis=1).astype(np.int64), pairs.max(axis=1).astype(np.int64)
        code = np.unique((low * len(self.vertices) + high)[low != high])
        return np.stack([code // len(self.vertices), code % len(self.vertices)], -1)

    @cached_property
    def pieces(self) -> np.ndarray:
        """(V,) connected component of each vertex, numbered by size: 0 is the largest."""
        label = np.arange(len(self.vertices))
        both = np.concatenate([self.edges, self.edges[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        vertex, start = np.unique(both[:, 0], return_index=True)
        while len(both):
            new = label.copy()
            new[vertex] = np.minimum(label[vertex], np.minimum.reduceat(label[both[:, 1]], start))
            np.minimum.at(new, label[vertex], new[vertex])  # also update the vertex that the label names
            new = new[new]
            if (new == label).all():
                break
            label = new
        _, label, counts = np.unique(label, return_inverse=True, return_counts=True)
        order = np.empty(len(counts), int)
        order[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        return order[label]

    def part(self, keep: np.ndarray) -> tuple[Surface, np.ndarray]:
        """The sub-surface of the vertices in ``keep`` (V,) bool, and their indices in this one."""
        number = np.full(len(self.vertices), -1)
        index = np.flatnonzero(keep)
        number[index] = np.arange(len(index))
        triangles = number[self.triangles]
        return Surface(self.vertices[index], triangles[(triangles >= 0).all(axis=1)]), index


def welded(vertices: np.ndarray, triangles: np.ndarray) -> tuple[Surface, np.ndarray]:
    """Merge vertices (V, 3) at equal positions; return the surface and (V,) the new index of each vertex."""
    size = np.ptp(vertices, axis=0).max() if len(vertices) else 1.0
    grid = np.round(vertices / max(1e-6 * size, 1e-30)).astype(np.int64)
    _, first, number = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    number = number.reshape(-1)
    new = number[triangles]
    flat = (new[:, 0] == new[:, 1]) | (new[:, 1] == new[:, 2]) | (new[:, 0] == new[:, 2])
    return Surface(vertices[first], new[~flat]), number


def unit(vectors: np.ndarray) -> np.ndarray:
    """Normalise vectors (..., 3) to length one; zero vectors stay zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 1e-20, length, 1.0)


def scatter(index: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(count, C) sums of ``values`` (..., C) grouped by ``index`` (...)."""
    flat, columns = index.ravel(), values.reshape(index.size, -1)
    return np.stack([np.bincount(flat, columns[:, c], count) for c in range(columns.shape[1])], -1)


class EdgeOperator:
    """Graph Laplacian: ``x -> sum over neighbours of stiffness * (x_i - x_j)``, vectorised in numpy."""

    def __init__(self, edges: np.ndarray, stiffness: np.ndarray, count: int) -> None:
        both = np.concatenate([edges, edges[:, ::-1]])
        order = np.argsort(both[:, 0], kind="stable")
        both, weights = both[order], np.concatenate([stiffness, stiffness])[order]
        self.column, self.weight = both[:, 1], weights[:, None]
        has = np.bincount(both[:, 0], minlength=count)
        self.start = np.concatenate([[0], np.cumsum(has)[:-1]])
        self.empty = has == 0
        self.start = np.minimum(self.start, max(len(both) - 1, 0))
        self.diagonal = np.bincount(both[:, 0], weights, count)[:, None]

    def neighbours(self, x: np.ndarray) -> np.ndarray:
        """(V, C) weighted sums over the neighbours."""
        if not len(self.column):
            return np.zeros_like(x)
        out = np.add.reduceat(x[self.column] * self.weight.astype(x.dtype), self.start, axis=0)
        out[self.empty] = 0.0
        return out

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.diagonal.astype(x.dtype) * x - self.neighbours(x)


def solve(operator, diagonal: np.ndarray, right: np.ndarray, start: np.ndarray, steps: int, tolerance: float = 1e-4):
    """Conjugate gradients with Jacobi preconditioner for (V, C) right-hand sides at once; yields after every step.

    operator : symmetric positive definite, (V, C) -> (V, C).
    diagonal : (V, 1).

    Returns (V, C).
    """
    x = start.copy()
    residual = right - operator(x)
    inverse = (1.0 / np.maximum(diagonal, 1e-20)).astype(right.dtype)
    z = inverse * residual
    direction = z.copy()
    old = np.einsum("vc,vc->c", residual, z)
    target = tolerance**2 * np.maximum(np.einsum("vc,vc->c", right, inverse * right), 1e-30)
    for _ in range(steps):
        if (old <= target).all():
            break
        applied = operator(direction)
        below = np.einsum("vc,vc->c", direction, applied)
        step = np.where(below > 0, old / np.where(below > 0, below, 1.0), 0.0).astype(x.dtype)
        x += step * direction
        residual -= step * applied
        z = inverse * residual
        new = np.einsum("vc,vc->c", residual, z)
        ratio = np.where(old > 0, new / np.where(old > 0, old, 1.0), 0.0).astype(x.dtype)
        direction = z + ratio * direction
        old = new
        yield
    return x


def finish(steps):
    """Run a generator to its end and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
