"""Parsing of paths as arguments."""

from __future__ import annotations

import argparse
from pathlib import Path


def path_argument(text: str) -> Path:
    """Parse a path; the empty string is refused, because ``Path("")`` would be the current folder by mistake.

    Raises ``argparse.ArgumentTypeError``.
    """
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)
