"""Shape errors in millimetres of heads fitted to photographs of held-out scans.

Depth from nose to ear for a perfectly known face, as a floor of the depth error.

The simulated faces end 22 to 32 mm in front of the ears; the photographed heads were continued from the face. A fit
also continues the face, by the statistics of whole heads, and the two need not agree. Fitting the identity prior to the
whole scan surface gives the part of the depth error that is due to this disagreement.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from backend.errors import LikenessError
from backend.geometry.template import load_template
from protocol.options import OPTIONS
from trainer.heads import scans
from trainer.heads.ict import load_ict
from trainer.heads.population import ModelFit, fit_to_simulated
from trainer.measures.estimate import Estimate, Fit, Variant, as_estimate, fitted_neutrals, measure
from trainer.measures.harness import measured, of_cases
from trainer.measures.metrics import per_vertex_error


def best_fit_cage(fit: ModelFit) -> np.ndarray:
    """The most probable head of a fit to a scan: cage (V, 3) float32, template frame."""
    template = load_template()
    return (template.vertices + np.tensordot(fit.coefficients, template.identity_modes, 1)).astype(np.float32)


DISTANCES = (0.35, 0.8, 2.5)
SMILING_PEOPLE = (1, 2)


@dataclass(frozen=True)
class ScanOptions:
    """What to evaluate: the first ``heads`` held-out heads, the numbers of photos per fit, and whether to run the
    distance and smile experiments."""

    heads: int = len(scans.HELD_OUT)
    photos_per_head: tuple[int, ...] = (1, 6)
    distances: bool = True
    smile: bool = True


def template_tragi(cage: np.ndarray) -> np.ndarray:
    """(2, 3) tragi of cage vertices: those nearest to ICT's tragi when the template is registered to ICT's face."""
    tragi = load_ict().neutral[list(scans.tragus_ids())]
    laid = scans.template_on_ict()
    return cage[[int(np.argmin(np.linalg.norm(laid - tragus, axis=1))) for tragus in tragi]]


def depth_ratio(truth: scans.ScanTruth, estimate: Estimate) -> tuple[float, float]:
    """Ratio of the depth from nose tip to ears, estimate over truth: with the estimate scaled to the scan (similarity
    of the face), and at its own scale. Depth is along the scan's z axis after alignment, to the mean of both ears."""
    alignment = measure(truth, estimate).alignment
    points = np.concatenate([estimate.nose_tip[None], template_tragi(estimate.cage)])
    placed = alignment.apply(points)
    depth = placed[0, 2] - placed[1:, 2].mean()
    true = truth.nose_tip[2] - truth.ears[:, 2].mean()
    return float(depth / true), float(depth / alignment.scale / true)


@dataclass(frozen=True)
class NeutralErrors:
    """Errors in mm of one person's estimated neutral face: the mean per-vertex error at known correspondence, and the
    median scan-to-mesh distance. The per-vertex error has a floor from registering the template to other topology: the
    prior's unregularised best fit has 0.85 mm."""

    per_vertex: float
    median: float


def smile_errors(seed: int, fit: Fit) -> tuple[NeutralErrors, NeutralErrors]:
    """Errors in mm of the neutral face of random person ``seed``, first from smiling, then from neutral photos."""
    template = load_template()
    face = np.flatnonzero(template.regions["face"][: template.head.vertex_stop] > 0.5)
    true = scans.true_template_positions(seed)
    scan = scans.neutral_scan(seed)
    errors = []
    for smiling in (True, False):
        cage = fit(scans.ict_photos(seed, smiling)).astype(np.float64)
        per_vertex = per_vertex_error(cage[: len(true)], true, chosen=face).mean
        errors.append(NeutralErrors(per_vertex, measure(scan, as_estimate(cage)).median))
    return errors[0], errors[1]


