"""A path as an argument."""

from __future__ import annotations

import argparse
from pathlib import Path


def path_argument(text: str) -> Path:
    """The path; nothing is refused, because ``Path("")`` is the current folder, which nobody meant.

    Raises ``argparse.ArgumentTypeError``.
    """
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)
