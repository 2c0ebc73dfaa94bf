"""Start of the fit from the learned face model's encoder: its identity and expressions projected onto the fit's modes
and keys, matching poses, and an identity term for the solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import lsq_linear

from backend.fitting.initial_pose import initial_parameters, turned_to
from backend.fitting.options import EncodedStage, PriorWeights
from backend.fitting.parameters import PhotoParameters
from backend.fitting.solver import FaceEstimate, IdentityPrior, expression_prior
from backend.geometry.outline import usable_landmarks
from backend.geometry.template import Template
from backend.models.encoded_face import EncodedFace, EncodedPhoto
from backend.photos.collection import PhotoFace

_STRIDE = 4
"""Every so many vertices of the face is compared, because neighbours carry the same information."""


def compared_vertices(template: Template) -> np.ndarray:
    """(M,) head vertices at which shapes are compared: the face's skin without the mouth's inside and the sockets."""
    count = template.head.vertex_stop
    regions = {name: template.regions[name][:count] for name in ("face", "mouth_interior", "eye_sockets")}
    usable = (regions["face"] > 0.5) & (regions["mouth_interior"] < 0.3) & (regions["eye_sockets"] < 0.5)
    return np.flatnonzero(usable)[::_STRIDE]


def encoded_prior(template: Template, encoded: EncodedFace, stage: EncodedStage, information: float) -> IdentityPrior:
    """The encoder's neutral face as an identity term on a (K,), worth ``information`` independent measurements.

    d = shown_share * B a + noise, where d are its offsets from the mean face at M vertices and B the identity modes
    there: the cost is information / (2 M deviation²) |d - shown_share B a|². No rigid motion is removed from d, because
    model and modes share the head's frame.
    """
    chosen = compared_vertices(template)
    modes = template.identity_modes[:, chosen].reshape(len(template.identity_modes), -1).astype(np.float64)
    weight = information / len(chosen) / (stage.deviation_mm / 1000.0) ** 2
    share = stage.shown_share
    offsets = encoded.identity[chosen].ravel()
    return IdentityPrior(weight * share**2 * (modes @ modes.T), weight * share * (modes @ offsets))


def projected_identity(template: Template, encoded: EncodedFace, stage: EncodedStage, deviation: float) -> np.ndarray:
    """(K,) identity in σ of the fit's modes that is nearest to the encoder's, regularised by the prior.

    Least squares as in ``encoded_prior`` with one measurement per compared vertex, and a ~ N(0, deviation²).
    """
    belief = encoded_prior(template, encoded, stage, float(len(compared_vertices(template))))
    return np.linalg.solve(belief.information + np.eye(len(belief.pull)) / deviation**2, belief.pull)


def projected_expression(
    template: Template, photo: EncodedPhoto, prior: PriorWeights, stage: EncodedStage
) -> np.ndarray:
    """(52,) weights in [0, 1] whose keys are nearest to the encoder's expression of a photo, regularised by the fit's
    prior on expressions."""
    chosen = compared_vertices(template)
    keys = template.expressions[:, chosen].reshape(len(template.expressions), -1).astype(np.float64)
    weight = (stage.deviation_mm / 1000.0) ** -2 / len(chosen) * stage.expression_information
    information, bias = expression_prior(prior)
    system = weight * (keys @ keys.T) + np.diag(information)
    right = weight * (keys @ photo.expression[chosen].ravel()) - bias
    root = np.linalg.cholesky(system)  # 1/2 x^T S x - r^T x = 1/2 |L^T x - L^-1 r|² + constant
    solved = lsq_linear(root.T, np.linalg.solve(root, right), bounds=(0.0, 1.0), method="bvls")
    return np.clip(solved.x, 0.0, 1.0)


def started_photo(
    template: Template,
    face: PhotoFace,
    parameters: PhotoParameters,
    photo: EncodedPhoto,
    identity: np.ndarray,
    expression: np.ndarray,
    prior: PriorWeights,
) -> PhotoParameters:
    """The start with the smallest median landmark error: ``parameters`` (the mean face, no expression), the encoder's
    face in the pose that fits the landmarks, or the encoder's face in the encoder's own rotation and distance."""
    shape = template.vertices + np.tensordot(identity, template.identity_modes, 1)
    shape = shape + np.tensordot(expression, template.expressions, 1)
    chosen = np.flatnonzero(usable_landmarks(template))
    found = face.landmarks[chosen, :2].astype(np.float64)
    points = template.landmarks478.positions(shape)[chosen].astype(np.float64)
    mean = template.landmarks478.positions(template.vertices)[chosen].astype(np.float64)

    def error(guess: PhotoParameters, places: np.ndarray) -> float:
        return float(np.median(np.linalg.norm(guess.camera().project(places)[:, :2] - found, axis=-1)))

    candidates = [(error(parameters, mean), parameters)]
    own = initial_parameters(template, face, prior, len(parameters.nuisance), shape)
    at_distance = own
    if face.focal_px is None:  # else the focal length decides
        at_distance = replace(own, log_distance=float(np.log(max(photo.distance, 0.15))))
    turned = turned_to(at_distance, photo.rotation_in_photo(), points, found, keep_focal=face.focal_px is not None)
    for guess in (own, turned):
        if guess is not None:
            candidates.append((error(guess, points), replace(guess, expression=expression)))
    return min(candidates, key=lambda pair: pair[0])[1]


def started_estimate(
    template: Template,
    faces: tuple[PhotoFace, ...],
    starts: tuple[PhotoParameters, ...],
    encoded: EncodedFace,
    prior: PriorWeights,
    stage: EncodedStage,
) -> FaceEstimate:
    """The fit's first estimate: the encoder's identity and expressions, in the poses with the least landmark error."""
    identity = encoded.code
    if identity is None:
        identity = projected_identity(template, encoded, stage, prior.identity_deviation)
    photos = tuple(
        started_photo(
            template, face, start, photo, identity, projected_expression(template, photo, prior, stage), prior
        )
        for face, start, photo in zip(faces, starts, encoded.photos, strict=True)
    )
    return FaceEstimate(identity, photos)
