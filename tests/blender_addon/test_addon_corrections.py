"""Landmarks as points on a photo, from Blender's default scene: put out, dragged, kept, sent, undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from blender_addon.shared.options import HeadOptions
from scene_helpers import import_head

from blender_addon.client.events import Limits, Welcomed
from blender_addon.client.submissions import PhotoCorrections, PhotoFile, PhotoMask, Submission, composed
from blender_addon.errors import AddonError
from blender_addon.protocol.result import HeadResult
from blender_addon.scene.corrections import cells_of, new_cells, photo_mask_of, rectangles, stroke

PHOTO, ROTATED = "portrait.jpg", "crop.jpg"
CHIN, EAR_TOP, HAIR_LINE = 152, 478, 484


@pytest.fixture
def head(bpy, result: HeadResult, message):
    """A head in Blender's default scene: its collection."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=False)
    import addon_utils

    addon_utils.enable("blender_addon")
    assert "Cube" in bpy.data.objects
    return import_head(result, bpy.context, [PhotoFile(name, None, data) for name, data in message.photos.items()])


def points(bpy) -> dict[int, object]:
    return {obj["likeness_landmark"]: obj for obj in bpy.data.objects if "likeness_landmark" in obj}


def said(collection) -> tuple[PhotoCorrections, ...]:
    from blender_addon.scene import corrections

    return corrections.head_corrections(collection)


def drag(bpy, landmark: int, by: Sequence[float]) -> None:
    """Move a point by pixels of its photo, as G does in the camera's view."""
    point = points(bpy)[landmark]
    fx, fy, _, _ = point.parent["likeness_intrinsics"]
    point.location.x += -point.location.z * by[0] / fx
    point.location.y -= -point.location.z * by[1] / fy


@pytest.mark.parametrize("photo", [PHOTO, ROTATED])
def test_points_lie_where_the_head_has_its_landmarks(bpy, head, result: HeadResult, photo: str) -> None:
    from bpy_extras.object_utils import world_to_camera_view

    assert bpy.ops.likeness.edit_landmarks(photo=photo) == {"FINISHED"}
    scene, solved = bpy.context.scene, next(one for one in result.photos if one.name == photo)
    bpy.context.view_layer.update()
    skin, eye = bpy.data.objects["head"], scene.camera.matrix_world.translation
    away = [(skin.matrix_world @ vertex.co - eye).length for vertex in skin.data.vertices]
    assert len(points(bpy)) > 50
    assert {"Ear Top L", "Ear Lobe R", "Hair Line"} <= set(bpy.data.objects.keys())
    assert "Ear Side L" not in bpy.data.objects  # hidden in the photo
    for landmark, point in points(bpy).items():
        x, y, depth = world_to_camera_view(scene, scene.camera, point.matrix_world.translation)
        seen = np.array([x, 1 - y]) * [scene.render.resolution_x, scene.render.resolution_y]
        place = solved.landmarks[landmark, 2:] if landmark < 478 else solved.head_points[landmark - 478, :2]
        np.testing.assert_allclose(seen, place, atol=0.05)
        assert scene.camera.data.clip_start < depth < min(away)
    assert bpy.data.objects["head"].hide_get()  # the photo is to be seen
    assert said(head) == ()  # nobody has dragged anything
    bpy.ops.likeness.edit_landmarks(photo=photo)
    assert not points(bpy) and not bpy.data.objects["head"].hide_get() and said(head) == ()


