"""Measure the landmark detector's errors on rendered people as a ``backend.fitting.detector_model.DetectorModel``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.fitting.detector_model import DetectorModel, turn_of, view_features
from backend.fitting.initial_pose import face_scale
from backend.geometry.template import Template
from trainer.template.calibration import Observation

MODE_COUNT = 16
RIDGE = 2.0
OUTLIER_PERCENT = 2.5
LARGEST_PERCENT = 8.0
SMALLEST_DEVIATION = 0.4


@dataclass(frozen=True)
class ErrorTable:
    """Errors of the detector in the head's upright picture axes.

    Attributes
    ----------
    errors : (P, 478, 2) detected minus true, per cent of ``face_scale``, without the common shift of a picture.
    features : (P, 8) ``view_features``. people : (P,) person of each picture, for cross-validation.
    """

    errors: np.ndarray
    features: np.ndarray
    people: np.ndarray


def error_table(
    template: Template, observations: list[Observation], people: np.ndarray, partners: np.ndarray
) -> ErrorTable:
    """Errors of all observations and of their mirror images; ``partners`` (478,) is each landmark's mirror partner."""
    errors, views = [], []
    for observation in observations:
        camera = observation.camera
        head = observation.vertices[: template.head.vertex_stop].astype(np.float64)
        middle = head[template.regions["face"][: len(head)] > 0.5].mean(0)
        towards = camera.centre() - middle
        yaw, pitch, upright = turn_of(camera.camera_from_head[:3, :3], towards)
        true = camera.project(template.landmarks478.positions(observation.vertices.astype(np.float64)))[:, :2]
        found = np.asarray(observation.landmarks[:, :2], dtype=np.float64)
        error = 100.0 / face_scale(found) * (found - true) @ upright
        errors.append(error - np.median(error, axis=0))
        views.append((yaw, pitch, float(np.linalg.norm(towards))))
    both = np.concatenate([np.stack(errors), np.stack(errors)[:, partners] * [-1.0, 1.0]])
    features = view_features(*np.concatenate([views, np.array(views) * [-1.0, 1.0, 1.0]]).T)
    return ErrorTable(both, features, np.concatenate([people, people]))


def fit_bias(table: ErrorTable) -> np.ndarray:
    """(8, 478, 2) robust ridge regression of the errors on the view."""
    features, errors = table.features, table.errors
    weight = np.ones(errors.shape[:2])
    bias = np.zeros((features.shape[1], *errors.shape[1:]))
    for _ in range(4):
        system = np.einsum("pi,pl,pj->lij", features, weight, features) + RIDGE * np.eye(features.shape[1])
        right = np.einsum("pi,pl,plc->lic", features, weight, errors)
        bias = np.linalg.solve(system, right).transpose(1, 0, 2)
        left = errors - np.tensordot(features, bias, 1)
        weight = 1.0 / (1.0 + ((left**2).sum(-1) / OUTLIER_PERCENT**2))
    return bias


def fit_detector_model(table: ErrorTable, mode_count: int = MODE_COUNT) -> DetectorModel:
    """Fit the bias, the leading correlated errors, and the remaining deviation per landmark."""
    bias = fit_bias(table)
    left = np.clip(table.errors - np.tensordot(table.features, bias, 1), -LARGEST_PERCENT, LARGEST_PERCENT)
    modes, deviation = correlated_errors(left, mode_count)
    # the share that the detector shows of a person is not corrected: it differs between photographs and renders
    return DetectorModel(bias, modes, np.maximum(deviation, SMALLEST_DEVIATION), np.ones(len(deviation)))


def correlated_errors(errors: np.ndarray, mode_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components (mode_count, L, 2) of errors (P, L, 2), each of one standard deviation, and the standard
    deviation (L,) per axis of the residuals."""
    flat = errors.reshape(len(errors), -1)
    _, strengths, directions = np.linalg.svd(flat, full_matrices=False)
    modes = directions[:mode_count] * strengths[:mode_count, None] / np.sqrt(len(flat))
    rest = flat - flat @ directions[:mode_count].T @ directions[:mode_count]
    # The modes explain more of the pictures they were fitted to than of new ones.
    freedom = 1.0 - 2.0 * mode_count / len(flat)
    deviation = np.sqrt((rest.reshape(errors.shape) ** 2).mean((0, 2)) / max(freedom, 0.2))
    return modes.reshape(mode_count, *errors.shape[1:]), deviation


def cross_validated_percent(table: ErrorTable, folds: int = 8) -> tuple[float, float]:
    """Median error in per cent before and after subtracting the bias, which is always fitted on other people."""
    after = np.empty_like(table.errors)
    groups = np.unique(table.people)
    for fold in range(folds):
        held_out = np.isin(table.people, groups[fold::folds])
        kept = ErrorTable(table.errors[~held_out], table.features[~held_out], table.people[~held_out])
        after[held_out] = table.errors[held_out] - np.tensordot(table.features[held_out], fit_bias(kept), 1)
    return tuple(float(np.median(np.linalg.norm(errors, axis=-1))) for errors in (table.errors, after))


def joined(first: ErrorTable, second: ErrorTable) -> ErrorTable:
    """Concatenate two tables; their people must not share numbers."""
    return ErrorTable(
        np.concatenate([first.errors, second.errors]),
        np.concatenate([first.features, second.features]),
        np.concatenate([first.people, second.people]),
    )
