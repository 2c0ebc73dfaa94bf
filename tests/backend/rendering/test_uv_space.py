import numpy as np

from backend.rendering.uv_space import dilate, gutter_source, texel_faces
from backend.texture.surface import UvChart, build_atlases, enlarged

# A square chart in the upper left quarter, two triangles.
UV = np.array([[0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def test_row_zero_is_v_one():
    face = texel_faces(UV, FACES, 8).reshape(8, 8)
    assert (face[:4, :4] >= 0).all() and (face[4:] == -1).all() and (face[:, 4:] == -1).all()
    assert face[0, 0] == 1 and face[3, 3] == 0 and face.dtype == np.int32


def test_interpolated_uv_is_the_texel_centre():
    for resolution in (8, 50):
        (atlas,) = build_atlases([UvChart(UV, FACES, FACES)], resolution)
        row, column = np.divmod(atlas.texel, resolution)
        place = np.stack([column + 0.5, resolution - row - 0.5], 1) / resolution
        np.testing.assert_allclose(atlas.sample(UV), place, atol=1e-6)
        assert (atlas.image(atlas.sample(UV))[resolution // 2 :] == 0).all()


def test_blocks_of_rows_equal_one_block(monkeypatch):
    (whole,) = build_atlases([UvChart(UV, FACES, FACES)], 33)
    monkeypatch.setattr("backend.rendering.uv_space._BLOCK", 100)
    (parts,) = build_atlases([UvChart(UV, FACES, FACES)], 33)
    np.testing.assert_array_equal(whole.texel, parts.texel)
    np.testing.assert_array_equal(whole.triangle, parts.triangle)
    np.testing.assert_allclose(whole.barycentrics, parts.barycentrics, atol=2e-6)


def test_attributes_of_the_mesh_through_its_own_faces():
    vertices = np.array([[5.0, 0, 0], [0, 7.0, 0], [0, 0, 9.0], [1, 1, 1], [2, 2, 2]])
    mesh_faces = np.array([[4, 0, 1], [4, 1, 2]])
    (atlas,) = build_atlases([UvChart(UV, FACES, mesh_faces)], 16)
    one = np.searchsorted(atlas.texel, 4 * 16 + 2)
    corners = vertices[mesh_faces[atlas.triangle[one]]]
    np.testing.assert_allclose(atlas.sample(vertices)[one], atlas.barycentrics[one] @ corners, rtol=1e-6)


def test_values_of_a_small_image_and_of_the_other_side(monkeypatch):
    """They are what they are of the whole image, however few rows are enlarged at a time."""
    (atlas,) = build_atlases([UvChart(0.9 * UV + [0.02, 0.0], FACES, FACES)], 64)
    monkeypatch.setattr("backend.texture.surface._PIECE", 50)
    rng = np.random.default_rng(0)
    for size in (64, 16, 24):
        image = rng.random((size, size, 3), dtype=np.float32)
        np.testing.assert_array_equal(atlas.gather_small(image), atlas.gather(enlarged(image, 64)))
        np.testing.assert_array_equal(atlas.gather_small(image[..., 0]), atlas.gather(enlarged(image[..., 0], 64)))
    values = np.arange(1, len(atlas.texel) + 1)
    across = atlas.across(atlas.places())
    flipped = atlas.gather(atlas.image(values)[:, ::-1])
    np.testing.assert_array_equal(np.where(across < 0, 0, values[across]), flipped)
    assert (across < 0).any()


def test_gutter_is_the_nearest_covered_texel():
    covered = np.zeros((5, 9), bool)
    covered[2, 1] = covered[2, 6] = True
    image = np.zeros((5, 9, 2), np.float32)
    image[2, 1], image[2, 6] = (1, 2), (3, 4)
    filled = dilate(image, covered)
    assert (filled[:, :4] == (1, 2)).all() and (filled[:, 4:] == (3, 4)).all()
    near = dilate(image, covered, pixels=1)
    assert (near[2, 2] == (1, 2)).all() and (near[2, 3] == 0).all() and (near[1, 2] == 0).all()
    assert (image[2, 2] == 0).all()  # the input stays
    assert gutter_source(covered)[2, 1] == 19


def test_gutter_of_nothing_and_of_everything():
    image = np.arange(12.0).reshape(3, 4)
    for covered in (np.zeros((3, 4), bool), np.ones((3, 4), bool)):
        np.testing.assert_array_equal(dilate(image, covered), image)
