"""The first minute with a head: what an artist meets without having set anything, from Blender's default scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest
from blender_addon.shared.names import ARKIT_NAMES
from blender_addon.shared.options import OPTIONS
from instant_backend import Backend
from mathutils import Vector
from scene_helpers import import_head

from blender_addon.many import run
from blender_addon.objects import tags
from blender_addon.operators import photos as operators
from blender_addon.protocol.result import HeadResult
from blender_addon.rig.bones import PARENTS
from blender_addon.scene import cameras
from blender_addon.session import session


@pytest.fixture
def default_scene(backend: Backend) -> bpy.types.Scene:
    """Cube, camera and light, with the cube selected."""
    scene = bpy.context.scene
    cube = bpy.data.objects.new("Cube", bpy.data.meshes.new("Cube"))
    scene.collection.objects.link(cube)
    cube.select_set(True)
    bpy.context.view_layer.objects.active = cube
    return scene


@pytest.fixture
def people(tmp_path: Path, default_scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table with Anna."""
    monkeypatch.setattr(operators, "chosen_backend", lambda context: None)
    (tmp_path / "people" / "Anna").mkdir(parents=True)
    (tmp_path / "people" / "Anna" / "1.jpg").write_bytes(b"\xff\xd8")
    bpy.ops.likeness.choose_people(directory=str(tmp_path / "people"))
    yield tmp_path / "people"
    run.forget()


def test_a_head_comes_with_its_bust(default_scene: bpy.types.Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    begin = session().runner.begin
    monkeypatch.setattr(
        session().runner,
        "begin",
        lambda submission, where: [asked.append(submission.options), begin(submission, where)],
    )
    bpy.ops.likeness.reconstruct()
    assert asked[0].get("bust", OPTIONS["bust"].default) is True


def test_cameras_arrive_hidden_and_the_one_looked_through_is_shown(
    default_scene: bpy.types.Scene, result: HeadResult
) -> None:
    bpy.ops.likeness.reconstruct()
    (collection,) = tags.head_collections()
    hidden = tags.cameras_collection(collection)
    assert hidden.hide_viewport and not hidden.hide_render
    for photo in (result.photos[0].name, result.photos[1].name):
        bpy.ops.likeness.look_through(photo=photo)  # Blender draws the photo of a visible camera only
        assert default_scene.camera.visible_get()
    bpy.ops.likeness.leave_photo()
    assert hidden.hide_viewport
    hidden.hide_viewport = False  # the switch
    bpy.ops.likeness.look_through(photo=photo)
    bpy.ops.likeness.leave_photo()
    assert not hidden.hide_viewport and cameras.HIDDEN_CAMERAS not in default_scene


def test_many_people_leave_the_selection_alone(default_scene: bpy.types.Scene, people: Path) -> None:
    bpy.ops.likeness.reconstruct_many()
    assert tags.head_collections() and bpy.context.view_layer.objects.active.name == "Cube"
    assert [obj.name for obj in bpy.context.selected_objects] == ["Cube"]


@pytest.mark.parametrize("library", [False, True])
def test_a_persons_file_opens_on_the_head_lit_and_framed_with_the_sidebar(people: Path, library: bool) -> None:
    many = bpy.context.scene.likeness_many
    many.apart, many.library = not library, library
    bpy.ops.likeness.reconstruct_many()
    bpy.ops.wm.open_mainfile(filepath=str(people / "Anna" / "Anna.blend"))
    scene = bpy.context.scene
    (head,) = tags.heads_in(scene)
    skin = tags.part_object(head, "head")
    assert skin.visible_get() and bpy.context.view_layer.objects.active == skin
    assert [obj.type for obj in scene.objects].count("LIGHT") == 3 and scene.camera is not None and scene.world
    own = [obj for obj in head.all_objects if obj != skin]
    assert skin.name == "Anna" and all(obj.name.startswith("Anna ") for obj in own)
    corners = np.array([skin.matrix_world @ Vector(corner) for corner in skin.bound_box])
    views = [area.spaces.active for area in bpy.data.screens["Layout"].areas if area.type == "VIEW_3D"]
    assert views and all(view.show_region_ui and view.shading.type == "MATERIAL" for view in views)
    place = np.array(views[0].region_3d.view_location)
    assert (corners.min(0) < place).all() and (place < corners.max(0)).all()


def test_face_keys_follow_the_active_mesh(default_scene: bpy.types.Scene, result: HeadResult) -> None:
    head = tags.part_object(import_head(result, bpy.context), "head")
    copy = head.copy()
    copy.data = head.data.copy()
    bpy.context.collection.objects.link(copy)
    other = bpy.data.objects.new("other", bpy.data.meshes.new("other"))
    other.shape_key_add(name="Basis")
    for name in ARKIT_NAMES:
        other.shape_key_add(name=name)
    bpy.context.collection.objects.link(other)
    for mesh in (copy, other, head):
        bpy.context.view_layer.objects.active = mesh
        assert tags.active_face(bpy.context) == mesh
        bpy.context.scene.likeness_keys.mouthSmile = 0.5
        assert mesh.data.shape_keys.key_blocks["mouthSmileLeft"].value == 0.5
    bpy.context.view_layer.objects.active = bpy.data.objects["Cube"]
    assert tags.active_face(bpy.context) == head


def test_bones_are_controls_with_shapes(default_scene: bpy.types.Scene, result: HeadResult) -> None:
    first, second = (import_head(replace(result), bpy.context, armature=True) for _ in range(2))
    rigs = [tags.rig_object(collection) for collection in (first, second)]
    shapes = [{bone.name: bone.custom_shape for bone in rig.pose.bones} for rig in rigs]
    assert set(shapes[0]) == set(PARENTS) and all(shapes[0].values()) and shapes[0] == shapes[1]
    assert not any(shape.name in bpy.context.scene.objects for shape in shapes[0].values())
