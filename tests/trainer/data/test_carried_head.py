from dataclasses import replace

import numpy as np
import pytest

from trainer.data.carried_head import BEHIND, likeliest_head, tucked_in
from trainer.data.ict_head import SKIN_STOP, load_ict, shared_folder
from trainer.data.scan_registration import fit_surface
from trainer.template.scans import TriangleMesh


def sheet(size: int, z: float, half: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """A square of vertices (size², 3) at height z, seen from +z, and its triangles."""
    axis = np.linspace(-half, half, size)
    x, y = np.meshgrid(axis, axis)
    ids = np.arange(size * size).reshape(size, size)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[:-1, 1:].ravel(), ids[1:, 1:].ravel(), ids[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return np.stack([x, y, np.full_like(x, z)], -1).reshape(-1, 3), faces


def test_a_fading_field_leaves_what_is_far_from_the_scan_where_it_was():
    vertices, faces = sheet(21, 0.0)
    target, target_faces = sheet(61, 0.003)
    movable = (vertices[:, 0] < -0.01).astype(float)
    following = fit_surface(vertices, faces, movable, target, target_faces)
    fading = fit_surface(vertices, faces, movable, target, target_faces, fading=0.01 * (vertices[:, 0] > 0.0))
    far = vertices[:, 0] > 0.022
    assert following[far, 2].min() > 0.0025
    assert np.abs(fading[far, 2]).max() < 0.0003
    np.testing.assert_allclose(fading[vertices[:, 0] < -0.022, 2], 0.003, atol=3e-5)


def test_only_what_faces_away_is_tucked_behind_the_scan():
    scan = TriangleMesh(*sheet(61, 0.0))
    outside, faces = sheet(11, 0.001, 0.03)
    np.testing.assert_allclose(tucked_in(outside, faces, scan), outside)
    inside = tucked_in(outside, faces[:, ::-1], scan)
    np.testing.assert_allclose(inside[:, 2], -BEHIND)
    deep, _ = sheet(11, -0.002, 0.03)
    np.testing.assert_allclose(tucked_in(deep, faces[:, ::-1], scan), deep)


@pytest.mark.skipif(not (shared_folder() / "faces3d").is_dir(), reason="needs ../shared/faces3d")
def test_a_mask_of_a_face_tells_where_its_ears_are():
    from trainer.data.ict_skin import fine_ict
    from trainer.data.scan_heads import tragus_ids

    whole, fine = load_ict(), fine_ict()
    model = replace(whole, identity=whole.identity[:12])
    person = model.shaped(np.array([1.5, -1.2, 1.0, 0.8, -1.0, 1.2, 0.5, -0.7, 0.9, 0.0, 0.6, -0.4]))
    turned = person[: fine.matrix.shape[1]]
    in_mask = (person[:SKIN_STOP, 2] > 0.045) & (np.abs(person[:SKIN_STOP, 1]) < 0.08)
    faces = model.skin[in_mask[model.skin].all(1)]
    used, renumbered = np.unique(faces, return_inverse=True)
    scan = TriangleMesh(person[used], renumbered.reshape(-1, 3))
    marks = fine.landmarks.on(turned, fine.coarse_faces)
    found = likeliest_head(model, fine, scan, marks, np.flatnonzero(fine.landmarks.steady))
    ears = list(tragus_ids())
    off, mean_off = (np.linalg.norm(head[ears] - person[ears], axis=1).max() for head in (found, whole.neutral))
    assert off < 0.002
    assert off < 0.4 * mean_off
