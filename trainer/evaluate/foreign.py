"""People and pictures that nothing here comes from.

Real people have no truth: the neutral face from some of a person's photos is compared with the one from the others.
``--cycles`` : heads of other people with truth, drawn by Cycles, in millimetres, with the fit's learned parts switched
off in turn; also in other skins (``--skins``).
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from backend.errors import LikenessError
from backend.geometry.template import load_template
from trainer.engine.disk_cache import shared_folder
from trainer.heads import foreign as drawn
from trainer.heads.drawing import VIEWS
from trainer.measures import metrics
from trainer.measures.estimate import Fitted, Variant, as_estimate, fitted_heads, measure, signed_by_region
from trainer.measures.harness import Figures, judged, means, people_folders

LEAST_PHOTOS = 4
VARIANTS: Mapping[str, Variant] = {
    "full": Variant(),
    "without.lap": Variant(lap=False),
    "without.encoder": Variant(encoder=False),
    "without.landmark_net": Variant(landmark_net=False),
    "landmarks_only": Variant("fast", lap=False, encoder=False, landmark_net=False),
    "graph": Variant(face_model="graph"),
}
"""``full`` is the product's fit. ``landmarks_only`` is the baseline: the detector's landmarks and the prior. LAP's
networks need the landmark net's points, so they are off without it, as in the product. ``graph``: the identity moves in
the graph face model."""
WORSE_RATIO = 1.1
"""A head counts as worse than the mean face where its median distance is this many times the mean face's."""
PROBE_AND_GALLERY_SETS = {"one_one": ("first", "second"), "one_rest": ("first", "rest"), "two_rest": ("both", "rest")}
"""Question -> photo sets (``SETS``) of the probe and of the gallery."""
SETS = ("first", "second", "both", "rest")
DISTANCES = {"plain": metrics.plain_distances, "whitened": metrics.whitened_distances}
LEAST_PEOPLE = 3


@dataclass(frozen=True)
class PhotoSets:
    """Disjoint photos of a person: one ``first``, one ``second``, and others as ``rest``."""

    first: Path
    second: Path
    rest: tuple[Path, ...]

    @property
    def both(self) -> tuple[Path, Path]:
        """The first and the second photo."""
        return self.first, self.second


def people_of(folder: Path, half: str, most: int) -> dict[str, tuple[Path, ...]]:
    """At most ``most`` people of one half with at least ``LEAST_PHOTOS`` photos, and all their photos.

    They are ordered by the hashes of their names, so a larger ``most`` only adds people."""
    everybody = {name: photos for name, photos in people_folders(folder).items() if len(photos) >= LEAST_PHOTOS}
    names = sorted((name for name in everybody if drawn.half_of(name) == half), key=drawn.name_hash)
    return {name: everybody[name] for name in names[:most]}


def photo_sets(name: str, photos: Sequence[Path], most_rest: int) -> PhotoSets:
    """Split a person's photos, shuffled by a hash of their names; ``rest`` gets at most ``most_rest``.

    Raises ``ValueError`` for fewer than ``LEAST_PHOTOS``.
    """
    if len(photos) < LEAST_PHOTOS:
        raise ValueError(f"{name} has {len(photos)} photos; {LEAST_PHOTOS} are needed")
    shuffled = sorted(photos, key=lambda path: drawn.name_hash(f"{name}/{path.name}"))
    return PhotoSets(shuffled[0], shuffled[1], tuple(shuffled[2 : 2 + most_rest]))


def fits_or_none(photos: Sequence[Path], wanted: Sequence[str]) -> dict[str, Fitted] | None:
    """``fitted_heads`` of the wanted ``VARIANTS``; None if no photo shows a usable face."""
    try:
        return fitted_heads(photos, {name: VARIANTS[name] for name in wanted})
    except LikenessError as error:
        if error.code != "no_face":
            raise
        return None


def drawn_heads(folder: Path, half: str) -> dict[str, tuple[Path, ...]]:
    """Name -> photos of the rendered heads of one half. Raises ``LikenessError`` if there are none."""
    folders = [path.parent for path in sorted(folder.glob("*/truth.npz"))]
    folders = [head for head in folders if drawn.half_of(drawn.person_of(head.name)) == half]
    heads = {head.name: tuple(sorted(head.glob("*.jpg"))) for head in folders}
    heads = {name: photos for name, photos in heads.items() if photos}
    if not heads:
        raise LikenessError("no_photo", f"There are no heads in {folder}.", "Draw them with --heads-from.")
    return heads


