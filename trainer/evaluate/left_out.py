"""Leave-one-out evaluation: choose photos of a person that are held out in turn from the reconstruction."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from backend.errors import LikenessError


def left_out(count: int, most: int) -> list[int]:
    """Choose at most ``most`` of ``count`` photos, evenly spread. Raises ``LikenessError`` where there is only one."""
    if count < 2:
        raise LikenessError("no_photo", "There is only one usable photo.", "Leaving one out needs at least two.")
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()


def add_people_arguments(parser: argparse.ArgumentParser, most: int) -> None:
    """Add the options ``--people``, ``--quality`` and ``--most``, by default ``most``."""
    parser.add_argument("--people", type=Path, required=True, help="a folder with a folder of photos per person")
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    parser.add_argument("--most", type=int, default=most, help=f"photos left out in turn per person (default {most})")
