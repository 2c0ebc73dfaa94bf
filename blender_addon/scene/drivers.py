"""The parts' keys follow the head's: one slider moves lashes, teeth, tongue and eyes, too."""

from __future__ import annotations

import bpy


def drive_keys(part: bpy.types.Object, head: bpy.types.Object) -> None:
    """Let every key of ``part`` that the head has, and that is neither driven nor animated, take the head's value.

    The drivers sum one variable, so that they need no Python and work where scripts of files are not allowed.
    """
    keys, head_keys = part.data.shape_keys, head.data.shape_keys
    if keys is None or head_keys is None:
        return
    driven = {curve.data_path for curve in keys.animation_data.drivers} if keys.animation_data else set()
    for block in keys.key_blocks[1:]:
        path = f'key_blocks["{block.name}"].value'
        if block.name not in head_keys.key_blocks or path in driven:
            continue
        driver = block.driver_add("value").driver
        driver.type = "SUM"
        variable = driver.variables.new()
        variable.name = "head"
        variable.type = "SINGLE_PROP"
        target = variable.targets[0]
        target.id_type = "KEY"
        target.id = head_keys
        target.data_path = path
