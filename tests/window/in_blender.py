"""Runs inside a Blender with a window: zip to head, with screenshots and the longest gap between two timer ticks.

Started by ``drive.py``, which lays out the folder that this file lies in: ``likeness.zip``, ``photos/``, ``config/``
(of a backend that runs already) and ``settings.json``. Writes ``figures.json`` and pictures beside itself.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

import bpy
import numpy
from mathutils import Vector

HERE = Path(__file__).resolve().parent
SETTINGS = json.loads((HERE / "settings.json").read_text())
PACKAGE = "bl_ext.user_default.likeness"
TICK_SECONDS = 0.01
DEFAULT_SCENE = {"Cube", "Camera", "Light"}

figures: dict[str, Any] = {"blender": bpy.app.version_string, "python": sys.version.split()[0]}
gaps: dict[str, list[float]] = {}
own: dict[str, list[float]] = {}
calls: dict[str, list[float]] = {}
long_gaps: list[str] = []
phase = "before"
last_tick = 0.0


def addon(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{name}")


def session() -> Any:
    return addon("session").session()


def forget_gap() -> None:
    """What this script itself does for long is nobody's freeze."""
    global last_tick
    last_tick = time.monotonic()


def screenshot(name: str) -> None:
    window = bpy.context.window_manager.windows[0]
    crop = f"{window.width}x{window.height}+0+{SETTINGS['screen_height'] - window.height}"
    command = ["import", "-window", "root", "-crop", crop, "+repage", str(HERE / f"{name}.png")]
    subprocess.run(command, check=True)
    (HERE / "figures.json").write_text(json.dumps(figures, indent=1))  # of a story that is cut off
    forget_gap()


