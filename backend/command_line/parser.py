"""The arguments of ``python -m backend``: the parser, then a part for each command, then shared options and argument
types.

Imports nothing heavy, so that ``--help`` is fast.
"""

import argparse
from pathlib import Path

from backend import __version__
from backend.errors import EXIT_CODES, EXIT_MEANINGS
from backend.options import add_head_options, number_within
from protocol.options import DEVICES


def build_parser() -> argparse.ArgumentParser:
    """The parser; its result has ``command`` and that command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m backend",
        description="From a handful of ordinary photographs of one person to a rigged, textured head.",
        epilog=_exit_codes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"Likeness {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_reconstruct(commands)
    _add_serve(commands)
    _add_batch(commands)
    _add_canonical(commands)
    _add_transfer(commands)
    for command in commands.choices.values():
        meaning = "on an error, also print where in the code it happened"
        command.add_argument("--traceback", action="store_true", help=meaning)
    _add_doctor(commands)  # no --traceback: it prints no errors
    return parser


_RECONSTRUCT_DESCRIPTION = """\
Make a rigged, textured head from photographs of one person.

Give three to ten photos for a close likeness, from the front and from both sides, in even light, without sunglasses;
one photo gives a plausible head. Photos that show somebody else, no face or too little are left out, and the table at
the end says why. A folder stands for all photos that lie in it."""

_RECONSTRUCT_FILES = """\
files written to DIR (all or none, then the preview; described in docs/files.md):
  face.glb          head and parts with the 52 ARKit shape keys, both UV maps, albedo
  face.obj, .mtl    the neutral face, subdivided once
  albedo.png        skin colour without the photos' light, UV map Head
  hair.json         guide strands of the hair; hair.png the picture on its cards
  cameras.json      one solved camera per photo
  expressions.json  one set of shape-key weights per photo
  preview.png       the head from three sides and the fit beside each photo
  report.json       which photos were used and why not, errors, seconds, versions"""


def _add_reconstruct(commands: argparse._SubParsersAction) -> None:
    summary = "photographs of one person to a rigged, textured head"
    epilog = f"{_RECONSTRUCT_FILES}\n\n{_exit_codes()}"
    reconstruct = _add_command(commands, "reconstruct", summary, _RECONSTRUCT_DESCRIPTION, epilog)
    _add_photos_and_folder(reconstruct, needed=False)
    reconstruct.add_argument(
        "--mesh",
        type=_path,
        metavar="FILE",
        help="a scan or sculpt of the head (OBJ, PLY, glTF), which gives the shape, in place of photos or beside them",
    )
    add_head_options(reconstruct)
    _add_device(reconstruct)
    reconstruct.add_argument(
        "--corrections",
        type=_path,
        metavar="FILE.json",
        help="corrected landmarks, masks, and which photos give shape or texture (docs/files.md)",
    )


_SERVE_DESCRIPTION = """\
Run the service that the Blender extension talks to (docs/protocol.md), until Ctrl-C.

It listens on this machine only unless told otherwise; connections are encrypted, and only its owner's key is let in.
Keys are made at the first start and lie in the configuration folder: LIKENESS_CONFIG_DIR, or likeness in the user's
own. To listen for another machine, give its public key with --owner."""


def _add_serve(commands: argparse._SubParsersAction) -> None:
    summary = "serve the Blender extension: receive photos, send heads"
    serve = _add_command(commands, "serve", summary, _SERVE_DESCRIPTION, _exit_codes())
    serve.add_argument(
        "--bind",
        default="tcp://127.0.0.1:0",
        metavar="ADDRESS",
        help="where to listen, like tcp://127.0.0.1:5555 (default: any free port on this machine only)",
    )
    _add_device(serve)
    serve.add_argument("--owner", metavar="KEY", help="public key of the one client (default: that of this user here)")
    serve.add_argument(
        "--stop-with-input", action="store_true", help="stop when standard input ends (the parent exited)"
    )


_BATCH_DESCRIPTION = """\
Make one head per person of a manifest: a CSV table or JSON lines with name, photos or folder, and options, or a folder
that has a folder of photos for each person (docs/farm.md). DIR gets a folder per person, as reconstruct writes it, and
batch.json and batch.html, which list everybody's state and the reasons of failures. Heads that are done already, from
the same photos and options, are kept: to resume a run that was stopped, give the same command again."""


def _add_batch(commands: argparse._SubParsersAction) -> None:
    summary = "many people: a manifest to one head per person, on this machine or a Ray cluster"
    batch = _add_command(commands, "batch", summary, _BATCH_DESCRIPTION, _exit_codes())
    batch.add_argument(
        "manifest", type=_path, metavar="MANIFEST", help="a .csv table or .jsonl lines of people, or a folder of them"
    )
    batch.add_argument("--out", required=True, type=_path, metavar="DIR", help="folder for the heads and the table")
    where = batch.add_argument_group("where")
    where.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="number of workers (default: as cores and memory allow); 1 works in this process",
    )
    where.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster that runs already, or auto to find it")
    where.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="cuda takes a share of a GPU per worker"
    )
    where.add_argument(
        "--worker-memory", type=_positive, metavar="MB", help="of each worker (default: as measured, docs/farm.md)"
    )
    where.add_argument(
        "--time-limit", type=_positive, default=60.0, metavar="MINUTES", help="for one person (default: 60)"
    )
    batch.add_argument("--only", metavar="NAME", help="this person alone, in this process and without a table")
    options = batch.add_argument_group("options of all people whose line does not set them")
    add_head_options(options)


_CANONICAL_DESCRIPTION = """\
Show the one canonical face (neutral, from the front) that the LAP networks (docs/lap.md) make of a person's photos.

