"""Blender's cameras against K and the pose; the photos behind them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from head_message import HeadMessage, jpeg
from mathutils import Euler, Vector
from scene_helpers import evaluated, import_head, subdivision

from blender_addon.client.submissions import PhotoFile
from blender_addon.objects import tags
from blender_addon.objects.tags import cameras_by_photo
from blender_addon.protocol.result import HeadResult
from blender_addon.scene import cameras
from blender_addon.scene.own_head import stored_photos

PHOTOS = ("portrait.jpg", "landscape äö.jpg", "crop.jpg", "square.jpg")


def projected(result: HeadResult, name: str) -> np.ndarray:
    """(V, 2) pixels of the head's vertices by the message's own numbers."""
    photo = next(photo for photo in result.photos if photo.name == name)
    points = result.head.vertices.astype(float) @ photo.camera_from_head[:3, :3].T + photo.camera_from_head[:3, 3]
    pixels = points @ photo.intrinsics.T
    return pixels[:, :2] / pixels[:, 2:]


def seen(bpy, points: np.ndarray, camera) -> np.ndarray:
    """(V, 2) pixels of world points by Blender's camera and render size."""
    scene = bpy.context.scene
    size = np.array([scene.render.resolution_x, scene.render.resolution_y])
    views = np.array([world_to_camera_view(scene, camera, Vector(point))[:2] for point in points])
    return np.stack([views[:, 0], 1 - views[:, 1]], axis=1) * size


@pytest.mark.parametrize("name", PHOTOS)
def test_blenders_camera_is_the_solved_one(bpy, collection, result: HeadResult, name: str) -> None:
    for modifier in tags.part_object(collection, "head").modifiers:
        modifier.show_viewport = False
    camera = cameras_by_photo(collection)[name]
    cameras.look_through(bpy.context, camera)
    assert bpy.context.scene.camera == camera
    points = evaluated(bpy, tags.part_object(collection, "head"))[::40]
    expected = projected(result, name)[::40]
    assert np.ptp(expected[:, 1]) > 50
    np.testing.assert_allclose(seen(bpy, points, camera), expected, atol=0.1)


@pytest.mark.parametrize(("system", "scale"), [("METRIC", 100.0), ("IMPERIAL", 100.0), ("NONE", 1.0)])
def test_a_head_has_its_real_size_in_scenes_of_another_unit(bpy, result: HeadResult, system: str, scale: float) -> None:
    units = bpy.context.scene.unit_settings
    units.system, units.scale_length = system, 0.01
    collection = import_head(result, bpy.context)
    head, camera = tags.part_object(collection, "head"), cameras_by_photo(collection)["square.jpg"]
    subdivision(head).show_viewport = False
    assert camera.data.clip_end == pytest.approx(100 * scale)
    cameras.look_through(bpy.context, camera)
    points = evaluated(bpy, head)[::40]
    assert np.ptp(points[:, 2]) == pytest.approx(scale * np.ptp(result.head.vertices[::40, 1]), rel=1e-4)
    np.testing.assert_allclose(seen(bpy, points, camera), projected(result, "square.jpg")[::40], atol=0.1)
    away = np.linalg.norm(points - np.array(camera.matrix_world.translation), axis=1)
    assert camera.data.clip_start < away.min() and away.max() < camera.data.clip_end
    tongue = tags.part_object(collection, "tongue")
    assert tongue.matrix_world.to_scale().x == pytest.approx(scale)

    units.scale_length = 1.0  # somebody changed it: what is there stays as large
    import_head(result, bpy.context, into=collection[tags.HEAD_ID])
    assert head.scale.x == pytest.approx(scale)


