"""Ablations of LAP: the whole method against variants without one part, all trained equally long.

``python -m trainer ablations`` trains them.

Baselines for LAP's fused face: the plain mean of the photos' own codes, and a linear map of the landmark net's
points in the same photos.

Evaluate LAP on held-out synthetic people: depth and normal errors by number of photos, baselines, ablations, and a
sheet of portraits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional

from backend.models.lap.apply import LapModel
from backend.models.lap.landmark_face import LandmarkFace
from backend.models.lap.network import LapNet
from trainer.ablations import trained_models
from trainer.engine.contracts import Source
from trainer.evaluate import harness
from trainer.evaluate.metrics import ratio_interval
from trainer.methods.lap import stage
from trainer.methods.lap.data import LapBatch, LapPeopleConfig, LapPortraitsConfig
from trainer.methods.lap.sets import VIEW_SHAPES, filled_depth, landmark_shapes
from trainer.portraits.collection import PortraitsConfig

MEASURES = ("side.canonical.n1", "side.canonical.n4", "side.personal.n1", "mad.personal.n1")
"""The canonical face, facing the camera, from one photo and from four; the personalised face of one photo in its
predicted view."""


@torch.no_grad()
def model_errors(folder: Path, people: Callable[[LapNet], Iterable[LapBatch]]) -> np.ndarray:
    """(MEASURES + 1, people) errors of one model; the last row is the mean face's, facing the camera."""
    network = LapModel.load(folder).network
    errors = stage.depth_errors(network, people(network), personal=True, mean=stage.mean_face(people(network)))
    return np.stack([errors[measure].numpy() for measure in (*MEASURES, "side.canonical.mean_face")])


COUNTS = (1, 4)
"""Numbers of photos given; each has a linear map of its own."""
_LAP_BESIDE_BATCH = 16
_MEASURED = 64
"""People whose points give the residual around the face shapes: a median over them and their photos."""


@torch.no_grad()
def mean_code_errors(network: LapNet, people: Iterable[LapBatch], photos: int) -> Tensor:
    """(P,) SIDE (times 100), facing the camera, of the mean of the codes of the first ``photos`` photos, each encoded
    alone."""
    found = []
    for batch in people:
        rows = stage.first_photos(batch.set_of, photos)
        marks = None if batch.marks is None else batch.marks[rows]
        codes = network.encode_depth(batch.images[rows] * 2 - 1, marks)
        own = network.depth_codes(codes, torch.arange(len(rows)))
        depth = network.decode_depth(own.unflatten(0, (-1, photos)).mean(1))
        found.append(100 * stage.canonical_errors(depth, batch.truth.depth).side)
    return torch.cat(found)


@dataclass(frozen=True)
class LinearMaps:
    """Linear regression of canonical depth on the most probable shape of a set's points.

    points : solves for shapes (G, K). weights : (1 + K, S * S) for each number of photos.
    """

    points: LandmarkFace
    weights: dict[int, Tensor]

    def depth(self, marks: Tensor, photos: int) -> Tensor:
        """(G, S, S) depth from points (G * photos, 478, 3), grouped by set."""
        flat = _shapes(self.points, marks, photos) @ self.weights[photos]
        side = round(flat.shape[1] ** 0.5)
        return flat.view(-1, side, side)


@torch.no_grad()
def linear_maps(source: Source, people: int, size: int) -> LinearMaps:
    """Maps for ``COUNTS`` photos, learned from the first ``people`` of a source with truth and points.

    size : side of the canonical maps. Raises ``ValueError`` for sets without truth or points.
    """
    given = list(harness.batches(source, people, _LAP_BESIDE_BATCH))
    if any(batch.marks is None or batch.truth is None for batch in given):
        raise ValueError("a linear map is learned from sets with truth and the landmark net's points")
    points = LandmarkFace(size, VIEW_SHAPES)
    marks = torch.cat([batch.marks for batch in given])
    points.set_reference(landmark_shapes(size, VIEW_SHAPES, torch.device("cpu")), marks[: _MEASURED * max(COUNTS)])
    depth = torch.cat([filled_depth(batch.truth.depth) for batch in given]).flatten(1)
    weights = {}
    for photos in COUNTS:
        regressors = torch.cat(
            [_shapes(points, own.marks[stage.first_photos(own.set_of, photos)], photos) for own in given]
        )
        weights[photos] = torch.linalg.lstsq(regressors.double(), depth.double()).solution.float()
    return LinearMaps(points, weights)


@dataclass(frozen=True)
class LinearErrors:
    """(P,) SIDE (times 100), facing the camera, by number of photos. linear : of the maps alone. both : of the mean of
    their depth and the networks', which is better than either if the pictures add information to the points."""

    linear: dict[int, Tensor]
    both: dict[int, Tensor]