def view3d() -> tuple[bpy.types.Window, bpy.types.Area, bpy.types.Region]:
    window = bpy.context.window_manager.windows[0]
    area = max((a for a in window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width * a.height)
    return window, area, next(r for r in area.regions if r.type == "WINDOW")


def call(operator: Any, *arguments: Any, **values: Any) -> Any:
    window, area, region = view3d()
    with bpy.context.temp_override(window=window, area=area, region=region):
        return operator(*arguments, **values)


def press(key: str, x: int, y: int) -> None:
    """A key or a button of the mouse, pressed and let go at a place of the window."""
    window = bpy.context.window_manager.windows[0]
    window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
    window.event_simulate(type=key, value="PRESS", x=x, y=y)
    window.event_simulate(type=key, value="RELEASE", x=x, y=y)


def heads() -> int:
    return sum("likeness_id" in collection for collection in bpy.data.collections)


def until(condition: Any, seconds: float, what: str) -> Generator[float, None, None]:
    end = time.monotonic() + seconds * SETTINGS["patience"]
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen; the view is {session().view}")
        yield 0.02


def time_calls(module: Any, name: str) -> None:
    """Record how long the calls of a function take: what is ours of a gap, and what is Blender's drawing."""
    function = getattr(module, name)

    def timed(*arguments: Any, **values: Any) -> Any:
        global phase
        if name == "_place":
            phase = "import"
        start, used = time.monotonic(), time.thread_time()
        try:
            return function(*arguments, **values)
        finally:
            calls.setdefault(f"{name}.{phase}", []).append(time.monotonic() - start)
            own.setdefault(f"{name}.{phase}", []).append(time.thread_time() - used)

    setattr(module, name, timed)


def box(obj: bpy.types.Object) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The lowest and the highest coordinates (3,) of an object in the world."""
    corners = numpy.array([obj.matrix_world @ Vector(corner) for corner in obj.bound_box])
    return corners.min(0), corners.max(0)


def picture_of_new(before: set[bpy.types.Object], name: str) -> Generator[float, None, None]:
    """A screenshot of the objects that an importer added to those of ``before``; then the import is undone."""
    for obj in bpy.context.view_layer.objects:
        bones = obj.type == "ARMATURE" or obj.name.startswith(
            "Icosphere"
        )  # the importer draws them as large as the head
        obj.hide_set(obj in before or bones)
    yield 1.5
    screenshot(name)
    call(bpy.ops.ed.undo)
    yield 1.0
    for obj in bpy.context.view_layer.objects:
        obj.hide_set(False)


def show_sidebar() -> Generator[float, None, None]:
    """Our tab in front. A sidebar has its tabs and its width once it is drawn; one before has neither."""
    _, area, _ = view3d()
    area.spaces.active.show_region_ui = True
    yield 1.0
    sidebar = next(r for r in area.regions if r.type == "UI")
    try:
        sidebar.active_panel_category = "Likeness"
    except AttributeError:  # before 5.0 only a click on the tab does it
        for below in range(30, sidebar.height, 30):
            press("LEFTMOUSE", sidebar.x + sidebar.width - 10, sidebar.y + sidebar.height - below)
            yield 0.3
            if sidebar.active_panel_category == "Likeness":
                break
    yield 1.0
    assert sidebar.active_panel_category == "Likeness", sidebar.active_panel_category


def open_panels(*wanted: str, alone: bool = False) -> None:
    """Those of our tab's panels are open, by the names of their classes; ``alone`` leaves the tab with those of photos
    and head. Panels that have been drawn can be opened by hand only, so all get new names."""
    modules = (addon(f"ui.{name}") for name in ("panel", "keys_panel", "transfer_panel"))
    panels = [cls for module in modules for cls in addon("registration").classes_of(module)]
    tab = [cls for cls in panels if issubclass(cls, bpy.types.Panel) and cls.bl_region_type == "UI"]
    for panel in reversed(tab):
        if panel.is_registered:
            bpy.utils.unregister_class(panel)
    suffix = f"_as_{'_'.join(wanted)}{'_alone' if alone else ''}"
    for panel in tab:
        panel.bl_idname = panel.bl_idname.partition("_as_")[0] + suffix
        panel.bl_options = set() if panel.__name__ in wanted else {"DEFAULT_CLOSED"}
        if hasattr(panel, "bl_parent_id"):
            panel.bl_parent_id = panel.bl_parent_id.partition("_as_")[0] + suffix
        if not alone or panel.__module__ == addon("ui.panel").__name__:
            bpy.utils.register_class(panel)


def installed() -> Generator[float, None, None]:
    """The extension out of its zip, with a backend that runs already."""
    press("ESC", 5, 5)  # the splash screen
    yield 0.5
    bpy.context.preferences.view.ui_scale = SETTINGS["ui_scale"]
    bpy.context.preferences.view.filebrowser_display_type = "SCREEN"
    start = time.monotonic()
    bpy.ops.extensions.package_install_files(
        filepath=str(HERE / "likeness.zip"), repo="user_default", enable_on_install=True
    )
    figures["install_zip_seconds"] = round(time.monotonic() - start, 2)
    chosen = bpy.context.preferences.addons[PACKAGE].preferences
    chosen.material_preview = SETTINGS["material_preview"]
    if SETTINGS["install"]:
        yield from own_backend()
        return
    chosen.where = "REMOTE"  # one that runs already
    chosen.endpoint, chosen.public_key = SETTINGS["backend"]["endpoint"], SETTINGS["backend"]["public_key"]


def own_backend() -> Generator[float, None, None]:
    """*Install Backend*, with Blender's own Python where it can."""
    bpy.context.preferences.system.use_online_access = True
    installer = addon("installer")
    addon("backend_process.install").has_nvidia = lambda: SETTINGS["install"] == "cuda"
    start = time.monotonic()
    call(bpy.ops.likeness.install_backend)
    yield from show_sidebar()
    yield 3.0
    screenshot("0_installing")
    yield from until(lambda: not installer.running(), 900, "the installation")
    figures["install_backend_seconds"] = round(time.monotonic() - start, 1)
    view = installer.view()
    figures["install_backend"] = [str(view.error or view.sentence), str(installer.named_folder().installed)]
    assert view.error is None, installer.last_lines(20)


def story() -> Generator[float, None, None]:
    """What an artist does, in steps; yields the seconds to wait."""
    global phase
    yield from installed()
    time_calls(addon("session").Session, "_place")
    time_calls(addon("session").Session, "tick")
    time_calls(addon("session"), "frame_head")
    time_calls(addon("redraw"), "push_undo")
    time_calls(addon("redraw"), "everything")
    assert set(bpy.data.objects.keys()) == DEFAULT_SCENE, "the story begins where every user does"
    yield 1.0
    yield from show_sidebar()
    screenshot("1_installed")
    yield from file_browser()
    files = [{"name": name} for name in SETTINGS["photos"]]
    call(bpy.ops.likeness.add_photos, "EXEC_DEFAULT", True, directory=str(HERE / "photos"), files=files)
    bpy.context.scene.likeness.texture_size = SETTINGS["texture_size"]
    forget_gap()
    yield 2.5
    screenshot("2_photos")
    phase = "baseline"  # what drawing the same things costs in this window while nothing else happens
    for _ in range(15):
        addon("redraw").everything()
        yield 0.2
    phase = "waiting"
    call(bpy.ops.likeness.reconstruct, "INVOKE_DEFAULT")
    began = time.monotonic()
    yield from until(lambda: session().view.phase.value == "running", 20, "the first progress")
    figures["first_progress_seconds"] = round(time.monotonic() - began, 2)
    yield from until(lambda: session().view.fraction > 0.1, 90, "progress")
    window, _, region = view3d()
    x, y = region.x + region.width // 3, region.y + region.height // 2
    window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
    yield 0.1
    began = time.monotonic()
    press("ESC", x, y)
    yield from until(lambda: not session().busy, 5, "the cancelling")
    figures["cancel_seconds"] = round(time.monotonic() - began, 2)
    assert session().view.phase.value == "cancelled" and heads() == 0
    yield 0.5
    screenshot("3_cancelled")
    call(bpy.ops.likeness.reconstruct, "INVOKE_DEFAULT")
    yield from until(lambda: session().preview is not None, 120, "the preview")
    yield 3.0  # its picture is loaded in the background
    screenshot("4_running")
    yield from until(lambda: not session().busy, 180, "the head")
    yield 0.5  # the first drawing of the head belongs to the import
    phase = "after"
    assert session().view.phase.value == "done", session().view
    assert heads() == 1 and len(bpy.data.objects["head"].data.shape_keys.key_blocks) == 53
    figures["summary"] = session().view.sentence
    assert set(bpy.data.objects.keys()) > DEFAULT_SCENE, "what was there is there"
    (cube, head) = (box(bpy.data.objects[name]) for name in ("Cube", "head"))
    looked_at = numpy.array(view3d()[1].spaces.active.region_3d.view_location)
    assert any(head[0] > cube[1]) or any(cube[0] > head[1]), "the head stands beside the cube"
    assert all(head[0] <= looked_at) and all(looked_at <= head[1]), "and is looked at"
    yield 2.0
    screenshot("5_head")
    yield from after()


def file_browser() -> Generator[float, None, None]:
    """What the file browser of Add Photos offers of a folder with files of many kinds."""
    call(bpy.ops.likeness.add_photos, "INVOKE_DEFAULT", directory=str(HERE / "kinds"))
    yield 2.5
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "FILE_BROWSER")
    area.spaces.active.params.display_type = "LIST_VERTICAL"
    yield 1.5
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.file.select_all(action="SELECT")
        offered = sorted(file.name for file in bpy.context.selected_files)
    screenshot("1_file_browser")
    press("ESC", region.x + region.width // 2, region.y + region.height // 2)
    yield from until(lambda: any(area.type == "VIEW_3D" for area in window.screen.areas), 5, "the 3D View")
    figures["file_browser_offers"] = offered
    assert offered == SETTINGS["photos_of_kinds"], offered


def choose_file(path: Path, shot: str) -> Generator[float, None, None]:
    """Name a file in the file browser that was opened, and click its button; 5.2 closes it below the mouse alone."""
    yield 2.0
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "FILE_BROWSER")
    params = area.spaces.active.params
    params.directory, params.filename = str(path.parent).encode(), path.name
    yield 1.0
    screenshot(shot)
    region = next(region for region in area.regions if region.type == "WINDOW")
    x, y = region.x + region.width // 2, region.y + region.height // 2
    window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
    yield 0.5
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.file.execute()
    yield from until(lambda: any(area.type == "VIEW_3D" for area in window.screen.areas), 10, "the 3D View")


