"""Evaluate the graph face model: its decoder against a linear model with as many codes, and its encoder on photos."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from backend.errors import LikenessError
from backend.geometry.template import load_template
from backend.models.graph_face.apply import GraphModel
from backend.models.graph_face.codes import codes_of_shape
from backend.models.graph_face.network import GraphFaceNet, persons_identity
from backend.models.learned_basis.apply import BasisModel
from trainer.ablations import trained_models
from trainer.data.graph import GraphPeopleConfig, GraphShapesConfig
from trainer.data.graph.batch import part_of
from trainer.data.graph.linear import linear_faces
from trainer.data.scan_heads import HELD_OUT
from trainer.data.shared_data import shared_folder
from trainer.evaluate.graph_ablations import RECIPE, ablation_figures
from trainer.evaluate.graph_albedo import albedo_figures
from trainer.evaluate.graph_photos import (
    clip_figures,
    estimators,
    found_faces,
    pair_figures,
    scan_clips,
    synthetic_clips,
)
from trainer.evaluate.graph_sheet import between_sheet, people_sheet, photo_sheet, write_sheet
from trainer.evaluate.metrics.intervals import mean_interval
from trainer.evaluate.trained import trained_or_none
from trainer.recipe import find_recipe, load_recipe
from trainer.stages.graph_face import face_distance, same_person_share

CPU = torch.device("cpu")
SEED = 91
"""Seed of people unused for training and selection in all recipes."""
PRIOR = 1e-8
"""Square metres; see ``codes_of_shape``."""
_BATCH = 8
_SHOWN = 20
"""Number of people on the sheet, with one photo each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate graph``."""
    parser.add_argument("--heads", type=int, default=24, help="held-out heads of each kind for the decoders")
    parser.add_argument("--decoders", action="store_true", help="the decoders alone")
    parser.add_argument("--people", type=int, default=60, help="held-out synthetic people for the encoder")
    parser.add_argument("--skins", type=int, default=48, help="held-out synthetic people for skin that no photo shows")
    parser.add_argument("--clips", type=int, default=12, help="held-out synthetic people for clips; 0: none")
    parser.add_argument("--scans", type=int, default=len(HELD_OUT), help="held-out scans for clips; 0: none")
    parser.add_argument("--pairs", type=int, default=100, help="people of `lfw` for verification; 0: none")
    parser.add_argument("--albedo-model", type=Path, help="folder of an exported U-Net of skins; default: the shipped")
    parser.add_argument("--model", type=Path, help="folder of an exported model; default: the shipped one")
    parser.add_argument("--ablations", type=Path, help="folder of what `python -m trainer ablations` has trained")
    parser.add_argument("--ablation-people", type=int, default=60, help="held-out synthetic people for the ablations")
    parser.add_argument("--sheets", type=Path, help="folder for pictures of held-out synthetic people")
    parser.add_argument("--sheet-photos", type=Path, nargs="+", default=(), help="photos to draw beside their faces")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Measure and print a table; ``not trained`` where there is no model."""
    try:
        model = GraphModel.load(arguments.model)
    except LikenessError as error:
        if error.code != "missing_part" or arguments.model is not None:
            raise
        console.print("The graph face model is not trained.")
        return {"graph": "not trained"}
    if arguments.heads < 2 or arguments.people < 2:
        raise LikenessError("usage", "--heads and --people must be at least 2.", "Use 24 and 60.")
    net = model.network
    figures = decoder_figures(net, arguments.heads)
    if not arguments.decoders:
        figures |= encoder_figures(net, arguments.people) | photo_figures(model, arguments)
        figures |= albedo_figures(arguments.albedo_model, arguments.skins) | _ablations(arguments)
    if arguments.sheets:
        source = GraphPeopleConfig(size=net.config.size, seed=SEED, people=arguments.people).build()
        batch = source.batch(range(min(_SHOWN, arguments.people)), CPU)
        first = torch.arange(len(batch.person)) % source.config.photos == 0
        write_sheet(arguments.sheets / "people.png", people_sheet(net, part_of(batch, first)))
        write_sheet(arguments.sheets / "between.png", between_sheet(net, batch))
        if shown := [face for path in arguments.sheet_photos for face in found_faces([path])]:
            write_sheet(arguments.sheets / "photos.png", photo_sheet(model, shown))
    table = Table(title="Graph face model, held-out heads")
    for column in ("figure", "value"):
        table.add_column(column)
    for name, value in figures.items():
        table.add_row(name, value if isinstance(value, str) else f"{value:.3f}")
    console.print(table)
    return figures


def _ablations(arguments: argparse.Namespace) -> dict[str, float | str]:
    """``ablation.*`` of the models from ``python -m trainer ablations``, or ``not trained``."""
    if arguments.ablations is None:
        return dict.fromkeys((f"ablation.{name}" for name in load_recipe(find_recipe(RECIPE)).ablations), "not trained")
    return ablation_figures(trained_models(arguments.ablations), arguments.ablation_people)


