"""A few small synthetic people, made once per process, for the tests of the learned face model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, fields
from functools import cache

import torch

from backend.models.learned_basis.network import LearnedBasisConfig
from trainer.engine.contracts import OptimizerConfig, SourceConfig
from trainer.losses import PerceptualConfig
from trainer.methods.learned_basis.data import FaceBatch, FacePeopleConfig
from trainer.methods.learned_basis.stage import FaceModelWeights, LearnedBasisStageConfig

CPU = torch.device("cpu")
SIZE = 32
PEOPLE = 4
SMALL_NET = LearnedBasisConfig(
    size=SIZE,
    level=0,
    nodes=60,
    identity=8,
    reflectance=4,
    expression=8,
    reflectance_on="face",
    width=8,
    stages=3,
    feature=32,
    focal=0.0,
)
KNOWN = FaceModelWeights(
    landmark=0.1,
    mean_landmark=0.02,
    lips=0.2,
    photometric=10.0,
    perceptual=0.5,
    shape=1.0,
    expression=1.0,
    pose=1.0,
    light=1.0,
    albedo=10.0,
)


@cache
def small_people() -> FaceBatch:
    """Four people, two photos each; then a fifth with one, who is neutral."""
    photos = FacePeopleConfig(size=SIZE, seed=5, photos=2).build().batch(range(PEOPLE), CPU)
    calm = FacePeopleConfig(size=SIZE, seed=6, photos=1, neutral=True).build().batch(range(1), CPU)
    return FaceBatch.concatenate([photos, calm])


def chosen_sets(batch: FaceBatch, sets: list[int], known: bool = True) -> FaceBatch:
    """Some sets of a batch, in that order."""
    rows = torch.cat([(batch.set_of == number).nonzero()[:, 0] for number in sets])
    number = torch.repeat_interleave(
        torch.arange(len(sets)), torch.tensor([int((batch.set_of == k).sum()) for k in sets])
    )
    values = {
        field.name: getattr(batch, field.name)[rows]
        for field in fields(FaceBatch)
        if field.name not in ("set_of", "truth")
    }
    truth = None
    if known:
        truth = type(batch.truth)(**{f.name: getattr(batch.truth, f.name)[rows] for f in fields(batch.truth)})
    return FaceBatch(**values, set_of=number, truth=truth)


@dataclass(frozen=True, kw_only=True)
class ReplayConfig(SourceConfig):
    """The small people again and again."""

    known: bool = True

    def build(self) -> Replay:
        return Replay(self.known)


class Replay:
    def __init__(self, known: bool) -> None:
        self.known = known

    def batch(self, indices: range, device: torch.device) -> FaceBatch:
        return chosen_sets(small_people(), [index % (PEOPLE + 1) for index in indices], self.known)


def small_stage(**changes: object) -> LearnedBasisStageConfig:
    values = {
        "steps": 30,
        "batch": PEOPLE + 1,
        "network": SMALL_NET,
        "source": ReplayConfig(),
        "weights": KNOWN,
        "start_people": PEOPLE,
        "perceptual": PerceptualConfig(),
        "optimizer": OptimizerConfig(learning_rate=3e-3, clip_norm=5.0),
    }
    return LearnedBasisStageConfig(**(values | changes))


def without(weights: FaceModelWeights, *names: str) -> FaceModelWeights:
    """Weights with some at 0."""
    return dataclasses.replace(weights, **dict.fromkeys(names, 0.0))
