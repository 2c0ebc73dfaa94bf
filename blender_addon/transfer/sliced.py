"""Long operations in slices: a modal operator runs a few milliseconds per tick, a script everything at once."""

import time
from collections.abc import Generator
from dataclasses import dataclass

import bpy

from .. import redraw
from ..errors import AddonError
from ..runner import JobView
from ..text import NamedByClass, report_error

WAIT_SECONDS = 0.01
SLICE_SECONDS = 0.04
"""Time per tick for steps; each step must stay well below 100 ms."""


Steps = Generator[float | JobView, None, str]
"""Yields the fraction done, or another process's view if there is nothing to do until the next tick and the artist may
continue to work; returns the sentence for the artist. Closing it early must undo what was done."""


@dataclass
class Work:
    """The operation in progress, for the panel."""

    sentence: str
    fraction: float = 0.0
    seconds_left: float | None = None
    waiting: bool = False
    cancelled: bool = False
    draw_at: float = 0.0


_current: Work | None = None


def current_work() -> Work | None:
    """The operation in progress, None if there is none."""
    return _current


def say(sentence: str) -> None:
    """Change the sentence shown for the operation in progress."""
    if _current is not None:
        _current.sentence = sentence


def cancel_work() -> None:
    """Ask the operation in progress to stop."""
    if _current is not None:
        _current.cancelled = True


class SlicedOperator(NamedByClass):
    """Mix-in for operators that implement ``steps(context)``; ``doing`` is the sentence shown meanwhile.

    In a window the steps run between the window's own events, ESC stops them, and the operator's undo step is pushed at
    the end. Called from a script or in background mode, all steps run at once.
    """

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender wants a set)
    doing = "Working"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if _current is not None:
            cls.poll_message_set("Another transfer is running")
            return False
        return cls.can_run(context)

    @classmethod
    def can_run(cls, context: bpy.types.Context) -> bool:
        """Whether the operator can run now."""
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        steps = self.steps(context)
        try:
            while True:
                if isinstance(next(steps), JobView):
                    time.sleep(WAIT_SECONDS)
        except StopIteration as stop:
            return self._done(stop.value)
        except AddonError as error:
            report_error(self, str(error))
            return {"CANCELLED"}

    def run_in_slices(self, context: bpy.types.Context) -> set[str]:
        """Start running in slices; call it from ``invoke`` once everything is chosen."""
        global _current
        if bpy.app.background:
            return self.execute(context)
        _current = self._work = Work(self.doing)
        self._steps = self.steps(context)
        self._timer = context.window_manager.event_timer_add(0.02, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.run_in_slices(context)

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        escaped = event.type == "ESC" and event.value == "PRESS" and not redraw.plays(context)
        if self._work.cancelled or escaped:
            self.cancel(context)
            self.report({"INFO"}, "Cancelled.")
            return {"CANCELLED"}
        if event.type != "TIMER":
            if self._work.waiting:
                return {"PASS_THROUGH"}
            view_only = {"MOUSEMOVE", "INBETWEEN_MOUSEMOVE", "WINDOW_DEACTIVATE", "LEFTMOUSE"}
            return {"PASS_THROUGH"} if event.type in view_only else {"RUNNING_MODAL"}
        until = time.monotonic() + SLICE_SECONDS
        try:
            while time.monotonic() < until:
                done = next(self._steps)
                self._work.waiting = isinstance(done, JobView)
                if self._work.waiting:
                    self._work.sentence, self._work.fraction = done.sentence, done.fraction
                    self._work.seconds_left = done.seconds_left
                    break
                self._work.fraction, self._work.seconds_left = done, None
        except StopIteration as stop:
            self._end(context)
            return self._done(stop.value)
        except AddonError as error:
            self._end(context)
            report_error(self, str(error))
            return {"CANCELLED"}
        except BaseException:
            self._end(context)
            raise
        if time.monotonic() > self._work.draw_at:
            self._work.draw_at = time.monotonic() + redraw.PROGRESS_REDRAW_SECONDS
            redraw.regions("UI")
            redraw.status_bar()
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        if getattr(self, "_steps", None) is not None:
            self._steps.close()
        self._end(context)

    def _end(self, context: bpy.types.Context) -> None:
        global _current
        _current = None
        if getattr(self, "_timer", None) is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None
        redraw.everything()

    def _done(self, sentence: str) -> set[str]:
        warning = "\n" in sentence  # further lines are warnings
        self.report({"WARNING"} if warning else {"INFO"}, sentence)
        return {"FINISHED"}


class SlicedFileOperator(SlicedOperator):
    """The same for operators that ask for a file first: the file browser's call cannot become modal.

    When the browser calls ``execute``, a timer calls the operator again with ``chosen`` set, and that call is modal.
    Operators define the hidden property ``chosen``.
    """

    _asked = False

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.chosen:
            return self.run_in_slices(context)
        self._asked = True
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not self._asked or bpy.app.background:
            return super().execute(context)
        operator = getattr(bpy.ops.likeness, type(self).bl_idname.partition(".")[2])  # self's is LIKENESS_OT_…
        window, values = context.window, self.as_keywords() | {"chosen": True}

        def again() -> None:
            with bpy.context.temp_override(window=window):
                if operator.poll():
                    operator("INVOKE_DEFAULT", **values)

        bpy.app.timers.register(again, first_interval=0.0)
        return {"CANCELLED"}
