"""Deformation transfer against cases whose answer is known."""

import numpy as np
import pytest

from backend.rig.personalise import source_deformations, transfer, triangle_frames
from protocol.similarity import fit_similarity


@pytest.fixture(scope="module")
def sheet():
    """A bumpy grid of 12 x 12 quads, its quads and the ids of its still border."""
    side = 13
    ys, xs = np.mgrid[0:side, 0:side]
    heights = 0.003 * np.sin(xs * 1.3) * np.cos(ys * 0.9)
    vertices = np.stack([xs * 0.01, ys * 0.01, heights], axis=-1).reshape(-1, 3)
    corner = (ys[:-1, :-1] * side + xs[:-1, :-1]).ravel()
    quads = np.stack([corner, corner + 1, corner + side + 1, corner + side], axis=1)
    border = ((xs == 0) | (xs == side - 1) | (ys == 0) | (ys == side - 1)).ravel()
    return vertices, quads, border


def _bulge(vertices, border):
    middle = vertices.mean(0)
    offsets = np.zeros_like(vertices)
    offsets[:, 2] = 0.02 * np.exp(-(((vertices - middle)[:, :2] / 0.03) ** 2).sum(1))
    offsets[:, 0] = 0.004 * np.exp(-(((vertices - middle)[:, :2] / 0.02) ** 2).sum(1))
    offsets[border] = 0.0
    return offsets


def test_transfer_onto_the_source_returns_its_offsets(sheet):
    vertices, quads, border = sheet
    offsets = np.stack([_bulge(vertices, border), -0.5 * _bulge(vertices, border)])
    carried = transfer(source_deformations(vertices, quads, offsets), vertices)
    assert np.abs(carried - offsets).max() < 1e-7


def test_transfer_scales_with_the_target(sheet):
    vertices, quads, border = sheet
    offsets = _bulge(vertices, border)[None]
    carried = transfer(source_deformations(vertices, quads, offsets), 1.5 * vertices)
    strong = np.abs(offsets[0, :, 2]) > 2e-3
    assert carried[0, strong] == pytest.approx(1.5 * offsets[0, strong], abs=3e-4)


def test_what_turns_rigidly_on_the_source_turns_rigidly_on_a_target_of_another_shape(sheet):
    vertices, quads, _ = sheet
    angle = np.radians(20.0)
    turn = np.array([[np.cos(angle), 0.0, np.sin(angle)], [0.0, 1.0, 0.0], [-np.sin(angle), 0.0, np.cos(angle)]])
    flap = vertices[:, 0] > 0.065  # hinged at x = 0.06
    offsets = np.zeros_like(vertices)
    offsets[flap] = (vertices[flap] - [0.06, 0.0, 0.0]) @ (turn - np.eye(3)).T
    target = vertices * np.array([1.1, 0.8, 2.5])
    target[:, 2] += 0.5 * target[:, 0] ** 2
    carried = target + transfer(source_deformations(vertices, quads, offsets[None]), target)[0]
    _, rotation, shift = fit_similarity(target[flap], carried[flap], scale=1.0)
    assert rotation == pytest.approx(turn, abs=0.01)
    assert np.abs(target[flap] @ rotation.T + shift - carried[flap]).max() < 5e-4


def test_what_stands_still_on_the_source_stands_still_on_the_target(sheet):
    vertices, quads, border = sheet
    offsets = _bulge(vertices, border)[None]
    offsets[:, vertices[:, 0] < 0.05] = 0.0
    target = vertices * np.array([1.2, 0.9, 2.0])
    carried = transfer(source_deformations(vertices, quads, offsets), target)
    assert np.all(carried[0, vertices[:, 0] < 0.05] == 0.0)


def test_frames_span_their_triangle_and_its_scaled_normal():
    corners = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 8.0, 0.0]])
    frame = triangle_frames(corners)
    assert frame[:, 0] == pytest.approx([2.0, 0.0, 0.0])
    assert frame[:, 1] == pytest.approx([0.0, 8.0, 0.0])
    assert frame[:, 2] == pytest.approx([0.0, 0.0, 4.0])  # n / sqrt|n|, |n| = 16
