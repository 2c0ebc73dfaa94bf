"""How sure LAP claims to be in the fit, and how far off it is, on heads that nothing here has drawn.

The fit takes LAP's canonical surface as a Gaussian belief about the identity. In the directions in which that belief
says more than the prior does, its distance from the truth is divided by the deviation that it claims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.linalg import eigh

from backend.errors import LikenessError
from backend.fitting.canonical_stage import canonical_belief, canonical_mesh
from backend.fitting.options import fit_options_for
from backend.fitting.population import identity_prior
from backend.fitting.solver import IdentityBelief
from backend.geometry.template import Template, load_template
from backend.models.contract import asking
from backend.models.lap import LAP
from backend.models.lap.apply import LapModel, canonical_face
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.reading.source import PhotoSource
from trainer.evaluate.depth_floor import best_fit_cage
from trainer.evaluate.foreign_fits import fitted_neutrals
from trainer.evaluate.metrics.intervals import mean_interval
from trainer.template.measure import STEADY
from trainer.template.scans import TriangleMesh

LEAST_SAID = 1.0
"""Information in a direction, as a multiple of the prior's, from which the surface is said to know it."""


def claimed_deviations(
    belief: IdentityBelief, prior: IdentityBelief, truth: np.ndarray, least: float = LEAST_SAID
) -> np.ndarray:
    """(D,) errors of a belief in its own claimed deviations, at the true identity (K,).

    The directions are those that diagonalise both the belief's information and the prior's; of them the D in which the
    belief's is at least ``least`` times the prior's. Calibrated errors have a mean square of 1.
    """
    said, directions = eigh(belief.information, prior.information)
    missed = directions.T @ (belief.information @ truth - belief.pull)
    known = said >= least
    return missed[known] / np.sqrt(said[known])


def true_identity(folder: Path, template: Template) -> np.ndarray | None:
    """(K,) identity of the most probable head whose face is that of a drawn head's truth, None where its file holds no
    triangles."""
    with np.load(folder / "truth.npz") as data:
        if not len(data.get("triangles", ())):
            return None
        scan, marks = TriangleMesh(data["scan"].astype(np.float64), data["triangles"].astype(np.int64)), data["marks"]
    return _identity_of(best_fit_cage(scan, tuple(STEADY), marks[list(STEADY)]), template)


def _identity_of(cage: np.ndarray, template: Template) -> np.ndarray:
    """(K,) coefficients of the modes nearest to cage vertices (V, 3)."""
    modes = template.identity_modes.reshape(len(template.identity_modes), -1).astype(np.float64)
    return np.linalg.lstsq(modes.T, (cage.astype(np.float64) - template.vertices).ravel(), rcond=None)[0]


def coverage_figures(heads: Mapping[str, Sequence[Path]]) -> dict[str, float]:
    """Flat figures ``coverage.lap.…`` of what LAP says of each head's first photo, as the fit asks it: around the face
    that the fit finds without LAP.

    ``deviation`` : root mean square of the errors in claimed deviations, 1 where they are what is claimed; with
    ``.low`` and ``.high`` over heads. ``within`` : share of errors within 1.96 deviations, 0.95 where they are.
    ``directions`` : mean number of directions. ``heads`` : those with a known identity.

    Raises ``LikenessError`` where LAP does not take part or no head can be measured.
    """
    template, options, models = load_template(), fit_options_for("standard"), open_models()
    stage, lap = options.canonical, models.of(LAP, LapModel)
    if stage is None or lap is None:
        raise LikenessError("missing_part", f"LAP takes no part: {models.said(LAP)}.", "Its weights are in assets/lap.")
    mesh, prior, ask = canonical_mesh(template), identity_prior(template, options.prior), asking(canonical_face, lap)
    errors = []
    for photos in heads.values():
        truth = true_identity(photos[0].parent, template)
        found = fitted_neutrals(photos[:1], ("without.lap",)) if truth is not None else None
        if truth is None or found is None:
            continue
        face = ask(collect([PhotoSource.from_path(photos[0])]).faces)
        around = _identity_of(found["without.lap"], template)
        errors.append(claimed_deviations(canonical_belief(template, mesh, face, around, stage), prior, truth))
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
