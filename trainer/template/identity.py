"""Rigid alignment of faces, and mirror-symmetric principal components of a population."""

from __future__ import annotations

import numpy as np

from backend.geometry.symmetry import mirrored


def rigid_align(faces: np.ndarray, target: np.ndarray, weights: np.ndarray, iterations: int = 1) -> np.ndarray:
    """Align faces (N, V, 3) rigidly (no scale) to ``target`` (V, 3) with vertex weights (V,), by Kabsch's method.

    With ``iterations`` > 1 the target becomes the mean of the aligned faces after each round (the first target fixes
    the frame).
    """
    weights = weights / weights.sum()
    reference = target
    for _ in range(iterations):
        centre = weights @ reference
        moved = faces - np.einsum("v,nvk->nk", weights, faces)[:, None]
        covariance = np.einsum("v,nvi,vj->nij", weights, moved, reference - centre, optimize=True)
        u, _, vt = np.linalg.svd(covariance)
        u[..., -1] *= np.sign(np.linalg.det(u @ vt))[:, None]
        faces = moved @ (u @ vt) + centre
        reference = faces.mean(0)
    return faces


def principal_modes(
    offsets: np.ndarray, weights: np.ndarray, mirror: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of offsets (N, V, 3) from the mean face and of their mirror images.

    Returns modes (count, V, 3), one standard deviation each, sorted by variance, and (count,) their parity: +1 for
    modes that are their own mirror image, -1 for those that are the negative of it. A population and its mirror image
    have the same statistics, so the covariance splits into these two blocks.
    ``weights`` (V,) weigh the vertices' variances.
    """
    reflected = mirrored(offsets, mirror)
    modes, parities, variances = [], [], []
    for parity in (1, -1):
        half = (0.5 * (offsets + parity * reflected)).reshape(len(offsets), -1)
        scale = np.sqrt(np.repeat(weights, 3))
        gram = (half * scale) @ (half * scale).T / len(offsets)
        values, vectors = np.linalg.eigh(gram)
        keep = values > 1e-12 * values.max()
        # mode k = X^T u_k / sqrt(N): the coefficients sqrt(N) u_k of the samples have unit variance
        modes.append((half.T @ vectors[:, keep]).T / np.sqrt(len(offsets)))
        variances.append(values[keep])
        parities.append(np.full(keep.sum(), parity))
    order = np.argsort(-np.concatenate(variances))[:count]
    chosen = np.concatenate(modes)[order].reshape(len(order), -1, 3)
    # an eigenvector's sign is arbitrary: fix it, so that every bake gives the same modes
    direction = np.random.default_rng(0).normal(size=chosen.shape[1:])
    chosen = chosen * np.where(np.einsum("kvi,vi->k", chosen, direction) < 0, -1.0, 1.0)[:, None, None]
    return chosen, np.concatenate(parities)[order]
