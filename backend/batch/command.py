"""``python -m backend batch``: a manifest in, one head per person and a table out; one batch at a time in a folder."""

import argparse
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from backend.batch.engine import Engine
from backend.batch.make_head import Task, make_head, run_here
from backend.batch.manifest import Manifest, Person, PersonOptions, read_manifest
from backend.batch.records import Outcome
from backend.batch.report import BatchProgress, BatchTable, say
from backend.batch.workers import LocalWorker, WorkerNeeds, local_rooms, worker_needs
from backend.command_line.terminal import check_device, counted, format_seconds, sigterm_as_interrupt
from backend.errors import LikenessError
from backend.exchange.all_or_none import OutputFolder, hidden_name
from backend.models.registry import Stamp, current_stamp
from backend.options import options_of

INSTALL_RAY = "Run: python -m pip install -e '.[farm]'. Or leave out --address, which uses this machine alone."

LEAST_FREE_BYTES = 200 * 10**6
"""Room on the disk below which no further head is begun; one at 4 k has 100 MB."""


def run_batch(arguments: argparse.Namespace) -> None:
    """Run the command; results go to standard output, progress to standard error.

    Raises
    ------
    LikenessError : "some_failed" when people are missing at the end; "cancelled" on Ctrl-C, with finished heads kept;
        and errors that the user can act on. For a single person (``--only``) that person's own error.
    """
    manifest = read_manifest(arguments.manifest, PersonOptions(**options_of(arguments)))
    with sigterm_as_interrupt():
        (_do_all if arguments.only is None else _do_one)(arguments, manifest)


def _do_one(arguments: argparse.Namespace, manifest: Manifest) -> None:
    """Do the person ``--only`` in this process. It writes no table, because others may be done elsewhere meanwhile.

    Raises the reason of a failure.
    """
    people = [person for person in manifest.people if person.name == arguments.only]
    if not people:
        why = [bad.sentence for bad in manifest.bad_lines if bad.name == arguments.only]
        sentence = f"The manifest has no person called {arguments.only!r}."
        raise LikenessError("usage", " ".join([sentence, *why]), "Check --only.")
    check_device(arguments.device)
    with BatchProgress(Console(stderr=True), 1) as progress:
        (outcome,) = run_here(_tasks(arguments, people, current_stamp()), make_head)
        progress.add(outcome)
    if outcome.status == "failed":
        raise LikenessError(outcome.code, outcome.reason, outcome.advice)


def _do_all(arguments: argparse.Namespace, manifest: Manifest) -> None:
    """Do all people and write the table. Raises "some_failed" if any failed, "in_use" while another batch writes it."""
    start = time.monotonic()
    out, err = Console(), Console(stderr=True)
    folder: Path = arguments.out
    with OutputFolder(folder):
        if _is_full(folder):
            sentence = f"The disk of {folder} has less than {LEAST_FREE_BYTES / 1e6:.0f} MB left."
            raise LikenessError("disk", sentence, "Free some space, or choose another --out.")
        check_device(arguments.device if arguments.address is None else "cpu")
        stamp = current_stamp()
        try:
            with _engine(arguments, manifest, stamp, lambda sentence: say(err, sentence)) as (engine, workers):
                table = BatchTable(arguments.manifest, manifest, folder, stamp, workers)
                for bad in manifest.bad_lines:
                    say(err, f"Line {bad.line}: {bad.sentence}")
                outcomes = engine(_tasks(arguments, manifest.people, stamp), make_head)
                _run_through(outcomes, table, len(manifest.people), err, folder)
        finally:
            _clear_leftovers(folder, manifest)
    _report(out, table, folder, time.monotonic() - start)


def _run_through(outcomes: Iterator[Outcome], table: BatchTable, people: int, err: Console, folder: Path) -> None:
    """Note every outcome and write the table, also after an error. Raises "cancelled" on Ctrl-C."""
    table.write("running")
    state = "stopped"
    try:
        with (
            sigterm_as_interrupt(),  # again, because Ray installs its own handler of SIGTERM
            BatchProgress(err, people) as progress,
            closing(outcomes),
        ):
            for outcome in outcomes:
                table.add(outcome)
                progress.add(outcome)
                if outcome.code == "disk" and _is_full(folder):
                    sentence = f"Stopped: the disk of {folder} is full. {outcome.reason}"
                    raise LikenessError("disk", sentence, "Free some space, then run the same command to resume.")
        state = "finished"
    except KeyboardInterrupt:
        done = table.counts["done"] + table.counts["kept"]
        sentence = f"Stopped: {done} of {people} people are done."
        raise LikenessError("cancelled", sentence, "Run the same command to resume.") from None
    finally:
        table.write(state)


