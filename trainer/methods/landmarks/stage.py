"""Stage ``landmarks``: the net that finds points of a face's surface, with outputs that help it in training only
(depths, the camera's distance, points all over the head), and its errors on unseen people (``python -m trainer
landmark-errors``).
"""

import argparse
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.fitting import detector_model
from backend.geometry.template import LandmarkEmbedding, load_template
from backend.models import landmarks
from backend.models.registry import LANDMARK_NET
from backend.photos.faces import mean_landmarks
from backend.rendering.camera import Camera
from trainer.engine.contracts import ExportedModel, Stage, StageConfig
from trainer.methods.landmarks import data
from trainer.methods.parsing.scenes import AugmentConfig, change_light
from trainer.people.source import PeopleBatch, PeopleConfig

MODE_COUNT = 16
LARGEST_PERCENT = 8.0
"""Correlated errors of the landmarks, and the largest error that counts, per cent of the face's scale."""
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

    def __init__(self, config: landmarks.LandmarkNetConfig, mean: Tensor) -> None:
        """mean : (478,) mean depths of the points, in sides."""
        super().__init__()
        self.guess = nn.Linear(config.hidden, 2 * landmarks.LANDMARKS)
        self.correct = nn.ModuleList(nn.Linear(landmarks.SEEN, 2) for _ in range(config.rounds))
        self.distance = nn.Linear(config.hidden, 2)
        self.register_buffer("mean", mean.clone())
        with torch.no_grad():
            for layer in (self.guess, self.distance, *self.correct):
                layer.weight.mul_(0.1)
                layer.bias.zero_()

    def forward(self, guesses: list[landmarks.LandmarkGuess]) -> list[DepthGuess]:
        """Predict one for each of the net's guesses."""
        corrections, predictions = torch.zeros(()), []
        units, first = self.mean.new_tensor([0.02, 1.0]), self.mean.new_tensor([0.1, 1.0])
        for number, guess in enumerate(guesses):
            if guess.seen is not None:
                corrections = corrections + units * self.correct[number - 1](guess.seen).float()
            values = first * self.guess(guess.hidden).float().view(-1, landmarks.LANDMARKS, 2) + corrections
            log_distance, spread = self.distance(guess.hidden).float().unbind(-1)
            predictions.append(
                DepthGuess(
                    self.mean + values[..., 0],
                    0.02 * torch.exp(values[..., 1].clamp(-4.0, 3.0)),
                    _LOG_DISTANCE + log_distance,
                    0.5 * torch.exp(spread.clamp(-3.0, 2.0)),
                )
            )
        return predictions


