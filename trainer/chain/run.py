"""``python -m trainer all``: print the table of steps that make the files of ``assets/``, or run them.

Each command runs in its own process; a small file for each beside the runs marks what is done, so that a run goes on
where it ended. At toy size recipes have a few steps on a few pictures, and portraits are of synthetic people: it shows
that every command runs and finds the previous one's results, and the nets are of no use.
"""

import argparse
import itertools
import multiprocessing
import os
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import torch

from backend.errors import LikenessError
from backend.system.files import ASSETS
from trainer.engine.disk_cache import shared_folder, write_bytes
from trainer.engine.recipe import encode, find_recipe, known_recipes, load_recipe
from trainer.people.source import PeopleConfig
from trainer.portraits.collection import read_hand_labels
from trainer.portraits.relabel import read_traits

TOY_STEPS = 2
"""Steps of each stage of a recipe at toy size: a first one, and one after it."""
_FEW = (
    *("count", "keep", "first", "people", "basis_people", "reference_people", "start_people"),
    *("identity", "expression", "depth_components", "albedo_components"),
)
LIMITS = dict.fromkeys(_FEW, 2) | {
    "steps": TOY_STEPS,
    "batch": 2,
    "validation_samples": 2,
    "validate_steps": TOY_STEPS,
    "log_steps": 1,
    "processes": 0,
    "start_shapes": 4,
    "size": 64,
    "coarse": 16,
    "texture": 256,
    "picture": 128,
    "photos": 2,
}
"""Largest value of each field of a recipe, wherever it occurs."""
PORTRAIT_SIDE = 256
"""Pixels, the smallest size at which the face detector finds all of them, and of their crops."""
PORTRAITS_PER_TRAIT = 2
"""Portraits per answer on a list, because the classifiers need more than one of each."""
DONE = "done"
"""Folder of the marks of commands that have begun or succeeded, in the working folder."""
ROOT = Path(__file__).resolve().parents[2]
IMPORTED = (
    "torch._inductor",  # use_deterministic_algorithms imports it, and with it torch._dynamo
    "ai_edge_litert.interpreter",
    "backend.pipeline",
    "trainer.engine.loop",
    "trainer.export",
    "trainer.people.source",
)
"""What commands import, of which the toy chain has a process at hand."""
WORK, TOY_WORK = Path("runs/all"), Path("runs/toy")


class Repeats(Enum):
    """How closely running the step again reproduces the shipped file."""

    SAME = "the same"
    """The commands are those that made the shipped file, up to rounding."""
    ALIKE = "alike"
    """The commands make a file of the same kind; the shipped one had other intermediate runs, or other random
    people."""
    NOT_TODAY = "not today"
    """The inputs of the shipped file no longer exist. The commands are the closest chain; it has never been run
    whole."""
    BY_HAND = "by hand"
    """The file was made once, or written by hand; there is no command."""


@dataclass(frozen=True)
class Command:
    """One ``python -m trainer ...``, run in the chain's working folder.

    Attributes
    ----------
    run : words after ``python -m trainer``, as in a shell. ``{assets}`` is the output folder, ``{portraits}`` that of
        the portraits; other paths are relative to the working folder.
    toy : additional words for a run at toy size. A recipe's sizes are reduced by ``toy_overrides``.
    """

    run: str
    toy: str = ""

    @property
    def name(self) -> str:
        """The sub-command or recipe."""
        return shlex.split(self.run)[0]


@dataclass(frozen=True)
class Step:
    """Commands that make some files, and notes on running them.

    Attributes
    ----------
    name : for ``--only``. makes : files below ``assets/``; empty where only other steps use the results.
    commands : in order. after : names of the steps whose results it reads. needs : keys of ``NEEDS``.
    cpu_hours : measured, rendering included, on two cores, or on one with another job beside it; None: unknown.
    repeats : how closely it reproduces the shipped file. remark : what to know before running it.
    """

    name: str
    makes: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    after: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    cpu_hours: float | None = None
    repeats: Repeats = Repeats.ALIKE
    remark: str = ""


_TABLE = tomllib.loads((Path(__file__).parent / "steps.toml").read_text(encoding="utf-8"))
NEEDS: Mapping[str, str] = _TABLE["needs"]
"""Requirement of a step beside the repository -> what it is."""
STEPS = msgspec.convert(_TABLE["steps"], tuple[Step, ...])
"""Every file of ``assets/`` is made by exactly one of them (checked by a test)."""


