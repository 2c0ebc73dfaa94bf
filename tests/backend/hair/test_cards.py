"""Hair cards: few enough triangles and whole maps; strands that are not whole are refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from made_strands import made_strands

from backend.hair.cards import ATLAS_SIDE, COLUMNS, MOST_TRIANGLES, card_atlas, hair_cards
from backend.hair.hair_strands import MOST_GUIDES


@pytest.mark.parametrize("guides", [20, 60, 1000, MOST_GUIDES])
def test_cards_stay_below_the_limit_and_follow_their_guides(guides: int) -> None:
    strands = made_strands(guides)
    cards = hair_cards(strands)
    assert 0 < len(cards.triangles) <= MOST_TRIANGLES
    assert cards.triangles.max() == len(cards.vertices) - 1
    np.testing.assert_allclose(np.linalg.norm(cards.normals, axis=1), 1.0, atol=1e-4)
    assert cards.uv.min() >= 0 and cards.uv.max() <= 1
    outwards = cards.vertices * [1, 0, 1]
    assert ((cards.normals * outwards).sum(1) > 0).mean() > 0.95
    corners = cards.vertices[cards.triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((faces * cards.normals[cards.triangles].mean(1)).sum(1) > 0).mean() > 0.95  # else they are drawn black
    first = cards.vertices[:2].mean(0)
    np.testing.assert_allclose(first, strands.points[0, 0], atol=1e-5)


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
