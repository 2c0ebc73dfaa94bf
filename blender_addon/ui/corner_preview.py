"""The head so far, drawn into a corner of the 3D View while it is made: no object, nothing to undo or to save."""

from __future__ import annotations

import math
import time

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from gpu_extras.presets import draw_texture_2d
from mathutils import Matrix

from ..protocol.preview import Preview
from ..session import session

SIDE_PIXELS = 220
MARGIN_PIXELS = 16
TURN_SECONDS = 8.0
TURN_DEGREES = 35.0
CLAY = np.array([0.80, 0.66, 0.58], np.float32)
_LIGHTS = (  # direction towards the light in the head's frame, strength
    (np.array([0.45, 0.5, 0.75], np.float32), 0.75),
    (np.array([-0.9, 0.1, 0.3], np.float32), 0.30),
)
_AMBIENT = 0.16

_handle: object | None = None
_drawn: _Drawn | None = None


class _Drawn:
    """One preview on the graphics card."""

    def __init__(self, preview: Preview) -> None:
        self.preview = preview
        vertices = preview.vertices
        triangles = triangles_of(preview.quads)
        self.middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        self.radius = float(np.abs(vertices - self.middle).max()) or 1.0
        colors = np.ones((len(vertices), 4), np.float32)
        colors[:, :3] = clay_shading(vertices, triangles)
        shader = gpu.shader.from_builtin("SMOOTH_COLOR")
        content = {"pos": vertices, "color": colors}
        self.batch = batch_for_shader(shader, "TRIS", content, indices=triangles)
        self.shader = shader
        self.offscreen = gpu.types.GPUOffScreen(2 * SIDE_PIXELS, 2 * SIDE_PIXELS)

    def render(self, angle: float) -> None:
        """Draw the head, turned by ``angle`` (radians) about its vertical axis, into the offscreen picture."""
        r = self.radius * 1.12
        projection = Matrix(((1 / r, 0, 0, 0), (0, 1 / r, 0, 0), (0, 0, -1 / (4 * r), 0), (0, 0, 0, 1)))
        view = Matrix.Rotation(angle, 4, "Y") @ Matrix.Translation([float(-c) for c in self.middle])
        with self.offscreen.bind():
            framebuffer = gpu.state.active_framebuffer_get()
            framebuffer.clear(color=(0.0, 0.0, 0.0, 0.0), depth=1.0)
            gpu.state.depth_test_set("LESS_EQUAL")
            gpu.state.depth_mask_set(True)
            with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
                gpu.matrix.load_matrix(view)
                gpu.matrix.load_projection_matrix(projection)
                self.batch.draw(self.shader)
            gpu.state.depth_mask_set(False)
            gpu.state.depth_test_set("NONE")

    def free(self) -> None:
        """Give the picture's memory back."""
        self.offscreen.free()


def triangles_of(quads: np.ndarray) -> np.ndarray:
    """(F, 4) quads as (T, 3) triangles; a triangle that repeats its last vertex gives one."""
    first, second = quads[:, :3], quads[:, [0, 2, 3]]
    return np.ascontiguousarray(np.concatenate([first, second[quads[:, 2] != quads[:, 3]]]), np.int32)


def clay_shading(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) display colour of a clay head under two fixed lights, from area-weighted vertex normals."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], np.cross(b - a, c - a))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    light = np.full(len(vertices), _AMBIENT, np.float32)
    for direction, strength in _LIGHTS:
        light += strength * np.clip(normals @ (direction / np.linalg.norm(direction)), 0, None)
    return (np.clip(light, 0, 1)[:, None] ** 0.8 * CLAY).astype(np.float32)


def _draw() -> None:
    """Called by Blender after it has drawn a 3D View."""
    draw_corner()


def draw_corner() -> None:
    """Draw the current preview, where there is one, into the corner of the region that is being drawn."""
    global _drawn
    preview = session().preview
    context = bpy.context
    if preview is None or not context.scene.likeness.show_preview:
        forget()
        return
    if _drawn is None or _drawn.preview is not preview:
        forget()
        _drawn = _Drawn(preview)
    angle = math.radians(TURN_DEGREES) * math.sin(time.monotonic() * 2 * math.pi / TURN_SECONDS)
    _drawn.render(angle)
    scale = context.preferences.system.ui_scale
    side, margin = SIDE_PIXELS * scale, MARGIN_PIXELS * scale
    tools = sum(region.width for region in context.area.regions if region.type == "TOOLS" and region.width > 1)
    gpu.state.blend_set("ALPHA_PREMULT")
    draw_texture_2d(_drawn.offscreen.texture_color, (tools + margin, margin), side, side)
    gpu.state.blend_set("NONE")


def forget() -> None:
    """Free what is on the graphics card."""
    global _drawn
    if _drawn is not None:
        _drawn.free()
    _drawn = None


def register() -> None:
    global _handle
    if not bpy.app.background:
        _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    global _handle
    if _handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
        forget()
    _handle = None
