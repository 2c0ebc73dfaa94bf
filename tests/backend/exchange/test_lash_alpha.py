"""Lashes are opaque at the lid and thin out towards their tips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pygltflib
import pytest
from hand_made import make_asset

from backend.exchange import gltf as gltf_module
from backend.exchange.face_asset import FaceAsset
from backend.exchange.gltf import glb_bytes
from backend.exchange.lashes import UPPER_ALPHA, lash_alpha

ROWS, COLUMNS = 5, 13


def asset_with_strip(height: float, flipped: bool) -> tuple[FaceAsset, np.ndarray]:
    """The hand-made asset with one strip of lashes beside the left eye, and which row each of its vertices is in.

    Row 0 is nearest to the eye; ``flipped`` turns the order of rows and the winding around.
    """
    asset = make_asset()
    eye = asset.part("eye_left").vertices.mean(axis=0)
    row, column = np.meshgrid(np.arange(ROWS), np.arange(COLUMNS), indexing="ij")
    angle = np.linspace(-0.8, 0.8, COLUMNS)[column]
    radius = 0.013 + 0.002 * row
    direction = np.stack([np.sin(angle), np.full_like(angle, height), np.cos(angle)], axis=-1)
    vertices = (eye + radius[..., None] * direction).reshape(-1, 3)
    number = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    if flipped:
        number = number[::-1]
    quads = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], axis=-1).reshape(-1, 4)
    lashes = replace(
        asset.part("lashes"),
        vertices=vertices.astype(np.float32),
        quads=quads.astype(np.int32),
        uv=np.stack([column / (COLUMNS - 1), row / (ROWS - 1)], axis=-1).reshape(-1, 2).astype(np.float32),
        uv_quads=quads.astype(np.int32),
        uv_makehuman=np.zeros((len(vertices), 2), np.float32),
        uv_makehuman_quads=quads.astype(np.int32),
        hm08_vertex=np.arange(len(vertices), dtype=np.int32),
        keys={},
    )
    return replace(asset, parts=(*asset.parts[:-1], lashes)), row.ravel()


def test_alpha_falls_from_the_lid_to_the_tips() -> None:
    for flipped in (False, True):
        asset, row = asset_with_strip(0.4, flipped)
        alpha = lash_alpha(asset)
        by_row = [np.unique(alpha[row == number]) for number in range(ROWS)]
        assert all(len(values) == 1 for values in by_row)
        steps = np.array(by_row).ravel()
        assert steps[0] == np.float32(UPPER_ALPHA) and steps[-1] == 0
        assert (np.diff(steps) < 0).all()


def test_lower_lashes_are_thinner() -> None:
    upper, lower = (lash_alpha(asset_with_strip(height, False)[0]) for height in (0.4, -0.4))
    assert lower.max() < 0.7 * upper.max()


def test_hairs_that_fan_out_from_a_corner_are_no_blot() -> None:
    """hm08's strips begin at the outer corner with hardly any lid below a fan as wide as the rest."""
    asset, row = asset_with_strip(0.4, False)
    part, column = asset.part("lashes"), np.tile(np.arange(COLUMNS), ROWS)
    points = part.vertices.reshape(ROWS, COLUMNS, 3).copy()
    root = points[0].copy()
    share = np.r_[np.arange(COLUMNS - 3), COLUMNS - 3.5 + 0.2 * np.arange(3)]  # the last three roots crowd together
    points[0] = np.stack([np.interp(share, np.arange(COLUMNS), root[:, axis]) for axis in range(3)], axis=1)
    crowded = replace(part, vertices=points.reshape(-1, 3))
    alpha = lash_alpha(replace(asset, parts=(*asset.parts[:-1], crowded)))
    for number in range(1, ROWS - 1):
        middle = alpha[(row == number) & (column == 5)]
        assert alpha[(row == number) & (column == COLUMNS - 2)] < 0.5 * middle
        assert np.allclose(alpha[(row == number) & (column < 8)], middle, rtol=0.1)
    assert (alpha[row == 0] == UPPER_ALPHA).all()


def test_what_is_no_strip_stays_opaque() -> None:
    assert (lash_alpha(make_asset()) == 1).all()


def test_the_gltf_has_the_alpha_of_each_vertex_where_there_are_no_single_hairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gltf_module, "lash_positions", lambda asset: None)
    asset, _ = asset_with_strip(0.4, False)
    gltf = pygltflib.GLTF2().load_from_bytes(glb_bytes(asset))
    mesh = next(mesh for mesh in gltf.meshes if mesh.name == "lashes")
    primitive = mesh.primitives[0]
    view = gltf.bufferViews[gltf.accessors[primitive.attributes.COLOR_0].bufferView]
    data = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    colors = np.frombuffer(data, "<f4").reshape(-1, 4)
    np.testing.assert_array_equal(np.sort(colors[:, 3]), np.sort(lash_alpha(asset)))
    assert (colors[:, :3] == 1).all()
    assert gltf.materials[primitive.material].alphaMode == pygltflib.BLEND
    for other in gltf.meshes:
        if other.name != "lashes":
            assert gltf.materials[other.primitives[0].material].alphaMode == pygltflib.OPAQUE
