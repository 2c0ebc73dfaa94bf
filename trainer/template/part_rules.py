"""Rules by which eyes, teeth, tongue and lashes follow the head's identity offsets; all are linear in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backend.geometry.template import PartRange
from trainer.template.closest_point import closest_points

EYE_SIZE_STIFFNESS = 1.0
"""Ridge on the eyeballs' size, relative to the sum of squared radial distances over the lid rim (0: free size)."""


@dataclass(frozen=True)
class PartRules:
    """Data that ``carry_parts`` needs.

    Attributes
    ----------
    points : (V, 3) the mean face.
    parts : part name -> range.
    rims : the two lid rims' vertices, left eye first.
    mouth_weights : (H,) head vertices that teeth and tongue follow.
    lash_triangles : (L, 3) head vertices, lash_weights : (L, 3) barycentrics of each lash vertex's foot.
    """

    points: np.ndarray
    parts: Mapping[str, PartRange]
    rims: tuple[np.ndarray, np.ndarray]
    mouth_weights: np.ndarray
    lash_triangles: np.ndarray
    lash_weights: np.ndarray


def make_rules(
    points: np.ndarray,
    parts: Mapping[str, PartRange],
    rims: tuple[np.ndarray, np.ndarray],
    mouth_weights: np.ndarray,
    lid_triangles: np.ndarray,
) -> PartRules:
    """Make the rules, binding the lashes to the nearest of ``lid_triangles`` (T, 3)."""
    lashes = points[parts["lashes"].vertex_start : parts["lashes"].vertex_stop]
    triangle, weights, _ = closest_points(lashes, points, lid_triangles)
    return PartRules(points, parts, rims, mouth_weights, lid_triangles[triangle], weights)


def _similar_motion(points: np.ndarray, weights: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(N, 7) least-squares translation, rotation vector and relative growth about the weighted centre for offsets
    (N, P, 3) at ``points`` (P, 3)."""
    arm = points - weights @ points / weights.sum()
    rows = _motion_rows(arm)  # (P, 3, 7)
    system = np.einsum("p,pia,pib->ab", weights, rows, rows)
    right = np.einsum("p,pia,npi->na", weights, rows, offsets, optimize=True)
    return np.linalg.solve(system, right.T).T


def _motion_rows(arm: np.ndarray) -> np.ndarray:
    """(P, 3, 7) displacement of points at ``arm`` (P, 3) per unit of translation, rotation and growth."""
    rows = np.zeros((len(arm), 3, 7))
    rows[:, [0, 1, 2], [0, 1, 2]] = 1.0
    x, y, z = arm.T
    rows[:, 1, 3], rows[:, 2, 3] = -z, y
    rows[:, 0, 4], rows[:, 2, 4] = z, -x
    rows[:, 0, 5], rows[:, 1, 5] = -y, x
    rows[:, :, 6] = arm
    return rows


def _eye_motion(rules: PartRules, eye: int, offsets: np.ndarray) -> np.ndarray:
    """(N, P, 3) offsets of an eyeball that follows the lid rim: translation and a little growth."""
    part = rules.parts[("eye_left", "eye_right")[eye]]
    ball = rules.points[part.vertex_start : part.vertex_stop]
    centre, rim = 0.5 * (ball.min(0) + ball.max(0)), rules.points[rules.rims[eye]]
    radius = np.linalg.norm(ball - centre, axis=1).mean()
    moved = offsets[:, rules.rims[eye]]  # (N, R, 3)
    outwards = (rim - centre) / np.linalg.norm(rim - centre, axis=1, keepdims=True)
    rows = np.concatenate([outwards, np.full((len(rim), 1), radius)], axis=1)  # radial motion by tx ty tz growth
    radial = np.einsum("ri,nri->nr", outwards, moved)
    # pull the translation towards the rim's mean motion: radial distances hardly constrain it sideways
    sideways = np.zeros((3, 4))
    sideways[:, :3] = np.eye(3) * 0.3 * np.sqrt(len(rim))
    ridge = np.array([[0.0, 0.0, 0.0, np.sqrt(EYE_SIZE_STIFFNESS) * radius]])
    system = np.concatenate([rows, sideways, ridge])
    right = np.concatenate([radial, moved.mean(1) * 0.3 * np.sqrt(len(rim)), np.zeros((len(offsets), 1))], axis=1)
    solution = np.linalg.lstsq(system, right.T, rcond=None)[0].T  # (N, 4)
    return solution[:, None, :3] + solution[:, None, 3:] * (ball - centre)


def carry_parts(rules: PartRules, head_offsets: np.ndarray) -> np.ndarray:
    """(N, V, 3) offsets of all parts from the head's (N, H, 3)."""
    offsets = np.zeros((len(head_offsets), len(rules.points), 3))
    count = head_offsets.shape[1]
    offsets[:, :count] = head_offsets
    for eye, name in enumerate(("eye_left", "eye_right")):
        offsets[:, rules.parts[name].vertex_start : rules.parts[name].vertex_stop] = _eye_motion(
            rules, eye, head_offsets
        )
    near = np.flatnonzero(rules.mouth_weights > 0)
    weights = rules.mouth_weights[near]
    centre = weights @ rules.points[near] / weights.sum()
    motion = _similar_motion(rules.points[near], weights, head_offsets[:, near])
    for name in ("teeth_upper", "teeth_lower", "tongue"):
        span = slice(rules.parts[name].vertex_start, rules.parts[name].vertex_stop)
        offsets[:, span] = np.einsum("pia,na->npi", _motion_rows(rules.points[span] - centre), motion, optimize=True)
    lashes = rules.parts["lashes"]
    feet = head_offsets[:, rules.lash_triangles]  # (N, L, 3 corners, 3)
    offsets[:, lashes.vertex_start : lashes.vertex_stop] = (feet * rules.lash_weights[:, :, None]).sum(2)
    return offsets
