"""The arguments of ``python -m backend batch``."""

from __future__ import annotations

import argparse

from backend.command_line.common_arguments import add_head_options, add_traceback, positive
from backend.command_line.path_argument import path_argument

_DESCRIPTION = """\
Make one head per person of a manifest: a CSV table or JSON lines with name, photos or folder, and options
(docs/farm.md). DIR gets a folder per person, as reconstruct writes it, and batch.json and batch.html, which list
everybody's state and the reasons of failures. Heads that are done already, from the same photos and options, are kept:
to resume a run that was stopped, give the same command again."""

DEVICES = ("cpu", "cuda")


def add_batch(commands: argparse._SubParsersAction, exit_codes: str) -> None:
    """Add the command to the parser's ``commands``."""
    batch = commands.add_parser(
        "batch",
        help="many people: a manifest to one head per person, on this machine or a Ray cluster",
        description=_DESCRIPTION,
        epilog=f"exit codes:\n{exit_codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    batch.add_argument(
        "manifest", type=path_argument, metavar="MANIFEST", help="a .csv table or .jsonl lines of people"
    )
    batch.add_argument(
        "--out", required=True, type=path_argument, metavar="DIR", help="folder for the heads and the table"
    )
    where = batch.add_argument_group("where")
    where.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="number of workers (default: as cores and memory allow); 1 works in this process, without Ray",
    )
    where.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster that runs already, or auto to find it")
    where.add_argument(
        "--device", choices=DEVICES, default="cpu", help="cuda asks the cluster for a share of a GPU per worker"
    )
    where.add_argument(
        "--worker-memory", type=positive, metavar="MB", help="of each worker (default: as measured, docs/farm.md)"
    )
    where.add_argument(
        "--time-limit", type=positive, default=60.0, metavar="MINUTES", help="for one person (default: 60)"
    )
    which = batch.add_argument_group("which people, in this process and without a table, for a render farm")
    which.add_argument("--only", metavar="NAME", help="this one alone")
    which.add_argument("--people", type=_ranges, metavar="RANGES", help="by their number in the manifest: 1-20,25")
    which.add_argument(
        "--threads", type=_count, metavar="N", help="of such a process (default: all cores; a worker has one)"
    )
    which.add_argument("--print-commands", action="store_true", help="only print one such command per person")
    options = batch.add_argument_group("options of all people whose line does not set them")
    add_head_options(options)
    batch.add_argument(
        "--exit-zero", action="store_true", help="exit code 0 even if people failed, for farms that stop at other codes"
    )
    add_traceback(batch)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _ranges(text: str) -> tuple[range, ...]:
    """``1-20,25`` as ranges of numbers from 1."""
    ranges = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise argparse.ArgumentTypeError(f"{text} is not like 1-20,25")
        ranges.append(range(int(first), int(last or first) + 1))
    return tuple(ranges)
