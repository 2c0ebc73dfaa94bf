"""Make one person's head unless it exists: the same work for every worker and for a render farm's command."""

import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from backend.batch import records
from backend.batch.manifest import Person
from backend.command_line.photo_paths import as_sources, check_there_are, find_photos
from backend.errors import Cancelled, LikenessError, explain
from backend.exchange.all_or_none import OutputFolder, disk_errors_named
from backend.options import options_of
from backend.photos.corrections import MOST_FILE_BYTES, PhotoCorrections, read_corrections
from backend.progress import ProgressReporter, silent
from backend.system.processes import keep_freed_memory


class Task(msgspec.Struct, frozen=True):
    """A person to do: ``out`` is the folder of all heads, ``stamp`` the run's version, device ``cpu`` or ``cuda``."""

    person: Person
    out: str
    stamp: records.Stamp
    device: str = "cpu"


def make_head(task: Task, progress: ProgressReporter = silent) -> records.Outcome:
    """Make the head, or keep one from the same input; failures are outcomes with a reason.

    Raises
    ------
    errors.Cancelled : when ``progress`` raised it; no partial files are left then.
    """
    person = task.person
    worker = f"{platform.node()}:{os.getpid()}"
    outcome = partial(records.Outcome, name=person.name, line=person.line, worker=worker)
    photos: list[tuple[str, Path]] = []
    try:
        photos = find_photos(map(Path, person.sources))
        check_there_are(photos)
        inputs = _inputs(task, photos)
        # Read after hashing: a change in between is detected at the end.
        corrections = () if person.corrections is None else read_corrections(Path(person.corrections))
        folder = Path(task.out) / person.name
        status, record = "kept", records.made_before(folder, inputs.fingerprint)
        if record is None:
            with OutputFolder(folder) as held:
                status, record = "done", _reconstruct(task, photos, corrections, inputs, held, progress)
    except Cancelled:
        raise
    except Exception as error:
        why = explain(error)
        detail = traceback.format_exc() if why.code == "internal" else ""
        said = {"code": why.code, "reason": why.sentence, "advice": why.advice, "detail": detail}
        return outcome(status="failed", photos_given=len(photos) or None, **said)
    measured = {name: getattr(record, name) for name in records.Measured.__struct_fields__}
    return outcome(status=status, folder=person.name, photos_given=len(photos), **measured)


def _inputs(task: Task, photos: list[tuple[str, Path]]) -> records.Input:
    """The input, as it is now."""
    person = task.person
    corrections = None if person.corrections is None else records.sha256_of(Path(person.corrections), MOST_FILE_BYTES)
    return records.Input(records.photos_in(photos), person.options, task.stamp, corrections)


def _reconstruct(
    task: Task,
    photos: list[tuple[str, Path]],
    corrections: tuple[PhotoCorrections, ...],
    inputs: records.Input,
    folder: OutputFolder,
    progress: ProgressReporter,
) -> records.InputRecord:
    """Make and write the head. Raises ``LikenessError``, ``Cancelled``, and internal errors of the pipeline."""
    # Imported here because it takes seconds, which a run with nothing to do does not need.
    from backend.exchange.files import peak_rss_mb
    from backend.exchange.folder import draw_preview
    from backend.pipeline import ReconstructOptions, Watch, reconstruct_into

    def check_inputs() -> None:
        """Otherwise a head with the wrong fingerprint would be kept."""
        if _inputs(task, photos) != inputs:
            sentence = "The photos or their corrections changed while the head was made."
            raise LikenessError("no_photo", sentence, "Run it again.")
        with disk_errors_named(folder.path):
            records.forget(folder.path)

    keep_freed_memory()
    start, cpu_start = time.perf_counter(), time.process_time()
    sources = as_sources(photos, map(Path, task.person.sources))
    options = ReconstructOptions(**options_of(inputs.options), device=task.device, corrections=corrections)
    result = reconstruct_into(folder, sources, options, Watch(progress), check_inputs)
    draw_preview(result.asset, result.previews, folder)
    record = records.InputRecord(
        fingerprint=inputs.fingerprint,
        input=inputs,
        seconds=round(time.perf_counter() - start, 3),
        cpu_seconds=round(time.process_time() - cpu_start, 3),
        photos_used=sum(bool(photo["used"]) for photo in result.asset.report["photos"]),
        peak_rss_mb=peak_rss_mb(),
        device=str(result.asset.report["settings"]["device"]),
    )
    records.remember(folder.path, record)
    return record


MakeHead = Callable[[Task, ProgressReporter], records.Outcome]
"""``make_head``, or its replacement in a test."""


def run_here(tasks: Sequence[Task], make: MakeHead) -> Iterator[records.Outcome]:
    """One person after the other, in this process. If photos crash it, the run ends; a second run continues."""
    for task in tasks:
        yield msgspec.structs.replace(make(task, silent), attempts=1)
