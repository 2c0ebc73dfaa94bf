"""Mean and covariance of the identity coefficients over two populations: ``python -m trainer identity-population``.

The template's modes come from ICT-FaceKit's people, whose coefficients are independent with mean 0. The simulated
population (the faces that training may use) has another mean. The fit's prior pools both; otherwise a face of the
second population would count as a rare one of the first.

Measure how well the identity prior fits faces: ``python -m trainer.template.population``.

Fits the modes (most probable coefficients, similarity with scale) to random people of ICT-FaceKit and to the simulated
faces that are for measuring only. Prints median and mean distances in millimetres from the scan to the fitted level-1
surface, within 95 mm of the nose tip. Baselines: MakeHuman's modes alone, and the mean face.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from backend.errors import LikenessError
from backend.fitting.solver import POPULATION_PATH, template_fingerprint
from backend.geometry.template import Template, load_template
from backend.system.files import write_arrays
from trainer.heads import ict
from trainer.heads.photographs import find_surface_landmarks
from trainer.template.bake import head_topology, make_makehuman_heads
from trainer.template.facekit import FIT_LANDMARKS, HeadTopology
from trainer.template.registration import ModelFit, closest_points, fit_model

RADIUS = 0.095
"""Metres from the nose tip within which distances count."""

SIMULATED_FIT_LANDMARKS = (33, 133, 362, 263, 1, 4, 5, 6, 168, 61, 291, 0, 17, 48, 278)
"""MediaPipe landmarks for the fit to a simulated face: eye corners, nose, mouth."""

NOSE_TIP_68, NOSE_TIP_478 = 30, 4
ITERATIONS = 16


@dataclass(frozen=True)
class ScanTarget:
    """A face to fit.

    Attributes
    ----------
    scan : its surface. indices : of the landmarks, in the template's 478 (``mesh478``) or 68 landmarks.
    landmarks : (L, 3) positions on the scan. nose : (3,) tip of the nose. counted : scan vertices that are measured.
    """

    scan: ict.TriangleMesh
    indices: tuple[int, ...]
    mesh478: bool
    landmarks: np.ndarray
    nose: np.ndarray
    counted: np.ndarray


def facekit_targets(count: int, seed: int = 77) -> list[ScanTarget]:
    """Random people of ICT-FaceKit."""
    kit, rng, targets = ict.read_facekit(), np.random.default_rng(seed), []
    surface = ict.facekit_surface(kit)
    for _ in range(count):
        points = kit.neutral + np.tensordot(rng.normal(size=len(kit.identity)), kit.identity, 1)
        marks = points[kit.landmarks[list(FIT_LANDMARKS)]]
        nose = points[kit.landmarks[NOSE_TIP_68]]
        counted = np.arange(kit.FACE.start, kit.FACE.stop)
        targets.append(
            ScanTarget(ict.TriangleMesh(points, surface.triangles), FIT_LANDMARKS, False, marks, nose, counted)
        )
    return targets


def simulated_targets(numbers: Sequence[int] = ict.MEASURING_SIMPOP) -> list[ScanTarget]:
    """Simulated faces, by default those that are for measuring only, with landmarks detected on clay renders."""
    targets = []
    for number in numbers:
        scan = ict.read_simulated(number)
        embedded = find_surface_landmarks(scan.vertices, scan.triangles, scan.vertices.mean(0))
        usable = tuple(index for index in SIMULATED_FIT_LANDMARKS if embedded.found[index])
        marks = embedded.positions[list(usable)]
        targets.append(
            ScanTarget(scan, usable, True, marks, embedded.positions[NOSE_TIP_478], np.arange(len(scan.vertices)))
        )
    return targets


def fitted(
    template: Template, modes: np.ndarray, topology: HeadTopology, target: ScanTarget, iterations: int = ITERATIONS
) -> ModelFit:
    """Fit a face with modes (K, V_head, 3): most probable coefficients and a similarity."""
    head = template.head.vertex_stop
    embedding = template.landmarks478 if target.mesh478 else template.landmarks68
    chosen = list(target.indices)
    rows = sp.csr_matrix(
        (
            embedding.barycentrics[chosen].astype(np.float64).ravel(),
            (np.repeat(np.arange(len(chosen)), 3), embedding.vertices[chosen].ravel()),
        ),
        shape=(len(chosen), head),
    )
    # the smooth surface at the cage's vertices is enough for fitting
    return fit_model(
        template.vertices[:head].astype(np.float64), modes, topology.matrix[:head], topology.triangles,
        topology.skin_weights(face=1.0), target.scan, rows, target.landmarks,
        landmark_noise=0.004 if target.mesh478 else 0.002, iterations=iterations,
    )  # fmt: skip


def distances_mm(template: Template, modes: np.ndarray, targets: list[ScanTarget]) -> np.ndarray:
    """(N, 2) median and mean distance of each target's scan from the fitted surface, in millimetres."""
    topology, figures = head_topology(template), []
    for target in targets:
        fit = fitted(template, modes, topology, target)
        near = np.linalg.norm(target.scan.vertices[target.counted] - target.nose, axis=1) < RADIUS
        surface = topology.matrix @ fit.cage
        distance = closest_points(target.scan.vertices[target.counted][near], surface, topology.fine_triangles)[2]
        figures.append([np.median(distance) * 1e3, distance.mean() * 1e3])
    return np.array(figures)


def measure(facekit_people: int = 6) -> dict[str, float]:
    """Flat figures, name -> millimetres; prints them too."""
    template, doll = load_template(), make_makehuman_heads().template
    head = template.head.vertex_stop
    prior, makehuman = (t.identity_modes[:, :head].astype(np.float64) for t in (template, doll))
    figures = {}
    for name, targets in (("facekit", facekit_targets(facekit_people)), ("simulated", simulated_targets())):
        for kind, basis, modes in (
            ("mean", template, prior[:0]),
            ("makehuman", doll, makehuman),
            ("prior", template, prior),
        ):
            apart = distances_mm(basis, modes, targets)
            figures[f"{name}.{kind}.median_mm"] = float(apart[:, 0].mean())
            figures[f"{name}.{kind}.mean_mm"] = float(apart[:, 1].mean())
            print(
                f"{name} {kind}: median {apart[:, 0].mean():.3f} mm, mean {apart[:, 1].mean():.3f} mm",
                flush=True,
            )
    return figures


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
    targets = simulated_targets(ict.TRAINING_SIMPOP[:limit])
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--people", type=int, default=6, help="random people of ICT-FaceKit")
    arguments = parser.parse_args()
    result = measure(arguments.people)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))
