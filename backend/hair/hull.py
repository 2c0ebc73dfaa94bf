"""The hull along which hair falls and on which hats sit: the skull, and below its widest rim a curtain that hangs down.

Points of the hull have polar coordinates: the azimuth ``a`` about the vertical axis through the skull (0 in front,
positive to the person's left, in (-pi, pi]) and ``s``, the arc length in metres from the crown down the mean hull.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional

from backend.geometry.template import Template
from backend.geometry.vectors import points_along, unit

AZIMUTHS = 64
"""Columns of the hull round the head: 8 mm apart, less than a lock's width."""
ROW_STEP = 0.0125
"""Metres from row to row down the head."""
ROWS = 49
"""60 cm from the crown: hair to the waist."""
AXIS_Z = 0.030
"""z in metres (template frame) of the vertical axis through the middle of the skull."""
CENTRE_Y = 0.760
"""Height in metres of the template's widest rim. Above it the hull is the skull, below it the curtain."""
CURTAIN_INWARDS = 0.22
"""Slope with which the curtain may follow the neck inwards, metres per metre downwards."""
NEIGHBOURS = 4
"""Vertices to which a point of the hull is bound: those of the quad below it."""

HAIRLINE = np.array(
    [
        (0, 0.808), (20, 0.808), (33, 0.803), (43, 0.788), (50, 0.766), (57, 0.742), (63, 0.728), (69, 0.730),
        (75, 0.748), (92, 0.750), (101, 0.733), (108, 0.705), (122, 0.690), (150, 0.674), (180, 0.668),
    ]
)  # fmt: skip
"""Azimuth in degrees and height in metres on the mean head of a full hairline."""
BODY_ROWS = np.array(
    [
        (0.068, 0.074, -0.034, 0.594), (0.078, 0.076, -0.044, 0.583), (0.100, 0.080, -0.052, 0.571),
        (0.132, 0.086, -0.059, 0.559), (0.162, 0.093, -0.065, 0.545), (0.186, 0.101, -0.069, 0.527),
        (0.201, 0.109, -0.072, 0.500), (0.210, 0.116, -0.075, 0.455), (0.215, 0.121, -0.077, 0.390),
        (0.220, 0.122, -0.080, 0.250),
    ]
)  # fmt: skip
"""Rings of a body under the neck's rim, metres: half width, front and back z, height."""
BROW_LINE = np.array([(0, 0.752), (15, 0.757), (32, 0.755), (45, 0.746), (60, 0.735), (180, 0.735)])
"""Azimuth in degrees and height in metres of the template's brows, continued round the head."""


