"""Evaluation out of domain: photographs not made by our renderer, of people outside every basis.

Real people have no truth: the neutral face from some of a person's photos is compared with the one from the others.
``--cycles`` : heads with truth, rendered by Cycles.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from backend.errors import LikenessError
from backend.geometry.template import load_template
from trainer.data.halves import HALVES
from trainer.data.shared_data import shared_folder
from trainer.evaluate.foreign_coverage import coverage_figures
from trainer.evaluate.foreign_fits import VARIANTS, fitted_neutrals
from trainer.evaluate.foreign_people import PhotoSets, people_of, photo_sets
from trainer.evaluate.foreign_renders import drawn_heads, render_figures, render_table, skin_figures
from trainer.evaluate.metrics.intervals import mean_interval
from trainer.evaluate.metrics.shape_distance import aligned_faces, plain_distances, whitened_distances
from trainer.evaluate.metrics.verification import area_gain, area_interval, rank_interval

PROBE_AND_GALLERY_SETS = {"one_one": ("first", "second"), "one_rest": ("first", "rest"), "two_rest": ("both", "rest")}
"""Question -> photo sets (``SETS``) of the probe and of the gallery."""
SETS = ("first", "second", "both", "rest")
DISTANCES = {"plain": plain_distances, "whitened": whitened_distances}
LEAST_PEOPLE = 3


@dataclass(frozen=True)
class PersonShapes:
    """One person's neutral faces. neutrals : set of photos (``SETS``) -> variant -> vertices (V, 3)."""

    neutrals: Mapping[str, Mapping[str, np.ndarray]]


def person_shapes(sets: PhotoSets, variants: Sequence[str]) -> PersonShapes | None:
    """Fit all sets of a person's photos with all variants; None if a set shows no usable face."""
    photos = {"first": (sets.first,), "second": (sets.second,), "both": sets.both, "rest": sets.rest}
    found = {}
    for name in SETS:
        neutrals = fitted_neutrals(photos[name], variants)
        if neutrals is None:
            return None
        found[name] = neutrals
    return PersonShapes(found)


def real_figures(people: Sequence[PersonShapes], variants: Sequence[str]) -> dict[str, float]:
    """Flat figures ``real.VARIANT.QUESTION.FIGURE``, each with ``.low`` and ``.high`` (95 % over people).

    By plain distance: ``auc``, ``rank1``, ``within_mm`` (two shapes of one person), ``between_mm`` (shapes of two
    people), ``from_mean_mm`` (probe to the mean face). By whitened distance: ``whitened.auc``, ``whitened.rank1``. For
    variants other than ``full``: ``auc_worth`` and ``whitened.auc_worth``, by which ``full`` is better. Raises
    ``LikenessError`` for fewer than ``LEAST_PEOPLE`` people.
    """
    if len(people) < LEAST_PEOPLE:
        raise LikenessError("no_photo", f"There are {len(people)} people.", f"Telling them apart needs {LEAST_PEOPLE}.")
    template = load_template()
    mean = np.zeros_like(aligned_faces(template, [template.vertices]))
    figures: dict[str, float] = {"real.people": float(len(people))}
    full: dict[tuple[str, str], np.ndarray] = {}
    apart = ~np.eye(len(people), dtype=bool)
    for variant in variants:
        shapes = {name: aligned_faces(template, [one.neutrals[name][variant] for one in people]) for name in SETS}
        for question, (probe, gallery) in PROBE_AND_GALLERY_SETS.items():
            prefix = f"real.{variant}.{question}"
            for kind, measure in DISTANCES.items():
                place = prefix if kind == "plain" else f"{prefix}.{kind}"
                distances = measure(template, shapes[probe], shapes[gallery])
                figures |= area_interval(distances).figures(f"{place}.auc")
                figures |= rank_interval(distances).figures(f"{place}.rank1")
                if variant == "full":
                    full[question, kind] = distances
                elif (question, kind) in full:
                    figures |= area_gain(full[question, kind], distances).figures(f"{place}.auc_worth")
                if kind == "plain":
                    between = np.array([row[others].mean() for row, others in zip(distances, apart, strict=True)])
                    from_mean = measure(template, shapes[probe], mean)[:, 0]
                    figures |= mean_interval(np.diag(distances)).figures(f"{prefix}.within_mm")
                    figures |= mean_interval(between).figures(f"{prefix}.between_mm")
                    figures |= mean_interval(from_mean).figures(f"{prefix}.from_mean_mm")
    return figures