def test_a_dragged_point_is_kept_in_the_file_and_reset(bpy, head, result: HeadResult, tmp_path: Path) -> None:
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    drag(bpy, CHIN, (6.0, 10.0))
    wanted = next(one for one in result.photos if one.name == PHOTO).landmarks[CHIN, 2:] + [6.0, 10.0]

    def check(collection) -> None:
        (one,) = said(collection)
        ((landmark, *place),) = one.points
        assert (one.label, one.use, landmark) == (PHOTO, "both", CHIN)
        np.testing.assert_allclose(place, wanted, atol=0.01)

    check(head)
    for number in range(2):  # with the points out, and put away
        path = str(tmp_path / f"{number}.blend")
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.open_mainfile(filepath=path)
        (collection,) = (c for c in bpy.data.collections if "likeness_id" in c)
        check(collection)
        bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    assert points(bpy)[CHIN].empty_display_type == "CUBE"
    check(collection)
    bpy.ops.likeness.reset_points(photo=PHOTO)
    assert said(collection) == () and points(bpy)[CHIN].empty_display_type == "SPHERE"


def test_selected_points_snap_back_to_the_fit_and_are_not_sent(bpy, head, result: HeadResult) -> None:
    """One step that is undone; points that are not selected keep their corrections, stored ones are snapped, too."""
    from blender_addon.objects import tags

    head_id, chin = head["likeness_id"], next(one for one in result.photos if one.name == PHOTO).landmarks[CHIN, 2:]

    def corrected() -> set[int]:
        return {landmark for one in said(tags.collection_of_id(head_id)) for landmark, _, _ in one.points}

    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    with pytest.raises(RuntimeError, match="Select landmarks"):
        bpy.ops.likeness.snap_to_fit()
    for landmark in (CHIN, EAR_TOP, 4):
        drag(bpy, landmark, (6.0, 10.0))
    for _ in range(2):  # stored, and put out again as corrected points
        bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    assert points(bpy)[CHIN].empty_display_type == "CUBE" and corrected() == {CHIN, EAR_TOP, 4}
    for landmark in (CHIN, EAR_TOP):
        points(bpy)[landmark].select_set(True)
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.likeness.snap_to_fit("EXEC_DEFAULT", True) == {"FINISHED"}
    assert corrected() == {4} and points(bpy)[CHIN].empty_display_type == "SPHERE"
    fx, fy, cx, cy = points(bpy)[CHIN].parent["likeness_intrinsics"]
    x, y, z = points(bpy)[CHIN].location
    np.testing.assert_allclose([fx * x / -z + cx, -fy * y / -z + cy], chin, atol=0.01)
    bpy.ops.ed.undo()
    assert corrected() == {CHIN, EAR_TOP, 4}
    bpy.ops.ed.redo()
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    assert corrected() == {4}


def test_a_point_that_the_fit_does_not_know_stays_where_it_was_put(bpy, head) -> None:
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    drag(bpy, EAR_TOP, (6.0, 10.0))
    point = points(bpy)[EAR_TOP]
    places = list(point.parent["likeness_head_points"])
    places[2] = -1.0  # hidden in what the photo was solved with last
    point.parent["likeness_head_points"] = places
    point.select_set(True)
    before = said(head)
    assert before and bpy.ops.likeness.snap_to_fit() == {"CANCELLED"}
    assert said(head) == before


def test_a_drag_is_undone(bpy, head) -> None:
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    bpy.ops.ed.undo_push(message="before")
    drag(bpy, CHIN, (0.0, 12.0))
    bpy.ops.ed.undo_push(message="dragged")
    head_id = head["likeness_id"]
    assert len(said(head)) == 1
    bpy.ops.ed.undo()
    from blender_addon.objects import tags

    assert said(tags.collection_of_id(head_id)) == ()


def test_solving_again_keeps_the_points_and_moves_the_others(bpy, head, result: HeadResult) -> None:
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    bpy.ops.likeness.use_photo_for(photo=ROTATED, use="texture")
    drag(bpy, CHIN, (6.0, 10.0))
    before = {one.label: one for one in said(head)}
    shifted = [replace(one, landmarks=one.landmarks + np.float32(3.0)) for one in result.photos]
    import_head(replace(result, photos=tuple(shifted)), bpy.context, into=head["likeness_id"])
    after = {one.label: one for one in said(head)}
    assert after.keys() == before.keys() == {PHOTO, ROTATED} and after[ROTATED].use == "texture"
    np.testing.assert_allclose(after[PHOTO].points, before[PHOTO].points, atol=0.01)
    assert points(bpy)[CHIN].empty_display_type == "CUBE"
    camera = points(bpy)[4].parent
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    assert camera["likeness_landmarks"][2] == pytest.approx(float(shifted[0].landmarks[0, 2]), abs=1e-3)


