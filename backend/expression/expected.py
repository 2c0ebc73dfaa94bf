"""Prior and start of the solver from the expression reader's result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.expression.evidence import FaceEvidence
from backend.expression.frontalised import towards_point
from backend.expression.priors import FramePrior, key_deviations
from backend.expression.reading import Reading, load_reader, read_face
from backend.expression.subject import Subject
from backend.fitting.parameters import PhotoParameters
from backend.models.landmarks.network import net_points
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES, LIDS

LANDMARK_SHARE, SMALL_FACE, LARGEST_SHARE = 0.02, 45.0, 0.3
"""Share of the landmarks' information that counts beside a reading, because the reader uses them too; for a face whose
scale is ``SMALL_FACE`` pixels, as in the reader's training data. On larger faces the detector's error is smaller than
in training, so the share grows with the square of the size, up to the last number."""
SURFACE_SHARE = 0.05
"""The same share of the landmark net's points when weights are solved; for rotations see ``calibrate.POSE_SHARE``."""
SURPRISE = 0.15
"""Standard deviation, relative to the keys' own (``priors.DEVIATIONS``), of real expressions outside the synthetic
training data."""
SHUT_READING = 0.65
"""The reader's usual weight for shut lids; half of its uncertainty is about the shape of the person's eyes."""
TONGUE = ARKIT_INDEX["tongueOut"]
EMPHASIS = {
    "noseSneer": (2.0, 0.3), "browDown": (1.5, 0.15), "browInnerUp": (2.0, 0.15), "browOuterUp": (0.5, 0.0),
    "eyeWide": (1.5, 0.15), "eyeSquint": (0.5, 0.0), "mouthFrown": (2.0, 0.15), "mouthShrugLower": (3.0, 0.15),
}  # fmt: skip
"""Strength and threshold (see ``emphasised``) by the start of the key's name, for movements whose weight the reader
underestimates even where it is right, while it is near 0 on faces without them. A sneer needs a high threshold, because
it parts the shut lips of another head."""


def read_subject_face(subject: Subject, evidence: FaceEvidence) -> Reading:
    """The committed reader's result for a picture of ``subject``, with its tongue measured and its weights emphasised.
    Raises ``ValueError`` when no pose explains it."""
    template = subject.template
    neutral = net_points().positions(template.vertices).astype(np.float64)
    reading = read_face(load_reader(), evidence, neutral)
    weights = emphasised(reading.weights)
    weights[TONGUE] = max(weights[TONGUE], evidence.tongue)
    return replace(reading, weights=weights)


def emphasised(weights: np.ndarray) -> np.ndarray:
    """Weights (52,) w + 2 e w (1 - w) (w - m) with the key's ``EMPHASIS`` e and m: values below m, mostly noise, get
    smaller, values above it larger; 0 and 1 stay."""
    strength, middle = np.array(
        [next((e for key, e in EMPHASIS.items() if name.startswith(key)), (0.0, 0.0)) for name in ARKIT_NAMES]
    ).T
    return np.clip(weights + 2.0 * strength * weights * (1.0 - weights) * (weights - middle), 0.0, 1.0)


def expect(start: PhotoParameters, prior: FramePrior, reading: Reading) -> tuple[PhotoParameters, FramePrior]:
    """Start and prior with the reading included; ``start`` gives the direction of the face."""
    reader = load_reader()
    rotation = towards_point(start.lateral) @ reading.rotation
    information = np.linalg.inv(reader.covariance + np.diag((SURPRISE * key_deviations()) ** 2))
    return replace(start, rotation=rotation, expression=reading.weights), replace(
        prior,
        expression_information=information,
        expression_bias=-information @ reading.weights,
        rotation=rotation,
        rotation_information=rotation @ np.linalg.inv(reader.rotation_covariance) @ rotation.T,
        landmark_share=min(LANDMARK_SHARE * (reading.scale / SMALL_FACE) ** 2, LARGEST_SHARE),
        surface_share=SURFACE_SHARE,
    )


def from_open_lids(reading: Reading, open_lids: np.ndarray) -> Reading:
    """The reading with its blinks relative to ``open_lids`` (left, right), the weights of the person's open eyes."""
    weights = reading.weights.copy()
    weights[LIDS] = np.clip(lids_from_open(weights[LIDS], open_lids), 0.0, 1.0)
    return replace(reading, weights=weights)


def lids_from_open(lids: np.ndarray, open_lids: np.ndarray) -> np.ndarray:
    """Rescale lid weights (..., 2) so that ``open_lids`` (2,) become 0 and shut lids 1; not clipped."""
    return (lids - open_lids) / np.maximum(SHUT_READING - np.asarray(open_lids), 0.2)
