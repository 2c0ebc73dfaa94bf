"""Curl is that of the kind; coils stand, hair is parted where lines say, and gathered in a knot."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

sys.path.append(str(Path(__file__).parent))
from made_hair import made_view

from backend.geometry.template import Template, load_template
from backend.hair.curl import CURLS, STUBBLE, STYLES, curl_of
from backend.hair.hair_surface import HairSurface, hair_surface, hull_grid
from backend.hair.hair_views import HairView
from backend.hair.trace import (
    Parting,
    chosen_parting,
    combing,
    direction_field,
    falls,
    find_knot,
    find_parting,
    trace_guides,
)
from backend.models.hair_kind import HairKind


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template()


@pytest.fixture(scope="module")
def short(template: Template) -> HairSurface:
    """The body of short hair."""
    return hair_surface(
        hull_grid(template, template.vertices), [made_view(template, yaw, "crew") for yaw in (0, 30, -35)]
    )


@pytest.mark.parametrize(
    ("curl", "short", "low", "name"),
    [([0.6, 0.4, 0, 0, 0], 0.9, False, "straight"), ([0.3, 0.2, 0.5, 0, 0], 0.9, False, "curly"),
     ([0.1, 0.1, 0.1, 0.2, 0.5], 0.1, True, "coily"), ([0.6, 0.4, 0, 0, 0], 0.9, True, "stubble")],
)  # fmt: skip
def test_hair_curls_as_its_kind(curl: list[float], short: float, low: bool, name: str) -> None:
    length = np.array([0, short, 1 - short, 0, 0, 0, 0])
    assert curl_of(HairKind({"curl": np.array(curl), "length": length}), low).name == name
    assert curl_of(None, low) is CURLS[0]


def test_coils_stand_off_the_scalp_all_over_it(short: HairSurface) -> None:
    field = direction_field(short, ())
    guides = trace_guides(short, field, (), curl=CURLS[3])
    way = guides[:, -1] - guides[:, 0]
    out = guides[:, 0] - [0.0, 0.72, 0.0]
    cosine = (way * out).sum(1) / np.linalg.norm(way, axis=1) / np.linalg.norm(out, axis=1)
    assert np.median(cosine) > 0.84
    combed = trace_guides(short, field, ())
    along = combed[:, -1] - combed[:, 0]
    assert np.median((along * (combed[:, 0] - [0.0, 0.72, 0.0])).sum(1) / np.linalg.norm(along, axis=1)) < 0.05


def test_a_crop_has_no_bald_spots_and_overhangs_no_further_than_it_is_tall(short: HairSurface) -> None:
    thin = replace(short, roots=np.where(short.roots > 0.5, 0.6, 0.0), height=np.minimum(short.height, 0.006))
    guides = trace_guides(thin, direction_field(thin, ()), (), curl=STUBBLE)
    length = np.linalg.norm(guides[:, -1] - guides[:, 0], axis=1)
    assert length.max() < 2 * 0.006 + 0.002
    grid = thin.grid
    rooted = grid.skin[(thin.roots > 0.5) & (grid.s > 0.01)]
    away = cKDTree(guides[:, 0]).query(rooted)[0]
    assert np.quantile(away, 0.99) < 0.006, "no place is further from a hair than hairs are long"


@pytest.mark.parametrize("place", [-0.05, 0.05])
def test_a_parting_is_where_the_lines_say(short: HairSurface, place: float) -> None:
    bare = replace(short, coverage=short.coverage * (short.grid.s < short.grid.line[:, None]))
    way = combing(bare, Parting(place, 1.0, 0.4))
    weight = np.ones(bare.coverage.shape)
    found = find_parting(bare, way[..., :, None] * way[..., None, :], weight)
    assert found.offset == place
    nothing = find_parting(bare, np.zeros((*weight.shape, 3, 3)), 0 * weight)
    assert nothing.offset == 0.0, "without lines it is the usual one"


@pytest.mark.parametrize(("name", "side"), [("left", 1.0), ("right", -1.0), ("middle", 0.0)])
def test_a_chosen_parting_combs_the_top_away_from_it(short: HairSurface, name: str, side: float) -> None:
    """Whatever style was chosen, and over a fringe."""
    parting = chosen_parting(name, 0.035)
    x, grid = short.grid.points[..., 0] - side * 0.035, short.grid
    top = (grid.s > 0.04) & (grid.s < 0.08) & (np.abs(grid.azimuth) < 0.8) & (np.abs(x) > 0.012)
    for style in (None, STYLES["forward crop"]):
        field = direction_field(short, (), style, chosen=parting)
        way = np.where(x[..., None] > 0, field.directions[-1], field.directions[0])
        assert (np.sign(way[..., 0]) == np.sign(x))[top].mean() > 0.9
    assert chosen_parting("auto", 0.035) is None and chosen_parting("none", 0.035).aside == 0.0


def test_directions_round_the_head_are_perpendicular_to_those_down_it(short: HairSurface) -> None:
    """They were not, behind: hair that ran straight down parted there and left the scalp bare."""
    assert np.abs((short.grid.around * short.grid.down).sum(-1)).max() < 1e-6


def test_tight_hair_is_gathered_behind_where_other_photos_show_it_long(template: Template) -> None:
    views = [made_view(template, yaw, "tied back") for yaw in (0.0, 30.0)]
    surface = hair_surface(hull_grid(template, template.vertices), views)
    tight = replace(surface, height=np.minimum(surface.height, 0.006))
    assert find_knot(tight, views, long_=False) is None and not falls(tight)
    knot = find_knot(tight, views, long_=True)
    assert knot is not None and knot.length > 0 and knot.position[2] < -0.03
    tied = trace_guides(tight, direction_field(tight, views, knot=knot), views, knot=knot)
    tail = tied[:, -1, 1] < knot.position[1] - 0.5 * knot.length
    assert 0.1 < tail.mean() < 0.7 and (tied[tail, -1, 2] < -0.02).all()
    head = tied[~tail]
    away = np.linalg.norm(head[:, -1] - knot.position, axis=1)
    assert (away < 0.05).mean() > 0.5, "what is not in the tail ends at the knot"


def beside(view: HairView, low: tuple[float, float], high: tuple[float, float]) -> HairView:
    """A view with hair in a rectangle, x and y in metres at the head's middle."""
    ends = np.array([[*low, 0.0], [*high, 0.0]])
    (left, upper), (right, lower) = np.sort(view.camera.project(ends)[:, :2], 0).round().astype(int)
    hair = view.hair.copy()
    hair[max(upper, 0) : lower, max(left, 0) : right] = 1.0
    return replace(view, hair=hair)