def test_ears_and_hair_line_are_dragged_and_a_fit_that_looked_for_no_hair_leaves_the_line(
    bpy, head, result: HeadResult
) -> None:
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    camera = points(bpy)[EAR_TOP].parent
    drag(bpy, EAR_TOP, (4.0, 0.0))
    drag(bpy, HAIR_LINE, (0.0, -5.0))
    (one,) = said(head)
    before = next(one for one in result.photos if one.name == PHOTO).head_points
    assert {number: (round(x), round(y)) for number, x, y in one.points} == {
        EAR_TOP: tuple(np.round(before[0, :2] + [4, 0])),
        HAIR_LINE: tuple(np.round(before[6, :2] - [0, 5])),
    }
    assert corrections_sent(one)["points"]
    moved = [replace(one, head_points=one.head_points + np.float32([2, 2, 0])) for one in result.photos]
    for photo in moved:
        photo.head_points[6:, 2] = -1.0
    import_head(replace(result, photos=tuple(moved)), bpy.context, into=head["likeness_id"])
    now = np.reshape(camera["likeness_head_points"], (11, 3))
    np.testing.assert_allclose(now[:6, :2], before[:6, :2] + 2, atol=1e-3)
    np.testing.assert_allclose(now[6:], before[6:], atol=1e-3)


def test_what_was_said_is_sent_with_every_solve(bpy, head, monkeypatch: pytest.MonkeyPatch) -> None:
    from blender_addon.operators import reconstruct

    jobs = []

    class Sent:
        busy_reason, busy = "", False

        def begin(self, job: object, backend: object) -> None:
            jobs.append(job)
            raise AddonError("That is all.", "")

    monkeypatch.setattr(reconstruct, "session", Sent)
    monkeypatch.setattr(reconstruct, "chosen_backend", lambda context: None)
    with pytest.raises(RuntimeError, match="No landmark"):
        bpy.ops.likeness.fit_corrections()
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    drag(bpy, CHIN, (6.0, 10.0))
    for operator in (bpy.ops.likeness.fit_corrections, bpy.ops.likeness.solve_again):
        with pytest.raises(RuntimeError, match="That is all"):
            operator()
    assert len(jobs) == 2 and jobs[0].corrections == jobs[1].corrections == said(head)
    assert [job.only for job in jobs] == ["geometry", ""]


def mask(bpy, head, photo: str) -> PhotoMask:
    """Paint a stroke of the brush in the middle of a photo, as the operator does, and keep it."""
    from blender_addon.objects import tags
    from blender_addon.operators.corrections import Painting
    from blender_addon.scene import corrections
    from blender_addon.scene import corrections as photo_mask

    camera = next(one for one in tags.camera_objects(head) if one["likeness_photo"] == photo)
    size = tuple(int(side) for side in camera[tags.PHOTO_SIZE])
    painting = Painting(size, photo_mask.cells_of(corrections.of_photo(head, photo).mask, size))
    painting.begin((0.4 * size[0], 0.5 * size[1]), masks=True)
    painting.go((0.6 * size[0], 0.5 * size[1]))
    painting.end()
    corrections.change(head, photo, mask=photo_mask.photo_mask_of(painting.cells))
    return corrections.of_photo(head, photo).mask


def corrections_sent(one: PhotoCorrections) -> dict[str, object]:
    """What goes to a server."""
    limits = Limits(header_bytes=2**16, frame_bytes=10**6, message_bytes=10**7, photos=9)
    server = Welcomed("i", limits, True, 2.0, 15.0)
    header, _ = composed(Submission("t", (PhotoFile(one.label, data=b"x"),), {}, (one,)), server)
    (described,) = header["options"]["corrections"]
    return described


