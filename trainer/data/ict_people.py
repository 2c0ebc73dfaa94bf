"""People of known shape and expression: random ICT heads, photographed neutral or smiling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainer.data.ict_head import EYES, SKIN_STOP, load_ict
from trainer.data.ict_skin import fine_ict, ict_person, openness
from trainer.data.photographs import six_shots
from trainer.data.raytrace.bvh import build_bvh, closest_points
from trainer.data.raytrace.scene import Surface
from trainer.data.scan_heads import (
    ScanTruth,
    face_middle,
    person_look,
    photograph_head,
    tragus_ids,
    truth_from_marks,
)

IDENTITY_MODES = 60
IDENTITY_DEVIATION = 0.8


def ict_identity(seed: int) -> np.ndarray:
    """(60,) coefficients of a random person in standard deviations, with a little less spread than the model's own."""
    return np.random.default_rng(seed).normal(size=IDENTITY_MODES) * IDENTITY_DEVIATION


def smile(strength: float) -> dict[str, float]:
    """A closed-mouth smile with raised cheeks, as ICT expression weights."""
    return {
        "mouthSmile_L": strength,
        "mouthSmile_R": strength,
        "cheekSquint_L": 0.6 * strength,
        "cheekSquint_R": 0.6 * strength,
        "mouthDimple_L": 0.2 * strength,
        "mouthDimple_R": 0.2 * strength,
    }


def neutral_face_middle(seed: int) -> np.ndarray:
    """(3,) centre of the neutral face of random person ``seed``; the cameras of its photographs aim at it."""
    vertices = load_ict().shaped(ict_identity(seed))
    return face_middle(fine_ict().landmarks.on(vertices[: EYES[1][1]], fine_ict().coarse_faces))


def ict_photos(seed: int, smiling: bool) -> tuple[Path, ...]:
    """Render six photographs of random person ``seed``; smiling in all of them (0.55 to 1.0) or in none."""
    strengths = np.random.default_rng(seed + 5).uniform(0.55, 1.0, 6) if smiling else np.zeros(6)
    paths = []
    for index, shot in enumerate(six_shots(5000 + seed)):
        weights = smile(float(strengths[index])) if smiling else {}

        def make(weights: Mapping[str, float] = weights) -> tuple[Callable[[np.ndarray], Surface], np.ndarray]:
            vertices = load_ict().shaped(ict_identity(seed), weights)
            marks = fine_ict().landmarks.on(vertices[: EYES[1][1]], fine_ict().coarse_faces)
            person = ict_person(vertices, person_look(seed, 300 + seed))
            return person.looking_at, face_middle(marks)

        paths += photograph_head(f"ict_{seed}_{sorted(weights.items())}", (shot,), make, f"ict_{seed}")
    return tuple(paths)


def neutral_scan(seed: int) -> ScanTruth:
    """The visible skin of the neutral face of random person ``seed``, in the form of a scan."""
    vertices = load_ict().shaped(ict_identity(seed))
    marks = fine_ict().landmarks.on(vertices[: EYES[1][1]], fine_ict().coarse_faces)
    seen = openness(vertices[:SKIN_STOP], load_ict().skin) > 0.45
    return truth_from_marks(f"ict_{seed}", vertices[:SKIN_STOP][seen], marks, vertices[list(tragus_ids())])


@lru_cache(maxsize=1)
def _template_places() -> tuple[np.ndarray, np.ndarray]:
    """ICT triangle (V_head, 3 vertex ids) and barycentrics at each template head vertex."""
    model = load_ict()
    faces = model.skin
    hit, _, barycentrics = closest_points(build_bvh(model.neutral[:SKIN_STOP], faces), fine_ict().template)
    return faces[hit], barycentrics


def true_template_positions(seed: int) -> np.ndarray:
    """(V_head, 3) positions of the template's head vertices on the neutral face of random person ``seed``, metres."""
    corners, barycentrics = _template_places()
    neutral = load_ict().shaped(ict_identity(seed))
    return (neutral[corners] * barycentrics[:, :, None]).sum(1)
