"""Evaluate the graph face model: its decoder beside a linear model with as many codes; its encoder on photographs, as
MICC does (Gao et al., CVPRW 2020, tables 1 and 2), beside mean face, learned basis and landmark fit; unseen skin;
ablations.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from backend.errors import LikenessError
from backend.geometry.mesh_hierarchy import load_mesh_hierarchy, spread
from backend.geometry.template import load_template
from backend.models import graph_face as nets
from backend.models.registry import NOT_TRAINED
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import bare_skin, small_maps, with_learned_completion
from backend.texture.surface import texture_space
from trainer.measures import harness
from trainer.measures.metrics import mean_interval, ratio_interval
from trainer.methods.graph_face.albedo import UNSEEN, head_people, known_texture, moved_truth, true_albedo
from trainer.methods.graph_face.data import GraphBatch, GraphPeopleConfig, GraphShapesConfig, linear_faces
from trainer.methods.graph_face.stage import face_distance

PHOTOS = 3
"""Photos per person; in ablations, and of skins, which are completed from the first alone, and from all."""
_PICTURE = 320
"""Pixels a side of the photos."""
_TEXTURE = 512
"""Texels a side of the product's texture."""
MEASURES = ("photo.neutral", "person.neutral", "moved", "relief", "albedo.ratio", "albedo.hidden", "other_person")
"""Those of ``person_errors`` that ablations are compared by."""
CPU = torch.device("cpu")
SEED = 91
"""Seed of people unused for training and selection in all recipes."""
PRIOR = 1e-8
"""Square metres; see ``codes_of_shape``."""
_BATCH = 8


def albedo_figures(people: int) -> dict[str, float | str]:
    """Compare completions for ``people`` held-out synthetic people. ``albedo.rules.nK`` and ``albedo.network.nK``: mean
    absolute difference of log albedo from the truth where none of K photos shows the skin of face, ears and neck;
    ``albedo.ratio.nK`` of the second to the first with the bounds of its 95 % interval. K: 1 and 3. The fit is exact in
    shape, cameras, light and mean colour; the truth is shifted by the median difference at visible texels."""
    model = harness.trained_or_none(nets.GraphAlbedoModel.load, None)
    if model is None:
        return {"albedo": NOT_TRAINED}
    if people < 2:
        raise LikenessError("usage", "--skins must be at least 2.", "Use 48.")
    source = head_people(_PICTURE, SEED, PHOTOS)
    template, size = load_template(), model.size
    atlas, skin = texture_space(template, size).skin, bare_skin(size) > 0.5
    rows: dict[int, list[list[float]]] = {1: [], PHOTOS: []}
    for index in range(people):
        batch = source.batch(range(index, index + 1), torch.device("cpu"))
        colour, true = true_albedo(source, index, 64).mean(0), true_albedo(source, index, size)
        for count, errors in rows.items():
            result = known_texture(batch, count, colour, _TEXTURE)
            better = with_learned_completion(template, result.albedo, result.coverage, model)
            made, cover = small_maps(linear_from_srgb(result.albedo), result.coverage, atlas)
            maps, _ = small_maps(linear_from_srgb(better), result.coverage, atlas)
            truth = moved_truth(true, made, cover, atlas)
            unseen = skin & (cover < UNSEEN)
            errors.append([float(np.abs(one - truth)[unseen].mean()) for one in (maps, made)])
    figures: dict[str, float | str] = {}
    for count, errors in rows.items():
        network, rules = np.array(errors).T
        figures |= {f"albedo.rules.n{count}": float(rules.mean()), f"albedo.network.n{count}": float(network.mean())}
        figures |= ratio_interval(network, rules).figures(f"albedo.ratio.n{count}")
    return figures


def _people(net: nets.GraphFaceNet, people: int) -> Iterator[GraphBatch]:
    source = GraphPeopleConfig(size=net.config.size, seed=SEED, people=people, photos=PHOTOS).build()
    yield from harness.batches(source, people, _BATCH)


