"""Hair found again from its own outlines and lines, and the strands that come of it."""

from __future__ import annotations

import sys
from dataclasses import make_dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

sys.path.append(str(Path(__file__).parent))
from made_hair import grown, made_view

from backend.geometry.normals import vertex_normals
from backend.geometry.template import Template, load_template, triangles_from_quads
from backend.geometry.vectors import arc_length, disc, points_along, unit_vectors
from backend.hair.attach import attach
from backend.hair.curl import STYLES, Style, curled, resampled_to
from backend.hair.fit_hair import (
    BALDING,
    HairVotes,
    Look,
    fit_hair,
    hair_of_look,
    has_ring,
    is_skin,
    ring_alone,
)
from backend.hair.hair_surface import (
    COLUMNS,
    ROWS,
    HairSurface,
    HullGrid,
    along_usual_line,
    hair_surface,
    hull_grid,
    view_votes,
)
from backend.hair.hair_views import HairView, closed_head, off_body, votes
from backend.hair.hull import AXIS_Z, head_hull, hull_surface
from backend.hair.trace import (
    DirectionField,
    Parting,
    along_hairline,
    combing,
    direction_field,
    find_parting,
    lock_widths,
    trace_guides,
)
from backend.photos.collection import FaceClass
from protocol.options import OPTIONS
from trainer.evaluate.hair_figures import hair_outline, silhouettes

YAWS = (0.0, -35.0, 30.0)
LEFT_OUT = 15.0


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template()


def guides_of(template: Template, views: list[HairView], style: str | None = None) -> np.ndarray:
    """(G, P, 3) guides of the mean head's hair from its views."""
    surface = hair_surface(hull_grid(template, template.vertices), views)
    field = direction_field(surface, views, None if style is None else STYLES[style])
    return trace_guides(surface, field, views)


def overlap(guides: np.ndarray, view: HairView) -> float:
    drawn = silhouettes(resampled_to(guides, 144).reshape(1, -1, 3), view)[0] > 0  # middles, as in the view
    return float((drawn & (view.hair > 0.5)).sum() / (drawn | (view.hair > 0.5)).sum())


def length(guides: np.ndarray) -> np.ndarray:
    """(G,) metres along guides (G, P, 3)."""
    return np.linalg.norm(np.diff(guides, axis=1), axis=-1).sum(1)


def reach(points: np.ndarray) -> float:
    """Metres from the top of hair with points (N, 3) down to where it ends beside the head."""
    height = np.maximum(points[:, 1], 0.54)  # what is further down no photo shows
    return float(height.max() - np.percentile(height[np.abs(points[:, 0]) > 0.06], 5))


def angles(guides: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N,) degrees between guides and the nearest of the true strands (L, Q, 3) on the hair's outside."""
    middle, way = guides[:, 8:-4], np.gradient(guides, axis=1)[:, 8:-4]
    true_way = np.gradient(truth, axis=1).reshape(-1, 3)
    away, near = cKDTree(truth.reshape(-1, 3)).query(middle.reshape(-1, 3))
    cosine = (way.reshape(-1, 3) * true_way[near]).sum(1)
    cosine /= np.linalg.norm(way.reshape(-1, 3), axis=1) * np.linalg.norm(true_way[near], axis=1) + 1e-12
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))[away < 0.01]


def test_every_choice_is_a_style() -> None:
    assert list(OPTIONS["hair_style"].names) == ["auto", "shaved", BALDING, *STYLES]


@pytest.mark.parametrize("name", ["crew", "side part", "bob", "long straight"])
def test_hair_is_found_again_from_three_photos(template: Template, name: str) -> None:
    truth = grown(template, name)
    guides = guides_of(template, [made_view(template, yaw, truth) for yaw in YAWS])
    assert overlap(guides, made_view(template, LEFT_OUT, truth)) > 0.78
    assert reach(guides.reshape(-1, 3)) == pytest.approx(reach(truth.reshape(-1, 3)), rel=0.25)


@pytest.mark.parametrize(("name", "most"), [("slicked back", 35.0), ("long straight", 25.0)])
def test_strands_run_as_the_photos_show_them_from_roots_to_tips(template: Template, name: str, most: float) -> None:
    """Lines have no sign, these angles have: hair that is combed the wrong way round is off by 180 degrees."""
    truth = grown(template, name)
    guides = guides_of(template, [made_view(template, yaw, truth) for yaw in (*YAWS, -80.0, 80.0)])
    assert np.median(angles(guides, truth)) < most


def test_hair_brushed_back_does_not_fall_over_the_forehead(template: Template) -> None:
    truth = grown(template, "slicked back")
    guides = guides_of(template, [made_view(template, yaw, truth) for yaw in YAWS])
    front = (guides[:, 0, 2] > 0.09) & (np.abs(guides[:, 0, 0]) < 0.04)
    assert front.sum() > 20
    assert np.median(guides[front, -1, 2] - guides[front, 0, 2]) < -0.01


