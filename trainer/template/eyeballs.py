"""Round eyeballs: MakeHuman's 72-vertex helper eye, once subdivided, shaped so that its smooth surface is a sphere."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from backend.geometry.subdivision import catmull_clark

CLEARANCE = 0.0001
"""Metres between the eyeball and the closest point of the lids' edges."""


def spherical_cage(directions: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """(V, 3) cage near the unit sphere whose twice subdivided surface has radius 1, as round as the cage allows.

    Parameters
    ----------
    directions : (V, 3) from the middle of the ball to each vertex, any length; quads : (F, 4).
    """
    step, finer = catmull_clark(quads, len(directions))
    fine = (catmull_clark(finer, step.shape[0])[0] @ step).tocsr()
    cage = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    system = (fine.T @ fine + 1e-3 * sp.identity(len(cage))).tocsc()
    for _ in range(20):
        surface = fine @ cage
        on_sphere = surface / np.linalg.norm(surface, axis=1, keepdims=True)
        # the smallest change of the cage that brings the surface onto the sphere
        cage = cage + spsolve(system, fine.T @ (on_sphere - surface))
    return cage


def seat(behind: np.ndarray, edge: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of an eyeball on which the lids rest.

    Only the depth of the centre is sought: the pupil stays where it is between the lids.

    Parameters
    ----------
    behind : (N, 3) points just behind the lids' edges, which lie on the ball.
    edge : (M, 3) points of the edges, which stay outside it.
    guess : (3,) about where the centre is; its depth counts a little, because the curve is almost flat.
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
