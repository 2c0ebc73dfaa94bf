"""Set and read values of the head's shape keys."""

from __future__ import annotations

from collections.abc import Mapping

import bpy

from ..protocol.names import ARKIT_NAMES
from ..rig.lead import led_keys, set_keys
from .locks import locked_keys

_TOLERANCE, _LED_TOLERANCE = 1e-5, 0.03
"""Tolerances for a key set directly, and for a key led by a bone: the eyes' two rotations affect each other."""


def set_expression(head: bpy.types.Object, weights: Mapping[str, float]) -> None:
    """Set the head's 52 keys; missing ones become 0; locked and other keys stay. The parts follow. If bones lead keys,
    the bones are posed instead."""
    keys = head.data.shape_keys
    if keys is None:
        return
    names = {block.name for block in keys.key_blocks[1:]} & ARKIT_NAMES - locked_keys(keys)
    set_keys(head, {name: weights.get(name, 0.0) for name in names})
    head.data.update_tag()


def expression_unchanged(head: bpy.types.Object, weights: Mapping[str, float]) -> bool:
    """Whether the head's 52 keys still have the values of ``set_expression``."""
    keys, led = head.data.shape_keys, led_keys(head)
    blocks = () if keys is None else keys.key_blocks[1:]
    return all(
        abs(b.value - weights.get(b.name, 0.0)) < (_LED_TOLERANCE if b.name in led else _TOLERANCE)
        for b in blocks
        if b.name in ARKIT_NAMES and not b.lock_shape
    )


def reset_expression(head: bpy.types.Object) -> None:
    """Set the head's 52 keys to 0."""
    set_expression(head, {})