def test_a_told_style_curls_and_has_the_photos_length(template: Template) -> None:
    truth = grown(template, "bob")
    views = [made_view(template, yaw, truth) for yaw in YAWS]
    guides = guides_of(template, views, "long curls")
    assert overlap(guides, made_view(template, LEFT_OUT, truth)) > 0.7
    assert np.median(length(curled(guides, STYLES["long curls"].curl)) / length(guides)) > 1.2


def test_who_is_told_to_be_balding_has_hair_at_the_sides_and_none_over_the_forehead(template: Template) -> None:
    views = [made_view(template, yaw, grown(template, "crew")) for yaw in YAWS]
    surface = ring_alone(hair_surface(hull_grid(template, template.vertices), views))
    roots = trace_guides(surface, direction_field(surface, views), views)[:, 0]
    side = np.abs(np.arctan2(roots[:, 0], roots[:, 2] - AXIS_Z))
    assert (side > 1.2).sum() > 100
    assert (side < 0.8).sum() == 0


def test_who_is_told_to_be_shaved_has_no_hair(template: Template) -> None:
    assert fit_hair(template, None, (), told_style="shaved").strands is None


@pytest.mark.parametrize(("hue", "lighter", "bare"), [
    (6.8, -2.8, True), (9.3, 24.7, True), (12.5, 7.1, True), (9.2, -15.9, False), (7.8, -23.3, False),
    (9.7, 9.8, True), (13.7, 11.4, False), (14.5, -1.9, False),
])  # fmt: skip
def test_a_scalp_that_shines_is_skin_and_thin_or_dark_stubble_is_hair(hue: float, lighter: float, bare: bool) -> None:
    """Measured on three shaved heads, one with thin hair and one crop, then on official portraits, one shaved and two
    with thin white hair. Shine on the second passed for white hair."""
    assert is_skin(hue, lighter) == bare


@pytest.mark.parametrize(("beside", "height", "ring"), [
    ((70, 50, 40), 0.005, True), ((160, 125, 110), 0.005, False), ((160, 125, 110), 0.010, True),
])  # fmt: skip
def test_a_ring_that_is_dark_or_stands_off_is_not_shaved(
    template: Template, beside: tuple[int, ...], height: float, ring: bool
) -> None:
    """The top's shine, labelled as hair, outweighed the ring, and the man had no hair at all; so had one whose ring is
    nearly of the skin's colour. The shadow of shaved sides is no ring. One pale photo of three has no say."""
    cameras = [made_view(template, yaw, None).camera for yaw in YAWS]
    grid = hull_grid(template, template.vertices)
    full = np.ones((COLUMNS, ROWS))
    surface = HairSurface(grid, full, full, height * full, full)
    faces, photos = [], []
    for number, camera in enumerate(cameras):
        line = camera.project(np.array([0.0, 0.79, 0.0]))[1]
        high = np.arange(camera.size[1])[:, None, None] < line
        pixels = np.where(high, (235, 190, 175), (230, 185, 170) if number == 0 else beside)
        pixels = (pixels * np.ones((*camera.size, 1))).astype(np.uint8)
        labels = np.full(camera.size, FaceClass.HAIR)
        labels[-20:], pixels[-20:] = FaceClass.SKIN, (205, 160, 145)
        photos.append(SimpleNamespace(name=str(number), camera=camera))
        faces.append(SimpleNamespace(name=str(number), labels=labels, pixels=pixels, monochrome=False))
    assert has_ring(surface, SimpleNamespace(photos=photos), faces) == ring


@pytest.fixture(scope="module")
def parted(template: Template) -> np.ndarray:
    """(G, P, 3) guides of hair that is parted in the middle and covers a centimetre of the forehead."""
    grid = hull_grid(template, template.vertices)
    below, full = grid.s - grid.line[:, None], np.ones((COLUMNS, ROWS))
    surface = HairSurface(grid, (below < 0.01) * full, (below < 0) * full, 0.012 * full, full)
    return trace_guides(surface, direction_field(surface, (), STYLES["side part"]), ())


def test_hair_leaves_its_parting_to_the_sides(parted: np.ndarray) -> None:
    """Directions of the two sides were smoothed into each other, and a strip of hair ran along the parting."""
    root, later = parted[:, [0, 6]].transpose(1, 0, 2)
    beside = (np.abs(root[:, 0]) < 0.012) & (root[:, 1] > 0.80) & (root[:, 2] > 0.07)
    way = (later - root)[beside]
    aside = np.abs(way[:, 0]) / np.linalg.norm(way, axis=1)
    assert beside.sum() > 30 and np.quantile(aside, 0.1) > 0.2


