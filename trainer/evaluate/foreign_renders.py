"""Shape errors in millimetres on heads of other people, rendered by Cycles (``benchmarks/cycles_photos.py``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from backend.errors import LikenessError
from backend.geometry.template import load_template
from trainer.data.halves import half_of, person_of
from trainer.data.scan_heads import ScanTruth, truth_from_marks
from trainer.evaluate.estimate import as_estimate, template_only
from trainer.evaluate.foreign_fits import fitted_neutrals
from trainer.evaluate.metrics.intervals import mean_interval
from trainer.evaluate.metrics.shape_distance import aligned_faces, plain_distances
from trainer.evaluate.scans import measure

SKINS = "skins"
"""Subfolder of a head's folder with its first photo rendered with other skins."""
WORSE_RATIO = 1.1
"""A head counts as worse than the mean face where its median distance is this many times the mean face's."""


def drawn_heads(folder: Path, half: str) -> dict[str, tuple[Path, ...]]:
    """Name -> photos of the rendered heads of one half. Raises ``LikenessError`` if there are none."""
    folders = [
        path.parent for path in sorted(folder.glob("*/truth.npz")) if half_of(person_of(path.parent.name)) == half
    ]
    heads = {head.name: tuple(sorted(head.glob("*.jpg"))) for head in folders}
    heads = {name: photos for name, photos in heads.items() if photos}
    if not heads:
        raise LikenessError("no_photo", f"There are no heads in {folder}.", "Draw them: benchmarks/cycles_photos.py.")
    return heads


def drawn_truth(folder: Path) -> ScanTruth:
    """Load the true shape of the head rendered into ``folder``."""
    with np.load(folder / "truth.npz") as data:
        return truth_from_marks(folder.name, data["scan"], data["marks"], np.full((2, 3), np.nan))


def render_figures(heads: Mapping[str, Sequence[Path]], variants: Sequence[str]) -> dict[str, float]:
    """Flat figures ``drawn.head.NAME.…``, and over people ``drawn.VARIANT.nN.median_mm`` and ``.ratio`` (to the mean
    face's median, per head), both with ``.low`` and ``.high``, and ``.worse``: heads with a ratio above
    ``WORSE_RATIO``.

    nN : the fit to the first photo (``n1``) and to all photos. A head without a detected face counts as the mean face,
    and in ``drawn.VARIANT.nN.faceless``. A person rendered in several looks counts with their mean.
    """
    figures: dict[str, float] = {
        "drawn.heads": float(len(heads)),
        "drawn.people": float(len(set(map(person_of, heads)))),
    }
    columns: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for name, photos in heads.items():
        truth, person = drawn_truth(photos[0].parent), person_of(name)
        null = measure(truth, as_estimate(template_only(()))).median
        figures[f"drawn.head.{name}.median_mm.template"] = null
        columns.setdefault("template", {}).setdefault("median_mm", []).append((person, null))
        for count in sorted({1, len(photos)}):
            neutrals = fitted_neutrals(photos[:count], variants)
            for variant in variants:
                found = null if neutrals is None else measure(truth, as_estimate(neutrals[variant])).median
                figures[f"drawn.head.{name}.median_mm.{variant}.n{count}"] = found
                column = columns.setdefault(f"{variant}.n{count}", {})
                column.setdefault("median_mm", []).append((person, found))
                column.setdefault("ratio", []).append((person, found / null))
                column.setdefault("faceless", []).append((person, float(neutrals is None)))
    for column, kinds in columns.items():
        for kind in ("median_mm", "ratio"):
            if kind in kinds:
                figures |= mean_interval(_of_people(kinds[kind])).figures(f"drawn.{column}.{kind}")
        if "ratio" in kinds:
            figures[f"drawn.{column}.worse"] = float(sum(ratio > WORSE_RATIO for _, ratio in kinds["ratio"]))
            figures[f"drawn.{column}.faceless"] = sum(faceless for _, faceless in kinds["faceless"])
    return figures


def _of_people(values: Sequence[tuple[str, float]]) -> np.ndarray:
    """(P,) mean value of each person, from pairs of person and value."""
    people = dict.fromkeys(person for person, _ in values)
    return np.array([np.mean([value for other, value in values if other == person]) for person in people])


def skin_figures(heads: Mapping[str, Sequence[Path]], variants: Sequence[str]) -> dict[str, float]:
    """Flat figures ``skins.VARIANT.FIGURE`` of heads whose first photo was rendered with several skins; each with
    ``.low`` and ``.high``.

    Distances are those of ``plain_distances``. ``moved_mm`` : between fits to two skins of one head, mean over pairs.
    ``between_mm`` : between fits to two heads. ``share`` : ``moved_mm`` over the mean ``between_mm``; 0 if the skin has
    no influence. Heads with a photo without a detected face are left out and counted in ``skins.faceless``. Empty for
    fewer than two heads.
    """
    template = load_template()
    skins = {name: sorted((photos[0].parent / SKINS).glob("*.jpg")) for name, photos in heads.items()}
    fits = {
        name: [fitted_neutrals((photo,), variants) for photo in (heads[name][0], *others)]
        for name, others in skins.items()
        if others
    }
    usable = [fit for fit in fits.values() if None not in fit]
    if len(usable) < 2:
        return {}
    figures = {"skins.heads": float(len(usable)), "skins.faceless": float(len(fits) - len(usable))}
    for variant in variants:
        shapes = [aligned_faces(template, [neutrals[variant] for neutrals in fit]) for fit in usable]
        moved = np.array([_apart(plain_distances(template, own, own)) for own in shapes])
        firsts = np.concatenate([own[:1] for own in shapes])
        apart = plain_distances(template, firsts, firsts)
        between = apart.sum(1) / (len(apart) - 1)
        for name, values in (("moved_mm", moved), ("between_mm", between), ("share", moved / between.mean())):
            figures |= mean_interval(values).figures(f"skins.{variant}.{name}")
    return figures


def _apart(distances: np.ndarray) -> float:
    """Mean of a symmetric matrix (N, N) without its diagonal."""
    return float(distances[~np.eye(len(distances), dtype=bool)].mean())


def render_table(figures: Mapping[str, float]) -> Table:
    """The figures as a table, a row per fit."""
    heads, people = figures["drawn.heads"], figures["drawn.people"]
    title = f"Other people, another renderer: {heads:.0f} heads of {people:.0f} people"
    table = Table("fit", "median mm", "over the mean face's", "worse heads", title=title)
    for key in figures:
        if key.endswith(".median_mm") and not key.startswith("drawn.head."):
            place = key.removesuffix(".median_mm")
            ratio = figures.get(f"{place}.ratio", 1.0)
            cells = (f"{figures[key]:.2f}", f"{ratio:.2f}", f"{figures.get(f'{place}.worse', 0):.0f}")
            table.add_row(place.removeprefix("drawn."), *cells)
    return table
