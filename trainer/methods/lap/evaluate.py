"""Evaluate LAP on held-out synthetic people: depth and normals by number of photos, the plain mean of codes as a
baseline, and ablations.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from backend.models.lap.apply import LapModel
from backend.models.lap.network import LapNet
from trainer.measures import harness
from trainer.measures.metrics import ratio_interval
from trainer.methods.lap import stage
from trainer.methods.lap.data import LapBatch, LapPeopleConfig

MEASURES = ("side.canonical.n1", "side.canonical.n4", "side.personal.n1", "mad.personal.n1")
"""The canonical face, facing the camera, from one photo and from four; the personalised face of one photo in its
predicted view."""
HELD_OUT_SEED = 902
"""People that no recipe trains or validates on."""
PHOTOS = 6
_BATCH = 4


@torch.no_grad()
def model_errors(folder: Path, people: Callable[[LapNet], Iterable[LapBatch]]) -> np.ndarray:
    """(MEASURES + 1, people) errors of one model; the last row is the mean face's, facing the camera."""
    network = LapModel.load(folder).network
    errors = stage.depth_errors(network, people(network), personal=True, mean=stage.mean_face(people(network)))
    return np.stack([errors[measure].numpy() for measure in (*MEASURES, "side.canonical.mean_face")])


def held_out(network: LapNet, people: int) -> Iterator[LapBatch]:
    """Batches of held-out people, six photos each, cached on disk because several models are measured on them."""
    size = network.config.size
    source = LapPeopleConfig(size=size, seed=HELD_OUT_SEED, photos=PHOTOS, keep=people).build()
    yield from harness.batches(source, people, _BATCH)


@torch.no_grad()
def model_figures(network: LapNet, people: Callable[[LapNet], Iterable[LapBatch]]) -> dict[str, float]:
    """Flat figures of a model, K being the number of photos given.

    ``side.nK`` (times 100), ``mad.nK`` : errors of the personalised depth of a fixed photo. ``shared.side.nK`` : of the
    canonical face in the same view. ``side.canonical.nK`` : of the canonical face, facing the camera; also of the mean
    face and the floor. Ratios of errors, with intervals: ``ratio.n4_n1``, ``ratio.canonical.n4_n1``."""
    mean = stage.mean_face(people(network))
    errors = stage.depth_errors(network, people(network), personal=True, mean=mean)
    figures = {}
    for name, values in errors.items():
        measure, _, rest = name.partition(".")
        if rest.startswith("personal."):
            figures[f"{measure}.{rest.removeprefix('personal.')}"] = values.nanmean().item()
        elif rest.startswith("n"):
            figures[f"shared.{name}"] = values.nanmean().item()
        else:
            figures[name] = values.nanmean().item()
    nobody, one, four = (errors[f"side.canonical.{name}"] for name in ("mean_face", "n1", "n4"))
    ratios = {
        "ratio.n4_n1": (errors["side.personal.n4"], errors["side.personal.n1"]),
        "ratio.canonical.n4_n1": (four, one),
        "ratio.canonical.mean_face.n1": (one, nobody),
        "ratio.canonical.mean_face.n4": (four, nobody),
    }
    for name, (above, below) in ratios.items():
        figures |= ratio_interval(above, below).figures(name)
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate lap``."""
    parser.add_argument("--people", type=int, default=200, help="held-out synthetic people (default 200)")
    parser.add_argument("--model", type=Path, help="folder of an exported model (default: the shipped one)")
    parser.add_argument("--ablations", type=Path, metavar="FOLDER", help="of NAME/SEED/model of ablations")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Flat figures of ``evaluate lap``; "not trained" where the model is missing."""

    def people(net: LapNet) -> Iterator[LapBatch]:
        return held_out(net, arguments.people)

    model = harness.trained_or_none(LapModel.load, arguments.model)
    network = model and model.network
    figures = {"lap": "not trained"} if network is None else model_figures(network, people)
    if arguments.ablations:
        models = harness.trained_models(arguments.ablations)
        figures |= harness.ablation_figures(models, MEASURES, lambda path: model_errors(path, people), MEASURES[:2])
    return figures
