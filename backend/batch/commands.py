"""One command per person, for a render farm's own scheduler (docs/farm.md)."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.batch.person import Person, PersonOptions

_SWITCHES = {
    "landmark_net": "--no-landmark-net",
    "lap": "--no-lap",
    "learned_basis": "--no-learned-basis",
    "detail": "--no-detail",
}


def commands(
    manifest: Path, people: Sequence[Person], out: Path, defaults: PersonOptions, more: Sequence[str] = ()
) -> Iterator[str]:
    """A line per person, quoted for the system's shell, with absolute paths. Running one twice is running it
    once. ``more`` : arguments for all of them."""
    for person in people:
        words = [sys.executable, "-m", "backend", "batch", os.path.abspath(manifest), "--out", os.path.abspath(out)]
        words += [*_options(defaults), *more, f"--only={person.name}"]
        yield subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _options(defaults: PersonOptions) -> list[str]:
    """The arguments that differ from what they are when nothing is said."""
    words: list[str] = []
    usual = PersonOptions()
    for name in ("quality", "texture", "hair", "face_model"):
        if getattr(defaults, name) != getattr(usual, name):
            words += [f"--{name.replace('_', '-')}", str(getattr(defaults, name))]
    words += [switch for name, switch in _SWITCHES.items() if not getattr(defaults, name)]
    return [*words, "--personalise"] if defaults.personalise else words
