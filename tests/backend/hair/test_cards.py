"""Hair cards: few enough triangles and whole maps; strands that are not whole are refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[2] / "blender_addon" / "scene")]
from made_strands import made_strands
from made_up_hair import made_up_hair
from portrait_camera import portrait_camera

from backend.geometry.template import load_template, triangles_from_quads
from backend.hair.cards import ATLAS_SIDE, COLUMNS, card_atlas, hair_cards
from backend.hair.hair_strands import MOST_GUIDES
from backend.rendering.rasterize import depth_map
from protocol.message import CARD_LEVELS


@pytest.mark.parametrize("guides", [20, 60, 1000, MOST_GUIDES])
def test_cards_stay_below_the_limit_and_follow_their_guides(guides: int) -> None:
    strands = made_strands(guides)
    cards = hair_cards(strands)
    assert 0 < len(cards.triangles) <= CARD_LEVELS[0]
    assert cards.triangles.max() == len(cards.vertices) - 1
    np.testing.assert_allclose(np.linalg.norm(cards.normals, axis=1), 1.0, atol=1e-4)
    assert cards.uv.min() >= 0 and cards.uv.max() <= 1
    outwards = cards.vertices * [1, 0, 1]
    assert ((cards.normals * outwards).sum(1) > 0).mean() > 0.95
    corners = cards.vertices[cards.triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((faces * cards.normals[cards.triangles].mean(1)).sum(1) > 0).mean() > 0.95  # else they are drawn black
    first, second = cards.vertices[:2].mean(0), cards.vertices[2:4].mean(0)
    behind = np.linalg.norm(first - strands.points[0, 0])
    assert 0 < behind < 2 * strands.width[0] and np.linalg.norm(second - strands.points[0, 0]) < np.linalg.norm(
        second - first
    )


@pytest.mark.parametrize("most, far", [(CARD_LEVELS[0], 0.003), (CARD_LEVELS[1], 0.006)])
def test_cards_bend_like_their_guides_and_lie_flat_on_the_hair(most: int, far: float) -> None:
    azimuth = np.arange(1000) * 2.399963  # evenly round the head
    down = np.linspace(0, 0.25, 24)[None] + 0.02 * (azimuth % 1)[:, None]  # a quarter of a circle, then straight down
    angle = np.minimum(down / 0.09, np.pi / 2)
    radius, height = 0.09 * np.sin(angle), 0.09 * np.cos(angle) - np.maximum(down - 0.09 * np.pi / 2, 0)
    guides = np.stack([radius * np.sin(azimuth)[:, None], height, radius * np.cos(azimuth)[:, None]], -1)
    made = made_strands(1000)
    cards = hair_cards(replace(made, points=guides.astype(np.float32)), most)
    points = int(np.flatnonzero(cards.uv[:, 1] > 0.9999)[2]) // 2
    edges = cards.vertices.reshape(-1, points, 2, 3).astype(float)
    number = np.arange(len(edges)) * len(guides) // len(edges)
    start, step = edges[:, None, :-1].mean(3), np.diff(edges.mean(2), axis=1)[:, None]
    away = guides[number][:, :, None] - start
    along = np.clip((away * step).sum(-1) / (step**2).sum(-1), 0, 1)
    layer = 0.25 * made.width[0]  # off the guide at most
    assert np.linalg.norm(away - along[..., None] * step, axis=-1).min(2).max() < far + layer
    across = np.diff(edges, axis=2)[:, :, 0]
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    assert np.abs((across * [0, 1, 0]).sum(-1)).max() < 0.1, "no edge stands up"
    assert (across[:, 1:] * across[:, :-1]).sum(-1).min() > 0.9, "no card is twisted"


@pytest.mark.parametrize("parts", [0.5, 1.0, 2.0])
def test_cards_fill_what_lies_between_guides_in_layers(parts: float) -> None:
    """They had the width of their locks, so there were gaps where hair spreads, and all lay on one surface."""
    made, down = made_strands(60, 24), np.linspace(0, 1, 24)
    points = made.points.copy()
    points[..., [0, 2]] *= ((1 + (parts - 1) * down) / (1 + down))[None, :, None]
    edges = hair_cards(replace(made, points=points)).vertices.reshape(60, -1, 2, 3)
    wide = np.linalg.norm(edges[:, :, 1] - edges[:, :, 0], axis=-1)
    np.testing.assert_allclose(np.median(wide[:, -1] / wide[:, 0]), parts, rtol=0.2)
    off = np.linalg.norm(edges.mean(2)[..., [0, 2]], axis=-1) - 0.08 * parts
    assert 0.0004 < off[:, -1].std() < 0.002


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
    assert atlas.strands.shape == (ATLAS_SIDE, ATLAS_SIDE, 4)
    cover = (atlas.strands[..., 3] > 90).mean(1)
    assert cover[: ATLAS_SIDE // 4].mean() > 1.3 * cover[-ATLAS_SIDE // 8 :].mean() > 0
    assert atlas.strands[..., 3].min() == 0
    card = ATLAS_SIDE // COLUMNS
    body = (atlas.strands[ATLAS_SIDE // 8 : ATLAS_SIDE // 2, :, 3] > 90).reshape(-1, COLUMNS, card).mean((0, 1))
    side, middle = np.r_[body[: card // 6], body[-card // 6 :]].mean(), body[card // 3 : -card // 3].mean()
    assert middle > 3 * side > 0, "hair ends in single strands, not in a line"
    assert cover[: ATLAS_SIDE // 100].mean() < 0.6 * cover[ATLAS_SIDE // 10 : ATLAS_SIDE // 4].mean()
    drawn = (atlas.strands[..., 3] > 90).reshape(ATLAS_SIDE, COLUMNS, card)
    near_root, below = (drawn[round(share * ATLAS_SIDE)].mean() for share in (0.05, 0.3))
    assert 0.1 * below < near_root < 0.7 * below, "roots have no straight edge"
    normal = atlas.normals.astype(float) / 127.5 - 1
    assert abs(np.linalg.norm(normal, axis=-1).mean() - 1) < 0.02


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
