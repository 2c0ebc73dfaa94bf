"""What an artist does with a head in a window, from Blender's default scene, with a backend that runs: sub-panels,
hairstyles in pictures, sliders that are live, a look starred and solved again, hair groomed, a region painted by a
photo, poses, bones, every export with hair. Told by ``in_blender.py``; needs the photos alone.

Figures in ``processor_ms`` are the main thread's, those of a whole redraw the process's.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Generator
from typing import Any

import bpy
import numpy as np
from export_in_blender import evaluated_vertices
from expressions_in_blender import select
from mathutils.kdtree import KDTree
from points_in_blender import Story, head_from_photos, of_part, solved

STEPS = 8
"""Of a slider that is dragged."""
LIVE_SECONDS = 0.1
LEAST_STRANDS = 1_000
STYLES = ("bob", "long curly")


def collection() -> bpy.types.Collection:
    return next(one for one in bpy.data.collections if "likeness_id" in one)


def strands() -> bpy.types.Object:
    return next(obj for obj in bpy.data.objects if obj.type == "CURVES" and "likeness_id" in obj)


def points(curves: bpy.types.Curves) -> np.ndarray:
    """(N, 3) places of the guides' points."""
    flat = np.empty(3 * len(curves.points), np.float32)
    curves.position_data.foreach_get("vector", flat)
    return flat.reshape(-1, 3)


def redraw(tools: Any) -> None:
    tools.call(bpy.ops.wm.redraw_timer, type="DRAW_WIN_SWAP", iterations=1)


def dragged(tools: Any, name: str, span: tuple[float, float], socket: bpy.types.NodeSocket | None = None) -> None:
    """A slider of the head, or of its skin's nodes, moved as a drag does: processor milliseconds of a change, and with
    the redraw."""
    changes, drawings = [], []
    wished, name_there = (collection().likeness, name) if socket is None else (socket, "default_value")
    for share in np.linspace(0.0, 1.0, STEPS):
        start = time.process_time()
        setattr(wished, name_there, span[0] + share * (span[1] - span[0]))
        bpy.context.view_layer.update()
        changes.append(time.process_time() - start)
        redraw(tools)
        drawings.append(time.process_time() - start)
    tools.figures[f"processor_ms.slider.{name}"] = [
        round(1000 * float(np.median(taken)), 1) for taken in (changes, drawings)
    ]
    assert np.median(changes) < LIVE_SECONDS, tools.figures[f"processor_ms.slider.{name}"]
    tools.forget_gap()


def time_panels(tools: Any) -> dict[str, list[float]]:
    """Processor seconds of each drawing of our panels, from now on."""
    taken: dict[str, list[float]] = {}

    def timed(cls: type, draw: Callable[..., None]) -> Callable[..., None]:
        def drawing(panel: Any, context: Any) -> None:
            start = time.thread_time()
            draw(panel, context)
            taken.setdefault(cls.__name__, []).append(time.thread_time() - start)

        return drawing

    modules = ("ui.panel", "ui.many_panel", "ui.keys_panel", "ui.transfer_panel")
    for cls in (cls for name in modules for cls in tools.addon("registration").classes_of(tools.addon(name))):
        if issubclass(cls, bpy.types.Panel):
            cls.draw = timed(cls, cls.draw)
    return taken


def too_long(tools: Any) -> float:
    """Pixels by which our tab is higher than the sidebar."""
    window, area, _ = tools.view3d()
    sidebar = next(region for region in area.regions if region.type == "UI")
    tops = []
    with bpy.context.temp_override(window=window, area=area, region=sidebar):
        for way in (-10_000, 10_000):  # as far as it scrolls
            bpy.ops.view2d.pan(deltax=0, deltay=way)
            tops.append(sidebar.view2d.region_to_view(0, sidebar.height)[1])
    return max(tops) - min(tops)


def sub_panels(tools: Any) -> Story:
    """The photos, the buttons and each of the head's sub-panels, opened, are whole in a window of 900 pixels, the
    thirteen sliders and the texture without the photos; and what drawing the tab costs."""
    shown = [("MainPanel", panel.__name__) for panel in tools.addon("ui.panel").HEAD_PANELS[1:]]
    for wanted in (("MainPanel",), *shown, ("ShapePanel", "FeaturesPanel"), ("SkinPanel", "TexturePanel")):
        tools.open_panels("HeadPanel", *wanted, alone=True)
        for _ in range(3):  # panels find their places within a few drawings
            tools.addon("redraw").everything()
            yield 0.7
        tools.screenshot(f"2_{wanted[-1]}")
        tools.figures[f"pixels_too_long.{wanted[-1]}"] = round(too_long(tools))
    tools.open_panels("MainPanel", "HeadPanel")
    taken = time_panels(tools)
    for _ in range(STEPS):
        tools.addon("redraw").everything()
        yield 0.2
    tools.figures["processor_ms.redraw_of_the_tab"] = round(
        1000 * sum(float(np.median(one)) for one in taken.values()), 2
    )
    long = {name: value for name, value in tools.figures.items() if name.startswith("pixels_too_long") and value > 0}
    assert not long, long


