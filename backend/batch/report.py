"""A batch's report: ``batch.json`` with every person's result or reason of failure, the same as a page without scripts
(``batch.html``), and progress on the terminal.
"""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from backend.batch.manifest import TABLE_NAMES, BadLine, Manifest
from backend.batch.records import BatchFile, Outcome, Row, Stamp, State
from backend.command_line.photo_paths import readable
from backend.command_line.terminal import TerminalBar, format_seconds
from backend.exchange.all_or_none import write_file

LEAST_SECONDS = 3.0
"""Least interval between two writes during a run."""
_MOST_SHARE = 0.02
"""Largest share of the time spent writing the table, because ten thousand rows take a while."""
_REFRESH_SECONDS = 10
_WORDS = {"done": "done", "kept": "done before", "failed": "failed", "waiting": "waiting"}
_STYLE = """\
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; background: #fff; color: #222; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .4em .8em; border-top: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td img { display: block; width: 320px; height: auto; min-height: 60px; background: #f4f4f4; }
tr.failed td.status { color: #a00; font-weight: bold; }
tr.waiting { color: #888; }
pre { white-space: pre-wrap; max-width: 50em; font-size: 12px; }
@media (prefers-color-scheme: dark) { body { background: #1c1c1c; color: #ddd; } th, td { border-color: #444; }
  td img { background: #333; } tr.failed td.status { color: #f88; } }"""


def sheet(file: BatchFile) -> str:
    """The page, failed people first. During the run it asks the browser to reload."""
    counts = file.counts
    summary = ", ".join(f"{counts[status]} {words}" for status, words in _WORDS.items() if counts.get(status))
    refresh = f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">\n' if file.state == "running" else ""
    order = {"failed": 0, "done": 1, "kept": 1, "waiting": 2}
    rows = "\n".join(_row(row) for row in sorted(file.people, key=lambda row: order[row.status]))
    peak = "" if file.worker_peak_mb is None else f", at most {file.worker_peak_mb:.0f} MB each"
    workers = f"{file.workers} worker{'s' * (file.workers != 1)}{peak}"
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh}<title>{escape(file.manifest)}: {escape(summary)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<h1>{escape(file.manifest)}</h1>
<p>{escape(summary)}; {file.state} after {file.seconds:.0f} s with {workers}. Written {escape(file.written)}.</p>
<table>
<tr><th>person</th><th>preview</th><th>state</th><th>seconds</th><th>photos</th><th></th></tr>
{rows}
</table>
</body>
</html>
"""


def _row(row: Row) -> str:
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
        f'<tr class="{row.status}"><td>{name}</td><td>{preview}</td><td class="status">{_WORDS[row.status]}</td>'
        f'<td class="number">{seconds}</td><td class="number">{photos}</td><td>{reason}</td></tr>'
    )


class BatchTable:
    """All people of a run with their outcomes; writes both files atomically.

    Raises ``LikenessError`` ("disk") where it cannot write.
    """

    def __init__(self, manifest_path: Path, manifest: Manifest, out: Path, stamp: Stamp, workers: int) -> None:
        self._out, self._stamp, self._workers = out, stamp, workers
        self._manifest = manifest_path.name
        self._lines = {person.name: person.line for person in manifest.people}
        self._outcomes = {person.name: Outcome(name=person.name, status="waiting") for person in manifest.people}
        self._bad = [_bad_row(line) for line in manifest.bad_lines]
        self._start = time.monotonic()
        self._started = _now()
        self._next_writing = 0.0

    def add(self, outcome: Outcome) -> None:
        """Note an outcome, and write the table if the interval has passed."""
        self._outcomes[outcome.name] = outcome
        if time.monotonic() >= self._next_writing:
            self.write("running")

    @property
    def counts(self) -> Counter[str]:
        """Number of people per ``Status``; bad lines count as failed."""
        return Counter([outcome.status for outcome in self._outcomes.values()] + ["failed"] * len(self._bad))

    def failures(self) -> Sequence[Row]:
        """Failed rows in the manifest's order."""
        return [row for row in self._rows() if row.status == "failed"]

    def write(self, state: State) -> None:
        """Write both files."""
        began = time.monotonic()
        file = BatchFile(
            manifest=self._manifest,
            state=state,
            counts=dict(self.counts),
            people=self._rows(),
            started=self._started,
            written=_now(),
            seconds=round(began - self._start, 1),
            workers=self._workers,
            worker_peak_mb=max((o.peak_rss_mb for o in self._outcomes.values() if o.peak_rss_mb), default=None),
            stamp=self._stamp,
        )
        json_name, html_name = TABLE_NAMES
        write_file(self._out / json_name, msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")
        write_file(self._out / html_name, sheet(file).encode("utf-8", "backslashreplace"))
        took = time.monotonic() - began
        self._next_writing = began + max(LEAST_SECONDS, took / _MOST_SHARE)

    def _rows(self) -> list[Row]:
        rows = [
            Row(line=self._lines[name], folder=name if outcome.status in ("done", "kept") else "", **_fields(outcome))
            for name, outcome in self._outcomes.items()
        ]
        return sorted([*rows, *self._bad], key=lambda row: row.line)


def _fields(outcome: Outcome) -> dict[str, object]:
    return {name: getattr(outcome, name) for name in Outcome.__struct_fields__}


def _bad_row(line: BadLine) -> Row:
    advice = "Correct the line and run the batch again."
    return Row(name=line.name, line=line.line, status="failed", code="usage", reason=line.sentence, advice=advice)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


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
            summary = {"done": f"done{took}", "kept": "done before", "failed": f"failed: {outcome.reason}"}
            line = f"{self._ended}/{self._count}  {outcome.name}  {summary.get(outcome.status, outcome.status)}"
            self._console.print(readable(line), markup=False, highlight=False, soft_wrap=True)

    def _left(self) -> str:
        """Estimate of the time left, from the people made in this run."""
        if not self._made:
            return ""
        pace = (time.monotonic() - self._start) / self._made
        return f"about {format_seconds(pace * (self._count - self._ended))} left"
