"""Narrow strips between gaps, and what the folds of an ear leave on the skin, are no part of the texture."""

import numpy as np
import pytest

from backend.texture.blending.residual_artefacts import folds_of_ears, without_slivers

SIZE, DENSITY = 96, 2700.0  # texels per metre: 8 texels are 3 mm
EAR = 40  # columns left of it are the mesh's ear


def test_a_strip_between_two_holes_goes_and_a_broad_one_stays() -> None:
    cover = np.ones((SIZE, SIZE), np.float32)
    cover[20:40, 20:30] = cover[20:40, 34:44] = 0.0  # 4 texels between them
    cover[60:80, 20:30] = cover[60:80, 44:54] = 0.0  # 14 texels between them
    found = without_slivers(cover, DENSITY)
    assert found[24:36, 30:34].max() < 0.4
    assert found[64:76, 34:40].min() > 0.95
    assert found[48:52].min() > 0.95 and found[:, 60:].min() > 0.95
    assert np.all(found <= cover)


def test_what_is_shown_everywhere_or_nowhere_stays_so() -> None:
    assert without_slivers(np.ones((SIZE, SIZE), np.float32), DENSITY).min() > 0.999
    assert without_slivers(np.zeros((SIZE, SIZE), np.float32), DENSITY).max() == 0.0


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_dark_and_bright_specks_on_and_before_an_ear_are_found(sign: float) -> None:
    ears = np.zeros((SIZE, SIZE), np.float32)
    ears[:, :EAR] = 1.0
    detail = np.zeros((SIZE, SIZE, 3), np.float32)
    for column in (EAR - 10, EAR + 4, EAR + 30):
        detail[40:46, column - 3 : column + 3] = 0.4 * sign
    detail[70:76, EAR : EAR + 6] = 0.06 * sign
    found = folds_of_ears(ears, detail, DENSITY)
    assert found[42, EAR - 10] > 0.95 and found[42, EAR + 4] > 0.9
    assert found[39, EAR + 4] > 0.3, "the speck's soft edge goes with it"
    assert found[:, EAR + 20 :].max() < 0.01, "moles on the cheek stay"
    assert found[60:].max() < 0.01, "so does what hardly differs"


def test_what_begins_at_an_ear_goes_as_far_as_it_reaches() -> None:
    ears = np.zeros((SIZE, SIZE), np.float32)
    ears[:, :EAR] = 1.0
    detail = np.zeros((SIZE, SIZE, 3), np.float32)
    detail[20:24, EAR - 4 : EAR + 26] = -0.4  # hair tucked behind the ear
    detail[60:64, EAR + 22 : EAR + 30] = -0.4  # a mole as far from it
    found = folds_of_ears(ears, detail, DENSITY)
    assert found[21, EAR : EAR + 24].min() > 0.9
    assert found[50:].max() < 0.01
