"""Evaluate LAP on held-out synthetic people: depth and normal errors by number of photos, baselines, ablations, and a
sheet of portraits."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from backend.models.lap.apply import LapModel
from backend.models.lap.network import LapNet
from trainer.ablations import trained_models
from trainer.data.lap import LapBatch, LapPeopleConfig, LapPortraitsConfig
from trainer.data.portraits import PortraitsConfig
from trainer.evaluate.lap_ablations import ablation_figures
from trainer.evaluate.lap_beside import COUNTS, LinearMaps, linear_errors, linear_maps, mean_code_errors
from trainer.evaluate.lap_people import collect_people, held_back, people_figures
from trainer.evaluate.lap_portraits import portrait_errors, portrait_figures, resized
from trainer.evaluate.metrics.intervals import ratio_interval
from trainer.evaluate.trained import trained_or_none
from trainer.stages.lap_metrics import depth_errors, mean_face, spread_figures
from trainer.stages.lap_sheet import contact_sheet

HELD_OUT_SEED = 902
"""People that no recipe trains or validates on."""
TRAINING_SEED = 1
"""People that recipes train on."""
PHOTOS = 6
_BATCH = 4
_SHEET_ROWS = 10


@dataclass(frozen=True)
class HeldOut:
    """The pictures a model is measured on. people : number of people. folder : cache folder, empty for the user's.
    drawn : side in pixels at which pictures are rendered and given to the landmark net; 0 for the side of the model's
    maps. poor : share of photos that are occluded, dark, blurred or cropped within the face. marks : run the landmark
    net even if the model does not use its points."""

    people: int
    folder: str = ""
    drawn: int = 0
    poor: float = 0.0
    marks: bool = False


def held_out(network: LapNet, pictures: HeldOut) -> Iterator[LapBatch]:
    """Batches of held-out people, six photos each, cached on disk because several models are measured on them."""
    size, people = network.config.size, pictures.people
    source = LapPeopleConfig(
        size=size,
        seed=HELD_OUT_SEED,
        photos=PHOTOS,
        keep=people,
        folder=pictures.folder,
        marks=pictures.marks or network.landmarks is not None,
        drawn=0 if pictures.drawn <= size else pictures.drawn,
        poor=pictures.poor,
    ).build()
    for start in range(0, people, _BATCH):
        yield source.batch(range(start, min(start + _BATCH, people)), torch.device("cpu"))


@torch.no_grad()
def degraded_figures(network: LapNet, pictures: HeldOut) -> dict[str, float]:
    """Errors of the canonical face, facing the camera, for people with poor photos only: ``poor.side.canonical.nK`` and
    ``.mean_face``, and ``poor.ratio.n4_n1`` and ``poor.ratio.mean_of_codes.n4`` with their intervals."""
    poor = replace(pictures, poor=1.0, marks=False)
    mean = mean_face(held_out(network, poor))
    errors = depth_errors(network, held_out(network, poor), personal=False, mean=mean)
    names = [f"side.canonical.{name}" for name in ("n1", "n2", "n4", "n6", "mean_face")]
    figures = {f"poor.{name}": errors[name].nanmean().item() for name in names}
    found = ratio_interval(errors["side.canonical.n4"], errors["side.canonical.n1"])
    figures |= found.figures("poor.ratio.n4_n1")
    found = ratio_interval(errors["side.canonical.n4"], mean_code_errors(network, held_out(network, poor), 4))
    return figures | found.figures("poor.ratio.mean_of_codes.n4")


@torch.no_grad()
def model_figures(network: LapNet, pictures: HeldOut, linear: LinearMaps | None = None) -> dict[str, float]:
    """Flat figures of a model, K being the number of photos given.

    ``side.nK`` (times 100), ``mad.nK`` : errors of the personalised depth of a fixed photo. ``shared.side.nK`` : of the
    canonical face in the same view. ``side.canonical.nK`` : of the canonical face, facing the camera; also of the mean
    face and the floor. Ratios of errors, with intervals: ``ratio.n4_n1``, ``ratio.canonical.n4_n1``;
    ``ratio.mean_of_codes.n4`` (canonical face over the mean of the photos' own codes); ``ratio.linear.nK`` (canonical
    face over ``linear`` maps of the landmark net's points); ``linear.ratio.mean_face.nK`` (linear maps over the mean
    face); ``both.ratio.linear.nK`` (mean of the linear and the networks' depth over the linear maps)."""
    mean = mean_face(held_out(network, pictures))
    errors = depth_errors(network, held_out(network, pictures), personal=True, mean=mean)
    figures = {}
    for name, values in errors.items():
        measure, _, rest = name.partition(".")
        if rest.startswith("personal."):
            figures[f"{measure}.{rest.removeprefix('personal.')}"] = values.nanmean().item()
        elif rest.startswith("n"):
            figures[f"shared.{name}"] = values.nanmean().item()
        else:
            figures[name] = values.nanmean().item()
    found = ratio_interval(errors["side.personal.n4"], errors["side.personal.n1"])
    figures |= found.figures("ratio.n4_n1")
    found = ratio_interval(errors["side.canonical.n4"], errors["side.canonical.n1"])
    figures |= found.figures("ratio.canonical.n4_n1")
    found = ratio_interval(errors["side.canonical.n4"], mean_code_errors(network, held_out(network, pictures), 4))
    figures |= found.figures("ratio.mean_of_codes.n4")
    nobody = errors["side.canonical.mean_face"]
    for count in ("n1", "n4"):
        figures |= ratio_interval(errors[f"side.canonical.{count}"], nobody).figures(
            f"ratio.canonical.mean_face.{count}"
        )
    if linear is not None:
        beside = linear_errors(linear, network, held_out(network, pictures))
        for count, values in beside.linear.items():
            figures |= ratio_interval(values, nobody).figures(f"linear.ratio.mean_face.n{count}")
            found = ratio_interval(errors[f"side.canonical.n{count}"], values)
            figures |= found.figures(f"ratio.linear.n{count}")
            figures |= ratio_interval(beside.both[count], values).figures(f"both.ratio.linear.n{count}")
    return figures | spread_figures(network, held_out(network, pictures))


def _linear(network: LapNet, pictures: HeldOut, people: int) -> LinearMaps | None:
    """Linear maps learned from training people, whose pictures are made in the same way as the held-out ones."""
    if not people:
        return None
    size = network.config.size
    config = LapPeopleConfig(
        size=size,
        seed=TRAINING_SEED,
        photos=max(COUNTS),
        keep=people,
        folder=pictures.folder,
        marks=True,
        quick_marks=True,
        drawn=0 if pictures.drawn <= size else pictures.drawn,
    )
    return linear_maps(config.build(), people, size)


@torch.no_grad()
def portrait_sheet(network: LapNet, folder: Path, count: int, seed: int) -> np.ndarray:
    """(H, W, 3) uint8 sheet of held-out portraits, one row each; ``LapStage.pictures`` names the columns."""
    config = PortraitsConfig(folder=str(folder), part="held_out", seed=seed)
    source = LapPortraitsConfig(portraits=config, marks=network.landmarks is not None).build()
    parts = []
    for start in range(0, count, _SHEET_ROWS):
        batch = source.batch(range(start, min(start + _SHEET_ROWS, count)), torch.device("cpu"))
        batch = replace(batch, images=resized(batch.images, network.config.size))
        parts.append(contact_sheet(network, batch, batch.images * 2 - 1, _SHEET_ROWS))
    sheet = torch.cat(parts, 1).permute(1, 2, 0)
    return (sheet * 255).round().clamp(0, 255).byte().numpy()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate lap``."""
    parser.add_argument("--people", type=int, default=200, help="held-out synthetic people (default 200)")
    parser.add_argument("--model", type=Path, help="folder of an exported model (default: the shipped one)")
    parser.add_argument("--ablations", type=Path, metavar="FOLDER", help="of `python -m trainer ablations`: its models")
    parser.add_argument("--kept", default="", metavar="FOLDER", help="where held-out pictures are kept")
    parser.add_argument(
        "--drawn",
        type=int,
        default=0,
        help="side at which pictures are drawn and seen by the landmark net (0: the model's)",
    )
    parser.add_argument(
        "--linear-people",
        type=int,
        default=0,
        help="compare with a linear map of the landmark net's points, learned from so many people (0: do not)",
    )
    parser.add_argument("--no-poor", action="store_true", help="leave out the people all of whose photos are poor")
    parser.add_argument("--portraits", type=Path, help="a prepared collection (framing face) for the sheet")
    parser.add_argument("--sheet", type=Path, help="where the sheet goes (PNG)")
    parser.add_argument("--count", type=int, default=100, help="portraits on the sheet")
    parser.add_argument("--photos", type=Path, help="a folder with a folder of photos per person: held-out photos")
    parser.add_argument("--photos-each", type=int, default=4, help="photos of each of them (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="which portraits")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Flat figures of ``evaluate lap``; "not trained" where the model is missing."""
    figures: dict[str, float | str] = {}
    pictures = HeldOut(arguments.people, arguments.kept, arguments.drawn, marks=arguments.linear_people > 0)
    model = trained_or_none(LapModel.load, arguments.model)
    network = model and model.network
    if network is None:
        names = [f"{measure}.n{count}" for measure in ("side", "mad") for count in range(1, PHOTOS + 1)]
        figures |= dict.fromkeys(names, "not trained")
    else:
        figures |= model_figures(network, pictures, _linear(network, pictures, arguments.linear_people))
        if not arguments.no_poor:
            figures |= degraded_figures(network, pictures)
    if arguments.ablations:
        figures |= ablation_figures(trained_models(arguments.ablations), lambda net: held_out(net, pictures))
    if network is not None and arguments.portraits:
        figures |= portrait_figures(portrait_errors(network, arguments.portraits, arguments.count, arguments.seed))
    if network is not None and arguments.photos:
        figures |= people_figures(held_back(network, collect_people(arguments.photos, arguments.photos_each)))
    table = Table("figure", "value", title=f"{arguments.people} held-out synthetic people")
    for name, value in figures.items():
        table.add_row(name, value if isinstance(value, str) else f"{value:.4f}")
    console.print(table)
    if network is not None and arguments.portraits and arguments.sheet:
        sheet = portrait_sheet(network, arguments.portraits, arguments.count, arguments.seed)
        cv2.imwrite(str(arguments.sheet), sheet[..., ::-1])
        console.print(f"{arguments.count} portraits: {arguments.sheet}")
    return figures
