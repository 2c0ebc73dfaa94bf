"""The arguments of ``python -m backend canonical``. Imports nothing heavy."""

from __future__ import annotations

import argparse

from backend.command_line.common_arguments import add_device, add_photos_and_folder, add_traceback

_DESCRIPTION = """\
Show what the networks of LAP make of photographs of one person: one canonical face out of all of them.

A folder stands for all photos that lie in it. Photos that show somebody else, no face or too little are left out."""

_EPILOG = """\
files written to DIR (all or none; described in docs/files.md):
  canonical_depth.png, _normals, _albedo, _confidence   the maps
  canonical_relit.png     under lights from seven sides
  canonical_turned.png    from seven sides
  canonical_photos.png    each photo, and how the face explains it
  canonical.obj, .mtl     the textured surface
  canonical.json          each photo's light and view"""


def add_canonical(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command ``canonical``."""
    canonical = commands.add_parser(
        "canonical",
        help="photographs of one person to depth, normals and albedo of one face, as pictures",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_photos_and_folder(canonical)
    add_device(canonical)
    add_traceback(canonical)