def test_no_strand_runs_along_the_parting(parted: np.ndarray) -> None:
    """Hair over the forehead that no root reached was joined to strands further up, which lay on the parting."""
    at_line = (np.abs(parted[..., 0]) < 0.008) & (parted[..., 2] > 0.06)
    ahead = np.ptp(np.where(at_line, parted[..., 2], parted[:, :1, 2]), axis=1)
    assert (ahead > 0.02).sum() <= 2


def test_hair_beside_a_parting_stands_and_falls_over(template: Template) -> None:
    """It rose at a slant to both sides: a trench as deep as the hair is high, and as wide."""
    grid = hull_grid(template, template.vertices)
    below, full = grid.s - grid.line[:, None], np.ones((COLUMNS, ROWS))
    surface = HairSurface(grid, (below < 0.15) * full, (below < 0) * full, 0.024 * full, full)
    guides = trace_guides(surface, direction_field(surface, (), STYLES["side part"]), ())
    own = guides[(np.abs(guides[:, 0, 0]) < 0.006) & (guides[:, 0, 2] > 0.05) & (guides[:, 0, 1] > 0.78)]
    points = np.stack([points_along(guide, np.linspace(0, arc_length(guide)[-1], 200)) for guide in own])
    high = cKDTree(grid.points.reshape(-1, 3)).query(points)[0] * (np.abs(points[..., 0]) < 0.008)
    assert np.median(high.max(1)) > 0.017


def test_locks_beside_the_face_do_not_hang_before_it(template: Template) -> None:
    view = made_view(template, 0.0, "bob")
    guides = guides_of(template, [view])
    wide, narrow = lock_widths(guides, ()), lock_widths(guides, [view])
    hidden = [(hair_outline(guides, each, template, template.vertices, view) * (view.face > 0.5)).sum()
              for each in (wide, narrow)]  # fmt: skip
    assert (narrow <= wide).all() and hidden[1] < 0.9 * hidden[0]
    assert np.median(narrow) > 0.9 * np.median(wide), "elsewhere they hide the scalp"
    outside = (votes(guides[:, :-4], view) < 0).all(1)
    assert (narrow[outside] == narrow.min()).all(), "they were wide, as none of them could hang out"


def test_roots_are_as_dense_on_the_left_as_on_the_right(template: Template) -> None:
    """They lay in rows, 3.4 millimetres apart on the right and 4.6 on the left."""
    root = guides_of(template, [made_view(template, 0.0, "bob")])[:, 0]
    near = cKDTree(root).query(root, k=2)[0][:, 1]
    right, left = (np.quantile(near[side * root[:, 0] > 0.02], [0.1, 0.5]) for side in (-1, 1))
    np.testing.assert_allclose(right, left, rtol=0.1)
    assert min(right[0], left[0]) > 0.004


def test_a_fringe_that_spreads_from_a_parting_has_no_gaps(template: Template) -> None:
    """It was a comb: strands ran aside, and few were left."""
    grid = hull_grid(template, template.vertices)
    below = grid.s - grid.line[:, None]
    full = np.ones(below.shape)
    covered = (below < 0.05) * full
    surface = HairSurface(grid, covered, (below < 0) * full, 0.012 * full, full)
    aside = 3.0 * np.tanh(grid.points[..., :1] / 0.02) * [1.0, 0.0, 0.0]
    way = unit_vectors(grid.down + (below < 0.02)[..., None] * aside)
    guides = trace_guides(surface, DirectionField(way[None], full), ())
    azimuth, height = np.arctan2(guides[..., 0], guides[..., 2] - AXIS_Z), guides[..., 1]
    front = np.abs(azimuth[:, -1]) < 0.3
    low = np.sort(azimuth[front & (height[:, -1] < height[front, -1].min() + 0.015), -1])
    assert len(low) > 18 and np.diff([-0.3, *low, 0.3]).max() < 0.09


def test_hair_does_not_run_out_over_the_hairline_of_a_bare_forehead(template: Template) -> None:
    """Such hair ended after a centimetre, as a dark tuft at the parting."""
    grid = hull_grid(template, template.vertices)
    inside = (grid.s < grid.line[:, None]).astype(float)
    surface = replace(hair_surface(grid, ()), coverage=inside, roots=inside)
    ahead = (along_hairline(surface, unit_vectors(grid.down + grid.around)) * grid.down).sum(-1)
    front = np.abs(grid.azimuth) < 0.4
    border = front & (np.abs(grid.s - grid.line[:, None]) < 0.007)
    assert border.sum() > 20 and np.median(ahead[border]) < 0.35
    np.testing.assert_allclose(ahead[front & (grid.s < 0.05)], np.sqrt(0.5), atol=0.05)  # as it was, further up


