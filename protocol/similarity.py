"""Motions from corresponding points: similarity transforms (rotation, scale, translation), and local ones."""

from typing import NamedTuple

import numpy as np


class Similarity(NamedTuple):
    """``x -> scale * rotation @ x + translation``: a number, (D, D) and (D,)."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Transform positions (..., D)."""
        return self.offsets(points) + self.translation

    def undone(self, points: np.ndarray) -> np.ndarray:
        """The positions (..., D) from which ``points`` come."""
        return (points - self.translation) @ self.rotation / self.scale

    def offsets(self, offsets: np.ndarray) -> np.ndarray:
        """Transform offsets (..., D)."""
        return self.scale * (offsets @ self.rotation.T)


def fit_similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None, scale: float | None = None
) -> Similarity:
    """The weighted least-squares similarity from ``source`` (N, D) to ``target`` (N, D), N >= D, D 2 or 3
    (Umeyama 1991, eq. 40 to 42), without reflections.

    Parameters
    ----------
    weights : (N,), not negative; None for equal ones.
    scale : of the result; None for the best one. 1 gives the rigid motion (Kabsch).
    """
    share = np.full((len(source), 1), 1.0 / len(source)) if weights is None else (weights / weights.sum())[:, None]
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_mean, target_mean = (share * source).sum(axis=0), (share * target).sum(axis=0)
    u, s, vt = np.linalg.svd((share * (target - target_mean)).T @ (source - source_mean))
    signs = np.append(np.ones(len(s) - 1), np.sign(np.linalg.det(u @ vt)) or 1.0)
    rotation = (u * signs) @ vt
    if scale is None:
        scale = float((s * signs).sum() / max((share * (source - source_mean) ** 2).sum(), 1e-30))
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


class LocalMotion:
    """A smooth motion of a mesh with which N places on it make given motions, zero from ``reach`` metres on from those
    that move; interpolated by Wendland's C2 function (Wendland 1995).

    Parameters
    ----------
    rest : (V, 3) vertices, metres. vertices, shares : (N, 3) vertices of each place, and their shares in it. moved :
        (N, 3) metres.
    """

    def __init__(
        self, rest: np.ndarray, vertices: np.ndarray, shares: np.ndarray, moved: np.ndarray, reach: float
    ) -> None:
        self._centres, self._reach = np.einsum("nk,nkc->nc", shares, rest[vertices]), reach
        kernel = np.einsum("nk,nkm->nm", shares, self._kernel(rest[vertices]))
        self._weights = np.linalg.lstsq(kernel, moved, rcond=1e-6)[0]

    def _kernel(self, points: np.ndarray) -> np.ndarray:
        near = np.linalg.norm(points[..., None, :] - self._centres, axis=-1) / self._reach
        return np.clip(1.0 - near, 0.0, None) ** 4 * (4.0 * near + 1.0)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """(M, 3) float32 motions of points (M, 3)."""
        return (self._kernel(points) @ self._weights).astype(np.float32)
