"""The artist's mask of a photo: a coarse grid of cells, and brush strokes on it."""

from __future__ import annotations

import numpy as np

from ..client.submissions import PhotoMask

SIDE = 256
"""Cells along a photo's longer side: the maximum that a backend accepts."""


def new_cells(size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool, nothing masked, for a photo of ``size`` (width, height) pixels."""
    cells_per_pixel = SIDE / max(size)
    width, height = (max(1, round(side * cells_per_pixel)) for side in size)
    return np.zeros((height, width), bool)


def cells_of(mask: PhotoMask | None, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool cells of a mask; nothing masked for None."""
    if mask is None:
        return new_cells(size)
    hidden = np.arange(len(mask.runs)) % 2 == 1
    return np.repeat(hidden, mask.runs).reshape(mask.height, mask.width)


def mask_of(cells: np.ndarray) -> PhotoMask | None:
    """Encode cells (H, W) bool as a mask; None if none is masked."""
    if not cells.any():
        return None
    flat = cells.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(np.int8)))
    runs = np.diff(np.concatenate([[0], edges, [flat.size]]))
    return PhotoMask(cells.shape[1], cells.shape[0], tuple(int(run) for run in runs))


def stroke(
    cells: np.ndarray,
    size: tuple[int, int],
    start: tuple[float, float],
    stop: tuple[float, float],
    radius: float,
    masked: bool,
) -> np.ndarray:
    """The cells (H, W) after a stroke of a round brush from ``start`` to ``stop`` that masks or clears.

    Parameters
    ----------
    size : (width, height) of the photo in pixels.
    start, stop : (x, y) pixels of the photo, also outside of it.
    radius : pixels of the photo; a brush thinner than a cell affects the nearest one.
    """
    height, width = cells.shape
    scale = width / size[0]
    y, x = np.mgrid[:height, :width] + 0.5
    begin, end = np.array(start) * scale, np.array(stop) * scale
    along = end - begin
    place = ((x - begin[0]) * along[0] + (y - begin[1]) * along[1]) / max(float(along @ along), 1e-9)
    place = np.clip(place, 0.0, 1.0)
    distance = np.hypot(x - begin[0] - place * along[0], y - begin[1] - place * along[1])
    return np.where(distance <= max(radius * scale, np.sqrt(0.5)), masked, cells)


def rectangles(cells: np.ndarray) -> np.ndarray:
    """(R, 4) left, top, right, bottom of the masked runs of every row, as shares of the photo's width and height."""
    height, width = cells.shape
    padded = np.zeros((height, width + 2), np.int8)
    padded[:, 1:-1] = cells
    change = np.diff(padded, axis=1)
    row, left = np.nonzero(change == 1)
    _, right = np.nonzero(change == -1)
    return np.stack([left / width, row / height, right / width, (row + 1) / height], axis=1)
