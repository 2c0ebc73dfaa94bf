"""Text in panels: wrapped to the region's width; formatted times and sizes; why a button is disabled, and what went
wrong."""

import re
import textwrap
from collections.abc import Callable
from functools import lru_cache

import bpy

from .errors import AddonError

PIXELS_PER_LETTER = 6.0
"""Mean width of a letter in Blender's default font at interface scale 1; of sentences at most 5.7."""
MARGIN_PIXELS = 55
POPUP_LETTERS = 60
NO_HEAD = "Select a head that Likeness made"
NO_FACE = f"{NO_HEAD}, or a mesh with all 52 keys"


def clickable(operator: type[bpy.types.Operator], unavailable_reason: str) -> bool:
    """Return value of ``poll``: True if ``unavailable_reason`` is "", else False after passing the sentence to
    Blender, which shows it as the button's tooltip."""
    if unavailable_reason:
        operator.poll_message_set(unavailable_reason)
    return not unavailable_reason


def poll_of(why_not: Callable[[bpy.types.Context], str]) -> classmethod:
    """``poll`` of an operator that is clickable where ``why_not`` says nothing."""
    return classmethod(lambda cls, context: clickable(cls, why_not(context)))


def needs(*conditions: tuple[Callable[[bpy.types.Context], object], str]) -> classmethod:
    """``poll`` of an operator that needs all of these (condition, sentence); the sentence of the first that does not
    hold is said."""
    return poll_of(lambda context: next((why for holds, why in conditions if not holds(context)), ""))


@lru_cache(maxsize=256)
def _lines(sentence: str, letters: int, most: int | None) -> tuple[str, ...]:
    """The sentence in lines of so many letters; kept, as panels ask for the same ones on every redraw."""
    return tuple(textwrap.wrap(sentence.strip(), letters, break_on_hyphens=False, max_lines=most, placeholder="…"))


def draw_wrapped(
    layout: bpy.types.UILayout, sentence: str, icon: str = "NONE", share: float = 1.0, most: int | None = None
) -> None:
    """Draw ``sentence`` in labels, as many as needed or at ``most``; ``layout`` has a ``share`` of the region's width.
    A wider sidebar shows more of a sentence that was cut."""
    region = bpy.context.region
    pixels = region.width / bpy.context.preferences.system.ui_scale if region else 450
    letters = max(int(share * (pixels - MARGIN_PIXELS) / PIXELS_PER_LETTER), 16)
    column = layout.column(align=True)
    column.scale_y = 0.8
    blank = "NONE" if icon == "NONE" else "BLANK1"
    for number, line in enumerate(_lines(sentence, letters - (3 if icon != "NONE" else 0), most)):
        column.label(text=line, icon=icon if number == 0 else blank)


def draw_error(layout: bpy.types.UILayout, sentence: str, advice: str) -> None:
    """Draw an error and, below it, what to do."""
    box = layout.box()
    column = box.column()
    column.alert = True
    draw_wrapped(column, sentence, icon="ERROR")
    if advice:
        draw_wrapped(box, advice, icon="BLANK1")


def time_left(seconds: float | None) -> str:
    """``about 20 s left``, ``about 3 min left``, or "" if unknown."""
    if seconds is None:
        return ""
    if seconds < 2:
        return "nearly done"
    if seconds < 100:
        return f"about {round(seconds) if seconds < 20 else round(seconds, -1):.0f} s left"
    return f"about {seconds / 60:.0f} min left"


def gigabytes(count: float) -> str:
    """``1.4 GB``."""
    return f"{count / 1e9:.1f} GB"


def report_error(operator: bpy.types.Operator, said: str) -> None:
    """Report an error. In a window Blender shows it as a popup as wide as its longest line, so it is wrapped.

    In scripts the call raises it unchanged.
    """
    operator.report({"ERROR"}, said if bpy.app.background else wrap_lines(said))


class NamedByClass:
    """Mix-in: an operator's id and label are its class's name, unless it has others: ``ShowLog`` is
    ``likeness.show_log`` and *Show Log*."""

    def __init_subclass__(cls) -> None:
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__)
        if "bl_idname" not in vars(cls):
            cls.bl_idname = f"likeness.{words.replace(' ', '_').lower()}"
        if "bl_label" not in vars(cls):
            cls.bl_label = words

    def refuse(self, sentence: str) -> set[str]:
        """Say why nothing is done; what ``execute`` returns then."""
        self.report({"WARNING"}, sentence)
        return {"CANCELLED"}


class LikenessOperator(NamedByClass, bpy.types.Operator):
    """An operator that ``run`` does at once: finished unless it returns something else, and cancelled with a report if
    it raises ``AddonError``."""

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender wants a set)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            return self.run(context) or {"FINISHED"}
        except AddonError as error:
            report_error(self, str(error))
            return {"CANCELLED"}


def wrap_lines(said: str) -> str:
    """Wrap ``said`` to lines of at most ``POPUP_LETTERS``; paths and names are not broken."""
    lines = [
        textwrap.wrap(line, POPUP_LETTERS, break_long_words=False, break_on_hyphens=False) or [""]
        for line in said.splitlines()
    ]
    return "\n".join(part for parts in lines for part in parts)
