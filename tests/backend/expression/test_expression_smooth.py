"""Smoothing of takes: trembling goes, blinks stay, gaps are bridged, chunks do not show."""

import numpy as np
import pytest

from backend.expression import solver
from backend.expression.clip import FrameMark
from backend.fitting.parameters import FACING_CAMERA, PhotoParameters
from protocol.names import ARKIT_INDEX

FPS = 30.0
BLINK, BROW = 6 + ARKIT_INDEX["eyeBlinkLeft"], 6 + ARKIT_INDEX["browInnerUp"]


def noisy_take(frames: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """True and noisy states (F, 58): a slow brow and one blink of 0.2 s."""
    seconds = np.arange(frames) / FPS
    truth = np.zeros((frames, solver.STATE_SIZE))
    truth[:, BROW] = 0.5 + 0.3 * np.sin(2.0 * seconds)
    truth[:, BLINK] = np.exp(-(((seconds - 1.0) / 0.07) ** 2))
    measured = truth + np.random.default_rng(3).normal(0, noise, truth.shape)
    measured[:, 6:] = measured[:, 6:].clip(0, 1)
    return truth, measured


def test_trembling_is_smoothed_away_and_a_blink_stays() -> None:
    truth, measured = noisy_take(60, 0.04)
    information = np.tile(np.eye(solver.STATE_SIZE) / 0.04**2, (60, 1, 1))
    result = solver.smooth_states(
        measured, information, np.zeros_like(measured), solver.acceleration_scales(FPS), 6.0 / FPS
    )
    jitter = [np.abs(np.diff(states[:, BROW], 2)).mean() for states in (truth, measured, result)]
    assert jitter[1] > 10 * jitter[0]
    assert jitter[2] < 2.5 * jitter[0]
    assert np.abs(result[:, BROW] - truth[:, BROW]).mean() < 0.6 * np.abs(measured[:, BROW] - truth[:, BROW]).mean()
    assert result[:, BLINK].max() > 0.85
    assert abs(int(result[:, BLINK].argmax()) - 30) <= 1
    assert result[:, 6:].min() >= 0.0
    assert result[:, 6:].max() <= 1.0


def test_frames_that_know_nothing_are_filled_in_from_both_sides() -> None:
    truth, measured = noisy_take(60, 0.0)
    information = np.tile(np.eye(solver.STATE_SIZE) / 0.02**2, (60, 1, 1))
    information[40:46] = 0.0
    measured[40:46] = 0.0
    result = solver.smooth_states(
        measured, information, np.zeros_like(measured), solver.acceleration_scales(FPS), 6.0 / FPS
    )
    assert np.abs(result[38:48, BROW] - truth[38:48, BROW]).max() < 0.02


def measured_frame(turn: float, weight: float, blink: float = 0.0) -> solver.MeasuredFrame:
    """A frame whose head is turned by ``turn`` radians about the camera's y axis."""
    cos, sin = np.cos(turn), np.sin(turn)
    expression = np.zeros(52)
    expression[ARKIT_INDEX["jawOpen"]], expression[ARKIT_INDEX["eyeBlinkLeft"]] = weight, blink
    parameters = PhotoParameters(
        rotation=np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) @ FACING_CAMERA,
        pivot=np.zeros(3),
        lateral=np.zeros(2),
        log_scale=7.0,
        log_distance=0.0,
        principal_offset=np.zeros(2),
        centre=np.zeros(2),
        size=(100, 100),
        expression=expression,
        nuisance=np.zeros(0),
    )
    solved = solver.SolvedFrame(parameters, np.eye(solver.STATE_SIZE) / 0.02**2, np.zeros(solver.STATE_SIZE), 0.5)
    return solver.MeasuredFrame(solved, FrameMark.MEASURED)


def test_chunks_of_a_long_take_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [measured_frame(0.5 * np.sin(n / 15), 0.4 + 0.3 * np.sin(n / 10)) for n in range(90)]
    whole = list(solver.smoothed(iter(frames), FPS))
    monkeypatch.setattr(solver, "CHUNK", 30)
    chunked = list(solver.smoothed(iter(frames), FPS))
    assert len(chunked) == len(whole) == 90
    assert np.abs(np.array([f.weights for f in chunked]) - [f.weights for f in whole]).max() < 2e-3
    assert np.abs(np.array([f.rotation for f in chunked]) - [f.rotation for f in whole]).max() < 2e-3
    assert np.abs(whole[20].rotation - frames[20].solved.parameters.rotation).max() < 0.01


def test_a_long_gap_is_bridged_and_keeps_its_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "CHUNK", 20)
    monkeypatch.setattr(solver, "OVERLAP", 10)
    gap = [solver.MeasuredFrame(None, FrameMark.NO_FACE)] * 15
    frames = [measured_frame(0.0, 0.2)] * 12 + gap + [measured_frame(0.2, 0.6)] * 12
    result = list(solver.smoothed(iter(frames), FPS))
    assert [frame.mark for frame in result] == [frame.mark for frame in frames]
    jaw = np.array([frame.weights[ARKIT_INDEX["jawOpen"]] for frame in result])
    assert np.all(np.isfinite(jaw))
    assert abs(jaw[19] - 0.4) < 0.1
    assert np.abs(np.diff(jaw)).max() < 0.12


def test_a_take_of_faceless_frames_is_still_as_long() -> None:
    assert len(list(solver.smoothed(iter([solver.MeasuredFrame(None, FrameMark.DROPPED)] * 5), FPS))) == 5
