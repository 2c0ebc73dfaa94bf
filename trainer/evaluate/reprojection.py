"""Reprojection error of a held-out photo's landmarks for a reconstruction.

Only the photo's camera and expression are fitted; the neutral shape stays fixed.

Leave-one-out reprojection: reconstruct a head without one photo and measure that photo's landmark error.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from backend.fitting.options import fit_options_for
from backend.geometry.similarity import nearest_similarity
from backend.geometry.template import load_template
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.photos.formats import PhotoSource
from trainer.evaluate.estimate import fit_with
from trainer.evaluate.held_out import add_people_arguments, left_out
from trainer.evaluate.likeness import people_folders
from trainer.evaluate.metrics import landmark_nme

OUTER_CORNERS = (33, 263)
EXPRESSION_PULL = 0.3
"""Residual, in per cent of the eyes' distance, of an expression weight of 1; it keeps unnecessary keys at 0."""
DISTANCE_PULL = 1.0
"""The same for a camera distance that is a factor e away from ``TYPICAL_DISTANCE``."""
TYPICAL_DISTANCE = 1.2


@dataclass(frozen=True)
class HeldOutFit:
    """Mean landmark error in per cent of the outer eye corners' distance, and the expression (52,)."""

    error_percent: float
    expression: np.ndarray


def reproject_held_out(neutral: np.ndarray, landmarks: np.ndarray, centre: tuple[float, float]) -> HeldOutFit:
    """Fit camera and expression of one photo to a given neutral shape, and return the remaining error.

    Parameters
    ----------
    neutral : (V, 3) cage in the template's order, metres.
    landmarks : (478, 3) MediaPipe landmarks, x and y in pixels, z on the same scale (used only for the initial pose).
    centre : the principal point in pixels (the centre of the whole photograph).
    """
    template = load_template()
    marks = template.landmarks478
    used = np.flatnonzero(marks.valid[:468])
    base = marks.positions(neutral.astype(np.float64))[used]
    keys = marks.positions(template.expressions.astype(np.float64))[:, used]  # (52, L, 3)
    target = landmarks[used, :2].astype(np.float64)
    eyes = float(np.linalg.norm(landmarks[OUTER_CORNERS[0], :2] - landmarks[OUTER_CORNERS[1], :2]))
    pixels_per_metre, rotation, _ = nearest_similarity(base, landmarks[used])
    focal = pixels_per_metre * TYPICAL_DISTANCE
    middle = base.mean(0)
    turn = Rotation.from_matrix(rotation)
    # rotation after ``turn``, sideways shift, logarithms of distance and of focal length per distance, expression
    shift = (target.mean(0) - centre) / pixels_per_metre
    start = np.concatenate([np.zeros(3), shift, [0.0, 0.0], np.full(len(keys), 0.02)])

    def project(values: np.ndarray) -> np.ndarray:
        points = base + np.tensordot(values[7:], keys, 1) - middle
        distance = TYPICAL_DISTANCE * np.exp(values[5])
        in_camera = (Rotation.from_rotvec(values[:3]) * turn).apply(points)
        in_camera += [values[3] * np.exp(values[5]), values[4] * np.exp(values[5]), distance]
        return focal * np.exp(values[5] + values[6]) * in_camera[:, :2] / in_camera[:, 2:] + centre

    def residuals(values: np.ndarray) -> np.ndarray:
        errors = (project(values) - target).ravel() / eyes * 100 / np.sqrt(len(used))
        return np.concatenate([errors, EXPRESSION_PULL * values[7:], [DISTANCE_PULL * values[5]]])

    low = np.concatenate([np.full(5, -np.inf), [-1.6, -1.5], np.zeros(len(keys))])
    high = np.concatenate([np.full(5, np.inf), [1.6, 1.5], np.ones(len(keys))])
    solved = least_squares(residuals, start, bounds=(low, high), x_scale="jac", max_nfev=100).x
    return HeldOutFit(landmark_nme(project(solved), target, eyes), solved[7:])


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
