"""Shape errors in millimetres of heads fitted to photographs of held-out scans, and by which side and how much each
region errs on real people's and on simulated ones.

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
from trainer.measures import estimate as estimates
from trainer.measures.harness import mean_figures, measured, of_cases
from trainer.measures.metrics import ScanDistance, signed_errors


def best_fit_cage(fit: ModelFit) -> np.ndarray:
    """The most probable head of a fit to a scan: cage (V, 3) float32, template frame."""
    template = load_template()
    return (template.vertices + np.tensordot(fit.coefficients, template.identity_modes, 1)).astype(np.float32)


DISTANCES = (0.35, 0.8, 2.5)


@dataclass(frozen=True)
class ScanOptions:
    """What to evaluate: the first ``heads`` held-out heads, the numbers of photos per fit, and whether to run the
    distance experiment."""

    heads: int = len(scans.HELD_OUT)
    photos_per_head: tuple[int, ...] = (1, 6)
    distances: bool = True


def signed_by_region(truth: scans.ScanTruth, estimate: estimates.Estimate, measured: ScanDistance) -> dict[str, float]:
    """Region -> median millimetres by which an estimate lies outside a scan: of the points that the distance measured,
    and of all at the ears."""
    placed, regions = measured.alignment.apply(estimate.vertices), estimates.measured_regions()
    points = truth.scan_vertices
    signed = signed_errors(points[measured.chosen], placed, estimate.faces, regions)
    return signed | signed_errors(points, placed, estimate.faces, {"ears": regions["ears"]})


def template_tragi(cage: np.ndarray) -> np.ndarray:
    """(2, 3) tragi of cage vertices: those nearest to ICT's tragi when the template is registered to ICT's face."""
    tragi = load_ict().neutral[list(scans.tragus_ids())]
    laid = scans.template_on_ict()
    return cage[[int(np.argmin(np.linalg.norm(laid - tragus, axis=1))) for tragus in tragi]]


def depth_ratio(truth: scans.ScanTruth, estimate: estimates.Estimate) -> tuple[float, float]:
    """Ratio of the depth from nose tip to ears, estimate over truth: with the estimate scaled to the scan (similarity
    of the face), and at its own scale. Depth is along the scan's z axis after alignment, to the mean of both ears."""
    alignment = estimates.measure(truth, estimate).alignment
    points = np.concatenate([estimate.nose_tip[None], template_tragi(estimate.cage)])
    placed = alignment.apply(points)
    depth = placed[0, 2] - placed[1:, 2].mean()
    true = truth.nose_tip[2] - truth.ears[:, 2].mean()
    return float(depth / true), float(depth / alignment.scale / true)


def evaluate_scans(options: ScanOptions, fit: estimates.Fit, console: Console) -> dict[str, float]:
    """Flat figures of ``evaluate scans``; a failed fit is reported and counts as the template's mean face."""
    names = scans.HELD_OUT[: options.heads]
    columns = ("template", *(f"n{count}" for count in options.photos_per_head))

    def of_head(name: str) -> dict[str, float]:
        head, outcome = scans.scan_head(name).truth, {}
        if options.distances and name in scans.SIMPOP_HELD_OUT:
            best_fit = estimates.as_estimate(best_fit_cage(fit_to_simulated(int(name[-2:]))))
            outcome["depth_ratio.best_fit"] = depth_ratio(head, best_fit)[0]
        for column in columns:
            mean = estimates.Fitted(load_template().vertices, np.zeros(0))
            found = mean if column == "template" else _fitted(head, int(column[1:]), fit, console)
            estimate = estimates.as_estimate(found.neutral)
            distance = estimates.measure(head, estimate)
            outcome[f"median_mm.{column}"] = distance.median
            outcome[f"mean_mm.{column}"] = distance.mean
            outcome[f"std_mm.{column}"] = distance.deviation
            signed = signed_by_region(head, estimate, distance)
            outcome |= {f"bias_mm.{region}.{column}": error for region, error in signed.items()}
            if np.isfinite(found.focal).any():
                ratio = found.focal / scans.true_focals(name)[: len(found.focal)]
                outcome[f"focal_ratio.{column}"] = float(np.nanmedian(ratio))
        return outcome

    cases = measured({name: name for name in names}, of_head, console)
    figures = of_cases(cases, "head")
    for column in columns:
        for kind in ("median_mm", "mean_mm", "std_mm"):
            figures[f"{kind}.{column}"] = float(np.mean([cases[name][f"{kind}.{column}"] for name in names]))
    for group, members in (("real", scans.REAL), ("simulated", scans.SIMPOP_HELD_OUT)):
        chosen = [cases[name] for name in names if name in members]
        signed = [key for key in (chosen or [{}])[0] if key.startswith(("bias_mm", "focal_ratio", "median_mm"))]
        figures |= mean_figures({f"{group}.{key}": [one.get(key, np.nan) for one in chosen] for key in signed})
    if options.distances:
        for distance in DISTANCES:
            pairs = []
            for name in [name for name in names if name in scans.SIMPOP_HELD_OUT]:
                head = scans.scan_head(name).truth
                pair = depth_ratio(head, estimates.as_estimate(fit(scans.scan_photos(name, distance)).neutral))
                figures[f"head.{name}.depth_ratio.{distance:g}"] = pair[0]
                pairs.append(pair)
            figures[f"depth_ratio.{distance:g}"] = float(np.mean([pair[0] for pair in pairs]))
            figures[f"depth_ratio_absolute.{distance:g}"] = float(np.mean([pair[1] for pair in pairs]))
            figures[f"depth_error_max.{distance:g}"] = float(np.max([abs(pair[0] - 1) for pair in pairs]))
            console.print(f"from {distance:g} m: depth ratio {figures[f'depth_ratio.{distance:g}']:.3f}")
        best = [figures[key] for key in figures if key.endswith(".depth_ratio.best_fit")]
        figures["depth_ratio_best_fit"] = float(np.mean(best))
    return figures


def _fitted(head: scans.ScanTruth, count: int, fit: estimates.Fit, console: Console) -> estimates.Fitted:
    try:
        return fit(scans.scan_photos(head.name)[:count])
    except LikenessError as problem:
        console.print(f"[red]{head.name}, {count} photos: {problem}[/red] (counted as the template)")
        return estimates.Fitted(load_template().vertices, np.full(count, np.nan))


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


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Flat figures of ``evaluate scans``."""
    counts = tuple(int(word) for word in arguments.photos_per_head.split(","))
    options = ScanOptions(arguments.heads, counts, not arguments.no_distances)
    variant = estimates.Variant(
        arguments.quality,
        not arguments.no_lap,
        not arguments.no_learned_basis,
        not arguments.no_landmark_net,
        arguments.face_model,
    )
    return evaluate_scans(options, lambda paths: estimates.fitted_heads(paths, {"fit": variant})["fit"], console)