@pytest.mark.parametrize("size", [(400, 300), (300, 900), (50, 50), (6000, 4000)])
def test_a_brush_masks_and_clears_what_it_goes_over(size: tuple[int, int]) -> None:
    cells = new_cells(size)
    assert max(cells.shape) == 256 and not cells.any() and photo_mask_of(cells) is None
    width, height = size
    start, stop, radius = (0.3 * width, 0.5 * height), (0.6 * width, 0.5 * height), 0.06 * max(size)
    masked = stroke(cells, size, start, stop, radius, True)
    row, column = np.nonzero(masked)
    per_cell = width / masked.shape[1]
    x, y = (column + 0.5) * per_cell, (row + 0.5) * height / masked.shape[0]
    outside = np.maximum(np.maximum(start[0] - x, x - stop[0]), 0.0)
    assert np.hypot(outside, y - start[1]).max() <= radius + 2.0 * per_cell
    area = (stop[0] - start[0]) * 2.0 * radius + np.pi * radius**2
    if height > 4.0 * radius:
        assert masked.mean() * width * height == pytest.approx(area, rel=0.1)
    assert not stroke(masked, size, start, stop, 2.0 * radius, False).any()
    again = photo_mask_of(masked)
    np.testing.assert_array_equal(cells_of(again, size), masked)
    assert again.share == pytest.approx(masked.mean())
    drawn = rectangles(masked)
    assert ((drawn[:, 2] - drawn[:, 0]) * (drawn[:, 3] - drawn[:, 1])).sum() == pytest.approx(masked.mean())


