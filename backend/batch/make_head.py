"""Make one person's head unless it exists: the same work for every worker and for a render farm's command."""

import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from backend.batch import records
from backend.batch.manifest import Person
from backend.command_line.photo_paths import check_there_are, find_photos, left_out_files
from backend.errors import Cancelled, LikenessError, explain
from backend.exchange.all_or_none import PREVIEW, RESULT_NAMES, OutputFolder, disk_errors_named
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
    worker = f"{platform.node()}:{os.getpid()}"
    name = task.person.name
    photos: list[tuple[str, Path]] = []
    try:
        photos = find_photos(Path(source) for source in task.person.sources)
        check_there_are(photos)
        inputs = _inputs(task, photos)
        corrections = _corrections(task.person)  # after hashing; a change in between is detected at the end
        folder = Path(task.out) / name
        record = records.made_before(folder, inputs.fingerprint)
        if record is not None:
            return _outcome(name, "kept", record, worker)
        with OutputFolder(folder) as held:
            record = _reconstruct(task, photos, corrections, inputs, held, progress)
        return _outcome(name, "done", record, worker)
    except Cancelled:
        raise
    except Exception as error:
        explained = explain(error)
        return records.Outcome(
            name=name,
            status="failed",
            code=explained.code,
            reason=explained.sentence,
            advice=explained.advice,
            detail=traceback.format_exc() if explained.code == "internal" else "",
            photos_given=len(photos) or None,
            worker=worker,
        )


def _outcome(name: str, status: str, record: records.InputRecord, worker: str) -> records.Outcome:
    return records.Outcome(
        name=name,
        status=status,
        seconds=record.seconds,
        cpu_seconds=record.cpu_seconds,
        photos_given=len(record.input.photos),
        photos_used=record.photos_used,
        peak_rss_mb=record.peak_rss_mb,
        worker=worker,
        fingerprint=record.fingerprint,
    )


def _inputs(task: Task, photos: list[tuple[str, Path]]) -> records.Input:
    """The input, as it is now."""
    person = task.person
    corrections = None if person.corrections is None else records.sha256_of(Path(person.corrections), MOST_FILE_BYTES)
    return records.Input(records.photos_in(photos), person.options, task.stamp, corrections)


def _corrections(person: Person) -> tuple[PhotoCorrections, ...]:
    return () if person.corrections is None else read_corrections(Path(person.corrections))


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
    from backend.exchange.folder import draw_preview, file_stages, write_last
    from backend.photos.collection import PhotoSource
    from backend.pipeline import ReconstructOptions, Watch, reconstruct

    keep_freed_memory()
    start, cpu_start = time.perf_counter(), time.process_time()
    sources = [PhotoSource(name, path=path) for name, path in photos]
    given_paths = [Path(source) for source in task.person.sources]
    sources += [PhotoSource(name, path=path, left_out=why) for name, path, why in left_out_files(given_paths)]
    options = ReconstructOptions(**options_of(inputs.options), device=task.device, corrections=corrections)
    with folder.writing(RESULT_NAMES, progress, [PREVIEW]) as files:
        result = reconstruct(sources, options, Watch(progress), file_stages(files, folder.path, progress))
        if _inputs(task, photos) != inputs:  # otherwise a head with the wrong fingerprint would be kept
            sentence = "The photos or their corrections changed while the head was made."
            raise LikenessError("no_photo", sentence, "Run it again.")
        with disk_errors_named(folder.path):
            records.forget(folder.path)
        write_last(result.asset.report, files, folder.path)
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
