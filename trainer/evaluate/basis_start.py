"""How much the learned face model helps the fit: scan-to-mesh error, landmark error and time with the encoder's start
and with a cold start."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import FitOptions, fit_options_for
from backend.models.learned_basis import LEARNED_BASIS
from backend.models.learned_basis.apply import BasisModel
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection
from backend.photos.reading.source import PhotoSource
from trainer.data.scan_heads import HELD_OUT, scan_head, scan_photos
from trainer.evaluate.estimate import as_estimate, fit_with
from trainer.evaluate.scans import measure

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
            collection = collect([PhotoSource.from_path(path) for path in scan_photos(name)[:count]])
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
