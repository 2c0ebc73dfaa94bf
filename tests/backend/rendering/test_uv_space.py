import numpy as np

from backend.rendering.uv_space import dilate, gutter_source, rasterize_uv

# A square chart in the upper left quarter, two triangles.
UV = np.array([[0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def test_row_zero_is_v_one():
    raster = rasterize_uv(UV, FACES, 8)
    assert raster.resolution == 8
    expected = np.zeros((8, 8), bool)
    expected[:4, :4] = True
    np.testing.assert_array_equal(raster.covered, expected)
    assert raster.face_ids[0, 0] == 1 and raster.face_ids[3, 3] == 0
    assert raster.face_ids.dtype == np.int32 and raster.barycentrics.dtype == np.float32


def test_interpolated_uv_is_the_texel_centre():
    for resolution in (8, 50):
        raster = rasterize_uv(UV, FACES, resolution)
        place = raster.interpolate(UV, FACES)
        row, column = np.nonzero(raster.covered)
        np.testing.assert_allclose(place[row, column, 0], (column + 0.5) / resolution, atol=1e-6)
        np.testing.assert_allclose(place[row, column, 1], 1 - (row + 0.5) / resolution, atol=1e-6)
        assert (place[~raster.covered] == 0).all()


def test_blocks_of_rows_equal_one_block(monkeypatch):
    whole = rasterize_uv(UV, FACES, 33)
    monkeypatch.setattr("backend.rendering.uv_space._BLOCK", 100)
    parts = rasterize_uv(UV, FACES, 33)
    np.testing.assert_array_equal(whole.face_ids, parts.face_ids)
    np.testing.assert_allclose(whole.barycentrics, parts.barycentrics, atol=2e-6)
    np.testing.assert_allclose(whole.interpolate(UV, FACES), parts.interpolate(UV, FACES), atol=2e-6)


def test_attributes_of_the_mesh_through_its_own_faces():
    vertices = np.array([[5.0, 0, 0], [0, 7.0, 0], [0, 0, 9.0], [1, 1, 1], [2, 2, 2]])
    mesh_faces = np.array([[4, 0, 1], [4, 1, 2]])
    raster = rasterize_uv(UV, FACES, 16)
    image = raster.interpolate(vertices, mesh_faces)
    row, column = 4, 2
    corners = vertices[mesh_faces[raster.face_ids[row, column]]]
    np.testing.assert_allclose(image[row, column], raster.barycentrics[row, column] @ corners, rtol=1e-6)


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
