"""The table of a batch: results and reasons of failure; ``batch.json`` and ``batch.html`` beside the heads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from backend.batch.batch_file import BatchFile, Row, State
from backend.batch.manifest import TABLE_NAMES, BadLine, Manifest
from backend.batch.outcome import Outcome
from backend.batch.sheet import sheet
from backend.batch.stamp import Stamp
from backend.exchange.all_or_none import write_file

LEAST_SECONDS = 3.0
"""Least interval between two writes during a run."""
_MOST_SHARE = 0.02
"""Largest share of the time spent writing the table, because ten thousand rows take a while."""


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
