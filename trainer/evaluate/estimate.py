"""Reconstruct a neutral mesh in the template's topology from photographs, for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.errors import LikenessError
from backend.fitting.fit import face_model as face_model_of
from backend.fitting.fit import fit_face
from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import FitOptions, fit_options_for
from backend.geometry.subdivision import subdivision
from backend.geometry.template import load_template
from backend.models.contract import Models, applied_to_photos
from backend.models.graph_face import GraphModel
from backend.models.lap.apply import LapModel, canonical_face
from backend.models.registry import GRAPH_FACE, LANDMARK_NET, LAP, LEARNED_BASIS, open_models
from backend.photos.collect import CollectOptions, collect
from backend.photos.collection import PhotoCollection
from backend.photos.formats import PhotoSource
from trainer.heads.scans import ALIGNMENT_LANDMARKS, BRIDGE, NOSE_TIP

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


def fit_photos(
    paths: Sequence[Path],
    quality: str = "standard",
    lap: bool = True,
    learned_basis: bool = True,
    landmark_net: bool = True,
    face_model: str = "linear",
) -> np.ndarray:
    """Run the shape part of ``backend.pipeline.reconstruct`` (photos, then fit; no rig, no texture) at default
    settings.

    lap, learned_basis : use LAP's canonical face, and the learned face model's encoder as initialisation, where their
    networks are trained. landmark_net : use the landmark net's points in the fit.
    face_model : ``linear`` or ``graph``; the latter must be trained.
    """
    options = CollectOptions(surface=landmark_net)
    collection = collect([PhotoSource.from_path(path) for path in paths], options=options)
    wanted = {LAP.name: lap, LEARNED_BASIS.name: learned_basis, LANDMARK_NET.name: landmark_net}
    left_out = {name for name, asked in wanted.items() if not asked}
    models = open_models(left_out, also={GRAPH_FACE.name} if face_model == "graph" else ())
    if face_model == "graph" and models.of(GRAPH_FACE, GraphModel) is None:
        raise LikenessError("missing_part", f"The graph face model: {models.said(GRAPH_FACE)}.", "Train it first.")
    return fit_with(collection, fit_options_for(quality), models).neutral


def fit_with(collection: PhotoCollection, options: FitOptions, models: Models) -> FittedFace:
    """Fit as ``backend.pipeline`` does, with the available models."""
    template = load_template()
    encoded, modes_around = face_model_of(models, template)
    canonical = applied_to_photos(canonical_face, models.of(LAP, LapModel))
    return fit_face(
        collection, options, template=template, canonical=canonical, encoded=encoded, modes_around=modes_around
    )


def template_only(paths: Sequence[Path]) -> np.ndarray:
    """Baseline: the template's mean face, independent of the photographs."""
    return load_template().vertices
