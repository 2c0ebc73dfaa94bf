"""The learned bases against heads of other makers: identities, angles, keys.

How well identity bases express unseen heads: distance to the nearest face in the span of each basis.

How much the learned face model helps the fit: scan-to-mesh error, landmark error and time with the encoder's start
and with a cold start.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import FitOptions, fit_options_for
from backend.geometry.deformation_graph import deformation_graph
from backend.geometry.template import load_template
from backend.models.contract import NOT_TRAINED
from backend.models.learned_basis.apply import BasisModel
from backend.models.learned_basis.network import MILLIMETRE, LearnedBasisConfig
from backend.models.registry import LEARNED_BASIS, open_models
from backend.photos.collection import PhotoCollection
from trainer.engine.disk_cache import shared_folder
from trainer.evaluate.estimate import as_estimate, fit_with
from trainer.evaluate.harness import collected
from trainer.evaluate.scans import measure
from trainer.heads.scans import HELD_OUT, scan_head, scan_photos
from trainer.methods.learned_basis.losses import METRES_TO_MM
from trainer.people.shape import IdentityShapes, PeopleSurface, draw_identity

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
                from trainer.template.population import distances_mm

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
    from trainer.template.population import facekit_targets, simulated_targets

    return {"heads": simulated_targets(), "ict": facekit_targets(_ICT_PEOPLE)}


_COUNTS = (1, 6)


@dataclass(frozen=True)
class TimedFit:
    """A fit, and the processor seconds of the fit and the networks before it."""

    fitted: FittedFace
    seconds: float


def timed_fit(collection: PhotoCollection, model: BasisModel | None, options: FitOptions) -> TimedFit:
    """Fit as ``backend.pipeline`` does: from the encoder's face with a ``model``, from a cold start without one."""
    models = open_models({LEARNED_BASIS.name})
    if model is not None:
        models = models.changed(LEARNED_BASIS, model)
    start = time.process_time()
    fitted = fit_with(collection, options, models)
    return TimedFit(fitted, time.process_time() - start)


def start_figures(
    model: BasisModel, console: Console, names: Sequence[str] = HELD_OUT, options: FitOptions | None = None
) -> dict[str, float]:
    """``scan.median_mm``, ``fit_seconds`` and ``fit_landmark_percent``, each ``.cold`` and ``.encoder``: means over the
    held-out heads. Fits use six photos, or one photo with the suffix ``.one``. Seconds are processor time, because
    other work on the machine hardly changes it."""
    options = fit_options_for("standard") if options is None else options
    rows: dict[str, list[float]] = {}
    for name in names:
        truth = scan_head(name).truth
        for count in _COUNTS:
            collection = collected(scan_photos(name)[:count])
            number = "" if count > 1 else ".one"
            if not rows:  # warm up, so that one-time costs of the process count for neither
                timed_fit(collection, model, options)
            for way, start in (("cold", None), ("encoder", model)):
                timed = timed_fit(collection, start, options)
                median = measure(truth, as_estimate(timed.fitted.neutral)).median
                landmark = float(np.mean([photo.landmark_error_percent for photo in timed.fitted.photos]))
                rows.setdefault(f"scan.median_mm.{way}{number}", []).append(median)
                rows.setdefault(f"fit_seconds.{way}{number}", []).append(timed.seconds)
                rows.setdefault(f"fit_landmark_percent.{way}{number}", []).append(landmark)
        console.print(f"{name}: " + ", ".join(f"{key} {values[-1]:.2f}" for key, values in rows.items()))
    return {key: float(np.mean(values)) for key, values in rows.items()}
