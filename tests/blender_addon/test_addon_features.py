"""Sliders that shape a head after the fit, by MakeHuman's own modes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest
from blender_addon.shared.names import ALL_PART_NAMES
from instant_backend import Backend
from machine_speed import times_slower
from mathutils import Vector
from scene_helpers import import_head, points_of

from blender_addon import redraw
from blender_addon.objects import tags
from blender_addon.objects.meshes import coordinates, neutral_coordinates, origin_of, sculpted
from blender_addon.protocol.result import HeadResult
from blender_addon.scene import hair
from blender_addon.scene.corrections import _shape_modes, slide_shape
from blender_addon.settings.properties import SHAPE_SLIDERS


def shapes(collection: bpy.types.Collection) -> dict[str, np.ndarray]:
    """(V, 3) bases of the parts in the head frame, Blender's axes."""
    parts = {name: tags.part_object(collection, name) for name in ALL_PART_NAMES}
    return {name: neutral_coordinates(o.data) + origin_of(o.data) for name, o in parts.items() if o is not None}


def test_each_slider_moves_its_own_place_both_ways_and_back(collection: bpy.types.Collection) -> None:
    assert set(SHAPE_SLIDERS) == set(_shape_modes())
    before = shapes(collection)
    for name in SHAPE_SLIDERS:
        ends = []
        for value in (-1.0, 1.0):
            setattr(collection.likeness, name, value)
            moved = shapes(collection)["head"] - before["head"]
            assert 0.0015 < np.abs(moved).max() < 0.015, name  # Chin Height moved the chin by 20 mm
            ends.append(moved)
        assert (ends[0] * ends[1]).sum() < 0, name  # opposite ways
        setattr(collection.likeness, name, 0.0)
    for part, shape in shapes(collection).items():
        np.testing.assert_allclose(shape, before[part], atol=1e-5)


def test_a_slider_of_an_older_file_holds_until_it_is_moved_and_goes_back(collection: bpy.types.Collection) -> None:
    before = shapes(collection)
    collection.likeness.ears = 0.5
    slide_shape(collection, {"ears": 0.5 / _shape_modes()["ears"][2][1]})
    collection[tags.SHAPE] = {"ears": 0.5}  # as 0.2.0 says it
    wide = shapes(collection)["head"]
    collection.likeness.jaw = 0.0
    np.testing.assert_allclose(shapes(collection)["head"], wide, atol=1e-5)
    collection.likeness.ears = 0.0
    np.testing.assert_allclose(shapes(collection)["head"], before["head"], atol=1e-5)


def test_a_wider_nose_is_wider_and_larger_eyes_stay_balls_behind_their_corneas(
    collection: bpy.types.Collection,
) -> None:
    before = shapes(collection)
    nose = np.abs(_shape_modes()["nose_width"][1][:, 1, 0]).argmax()
    vertex = int(_shape_modes()["nose_width"][0][nose])
    numbers = np.empty(len(before["head"]), np.int32)
    tags.part_object(collection, "head").data.attributes["hm08_vertex"].data.foreach_get("value", numbers)
    row = int(np.flatnonzero(numbers == vertex)[0])
    collection.likeness.nose_width = 0.5
    assert abs(shapes(collection)["head"][row, 0]) > abs(before["head"][row, 0]) + 0.001
    collection.likeness.eyes = 1.0
    after = shapes(collection)
    for part in ("eye_left", "cornea_left"):
        grown = np.ptp(after[part], axis=0) / np.ptp(before[part], axis=0)
        assert np.ptp(grown) < 0.01 and 0.99 < grown.mean() < 1.4
    gap = [shape["cornea_left"].mean(0) - shape["eye_left"].mean(0) for shape in (before, after)]
    np.testing.assert_allclose(gap[1], gap[0], atol=1.5e-3)


def test_keys_and_hair_move_along_and_solving_again_keeps_it(
    collection: bpy.types.Collection, head: bpy.types.Object, backend: Backend
) -> None:
    jaw = head.data.shape_keys.key_blocks["jawOpen"]
    offset = Vector(jaw.points[700].co) - Vector(head.data.shape_keys.reference_key.points[700].co)
    collection.likeness.weight = collection.likeness.age = 0.8
    now = Vector(jaw.points[700].co) - Vector(head.data.shape_keys.reference_key.points[700].co)
    assert (now - offset).length < 1e-6
    shaped = shapes(collection)
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}
    for part, shape in shapes(collection).items():
        np.testing.assert_allclose(shape, shaped[part], atol=3e-5, err_msg=part)
    assert collection.likeness.weight == pytest.approx(0.8)
    collection.likeness.weight = collection.likeness.age = 0.0
    assert sculpted(head.data) is None


