"""Real spherical harmonics of bands 0-2 for diffuse light, for torch tensors and numpy arrays.

Basis order (l, m): (0,0) (1,-1) (1,0) (1,1) (2,-2) (2,-1) (2,0) (2,1) (2,2), orthonormal on the sphere, in the head
frame. A *light* (9, C) holds the coefficients of the shading itself, that is of irradiance / pi (with Lambert's cosine
included): shading(n) = sum_k basis_k(n) light[k], linear colour = albedo * shading. White ambient light of strength 1
gives shading 1 everywhere.

Ramamoorthi and Hanrahan, An Efficient Representation for Irradiance Environment Maps, SIGGRAPH 2001.
"""

from functools import cache
from typing import TypeVar

import numpy as np
import torch

from backend.geometry.vectors import spread_directions

Array = TypeVar("Array", np.ndarray, torch.Tensor)

BASIS_CONSTANTS = (
    0.5 / np.pi**0.5,
    (3 / (4 * np.pi)) ** 0.5,
    (15 / (4 * np.pi)) ** 0.5,
    0.25 * (5 / np.pi) ** 0.5,
    0.25 * (15 / np.pi) ** 0.5,
)
"""Factors of 1; x, y, z; xy, yz, xz; 3z^2 - 1; x^2 - y^2."""

LAMBERT_FACTORS = (np.pi, 2 * np.pi / 3, np.pi / 4)
"""A_l of the clamped cosine, for bands 0, 1, 2: max(0, cos) = sum_l A_l Y_l(d) . Y_l(n)."""

BAND_OF_COEFFICIENT = (0, 1, 1, 1, 2, 2, 2, 2, 2)


def basis(normals: Array) -> Array:
    """Basis functions (..., 9) at unit directions (..., 3)."""
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    c0, c1, c2, c3, c4 = (float(c) for c in BASIS_CONSTANTS)
    columns = [
        0 * x + c0,
        c1 * y,
        c1 * z,
        c1 * x,
        c2 * (x * y),
        c2 * (y * z),
        c3 * (3 * z * z - 1),
        c2 * (x * z),
        c4 * (x * x - y * y),
    ]
    return torch.stack(columns, -1) if isinstance(normals, torch.Tensor) else np.stack(columns, -1)


def shade(normals: Array, light: Array) -> Array:
    """Shading (..., C) at unit normals (..., 3) by a light (9, C), or (N, 9, C) for normals (N, ..., 3).

    May be slightly negative where the light comes from one side, because three bands cannot represent it; not clipped.
    """
    values = basis(normals)
    if light.ndim == 2:
        return values @ light
    flat = values.reshape(light.shape[0], -1, 9) @ light
    return flat.reshape(*normals.shape[:-1], light.shape[-1])


def light_from_directions(directions: Array, colors: Array, ambient: Array | float = 0.0) -> Array:
    """The light (9, C) of distant lamps: shading(n) ~ ambient + sum_i colors_i max(0, n . directions_i).

    Parameters
    ----------
    directions : (L, 3) unit vectors towards the lamps, head frame. colors : (L, C). ambient : scalar or (C,).
    """
    factors = np.array([LAMBERT_FACTORS[band] for band in BAND_OF_COEFFICIENT])
    if isinstance(directions, torch.Tensor):
        factors = torch.as_tensor(factors, dtype=directions.dtype, device=directions.device)
    else:
        factors = factors.astype(directions.dtype)
    rows = basis(directions) * factors  # (L, 9)
    light = rows.T @ colors  # (9, C)
    first = light[:1] + ambient / BASIS_CONSTANTS[0]
    return torch.cat([first, light[1:]]) if isinstance(light, torch.Tensor) else np.concatenate([first, light[1:]])


def rotate(light: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Rotate the light (9, C) by a rotation (3, 3): shade(rotation @ n, rotated) equals shade(n, light).

    Evaluates the light in fixed directions and fits coefficients, which is exact for bands 0-2.
    """
    directions, inverse = (one.astype(light.dtype) for one in _fit_directions())
    return inverse @ (basis(directions @ rotation) @ light)  # row d @ R = R^T d: the direction before the rotation


@cache
def _fit_directions() -> tuple[np.ndarray, np.ndarray]:
    """Evenly spread directions (32, 3), and the pseudo-inverse (9, 32) of the basis there."""
    directions = spread_directions(32)
    return directions, np.linalg.pinv(basis(directions))
