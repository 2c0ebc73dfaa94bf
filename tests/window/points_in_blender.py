"""Landmarks of a photo in a window, from Blender's default scene, with a backend that runs: drag one, *Fit*, undo,
redo, save, reopen, solve again. Told by ``in_blender.py``; needs the photos alone.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d

Story = Generator[float, None, None]
CHIN = 152
EYES = (33, 133, 362, 263)
DRAG_PIXELS = 8
"""Of the window, downwards."""
FRAME_SHARE = 0.8
"""Of the view that the photo fills while its landmarks are out, in width or in height."""
LANDMARKS = 478


def of_part(name: str) -> bpy.types.Object:
    return next(obj for obj in bpy.data.objects if obj.get("likeness_part") == name)


def coordinates() -> np.ndarray:
    """(V, 3) of the head's basis, metres."""
    points = of_part("head").data.shape_keys.reference_key.points
    flat = np.empty(3 * len(points), np.float32)
    points.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def camera_of(photo: str) -> bpy.types.Object:
    return next(obj for obj in bpy.data.objects if obj.type == "CAMERA" and obj.get("likeness_photo") == photo)


def believed(photo: str, landmark: int) -> np.ndarray:
    """(2,) where the head has a landmark on the photo, pixels."""
    return np.array(camera_of(photo)["likeness_landmarks"]).reshape(LANDMARKS, 4)[landmark, 2:]


def sent_points(tools: Any) -> dict[int, np.ndarray]:
    """What is sent with the next solve: places by landmark."""
    corrections = tools.addon("scene.corrections")
    collection = next(c for c in bpy.data.collections if "likeness_id" in c)
    return {number: np.array([x, y]) for one in corrections.head_corrections(collection) for number, x, y in one.points}


def on_screen(tools: Any, obj: bpy.types.Object) -> tuple[int, int]:
    _, area, region = tools.view3d()
    place = location_3d_to_region_2d(region, area.spaces.active.region_3d, obj.matrix_world.translation)
    return region.x + round(place.x), region.y + round(place.y)


def photo_in_view(tools: Any, photo: str) -> tuple[float, float]:
    """Width and height of the photo in parts of the view's, beside toolbar and sidebar, which cover none of it."""
    camera, scene = camera_of(photo), bpy.context.scene
    _, area, region = tools.view3d()
    places = [
        location_3d_to_region_2d(region, area.spaces.active.region_3d, camera.matrix_world @ corner)
        for corner in camera.data.view_frame(scene=scene)
    ]
    wide, high = ([getattr(place, axis) for place in places] for axis in "xy")
    left, right = tools.addon("scene.cameras").free_span(region, area.regions)
    assert left - 1 <= min(wide) and max(wide) <= right + 1, (left, wide, right)
    return round((max(wide) - min(wide)) / (right - left), 3), round((max(high) - min(high)) / region.height, 3)


def drag_point(tools: Any, landmark: int, dx: int, dy: int) -> Story:
    """Click the point, G, move the mouse, click: as an artist does it."""
    window = bpy.context.window_manager.windows[0]
    point = next(obj for obj in bpy.data.objects if obj.get("likeness_landmark") == landmark)
    x, y = on_screen(tools, point)
    tools.press("LEFTMOUSE", x, y)
    yield 0.5
    assert [obj.get("likeness_landmark") for obj in bpy.context.selected_objects] == [landmark], "a click selects it"
    tools.press("G", x, y)
    yield 0.3
    for step in (0.25, 0.5, 0.75, 1.0):
        window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x + round(step * dx), y=y + round(step * dy))
        yield 0.2
    tools.press("LEFTMOUSE", x + dx, y + dy)
    yield 1.0


def solved(tools: Any, operator: Any, **values: Any) -> Story:
    """A job from its click to the head in the scene; the seconds are left in ``tools.figures``."""
    began = time.monotonic()
    assert tools.call(operator, "INVOKE_DEFAULT", **values) == {"RUNNING_MODAL"}
    yield from tools.until(lambda: not tools.session().busy, 180, "the end of the job")
    name = operator.idname_py().split(".")[1]
    tools.figures.setdefault(f"seconds.{name}", []).append(round(time.monotonic() - began, 2))
    assert tools.session().view.phase.value == "done", tools.session().view
    yield 1.0


def head_from_photos(tools: Any, **settings: Any) -> Story:
    """The default scene with a head out of the photos, fast; ``settings`` are the panel's."""
    yield from tools.installed()
    assert set(bpy.data.objects.keys()) == tools.DEFAULT_SCENE, "the default scene"
    yield from tools.show_sidebar()
    files = [{"name": name} for name in tools.SETTINGS["photos"]]
    tools.call(bpy.ops.likeness.add_photos, "EXEC_DEFAULT", True, directory=str(tools.HERE / "photos"), files=files)
    wished = bpy.context.scene.likeness
    wished.quality, wished.texture_size = "fast", tools.SETTINGS["texture_size"]
    for name, value in settings.items():
        setattr(wished, name, value)
    yield from solved(tools, bpy.ops.likeness.reconstruct)


