"""Output of a run: a progress line, ``log.jsonl``, PNG pictures, and TensorBoard if installed."""

import dataclasses
import datetime
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from PIL import Image
from torch import Tensor

from backend.system.files import BrokenTensorFileError, read_metadata
from trainer.engine.sheets import curves, to_pixels

_TABLE_WIDTH = 100
"""Greatest width of a table in columns of text."""


class ProgressLine:
    """A line that is rewritten on a terminal; elsewhere a new line every ``quiet_seconds``."""

    def __init__(
        self,
        stream: TextIO | None = None,
        quiet_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.live = self.stream.isatty()
        self.interval = 0.25 if self.live else quiet_seconds
        self.clock = clock
        self._due = -math.inf
        self._width = 0

    @property
    def due(self) -> bool:
        """Whether it is time for another ``show``."""
        return self.clock() >= self._due

    def show(self, text: str) -> None:
        """Show the line now."""
        self._due = self.clock() + self.interval
        if self.live:
            self.stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def say(self, text: str) -> None:
        """Print a message that stays."""
        if self.live and self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self._width = 0
        self.stream.write(text + "\n")
        self.stream.flush()


class Throughput:
    """Samples per second over the last ``window`` seconds or so."""

    def __init__(self, window: float = 20.0) -> None:
        self.window = window
        self._points: list[tuple[float, int]] = []

    def add(self, seconds: float, samples: int) -> None:
        """Record that ``samples`` samples in total were done after ``seconds`` of training."""
        self._points.append((seconds, samples))
        while len(self._points) > 2 and self._points[1][0] < seconds - self.window:
            self._points.pop(0)

    @property
    def rate(self) -> float:
        """Samples per second; 0 before two points are known."""
        if len(self._points) < 2:
            return 0.0
        (start, before), (end, after) = self._points[0], self._points[-1]
        return (after - before) / max(end - start, 1e-9)


def clock_text(seconds: float) -> str:
    """Format as ``3:07``, ``1:02:09``, or ``?`` where it is unknown."""
    if not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass(frozen=True)
class LogPosition:
    """Position of a log entry: the stage's name, its step, samples and seconds, and the steps of all stages."""

    name: str
    step: int
    run_step: int
    samples: int
    seconds: float


class RunLog:
    """Scalars and pictures of a run, on disk.

    ``log.jsonl`` has one object per line: ``kind`` (``train``, ``validation``), the fields of ``LogPosition``, and
    ``values``. ``curves.png`` draws them, anew at the end and with each group of pictures.
    Pictures are ``pictures/<stage>_<step>_<name>.png``. Both also go to TensorBoard if it can be imported.
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
        self._board = _tensorboard(folder, run_step)

    def scalars(self, kind: str, position: LogPosition, values: Mapping[str, float]) -> None:
        """Log scalars."""
        row = {
            "kind": kind,
            **dataclasses.asdict(position),
            "values": {name: _json_number(value) for name, value in values.items()},
        }
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{position.name}/{kind}/{name}", value, position.run_step)

    def pictures(self, position: LogPosition, pictures: Mapping[str, Tensor]) -> None:
        """Save pictures (3, H, W) in [0, 1]."""
        self._draw_curves()
        for name, picture in pictures.items():
            pixels = to_pixels(picture)
            target = self.folder / "pictures" / f"{position.name}_{position.step:09d}_{name}.png"
            target.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels).save(target)
            if self._board is not None:
                self._board.add_image(f"{position.name}/{name}", pixels, position.run_step, dataformats="HWC")

    def _draw_curves(self) -> None:
        series: dict[str, list[tuple[float, float]]] = {}
        for row in read_log(self.folder):
            for name, value in row["values"].items():
                points = series.setdefault(f"{row['name']} {row['kind']} {name}", [])
                points.append((row["step"], math.nan if value is None else value))
        if series:
            Image.fromarray(curves(series)).save(self.folder / "curves.png")

    def close(self) -> None:
        """Flush and close the files."""
        self._file.close()
        self._draw_curves()
        if self._board is not None:
            self._board.close()


def in_columns(columns: Sequence[Tensor]) -> Tensor:
    """(3, H, W) picture of columns (N, 3, S, T), float."""
    return torch.cat([torch.cat(list(column), 1) for column in columns], 2).float()


def figure_table(figures: Mapping[str, float]) -> str:
    """Format figures as tables. The part of a name before its last dot is the row, the part after it the column:
    ``side.n1``, ``side.n2``, ``mad.n1``, ``mad.n2`` are two rows of two. Rows with the same columns share a heading."""
    rows: dict[str, dict[str, float]] = {}
    for name, value in figures.items():
        row, _, column = name.rpartition(".")
        rows.setdefault(row, {})[column] = value
    blocks: dict[tuple[str, ...], list[str]] = {}
    for row, values in rows.items():
        blocks.setdefault(tuple(values), []).append(row)
    lines: list[str] = []
    for columns, names in blocks.items():
        label = max(len(name) for name in names)
        widths = [max(len(column), 7) for column in columns]
        shown, first = max(1, (_TABLE_WIDTH - label - 2) // (max(widths) + 2)), 0
        while first < len(columns):
            part = slice(first, first + shown)
            cells = zip(columns[part], widths[part], strict=True)
            lines.append("  " + " " * label + "".join(f"  {column:>{width}}" for column, width in cells))
            for name in names:
                values = zip(columns[part], widths[part], strict=True)
                numbers = "".join(f"  {rows[name][column]:>{width}.4g}" for column, width in values)
                lines.append(f"  {name:<{label}}{numbers}")
            first += shown
    return "\n".join(lines)


SET_CARD = "card.json"
"""File in a prepared data set with its licence; see ``trainer.sets.prepare.write_card``."""


def research_sets(settings: Any, base: Path = Path()) -> set[str]:
    """Data sets, with their licences, that limit weights trained with these settings to research: those in the values
    under ``folder``, at any depth of tables and lists."""
    if isinstance(settings, Mapping):
        of_folder = research_sets(settings["folder"], base) if isinstance(settings.get("folder"), str) else set()
        return of_folder.union(*(research_sets(v, base) for v in settings.values() if not isinstance(v, str)))
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


def log_session(
    folder: Path, device: torch.device, processes: int, run_step: int, research_only: Iterable[str] = ()
) -> None:
    """Append a line to ``sessions.jsonl``: time and machine of this part of the run, and its data's limits."""
    if device.type == "cuda":
        machine = torch.cuda.get_device_name(device)
    else:
        machine = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    row = {"started": now, "device": machine, "processes": processes, "torch": torch.__version__, "run_step": run_step}
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


def _json_number(value: float) -> float | None:
    """Replace non-finite numbers by None, because JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def _tensorboard(folder: Path, run_step: int) -> Any:
    """Return a ``SummaryWriter``, or None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=run_step + 1)
