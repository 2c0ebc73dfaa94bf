"""A head stands beside what is there, turns about its neck, and is framed by the view."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from blender_addon.shared.names import EYE_PART_NAMES, PART_NAMES
from head_message import template_vertices
from scene_helpers import coordinates, evaluated, import_head, subdivision

from blender_addon.objects import tags
from blender_addon.objects.meshes import to_blender
from blender_addon.protocol.result import HeadResult
from blender_addon.rig import build
from blender_addon.scene import cameras, importing
from blender_addon.scene.cameras import EVEN_LIGHT, free_span, onto_box, show_albedo
from blender_addon.scene.importing import bounds, import_steps
from blender_addon.scene.own_head import neutral_head


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
        for _ in import_steps(result, tags.Place.shown(bpy.context, at_cursor=True)):
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
    steps = import_steps(result, tags.Place.shown(bpy.context, at_cursor=True))
    next(steps)
    asked = bpy.context.scene
    bpy.context.window.scene = bpy.data.scenes.new("other")
    asked.cursor.location = (1.0, 2.0, 3.0)
    for _ in steps:
        pass
    (head,) = tags.heads_in(asked)
    assert tuple(tags.part_object(head, "head").location) == (1.0, 2.0, 3.0)


def larger(result: HeadResult) -> HeadResult:
    parts = tuple(
        replace(p, vertices=(p.vertices * np.float32([1.1, 1, 1.1])).astype(np.float32)) for p in result.parts
    )
    return replace(result, parts=parts)


def world(bpy, collection) -> dict[str, np.ndarray]:
    """(V, 3) world places of every part's cage."""
    found = {}
    for part in PART_NAMES + EYE_PART_NAMES:
        obj = tags.part_object(collection, part)
        subdivision(obj).show_viewport = False
        found[part] = evaluated(bpy, obj)
    return found


def assert_in_place(bpy, collection, result: HeadResult) -> None:
    """Every part and camera lies where the result has it, seen from where the head frame's origin is in the world."""
    for part in result.parts:
        np.testing.assert_allclose(world(bpy, collection)[part.name], to_blender(part.vertices), atol=2e-6)
    tags.cameras_collection(collection).hide_viewport = False  # Blender does not place what is hidden
    bpy.context.view_layer.update()
    for camera in tags.camera_objects(collection):
        photo = next(photo for photo in result.photos if photo.name == camera[tags.PHOTO])
        centre = -photo.camera_from_head[:3, :3].T @ photo.camera_from_head[:3, 3]
        np.testing.assert_allclose(camera.matrix_world.translation, to_blender(centre), atol=1e-5)
    sent = np.frombuffer(neutral_head(collection), "<f4").reshape(-1, 3)
    np.testing.assert_allclose(sent, template_vertices(result.parts), atol=2e-6)


def test_a_head_stands_on_its_neck_and_eyes_on_their_centres(bpy, collection, head, result: HeadResult) -> None:
    points = coordinates(head.data.vertices)
    assert abs(points[:, 2].min()) < 0.05 and points[:, 2].max() > 0.2  # the origin was 0.6 m below
    low = points[points[:, 2] < 0.02, 1]
    assert head.location.x == 0.0 and low.min() < -0.02 and low.max() > 0.02  # inside the neck
    for part in ("eye_left", "eye_right"):
        ball = coordinates(tags.part_object(collection, part).data.vertices)
        away = np.linalg.norm(ball, axis=1)
        assert 0.01 < away.mean() < 0.015 and np.quantile(np.abs(away - np.median(away)), 0.9) < 0.0015
    assert_in_place(bpy, collection, result)


def test_an_eye_that_is_turned_stays_in_its_socket(bpy, collection) -> None:
    before = world(bpy, collection)["eye_left"]
    tags.part_object(collection, "eye_left").rotation_euler = (0.0, 0.0, 0.3)
    after = world(bpy, collection)["eye_left"]
    assert np.linalg.norm(after.mean(0) - before.mean(0)) < 0.001 < np.linalg.norm(after - before, axis=1).max()


def test_solving_again_keeps_the_heads_place_and_moves_the_eyes_centres(bpy, collection, result: HeadResult) -> None:
    head = tags.part_object(collection, "head")
    place = head.location.copy()
    import_head(larger(result), bpy.context, (), into=collection[tags.HEAD_ID])
    assert head.location == place
    assert_in_place(bpy, collection, larger(result))
    ball = coordinates(tags.part_object(collection, "eye_left").data.vertices)
    assert np.abs(0.5 * (ball.min(0) + ball.max(0))).max() < 0.002
    bpy.data.objects.remove(tags.part_object(collection, "eye_left"))
    bpy.data.objects.remove(tags.part_object(collection, "tongue"))
    import_head(result, bpy.context, (), into=collection[tags.HEAD_ID])
    assert_in_place(bpy, collection, result)


