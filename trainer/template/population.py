"""Mean and covariance of the identity coefficients over two populations: ``python -m trainer identity-population``.

The template's modes come from ICT-FaceKit's people, whose coefficients are independent with mean 0. The simulated
population (the faces that training may use) has another mean. The fit's prior pools both; otherwise a face of the
second population would count as a rare one of the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from backend.errors import LikenessError
from backend.fitting.population import POPULATION_PATH, template_fingerprint
from backend.geometry.template import load_template
from backend.safetensors_file import write_arrays
from trainer.template.bake import head_topology
from trainer.template.measure import ITERATIONS, fitted, simulated_targets
from trainer.template.scans import TRAINING_SIMPOP

SECOND_SHARE = 0.7
"""Share of the second population in the pool (docs/decisions/fitting.md)."""
_SAMPLE = 0.9
"""Weight of the second population's sample covariance; the rest is the first one's, because a few faces span few
directions. In leave-one-out, 0.5 and 0 were worse (docs/decisions/fitting.md)."""


def pooled(coefficients: np.ndarray, share: float = SECOND_SHARE) -> tuple[np.ndarray, np.ndarray]:
    """Mean (K,) and covariance (K, K) of a mixture of two populations: one with independent unit-variance coefficients
    around 0, and one, with the share ``share``, with sample coefficients (P, K)."""
    count = coefficients.shape[1]
    mean = coefficients.mean(0)
    own = _SAMPLE * np.cov(coefficients.T, bias=True) + (1 - _SAMPLE) * np.eye(count)
    covariance = (1 - share) * np.eye(count) + share * own + share * (1 - share) * np.outer(mean, mean)
    return share * mean, covariance


def simulated_coefficients(limit: int | None = None, iterations: int = ITERATIONS) -> np.ndarray:
    """(P, K) most probable identity coefficients of the simulated faces that training may use, or of the first
    ``limit``, after ``iterations`` of each fit."""
    template = load_template()
    topology, modes = head_topology(template), template.identity_modes[:, : template.head.vertex_stop]
    targets = simulated_targets(TRAINING_SIMPOP[:limit])
    modes = modes.astype(np.float64)
    return np.stack([fitted(template, modes, topology, one, iterations).coefficients for one in targets])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``identity-population``."""
    parser.add_argument("--out", type=Path, default=POPULATION_PATH, help="file to write (default: the shipped one)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N of the simulated faces, at least 2")
    parser.add_argument(
        "--iterations", type=int, default=ITERATIONS, metavar="N", help=f"of each face's fit (default: {ITERATIONS})"
    )


def run(arguments: argparse.Namespace) -> int:
    """Compute the pooled statistics and write them; needs ``../shared/faces3d``."""
    if arguments.limit is not None and arguments.limit < 2:
        raise LikenessError("usage", f"{arguments.limit} faces have no spread.", "Give --limit 2 or more.")
    if arguments.iterations < 1:
        raise LikenessError("usage", "A fit without iterations finds nothing.", "Give --iterations 1 or more.")
    mean, covariance = pooled(simulated_coefficients(arguments.limit, arguments.iterations))
    arrays = {"mean": mean.astype(np.float32), "covariance": covariance.astype(np.float32)}
    write_arrays(arguments.out, arrays, {"template": template_fingerprint()})
    return 0
