"""Face masks that become whole heads: on the scan where there is one, plausible behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.geometry.closest import TriangleMesh


def test_a_mask_of_a_face_tells_where_its_ears_are(shared_dir: Path) -> None:
    if not (shared_dir / "faces3d").is_dir():
        pytest.skip("needs ../shared/faces3d")
    from trainer.heads.foreign import completed
    from trainer.heads.population import SKIN_STOP, load_ict

    model = load_ict()
    person = model.shaped(np.array([1.5, -1.2, 1.0, 0.8, -1.0, 1.2, 0.5, -0.7, 0.9, 0.0, 0.6, -0.4]))
    in_mask = (person[:SKIN_STOP, 2] > 0.045) & (np.abs(person[:SKIN_STOP, 1]) < 0.08)
    used, faces = np.unique(model.skin[in_mask[model.skin].all(1)], return_inverse=True)
    head, scan = completed(TriangleMesh(person[used], faces.reshape(-1, 3)))
    assert np.median(np.linalg.norm(head[used] - scan, axis=1)) < 0.001
    middle = head[used].mean(0) - person[used].mean(0)
    places = np.array([[[0.0745, 0.012, 0.012]], [[-0.0745, 0.012, 0.012]]])  # metres, the mean face's ears
    ears = np.linalg.norm(model.neutral[:SKIN_STOP] - places, axis=-1).argmin(1)
    off, mean_off = (np.linalg.norm(ends[ears] - person[ears], axis=1).max() for ends in (head - middle, model.neutral))
    assert off < 0.004 and off < 0.6 * mean_off