def after() -> Generator[float, None, None]:
    """Undo, redo, look through a photo, an expression, save, reopen."""
    call(bpy.ops.ed.undo)
    yield 1.0
    assert heads() == 0, "one undo takes the head away"
    assert len(bpy.context.scene.likeness.photos) == len(SETTINGS["photos"]), "and nothing else"
    screenshot("6_undone")
    call(bpy.ops.ed.redo)
    yield 1.0
    assert heads() == 1 and "head" in bpy.data.objects
    _, area, _ = view3d()
    area.spaces.active.shading.type = "MATERIAL" if SETTINGS["material_preview"] else "SOLID"
    area.spaces.active.overlay.show_floor = False
    yield 2.0
    screenshot("7_redone")
    name = bpy.context.scene.likeness.photos[SETTINGS["photo"]].name
    assert call(bpy.ops.likeness.look_through, photo=name) == {"FINISHED"}
    yield 10.0  # until a view without a graphics card is smooth
    screenshot("8_through_photo")
    call(bpy.ops.likeness.leave_photo)
    keys = bpy.data.objects["head"].data.shape_keys.key_blocks
    for key, value in (("mouthSmileLeft", 0.9), ("mouthSmileRight", 0.9), ("jawOpen", 0.25), ("browInnerUp", 0.6)):
        keys[key].value = value
    yield 10.0
    screenshot("9_expression")
    call(bpy.ops.likeness.reset_selected)
    assert all(key.value == 0 for key in keys[1:])
    target = HERE / "saved.blend"
    call(bpy.ops.wm.save_as_mainfile, filepath=str(target))
    figures["saved_mb"] = round(target.stat().st_size / 1e6, 1)
    call(bpy.ops.wm.open_mainfile, filepath=str(target))
    yield 2.0
    assert heads() == 1 and bpy.data.images["albedo"].packed_file is not None
    assert len(bpy.data.objects["head"].data.shape_keys.key_blocks) == 53
    assert [photo.status for photo in bpy.context.scene.likeness.photos].count("USED") >= 1
    yield 1.0
    yield from show_sidebar()
    screenshot("10_reopened")
    yield from preferences()


