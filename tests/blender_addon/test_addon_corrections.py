"""Landmarks as points on a photo, from Blender's default scene: put out, dragged, kept, sent, undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blender_addon.client.events import Limits, Welcomed
from blender_addon.client.submissions import PhotoCorrections, PhotoFile, Submission, composed
from blender_addon.errors import AddonError
from blender_addon.protocol.result import HeadResult

pytestmark = pytest.mark.blender
PHOTO, ROTATED = "portrait.jpg", "crop.jpg"
CHIN = 152


@pytest.fixture
def head(bpy, result: HeadResult, message):
    """A head in Blender's default scene: its collection."""
    from blender_addon.scene.importing import import_head
    from blender_addon.scene.photo_files import PhotoFile as StoredPhoto

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=False)
    import addon_utils

    addon_utils.enable("blender_addon")
    assert "Cube" in bpy.data.objects
    return import_head(result, bpy.context, [StoredPhoto(name, data) for name, data in message.photos.items()])


def points(bpy) -> dict[int, object]:
    return {obj["likeness_landmark"]: obj for obj in bpy.data.objects if "likeness_landmark" in obj}


def said(collection) -> tuple[PhotoCorrections, ...]:
    from blender_addon.scene import corrections

    return corrections.of_head(collection)


def drag(bpy, landmark: int, by: Sequence[float]) -> None:
    """Move a point by pixels of its photo, as G does in the camera's view."""
    point = points(bpy)[landmark]
    fx, fy, _, _ = point.parent["likeness_intrinsics"]
    point.location.x += 0.1 * by[0] / fx
    point.location.y -= 0.1 * by[1] / fy


@pytest.mark.parametrize("photo", [PHOTO, ROTATED])
def test_points_lie_where_the_head_has_its_landmarks(bpy, head, result: HeadResult, photo: str) -> None:
    from bpy_extras.object_utils import world_to_camera_view

    assert bpy.ops.likeness.edit_landmarks(photo=photo) == {"FINISHED"}
    scene, solved = bpy.context.scene, next(one for one in result.photos if one.name == photo)
    bpy.context.view_layer.update()
    assert len(points(bpy)) > 50
    for landmark, point in points(bpy).items():
        x, y, depth = world_to_camera_view(scene, scene.camera, point.matrix_world.translation)
        seen = np.array([x, 1 - y]) * [scene.render.resolution_x, scene.render.resolution_y]
        np.testing.assert_allclose(seen, solved.landmarks[landmark, 2:], atol=0.05)
        assert scene.camera.data.clip_start < depth < 0.2
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


def test_a_drag_is_undone(bpy, head) -> None:
    bpy.ops.likeness.edit_landmarks(photo=PHOTO)
    bpy.ops.ed.undo_push(message="before")
    drag(bpy, CHIN, (0.0, 12.0))
    bpy.ops.ed.undo_push(message="dragged")
    head_id = head["likeness_id"]
    assert len(said(head)) == 1
    bpy.ops.ed.undo()
    from blender_addon.scene import tags

    assert said(tags.collection_of_id(head_id)) == ()


def test_solving_again_keeps_the_points_and_moves_the_others(bpy, head, result: HeadResult) -> None:
    from blender_addon.scene.importing import import_head

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


def test_what_was_said_is_sent_with_every_solve(bpy, head, monkeypatch: pytest.MonkeyPatch) -> None:
    from blender_addon.operators import reconstruct

    jobs = []

    class Sent:
        why_busy, busy = "", False

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


def test_a_backend_that_knows_no_corrections_is_not_asked() -> None:
    job = Submission(
        "t", (PhotoFile("a.jpg", data=b"x"),), {}, (PhotoCorrections("a.jpg", "shape", ((CHIN, 1.0, 2.0),)),)
    )
    limits = Limits(frame_bytes=10**6, message_bytes=10**7, photos=9)
    old = Welcomed("0.0.9", "i", None, "cpu", limits, True, 2.0, 15.0, frozenset())
    with pytest.raises(AddonError, match="takes no corrected landmarks"):
        composed(job, old)
    header, _ = composed(job, replace(old, capabilities=frozenset({"corrections"})))
    assert header["options"]["corrections"] == [{"name": "a.jpg", "use": "shape", "points": [[CHIN, 1.0, 2.0]]}]
