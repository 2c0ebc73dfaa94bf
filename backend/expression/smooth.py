"""Two-sided smoothing of a take in bounded memory: what the pictures determine stays, the rest becomes smooth.

Each frame is a quadratic (the solver's Hessian at its solution). With a prior on accelerations this is one banded
least-squares problem over a window of frames. The acceleration prior is a Cauchy density with a scale per key, solved
by iteratively reweighted least squares: small trembling is in its quadratic range and is smoothed away, a blink or a
plosive is one unlikely event and hardly changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

from backend.expression.clip import FrameMark
from backend.expression.frame_solver import STATE_SIZE, SolvedFrame
from backend.rig.arkit import ARKIT_NAMES

CHUNK, OVERLAP, MOST_HELD = 192, 24, 800
ROUNDS = 6
FRAME_SHARE = 4.0
"""Factor on a frame's information, because most of the reader's error is the same in all frames and cancels in their
differences. With more, weights tremble; with less, blinks get shallow."""
UNCERTAIN_RATIO = 2.5
"""A frame whose landmark error is this many times the window's median gets less weight."""

ACCELERATIONS: dict[str, float] = {
    "eyeBlink": 40.0, "eyeLook": 8.0, "jawOpen": 8.0, "mouthClose": 8.0, "mouthPress": 6.0, "mouthRoll": 6.0,
    "tongueOut": 6.0, "mouthPucker": 6.0, "mouthFunnel": 5.0, "mouthSmile": 4.0, "mouthLowerDown": 5.0,
    "mouthUpperUp": 5.0, "eye": 4.0, "jaw": 2.0, "mouthLeft": 2.0, "mouthRight": 2.0, "mouthShrug": 2.5, "mouth": 3.0,
    "brow": 3.0, "cheek": 2.0, "nose": 2.5,
}  # fmt: skip
"""Scale of the second derivative of a weight, per second squared, by the start of the key's name."""
ROTATION_ACCELERATION, PLACE_ACCELERATION = 4.0, 1.0
"""Radians, and tangents or log metres, per second squared."""
SPEED = 6.0
"""Scale of the first derivative; it only matters in long gaps without a face."""


@dataclass(frozen=True)
class MeasuredFrame:
    """A frame slot: its solution, or None with the reason as a mark."""

    solved: SolvedFrame | None
    mark: FrameMark


@dataclass(frozen=True)
class SmoothFrame:
    """Pose and expression after smoothing.

    Attributes
    ----------
    rotation : (3, 3) camera_from_head. position : (3,) of the pivot in the camera frame, metres. weights : (52,).
    """

    rotation: np.ndarray
    position: np.ndarray
    weights: np.ndarray
    mark: FrameMark
    error_percent: float


def smoothed(frames: Iterable[MeasuredFrame], fps: float) -> Iterator[SmoothFrame]:
    """Smooth a stream, with as many frames out as in; buffers at most ``MOST_HELD`` of them. Before the first and after
    the last face, the nearest one's values are repeated."""
    window: list[MeasuredFrame] = []
    done = 0  # frames at the window's start that were yielded already
    for frame in frames:
        window.append(frame)
        if len(window) - done == CHUNK + OVERLAP:
            yield from _smooth_window(window, fps)[done : done + CHUNK]
            done += CHUNK
            start = max(done - OVERLAP, 0)
            before = [number for number in range(done) if window[number].solved is not None]
            if before and done - before[-1] + CHUNK + OVERLAP < MOST_HELD:
                start = min(start, before[-1])  # keep the last face before a gap in the window
            window, done = window[start:], done - start
    if len(window) > done:
        yield from _smooth_window(window, fps)[done:]


def acceleration_scales(fps: float) -> np.ndarray:
    """(58,) scale of the second difference of each state variable, per frame squared."""
    weights = [next(value for start, value in ACCELERATIONS.items() if name.startswith(start)) for name in ARKIT_NAMES]
    scales = np.array([ROTATION_ACCELERATION] * 3 + [PLACE_ACCELERATION] * 3 + weights)
    return scales / fps**2


def _smooth_window(window: list[MeasuredFrame], fps: float) -> list[SmoothFrame]:
    seen = [number for number, frame in enumerate(window) if frame.solved is not None]
    if not seen:
        still = np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 1.0]), np.zeros(len(ARKIT_NAMES))
        return [SmoothFrame(*still, frame.mark, float("nan")) for frame in window]
    reference = window[seen[0]].solved.parameters.rotation
    states, information, gradient = _quadratics(window, seen, reference)
    errors = np.array([np.nan if frame.solved is None else frame.solved.error_percent for frame in window])
    trust = np.minimum((UNCERTAIN_RATIO * np.nanmedian(errors) / np.where(errors > 0, errors, np.nan)) ** 2, 1.0)
    trust = np.where(np.isnan(trust), 1.0, trust)
    # Good frames keep their weight; bad ones get at most a tenth of theirs.
    trust = np.where(trust < 1.0, 0.1 * trust, 1.0)
    trust = FRAME_SHARE * trust
    information *= trust[:, None, None]
    gradient *= trust[:, None]
    result = smooth_states(states, information, gradient, acceleration_scales(fps), SPEED / fps)
    frames = []
    for frame, state, error, share in zip(window, result, errors, trust / FRAME_SHARE, strict=True):
        depth = float(np.exp(state[5]))
        mark = FrameMark.UNCERTAIN if frame.mark == FrameMark.MEASURED and share < 1.0 else frame.mark
        frames.append(
            SmoothFrame(
                Rotation.from_rotvec(state[:3]).as_matrix() @ reference,
                depth * np.array([state[3], state[4], 1.0]),
                state[6:],
                mark,
                float(error),
            )
        )
    return frames


