"""Draw heads that other Blenders left behind, with the available actions."""

from __future__ import annotations

import bpy

from ..session import session
from .text import draw_error, draw_wrapped


def draw_offered(layout: bpy.types.UILayout) -> None:
    """A box per head: the person's name, and buttons to put the head into the scene or to discard it."""
    for head in session().waiting.offered:
        box = layout.box()
        if head.note is not None:
            draw_wrapped(box, f"{head.note.words}.", icon="USER")
        if head.problem is not None:
            draw_error(box, head.problem.sentence, head.problem.advice)
        else:
            row = box.row()
            row.enabled = not session().busy
            row.operator("likeness.take_head", icon="IMPORT").head = head.name
        box.operator("likeness.throw_away_head", icon="TRASH").head = head.name
