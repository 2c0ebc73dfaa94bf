"""Frames of the surface in UV, strain, and what a photo's light says of a slope."""

import numpy as np
import pytest

from backend.detail import window as window_module
from backend.detail.skin_detail import group_weights
from backend.geometry.template import load_template
from backend.rendering import spherical_harmonics as sh
from backend.texture.surface import texture_space

SIZE = 128


@pytest.fixture(scope="module")
def window():
    return window_module.detail_window(load_template(), SIZE)


@pytest.fixture(scope="module")
def positions(window) -> np.ndarray:
    template = load_template()
    return window.surface.lifted(template.vertices[: window.surface.count].astype(np.float64))


def test_the_surface_gradient_of_a_coordinate_is_its_direction_on_the_surface(window, positions) -> None:
    frames = window.frames(positions)
    across = window.image(frames.across.reshape(-1, 6)).reshape(SIZE, SIZE, 2, 3)
    normals, _ = window_module.frames_in_window(window, frames)
    height = window.image(positions[:, 1:2])[..., 0]
    down, right = np.gradient(height * SIZE)
    gradient = (across * np.stack([right, down], -1)[..., None]).sum(2)
    expected = np.array([0, 1, 0]) - normals[..., 1:2] * normals
    inside = window.allowed > 0.9
    assert np.abs(gradient - expected)[inside].mean() < 0.05


def test_strain_of_stretching_and_turning(window, positions) -> None:
    rest = window.frames(positions)
    front = window.surface.regions["forehead"] > 0.5
    turn = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    still = window_module.vertex_strain(rest, window.frames(positions @ turn.T))
    assert np.abs(still).max() < 1e-3 and np.abs(still[front]).max() < 1e-8
    wider = window_module.vertex_strain(rest, window.frames(1.1 * positions))
    np.testing.assert_allclose(wider[front, :2], 0.5 * (1.1**2 - 1), atol=1e-6)
    np.testing.assert_allclose(wider[front, 2], 0.0, atol=1e-6)


def test_raised_brows_press_the_forehead_together_upwards(window, positions) -> None:
    template = load_template()
    moved = np.einsum("k,kvc->vc", group_weights("brows_up"), template.expressions)[: window.surface.count]
    posed = window.surface.lifted((template.vertices[: window.surface.count] + moved).astype(np.float64))
    strain = window_module.vertex_strain(window.frames(positions), window.frames(posed))
    forehead = window.surface.regions["forehead"] > 0.7
    assert strain[forehead, 1].mean() < -0.08 < strain[forehead, 0].mean()
    maps = window_module.ExpressionMaps(window, template.vertices[: window.surface.count])
    assert np.abs(maps.of(template.vertices[: window.surface.count])).max() < 1e-5
    assert maps.of(template.vertices[: window.surface.count] + moved).shape == (9, SIZE, SIZE)


def test_the_shadings_gradient_is_that_of_finite_differences() -> None:
    generator = np.random.default_rng(1)
    light = sh.light_from_directions(np.array([[0.5, 0.3, 0.81]]), np.array([[0.9, 0.8, 0.7]]), 0.5)
    normals = generator.standard_normal((5, 6, 3)) * 0.3 + [0, 0, 1]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    shading, relative = window_module.shading_and_gradient(normals, light)
    grey = light @ np.array([0.2126, 0.7152, 0.0722])
    np.testing.assert_allclose(shading, sh.basis(normals) @ grey, rtol=1e-4)
    for axis in range(3):
        step = 1e-4 * np.eye(3)[axis]
        slope = (sh.basis(normals + step) @ grey - sh.basis(normals - step) @ grey) / 2e-4
        np.testing.assert_allclose(relative[..., axis] * shading, slope, atol=1e-3)


def test_what_light_makes_of_a_small_relief_is_what_the_observation_says(window, positions) -> None:
    frames = window.frames(positions)
    normals, across = window_module.frames_in_window(window, frames)
    light = sh.light_from_directions(np.array([[0.6, 0.5, 0.62]]), np.array([[0.9, 0.9, 0.9]]), 0.4)
    row, column = np.mgrid[:SIZE, :SIZE]
    height = 0.05 * np.sin(row / 2.0) * np.cos(column / 3.0)  # millimetres
    down, right = np.gradient(height * 1e-3 * SIZE)
    bumped = normals - (across * np.stack([right, down], -1)[..., None]).sum(2)
    bumped /= np.maximum(np.linalg.norm(bumped, axis=-1, keepdims=True), 1e-6)
    picture = np.maximum(sh.shade(bumped, light), 1e-3) * [0.5, 0.35, 0.3]
    weight = (np.abs(normals).sum(-1) > 0).astype(np.float32)
    photo = window_module.PhotoInWindow(np.log(picture).astype(np.float32), weight, normals, across, light, 2000.0)
    seen = window_module.observe(photo, texels_per_metre=387.0)
    down, right = np.gradient(height)
    expected = -(seen[3] * right + seen[4] * down)
    inside = window.allowed > 0.9
    assert np.corrcoef(seen[0][inside], expected[inside])[0, 1] > 0.97
    assert np.std(seen[0][inside]) == pytest.approx(
        np.std(expected[inside]), rel=0.3
    )  # what is wider than the base is gone
    assert np.abs(seen[1:3][:, inside]).max() < 0.02  # light has no colour here


def test_a_photo_that_shows_nothing_says_nothing(window, positions) -> None:
    frames = window.frames(positions)
    normals, across = window_module.frames_in_window(window, frames)
    nothing = np.zeros((SIZE, SIZE), np.float32)
    light = np.zeros((9, 3))
    light[0] = 2.0
    photo = window_module.PhotoInWindow(
        np.full((SIZE, SIZE, 3), -1.0, np.float32), nothing, normals, across, light, 2000.0
    )
    seen = window_module.observe(photo, 387.0)
    assert np.isfinite(seen).all() and not seen[:6].any()


def test_the_window_lies_in_the_map_where_it_says(window, positions) -> None:
    resolution = 256
    whole = texture_space(load_template(), resolution).skin
    expected = whole.image(whole.sample(positions[:, 1:2]))[..., 0]
    placed = window_module.insert_in_map(window.image(positions[:, 1:2])[..., 0], resolution)
    middle = window_module.insert_in_map((window.allowed > 0.9).astype(np.float32), resolution) > 0.99
    assert middle.sum() > 5000
    assert np.abs(placed - expected)[middle].mean() < 1e-3  # metres