def test_removing_the_sculpt_sets_the_sliders_to_zero(collection: bpy.types.Collection) -> None:
    before = shapes(collection)["head"]
    collection.likeness.jaw = -1.0
    assert bpy.ops.likeness.remove_sculpt() == {"FINISHED"}
    assert collection.likeness.jaw == 0.0
    np.testing.assert_allclose(shapes(collection)["head"], before, atol=1e-5)


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_a_blink_still_shuts_the_lids_of_smaller_and_larger_eyes(
    collection: bpy.types.Collection, backend: Backend, value: float
) -> None:
    def blink() -> np.ndarray:
        head = tags.part_object(collection, "head").data
        return coordinates(head.shape_keys.key_blocks["eyeBlinkLeft"].points) + origin_of(head)

    open_, shut, lash_keys = shapes(collection), blink(), key_offsets(collection, "lashes")
    lids = np.linalg.norm(shut - open_["head"], axis=1) > 0.004
    collection.likeness.eyes = value
    opened = np.linalg.norm((shapes(collection)["head"] - open_["head"])[lids], axis=1)
    assert opened.max() > 0.001
    assert np.abs((blink() - shut)[lids] @ [0.0, 0.0, 1.0]).max() < 0.3 * opened.max()
    assert bpy.ops.likeness.solve_again() == {"FINISHED"}
    assert np.abs((blink() - shut)[lids] @ [0.0, 0.0, 1.0]).max() < 0.3 * opened.max()
    assert np.abs(key_offsets(collection, "lashes") - lash_keys).max() > 1e-4
    assert bpy.ops.likeness.remove_sculpt() == {"FINISHED"}
    np.testing.assert_allclose(blink(), shut, atol=1e-5)
    np.testing.assert_allclose(key_offsets(collection, "lashes"), lash_keys, atol=1e-5)


def key_offsets(collection: bpy.types.Collection, part: str) -> np.ndarray:
    """(V, 3) what the left blink moves of a part."""
    mesh = tags.part_object(collection, part).data
    return coordinates(mesh.shape_keys.key_blocks["eyeBlinkLeft"].points) - neutral_coordinates(mesh)


def test_a_dragged_slider_is_undone_as_one_step(collection: bpy.types.Collection) -> None:
    name, before = collection.name, shapes(collection)
    bpy.ops.ed.undo_push(message="before")
    for value in (0.2, 0.5, 0.9):  # Blender stores one step for a drag, when it ends
        collection.likeness.chin_height = value
    bpy.ops.ed.undo_push(message="Chin Height")
    bpy.ops.ed.undo()
    collection = bpy.data.collections[name]
    assert collection.likeness.chin_height == 0.0
    for part, shape in shapes(collection).items():
        np.testing.assert_array_equal(shape, before[part], err_msg=part)
    bpy.ops.ed.redo()
    collection = bpy.data.collections[name]
    assert collection.likeness.chin_height == pytest.approx(0.9)
    collection.likeness.chin_height = 0.0
    np.testing.assert_allclose(shapes(collection)["head"], before["head"], atol=1e-5)


@pytest.fixture
def awaited(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], None]]:
    """What Blender's timers of a window would call once sliders are quiet."""
    called: dict[str, Callable[[], None]] = {}
    monkeypatch.setattr(redraw, "once_quiet", lambda what, function: called.update({what: function}) or True)
    return called


@pytest.mark.parametrize("slider", ["age", "hair_length"])
@pytest.mark.usefixtures("only_new_garbage")
def test_a_slider_is_live_with_a_thousand_guides(
    backend: Backend, result: HeadResult, awaited: dict[str, Callable[[], None]], slider: str
) -> None:
    """Thirty changes a second, evaluated, by this process's time; the best of twenty. The hairs are back afterwards."""
    per_guide = ("points", "root_uv", "scalp_uv", "free", "width", "root_colour", "tip_colour")
    many = {name: np.concatenate([getattr(result.hair, name)] * 7) for name in per_guide}
    collection = import_head(replace(result, hair=replace(result.hair, **many)), bpy.context)
    obj = tags.hair_object(collection)
    first, seconds = points_of(obj.data), []
    for value in np.linspace(0.1, 0.5, 20):
        began = time.process_time()
        setattr(collection.likeness, slider, value)
        bpy.context.view_layer.update()
        seconds.append(time.process_time() - began)
    assert min(seconds) < times_slower() / 30
    assert np.abs(points_of(obj.data) - first).max() > 5e-4, "the guides are on the skin"
    assert shown_strands(obj) == len(obj.data.curves)
    awaited["hairs"]()
    assert shown_strands(obj) > 2 * len(obj.data.curves)


def shown_strands(obj: bpy.types.Object) -> int:
    return len(obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.curves)


def test_no_step_of_undo_and_no_file_leaves_the_guides_alone(
    collection: bpy.types.Collection, awaited: dict[str, Callable[[], None]], tmp_path: Path
) -> None:
    """Blender stores the step of a slider when it is let go, before the hairs are back."""
    name = collection.name
    collection.likeness.jaw = 0.5
    bpy.ops.ed.undo_push(message="Jaw Width")
    awaited["hairs"]()
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.ed.undo_push(message="Add Cube")
    bpy.ops.ed.undo()
    obj = tags.hair_object(bpy.data.collections[name])
    assert bpy.data.collections[name].likeness.jaw == 0.5 and shown_strands(obj) > 2 * len(obj.data.curves)
    bpy.data.collections[name].likeness.jaw = 0.7
    assert shown_strands(obj) == len(obj.data.curves)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert shown_strands(obj) > 2 * len(obj.data.curves)


