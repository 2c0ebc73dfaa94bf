"""Resample pictures from one UV map into another, in plain numpy: texels covered by triangles, sampling, gutters."""

from __future__ import annotations

import struct
import zlib

import numpy as np

CHUNK = 1 << 20
"""Candidate texels per batch: 100 MB of numbers."""


def covered_texels(corners: np.ndarray, values: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Rasterise triangles in UV space: texels whose centres are covered, and interpolated corner values.

    Parameters
    ----------
    corners : (T, 3, 2) UV in [0, 1], v up.
    values : (T, 3, C).
    side : of the square picture, texels.

    Returns
    -------
    (N,) int64 texels, row * side + column with row 0 at v = 0, and (N, C) float32 values. A texel on a shared edge may
    occur twice, with the same values if these are continuous.
    """
    at = corners.astype(np.float64) * side - 0.5  # texel centres are at integers
    first = np.clip(np.ceil(at.min(axis=1)), 0, side - 1).astype(np.int64)
    last = np.clip(np.floor(at.max(axis=1)), -1, side - 1).astype(np.int64)
    size = np.maximum(last - first + 1, 0)
    a, b, c = np.moveaxis(at, 1, 0)
    area = _cross(b - a, c - a)
    counts = np.where(np.abs(area) > 1e-9, size[:, 0] * size[:, 1], 0)
    texels, found = [np.empty(0, np.int64)], [np.empty((0, values.shape[2]), np.float32)]
    begin = 0
    while begin < len(counts):
        end = max(begin + 1, int(np.searchsorted(np.cumsum(counts[begin:]), CHUNK)) + begin)
        chunk = np.arange(begin, min(end, len(counts)))
        own = np.repeat(chunk, counts[chunk])
        place = np.arange(len(own)) - np.repeat(np.cumsum(counts[chunk]) - counts[chunk], counts[chunk])
        column, row = first[own, 0] + place % size[own, 0], first[own, 1] + place // size[own, 0]
        p = np.stack([column, row], axis=1)
        shares = np.stack([_cross(b[own] - p, c[own] - p), _cross(c[own] - p, a[own] - p)], axis=1) / area[own, None]
        shares = np.column_stack([shares, 1.0 - shares.sum(axis=1)])
        inside = (shares >= -1e-9).all(axis=1)
        texels.append((row * side + column)[inside])
        found.append(np.einsum("nk,nkc->nc", shares[inside], values[own[inside]]).astype(np.float32))
        begin = end
    return np.concatenate(texels), np.concatenate(found)


def sampled(picture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Sample a picture (H, W, C), row 0 at v = 0, at UV (N, 2) bilinearly, clamping at edges; (N, C) float32."""
    height, width = picture.shape[:2]
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip(uv[:, 1] * height - 0.5, 0, height - 1)
    left, low = np.minimum(x.astype(np.int64), width - 2), np.minimum(y.astype(np.int64), height - 2)
    right, up = (x - left).astype(np.float32)[:, None], (y - low).astype(np.float32)[:, None]
    below = picture[low, left] * (1 - right) + picture[low, left + 1] * right
    above = picture[low + 1, left] * (1 - right) + picture[low + 1, left + 1] * right
    return below * (1 - up) + above * up


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """Resize a picture (H, W, C) to a square of ``side`` texels, bilinear."""
    for axis in (0, 1):
        count = picture.shape[axis]
        if count == side:
            continue
        at = np.clip((np.arange(side) + 0.5) * count / side - 0.5, 0, count - 1)
        low = np.minimum(at.astype(np.int64), max(count - 2, 0))
        share = (at - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        below, above = picture.take(low, axis), picture.take(np.minimum(low + 1, count - 1), axis)
        above -= below
        above *= share
        above += below
        picture = above
    return picture


def grow(picture: np.ndarray, side: int, texels: np.ndarray, taken: np.ndarray, rings: int) -> None:
    """Fill the gutter around ``texels`` ring by ring with the mean of known neighbours, in place, so that filtered
    lookups beyond a chart's edge return the chart's colours.

    picture : (side², C).
    texels, taken : indices of known texels, and of texels that must stay.
    """
    known, free = np.zeros(side * side, bool), np.ones(side * side, bool)
    known[texels], free[taken] = True, False
    last = texels
    for _ in range(rings):
        around = np.unique(_neighbours(last, side))
        new = around[free[around] & ~known[around]]
        near = _neighbours(new, side)
        counts = known[near].astype(picture.dtype)[..., None]
        picture[new] = (picture[near] * counts).sum(axis=0) / counts.sum(axis=0)
        known[new] = True
        last = new


def _neighbours(texels: np.ndarray, side: int) -> np.ndarray:
    """(4, N) neighbouring texels left, right, below and above; at the picture's edge the texel itself."""
    row, column = texels // side, texels % side
    return np.stack(
        [
            texels - (column > 0),
            texels + (column < side - 1),
            texels - side * (row > 0),
            texels + side * (row < side - 1),
        ]
    )


def linear(srgb: np.ndarray) -> np.ndarray:
    """Convert sRGB in [0, 1] to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def srgb(light: np.ndarray) -> np.ndarray:
    """Convert linear light to sRGB, both in [0, 1]."""
    light = np.clip(light, 0.0, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def png(picture: np.ndarray) -> bytes:
    """Encode a picture (H, W, 1 or 3) uint8 or uint16, row 0 at the bottom, as PNG."""
    height, width, channels = picture.shape
    rows = picture[::-1].astype(picture.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8 * picture.itemsize, 2 if channels == 3 else 0, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 2)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
