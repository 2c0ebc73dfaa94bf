"""What an artist does while the backend reads expressions off pictures: they go where they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import addon_utils
import bpy
import numpy as np
import pytest
from transfer_rigs import animate, rig, select

from blender_addon.objects.actions import animated_keys
from blender_addon.protocol.clips import ExpressionClip
from blender_addon.runner import JobView, Phase

Meanwhile = Callable[[Callable[[], None]], None]


def clip(frames: int) -> ExpressionClip:
    weights = np.linspace(0.25, 0.75, frames)[:, None]
    return ExpressionClip(
        ("jawOpen",), weights, np.arange(frames) / 10.0, np.ones(frames, bool), np.zeros(frames, bool)
    )


@pytest.fixture
def meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meanwhile]:
    """The extension in an empty file, and a backend that has three frames, or one of a photo, after what is given."""
    monkeypatch.setenv("LIKENESS_CONFIG_DIR", str(tmp_path / "config"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable("blender_addon", default_set=True)
    from blender_addon.operators import transfer as transfer_pictures

    (tmp_path / "a.jpg").write_bytes(b"x")

    def begin(act: Callable[[], None]) -> None:
        def solved(job, backend):
            yield JobView(Phase.RUNNING, "Following the expression", 0.5)
            act()
            return clip(1 if job.photos else 3)

        monkeypatch.setattr(transfer_pictures, "solved", solved)
        monkeypatch.setattr(transfer_pictures, "chosen_backend", lambda context: None)

    yield begin
    addon_utils.disable("blender_addon", default_set=True)


def another_scene_at_another_rate() -> None:
    bpy.context.window.scene = bpy.data.scenes.new("Other")
    bpy.context.scene.render.fps = 60


def test_an_animation_has_the_rate_of_the_scene_that_it_was_asked_for(meanwhile: Meanwhile, tmp_path: Path) -> None:
    face = rig(bpy, "face", ["jawOpen"])
    select(bpy, face)
    bpy.context.scene.render.fps = 10
    meanwhile(another_scene_at_another_rate)
    assert bpy.ops.likeness.animate_from_video(filepath=str(tmp_path / "a.jpg"), start=1) == {"FINISHED"}
    curve = dict(animated_keys(face.data.shape_keys))["jawOpen"]
    assert [point.co.x for point in curve.keyframe_points] == [1, 2, 3]


def test_a_mesh_that_is_renamed_gets_it_and_no_other(meanwhile: Meanwhile, tmp_path: Path) -> None:
    face, other = rig(bpy, "face", ["jawOpen"]), rig(bpy, "other", ["jawOpen"])
    select(bpy, face)

    def swap_names() -> None:
        face.name, other.name = "Anna", "face"

    meanwhile(swap_names)
    assert bpy.ops.likeness.expression_from_photo(filepath=str(tmp_path / "a.jpg")) == {"FINISHED"}
    values = [obj.data.shape_keys.key_blocks["jawOpen"].value for obj in (face, other)]
    assert values == [pytest.approx(0.25), 0.0]
    meanwhile(lambda: bpy.data.objects.remove(face))
    with pytest.raises(RuntimeError, match="are gone"):
        bpy.ops.likeness.expression_from_photo(filepath=str(tmp_path / "a.jpg"))


def test_an_expression_is_keyed_at_the_frame_of_the_click(meanwhile: Meanwhile, tmp_path: Path) -> None:
    """Not where the animation, which plays on, has got to."""
    face = rig(bpy, "face", ["jawOpen"])
    animate(face, "jawOpen", [1, 100], [0.0, 0.0])
    select(bpy, face)
    bpy.context.scene.frame_set(20)
    meanwhile(lambda: bpy.context.scene.frame_set(50))
    assert bpy.ops.likeness.expression_from_photo(filepath=str(tmp_path / "a.jpg")) == {"FINISHED"}
    curve = dict(animated_keys(face.data.shape_keys))["jawOpen"]
    assert [point.co.x for point in curve.keyframe_points] == [1, 20, 100]
