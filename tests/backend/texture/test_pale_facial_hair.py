"""Grey brows are no highlight on skin."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from backend.photos.collection import FaceClass
from backend.texture.blending import _pale_facial_hair


def photo(brows: float) -> SimpleNamespace:
    """Two hundred texels of brows, so bright, and as many of skin."""
    generator = np.random.default_rng(1)
    linear = np.repeat([0.2, brows], 200)[:, None] * np.exp(0.1 * generator.normal(size=(400, 3)))
    labels = np.repeat([FaceClass.SKIN, FaceClass.BROWS], 200)
    return SimpleNamespace(unwrap=SimpleNamespace(linear=linear, labels=labels, weight=np.ones(400)))


@pytest.mark.parametrize(("brows", "light"), [(0.03, 0.0), (0.4, 1.0)])
def test_brows_that_are_lighter_than_skin_are_light(brows: float, light: float) -> None:
    found = _pale_facial_hair(photo(brows), np.zeros((400, 3)), np.full((400, 3), np.log(0.2)))
    assert found[:200].max() == 0.0
    np.testing.assert_allclose(found[200:], light, atol=1e-6)
