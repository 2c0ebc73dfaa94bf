"""Leave-one-out reprojection: reconstruct a head without one photo and measure that photo's landmark error."""

from __future__ import annotations

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from backend.fitting.options import fit_options_for
from backend.geometry.template import load_template
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.photos.reading.source import PhotoSource
from trainer.evaluate.estimate import fit_with
from trainer.evaluate.left_out import add_people_arguments, left_out
from trainer.evaluate.likeness import people_folders
from trainer.evaluate.metrics.reprojection import reproject_held_out


def photo_centre(face: PhotoFace) -> tuple[float, float]:
    """Centre of the whole photograph in pixels of the face's crop."""
    x, y = (
        face.crop_scale * (size / 2 - shift) for size, shift in zip(face.source_size, face.crop_offset, strict=True)
    )
    return float(x), float(y)


def held_out_errors(collection: PhotoCollection, quality: str, most: int) -> dict[str, tuple[float, float]]:
    """Photo name -> landmark error in per cent of the eyes' distance, of the head made from the other photos and of the
    template's mean face. At most ``most`` photos, spread over the collection, are left out in turn."""
    faces = collection.faces
    chosen = left_out(len(faces), most)
    models, errors = open_models(), {}
    for index in chosen:
        rest = PhotoCollection(tuple(face for i, face in enumerate(faces) if i != index), collection.verdicts)
        neutral = fit_with(rest, fit_options_for(quality), models).neutral
        face = faces[index]
        errors[face.name] = tuple(
            reproject_held_out(shape, face.landmarks, photo_centre(face)).error_percent
            for shape in (neutral, load_template().vertices)
        )
    return errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate reprojection``."""
    add_people_arguments(parser, most=3)


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Compute the flat figures ``reprojection.percent`` and ``reprojection.template_percent``, and the same per
    person."""
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
