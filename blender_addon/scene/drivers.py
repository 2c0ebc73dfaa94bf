"""Drivers that make the parts' keys follow the head's: one slider also moves lashes, teeth, tongue and eyes."""

from __future__ import annotations

import bpy

VARIABLE = "head"
"""Name of the variable of our drivers."""


def drive_keys(part: bpy.types.Object, head: bpy.types.Object) -> None:
    """Drive every key of ``part`` that the head also has by the head's value.

    Foreign drivers are left alone; our own are pointed to the head's present keys. The drivers sum one variable, so
    they need no Python and work if a file's scripts are blocked.
    """
    keys, head_keys = part.data.shape_keys, head.data.shape_keys
    if keys is None or head_keys is None:
        return
    present = {curve.data_path: curve.driver for curve in keys.animation_data.drivers} if keys.animation_data else {}
    for block in keys.key_blocks[1:]:
        if block.name not in head_keys.key_blocks:
            continue
        path = f'key_blocks["{block.name}"].value'
        driver = present.get(path)
        if driver is None:
            driver = block.driver_add("value").driver
            driver.type = "SUM"
            variable = driver.variables.new()
            variable.name, variable.type = VARIABLE, "SINGLE_PROP"
            variable.targets[0].id_type = "KEY"
        for variable in driver.variables:
            if variable.name == VARIABLE and variable.targets[0].id_type == "KEY":
                variable.targets[0].id = head_keys
                variable.targets[0].data_path = path
