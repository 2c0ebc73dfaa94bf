"""Close-ups of a saved head in Eevee, from Blender's default scene: eye, blink, mouth, neck.

Told by ``in_blender.py``. Needs ``message.npz``; of one with a bust the neck is drawn with and without it. Writes
``close_up_NAME.png``, 300 pixels with 4 samples and shadows.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import saved_head_in_blender as saved
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

Story = Generator[float, None, None]
SIDE = 300
SAMPLES = 4
GRID = 60
"""Rays across a picture, to know what it shows where."""
PUPIL_METRES, IRIS_METRES = 0.0012, 0.0042
"""From the middle of a pupil: surely in it, and surely in the iris around it."""
IRIS_OVER_PUPIL = 1.2
THROAT_METRES, THROAT_HALF_METRES = 0.045, 0.015
"""What lies so far behind the upper front teeth, and so near to the middle, is throat."""
LEAST_SPREAD = 0.03
"""Standard deviation of a picture's brightness, 0-1: a flat one has next to none."""
MOST_EYE_SHARE = 0.002
"""Of the rays onto a lid that is shut: those that meet an eyeball."""


@dataclass(frozen=True)
class Shot:
    """A picture: what it is aimed at, metres across, degrees from the front and from the level, weights of keys."""

    name: str
    aim: str
    width: float
    yaw: float = 0.0
    pitch: float = 0.0
    keys: dict[str, float] = field(default_factory=dict)
    bust: bool = False


