"""A button that cannot be clicked says why: what Blender shows over it, scripts get as their error."""

from __future__ import annotations

from types import ModuleType

import pytest

SAID = {
    "There are no photos in the list. Add a few photos": "reconstruct",
    "There is no head to solve again": "solve_again",
    "There are no photos in the list": "remove_photo clear_photos",
    "Nothing is running": "cancel",
    "No head waits": "take_head",
    "Select a head that Likeness made": (
        "look_through star_photo edit_landmarks show_head reset_points pull_skin snap_to_fit paint_mask "
        "clear_mask use_photo_for change_hair grow_hair hair_from_photo paint_texture paint_region "
        "texture_brush reset_keys keyframe_keys save_pose save_pose_asset apply_pose_asset "
        "add_armature remove_armature set_lead reset_pose lock_skin export mirror_key sculpt_key reset_key"
    ),
    "No landmark and no slider of this head was moved": "fit_corrections",
    "This head has not been sculpted": "remove_sculpt",
    "Nothing of this head is locked": "unlock_skin",
    "No person in the table is waiting": "reconstruct_many",
    "No heads of the table are being made": "stop_many",
    "No person in the table has failed": "try_again",
    "There is no head in the scene": "apply_to_mpfb",
    "Choose a mesh with shape keys as source": "transfer_to_selected make_arkit_keys suggest_mapping",
    "No row of the mapping is chosen": "remove_link",
    "The mapping has no rows": "keep_mapping",
    "Select a mesh": "mark_point",
    "The active object has no marked points": "clear_points",
    "No mesh is active": "add_mesh",
    "No transfer is running": "cancel_transfer",
    "Nothing is being installed": "stop_installation",
}
"""Sentence -> the buttons that say so in an empty scene."""
GREY = [(button, sentence) for sentence, buttons in SAID.items() for button in buttons.split()]


def why(bpy: ModuleType, operator: str) -> str:
    with pytest.raises(RuntimeError) as error:
        getattr(bpy.ops.likeness, operator)()
    return str(error.value)


@pytest.mark.parametrize(("operator", "sentence"), GREY)
def test_in_an_empty_scene(bpy: ModuleType, operator: str, sentence: str) -> None:
    assert not getattr(bpy.ops.likeness, operator).poll()
    assert sentence in why(bpy, operator)


def test_every_button_that_can_be_grey_is_looked_at(bpy: ModuleType) -> None:
    """An operator of ours whose poll fails here is one of the list above."""
    grey = {name for name in dir(bpy.ops.likeness) if not getattr(bpy.ops.likeness, name).poll()}
    assert grey == set(dict(GREY))


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