def render_figures(heads: Mapping[str, Sequence[Path]], variants: Sequence[str], console: Console) -> Figures:
    """``drawn.FIGURE`` of ``head_figures``, means over people with their intervals, and ``drawn.person.NAME.FIGURE``. A
    person rendered in several looks counts with their mean."""
    people: dict[str, list[Sequence[Path]]] = {}
    for name, photos in heads.items():
        people.setdefault(drawn.person_of(name), []).append(photos)
    counts = {"drawn.heads": float(len(heads)), "drawn.people": float(len(people))}
    figures = judged(
        people, lambda looks: means([head_figures(photos, variants) for photos in looks]), console, "drawn",
        "drawn.person",
    )  # fmt: skip
    return counts | figures


def head_figures(photos: Sequence[Path], variants: Sequence[str]) -> dict[str, float]:
    """``VARIANT.nN.FIGURE`` of a rendered head's fits to the first photo (``n1``) and to all photos, and
    ``template.median_mm`` of the mean face, as which a head without a detected face counts.

    ``median_mm``; ``ratio`` to the mean face's; ``worse`` : 1 for a ratio above ``WORSE_RATIO``, else 0; ``faceless``;
    of ``full`` also ``bias_mm.REGION`` (signed along the normal, + outside the scan) and ``focal_ratio``, the median
    over photos of the found focal length over the true one.
    """
    with np.load(photos[0].parent / "truth.npz") as data:
        scan, marks, focal = (data[name] for name in ("scan", "marks", "focal"))
    mean = Fitted(load_template().vertices, np.full(len(photos), np.nan))
    null = measure(scan, marks, as_estimate(mean.neutral)).median
    figures = {"template.median_mm": null}
    for count in sorted({1, len(photos)}):
        fits = fits_or_none(photos[:count], variants)
        for variant in variants:
            fit = mean if fits is None else fits[variant]
            estimate = as_estimate(fit.neutral)
            distance = measure(scan, marks, estimate)
            found = {"median_mm": distance.median, "ratio": distance.median / null}
            found |= {"worse": float(found["ratio"] > WORSE_RATIO), "faceless": float(fits is None)}
            if variant == "full":
                bias = signed_by_region(scan, estimate, distance)
                found |= {f"bias_mm.{region}": error for region, error in bias.items()}
                ratios = fit.focal[:count] / focal[:count]
                known = np.isfinite(ratios)
                found["focal_ratio"] = float(np.median(ratios[known])) if known.any() else np.nan
            figures |= {f"{variant}.n{count}.{name}": value for name, value in found.items()}
    return figures


def skin_figures(heads: Mapping[str, Sequence[Path]], variants: Sequence[str]) -> dict[str, float]:
    """Flat figures ``skins.VARIANT.FIGURE`` of heads whose first photo was rendered with several skins; each with
    ``.low`` and ``.high``.

    Distances are those of ``plain_distances``. ``moved_mm`` : between fits to two skins of one head, mean over pairs.
    ``between_mm`` : between fits to two heads. ``share`` : ``moved_mm`` over the mean ``between_mm``; 0 if the skin has
    no influence. Heads with a photo without a detected face are left out and counted in ``skins.faceless``. Empty for
    fewer than two heads.
    """
    template = load_template()
    skins = {name: sorted((photos[0].parent / drawn.SKINS).glob("*.jpg")) for name, photos in heads.items()}
    fits = {
        name: [fits_or_none((photo,), variants) for photo in (heads[name][0], *others)]
        for name, others in skins.items()
        if others
    }
    usable = [fit for fit in fits.values() if None not in fit]
    if len(usable) < 2:
        return {}
    figures = {"skins.heads": float(len(usable)), "skins.faceless": float(len(fits) - len(usable))}
    for variant in variants:
        shapes = [metrics.aligned_faces(template, [fits[variant].neutral for fits in fit]) for fit in usable]
        moved = np.array([_apart(metrics.plain_distances(template, own, own)) for own in shapes])
        firsts = np.concatenate([own[:1] for own in shapes])
        apart = metrics.plain_distances(template, firsts, firsts)
        between = apart.sum(1) / (len(apart) - 1)
        for name, values in (("moved_mm", moved), ("between_mm", between), ("share", moved / between.mean())):
            figures |= metrics.mean_interval(values).figures(f"skins.{variant}.{name}")
    return figures


def _apart(distances: np.ndarray) -> float:
    """Mean of a symmetric matrix (N, N) without its diagonal."""
    return float(distances[~np.eye(len(distances), dtype=bool)].mean())


PersonShapes = Mapping[str, Mapping[str, np.ndarray]]
"""One person's neutral faces: set of photos (``SETS``) -> variant -> vertices (V, 3)."""


