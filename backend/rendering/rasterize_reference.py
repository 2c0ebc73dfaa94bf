"""Reference rasterizer for tests of the others: one face after the other, every pixel, no shortcuts."""

from __future__ import annotations

import numpy as np
import torch

from backend.rendering.near_plane import MIN_DEPTH


def face_ids_reference(
    vertices: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], cull_backfaces: bool
) -> torch.Tensor:
    """See ``rasterize.face_ids``. float32 arithmetic, in the same order as the fast backends."""
    ids = [_one_image(image, faces.cpu().numpy(), size, cull_backfaces) for image in vertices.cpu().numpy()]
    return torch.from_numpy(np.stack(ids)).to(vertices.device)


def _one_image(vertices: np.ndarray, faces: np.ndarray, size: tuple[int, int], cull_backfaces: bool) -> np.ndarray:
    height, width = size
    ids = np.full((height, width), -1, np.int64)
    nearest = np.full((height, width), np.inf, np.float32)
    centre_x = (np.arange(width, dtype=np.float32) + np.float32(0.5))[None, :]
    centre_y = (np.arange(height, dtype=np.float32) + np.float32(0.5))[:, None]
    with np.errstate(all="ignore"):
        for index, (i0, i1, i2) in enumerate(faces):
            (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = vertices[i0], vertices[i1], vertices[i2]
            area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
            if not (z0 > MIN_DEPTH and z1 > MIN_DEPTH and z2 > MIN_DEPTH):
                continue
            if not np.isfinite(area) or area == 0 or (cull_backfaces and area > 0):
                continue
            if area < 0:  # orient all faces alike
                x1, y1, z1, x2, y2, z2 = x2, y2, z2, x1, y1, z1
            w0 = (x1 - centre_x) * (y2 - centre_y) - (y1 - centre_y) * (x2 - centre_x)  # (H, W)
            w1 = (x2 - centre_x) * (y0 - centre_y) - (y2 - centre_y) * (x0 - centre_x)
            w2 = (x0 - centre_x) * (y1 - centre_y) - (y0 - centre_y) * (x1 - centre_x)
            inside = (w0 >= 0) & (w1 >= 0) & (w2 >= 0)
            inside &= (centre_x >= min(x0, x1, x2)) & (centre_x <= max(x0, x1, x2))
            inside &= (centre_y >= min(y0, y1, y2)) & (centre_y <= max(y0, y1, y2))
            one = np.float32(1)
            depth = (w0 + w1 + w2) / (w0 * (one / z0) + w1 * (one / z1) + w2 * (one / z2))
            visible = inside & (depth < nearest)  # False for NaN (all edge functions zero)
            nearest[visible] = depth[visible]
            ids[visible] = index
    return ids
