"""Reasons why a button is disabled: Blender shows them as its tooltip, and scripts get them as error messages."""

from __future__ import annotations

import bpy

NO_HEAD = "Select a head that Likeness made"


def clickable(operator: type[bpy.types.Operator], unavailable_reason: str) -> bool:
    """Return value of ``poll``: True if ``unavailable_reason`` is "", else False after passing the sentence to
    Blender."""
    if unavailable_reason:
        operator.poll_message_set(unavailable_reason)
    return not unavailable_reason