def person_shapes(sets: PhotoSets, variants: Sequence[str]) -> PersonShapes | None:
    """Fit all sets of a person's photos with all variants; None if a set shows no usable face."""
    photos = {"first": (sets.first,), "second": (sets.second,), "both": sets.both, "rest": sets.rest}
    found = {}
    for name in SETS:
        fits = fits_or_none(photos[name], variants)
        if fits is None:
            return None
        found[name] = {variant: fit.neutral for variant, fit in fits.items()}
    return found


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
    mean = np.zeros_like(metrics.aligned_faces(template, [template.vertices]))
    figures: dict[str, float] = {"real.people": float(len(people))}
    full: dict[tuple[str, str], np.ndarray] = {}
    apart = ~np.eye(len(people), dtype=bool)
    for variant in variants:
        shapes = {name: metrics.aligned_faces(template, [one[name][variant] for one in people]) for name in SETS}
        for question, (probe, gallery) in PROBE_AND_GALLERY_SETS.items():
            prefix = f"real.{variant}.{question}"
            for kind, distance in DISTANCES.items():
                place = prefix if kind == "plain" else f"{prefix}.{kind}"
                distances = distance(template, shapes[probe], shapes[gallery])
                figures |= metrics.area_interval(distances).figures(f"{place}.auc")
                figures |= metrics.rank_interval(distances).figures(f"{place}.rank1")
                if variant == "full":
                    full[question, kind] = distances
                elif (question, kind) in full:
                    figures |= metrics.area_gain(full[question, kind], distances).figures(f"{place}.auc_worth")
                if kind == "plain":
                    between = np.array([row[others].mean() for row, others in zip(distances, apart, strict=True)])
                    from_mean = distance(template, shapes[probe], mean)[:, 0]
                    figures |= metrics.mean_interval(np.diag(distances)).figures(f"{prefix}.within_mm")
                    figures |= metrics.mean_interval(between).figures(f"{prefix}.between_mm")
                    figures |= metrics.mean_interval(from_mean).figures(f"{prefix}.from_mean_mm")
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate foreign``."""
    parser.add_argument("--people", type=Path, help="a folder with a folder per person, by default LFW's")
    parser.add_argument("--cycles", type=Path, help="measure on the heads drawn into this folder")
    parser.add_argument("--heads-from", choices=drawn.SOURCES, help="draw the missing ones of these into --cycles")
    parser.add_argument("--heads", type=int, default=12, help="how many of the half (12)")
    parser.add_argument("--photos", type=int, default=3, choices=range(1, len(VIEWS) + 1), help="of each (3)")
    parser.add_argument("--looks", type=int, default=drawn.LOOKS_PER_SCAN, help="of each real scan, a skin each (3)")
    parser.add_argument("--skins", type=int, default=0, help="other skins of each head in its first photo (0)")
    parser.add_argument("--most-people", type=int, default=40, help="people of the half, by default 40")
    parser.add_argument("--most-rest", type=int, default=2, help="photos that the first two are compared with (2)")
    parser.add_argument("--half", choices=drawn.HALVES, default=drawn.HALVES[0], help="count looks at judgement")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="fits to compare, comma-separated")


def run(arguments: argparse.Namespace, console: Console) -> Figures:
    """Flat figures of ``evaluate foreign``; finished fits are cached, so a stopped run resumes."""
    folder = arguments.people or shared_folder() / "photos" / "research_only" / "lfw"
    variants = [name for name in VARIANTS if name in arguments.variants.split(",")]
    unknown = set(arguments.variants.split(",")) - set(VARIANTS)
    if unknown:
        raise LikenessError("usage", f"No fit is called {', '.join(sorted(unknown))}.", f"Use {', '.join(VARIANTS)}.")
    if arguments.cycles:
        if arguments.heads_from:
            given = arguments.heads, arguments.photos, arguments.looks, arguments.skins
            drawn.draw_heads(arguments.cycles, arguments.heads_from, arguments.half, *given)
        heads = drawn_heads(arguments.cycles, arguments.half)
        return render_figures(heads, variants, console) | skin_figures(heads, variants)
    if not folder.is_dir():
        raise LikenessError("no_photo", f"There is no folder {folder}.", "Name one with --people.")
    people = {}
    for name, photos in people_of(folder, arguments.half, arguments.most_people).items():
        shapes = person_shapes(photo_sets(name, photos, arguments.most_rest), variants)
        if shapes is None:
            console.print(f"{name}: a set of photos shows no usable face; left out", markup=False)
        else:
            people[name] = shapes
    return real_figures(list(people.values()), variants)
