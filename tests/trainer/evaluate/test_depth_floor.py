"""A head whose face is known exactly: its ears follow from the prior."""

from __future__ import annotations

import numpy as np

from backend.fitting.scan import STEADY
from backend.geometry.closest import TriangleMesh
from backend.geometry.template import load_template, triangles_from_quads
from trainer.heads.population import fit_to_scan


def test_a_face_of_the_prior_brings_its_depth_to_the_ears() -> None:
    template = load_template()
    coefficients = np.zeros(len(template.identity_modes))
    coefficients[:10] = 1.2 * np.random.default_rng(4).normal(size=10)
    true = template.vertices.astype(np.float64) + np.tensordot(coefficients, template.identity_modes, 1)
    triangles = triangles_from_quads(template.quads[: template.head.face_stop])
    face = template.regions["face"] > 0.3
    scan = TriangleMesh(true, triangles[face[triangles].all(1)])  # ears, neck and skull have no surface
    marks = template.landmarks478.positions(true)[list(STEADY)]

    fit = fit_to_scan(scan, STEADY, marks)
    found = template.vertices + np.tensordot(fit.coefficients, template.identity_modes, 1)

    def depth(cage: np.ndarray) -> float:
        return float(template.landmarks478.positions(cage)[1, 2] - cage[template.regions["ears"] > 0.5, 2].mean())

    shape = np.linalg.norm(found[face] - true[face], axis=1)
    assert np.median(shape) < 0.4 * np.median(np.linalg.norm(template.vertices[face] - true[face], axis=1))
    assert abs(depth(found) / depth(true) - 1) < 0.03
