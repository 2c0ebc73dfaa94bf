"""Depth from nose to ear for a perfectly known face, as a floor of the depth error.

The simulated faces end 22 to 32 mm in front of the ears; the photographed heads were continued from the face. A fit
also continues the face, by the statistics of whole heads, and the two need not agree. Fitting the identity prior to the
whole scan surface gives the part of the depth error that is due to this disagreement.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from backend.geometry.template import load_template
from trainer.data.surface_landmarks import find_surface_landmarks
from trainer.template.bake import head_topology
from trainer.template.measure import SIMULATED_FIT_LANDMARKS
from trainer.template.model_fit import fit_model
from trainer.template.scans import TriangleMesh, read_simulated

LANDMARK_NOISE = 0.004
ITERATIONS = 12


def best_fit_cage(scan: TriangleMesh, indices: tuple[int, ...], landmarks: np.ndarray) -> np.ndarray:
    """Fit the most probable head to a scan of its face, up to a free similarity: cage (V, 3) float32, template frame.

    Parameters
    ----------
    scan : the face's surface, metres, any frame.
    indices, landmarks : some of MediaPipe's 478 landmarks and their positions on the scan, (L, 3).
    """
    template = load_template()
    topology, head = head_topology(template), template.head.vertex_stop
    embedding, chosen = template.landmarks478, list(indices)
    rows = np.repeat(np.arange(len(chosen)), 3), embedding.vertices[chosen].ravel()
    weights = embedding.barycentrics[chosen].astype(np.float64).ravel()
    found = fit_model(
        template.vertices[:head].astype(np.float64),
        template.identity_modes[:, :head].astype(np.float64),
        topology.matrix[:head],
        topology.triangles,
        topology.skin_weights(face=1.0),
        scan,
        sp.csr_matrix((weights, rows), shape=(len(chosen), head)),
        landmarks,
        landmark_noise=LANDMARK_NOISE,
        iterations=ITERATIONS,
    )
    offsets = np.tensordot(found.coefficients, template.identity_modes, 1)
    return (template.vertices + offsets).astype(np.float32)


def best_fit_to_simulated(number: int) -> np.ndarray:
    """``best_fit_cage`` of a simulated face, with landmarks detected on clay renderings."""
    scan = read_simulated(number)
    found = find_surface_landmarks(scan.vertices, scan.triangles, scan.vertices.mean(0))
    usable = tuple(index for index in SIMULATED_FIT_LANDMARKS if found.found[index])
    return best_fit_cage(scan, usable, found.positions[list(usable)])