def test_hair_gives_way_to_the_shoulders_without_a_kink(template: Template) -> None:
    head = template.vertices[: template.head.vertex_stop].astype(np.float64)
    x, z = (each.ravel() for each in np.meshgrid([-0.12, -0.1, 0.09, 0.11], [-0.03, -0.01, 0.0, 0.02, 0.04]))
    y = np.linspace(0.80, 0.45, 24)
    strands = np.stack(np.broadcast_arrays(x[:, None], y, z[:, None]), -1)
    bent = off_body(strands, head, template)
    assert np.abs(bent - strands).max() > 0.03
    step = np.diff(bent, axis=1)
    step /= np.linalg.norm(step, axis=-1, keepdims=True)
    turn = np.degrees(np.arccos(np.clip((step[:, 1:] * step[:, :-1]).sum(-1), -1, 1)))
    assert turn.max() < 35, "it turned by more than 60 degrees from one point to the next"


def test_hair_ends_where_the_photos_show_none(template: Template) -> None:
    """Long hair of which the photos' lower part shows nothing is cut there."""
    views = []
    for yaw in YAWS:
        view = made_view(template, yaw, "long straight")
        chin = int(view.camera.project(np.array([0.0, 0.66, 0.08]))[1])
        views.append(replace(view, hair=np.where(np.arange(len(view.hair))[:, None] < chin, view.hair, 0)))
    guides = guides_of(template, views)
    seen = np.abs(guides[:, -1, 0]) > 0.075  # beside the neck, where photos look
    assert np.percentile(guides[seen, -1, 1], 10) > 0.62


def layer(grid: HullGrid, height: float) -> np.ndarray:
    """(L, P, 3) strands that stand straight off the scalp, everywhere by so many metres."""
    azimuth, s = (each.ravel() for each in np.meshgrid(np.linspace(-np.pi, np.pi, 192), np.linspace(0, 0.25, 80)))
    grows = s < grid.at(grid.line[:, None].repeat(ROWS, 1), azimuth, s)
    root, normal = (grid.at(each, azimuth[grows], s[grows])[:, None] for each in (grid.points, grid.normal))
    return (root + np.linspace(0, height, 12)[:, None] * normal).astype(np.float32)


@pytest.mark.parametrize("name", ["slicked back", "quiff"])
def test_hair_swept_back_has_no_parting(template: Template, name: str) -> None:
    """Lines of swept hair, which follow its outline, agreed a little better with a parting: a notch with two lobes."""
    truth = grown(template, name)
    views = [made_view(template, yaw, truth) for yaw in YAWS]
    surface = hair_surface(hull_grid(template, template.vertices), views)
    assert len(direction_field(surface, views).directions) == 1


@pytest.mark.parametrize("seed", range(4))
def test_noise_does_not_part_short_hair(template: Template, seed: int) -> None:
    """The best of fifteen combings always agreed with lines of blurred photos a little better than hair swept back."""
    grid, full = hull_grid(template, template.vertices), np.ones((COLUMNS, ROWS))
    scalp, fringe = ((grid.s < grid.line[:, None] + beyond) * full for beyond in (0.0, 0.03))
    surface = HairSurface(grid, scalp, scalp, 0.015 * full, full)
    before = replace(surface, coverage=fringe)
    random = np.random.default_rng(seed)
    down, around = gaussian_filter(random.normal(size=(2, COLUMNS, ROWS)), (0, 0.8, 0.8), mode="wrap")[..., None]
    line = unit_vectors(down * grid.down + around * grid.around)
    noise = line[..., :, None] * line[..., None, :]
    assert find_parting(surface, noise, full) == find_parting(before, noise, full) == Parting(0.0, 0.0, 1.0)
    for way in (Parting(0.0, 0.0, 1.0, 0.03, True), Parting(1.0, 1.7, 0.3, 0.03, True)):
        lines = combing(before, way)
        told = find_parting(before, 0.5 * noise + 0.5 * lines[..., :, None] * lines[..., None, :], full)
        assert told == way, "before the forehead, too: swept hair hung down as a fringe"
    swept = combing(surface, Parting(-1.0, 0.6, 1.0, 0.03))
    clear = 0.5 * noise + 0.5 * swept[..., :, None] * swept[..., None, :]
    assert find_parting(surface, clear, full).offset == -1.0, "lines that run alike are believed"


def test_ends_of_long_hair_hang_and_do_not_turn_up_over_the_chest(template: Template) -> None:
    """Strands stood off along the normal of the hull, which turns upwards where the neck ends: locks lay crosswise."""
    grid = hull_grid(template, template.vertices)
    full = np.ones((COLUMNS, ROWS))
    beside = (np.abs(grid.azimuth) > 0.7) * (grid.points[..., 1] > 0.5)
    surface = HairSurface(grid, beside * full, (grid.s < grid.line[:, None]) * full, 0.06 * full, full)
    guides = trace_guides(surface, direction_field(surface, ()), ())
    step, height = np.diff(guides, axis=1), guides[:, 1:, 1]
    low = (height < 0.64) & (height > 0.5)
    assert low.sum() > 1000 and (step[low, 1] > 0).mean() < 0.005


