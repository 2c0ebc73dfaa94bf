"""Ear-to-ear width of fitted heads compared with the true one: python benchmarks/ears_width.py [--people N] [--json
FILE].

Held-out synthetic people with five photos each, those of ``evaluate graph``. Heads are aligned to the truth by a
similarity of their faces. The width is the distance between the outermost vertices of both ears. ``template`` : the
constant mean head.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backend.fitting.options import fit_options_for
from backend.geometry.similarity import nearest_similarity
from backend.geometry.template import ear_vertices, load_template
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.formats import PhotoSource
from trainer.evaluate.estimate import fit_with
from trainer.evaluate.metrics import face_weights, mean_interval
from trainer.methods.graph_face.evaluate import synthetic_photos

PHOTOS = 5


def width(cage: np.ndarray, truth: np.ndarray) -> float:
    """Metres between the ears of a cage (V, 3) after aligning its face to ``truth`` (V, 3)."""
    weights = face_weights(load_template())
    chosen = weights > 0
    placed = nearest_similarity(cage[chosen].astype(np.float64), truth[chosen].astype(np.float64), weights[chosen])
    left, right = placed.apply(cage[ear_vertices()[[1, 4]]].astype(np.float64))
    return float(np.linalg.norm(left - right))


def main() -> None:
    """Print mean and spread of the ratio of fitted to true width."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    template, models = load_template(), open_models()
    ratios: dict[str, list[float]] = {"fit": [], "template": []}
    for index, (truth, paths) in enumerate(synthetic_photos(arguments.people, PHOTOS)):
        collection = collect([PhotoSource.from_path(path) for path in paths])
        fitted = fit_with(collection, fit_options_for("standard"), models)
        true = width(truth, truth)
        ratios["fit"].append(width(fitted.neutral, truth) / true)
        ratios["template"].append(width(template.vertices, truth) / true)
        print(f"{index}: {len(fitted.photos)} photos, {true * 1000:.0f} mm, fit {ratios['fit'][-1]:.3f}", flush=True)
    figures: dict[str, float] = {"people": float(arguments.people)}
    for name, values in ratios.items():
        off = np.abs(np.array(values) - 1)
        figures |= {f"{name}.ratio": float(np.mean(values)), f"{name}.within_4_percent": float((off < 0.04).mean())}
        figures |= mean_interval(100 * off).figures(f"{name}.percent_off") | {f"{name}.worst_percent": 100 * off.max()}
    for name, value in figures.items():
        print(f"{name:28s} {value:.3f}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