def test_a_mask_is_kept_in_the_file_sent_and_cleared(bpy, head, tmp_path: Path) -> None:
    kept = mask(bpy, head, PHOTO)
    bpy.ops.likeness.use_photo_for(photo=PHOTO, use="shape")
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    drag(bpy, CHIN, (6.0, 10.0))
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    path = str(tmp_path / "masked.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    (collection,) = (c for c in bpy.data.collections if "likeness_id" in c)
    (one,) = said(collection)
    assert one.mask == kept and one.use == "shape" and len(one.points) == 1
    described = corrections_sent(one)
    assert described["mask"] == {"width": kept.width, "height": kept.height, "runs": kept.runs}
    bpy.ops.likeness.reset_points(photo=PHOTO)
    bpy.ops.likeness.use_photo_for(photo=PHOTO, use="both")
    assert said(collection)[0].mask == kept
    bpy.ops.likeness.clear_mask(photo=PHOTO)
    assert said(collection) == ()
    assert bpy.ops.likeness.fit_corrections.poll()  # the head has still the shape of the masked photo


def test_a_mask_is_undone_and_outlives_a_solve(bpy, head, result: HeadResult) -> None:
    from blender_addon.objects import tags

    head_id = head["likeness_id"]
    bpy.ops.ed.undo_push(message="before")
    kept = mask(bpy, head, PHOTO)
    bpy.ops.ed.undo_push(message="masked")
    bpy.ops.ed.undo()
    assert said(tags.collection_of_id(head_id)) == ()
    bpy.ops.ed.redo()
    import_head(result, bpy.context, into=head_id)
    assert said(tags.collection_of_id(head_id))[0].mask == kept


def test_a_fit_moves_shape_keys_cameras_and_hair_and_leaves_the_rest(bpy, head, result: HeadResult) -> None:
    from blender_addon.objects import tags
    from blender_addon.objects.meshes import neutral_coordinates
    from blender_addon.scene.hair import is_groomed

    mesh, hair = tags.part_object(head, "head"), tags.hair_object(head)
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    mesh.data.shape_keys.key_blocks["jawOpen"].value = 0.25
    drag(bpy, CHIN, (6.0, 10.0))
    kept = (mesh.data.materials[0].as_pointer(), head[tags.ALBEDO].as_pointer(), hair.as_pointer())
    relief = [image.name for image in bpy.data.images if tags.RELIEF in image]
    rest, stood = neutral_coordinates(mesh.data), tags.camera_objects(head)[0].location.copy()
    wider = np.float32([1.05, 1.0, 1.0])
    poses = [replace(one, camera_from_head=one.camera_from_head + np.eye(4, k=3) * 0.01) for one in result.photos]
    fitted = replace(
        result,
        parts=tuple(replace(part, vertices=part.vertices * wider, keys=part.keys * 0.5) for part in result.parts),
        photos=tuple(poses),
        report={"photos": result.report["photos"], "seconds.fit": 0.5},
        albedo_png=None,
        hair=None,
        detail=None,
    )
    assert fitted.geometry_only and not result.geometry_only
    strands = np.empty(3 * len(hair.data.points), np.float32)
    hair.data.position_data.foreach_get("vector", strands)
    import_head(fitted, bpy.context, into=head["likeness_id"])
    np.testing.assert_allclose(neutral_coordinates(mesh.data), rest * wider, atol=1e-5)
    blocks = mesh.data.shape_keys.key_blocks
    assert blocks["jawOpen"].value == 0.25
    assert np.abs(tags.camera_objects(head)[0].location - stood).max() > 0.005
    assert (mesh.data.materials[0].as_pointer(), head[tags.ALBEDO].as_pointer(), hair.as_pointer()) == kept
    assert [image.name for image in bpy.data.images if tags.RELIEF in image] == relief and relief
    moved = np.empty_like(strands)
    hair.data.position_data.foreach_get("vector", moved)
    assert 0.001 < np.abs(moved - strands).max() < 0.02 and not is_groomed(hair)
    assert '"versions"' in head[tags.REPORT] and '"seconds.fit": 0.5' in head[tags.REPORT]
    assert points(bpy)[CHIN].empty_display_type == "CUBE"


def test_a_fit_whose_head_is_gone_makes_no_grey_one(bpy, head, result: HeadResult) -> None:
    from blender_addon.objects import tags
    from blender_addon.objects.tags import Place
    from blender_addon.session import Job, _guarded

    place, bare = Place.shown(bpy.context), replace(result, albedo_png=None)
    job = Job(place, (), (), HeadOptions(texture_size=1024), into="gone", only="geometry")
    with pytest.raises(AddonError) as caught:
        list(_guarded(bare, place, job))
    assert caught.value.code == "head_gone" and len(tags.head_collections()) == 1


def test_more_corrections_than_a_message_holds_are_named_before_it_is_sent() -> None:
    """1,434 points and two brushes fit; with the largest mask they and long names do not."""
    server = Welcomed("i", Limits(2**16, 10**6, 10**7, 9), True, 2.0, 15.0)
    points = tuple((landmark, 1000.0 + landmark / 7.0, 2000.0 + landmark / 7.0) for landmark in range(478))
    photos = tuple(PhotoFile(f"{name}.jpg", data=b"x") for name in "abc")
    placed = tuple(PhotoCorrections(photo.label, points=points) for photo in photos)
    header, _ = composed(Submission("t", photos, {}, placed), server)
    assert header["options"]["corrections"][0]["points"][1] == [1, 1000.14, 2000.14]
    brushed = tuple(replace(one, brush=bytes(range(128)) * 64) for one in placed[:2]) + placed[2:]
    composed(Submission("t", photos, {}, brushed), server)
    masked = (*brushed[:2], replace(placed[2], mask=PhotoMask(256, 256, (120, 120) * 1500)))
    photos += tuple(PhotoFile(f"{number}{' of a long name' * 10}.jpg", data=b"x") for number in range(6))
    with pytest.raises(AddonError, match="more corrections than") as caught:
        composed(Submission("t", photos, {}, masked), server)
    assert caught.value.code == "too_large"