def test_hair_that_a_photo_sees_at_right_angles_has_a_height(template: Template) -> None:
    """Rounding made the cosine greater than one, and the fit failed."""
    view, grid = made_view(template, 0.0, "crew"), hull_grid(template, template.vertices)
    grid = replace(grid, normal=unit_vectors(view.camera.centre() - grid.points))
    assert np.isfinite(hair_surface(grid, [view]).height).all()


def test_hair_that_hangs_off_the_neck_is_there(template: Template) -> None:
    """Between a bob and the neck the photo shows what is behind: the hair ended at the ear."""
    grid = hull_grid(template, template.vertices)
    x, z = (
        each.reshape(-1, 1) for each in np.meshgrid([-0.11, -0.1, -0.09, 0.09, 0.1, 0.11], np.linspace(-0.02, 0.04))
    )
    bob = np.stack(np.broadcast_arrays(x, np.linspace(0.78, 0.64, 12), z), -1)
    hair = np.concatenate([layer(grid, 0.02), bob.astype(np.float32)])
    coverage = hair_surface(grid, [made_view(template, yaw, hair) for yaw in (0.0, 8.0)]).coverage
    around, height = np.abs(grid.azimuth), grid.points[..., 1]
    beside = (np.abs(around - 1.6) < 0.3) & (height > 0.67) & (height < 0.70)
    assert np.percentile(coverage[beside], 10) > 0.5
    assert coverage[(around < 0.5) & (height < 0.75) & (height > 0.67)].max() < 0.5, "the face is bare"


def test_hair_above_the_ears_leaves_them_free(template: Template) -> None:
    """One photo from the side shows hair beyond the far ear: it covered both ears to their lower half."""
    grid, ears = hull_grid(template, template.vertices), template.regions["ears"] > 0.5
    view = made_view(template, 40.0, layer(grid, 0.016))
    shown = silhouettes(template.vertices[ears][None], view)[0] * (1 - view.hair)
    coverage = hair_surface(grid, [replace(view, ears=shown)]).coverage
    around = np.abs(grid.azimuth)
    assert coverage[(around > 1.2) & (around < 1.5) & (grid.s > 0.17) & (grid.s < 0.21)].max() < 0.5
    assert coverage[(around < 1.8) & (grid.s < grid.line[:, None] - 0.01)].min() > 0.5


def test_thin_hair_behind_the_ears_reaches_to_the_hairline(template: Template) -> None:
    """What a photo shows beside the head, 2 cm off it, says nothing of thinner hair: crops ended a centimetre early."""
    grid = hull_grid(template, template.vertices)
    views = [made_view(template, yaw, layer(grid, 0.008)) for yaw in (0.0, -20.0, 20.0)]
    above = grid.line[:, None] - grid.s
    behind = (np.abs(grid.azimuth) > 1.7) & (above > 0.003) & (above < 0.012)
    assert hair_surface(grid, views).coverage[behind].min() > 0.5


def test_hair_that_labels_end_in_a_straight_line_has_sideburns(template: Template) -> None:
    """Labels of small heads end sideburns above the ear: short hair was cut straight there."""
    grid = hull_grid(template, template.vertices)
    straight = np.where(np.abs(grid.azimuth) < 1.7, grid.points[..., 1] > 0.74, grid.s < grid.line[:, None]) * 1.0
    coverage, _ = along_usual_line(grid, straight, straight)
    lowest = np.where(coverage > 0.5, grid.points[..., 1], 1.0).min(1)
    sideburn, ear = (lowest[np.abs(np.abs(grid.azimuth[:, 0]) - at) < 0.06].mean() for at in (1.13, 1.45))
    assert sideburn < ear - 0.008


def test_short_hair_fades_at_its_edge(template: Template) -> None:
    """All hair of the last two centimetres ended on the hair's edge, which was a step."""
    surface = hair_surface(hull_grid(template, template.vertices), ())
    guides = trace_guides(surface, direction_field(surface, ()), ())
    tree = cKDTree(surface.grid.points.reshape(-1, 3))
    below = np.broadcast_to(surface.grid.s - surface.grid.line[:, None], surface.coverage.shape).ravel()
    root, tip = (below[tree.query(guides[:, end])[1]] for end in (0, -1))
    behind = (guides[:, 0, 2] < -0.02) & (root > -0.03) & (root < -0.012)
    assert behind.sum() > 15 and np.median(tip[behind]) < -0.007


def test_hair_goes_on_beyond_the_border_of_the_photo(template: Template) -> None:
    """The file ends at half the hair's height above the crown: hair had a flat top there, half as high."""
    grid, height = hull_grid(template, template.vertices), 0.024
    view = made_view(template, 0.0, layer(grid, height))
    top = np.flatnonzero((view.hair > 0.5).any(1))[0] + 0.5 * height * view.pixels_per_metre
    inside = np.arange(len(view.hair))[:, None] >= top
    found = hair_surface(grid, [replace(view, hair=view.hair * inside, visible=view.visible * inside)]).height
    assert found[:, :8].min() > 0.7 * height, "5 cm about the crown"


