"""Facial poses as pose assets: an action marked as asset, with one keyframe of each of the 52 keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import bpy
import numpy as np

from ..errors import AddonError
from ..protocol.names import ARKIT_NAMES
from ..transfer.actions import curves_of_keys, key_of_path, key_path, linear_curve, new_key_action, write_curve

TAG = "Likeness"
"""Tag of our pose assets in an Asset Browser."""
_FRAME = 1.0


def new_pose(name: str, weights: Mapping[str, float]) -> bpy.types.Action:
    """A pose asset: an action with these weights of ARKit keys at frame 1; it stays in the file without users."""
    action, curves = new_key_action(name)
    for key in sorted(weights):
        write_curve(curves, key_path(key), linear_curve(np.array([_FRAME]), np.array([weights[key]])))
    action.asset_mark()
    action.asset_data.description = "Expression of a face, ARKit's 52 keys"
    action.asset_data.tags.new(TAG, skip_if_exists=True)
    return action


def pose_weights(action: bpy.types.Action) -> dict[str, float]:
    """The weights of ARKit keys at an action's first frame; empty if it has none."""
    curves = {key_of_path(curve.data_path): curve for curve in curves_of_keys(action)}
    first = action.frame_range[0]
    return {key: float(curve.evaluate(first)) for key, curve in curves.items() if key in ARKIT_NAMES}


def poses() -> list[bpy.types.Action]:
    """The pose assets of the file, own and linked ones, sorted by name."""
    found = [action for action in bpy.data.actions if action.asset_data is not None and pose_weights(action)]
    return sorted(found, key=lambda action: action.name.lower())


def pose_of_file(path: Path, name: str) -> dict[str, float]:
    """The weights of the pose ``name`` in another .blend; nothing is left behind in this file.

    Raises ``AddonError`` ``no_file`` if the file cannot be read, ``no_pose`` if it has no such pose.
    """
    try:
        with bpy.data.libraries.load(str(path), link=False) as (there, here):
            here.actions = [name] if name in there.actions else []
    except OSError as error:
        raise AddonError(f"{path.name} could not be read.", "Check the asset library.", "no_file") from error
    if not here.actions:
        raise AddonError(f"{path.name} has no pose {name} any more.", "Refresh the Asset Browser.", "no_pose")
    (action,) = here.actions
    weights = pose_weights(action)
    bpy.data.actions.remove(action)
    return weights
