"""The bust's texture: it begins in the neck's colours and becomes what goes with the face. Nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from backend.geometry.template import load_template, triangulate
from backend.geometry.vectors import smoothstep
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rig.bust import bust_shape, load_bust
from backend.texture.parts import with_bust
from backend.texture.surface import UvChart, build_atlases, head_surface, texture_space

SIDE = 512
TEMPLATE, MODEL = load_template(), load_bust()


@pytest.mark.parametrize("shade", [0.95, 0.3], ids=["usual neck", "neck in a beard's shade"])
def test_it_begins_in_the_necks_colours_and_ends_in_the_faces(shade: float) -> None:
    space, face = texture_space(TEMPLATE, SIDE), linear_from_srgb(np.uint8([200, 150, 120]))
    surface = head_surface(TEMPLATE)
    neck = surface.lifted(smoothstep(0.0, 0.3, surface.regions["neck"][: surface.count, None]))
    albedo = np.full((SIDE, SIDE, 3), 7, np.uint8)
    for atlas in (space.skin, space.inner):
        albedo.reshape(-1, 3)[atlas.texel] = srgb_bytes(face * shade ** atlas.sample(neck))
    albedo = albedo.reshape(-1, 3)[space.gutter].reshape(albedo.shape)
    shape = bust_shape(MODEL, TEMPLATE, TEMPLATE.vertices, TEMPLATE.expressions)
    found = with_bust(albedo, TEMPLATE, MODEL, shape.vertices)
    used = np.concatenate([space.skin.texel, space.inner.texel])
    np.testing.assert_array_equal(found.reshape(-1, 3)[used], albedo.reshape(-1, 3)[used])
    split = triangulate(MODEL.quads)
    (atlas,) = build_atlases([UvChart(MODEL.uv, split.apply(MODEL.uv_quads), split.faces)], SIDE)
    follows = atlas.sample(MODEL.follows[:, None])[:, 0]
    painted = np.log(linear_from_srgb(found.reshape(-1, 3)[atlas.texel]))
    beside, far = (np.median(painted[where], axis=0) for where in (follows > 0.97, follows < 0.01))
    assert np.abs(beside - np.log(face * shade)).max() < 0.12
    assert np.abs(far - np.log(face)).max() < 0.35 and abs((far - np.log(face)).mean()) < 0.3
    assert 0.005 < painted[follows < 0.01].std(0).max() < 0.15  # skin, not paint
