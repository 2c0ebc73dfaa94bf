"""Where one photo's share ends and another's begins: no outline, whatever their light."""

import numpy as np

from backend.texture.blending import _blended

SIZE, BORDER = 256, 128


def test_photos_of_other_light_meet_without_an_outline() -> None:
    shape = (SIZE, SIZE)
    strands = 0.05 * np.sin(np.arange(SIZE) * np.pi / 2)[:, None, None].astype(np.float32)
    middles = [np.full((*shape, 3), level, np.float32) + strands for level in (-0.2, 0.2)]
    left = (np.arange(SIZE) < BORDER) * np.ones(shape, np.float32)
    shares, seen = [left, 1.0 - left], [np.ones(shape, np.float32)] * 2
    found = _blended(middles, shares, seen, np.zeros((*shape, 3), np.float32))
    plain = found[64:192].mean((0, 2))  # along the columns, without strands
    assert np.abs(np.diff(plain)).max() < 0.03, "it was 0.4 from one texel to the next"
    assert abs(plain[BORDER - 100] + 0.2) < 0.05 and abs(plain[BORDER + 100] - 0.2) < 0.05
    assert np.ptp(found[100:104, 40, 0]) > 0.08, "strands are as strong as in the photos"


def test_nothing_is_known_where_no_photo_has_a_share() -> None:
    shape = (64, 64)
    share = (np.arange(64) < 32) * np.ones(shape, np.float32)
    middle = np.full((*shape, 3), 0.3, np.float32)
    found = _blended([middle], [share], [share], middle)
    assert np.allclose(found[:, :32], 0.3, atol=1e-5) and not found[:, 32:].any()
