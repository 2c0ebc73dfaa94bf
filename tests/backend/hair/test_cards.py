"""Hair cards: few enough triangles and whole maps; strands that are not whole are refused."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import Delaunay, cKDTree

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[2] / "blender_addon" / "scene")]
from made_strands import made_strands
from made_up_hair import made_up_hair
from portrait_camera import portrait_camera

from backend.geometry.template import load_template, triangles_from_quads
from backend.hair.draw import finished_hairs, hair_cards
from backend.hair.hair_strands import MOST_GUIDES, HairStrands, Scalp
from backend.rendering.rasterize import depth_map
from protocol.hair_cards import ATLAS_LENGTH, COLUMNS, bundled_cards, card_atlas, card_roots
from protocol.message import CARD_LEVELS


@pytest.mark.parametrize("guides", [20, 60, 1000, MOST_GUIDES])
def test_cards_stay_below_the_limit_and_follow_their_guides(guides: int) -> None:
    strands = made_strands(guides)
    cards = hair_cards(strands)
    assert 0 < len(cards.triangles) <= CARD_LEVELS[0] and cards.triangles.max() == len(cards.vertices) - 1
    np.testing.assert_allclose(np.linalg.norm(cards.normals, axis=1), 1.0, atol=1e-4)
    assert cards.uv.min() >= 0 and cards.uv.max() <= 1
    assert ((cards.normals * cards.vertices * [1, 0, 1]).sum(1) > 0).mean() > 0.95
    corners = cards.vertices[cards.triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((faces * cards.normals[cards.triangles].mean(1)).sum(1) > 0).mean() > 0.95  # else they are drawn black
    assert cKDTree(strands.points[:, 0]).query(card_roots(cards))[0].max() < 0.03, "cards begin among the roots"


def shell(guides: int = 1000) -> HairStrands:
    """Hair that follows a ball from its top for a quarter of a circle and then hangs straight down."""
    azimuth = np.arange(guides) * 2.399963  # evenly round the head
    down = np.linspace(0, 0.25, 24)[None] + 0.12 * np.sqrt((np.arange(guides) + 0.5) / guides)[:, None]
    angle = np.minimum(down / 0.09, np.pi / 2)
    radius, height = 0.09 * np.sin(angle), 0.09 * np.cos(angle) - np.maximum(down - 0.09 * np.pi / 2, 0)
    points = np.stack([radius * np.sin(azimuth)[:, None], height, radius * np.cos(azimuth)[:, None]], -1)
    return replace(made_strands(guides), points=points.astype(np.float32))


@pytest.mark.parametrize("most, far", [(CARD_LEVELS[0], 0.007), (CARD_LEVELS[1], 0.01)])
def test_cards_bend_like_the_hair_and_lie_flat_on_it(most: int, far: float) -> None:
    cards = hair_cards(shell(), most)
    points = int(np.flatnonzero(cards.uv[:, 1] > 0.9999)[2]) // 2
    edges = cards.vertices.reshape(-1, points, 2, 3).astype(float)
    middle = edges.mean(2)
    off = np.linalg.norm(middle * np.where(middle[..., 1:2] > 0, 1, [1, 0, 1]), axis=-1) - 0.09
    assert np.abs(off[:, 1:]).max() < far
    assert off.std() > 0.0005, "in layers, not on one surface"
    across = np.diff(edges, axis=2)[:, :, 0]
    assert np.linalg.norm(across, axis=-1).max() < 7 * far, "no card is wider than its hairs can fill"
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    assert np.quantile(np.abs((across * [0, 1, 0]).sum(-1)), 0.98) < 0.15, "no edge stands up"
    assert np.quantile((across[:, 1:] * across[:, :-1]).sum(-1), 0.02) > 0.9, "no card is twisted"


def test_hairs_that_do_not_grow_have_no_cards() -> None:
    hairs = finished_hairs(shell(), 4000).points
    hairs = np.where(np.arange(len(hairs))[:, None, None] % 5, hairs, hairs[:, :1])
    cards = bundled_cards(hairs, np.abs(hairs[:, 0]), np.abs(hairs[:, 0]), 0.0).vertices.reshape(-1, 16, 3)
    assert np.ptp(cards[:, 2:], axis=1).max(1).min() > 0.05


@pytest.mark.parametrize("parts", [0.5, 1.0, 2.0])
def test_cards_are_as_wide_as_their_hairs_lie_apart(parts: float) -> None:
    made, down = made_strands(60, 24), np.linspace(0, 1, 24)
    points = made.points.copy()
    points[..., [0, 2]] *= ((1 + (parts - 1) * down) / (1 + down))[None, :, None]
    edges = hair_cards(replace(made, points=points), CARD_LEVELS[2]).vertices.reshape(-1, 4, 2, 3)
    wide = np.linalg.norm(edges[:, :, 1] - edges[:, :, 0], axis=-1)
    np.testing.assert_allclose(np.median(wide[:, -1] / wide[:, 1]), parts / (1 + (parts - 1) / 3), rtol=0.2)


def test_no_hair_grows_between_the_two_sides_of_a_parting_or_where_the_scalp_is_bare() -> None:
    across, ahead = np.meshgrid(np.linspace(-0.05, 0.05, 20), np.linspace(-0.05, 0.05, 20))
    roots = np.stack([across.ravel(), 0 * across.ravel(), ahead.ravel()], 1)
    down = np.linspace(0, 1, 16)[None, :, None]
    points = roots[:, None] + 0.1 * down * (np.sign(roots[:, :1]) * [[1, -0.2, 0]])[:, None]
    strands = replace(made_strands(400), points=points.astype(np.float32))
    assert np.abs(finished_hairs(strands, 4000).points[:, -1, 0]).min() > 0.05
    bare = (roots[:, 2] < 0).astype(np.float32)
    maps = (1 - bare, 0.01 - 0.02 * bare, 0 * bare, 0 * bare + 0.1, 0 * bare)
    scalp = Scalp(roots.astype(np.float32), Delaunay(roots[:, [0, 2]]).simplices, roots[:, :2], *maps)
    half = replace(strands, scalp=scalp, scalp_uv=scalp.uv, free=0 * bare)
    hairs = finished_hairs(half, 4000).points
    assert np.abs(hairs[:, -1, 0]).min() > 0.04 and hairs[:, 0, 2].min() > -0.006, "no spacing of roots further"
    assert cKDTree(hairs[:, 0]).query(roots[(roots[:, 2] > 0) & (np.abs(roots[:, 0]) < 0.045)])[0].max() < 0.0025


@pytest.mark.parametrize("most", CARD_LEVELS)
def test_every_level_of_detail_hides_the_scalp(most: int) -> None:
    template = load_template()
    strands = made_up_hair(template, 900)
    cards = hair_cards(strands, most)
    assert 0.6 * most < len(cards.triangles) <= most
    head = template.vertices[: template.head.vertex_stop].astype(np.float64)
    triangles = triangles_from_quads(template.quads[: template.head.face_stop])
    near = cKDTree(strands.points[:, 0]).query(head, k=3)[0][:, -1] < 0.01
    both = np.concatenate([cards.triangles, cards.triangles[:, ::-1]])
    for yaw in (90.0, 180.0):
        camera = portrait_camera(np.array([0.0, 0.78, 0.02]), yaw, 128, 0.3)
        scalp = depth_map(head, triangles[near[triangles].all(1)], camera)
        seen = np.isfinite(scalp) & (scalp <= depth_map(head, triangles, camera) + 1e-4)
        assert seen.sum() > 500
        assert (depth_map(cards.vertices, both, camera)[seen] < scalp[seen]).mean() > 0.9


def test_the_strand_map_says_how_strands_run() -> None:
    atlas = card_atlas()
    hair = atlas.strands[..., 3] > 200
    flow = atlas.strand_map[..., :2][hair] / 127.5 - 1
    np.testing.assert_allclose(np.linalg.norm(flow, axis=1), 1, atol=0.02)
    assert (flow[:, 1] > 0.8).all() and flow[:, 0].std() > 0.02  # down the card, and not all alike
    assert len(np.unique(atlas.strand_map[..., 2][hair])) > 60  # a number for each of four times 44 strands
    assert atlas.strand_map[..., 3][~(atlas.strands[..., 3] > 0)].max() == 0


def test_the_atlas_has_strands_with_gaps_that_thin_out() -> None:
    atlas = card_atlas()
    drawn = (atlas.strands[..., 3] > 90).reshape(ATLAS_LENGTH, COLUMNS, -1)
    cover = drawn.mean(2)  # of each card along its length
    root, body, tip = (cover[round(at * ATLAS_LENGTH)] for at in (0.008, 0.3, 0.97))
    assert (root < 0.7 * body).all() and (tip < 0.35 * body).all(), "no straight edges at roots and tips"
    assert body[0] > 1.5 * body[7] > 0, "cards below are dense, those above have gaps"
    side, middle = drawn[..., :5].mean((0, 2)), drawn[..., 20:44].mean((0, 2))
    assert (middle > 2 * side).all(), "hair ends in single strands, not in a line"
    runs = np.abs(np.diff(drawn.astype(int), axis=2)).sum(2)[: ATLAS_LENGTH // 2].mean()
    assert runs > 6, "a card is strands with gaps, not one plate"
    assert abs(np.linalg.norm(atlas.normals / 127.5 - 1, axis=-1).mean() - 1) < 0.02


@pytest.mark.parametrize("field, value", [
    ("points", np.full((60, 16, 3), np.nan, np.float32)),
    ("points", np.zeros((60, 1, 3), np.float32)),
    ("width", np.zeros(59, np.float32)),
    ("root_colour", np.zeros((60, 3))),
    ("hair_radius", 1.0),
])  # fmt: skip
def test_strands_that_are_not_whole_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError):
        replace(made_strands(), **{field: value})
