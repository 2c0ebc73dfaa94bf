"""Views of hair that is known: strands of the style model before made-up cameras."""

from __future__ import annotations

import numpy as np

from backend.geometry.template import Template
from backend.geometry.topology import triangles_from_quads
from backend.hair.fit_style import PIECES, SEGMENTS, grown
from backend.hair.hair_views import HairView, body_mesh, directions, silhouettes
from backend.hair.style_model import lock_noise, style_family
from backend.rendering.camera import Camera
from backend.rendering.visibility import depth_map
from trainer.template.portrait_camera import portrait_camera

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
    direction = directions(strands, SEGMENTS * PIECES, view)[0]
    skin = silhouettes(head[template.regions["face"][:count] > 0.5][None], view)[0]
    return HairView(view.name, place, hair, empty + 1, skin * (1 - hair), direction, depth, 1.0)
