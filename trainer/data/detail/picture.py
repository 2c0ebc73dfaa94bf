"""Pictures of a face with the window position of each pixel, so that relief can be rendered into them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from backend.detail.observation import PhotoInWindow, colour_detail
from backend.detail.window import ORIGIN, SIDE, DetailWindow
from backend.rendering.color import linear_from_srgb, srgb_from_linear
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from trainer.data.detail.batch import DetailPictures

METRES = 0.175
"""Width of the picture at the face: brows to chin with a small margin, as in
``backend.photos.faces.crop.face_square``."""
_WINDOW_METRES = 0.30
"""Width of the window on the mean face."""
_CAMERA_DISTANCE = 1.0
"""Metres, camera distance of synthetic people's pictures."""
MIDDLE = (0.0, 0.72, 0.09)
"""Point at the centre of the picture: metres, head frame."""
_BACKGROUND_LIGHT = 0.2
"""Linear light of the background behind a synthetic face."""


@dataclass(frozen=True)
class PicturePlaces:
    """Positions of a face's skin in a picture of S x S pixels.

    Attributes
    ----------
    places : (S, S, 2) float32, see ``DetailPictures``; 2 (outside) at pixels without skin of the window. shown : (S, S)
    bool.
    """

    places: np.ndarray
    shown: np.ndarray


def pooled_texels(texels: int, size: int) -> int:
    """Texels of a window of ``texels`` x ``texels`` that a pixel of a picture of side ``size`` spans in each
    direction."""
    return max(1, round(texels / _WINDOW_METRES * METRES / size))


def projected(positions: np.ndarray, turn: np.ndarray, size: int) -> np.ndarray:
    """Project positions (V, 3) to (V, 3) pixels and depth (metres). ``turn`` (3, 3) is head from camera axes (x right,
    y up, z to the camera)."""
    seen = (positions - np.array(MIDDLE)) @ turn
    depth = _CAMERA_DISTANCE - seen[:, 2]
    focal = size * _CAMERA_DISTANCE / METRES
    x, y = 0.5 * size + focal * seen[:, 0] / depth, 0.5 * size - focal * seen[:, 1] / depth
    return np.stack([x, y, depth], 1)


def picture_places(window: DetailWindow, pixels: np.ndarray, size: int) -> PicturePlaces:
    """Find the texel of each pixel from the projected vertices (V, 3) of the subdivided head: pixels and depth."""
    surface = window.surface
    vertices = torch.from_numpy(np.ascontiguousarray(pixels, np.float32))[None]
    corners = torch.from_numpy(surface.triangles.astype(np.int64))
    ids = face_ids(vertices, corners, (size, size), cull_backfaces=True)
    weights = fragment_barycentrics(vertices, fragments(ids, corners))
    found = fragments(ids, torch.from_numpy(surface.uv_triangles.astype(np.int64)))
    uv = fragment_values(torch.from_numpy(surface.uv.astype(np.float32))[None], found, weights)
    place = 2.0 * (uv - torch.tensor(ORIGIN)) / SIDE - 1.0
    place = torch.stack([place[:, 0], -place[:, 1]], 1)
    inside = torch.from_numpy(surface.main)[found.face] & (place.abs() < 1.0).all(1)
    place[~inside] = 2.0
    places = found.scatter(place, background=2.0)[0].numpy()
    return PicturePlaces(places, (np.abs(places) < 1.0).all(-1))


def pictures_of(
    photo: PhotoInWindow,
    window: DetailWindow,
    texels_per_metre: float,
    where: PicturePlaces,
    cut: np.ndarray | None = None,
) -> DetailPictures:
    """Make the pictures of one photo.

    Parameters
    ----------
    cut : (S, S, 3) uint8 sRGB, the photograph's crop; None: the colours that ``photo`` has at each pixel's texel.
    """
    size = len(where.places)
    detail = colour_detail(photo, texels_per_metre).astype(np.float32)
    weight = (photo.weight * window.allowed).astype(np.float32)
    values = np.concatenate([photo.log_linear.astype(np.float32), detail, weight[..., None]], -1)
    seen = sampled(values, where, pooled_texels(window.size, size))
    mask = np.clip(seen[..., 6:], 0.0, 1.0) * where.shown[..., None]
    if cut is None:
        linear = np.where(where.shown[..., None], np.exp(seen[..., :3]), np.float32(_BACKGROUND_LIGHT))
    else:
        linear = linear_from_srgb(cut)
    coarse = linear * np.exp(-seen[..., 3:6] * mask)
    return DetailPictures(
        photos=_channels_first(srgb_from_linear(linear)),
        coarse=_channels_first(srgb_from_linear(coarse)),
        places=torch.from_numpy(where.places)[None],
        mask=_channels_first(mask),
    )


def sampled(values: np.ndarray, where: PicturePlaces, pool: int) -> np.ndarray:
    """Sample values (N, N, C) at the pixels' places to (S, S, C), each averaged over ``pool`` x ``pool`` texels."""
    if pool > 1:
        values = cv2.blur(values, (pool, pool))
    column, row = ((where.places[..., axis] + 1.0) * (0.5 * len(values)) - 0.5 for axis in (0, 1))
    rows = [
        cv2.remap(part, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for part in np.split(values, range(1, values.shape[-1]), -1)
    ]
    return np.stack(rows, -1)


def _channels_first(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]
