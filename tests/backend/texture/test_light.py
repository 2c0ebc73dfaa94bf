"""Light taken out of photos: spherical harmonics, self-shadowing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from backend.geometry.surface_fields import surface_operators
from backend.rendering import spherical_harmonics as sh
from backend.texture import delighting
from backend.texture.delighting import evenness, openness, solve_light
from backend.texture.skin_prior import skin_prior
from backend.texture.unwrap import PhotoSamples

SPHERE = trimesh.creation.icosphere(4, radius=0.1)
NORMALS = np.asarray(SPHERE.vertices) / 0.1
FRONT = NORMALS[:, 2] > 0.2
SKIN = np.array([0.5, 0.3, 0.2])


def _lamp(x: float, y: float, z: float, strength: float = 0.8) -> np.ndarray:
    direction = np.array([[x, y, z]]) / np.linalg.norm([x, y, z])
    return sh.light_from_directions(direction, strength * np.array([[1.1, 1.0, 0.85]]), 0.4)


def _photo(albedo: np.ndarray, light: np.ndarray, start: np.ndarray, monochrome: bool = False) -> PhotoSamples:
    transfer = sh.basis(NORMALS)
    linear = albedo * (transfer @ light)
    if monochrome:
        linear = np.repeat(linear @ np.array([[0.2126], [0.7152], [0.0722]]), 3, axis=1)
    return PhotoSamples(linear, FRONT.astype(float), transfer, start, 1.0, monochrome)


SPOT = np.exp(-(((NORMALS - np.array([0.0, 0.0, 1.0])) ** 2).sum(1)) / 0.05)


def _solved(photos: list[PhotoSamples], monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Lights and log albedo of photos of the sphere, whose skin may have a spot."""
    modes = -0.4 * SPOT[None, :, None] * np.ones(3)
    prior = replace(skin_prior(), mean=np.log(SKIN) + 0.0 * NORMALS, modes=modes)
    monkeypatch.setattr(delighting, "skin_prior", lambda: prior)
    mass = surface_operators(np.asarray(SPHERE.vertices), np.asarray(SPHERE.faces)).mass
    return solve_light(photos, evenness(photos), SKIN, mass, FRONT.astype(float))


def test_light_is_found_from_a_wrong_start(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, start = _lamp(0.7, 0.3, 0.6), _lamp(-0.2, 0.2, 0.9, 0.6)
    photo = _photo(np.broadcast_to(SKIN, NORMALS.shape), truth, start)
    photo.linear[::17] *= 3.0  # highlights
    lights, _ = _solved([photo], monkeypatch)
    lit, true = sh.basis(NORMALS[FRONT]) @ lights[0], sh.basis(NORMALS[FRONT]) @ truth
    ratio = lit / true / np.median(lit / true, axis=0)
    assert np.abs(ratio - 1.0).mean() < 0.06


def test_a_spot_that_all_photos_show_is_skin_and_shading_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together the photos tell their lights from the spot, which a lamp from the front would explain in each alone."""
    albedo = SKIN * np.exp(-0.5 * SPOT)[:, None]
    lights = [_lamp(0.8, 0.2, 0.5), _lamp(-0.8, 0.3, 0.5), _lamp(0.0, 0.9, 0.5)]
    start = _lamp(0.0, 0.2, 1.0)  # the fit's, half way from the truth
    _, base = _solved([_photo(albedo, light, 0.5 * (start + light)) for light in lights], monkeypatch)
    at_spot, beside = SPOT > 0.8, FRONT & (SPOT < 0.05) & (NORMALS[:, 2] > 0.4)
    assert -0.65 < (base[at_spot].mean() - base[beside].mean()) < -0.3
    assert np.abs(np.median(base[FRONT], axis=0) - np.log(SKIN)).max() < 0.1  # the tone that was given


def test_grey_photos_do_not_bleach_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = _photo(
        np.broadcast_to(SKIN, NORMALS.shape), np.repeat(_lamp(0, 0, 1).mean(1)[:, None], 3, 1), _lamp(0, 0, 1), True
    )
    lights, base = _solved([photo], monkeypatch)
    np.testing.assert_allclose(base[FRONT], np.broadcast_to(np.log(SKIN), (FRONT.sum(), 3)), atol=0.03)
    lit = sh.basis(NORMALS[FRONT]) @ lights[0]
    assert np.abs(lit / lit.mean(0) - (lit / lit.mean(0)).mean(1, keepdims=True)).max() < 0.05


def test_a_ball_does_not_shadow_itself_and_its_inside_is_closed() -> None:
    vertices, faces = np.asarray(SPHERE.vertices), np.asarray(SPHERE.faces)
    assert openness(vertices, faces, NORMALS, directions=64, resolution=96).min() > 0.97
    assert openness(vertices, faces[:, ::-1], -NORMALS, directions=64, resolution=96).max() < 0.05


def test_a_wall_closes_what_lies_at_its_foot() -> None:
    n = 21
    x, z = np.meshgrid(np.linspace(-0.05, 0.05, n), np.linspace(-0.05, 0.05, n))
    floor = np.stack([x.ravel(), 0 * x.ravel(), z.ravel()], 1)
    wall = np.stack([0 * x.ravel() - 0.05, x.ravel() + 0.05, z.ravel()], 1)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    grid = np.concatenate(
        [np.stack([corner, corner + n, corner + 1], 1), np.stack([corner + 1, corner + n, corner + n + 1], 1)]
    )
    vertices, faces = np.concatenate([floor, wall]), np.concatenate([grid, grid + n * n])
    normals = np.concatenate([np.tile([0.0, 1, 0], (n * n, 1)), np.tile([1.0, 0, 0], (n * n, 1))])
    opening = openness(vertices, faces, normals)
    near = np.flatnonzero((np.abs(floor[:, 0] + 0.045) < 0.003) & (np.abs(floor[:, 2]) < 0.01))
    far = np.flatnonzero((floor[:, 0] > 0.04) & (np.abs(floor[:, 2]) < 0.01))
    assert opening[near].mean() < opening[far].mean() - 0.2
    assert opening[far].mean() > 0.9
