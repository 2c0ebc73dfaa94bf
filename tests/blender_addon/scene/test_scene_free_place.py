"""A head that arrives stands beside what is there: in Blender's default scene, and beside another head."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.tags import Place  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene.importing import bounds, import_head, import_steps  # noqa: E402

pytestmark = pytest.mark.blender


@pytest.fixture
def default_scene() -> None:
    bpy.ops.wm.read_factory_settings(use_empty=False)


def box_of(head: bpy.types.Collection) -> tuple[np.ndarray, np.ndarray]:
    bpy.context.view_layer.update()
    objects = [obj for obj in tags.objects_of(head) if tags.PART in obj]
    corners = np.concatenate([[tuple(obj.matrix_world @ c) for c in map(vector, obj.bound_box)] for obj in objects])
    return corners.min(axis=0), corners.max(axis=0)


def vector(corner: object) -> object:
    from mathutils import Vector

    return Vector(corner)


def meet(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> bool:
    return bool((one[0] < other[1]).all() and (other[0] < one[1]).all())


def test_the_first_head_of_a_new_user_is_not_inside_the_cube(default_scene: None, result: HeadResult) -> None:
    cube = bpy.data.objects["Cube"]
    cube.scale = (1.0, 1.0, 3.0)  # as high as the head is
    head = import_head(result, bpy.context)
    mesh = tags.part_object(head, "head")
    assert not meet(box_of(head), bounds([cube]))
    width = box_of(head)[1][0] - box_of(head)[0][0]
    assert box_of(head)[0][0] - bounds([cube])[1][0] < width  # and not far from it
    for camera in tags.camera_objects(head):
        assert camera.parent == mesh  # solved in the head's frame: they have come along


def test_a_second_head_stands_beside_the_first_and_the_first_stays(default_scene: None, result: HeadResult) -> None:
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    first = import_head(result, bpy.context)
    assert tags.part_object(first, "head").location.x == 0.0
    second = import_head(result, bpy.context)
    third = import_head(result, bpy.context)
    assert tags.part_object(first, "head").location.x == 0.0
    boxes = [box_of(head) for head in (first, second, third)]
    assert not any(meet(boxes[i], boxes[j]) for i in range(3) for j in range(i))


def test_a_head_that_is_solved_again_stays_where_the_artist_has_put_it(default_scene: None, result: HeadResult) -> None:
    head = import_head(result, bpy.context)
    mesh = tags.part_object(head, "head")
    mesh.location = (0.0, 0.0, 0.0)  # into the cube, on purpose
    import_head(result, bpy.context, into=head[tags.HEAD_ID])
    assert tuple(mesh.location) == (0.0, 0.0, 0.0)


def test_hidden_things_lights_and_cameras_are_not_in_the_way(default_scene: None, result: HeadResult) -> None:
    bpy.data.objects["Cube"].hide_set(True)
    for name in ("Light", "Camera"):
        bpy.data.objects[name].location = (0.0, 0.0, 0.75)
    head = import_head(result, bpy.context)
    assert tags.part_object(head, "head").location.x == 0.0


def test_a_head_arrives_at_the_cursor_where_that_is_wished(default_scene: None, result: HeadResult) -> None:
    """In Blender's default scene, metres or not: its origin is where the cursor is, and all of it has come along."""
    scene = bpy.context.scene
    for scale_length, cursor in ((1.0, (0.3, -0.2, 1.1)), (0.01, (40.0, 25.0, -160.0))):
        scene.unit_settings.scale_length = scale_length
        scene.cursor.location = cursor
        for _ in import_steps(result, Place.shown(bpy.context, at_cursor=True)):
            pass
        mesh = bpy.context.view_layer.objects.active
        assert tuple(mesh.location) == pytest.approx(cursor)
        assert tuple(mesh.scale) == pytest.approx((1.0 / scale_length,) * 3)
        (low, high), height = box_of(tags.active_head(bpy.context)), 0.3 / scale_length
        assert (low < np.array(cursor) + 0.2 * height).all() and (high > np.array(cursor) - 0.2 * height).all()
        assert high[2] - cursor[2] < 2 * height  # the neck's rim is below the face, and not a metre below
        scene.cursor.location = (9.0, 9.0, 9.0)
        import_head(result, bpy.context, into=mesh[tags.HEAD_ID])
        assert tuple(mesh.location) == pytest.approx(cursor)  # solved again, it stays


def test_the_cursor_is_the_scenes_that_gets_the_head_and_counts_when_it_arrives(
    default_scene: None, result: HeadResult
) -> None:
    steps = import_steps(result, Place.shown(bpy.context, at_cursor=True))
    next(steps)
    asked = bpy.context.scene
    bpy.context.window.scene = bpy.data.scenes.new("other")
    asked.cursor.location = (1.0, 2.0, 3.0)
    for _ in steps:
        pass
    (head,) = tags.heads_in(asked)
    assert tuple(tags.part_object(head, "head").location) == (1.0, 2.0, 3.0)
