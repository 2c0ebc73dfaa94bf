"""Hair on a side of the head that no photo shows is like the hair on the other side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_hair import made_view, style_point

from backend.geometry.template import Template, load_template
from backend.hair.fit_style import FittedStyle, grown
from backend.hair.guides import fit_guides
from backend.hair.hair_views import HairView
from backend.hair.style_model import lock_noise, style_family
from backend.hair.votes import from_both_sides, mirrors_worth, trusted

ONE_SIDE = (30.0, 45.0, 60.0)
"""Turns to the person's left: these photos show the right side of the head."""


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template()


def lengths(guides: np.ndarray) -> tuple[float, float]:
    """Median metres of the guides (G, P, 3) rooted on the person's left and right."""
    length = np.linalg.norm(np.diff(guides, axis=1), axis=-1).sum(1)
    return tuple(float(np.median(length[side * guides[:, 0, 0] > 0.04])) for side in (1, -1))


def cut_on_the_left(view: HairView) -> HairView:
    """The view with no hair below the chin on the person's left."""
    chin = view.camera.project(np.array([0.0, 0.66, 0.02]))
    rows, columns = np.indices(view.hair.shape)
    return replace(view, hair=np.where((columns > chin[0]) & (rows > chin[1]), 0, view.hair).astype(np.float32))


def too_long() -> FittedStyle:
    """Long straight hair, as the search fits it to a few views of shorter hair."""
    point = style_point("long straight")
    return FittedStyle(point, style_family("long straight").styles[0], np.stack([point, style_point("bob")]))


@pytest.mark.parametrize("yaws", [ONE_SIDE, (50.0,)])
def test_hair_is_as_long_on_the_side_that_no_photo_shows(template: Template, yaws: tuple[float, ...]) -> None:
    """A style that is too long was cut only where photos look: a bob on one side, long hair on the other."""
    views = [made_view(template, yaw, style_point("mop")) for yaw in yaws]
    left, right = lengths(fit_guides(template, template.vertices, too_long(), views))
    assert left == pytest.approx(right, rel=0.15)


def test_hair_that_is_longer_on_one_side_stays_so_where_photos_show_it(template: Template) -> None:
    views = [cut_on_the_left(made_view(template, yaw, style_point("long straight"))) for yaw in (-40.0, 0.0, 40.0)]
    left, right = lengths(fit_guides(template, template.vertices, too_long(), views))
    assert left < 0.75 * right


def test_unseen_points_take_the_mirror_images_votes_and_seen_points_keep_theirs(template: Template) -> None:
    view = made_view(template, 60.0, style_point("mop"))
    strands = grown(template, template.vertices, style_point("long straight")[None], lock_noise(200))[0]
    points = strands[np.isfinite(strands[:, 0])]
    mirrored = points * [-1.0, 1.0, 1.0]
    own, other, both = trusted(points, [view]), trusted(mirrored, [view]), from_both_sides(points, [view])
    unseen = (own == 0) & (np.abs(other) > 0.9)
    assert unseen.sum() > 200
    np.testing.assert_array_equal(np.sign(both[unseen]), np.sign(other[unseen]))
    np.testing.assert_array_equal(from_both_sides(points[own == 0], [replace(view, known=0 * view.known)]), 0.0)
    front = [cut_on_the_left(made_view(template, 0.0, style_point("long straight")))]
    own, other, both = trusted(points, front), trusted(mirrored, front), from_both_sides(points, front)
    different = (np.abs(own) > 0.9) & (own * other < -0.9)
    assert different.sum() > 200
    np.testing.assert_array_equal(np.sign(both[different]), np.sign(own[different]))


def test_the_more_photos_show_the_other_side_the_less_each_tells_of_this_side() -> None:
    worth = mirrors_worth(np.array([0.0, 1.0, 3.0, 100.0]))
    assert worth[0] == pytest.approx(0.93**2)
    assert (np.diff(worth) < 0).all()
    assert (np.diff(worth * [0.0, 1.0, 3.0, 100.0]) > 0).all()
    assert 100 * worth[-1] < 6, "the two sides of a head differ"
