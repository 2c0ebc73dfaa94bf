"""Reprojection error of a held-out photo's landmarks for a reconstruction.

Only the photo's camera and expression are fitted; the neutral shape stays fixed.

Leave-one-out reprojection: reconstruct a head without one photo and measure that photo's landmark error.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from backend.fitting.options import fit_options_for
from backend.geometry.similarity import nearest_similarity
from backend.geometry.template import load_template
from backend.models.registry import open_models
from backend.photos.collection import PhotoCollection, PhotoFace
from trainer.evaluate.estimate import fit_with
from trainer.evaluate.harness import add_people_arguments, collected, means, measured, people_folders
from trainer.evaluate.held_out import left_out
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


def held_out_errors(photos: Sequence[Path], quality: str, most: int) -> dict[str, float]:
    """Landmark error in per cent of the eyes' distance of heads made from the other photos (``percent``) and of the
    template's mean face (``template_percent``): means over at most ``most`` photos, left out in turn."""
    collection = collected(photos)
    faces, models, errors = collection.faces, open_models(), []
    for index in left_out(len(faces), most):
        rest = PhotoCollection(tuple(face for i, face in enumerate(faces) if i != index), collection.verdicts)
        shapes = fit_with(rest, fit_options_for(quality), models).neutral, load_template().vertices
        face = faces[index]
        marks, centre = face.landmarks, photo_centre(face)
        errors.append([reproject_held_out(shape, marks, centre).error_percent for shape in shapes])
    return dict(zip(("percent", "template_percent"), np.mean(errors, axis=0).tolist(), strict=True))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate reprojection``."""
    add_people_arguments(parser, most=3)


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Compute the flat figures ``reprojection.percent`` and ``reprojection.template_percent``, and the former per
    person."""
    people = measured(
        people_folders(arguments.people),
        lambda photos: held_out_errors(photos, arguments.quality, arguments.most),
        console,
    )
    figures = {f"person.{name}.reprojection_percent": one["percent"] for name, one in people.items()}
    return figures | {f"reprojection.{name}": value for name, value in means(list(people.values())).items()}
