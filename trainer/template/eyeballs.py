"""Round eyeballs: MakeHuman's 72-vertex helper eye, subdivided once and shaped to have a spherical smooth surface."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from backend.geometry.subdivision import catmull_clark

CLEARANCE = 0.0001
"""Metres between the eyeball and the closest point of the lids' edges."""


def spherical_cage(directions: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """(V, 3) cage whose twice subdivided surface is as close to the unit sphere as possible.

    Parameters
    ----------
    directions : (V, 3) from the ball's centre to each vertex, any length; quads : (F, 4).
    """
    step, finer = catmull_clark(quads, len(directions))
    fine = (catmull_clark(finer, step.shape[0])[0] @ step).tocsr()
    cage = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    system = (fine.T @ fine + 1e-3 * sp.identity(len(cage))).tocsc()
    for _ in range(20):
        surface = fine @ cage
        on_sphere = surface / np.linalg.norm(surface, axis=1, keepdims=True)
        # smallest change of the cage that moves the surface onto the sphere
        cage = cage + spsolve(system, fine.T @ (on_sphere - surface))
    return cage


def fit_eyeball(behind: np.ndarray, edge: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit the centre (3,) and radius of an eyeball on which the lids rest.

    Only the centre's depth is solved, so that the pupil stays at its place between the lids.

    Parameters
    ----------
    behind : (N, 3) points just behind the lids' edges, which lie on the ball.
    edge : (M, 3) points of the edges, which stay outside the ball.
    guess : (3,) approximate centre; its depth is a weak prior, because the error is almost flat in the depth.
    """
    centre = guess.astype(np.float64)
    anchor = 0.2 * np.sqrt(len(behind))
    for _ in range(50):
        arm = behind - centre
        distance = np.linalg.norm(arm, axis=1)
        slope = -arm[:, 2] / distance
        slope, gap = slope - slope.mean(), distance.mean() - distance
        centre[2] += (slope @ gap + anchor**2 * (guess[2] - centre[2])) / (slope @ slope + anchor**2)
    resting = np.linalg.norm(behind - centre, axis=1).mean()
    return centre, float(min(resting, np.linalg.norm(edge - centre, axis=1).min() - CLEARANCE))