class SurfaceHead(nn.Module):
    """Predicts points all over the head, with their depths, from every ``LandmarkGuess`` of a picture."""

    def __init__(self, config: landmarks.LandmarkNetConfig, mean: Tensor) -> None:
        """mean : (P, 3) mean places and depths of the points, in sides."""
        super().__init__()
        self.guess = nn.Linear(config.hidden, 4 * len(mean))
        self.register_buffer("mean", mean.clone())
        with torch.no_grad():
            self.guess.weight.mul_(0.1)
            self.guess.bias.zero_()

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(N, P, 3) places and depths, and (N, P) standard deviations along each axis, in sides, from hidden features
        (N, H)."""
        values = self.guess(hidden).float().view(len(hidden), -1, 4)
        return self.mean + 0.1 * values[..., :3], 0.02 * torch.exp(values[..., 3].clamp(-4.0, 3.0))


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
    surface: float = 0.2
    """Negative log-likelihood of points all over the head."""


@dataclass(frozen=True, kw_only=True)
class LandmarkStageConfig(StageConfig):
    """Trains ``backend.models.landmarks.LandmarkNet``."""

    network: landmarks.LandmarkNetConfig = field(default_factory=landmarks.LandmarkNetConfig)
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

    def build(self, device: torch.device) -> Stage:
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
        mean = mean_positions()
        heads = DepthHeads(config.network, mean[:, 2])
        surface = SurfaceHead(config.network, mean_surface())
        net = landmarks.LandmarkNet(config.network, mean[:, :2])
        self.modules = nn.ModuleDict({"net": net, "depths": heads, "surface": surface}).to(device)
        self._partners = torch.from_numpy(data.landmark_mirror()).to(device)
        self._surface_partners = torch.from_numpy(surface_mirror()).to(device)

    def step(self, batch: data.LandmarkBatch, fraction: float) -> Mapping[str, Tensor]:
        """Compute ``likelihood``, ``distance``, ``depth``, ``camera``, ``surface``: means over the guesses, each with
        twice the weight of the previous one."""
        config = self.config
        moves = self._random_moves(len(batch.images), batch.images.device)
        images, truth, side, surface = windows(batch, config.network.size, moves)
        depths, log_distance = batch.depths / side[:, None], torch.log(batch.distance / side)
        flip = torch.rand(len(images), device=images.device) < 0.5
        images = torch.where(flip[:, None, None, None], images.flip(-1), images)
        mirrored = truth[:, self._partners] * truth.new_tensor([-1.0, 1.0]) + truth.new_tensor([1.0, 0.0])
        truth = torch.where(flip[:, None, None], mirrored, truth)
        depths = torch.where(flip[:, None], depths[:, self._partners], depths)
        other = surface[:, self._surface_partners] * truth.new_tensor([-1.0, 1.0, 1.0])
        surface = torch.where(flip[:, None, None], other + truth.new_tensor([1.0, 0.0, 0.0]), surface)
        images = _occluded(change_light(images, config.light), config.covered)
        guesses = self.modules["net"](images)
        shares = torch.tensor([2.0**k for k in range(len(guesses))])
        terms = {"likelihood": 0.0, "distance": 0.0, "depth": 0.0, "camera": 0.0, "surface": 0.0}
        depth_guess = self.modules["depths"](guesses)
        for share, guess, deep in zip((shares / shares.sum()).tolist(), guesses, depth_guess, strict=True):
            apart = (guess.places - truth).square().sum(-1)
            likelihood = 2.0 * guess.deviation.log() + 0.5 * apart / guess.deviation.square()
            terms["likelihood"] += share * likelihood.mean()
            terms["distance"] += share * 100.0 * (apart + 1e-8).sqrt().mean()
            terms["depth"] += share * _negative_log_likelihood(deep.depths - depths, deep.deviation)
            off = deep.log_distance - log_distance
            terms["camera"] += share * _negative_log_likelihood(off, deep.distance_deviation)
            points, deviation = self.modules["surface"](guess.hidden)
            apart = (points - surface).square().sum(-1)
            terms["surface"] += share * (3.0 * deviation.log() + 0.5 * apart / deviation.square()).mean()
        return terms

    def metrics(self, batches: Iterable[data.LandmarkBatch]) -> Mapping[str, float]:
        """``percent``: mean distance in per cent of ``detector_model.face_scale``; ``percent.median``: its median;
        ``percent.first``: before corrections;
        ``percent.shape``: without the picture's mean error; ``surprise``: mean squared error relative to the predicted
        variance; ``depth``: mean error of the depths in the same per cent; ``camera``: mean error of the distance's
        logarithm."""
        rows = []
        for batch in batches:
            images, truth, side, _ = windows(batch, self.config.network.size)
            guesses = self.modules["net"](images)
            scale = data.face_scales(truth)
            first, last = (100.0 * (guess.places - truth) / scale[:, None, None] for guess in (guesses[0], guesses[-1]))
            alone = last - last.mean(1, keepdim=True)
            claimed = (guesses[-1].places - truth).square().sum(-1) / (2.0 * guesses[-1].deviation.square())
            depths = self.modules["depths"](guesses)[-1]
            deep = 100.0 * (depths.depths - batch.depths / side[:, None]).abs() / scale[:, None]
            far = (depths.log_distance - torch.log(batch.distance / side)).abs()[:, None].expand_as(deep)
            rows.append(torch.stack([last.norm(dim=-1), first.norm(dim=-1), alone.norm(dim=-1), claimed, deep, far]))
        names = ("percent", "percent.first", "percent.shape", "surprise", "depth", "camera")
        values = torch.cat(rows, 1)
        figures = dict(zip(names, values.mean((1, 2)).tolist(), strict=True))
        return figures | {"percent.median": float(values[0].median())}

    def export(self) -> ExportedModel:
        """The net, for ``backend.models.landmarks``."""
        state = self.modules["net"].state_dict()
        tensors = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
        config = self.config.network.to_json() | landmarks.points_to_json(load_template().landmarks478)
        return ExportedModel(LANDMARK_NET.name, config, tensors, self.SUMMARY, self.LIMITS)

    def _random_moves(self, count: int, device: torch.device) -> Tensor:
        """Draw moves (N, 4) for ``windows``."""
        config, normal = self.config, torch.randn(count, 4, device=device)
        turn, size = math.radians(config.turn_degrees) * normal[:, :1], torch.exp(config.scale * normal[:, 1:2])
        return torch.cat([turn, size, config.shift * normal[:, 2:]], 1)


def mean_positions() -> Tensor:
    """(478, 3) landmarks of the mean face in distant frontal view: their places in their window, and their depths, in
    sides."""
    template = load_template()
    return _in_mean_window(template.landmarks478.positions(template.vertices))


def mean_surface() -> Tensor:
    """(``SURFACE``, 3) the same of ``surface_points``."""
    return _in_mean_window(load_template().vertices[data.surface_points()])


@cache
def surface_mirror() -> np.ndarray:
    """(``SURFACE``,) the place of each one's mirror image among ``surface_points``."""
    points = data.surface_points()
    return (load_template().mirror[points][:, None] == points[None]).argmax(1)