def _quadratics(
    window: list[MeasuredFrame], seen: list[int], reference: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States (F, 58) with gaps filled in, and each frame's second (F, 58, 58) and first derivatives (F, 58) there."""
    count = len(window)
    states = np.zeros((count, STATE_SIZE))
    information = np.zeros((count, STATE_SIZE, STATE_SIZE))
    gradient = np.zeros((count, STATE_SIZE))
    previous = np.zeros(3)
    for number in seen:
        solved = window[number].solved
        parameters = solved.parameters
        turn = Rotation.from_matrix(parameters.rotation @ reference.T).as_rotvec()
        turn = _nearest_turn(turn, previous)
        previous = turn
        states[number] = np.concatenate([turn, parameters.lateral, [parameters.log_distance], parameters.expression])
        to_step = np.eye(STATE_SIZE)
        to_step[:3, :3] = _left_jacobian(turn)
        information[number] = to_step.T @ solved.information @ to_step
        gradient[number] = to_step.T @ solved.gradient
    for column in range(STATE_SIZE):
        states[:, column] = np.interp(np.arange(count), seen, states[seen, column])
    return states, information, gradient


def _nearest_turn(turn: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """The rotation vector nearest to ``previous`` among those of the same rotation."""
    angle = float(np.linalg.norm(turn))
    if angle < 1e-9:
        return turn
    options = [turn * (1.0 + 2.0 * np.pi * k / angle) for k in (-1, 0, 1)]
    return min(options, key=lambda option: float(np.linalg.norm(option - previous)))


def _left_jacobian(turn: np.ndarray) -> np.ndarray:
    """(3, 3) of SO(3): exp(turn + d) = exp(J d) exp(turn) for small d."""
    angle = float(np.linalg.norm(turn))
    x, y, z = turn
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle < 1e-4:
        return np.eye(3) + 0.5 * cross
    return np.eye(3) + (1.0 - np.cos(angle)) / angle**2 * cross + (angle - np.sin(angle)) / angle**3 * cross @ cross


def smooth_states(
    states: np.ndarray, information: np.ndarray, gradient: np.ndarray, scales: np.ndarray, speed: float
) -> np.ndarray:
    """Minimise the frames' quadratics plus the robust acceleration prior, expression weights within [0, 1].

    Parameters
    ----------
    states : (F, 58) where the quadratics were taken. information : (F, 58, 58); gradient : (F, 58).
    scales : (58,) of the second differences; speed : of the first differences.

    Returns (F, 58).
    """
    count, size = states.shape
    if count < 3:
        return states.copy()
    right = np.einsum("fij,fj->fi", information, states) - gradient
    current = states.copy()
    held = np.zeros(states.shape, bool)
    bounded = np.zeros(size, bool)
    bounded[6:] = True
    slow = np.full(size, speed**-2) * np.where(bounded, 1.0, 0.1)
    blind = ~information.any((1, 2))
    blind = blind[:-2] | blind[1:-1] | blind[2:]  # (F - 2,) in gaps the prior is quadratic, so motion spreads evenly
    for _ in range(ROUNDS):
        second = np.diff(current, 2, axis=0)
        weight = 1.0 / (scales**2 + np.where(blind[:, None], 0.0, second) ** 2)  # Cauchy
        band = _banded(information, weight, slow)
        bound = np.where(held, np.round(np.clip(current, 0.0, 1.0)), 0.0)
        stiff = 1e10 * held
        band[-1] += stiff.ravel()
        solution = solveh_banded(band, (right + stiff * bound).ravel(), check_finite=False).reshape(count, size)
        # Hold weights that left [0, 1] at the bound; release held ones whose gradient points inside.
        force = _force(solution, information, right, weight, slow)
        let_go = held & np.where(bound <= 0.0, force < 0.0, force > 0.0)
        held = (held & ~let_go) | (bounded & ((solution < 0.0) | (solution > 1.0)) & ~held)
        current = np.where(bounded, np.clip(solution, 0.0, 1.0), solution)
    return current


def _banded(information: np.ndarray, weight: np.ndarray, slow: np.ndarray) -> np.ndarray:
    """Upper banded form (2 S + 1, F S) of the whole Hessian, for ``solveh_banded``."""
    count, size, _ = information.shape
    band = np.zeros((2 * size + 1, count, size))
    top = 2 * size
    for distance in range(size):
        # Element (i, i + distance) of a frame's block lies in column i + distance of row top - distance.
        rows = np.arange(size - distance)
        band[top - distance, :, distance:] = information[:, rows, rows + distance]
    diagonal, one, two = band[top], band[top - size], band[top - 2 * size]
    for place, factor in ((slice(0, -2), 1.0), (slice(1, -1), 4.0), (slice(2, None), 1.0)):
        diagonal[place] += factor * weight
    one[1:-1] -= 2.0 * weight
    one[2:] -= 2.0 * weight
    two[2:] += weight
    diagonal[1:] += slow
    diagonal[:-1] += slow
    one[1:] -= slow
    return band.reshape(2 * size + 1, count * size)


def _force(
    states: np.ndarray, information: np.ndarray, right: np.ndarray, weight: np.ndarray, slow: np.ndarray
) -> np.ndarray:
    """(F, 58) gradient of the whole cost."""
    force = np.einsum("fij,fj->fi", information, states) - right
    pull = weight * np.diff(states, 2, axis=0)
    for place, factor in ((slice(0, -2), 1.0), (slice(1, -1), -2.0), (slice(2, None), 1.0)):
        force[place] += factor * pull
    drag = slow * np.diff(states, axis=0)
    force[1:] += drag
    force[:-1] -= drag
    return force
