"""``python -m trainer all``: print the table of steps that make the files of ``assets/``, or run them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from backend.errors import LikenessError
from backend.system.assets import ASSETS
from trainer.chain.run import ChainState, Places, missing, public_portraits, read_state, run_steps, words
from trainer.chain.table import STEPS, TOY_STEPS, Repeats, Step

WORK, TOY_WORK = Path("runs/all"), Path("runs/toy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer all``."""
    parser.description = "Make every file of assets/ again, in order; run again, it goes on where it ended."
    parser.add_argument("--dry-run", action="store_true", help="only print the table, with --only the commands, too")
    parser.add_argument("--only", action="append", metavar="NAME", help="one step of the table, as often as wanted")
    parser.add_argument(
        "--toy",
        action="store_true",
        help="few steps on few drawn people, written to the working folder: shows that it runs",
    )
    parser.add_argument(
        "--toy-steps",
        type=int,
        default=TOY_STEPS,
        metavar="N",
        help=f"steps of each stage of a recipe with --toy (default {TOY_STEPS})",
    )
    parser.add_argument("--work", type=Path, help=f"working folder (default {WORK}, with --toy {TOY_WORK})")
    parser.add_argument("--portraits", type=Path, help="portraits (default: ../shared/photos/public_domain)")


def run(arguments: argparse.Namespace) -> int:
    """Print the table or run the steps; returns the exit code."""
    console = Console(highlight=False)
    steps = _chosen(arguments.only)
    places = _places(arguments)
    work = places.work
    try:
        if arguments.dry_run:
            console.print(chain_table(steps, read_state(work), places, arguments.toy))
            for step in steps if arguments.only else ():
                for command in step.commands:
                    line = f"python -m trainer {' '.join(words(command, places, arguments.toy))}"
                    console.print(line, markup=False, soft_wrap=True)
            return 0
        state = run_steps(steps, places, arguments.toy, lambda line: console.print(line, markup=False, soft_wrap=True))
    except ValueError as error:
        raise LikenessError("usage", f"{error}.") from error
    for step in steps:
        if state.steps.get(step.name):
            console.print(f"{step.name}: {state.seconds(step.name):.0f} s")
    return 0


def _places(arguments: argparse.Namespace) -> Places:
    """Raises ``LikenessError`` (``usage``) for portraits at toy size, because toy portraits are written to that
    folder."""
    if arguments.toy:
        if arguments.portraits:
            raise LikenessError("usage", "--toy draws its portraits itself.", "Leave out --portraits.")
        work = (arguments.work or TOY_WORK).resolve()
        return Places(work, work / "assets", work / "portraits", arguments.toy_steps)
    return Places((arguments.work or WORK).resolve(), ASSETS, (arguments.portraits or public_portraits()).resolve())


def _chosen(names: Sequence[str] | None) -> tuple[Step, ...]:
    """Return the named steps in the table's order; raises ``LikenessError`` (``usage``) for an unknown name."""
    known = [step.name for step in STEPS]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise LikenessError("usage", f"There is no step {unknown[0]!r}.", f"Steps: {', '.join(known)}.")
    return STEPS if not names else tuple(step for step in STEPS if step.name in names)


def chain_table(steps: Sequence[Step], state: ChainState, places: Places, toy: bool) -> Group:
    """The table with a heading and some lines per step: what it makes and needs, how long it takes, whether it is
    done."""
    return Group(*(_of_step(step, *_standing(step, state, places, toy)) for step in steps))


def _of_step(step: Step, standing: str, lacking: Sequence[str]) -> Group:
    """The lines of one step."""
    hours = "unknown" if step.cpu_hours is None else f"{step.cpu_hours:g}"
    lines = Table.grid(padding=(0, 1), pad_edge=True)
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    for label, text in (
        ("missing", "; ".join(lacking)),
        ("makes", ", ".join(step.makes) or "what others build on"),
        ("runs", ", ".join(command.name for command in step.commands if command.name != "export")),
        ("after", ", ".join(step.after)),
        ("needs", "; ".join(need.value for need in step.needs)),
        ("takes", "" if step.repeats is Repeats.BY_HAND else f"{hours} hours on two cores"),
        ("again?", f"{step.repeats.value}. {step.remark}".strip()),
    ):
        if text:
            lines.add_row(label, escape(text))
    return Group(f"[bold]{step.name}[/]: {escape(standing)}", lines, "")


def _standing(step: Step, state: ChainState, places: Places, toy: bool) -> tuple[str, list[str]]:
    """Status of the step in a few words, and what is missing for it."""
    if step.repeats is Repeats.BY_HAND:
        return "by hand", []
    done = state.done(step.name, tuple(words(command, places, toy) for command in step.commands))
    if done == len(step.commands):
        return "done", []
    lacking = missing(step, places, toy)
    if lacking:
        return "cannot run here", lacking
    return (f"{done} of {len(step.commands)} done" if done else "to do"), []
