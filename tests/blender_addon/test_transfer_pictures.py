"""Expression from Photo and Animate from Video, end to end: the operators against the real backend."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
import pytest

pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("ai_edge_litert")
import addon_utils  # noqa: E402

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "scene")]
from blender_addon.shared.names import ARKIT_NAMES  # noqa: E402
from head_message import template_vertices  # noqa: E402
from scene_helpers import import_head  # noqa: E402
from transfer_rigs import rig, select, undone_in_one_step, values_at  # noqa: E402

from blender_addon.objects import tags  # noqa: E402
from blender_addon.objects.actions import animated_keys, fcurves_of  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene.own_head import neutral_head  # noqa: E402

ROOT = HERE.parents[1]
ARKIT = sorted(ARKIT_NAMES)
FRAMES = 6


@pytest.fixture(scope="module")
def pictures(demo_photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``photo.jpg`` of a rendered person, ``clip.mp4`` in which the person moves sideways, ``grey.png``."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels = cv2.resize(cv2.imread(str(demo_photos[0])), (240, 300), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "photo.jpg"), pixels)
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 12.0, (240, 300))
    for number in range(FRAMES):
        writer.write(np.roll(pixels, 2 * number, axis=1))
    writer.release()
    cv2.imwrite(str(folder / "grey.png"), np.full((64, 64, 3), 128, np.uint8))
    return folder


@pytest.fixture(scope="module")
def enabled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The extension with this checkout as its backend, which runs from the first click to the last test."""
    from blender_addon import installer
    from blender_addon.backend_process.folders import BackendFolder

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIKENESS_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        backend = tmp_path_factory.mktemp("backend")
        patch.setattr(installer, "own_folder", lambda: BackendFolder(backend))
        bpy.ops.wm.read_factory_settings(use_empty=True)
        assert addon_utils.enable("blender_addon", default_set=True) is not None
        chosen = bpy.context.preferences.addons["blender_addon"].preferences
        chosen.where, chosen.existing_python, chosen.existing_source = "EXISTING", sys.executable, str(ROOT)
        yield
        addon_utils.disable("blender_addon", default_set=True)


@pytest.fixture
def head(enabled: None, result: HeadResult) -> Iterator:
    collection = import_head(result, bpy.context)
    yield collection
    bpy.data.batch_remove([*collection.all_objects, collection])


def shown(obj) -> dict[str, float]:
    return {block.name: block.value for block in obj.data.shape_keys.key_blocks[1:]}


def test_a_photo_a_video_and_no_face(enabled: None, pictures: Path, capfd: pytest.CaptureFixture) -> None:
    from blender_addon.session import session

    arkit, other = rig(bpy, "arkit", ARKIT), rig(bpy, "other", ["Jaw_Open", "EyeBlink_L", "odd"])
    select(bpy, arkit, other)
    assert bpy.ops.likeness.expression_from_photo(filepath=str(pictures / "photo.jpg")) == {"FINISHED"}
    values = shown(arkit)
    assert sum(value > 0.01 for value in values.values()) > 5 and max(values.values()) <= 1
    assert shown(other)["Jaw_Open"] == pytest.approx(values["jawOpen"], abs=1e-5)
    assert shown(other)["EyeBlink_L"] == pytest.approx(values["eyeBlinkLeft"], abs=1e-5)
    assert not fcurves_of(arkit.data.shape_keys)

    server = session().runner.process.pid
    bpy.context.scene.render.fps = 24
    assert bpy.ops.likeness.animate_from_video(filepath=str(pictures / "clip.mp4"), start=5) == {"FINISHED"}
    assert session().runner.process.pid == server  # the same backend, warm
    assert "Transferred the animation to 2 meshes" in capfd.readouterr().out
    curves = dict(animated_keys(arkit.data.shape_keys))
    assert set(curves) == set(ARKIT_NAMES)
    frames = [point.co.x for point in curves["jawOpen"].keyframe_points]
    assert frames == [5 + number for number in range(2 * FRAMES - 1)]  # 12 frames a second at the scene's 24
    assert np.ptp(values_at(bpy, arkit, "jawOpen", frames)) < 0.3  # the person holds still

    with pytest.raises(RuntimeError, match="No face was found in any of the pictures"):
        bpy.ops.likeness.expression_from_photo(filepath=str(pictures / "grey.png"))
    (pictures / "broken.mp4").write_bytes(b"not a video at all")
    with pytest.raises(RuntimeError, match=r"broken\.mp4 is not a video that can be read"):
        bpy.ops.likeness.animate_from_video(filepath=str(pictures / "broken.mp4"))
    with pytest.raises(RuntimeError, match=r"none\.jpg could not be read"):
        bpy.ops.likeness.expression_from_photo(filepath=str(pictures / "none.jpg"))
    assert not session().busy and not session().view.phase.busy and not session().view.sentence


def test_a_photo_and_a_video_are_undone_in_one_step_each(enabled: None, pictures: Path) -> None:
    select(bpy, rig(bpy, "undone", ARKIT))

    def state() -> tuple[dict[str, float], int]:
        obj = bpy.data.objects["undone"]
        return shown(obj), sum(len(curve.keyframe_points) for curve in fcurves_of(obj.data.shape_keys))

    undone_in_one_step(bpy, bpy.ops.likeness.expression_from_photo, state, filepath=str(pictures / "photo.jpg"))
    undone_in_one_step(bpy, bpy.ops.likeness.animate_from_video, state, filepath=str(pictures / "clip.mp4"))
    assert state()[1] == len(ARKIT) * (2 * FRAMES - 1)


def test_cancelling_frees_the_backend(enabled: None, pictures: Path) -> None:
    from blender_addon.client.submissions import Transfer
    from blender_addon.operators.transfer import solved
    from blender_addon.session import session
    from blender_addon.settings.preferences import chosen_backend

    steps = solved(Transfer("cancelled-one", video=pictures / "clip.mp4"), chosen_backend(bpy.context))
    end = time.monotonic() + 60
    while next(steps) and session().runner.view.phase.value != "running":
        assert time.monotonic() < end
        time.sleep(0.01)
    assert session().busy and not bpy.ops.likeness.expression_from_photo.poll()
    assert not bpy.ops.likeness.reconstruct.poll()
    steps.close()
    while session().busy:
        assert time.monotonic() < end
        session().tick()
        time.sleep(0.01)
    assert bpy.ops.likeness.expression_from_photo.poll()


def test_the_person_may_be_a_head_of_the_scene(head, pictures: Path, result: HeadResult) -> None:
    sent = np.frombuffer(neutral_head(head), "<f4").reshape(-1, 3)
    np.testing.assert_allclose(sent, template_vertices(result.parts), atol=1e-6)
    skin = tags.part_object(head, "head")
    bpy.context.scene.likeness_transfer.person = head
    select(bpy, skin)
    assert bpy.ops.likeness.expression_from_photo(filepath=str(pictures / "photo.jpg")) == {"FINISHED"}
    assert sum(value > 0.01 for value in shown(skin).values()) > 3
    bpy.data.objects.remove(tags.part_object(head, "tongue"))
    with pytest.raises(RuntimeError, match="has no tongue any more"):
        bpy.ops.likeness.expression_from_photo(filepath=str(pictures / "photo.jpg"))