A folder stands for all photos that lie in it. Photos that show somebody else, no face or too little are left out."""

_CANONICAL_FILES = """\
files written to DIR (all or none, then the preview; described in docs/files.md):
  canonical_depth.png, _normals, _albedo, _confidence   the maps
  canonical_photos.png    each photo, and how the face explains it
  canonical.obj, .mtl     the textured surface
  canonical.json          each photo's light and view"""


def _add_canonical(commands: argparse._SubParsersAction) -> None:
    summary = "photographs of one person to depth, normals and albedo of one face, as pictures"
    canonical = _add_command(commands, "canonical", summary, _CANONICAL_DESCRIPTION, _CANONICAL_FILES)
    _add_photos_and_folder(canonical)
    _add_device(canonical)


_TRANSFER_DESCRIPTION = """\
Read expressions off pictures of one person: the 52 ARKit weights, head pose and gaze of every frame of a video or of
every photo, for any rig with these shape keys.

Give a video, photos or a folder of photos, or a CSV file of the app Live Link Face. The rate of a video's frames is
kept; frames without a face are interpolated and marked."""

_TRANSFER_EPILOG = "The file is described in docs/expressions.md."


def _add_transfer(commands: argparse._SubParsersAction) -> None:
    summary = "a photo or a video to expressions that any rig with ARKit keys can wear"
    transfer = _add_command(commands, "transfer", summary, _TRANSFER_DESCRIPTION, _TRANSFER_EPILOG)
    transfer.add_argument(
        "--from",
        dest="sources",
        nargs="+",
        required=True,
        type=_path,
        metavar="PICTURES",
        help="a video, photos, a folder of photos, or a Live Link Face CSV",
    )
    transfer.add_argument(
        "--identity",
        type=_identity,
        default="auto",
        metavar="DIR",
        help="folder that reconstruct wrote for this person; auto (default) solves the face from the pictures",
    )
    transfer.add_argument("--out", required=True, type=_path, metavar="FILE", help="the expression.json to write")
    transfer.add_argument(
        "--fps",
        type=number_within(1, 1000),
        metavar="N",
        help="the photos are the frames of one take, in the order of names; for a CSV, its rate where it has no times",
    )


def _add_doctor(commands: argparse._SubParsersAction) -> None:
    summary = "say what is installed, which device is used, what is missing and how to get it"
    exits = f"Exit code 0 when Likeness can run, {EXIT_CODES['missing_part']} when a required part is missing."
    commands.add_parser("doctor", help=summary, description=f"{summary.capitalize()}. {exits}")


def _add_photos_and_folder(command: argparse.ArgumentParser, needed: bool = True) -> None:
    """Add ``PHOTO ...``, at least one where ``needed``, and ``--out DIR``."""
    command.add_argument(
        "photos", nargs="+" if needed else "*", type=_path, metavar="PHOTO", help="photo files, or folders of photos"
    )
    command.add_argument("--out", required=True, type=_path, metavar="DIR", help="folder for the results")


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device", choices=DEVICES, default="auto", help="auto (default) uses a CUDA GPU where there is one"
    )


def _add_command(
    commands: argparse._SubParsersAction, name: str, summary: str, description: str, epilog: str
) -> argparse.ArgumentParser:
    """Add a command; ``summary`` is its line in the list of commands."""
    form = argparse.RawDescriptionHelpFormatter
    return commands.add_parser(name, help=summary, description=description, epilog=epilog, formatter_class=form)


def _exit_codes() -> str:
    lines = [(0, "done"), *EXIT_MEANINGS.values()]
    return "exit codes:\n" + "\n".join(f"  {number}  {meaning}" for number, meaning in lines)


def _path(text: str) -> Path:
    """Parse a path; the empty string is refused, because ``Path("")`` would be the current folder by mistake.

    Raises ``argparse.ArgumentTypeError``.
    """
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)


def _positive(text: str) -> float:
    """Parse a positive number. Raises ``ValueError``, ``argparse.ArgumentTypeError``."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def _identity(text: str) -> Path | None:
    return None if text == "auto" else _path(text)
