"""Place the photos' landmarks on the canonical surface, and estimate scale, offset and tilt of each photo's square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from backend.models.lap.canonical_face import CanonicalFace, PhotoAlignment
from backend.rendering.camera_models import View
from backend.rendering.depth_surface import ViewedSurface, points_from_depth, view_surface

ROUNDS = 4
_ROBUST_SHARE = 0.02
"""Scale of the robust loss, as a share of the square's side: landmarks of moving lips and brows count less."""
_FLATTEST = 0.2
"""Least cosine between normal and line of sight at which a photo places a landmark on the surface."""


def place_landmarks(
    face: CanonicalFace, squares: Sequence[np.ndarray], depth_range: tuple[float, float]
) -> CanonicalFace:
    """Add landmarks to the face, and alignments to its photos.

    Two steps alternate, ``ROUNDS`` times. Each photo's landmarks are projected through its view onto the surface and
    averaged over the photos. Then each photo's scale, offset and tilt are solved, so that these landmarks, projected
    into its view, fall onto its own.

    Parameters
    ----------
    squares : per photo (468, 2) landmarks in its square, 0 to 1 from edge to edge.
    depth_range : range of depths in a view.
    """
    size = len(face.depth)
    found = [square * size for square in squares]
    surface, cosine = _surfaces(face, depth_range)
    photos = list(face.photos)
    for turn in range(ROUNDS):
        placed, weights = _placed(face, surface, cosine, found, [photo.alignment for photo in photos])
        if turn == ROUNDS - 1:
            break
        for number, photo in enumerate(photos):
            view_pixels = _project(face, photo.moved(placed))
            photos[number] = replace(photo, alignment=align(view_pixels, found[number], weights, size))
    return replace(face, photos=tuple(photos), landmarks=placed, landmark_weights=weights)


def align(view: np.ndarray, square: np.ndarray, weights: np.ndarray, size: int, rounds: int = 4) -> PhotoAlignment:
    """The alignment that brings points (M, 2) of a view nearest to those in the square (M, 2), robustly.

    Weighted least squares over similarities of the plane (Umeyama 1991), with weights (M,). With fewer than eight
    points of positive weight it is the identity.
    """
    if (weights > 0).sum() < 8:
        return PhotoAlignment()
    found = PhotoAlignment()
    robust = weights
    for _ in range(rounds):
        share = robust[:, None] / robust.sum()
        middle, centre = (share * view).sum(0), (share * square).sum(0)
        a, b = view - middle, square - centre
        dot, cross = float((share * a * b).sum()), float((share[:, 0] * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])).sum())
        found = PhotoAlignment(np.hypot(dot, cross) / float((share * a * a).sum()), float(np.arctan2(cross, dot)))
        found = replace(found, offset=tuple((centre - found.to_square(middle, size)).tolist()))
        off = np.linalg.norm(found.to_square(view, size) - square, axis=-1) / (_ROBUST_SHARE * size)
        robust = weights / (1 + off**2) ** 2
    return found


def _surfaces(face: CanonicalFace, depth_range: tuple[float, float]) -> tuple[ViewedSurface, Tensor]:
    """The face in all photos' views, and (S, S) canonical cosines to each photo's line of sight (N, 1, S, S)."""
    rotation = torch.from_numpy(np.stack([photo.rotation for photo in face.photos]))
    translation = torch.from_numpy(np.stack([photo.translation for photo in face.photos]))
    depth = torch.from_numpy(face.depth).expand(len(face.photos), -1, -1)
    surface = view_surface(depth, View(rotation, translation), face.camera, depth_range=depth_range)
    outward = torch.from_numpy(face.normals) @ rotation[:, None].transpose(-1, -2)  # (N, S, S, 3)
    return surface, -outward[..., 2][:, None]


def _placed(
    face: CanonicalFace,
    surface: ViewedSurface,
    cosine: Tensor,
    found: Sequence[np.ndarray],
    alignments: Sequence[PhotoAlignment],
) -> tuple[np.ndarray, np.ndarray]:
    """(468, 3) landmarks on the canonical surface, and (468,) weights in [0, 1]: the best over the photos."""
    size = len(face.depth)
    pixels = np.stack([one.to_view(points, size) for one, points in zip(alignments, found, strict=True)])
    grid = torch.from_numpy(pixels * 2 / size - 1)[:, None]  # (N, 1, 468, 2)
    canonical = grid_sample(surface.grid.permute(0, 3, 1, 2), grid, align_corners=False)[:, :, 0].transpose(1, 2)
    whole = grid_sample(surface.mask[:, None].double(), grid, align_corners=False)[:, 0, 0] > 0.99
    facing = grid_sample(cosine, canonical[:, None], align_corners=False)[:, 0, 0]  # (N, 468)
    weight = ((facing - _FLATTEST) / (0.8 - _FLATTEST)).clamp(0, 1) * whole
    total = weight.sum(0)
    places = (weight[..., None] * canonical).sum(0) / total.clamp(min=1e-9)[:, None]  # (468, 2)
    points = points_from_depth(torch.from_numpy(face.depth)[None], face.camera).permute(0, 3, 1, 2)
    on_surface = grid_sample(points, places[None, None], padding_mode="border", align_corners=False)[0, :, 0].T
    return on_surface.numpy(), weight.amax(0).numpy()


def _project(face: CanonicalFace, points: np.ndarray) -> np.ndarray:
    """(M, 2) pixels of points (M, 3) in the canonical camera's frame."""
    return face.camera.project(torch.from_numpy(points)).numpy()[:, :2]
