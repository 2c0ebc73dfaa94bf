"""Assemble the mean face: eyeballs, teeth, tongue and lashes are placed into the registered head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backend.geometry.template import PartRange, Template
from backend.rig.face_loops import face_loops
from trainer.template.closest_point import closest_points
from trainer.template.eyeballs import fit_eyeball, spherical_cage
from trainer.template.scans import FaceKit, triangulate

LASH_LENGTH = 0.6
"""Length of the lashes relative to MakeHuman's cards."""

TOOTH_GAP = 0.0030
"""Distance in metres of the front teeth behind ICT-FaceKit's."""

ARCH_WIDTH = 0.93
"""Width of the dental arches relative to ICT-FaceKit's, so that they do not show at the corners of closed lips."""

TONGUE_DROP = np.array([0.0, -0.004, -0.003])
"""Offset of the tongue from MakeHuman's, metres: lower and further back."""
PART_OFFSETS: dict[str, tuple[float, float, float]] = {
    "teeth_upper": (0.0, -0.0038, 0.0), "teeth_lower": (0.0, 0.0020, -0.0010), "tongue": (0.0, -0.0050, -0.0070),
}  # fmt: skip
"""Offsets in metres from ICT-FaceKit's places. Its upper teeth end where the lips meet, so an open smile would show
none; a tongue on its lower teeth would fill the mouth."""


@dataclass(frozen=True)
class Eyeballs:
    """Centres (2, 3) of eye_left and eye_right and their common radius in metres."""

    centres: np.ndarray
    radius: float


def _span(parts: Mapping[str, PartRange], name: str) -> slice:
    return slice(parts[name].vertex_start, parts[name].vertex_stop)


def seat_eyeballs(template: Template, surface: np.ndarray, kit: FaceKit) -> Eyeballs:
    """Fit eyeballs under the lids of ``surface``: (H, 3) smooth head's points at the cage's vertices, FaceKit's frame.

    ``template`` gives the topology of the lids. The left eye is solved; the right one is its mirror image.
    """
    lids = face_loops(template).eyes[0]
    behind, edge = surface[lids.rows[lids.margin - 1]], surface[lids.rows[lids.margin]]
    ball = kit.neutral[kit.EYE_LEFT]
    rear = ball[ball[:, 2] < ball[:, 2].mean() + 0.004]  # without the cornea
    system = np.concatenate([2 * rear, np.ones((len(rear), 1))], axis=1)
    guess = np.linalg.lstsq(system, (rear**2).sum(1), rcond=None)[0][:3]
    centre, radius = fit_eyeball(behind, edge, guess)
    return Eyeballs(np.stack([centre, centre * [-1.0, 1.0, 1.0]]), radius)


def place_eyes(points: np.ndarray, parts: Mapping[str, PartRange], quads: np.ndarray, eyes: Eyeballs) -> np.ndarray:
    """``points`` (V, 3) with spherical eyeballs at the places ``eyes``."""
    points = points.copy()
    for name, centre in zip(("eye_left", "eye_right"), eyes.centres, strict=True):
        span = _span(parts, name)
        own = quads[parts[name].face_start : parts[name].face_stop] - parts[name].vertex_start
        old = points[span]
        cage = spherical_cage(old - 0.5 * (old.min(0) + old.max(0)), own)
        points[span] = centre + eyes.radius * cage
    return points


def place_teeth(points: np.ndarray, parts: Mapping[str, PartRange], kit: FaceKit) -> np.ndarray:
    """``points`` (V, 3) with teeth and tongue fitted to ICT-FaceKit's dental arches, a little behind them."""
    points = points.copy()
    teeth = kit.neutral[kit.TEETH]
    middle = 0.5 * (teeth[:, 1].min() + teeth[:, 1].max())
    # align the biting edges of the front teeth: the upper teeth's lowest, the lower teeth's highest points
    upper, lower = teeth[teeth[:, 1] > middle], teeth[teeth[:, 1] <= middle]
    for name, arch, own_edge, arch_edge in (
        ("teeth_upper", upper, np.min, np.min),
        ("teeth_lower", lower, np.max, np.max),
    ):
        span = _span(parts, name)
        own = points[span]
        scale = np.ones(3)
        scale[0] = ARCH_WIDTH * (arch[:, 0].max() - arch[:, 0].min()) / (own[:, 0].max() - own[:, 0].min())
        scale[2] = (arch[:, 2].max() - arch[:, 2].min()) / (own[:, 2].max() - own[:, 2].min())
        scale[1] = 0.5 * (scale[0] + scale[2])
        front = own[:, 2] > own[:, 2].max() - 0.008
        arch_front = arch[:, 2] > arch[:, 2].max() - 0.008
        shift = np.array([
            0.0,
            arch_edge(arch[arch_front, 1]) - scale[1] * own_edge(own[front, 1]),
            arch[:, 2].max() - TOOTH_GAP - scale[2] * own[:, 2].max(),
        ])  # fmt: skip
        points[span] = own * scale + shift
        if name == "teeth_lower":
            tongue = _span(parts, "tongue")
            points[tongue] = points[tongue] * scale + shift + TONGUE_DROP
    for name, offset in PART_OFFSETS.items():
        points[_span(parts, name)] += offset
    return points


def place_lashes(
    points: np.ndarray, before: np.ndarray, parts: Mapping[str, PartRange], lid_triangles: np.ndarray
) -> np.ndarray:
    """``points`` (V, 3) with the lashes at the same places of the lids as in the face ``before`` (V, 3), shortened.

    ``lid_triangles`` (T, 3) are triangles of the lids' skin. Each lash vertex keeps its offset from its foot, times
    ``LASH_LENGTH``.
    """
    points = points.copy()
    span = _span(parts, "lashes")
    triangle, weights, _ = closest_points(before[span], before, lid_triangles)
    corners = lid_triangles[triangle]
    feet_before, feet = ((mesh[corners] * weights[..., None]).sum(1) for mesh in (before, points))
    points[span] = feet + LASH_LENGTH * (before[span] - feet_before)
    return points


def lid_triangles(regions: Mapping[str, np.ndarray], quads: np.ndarray) -> np.ndarray:
    """(T, 3) triangles of the lids' outer skin."""
    lids = (regions["lids_left"] + regions["lids_right"]) > 0.3
    triangles = triangulate(quads)
    return triangles[lids[triangles].all(1)]