def test_a_head_that_was_deleted_fits_on_what_is_left_of_it(bpy, collection, result: HeadResult) -> None:
    bpy.data.objects.remove(tags.part_object(collection, "head"))
    import_head(larger(result), bpy.context, (), into=collection[tags.HEAD_ID])
    assert_in_place(bpy, collection, larger(result))


def test_bones_are_where_the_head_is(bpy, collection, result: HeadResult) -> None:
    rig = build.put_rig(collection)
    bpy.context.view_layer.update()
    eye = np.array(rig.matrix_world @ rig.data.bones["eye.L"].head_local)
    np.testing.assert_allclose(eye, to_blender(importing.eye_centre(result.parts[1])), atol=1e-4)
    neck = np.array(rig.matrix_world @ rig.data.bones["neck"].head_local)
    np.testing.assert_allclose(neck, to_blender(importing.neck_pivot(result.head)), atol=2e-3)


@pytest.fixture
def shading(bpy):
    """Of a 3D View as Blender comes."""
    bpy.ops.wm.read_factory_settings()
    areas = (area for screen in bpy.data.screens for area in screen.areas if area.type == "VIEW_3D")
    return next(areas).spaces.active.shading


def test_a_fresh_view_shows_the_texture_in_even_light(shading) -> None:
    assert (shading.type, shading.color_type, shading.light) == ("SOLID", "MATERIAL", "STUDIO")
    show_albedo(shading)
    assert (shading.color_type, shading.light, shading.studio_light) == ("TEXTURE", "STUDIO", EVEN_LIGHT)
    assert not shading.show_object_outline, "no line across the neck"
    shading.show_object_outline = True
    show_albedo(shading)
    assert shading.show_object_outline, "an artist's choice stays"


@pytest.mark.parametrize(
    ("name", "chosen"), [("type", "WIREFRAME"), ("color_type", "OBJECT"), ("light", "FLAT"), ("studio_light", "rim.sl")]
)
def test_what_the_artist_chose_stays(shading, name: str, chosen: str) -> None:
    setattr(shading, name, chosen)
    before = shading.color_type
    show_albedo(shading)
    assert getattr(shading, name) == chosen
    assert shading.color_type == ("TEXTURE" if name in ("light", "studio_light") else before)


def test_solid_goes_to_material_preview_and_back_to_the_texture(shading) -> None:
    show_albedo(shading, material_preview=True)
    assert shading.type == "MATERIAL"
    shading.type = "SOLID"
    assert (shading.color_type, shading.studio_light) == ("TEXTURE", EVEN_LIGHT)


def region(kind: str, x: int, width: int) -> SimpleNamespace:
    return SimpleNamespace(type=kind, x=x, width=width)


def test_toolbar_and_sidebar_leave_the_middle_free() -> None:
    view = region("WINDOW", 100, 900)
    beside = [region("HEADER", 100, 900), region("TOOLS", 100, 50), region("UI", 720, 280), view]
    assert free_span(view, beside) == (50, 620)
    assert free_span(view, [region("UI", 100, 280), region("TOOLS", 950, 50)]) == (280, 850), "flipped to other sides"
    assert free_span(view, [region("TOOLS", 100, 1), region("UI", 999, 1)]) == (0, 900), "hidden"
    assert free_span(view, [region("TOOLS", 50, 50), region("UI", 1000, 280)]) == (0, 900), "next to the view"
    assert free_span(view, [region("TOOLS", 100, 440), region("UI", 500, 500)]) == (0, 900), "nothing is left"


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.2, -0.1)])
def test_a_small_face_fills_the_free_part_of_a_view_through_its_camera(offset: tuple[float, float]) -> None:
    size, span, zoom, base = np.array([900.0, 600.0]), (50, 620), 10.0, 50 * 2**0.5

    def on_screen(places: np.ndarray, zoom: float, offset: tuple[float, float]) -> np.ndarray:
        """Blender's own: places on the sensor at pixels."""
        grown = ((base + zoom) / base) ** 2
        return size / 2 + grown * (places - np.array(offset) * size)

    corners = np.array([[-160.0, 20.0], [-60.0, 110.0]])
    found = onto_box(zoom, offset, tuple(on_screen(corners, zoom, offset)), size, span, 0.9)
    low, high = on_screen(corners, *found)
    np.testing.assert_allclose((low + high) / 2, [335, 300], atol=0.5)
    np.testing.assert_allclose(high - low, [513, 461.7], atol=0.5)


@pytest.mark.parametrize("kind, shown", [("NVIDIA", "MATERIAL"), ("SOFTWARE", "SOLID")])
def test_without_a_graphics_card_a_head_is_first_seen_in_solid(monkeypatch, kind: str, shown: str) -> None:
    monkeypatch.setattr(cameras, "gpu", SimpleNamespace(platform=SimpleNamespace(device_type_get=lambda: kind)))
    shading = SimpleNamespace(type="SOLID", color_type="MATERIAL", light="STUDIO", studio_light="Default")
    show_albedo(shading, material_preview=True)
    assert shading.type == shown and shading.color_type == "TEXTURE"
