"""Relief in a window, from Blender's default scene: keys wrinkle the skin in Material Preview, sliders and undo.

Told by ``in_blender.py``. Needs ``message.npz`` in its folder, besides: a head with wrinkles as ``wrinkled_head.py``
saves it. Slow without a graphics card: shaders are compiled and drawn by the processor.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector
from saved_head_in_blender import begun, head

Story = Generator[float, None, None]
MOVES = {
    "browInnerUp": ("browInnerUp",),
    "browDown": ("browDownLeft", "browDownRight"),
    "noseSneer": ("noseSneerLeft", "noseSneerRight"),
    "mouthSmile": ("mouthSmileLeft", "mouthSmileRight"),
    "eyeSquint": ("eyeSquintLeft", "eyeSquintRight"),
}
SAMPLES = 4
"""Of Eevee in the viewport; the light of Material Preview is soft already."""
PATCH_METRES = 0.012
"""Half the side of the patch of skin that is looked at."""
BLUR_PIXELS = 8
"""What is wider in a picture is shape and light of the cage."""
STILL = 0.1
"""Levels of 255: pictures of a face that differ by less on average are the same picture."""
SOMETHING = 8.0
"""Levels of 255, deviation of a view with a face."""
STEEPEST = 0.5
"""Cosine to the smooth skin from which the slope of a normal is counted: where it is less, a level is much of it."""
SLOPE_ERROR = 0.05
"""A tenth of half the strength; of twice the strength it is 0.2."""
LEAST_CHANGE = 1.5
"""Levels of 255 that a key's wrinkles change a patch by, more than what is seen of a picture that is drawn twice."""


def material(tools: Any) -> bpy.types.Material:
    return tools.addon("scene.materials").skin_material(head())


def strength(tools: Any, name: str) -> bpy.types.NodeSocket:
    return tools.addon("scene.materials").strength_socket(material(tools), name)


def picture(tools: Any, name: str) -> np.ndarray:
    """(H, W) luminance, row 0 at the top, of the window as it is on the screen; kept as ``NAME.png``."""
    tools.screenshot(name)
    return read_png(tools, name, "gray")[..., 0]


def read_png(tools: Any, name: str, channels: str = "rgb") -> np.ndarray:
    """(H, W, C) levels of ``NAME.png``, row 0 at the top; ``channels`` is ``gray`` or ``rgb``."""
    path = tools.HERE / f"{name}.png"
    size = subprocess.run(["identify", "-format", "%w %h", path], check=True, capture_output=True, text=True).stdout
    width, height = map(int, size.split())
    levels = subprocess.run(["convert", path, "-depth", "8", f"{channels}:-"], check=True, capture_output=True).stdout
    tools.forget_gap()
    return np.frombuffer(levels, np.uint8).reshape(height, width, -1).astype(np.float64)


def settled_picture(tools: Any, name: str) -> Generator[float, None, np.ndarray]:
    """The picture once Blender has drawn all of it: there is a face, and two in a row are the same.

    Until shaders are compiled, which it does beside the window, Eevee draws nothing.
    """
    end, before = time.monotonic() + 60 * tools.SETTINGS["patience"], None
    while True:
        tools.addon("ui.redraw").everything()
        yield 2.0
        now = picture(tools, name)
        face = face_in_view(tools)
        if before is not None and now[face].std() > SOMETHING and np.abs(now - before)[face].mean() < STILL:
            return now
        assert time.monotonic() < end, f"{name} was not drawn to its end"
        before = now


def face_in_view(tools: Any) -> tuple[slice, slice]:
    """Rows and columns of the window's picture that the middle of the 3D View has."""
    window, _, region = tools.view3d()
    top, quarter = window.height - region.y - region.height, region.height // 4
    across = region.x + region.width // 2
    return slice(top + quarter, top + 3 * quarter), slice(across - quarter, across + quarter)


