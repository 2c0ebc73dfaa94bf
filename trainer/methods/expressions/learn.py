"""Train the reader of expressions and head poses on a table of observed pictures; write it to assets/expressions."""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from backend.expression import reading
from backend.geometry.template import load_template
from backend.models.landmarks import SurfaceLandmarker, net_points
from protocol.names import ARKIT_NAMES, LIDS
from trainer.engine.disk_cache import cache_folder
from trainer.methods.expressions.observe import HARD_NUMBERS, KEPT_NUMBERS, Observed

OTHER_HEAD = 0.35
"""Error of an estimated neutral head, in standard deviations of the identity modes."""
COMPONENTS = {"surface": 130, "eye": 50, "mouth": 50, "face": 60, "colours": 30, "impression": 150}
FLOOR = 0.05
"""Added to every component's standard deviation before whitening, as a share of the largest one, so that small
components are not amplified too much."""
BLINKS = np.array([name.startswith("eyeBlink") for name in ARKIT_NAMES])


@dataclass(frozen=True)
class FeatureTable:
    """N rows of training data. Every picture gives four: plain and mirrored, each with the true neutral head and with
    an estimated one.

    Attributes
    ----------
    person : (N,). plain : (N, P). long : by ``BASES``, (N, R, D) (R = 2 eyes, else 1).
    weights : (N, 52). turn : (N, 3) radians, rotation vector in the head's axes that takes ``FrontalisedFace.rotation``
        to the true rotation relative to the line of sight.
    plainly : (N,) bool, rows as in the product: not mirrored, with the true neutral head.
    """

    person: np.ndarray
    plain: np.ndarray
    long: dict[str, np.ndarray]
    weights: np.ndarray
    turn: np.ndarray
    plainly: np.ndarray


def feature_table(observed: Observed, seed: int = 1) -> FeatureTable:
    """Compute the rows of all observed pictures; a picture whose landmarks fit no pose is left out."""
    template = load_template()
    embedding = net_points()
    mean = embedding.positions(template.vertices).astype(np.float64)
    modes = np.stack([embedding.positions(mode) for mode in template.identity_modes]).astype(np.float64)  # (K, 478, 3)
    generator, steady = np.random.default_rng(seed), reading.steady_landmarks()
    rows = []
    for number in range(len(observed.person)):
        own = mean + embedding.positions(observed.neutral[number].astype(np.float64)) / 1000.0
        other = own + np.tensordot(generator.normal(0, OTHER_HEAD, len(modes)), modes, 1)
        pose, width = observed.camera_from_head[number].astype(np.float64), float(observed.side[number])
        evidence = reading.evidence_of_window(
            observed.window[number], observed.found[number], width, observed.surface[number].astype(np.float64)
        )
        weights = observed.weights[number].astype(np.float32)
        middle = pose[:3, :3] @ own[steady].mean(0) + pose[:3, 3]
        towards = reading.towards_point(middle[:2] / middle[2]).T @ pose[:3, :3]
        for neutral, plainly in ((own, True), (other, False)):
            try:
                face = reading.frontalised_face(evidence.on_surface(), neutral)
            except ValueError:
                continue
            turn = Rotation.from_matrix(face.rotation.T @ towards).as_rotvec()
            straight, flipped = reading.raw_features(evidence, face)
            person = int(observed.person[number])
            rows.append((person, straight.plain, straight.long, weights, turn, plainly))
            turned, keys = turn * [1.0, -1.0, -1.0], weights[reading.MIRRORED_KEYS]
            rows.append((person, flipped.plain, flipped.long, keys, turned, False))
    person, plain, long, weights, turn, plainly = zip(*rows, strict=True)
    return FeatureTable(
        person=np.array(person),
        plain=np.array(plain, np.float32),
        long={name: np.array([row[name] for row in long], np.float32) for name in reading.BASES},
        weights=np.array(weights),
        turn=np.array(turn, np.float32),
        plainly=np.array(plainly),
    )


@dataclass(frozen=True)
class LearningOptions:
    """How the networks are trained."""

    hidden: int = 384
    epochs: int = 14
    batch: int = 512
    rate: float = 3e-3
    decay: float = 0.03
    dropout: float = 0.3
    noise: float = 0.1
    squared: float = 0.5
    """Share of squared errors in the loss on weights; the rest is absolute errors. Squared errors keep movements large,
    absolute ones keep faces still."""
    members: int = 2