@dataclass(frozen=True)
class HeadHull:
    """Binding of the hull's grid to the head's vertices; made once from the mean head.

    Attributes
    ----------
    vertices : (G, 4) int64 head vertices near each grid point, G = ROWS * AZIMUTHS; weights : (G, 4).
    offset : (G, 3) metres from the weighted mean of these to the grid point.
    ear : (G,) 0-1, closeness to an ear. mean : (ROWS, AZIMUTHS, 3) the hull of the mean head.
    hairline, brow_line : (AZIMUTHS,) s of the hairline and of the brows.
    extent : index of the vertices whose bounding box gives a head's size; mean_size : size of the mean head.
    """

    vertices: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    ear: np.ndarray
    mean: np.ndarray
    hairline: np.ndarray
    brow_line: np.ndarray
    extent: np.ndarray
    mean_size: float

    def line(self, azimuth: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values (AZIMUTHS,) interpolated linearly and periodically at any azimuths."""
        place = (azimuth / (2 * np.pi) + 0.5) * AZIMUTHS
        low = np.floor(place).astype(int)
        t = place - low
        return values[low % AZIMUTHS] * (1 - t) + values[(low + 1) % AZIMUTHS] * t

    def s_at_height(self, azimuth: np.ndarray, height: np.ndarray) -> np.ndarray:
        """s at which the mean hull passes heights (N,) (metres, as in the template) at azimuths (N,)."""
        column = np.round((azimuth / (2 * np.pi) + 0.5) * AZIMUTHS).astype(int) % AZIMUTHS
        return _s_at_height(self.mean, column, np.broadcast_to(height, column.shape))


def _s_at_height(mean: np.ndarray, columns: np.ndarray, heights: np.ndarray) -> np.ndarray:
    places, lower = np.arange(ROWS) * ROW_STEP, np.maximum.accumulate(-mean[..., 1])
    return np.array([np.interp(-y, lower[:, c], places) for y, c in zip(heights, columns, strict=True)])


def azimuths() -> np.ndarray:
    """(AZIMUTHS,) azimuths of the grid's columns."""
    return (np.arange(AZIMUTHS) / AZIMUTHS - 0.5) * 2 * np.pi


@lru_cache(maxsize=2)
def head_hull(template: Template) -> HeadHull:
    """The hull of a template's mean head (cached)."""
    head = template.vertices[: template.head.vertex_stop].astype(np.float64)
    ears = template.regions["ears"][: len(head)]
    hidden = template.regions["mouth_interior"][: len(head)] > 0.3
    quads = template.quads[: template.head.face_stop]
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])
    triangles = triangles[~((ears[triangles] > 0.3).any(1) | hidden[triangles].any(1))]
    profiles = [_profile(head, triangles, azimuth) for azimuth in azimuths()]
    crown = np.mean([profile[0] for profile in profiles], axis=0)
    for profile in profiles:
        profile[0] = crown
    places = np.arange(ROWS) * ROW_STEP
    mean = np.stack([points_along(profile, places) for profile in profiles], axis=1)  # (ROWS, AZIMUTHS, 3)
    points = mean.reshape(-1, 3)
    usable = np.flatnonzero((ears < 0.3) & ~hidden)
    away, near = cKDTree(head[usable]).query(points, k=NEIGHBOURS)
    weights = 1 / (away**2 + 1e-6)
    weights /= weights.sum(1, keepdims=True)
    vertices = usable[near]
    offset = points - (head[vertices] * weights[..., None]).sum(1)
    to_ear = cKDTree(head[ears > 0.6]).query(points)[0]
    extent = usable[head[usable, 1] > 0.64]
    degrees = np.abs(np.degrees(azimuths()))
    lines = [_s_at_height(mean, np.arange(AZIMUTHS), np.interp(degrees, *table.T)) for table in (HAIRLINE, BROW_LINE)]
    return HeadHull(
        vertices=vertices,
        weights=weights.astype(np.float32),
        offset=offset.astype(np.float32),
        ear=np.clip(1.3 - to_ear / 0.022, 0, 1).astype(np.float32),
        mean=mean,
        hairline=lines[0],
        brow_line=lines[1],
        extent=extent,
        mean_size=float((head[extent].max(0) - head[extent].min(0)).mean()),
    )


