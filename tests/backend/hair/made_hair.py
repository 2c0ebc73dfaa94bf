"""Views of hair that is known: strands of the style model before made-up cameras."""

from __future__ import annotations

import numpy as np

from backend.geometry.template import Template, triangles_from_quads
from backend.hair.fit_style import PIECES, SEGMENTS, grown
from backend.hair.hair_views import HairView, body_mesh, silhouettes
from backend.hair.style_model import lock_noise, style_family
from backend.rendering.camera import Camera
from backend.rendering.visibility import depth_map
from trainer.template.pictures.key_sheet import portrait_camera

SIDE = 112


def camera(yaw_degrees: float, distance: float = 1.2) -> Camera:
    """Looks at the head's middle; yaw is the person's turn to their own left."""
    return portrait_camera(np.array([0.0, 0.70, 0.02]), yaw_degrees, SIDE, SIDE * distance / 260.0, distance)


def style_point(name: str) -> np.ndarray:
    """The middle of a style's box."""
    family = style_family()
    index = [style.name for style in family.styles].index(name)
    return 0.5 * (family.low[index] + family.high[index])


def made_view(template: Template, yaw: float, point: np.ndarray | None) -> HairView:
    """What a photo of the mean head with the style of a point (D,) says; bald without one."""
    count = template.head.vertex_stop
    head = template.vertices[:count].astype(np.float64)
    body, rings = body_mesh(head, template)
    triangles = triangles_from_quads(template.quads[: template.head.face_stop])
    place = camera(yaw)
    depth = depth_map(np.concatenate([head, body]), np.concatenate([triangles, rings + count]), place)
    empty = np.zeros((SIDE, SIDE), np.float32)
    view = HairView(f"{yaw}.jpg", place, empty, empty + 1, empty, np.zeros((SIDE, SIDE, 2), np.float32), depth, 1.0)
    if point is None:
        return view
    strands = grown(template, template.vertices, point[None], lock_noise(900, seed=7))
    hair = silhouettes(strands, view)[0].astype(np.float32)
    direction = drawn_direction(strands[0], SEGMENTS * PIECES, view)
    skin = silhouettes(head[template.regions["face"][:count] > 0.5][None], view)[0]
    return HairView(view.name, place, hair, empty + 1, skin * (1 - hair), direction, depth, 1.0)


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
