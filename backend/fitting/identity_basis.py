"""Choice of the identity modes of a fit: the template's, those of the learned face model, or one of them extended by
the part of the other outside its span.

A fit uses the modes of the template that it is given, so another basis is another template:
``fit_face(collection, template=in_basis(template, network.bases, "learned"))``. All other parts of the head follow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch

from backend.geometry.deformation_graph import deformation_graph
from backend.geometry.template import Template
from backend.models.learned_basis.network import MILLIMETRE, FaceBases

BasisName = Literal["prior", "learned", "both", "extended"]
"""prior: the template's modes. learned: the learned basis. both: the learned basis, then the rest of the template's
modes. extended: the template's modes, then the rest of the learned basis."""
BASIS_NAMES: tuple[BasisName, ...] = get_args(BasisName)
_LEAST_VARIANCE = 1e-4
"""Directions with less than this share of the greatest variance (a hundredth of its length) are left out: they cost
time and hardly move the face."""
_RIDGE = 1e-9
_OFF_FACE_WEIGHT = 0.02
"""Metric weight of vertices outside the face region, which photos do not determine; as in the trainer's choice of the
learned basis."""


def cage_modes(bases: FaceBases) -> np.ndarray:
    """(m_i, V_head, 3) float64 identity basis as offsets of the head's cage in metres, one standard deviation each."""
    with torch.no_grad():
        nodes = bases.identity().cpu().double().numpy()
    return deformation_graph(bases.config.nodes).offsets(nodes) * MILLIMETRE


def in_basis(template: Template, bases: FaceBases, name: BasisName) -> Template:
    """The template with the identity modes of basis ``name``, (K, V, 3), independent and of unit variance.

    "both" and "extended" have the variance of the first basis plus that of the second outside the first's span.
    """
    if name == "prior":
        return template
    own = template.identity_modes.astype(np.float64)
    learned = template.following_skin(cage_modes(bases))
    if name == "learned":
        modes = learned
    elif name == "both":
        modes = np.concatenate([learned, modes_beyond(template, learned, own)])
    else:
        modes = np.concatenate([own, modes_beyond(template, own, learned)])
    return replace(template, identity_modes=modes.astype(np.float32))


def modes_beyond(template: Template, known: np.ndarray, more: np.ndarray) -> np.ndarray:
    """(K, V, 3) principal directions, one standard deviation each, of modes ``more`` (M, V, 3) outside the span of
    ``known`` (N, V, 3). The metric is that of the head's vertices, with most weight on the face."""
    given, wanted = _scaled_by_metric(template, known), _scaled_by_metric(template, more)
    system = given @ given.T
    system += _RIDGE * np.trace(system) / len(system) * np.eye(len(system))
    shares = np.linalg.solve(system, given @ wanted.T)  # (N, M)
    rest = more - np.tensordot(shares.T, known, 1)
    flat = _scaled_by_metric(template, rest)
    values, turns = np.linalg.eigh(flat @ flat.T)
    kept = np.flatnonzero(values > _LEAST_VARIANCE * values.max())[::-1]
    return np.tensordot(turns[:, kept].T, rest, 1)


def _scaled_by_metric(template: Template, modes: np.ndarray) -> np.ndarray:
    """(K, 3 V_head) modes (K, V, 3) scaled by the square root of the metric."""
    count = template.head.vertex_stop
    root = np.sqrt(_OFF_FACE_WEIGHT + template.regions["face"][:count].astype(np.float64))
    return (modes[:, :count] * root[:, None]).reshape(len(modes), -1)
