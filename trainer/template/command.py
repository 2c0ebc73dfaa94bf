"""Bake assets/template.safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path

from backend.geometry.template import TEMPLATE_PATH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m trainer template``."""
    parser.add_argument("--out", type=Path, default=TEMPLATE_PATH, help="file to write (default: the committed one)")


def run(arguments: argparse.Namespace) -> int:
    """Bake and say what was written."""
    from trainer.template.bake import bake

    template = bake(arguments.out)
    size = arguments.out.stat().st_size / 1e6
    print(
        f"{arguments.out.name}: {len(template.vertices)} vertices, {len(template.identity_modes)} modes, {size:.2f} MB"
    )
    return 0
