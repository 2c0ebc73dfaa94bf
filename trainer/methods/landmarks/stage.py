"""Auxiliary outputs of the landmark net in training: depths and the camera's distance. They are not exported, but they
improve the landmarks' places.

Stage ``landmarks``: the net that finds points of a face's surface, trained on synthetic people.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.fitting.detector_model import OUTER_EYE_CORNERS, UPRIGHT
from backend.geometry.template import load_template
from backend.models.landmarks import (
    LANDMARKS,
    SEEN,
    WINDOW_PER_FACE,
    LandmarkGuess,
    LandmarkNet,
    LandmarkNetConfig,
    points_to_json,
)
from backend.models.registry import LANDMARK_NET
from trainer.engine.contracts import ExportedModel, Stage, StageConfig
from trainer.methods.landmarks.data import LandmarkBatch, face_scales, landmark_mirror
from trainer.methods.parsing.scenes import AugmentConfig, change_light

_LOG_DISTANCE = 1.6
"""Logarithm of a portrait's usual camera distance in sides of the window."""


@dataclass(frozen=True)
class DepthGuess:
    """Predicted depths of N pictures, in sides of the picture at the points' centroid.

    Attributes
    ----------
    depths : (N, 478) along the line of sight, away from the camera, from the points' centroid. deviation : (N, 478).
    log_distance : (N,) logarithm of the centroid's distance from the camera. distance_deviation : (N,).
    """

    depths: Tensor
    deviation: Tensor
    log_distance: Tensor
    distance_deviation: Tensor


class DepthHeads(nn.Module):
    """Predicts a ``DepthGuess`` from every ``LandmarkGuess`` of a picture."""

    def __init__(self, config: LandmarkNetConfig, mean: Tensor) -> None:
        """mean : (478,) mean depths of the points, in sides."""
        super().__init__()
        self.guess = nn.Linear(config.hidden, 2 * LANDMARKS)
        self.correct = nn.ModuleList(nn.Linear(SEEN, 2) for _ in range(config.rounds))
        self.distance = nn.Linear(config.hidden, 2)
        self.register_buffer("mean", mean.clone())
        with torch.no_grad():
            for layer in (self.guess, self.distance, *self.correct):
                layer.weight.mul_(0.1)
                layer.bias.zero_()

    def forward(self, guesses: list[LandmarkGuess]) -> list[DepthGuess]:
        """Predict one for each of the net's guesses."""
        corrections, found = torch.zeros(()), []
        units, first = self.mean.new_tensor([0.02, 1.0]), self.mean.new_tensor([0.1, 1.0])
        for number, guess in enumerate(guesses):
            if guess.seen is not None:
                corrections = corrections + units * self.correct[number - 1](guess.seen).float()
            values = first * self.guess(guess.hidden).float().view(-1, LANDMARKS, 2) + corrections
            log_distance, spread = self.distance(guess.hidden).float().unbind(-1)
            found.append(
                DepthGuess(
                    self.mean + values[..., 0],
                    0.02 * torch.exp(values[..., 1].clamp(-4.0, 3.0)),
                    _LOG_DISTANCE + log_distance,
                    0.5 * torch.exp(spread.clamp(-3.0, 2.0)),
                )
            )
        return found


MESH = 468
"""Number of landmarks without the irises; they determine the window."""


@dataclass(frozen=True, kw_only=True)
class LandmarkWeights:
    """Weights of the loss terms."""

    likelihood: float = 1.0
    """Negative log-likelihood of the errors, with the predicted standard deviations."""
    distance: float = 0.5
    """Mean distance in per cent of the window's side, independent of the predicted deviations."""
    depth: float = 0.3
    """Negative log-likelihood of the depths."""
    camera: float = 0.1
    """Negative log-likelihood of the camera's distance."""


@dataclass(frozen=True, kw_only=True)
class LandmarkStageConfig(StageConfig):
    """Trains ``backend.models.landmarks.LandmarkNet``."""

    network: LandmarkNetConfig = field(default_factory=LandmarkNetConfig)
    """Size of the net."""
    weights: LandmarkWeights = field(default_factory=LandmarkWeights)
    """Weights of the loss terms."""
    light: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes of colour, sharpness and noise; its geometric transforms are not used."""
    turn_degrees: float = 4.0
    """Standard deviation of the window's rotation, about the error of the first window's landmarks."""
    scale: float = 0.05
    """Standard deviation of the logarithm of the window's size."""
    shift: float = 0.025
    """Standard deviation of the window's shift, in its sides."""
    covered: float = 0.2
    """Probability that a patch of the picture is covered by flat colour."""

    def build(self, device: torch.device) -> LandmarkStage:
        """See ``StageConfig``."""
        return LandmarkStage(self, device)


