"""Nostrils lie in the face's own chart; their paint has a soft rim, as wide on the skin whatever the texture's size."""

from __future__ import annotations

import numpy as np
import pytest

from backend.geometry.template import load_template
from backend.geometry.vectors import smoothstep, vertex_normals
from backend.texture import finishing as paint
from backend.texture.delighting import openness
from backend.texture.surface import head_surface, texture_space

NARROW_PERSON = 10
"""Of the people drawn below: one whose nostrils are deep enough to be painted (five of twelve have such)."""
BRIGHTNESS = np.array([0.2126, 0.7152, 0.0722])
STEEPEST = 0.6
"""Log units of brightness a millimetre."""


def steepest_rim(size: int) -> float:
    """Largest step of log brightness between neighbouring texels of the nose, where no photo shows any, per millimetre
    of skin between them."""
    template = load_template()
    surface, space = head_surface(template), texture_space(template, size)
    draw = np.random.default_rng(0)
    for _ in range(NARROW_PERSON + 1):
        weights = draw.normal(size=len(template.identity_modes))
    cage = (template.vertices + np.tensordot(weights, template.identity_modes, 1))[: surface.count].astype(np.float64)
    opening = surface.lifted(openness(cage, surface.cage_triangles, vertex_normals(cage, surface.cage_triangles)))
    tone = np.log(np.array([0.48, 0.29, 0.21], np.float32))
    skin = np.tile(tone, (len(surface.regions["nose"]), 1))
    log_skin = np.tile(tone, (len(space.skin.texel), 1))
    painted = paint.finish_skin(surface, space.skin, log_skin, skin, opening, np.zeros((size, size), np.float32))
    light = space.skin.image(np.log(painted @ BRIGHTNESS), np.nan)
    places = space.skin.image(space.skin.sample(1000.0 * surface.lifted(cage)), np.nan)
    nose = space.skin.image(space.skin.sample(surface.regions["nose"][:, None])[:, 0]) > 0.7
    steepest = 0.0
    for axis in (0, 1):
        both = np.minimum(nose, np.roll(nose, -1, axis)).astype(bool)
        step = np.abs(np.roll(light, -1, axis) - light)[both]
        apart = np.linalg.norm(np.roll(places, -1, axis) - places, axis=-1)[both]
        assert step.max() > 0.0, "a nostril is painted"
        steepest = max(steepest, float((step / np.maximum(apart, 1e-3)).max()))
    return steepest


@pytest.mark.parametrize("size", [1024, 2048])
def test_no_hard_line_runs_around_a_nostril(size: int) -> None:
    assert steepest_rim(size) < STEEPEST


def test_paint_with_a_hard_rim_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def hard(low: float, high: float, values: np.ndarray) -> np.ndarray:
        return (smoothstep(low, high, values) > 0.1).astype(np.float32)  # in full wherever there is any

    monkeypatch.setattr(paint, "smoothstep", hard)
    assert steepest_rim(1024) > 2.0 * STEEPEST
    assert steepest_rim(2048) > 4.0 * STEEPEST, "the finer the texture, the harder the line"
