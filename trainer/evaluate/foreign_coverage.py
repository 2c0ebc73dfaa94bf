"""Calibration of LAP in the fit: its errors over its claimed standard deviations, on heads of another renderer.

The fit uses LAP's canonical surface as a Gaussian belief about the identity. Errors are measured in the directions in
which this belief has at least as much information as the prior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.linalg import eigh

from backend.errors import LikenessError
from backend.fitting.canonical_stage import canonical_mesh, canonical_prior
from backend.fitting.options import fit_options_for
from backend.fitting.population import identity_prior
from backend.fitting.solver import IdentityPrior
from backend.geometry.template import Template, load_template
from backend.models.contract import applied_to_photos
from backend.models.lap import LAP
from backend.models.lap.apply import LapModel, canonical_face
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.reading.source import PhotoSource
from trainer.evaluate.depth_floor import best_fit_cage
from trainer.evaluate.foreign_fits import fitted_neutrals
from trainer.evaluate.metrics.intervals import mean_interval
from trainer.template.measure import SIMULATED_FIT_LANDMARKS
from trainer.template.scans import TriangleMesh

LEAST_SAID = 1.0
"""Least information in a direction, as a multiple of the prior's, for the direction to be measured."""


def claimed_deviations(
    belief: IdentityPrior, prior: IdentityPrior, truth: np.ndarray, least: float = LEAST_SAID
) -> np.ndarray:
    """(D,) errors of a belief at the true identity (K,), in units of its own claimed standard deviation.

    The directions diagonalise both the belief's information and the prior's. The D directions are those in which the
    belief's information is at least ``least`` times the prior's. Calibrated errors have a mean square of 1.
    """
    said, directions = eigh(belief.information, prior.information)
    missed = directions.T @ (belief.information @ truth - belief.pull)
    known = said >= least
    return missed[known] / np.sqrt(said[known])


def true_identity(folder: Path, template: Template) -> np.ndarray | None:
    """(K,) identity of the most probable head with the true face of a rendered head; None if its file has no
    triangles."""
    with np.load(folder / "truth.npz") as data:
        if not len(data.get("triangles", ())):
            return None
        scan, marks = TriangleMesh(data["scan"].astype(np.float64), data["triangles"].astype(np.int64)), data["marks"]
    return _identity_of(
        best_fit_cage(scan, tuple(SIMULATED_FIT_LANDMARKS), marks[list(SIMULATED_FIT_LANDMARKS)]), template
    )


def _identity_of(cage: np.ndarray, template: Template) -> np.ndarray:
    """(K,) least-squares coefficients of the identity modes for cage vertices (V, 3)."""
    modes = template.identity_modes.reshape(len(template.identity_modes), -1).astype(np.float64)
    return np.linalg.lstsq(modes.T, (cage.astype(np.float64) - template.vertices).ravel(), rcond=None)[0]


def coverage_figures(heads: Mapping[str, Sequence[Path]]) -> dict[str, float]:
    """Flat figures ``coverage.lap.…`` of LAP on each head's first photo, linearised as in the fit, around the face that
    the fit finds without LAP.

    ``deviation`` : root mean square of the errors in claimed deviations, 1 if calibrated; with ``.low`` and ``.high``
    over heads. ``within`` : share of errors within 1.96 deviations, 0.95 if calibrated. ``directions`` : mean number of
    directions. ``heads`` : number of heads with a known identity.

    Raises ``LikenessError`` if LAP is missing or no head can be measured.
    """
    template, options, models = load_template(), fit_options_for("standard"), open_models()
    stage, lap = options.canonical, models.of(LAP, LapModel)
    if stage is None or lap is None:
        raise LikenessError("missing_part", f"LAP takes no part: {models.said(LAP)}.", "Its weights are in assets/lap.")
    mesh, prior, ask = (
        canonical_mesh(template),
        identity_prior(template, options.prior),
        applied_to_photos(canonical_face, lap),
    )
    errors = []
    for photos in heads.values():
        truth = true_identity(photos[0].parent, template)
        found = fitted_neutrals(photos[:1], ("without.lap",)) if truth is not None else None
        if truth is None or found is None:
            continue
        face = ask(collect([PhotoSource.from_path(photos[0])]).faces)
        around = _identity_of(found["without.lap"], template)
        errors.append(claimed_deviations(canonical_prior(template, mesh, face, around, stage), prior, truth))
    errors = [own for own in errors if len(own)]
    if not errors:
        raise LikenessError("no_photo", "No head has a known identity.", "Draw them anew: truths hold triangles now.")
    squares = mean_interval(np.array([(own**2).mean() for own in errors]))
    deviation = {name: float(np.sqrt(value)) for name, value in squares.figures("coverage.lap.deviation").items()}
    return deviation | {
        "coverage.lap.within": float(np.mean([(np.abs(own) < 1.96).mean() for own in errors])),
        "coverage.lap.directions": float(np.mean([len(own) for own in errors])),
        "coverage.lap.heads": float(len(errors)),
    }
