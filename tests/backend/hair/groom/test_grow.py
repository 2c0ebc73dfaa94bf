"""Grooms grown on the mean head and on others."""

import numpy as np
import pytest

from backend.geometry.template import load_template
from backend.hair.groom import grow_guides, load_grooms
from backend.hair.groom.grow import ANGLES, HEIGHTS
from backend.hair.groom.scalp import line_distance, mean_scalp


def _lengths(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(points, axis=1), axis=2).sum(1)


def test_every_groom_grows_on_a_wider_head_from_roots_on_its_skin() -> None:
    template = load_template()
    wide = template.vertices * np.array([1.1, 1.0, 1.0], np.float32)
    for groom in load_grooms().values():
        grown = grow_guides(groom, wide)
        assert np.isfinite(grown.points).all() and len(grown.points) > 300, groom.name
        gap = np.linalg.norm(grown.points[:, None, 0] - grown.scalp.vertices[None], axis=2).min(1)
        assert gap.max() < 0.005, groom.name
        assert (grown.scalp_uv > 0).all() and (grown.scalp_uv < 1).all(), groom.name


def test_a_longer_factor_makes_longer_hair_and_the_same_input_the_same_hair() -> None:
    groom, vertices = load_grooms()["taper"], load_template().vertices
    one, again = grow_guides(groom, vertices), grow_guides(groom, vertices)
    longer = grow_guides(groom, vertices, lengths=np.full((ANGLES, len(HEIGHTS)), 1.5))
    assert np.array_equal(one.points, again.points)
    assert np.allclose(_lengths(longer.points), 1.5 * _lengths(one.points), rtol=0.01)
    with pytest.raises(ValueError, match="hairline"):
        grow_guides(groom, vertices, lengths=np.ones((3, 3)))


def test_a_lower_hairline_covers_more_of_the_forehead() -> None:
    groom = load_grooms()["taper"]
    lower = groom.hairline + np.where(np.abs(groom.hairline[:, :1]) < 40, [[0.0, 6.0]], 0.0)
    places = mean_scalp().places
    before, after = (line_distance(places, line) > 0 for line in (groom.hairline, lower))
    assert (after & ~before).sum() > max(100, 20 * (before & ~after).sum())
