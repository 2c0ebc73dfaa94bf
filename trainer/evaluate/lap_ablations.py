"""Ablations of LAP: the whole method against variants without one part, all trained equally long.

``python -m trainer ablations`` trains them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from backend.errors import LikenessError
from backend.models.lap.apply import LapModel
from backend.models.lap.network import LapNet
from trainer.data.lap import LapBatch
from trainer.evaluate.metrics.intervals import ratio_interval
from trainer.recipe import WHOLE
from trainer.stages.lap_metrics import depth_errors, mean_face

MEASURES = ("side.canonical.n1", "side.canonical.n4", "side.personal.n1", "mad.personal.n1")
"""The canonical face, facing the camera, from one photo and from four; the personalised face of one photo in its
predicted view."""


@torch.no_grad()
def ablation_figures(
    models: Mapping[str, Sequence[Path]], people: Callable[[LapNet], Iterable[LapBatch]]
) -> dict[str, float]:
    """``ablation.NAME.MEASURE`` for each of ``models`` (name -> folders, one per seed) and of ``MEASURES``: the mean
    over ``people`` and seeds.

    ``.seeds`` : standard deviation of the seeds' means, if there are several. ``.of_whole`` : ratio to the whole method
    over the seeds that both have, with its interval over people. ``.of_mean_face`` (facing the camera only) : ratio to
    the error of the mean of the true faces, with its interval.

    Raises
    ------
    LikenessError : the model of the whole method is missing.
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
    """(MEASURES + 1, people) errors of one model; the last row is the mean face's, facing the camera."""
    network = LapModel.load(folder).network
    errors = depth_errors(network, people(network), personal=True, mean=mean_face(people(network)))
    return np.stack([errors[measure].numpy() for measure in (*MEASURES, "side.canonical.mean_face")])
