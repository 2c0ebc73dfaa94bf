"""Tangents of normal maps in face.glb."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from gltf_validator import validated
from hand_made import waves

from backend.exchange.asset_mesh import split_at_seams
from backend.exchange.face_asset import FaceAsset
from backend.exchange.gltf import vertex_tangents, write_glb
from backend.hair.cards import hair_cards


def test_tangents_run_along_growing_u(hand_made_asset: FaceAsset) -> None:
    """On a sphere, whose u runs round it from the back over its right side: eastwards."""
    part = hand_made_asset.parts[0]
    mesh = split_at_seams(part)
    positions = part.vertices[mesh.source]
    normals = (positions / np.linalg.norm(positions, axis=1, keepdims=True)).astype(np.float32)
    tangents = vertex_tangents(positions, normals, mesh.uv, mesh.triangles)
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-6)
    assert np.abs((tangents[:, :3] * normals).sum(1)).max() < 1e-6
    away = np.abs(normals[:, 1]) < 0.9  # from the poles, where there is no east
    east = np.cross([0.0, 1.0, 0.0], normals[away])
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    assert ((tangents[away, :3] * east).sum(1) > 0.97).all()
    up = np.cross(normals[away], tangents[away, :3]) * tangents[away, 3:]
    assert (up[:, 1] > 0).all()  # v grows to the north


def test_a_mirrored_map_turns_the_sign() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    normals, triangles = np.tile([0, 0, 1], (4, 1)).astype(np.float32), np.array([[0, 1, 2], [0, 2, 3]])
    plain = vertex_tangents(square, normals, square[:, :2], triangles)
    np.testing.assert_allclose(plain, np.tile([1, 0, 0, 1], (4, 1)), atol=1e-7)
    mirrored = vertex_tangents(square, normals, square[:, :2] * [-1, 1], triangles)
    np.testing.assert_allclose(mirrored, np.tile([-1, 0, 0, -1], (4, 1)), atol=1e-7)


def test_a_map_without_area_has_some_tangent() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]], np.float32)
    normals = np.tile([0, 0, 1], (3, 1)).astype(np.float32)
    tangents = vertex_tangents(square, normals, np.zeros((3, 2), np.float32), np.array([[0, 1, 2]]))
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-6)
    assert np.abs(tangents[:, 2]).max() < 1e-6


def test_the_validator_finds_tangents_under_every_normal_map(hand_made_asset: FaceAsset, tmp_path: Path) -> None:
    dressed = replace(hand_made_asset, detail=waves(), hair_cards=hair_cards(hand_made_asset.hair_strands))
    write_glb(dressed, tmp_path / "face.glb")
    report = validated(tmp_path / "face.glb")
    assert [m["code"] for m in report["issues"]["messages"] if m["severity"] < 2] == []