def _profile(head: np.ndarray, triangles: np.ndarray, azimuth: float) -> np.ndarray:
    """Profile (P, 3) of the hull in one half plane, from the crown down the skull and the curtain."""
    out, across = np.array([np.sin(azimuth), np.cos(azimuth)]), np.array([np.cos(azimuth), -np.sin(azimuth)])
    flat = head[:, [0, 2]] - [0.0, AXIS_Z]
    away, side = flat @ out, flat @ across
    crossing = (side[triangles] > 0).any(1) & (side[triangles] <= 0).any(1)
    p, q = triangles[crossing].T, np.roll(triangles[crossing], -1, axis=1).T  # (3, K) the ends of each edge
    cut = (side[p] > 0) != (side[q] > 0)  # two edges of each triangle
    p, q = p.T[cut.T], q.T[cut.T]
    t = side[p] / (side[p] - side[q])
    ends = np.stack([away[p] + t * (away[q] - away[p]), head[p, 1] + t * (head[q, 1] - head[p, 1])], axis=1)
    start, stop = ends[::2], ends[1::2]  # each (K, 2): distance from the axis, height

    def farthest(origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """(D,) distance of the last hit along rays from (D, 2) or (1, 2), nan for rays without a hit."""
        step = stop - start
        offset = start - origins[:, None]  # (D, K, 2)
        det = directions[:, :1] * step[:, 1] - directions[:, 1:] * step[:, 0]
        det = np.where(np.abs(det) < 1e-12, 1e-12, det)
        t = (offset[..., 0] * step[:, 1] - offset[..., 1] * step[:, 0]) / det
        u = (offset[..., 0] * directions[:, 1:] - offset[..., 1] * directions[:, :1]) / det
        t = np.where((t > 1e-4) & (u >= -1e-6) & (u <= 1 + 1e-6), t, -1.0)
        best = t.max(1)
        return np.where(best > 0, best, np.nan)

    angle = np.linspace(0, np.pi / 2, 61)
    rays = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    reach = farthest(np.array([[0.0, CENTRE_Y]]), rays)
    reach = np.interp(angle, angle[np.isfinite(reach)], reach[np.isfinite(reach)])
    top = np.array([0.0, CENTRE_Y]) + rays * reach[:, None]
    heights = np.arange(CENTRE_Y - 0.004, 0.2, -0.004)
    level = np.broadcast_to([1.0, 0.0], (len(heights), 2))
    radius = farthest(np.stack([np.zeros_like(heights), heights], 1), level)
    curtain, previous = [], top[-1, 0]
    body = _body_radius(azimuth, heights)
    for y, skin, chest in zip(heights, radius, body, strict=True):
        follow = previous - CURTAIN_INWARDS * 0.004
        follow = max(follow, skin + 0.001 if np.isfinite(skin) and y > 0.60 else 0.0)
        previous = max(follow, min(chest + 0.010, previous + 0.004))
        curtain.append([previous, y])
    line = np.concatenate([top, np.array(curtain)])
    kernel = np.ones(7) / 7
    smooth = np.convolve(np.pad(line[:, 0], 3, mode="edge"), kernel, mode="valid")
    line[8:, 0] = np.maximum(smooth, line[:, 0] - 0.002)[8:]
    return np.stack([line[:, 0] * out[0], line[:, 1], line[:, 0] * out[1] + AXIS_Z], axis=1)


def _body_radius(azimuth: float, heights: np.ndarray) -> np.ndarray:
    """Distance of the chest from the axis at heights below the neck, at most 0.12 m. It is 0 above and beside the
    chest, where hair falls behind the shoulders."""
    half, front, back = (np.interp(-heights, -BODY_ROWS[:, 3], BODY_ROWS[:, k]) for k in range(3))
    depth = np.where(np.cos(azimuth) > 0, front - AXIS_Z, AXIS_Z - back)
    radius = 1 / np.sqrt((np.sin(azimuth) / half) ** 2 + (np.cos(azimuth) / depth) ** 2)
    on_chest = (heights < BODY_ROWS[0, 3]) & (np.abs(azimuth) < 1.2)
    return np.where(on_chest, np.minimum(radius, 0.12), 0.0)


@dataclass(frozen=True)
class HullSurface:
    """The hulls of a batch of heads.

    Attributes
    ----------
    maps : (N, 6, ROWS, AZIMUTHS + 1) position and unit normal; the last column repeats the first.
    scale : (N,) size of each head relative to the mean one.
    """

    maps: Tensor
    scale: Tensor

    def sample(self, azimuth: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and unit normals (N, ..., 3) at azimuths (N, ...), taken modulo a full turn, and s in metres."""
        shape = azimuth.shape
        turn = (azimuth / (2 * torch.pi) + 0.5).remainder(1.0)
        grid = torch.stack([turn * 2 - 1, s / (ROW_STEP * (ROWS - 1)) * 2 - 1], -1)
        grid = grid.reshape(shape[0], -1, 1, 2)
        found = functional.grid_sample(self.maps, grid, mode="bilinear", padding_mode="border", align_corners=True)
        found = found[..., 0].transpose(1, 2).reshape(*shape, 6)
        return found[..., :3], unit(found[..., 3:])


def hull_surface(hull: HeadHull, head_vertices: Tensor, ear_room: Tensor) -> HullSurface:
    """Hulls of heads (N, V, 3), or of one head (1, V, 3) N times. ``ear_room`` (N,) : metres by which the hull is moved
    outwards at the ears."""
    device, n = head_vertices.device, len(head_vertices)
    vertices = torch.from_numpy(hull.vertices).to(device)
    weights = torch.from_numpy(hull.weights).to(device)
    extent = head_vertices[:, torch.from_numpy(hull.extent).to(device)]
    scale = (extent.amax(1) - extent.amin(1)).mean(-1) / hull.mean_size
    points = (head_vertices[:, vertices] * weights[None, :, :, None]).sum(2)
    points = points + torch.from_numpy(hull.offset).to(device) * scale[:, None, None]
    points = points.view(n, ROWS, AZIMUTHS, 3)
    normals = _normals(points)
    room = torch.from_numpy(hull.ear).to(device).view(ROWS, AZIMUTHS) * (ear_room * scale)[:, None, None]
    points, scale = points + normals * room[..., None], scale.expand(len(room))
    maps = torch.cat([points, _normals(points)], -1)
    maps = torch.cat([maps, maps[:, :, :1]], 2)  # (N, ROWS, AZIMUTHS + 1, 6)
    return HullSurface(maps.permute(0, 3, 1, 2).contiguous(), scale)


def _normals(points: Tensor) -> Tensor:
    """Outward unit normals (N, ROWS, AZIMUTHS, 3) of hull grids."""
    around = points.roll(-1, 2) - points.roll(1, 2)
    down = torch.cat(
        [points[:, 1:2] - points[:, :1], points[:, 2:] - points[:, :-2], points[:, -1:] - points[:, -2:-1]], 1
    )
    normal = torch.linalg.cross(down, around)
    up = normal.new_tensor([0.0, 1.0, 0.0]).expand_as(normal[:, :1])
    normal = torch.cat([up, normal[:, 1:]], 1)
    return unit(normal)
