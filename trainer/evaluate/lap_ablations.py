"""LAP against itself without each of its parts, all trained equally long: ``python -m trainer ablations``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from backend.errors import LikenessError
from backend.models.lap.network import LapNet, load_lap
from trainer.data.lap import LapBatch
from trainer.evaluate.metrics.intervals import ratio_interval
from trainer.recipe import WHOLE
from trainer.stages.lap_metrics import depth_errors, mean_face

MEASURES = ("side.canonical.n1", "side.canonical.n4", "side.personal.n1", "mad.personal.n1")
"""Facing the camera with one photo and with four; the personalised face of one photo in the view predicted for it."""


@torch.no_grad()
def ablation_figures(
    models: Mapping[str, Sequence[Path]], people: Callable[[LapNet], Iterable[LapBatch]]
) -> dict[str, float]:
    """``ablation.NAME.MEASURE`` for each of ``models`` (folders of one network, one a seed) and of ``MEASURES``: the
    mean over ``people`` and seeds; ``.seeds``, the deviation of the seeds' means, where there are several; and
    ``.of_whole`` with its interval over people, what it is of that of the whole method, by the seeds that both have;
    facing the camera ``.of_mean_face`` with its interval, what it is of the mean of the true faces' error.

    Raises
    ------
    LikenessError : there is no model of the whole method to compare with.
    """
    if WHOLE not in models:
        advice = "Train it with python -m trainer ablations."
        raise LikenessError("missing_part", f"Among the ablations is no model called {WHOLE!r}.", advice)
    found = {name: {path.parent.name: _errors(path, people) for path in paths} for name, paths in models.items()}
    figures: dict[str, float] = {}
    for name, seeds in sorted(found.items(), key=lambda item: item[0] != WHOLE):
        for number, measure in enumerate(MEASURES):
            key = f"ablation.{name}.{measure}"
            values = np.stack([errors[number] for errors in seeds.values()])  # (seeds, people)
            figures[key] = float(np.nanmean(values))
            if len(values) > 1:
                figures[f"{key}.seeds"] = float(np.nanmean(values, 1).std(ddof=1))
            if ".canonical." in measure:
                mean = np.mean([errors[-1] for errors in seeds.values()], 0)
                figures |= ratio_interval(np.mean(values, 0), mean).figures(f"{key}.of_mean_face")
            shared = [seed for seed in seeds if seed in found[WHOLE]]
            if name != WHOLE and shared:
                own, whole = (np.mean([of[seed][number] for seed in shared], 0) for of in (seeds, found[WHOLE]))
                figures |= ratio_interval(own, whole).figures(f"{key}.of_whole")
    return figures


def _errors(folder: Path, people: Callable[[LapNet], Iterable[LapBatch]]) -> np.ndarray:
    """(MEASURES + 1, people) errors of one model, in the end those of the mean face facing the camera."""
    network = load_lap(folder)
    errors = depth_errors(network, people(network), personal=True, mean=mean_face(people(network)))
    return np.stack([errors[measure].numpy() for measure in (*MEASURES, "side.canonical.mean_face")])
