"""What an ear's folds leave on the skin before it is no part of the texture."""

import numpy as np
import pytest

from backend.texture.blending.residual_artefacts import folds_of_ears

SIZE, DENSITY = 96, 2700.0  # texels per metre: 8 texels are 3 mm
EAR = 40  # columns left of it are the mesh's ear


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
