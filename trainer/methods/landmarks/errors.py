"""Measure the landmark net's errors on unseen people: ``python -m trainer landmark-errors``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from backend.fitting.detector_model import SURFACE_ERRORS_PATH, DetectorModel, face_scale, save_detector_model, turn_of
from backend.geometry.template import LandmarkEmbedding, load_template
from backend.models.landmarks import SurfaceLandmarker, net_points
from backend.photos.faces import mean_landmarks
from backend.rendering.camera import Camera
from trainer.methods.landmarks.data import landmarks_in_given_box
from trainer.people.source import PeopleBatch, PeopleConfig
from trainer.template.calibration import LARGEST_PERCENT, MODE_COUNT, correlated_errors

SEED = 44
SIZE = 256
PEOPLE_AT_ONCE = 20
SHARE_RIDGE = 0.5


@dataclass(frozen=True)
class SurfaceErrors:
    """Errors in P pictures, in per cent of ``face_scale``, in the head's upright picture axes.

    Attributes
    ----------
    errors : (P, 478, 2) predicted minus true. claimed : (P, 478) standard deviations that the net predicts.
    detector : (P, 478, 2) errors of the detector's landmarks.
    person : (P, 478, 2) true landmarks minus those of the mean face with the same expression and camera.
    """

    errors: np.ndarray
    claimed: np.ndarray
    detector: np.ndarray
    person: np.ndarray


def surface_errors(
    landmarker: SurfaceLandmarker, points: LandmarkEmbedding, count: int, seed: int = SEED
) -> SurfaceErrors:
    """Errors on ``count`` synthetic people, with windows found as in the photo stage; points : the net's embedding."""
    people = PeopleConfig(size=SIZE, framing="roomy", seed=seed).build()
    rows = []
    for first in range(0, count, PEOPLE_AT_ONCE):
        batch = people.batch(range(first, min(first + PEOPLE_AT_ONCE, count)), torch.device("cpu"))
        rows += [
            row
            for number in range(len(batch.images))
            if (row := _errors(landmarker, points, batch, number)) is not None
        ]
    return SurfaceErrors(*(np.stack(column) for column in zip(*rows, strict=True)))


def _errors(
    landmarker: SurfaceLandmarker, points: LandmarkEmbedding, batch: PeopleBatch, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """A row of ``SurfaceErrors``; None if the detector finds no face."""
    pixels = np.ascontiguousarray((batch.images[number].permute(1, 2, 0).numpy() * 255.0 + 0.5).astype(np.uint8))
    intrinsics, pose = (of[number].numpy().astype(np.float64) for of in (batch.intrinsics, batch.camera_from_head))
    camera = Camera(intrinsics, pose, pixels.shape[1::-1])
    true = camera.project(points.positions(batch.vertices[number].numpy().astype(np.float64)))[:, :2]
    detected = landmarks_in_given_box(pixels, true)
    if detected is None:
        return None
    found = landmarker.find(pixels, detected)
    mean_face = camera.project(_mean_face_landmarks(points, batch, number))[:, :2]
    *_, upright = turn_of(pose[:3, :3], camera.centre())
    percent = 100.0 / face_scale(true)
    return (
        percent * (found.places - true) @ upright,
        percent * found.deviation,
        percent * (detected[:, :2] - true) @ upright,
        percent * (true - mean_face) @ upright,
    )


def _mean_face_landmarks(points: LandmarkEmbedding, batch: PeopleBatch, number: int) -> np.ndarray:
    """(478, 3) landmarks of the mean face with this picture's expression, head frame, metres."""
    moved = (batch.vertices[number] - batch.neutral[number]).numpy().astype(np.float64)
    return points.positions(load_template().vertices + moved)


def shown_share(errors: np.ndarray, person: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(478,) share of a person's deviation ``person`` (P, 478, 2) that landmarks with ``errors`` (P, 478, 2) show.

    Scale, translation and rotation are removed, because a pose explains them; ``where`` (478, 2) are the mean face's
    landmarks. Least squares per landmark, with a ridge (``SHARE_RIDGE`` of the mean square) towards the common share.
    """
    errors, person = (without_similarity(one, where) for one in (errors, person))
    products, squares = (errors * person).sum((0, 2)), (person**2).sum((0, 2))
    common = products.sum() / squares.sum()
    ridge = SHARE_RIDGE * squares.mean()
    return 1.0 + (products + ridge * common) / (squares + ridge)


def without_similarity(fields: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Displacements (P, L, 2) at places (L, 2) without their least-squares translation, scaling and rotation."""
    x, y = (where - where.mean(0)).T
    one, none = np.ones_like(x), np.zeros_like(x)
    basis = np.stack(
        [np.stack([one, none], -1), np.stack([none, one], -1), np.stack([x, y], -1), np.stack([-y, x], -1)]
    )
    directions = np.linalg.qr(basis.reshape(4, -1).T)[0]
    flat = fields.reshape(len(fields), -1)
    return (flat - flat @ directions @ directions.T).reshape(fields.shape)


def fit_surface_model(measured: SurfaceErrors, mode_count: int = MODE_COUNT) -> DetectorModel:
    """Fit correlated errors, and factors on the claimed deviations for the uncorrelated rest.

    There is no bias by view, because the net was trained on such people."""
    partners = mean_landmarks().mirror
    errors = np.clip(measured.errors, -LARGEST_PERCENT, LARGEST_PERCENT)
    both = np.concatenate([errors, errors[:, partners] * [-1.0, 1.0]])
    modes, left = correlated_errors(both, mode_count)
    claimed = np.sqrt((np.concatenate([measured.claimed, measured.claimed[:, partners]]) ** 2).mean(0))
    shown = shown_share(measured.errors, measured.person, mean_landmarks().points[:, :2])
    shown = 0.5 * (shown + shown[partners])
    return DetectorModel(np.zeros((8, *both.shape[1:])), modes, left / claimed, shown)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m trainer landmark-errors``."""
    parser.add_argument("--people", type=int, default=600, help="synthetic people, one picture each")
    parser.add_argument("--model", type=Path, help="folder of an exported landmark net; default: the shipped one")
    parser.add_argument("--out", type=Path, default=SURFACE_ERRORS_PATH, help="file to write")


def run(arguments: argparse.Namespace) -> int:
    """Measure the errors, write the model and print the figures."""
    landmarker = SurfaceLandmarker.load(arguments.model)
    measured = surface_errors(landmarker, net_points(arguments.model), arguments.people)
    save_detector_model(fit_surface_model(measured), arguments.out, landmarker.version)
    for name, errors in (("landmark net", measured.errors), ("detector", measured.detector)):
        alone = errors - np.median(errors, axis=1, keepdims=True)
        median, shape = (float(np.median(np.linalg.norm(e, axis=-1))) for e in (errors, alone))
        share = shown_share(errors, measured.person, mean_landmarks().points[:, :2])
        print(f"{name}: shows {np.median(share):.2f} of a person (landmarks: {np.percentile(share, [5, 95])})")
        print(f"{name}: median error {median:.2f} % of the face scale, {shape:.2f} % without the common shift")
    return 0
