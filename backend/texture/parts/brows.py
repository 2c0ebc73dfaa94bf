"""Paint brows for people whose brows no photo shows (thick frames, a fringe, a hat)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from scipy.ndimage import map_coordinates

from backend.geometry.disc import disc
from backend.geometry.noise import gradient_noise
from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass
from backend.photos.regions.polygons import BROW_RIGHT, mirrored
from backend.texture.parts.settings import PARTS
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.photo_selection import TexturePhoto


def brow_place(where: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(2, P) float32 masks in [0, 1] of the right and left brow from landmarks, at an atlas's texels.

    where : (P, 3) the texels and landmarks : (478, 3) neutral, metres.
    """
    return np.stack([_inside(where, landmarks[list(brow)]) for brow in (BROW_RIGHT, mirrored(BROW_RIGHT))])


def hidden_brows(place: np.ndarray, across: np.ndarray, photos: Sequence[TexturePhoto]) -> bool:
    """Whether no photo shows a brow that could be used, directly or mirrored.

    place : (2, P) of ``brow_place`` at the working size. across : (P,) x of the texels, negative on the person's right.
    A brow may lie beside its landmarks, so all brow texels on its side of the face count.
    """
    shown = np.maximum.reduce([p.unwrap.weight * (p.unwrap.labels == FaceClass.BROWS) for p in photos])
    return all(
        (shown[side] > 0.3).sum() < PARTS.brow_shown * (brow > 0.5).sum()
        for brow, side in zip(place, (across < 0.0, across >= 0.0), strict=True)
    )


def seen_darkness(place: np.ndarray, photos: Sequence[TexturePhoto]) -> float | None:
    """Darkness of partly hidden brows (above a rim, beside a fringe): log units below their skin's
    brightness. None if hardly any brow is visible. place : (2, P) of ``brow_place`` at the working size."""
    found = [np.zeros(0)]
    for photo in photos:
        brightness = np.log(np.maximum(photo.unwrap.linear.mean(axis=1), 1e-3))
        seen = photo.unwrap.weight > 0.3
        brows, skin = (seen & (photo.unwrap.labels == kind) for kind in (FaceClass.BROWS, FaceClass.SKIN))
        if skin.any():
            found.append(np.median(brightness[skin]) - brightness[brows])
    darker = np.concatenate(found)
    if len(darker) < PARTS.brow_bits * (place > 0.5).sum():
        return None
    return float(np.quantile(darker, 1 - PARTS.brow_dark_part))


def without_brows(photo: TexturePhoto, atlas: SurfaceAtlas) -> TexturePhoto:
    """The photo without its visible bits of brow (above a rim, say), which would lie beside the painted brows. atlas :
    at the working size."""
    bits = atlas.image((photo.unwrap.labels == FaceClass.BROWS).astype(np.float32))
    grown = cv2.dilate(bits, disc(round(atlas.resolution / PARTS.beside_brows)))
    left = 1.0 - atlas.gather(cv2.GaussianBlur(grown, (0, 0), 1.0))
    return replace(photo, unwrap=replace(photo.unwrap, weight=photo.unwrap.weight * left), shown=photo.shown * left)


def paint_brows(
    log_skin: np.ndarray,
    atlas: SurfaceAtlas,
    positions: np.ndarray,
    place: np.ndarray,
    log_hair: np.ndarray,
    darkness: float | None = None,
) -> np.ndarray:
    """Paint brows in the hair's tint within the brow outlines.

    Parameters
    ----------
    log_skin : (P, 3) log albedo at the atlas's texels. positions : (V, 3) neutral, metres. place : (2, P) of
    ``brow_place``. log_hair : (3,). darkness : log units below skin, of ``seen_darkness``; None: the hair's.

    Returns
    -------
    (P, 3) float32 log albedo.
    """
    result = log_skin.astype(np.float32)
    place = place.max(axis=0)
    used = np.flatnonzero(place > 0.02)
    part = atlas.part(used)
    where, place = part.sample(positions), place[used]
    skin = np.median(result[used], axis=0)
    most, least = PARTS.brow_darkness
    darkness = np.clip(float((skin - log_hair).mean()) if darkness is None else darkness, least, most)
    hue = 0.3 * (log_hair - log_hair.mean()) + 0.7 * (skin - skin.mean())  # skin shines through
    colour = hue + skin.mean() - darkness
    outwards = np.abs(where[:, 0])
    along, across = outwards + PARTS.brow_rise * where[:, 1], where[:, 1] - PARTS.brow_rise * outwards
    facial_hair = gradient_noise(np.stack([PARTS.brow_along * along, across, where[:, 2]], 1), 0.0008, 81)
    cover = PARTS.brow_density * smoothstep(0.1, 0.9, place + 0.15 * facial_hair)[:, None]
    mixed = (1.0 - cover) * np.exp(result[used]) + cover * np.exp(colour + 0.12 * facial_hair[:, None])
    result[used] = np.log(np.maximum(mixed, 1e-3))
    return result


def _inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """(P,) float32 soft mask in [0, 1]: points (P, 3) inside an outline (N, 3) in the frontal view."""
    low = outline[:, :2].min(0) - 4.0 * PARTS.brow_soft
    size = np.ceil((np.ptp(outline[:, :2], axis=0) + 8.0 * PARTS.brow_soft) / PARTS.brow_pixel).astype(int)
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [np.round((outline[:, :2] - low) / PARTS.brow_pixel).astype(np.int32)], 1)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), PARTS.brow_soft / PARTS.brow_pixel)
    places = (points[:, :2] - low) / PARTS.brow_pixel
    near = (points[:, 2] > outline[:, 2].min() - 0.02) & (places > 0).all(1) & (places < size - 1).all(1)
    found = np.zeros(len(points), np.float32)
    found[near] = map_coordinates(soft, places[near, ::-1].T, order=1)
    return found