def test_hair_that_is_seen_aslant_is_no_higher_than_it_is(template: Template) -> None:
    """A photo from the front sees the hair above the forehead before that of the crown."""
    grid, height = hull_grid(template, template.vertices), 0.024
    found = hair_surface(grid, [made_view(template, 0.0, layer(grid, height))]).height
    front = found[(np.abs(grid.azimuth) < 0.6)[:, 0], 10:16]
    assert 0.9 * height < np.median(front) < 1.2 * height
    assert front.max() < 1.25 * height


def test_hair_is_as_long_on_the_side_that_no_photo_shows(template: Template) -> None:
    guides = guides_of(template, [made_view(template, yaw, "bob") for yaw in (30.0, 45.0, 60.0)])
    left, right = (np.median(length(guides)[side * guides[:, 0, 0] > 0.04]) for side in (1, -1))
    assert left == pytest.approx(right, rel=0.25)


def test_no_strand_lies_in_the_head_or_in_the_face(template: Template) -> None:
    guides = guides_of(template, [made_view(template, yaw, "mop") for yaw in YAWS])
    points = attach(guides, template, template.vertices)[0][:, 2:].reshape(-1, 3)
    head = template.vertices[: template.head.vertex_stop].astype(np.float64)
    normals = vertex_normals(head, triangles_from_quads(template.quads[: template.head.face_stop]))
    near = cKDTree(head).query(points)[1]
    assert (((points - head[near]) * normals[near]).sum(-1) < -0.002).mean() < 0.01
    face = template.regions["face"][: len(head)] * (head[:, 2] > 0.09) * (head[:, 1] < 0.74) > 0.5
    left, right = head[face, 0].min(), head[face, 0].max()
    inside = (points[:, 2] > 0.10) & (points[:, 1] > 0.66) & (points[:, 1] < 0.74)
    inside &= (points[:, 0] > 0.6 * left) & (points[:, 0] < 0.6 * right)
    assert inside.mean() < 0.01


def test_cropped_hair_lies_on_the_neck(template: Template) -> None:
    guides = guides_of(template, [made_view(template, yaw, "crew") for yaw in YAWS])
    root = guides[:, 0]
    lowest = (root[:, 2] < 0.0) & (np.abs(root[:, 0]) < 0.05) & (root[:, 1] < 0.70)
    assert lowest.sum() > 20
    vertices, triangles = closed_head(template.vertices.astype(np.float64), template)
    near = cKDTree(vertices).query(guides[lowest])[1]
    height = ((guides[lowest] - vertices[near]) * vertex_normals(vertices, triangles)[near]).sum(-1)
    assert np.median(height.max(1)) < 0.012


def test_a_crop_is_as_thick_behind_as_beside(template: Template) -> None:
    """No photo shows the back: it had the usual 14 mm, twice those of the sides."""
    grid = hull_grid(template, template.vertices)
    surface = hair_surface(grid, [made_view(template, yaw, layer(grid, 0.006)) for yaw in (0.0, 20.0)])
    behind = (np.abs(grid.azimuth) > 2.4) & (np.abs(grid.s - 0.12) < 0.02)
    assert np.median(surface.height[behind]) < 0.0115


def test_a_crop_is_no_curtain_at_the_nape(template: Template) -> None:
    """The hull hangs before the neck, and hair of 1 cm hung with it, a cap cut straight behind."""
    grid = hull_grid(template, template.vertices)
    guides = guides_of(template, [made_view(template, yaw, layer(grid, 0.010)) for yaw in YAWS])
    vertices, triangles = closed_head(template.vertices.astype(np.float64), template)
    points = guides[(np.abs(guides[..., 0]) < 0.04) & (guides[..., 1] < 0.70) & (guides[..., 2] < 0)]
    near = cKDTree(vertices).query(points)[1]
    height = ((points - vertices[near]) * vertex_normals(vertices, triangles)[near]).sum(-1)
    assert len(points) > 100 and np.percentile(height, 90) < 0.010


def test_high_hair_is_not_five_times_as_long_as_it_stands(template: Template) -> None:
    """Crops that stand 25 mm off the head had smooth locks of 12 cm."""
    grid = hull_grid(template, template.vertices)
    full = np.ones((COLUMNS, ROWS))
    scalp = full * (grid.s < grid.line[:, None])
    field = DirectionField(grid.down[None], full)
    guides = trace_guides(HairSurface(grid, scalp, scalp, 0.025 * full, full), field, ())
    assert 0.04 < np.percentile(length(guides), 90) < 0.095


