"""What is expected of a picture once it has been read at a glance: where the solver starts, and its prior."""

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
"""Share of the landmarks' information that counts beside a reading, which has seen them too, for a face whose scale is
this many pixels, as the reader's people have it. On a larger face the detector errs less than the reader has learned
to expect: information grows with the square of the size, up to the last number."""
SURFACE_SHARE = 0.05
"""The same share of the landmark net's points where weights are solved; turns see ``calibrate.POSE_SHARE``."""
SURPRISE = 0.15
"""Deviation, in the keys' own (``priors.DEVIATIONS``), of what people do that no synthetic person did."""
SHUT_READING = 0.65
"""What the reader says, as a rule, of lids that are shut: half of its doubt is about how the person's eyes look."""
TONGUE = ARKIT_INDEX["tongueOut"]
EMPHASIS = {
    "noseSneer": (2.0, 0.3), "browDown": (1.5, 0.15), "browInnerUp": (2.0, 0.15), "browOuterUp": (0.5, 0.0),
    "eyeWide": (1.5, 0.15), "eyeSquint": (0.5, 0.0), "mouthFrown": (2.0, 0.15), "mouthShrugLower": (3.0, 0.15),
}  # fmt: skip
"""By how much what the reader half sees is made stronger, and from which reading on (see ``emphasised``), by the start
of the key's name: movements of which it says too little even where it is right, and next to nothing on faces that do
not make them. A sneer parts another head's shut lips, so that it has to be read with some certainty."""


def read_subject_face(subject: Subject, evidence: FaceEvidence) -> Reading:
    """The committed reader's reading of a picture of ``subject``, its tongue seen to, and emphasised; raises
    ``ValueError`` when no pose explains it."""
    template = subject.template
    neutral = net_points().positions(template.vertices).astype(np.float64)
    reading = read_face(load_reader(), evidence, neutral)
    weights = emphasised(reading.weights)
    weights[TONGUE] = max(weights[TONGUE], evidence.tongue)
    return replace(reading, weights=weights)


def emphasised(weights: np.ndarray) -> np.ndarray:
    """Weights (52,) w + 2 e w (1 - w) (w - m) with the key's ``EMPHASIS`` e and m: what is below m, mostly noise, gets
    smaller, what is above it stronger, 0 and 1 stay."""
    strength, middle = np.array(
        [next((e for key, e in EMPHASIS.items() if name.startswith(key)), (0.0, 0.0)) for name in ARKIT_NAMES]
    ).T
    return np.clip(weights + 2.0 * strength * weights * (1.0 - weights) * (weights - middle), 0.0, 1.0)


def expect(start: PhotoParameters, prior: FramePrior, reading: Reading) -> tuple[PhotoParameters, FramePrior]:
    """Start and prior with the reading in them; ``start`` says in which direction the face lies."""
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
    """The reading with its blinks counted from ``open_lids`` (left, right), those of the person's open eyes."""
    weights = reading.weights.copy()
    weights[LIDS] = np.clip(lids_from_open(weights[LIDS], open_lids), 0.0, 1.0)
    return replace(reading, weights=weights)


def lids_from_open(lids: np.ndarray, open_lids: np.ndarray) -> np.ndarray:
    """Readings of lids (..., 2) as 0 where they are as ``open_lids`` (2,) and 1 where they are shut, or beyond."""
    return (lids - open_lids) / np.maximum(SHUT_READING - np.asarray(open_lids), 0.2)