class LandmarkStage(Stage):
    """See ``LandmarkStageConfig``."""

    SUMMARY: ClassVar[str] = (
        "Positions of 478 points of a face's surface in a picture, hidden ones included, each with a standard "
        "deviation. Input: the upright square window around a face; output: positions in units of the window's side."
    )
    LIMITS: ClassVar[str] = (
        "Made for one detected face: the window is 1.25 times the larger extent of its landmarks. Trained on "
        "synthetic people only. On covered parts of a face it guesses, with large deviations."
    )

    def __init__(self, config: LandmarkStageConfig, device: torch.device) -> None:
        self.config = config
        mean = mean_places()
        heads = DepthHeads(config.network, mean[:, 2])
        self.modules = nn.ModuleDict({"net": LandmarkNet(config.network, mean[:, :2]), "depths": heads}).to(device)
        self._partners = torch.from_numpy(landmark_mirror()).to(device)

    def step(self, batch: LandmarkBatch, fraction: float) -> Mapping[str, Tensor]:
        """Compute ``likelihood``, ``distance``, ``depth``, ``camera``: means over the guesses, each with twice the
        weight of the previous one."""
        config = self.config
        moves = self._random_moves(len(batch.images), batch.images.device)
        images, truth, side = windows(batch, config.network.size, moves)
        depths, log_distance = batch.depths / side[:, None], torch.log(batch.distance / side)
        flip = torch.rand(len(images), device=images.device) < 0.5
        images = torch.where(flip[:, None, None, None], images.flip(-1), images)
        mirrored = truth[:, self._partners] * truth.new_tensor([-1.0, 1.0]) + truth.new_tensor([1.0, 0.0])
        truth = torch.where(flip[:, None, None], mirrored, truth)
        depths = torch.where(flip[:, None], depths[:, self._partners], depths)
        guesses = self.modules["net"](_occluded(change_light(images, config.light), config.covered))
        shares = torch.tensor([2.0**k for k in range(len(guesses))])
        terms = {"likelihood": 0.0, "distance": 0.0, "depth": 0.0, "camera": 0.0}
        beside = self.modules["depths"](guesses)
        for share, guess, deep in zip((shares / shares.sum()).tolist(), guesses, beside, strict=True):
            apart = (guess.places - truth).square().sum(-1)
            likelihood = 2.0 * guess.deviation.log() + 0.5 * apart / guess.deviation.square()
            terms["likelihood"] += share * likelihood.mean()
            terms["distance"] += share * 100.0 * (apart + 1e-8).sqrt().mean()
            terms["depth"] += share * _negative_log_likelihood(deep.depths - depths, deep.deviation)
            terms["camera"] += share * _negative_log_likelihood(
                deep.log_distance - log_distance, deep.distance_deviation
            )
        return terms

    def metrics(self, batches: Iterable[LandmarkBatch]) -> Mapping[str, float]:
        """``percent``: mean distance in per cent of ``initial_pose.face_scale``; ``percent.first``: before corrections;
        ``percent.shape``: without the picture's mean error; ``surprise``: mean squared error relative to the predicted
        variance; ``depth``: mean error of the depths in the same per cent; ``camera``: mean error of the distance's
        logarithm."""
        rows = []
        for batch in batches:
            images, truth, side = windows(batch, self.config.network.size)
            guesses = self.modules["net"](images)
            scale = face_scales(truth)
            first, last = (100.0 * (guess.places - truth) / scale[:, None, None] for guess in (guesses[0], guesses[-1]))
            alone = last - last.mean(1, keepdim=True)
            claimed = (guesses[-1].places - truth).square().sum(-1) / (2.0 * guesses[-1].deviation.square())
            beside = self.modules["depths"](guesses)[-1]
            deep = 100.0 * (beside.depths - batch.depths / side[:, None]).abs() / scale[:, None]
            far = (beside.log_distance - torch.log(batch.distance / side)).abs()[:, None].expand_as(deep)
            parts = [last.norm(dim=-1), first.norm(dim=-1), alone.norm(dim=-1), claimed, deep, far]
            rows.append(torch.stack(parts).mean((1, 2)))
        names = ("percent", "percent.first", "percent.shape", "surprise", "depth", "camera")
        return dict(zip(names, torch.stack(rows).mean(0).tolist(), strict=True))

    def pictures(self, batch: LandmarkBatch) -> Mapping[str, Tensor]:
        """``landmarks``: predicted points in white on the windows, true ones in black below them."""
        images, truth, _ = windows(batch, self.config.network.size)
        found = self.modules["net"](images)[-1].places
        return {"landmarks": torch.cat([_drawn(images, found, 1.0), _drawn(images, truth, 0.0)], 1)}

    def export(self) -> ExportedModel:
        """The net, for ``backend.models.landmarks``."""
        state = self.modules["net"].state_dict()
        tensors = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
        config = self.config.network.to_json() | points_to_json(load_template().landmarks478)
        return ExportedModel(LANDMARK_NET.name, config, tensors, self.SUMMARY, self.LIMITS)

    def _random_moves(self, count: int, device: torch.device) -> Tensor:
        """Draw moves (N, 4) for ``windows``."""
        config, normal = self.config, torch.randn(count, 4, device=device)
        turn, size = math.radians(config.turn_degrees) * normal[:, :1], torch.exp(config.scale * normal[:, 1:2])
        return torch.cat([turn, size, config.shift * normal[:, 2:]], 1)


