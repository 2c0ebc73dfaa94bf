"""Upper bound for face models of living people: a model that knows the non-linear soft tissue exactly, in two codes."""

from __future__ import annotations

import numpy as np
import torch

from backend.geometry.template import load_template
from trainer.data.graph.linear import PEOPLE, SEED, LinearFaces, components
from trainer.data.graph.living import living_people
from trainer.data.living import LivingFaces
from trainer.data.people.surface import PeopleSurface
from trainer.evaluate.metrics.intervals import mean_interval

_AT_ONCE = 50


@torch.no_grad()
def known_tissue_figures(codes: int, seed: int, heads: int, prior: float, people: int = PEOPLE) -> dict[str, float]:
    """``known_tissue.neutral``: mean distance of the face's vertices, millimetres, of ``heads`` held-out living people
    from the nearest face of a model with ``codes`` codes. Two of them give the soft tissue exactly; the others are
    principal components of the bones. ``known_tissue.ratio``: ratio to the linear model of whole faces, with its 95 %
    interval.

    seed : of the held-out people. prior : as in ``decoder_figures``. people : number from which the components are
    computed.
    """
    template = load_template()
    count = template.head.vertex_stop
    faces = LivingFaces(PeopleSurface(template, torch.device("cpu")))
    bones, wholes = (np.empty((people, count, 3), np.float32) for _ in range(2))
    for start in range(0, people, _AT_ONCE):
        some = living_people(SEED, range(start, min(start + _AT_ONCE, people)))
        bones[start : start + len(some)] = faces.bones(some)[:, :count].numpy()
        wholes[start : start + len(some)] = faces.neutral(some)[:, :count].numpy()
    mean = template.vertices[:count]
    nothing = np.zeros((0, count, 3), np.float32)
    linear = LinearFaces(mean, components(wholes - mean, codes), nothing)
    bare = LinearFaces(mean, components(bones - mean, codes - 2), nothing)
    weight = template.regions["face"][:count].astype(np.float64)
    held_out = living_people(seed, range(heads))
    rows = []
    for bone, whole in zip(faces.bones(held_out), faces.neutral(held_out), strict=True):
        bone, whole = bone[:count].numpy(), whole[:count].numpy()
        wrong = (
            bare.nearest(bone, weight, prior, True) - bone,
            linear.nearest(whole, weight, prior, True) - whole,
        )
        rows.append([1000 * np.linalg.norm(one, axis=1)[weight > 0.5].mean() for one in wrong])
    known, usual = np.array(rows).T
    return {
        "known_tissue.neutral": float(known.mean()),
        **mean_interval(known / usual).figures("known_tissue.ratio"),
    }
