"""Relief for a result message: waves that are always there, and a stripe for each group of keys."""

from __future__ import annotations

import numpy as np

from backend.detail.skin_detail import KEY_GROUPS, SkinDetail, height_map

SIZE = 64


def made_up_detail() -> SkinDetail:
    """Waves of 0.2 mm; group number k has 1 mm in rows 3 k to 3 k + 2 of the lower half."""
    row, column = np.mgrid[:SIZE, :SIZE]
    always = 0.2 * np.sin(column / 3.0)
    wrinkles = {
        name: height_map(((row - SIZE // 2) // 3 == number) * 1.0, 4.0) for number, name in enumerate(KEY_GROUPS)
    }
    return SkinDetail(height_map(always, 4.0), wrinkles)
