"""State that the stages of a fit pass on, and the landmark targets of all of its photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.fitting.appearance import Appearance
from backend.fitting.dense_matches import DenseMatches
from backend.fitting.landmark_targets import LandmarkModel, landmark_targets
from backend.fitting.options import FitOptions
from backend.fitting.solver import (
    FaceEstimate,
    IdentityPrior,
    PointTargets,
)
from backend.geometry.template import Template
from backend.models.lap.canonical_face import CanonicalFace
from backend.parallel import each
from backend.photos.collection import PhotoFace


@dataclass(frozen=True)
class FitState:
    """State between the stages: the photos not left out, the estimate, the template with its cage offsets, the photos'
    canonical face and its identity term (``belief``), whether the encoder ``started`` the fit, and the last ``matches``
    of a dense stage that makes them."""

    template: Template
    faces: tuple[PhotoFace, ...]
    estimate: FaceEstimate
    targets: tuple[PointTargets, ...]
    rejected: tuple[tuple[str, str], ...]
    belief: IdentityPrior | None = None
    canonical: CanonicalFace | None = None
    started: bool = False
    matches: DenseMatches | None = None

    def neutral(self) -> np.ndarray:
        """(V, 3) neutral vertices."""
        modes = self.template.identity_modes
        return self.template.vertices + np.tensordot(self.estimate.identity, modes, 1)

    def posed(self, number: int) -> np.ndarray:
        """(V, 3) vertices with the expression of photo ``number``."""
        weights = self.estimate.photos[number].expression
        return self.neutral() + np.tensordot(weights, self.template.expressions, 1)


@dataclass(frozen=True)
class ResumableFit:
    """Result of a fit's slow stages, from which a fit with corrected landmarks can continue.

    Attributes
    ----------
    faces : all photos of the fit. state : before the cage, with the photos' ``matches`` where there are any.
    appearance : of the photos of the finished fit, in its order.
    """

    faces: tuple[PhotoFace, ...]
    state: FitState
    appearance: Appearance

    def matches_photos(self, faces: tuple[PhotoFace, ...]) -> bool:
        """Whether these are the same photos with the same use and labels, so that at most landmarks differ. False if
        a photo that was left out is corrected now."""
        before = {face.name: face for face in self.faces}
        left_out = {name for name, _ in self.state.rejected}
        return before.keys() == {face.name for face in faces} and all(
            face.pixels is before[face.name].pixels
            and face.use == before[face.name].use
            and np.array_equal(face.labels, before[face.name].labels)
            and not (face.name in left_out and face.corrected is not None)
            for face in faces
        )


def all_landmark_targets(
    template: Template,
    model: LandmarkModel,
    faces: tuple[PhotoFace, ...],
    estimate: FaceEstimate,
    options: FitOptions,
) -> tuple[PointTargets, ...]:
    """``landmark_targets`` of every photo at the current estimate, photos in parallel."""
    return tuple(
        each(
            lambda face, parameters: landmark_targets(
                template, model, face, parameters, estimate.identity, options.landmarks
            ),
            faces,
            estimate.photos,
        )
    )
