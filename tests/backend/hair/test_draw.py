"""Drawn hair: before the head and not through it, in its own colour, the same every time."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

sys.path.append(str(Path(__file__).parent))
from made_hair import camera
from made_strands import made_strands

from backend.geometry.template import load_template
from backend.geometry.vectors import unit_vectors
from backend.hair.draw import DRAWN, FinishedHairs, draw_hair, finished_hairs
from backend.hair.groom.description import load_grooms
from backend.hair.groom.dress import groom_strands
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
    shown = draw_hair(finished_hairs(before, 8000), camera(0.0), *head, WHITE)
    hidden = draw_hair(finished_hairs(behind, 8000), camera(0.0), *head, WHITE)
    middle = np.s_[45:62, 50:62]  # the face
    assert shown.alpha[middle].mean() > 0.2 and hidden.alpha[middle].max() == 0.0
    assert shown.alpha[:5].max() == 0.0 and shown.light[:5].min() == 1.0, "nothing where no hair is"
    assert shown.light[middle].min() < 0.5 and hidden.light[middle].min() == 1.0, "skin among hair is in its shade"


@pytest.mark.parametrize("brightness", [1.0, 0.05])
def test_hair_has_its_colour_under_white_light(head, brightness: float) -> None:
    """Black hair too: its colour was measured in photos, highlights and all."""
    strands = made_strands(400)
    colour = brightness * np.array([0.3, 0.15, 0.05], np.float32)
    strands = replace(strands, root_colour=np.tile(colour, (400, 1)), tip_colour=np.tile(colour, (400, 1)))
    drawn = draw_hair(finished_hairs(strands, DRAWN), camera(0.0), *head, WHITE)
    mean = drawn.color.sum((0, 1)) / drawn.alpha.sum()
    assert (
        drawn.alpha.max() == 1.0 and 0.75 < (mean @ LUMINANCE) / (colour @ LUMINANCE) < 1.25
    )  # other hair's shadow takes a little
    assert mean[0] / mean[1] == pytest.approx(2.0, rel=0.1), "white highlights are part of the colour, not added to it"
    assert mean[1] / mean[2] == pytest.approx(3.0, rel=0.15)


def test_hairs_that_lie_flat_grow_from_a_patch_of_skin(head) -> None:
    """A lock combed sideways covers skin on both sides of its guide's root."""
    vertices, faces = head
    top = vertices[vertices[:, 1].argmax()]
    along = np.linspace(0, 0.06, 12, dtype=np.float32)
    guide = np.stack([top[0] + along, np.full(12, top[1] + 0.001), np.full(12, top[2])], 1).astype(np.float32)
    guides = np.tile(guide, (30, 1, 1)) + np.linspace(-0.03, 0.03, 30, dtype=np.float32)[:, None, None] * [0, 0, 1]
    strands = replace(made_strands(30), points=guides.astype(np.float32), width=np.full(30, 0.012, np.float32))
    pose = np.eye(4)  # a camera a metre above, x to the head's left
    pose[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    pose[:3, 3] = -pose[:3, :3] @ (top + np.array([0.0, 1.0, 0.0]))
    above = Camera(np.array([[1000.0, 0, 100], [0, 1000.0, 100], [0, 0, 1.0]]), pose, (200, 200))
    drawn = draw_hair(finished_hairs(strands, DRAWN), above, vertices, faces, WHITE)
    column, row = above.project((guide[0] - [0.004, 0.0, 0.0])[None].astype(np.float64))[0, :2].astype(int)
    assert drawn.alpha[row - 4 : row + 5, column].mean() > 0.15


def test_more_pixels_get_more_hairs_and_the_picture_is_the_same_every_time(head) -> None:
    strands = made_strands(200)
    first, again = (draw_hair(finished_hairs(strands, DRAWN), camera(20.0), *head, WHITE) for _ in range(2))
    np.testing.assert_array_equal(first.color, again.color)
    large = draw_hair(finished_hairs(strands, DRAWN), camera(20.0).scaled(3.0), *head, WHITE)
    assert abs(large.alpha.mean() - first.alpha.mean()) < 0.25 * first.alpha.mean()


@pytest.fixture(scope="module")
def grown() -> dict[str, FinishedHairs]:
    """Grooms on the mean head, all of one grey."""
    names, vertices = ("quiff", "side_part", "lob", "coils", "braid", "layered"), load_template().vertices
    hairs = {name: groom_strands(load_grooms()[name], vertices) for name in names}
    grey = {name: np.full_like(one.root_colour, 0.2) for name, one in hairs.items()}
    return {name: finished_hairs(replace(one, root_colour=grey[name], tip_colour=grey[name]), DRAWN)
            for name, one in hairs.items()}  # fmt: skip


@pytest.mark.parametrize("name", ["quiff", "side_part"])
def test_the_border_at_the_forehead_is_even_and_falls_off(head, grown, name: str) -> None:
    """Locks on guides began as combs: teeth 5 mm wide with bare skin between, and full hair behind."""
    strands, roots = groom_strands(load_grooms()[name], load_template().vertices), grown[name].points[:, 0]
    edge = strands.scalp.edge[cKDTree(strands.scalp.vertices).query(roots)[1]]
    front = (roots[:, 2] > 0.05) & (np.abs(roots[:, 0]) < 0.035) & (roots[:, 1] > 0.75)
    rows = [roots[front & (edge > low) & (edge < low + 0.004)] for low in (0.0, 0.004, 0.012)]
    assert len(rows[0]) < 0.75 * len(rows[2]) and len(rows[0]) < 0.9 * len(rows[1]), "it falls off"
    away = [cKDTree(row).query(row, k=2)[0][:, 1] for row in rows[1:]]
    assert max(np.quantile(one, 0.98) for one in away) < 0.004, "no gap is as wide as a tooth"
    inner = strands.scalp.vertices[strands.scalp.edge > 0.012]
    assert name != "quiff" or np.quantile(cKDTree(roots).query(inner)[0], 0.98) < 0.0015, "spots about guides, 1.9 mm"


def test_short_hairs_are_drawn_as_more_and_finer_ones(grown) -> None:
    long, thick = np.linalg.norm(np.diff(grown["quiff"].points, axis=1), axis=2).sum(1), grown["quiff"].thick
    assert len(long) > 1.3 * DRAWN and round(thick[long > 0.03].max(), 6) == 1 and thick[long < 0.005].max() < 0.8


def test_tips_are_as_bright_as_what_hangs_above_them(head, grown) -> None:
    """Ends below the head were black, because their normals pointed down, away from every lamp."""
    light = light_from_directions(np.array([[0.0, 0.7, 0.7]]), np.full((1, 3), 0.8), 0.3)
    drawn = draw_hair(grown["lob"], camera(0.0).scaled(3.0), *head, light)
    told, rows = drawn.color.sum(-1) / np.maximum(drawn.alpha, 1e-3), np.flatnonzero((drawn.alpha > 0.9).sum(1) > 8)
    lowest, above = (np.median(told[part][drawn.alpha[part] > 0.9]) for part in (rows[-12:], rows[-60:-40]))
    assert lowest > 0.75 * above
    assert np.divide(*np.quantile(told[drawn.alpha > 0.95], [0.9, 0.1])) > 2.8, "blond hair was dull, 1.9"


def test_curls_of_a_groom_are_in_its_hairs_and_no_hair_is_folded(grown) -> None:
    """They were drawn straight, and braids, by 16 points a hair, as zigzags; so were hairs that fly away."""
    ways = {name: unit_vectors(np.diff(hairs.points, axis=1)) for name, hairs in grown.items()}
    turns = {name: np.arccos(np.clip((way[:, 1:] * way[:, :-1]).sum(-1), -1, 1)) for name, way in ways.items()}
    turns["coils"] = turns["coils"][grown["coils"].thick > 0.9]  # on top
    coils, quiff, braid = (np.quantile(turns[name].sum(1), [0.5, 0.95]) for name in ("coils", "quiff", "braid"))
    assert coils[0] > 8.0 and quiff[0] < 4.0 and braid[1] > 18.0
    assert np.quantile(turns["layered"][:, 3:].max(1), 0.99) < np.radians(90)  # it was 139 degrees


@pytest.mark.parametrize("name", ["layered", "long_wavy"])
def test_long_hair_ends_softly_and_without_gaps(name: str) -> None:
    """Hairs of one lock ended together: a comb, whose gaps had a seventh of its teeth's hairs."""
    tips = finished_hairs(groom_strands(load_grooms()[name], load_template().vertices), DRAWN).points[:, -1]
    back = tips[(tips[:, 2] < 0) & (np.abs(tips[:, 0]) < 0.05)]
    columns = [back[np.floor(back[:, 0] / 0.004) == k, 1] for k in range(-12, 12)]
    assert min(map(len, columns)) > 0.25 * np.median(list(map(len, columns)))
    assert 0.02 < np.median([column.std() for column in columns]) < 0.05, "soft, not ragged"
