"""The arguments of ``python -m backend``. Imports nothing heavy, so that ``--help`` is fast."""

from __future__ import annotations

import argparse

from backend import __version__
from backend.command_line.batch_parser import add_batch
from backend.command_line.canonical_parser import add_canonical
from backend.command_line.common_arguments import (
    add_device,
    add_head_options,
    add_photos_and_folder,
    add_traceback,
    positive,
)
from backend.command_line.path_argument import path_argument
from backend.command_line.transfer_parser import add_transfer
from backend.errors import EXIT_CODES

_EXIT_CODE_MEANINGS = {
    "internal": "an error in Likeness itself",
    "usage": "wrong arguments",
    "no_photo": "no photo could be read",
    "no_face": "no usable face in the photos",
    "out_of_memory": "not enough memory",
    "disk": "the output folder could not be written",
    "missing_part": "something is not installed (see: python -m backend doctor)",
    "cancelled": "cancelled with Ctrl-C; nothing was written (batch: those that are done stay)",
    "in_use": "the port is taken, a server of this user runs already, or another run writes into the folder",
    "some_failed": "some people of a batch failed, the others are done",
}

_RECONSTRUCT_DESCRIPTION = """\
Make a rigged, textured head from photographs of one person.

Give three to ten photos for a close likeness, from the front and from both sides, in even light, without sunglasses;
one photo gives a plausible head. Photos that show somebody else, no face or too little are left out, and the table at
the end says why. A folder stands for all photos that lie in it."""

_RECONSTRUCT_FILES = """\
files written to DIR (all or none; described in docs/files.md):
  face.glb          head and parts with the 52 ARKit shape keys, both UV maps, albedo
  face.obj, .mtl    the neutral face, subdivided once
  albedo.png        skin colour without the photos' light, UV map Head
  hair.json         guide strands of the hair; hair.png the picture on its cards
  cameras.json      one solved camera per photo
  expressions.json  one set of shape-key weights per photo
  preview.png       the head from three sides and the fit beside each photo
  report.json       which photos were used and why not, errors, seconds, versions"""

_SERVE_DESCRIPTION = """\
Run the service that the Blender extension talks to (docs/protocol.md), until Ctrl-C.

It listens on this machine only unless told otherwise; connections are encrypted, and only clients with a known key
are let in. Keys are made at the first start and lie in the configuration folder: LIKENESS_CONFIG_DIR, or likeness in
the user's own. To listen for other machines, give their public keys with --allow or in the file
authorized_clients there."""


def build_parser() -> argparse.ArgumentParser:
    """The parser; its result has ``command`` and that command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m backend",
        description="From a handful of ordinary photographs of one person to a rigged, textured head.",
        epilog=f"exit codes:\n{_exit_code_lines()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"Likeness {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_reconstruct(commands)
    _add_serve(commands)
    add_batch(commands, _exit_code_lines())
    add_canonical(commands)
    add_transfer(commands)
    commands.add_parser(
        "doctor",
        help="say what is installed, which device is used, what is missing and how to get it",
        description="Say what is installed, which device is used, what is missing and how to get it. "
        f"Exit code 0 when Likeness can run, {EXIT_CODES['missing_part']} when a required part is missing.",
    )
    return parser


def _add_reconstruct(commands: argparse._SubParsersAction) -> None:
    reconstruct = commands.add_parser(
        "reconstruct",
        help="photographs of one person to a rigged, textured head",
        description=_RECONSTRUCT_DESCRIPTION,
        epilog=f"{_RECONSTRUCT_FILES}\n\nexit codes:\n{_exit_code_lines()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_photos_and_folder(reconstruct)
    add_head_options(reconstruct)
    add_device(reconstruct)
    reconstruct.add_argument(
        "--corrections",
        type=path_argument,
        metavar="FILE.json",
        help="corrected landmarks, masks, and which photos give shape or texture (docs/files.md)",
    )
    add_traceback(reconstruct)


def _add_serve(commands: argparse._SubParsersAction) -> None:
    serve = commands.add_parser(
        "serve",
        help="serve the Blender extension: receive photos, send heads",
        description=_SERVE_DESCRIPTION,
        epilog=f"exit codes:\n{_exit_code_lines()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.add_argument(
        "--bind",
        default="tcp://127.0.0.1:0",
        metavar="ADDRESS",
        help="where to listen, like tcp://127.0.0.1:5555 (default: any free port on this machine only)",
    )
    add_device(serve)
    serve.add_argument(
        "--allow", action="append", default=[], metavar="KEY", help="let a client in by its public key; may be repeated"
    )
    serve.add_argument(
        "--idle-exit", type=positive, metavar="SECONDS", help="stop after this time without a job or a message"
    )
    serve.add_argument(
        "--parent", type=int, metavar="PID", help="stop when this process is gone and nobody else uses the server"
    )
    add_traceback(serve)


def _exit_code_lines() -> str:
    lines = [(0, "done"), *sorted((EXIT_CODES[code], meaning) for code, meaning in _EXIT_CODE_MEANINGS.items())]
    return "\n".join(f"  {number}  {meaning}" for number, meaning in lines)
