"""Face masks that become whole heads: on the scan where there is one, plausible behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flat_sheet import flat_sheet

from backend.geometry.closest import TriangleMesh


def test_a_sheet_is_laid_on_a_scan_and_the_rest_of_it_stays_where_it_was() -> None:
    from backend.fitting.scan import laid_on

    points, faces = flat_sheet(41, 0.0)  # edges of 2.5 mm
    scan, triangles = flat_sheet(61, 0.002)
    left = scan[triangles][..., 0].max(1) < 0.0
    moved = laid_on(points, faces, np.ones(len(points)), TriangleMesh(scan, triangles[left]))
    inside, far = (points[:, 0] < -0.01) & (np.abs(points).max(1) < 0.04), points[:, 0] > 0.045
    np.testing.assert_allclose(moved[inside, 2], 0.002, atol=5e-5)
    assert np.abs(moved[far, 2]).max() < 0.0006
    np.testing.assert_allclose(moved[:, :2], points[:, :2], atol=2e-4)


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