def test_cubes_before_and_behind_the_head_hide_neither_head_nor_photo(bpy, collection, tmp_path: Path) -> None:
    camera, head = cameras_by_photo(collection)["square.jpg"], tags.part_object(collection, "head")
    scene = bpy.context.scene
    subdivision(head).show_render = False
    tags.hair_object(collection).hide_render = True  # which would take half a minute
    cameras.look_through(bpy.context, camera)
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 1, "CPU"
    scene.render.film_transparent, scene.render.resolution_percentage = True, 10
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"

    def silhouette() -> np.ndarray:
        scene.render.filepath = str(tmp_path / "seen.png")
        bpy.ops.render.render(write_still=True)
        picture = bpy.data.images.load(scene.render.filepath)
        alpha = np.array(picture.pixels[:])[3::4] > 0.5
        bpy.data.images.remove(picture)
        return alpha

    alone = silhouette()
    assert 0.05 < alone.mean() < 0.9
    eye, middle = camera.matrix_world.translation, Vector(evaluated(bpy, head).mean(axis=0))
    for share in (0.4, 2.5):  # of the way to the head
        bpy.ops.mesh.primitive_cube_add(size=0.15, location=eye.lerp(middle, share))
    np.testing.assert_array_equal(silhouette(), alone)


def test_a_head_that_is_solved_again_while_its_photo_is_looked_through_is_seen_whole(bpy, collection, result) -> None:
    """The camera has moved away from the head."""
    camera, head = cameras_by_photo(collection)["square.jpg"], tags.part_object(collection, "head")
    cameras.look_through(bpy.context, camera)
    pose = next(photo.camera_from_head for photo in result.photos if photo.name == "square.jpg").copy()
    pose[2, 3] += 0.5
    away = replace(
        result, photos=tuple(replace(p, camera_from_head=pose) if p.name == "square.jpg" else p for p in result.photos)
    )
    import_head(away, bpy.context, into=collection[tags.HEAD_ID])
    bpy.context.view_layer.update()
    depths = np.linalg.norm(evaluated(bpy, head) - np.array(camera.matrix_world.translation), axis=1)
    assert camera.data.clip_start < depths.min() and depths.max() < camera.data.clip_end


def test_cameras_follow_a_head_that_is_moved_and_turned(bpy, collection, head, result: HeadResult) -> None:
    head.location, head.rotation_euler = (1.0, -2.0, 0.5), Euler((0.3, -0.2, 1.0))
    subdivision(head).show_viewport = False
    camera = cameras_by_photo(collection)["crop.jpg"]
    cameras.look_through(bpy.context, camera)
    points = evaluated(bpy, head)[::40]
    np.testing.assert_allclose(seen(bpy, points, camera), projected(result, "crop.jpg")[::40], atol=0.1)


def test_a_large_photo_is_not_rendered_at_full_size(bpy, collection) -> None:
    camera = cameras_by_photo(collection)["portrait.jpg"]
    render = bpy.context.scene.render
    for size, percentage in (((300, 400), 100), ((6000, 4000), 34), ((3000, 8192), 25)):
        camera[tags.PHOTO_SIZE] = list(size)
        cameras.look_through(bpy.context, camera)
        assert (render.resolution_x, render.resolution_y, render.resolution_percentage) == (*size, percentage)


@pytest.mark.parametrize(
    ("size", "fy"), [((640, 400), 560.0), ((640, 400), 800.0), ((400, 640), 800.0), ((500, 480), 900.0)]
)
def test_two_focal_lengths_become_a_pixel_aspect(bpy, size: tuple[int, int], fy: float) -> None:
    intrinsics = np.array([[700.0, 0, 300.0], [0, fy, 220.0], [0, 0, 1]])
    lens = cameras.lens_of(intrinsics, size)
    data = bpy.data.cameras.new("c")
    camera = bpy.data.objects.new("c", data)
    bpy.context.scene.collection.objects.link(camera)
    data.sensor_fit, data.lens = lens.fit, lens.focal_mm
    data.sensor_width = data.sensor_height = cameras.SENSOR_MM
    data.shift_x, data.shift_y = lens.shift_x, lens.shift_y
    render = bpy.context.scene.render
    render.resolution_x, render.resolution_y = size
    render.pixel_aspect_x, render.pixel_aspect_y = lens.pixel_aspect
    bpy.context.view_layer.update()
    points = np.array([[0.1, 0.05, -1.0], [-0.2, -0.1, -1.5], [0.0, 0.2, -0.8]])  # Blender's camera looks along -z
    expected = (points * [1, -1, -1]) @ intrinsics.T
    np.testing.assert_allclose(seen(bpy, points, camera), expected[:, :2] / expected[:, 2:], atol=0.1)


