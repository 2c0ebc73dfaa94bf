"""A batch's table: ``batch.json`` with every person's result or reason of failure, the same as a page without scripts
(``batch.html``), and progress on the terminal.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from backend import __version__
from backend.batch.manifest import TABLE_NAMES, Manifest
from backend.batch.records import FORMAT_VERSION, Outcome
from backend.command_line.photo_paths import readable
from backend.command_line.terminal import counted
from backend.exchange.all_or_none import write_file
from backend.models.registry import Stamp

LEAST_SECONDS = 3.0
"""Least interval between two writes during a run."""
_MOST_SHARE = 0.02
"""Largest share of the time spent writing the table, because ten thousand rows take a while."""
_REFRESH = '<meta http-equiv="refresh" content="10">\n'
_STATUS_TEXTS = {"done": "done", "kept": "done before", "failed": "failed", "waiting": "waiting"}
_PAGE = Path(__file__).with_name("page.html")


def page(table: Mapping[str, Any]) -> str:
    """The table, its people as ``Outcome``, as a page, failed first. During the run it asks the browser to reload."""
    counts, most = table["counts"], table["worker_peak_mb"]
    order = ("failed", "done", "kept", "waiting")
    fields = {
        "manifest": table["manifest"],
        "summary": ", ".join(
            f"{counts[status]} {words}" for status, words in _STATUS_TEXTS.items() if counts.get(status)
        ),
        "state": table["state"],
        "seconds": f"{table['seconds']:.0f}",
        "workers": counted(table["workers"], "worker") + ("" if most is None else f", at most {most:.0f} MB each"),
        "written": table["written"],
    }
    return Template(_PAGE.read_text("utf-8")).substitute(
        {name: escape(text) for name, text in fields.items()},
        refresh=_REFRESH if table["state"] == "running" else "",
        rows="\n".join(map(_row, sorted(table["people"], key=lambda row: order.index(row.status)))),
    )


def say(console: Console, text: str) -> None:
    """Print a line; unprintable characters in names are escaped."""
    console.print(readable(text), markup=False, highlight=False, soft_wrap=True)


def _row(row: Outcome) -> str:
    name = escape(row.name) or f"line {row.line}"
    preview = ""
    if row.folder:
        folder = quote(row.folder, errors="surrogatepass")
        name = f'<a href="{folder}/">{name}</a>'
        picture = f'<img src="{folder}/preview.png" loading="lazy" alt="preview">'
        preview = f'<a href="{folder}/preview.png">{picture}</a>'
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    photos = "" if row.photos_given is None else f"{row.photos_used or 0} of {row.photos_given}"
    reason = escape(f"{row.reason} {row.advice}".strip())
    if row.detail:
        reason += f"<pre>{escape(row.detail)}</pre>"
    return (
        f'<tr class="{row.status}"><td>{name}</td><td>{preview}</td><td class="status">{_STATUS_TEXTS[row.status]}</td>'
        f'<td class="number">{seconds}</td><td class="number">{photos}</td><td>{reason}</td></tr>'
    )


class BatchTable:
    """All people of a run with their outcomes; writes both files atomically.

    Raises ``LikenessError`` ("disk") where it cannot write.
    """

    def __init__(self, manifest_path: Path, manifest: Manifest, out: Path, stamp: Stamp, workers: int) -> None:
        self._out = out
        self._fixed = {"manifest": manifest_path.name, "workers": workers, "stamp": stamp, "likeness": __version__}
        rows = [Outcome(name=person.name, line=person.line, status="waiting") for person in manifest.people]
        wrong = {"status": "failed", "code": "usage", "advice": "Correct the line and run the batch again."}
        rows += [Outcome(name=bad.name, line=bad.line, reason=bad.sentence, **wrong) for bad in manifest.bad_lines]
        self._rows = {row.line: row for row in sorted(rows, key=lambda row: row.line)}
        self._start, self._started = time.monotonic(), _now()
        self._next_writing = 0.0

    def add(self, outcome: Outcome) -> None:
        """Note an outcome, and write the table if the interval has passed."""
        self._rows[outcome.line] = outcome
        if time.monotonic() >= self._next_writing:
            self.write("running")

    @property
    def counts(self) -> Counter[str]:
        """Number of people per ``Status``; bad lines count as failed."""
        return Counter(row.status for row in self._rows.values())

    def failures(self) -> Sequence[Outcome]:
        """Failed rows in the manifest's order."""
        return [row for row in self._rows.values() if row.status == "failed"]

    def write(self, state: Literal["running", "stopped", "finished"]) -> None:
        """Write both files."""
        began = time.monotonic()
        table = self._fixed | {
            "version": FORMAT_VERSION,
            "state": state,
            "counts": dict(self.counts),
            "people": list(self._rows.values()),
            "started": self._started,
            "written": _now(),
            "seconds": round(began - self._start, 1),
            "worker_peak_mb": max((row.peak_rss_mb or 0.0 for row in self._rows.values()), default=0.0) or None,
        }
        json_name, html_name = TABLE_NAMES
        write_file(self._out / json_name, msgspec.json.format(msgspec.json.encode(table), indent=1) + b"\n")
        write_file(self._out / html_name, page(table).encode("utf-8", "backslashreplace"))
        self._next_writing = began + max(LEAST_SECONDS, (time.monotonic() - began) / _MOST_SHARE)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class BatchProgress(Progress):
    """Progress bar of ``count`` people, a context manager. Prints failures; without a terminal, everybody."""

    def __init__(self, console: Console, count: int) -> None:
        columns = TextColumn("people"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        hidden = not console.is_terminal
        super().__init__(*columns, console=console, transient=True, disable=hidden, speed_estimate_period=1e9)
        self._count, self._ended, self._kept = count, 0, 0
        self._bar = self.add_task("people", total=count)

    def add(self, outcome: Outcome) -> None:
        """Count a finished person; bar and remaining time leave out people kept from earlier runs."""
        self._ended += 1
        self._kept += outcome.status not in ("done", "failed")
        self.update(self._bar, completed=self._ended - self._kept, total=self._count - self._kept)
        if self.disable or outcome.status == "failed":
            took = "" if outcome.seconds is None else f" {outcome.seconds:.1f} s"
            more = {"done": took, "failed": f": {outcome.reason}"}.get(outcome.status, "")
            line = f"{self._ended}/{self._count}  {outcome.name}  {_STATUS_TEXTS[outcome.status]}{more}"
            say(self.console, line)
