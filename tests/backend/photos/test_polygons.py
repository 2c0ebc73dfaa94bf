"""Polygons and normals of a face's landmarks, on the mean face."""

from __future__ import annotations

import numpy as np
import pytest

from backend.photos.faces import mean_landmarks
from backend.photos.regions import EYE_RIGHT, FACE_OVAL, face_normals, grown, mirrored, polygon_mask


def test_polygons_lie_where_the_parts_are() -> None:
    face = mean_landmarks().points * 100 + [256.0, 256.0, 0.0]
    oval, eye = polygon_mask(face, FACE_OVAL, 512), polygon_mask(face, EYE_RIGHT, 512)
    assert oval[int(face[1, 1]), int(face[1, 0])]
    assert (eye & ~oval).sum() == 0
    rows, columns = np.nonzero(eye)
    assert [columns.mean(), rows.mean()] == pytest.approx(face[list(EYE_RIGHT), :2].mean(axis=0), abs=2)
    assert polygon_mask(face, mirrored(EYE_RIGHT), 512)[:, ::-1].sum() == pytest.approx(eye.sum(), rel=0.05)
    assert grown(eye, 3).sum() > eye.sum() > grown(eye, -1).sum()


def test_normals_point_out_of_the_face() -> None:
    face = mean_landmarks().points * 120 + [256.0, 256.0, 0.0]
    normals = face_normals(face, 512)
    right_cheek, left_cheek = face[123, :2].astype(int), face[352, :2].astype(int)
    assert normals[right_cheek[1], right_cheek[0], 0] < -0.2
    assert normals[left_cheek[1], left_cheek[0], 0] > 0.2
    chin, forehead = face[152, :2].astype(int), face[10, :2].astype(int)
    assert normals[chin[1] - 3, chin[0], 1] > normals[forehead[1] + 3, forehead[0], 1] + 0.2
    assert np.isfinite(normals).all()