@dataclass(frozen=True)
class Reduction:
    """Whitening PCA of the reader's inputs; see ``FaceReader``."""

    means: dict[str, np.ndarray]
    bases: dict[str, np.ndarray]
    offset: np.ndarray
    scale: np.ndarray

    def inputs(self, table: FeatureTable) -> np.ndarray:
        """(N, I) float32 inputs of the network."""
        parts = [(table.plain - self.offset) / self.scale]
        for name in reading.BASES:
            values = table.long[name]
            parts += [(values[:, k] - self.means[name]) @ self.bases[name].T for k in range(values.shape[1])]
        return np.concatenate(parts, axis=1).astype(np.float32)


def fit_reduction(table: FeatureTable) -> Reduction:
    """PCA of the long vectors, with components scaled to a standard deviation of about one."""
    means, bases = {}, {}
    for name in reading.BASES:
        values = table.long[name].reshape(-1, table.long[name].shape[-1]).astype(np.float64)
        means[name] = values.mean(0)
        values = values - means[name]
        spread, directions = np.linalg.eigh(values.T @ values / len(values))
        count = min(COMPONENTS[name], len(values) - 1)
        spread = np.sqrt(np.maximum(spread[::-1][:count], 0.0))
        bases[name] = directions[:, ::-1][:, :count].T / (spread + FLOOR * spread[0])[:, None]
    return Reduction(means, bases, table.plain.mean(0), table.plain.std(0) + 1e-6)


def train_layers(inputs: np.ndarray, table: FeatureTable, options: LearningOptions) -> tuple:
    """Train an ensemble on inputs (N, I); returns ``FaceReader.layers``."""
    members = [_train_one(inputs, table, options, seed) for seed in range(options.members)]
    count = len(members[0])
    return tuple(
        (np.stack([one[k][0] for one in members]), np.stack([one[k][1] for one in members])) for k in range(count)
    )