def story(tools: Any) -> Story:
    ops = bpy.ops.likeness
    yield from head_from_photos(tools)
    photo = next(p.name for p in bpy.context.scene.likeness.photos if p.status == "USED")
    assert tools.call(ops.look_through, "EXEC_DEFAULT", True, photo=photo) == {"FINISHED"}
    yield 2.0
    shares = photo_in_view(tools, photo)
    tools.figures["photo_in_view"] = shares
    assert FRAME_SHARE < max(shares) <= 1.0, "the photo fills the view"
    tools.screenshot("1_through_photo")
    assert tools.call(ops.edit_landmarks, "EXEC_DEFAULT", True, photo=photo) == {"FINISHED"}
    yield 2.0
    points = [obj for obj in bpy.data.objects if "likeness_landmark" in obj]
    tools.figures["points"] = len(points)
    assert len(points) > 70 and of_part("head").hide_get() and not sent_points(tools)
    high = np.ptp([on_screen(tools, obj)[1] for obj in points]) / tools.view3d()[2].height
    tools.figures["face_in_view"] = round(float(high), 3)
    assert FRAME_SHARE / 2 < high <= 1.0, "the face fills the view"
    tools.screenshot("2_points")

    began, undisturbed = coordinates(), believed(photo, CHIN)
    others = np.array([believed(photo, number) for number in EYES])
    yield from drag_point(tools, CHIN, 0, -DRAG_PIXELS)
    places = sent_points(tools)
    assert list(places) == [CHIN], places
    put = places[CHIN]
    assert put[1] > undisturbed[1] + 3, "down in the photo"
    tools.screenshot("3_dragged")

    yield from solved(tools, ops.fit_corrections)
    fitted = coordinates()
    tools.figures["moved_mm"] = round(1000 * float(np.linalg.norm(fitted - began, axis=1).max()), 2)
    before, after = (float(np.linalg.norm(place - put)) for place in (undisturbed, believed(photo, CHIN)))
    tools.figures["chin_off_px"] = {"before": round(before, 2), "after": round(after, 2)}
    moved = np.array([believed(photo, number) for number in EYES]) - others
    tools.figures["eyes_moved_px"] = round(float(np.linalg.norm(moved, axis=1).mean()), 2)
    assert tools.figures["moved_mm"] > 0.3 and after < 0.7 * before, tools.figures
    assert list(sent_points(tools)) == [CHIN] and np.allclose(sent_points(tools)[CHIN], put, atol=0.1), (
        "it stays where it was put"
    )
    tools.screenshot("4_fitted")
    tools.call(ops.show_head, "EXEC_DEFAULT", True)
    yield 1.0
    tools.screenshot("5_head_below_points")
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert np.allclose(coordinates(), fitted, atol=1e-6) and of_part("head").hide_get(), "one undo hides the head again"
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert np.allclose(coordinates(), began, atol=1e-6), "one undo takes the fit back"
    assert np.allclose(sent_points(tools)[CHIN], put, atol=0.1), "and leaves the point"
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert not sent_points(tools), "one more takes the drag back"
    for _ in range(2):
        tools.call(bpy.ops.ed.redo)
        yield 1.0
    assert np.allclose(coordinates(), fitted, atol=1e-6) and list(sent_points(tools)) == [CHIN], "redo brings both"

    target = str(tools.HERE / "points.blend")
    tools.call(bpy.ops.wm.save_as_mainfile, filepath=target)
    tools.call(bpy.ops.wm.open_mainfile, filepath=target)
    yield 2.0
    assert np.allclose(sent_points(tools)[CHIN], put, atol=0.1), "the file keeps the point"
    yield from tools.show_sidebar()
    tools.addon("redraw").push_undo("Opened", bpy.context.scene)
    yield from solved(tools, ops.solve_again)
    obeyed = float(np.linalg.norm(believed(photo, CHIN) - put))
    tools.figures["chin_off_px"]["solved_again"] = round(obeyed, 2)
    assert obeyed < 0.7 * before, "a whole solve obeys it"
    assert np.allclose(sent_points(tools)[CHIN], put, atol=0.1)
    tools.call(ops.edit_landmarks, "EXEC_DEFAULT", True, photo=photo)
    yield 1.5
    assert not [obj for obj in bpy.data.objects if "likeness_landmark" in obj] and not of_part("head").hide_get()
    assert np.allclose(sent_points(tools)[CHIN], put, atol=0.1), "done with it, it is stored"
    tools.screenshot("6_solved_again")
