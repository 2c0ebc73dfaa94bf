"""The dark line in which lids end."""

from __future__ import annotations

import numpy as np

from backend.texture.eyes import lash_line

RADIUS = 0.012


def test_lids_end_in_a_dark_line() -> None:
    """Lids one millimetre above the eyeball that touch it along an opening of eight millimetres."""
    turn = np.linspace(-np.pi, np.pi, 200, endpoint=False)
    x, y = 0.011 * np.cos(turn), 0.004 * np.sin(turn)
    rim = np.stack([x, y, np.sqrt(RADIUS**2 - x**2 - y**2)], 1)
    lid = rim * np.array([1.0, 2.5, 1.0])  # six millimetres up and down
    centre = np.array([0.03, 0.02, 0.01])
    share = lash_line(np.concatenate([rim, lid]) + centre, np.concatenate([rim, lid]) + centre, centre, RADIUS)
    middle = np.abs(x) < 0.004
    upper, lower = share[:200][middle & (y > 0)], share[:200][middle & (y < 0)]
    assert upper.max() < 0.7 and lower.min() > upper.max() and lower.max() < 0.95
    assert share[200:][middle].min() > 0.97
    assert share[:200][np.abs(x) > 0.0109].min() > share[:200][middle & (y > 0)].max()  # fades towards the corners
    np.testing.assert_array_equal(lash_line(lid, lid * 2.0, np.zeros(3), RADIUS), 1.0)  # nothing touches the eyeball