def _train_one(inputs: np.ndarray, table: FeatureTable, options: LearningOptions, seed: int) -> list:
    torch.manual_seed(seed)
    x, weights, turn = (torch.from_numpy(np.ascontiguousarray(v)) for v in (inputs, table.weights, table.turn))
    width = options.hidden
    net = nn.Sequential(
        nn.Dropout(0.1), nn.Linear(x.shape[1], width), nn.GELU(), nn.Dropout(options.dropout),
        nn.Linear(width, width), nn.GELU(), nn.Dropout(options.dropout), nn.Linear(width, 55),
    )  # fmt: skip
    steps = options.epochs * max(len(x) // options.batch, 1)
    optimizer = torch.optim.AdamW(net.parameters(), options.rate, weight_decay=options.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, steps + 1)
    for _ in range(steps):
        chosen = torch.randint(len(x), (options.batch,))
        output = net(x[chosen] + options.noise * torch.randn(options.batch, x.shape[1]))
        cost = weight_cost(output[:, :52], weights[chosen], options.squared)
        off = reading.ROTATION_UNIT * output[:, 52:] - turn[chosen]
        cost = cost + 0.5 * torch.sqrt((off**2).sum(1) + 0.02**2).mean()
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        schedule.step()
    layers = [layer for layer in net if isinstance(layer, nn.Linear)]
    return [(one.weight.detach().numpy().T.copy(), one.bias.detach().numpy().copy()) for one in layers]


def weight_cost(predicted: torch.Tensor, true: torch.Tensor, squared: float) -> torch.Tensor:
    """Mean loss of weights (N, 52). Values beyond 0 or 1 count almost like the bound. Lids have squared errors only and
    three times the weight, because half a blink is not a blink."""
    error = predicted - true
    beyond = ((predicted < 0) & (true <= 0)) | ((predicted > 1) & (true >= 1))
    error = torch.where(beyond, 0.02 * error, error)
    share = torch.where(torch.from_numpy(BLINKS), 1.0, squared)
    factor = torch.where(torch.from_numpy(BLINKS), 3.0, 1.0)
    return (factor * (share * 2.0 * error**2 + (1.0 - share) * torch.sqrt(error**2 + 0.03**2))).mean()


def select(table: FeatureTable, rows: np.ndarray) -> FeatureTable:
    """Some rows of a table."""
    long = {name: values[rows] for name, values in table.long.items()}
    return FeatureTable(
        table.person[rows], table.plain[rows], long, table.weights[rows], table.turn[rows], table.plainly[rows]
    )


def held_out_rows(table: FeatureTable, folds: int = 5) -> np.ndarray:
    """(N,) bool: rows of every ``folds``-th person, without the people that the landmark net was trained on."""
    people = np.unique(table.person)
    return np.isin(table.person, people[people < KEPT_NUMBERS][::folds])


@dataclass(frozen=True)
class HeldOut:
    """Predictions on N pictures of held-out people. found, true : (N, 52) weights. left, before : (N, 3) remaining
    rotation error after and before the correction, radians in the head's axes."""

    found: np.ndarray
    true: np.ndarray
    left: np.ndarray
    before: np.ndarray


def hold_out(table: FeatureTable, options: LearningOptions, folds: int = 5) -> tuple[HeldOut, HeldOut]:
    """Train without every ``folds``-th person and predict these people.

    Returns the ordinary people, whose errors give the reader's covariance, and the hard people."""
    held = held_out_rows(table, folds)
    training, others = select(table, ~held), select(table, held & table.plainly)
    reduction = fit_reduction(training)
    layers = train_layers(reduction.inputs(training), training, options)
    output = reading.run_network(layers, reduction.inputs(others))
    weights = np.clip(output[:, :52], 0.0, 1.0)
    left, hard = others.turn - reading.ROTATION_UNIT * output[:, 52:], others.person >= HARD_NUMBERS
    ordinary, harder = (
        HeldOut(weights[rows], others.weights[rows], left[rows], others.turn[rows]) for rows in (~hard, hard)
    )
    return ordinary, harder


def learn_reader(table: FeatureTable, held_out: HeldOut, options: LearningOptions) -> reading.FaceReader:
    """Train the reader on all people; its covariances are the errors on ordinary held-out people."""
    reduction = fit_reduction(table)
    layers = train_layers(reduction.inputs(table), table, options)
    error = held_out.found - held_out.true
    return reading.FaceReader(
        reduction.means, reduction.bases, reduction.offset, reduction.scale, layers,
        covariance=error.T @ error / len(error),
        rotation_covariance=held_out.left.T @ held_out.left / len(error),
    )  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m trainer expressions``."""
    parser.add_argument("--out", type=Path, default=reading.READER_PATH, help="file to write (default: assets)")
    parser.add_argument("--people", type=int, default=3200, help="people to draw, two pictures each (default 3200)")
    parser.add_argument("--hard", type=int, default=800, help="people from the side, masked, blinking (default 800)")
    parser.add_argument("--rare", type=int, default=9024, help="people of the landmark net with the rarest faces")
    parser.add_argument("--calm", type=int, default=2560, help="and those whose faces do nothing rare (default 2560)")
    parser.add_argument("--minutes", type=float, default=60.0, help="drawing stops after so long (default 60)")
    parser.add_argument("--epochs", type=int, default=None, help="of the networks")
    parser.add_argument("--data", type=Path, help="folder of drawn people, which are kept (default: in the cache)")


def run(arguments: argparse.Namespace) -> int:
    """Render people, train the reader, print its errors on held-out people; returns exit code 0."""
    from trainer.methods.expressions.observe import collect, collect_cached, read_observed

    torch.set_num_threads(1)
    version = SurfaceLandmarker.load().version
    folder = arguments.data or cache_folder() / "expression_pictures" / version
    end = time.monotonic() + 60.0 * arguments.minutes
    collect(folder, range(arguments.people), range(arguments.hard), end)
    collect_cached(folder, arguments.rare, arguments.calm, end)
    observed = read_observed(folder)
    table = feature_table(observed)
    options = LearningOptions()
    if arguments.epochs is not None:
        options = replace(options, epochs=arguments.epochs)
    held_out, hard = hold_out(table, options)
    reader = learn_reader(table, held_out, options)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    reading.save_reader(reader, arguments.out, {"pictures": str(len(observed.person)), "landmark_net": version})
    print(f"{arguments.out.name}: {len(observed.person)} pictures; on people held out")
    for name, errors in (("ordinary", held_out), ("hard", hard)):
        if not len(errors.true):
            continue
        off = np.abs(errors.found - errors.true)
        before, left = (np.degrees(np.linalg.norm(turn, axis=1)).mean() for turn in (errors.before, errors.left))
        print(
            f"{name}: weights are off by {off.mean():.4f} (all zeros: {errors.true.mean():.4f}), lids by "
            f"{off[:, LIDS].mean():.3f}, the turn by {left:.2f} degrees (rigid fit: {before:.2f})"
        )
    return 0