def real_table(figures: Mapping[str, float], variants: Sequence[str]) -> Table:
    """The figures without their intervals as a table, a row per variant and question."""
    title = f"Who is it, by shape alone: {figures['real.people']:.0f} people"
    table = Table(
        Column("fit", no_wrap=True),
        Column("photos", no_wrap=True),
        "AUC",
        "rank-1",
        "whitened",
        "rank-1",
        "same",
        "others",
        title=title,
    )
    for variant in variants:
        for question in PROBE_AND_GALLERY_SETS:
            place = f"real.{variant}.{question}"
            names = (f"{place}{kind}.{figure}" for kind in ("", ".whitened") for figure in ("auc", "rank1"))
            cells = [f"{figures[name]:.3f}" for name in names]
            cells += [f"{figures[f'{place}.{name}_mm']:.2f}" for name in ("within", "between")]
            last = question == list(PROBE_AND_GALLERY_SETS)[-1]
            table.add_row(variant, question.replace("_", ":"), *cells, end_section=last)
    return table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate foreign``."""
    parser.add_argument("--people", type=Path, help="a folder with a folder per person, by default LFW's")
    parser.add_argument("--cycles", type=Path, help="measure on the heads that benchmarks/cycles_photos.py drew here")
    parser.add_argument("--coverage", action="store_true", help="of drawn heads: is LAP as sure as it may be?")
    parser.add_argument("--most-people", type=int, default=40, help="people of the half, by default 40")
    parser.add_argument("--most-rest", type=int, default=2, help="photos that the first two are compared with (2)")
    parser.add_argument("--half", choices=HALVES, default=HALVES[0], help="count every look at the judgement half")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="fits to compare, comma-separated")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Flat figures of ``evaluate foreign``; finished fits are cached, so a stopped run resumes."""
    folder = arguments.people or shared_folder() / "photos" / "research_only" / "lfw"
    variants = [name for name in VARIANTS if name in arguments.variants.split(",")]
    unknown = set(arguments.variants.split(",")) - set(VARIANTS)
    if unknown:
        raise LikenessError("usage", f"No fit is called {', '.join(sorted(unknown))}.", f"Use {', '.join(VARIANTS)}.")
    if arguments.cycles:
        heads = drawn_heads(arguments.cycles, arguments.half)
        figures = render_figures(heads, variants)
        console.print(render_table(figures))
        skins = skin_figures(heads, variants)
        for variant in variants if skins else ():
            moved, between = (skins[f"skins.{variant}.{name}_mm"] for name in ("moved", "between"))
            console.print(f"{variant}: a skin moves a face by {moved:.2f} mm, heads differ by {between:.2f}")
        coverage = coverage_figures(heads) if arguments.coverage else {}
        if coverage:
            deviation, within = (coverage[f"coverage.lap.{name}"] for name in ("deviation", "within"))
            console.print(f"LAP's errors: {deviation:.2f} claimed deviations, {within:.0%} of them within 1.96")
        return figures | skins | coverage
    if not folder.is_dir():
        raise LikenessError("no_photo", f"There is no folder {folder}.", "Name one with --people.")
    people = {}
    for name, photos in people_of(folder, arguments.half, arguments.most_people).items():
        shapes = person_shapes(photo_sets(name, photos, arguments.most_rest), variants)
        if shapes is None:
            console.print(f"{name}: a set of photos shows no usable face; left out", markup=False)
        else:
            people[name] = shapes
    figures = real_figures(list(people.values()), variants)
    console.print(real_table(figures, variants))
    return figures
