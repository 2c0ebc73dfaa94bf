"""Where a photo cannot show what the texture has there."""

from __future__ import annotations

import numpy as np

from backend.photos.collection import FaceClass
from backend.texture.surface import SurfaceAtlas
from backend.texture.unwrap import PhotoUnwrap, TexelRegions, screen

SIZE, DENSITY = 64, 1500.0  # texels per metre: 6 texels are 4 mm
EAR = 20  # columns left of it are the mesh's ear


NOTHING, EVERYWHERE = np.zeros(SIZE * SIZE, np.float32), np.ones(SIZE * SIZE, np.float32)


def _atlas() -> SurfaceAtlas:
    """Every pixel of a chart."""
    count = SIZE * SIZE
    return SurfaceAtlas(
        SIZE,
        np.arange(count),
        np.zeros((1, 3), np.int32),
        np.zeros(count, np.int32),
        np.full((count, 3), 1 / 3, np.float32),
    )


def _weight(regions: TexelRegions, labels: np.ndarray, linear: np.ndarray, away: float = 1.0) -> np.ndarray:
    """(SIZE, SIZE) what is left of a photo with labels (SIZE, SIZE) and linear light (SIZE, SIZE, 3)."""
    unwrap = PhotoUnwrap(
        linear=linear.reshape(-1, 3).astype(np.float32),
        labels=labels.ravel(),
        visible=EVERYWHERE,
        weight=EVERYWHERE,
        near_eye=EVERYWHERE,
        away=np.full(SIZE * SIZE, away, np.float32),
        cosine=EVERYWHERE,
    )
    return screen(unwrap, EVERYWHERE, regions, _atlas(), DENSITY).reshape(SIZE, SIZE)


def test_an_ear_beside_the_meshs_is_not_on_this_surface() -> None:
    ears = np.zeros((SIZE, SIZE), np.float32)
    ears[:, :EAR] = 1.0
    near_ears = np.tile((np.arange(SIZE) < EAR + 6).astype(np.float32), SIZE)
    regions = TexelRegions(NOTHING, NOTHING, 1.0 - ears.ravel(), near_ears, NOTHING)
    labels = np.full((SIZE, SIZE), FaceClass.SKIN, np.uint8)
    labels[:40, : EAR + 24] = FaceClass.EARS  # the photo's ear reaches 16 mm over the mesh's cheek
    found = _weight(regions, labels, np.broadcast_to([0.39, 0.30, 0.24], (SIZE, SIZE, 3)))
    assert found[5:30, EAR + 10 : EAR + 22].max() < 0.05, "an ear where the mesh has a cheek"
    assert found[5:30, : EAR - 4].min() > 0.95, "an ear on the mesh's ear"
    assert found[50:, :].min() > 0.95, "the mesh's ear under a label of skin, and the cheek"


def test_dark_skin_beside_a_frame_is_the_frame() -> None:
    """Rims of glasses are thinner than their labels, or beside them; the texture had dark lines below the eyes."""
    regions = TexelRegions(NOTHING, NOTHING, EVERYWHERE, NOTHING, NOTHING)
    linear = np.tile([0.39, 0.30, 0.24], (SIZE, SIZE, 1))
    linear[30:34] *= 0.3
    labels = np.full((SIZE, SIZE), FaceClass.SKIN, np.uint8)
    near, far = (_weight(regions, labels, linear, away) for away in (0.004, 0.03))
    assert near[30:34].max() < 0.05 < 0.95 < min(near[:20].min(), far.min())
