"""Inputs and targets of the expression reader, from observed pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from backend.expression.evidence import evidence_of_window
from backend.expression.frontalised import frontalised_face, steady_landmarks, towards_point
from backend.expression.reading import BASES, MIRRORED_KEYS, raw_features
from backend.geometry.template import load_template
from backend.models.landmarks.network import net_points
from trainer.expressions.observe import Observed

OTHER_HEAD = 0.35
"""Error of an estimated neutral head, in standard deviations of the identity modes."""


@dataclass(frozen=True)
class FeatureTable:
    """N rows of training data. Every picture gives four: plain and mirrored, each with the true neutral head and with
    an estimated one.

    Attributes
    ----------
    person : (N,). plain : (N, P). long : by ``BASES``, (N, R, D) (R = 2 eyes, else 1).
    weights : (N, 52). turn : (N, 3) radians, rotation vector in the head's axes that takes ``FrontalisedFace.rotation``
        to the true rotation relative to the line of sight.
    plainly : (N,) bool, rows as in the product: not mirrored, with the true neutral head.
    """

    person: np.ndarray
    plain: np.ndarray
    long: dict[str, np.ndarray]
    weights: np.ndarray
    turn: np.ndarray
    plainly: np.ndarray


def feature_table(observed: Observed, seed: int = 1) -> FeatureTable:
    """Compute the rows of all observed pictures; a picture whose landmarks fit no pose is left out."""
    template = load_template()
    embedding = net_points()
    mean = embedding.positions(template.vertices).astype(np.float64)
    modes = np.stack([embedding.positions(mode) for mode in template.identity_modes]).astype(np.float64)  # (K, 478, 3)
    generator, steady = np.random.default_rng(seed), steady_landmarks()
    rows = []
    for number in range(len(observed.person)):
        own = mean + embedding.positions(observed.neutral[number].astype(np.float64)) / 1000.0
        other = own + np.tensordot(generator.normal(0, OTHER_HEAD, len(modes)), modes, 1)
        pose, width = observed.camera_from_head[number].astype(np.float64), float(observed.side[number])
        evidence = evidence_of_window(
            observed.window[number], observed.found[number], width, observed.surface[number].astype(np.float64)
        )
        weights = observed.weights[number].astype(np.float32)
        middle = pose[:3, :3] @ own[steady].mean(0) + pose[:3, 3]
        seen = towards_point(middle[:2] / middle[2]).T @ pose[:3, :3]
        for neutral, plainly in ((own, True), (other, False)):
            try:
                face = frontalised_face(evidence.on_surface(), neutral)
            except ValueError:
                continue
            turn = Rotation.from_matrix(face.rotation.T @ seen).as_rotvec()
            straight, flipped = raw_features(evidence, face)
            person = int(observed.person[number])
            rows.append((person, straight.plain, straight.long, weights, turn, plainly))
            rows.append((person, flipped.plain, flipped.long, weights[MIRRORED_KEYS], turn * [1.0, -1.0, -1.0], False))
    person, plain, long, weights, turn, plainly = zip(*rows, strict=True)
    return FeatureTable(
        person=np.array(person),
        plain=np.array(plain, np.float32),
        long={name: np.array([row[name] for row in long], np.float32) for name in BASES},
        weights=np.array(weights),
        turn=np.array(turn, np.float32),
        plainly=np.array(plainly),
    )