@torch.no_grad()
def person_errors(net: nets.GraphFaceNet, people: Iterable[GraphBatch]) -> dict[str, np.ndarray]:
    """(P,) of the people in batches of photos; NaN where a person's photos do not determine it.

    In millimetres: ``photo.neutral``, distance of the neutral face's vertices, mean over the photos;
    ``person.neutral``, by the mean code; both also as ``.ratio`` to the mean face's; ``person.deviation``, between
    photos;
    ``moved``, of the face with expression; ``relief``, error of each vertex's offset from its neighbours.
    ``albedo.ratio``: difference of colours where the photo shows them, relative to the mean colours';
    ``albedo.hidden``: where only another photo of the person does, in colour units. ``other_person``: share of photos
    whose nearest other code is another person's.
    """
    face = torch.from_numpy(load_template().regions["face"][: len(net.mean)] > 0.5)
    around = nets.neighbour_means(load_mesh_hierarchy().levels[0])
    rows: dict[str, list[float]] = {}
    codes, names = [], []
    for batch in people:
        read = net.encoder(batch.photos.images, batch.photos.marks)
        rest, shape = net.neutral(read.identity), net.shape(read.identity, read.expression)
        truth, albedo = batch.neutral[:, : len(net.mean)], net.albedo(read.identity)
        none = face_distance(net.mean.expand_as(truth), truth, face)
        apart = (shape - batch.vertices) - spread(around, shape - batch.vertices)
        wrong, usual = (
            ((made - batch.photos.albedo).abs().mean(-1) * batch.photos.seen).sum(1)
            for made in (albedo, net.mean_albedo.expand_as(albedo))
        )
        for person in batch.person.unique():
            own = (batch.person == person).nonzero()[:, 0]
            mean = net.neutral(nets.persons_identity(read.identity[own], read.confidence[own])[None])
            photo, together = face_distance(rest[own], truth[own], face), face_distance(mean, truth[own][:1], face)
            own_mean = rest[own].mean(0, keepdim=True).expand_as(rest[own])
            for name, value in {
                "photo.neutral": 1000 * photo.mean(),
                "photo.neutral.ratio": (photo / none[own]).mean(),
                "person.neutral": 1000 * together,
                "person.neutral.ratio": together / none[own][0],
                "person.deviation": 1000 * face_distance(rest[own], own_mean, face).mean(),
                "moved": 1000 * face_distance(shape[own], batch.vertices[own], face).mean(),
                "relief": 1000 * apart[own][:, face].norm(dim=-1).mean(),
                "albedo.ratio": (wrong / usual)[own].nanmean(),
                "albedo.hidden": _hidden_error(albedo[own], batch.photos.albedo[own], batch.photos.seen[own]),
            }.items():
                rows.setdefault(name, []).append(float(value))
        codes.append(read.identity)
        names.append(batch.person)
    errors = {name: np.array(values) for name, values in rows.items()}
    return errors | {"other_person": _mistaken_shares(torch.cat(codes), torch.cat(names))}


def _hidden_error(predicted: Tensor, true: Tensor, visible: Tensor) -> float:
    """Mean difference of a person's colours (K, C, 3) at vertices that a photo does not show, from the mean true ones
    of the photos that do; NaN where all show the same."""
    shown = visible.sum(0)
    usual = (true * visible[..., None]).sum(0) / shown.clamp(min=1)[:, None]
    hidden = ~visible & (shown > 0)
    return float((predicted - usual).abs().mean(-1)[hidden].mean()) if hidden.any() else float("nan")


def _mistaken_shares(codes: Tensor, people: Tensor) -> np.ndarray:
    """(P,) share of each person's codes (N, D) whose nearest other is another person's; people (N,), each
    consecutive."""
    apart = torch.cdist(codes, codes).fill_diagonal_(float("inf"))
    wrong = (people[apart.argmin(1)] != people).float().numpy()
    return np.array([wrong[(people == person).numpy()].mean() for person in people.unique(sorted=True)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate graph``."""
    parser.add_argument("--heads", type=int, default=24, help="held-out heads of each kind for the decoders")
    parser.add_argument("--people", type=int, default=60, help="held-out synthetic people for encoder and ablations")
    parser.add_argument("--skins", type=int, default=48, help="held-out synthetic people for skin that no photo shows")
    parser.add_argument("--model", type=Path, help="folder of an exported model; default: the shipped one")
    parser.add_argument("--ablations", type=Path, help="folder of NAME/SEED/model of ablations")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float | str]:
    """Measure and print a table; ``not trained`` where there is no model."""
    model = harness.trained_or_none(nets.GraphModel.load, arguments.model)
    if model is None:
        return {"graph": NOT_TRAINED}
    if arguments.heads < 2 or arguments.people < 2:
        raise LikenessError("usage", "--heads and --people must be at least 2.", "Use 24 and 60.")
    net = model.network
    figures = decoder_figures(net, arguments.heads) | encoder_figures(net, arguments.people)
    return figures | albedo_figures(arguments.skins) | _ablations(arguments)


def _ablations(arguments: argparse.Namespace) -> dict[str, float]:
    """``ablation.*`` of the models of ablations; empty without their folder."""
    if arguments.ablations is None:
        return {}

    def errors(path: Path) -> np.ndarray:
        net = nets.GraphModel.load(path).network
        found = person_errors(net, _people(net, arguments.people))
        return np.stack([found[name] for name in MEASURES])

    return harness.ablation_figures(harness.trained_models(arguments.ablations), MEASURES, errors)


def decoder_figures(net: nets.GraphFaceNet, heads: int) -> dict[str, float | str]:
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
    figures: dict[str, float | str] = {}
    weights = torch.from_numpy(weight).float()
    for kind, targets, neutral in (("neutral", batch.neutral[:, :count], True), ("moved", batch.vertices, False)):
        rows = []
        for target in targets.numpy():
            fitted = nets.codes_of_shape(net, torch.from_numpy(target), weights, PRIOR, neutral)
            made = (fitted.shape.numpy(), linear.nearest(target, weight, PRIOR, neutral), linear.mean)
            rows.append([1000 * np.linalg.norm(one - target, axis=1)[face].mean() for one in made])
        errors = np.array(rows)  # (H, 3)
        for column, name in enumerate(("graph", "linear", "mean")):
            figures[f"{name}.{kind}"] = float(errors[:, column].mean())
        figures |= mean_interval(errors[:, 0] / errors[:, 1]).figures(f"ratio.{kind}")
    return figures


def encoder_figures(net: nets.GraphFaceNet, people: int) -> dict[str, float | str]:
    """``person_errors`` of held-out synthetic people: means with their 95 % intervals."""
    errors = person_errors(net, _people(net, people))
    return {**harness.mean_figures({name: values[np.isfinite(values)] for name, values in errors.items()})}