def preferences() -> Generator[float, None, None]:
    """The extension's preferences, in place of the 3D View."""
    area = view3d()[1]
    area.type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "Likeness"
    bpy.ops.preferences.addon_expand(module=PACKAGE)
    chosen = bpy.context.preferences.addons[PACKAGE].preferences
    for where in ("INSTALLED", "REMOTE"):
        chosen.where = where
        area.tag_redraw()
        yield 1.5
        screenshot(f"11_preferences_{where.lower()}")


def chosen_story() -> Generator[float, None, None]:
    """The story that the settings name."""
    if SETTINGS["story"] == "head":
        return story()
    sys.path.insert(0, str(HERE))
    return importlib.import_module(f"{SETTINGS['story']}_in_blender").story(sys.modules[__name__])


running = chosen_story()
wake_at = 0.0


def tick() -> float | None:
    """Ticks as often as Blender lets it; the gaps between ticks are what an artist feels."""
    global last_tick, wake_at
    now = time.monotonic()
    if last_tick:
        gaps.setdefault(phase, []).append(now - last_tick)
        if phase == "waiting" and now - last_tick > 0.1:
            view = session().view
            long_gaps.append(
                f"{1000 * (now - last_tick):.0f} ms at {view.fraction:.0%}, {view.phase.value}: {view.sentence}"
            )
    last_tick = now
    try:
        if now >= wake_at:
            wake_at = time.monotonic() + next(running)
        return TICK_SECONDS
    except StopIteration:
        finish()
    except BaseException:
        figures["failed"] = traceback.format_exc()
        screenshot("failed")
        finish()
    return None


def finish() -> None:
    for name, values in gaps.items():
        ordered = sorted(values)
        figures[f"gap_ms.{name}.longest"] = round(ordered[-1] * 1000)
        figures[f"gap_ms.{name}.over_100"] = sum(value > 0.1 for value in ordered)
        figures[f"gap_ms.{name}.count"] = len(ordered)
        figures[f"gap_ms.{name}.p99"] = round(ordered[int(0.99 * (len(ordered) - 1))] * 1000)
    figures.update({f"call_ms.{name}.longest": round(max(taken) * 1000) for name, taken in calls.items()})
    figures.update({f"processor_ms.{name}.longest": round(max(taken) * 1000, 1) for name, taken in own.items()})
    figures["gaps_over_100_ms_while_waiting"] = long_gaps
    (HERE / "figures.json").write_text(json.dumps(figures, indent=1))
    addon("session").shut_down()
    sys.stdout.flush()
    os._exit(1 if "failed" in figures else 0)


os.environ["LIKENESS_CONFIG_DIR"] = str(HERE / "config")
bpy.app.timers.register(tick, first_interval=1.0, persistent=True)