def test_tied_hair_is_gathered_at_a_tail_that_one_photo_shows(template: Template) -> None:
    """It stood 15 mm high in small photos, above the bound, and came as a boy's crop."""
    views = [made_view(template, yaw, "crew") for yaw in (0.0, 30.0)]
    surface = hair_surface(hull_grid(template, template.vertices), views)
    tight = replace(surface, height=0 * surface.height + 0.015)
    assert find_knot(tight, views, long_=True) is None, "other photos' long hair says nothing of hair so high"
    tail = beside(views[0], (0.10, 0.60), (0.13, 0.70))
    knot = find_knot(tight, [tail, views[1]], long_=False)
    assert knot is not None and knot.position[1] < 0.75
    both = beside(tail, (-0.13, 0.60), (-0.10, 0.70))
    assert find_knot(tight, [both, views[1]], long_=False) is None, "it hangs at both sides"
    assert find_knot(replace(tight, height=tight.height + 0.004), [tail], long_=False) is None, "a full head of hair"


def test_a_bun_on_top_that_other_photos_lack_is_a_thrown_tail_or_somebody_behind(template: Template) -> None:
    views = [made_view(template, yaw, "crew") for yaw in (0.0, 10.0, -10.0)]
    surface = hair_surface(hull_grid(template, template.vertices), views)
    tight = replace(surface, height=np.minimum(surface.height, 0.006))
    top = float(template.vertices[: template.head.vertex_stop, 1].max()) + 0.02
    large, small = (beside(views[0], (-0.03, top), (0.03, top + high)) for high in (0.06, 0.025))
    bun = find_knot(tight, [large], long_=False)
    thrown = find_knot(tight, [large, *views[1:]], long_=False)
    assert bun.position[1] > 0.83 and thrown.position[1] < 0.83 and thrown.length > 0.1
    assert find_knot(tight, [small, *views[1:]], long_=False) is None