def test_hairs_that_the_artist_hid_stay_hidden(
    collection: bpy.types.Collection, awaited: dict[str, Callable[[], None]]
) -> None:
    (modifier,) = tags.hair_object(collection).modifiers
    modifier.show_viewport = False
    collection.likeness.jaw = 0.5
    awaited["hairs"]()
    assert not modifier.show_viewport


def strand_lengths(obj: bpy.types.Object, shape: tuple[int, ...]) -> np.ndarray:
    return np.linalg.norm(np.diff(points_of(obj.data).reshape(shape), axis=1), axis=-1).sum(1)


def test_length_fringe_and_volume_are_live_and_go_back(collection: bpy.types.Collection, result: HeadResult) -> None:
    obj, wished, shape = tags.hair_object(collection), collection.likeness, result.hair.points.shape
    head = tags.part_object(collection, "head")
    first, found = points_of(obj.data), strand_lengths(obj, shape)
    wished.hair_length = 0.4
    np.testing.assert_allclose(strand_lengths(obj, shape) / found, 0.4, atol=0.05)
    np.testing.assert_allclose(points_of(obj.data).reshape(shape)[:, 0], first.reshape(shape)[:, 0], atol=1e-6)
    wished.hair_length = 1.4
    np.testing.assert_allclose(np.median(strand_lengths(obj, shape) / found), 1.4, atol=0.05)
    wished.hair_length, wished.fringe = 1.0, 0.3
    share, roots = strand_lengths(obj, shape) / found, first.reshape(shape)[:, 0]
    front = (np.abs(roots[:, 0]) < 0.04) & (roots[:, 1] < np.percentile(roots[:, 1], 10))
    back = roots[:, 1] > np.median(roots[:, 1])
    assert share[front].max() < 0.7 and share[back].min() > 0.99
    wished.fringe, wished.volume = 1.0, 0.2
    away = [np.linalg.norm(hair._lift(points, head), axis=1).mean() for points in (first, points_of(obj.data))]
    assert away[1] < 0.7 * away[0]
    wished.volume = 1.0
    np.testing.assert_allclose(points_of(obj.data), first, atol=1e-6)
    assert not hair.is_groomed(obj)


def test_a_beard_keeps_its_length_and_volume(backend: Backend, result: HeadResult) -> None:
    beard = replace(result, hair=replace(result.hair, parameters={**result.hair.parameters, "facial_guides": 30.0}))
    collection = import_head(beard, bpy.context)
    obj, shape = tags.hair_object(collection), result.hair.points.shape
    first = points_of(obj.data).reshape(shape)
    collection.likeness.hair_length, collection.likeness.fringe, collection.likeness.volume = 0.5, 0.5, 0.5
    after = points_of(obj.data).reshape(shape)
    np.testing.assert_allclose(after[-30:], first[-30:], atol=1e-6)
    assert np.abs(after[:-30] - first[:-30]).max(axis=(1, 2)).min() > 1e-3


def test_crowns_go_rigidly_with_the_shape_sliders(collection: bpy.types.Collection) -> None:
    before = shapes(collection)
    for name in SHAPE_SLIDERS:
        setattr(collection.likeness, name, 0.7)
    after = shapes(collection)
    for part in ("teeth_upper", "teeth_lower"):
        moved = after[part] - before[part]
        size = np.ptp(after[part], axis=0) / np.ptp(before[part], axis=0)
        assert np.linalg.norm(moved - moved.mean(0), axis=1).max() < 0.01
        assert size.min() > 0.8 and size.max() < 1.25
    assert np.abs(after["teeth_lower"] - before["teeth_lower"]).max() > 1e-4


def test_new_hair_of_the_head_keeps_its_sliders_and_groomed_hair_does_not_move(
    collection: bpy.types.Collection, result: HeadResult
) -> None:
    collection.likeness.hair_length = 0.5
    wider = replace(result, hair=replace(result.hair, points=result.hair.points * np.float32([1.001, 1.0, 1.0])))
    import_head(wider, bpy.context, into=collection["likeness_id"])
    obj, shape = tags.hair_object(collection), result.hair.points.shape
    found = np.linalg.norm(np.diff(result.hair.points, axis=1), axis=-1).sum(1)
    np.testing.assert_allclose(strand_lengths(obj, shape) / found, 0.5, atol=0.06)
    groomed = points_of(obj.data)
    groomed[5] += 0.01
    obj.data.position_data.foreach_set("vector", groomed.ravel())
    collection.likeness.hair_length = 1.0
    np.testing.assert_array_equal(points_of(obj.data), groomed)
