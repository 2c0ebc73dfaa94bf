"""Leave one photo out, reconstruct from the others, and see whether the head explains the photo left out."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.canonical.networks import lap_model
from backend.encoded.networks import basis_model
from backend.errors import LikenessError
from backend.fitting.options import fit_options_for
from backend.geometry.template import load_template
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.photos.read import PhotoSource
from trainer.evaluate.estimate import fit_with
from trainer.evaluate.likeness import people_folders
from trainer.evaluate.metrics.reprojection import reproject_held_out


def photo_centre(face: PhotoFace) -> tuple[float, float]:
    """The middle of the whole photograph in pixels of the face's crop."""
    x, y = (
        face.crop_scale * (size / 2 - shift) for size, shift in zip(face.source_size, face.crop_offset, strict=True)
    )
    return float(x), float(y)


def held_out_errors(collection: PhotoCollection, quality: str, most: int) -> dict[str, tuple[float, float]]:
    """Photo name -> landmark error in per cent of the eyes' distance: of the head made from the other photos, and of
    the template's mean face; at most ``most`` photos are left out in turn, spread over the collection."""
    faces = collection.faces
    if len(faces) < 2:
        raise LikenessError("no_photo", "There is only one usable photo.", "Leaving one out needs at least two.")
    networks, basis, errors = lap_model(), basis_model(), {}
    for index in np.unique(np.linspace(0, len(faces) - 1, min(most, len(faces))).round().astype(int)):
        rest = PhotoCollection(tuple(face for i, face in enumerate(faces) if i != index), collection.verdicts)
        neutral = fit_with(rest, fit_options_for(quality), networks, basis).neutral
        face = faces[index]
        errors[face.name] = tuple(
            reproject_held_out(shape, face.landmarks, photo_centre(face)).error_percent
            for shape in (neutral, load_template().vertices)
        )
    return errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate reprojection``."""
    parser.add_argument("--people", type=Path, required=True, help="a folder with a folder of photos per person")
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    parser.add_argument("--most", type=int, default=3, help="photos left out in turn per person (default 3)")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Flat figures: ``reprojection.percent`` and ``reprojection.template_percent``, and per person."""
    figures: dict[str, float] = {}
    table = Table("person", "held-out landmarks, % of eye distance", "template", title="Held-out photos")
    pairs = []
    for name, photos in people_folders(arguments.people).items():
        collection = collect([PhotoSource.from_path(path) for path in photos])
        values = np.array(list(held_out_errors(collection, arguments.quality, arguments.most).values()))
        figures[f"person.{name}.reprojection_percent"] = float(values[:, 0].mean())
        table.add_row(name, f"{values[:, 0].mean():.2f}", f"{values[:, 1].mean():.2f}")
        pairs.append(values.mean(0))
    figures["reprojection.percent"], figures["reprojection.template_percent"] = (
        float(v) for v in np.mean(pairs, axis=0)
    )
    table.add_row("mean", f"{figures['reprojection.percent']:.2f}", f"{figures['reprojection.template_percent']:.2f}")
    console.print(table)
    return figures