def evaluate_scans(options: ScanOptions, fit: Fit, console: Console) -> dict[str, float]:
    """Flat figures of ``evaluate scans``; a failed fit is reported and counts as the template's mean face."""
    names = scans.HELD_OUT[: options.heads]
    columns = ("template", *(f"n{count}" for count in options.photos_per_head))

    def of_head(name: str) -> dict[str, float]:
        head, outcome = scans.scan_head(name).truth, {}
        if options.distances and name in scans.SIMPOP_HELD_OUT:
            best_fit = as_estimate(best_fit_cage(fit_to_simulated(int(name[-2:]))))
            outcome["depth_ratio.best_fit"] = depth_ratio(head, best_fit)[0]
        for column in columns:
            cage = load_template().vertices if column == "template" else _fitted(head, int(column[1:]), fit, console)
            distance = measure(head, as_estimate(cage))
            outcome[f"median_mm.{column}"] = distance.median
            outcome[f"mean_mm.{column}"] = distance.mean
            outcome[f"std_mm.{column}"] = distance.deviation
        return outcome

    figures = of_cases(measured({name: name for name in names}, of_head, console), "head")
    for column in columns:
        for kind in ("median_mm", "mean_mm", "std_mm"):
            figures[f"{kind}.{column}"] = float(np.mean([figures[f"head.{name}.{kind}.{column}"] for name in names]))
    if options.distances:
        for distance in DISTANCES:
            pairs = []
            for name in [name for name in names if name in scans.SIMPOP_HELD_OUT]:
                head = scans.scan_head(name).truth
                pair = depth_ratio(head, as_estimate(fit(scans.scan_photos(name, distance))))
                figures[f"head.{name}.depth_ratio.{distance:g}"] = pair[0]
                pairs.append(pair)
            figures[f"depth_ratio.{distance:g}"] = float(np.mean([pair[0] for pair in pairs]))
            figures[f"depth_ratio_absolute.{distance:g}"] = float(np.mean([pair[1] for pair in pairs]))
            figures[f"depth_error_max.{distance:g}"] = float(np.max([abs(pair[0] - 1) for pair in pairs]))
            console.print(f"from {distance:g} m: depth ratio {figures[f'depth_ratio.{distance:g}']:.3f}")
        best = [figures[key] for key in figures if key.endswith(".depth_ratio.best_fit")]
        figures["depth_ratio_best_fit"] = float(np.mean(best))
    if options.smile:
        pairs = [smile_errors(seed, fit) for seed in SMILING_PEOPLE]
        for name in ("per_vertex", "median"):
            smiling, neutral = np.mean([[getattr(errors, name) for errors in pair] for pair in pairs], axis=0)
            figures[f"smile.{name}_mm"] = float(smiling)
            figures[f"smile.{name}_mm_neutral"] = float(neutral)
            figures[f"smile.{name}_ratio"] = float(smiling / neutral)
    return figures


def _fitted(head: scans.ScanTruth, count: int, fit: Fit, console: Console) -> np.ndarray:
    try:
        return fit(scans.scan_photos(head.name)[:count])
    except LikenessError as problem:
        console.print(f"[red]{head.name}, {count} photos: {problem}[/red] (counted as the template)")
        return load_template().vertices


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate scans``."""
    parser.add_argument("--heads", type=int, default=len(scans.HELD_OUT), help="only the first N held-out heads")
    parser.add_argument("--photos-per-head", default="1,6", help="numbers of photos to fit, comma-separated")
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    parser.add_argument("--no-landmark-net", action="store_true", help="by the detector's landmarks alone")
    parser.add_argument("--no-lap", action="store_true", help="without the canonical face of LAP's networks")
    parser.add_argument("--no-learned-basis", action="store_true", help="fits start cold, not from the encoder's face")
    parser.add_argument(
        "--face-model", default="linear", choices=OPTIONS["face_model"].names, help="what the fit's identity moves in"
    )
    parser.add_argument("--no-distances", action="store_true", help="leave out the 0.35, 0.8 and 2.5 m experiment")
    parser.add_argument("--no-smile", action="store_true", help="leave out the smiling people")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Flat figures of ``evaluate scans``."""
    counts = tuple(int(word) for word in arguments.photos_per_head.split(","))
    options = ScanOptions(arguments.heads, counts, not arguments.no_distances, not arguments.no_smile)
    variant = Variant(
        arguments.quality,
        not arguments.no_lap,
        not arguments.no_learned_basis,
        not arguments.no_landmark_net,
        arguments.face_model,
    )
    return evaluate_scans(options, lambda paths: fitted_neutrals(paths, {"fit": variant})["fit"], console)
