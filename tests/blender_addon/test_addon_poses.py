"""Pose assets: kept in the file, given to heads whoever leads their keys, taken out of other files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]

from blender_addon.shared.names import ARKIT_NAMES  # noqa: E402

from blender_addon.errors import AddonError  # noqa: E402
from blender_addon.objects import tags  # noqa: E402
from blender_addon.rig import build, lead  # noqa: E402
from blender_addon.rig.bones import JAW_LED  # noqa: E402
from blender_addon.scene import expressions  # noqa: E402
from blender_addon.ui.keys_panel import PosesMenu, draw_in_asset_browser  # noqa: E402

GRIN = {"jawOpen": 0.4, "mouthSmileLeft": 0.75, "eyeLookUpRight": 0.2}


@pytest.fixture
def head(collection: bpy.types.Collection) -> bpy.types.Object:
    return tags.part_object(collection, "head")


def save(head: bpy.types.Object, name: str) -> None:
    """The head wears the grin, and it is saved; then the head is neutral again."""
    for key, value in GRIN.items():
        head.data.shape_keys.key_blocks[key].value = value
    assert bpy.ops.likeness.save_pose_asset(name=name) == {"FINISHED"}
    assert bpy.ops.likeness.reset_keys() == {"FINISHED"}
    assert worn(head) == {}


def worn(head: bpy.types.Object) -> dict[str, float]:
    bpy.context.view_layer.update()
    return {b.name: b.value for b in head.data.shape_keys.key_blocks if b.name in ARKIT_NAMES and b.value > 1e-4}


def listed() -> list[str]:
    """What the menu offers besides the poses that it always has."""
    layout = MagicMock()
    PosesMenu.draw(MagicMock(layout=layout), bpy.context)
    names = [call.kwargs["text"] for call in layout.operator.mock_calls if "text" in call.kwargs]
    assert set(names) >= expressions.STARTER_POSES.keys()
    return [name for name in names if name not in expressions.STARTER_POSES]


def test_a_pose_is_an_asset_with_all_keys_and_is_put_on_again(head: bpy.types.Object) -> None:
    assert listed() == []
    save(head, "Grin")
    (action,) = expressions.poses()
    assert action.asset_data is not None and [tag.name for tag in action.asset_data.tags] == ["Likeness"]
    assert set(expressions.pose_weights(action)) == set(ARKIT_NAMES) and listed() == ["Grin"]
    assert head.data.shape_keys.animation_data is None or head.data.shape_keys.animation_data.action is None
    head.data.shape_keys.key_blocks["browInnerUp"].value = 0.8
    assert bpy.ops.likeness.apply_pose_asset(pose="Grin", factor=0.5) == {"FINISHED"}
    half = {key: 0.5 * value for key, value in GRIN.items()}
    assert worn(head) == pytest.approx({**half, "browInnerUp": 0.4}, abs=1e-5)
    assert bpy.ops.likeness.apply_pose_asset(pose="Grin") == {"FINISHED"}
    assert worn(head) == pytest.approx(GRIN, abs=1e-5)


def test_six_emotions_and_visemes_are_there_from_the_start(head: bpy.types.Object) -> None:
    assert len(expressions.EMOTIONS) == 6 and len(expressions.VISEMES) == 15 + 5
    assert all(set(weights) <= set(ARKIT_NAMES) for weights in expressions.STARTER_POSES.values())
    assert bpy.ops.likeness.apply_pose_asset(pose="Joy") == {"FINISHED"}
    assert worn(head) == pytest.approx(expressions.EMOTIONS["Joy"], abs=1e-5) and expressions.poses() == []
    assert bpy.ops.likeness.apply_pose_asset(pose="Viseme sil") == {"FINISHED"} and worn(head) == {}
    for _ in range(2):
        assert bpy.ops.likeness.keep_starter_poses() == {"FINISHED"}
    assert {action.name: expressions.pose_weights(action).keys() for action in expressions.poses()} == dict.fromkeys(
        expressions.STARTER_POSES, frozenset(ARKIT_NAMES)
    )


def test_bones_that_lead_are_posed(collection: bpy.types.Collection, head: bpy.types.Object) -> None:
    save(head, "Grin")
    lead.set_lead(head, tags.rig_object(collection) or build.put_rig(collection), JAW_LED, by_bones=True)
    bpy.ops.likeness.apply_pose_asset(pose="Grin")
    assert worn(head) == pytest.approx(GRIN, abs=0.01)


def test_it_is_in_the_file_and_comes_out_of_another(
    head: bpy.types.Object, collection: bpy.types.Collection, tmp_path: Path
) -> None:
    save(head, "Grin")
    path = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.open_mainfile(filepath=str(path))
    assert listed() == ["Grin"]  # nothing uses it, and it was kept
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"))
    bpy.data.actions.remove(bpy.data.actions["Grin"])
    assert expressions.pose_of_file(path, "Grin")["jawOpen"] == pytest.approx(0.4)
    assert not bpy.data.actions
    with pytest.raises(AddonError, match="no pose Frown"):
        expressions.pose_of_file(path, "Frown")
    with pytest.raises(AddonError, match="could not be read"):
        expressions.pose_of_file(tmp_path / "none.blend", "Grin")


def test_what_is_no_pose_is_one_sentence(head: bpy.types.Object) -> None:
    bpy.data.actions.new("Walk")
    for name in ("Walk", "Nothing", ""):
        with pytest.raises(RuntimeError, match="no pose of a face"):
            bpy.ops.likeness.apply_pose_asset(pose=name)


@pytest.mark.parametrize(("kind", "offered"), [("ACTION", 1), ("OBJECT", 0)])
def test_the_asset_browser_offers_it_for_actions(kind: str, offered: int) -> None:
    menu = MagicMock()
    draw_in_asset_browser(menu, SimpleNamespace(asset=SimpleNamespace(id_type=kind)))
    assert menu.layout.operator.call_count == offered
    draw_in_asset_browser(menu, SimpleNamespace())
    assert menu.layout.operator.call_count == offered


@pytest.mark.parametrize(("kind", "names"), [("OCULUS", expressions.OCULUS), ("VRM", expressions.VRM)])
def test_viseme_keys_look_like_their_poses(head: bpy.types.Object, kind: str, names: dict) -> None:
    def jaw_and_teeth() -> list[np.ndarray]:
        deps = bpy.context.evaluated_depsgraph_get()
        teeth = next(o for o in head.children if o.get(tags.PART) == "teeth_lower")
        return [np.array([v.co[:] for v in o.evaluated_get(deps).data.vertices]) for o in (head, teeth)]

    assert bpy.ops.likeness.make_viseme_keys(kind=kind) == {"FINISHED"}
    blocks = head.data.shape_keys.key_blocks
    assert names.keys() <= set(blocks.keys()) and all(blocks[name].value == 0.0 for name in names)
    name = next(name for name in names if name.endswith("aa"))
    blocks[name].value = 1.0
    by_key = jaw_and_teeth()
    blocks[name].value = 0.0
    rest = jaw_and_teeth()
    bpy.ops.likeness.apply_pose_asset(pose="Viseme aa")
    for pose, key, still in zip(jaw_and_teeth(), by_key, rest, strict=True):
        assert np.abs(pose - still).max() > 1e-3
        np.testing.assert_allclose(key, pose, atol=2e-4)


@pytest.mark.parametrize("kind", ["tsv", "json"])
def test_mouth_cues_become_keyframes_that_blend(head: bpy.types.Object, kind: str, tmp_path: Path) -> None:
    cues = [(0.0, "X"), (0.5, "D"), (1.0, "A"), (1.5, "X")]
    text = "".join(f"{start:.2f}\t{shape}\n" for start, shape in cues)
    if kind == "json":
        ends = [start for start, _ in cues[1:]] + [1.6]
        rows = [{"start": start, "end": end, "value": shape} for (start, shape), end in zip(cues, ends, strict=True)]
        text = json.dumps({"metadata": {"duration": 1.6}, "mouthCues": rows})
    (tmp_path / f"cues.{kind}").write_text(text)
    bpy.context.scene.render.fps = 100
    assert bpy.ops.likeness.load_expression_file(filepath=str(tmp_path / f"cues.{kind}"), start=0) == {"FINISHED"}
    for frame, jaw in ((45, 0.0), (50, 0.5), (55, 1.0), (95, 1.0), (105, 0.0), (150, 0.0)):
        bpy.context.scene.frame_set(frame)
        assert worn(head).get("jawOpen", 0.0) == pytest.approx(
            jaw * expressions.OCULUS["viseme_aa"]["jawOpen"], abs=0.02
        ), frame
    bpy.context.scene.frame_set(125)
    assert worn(head)["mouthPressLeft"] == pytest.approx(expressions.OCULUS["viseme_PP"]["mouthPressLeft"], abs=1e-3)
