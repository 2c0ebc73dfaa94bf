"""One command per person, for a render farm's own scheduler (docs/farm.md)."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.batch.person import Person, PersonOptions
from backend.models.registry import SWITCHED


def commands(
    manifest: Path, people: Sequence[Person], out: Path, defaults: PersonOptions, more: Sequence[str] = ()
) -> Iterator[str]:
    """One line per person, quoted for the system's shell, with absolute paths. The commands are idempotent. ``more`` :
    arguments for all of them."""
    for person in people:
        words = [sys.executable, "-m", "backend", "batch", os.path.abspath(manifest), "--out", os.path.abspath(out)]
        words += [*_options(defaults), *more, f"--only={person.name}"]
        yield subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _options(defaults: PersonOptions) -> list[str]:
    """The arguments that differ from their defaults."""
    words: list[str] = []
    usual = PersonOptions()
    for name in ("quality", "texture", "hair", "hair_style", "face_model", "symmetry", "average"):
        if getattr(defaults, name) != getattr(usual, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(defaults, name))]
    words += [model.switch.flag for model in SWITCHED if not getattr(defaults, model.switch.name)]
    return words + [f"--{name}" for name in ("bust", "personalise") if getattr(defaults, name)]
