"""Views of hair that is known: grooms before made-up cameras."""

from dataclasses import replace
from functools import cache

import numpy as np
from portrait_camera import portrait_camera

from backend.geometry.template import Template, load_template, triangles_from_quads
from backend.hair.groom import grow_guides, load_grooms
from backend.hair.hair_strands import resampled_to
from backend.hair.hair_views import HairView, body_mesh
from backend.rendering.camera import Camera
from backend.rendering.rasterize import depth_map
from trainer.evaluate.hair import silhouette

SIDE = 112
POINTS = 64
"""Points along a lock: closer together than a view's pixels."""


def camera(yaw_degrees: float, distance: float = 1.2) -> Camera:
    """Looks at the head's middle; yaw is the person's turn to their own left."""
    return portrait_camera(np.array([0.0, 0.70, 0.02]), yaw_degrees, SIDE, SIDE * distance / 260.0, distance)


@cache
def _grown(name: str) -> np.ndarray:
    template = load_template()
    own = {"slicked back": "slicked", "tied back": "low_bun"}.get(name, name.replace(" ", "_"))
    grown = grow_guides(load_grooms()[own], template.vertices.astype(np.float64))
    return np.concatenate([resampled_to(part, POINTS) for part in (grown.points, grown.free)]).astype(np.float32)


def grown(template: Template, name: str, count: int = 900, ring: float = 0.0) -> np.ndarray:
    """(L, POINTS, 3) metres, at most ``count`` locks of a groom on the mean head; none within ``ring`` metres of the
    crown."""
    lines = _grown(name)
    crown = template.vertices[template.vertices[:, 1].argmax()]
    lines = lines[np.linalg.norm(lines[:, 0] - crown, axis=1) >= ring]
    return lines[np.random.default_rng(7).permutation(len(lines))[:count]]


def made_view(template: Template, yaw: float, hair: str | np.ndarray | None) -> HairView:
    """What a photo of the mean head says that has the hair of a style or of strands (L, P, 3); bald without one."""
    count = template.head.vertex_stop
    head = template.vertices[:count].astype(np.float64)
    body, rings = body_mesh(head, template)
    triangles = triangles_from_quads(template.quads[: template.head.face_stop])
    place = camera(yaw)
    depth = depth_map(np.concatenate([head, body]), np.concatenate([triangles, rings + count]), place)
    empty = np.zeros((SIDE, SIDE), np.float32)
    view = HairView(f"{yaw}.jpg", place, empty, empty + 1, empty, np.zeros((SIDE, SIDE, 2), np.float32), depth, 1.0)
    skin = silhouette(head[template.regions["face"][:count] > 0.5], view)
    if hair is None:
        return replace(view, face=skin.astype(np.float32))
    strands = grown(template, hair) if isinstance(hair, str) else hair
    shown = silhouette(strands, view).astype(np.float32)
    direction = drawn_direction(strands.reshape(-1, 3), strands.shape[1], view)
    return replace(view, hair=shown, direction=direction, face=skin * (1 - shown))


def drawn_direction(points: np.ndarray, pieces: int, view: HairView) -> np.ndarray:
    """(H, W, 2) mean over each pixel's foremost strands (6 mm) of cosine and sine of twice their angle with the rows,
    0 where none shows. points (M, 3), of which ``pieces`` after each other belong to one strand."""
    pixel = view.camera.project(points.astype(np.float64))
    step = np.diff(pixel[:, :2], axis=0, prepend=pixel[:1, :2])
    square = (step**2).sum(1)
    height, width = view.depth.shape
    column, row = np.floor(np.nan_to_num(pixel[:, :2], nan=-1)).astype(int).T
    there = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    row, column = np.where(there, row, 0), np.where(there, column, 0)
    there &= pixel[:, 2] <= view.depth[row, column] + 0.006
    front = np.full(view.depth.shape, np.inf)
    np.minimum.at(front, (row[there], column[there]), pixel[there, 2])
    counts = (
        there & (np.arange(len(points)) % pieces > 0) & (square > 1e-8) & (pixel[:, 2] < front[row, column] + 0.006)
    )
    dx, dy = step[counts].T
    total = np.zeros((height, width, 3))
    twice = np.stack([dx**2 - dy**2, 2 * dx * dy, square[counts]], 1) / square[counts, None]
    np.add.at(total, (row[counts], column[counts]), twice)
    return (total[..., :2] / np.maximum(total[..., 2:], 1)).astype(np.float32)
