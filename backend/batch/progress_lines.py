"""Progress of a batch: a bar on a terminal, else one line per person."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from backend.batch.outcome import Outcome
from backend.command_line.photo_paths import readable
from backend.command_line.progress_display import TerminalBar, format_seconds


class BatchProgress(TerminalBar):
    """Shows the progress of ``count`` people; failures are always printed."""

    def __init__(self, console: Console, count: int) -> None:
        left = TextColumn("{task.fields[left]}")
        super().__init__(console, TextColumn("people"), BarColumn(), MofNCompleteColumn(), left)
        self._console, self._count = console, count
        self._ended = self._made = 0
        self._start = time.monotonic()
        if self.bar is not None:
            self._task = self.bar.add_task("people", total=count, left="")

    def add(self, outcome: Outcome) -> None:
        """Count a finished person."""
        self._ended += 1
        self._made += outcome.status in ("done", "failed")
        if self.bar is not None:
            self.bar.update(self._task, completed=self._ended, left=self._left())
        if self.bar is None or outcome.status == "failed":
            took = "" if outcome.seconds is None else f" {outcome.seconds:.1f} s"
            told = {"done": f"done{took}", "kept": "done before", "failed": f"failed: {outcome.reason}"}
            line = f"{self._ended}/{self._count}  {outcome.name}  {told.get(outcome.status, outcome.status)}"
            self._console.print(readable(line), markup=False, highlight=False, soft_wrap=True)

    def _left(self) -> str:
        """Estimate of the time left, from the people made in this run."""
        if not self._made:
            return ""
        pace = (time.monotonic() - self._start) / self._made
        return f"about {format_seconds(pace * (self._count - self._ended))} left"