def mean_places() -> Tensor:
    """(478, 3) landmarks of the mean face in distant frontal view: their places in their window, and their depths, in
    sides."""
    template = load_template()
    points = torch.from_numpy(template.landmarks478.positions(template.vertices)).float()
    points = points * torch.tensor([1.0, -1.0, -1.0])
    low, high = points[:MESH].amin(0), points[:MESH].amax(0)
    places = (points - (low + high) / 2) / (WINDOW_PER_FACE * (high - low)[:2].max())
    return torch.cat([places[:, :2] + 0.5, (places - places.mean(0))[:, 2:]], 1)


def _negative_log_likelihood(errors: Tensor, deviation: Tensor) -> Tensor:
    """Mean negative log-likelihood of normal errors with the predicted standard deviations, up to a constant."""
    return (deviation.log() + 0.5 * (errors / deviation).square()).mean()


def windows(batch: LandmarkBatch, size: int, moves: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Cut windows (N, 3, size, size) around true landmarks; also return the landmarks (N, 478, 2) in the windows' sides
    and the sides (N,) in stored pixels.

    The windows are those of ``photos.faces.landmarks.landmark_window``, changed by ``moves`` (N, 4): rotation in
    radians,
    factor of the side, shift in sides along the window's axes."""
    marks, stored = batch.landmarks, batch.images.shape[-1]
    line = marks[:, OUTER_EYE_CORNERS[1]] - marks[:, OUTER_EYE_CORNERS[0]]
    down = marks[:, UPRIGHT[1]] - marks[:, UPRIGHT[0]]
    angle = torch.atan2(line[:, 1] - down[:, 0], line[:, 0] + down[:, 1])
    inward = _rotations(angle)  # (N, 2, 2) from the picture's axes to the window's
    turned = torch.einsum("nij,nlj->nli", inward, marks[:, :MESH])
    low, high = turned.amin(1), turned.amax(1)
    middle = torch.einsum("nji,nj->ni", inward, (low + high) / 2)
    side = WINDOW_PER_FACE * (high - low).amax(1)
    if moves is not None:
        middle = middle + torch.einsum("nji,nj->ni", inward, moves[:, 2:]) * side[:, None]
        side = side * moves[:, 1]
        inward = _rotations(angle + moves[:, 0])
    steps = (torch.arange(size, device=marks.device) + 0.5) / size - 0.5
    cells = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)  # (size, size, 2)
    grid = torch.einsum("nji,hwj->nhwi", inward, cells) * side[:, None, None, None] + middle[:, None, None]
    images = functional.grid_sample(
        batch.images, 2.0 * grid / stored - 1.0, mode="bilinear", padding_mode="border", align_corners=False
    )
    places = torch.einsum("nij,nlj->nli", inward, marks - middle[:, None]) / side[:, None, None] + 0.5
    return images, places, side


def _rotations(angle: Tensor) -> Tensor:
    """(N, 2, 2) with the axes of windows rotated by ``angle`` (N,) as rows."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], 1)


def _occluded(images: Tensor, share: float) -> Tensor:
    """Cover ``share`` of pictures (N, 3, S, S) partly by a rectangle of flat colour."""
    count, device = len(images), images.device
    middle, half = torch.rand(count, 2, device=device), 0.05 + 0.15 * torch.rand(count, 2, device=device)
    steps = (torch.arange(images.shape[-1], device=device) + 0.5) / images.shape[-1]
    near = (steps - middle[..., None]).abs() < half[..., None]  # (N, 2, S)
    patch = near[:, 0, None, :] & near[:, 1, :, None] & (torch.rand(count, device=device) < share)[:, None, None]
    return torch.where(patch[:, None], torch.rand(count, 3, 1, 1, device=device), images)


def _drawn(images: Tensor, places: Tensor, tone: float) -> Tensor:
    """(3, S, N S) pictures side by side with points (N, 478, 2) in one tone."""
    drawn, side = images.float().clone(), images.shape[-1]
    cells = (places * side).long().clamp(0, side - 1)
    for picture, cell in zip(drawn, cells, strict=True):
        picture[:, cell[:, 1], cell[:, 0]] = tone
    return torch.cat(list(drawn), 2)
