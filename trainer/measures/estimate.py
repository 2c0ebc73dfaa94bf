"""Fits for evaluation: a neutral mesh from photographs by some of the learned parts, measured against a scan; and all
photos of a person with one left out, so that what is made of the others (texture, hair) is measured alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from backend.errors import LikenessError
from backend.fitting.fit import FaceModels, fit_face
from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.fitting.options import FitOptions, fit_options_for
from backend.geometry.subdivision import subdivision
from backend.geometry.template import load_template
from backend.models.graph_face import GraphModel
from backend.models.registry import GRAPH_FACE, LANDMARK_NET, LAP, LEARNED_BASIS, Models, open_models
from backend.photos.collection import PhotoCollection, PhotoFace
from trainer.engine.disk_cache import content_key
from trainer.heads.dressed import BRIDGE, NOSE_TIP
from trainer.heads.scans import ALIGNMENT_LANDMARKS, ScanTruth
from trainer.measures.harness import collected, kept_array
from trainer.measures.metrics import ScanDistance, scan_to_mesh

Fit = Callable[[Sequence[Path]], np.ndarray]
"""Photographs of one person -> neutral cage vertices (V, 3) in the template's order, metres."""


@dataclass(frozen=True)
class Estimate:
    """A neutral head for measuring: the skin at subdivision level 1 (as in ``face.obj``) and points on it.

    Attributes
    ----------
    cage : (V, 3) all parts. vertices (V1, 3), faces (F, 3) : skin. seven : (7, 3), order of
    ``scan_heads.ALIGNMENT_LANDMARKS``.
    """

    cage: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    seven: np.ndarray
    nose_tip: np.ndarray
    bridge: np.ndarray


def as_estimate(cage: np.ndarray) -> Estimate:
    """Build the measured surface from cage vertices (V, 3)."""
    template = load_template()
    fine = subdivision(1)
    head = fine.parts["head"]
    quads = fine.quads[head.face_start : head.face_stop].astype(np.int64) - head.vertex_start
    vertices = (fine.matrix @ cage.astype(np.float64))[head.vertex_start : head.vertex_stop]
    marks = template.landmarks478.positions(cage.astype(np.float64))
    return Estimate(
        cage,
        vertices,
        np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]),
        marks[list(ALIGNMENT_LANDMARKS)],
        marks[NOSE_TIP],
        marks[BRIDGE],
    )


def measure(truth: ScanTruth, estimate: Estimate) -> ScanDistance:
    """NoW-style distance from a held-out scan to an estimate."""
    return scan_to_mesh(
        truth.scan_vertices,
        truth.seven,
        truth.nose_tip,
        truth.bridge,
        estimate.vertices,
        estimate.faces,
        estimate.seven,
    )


@dataclass(frozen=True)
class Variant:
    """The learned parts that a fit uses. lap : LAP's canonical face; encoder : the learned face model's, as a start;
    landmark_net : the landmark net's points; where their networks are trained. quality : as in ``fit_options_for``.
    face_model : ``linear`` or ``graph``, what the identity moves in; the latter must be trained."""

    quality: str = "standard"
    lap: bool = True
    encoder: bool = True
    landmark_net: bool = True
    face_model: str = "linear"


def fitted(collection: PhotoCollection, variant: Variant) -> np.ndarray:
    """(V, 3) float32 neutral vertices of a variant's fit: the shape part of ``backend.pipeline.reconstruct``."""
    if not variant.landmark_net:
        collection = replace(collection, faces=tuple(replace(face, surface=None) for face in collection.faces))
    wanted = {LAP.name: variant.lap, LEARNED_BASIS.name: variant.encoder, LANDMARK_NET.name: variant.landmark_net}
    left_out = {name for name, asked in wanted.items() if not asked}
    models = open_models(left_out, also={GRAPH_FACE.name} if variant.face_model == "graph" else ())
    if variant.face_model == "graph" and models.of(GRAPH_FACE, GraphModel) is None:
        raise LikenessError("missing_part", f"The graph face model: {models.said(GRAPH_FACE)}.", "Train it first.")
    return fit_with(collection, fit_options_for(variant.quality), models).neutral.astype(np.float32)


def fitted_neutrals(photos: Sequence[Path], variants: Mapping[str, Variant]) -> dict[str, np.ndarray]:
    """Fit photos: name of each variant -> neutral vertices (V, 3) float32, metres; kept in the cache, so that a stopped
    evaluation goes on. Photos are read at most once, and only if a variant is not kept.

    Raises ``LikenessError`` where no photo shows a usable face."""
    key = content_key(*photos)
    read = cache(lambda: collected(photos))
    return {
        name: kept_array("fits", f"{key}_{content_key(variant)}", lambda variant=variant: fitted(read(), variant))
        for name, variant in variants.items()
    }


def fit_with(collection: PhotoCollection, options: FitOptions, models: Models) -> FittedFace:
    """Fit as ``backend.pipeline`` does, with the available models."""
    template = load_template()
    return fit_face(collection, options, template, FaceModels.of(models, template))


@dataclass(frozen=True)
class FittedPerson:
    """One person's photos and their fit, and the names of photos to leave out in turn."""

    fitted: FittedFace
    faces: tuple[PhotoFace, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class WithoutPhoto:
    """One photo of a fit and its face; the fit with the other photos only, and their faces."""

    photo: FittedPhoto
    face: PhotoFace
    rest: FittedFace
    rest_faces: tuple[PhotoFace, ...]


def fitted_person(photos: Sequence[Path], quality: str, most: int) -> FittedPerson:
    """Fit photos and choose at most ``most`` of those that the fit uses, evenly spread.

    Raises ``LikenessError`` where fewer than two photos are usable."""
    collection = collected(photos)
    fitted = fit_with(collection, fit_options_for(quality), open_models())
    count = len(fitted.photos)
    if count < 2:
        raise LikenessError("no_photo", "There is only one usable photo.", "Leaving one out needs at least two.")
    chosen = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
    return FittedPerson(fitted, collection.faces, tuple(fitted.photos[index].name for index in chosen))


def without_photo(fitted: FittedFace, faces: Sequence[PhotoFace], name: str) -> WithoutPhoto:
    """Remove the photo ``name`` from a fit to at least two. faces : at least those of ``fitted.photos``."""
    photo = next(photo for photo in fitted.photos if photo.name == name)
    face = next(face for face in faces if face.name == name)
    rest = replace(fitted, photos=tuple(photo for photo in fitted.photos if photo.name != name))
    return WithoutPhoto(photo, face, rest, tuple(face for face in faces if face.name != name))
