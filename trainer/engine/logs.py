"""Output of a run: ``log.jsonl``, its curves, and sessions."""

import datetime
import json
import math
import platform
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from backend.system.files import BrokenTensorFileError, read_metadata
from trainer.engine.checkpoint import RunState
from trainer.engine.disk_cache import SET_CARD
from trainer.engine.sheets import curves

_QUIET_SECONDS = 5.0
"""Between two lines; what is done meanwhile may take as long again before ten seconds were silent."""


def say(text: str) -> None:
    """Print a line at once, also into a file."""
    print(text, flush=True)


class Pace:
    """Tells when another line on progress is due, and says how many of ``total`` are done."""

    def __init__(self, what: str = "", total: int = 0) -> None:
        self._what, self._total, self._told = what, total, -math.inf

    def due(self) -> bool:
        """Whether the last line is some seconds old; the next one follows then."""
        due = time.monotonic() >= self._told + _QUIET_SECONDS
        self._told = time.monotonic() if due else self._told
        return due

    def __call__(self, done: int) -> None:
        """Say it if it is due."""
        if self.due():
            say(f"{self._what} {done}/{self._total}")


def clock_text(seconds: float) -> str:
    """Format as ``3:07``, ``1:02:09``, or ``?`` where it is unknown."""
    if not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class RunLog:
    """Scalars of a run, on disk.

    ``log.jsonl`` has one object per line: ``kind`` (``train``, ``validation``), the stage's ``name``, where it stands
    (``step``, ``samples`` and ``seconds`` of the stage, ``run_step`` of all stages), and ``values``.
    """

    def __init__(self, folder: Path, run_step: int) -> None:
        """Open the log to continue after ``run_step``; later entries, which a killed run wrote after its checkpoint,
        are dropped."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.path = folder / "log.jsonl"
        rows = [row for row in read_log(folder) if row["run_step"] <= run_step]
        partial = self.path.with_suffix(".part")
        partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        partial.replace(self.path)
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - closed in close()

    def scalars(self, kind: str, name: str, state: RunState, values: Mapping[str, float]) -> None:
        """Log scalars of the stage ``name`` at a state; numbers that are not finite are null, as JSON has no NaN."""
        place = {"step": state.step, "run_step": state.run_steps, "samples": state.samples, "seconds": state.seconds}
        written = {key: float(value) if math.isfinite(value) else None for key, value in values.items()}
        self._file.write(json.dumps({"kind": kind, "name": name, **place, "values": written}) + "\n")
        self._file.flush()

    def draw(self) -> None:
        """Draw all scalars so far as ``curves.png``."""
        series: dict[str, list[tuple[float, float]]] = {}
        for row in read_log(self.folder):
            for name, value in row["values"].items():
                points = series.setdefault(f"{row['name']} {row['kind']} {name}", [])
                points.append((row["step"], math.nan if value is None else value))
        if series:
            Image.fromarray(curves(series)).save(self.folder / "curves.png")

    def close(self) -> None:
        """Close the file, and draw the curves."""
        self._file.close()
        self.draw()


def research_sets(settings: Any, base: Path = Path()) -> set[str]:
    """Data sets, with their licences, that limit weights trained with these settings to research: those in the values
    under ``folder`` and ``face_model``, at any depth of tables and lists."""
    if isinstance(settings, Mapping):
        named = (settings[key] for key in ("folder", "face_model") if isinstance(settings.get(key), str))
        deeper = (value for value in settings.values() if not isinstance(value, str))
        return set().union(*(research_sets(value, base) for value in (*named, *deeper)))
    if isinstance(settings, (list, tuple)):
        return set().union(*(research_sets(value, base) for value in settings))
    path = base / settings / SET_CARD if isinstance(settings, str) and settings else None
    if path is None or not path.is_file():
        return set()
    card = json.loads(path.read_text(encoding="utf-8"))
    return {f"{card['title']} ({card['licence']})"} if card["research_only"] else set()


def inherited_limits(weights: Path | None) -> set[str]:
    """The limits of initial weights: an exported model's, or those of the run whose checkpoint they are."""
    if weights is None:
        return set()
    for shard in sorted(weights.glob("*.safetensors")) if weights.is_dir() else [weights]:
        try:
            stored = read_metadata(shard).get("research_only")
        except (OSError, BrokenTensorFileError):
            continue  # ``read_weights`` says what is wrong with it
        if stored:
            return set(json.loads(stored))
    runs = (weights.parent, weights.parent.parent)
    return {name for run in runs for row in read_sessions(run) for name in row.get("research_only", ())}


def log_session(folder: Path, device: torch.device, run_step: int, research_only: Iterable[str] = ()) -> None:
    """Append a line to ``sessions.jsonl``: time and machine of this part of the run, and its data's limits."""
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    else:
        machine = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    row = {"started": now, "device": machine, "torch": torch.__version__, "run_step": run_step}
    row["research_only"] = sorted(research_only)
    with open(folder / "sessions.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_sessions(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of ``sessions.jsonl``."""
    return _read_rows(folder / "sessions.jsonl")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of ``log.jsonl``; a last line that a kill cut off is skipped."""
    return _read_rows(folder / "log.jsonl")


def _read_rows(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