@torch.no_grad()
def linear_errors(maps: LinearMaps, network: LapNet, people: Iterable[LapBatch]) -> LinearErrors:
    """Measure the maps, alone and averaged with the networks, on sets with truth and points."""
    alone: dict[int, list[Tensor]] = {photos: [] for photos in COUNTS}
    both: dict[int, list[Tensor]] = {photos: [] for photos in COUNTS}
    for batch in people:
        codes = network.encode_depth(batch.images * 2 - 1, batch.marks)
        for photos in COUNTS:
            rows = stage.first_photos(batch.set_of, photos)
            depth = maps.depth(batch.marks[rows], photos)
            own = network.decode_depth(network.depth_codes(codes.of(rows), torch.arange(len(rows)) // photos))
            for found, shown in ((alone, depth), (both, (depth + own) / 2)):
                found[photos].append(100 * stage.canonical_errors(shown, batch.truth.depth).side)
    return LinearErrors(*({photos: torch.cat(errors) for photos, errors in found.items()} for found in (alone, both)))


def _shapes(points: LandmarkFace, marks: Tensor, photos: int) -> Tensor:
    """(G, 1 + K) regressors from points (G * photos, 478, 3): a one, then the shape."""
    shape = points.faces(marks, torch.arange(len(marks)) // photos).shape
    return torch.cat([torch.ones_like(shape[:, :1]), shape], 1)


def resized(pictures: torch.Tensor, size: int) -> torch.Tensor:
    """Resize pictures (N, C, H, W) to ``size`` pixels a side."""
    return functional.interpolate(pictures, (size, size), mode="bilinear", antialias=True)


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
    yield from harness.batches(source, people, _BATCH)


@torch.no_grad()
def degraded_figures(network: LapNet, pictures: HeldOut) -> dict[str, float]:
    """Errors of the canonical face, facing the camera, for people with poor photos only: ``poor.side.canonical.nK`` and
    ``.mean_face``, and ``poor.ratio.n4_n1`` and ``poor.ratio.mean_of_codes.n4`` with their intervals."""
    poor = replace(pictures, poor=1.0, marks=False)
    mean = stage.mean_face(held_out(network, poor))
    errors = stage.depth_errors(network, held_out(network, poor), personal=False, mean=mean)
    names = [f"side.canonical.{name}" for name in ("n1", "n2", "n4", "n6", "mean_face")]
    four = errors["side.canonical.n4"]
    return (
        {f"poor.{name}": errors[name].nanmean().item() for name in names}
        | ratio_interval(four, errors["side.canonical.n1"]).figures("poor.ratio.n4_n1")
        | ratio_interval(four, mean_code_errors(network, held_out(network, poor), 4)).figures(
            "poor.ratio.mean_of_codes.n4"
        )
    )


@torch.no_grad()
def model_figures(network: LapNet, pictures: HeldOut, linear: LinearMaps | None = None) -> dict[str, float]:
    """Flat figures of a model, K being the number of photos given.

    ``side.nK`` (times 100), ``mad.nK`` : errors of the personalised depth of a fixed photo. ``shared.side.nK`` : of the
    canonical face in the same view. ``side.canonical.nK`` : of the canonical face, facing the camera; also of the mean
    face and the floor. Ratios of errors, with intervals: ``ratio.n4_n1``, ``ratio.canonical.n4_n1``;
    ``ratio.mean_of_codes.n4`` (canonical face over the mean of the photos' own codes); ``ratio.linear.nK`` (canonical
    face over ``linear`` maps of the landmark net's points); ``linear.ratio.mean_face.nK`` (linear maps over the mean
    face); ``both.ratio.linear.nK`` (mean of the linear and the networks' depth over the linear maps)."""
    mean = stage.mean_face(held_out(network, pictures))
    errors = stage.depth_errors(network, held_out(network, pictures), personal=True, mean=mean)
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
        "ratio.mean_of_codes.n4": (four, mean_code_errors(network, held_out(network, pictures), 4)),
        "ratio.canonical.mean_face.n1": (one, nobody),
        "ratio.canonical.mean_face.n4": (four, nobody),
    }
    if linear is not None:
        beside = linear_errors(linear, network, held_out(network, pictures))
        for count, values in beside.linear.items():
            ratios[f"linear.ratio.mean_face.n{count}"] = values, nobody
            ratios[f"ratio.linear.n{count}"] = errors[f"side.canonical.n{count}"], values
            ratios[f"both.ratio.linear.n{count}"] = beside.both[count], values
    for name, (above, below) in ratios.items():
        figures |= ratio_interval(above, below).figures(name)
    return figures | stage.spread_figures(network, held_out(network, pictures))


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
def portrait_sheet(network: LapNet, folder: Path, count: int, seed: int) -> list[Sequence[Tensor]]:
    """Rows of pictures of held-out portraits; ``LapStage.pictures`` names the columns."""
    config = PortraitsConfig(folder=str(folder), part="held_out", seed=seed)
    source = LapPortraitsConfig(portraits=config, marks=network.landmarks is not None).build()
    rows: list[Sequence[Tensor]] = []
    for batch in harness.batches(source, count, _SHEET_ROWS):
        batch = replace(batch, images=resized(batch.images, network.config.size))
        rows += harness.rows_of(stage.contact_columns(network, batch, batch.images * 2 - 1, _SHEET_ROWS))
    return rows


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
    parser.add_argument("--seed", type=int, default=0, help="which portraits")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Flat figures of ``evaluate lap``; "not trained" where the model is missing."""
    figures: dict[str, float | str] = {}
    pictures = HeldOut(arguments.people, arguments.kept, arguments.drawn, marks=arguments.linear_people > 0)
    model = harness.trained_or_none(LapModel.load, arguments.model)
    network = model and model.network
    if network is None:
        names = [f"{measure}.n{count}" for measure in ("side", "mad") for count in range(1, PHOTOS + 1)]
        figures |= dict.fromkeys(names, "not trained")
    else:
        figures |= model_figures(network, pictures, _linear(network, pictures, arguments.linear_people))
        if not arguments.no_poor:
            figures |= degraded_figures(network, pictures)
    if arguments.ablations:
        models, people = trained_models(arguments.ablations), lambda net: held_out(net, pictures)
        figures |= harness.ablation_figures(models, MEASURES, lambda path: model_errors(path, people), MEASURES[:2])
    if network is not None and arguments.portraits and arguments.sheet:
        rows = portrait_sheet(network, arguments.portraits, arguments.count, arguments.seed)
        harness.write_sheet(arguments.sheet, rows, stage.CAPTIONS)
        console.print(f"{arguments.count} portraits: {arguments.sheet}")
    return figures