def test_photos_are_behind_their_cameras(collection, message: HeadMessage) -> None:
    found = tags.camera_objects(collection)
    assert [camera[tags.PHOTO] for camera in found] == list(PHOTOS)
    for camera in found:
        (background,) = camera.data.background_images
        assert camera.data.show_background_images
        assert bytes(background.image.packed_file.data) == message.photos[camera[tags.PHOTO]]
    turned = cameras_by_photo(collection)["crop.jpg"].data.background_images[0]
    assert turned.rotation == pytest.approx(np.pi / 2) and turned.scale == pytest.approx(500 / 360)
    upright = cameras_by_photo(collection)["portrait.jpg"].data.background_images[0]
    assert (upright.rotation, upright.scale, upright.use_flip_x) == (0.0, 1.0, False)


def test_leaving_gives_the_scene_its_camera_and_size_back(bpy, collection) -> None:
    scene = bpy.context.scene
    own = bpy.data.objects.new("own", bpy.data.cameras.new("own"))
    scene.collection.objects.link(own)
    scene.camera = own
    scene.render.resolution_x, scene.render.resolution_y = 1234, 567
    for name in PHOTOS[:2]:
        cameras.look_through(bpy.context, cameras_by_photo(collection)[name])
    assert (scene.render.resolution_x, scene.render.resolution_y) == (640, 400)
    cameras.leave_cameras(bpy.context)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (1234, 567)
    assert scene.camera == own
    scene.render.resolution_x = 99
    cameras.leave_cameras(bpy.context)  # nothing to leave
    assert scene.render.resolution_x == 99


@pytest.mark.parametrize("projection", ["ORTHO", "PERSP"])
def test_leaving_gives_the_view_its_projection_back(bpy, result, photo_files, projection: str) -> None:
    bpy.ops.wm.read_factory_settings()  # with windows
    collection = import_head(result, bpy.context, photo_files)
    window = bpy.context.window_manager.windows[0]
    with bpy.context.temp_override(window=window, area=None):
        areas = [area for area in window.screen.areas if area.type == "VIEW_3D"]
        view = areas[0].spaces.active.region_3d
        view.view_perspective = projection
        view.view_rotation, view.view_distance = (0.8, 0.6, 0.0, 0.0), 3.0
        for name in PHOTOS[:2]:
            cameras.look_through(bpy.context, cameras_by_photo(collection)[name])
        assert view.view_perspective == "CAMERA"
        view.view_rotation, view.view_distance = (1.0, 0.0, 0.0, 0.0), 9.0  # as a window does it
        cameras.leave_cameras(bpy.context)
        assert view.view_perspective == projection and view.view_distance == 3.0
        assert tuple(view.view_rotation) == pytest.approx((0.8, 0.6, 0.0, 0.0))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations(orientation: int) -> None:
    image_module = pytest.importorskip("PIL.Image")
    ops = pytest.importorskip("PIL.ImageOps")
    picture = image_module.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3))
    exif = image_module.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif)
    stored = image_module.open(io.BytesIO(file.getvalue()))
    mirror, quarters = cameras.exif_turn(file.getvalue())
    pixels = np.asarray(stored)
    mirrored = pixels[:, ::-1] if mirror else pixels
    np.testing.assert_array_equal(np.rot90(mirrored, -quarters), np.asarray(ops.exif_transpose(stored)))


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\0\x10Exif\0\0II*\0\xff\xff\xff\xff", b"\x89PNG", b"\xff" * 99]
)
def test_files_without_orientation_stay_as_they_are(data: bytes) -> None:
    assert cameras.exif_turn(data) == (False, 0)


def test_a_photo_that_blender_cannot_show_has_its_camera_all_the_same(bpy, result: HeadResult) -> None:
    heic = b"\0\0\0\x18ftypheic" + bytes(100)
    collection = import_head(result, bpy.context, [PhotoFile("crop.jpg", None, heic)])
    camera = cameras_by_photo(collection)["crop.jpg"]
    assert not camera.data.background_images and camera.data.lens > 1
    assert stored_photos(collection)[0].data == heic  # it is still there to solve again


def test_every_cut_of_a_photo_is_survived() -> None:
    pytest.importorskip("PIL")
    data = jpeg((8, 8), 6)
    assert cameras.exif_turn(data) == (False, 1)
    for end in range(0, 80):
        cameras.exif_turn(data[:end])