def hairstyles(tools: Any) -> Story:
    """Chosen from pictures; each is there without a solve, and its sliders are live."""
    window, _, region = tools.view3d()
    x, y = region.x + region.width // 2, region.y + region.height // 2
    window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
    yield 0.3
    tools.call(bpy.ops.wm.call_panel, "INVOKE_DEFAULT", name="LIKENESS_PT_hair_styles", keep_open=True)
    yield 1.5
    tools.screenshot("3_hairstyles")
    tools.press("ESC", x, y)
    yield 0.5
    before = points(strands().data)
    for style in STYLES:
        yield from solved(tools, bpy.ops.likeness.change_hair, style=style)
        redraw(tools)
        now = points(strands().data)
        assert now.shape != before.shape or np.abs(now - before).max() > 0.005, f"{style} is another style"
        tools.screenshot(f"4_{style}")
        before = now
    for name in ("hair_length", "fringe", "volume"):
        dragged(tools, name, (0.5, 1.0))
    yield from solved(tools, bpy.ops.likeness.change_hair, style="auto")


def shaped(tools: Any) -> Story:
    """Sliders after the fit move the skin at once, and back."""
    skin, guides = of_part("head").data, points(strands().data)
    before = np.array([point.co[:] for point in skin.shape_keys.reference_key.points])
    dragged(tools, "nose_width", (0.0, 1.0))
    dragged(tools, "jaw", (0.0, 1.0))
    yield 1.0
    tools.screenshot("5_features")
    now = np.array([point.co[:] for point in skin.shape_keys.reference_key.points])
    tools.figures["features_moved_mm"] = round(1000 * float(np.abs(now - before).max()), 2)
    assert tools.figures["features_moved_mm"] > 1.0
    for name in ("nose_width", "jaw"):
        setattr(collection().likeness, name, 0.0)
    now = np.array([point.co[:] for point in skin.shape_keys.reference_key.points])
    assert np.abs(now - before).max() < 1e-5, "and goes back"
    yield from tools.until(lambda: strands().modifiers[0].show_viewport, 10, "the hairs' return")
    np.testing.assert_allclose(points(strands().data), guides, atol=1e-6)


def toned(tools: Any) -> Story:
    """Tone, redness and typical lines change at once."""
    materials = tools.addon("scene.materials")
    tools.open_panels("HeadPanel", "SkinPanel")
    yield 1.0
    tools.screenshot("6_skin")
    for name in ("skin_tone", "redness"):
        dragged(tools, name, (0.0, 0.5))
    lines = materials.strength_socket(materials.skin_material(of_part("head")), materials.TYPICAL)
    dragged(tools, "typical_lines", (0.0, 1.0), lines)
    yield 1.0
    tools.screenshot("6_toned")
    collection().likeness.skin_tone = collection().likeness.redness = lines.default_value = 0.0


