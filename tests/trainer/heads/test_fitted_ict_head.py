from dataclasses import replace

import numpy as np
import pytest
from flat_sheet import flat_sheet

from trainer.engine.disk_cache import shared_folder
from trainer.heads.ict import SKIN_STOP, TriangleMesh, load_ict
from trainer.heads.ict_skin import longest_border, most_probable_head, scanned_part, spread_field


def test_a_field_is_kept_where_it_is_held_and_fades_behind():
    vertices, faces = flat_sheet(41, 0.0)  # edges of 2.5 mm
    held = vertices[:, 0] < -0.02
    displacement = np.where(held[:, None], [0.0, 0.001, 0.002], 7.0)
    field = spread_field(faces, held, displacement, fading=4.0)
    np.testing.assert_allclose(field[held], displacement[held])
    beside, far = np.abs(vertices[:, 0] + 0.0175) < 1e-6, vertices[:, 0] > 0.02
    assert field[beside, 2].min() > 0.0015
    assert np.abs(field[far]).max() < 0.0001


def test_the_scanned_part_has_what_lies_in_its_holes_but_nothing_beyond_the_rim():
    scan, faces = flat_sheet(61, 0.0)
    middle = scan[faces].mean(1)
    faces = faces[np.linalg.norm(middle[:, :2] - 0.01, axis=1) > 0.008]  # a hole, as for an eye
    skin = np.array([[-0.01, 0, 0.001], [0.01, 0.01, 0.0], [-0.01, 0, -0.03], [0.06, 0, 0.0], [-0.052, 0.01, -0.002]])
    found = scanned_part(
        skin, scan[np.unique(faces)], longest_border(np.unique(faces, return_inverse=True)[1].reshape(-1, 3))
    )
    assert found.tolist() == [True, True, False, False, False]


@pytest.mark.skipif(not (shared_folder() / "faces3d").is_dir(), reason="needs ../shared/faces3d")
def test_a_mask_of_a_face_tells_where_its_ears_are():
    from trainer.heads.ict_skin import fine_ict
    from trainer.heads.scans import tragus_ids

    whole, fine = load_ict(), fine_ict()
    model = replace(whole, identity=whole.identity[:12])
    person = model.shaped(np.array([1.5, -1.2, 1.0, 0.8, -1.0, 1.2, 0.5, -0.7, 0.9, 0.0, 0.6, -0.4]))
    turned = person[: fine.matrix.shape[1]]
    in_mask = (person[:SKIN_STOP, 2] > 0.045) & (np.abs(person[:SKIN_STOP, 1]) < 0.08)
    faces = model.skin[in_mask[model.skin].all(1)]
    used, renumbered = np.unique(faces, return_inverse=True)
    scan = TriangleMesh(person[used], renumbered.reshape(-1, 3))
    marks = fine.landmarks.on(turned, fine.coarse_faces)
    found = most_probable_head(model, fine, scan, marks, np.flatnonzero(fine.landmarks.steady))
    ears = list(tragus_ids())
    off, mean_off = (np.linalg.norm(head[ears] - person[ears], axis=1).max() for head in (found, whole.neutral))
    assert off < 0.002
    assert off < 0.4 * mean_off
