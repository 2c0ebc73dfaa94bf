"""Round elements, directions over the sphere, polylines, and noise in space."""

import numpy as np
import pytest

from backend.geometry.vectors import arc_length, disc, spread_directions
from backend.texture.parts import fractal_noise, lattice_noise

LINE = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 6.0]])
POINTS = np.random.default_rng(0).uniform(-1, 1, (20000, 3)).astype(np.float32)


def test_directions_are_units_that_cancel_and_keep_their_distance() -> None:
    directions = spread_directions(100)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(np.ones(100))
    assert np.abs(directions.mean(0)).max() < 0.01
    nearest = np.sort(directions @ directions.T, axis=1)[:, -2]
    assert np.degrees(np.arccos(nearest)).min() > 15.0  # a hundred even patches are 23 degrees across


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 12])
def test_a_disc_holds_what_is_within_its_radius(radius: int) -> None:
    found = disc(radius)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    away = np.hypot(x, y)
    assert found.shape == away.shape and found.dtype == np.uint8
    assert (found[away <= radius - 0.5] == 1).all()
    assert (found[away > radius + 0.75] == 0).all()
    assert (found == found[::-1]).all() and (found == found[:, ::-1]).all()


def test_length_counts_from_the_first_point() -> None:
    assert arc_length(LINE) == pytest.approx([0.0, 5.0, 7.0])


def test_mean_and_deviation() -> None:
    noise = lattice_noise(POINTS, 0.01, 1)
    assert abs(noise.mean()) < 0.03
    assert abs(noise.std() - 1.0) < 0.05
    assert abs(fractal_noise(POINTS, 0.02, 3, 2).std() - 1.0) < 0.05


def test_same_seed_same_pattern_other_seed_another() -> None:
    first, again, other = (lattice_noise(POINTS, 0.01, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.05


def test_continuous_over_lattice_planes() -> None:
    below = np.array([[0.02 - 1e-6, 0.013, -0.007]], np.float32)
    above = np.array([[0.02 + 1e-6, 0.013, -0.007]], np.float32)
    assert abs(lattice_noise(below, 0.01, 3) - lattice_noise(above, 0.01, 3))[0] < 1e-2
