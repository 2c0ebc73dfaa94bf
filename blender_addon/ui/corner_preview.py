"""Preview of the head in progress in a corner of the 3D View. It is no object, so nothing to undo or to save."""

from __future__ import annotations

import math

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

from .. import timer
from ..protocol.buffers import Preview
from ..session import session

SIDE_PIXELS = 220
MARGIN_PIXELS = 16
TURN_DEGREES = 20.0
FRAME = 1.12
"""Half the square's side, relative to the head's half size."""
CLAY = np.array([0.80, 0.66, 0.58], np.float32)
_LIGHTS = (  # direction towards the light in the head frame, strength
    (np.array([0.45, 0.5, 0.75], np.float32), 0.75),
    (np.array([-0.9, 0.1, 0.3], np.float32), 0.30),
)
_AMBIENT = 0.16

_handle: object | None = None
_drawn: _Drawn | None = None


class _Drawn:
    """One preview, turned to the side and ready to be drawn.

    Triangles are drawn from back to front without a depth buffer: the view's own depth buffer holds the scene, and an
        offscreen picture would have different colours depending on the Blender version.
    """

    def __init__(self, preview: Preview) -> None:
        self.preview = preview
        triangles = triangles_of(preview.quads)
        vertices = preview.vertices
        middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        vertices = (vertices - middle) / (np.abs(vertices - middle).max() or 1.0)
        self.turned, self.triangles = seen_from(vertices, triangles, math.radians(TURN_DEGREES))
        self.colors = np.ones((len(vertices), 4), np.float32)
        self.colors[:, :3] = clay_shading(vertices, triangles)

    def draw(self, left: float, bottom: float, side: float) -> None:
        """Draw the head into a square of the region (pixels)."""
        places = np.zeros_like(self.turned)
        places[:, :2] = np.array([left, bottom], np.float32) + (self.turned[:, :2] / FRAME + 1) * (side / 2)
        shader = gpu.shader.from_builtin("SMOOTH_COLOR")
        batch = batch_for_shader(shader, "TRIS", {"pos": places, "color": self.colors}, indices=self.triangles)
        batch.draw(shader)


def seen_from(vertices: np.ndarray, triangles: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) rotated about y by ``angle``, and the triangles then facing +z, from back to front."""
    c, s = math.cos(angle), math.sin(angle)
    turned = (vertices @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])).astype(np.float32)
    corners = turned[triangles]
    edges = corners[:, 1:, :2] - corners[:, :1, :2]
    facing = np.flatnonzero(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0] > 0)
    order = facing[np.argsort(corners[facing, :, 2].mean(axis=1))]
    return turned, np.ascontiguousarray(triangles[order])


def triangles_of(quads: np.ndarray) -> np.ndarray:
    """Convert quads (F, 4) to triangles (T, 3); a triangle that repeats its last vertex gives one."""
    first, second = quads[:, :3], quads[:, [0, 2, 3]]
    return np.ascontiguousarray(np.concatenate([first, second[quads[:, 2] != quads[:, 3]]]), np.int32)


def clay_shading(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) display colour of a clay head under two fixed lights, from area-weighted vertex normals."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    across = np.repeat(np.cross(b - a, c - a), 3, axis=0)  # in the order of triangles.ravel()
    normals = np.stack([np.bincount(triangles.ravel(), axis, len(vertices)) for axis in across.T], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-20
    light = np.full(len(vertices), _AMBIENT, np.float32)
    for direction, strength in _LIGHTS:
        light += strength * np.clip(normals @ (direction / np.linalg.norm(direction)), 0, None).astype(np.float32)
    return (np.clip(light, 0, 1)[:, None] ** 0.8 * CLAY).astype(np.float32)


def _draw() -> None:
    """Called by Blender after drawing a 3D View."""
    draw_corner()


def prepare() -> None:
    """Prepare the session's newest preview; called by the timer, so that drawing does not wait for it."""
    global _drawn
    preview = session().preview
    if preview is None:
        _drawn = None
    elif _drawn is None or _drawn.preview is not preview:
        _drawn = _Drawn(preview)


def draw_corner() -> None:
    """Draw the current preview, if any, into the corner of the region being drawn."""
    context = bpy.context
    prepare()
    if _drawn is None or not context.scene.likeness.show_preview:
        return
    scale = context.preferences.system.ui_scale
    side, margin = SIDE_PIXELS * scale, MARGIN_PIXELS * scale
    tools = sum(region.width for region in context.area.regions if region.type == "TOOLS" and region.width > 1)
    _drawn.draw(tools + margin, margin, side)


def register() -> None:
    global _handle
    if not bpy.app.background:
        timer.on_tick.append(prepare)
        _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    global _handle, _drawn
    if _handle is not None:
        timer.on_tick.remove(prepare)
        bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
    _handle = _drawn = None