def test_below_a_cap_hair_begins_where_it_usually_does(template: Template) -> None:
    """Beyond the cap's outline a photo shows none, which made the forehead bald to the crown."""
    bare = made_view(template, 0.0, None)
    brim = int(bare.camera.project(np.array([0.0, 0.80, 0.0]))[1])
    head = cv2.dilate(np.isfinite(bare.depth).astype(np.uint8), disc(round(0.02 * bare.pixels_per_metre)))
    cap = ((head > 0) & (np.arange(len(bare.depth)) < brim)[:, None]).astype(np.float32)
    view = replace(bare, visible=bare.visible * (1 - cap), face=bare.face * (1 - cap), covered=cap)
    grid = hull_grid(template, template.vertices)
    surface = hair_surface(grid, [view])
    front = (np.abs(grid.azimuth) < 0.5) & (grid.s < grid.line[:, None] - 0.03)
    forehead = (np.abs(grid.azimuth) < 0.5) & (grid.s > grid.line[:, None] + 0.015) & (grid.s < 0.2)
    for grows in (surface.coverage, surface.roots):
        assert grows[front].min() > 0.5 > grows[forehead].max()


def test_the_crown_behind_a_bald_front_is_bald(template: Template) -> None:
    """From the front alone nobody sees it: it had two thirds of the roots of a full head."""
    view = made_view(template, 0.0, "side part")
    ring = int(view.camera.project(np.array([0.0, 0.775, 0.0]))[1])
    top = np.arange(len(view.hair))[:, None] < ring
    view = replace(view, face=np.where(top, view.hair, view.face), hair=np.where(top, 0, view.hair))
    grid = hull_grid(template, template.vertices)
    roots = hair_surface(grid, [view]).roots
    assert roots[:, :8].max() < 0.25, "5 cm about the crown"
    assert roots[(np.abs(grid.azimuth) > 2.4) & (np.abs(grid.s - 0.13) < 0.02)].min() > 0.75, "the ring behind"


def test_a_skull_that_is_fitted_too_tall_is_not_bald_on_top(template: Template) -> None:
    """The photo shows background where the fitted crown would be: no skin is seen there."""
    view = made_view(template, 0.0, "side part")
    crown = template.vertices[: template.head.vertex_stop, 1].max()
    top = int(view.camera.project(np.array([0.0, crown - 0.012, 0.02]))[1])
    guides = guides_of(template, [replace(view, hair=np.where(np.arange(len(view.hair))[:, None] < top, 0, view.hair))])
    assert (guides[:, 0, 1] > crown - 0.02).sum() > 120


def test_a_top_that_is_bald_in_front_is_bald_behind_and_has_a_ring(template: Template) -> None:
    """Wigs hung behind bald foreheads."""
    views = []
    for yaw in YAWS:
        view = made_view(template, yaw, "side part")
        ring = int(view.camera.project(np.array([0.0, 0.775, 0.0]))[1])
        top = np.arange(len(view.hair))[:, None] < ring
        views.append(replace(view, face=np.where(top, view.hair, view.face), hair=np.where(top, 0, view.hair)))
    roots = guides_of(template, views)[:, 0]
    behind = roots[roots[:, 2] < 0.0]
    assert len(roots) > 100 and (roots[roots[:, 2] > 0.05, 1] > 0.80).mean() < 0.05
    assert (behind[:, 1] > 0.80).mean() < 0.15, "the top's back is bald"
    assert ((behind[:, 1] < 0.76) & (np.abs(behind[:, 0]) < 0.04)).sum() > 10, "the ring closes behind"


def test_hair_on_the_shoulders_is_reached_from_the_scalp(template: Template) -> None:
    """Hair that hangs in front of the shoulders has no root above it: a strand that has one is led there."""
    truth = grown(template, "long straight")
    guides = guides_of(template, [made_view(template, yaw, truth) for yaw in YAWS])
    high = guides[:, 0, 1] > 0.66
    assert high.mean() > 0.99 and np.linalg.norm(np.diff(guides, axis=1), axis=-1).max() < 0.06


def test_many_styles_on_one_head_have_the_hulls_of_as_many_heads(template) -> None:
    head = torch.from_numpy(template.vertices[: template.head.vertex_stop]).float()[None]
    room = torch.tensor([0.0, 0.01, 0.02])
    one, many = (
        hull_surface(head_hull(template), head, room),
        hull_surface(head_hull(template), head.expand(3, -1, -1), room),
    )
    torch.testing.assert_close(one.maps, many.maps)
    torch.testing.assert_close(one.scale, many.scale)


