"""Views of hair that is known: locks of the training people's model before made-up cameras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from portrait_camera import portrait_camera
from scipy.interpolate import interp1d

from backend.geometry.template import Template, triangles_from_quads
from backend.hair.hair_views import HairView, body_mesh
from backend.hair.hull import head_hull, hull_surface
from backend.rendering.camera import Camera
from backend.rendering.rasterize import depth_map
from trainer.evaluate.hair_figures import silhouettes
from trainer.people.dress.grow import STYLES, Flow, Locks, Style, grow, lock_paths

SIDE = 112
POINTS = 64
"""Points along a lock: closer together than a view's pixels."""


def camera(yaw_degrees: float, distance: float = 1.2) -> Camera:
    """Looks at the head's middle; yaw is the person's turn to their own left."""
    return portrait_camera(np.array([0.0, 0.70, 0.02]), yaw_degrees, SIDE, SIDE * distance / 260.0, distance)


def style_of(name: str) -> Style:
    return next(style for style in STYLES if style.name == name)


def grown(template: Template, name: str, count: int = 900, seed: int = 7, ring: float = 0.0) -> np.ndarray:
    """(L, POINTS, 3) metres, the locks of a style's middle on the mean head; none within ``ring`` metres of the crown.

    They grow by the training people's model, along a field of its own, and not as the fit traces them.
    """
    style, random, hull = style_of(name), np.random.default_rng(seed), head_hull(template)

    def middle(span: tuple[float, float]) -> float:
        return 0.5 * sum(span)

    place = (np.arange(count)[:, None] * [0.7548776662466927, 0.5698402909980532] + random.random(2)) % 1
    a = (place[:, 0] - 0.5) * 2 * np.pi
    s = place[:, 1] ** 0.62 * hull.line(a, hull.hairline) * 0.985
    top = np.clip((np.where(np.abs(a) < 0.8, 0.19, 0.115) - s) / 0.035, 0, 1)
    length = (middle(style.sides) + (middle(style.top) - middle(style.sides)) * top) * random.uniform(0.8, 1.05, count)
    fringe = (np.abs(a) < 0.85) & (s > 0.045) & (random.random(count) < style.fringe)
    length = np.where(fringe & (length > 0.11), random.uniform(0.08, 0.14, count), length) * (s >= ring)
    values = dict.fromkeys(Locks.__dataclass_fields__, np.zeros(count)) | {
        "azimuth": a, "s": s, "length": length, "base": np.full(count, 0.003),
        "floor": 0.003 + 0.004 * random.random(count) + 0.01 * np.clip(length, 0, 0.3) * (1 - s / 0.2),
        "up": np.full(count, middle(style.up)), "bend": np.full(count, middle(style.bend)), "forward": 1.0 * fringe,
        "turn_x": 0.3 * style.turn * random.normal(size=count), "turn_z": 2.0 * fringe, "fringe": 1.0 * fringe,
        "tied": 1.0 - fringe,
    }  # fmt: skip
    combed = ("radial", "forward", "backward", "sideways", "parting", "gravity", "window", "cut", "volume")
    flow = {name: middle(getattr(style, name)) for name in combed}
    flow |= {"whorl": (0.0, -0.045), "tied": float(style.tied), "tie": (0.0, -0.11), "fringe_drop": 0.0, "gather": 0.3}
    locks = Locks(**{key: torch.tensor(value[None], dtype=torch.float32) for key, value in values.items()})
    lines = [torch.from_numpy(line).float() for line in (hull.hairline, hull.brow_line)]
    azimuth, down, height = grow(locks, Flow(**{key: torch.tensor([each]) for key, each in flow.items()}), *lines, 12)
    room = torch.tensor([middle(style.ears)])
    surface = hull_surface(hull, torch.from_numpy(template.vertices[: template.head.vertex_stop])[None].float(), room)
    paths = lock_paths(surface, locks, azimuth, down, height)[0][0].numpy()[length > 1e-4]
    return interp1d(np.linspace(0, 1, paths.shape[1]), paths, axis=1)(np.linspace(0, 1, POINTS)).astype(np.float32)


def made_view(template: Template, yaw: float, hair: str | np.ndarray | None) -> HairView:
    """What a photo of the mean head says that has the hair of a style or of strands (L, P, 3); bald without one."""
    count = template.head.vertex_stop
    head = template.vertices[:count].astype(np.float64)
    body, rings = body_mesh(head, template)
    triangles = triangles_from_quads(template.quads[: template.head.face_stop])
    place = camera(yaw)
    depth = depth_map(np.concatenate([head, body]), np.concatenate([triangles, rings + count]), place)
    empty = np.zeros((SIDE, SIDE), np.float32)
    view = HairView(
        f"{yaw}.jpg", place, empty, empty + 1, empty, empty, np.zeros((SIDE, SIDE, 2), np.float32), depth, 1.0
    )
    skin = silhouettes(head[template.regions["face"][:count] > 0.5][None], view)[0]
    if hair is None:
        return replace(view, face=skin.astype(np.float32))
    strands = grown(template, hair) if isinstance(hair, str) else hair
    shown = silhouettes(strands.reshape(1, -1, 3), view)[0].astype(np.float32)
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
