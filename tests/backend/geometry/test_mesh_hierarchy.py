"""The head at several resolutions: one surface at each, its own mirror image, and fine shapes survive the way down."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import coo_matrix

from backend.errors import DamagedFileError
from backend.geometry.mesh_hierarchy import HIERARCHY_PATH, load_mesh_hierarchy
from backend.geometry.template import boundary_edges, load_template, unique_edges
from protocol.names import ARKIT_INDEX


@pytest.fixture(scope="module")
def levels():
    return load_mesh_hierarchy().levels


def test_the_finest_level_is_the_head_and_each_other_a_quarter(levels) -> None:
    assert len(levels[0].vertices) == load_template().head.vertex_stop
    for fine, coarse in pairwise(levels):
        assert len(coarse.vertices) == pytest.approx(len(fine.vertices) / 4, rel=0.03)
        assert np.isin(coarse.vertices, fine.vertices).all()


def test_every_level_is_one_surface_without_holes_or_branches(levels) -> None:
    for level in levels:
        faces, edges = level.faces, unique_edges(level.faces)
        assert len(np.unique(faces)) == len(level.vertices)
        assert np.array_equal(edges, level.edges)
        pairs = np.sort(np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2), 1)
        assert np.unique(pairs, axis=0, return_counts=True)[1].max() <= 2
        # a disc: one border, the neck's, and nothing else open
        assert len(level.vertices) - len(edges) + len(faces) == 1
        border = boundary_edges(faces)
        assert len(np.unique(border)) == len(border)


def test_every_level_is_its_own_mirror_image(levels) -> None:
    mirror = load_template().mirror
    for level, finer in zip(levels, (None, *levels), strict=False):
        own = np.searchsorted(level.vertices, mirror[level.vertices])
        assert np.array_equal(level.vertices[own], mirror[level.vertices])
        turned = own[level.faces][:, ::-1]
        assert {_from_smallest(f) for f in level.faces} == {_from_smallest(f) for f in turned}
        if finer is not None:
            up = _matrix(level, finer).toarray()
            across = np.searchsorted(finer.vertices, mirror[finer.vertices])
            assert np.allclose(up[across][:, own], up, atol=1e-6)


def test_unpooling_gives_constants_and_kept_vertices_back(levels) -> None:
    template = load_template()
    for level, finer in zip(levels[1:], levels, strict=False):
        up = _matrix(level, finer)
        assert np.allclose(up.sum(1), 1, atol=1e-6)
        kept = np.searchsorted(finer.vertices, level.vertices)
        points = template.vertices[level.vertices]
        assert np.abs((up @ points)[kept] - points).max() < 1e-6


def test_a_smile_survives_the_first_level(levels) -> None:
    """And lips that touch do not pull at each other: opening the jaw is as exact."""
    template = load_template()
    count = template.head.vertex_stop
    up = _matrix(levels[1], levels[0])
    for name in ("mouthSmileLeft", "jawOpen"):
        key = template.expressions[ARKIT_INDEX[name], :count].astype(np.float64)
        error = up @ key[levels[1].vertices] - key
        assert np.linalg.norm(error) < 0.12 * np.linalg.norm(key)


def test_a_damaged_file_is_named(tmp_path) -> None:
    broken = tmp_path / "mesh_hierarchy.safetensors"
    broken.write_bytes(HIERARCHY_PATH.read_bytes()[:1000])
    with pytest.raises(DamagedFileError, match="mesh_hierarchy"):
        load_mesh_hierarchy(broken)


def _from_smallest(face: np.ndarray) -> tuple[int, ...]:
    return tuple(np.roll(face, -int(face.argmin())).tolist())


def _matrix(level, finer):
    values = (level.up_values.astype(np.float64), (level.up_rows, level.up_columns))
    return coo_matrix(values, (len(finer.vertices), len(level.vertices))).tocsr()
