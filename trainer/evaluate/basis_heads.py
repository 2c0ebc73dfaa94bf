"""How well identity bases express unseen heads: distance to the nearest face in the span of each basis."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from backend.geometry.deformation_graph import deformation_graph
from backend.geometry.template import load_template
from backend.models.contract import NOT_TRAINED
from backend.models.learned_basis.network import MILLIMETRE, LearnedBasisConfig
from trainer.data.people.identity import IdentityShapes, draw_identity
from trainer.data.people.surface import PeopleSurface
from trainer.data.shared_data import shared_folder
from trainer.losses.face_model import METRES_TO_MM

HELD_OUT_SEED = 903
"""People that no recipe trains or validates on."""
_RIDGE = 1e-3
_OUTSIDE = ("heads", "ict")
_ICT_PEOPLE = 6
"""The same number as simulated faces."""


def nearest_codes(modes: np.ndarray, heads: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """(P, K) least-squares coefficients of modes (K, V, 3) for heads (P, V, 3), with weights (V,) and a small ridge."""
    weight = np.sqrt(importance)[None, :, None]
    basis = (modes * weight).reshape(len(modes), -1)
    system = basis @ basis.T
    system += _RIDGE * np.trace(system) / len(system) * np.eye(len(system)) / 100
    return np.linalg.solve(system, basis @ (heads * weight).reshape(len(heads), -1).T).T


def closest_mm(modes: np.ndarray, heads: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """(P,) median distance in millimetres from heads (P, V, 3) to the nearest head in the span of modes (K, V, 3).

    Heads are offsets from the mean. importance : (V,) weights of the fit; vertices above 0.5 are measured."""
    codes = nearest_codes(modes, heads, importance)
    apart = np.linalg.norm(heads - np.tensordot(codes, modes, 1), axis=-1)[:, importance > 0.5]
    return np.median(apart, axis=1) * METRES_TO_MM


@torch.no_grad()
def people_heads(count: int) -> np.ndarray:
    """(count, V_head, 3) float64 neutral faces of held-out people as offsets from the mean, metres.

    They have bumps and asymmetries that the prior cannot express.
    """
    template = load_template()
    shapes = IdentityShapes(PeopleSurface(template, torch.device("cpu")))
    generator = np.random.default_rng(HELD_OUT_SEED)
    drawn = [draw_identity(generator, len(template.identity_modes)) for _ in range(count)]
    offsets = shapes.neutral(drawn).double().numpy() - template.vertices
    return offsets[:, : template.head.vertex_stop]


def head_figures(learned: Tensor | None, people: int, scans: bool) -> dict[str, float | str]:
    """Median distances to the nearest face of a basis: ``heads.median_mm.NAME`` on simulated faces outside the
    prior, ``ict.median_mm.NAME`` on random people of ICT-FaceKit, ``people.median_mm.NAME`` on held-out synthetic
    people. NAME is ``prior`` (modes at all vertices) or ``learned``, if a model is trained.

    learned : (K, G, 3) node offsets in millimetres.

    Both use the same number of coefficients: the learned identity's, or the paper's without a model.
    """
    template = load_template()
    head = template.head.vertex_stop
    count = LearnedBasisConfig().identity if learned is None else len(learned)
    bases = {"prior": template.identity_modes[:count, :head].astype(np.float64)}
    if learned is not None:
        bases["learned"] = _of_cage(learned)
    figures: dict[str, float | str] = {"coefficients": float(count)}
    importance = 0.02 + template.regions["face"][:head].astype(np.float64)
    offsets = people_heads(people)
    outside = outside_heads() if scans else dict.fromkeys(_OUTSIDE, "left out: not asked for")
    for name, modes in bases.items():
        figures[f"people.median_mm.{name}"] = float(closest_mm(modes, offsets, importance).mean())
        for where, targets in outside.items():
            if isinstance(targets, str):
                figures[f"{where}.median_mm.{name}"] = targets
            else:
                from trainer.template.measure import distances_mm

                figures[f"{where}.median_mm.{name}"] = float(distances_mm(template, modes, targets)[:, 0].mean())
    if learned is None:
        figures |= dict.fromkeys((f"{where}.median_mm.learned" for where in ("people", *_OUTSIDE)), NOT_TRAINED)
    return figures


def _of_cage(nodes: Tensor) -> np.ndarray:
    """(K, V_head, 3) vertex offsets in metres from node offsets (K, G, 3) in millimetres."""
    return deformation_graph(nodes.shape[1]).offsets(nodes.double().numpy()) * MILLIMETRE


def outside_heads() -> dict[str, list | str]:
    """``heads``: simulated faces that no model uses; ``ict``: random people of ICT-FaceKit; or why they are missing."""
    if not (shared_folder() / "faces3d").is_dir():
        return dict.fromkeys(_OUTSIDE, "left out: the scans are not here")
    from trainer.template.measure import facekit_targets, simulated_targets

    return {"heads": simulated_targets(), "ict": facekit_targets(_ICT_PEOPLE)}
