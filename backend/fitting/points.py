"""Points on the template's surface, with the identity and expression bases restricted to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.geometry.template import LandmarkEmbedding, Template


@dataclass(frozen=True)
class SurfacePoints:
    """M points that move with the face: ``base + identity @ alpha + expression @ weights``.

    Attributes
    ----------
    base : (M, 3); identity : (M, 3, K); expression : (M, 3, 52). Metres, head frame.
    """

    base: np.ndarray
    identity: np.ndarray
    expression: np.ndarray

    def __len__(self) -> int:
        return len(self.base)

    def positions(self, alpha: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(M, 3) positions for identity (K,) and expression (52,)."""
        return self.base + self.identity @ alpha + self.expression @ weights

    def take(self, index: np.ndarray) -> SurfacePoints:
        """The points at ``index`` (integers or a mask)."""
        return SurfacePoints(self.base[index], self.identity[index], self.expression[index])

    @staticmethod
    def joined(first: SurfacePoints, second: SurfacePoints) -> SurfacePoints:
        """Both sets, one after the other."""
        return SurfacePoints(
            np.concatenate([first.base, second.base]),
            np.concatenate([first.identity, second.identity]),
            np.concatenate([first.expression, second.expression]),
        )


def points_at_vertices(template: Template, vertices: np.ndarray) -> SurfacePoints:
    """Surface points at template vertices (M,)."""
    return SurfacePoints(
        template.vertices[vertices].astype(np.float64),
        np.ascontiguousarray(template.identity_modes[:, vertices].transpose(1, 2, 0), dtype=np.float64),
        np.ascontiguousarray(template.expressions[:, vertices].transpose(1, 2, 0), dtype=np.float64),
    )


def points_at_landmarks(template: Template, embedding: LandmarkEmbedding) -> SurfacePoints:
    """Surface points at embedded landmarks; rows of invalid landmarks are meaningless."""
    corners = points_at_vertices(template, embedding.vertices.ravel())
    count = len(embedding.vertices)
    barycentrics = embedding.barycentrics.astype(np.float64)

    def mix(values: np.ndarray) -> np.ndarray:
        return np.einsum("lk,lk...->l...", barycentrics, values.reshape(count, 3, *values.shape[1:]))

    return SurfacePoints(mix(corners.base), mix(corners.identity), mix(corners.expression))
