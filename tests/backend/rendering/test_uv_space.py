"""Pictures by place: texels of a map, and samples at pixel centres, borders and many points."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from backend.rendering import interpolate
from backend.rendering.rasterize import dilate, gutter_source, texel_faces
from backend.system.numba_cache import njit, prange
from backend.texture.surface import UvChart, build_atlases, enlarged

# A square chart in the upper left quarter, two triangles.
UV = np.array([[0.0, 0.5], [0.5, 0.5], [0.5, 1.0], [0.0, 1.0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
ROWS, COLUMNS = np.mgrid[:40, :60] + 0.5
RAMP = (10.0 * ROWS + COLUMNS).astype(np.float32)
"""Its value at (x, y) is 10 y + x, between the outermost pixel centres."""
POINTS = np.random.default_rng(0).uniform((0.5, 0.5), (59.5, 39.5), (5000, 2))
VALUES = 10.0 * POINTS[:, 1] + POINTS[:, 0]


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
    monkeypatch.setattr("backend.rendering.rasterize._BLOCK", 100)
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
    bands = [(atlas.part(band).across(), band.start) for band in atlas.bands()]
    across = np.concatenate([np.where(one < 0, -1, one + start) for one, start in bands])
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


def test_all_samplers_agree_on_a_ramp() -> None:
    np.testing.assert_allclose(interpolate.sample_exactly(RAMP, POINTS), VALUES, rtol=1e-6)
    assert (
        np.abs(interpolate.sample_image(RAMP, POINTS) - VALUES).max() <= 11 / 64 + 1e-3
    )  # OpenCV's step is a 32nd of a pixel
    picture = torch.from_numpy(RAMP)[None, None].double()
    grid = torch.from_numpy(2 * POINTS / (60, 40) - 1)[None]
    np.testing.assert_allclose(interpolate.sample_points(picture, grid)[0, :, 0].numpy(), VALUES, rtol=1e-6)
    uv = np.stack([POINTS[:, 0] / 60, 1 - POINTS[:, 1] / 40], -1)
    np.testing.assert_allclose(interpolate.sample_texture(RAMP[..., None], uv)[:, 0], VALUES, rtol=1e-6)


def test_beyond_the_border_its_pixels_are_repeated_or_a_value_is_taken() -> None:
    away = np.array([[-20.0, -20.0], [300.0, 300.0]])
    corners = [RAMP[0, 0], RAMP[-1, -1]]
    assert interpolate.sample_image(RAMP, away).tolist() == interpolate.sample_exactly(RAMP, away).tolist() == corners
    assert interpolate.sample_image(RAMP, away, outside=7.0).tolist() == [7.0, 7.0]


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_any_number_of_channels_and_points(channels: int) -> None:
    image = np.stack([RAMP + k for k in range(channels)], -1)
    for count in (0, 1, 5000):
        sampled = interpolate.sample_image(image, POINTS[:count])
        assert sampled.shape == (count, channels) and sampled.dtype == np.float32
        for k in range(channels):
            assert np.array_equal(sampled[:, k], interpolate.sample_image(RAMP + k, POINTS[:count]))
    assert interpolate.sample_exactly(image, POINTS.reshape(50, 100, 2)).shape == (50, 100, channels)


def test_labels_are_not_mixed() -> None:
    labels = (COLUMNS > 30).astype(np.uint8) * 9
    sampled = interpolate.sample_image(labels, POINTS, cv2.INTER_NEAREST)
    assert sampled.dtype == np.uint8 and set(sampled) == {0, 9}


@njit(cache=True, parallel=True, nogil=True)
def _floats_at(image, points, out):
    for i in prange(len(points)):
        for k in range(image.shape[2]):
            out[i, k] = interpolate.bilinear(image, points[i, 0], points[i, 1], k)


@njit(cache=True, parallel=True, nogil=True)
def _bytes_at(image, taps, points, out):
    for i in prange(len(points)):
        out[i, 0], out[i, 1], out[i, 2] = interpolate.sampled_bytes(image, taps, points[i, 0], points[i, 1])


def test_samples_in_loops_are_opencv_s_to_the_bit() -> None:
    random = np.random.default_rng(3)
    points = random.uniform(-6.0, 60.0, (20_000, 2)).astype(np.float32)
    points[:1000] = np.round(points[:1000] * 64.0) / 64.0  # half steps, which are rounded to even ones
    floats = random.standard_normal((40, 50, 3)).astype(np.float32)
    found = np.empty((len(points), 3), np.float32)
    _floats_at(floats, points, found)
    assert (found == interpolate.sample_image(floats, points)).all()
    picture = random.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    for interpolation in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
        levels = np.empty((len(points), 3), np.uint8)
        _bytes_at(picture, interpolate.byte_taps(interpolation), points, levels)
        assert (levels == interpolate.sample_image(picture, points, interpolation)).all()
