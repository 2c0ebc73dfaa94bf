"""The arguments of ``python -m backend transfer``. Imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

from backend.command_line.common_arguments import add_traceback
from backend.command_line.path_argument import path_argument

_DESCRIPTION = """\
Read expressions off pictures of one person: the 52 ARKit weights, head pose and gaze of every frame of a video or of
every photo, for any rig with these shape keys.

Give a video, photos or a folder of photos, or a CSV file of the app Live Link Face. The rate of a video's frames is
kept; frames without a face are interpolated and marked."""

_EPILOG = "The file is described in docs/expressions.md."


def add_transfer(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command ``transfer``."""
    transfer = commands.add_parser(
        "transfer",
        help="a photo or a video to expressions that any rig with ARKit keys can wear",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    transfer.add_argument(
        "--from",
        dest="sources",
        nargs="+",
        required=True,
        type=path_argument,
        metavar="PICTURES",
        help="a video, photos, a folder of photos, or a Live Link Face CSV",
    )
    transfer.add_argument(
        "--identity",
        type=path_argument,
        default=Path("auto"),
        metavar="DIR",
        help="folder that reconstruct wrote for this person; auto (default) solves the face from the pictures",
    )
    transfer.add_argument(
        "--out", required=True, type=path_argument, metavar="FILE", help="the expression.json to write"
    )
    transfer.add_argument(
        "--fps", type=_frame_rate, metavar="N", help="the photos are the frames of one take, in the order of names"
    )
    add_traceback(transfer)


def _frame_rate(text: str) -> float:
    value = float(text)
    if not 1.0 <= value <= 1000.0:
        raise argparse.ArgumentTypeError(f"{text} is not a frame rate between 1 and 1000")
    return value
