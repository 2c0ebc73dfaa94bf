"""Fits for evaluation: a neutral mesh from photographs by some of the learned parts, measured against a scan; and all
photos of a person with one left out, so that what is made of the others (texture, hair) is measured alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from backend.errors import LikenessError
from backend.fitting.fit import FaceModels, fit_face
from backend.fitting.options import FitOptions, fit_options_for
from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.closest import Closest
from backend.geometry.subdivision import subdivision
from backend.geometry.template import load_template
from backend.models.graph_face import GraphModel
from backend.models.registry import GRAPH_FACE, LANDMARK_NET, LAP, LEARNED_BASIS, Models, open_models
from backend.photos.collection import PhotoCollection, PhotoFace
from trainer.engine.disk_cache import content_key
from trainer.heads.dressed import BRIDGE, NOSE_TIP
from trainer.measures.harness import collected, kept_arrays
from trainer.measures.metrics import ScanDistance, scan_to_mesh, signed_errors

ALIGNMENT_LANDMARKS = (33, 133, 362, 263, 2, 61, 291)
"""MediaPipe ids of the seven alignment points: the corners of the eyes from the person's right to the left, the base of
the nose, the corners of the mouth."""


class Fitted(NamedTuple):
    """A fit of one person: neutral cage (V, 3) in the template's order, metres, and the focal lengths (P,) in pixels of
    the photographs in their order, NaN where one is left out."""

    neutral: np.ndarray
    focal: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """A neutral head for measuring: the skin at subdivision level 1 (as in ``face.obj``) and points on it.

    Attributes
    ----------
    vertices (V1, 3), faces (F, 3) : skin. seven : (7, 3), order of ``ALIGNMENT_LANDMARKS``. marks : (68, 3) of iBUG.
    """

    vertices: np.ndarray
    faces: np.ndarray
    seven: np.ndarray
    marks: np.ndarray


def as_estimate(cage: np.ndarray) -> Estimate:
    """Build the measured surface from cage vertices (V, 3)."""
    template = load_template()
    fine = subdivision(1)
    head = fine.parts["head"]
    quads = fine.quads[head.face_start : head.face_stop].astype(np.int64) - head.vertex_start
    vertices = (fine.matrix @ cage.astype(np.float64))[head.vertex_start : head.vertex_stop]
    seven = template.landmarks478.positions(cage.astype(np.float64))[list(ALIGNMENT_LANDMARKS)]
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return Estimate(vertices, faces, seven, template.landmarks68.positions(cage.astype(np.float64)))


def measure(scan: np.ndarray, marks: np.ndarray, estimate: Estimate) -> ScanDistance:
    """NoW-style distance from a person's true surface (N, 3) with MediaPipe's landmarks (478, 3) to an estimate;
    metres, y up, looking along +z."""
    on_scan = scan, marks[list(ALIGNMENT_LANDMARKS)], marks[NOSE_TIP], marks[BRIDGE]
    return scan_to_mesh(*on_scan, estimate.vertices, estimate.faces, estimate.seven)


def signed_by_region(scan: np.ndarray, estimate: Estimate, measured: ScanDistance) -> dict[str, float]:
    """Region -> median millimetres by which an estimate lies outside a scan (N, 3): of the points that the distance
    measured, and of all at the ears."""
    closest = Closest(measured.alignment.apply(estimate.vertices), estimate.faces)
    signed = signed_errors(scan[measured.chosen], closest, estimate.faces, measured_regions())
    return signed | signed_errors(scan, closest, estimate.faces, {"ears": measured_regions()["ears"]})


@cache
def measured_regions() -> dict[str, np.ndarray]:
    """Region -> (V1,) bool of ``Estimate.vertices``: parts of the face, each vertex in the nearest, and ears."""
    template, fine = load_template(), subdivision(1)
    skin = template.vertices[: template.head.vertex_stop]
    weights = {name: mask[: len(skin)] for name, mask in template.regions.items()}
    inside = weights["mouth_interior"] + weights["eye_sockets"] > 0.5
    bridge, tip = template.landmarks478.positions(template.vertices)[[BRIDGE, NOSE_TIP]]
    by_tip = np.linalg.norm(skin - tip, axis=1) < np.linalg.norm(skin - bridge, axis=1)
    jaw = template.jaw_weights[: len(skin)] > 0.5
    cheeks, nose = weights["cheeks"] > 0.5, weights["nose"] > 0.5
    parts = {name: weights[name] > 0.5 for name in ("brows", "forehead", "chin", "ears")}
    parts |= {"eyes": weights["lids_left"] + weights["lids_right"] > 0.5, "mouth": weights["lips"] > 0.5}
    parts |= {"nose_ridge": nose & ~by_tip, "nose_tip": nose & by_tip, "cheeks": cheeks & ~jaw, "jaw": cheeks & jaw}
    chosen = np.stack([part & ~inside for part in parts.values()])
    named = np.flatnonzero(chosen.any(0))
    rest = np.flatnonzero((weights["face"] > 0.5) & ~inside & ~chosen.any(0))
    chosen[:, rest] = chosen[:, named[cKDTree(skin[named]).query(skin[rest])[1]]]
    head = fine.parts["head"]
    matrix = fine.matrix[head.vertex_start : head.vertex_stop, : len(skin)]
    return {name: matrix @ part.astype(float) > 0.5 for name, part in zip(parts, chosen, strict=True)}


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


def fitted(collection: PhotoCollection, variant: Variant) -> Fitted:
    """A variant's fit, the shape part of ``backend.pipeline.reconstruct``."""
    if not variant.landmark_net:
        collection = replace(collection, faces=tuple(replace(face, surface=None) for face in collection.faces))
    wanted = {LAP.name: variant.lap, LEARNED_BASIS.name: variant.encoder, LANDMARK_NET.name: variant.landmark_net}
    left_out = {name for name, asked in wanted.items() if not asked}
    models = open_models(left_out, also={GRAPH_FACE.name} if variant.face_model == "graph" else ())
    if variant.face_model == "graph" and models.of(GRAPH_FACE, GraphModel) is None:
        raise LikenessError("missing_part", f"The graph face model: {models.said(GRAPH_FACE)}.", "Train it first.")
    found = fit_with(collection, fit_options_for(variant.quality), models)
    scale = {face.name: face.crop_scale for face in collection.faces}
    focal = {photo.name: photo.camera.intrinsics[0, 0] / scale[photo.name] for photo in found.photos}
    return Fitted(
        found.neutral.astype(np.float32), np.array([focal.get(one.name, np.nan) for one in collection.verdicts])
    )


def fitted_heads(photos: Sequence[Path], variants: Mapping[str, Variant]) -> dict[str, Fitted]:
    """Fit photos: name of each variant -> its fit; kept in the cache, so that a stopped evaluation goes on. Photos are
    read at most once, and only if a variant is not kept.

    Raises ``LikenessError`` where no photo shows a usable face."""
    key = content_key(*photos)
    read = cache(lambda: collected(photos))
    return {
        name: Fitted(
            **kept_arrays(
                "fits", f"{key}_{content_key(variant)}", lambda variant=variant: fitted(read(), variant)._asdict()
            )
        )
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
