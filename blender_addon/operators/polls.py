"""Reasons why a button is disabled: Blender shows them as its tooltip, and scripts get them as error messages."""

from __future__ import annotations

import bpy

NO_HEAD = "Select a head that Likeness made"


def clickable(operator: type[bpy.types.Operator], why_not: str) -> bool:
    """Return value of ``poll``: True if ``why_not`` is "", else False after passing the sentence to Blender."""
    if why_not:
        operator.poll_message_set(why_not)
    return not why_not