SHOTS = (
    Shot("eye", "eye_left", 0.042, 12.0),
    Shot("blink", "eye_left", 0.05, 12.0, keys={"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}),
    Shot("mouth_04", "mouth", 0.085, keys={"jawOpen": 0.4}),
    Shot("mouth_08", "mouth", 0.105, keys={"jawOpen": 0.8}),
    Shot("neck", "neck", 0.34, 20.0, 8.0),
    Shot("neck_with_bust", "neck", 0.42, 20.0, 8.0, bust=True),
)


def part(name: str) -> bpy.types.Object | None:
    return next((obj for obj in bpy.data.objects if obj.get("likeness_part") == name), None)


def aims() -> dict[str, Vector]:
    """Where the shots look, world."""
    teeth = part("teeth_upper")
    front = min((teeth.matrix_world @ vertex.co for vertex in teeth.data.vertices), key=lambda place: place.y)
    eye, head = part("eye_left").matrix_world.translation, part("head").matrix_world.translation
    return {
        "eye_left": eye + Vector((0.0, -0.012, 0.0)),
        "mouth": Vector((head.x, front.y, front.z - 0.01)),
        "neck": head + Vector((0.0, -0.03, 0.06)),
    }


def set_up() -> None:
    """Grey light around, two lamps before the head and one behind it, a camera, the cube out of the way."""
    scene, eye = bpy.context.scene, part("eye_left").matrix_world.translation
    for obj in (*(obj for obj in bpy.data.objects if obj.type == "LIGHT"), bpy.data.objects.get("Cube")):
        if obj is not None:
            obj.hide_render = True
    scene.world = bpy.data.worlds.new("grey")
    scene.world.color = (0.2, 0.2, 0.2)
    if scene.world.node_tree is not None:  # new worlds have one from 5.0 on
        for node in scene.world.node_tree.nodes:
            if node.type == "BACKGROUND":
                node.inputs["Color"].default_value = (0.2, 0.2, 0.2, 1.0)
    for place, watts, size in (((0.5, -0.9, 0.5), 14, 0.5), ((-0.8, -0.6, 0.1), 6, 0.6), ((0.0, 0.8, 0.8), 8, 0.4)):
        data = bpy.data.lights.new("lamp", "AREA")
        data.energy, data.size = watts, size
        lamp = bpy.data.objects.new("lamp", data)
        scene.collection.objects.link(lamp)
        lamp.location = eye + Vector(place)
        lamp.rotation_euler = (-Vector(place)).to_track_quat("-Z", "Y").to_euler()
    camera = bpy.data.objects.new("close up", bpy.data.cameras.new("close up"))
    camera.data.clip_start = 0.01
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.resolution_x = scene.render.resolution_y = SIDE
    scene.render.resolution_percentage = 100
    for obj in bpy.data.objects:
        for modifier in obj.modifiers:
            if modifier.type == "SUBSURF":
                modifier.render_levels = modifier.levels  # what the rays meet


def put(shot: Shot) -> None:
    """Keys, bust and camera for a shot."""
    keys = part("head").data.shape_keys.key_blocks
    for key in keys[1:]:
        key.value = shot.keys.get(key.name, 0.0)
    if part("bust") is not None:
        part("bust").hide_render = not shot.bust
        part("bust").hide_set(not shot.bust)
    yaw, pitch, away = np.radians(shot.yaw), np.radians(shot.pitch), max(0.4, 3.0 * shot.width)
    to_camera = Vector((np.sin(yaw) * np.cos(pitch), -np.cos(yaw) * np.cos(pitch), np.sin(pitch)))
    camera = bpy.context.scene.camera
    camera.location = aims()[shot.aim] + away * to_camera
    camera.rotation_euler = to_camera.to_track_quat("Z", "Y").to_euler()
    camera.data.angle = 2.0 * np.arctan(0.5 * shot.width / away)
    bpy.context.view_layer.update()


def brightness(path: Path) -> np.ndarray:
    """(SIDE, SIDE) of a picture, 0-1 as it is shown, the lowest row first."""
    image = bpy.data.images.load(str(path), check_existing=False)
    pixels = np.array(image.pixels[:], np.float32).reshape(SIDE, SIDE, -1)[..., :3]
    bpy.data.images.remove(image)
    return pixels @ np.array([0.2126, 0.7152, 0.0722], np.float32)


def camera_hits() -> dict[tuple[int, int], tuple[str, Vector]]:
    """Pixel (row from below, column) of a grid -> what the camera has there: the part's name ("" is nothing), place."""
    scene, camera = bpy.context.scene, bpy.context.scene.camera
    depsgraph = bpy.context.evaluated_depsgraph_get()
    low, _, high, _ = (camera.matrix_world @ corner for corner in _sorted_frame(camera))
    across, up = (high - low), camera.matrix_world.to_3x3() @ Vector((0.0, 1.0, 0.0))
    right = camera.matrix_world.to_3x3() @ Vector((1.0, 0.0, 0.0))
    found = {}
    for row in range(GRID):
        for column in range(GRID):
            share = (column + 0.5) / GRID, (row + 0.5) / GRID
            through = low + right * across.dot(right) * share[0] + up * across.dot(up) * share[1]
            origin = camera.matrix_world.translation
            hit, place, _, _, obj, _ = scene.ray_cast(depsgraph, origin, (through - origin).normalized())
            name = str(obj.get("likeness_part", "")) if hit else ""
            found[int(share[1] * SIDE), int(share[0] * SIDE)] = (name, place.copy())
    return found


def _sorted_frame(camera: bpy.types.Object) -> list[Vector]:
    """The corners of what a camera shows, in its frame: lower left, lower right, upper right, upper left."""
    corners = camera.data.view_frame(scene=bpy.context.scene)
    left, right = min(c.x for c in corners), max(c.x for c in corners)
    low, high = min(c.y for c in corners), max(c.y for c in corners)
    return [Vector((x, y, corners[0].z)) for x, y in ((left, low), (right, low), (right, high), (left, high))]


def check_eye(light: np.ndarray) -> dict[str, float]:
    """The iris is brighter than the pupil: no cornea is black, none hides what lies behind."""
    eye = part("eye_left")
    radius = max(abs(vertex.co.y) for vertex in eye.data.vertices)
    middle = eye.matrix_world.translation + Vector((0.0, -radius, 0.0))

    def at(metres: float, degrees: tuple[int, ...]) -> float:
        values = []
        for angle in np.radians(degrees):
            place = middle + metres * Vector((np.cos(angle), 0.0, np.sin(angle)))
            shown = world_to_camera_view(bpy.context.scene, bpy.context.scene.camera, place)
            values.append(light[int(shown.y * SIDE), int(shown.x * SIDE)])
        return float(np.median(values))  # not the lamps' mirror images

    iris = at(IRIS_METRES, (-60, -30, -15, 0, 180, 195, 210, 240))
    pupil = at(PUPIL_METRES, (0, 60, 120, 180, 240, 300))
    assert iris > IRIS_OVER_PUPIL * pupil, f"iris {iris:.3f}, pupil {pupil:.3f}"
    return {"iris": round(iris, 3), "pupil": round(pupil, 3)}


def check_mouth(light: np.ndarray) -> dict[str, float]:
    """The throat is darker than the tongue, and neither is missing."""
    lips, there = aims()["mouth"], camera_hits()

    def is_throat(name: str, place: Vector) -> bool:
        return name == "head" and place.y > lips.y + THROAT_METRES and abs(place.x - lips.x) < THROAT_HALF_METRES

    tongue = [light[pixel] for pixel, (name, _) in there.items() if name == "tongue"]
    throat = [light[pixel] for pixel, (name, place) in there.items() if is_throat(name, place)]
    assert len(tongue) > 20 and len(throat) > 5, f"{len(tongue)} rays meet the tongue, {len(throat)} the throat"
    values = {"tongue": float(np.median(tongue)), "throat": float(np.median(throat))}
    assert values["throat"] < values["tongue"], values
    return {name: round(value, 3) for name, value in values.items()}


def check_blink(_: np.ndarray) -> dict[str, float]:
    """No hole in a lid that is shut."""
    names = [name for name, _ in camera_hits().values()]
    share = sum(name in ("eye_left", "cornea_left") for name in names) / len(names)
    assert share <= MOST_EYE_SHARE, f"{share:.2%} of the rays meet the eyeball"
    return {"eye_share": round(share, 4)}


CHECKS = {"eye": check_eye, "blink": check_blink, "mouth_04": check_mouth, "mouth_08": check_mouth}


def render_shot(shot: Shot, path: Path, render: Any) -> dict[str, float]:
    """Draw a shot with ``render`` into ``path`` and check it: its figures."""
    put(shot)
    bpy.context.scene.render.filepath = str(path)
    render(write_still=True)
    light = brightness(path)
    assert light.std() > LEAST_SPREAD, f"{shot.name} shows nothing: {light.std():.3f}"
    return {"mean": round(float(light.mean()), 3)} | CHECKS.get(shot.name, lambda _: {})(light)


def story(tools: Any) -> Story:
    yield from saved.begun(tools, sidebar=False)
    set_up()
    scene = bpy.context.scene
    scene.render.engine = "BLENDER_EEVEE" if bpy.app.version >= (5, 0) else "BLENDER_EEVEE_NEXT"
    scene.eevee.taa_render_samples = SAMPLES
    failed = []
    for shot in SHOTS:
        if shot.bust and part("bust") is None:
            continue
        try:
            path = tools.HERE / f"close_up_{shot.name}.png"
            tools.figures[shot.name] = render_shot(
                shot, path, lambda **given: tools.call(bpy.ops.render.render, **given)
            )
        except AssertionError as error:  # all pictures are drawn, to be looked at
            failed.append(f"{shot.name}: {error}")
        tools.forget_gap()
        yield 0.5
    assert not failed, failed
