"""Values of the head's shape keys."""

from __future__ import annotations

from collections.abc import Mapping

import bpy

from ..protocol.names import ARKIT_NAMES
from ..rig.lead import led_keys, pose, rig_of


def set_expression(head: bpy.types.Object, weights: Mapping[str, float]) -> None:
    """Set the head's 52 keys; those that ``weights`` leaves out become 0, other keys stay. The parts follow.

    Where bones lead keys, the bones are posed.
    """
    keys = head.data.shape_keys
    if keys is None:
        return
    wanted = {block.name: weights.get(block.name, 0.0) for block in keys.key_blocks[1:] if block.name in ARKIT_NAMES}
    rig = rig_of(head)
    for name in wanted.keys() - led_keys(head):
        keys.key_blocks[name].value = wanted[name]
    if rig is not None:
        pose(head, rig, wanted)
    head.data.update_tag()


def wears(head: bpy.types.Object, weights: Mapping[str, float]) -> bool:
    """Whether the head's 52 keys are as ``set_expression`` has left them."""
    keys = head.data.shape_keys
    blocks = () if keys is None else keys.key_blocks[1:]
    return all(abs(b.value - weights.get(b.name, 0.0)) < 1e-5 for b in blocks if b.name in ARKIT_NAMES)


def reset_expression(head: bpy.types.Object) -> None:
    """Set the head's 52 keys to 0."""
    set_expression(head, {})