def fine(grey: np.ndarray) -> np.ndarray:
    """What is finer than ``BLUR_PIXELS``."""
    kernel = np.ones(2 * BLUR_PIXELS + 1) / (2 * BLUR_PIXELS + 1)
    smooth = grey
    for _ in range(2):
        smooth = np.apply_along_axis(np.convolve, 0, smooth, kernel, "same")
        smooth = np.apply_along_axis(np.convolve, 1, smooth, kernel, "same")
    return grey - smooth


def wrinkle_map(tools: Any, key: str) -> np.ndarray:
    """(S, S) of what the wrinkles of a key's group add, 0.5 is nothing, row 0 at the bottom."""
    with np.load(tools.HERE / "message.npz") as arrays:
        groups = json.loads(arrays["text"].tobytes())["header"]["detail"]["wrinkles"]
    (group,) = [group for group in groups if key in group["keys"]]
    names = list(dict.fromkeys(one["picture"] for one in groups))
    image = material(tools).node_tree.nodes[f"Wrinkles {names.index(group['picture']) + 1}"].image
    flat = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(flat)
    return flat.reshape(image.size[1], image.size[0], -1)[..., group["channel"]]


def roughest_uv(heights: np.ndarray) -> tuple[float, float]:
    """u and v in map ``Head`` where wrinkles are steepest on the person's left."""
    size, across = len(heights), 32
    rows, columns = np.gradient(heights)
    steep = (rows**2 + columns**2).reshape(across, size // across, across, size // across).sum((1, 3))
    steep[:, : across // 2] = 0.0  # the person's left is u above one half
    row, column = np.unravel_index(steep.argmax(), steep.shape)
    return float(column + 0.5) / across, float(row + 0.5) / across


def patch(tools: Any, place: tuple[float, float]) -> tuple[slice, slice]:
    """Rows and columns of the window's picture around a place of map ``Head`` on the head as it is posed now."""
    window, area, region = tools.view3d()
    mesh = head().data
    uv = np.empty(2 * len(mesh.loops), np.float32)
    mesh.uv_layers["Head"].uv.foreach_get("vector", uv)
    loop = int(np.linalg.norm(uv.reshape(-1, 2) - place, axis=1).argmin())
    vertex = mesh.loops[loop].vertex_index
    posed = np.zeros(3)
    basis = np.array(mesh.shape_keys.reference_key.points[vertex].co)
    for key in mesh.shape_keys.key_blocks[1:]:
        posed += key.value * (np.array(key.points[vertex].co) - basis)
    middle = head().matrix_world @ Vector(basis + posed)
    view = area.spaces.active.region_3d
    right = view.view_rotation @ Vector((PATCH_METRES, 0.0, 0.0))
    here, there = (location_3d_to_region_2d(region, view, point) for point in (middle, middle + right))
    half = max(int((there - here).length), 4)
    x, y = int(region.x + here.x), int(window.height - region.y - here.y)
    return slice(y - half, y + half), slice(x - half, x + half)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


def pose(keys: tuple[str, ...], value: float) -> None:
    for block in head().data.shape_keys.key_blocks[1:]:
        block.value = value if block.name in keys else 0.0


@contextmanager
def normals_shown(tools: Any) -> Iterator[None]:
    """The skin shows its normals, a level each 1/127.5, in place of light: light grows less than slopes do, as the sine
    of an angle, and the view transform bends it besides."""
    tree, settings = material(tools).node_tree, bpy.context.scene.view_settings
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    surface, transform = output.inputs["Surface"].links[0].from_socket, settings.view_transform
    geometry, scaled = tree.nodes.new("ShaderNodeNewGeometry"), tree.nodes.new("ShaderNodeVectorMath")
    shining = tree.nodes.new("ShaderNodeEmission")
    scaled.operation = "MULTIPLY_ADD"
    scaled.inputs[1].default_value = scaled.inputs[2].default_value = (0.5, 0.5, 0.5)
    tree.links.new(geometry.outputs["Normal"], scaled.inputs[0])
    tree.links.new(scaled.outputs[0], shining.inputs["Color"])
    tree.links.new(shining.outputs[0], output.inputs["Surface"])
    settings.view_transform = "Raw"
    try:
        yield
    finally:
        settings.view_transform = transform
        tree.links.new(surface, output.inputs["Surface"])
        for node in (geometry, scaled, shining):
            tree.nodes.remove(node)


def slopes_by_strength(tools: Any, where: tuple[slice, slice]) -> Generator[float, None, list[float]]:
    """Slopes of wrinkles of strengths 0.5, 1 and 2 in a patch of the window, over those of strength 1 (least squares),
    by the skin's normals as they are drawn without the neutral relief."""
    strength(tools, "Relief").default_value = 0.0
    normals = {}
    with normals_shown(tools):
        for value in (0.0, 0.5, 1.0, 2.0):
            strength(tools, "Wrinkles").default_value = value
            yield from settled_picture(tools, f"7_normals_{value:g}")
            shown = read_png(tools, f"7_normals_{value:g}")[where] / 127.5 - 1.0
            normals[value] = shown / np.linalg.norm(shown, axis=-1, keepdims=True)
    strength(tools, "Relief").default_value = 1.0
    cosines = {value: (one * normals[0.0]).sum(-1, keepdims=True) for value, one in normals.items()}
    seen = cosines[2.0] > STEEPEST
    tools.figures["share_of_patch_with_slopes"] = round(float(seen.mean()), 3)
    slopes = {value: (one / cosines[value] - normals[0.0])[seen[..., 0]] for value, one in normals.items()}
    tools.figures["slope_of_strength_1"] = round(rms(np.linalg.norm(slopes[1.0], axis=-1)), 3)
    return [float((slopes[value] * slopes[1.0]).sum() / (slopes[1.0] ** 2).sum()) for value in (0.5, 1.0, 2.0)]


def fill_window(tools: Any, obj: bpy.types.Object) -> None:
    """A head's face fills the window, in Material Preview, without what distracts."""
    window, area, region = tools.view3d()
    space = area.spaces.active
    space.show_region_ui = False
    space.overlay.show_overlays = False
    space.show_gizmo = False
    space.shading.type = "MATERIAL"
    bpy.context.scene.eevee.taa_samples = SAMPLES
    low, high = tools.box(obj)
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.view3d.view_axis(type="FRONT")
    view = space.region_3d
    view.view_perspective = "PERSP"
    view.view_location = (*(0.5 * (low + high))[:2], float(low[2] + 0.6 * (high[2] - low[2])))
    view.view_distance = 0.26


def story(tools: Any) -> Story:
    yield from begun(tools, sidebar=False)
    bpy.data.objects["Cube"].hide_set(True)
    yield 1.0
    fill_window(tools, head())
    tools.addon("ui.redraw").push_undo("Head", bpy.context.scene)
    began = time.monotonic()
    rest = tools.rest = yield from settled_picture(tools, "1_rest")
    tools.figures["first_picture_seconds"] = round(time.monotonic() - began, 1)
    again = yield from settled_picture(tools, "1_rest")
    places = {name: roughest_uv(wrinkle_map(tools, keys[0])) for name, keys in MOVES.items()}
    strength(tools, "Wrinkles").default_value = 0.0
    rest_plain = yield from settled_picture(tools, "1_rest_without_wrinkles")
    strength(tools, "Wrinkles").default_value = 1.0

    for number, (name, keys) in enumerate(MOVES.items(), 2):
        at_rest = patch(tools, places[name])
        pose(keys, 1.0)
        raised = patch(tools, places[name])
        with_key = yield from settled_picture(tools, f"{number}_{name}")
        strength(tools, "Wrinkles").default_value = 0.0
        cage = yield from settled_picture(tools, f"{number}_{name}_without_wrinkles")
        strength(tools, "Wrinkles").default_value = 1.0
        change = rms((fine(with_key) - fine(cage))[raised])
        noise = rms((fine(again) - fine(rest))[at_rest])
        energies = [rms(fine(image)[where]) for image, where in ((rest, at_rest), (with_key, raised))]
        plain = [rms(fine(image)[where]) for image, where in ((rest_plain, at_rest), (cage, raised))]
        tools.figures[name] = {
            "place": [round(value, 3) for value in places[name]],
            "wrinkles_change_levels": round(change, 2),
            "drawn_twice_levels": round(noise, 2),
            "fine_levels_rest_and_key": [round(value, 2) for value in energies],
            "fine_levels_without_wrinkles": [round(value, 2) for value in plain],
        }
    for name in MOVES:
        found = tools.figures[name]
        assert found["wrinkles_change_levels"] > LEAST_CHANGE > 2 * found["drawn_twice_levels"], (name, found)
    with_wrinkles, alone = (
        after - before
        for before, after in (
            tools.figures["browInnerUp"][f"fine_levels_{which}"] for which in ("rest_and_key", "without_wrinkles")
        )
    )
    assert with_wrinkles > 2 * max(alone, 0.0), "the forehead changes by its wrinkles, not by the cage"
    yield from sliders_and_undo(tools, places["browInnerUp"])


def sliders_and_undo(tools: Any, place: tuple[float, float]) -> Story:
    """Half the strength is half the slope, twice the strength twice; undo takes back the slider, then the key."""
    pose((), 0.0)
    tools.addon("ui.redraw").push_undo("Neutral", bpy.context.scene)
    flat = {}
    pose(MOVES["browInnerUp"], 1.0)
    tools.addon("ui.redraw").push_undo("Brows up", bpy.context.scene)
    where = patch(tools, place)
    for value in (0.0, 0.5, 1.0, 2.0):
        strength(tools, "Wrinkles").default_value = value
        flat[value] = fine((yield from settled_picture(tools, f"7_wrinkles_{value:g}")))[where]
    depths = [round(rms(flat[value] - flat[0.0]), 2) for value in (0.5, 1.0, 2.0)]
    tools.figures["wrinkles_by_strength"] = depths
    assert 0.25 * depths[1] < depths[0] < 0.8 * depths[1] and depths[2] > depths[1], depths
    half, _, twice = tools.figures["slopes_by_strength"] = yield from slopes_by_strength(tools, where)
    assert abs(half - 0.5) < SLOPE_ERROR and abs(twice - 2.0) < 4 * SLOPE_ERROR, (half, twice)
    strength(tools, "Wrinkles").default_value = 1.0
    tools.addon("ui.redraw").push_undo("Strength", bpy.context.scene)
    strength(tools, "Relief").default_value = 0.0
    tools.addon("ui.redraw").push_undo("Smooth", bpy.context.scene)
    smooth = fine((yield from settled_picture(tools, "8_relief_0")))[where]
    assert rms(smooth - flat[1.0]) > 0.5, "the neutral relief is seen in the same place"
    for what, wanted in (("Smooth", (1.0, 1.0)), ("Strength", (1.0, 1.0)), ("Brows up", (1.0, 0.0))):
        tools.call(bpy.ops.ed.undo)
        yield 1.0
        values = strength(tools, "Relief").default_value, head().data.shape_keys.key_blocks["browInnerUp"].value
        assert values == wanted, (what, values)
    neutral = fine((yield from settled_picture(tools, "9_undone")))
    tools.figures["undone_levels"] = round(rms((neutral - fine(tools.rest))[where]), 2)
    assert tools.figures["undone_levels"] < 0.5 * depths[1], "undo takes the wrinkles away"
    for panel in (tools.addon("ui.panel").OptionsPanel, tools.addon("ui.panel").MainPanel):
        bpy.utils.unregister_class(panel)  # so that the sliders are seen
    tools.view3d()[1].spaces.active.show_region_ui = True
    yield 1.0
    tools.show_sidebar()
    yield 3.0
    tools.screenshot("10_sliders")
