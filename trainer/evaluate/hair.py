"""Hair against a photo that it was not fitted to: outline, direction, tone; labelled kinds."""

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from rich.console import Console

from backend.errors import LikenessError
from backend.fitting.stages import FittedFace
from backend.geometry.template import Template, load_template
from backend.hair.fit_hair import HairResult, fit_hair
from backend.hair.hair_views import hair_views
from backend.models.hair_kind import kind_reader
from backend.photos.collection import FaceClass, PhotoFace
from trainer.evaluate import hair_figures as compare
from trainer.measures.estimate import fitted_person, without_photo
from trainer.measures.harness import Figures, found_faces, judged, means, people_folders
from trainer.portraits.hair_kind import balanced_accuracy, read_kinds

FitHair = Callable[[Template, FittedFace, Sequence[PhotoFace]], HairResult]
KIND_LABELS = Path(__file__).with_name("hair_kinds.csv")
"""Kinds of hair in photos of ``research_only/lfw``, by eye, by somebody who did not label what the reader learns from;
nothing is a fit to them."""


def held_out_hair(
    template: Template, fitted: FittedFace, faces: Sequence[PhotoFace], name: str, fit: FitHair = fit_hair
) -> dict[str, float]:
    """Fit the hair to all photos but ``name``, one of at least two, and measure it on that photo.

    ``overlap`` : intersection over union of the fitted hair's silhouette and the photo's hair, without pixels that are
    occluded or outside the photo; hair that was not found has an empty silhouette. ``cap_overlap`` : the same of
    ``cap``; ``gain`` : the difference. ``seen_overlap``, ``lead_overlap`` : with the photos of the look that the hair
    was fitted to (mean), and with the leading one; ``angle``, ``seen_angle``, ``lead_angle`` : ``line_angle``
    likewise; ``hairline`` : ``hairline_distance`` in the leading one. ``missed`` : share of the photo's hair outside
    the silhouette; ``beside`` : share of the silhouette without hair; ``face_hidden`` : share of the photo's facial
    skin that it covers. ``found`` : 1 or 0. ``seconds`` of the fit; and ``strands_inside``, ``hair_tone``. NaN where
    there is nothing to measure.
    """
    split = without_photo(fitted, faces, name)
    start = perf_counter()
    found = fit(template, split.rest, split.rest_faces)
    figures = {"found": float(found.strands is not None), "seconds": perf_counter() - start}
    view = hair_views(template, replace(fitted, photos=(split.photo,)), [split.face])[0]
    drawn, strands = np.zeros(view.depth.shape, np.uint8), found.strands
    if strands is not None:
        drawn = compare.hair_outline(strands, view)
        figures |= look_figures(template, split.rest, faces, found) | {"angle": compare.line_angle(strands, view)}
        figures |= compare.strands_inside(strands.points, template, fitted.neutral)
        figures |= compare.hair_tone(strands, split.photo, split.face, template)
    skin = (split.face.labels == FaceClass.SKIN).astype(np.float32)
    skin = cv2.resize(skin, view.camera.size, interpolation=cv2.INTER_AREA)
    overlap, cap_overlap = (compare.mask_overlap(mask, view) for mask in (drawn, compare.cap(fitted.neutral, view)))
    return figures | {
        "overlap": overlap,
        "cap_overlap": cap_overlap,
        "gain": overlap - cap_overlap,
        "missed": compare.share(1 - drawn, view.hair * view.visible),
        "beside": compare.share(1 - view.hair, drawn * view.visible),
        "face_hidden": compare.share(drawn, skin * view.visible),
    }


def look_figures(
    template: Template, fitted: FittedFace, faces: Sequence[PhotoFace], found: HairResult
) -> dict[str, float]:
    """Measure hair that ``fit_hair`` found in the photos that it follows, the leading one first."""
    photos = {photo.name: photo for photo in fitted.photos}
    names = photos if found.look is None else found.look.photos
    views = hair_views(template, replace(fitted, photos=tuple(photos[name] for name in names)), faces)
    strands, rows = found.strands, []
    drawn = [compare.hair_outline(strands, view) for view in views]
    for outline, view in zip(drawn, views, strict=True):
        rows.append({"overlap": compare.mask_overlap(outline, view), "angle": compare.line_angle(strands, view)})
    figures = {f"lead_{name}": value for name, value in rows[0].items()}
    figures |= {f"seen_{name}": value for name, value in means(rows).items()}
    return figures | {"hairline": compare.hairline_distance(drawn[0], views[0])}


def person_hair(photos: Sequence[Path], quality: str, most: int) -> dict[str, float]:
    """Hold out at most ``most`` photos of a person in turn, spread over those that the fit uses: the mean figures.

    Raises ``LikenessError`` if fewer than two photos are usable.
    """
    person, template = fitted_person(photos, quality, most), load_template()
    return means([held_out_hair(template, person.fitted, person.faces, name) for name in person.names])


def kind_figures(photos: Path) -> dict[str, float]:
    """Of the labelled photos, read one by one: ``kind.FIELD`` the balanced accuracy, ``kind.FIELD.commonest`` the share
    of the commonest value, ``kind.FIELD.LABEL.FOUND`` shares of what is found, and ``kind.calibration`` by how much
    probabilities differ from how often they are right (expected error, tenths). Raises ``LikenessError`` without the
    net."""
    reader, told = kind_reader(), read_kinds(KIND_LABELS)
    if reader is None:
        raise LikenessError("missing_part", "The second parsing net is missing.", "Install Likeness again.")
    kinds = {name: reader.read(face.pixels, face.labels) for name in told for face in found_faces([photos / name])[:1]}
    figures: dict[str, float] = {}
    sure: list[float] = []
    right: list[bool] = []
    for field in reader.heads:
        names = [name for name in kinds if field in told[name]]
        truth, found = np.array([(told[name][field], kinds[name].value(field)) for name in names]).T
        figures[f"kind.{field}"], figures[f"kind.{field}.commonest"] = balanced_accuracy(truth, found)
        for label in np.unique(truth):
            each = Counter(found[truth == label].tolist())
            figures |= {f"kind.{field}.{label}.{value}": n / each.total() for value, n in each.items()}
        sure += [kinds[name].probability(field, value) for name, value in zip(names, found, strict=True)]
        right += (truth == found).tolist()
    tenth, off = (np.array(sure) * 10).astype(int), np.array(sure) - right
    return figures | {"kind.calibration": float(sum(abs(off[tenth == k].sum()) for k in range(11)) / len(sure))}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate hair``."""
    parser.add_argument("people", type=Path, nargs="*", help="folders of a person's photos, or of such folders")
    parser.add_argument("--kind", type=Path, help="folder of the photos of hair_kinds.csv: what is read of their hair")
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    parser.add_argument("--most", type=int, default=2, help="photos left out in turn per person (default 2)")
    parser.add_argument("--photos", type=int, help="photos used of each person, the first by name (default: all)")


def run(arguments: argparse.Namespace, console: Console) -> Figures:
    """Flat figures ``hair.…`` over people, the same per person under ``person.NAME.``, or with ``--kind``
    ``kind.…``."""
    if arguments.kind:
        return kind_figures(arguments.kind)
    folders = {name: photos for folder in arguments.people for name, photos in people_folders(folder).items()}
    if not folders:
        raise LikenessError("usage", "No people were given.", "Name folders of photos, or --kind FOLDER.")

    def person(photos: Sequence[Path]) -> dict[str, float]:
        return person_hair(photos[: arguments.photos], arguments.quality, arguments.most)

    return judged(folders, person, console, "hair")
