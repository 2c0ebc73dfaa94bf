"""What identity bases can express: the nearest face of the prior, of principal components of synthetic people and of
the learned basis to heads outside of all of them."""

from __future__ import annotations

import copy

import numpy as np
import torch

from backend.fitting.identity_basis import cage_modes
from backend.geometry.template import load_template
from backend.models.contract import NOT_TRAINED
from backend.models.learned_basis.network import LearnedBasisConfig, LearnedBasisNet
from trainer.data.people.identity import IdentityShapes, draw_identity
from trainer.data.people.surface import PeopleSurface
from trainer.data.shared_data import shared_folder
from trainer.evaluate.basis_angles import PEOPLE
from trainer.losses.face_model import METRES_TO_MM
from trainer.stages.learned_basis_start import begin_from_people

HELD_OUT_SEED = 903
"""People that no recipe trains or validates on."""
_RIDGE = 1e-3
_OUTSIDE = ("heads", "ict")
_ICT_PEOPLE = 6
"""As many as there are simulated faces."""


def nearest_codes(modes: np.ndarray, heads: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """(P, K) coefficients of modes (K, V, 3) that bring them nearest to heads (P, V, 3), with weights (V,)."""
    weight = np.sqrt(importance)[None, :, None]
    basis = (modes * weight).reshape(len(modes), -1)
    system = basis @ basis.T
    system += _RIDGE * np.trace(system) / len(system) * np.eye(len(system)) / 100
    return np.linalg.solve(system, basis @ (heads * weight).reshape(len(heads), -1).T).T


def closest_mm(modes: np.ndarray, heads: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """(P,) median distance in millimetres of heads (P, V, 3), offsets from the mean, to the nearest in the span of
    modes (K, V, 3); weights (V,) say where it matters and what is measured (above 0.5)."""
    codes = nearest_codes(modes, heads, importance)
    apart = np.linalg.norm(heads - np.tensordot(codes, modes, 1), axis=-1)[:, importance > 0.5]
    return np.median(apart, axis=1) * METRES_TO_MM


@torch.no_grad()
def people_heads(count: int) -> np.ndarray:
    """(count, V_head, 3) float64 neutral faces of held-out people as offsets from the mean, metres.

    They have bumps and asymmetries that the prior does not know.
    """
    template = load_template()
    shapes = IdentityShapes(PeopleSurface(template, torch.device("cpu")))
    generator = np.random.default_rng(HELD_OUT_SEED)
    drawn = [draw_identity(generator, len(template.identity_modes)) for _ in range(count)]
    offsets = shapes.neutral(drawn).double().numpy() - template.vertices
    return offsets[:, : template.head.vertex_stop]


def head_figures(network: LearnedBasisNet | None, people: int, scans: bool) -> dict[str, float | str]:
    """``heads.median_mm.NAME`` on simulated faces outside the prior, ``ict.median_mm.NAME`` on random people of
    ICT-FaceKit, ``people.median_mm.NAME`` on held-out synthetic people; NAME is ``prior``, ``components`` (of synthetic
    people, those that ``angles.*`` compare with) and ``learned``.

    All with the same number of coefficients: the learned identity's, or as many as the paper has.
    """
    template = load_template()
    head = template.head.vertex_stop
    count = LearnedBasisConfig().identity if network is None else network.config.identity
    bases = {"prior": template.identity_modes[:count, :head].astype(np.float64)}
    if network is not None:
        components = copy.deepcopy(network.bases)
        begin_from_people(components, PEOPLE)
        bases |= {"components": cage_modes(components), "learned": cage_modes(network.bases)}
    figures: dict[str, float | str] = {"coefficients": float(count)}
    importance = 0.02 + template.regions["face"][:head].astype(np.float64)
    offsets = people_heads(people)
    outside = outside_heads() if scans else dict.fromkeys(_OUTSIDE, "left out: not asked for")
    for name in ("prior", "components", "learned"):
        if name not in bases:
            figures |= {f"{where}.median_mm.{name}": NOT_TRAINED for where in ("people", *_OUTSIDE)}
            continue
        figures[f"people.median_mm.{name}"] = float(closest_mm(bases[name], offsets, importance).mean())
        for where, targets in outside.items():
            if isinstance(targets, str):
                figures[f"{where}.median_mm.{name}"] = targets
            else:
                from trainer.template.measure import distances_mm

                figures[f"{where}.median_mm.{name}"] = float(distances_mm(template, bases[name], targets)[:, 0].mean())
    return figures


def outside_heads() -> dict[str, list | str]:
    """``heads``: the simulated faces that nothing is made from; ``ict``: random people of ICT-FaceKit; or why they are
    not here."""
    if not (shared_folder() / "faces3d").is_dir():
        return dict.fromkeys(_OUTSIDE, "left out: the scans are not here")
    from trainer.template.measure import facekit_targets, simulated_targets

    return {"heads": simulated_targets(), "ict": facekit_targets(_ICT_PEOPLE)}
