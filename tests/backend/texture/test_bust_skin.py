"""The bust's texture: it begins in the neck's colours, and nothing else of the map changes."""

from __future__ import annotations

import numpy as np

from backend.geometry.template import load_template, triangulate
from backend.rendering.color import linear_from_srgb
from backend.rig.bust import bust_shape, load_bust
from backend.texture.parts import with_bust
from backend.texture.surface import UvChart, build_atlases, texture_space

SIDE = 512
TEMPLATE, MODEL = load_template(), load_bust()


def test_it_begins_in_the_necks_colours_and_ends_in_their_median() -> None:
    space, neck = texture_space(TEMPLATE, SIDE), np.uint8([[200, 150, 120], [150, 100, 80]])
    albedo = np.full((SIDE, SIDE, 3), 7, np.uint8)
    for row, quad in zip(
        TEMPLATE.uv_head_quads[: TEMPLATE.head.face_stop], TEMPLATE.quads[: TEMPLATE.head.face_stop], strict=True
    ):
        corners = TEMPLATE.uv_head[row]
        low = np.floor([corners[:, 0].min() * SIDE, (1 - corners[:, 1].max()) * SIDE]).astype(int)
        high = np.ceil([corners[:, 0].max() * SIDE, (1 - corners[:, 1].min()) * SIDE]).astype(int)
        dark = TEMPLATE.vertices[quad, 0].mean() < -0.04  # the right side of the neck, a third of its rim
        albedo[low[1] : high[1] + 1, low[0] : high[0] + 1] = neck[int(dark)]
    shape = bust_shape(MODEL, TEMPLATE, TEMPLATE.vertices, TEMPLATE.expressions)
    found = with_bust(albedo, TEMPLATE, MODEL, shape.vertices)
    used = np.concatenate([space.skin.texel, space.inner.texel])
    np.testing.assert_array_equal(found.reshape(-1, 3)[used], albedo.reshape(-1, 3)[used])
    split = triangulate(MODEL.quads)
    (atlas,) = build_atlases([UvChart(MODEL.uv, split.apply(MODEL.uv_quads), split.faces)], SIDE)
    place, follows = atlas.sample(shape.vertices), atlas.sample(MODEL.follows[:, None])[:, 0]
    painted = linear_from_srgb(found.reshape(-1, 3)[atlas.texel])
    light, dark = linear_from_srgb(neck)
    for where, wanted in (
        ((follows > 0.97) & (place[:, 0] > 0.0), light),
        ((follows > 0.97) & (place[:, 0] < -0.055), dark),
        (follows < 0.01, light),
    ):
        assert np.abs(np.log(np.median(painted[where], axis=0) / wanted)).max() < 0.12
    assert 0.005 < np.log(painted[follows < 0.01]).std(0).max() < 0.1  # skin, not paint
