"""Compare the graph face model with its ablations, all trained equally long by ``python -m trainer ablations``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backend.errors import LikenessError
from backend.geometry.mesh_hierarchy import load_mesh_hierarchy
from backend.geometry.sparse_product import spread
from backend.geometry.template import load_template
from backend.models.graph_face.apply import GraphModel
from backend.models.graph_face.layers import neighbour_means
from backend.models.graph_face.network import GraphFaceNet, persons_identity
from trainer.data.graph import GraphBatch, GraphPeopleConfig
from trainer.evaluate.metrics.intervals import ratio_interval
from trainer.recipe import WHOLE
from trainer.stages.graph_face import face_distance

RECIPE = "graph_cpu_ablations"
MEASURES = ("neutral", "person", "moved", "relief", "albedo", "albedo_hidden", "other_person")
"""Per person, in millimetres: ``neutral``, distance of the neutral face's vertices, per photo; ``person``, by the mean
code; ``moved``, of the face with expression; ``relief``, error of each vertex's offset from its neighbours. In colour
units: ``albedo``, difference of colours where the photo shows them; ``albedo_hidden``, where only another photo of the
person does. ``other_person``: share of photos whose nearest other code is another
person's."""
SEED, PHOTOS = 91, 3
_AT_ONCE = 8


@torch.no_grad()
def ablation_figures(models: Mapping[str, Sequence[Path]], people: int) -> dict[str, float | str]:
    """``ablation.NAME.MEASURE`` for each of ``models`` (folders of one network, one per seed) and of ``MEASURES``: the
    mean over seeds and over ``people`` who are in no recipe's data; ``.of_whole``, the ratio to the whole method with
    its 95 % interval over people.

    Raises
    ------
    LikenessError : there is no model of the whole method to compare with ("missing_part").
    """
    if WHOLE not in models:
        advice = "Train it with python -m trainer ablations."
        raise LikenessError("missing_part", f"Among the ablations is no model called {WHOLE!r}.", advice)
    found = {}
    for name, paths in models.items():
        nets = [GraphModel.load(path).network for path in paths]
        found[name] = np.mean([person_errors(net, _people(net, people)) for net in nets], 0)  # (MEASURES, people)
    figures: dict[str, float | str] = {}
    for name, values in sorted(found.items(), key=lambda item: item[0] != WHOLE):
        for number, measure in enumerate(MEASURES):
            key = f"ablation.{name}.{measure}"
            figures[key] = float(np.nanmean(values[number]))
            if name != WHOLE:
                figures |= ratio_interval(values[number], found[WHOLE][number]).figures(f"{key}.of_whole")
    return figures


def _people(net: GraphFaceNet, people: int) -> Iterable[GraphBatch]:
    source = GraphPeopleConfig(size=net.config.size, seed=SEED, people=people, photos=PHOTOS).build()
    for start in range(0, people, _AT_ONCE):
        yield source.batch(range(start, min(start + _AT_ONCE, people)), torch.device("cpu"))


def person_errors(net: GraphFaceNet, batches: Iterable[GraphBatch]) -> np.ndarray:
    """(MEASURES, P) of the people in batches of photos; NaN where a person's photos do not determine it."""
    template = load_template()
    face = torch.from_numpy(template.regions["face"][: len(net.mean)] > 0.5)
    around = neighbour_means(load_mesh_hierarchy().levels[0])
    rows: list[list[float]] = []
    codes, names = [], []
    for batch in batches:
        read = net.encoder(batch.photos.images, batch.photos.marks)
        rest, found = net.neutral(read.identity), net.shape(read.identity, read.expression)
        truth = batch.neutral[:, : len(net.mean)]
        wrong = (net.albedo(read.identity) - batch.photos.albedo).abs().mean(-1)
        apart = (found - batch.vertices) - spread(around, found - batch.vertices)
        relief = 1000 * apart[:, face].norm(dim=-1).mean(1)
        for person in batch.person.unique():
            own = (batch.person == person).nonzero()[:, 0]
            mean = net.neutral(persons_identity(read.identity[own], read.confidence[own])[None])
            seen = batch.photos.seen[own]
            hidden = _hidden_error(net.albedo(read.identity[own]), batch.photos.albedo[own], seen)
            rows.append(
                [
                    1000 * float(face_distance(rest[own], truth[own], face).mean()),
                    1000 * float(face_distance(mean, truth[own][:1], face)),
                    1000 * float(face_distance(found[own], batch.vertices[own], face).mean()),
                    float(relief[own].mean()),
                    float(wrong[own][seen].mean()),
                    hidden,
                ]
            )
        codes.append(read.identity)
        names.append(batch.person)
    values = np.array(rows).T
    return np.concatenate([values, _mistaken_shares(torch.cat(codes), torch.cat(names))[None]])


def _hidden_error(found: Tensor, true: Tensor, seen: Tensor) -> float:
    """Mean difference of a person's colours (K, C, 3) at vertices that a photo does not show, from the mean true ones
    of the photos that do; NaN where all show the same."""
    shown = seen.sum(0)
    usual = (true * seen[..., None]).sum(0) / shown.clamp(min=1)[:, None]
    hidden = ~seen & (shown > 0)
    return float((found - usual).abs().mean(-1)[hidden].mean()) if hidden.any() else float("nan")


def _mistaken_shares(codes: Tensor, people: Tensor) -> np.ndarray:
    """(P,) share of each person's codes (N, D) whose nearest other is another person's; people (N,), each
    consecutive."""
    apart = torch.cdist(codes, codes).fill_diagonal_(float("inf"))
    wrong = (people[apart.argmin(1)] != people).float().numpy()
    return np.array([wrong[(people == person).numpy()].mean() for person in people.unique(sorted=True)])
