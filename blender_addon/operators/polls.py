"""Why a button is grey: Blender shows it where the mouse rests on one, and scripts get it as their error."""

from __future__ import annotations

import bpy

NO_HEAD = "Select a head that Likeness made"


def clickable(operator: type[bpy.types.Operator], why_not: str) -> bool:
    """What ``poll`` returns: True where ``why_not`` is "", else False after this sentence was left for Blender."""
    if why_not:
        operator.poll_message_set(why_not)
    return not why_not