def _is_full(folder: Path) -> bool:
    """Whether the folder's disk has too little room for a further head."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free < LEAST_FREE_BYTES


def _clear_leftovers(folder: Path, manifest: Manifest) -> None:
    """Remove hidden folders left by killed workers; those still in use stay."""
    for person in manifest.people:
        if (folder / hidden_name(person.name)).exists() or (folder / person.name / hidden_name("")).exists():
            with suppress(LikenessError), OutputFolder(folder / person.name):
                pass


def _report(out: Console, table: BatchTable, folder: Path, seconds: float) -> None:
    """Print the summary. Raises "some_failed" if any failed."""
    counts, failures = table.counts, table.failures()
    for row in failures:
        say(out, f"{row.name or f'line {row.line}'}: {row.reason} {row.advice}".rstrip())
    before = f" ({counts['kept']} of them before)" if counts["kept"] else ""
    done = f"{counts['done'] + counts['kept']} done{before}, {counts['failed']} failed, in {format_seconds(seconds)}."
    say(out, f"{done} Look at {folder / 'batch.html'}.")
    if failures:
        sentence = f"{len(failures)} of {sum(counts.values())} people failed."
        raise LikenessError("some_failed", sentence, "The reasons are above and in batch.html; others are done.")


def _tasks(arguments: argparse.Namespace, people: Sequence[Person], stamp: Stamp) -> list[Task]:
    folder = str(arguments.out.absolute())
    return [Task(person, folder, stamp, arguments.device) for person in people]


@contextmanager
def _engine(
    arguments: argparse.Namespace, manifest: Manifest, stamp: Stamp, notice: Callable[[str], None]
) -> Iterator[tuple[Callable[..., Iterator[Outcome]], int]]:
    """What makes tasks' heads with ``make_head``, as a context, and its number of workers."""
    if arguments.workers == 1 and arguments.address is None:
        yield run_here, 1
        return
    sizes = {person.options.texture_size for person in manifest.people}
    needs = worker_needs(sizes, arguments.device, arguments.worker_memory)
    with _crew(arguments, needs, stamp) as (rooms, hire):
        room, wanted = sum(rooms), arguments.workers or sum(rooms)
        if not room:
            gpu = " and a share of a GPU" if needs.gpu else ""
            sentence = f"No machine of {len(rooms)} has room for a worker: a core, {needs.memory / 1e6:.0f} MB{gpu}."
            raise LikenessError("out_of_memory", sentence, "Use --workers 1, or --worker-memory.")
        if wanted > room:
            notice(f"There is room for {room} workers of {needs.memory / 1e6:.0f} MB, not for {wanted}.")
        workers = min(wanted, room, max(len(manifest.people), 1))
        notice(f"{counted(workers, 'worker')} on {counted(sum(map(bool, rooms)), 'machine')}.")
        yield Engine(hire, workers, 60 * arguments.time_limit, notice), workers


@contextmanager
def _crew(arguments: argparse.Namespace, needs: WorkerNeeds, stamp: Stamp) -> Iterator[tuple[list[int], Any]]:
    """How many workers fit on each machine, this one or those of a Ray cluster, and what hires one; as a context."""
    if arguments.address is None:
        yield local_rooms(needs), LocalWorker
        return
    try:
        from backend.batch import ray_workers
    except ImportError as error:
        if (error.name or "").split(".")[0] != "ray":
            raise
        sentence = "Ray is not installed, which shares people out among machines."
        raise LikenessError("missing_part", sentence, INSTALL_RAY) from error
    with ray_workers.cluster(arguments.address):
        yield ray_workers.ray_rooms(needs), partial(ray_workers.RayWorker, needs, stamp)