def toy_overrides(recipe: str, steps: int = TOY_STEPS) -> list[str]:
    """``--set`` words that cut ``recipe`` down to ``LIMITS``, its stages to ``steps``; zeros, which mean "endless" or
    "none", stay."""
    table = encode(load_recipe(find_recipe(recipe)))
    crops = {"size": PORTRAIT_SIDE} if recipe.startswith("parsing") else {}  # which hair-kind wants in full
    limits = LIMITS | {"steps": steps, "validate_steps": steps} | crops
    return [word for path in _too_large(table, "", limits) for word in ("--set", path)]


def _too_large(value: Any, path: str, limits: Mapping[str, int]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            key_path = f"{path}.{key}" if path else key
            if type(item) is int and item > limits.get(key, item):
                yield f"{key_path}={limits[key]}"
            yield from _too_large(item, key_path, limits)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _too_large(item, f"{path}.{number}", limits)


def portrait_names() -> list[str]:
    """Names from every list that the chain reads: some of each answer, and some with hand-made labels."""
    names = _first_of_each({name: ("hair", traits.facial_hair) for name, traits in read_traits().items()})
    names += _first_of_each({name: ("worn", traits.glasses) for name, traits in read_traits().items()})
    names += _first_of_each({name: ("by hand", one.held_out) for name, one in read_hand_labels().items()})
    return sorted(set(names))


def _first_of_each(answers: Mapping[str, tuple[str, object]]) -> list[str]:
    chosen: dict[tuple[str, object], list[str]] = {}
    for name in sorted(answers):
        chosen.setdefault(answers[name], []).append(name)
    return [name for names in chosen.values() for name in names[:PORTRAITS_PER_TRAIT]]


def draw_portraits(folder: Path) -> int:
    """Write a picture of a different synthetic person under each of ``portrait_names``; returns their number.

    Existing pictures stay. The answers on the lists do not apply to these people.
    """
    names = portrait_names()
    folder.mkdir(parents=True, exist_ok=True)
    if all((folder / name).is_file() for name in names):
        return len(names)
    people = PeopleConfig(size=PORTRAIT_SIDE, seed=7, supersampling=1.0).build()
    for number, name in enumerate(names):
        picture = people.batch(range(number, number + 1), torch.device("cpu")).images[0]
        pixels = (picture.permute(1, 2, 0).numpy()[..., ::-1] * 255.0 + 0.5).astype(np.uint8)
        cv2.imwrite(str(folder / name), np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return len(names)


class Mark(msgspec.Struct, frozen=True):
    """What the working folder has of a command: its words, and its duration in seconds once it has succeeded."""

    words: tuple[str, ...] = ()
    seconds: float | None = None


def mark_path(work: Path, step: str, number: int) -> Path:
    """The file of the mark of command ``number`` of a step."""
    return work / DONE / f"{step}.{number}.json"


def read_marks(work: Path, step: Step) -> list[Mark]:
    """The mark of each of the step's commands, empty where there is none. Raises ``ValueError`` for a broken file."""
    marks = []
    for number in range(len(step.commands)):
        path = mark_path(work, step.name, number)
        try:
            marks.append(msgspec.json.decode(path.read_bytes(), type=Mark) if path.is_file() else Mark())
        except msgspec.DecodeError as error:
            raise ValueError(f"{path} is broken ({error}); delete it to run the command again") from error
    return marks


def count_done(marks: Sequence[Mark], step_words: Sequence[tuple[str, ...]]) -> int:
    """Count the commands, from the first on, that need not run again. One whose words differ from the marked ones, and
    all after it, count as not done."""
    fits = (mark.words == now and mark.seconds is not None for mark, now in zip(marks, step_words, strict=True))
    return sum(itertools.takewhile(bool, fits))


Runner = Callable[[Sequence[str]], int]
"""Runs a command with these words after ``python -m trainer`` in a process of its own; returns the exit code."""


@dataclass(frozen=True)
class Folders:
    """Folders that a run of the chain reads and writes, all absolute; and its size.

    Attributes
    ----------
    work : for runs, prepared portraits and state. assets : for the results. portraits : pictures of people, one each.
    toy_steps : at toy size, steps of each stage of a recipe.
    """

    work: Path
    assets: Path
    portraits: Path
    toy_steps: int = TOY_STEPS


def missing(step: Step, folders: Folders, toy: bool) -> list[str]:
    """Reasons why the step cannot run here, in words; empty if it can."""
    there = {
        "scans": (shared_folder() / "faces3d").is_dir(),
        "skins": (shared_folder() / "makehuman" / "skins").is_dir(),
        "portraits": toy or folders.portraits.is_dir(),
    }
    return [NEEDS[need] for need in step.needs if not there[need]]


def words(command: Command, folders: Folders, toy: bool) -> tuple[str, ...]:
    """The words after ``python -m trainer`` in this run."""
    filled = [
        word.replace("{assets}", str(folders.assets)).replace("{portraits}", str(folders.portraits))
        for word in shlex.split(command.run) + (shlex.split(command.toy) if toy else [])
    ]
    if toy and command.name in known_recipes():
        filled += toy_overrides(command.name, folders.toy_steps)
    return tuple(filled)


def run_steps(steps: Sequence[Step], folders: Folders, toy: bool, say: Callable[[str], None]) -> None:
    """Run the unfinished commands of ``steps``, in order.

    Raises
    ------
    LikenessError : ``missing_part`` where a step's requirement is missing, ``internal`` where a command fails.
        Earlier results are kept.
    """
    for folder in (folders.work, folders.assets):
        folder.mkdir(parents=True, exist_ok=True)
    if toy and any("portraits" in step.needs for step in steps):
        say(f"portraits of {draw_portraits(folders.portraits)} people who do not exist: {folders.portraits}")
    run = _runner(folders, toy)
    for step in steps:
        if step.repeats is Repeats.BY_HAND:
            continue
        missing_needs = missing(step, folders, toy)
        if missing_needs and toy:
            say(f"{step.name}: left out ({'; '.join(missing_needs)})")
            continue
        if missing_needs:
            advice = f"Get it, or leave the step out with --only. Done so far: {folders.work}."
            raise LikenessError("missing_part", f"{step.name} needs {'; '.join(missing_needs)}.", advice)
        _run_step(step, folders, toy, say, run)


def _runner(folders: Folders, toy: bool) -> Runner:
    """At toy size, where most of the time would be imports, commands are forked from a process that has them."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "LIKENESS_SHARED": str(shared_folder().resolve())}

    def start(step_words: Sequence[str]) -> int:
        command = [sys.executable, "-m", "trainer", *step_words]
        return subprocess.run(command, cwd=folders.work, env=environment, check=False).returncode

    return _forked(folders.work, environment) if toy and hasattr(os, "fork") else start


def _forked(folder: Path, environment: Mapping[str, str]) -> Runner:
    """Runs commands in forks of a process that has ``IMPORTED`` already: four seconds each, for forty commands."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))

    def start(step_words: Sequence[str]) -> int:
        process = context.Process(target=_enter, args=(folder, dict(environment), list(step_words)))
        process.start()
        process.join()
        return process.exitcode or 0

    return start


def _enter(folder: Path, environment: Mapping[str, str], step_words: list[str]) -> None:
    from trainer.__main__ import main

    os.chdir(folder)
    os.environ.update(environment)
    sys.exit(main(step_words))


def _run_step(step: Step, folders: Folders, toy: bool, say: Callable[[str], None], run: Runner) -> None:
    step_words = tuple(words(command, folders, toy) for command in step.commands)
    marks = read_marks(folders.work, step)
    done = count_done(marks, step_words)
    if done == len(step_words):
        say(f"{step.name}: done")
        return
    for number, command in enumerate(step.commands[done:], done):
        say(f"{step.name}, {number + 1} of {len(step_words)}: python -m trainer {command.run}")
        started, mark = time.monotonic(), Mark(step_words[number])
        words_now = _resumed(step_words[number], folders, number == done and marks[number] == mark)
        for later in range(number, len(step_words)):
            mark_path(folders.work, step.name, later).unlink(missing_ok=True)
        write_bytes(mark_path(folders.work, step.name, number), msgspec.json.encode(mark))
        ended = run(words_now)
        if ended:
            sentence = f"python -m trainer {' '.join(words_now)} ended with code {ended}."
            raise LikenessError("internal", sentence, "What was done before stays done; run the chain again to go on.")
        mark = Mark(mark.words, time.monotonic() - started)
        write_bytes(mark_path(folders.work, step.name, number), msgspec.json.encode(mark))


def _resumed(step_words: tuple[str, ...], folders: Folders, resumes: bool) -> list[str]:
    """Adapt the command's words so that an interrupted training with the same words resumes from its latest checkpoint.

    ``resumes`` is False when the words differ. A run that is already in the output folder is then renamed, not
    overwritten.
    """
    if "--out" not in step_words or step_words[0] not in known_recipes():
        return list(step_words)
    run = folders.work / step_words[step_words.index("--out") + 1]
    if not any((run / "checkpoints").glob("*.safetensors")):
        return list(step_words)
    if not resumes:
        free = next(number for number in itertools.count(1) if not run.with_name(f"{run.name}.old{number}").exists())
        run.rename(run.with_name(f"{run.name}.old{free}"))
        return list(step_words)
    resuming = list(step_words)
    if "--init-from" in resuming:
        start = resuming.index("--init-from")
        del resuming[start : start + 2]
    return [*resuming, "--resume"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer all``."""
    parser.description = "Make every file of assets/ again, in order; run again, it goes on where it ended."
    parser.add_argument("--dry-run", action="store_true", help="only print the table, with --only the commands, too")
    parser.add_argument("--only", action="append", metavar="NAME", help="one step of the table, as often as wanted")
    parser.add_argument("--toy", action="store_true", help="few steps on few drawn people: shows that it runs")
    parser.add_argument("--toy-steps", type=int, default=TOY_STEPS, metavar="N", help="steps of each stage with --toy")
    parser.add_argument("--work", type=Path, help=f"working folder (default {WORK}, with --toy {TOY_WORK})")
    parser.add_argument("--portraits", type=Path, help="portraits (default: ../shared/photos/public_domain)")


def run(arguments: argparse.Namespace) -> int:
    """Print the table or run the steps; returns the exit code."""
    steps, folders = _chosen(arguments.only), _folders(arguments)
    try:
        if arguments.dry_run:
            print(*chain_table(steps, folders, arguments.toy), sep="\n")
            for command in (one for step in steps if arguments.only for one in step.commands):
                print(f"python -m trainer {' '.join(words(command, folders, arguments.toy))}")
            return 0
        run_steps(steps, folders, arguments.toy, lambda line: print(line, flush=True))
        for step in steps:
            if seconds := sum(mark.seconds or 0.0 for mark in read_marks(folders.work, step)):
                print(f"{step.name}: {seconds:.0f} s")
    except ValueError as error:
        raise LikenessError("usage", f"{error}.") from error
    return 0


def _folders(arguments: argparse.Namespace) -> Folders:
    """Raises ``LikenessError`` (``usage``) for portraits at toy size, because toy portraits are written to that
    folder."""
    if arguments.toy:
        if arguments.portraits:
            raise LikenessError("usage", "--toy draws its portraits itself.", "Leave out --portraits.")
        work = (arguments.work or TOY_WORK).resolve()
        return Folders(work, work / "assets", work / "portraits", arguments.toy_steps)
    portraits = arguments.portraits or shared_folder() / "photos" / "public_domain"
    return Folders((arguments.work or WORK).resolve(), ASSETS, portraits.resolve())


def _chosen(names: Sequence[str] | None) -> tuple[Step, ...]:
    """Return the named steps in the table's order; raises ``LikenessError`` (``usage``) for an unknown name."""
    known = [step.name for step in STEPS]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise LikenessError("usage", f"There is no step {unknown[0]!r}.", f"Steps: {', '.join(known)}.")
    return STEPS if not names else tuple(step for step in STEPS if step.name in names)


def chain_table(steps: Sequence[Step], folders: Folders, toy: bool) -> Iterator[str]:
    """A heading and some lines per step: what it makes and needs, how long it takes, whether it is done."""
    for step in steps:
        standing, missing_needs = _standing(step, folders, toy)
        yield f"{step.name}: {standing}"
        hours = "unknown" if step.cpu_hours is None else f"{step.cpu_hours:g}"
        for label, text in (
            ("missing", "; ".join(missing_needs)),
            ("makes", ", ".join(step.makes) or "what others build on"),
            ("runs", ", ".join(command.name for command in step.commands if command.name != "export")),
            ("after", ", ".join(step.after)),
            ("needs", "; ".join(NEEDS[need] for need in step.needs)),
            ("takes", "" if step.repeats is Repeats.BY_HAND else f"{hours} hours on two cores"),
            ("again?", f"{step.repeats.value}. {step.remark}".strip()),
        ):
            if text:
                yield f"    {label:8}{text}"


def _standing(step: Step, folders: Folders, toy: bool) -> tuple[str, list[str]]:
    """Status of the step in a few words, and what is missing for it."""
    if step.repeats is Repeats.BY_HAND:
        return "by hand", []
    done = count_done(read_marks(folders.work, step), [words(command, folders, toy) for command in step.commands])
    if done == len(step.commands):
        return "done", []
    missing_needs = missing(step, folders, toy)
    if missing_needs:
        return "cannot run here", missing_needs
    return (f"{done} of {len(step.commands)} done" if done else "to do"), []