def photo_figures(graph: GraphModel, arguments: argparse.Namespace) -> dict[str, float | str]:
    """``clips.*``, ``scans.*`` and ``pairs.*`` of ``graph_photos``; parts without their photographs are reported as
    left out."""
    kinds = estimators(graph, trained_or_none(BasisModel.load, None))
    figures: dict[str, float | str] = {}
    if arguments.clips:
        figures |= clip_figures(kinds, synthetic_clips(arguments.clips), "clips")
    scans, photos = shared_folder() / "faces3d", shared_folder() / "photos" / "research_only" / "lfw"
    if arguments.scans:
        missing = {"scans": "left out: no scans here"}
        figures |= clip_figures(kinds, scan_clips(arguments.scans), "scans") if scans.is_dir() else missing
    if arguments.pairs:
        missing = {"pairs": "left out: no photographs here"}
        figures |= pair_figures(graph, photos, arguments.pairs) if photos.is_dir() else missing
    return figures


def decoder_figures(net: GraphFaceNet, heads: int) -> dict[str, float | str]:
    """Mean distance of the face's vertices, millimetres, between held-out faces and each model's nearest face.
    ``graph.KIND``, ``linear.KIND``, ``mean.KIND``, and ``ratio.KIND`` of graph to linear with the bounds of its 95 %
    interval. KIND: ``neutral`` and ``moved`` (with expression) of synthetic people; the linear model is computed from
    other such people."""
    template = load_template()
    count = template.head.vertex_stop
    weight = template.regions["face"][:count].astype(np.float64)
    face = weight > 0.5
    linear = linear_faces(net.config.identity, net.config.expression)
    batch = GraphShapesConfig(seed=SEED, expressions=1).build().batch(range(heads), CPU)
    kinds: dict[str, tuple[np.ndarray, bool]] = {
        "neutral": (batch.neutral[:, :count].numpy(), True),
        "moved": (batch.vertices.numpy(), False),
    }
    figures: dict[str, float | str] = {}
    for kind, (targets, neutral) in kinds.items():
        rows = []
        for target in targets:
            fitted = codes_of_shape(net, torch.from_numpy(target), torch.from_numpy(weight).float(), PRIOR, neutral)
            made = (fitted.shape.numpy(), linear.nearest(target, weight, PRIOR, neutral), linear.mean)
            rows.append([1000 * np.linalg.norm(one - target, axis=1)[face].mean() for one in made])
        found = np.array(rows)  # (H, 3)
        for column, name in enumerate(("graph", "linear", "mean")):
            figures[f"{name}.{kind}"] = float(found[:, column].mean())
        figures |= mean_interval(found[:, 0] / found[:, 1]).figures(f"ratio.{kind}")
    return figures


def encoder_figures(net: GraphFaceNet, people: int) -> dict[str, float | str]:
    """Evaluate photos of held-out synthetic people. ``photo.neutral``: mean distance of the neutral face's vertices,
    millimetres, per photo; ``person.neutral``: by the mean code of a person's three photos; both also as ``.ratio`` to
    the mean face's. ``person.deviation``: between a person's photos. ``albedo.ratio``: colour error relative to the
    mean colours. ``identity``: share of photos whose nearest other code is the same person's. ``seconds.photo``.
    """
    template = load_template()
    count = template.head.vertex_stop
    face = torch.from_numpy(template.regions["face"][:count] > 0.5)
    source = GraphPeopleConfig(size=net.config.size, seed=SEED, people=people).build()
    rows: dict[str, list[float]] = {}
    codes, names = [], []
    seconds = 0.0
    for start in range(0, people, _BATCH):
        batch = source.batch(range(start, min(start + _BATCH, people)), CPU)
        began = time.perf_counter()
        with torch.no_grad():
            read = net.encoder(batch.photos.images, batch.photos.marks)
            rest = net.neutral(read.identity)
            net.shape(read.identity, read.expression)
            albedo = net.albedo(read.identity)
        seconds += time.perf_counter() - began
        truth = batch.neutral[:, :count]
        none = 1000 * face_distance(net.mean.expand_as(truth), truth, face)
        for number, value in enumerate(1000 * face_distance(rest, truth, face)):
            rows.setdefault("photo.neutral", []).append(float(value))
            rows.setdefault("photo.neutral.ratio", []).append(float(value / none[number]))
        for person in batch.person.unique():
            own = batch.person == person
            with torch.no_grad():
                mean = net.neutral(persons_identity(read.identity[own], read.confidence[own])[None])
            value = float(1000 * face_distance(mean, truth[own][:1], face))
            rows.setdefault("person.neutral", []).append(value)
            rows.setdefault("person.neutral.ratio", []).append(value / float(none[own][0]))
            spread = 1000 * face_distance(rest[own], rest[own].mean(0, keepdim=True).expand_as(rest[own]), face)
            rows.setdefault("person.deviation", []).append(float(spread.mean()))
        wrong, usual = (
            ((made - batch.photos.albedo).abs().mean(-1) * batch.photos.seen).sum(1)
            for made in (albedo, net.mean_albedo.detach().expand_as(albedo))
        )
        rows.setdefault("albedo.ratio", []).extend((wrong / usual)[batch.photos.seen.any(1)].tolist())
        codes.append(read.identity)
        names.append(batch.person)
    figures: dict[str, float | str] = {}
    for name, values in rows.items():
        figures |= mean_interval(np.array(values)).figures(name)
    figures["identity"] = same_person_share(torch.cat(codes), torch.cat(names))
    figures["seconds.photo"] = seconds / (people * source.config.photos)
    return figures