def sculpted_elsewhere(tools: Any) -> Story:
    """*From Mesh*: what the head shows, as a mesh without a picture, gives another head its shape."""
    tags = tools.addon("objects.tags")
    before, faces, shown = set(tags.head_collections()), [], np.zeros((0, 3))
    for name in ("head", "eye_left", "eye_right"):
        mesh = of_part(name).evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        faces += [[corner + len(shown) for corner in polygon.vertices] for polygon in mesh.polygons]
        shown = np.concatenate([shown, evaluated_vertices(of_part(name))])
    mesh = bpy.data.meshes.new("scan")
    mesh.from_pydata(shown.tolist(), [], faces)
    obj = bpy.data.objects.new("scan", mesh)
    bpy.context.scene.collection.objects.link(obj)
    select(obj)
    tools.call(bpy.ops.likeness.clear_photos, "EXEC_DEFAULT", True)
    assert tools.call(bpy.ops.likeness.add_mesh, "EXEC_DEFAULT", True) == {"FINISHED"}
    yield from solved(tools, bpy.ops.likeness.reconstruct)
    (made,) = set(tags.head_collections()) - before
    tools.screenshot("11_from_mesh")
    wanted, found = (evaluated_vertices(one) for one in (of_part("head"), tags.part_object(made, "head")))
    tree = KDTree(len(wanted))
    for number, place in enumerate(wanted - np.median(wanted, axis=0)):
        tree.insert(place, number)
    tree.balance()
    away = [tree.find(place)[2] for place in found[:: len(found) // 1000] - np.median(found, axis=0)]
    tools.figures["from_mesh_mm"] = round(1000 * float(np.median(away)), 2)
    assert np.median(away) < 0.001


def place_of_slider(tools: Any, name: str) -> Generator[float, None, tuple[int, int]]:
    """The left part of the sidebar's slider ``name`` in the window: the mouse goes down until it is over it."""
    window, area, _ = tools.view3d()
    sidebar = next(region for region in area.regions if region.type == "UI")
    x = sidebar.x + sidebar.width // 5
    for y in range(sidebar.y + sidebar.height - 8, sidebar.y, -8):
        window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
        yield 0.05
        with bpy.context.temp_override(window=window, area=area, region=sidebar):
            if not bpy.ops.ui.copy_data_path_button.poll():
                continue
            bpy.ops.ui.copy_data_path_button()
        if bpy.context.window_manager.clipboard.endswith(name):
            return x, y
    raise AssertionError(f"no slider {name} in the sidebar")


def pushed(tools: Any, name: str, pixels: int) -> Story:
    """A slider of the sidebar dragged by the mouse; strands are guides meanwhile where the head's shape changes."""
    x, y = yield from place_of_slider(tools, name)
    window, (hairs,) = bpy.context.window_manager.windows[0], strands().modifiers
    window.event_simulate(type="LEFTMOUSE", value="PRESS", x=x, y=y)
    yield 0.1
    shown = []
    for step in range(1, STEPS + 1):
        window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x + step * pixels // STEPS, y=y)
        yield 0.05
        shown.append(hairs.show_viewport)
    tools.screenshot(f"5_dragged_{name}")
    window.event_simulate(type="LEFTMOUSE", value="RELEASE", x=x + pixels, y=y)
    tools.figures[f"hairs_shown.{name}"] = shown
    yield from tools.until(lambda: strands().modifiers[0].show_viewport, 10, "the hairs' return")
    yield 0.5


def slid(tools: Any) -> Story:
    """Sliders by the mouse: one step of undo each, of those that Blender stores and those that the backend obeys."""
    tools.open_panels("HeadPanel", "ShapePanel", "FeaturesPanel")
    yield 2.0
    before, wished = points(strands().data), collection().likeness
    yield from pushed(tools, "nose_width", 60)
    assert not all(tools.figures["hairs_shown.nose_width"]), "guides alone while it moves"
    pulled = wished.nose_width
    assert pulled > 0.1, pulled
    tools.call(bpy.ops.ed.undo)
    yield 0.5
    assert collection().likeness.nose_width == 0.0 and strands().modifiers[0].show_viewport
    np.testing.assert_allclose(points(strands().data), before, atol=1e-6)
    tools.call(bpy.ops.ed.redo)
    yield 0.5
    assert collection().likeness.nose_width == pulled and strands().modifiers[0].show_viewport
    tools.call(bpy.ops.ed.undo)
    yield 0.5
    if tools.session().runner.connected:
        tools.open_panels("HeadPanel", "SkinPanel", "TexturePanel")
        yield 2.0
        skin = albedo()
        yield from pushed(tools, "make_up", 60)
        made = tools.session()
        yield from tools.until(lambda: not made.busy and not made._asked, 60, "the end of the slider's painting")
        yield 1.0
        painted_by_mouse = collection().likeness.make_up, float(np.abs(albedo() - skin).max())
        tools.call(bpy.ops.ed.undo)
        yield 1.0
        undone = collection().likeness.make_up, float(np.abs(albedo() - skin).max())
        tools.figures["make_up_by_mouse"] = [painted_by_mouse, undone]
        assert min(painted_by_mouse) > 1 / 255 > max(undone), (painted_by_mouse, undone)
    tools.open_panels("MainPanel", "HeadPanel")
    yield 1.0


def albedo() -> np.ndarray:
    image = collection()["likeness_albedo"]
    flat = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(flat)
    return flat


def painted(tools: Any, photo: str) -> Story:
    """A photo paints a region, then make-up is taken off by a slider that is let go."""
    before, shape = albedo(), [point.co[:] for point in of_part("head").data.shape_keys.reference_key.points]
    for region in ("left cheek", "mouth"):
        yield from solved(tools, bpy.ops.likeness.paint_region, region=region, source=photo)
    now = albedo()
    changed = float((np.abs(now - before) > 1 / 255).mean())
    tools.figures["texture_changed"] = round(changed, 4)
    assert 0.0 < changed < 0.2, "the regions alone"
    assert shape == [point.co[:] for point in of_part("head").data.shape_keys.reference_key.points]
    began = time.monotonic()
    collection().likeness.make_up = 1.0
    yield from tools.until(lambda: tools.session().busy, 20, "the slider's painting")
    yield from tools.until(lambda: not tools.session().busy, 60, "its end")
    tools.figures["seconds.make_up_slider"] = round(time.monotonic() - began, 2)
    assert np.abs(albedo() - now).max() > 1 / 255
    yield 1.0
    tools.screenshot("6_painted")


def starred(tools: Any, photo: str) -> Story:
    """The hair of one photo's look, by a whole solve."""
    assert tools.call(bpy.ops.likeness.star_photo, "EXEC_DEFAULT", True, photo=photo) == {"FINISHED"}
    yield from solved(tools, bpy.ops.likeness.solve_again)
    assert collection().likeness.look == photo, "the star is kept"
    yield 1.0
    tools.screenshot("7_starred")


def groomed(tools: Any) -> Story:
    """The comb of Blender's Sculpt Mode moves guides; the hair counts as groomed."""
    hair = strands()
    before = points(hair.data)
    for obj in bpy.context.view_layer.objects:
        obj.select_set(obj == hair)
    bpy.context.view_layer.objects.active = hair
    tools.call(bpy.ops.object.mode_set, mode="SCULPT_CURVES")
    yield 1.0
    try:
        tools.call(bpy.ops.brush.asset_activate, asset_library_type="ESSENTIALS", relative_asset_identifier=_COMB)
        yield 1.0
        yield from combed(tools)
    except RuntimeError:  # a Blender that was installed without its brushes
        tools.figures["groomed_with"] = "Edit Mode"
        tools.call(bpy.ops.object.mode_set, mode="EDIT")
        tools.call(bpy.ops.curves.select_all, action="SELECT")
        tools.call(bpy.ops.transform.translate, value=(0.004, 0.0, 0.002))
        yield 1.0
    tools.screenshot("8_groomed")
    tools.call(bpy.ops.object.mode_set, mode="OBJECT")
    moved = 1000 * float(np.abs(points(hair.data) - before).max())
    tools.figures["groomed_mm"] = round(moved, 1)
    assert moved > 1.0, "grooming moves hair"
    assert tools.addon("scene.hair").is_groomed(hair)


_COMB = "brushes/essentials_brushes-curve_sculpt.blend/Brush/Comb"


def combed(tools: Any) -> Story:
    """A stroke of the brush over the forehead's hair."""
    window, (_, _, region) = bpy.context.window_manager.windows[0], tools.view3d()
    x, y = region.x + region.width // 2, region.y + round(0.75 * region.height)
    window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
    yield 0.3
    window.event_simulate(type="LEFTMOUSE", value="PRESS", x=x, y=y)
    for step in range(1, 11):
        window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x + 8 * step, y=y - 4 * step)
        yield 0.2
    window.event_simulate(type="LEFTMOUSE", value="RELEASE", x=x + 80, y=y - 40)
    yield 1.0


def posed(tools: Any) -> Story:
    """A pose of the library by keys, and bones with shapes of their own."""
    keys = of_part("head").data.shape_keys.key_blocks
    for name in ("Joy", "Surprise"):
        assert tools.call(bpy.ops.likeness.apply_pose_asset, "EXEC_DEFAULT", True, pose=name) == {"FINISHED"}
        yield 1.0
        tools.screenshot(f"9_{name.lower()}")
        assert sum(key.value > 0.05 for key in keys[1:]) > 3, name
    tools.call(bpy.ops.likeness.reset_keys, "EXEC_DEFAULT", True)
    assert tools.call(bpy.ops.likeness.add_armature, "EXEC_DEFAULT", True) == {"FINISHED"}
    yield 1.0
    tools.screenshot("9_bones")
    (rig,) = (obj for obj in bpy.data.objects if obj.type == "ARMATURE")
    assert all(bone.custom_shape is not None for bone in rig.pose.bones)
    tools.call(bpy.ops.likeness.remove_armature, "EXEC_DEFAULT", True)


def exported(tools: Any) -> Story:
    """Strands as Alembic, cards in glTF and FBX, each read again by this Blender."""
    export = bpy.ops.likeness.export
    start = time.monotonic()
    strands_too = bpy.app.build_options.alembic
    try:
        tools.call(export, "EXEC_DEFAULT", preset="STRANDS", filepath=str(tools.HERE / "hair.abc"))
    except RuntimeError as error:
        assert not strands_too and "without Alembic" in str(error), error
    tools.figures["seconds.export_strands"] = round(time.monotonic() - start, 2) if strands_too else "no Alembic"
    kinds = (("UNREAL", "fbx", bpy.ops.import_scene.fbx), ("GLTF", "glb", bpy.ops.import_scene.gltf))
    kinds += (("USD", "usdc", bpy.ops.wm.usd_import),) if bpy.app.build_options.usd else ()
    for preset, suffix, _ in kinds:
        tools.call(export, "EXEC_DEFAULT", preset=preset, filepath=str(tools.HERE / f"face.{suffix}"))
    for name, load in (("hair.abc", bpy.ops.wm.alembic_import), *((f"face.{s}", load) for _, s, load in kinds)):
        if name == "hair.abc" and not strands_too:
            continue
        before = set(bpy.data.objects)
        more = {"as_background_job": False} if name == "hair.abc" else {}
        tools.call(load, "EXEC_DEFAULT", True, filepath=str(tools.HERE / name), **more)
        yield 1.0
        new = [obj for obj in bpy.data.objects if obj not in before]
        hair = [
            obj for obj in new if obj.type == "CURVES" or (obj.type == "MESH" and obj.name.startswith("Likeness_hair"))
        ]
        assert len(hair) == 1, [obj.name for obj in new]
        count = len(hair[0].data.curves if hair[0].type == "CURVES" else hair[0].data.polygons)
        tools.figures[f"read_again.{name}"] = count
        assert count > LEAST_STRANDS
        tops = [tools.box(obj)[1][2] for obj in (hair[0], of_part("head"))]
        assert abs(tops[0] - tops[1]) < 0.06, f"the hair of {name} is on the head: {tops}"
        yield from tools.picture_of_new(before, f"10_{name.replace('.', '_')}")


def story(tools: Any) -> Story:
    names = tools.SETTINGS["photos"]
    tools.press("ESC", 5, 5)  # the splash screen, which may show a face
    yield 2.0
    tools.screenshot("0_screen")
    subprocess.run(["convert", str(tools.HERE / "0_screen.png"), str(tools.HERE / "photos" / "screen.jpg")], check=True)
    names[:] = sorted({*names, "screen.jpg"})
    yield from head_from_photos(tools)
    yield 1.0
    tools.screenshot("1_arrived")
    shading = tools.view3d()[1].spaces.active.shading
    assert shading.type == "MATERIAL" or shading.color_type == "TEXTURE", "no white eyes in Solid"
    listed = {photo.name: photo for photo in bpy.context.scene.likeness.photos}
    screen = listed["screen.jpg"]
    tools.figures["of_a_screenshot"] = screen.reason
    photo = next(name for name, one in listed.items() if one.status == "USED")
    failed, tags = [], tools.addon("objects.tags")
    if screen.status != "LEFT_OUT" or "face" not in screen.reason or "person" in screen.reason:
        failed.append(f"a screenshot: {screen.status}, {screen.reason}")
    for name, part in (
        ("panels", sub_panels(tools)),
        ("hair", hairstyles(tools)),
        ("shape", shaped(tools)),
        ("tone", toned(tools)),
        ("slid", slid(tools)),
        ("texture", painted(tools, photo)),
        ("poses", posed(tools)),
        ("star", starred(tools, photo)),
        ("groom", groomed(tools)),
        ("exports", exported(tools)),
        ("mesh", sculpted_elsewhere(tools)),
    ):
        bald = name not in ("panels", "tone", "texture", "poses", "mesh") and not tags.hair_object(collection())
        if name not in (tools.SETTINGS["parts"] or name) or bald:  # a Blender whose maker left its hair assets out
            continue
        try:
            yield from part
        except (AssertionError, RuntimeError, TypeError, AttributeError) as error:  # all pictures are made, to look at
            failed.append(f"{name}: {error}")
            tools.screenshot(f"failed_{name}")
            if bpy.context.mode != "OBJECT":
                tools.call(bpy.ops.object.mode_set, mode="OBJECT")
    tools.call(bpy.ops.wm.save_as_mainfile, filepath=str(tools.HERE / "artist.blend"), copy=True)
    assert not failed, failed
