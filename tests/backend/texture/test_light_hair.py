"""Grey hair over dark brows: bright hair is no highlight on skin."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from backend.photos.collection import FaceClass
from backend.texture.bands import _light_hair


def photo(hair: float, brows: float) -> SimpleNamespace:
    """Two hundred texels of hair and as many of brows, so bright; hair counts for nothing as skin."""
    generator = np.random.default_rng(1)
    linear = np.repeat([hair, brows], 200)[:, None] * np.exp(0.1 * generator.normal(size=(400, 3)))
    labels = np.repeat([FaceClass.HAIR, FaceClass.BROWS], 200)
    weight = np.repeat([0.0, 1.0], 200)
    return SimpleNamespace(unwrap=SimpleNamespace(linear=linear, labels=labels, weight=weight), shown=np.ones(400))


@pytest.mark.parametrize(
    ("hair", "brows", "light"), [(0.45, 0.03, (1.0, 0.0)), (0.02, 0.03, (0.0, 0.0)), (0.45, 0.4, (1.0, 1.0))]
)
def test_hair_and_brows_are_judged_apart(hair: float, brows: float, light: tuple[float, float]) -> None:
    skin = np.full((400, 3), np.log(0.2))
    found = _light_hair(photo(hair, brows), np.zeros((400, 3)), skin, skin)
    np.testing.assert_allclose(found[:200], light[0], atol=1e-6)
    np.testing.assert_allclose(found[200:], light[1], atol=1e-6)
