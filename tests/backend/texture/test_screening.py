"""Where a photo cannot show what the texture has there."""

from __future__ import annotations

import numpy as np

from backend.photos.collection import FaceClass
from backend.texture.atlas import SurfaceAtlas
from backend.texture.screening import TexelRegions, screen
from backend.texture.unwrap import PhotoUnwrap

SIZE, DENSITY = 64, 1500.0  # texels per metre: 6 texels are 4 mm
EAR = 20  # columns left of it are the mesh's ear


def test_an_ear_beside_the_meshs_is_not_on_this_surface() -> None:
    count = SIZE * SIZE
    atlas = SurfaceAtlas(SIZE, np.arange(count), np.zeros((count, 3), np.int32), np.full((count, 3), 1 / 3, np.float32))
    ears = np.zeros((SIZE, SIZE), np.float32)
    ears[:, :EAR] = 1.0
    nothing, everywhere = np.zeros(count, np.float32), np.ones(count, np.float32)
    near_ears = np.tile((np.arange(SIZE) < EAR + 6).astype(np.float32), SIZE)
    regions = TexelRegions(nothing, nothing, nothing, 1.0 - ears.ravel(), nothing, nothing, near_ears, everywhere)
    labels = np.full((SIZE, SIZE), FaceClass.SKIN, np.uint8)
    labels[:40, : EAR + 24] = FaceClass.EARS  # the photo's ear reaches 16 mm over the mesh's cheek
    unwrap = PhotoUnwrap(
        linear=np.full((count, 3), 0.3, np.float32) * np.array([1.3, 1.0, 0.8], np.float32),
        labels=labels.ravel(),
        hair=nothing,
        seen=everywhere,
        weight=everywhere,
        near_eye=everywhere,
        with_hair=everywhere,
        away=everywhere,
        cosine=everywhere,
    )
    found = screen(unwrap, np.ones((count, 3), np.float32), regions, False, atlas, DENSITY).weight.reshape(SIZE, SIZE)
    assert found[5:30, EAR + 10 : EAR + 22].max() < 0.05, "an ear where the mesh has a cheek"
    assert found[5:30, : EAR - 4].min() > 0.95, "an ear on the mesh's ear"
    assert found[50:, :].min() > 0.95, "the mesh's ear under a label of skin, and the cheek"
