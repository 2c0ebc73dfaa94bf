"""Bake assets/template.safetensors, the mesh hierarchy of its head and the bust below it."""

from __future__ import annotations

import argparse
from pathlib import Path

from backend.geometry.mesh_hierarchy import HIERARCHY_PATH
from backend.geometry.template import TEMPLATE_PATH
from backend.rig.bust import BUST_PATH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m trainer template``."""
    parser.add_argument("--out", type=Path, default=TEMPLATE_PATH, help="file to write (default: the committed one)")
    parser.add_argument(
        "--calibrate",
        type=int,
        metavar="PEOPLE",
        help="first find the 478 landmarks anew on this many rendered people (250 for the committed table)",
    )
    parser.add_argument(
        "--detector",
        type=int,
        metavar="PEOPLE",
        help="then measure the landmark detector's errors on this many rendered people and an eleventh as many "
        "ray-traced ones, six pictures each (260 for the committed model)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the rendered people")


def run(arguments: argparse.Namespace) -> int:
    """Bake the files and print a summary."""
    from trainer.template.bake import bake
    from trainer.template.bust import write_bust
    from trainer.template.hierarchy import write_mesh_hierarchy

    if arguments.calibrate:
        _calibrate(arguments.calibrate, arguments.seed)
    template = bake(arguments.out)
    bust = write_bust(template, arguments.out.with_name(BUST_PATH.name))
    hierarchy = write_mesh_hierarchy(template, arguments.out.with_name(HIERARCHY_PATH.name))
    if arguments.detector:
        _measure_detector(arguments.detector, arguments.seed)
    size, modes = arguments.out.stat().st_size / 1e6, len(template.identity_modes)
    print(f"{arguments.out.name}: {len(template.vertices)} vertices, {modes} modes, {size:.2f} MB")
    print(f"{HIERARCHY_PATH.name}: {', '.join(str(len(level.vertices)) for level in hierarchy.levels)} vertices")
    print(f"{BUST_PATH.name}: {len(bust.vertices)} vertices")
    return 0


def _calibrate(people: int, seed: int) -> None:
    """Calibrate the landmarks on the committed template's shapes and write ``assets/landmarks478.json``."""
    from backend.geometry.template import load_template
    from backend.photos.faces import mean_landmarks
    from trainer.template.bake import LANDMARKS478
    from trainer.template.calibration import Dresser, calibrate, observe, symmetric_calibration, write_calibration

    template = load_template()
    observations = observe(template, Dresser(template), people, seed)
    result = symmetric_calibration(template, calibrate(template, observations), mean_landmarks().mirror)
    write_calibration(result, LANDMARKS478)


def _measure_detector(people: int, seed: int) -> None:
    """Measure the detector for the committed template and its landmarks, and write
    ``assets/landmark_detector.safetensors``."""
    import numpy as np

    from backend.fitting.detector_model import save_detector_model
    from backend.geometry.template import load_template
    from backend.photos.faces import mean_landmarks
    from trainer.template.calibration import (
        Dresser,
        cross_validated_percent,
        error_table,
        fit_detector_model,
        joined,
        observe,
        observe_traced,
    )

    template, partners = load_template(), mean_landmarks().mirror
    rendered = observe(template, Dresser(template), people, seed)
    table = error_table(template, rendered, np.arange(len(rendered)), partners)
    if people >= 11:
        traced, persons = observe_traced(template, range(100, 100 + people // 11))
        table = joined(table, error_table(template, traced, persons + len(rendered), partners))
    before, after = cross_validated_percent(table)
    save_detector_model(fit_detector_model(table))
    print(
        f"landmark detector, people held out: median error {before:.2f} % of the face scale, {after:.2f} % without bias"
    )
