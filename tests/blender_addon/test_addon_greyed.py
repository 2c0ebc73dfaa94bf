"""A button that cannot be clicked says why: what Blender shows over it, scripts get as their error."""

from __future__ import annotations

from types import ModuleType

import pytest

pytestmark = pytest.mark.blender

SAID_OF_AN_EMPTY_SCENE = {
    "reconstruct": "There are no photos in the list. Add a few photos",
    "solve_again": "There is no head to solve again",
    "remove_photo": "There are no photos in the list",
    "clear_photos": "There are no photos in the list",
    "cancel": "Nothing is running",
    "take_head": "No head waits",
    "throw_away_head": "No head waits",
    "look_through": "Select a head that Likeness made",
    "star_photo": "Select a head that Likeness made",
    "edit_landmarks": "Select a head that Likeness made",
    "show_head": "Select a head that Likeness made",
    "reset_points": "Select a head that Likeness made",
    "pull_skin": "Select a head that Likeness made",
    "snap_to_fit": "Select a head that Likeness made",
    "paint_mask": "Select a head that Likeness made",
    "clear_mask": "Select a head that Likeness made",
    "use_photo_for": "Select a head that Likeness made",
    "change_hair": "Select a head that Likeness made",
    "grow_hair": "Select a head that Likeness made",
    "hair_from_photo": "Select a head that Likeness made",
    "paint_texture": "Select a head that Likeness made",
    "paint_region": "Select a head that Likeness made",
    "texture_brush": "Select a head that Likeness made",
    "fit_corrections": "No landmark and no slider of this head was moved",
    "reset_expression": "Select a head that Likeness made",
    "reset_keys": "Select a head that Likeness made",
    "keyframe_keys": "Select a head that Likeness made",
    "save_pose": "Select a head that Likeness made",
    "save_pose_asset": "Select a head that Likeness made",
    "apply_pose_asset": "Select a head that Likeness made",
    "add_armature": "Select a head that Likeness made",
    "remove_armature": "Select a head that Likeness made",
    "set_lead": "Select a head that Likeness made",
    "reset_pose": "Select a head that Likeness made",
    "remove_sculpt": "This head has not been sculpted",
    "lock_skin": "Select a head that Likeness made",
    "unlock_skin": "Nothing of this head is locked",
    "export": "Select a head that Likeness made",
    "reconstruct_many": "No person in the table is waiting",
    "stop_many": "No heads of the table are being made",
    "try_again": "No person in the table has failed",
    "apply_to_mpfb": "There is no head in the scene",
    "transfer_to_selected": "Choose a mesh with shape keys as source",
    "make_arkit_keys": "Choose a mesh with shape keys as source",
    "suggest_mapping": "Choose a mesh with shape keys as source",
    "remove_link": "No row of the mapping is chosen",
    "save_mapping": "The mapping has no rows",
    "mark_point": "Select a mesh",
    "clear_points": "The active object has no marked points",
    "cancel_transfer": "No transfer is running",
    "stop_installation": "Nothing is being installed",
}


def why(bpy: ModuleType, operator: str) -> str:
    with pytest.raises(RuntimeError) as error:
        getattr(bpy.ops.likeness, operator)()
    return str(error.value)


@pytest.mark.parametrize(("operator", "sentence"), SAID_OF_AN_EMPTY_SCENE.items())
def test_in_an_empty_scene(bpy: ModuleType, operator: str, sentence: str) -> None:
    assert not getattr(bpy.ops.likeness, operator).poll()
    assert sentence in why(bpy, operator)


def test_every_button_that_can_be_grey_is_looked_at(bpy: ModuleType) -> None:
    """An operator of ours whose poll fails here is one of the list above."""
    grey = {name for name in dir(bpy.ops.likeness) if not getattr(bpy.ops.likeness, name).poll()}
    assert grey == set(SAID_OF_AN_EMPTY_SCENE)


def test_apply_to_a_body(bpy: ModuleType, backend: object) -> None:
    bpy.ops.likeness.reconstruct()
    assert "No MakeHuman body is selected" in why(bpy, "apply_to_mpfb")
    bpy.ops.object.mode_set(mode="EDIT")
    assert "Switch to Object Mode" in why(bpy, "apply_to_mpfb")
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.likeness.reconstruct()
    bpy.ops.object.select_all(action="DESELECT")
    bpy.context.view_layer.objects.active = None
    assert "Several heads are in the scene" in why(bpy, "apply_to_mpfb")
    assert "no head to solve again. Select one" in why(bpy, "solve_again")