def _in_mean_window(points: np.ndarray) -> Tensor:
    """(P, 3) places and depths of points of the mean face (P, 3), metres, in its window's sides."""
    template = load_template()
    axes = np.array([1.0, -1.0, -1.0])
    marks = template.landmarks478.positions(template.vertices) * axes
    low, high = marks[:MESH].min(0), marks[:MESH].max(0)
    side = landmarks.WINDOW_PER_FACE * (high - low)[:2].max()
    origin = np.append((low + high)[:2] / 2, marks[:, 2].mean())
    return torch.from_numpy((points * axes - origin) / side + np.array([0.5, 0.5, 0.0])).float()


def _negative_log_likelihood(errors: Tensor, deviation: Tensor) -> Tensor:
    """Mean negative log-likelihood of normal errors with the predicted standard deviations, up to a constant."""
    return (deviation.log() + 0.5 * (errors / deviation).square()).mean()


def windows(batch: data.LandmarkBatch, size: int, moves: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cut windows (N, 3, size, size) around true landmarks; also return the landmarks (N, 478, 2) in the windows'
    sides, the sides (N,) in stored pixels, and the surface's points (N, P, 3) with their depths, in sides.

    The windows are those of ``photos.faces.landmarks.landmark_window``, changed by ``moves`` (N, 4): rotation in
    radians,
    factor of the side, shift in sides along the window's axes. Always in float32: bfloat16 rounds positions to a
    quarter of a pixel or more."""
    with torch.autocast(batch.images.device.type, enabled=False):
        return _windows(batch, size, moves)


def _windows(batch: data.LandmarkBatch, size: int, moves: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    marks, stored = batch.landmarks, batch.images.shape[-1]
    line = marks[:, detector_model.OUTER_EYE_CORNERS[1]] - marks[:, detector_model.OUTER_EYE_CORNERS[0]]
    down = marks[:, detector_model.UPRIGHT[1]] - marks[:, detector_model.UPRIGHT[0]]
    angle = torch.atan2(line[:, 1] - down[:, 0], line[:, 0] + down[:, 1])
    inward = _rotations(angle)  # (N, 2, 2) from the picture's axes to the window's
    turned = torch.einsum("nij,nlj->nli", inward, marks[:, :MESH])
    low, high = turned.amin(1), turned.amax(1)
    middle = torch.einsum("nji,nj->ni", inward, (low + high) / 2)
    side = landmarks.WINDOW_PER_FACE * (high - low).amax(1)
    if moves is not None:
        middle = middle + torch.einsum("nji,nj->ni", inward, moves[:, 2:]) * side[:, None]
        side = side * moves[:, 1]
        inward = _rotations(angle + moves[:, 0])
    steps = (torch.arange(size, device=marks.device) + 0.5) / size - 0.5
    cells = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)  # (size, size, 2)
    grid = torch.einsum("nji,hwj->nhwi", inward, cells) * side[:, None, None, None] + middle[:, None, None]
    grid = 2.0 * grid / stored - 1.0
    images = functional.grid_sample(batch.images, grid, padding_mode="border", align_corners=False)

    def in_window(points: Tensor) -> Tensor:
        return torch.einsum("nij,nlj->nli", inward, points - middle[:, None]) / side[:, None, None] + 0.5

    surface = torch.cat([in_window(batch.surface[..., :2]), batch.surface[..., 2:] / side[:, None, None]], -1)
    return images, in_window(marks), side, surface


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


SEED = 44
SIZE = 256
PEOPLE_AT_ONCE = 20
SHARE_RIDGE = 0.5


@dataclass(frozen=True)
class SurfaceErrors:
    """Errors in P pictures, in per cent of ``face_scale``, in the head's upright picture axes.

    Attributes
    ----------
    errors : (P, 478, 2) predicted minus true. claimed : (P, 478) standard deviations that the net predicts.
    detector : (P, 478, 2) errors of the detector's landmarks.
    person : (P, 478, 2) true landmarks minus those of the mean face with the same expression and camera.
    placed : (P, 478, 2) errors of ``inside_by_net`` from the template's landmarks. views : (P, 8) ``view_features``.
    """

    errors: np.ndarray
    claimed: np.ndarray
    detector: np.ndarray
    person: np.ndarray
    placed: np.ndarray
    views: np.ndarray


def surface_errors(
    landmarker: landmarks.SurfaceLandmarker, points: LandmarkEmbedding, count: int, seed: int = SEED
) -> SurfaceErrors:
    """Errors on ``count`` synthetic people, with windows found as in the photo stage; points : the net's embedding."""
    people = PeopleConfig(size=SIZE, framing="roomy", seed=seed).build()
    rows = []
    for first in range(0, count, PEOPLE_AT_ONCE):
        batch = people.batch(range(first, min(first + PEOPLE_AT_ONCE, count)), torch.device("cpu"))
        found = (_errors(landmarker, points, batch, number) for number in range(len(batch.images)))
        rows += [row for row in found if row is not None]
    return SurfaceErrors(*(np.stack(column) for column in zip(*rows, strict=True)))


def _errors(
    landmarker: landmarks.SurfaceLandmarker, points: LandmarkEmbedding, batch: PeopleBatch, number: int
) -> tuple[np.ndarray, ...] | None:
    """A row of ``SurfaceErrors``; None if the detector finds no face."""
    pixels = np.ascontiguousarray((batch.images[number].permute(1, 2, 0).numpy() * 255.0 + 0.5).astype(np.uint8))
    intrinsics, pose = (of[number].numpy().astype(np.float64) for of in (batch.intrinsics, batch.camera_from_head))
    camera = Camera(intrinsics, pose, pixels.shape[1::-1])
    true = camera.project(points.positions(batch.vertices[number].numpy().astype(np.float64)))[:, :2]
    detected = data.landmarks_in_box(pixels, true)
    if detected is None:
        return None
    guess = landmarker.find(pixels, detected)
    mean_face = camera.project(_mean_face_landmarks(points, batch, number))[:, :2]
    places = load_template().landmarks478.positions(batch.vertices[number].numpy().astype(np.float64))
    towards = camera.centre() - places.mean(0)
    yaw, pitch, upright = detector_model.turn_of(pose[:3, :3], towards)
    placed = landmarks.inside_by_net(detected, guess)[:, :2] - camera.project(places)[:, :2]
    percent = 100.0 / detector_model.face_scale(true)
    return (
        percent * (guess.positions - true) @ upright,
        percent * guess.deviation,
        percent * (detected[:, :2] - true) @ upright,
        percent * (true - mean_face) @ upright,
        percent * placed @ upright,
        detector_model.view_features(yaw, pitch, float(np.linalg.norm(towards))),
    )


def _mean_face_landmarks(points: LandmarkEmbedding, batch: PeopleBatch, number: int) -> np.ndarray:
    """(478, 3) landmarks of the mean face with this picture's expression, head frame, metres."""
    moved = (batch.vertices[number] - batch.neutral[number]).numpy().astype(np.float64)
    return points.positions(load_template().vertices + moved)


def shown_share(errors: np.ndarray, person: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(478,) share of a person's deviation ``person`` (P, 478, 2) that landmarks with ``errors`` (P, 478, 2) show.

    Scale, translation and rotation are removed, because a pose explains them; ``where`` (478, 2) are the mean face's
    landmarks. Least squares per landmark, with a ridge (``SHARE_RIDGE`` of the mean square) towards the common share.
    """
    errors, person = (without_similarity(one, where) for one in (errors, person))
    products, squares = (errors * person).sum((0, 2)), (person**2).sum((0, 2))
    common = products.sum() / squares.sum()
    ridge = SHARE_RIDGE * squares.mean()
    return 1.0 + (products + ridge * common) / (squares + ridge)


def without_similarity(fields: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Displacements (P, L, 2) at places (L, 2) without their least-squares translation, scaling and rotation."""
    x, y = (where - where.mean(0)).T
    one, none = np.ones_like(x), np.zeros_like(x)
    basis = np.stack(
        [np.stack([one, none], -1), np.stack([none, one], -1), np.stack([x, y], -1), np.stack([-y, x], -1)]
    )
    directions = np.linalg.qr(basis.reshape(4, -1).T)[0]
    flat = fields.reshape(len(fields), -1)
    return (flat - flat @ directions @ directions.T).reshape(fields.shape)


def correlated_errors(errors: np.ndarray, mode_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components (mode_count, L, 2) of errors (P, L, 2), each of one standard deviation, and the standard
    deviation (L,) per axis of the residuals."""
    flat = errors.reshape(len(errors), -1)
    _, strengths, directions = np.linalg.svd(flat, full_matrices=False)
    modes = directions[:mode_count] * strengths[:mode_count, None] / np.sqrt(len(flat))
    rest = flat - flat @ directions[:mode_count].T @ directions[:mode_count]
    # The modes explain more of the pictures they were fitted to than of new ones.
    freedom = 1.0 - 2.0 * mode_count / len(flat)
    deviation = np.sqrt((rest.reshape(errors.shape) ** 2).mean((0, 2)) / max(freedom, 0.2))
    return modes.reshape(mode_count, *errors.shape[1:]), deviation


def fit_surface_model(measured: SurfaceErrors, mode_count: int = MODE_COUNT) -> detector_model.DetectorModel:
    """Fit correlated errors, and factors on the claimed deviations for the uncorrelated rest.

    There is no bias by view, because the net was trained on such people."""
    partners = mean_landmarks().mirror
    errors = np.clip(measured.errors, -LARGEST_PERCENT, LARGEST_PERCENT)
    both = np.concatenate([errors, errors[:, partners] * [-1.0, 1.0]])
    modes, left = correlated_errors(both, mode_count)
    claimed = np.sqrt((np.concatenate([measured.claimed, measured.claimed[:, partners]]) ** 2).mean(0))
    shown = shown_share(measured.errors, measured.person, mean_landmarks().points[:, :2])
    shown = 0.5 * (shown + shown[partners])
    return detector_model.DetectorModel(np.zeros((8, *both.shape[1:])), modes, left / claimed, shown)


RIDGE, OUTLIER_PERCENT, LEAST_PERCENT = 2.0, 2.5, 0.4
"""Pictures without a bias that each landmark's regression begins with; error at which a picture counts half; least
deviation, because some pictures are alike."""


def fit_detector_model(measured: SurfaceErrors, mode_count: int = MODE_COUNT) -> detector_model.DetectorModel:
    """Fit the bias of the photo stage's landmarks by view, robustly, then correlated errors and the rest."""
    partners, mirrored = mean_landmarks().mirror, np.array([1, -1, 1, 1, -1, 1, -1, 1])
    errors = measured.placed - np.median(measured.placed, axis=1, keepdims=True)
    errors = np.concatenate([errors, errors[:, partners] * [-1.0, 1.0]])
    views, left = np.concatenate([measured.views, measured.views * mirrored]), np.zeros_like(errors)
    for _ in range(4):
        weights = 1.0 / (1.0 + (left**2).sum(-1) / OUTLIER_PERCENT**2)
        system = np.einsum("pi,pl,pj->lij", views, weights, views) + RIDGE * np.eye(views.shape[1])
        bias = np.linalg.solve(system, np.einsum("pi,pl,plc->lic", views, weights, errors)).transpose(1, 0, 2)
        left = errors - np.tensordot(views, bias, 1)
    modes, deviation = correlated_errors(np.clip(left, -LARGEST_PERCENT, LARGEST_PERCENT), mode_count)
    return detector_model.DetectorModel(bias, modes, np.maximum(deviation, LEAST_PERCENT), np.ones(len(deviation)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m trainer landmark-errors``."""
    parser.add_argument("--people", type=int, default=600, help="synthetic people, one picture each")
    parser.add_argument("--model", type=Path, help="folder of an exported landmark net; default: the shipped one")
    parser.add_argument("--out", type=Path, default=detector_model.SURFACE_ERRORS_PATH, help="file to write")
    parser.add_argument("--detector", type=Path, default=detector_model.DETECTOR_PATH, help="the same of the detector")


def run(arguments: argparse.Namespace) -> int:
    """Measure the errors, write the model and print the figures."""
    landmarker = landmarks.SurfaceLandmarker.load(arguments.model)
    measured = surface_errors(landmarker, landmarks.net_points(arguments.model), arguments.people)
    detector_model.save_detector_model(fit_surface_model(measured), arguments.out, landmarker.version)
    detector_model.save_detector_model(fit_detector_model(measured), arguments.detector)
    for name, errors in (("landmark net", measured.errors), ("detector", measured.detector)):
        alone = errors - np.median(errors, axis=1, keepdims=True)
        median, shape = (float(np.median(np.linalg.norm(e, axis=-1))) for e in (errors, alone))
        share = shown_share(errors, measured.person, mean_landmarks().points[:, :2])
        print(f"{name}: shows {np.median(share):.2f} of a person (landmarks: {np.percentile(share, [5, 95])})")
        print(f"{name}: median error {median:.2f} % of the face scale, {shape:.2f} % without the common shift")
    return 0
