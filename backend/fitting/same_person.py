"""Whether two or three photos show one person, by the shape of the face and its grey texture.

The screening of the photo stage needs more photos: its descriptor alone confuses one pair in ten.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

from backend.fitting.detector_model import camera_prior
from backend.fitting.options import FitOptions
from backend.fitting.solver import SolverWeights, photo_cost
from backend.fitting.stages import FitState
from backend.photos.collection import PhotoFace
from backend.photos.screening import GradientIdentity

TEXTURE_WEIGHT = 4.0
"""Log-likelihood, 2 to 8, per unit of the descriptor's cosine."""
TWO_PEOPLE = 3.5
"""Log-likelihood, 2 to 5, by which two people explain two photos better than one. Of 115 pairs of photos of one person
5 % are above, of 60 pairs of two people 95 %."""
_SEEM_TWO = "The photos seem to show two people; the head is then neither of them."
_ODD_ONE = "It seems to show another person than the other two photos do."

PhotoFitter = Callable[[tuple[PhotoFace, ...]], FitState]
"""Fits landmarks of one person to photos, from a cold start."""


@dataclass(frozen=True)
class PeopleVerdict:
    """Photos to leave out, and photos to doubt: (name, sentence) each."""

    rejected: tuple[tuple[str, str], ...] = ()
    doubts: tuple[tuple[str, str], ...] = ()


def judge_people(
    faces: tuple[PhotoFace, ...], fit: PhotoFitter, weights: SolverWeights, options: FitOptions
) -> PeopleVerdict:
    """Judge two or three photos; other counts, and photos that a person has corrected, are not judged.

    With three photos of which two agree and the third agrees with neither, the third is to be left out. In all other
    cases of disagreement every photo is doubted.
    """
    if len(faces) not in (2, 3) or any(face.corrected is not None for face in faces):
        return PeopleVerdict()
    identity = GradientIdentity()
    described = [identity.describe(face.pixels, face.landmarks) for face in faces]
    alone = [_cost(fit((face,)), weights, options) for face in faces]
    apart = set()
    for one, other in combinations(range(len(faces)), 2):
        together = _cost(fit((faces[one], faces[other])), weights, options)
        gain = together - alone[one] - alone[other]
        if gain - TEXTURE_WEIGHT * float(described[one] @ described[other]) > TWO_PEOPLE:
            apart.add((one, other))
    if not apart:
        return PeopleVerdict()
    if len(faces) == 3 and len(apart) == 2:
        (odd,) = set.intersection(*map(set, apart))
        return PeopleVerdict(rejected=((faces[odd].name, _ODD_ONE),))
    return PeopleVerdict(doubts=tuple((face.name, _SEEM_TWO) for face in faces))


def _cost(state: FitState, weights: SolverWeights, options: FitOptions) -> float:
    """What the photos cost in a fit: minus their log-likelihood, without the prior of the identity."""
    each = zip(state.faces, state.estimate.photos, state.targets, strict=True)
    return sum(
        photo_cost(photo, state.estimate, target, camera_prior(face, options.prior), weights)
        for face, photo, target in each
    )
