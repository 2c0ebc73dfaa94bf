"""Face ids on the CPU by a compiled depth-buffer loop; threads get images or bands of rows."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch

from backend.rendering.camera import MIN_DEPTH
from backend.system.numba_cache import numba

_MIN_DEPTH = np.float32(MIN_DEPTH)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_PARALLEL_FACES = 4096
"""With fewer faces in the batch (or pixels / 16) a second thread costs more than it saves."""


def face_ids_numba(
    vertices: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], cull_backfaces: bool
) -> torch.Tensor:
    """See ``rasterize.face_ids``. May be called from several threads at once (the loop runs without the GIL)."""
    device = vertices.device
    points = vertices.cpu().contiguous().numpy()
    triangles = faces.cpu().contiguous().numpy()
    count, (height, width) = len(points), size
    if triangles.min() < 0 or triangles.max() >= points.shape[1]:
        raise IndexError("faces refer to vertices that do not exist")
    ids = np.empty((count, height, width), np.int64)
    threads = torch.get_num_threads()
    work = max(count * len(triangles), count * height * width // 16)
    if threads == 1 or work < _PARALLEL_FACES:
        _rasterize(points, triangles, ids, 0, count, 0, height, cull_backfaces)
    elif count >= threads:
        cuts = [count * i // threads for i in range(threads + 1)]
        tasks = [(cuts[i], cuts[i + 1], 0, height) for i in range(threads)]
        _run(points, triangles, ids, tasks, cull_backfaces)
    else:
        bands = -(-threads // count)
        cuts = [height * i // bands for i in range(bands + 1)]
        tasks = [(n, n + 1, cuts[i], cuts[i + 1]) for n in range(count) for i in range(bands)]
        _run(points, triangles, ids, tasks, cull_backfaces)
    return torch.from_numpy(ids).to(device)


def _run(points: np.ndarray, triangles: np.ndarray, ids: np.ndarray, tasks: list, cull_backfaces: bool) -> None:
    pool = _pool()
    waiting = [pool.submit(_rasterize, points, triangles, ids, *task, cull_backfaces) for task in tasks[1:]]
    _rasterize(points, triangles, ids, *tasks[0], cull_backfaces)
    for future in waiting:
        future.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=max(1, torch.get_num_threads()), thread_name_prefix="rasterize")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


@numba.njit(
    "void(float32[:,:,::1], int64[:,::1], int64[:,:,::1], int64, int64, int64, int64, boolean)",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def _rasterize(points, triangles, ids, first_image, last_image, first_row, last_row, cull_backfaces):
    """Fill ids[first_image:last_image, first_row:last_row]. float32 arithmetic by the rules of ``rasterize``."""
    width = ids.shape[2]
    depths = np.empty((last_row - first_row, width), np.float32)
    right = np.float32(width)
    low, high = np.float32(first_row), np.float32(last_row)
    zero = np.float32(0.0)
    for n in range(first_image, last_image):
        depths[:] = np.float32(np.inf)
        ids[n, first_row:last_row] = -1
        for f in range(triangles.shape[0]):
            i0, i1, i2 = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            y0, y1, y2 = points[n, i0, 1], points[n, i1, 1], points[n, i2, 1]
            top, bottom = min(y0, y1, y2), max(y0, y1, y2)
            if not (bottom >= low and top <= high):
                continue
            x0, x1, x2 = points[n, i0, 0], points[n, i1, 0], points[n, i2, 0]
            area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
            if area == zero or not np.isfinite(area) or (cull_backfaces and area > zero):
                continue
            left_most, right_most = min(x0, x1, x2), max(x0, x1, x2)
            column0 = int(min(max(np.ceil(left_most - _HALF), zero), right))
            column1 = int(min(max(np.floor(right_most - _HALF), -_ONE), right - _ONE))
            row0 = int(min(max(np.ceil(top - _HALF), low), high))
            row1 = int(min(max(np.floor(bottom - _HALF), low - _ONE), high - _ONE))
            if column0 > column1 or row0 > row1:
                continue
            z0, z1, z2 = points[n, i0, 2], points[n, i1, 2], points[n, i2, 2]
            if not (z0 > _MIN_DEPTH and z1 > _MIN_DEPTH and z2 > _MIN_DEPTH):
                continue
            if area < zero:
                x1, y1, z1, x2, y2, z2 = x2, y2, z2, x1, y1, z1
            near0, near1, near2 = _ONE / z0, _ONE / z1, _ONE / z2
            for row in range(row0, row1 + 1):
                centre_y = np.float32(row) + _HALF
                dy0, dy1, dy2 = y0 - centre_y, y1 - centre_y, y2 - centre_y
                for column in range(column0, column1 + 1):
                    centre_x = np.float32(column) + _HALF
                    dx0, dx1, dx2 = x0 - centre_x, x1 - centre_x, x2 - centre_x
                    w0 = dx1 * dy2 - dy1 * dx2
                    w1 = dx2 * dy0 - dy2 * dx0
                    w2 = dx0 * dy1 - dy0 * dx1
                    if w0 >= zero and w1 >= zero and w2 >= zero:
                        depth = (w0 + w1 + w2) / (w0 * near0 + w1 * near1 + w2 * near2)
                        if depth < depths[row - first_row, column]:
                            depths[row - first_row, column] = depth
                            ids[n, row, column] = f
