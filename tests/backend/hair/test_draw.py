"""Drawn hair: before the head and not through it, in its own colour, the same every time."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from made_hair import camera
from made_strands import made_strands

from backend.geometry.template import load_template
from backend.hair.draw import _from_guide, _hairs, draw_hair, lock_axes, lock_edges
from backend.hair.hair_views import closed_head
from backend.rendering.camera import Camera
from backend.rendering.color import LUMINANCE
from backend.rendering.spherical_harmonics import light_from_directions

WHITE = light_from_directions(np.array([[0.0, 0.0, 1.0]]), np.zeros((1, 3)), 1.0)


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray]:
    template = load_template()
    return closed_head(template.vertices.astype(np.float64), template)


def test_the_head_hides_the_hair_behind_it(head) -> None:
    strands = made_strands(400)
    before = replace(strands, points=strands.points + np.array([0, -0.02, 0.25], np.float32))
    behind = replace(strands, points=strands.points + np.array([0, -0.02, -0.35], np.float32))
    shown = draw_hair(before, camera(0.0), *head, WHITE)
    hidden = draw_hair(behind, camera(0.0), *head, WHITE)
    middle = np.s_[45:62, 50:62]  # the face
    assert shown.alpha[middle].mean() > 0.2 and hidden.alpha[middle].max() == 0.0
    assert shown.alpha[:5].max() == 0.0, "nothing where no hair is"


@pytest.mark.parametrize("brightness", [1.0, 0.05])
def test_hair_has_its_colour_under_white_light(head, brightness: float) -> None:
    """Black hair too: its colour was measured in photos, highlights and all."""
    strands = made_strands(400)
    colour = brightness * np.array([0.3, 0.15, 0.05], np.float32)
    strands = replace(strands, root_colour=np.tile(colour, (400, 1)), tip_colour=np.tile(colour, (400, 1)))
    drawn = draw_hair(strands, camera(0.0), *head, WHITE)
    mean = drawn.color.sum((0, 1)) / drawn.alpha.sum()
    assert drawn.alpha.max() == 1.0
    luminance = np.array(LUMINANCE)
    assert 0.75 < (mean @ luminance) / (colour @ luminance) < 1.25  # other hair's shadow takes a little
    assert mean[0] / mean[1] == pytest.approx(2.0, rel=0.1), "white highlights are part of the colour, not added to it"
    assert mean[1] / mean[2] == pytest.approx(3.0, rel=0.15)


def test_hairs_that_lie_flat_grow_from_a_patch_of_skin(head) -> None:
    """A lock combed sideways covers skin on both sides of its guide's root."""
    vertices, faces = head
    top = vertices[vertices[:, 1].argmax()]
    along = np.linspace(0, 0.06, 12, dtype=np.float32)
    guide = np.stack([top[0] + along, np.full(12, top[1] + 0.001), np.full(12, top[2])], 1).astype(np.float32)
    guides = np.tile(guide, (30, 1, 1)) + np.linspace(-0.03, 0.03, 30, dtype=np.float32)[:, None, None] * [0, 0, 1]
    made = made_strands(30)
    strands = replace(made, points=guides.astype(np.float32), width=np.full(30, 0.012, np.float32))
    pose = np.eye(4)  # a camera a metre above, x to the head's left
    pose[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    pose[:3, 3] = -pose[:3, :3] @ (top + np.array([0.0, 1.0, 0.0]))
    above = Camera(np.array([[1000.0, 0, 100], [0, 1000.0, 100], [0, 0, 1.0]]), pose, (200, 200))
    drawn = draw_hair(strands, above, vertices, faces, WHITE)
    behind = above.project((guide[0] - [0.004, 0.0, 0.0])[None].astype(np.float64))[0]
    column, row = behind[:2].astype(int)
    assert drawn.alpha[row - 4 : row + 5, column].mean() > 0.15


def test_more_pixels_get_more_hairs_and_the_picture_is_the_same_every_time(head) -> None:
    strands = made_strands(200)
    first, again = (draw_hair(strands, camera(20.0), *head, WHITE) for _ in range(2))
    np.testing.assert_array_equal(first.color, again.color)
    large = draw_hair(strands, camera(20.0).scaled(3.0), *head, WHITE)
    assert abs(large.alpha.mean() - first.alpha.mean()) < 0.25 * first.alpha.mean()


def upright(head, length: float) -> np.ndarray:
    """(80, 8, 3) guides that stand on the crown in one place, the second half of them inside the head."""
    vertices, _ = head
    top = vertices[vertices[:, 1].argmax()]
    guide = top + np.linspace(0.001, 0.001 + length, 8)[:, None] * [0.0, 1.0, 0.0]
    return np.concatenate([np.tile(guide, (40, 1, 1)), np.tile(guide - [0.03, 0.08, 0.0], (40, 1, 1))])


def test_hairs_get_rarer_towards_the_edge_of_a_lock() -> None:
    """Evenly spread they ended in a line, and hair had scalloped edges."""
    distance = _from_guide((np.arange(20000) + 0.5) / 20000)
    edges = np.linspace(0.0, 1.29, 7)
    hairs, _ = np.histogram(distance, edges)
    density = hairs / np.diff(edges**2)
    line = density[0] - (density[0] - density[1]) * np.arange(6)
    np.testing.assert_allclose(density, line, atol=0.1 * density[0])
    assert density[-1] < 0.12 * density[0] and distance.max() <= 1.29 + 1e-6
    even = np.sqrt(0.5)  # root mean square in a disc of radius 1
    assert np.sqrt((distance**2).mean()) == pytest.approx(even, rel=0.01)


def test_hair_of_millimetres_forms_no_tufts(head) -> None:
    """Short hairs stand as they grow; long ones come together towards their tips."""
    width = 0.02
    spread = {}
    for length in (0.005, 0.06):
        guides = upright(head, length)
        edges = lock_edges(guides, np.full(len(guides), width), np.tile([0.0, 1.0, 0.0], (len(guides), 1)))
        spread[length] = np.linalg.norm(edges[0, 1:, -1] - edges[0, 0, -1], axis=-1).max() / (width / 2)
    assert spread[0.005] > 0.9 and spread[0.06] == pytest.approx(0.55, abs=0.01)


def fan(parts: float) -> np.ndarray:
    """(41, 12, 3) level guides of 8 cm, 8 mm apart on a flat scalp and ``parts`` times as far at their tips."""
    place = np.linspace(-0.16, 0.16, 41)
    along = np.linspace(0, 1, 12)[:, None]
    return np.stack(np.broadcast_arrays(
        place * (1 + (parts - 1) * along), np.full(41, 0.001), 0.08 * along
    ), -1).transpose(1, 0, 2)  # fmt: skip


@pytest.mark.parametrize("parts", [0.5, 1.0, 2.0])
def test_hair_fills_what_lies_between_its_guides(parts: float) -> None:
    """Locks kept their width, so that they were cords with gaps between them where hair spreads."""
    guides = fan(parts)
    _, axes, _ = lock_axes(guides, np.full(41, 0.008), np.tile([0.0, 1.0, 0.0], (41, 1)))
    tips = np.linalg.norm(axes[15:26, -1, 0], axis=-1)
    np.testing.assert_allclose(tips, parts, rtol=0.15)


def test_hair_does_not_spread_over_a_parting() -> None:
    guides = fan(1.0)
    side = np.sign(guides[:, :1, 0] - 0.004)
    guides[..., 0] += side * guides[..., 2]  # away from the parting to both sides
    _, axes, _ = lock_axes(guides, np.full(41, 0.008), np.tile([0.0, 1.0, 0.0], (41, 1)))
    assert np.linalg.norm(axes[:, :, 0], axis=-1).max() < 1.5


def test_only_the_front_row_is_the_hairline() -> None:
    rows = np.concatenate([fan(1.0) + np.array([0.0, 0.0, 0.008 * row]) for row in range(5)])
    rim = lock_axes(rows, np.full(len(rows), 0.008), np.tile([0.0, 1.0, 0.0], (len(rows), 1)))[2].reshape(5, 41)
    assert (rim[0] > 0.9).all() and (rim[1:, 1:-1] < 0.1).all()


@pytest.mark.parametrize("length, least", [(0.03, 0.03), (0.25, 0.01)])
def test_tips_do_not_lie_on_one_line(length: float, least: float) -> None:
    """Short hair ended on one surface, a helmet; at the hairline hairs are shorter, and fewer go far."""
    guides = np.ones(300)
    _, to, end, _ = _hairs(40, 0.01 * guides, length * guides, 0 * guides)
    assert least < end.std() and end.min() > 0.74
    stray = to.std((0, 1)) / np.minimum(length, 0.05)
    assert (stray > 0.03).all() and stray[1] < 0.9 * stray[0], "to the sides more than off the head"
    front = _hairs(40, 0.01 * guides, length * guides, guides)[2]
    assert front.mean() < end.mean() - 0.15 and np.quantile(front, 0.1) < 0.55 < np.quantile(front, 0.5)
