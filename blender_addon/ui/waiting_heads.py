"""What the panel says of heads that other Blenders left behind, and what can be done with them."""

from __future__ import annotations

import bpy

from ..session import session
from .text import draw_error, draw_wrapped


def draw_offered(layout: bpy.types.UILayout) -> None:
    """A box for each: whose head it is, and the buttons that put it into the scene or throw it away."""
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
