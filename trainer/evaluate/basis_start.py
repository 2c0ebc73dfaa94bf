"""What the encoder's start is worth to the fit: scan-to-mesh and landmark errors and time, with it and without."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from backend.canonical.networks import lap_model
from backend.encoded.networks import BasisModel
from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import FitOptions, fit_options_for
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection
from backend.photos.read import PhotoSource
from trainer.data.scan_heads import HELD_OUT, scan_head, scan_photos
from trainer.evaluate.estimate import as_estimate, fit_with
from trainer.evaluate.scans import measure

_COUNTS = (1, 6)


@dataclass(frozen=True)
class TimedFit:
    """A fit, and the processor seconds that it and the networks before it took."""

    fitted: FittedFace
    seconds: float


def timed_fit(collection: PhotoCollection, model: BasisModel | None, options: FitOptions) -> TimedFit:
    """Fit as ``backend.pipeline`` does, from the encoder's face with a ``model``, cold without one."""
    networks = lap_model()
    start = time.process_time()
    fitted = fit_with(collection, options, networks, model)
    return TimedFit(fitted, time.process_time() - start)


def start_figures(
    model: BasisModel, console: Console, names: Sequence[str] = HELD_OUT, options: FitOptions | None = None
) -> dict[str, float]:
    """``scan.median_mm``, ``fit_seconds`` and ``fit_landmark_percent``, each ``.cold`` and ``.encoder``: means over the
    held-out heads from six photos; ``.one`` after them: from one. Seconds are the processor's, which other work on the
    machine hardly changes."""
    options = fit_options_for("standard") if options is None else options
    rows: dict[str, list[float]] = {}
    for name in names:
        truth = scan_head(name).truth
        for count in _COUNTS:
            collection = collect([PhotoSource.from_path(path) for path in scan_photos(name)[:count]])
            if not rows:  # what is done once per process counts for neither
                timed_fit(collection, model, options)
            for way, own in (("cold", None), ("encoder", model)):
                timed = timed_fit(collection, own, options)
                median = measure(truth, as_estimate(timed.fitted.neutral)).median
                landmark = float(np.mean([photo.landmark_error_percent for photo in timed.fitted.photos]))
                key = way if count > 1 else f"{way}.one"
                rows.setdefault(f"scan.median_mm.{key}", []).append(median)
                rows.setdefault(f"fit_seconds.{key}", []).append(timed.seconds)
                rows.setdefault(f"fit_landmark_percent.{key}", []).append(landmark)
        console.print(f"{name}: " + ", ".join(f"{key} {values[-1]:.2f}" for key, values in rows.items()))
    return {key: float(np.mean(values)) for key, values in rows.items()}
