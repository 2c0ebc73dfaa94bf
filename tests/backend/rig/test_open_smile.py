"""Open smiles show the upper teeth, and the tongue lies behind and below them."""

from __future__ import annotations

import numpy as np
import pytest

from backend.geometry.template import load_template
from backend.rig.measure import part_slice
from backend.rig.personalise import personalise_keys
from protocol.names import ARKIT_INDEX

UPPER_LIP = 13  # MediaPipe: inner edge, in the middle


def incisors(mesh: np.ndarray, name: str) -> np.ndarray:
    """Vertices (M, 3) of a part within 8 mm of the middle, and within 5 mm of its front."""
    part = mesh[part_slice(load_template().parts[name])]
    middle = part[np.abs(part[:, 0]) < 0.008]
    return middle[middle[:, 2] > middle[:, 2].max() - 0.005]


@pytest.mark.parametrize("jaw", [0.2, 0.35])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_an_open_smile_shows_the_upper_teeth(jaw: float, seed: int | None) -> None:
    template = load_template()
    neutral = template.vertices.astype(np.float64)
    if seed is not None:
        identity = np.random.default_rng(seed).normal(0, 0.8, len(template.identity_modes))
        neutral = neutral + np.tensordot(identity, template.identity_modes, 1)
    keys = personalise_keys(template, neutral)
    smile = {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7, "jawOpen": jaw}
    posed = neutral + sum(weight * keys[ARKIT_INDEX[name]] for name, weight in smile.items())
    lip = template.landmarks478.positions(posed)[UPPER_LIP]
    teeth, tongue = incisors(posed, "teeth_upper"), incisors(posed, "tongue")
    assert teeth[:, 1].min() < lip[1] - 0.0015
    assert teeth[:, 2].max() < lip[2]
    assert tongue[:, 2].max() < teeth[:, 2].min() - 0.005


def test_closed_lips_hide_the_teeth() -> None:
    template = load_template()
    mesh = template.vertices.astype(np.float64)
    lip = template.landmarks478.positions(mesh)[UPPER_LIP]
    for name in ("teeth_upper", "teeth_lower", "tongue"):
        assert incisors(mesh, name)[:, 2].max() < lip[2] - 0.004
