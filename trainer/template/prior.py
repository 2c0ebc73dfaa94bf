"""The identity prior: ICT-FaceKit's modes, and modes of the part of MakeHuman's people that these cannot express."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.template.identity import principal_modes


@dataclass(frozen=True)
class PriorOptions:
    """Sizes and weights of the prior.

    Attributes
    ----------
    scan_modes : number of modes from scans.
    extra_modes : number of modes for the residuals of MakeHuman's people.
    noise : metres; standard deviation of the offsets' noise when a face is fitted with the scan modes.
    makehuman_share : share of the variance of MakeHuman's residuals in the prior.
    """

    scan_modes: int = 100
    extra_modes: int = 40
    noise: float = 0.001
    makehuman_share: float = 0.6


def without_rigid_motion(offsets: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Subtract the least-squares small rigid motion from offsets (N, V, 3) at ``points`` (V, 3).

    ``weights`` (V,) weigh the vertices; size stays in the offsets.
    """
    arm = points - weights @ points / weights.sum()
    rows = np.zeros((len(points), 3, 6))
    rows[:, [0, 1, 2], [0, 1, 2]] = 1.0
    x, y, z = arm.T
    rows[:, 1, 3], rows[:, 2, 3] = -z, y
    rows[:, 0, 4], rows[:, 2, 4] = z, -x
    rows[:, 0, 5], rows[:, 1, 5] = -y, x
    system = np.einsum("v,via,vib->ab", weights, rows, rows)
    right = np.einsum("v,via,nvi->an", weights, rows, offsets, optimize=True)
    return offsets - np.einsum("via,an->nvi", rows, np.linalg.solve(system, right), optimize=True)


def explain(offsets: np.ndarray, modes: np.ndarray, weights: np.ndarray, noise: float) -> np.ndarray:
    """(N, K) most probable coefficients of offsets (N, V, 3) in modes (K, V, 3) under a unit-variance prior.

    ``weights`` (V,) sum to the effective number of independent measurements.
    """
    scale = np.sqrt(np.repeat(weights, 3))
    basis = modes.reshape(len(modes), -1) * scale
    data = offsets.reshape(len(offsets), -1) * scale
    system = basis @ basis.T / noise**2 + np.eye(len(modes))
    return np.linalg.solve(system, basis @ data.T / noise**2).T


def scan_modes(offsets: np.ndarray, weights: np.ndarray, mirror: np.ndarray, options: PriorOptions) -> np.ndarray:
    """Mirror-symmetric modes (K, V, 3), of one standard deviation each, with the covariance of scan modes (N, V, 3)."""
    # principal_modes divides by the number of samples: N modes of unit variance are sqrt(N) times N samples
    return principal_modes(offsets * np.sqrt(len(offsets)), weights, mirror, options.scan_modes)[0]


def extra_modes(
    modes: np.ndarray, people: np.ndarray, weights: np.ndarray, mirror: np.ndarray, options: PriorOptions
) -> np.ndarray:
    """Modes (K2, V, 3) of the residuals of other people after a fit with ``modes``.

    Parameters
    ----------
    modes : (K, V, 3) from the scans.
    people : (N, V, 3) offsets of random MakeHuman people from their mean.
    weights : (V,) weights of the vertices.
    """
    measurements = weights * (400.0 / weights.sum())
    residuals = people - np.tensordot(explain(people, modes, measurements, options.noise), modes, 1)
    return principal_modes(residuals * np.sqrt(options.makehuman_share), weights, mirror, options.extra_modes)[0]


def spread_mm(modes: np.ndarray, weights: np.ndarray) -> float:
    """Root-mean-square distance in millimetres of a random person from the mean, over ``weights`` (V,)."""
    return float(np.sqrt((weights * (modes**2).sum((0, 2))).sum() / weights.sum()) * 1e3)