def test_roots_lie_on_the_surface_where_their_uv_says(template) -> None:
    guides = np.array([[[0.0, 0.86, 0.03], [0.0, 0.90, 0.03]], [[0.08, 0.78, 0.0], [0.12, 0.70, 0.0]]], np.float32)
    points, root_uv = attach(guides, template, template.vertices)
    split = triangles_from_quads(template.quads[: template.head.face_stop])
    corners = template.uv_head[triangles_from_quads(template.uv_head_quads[: template.head.face_stop])]
    for root, uv in zip(points[:, 0], root_uv, strict=True):
        a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
        area = np.cross(b - a, c - a)
        weights = np.stack([np.cross(b - uv, c - uv), np.cross(c - uv, a - uv), np.cross(a - uv, b - uv)], 1)
        weights = weights / np.where(np.abs(area) < 1e-12, 1.0, area)[:, None]
        triangle = int(weights.min(1).argmax())
        place = (template.vertices[split[triangle]] * weights[triangle][:, None]).sum(0)
        assert np.linalg.norm(place - root) < 0.002


def test_curls_are_helices_and_straight_hair_stays() -> None:
    t = np.linspace(0, 1, 24)
    line = np.stack([0.08 + 0 * t, 0.8 - 0.3 * t, 0.0 * t], 1)[None]
    assert curled(line, STYLES["crew"].curl) is line
    curl = STYLES["long curls"].curl
    turned = curled(line, curl)
    away = np.linalg.norm(turned[0, :, [0, 2]].T - [0.08, 0.0], axis=1)
    assert 0.6 * curl.radius < np.median(away[len(away) // 4 :]) < 1.4 * curl.radius
    angle = np.unwrap(np.arctan2(turned[0, :, 2], turned[0, :, 0] - 0.08)[len(away) // 4 :])
    turns = abs(angle[-1] - angle[0]) / (2 * np.pi) / 0.75
    assert turns == pytest.approx(0.3 / curl.pitch, rel=0.35)
    np.testing.assert_allclose(turned[0, 0], line[0, 0], atol=1e-6)


def test_the_leading_photo_is_the_first_wherever_it_is_in_the_fit(
    monkeypatch: pytest.MonkeyPatch, template: Template
) -> None:
    """Above a bald top views are made again: the fit's first photo, and not the look's, then led."""
    asked = []
    monkeypatch.setattr(
        "backend.hair.fit_hair.strand_colours", lambda line, *told: asked.append(told) or (line[:, 0], line[:, 1])
    )
    grid = hull_grid(template, template.vertices)
    views = [made_view(template, yaw, layer(grid, 0.008)) for yaw in YAWS[:2]]
    told = HairVotes(grid, Look("c", ("c", "a")), views, [view_votes(grid, view) for view in views], False, ())
    photos = tuple(SimpleNamespace(name=name) for name in "abc")
    fitted = make_dataclass("Fitted", ["neutral", "photos"])(template.vertices, photos)
    hair_of_look(template, fitted, (), told, "afro short")
    ((of_look, _, others),) = asked
    assert [photo.name for photo in of_look.photos] == ["c", "a"] and [photo.name for photo in others] == ["b"]


def test_locks_that_stand_hide_the_scalp_at_the_hairline(monkeypatch: pytest.MonkeyPatch, template: Template) -> None:
    """They were narrowed like locks that hang before the face: specks on bare skin."""
    monkeypatch.setattr("backend.hair.fit_hair.strand_colours", lambda line, *_: (line[:, 0], line[:, 1]))
    grid = hull_grid(template, template.vertices)
    views = [made_view(template, yaw, layer(grid, 0.008)) for yaw in YAWS]
    told = HairVotes(grid, Look("", ()), views, [view_votes(grid, view) for view in views], False, ())
    fitted = make_dataclass("Fitted", ["neutral", "photos"])(template.vertices, ())
    hair = hair_of_look(template, fitted, (), told, "afro short")
    np.testing.assert_array_equal(hair.width, lock_widths(hair.points, ()))


def test_locks_meet_on_the_scalp_and_do_not_grow_beyond_their_edge() -> None:
    """Roots in half of a square, some eight millimetres from each other: hair up to the middle, none behind it."""
    generator = np.random.default_rng(4)
    roots = np.concatenate([generator.random((300, 2)) * [0.1, 0.2], np.zeros((300, 1))], 1)
    guides = np.repeat(roots[:, None], 24, 1) + np.linspace(0, 0.05, 24)[:, None] * [0.0, 0.0, 1.0]
    width = lock_widths(guides, ())
    assert width.dtype == np.float32
    inner = np.concatenate([generator.random((2000, 2)) * [0.07, 0.17] + 0.015, np.zeros((2000, 1))], 1)
    covered = (np.linalg.norm(inner[:, None] - roots, axis=-1) < 0.5 * width).any(1)
    assert covered.mean() > 0.85
    beyond = roots[:, 0] + 0.5 * width
    assert np.quantile(beyond, 0.99) < 0.1 + 0.007
    np.testing.assert_array_equal(lock_widths(guides, (), Style(rope=0.009)), np.full(len(roots), 0.009, np.float32))
