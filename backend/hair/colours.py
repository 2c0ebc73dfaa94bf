"""Colours of strands from photographs: albedo at root and tip, smooth between locks."""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import load_template
from backend.hair.hair_strands import HIDES
from backend.models.hair_kind import HairKind
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import LUMINANCE, linear_from_srgb

_SIDE = 320
"""Longer side of the pictures in pixels: resolves locks, not single hairs."""
_DARKEST = 0.002
"""Noise floor of a photo, linear light in [0, 1]: half a step of 8 bits near black is 0.0002, and the blocks of a JPEG
are ten times that."""
_BLACKEST = 0.012
"""The least albedo that the hair's shader reflects."""
_LEAST_SHADING = 0.15
"""Least shading, relative to its mean over the hair. Darker shading is a guess, and dividing by it gives too bright an
albedo."""
_SHORT = "shaved", "buzz"
_FRONT = 0.006
"""Metres behind the foremost hair within which hair counts as visible: half a lock."""
UNKNOWN = np.array([0.045, 0.028, 0.018])
"""Linear albedo of brown hair, the commonest colour: where no photo shows hair, and of a groom before photos tell."""
_RANGE = 0.7
"""Log units by which a lock may differ from the hair as a whole: a factor of two, as between tips and dark roots.
Larger differences are shadows or highlights."""
_FEW = 2.0
"""Weight of the hair's overall colour as a prior, in samples (points of guides that a photo shows)."""
_GREENEST, _REDDEST = 0.5, 1.5
"""Least and greatest ratio of log(red / green) to log(green / blue) in the albedo of hair. By the square roots of what
melanins absorb (d'Eon et al., An Energy-Conserving Hair Reflectance Model, 2011) it is 0.5 to 0.56; above three
times that lie wine and mauve, which a light's error makes of natural hair. Ginger stays ginger."""
_DYED = 0.4
"""Log units: greatest error of the light's hue. Hair that is further off a natural hue is dyed."""
_HUE_DEVIATION = 0.25
"""Log units: standard deviation of one photo's light hue, measured against other photos of the same hair."""
WHITE = np.array([0.42, 0.4, 0.37])
"""Albedo of white hairs, which lie over others: of 0.6 beards glared, and were paler than in four men's photos; grey,
as keratin is not, they were bluish beside skin. Two white beards have 1.1 and 1.6 times as much red as blue."""
_TOGETHER = 8
"""Neighbouring guides that share a brightness: two centimetres, a few pixels of a photo."""


def strand_colours(
    guides: np.ndarray,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    others: Sequence[FittedPhoto] = (),
    kind: HairKind | None = None,
) -> list[np.ndarray]:
    """Colours of guides (G, P, 3), metres, from the photos in which they are the foremost hair; smooth between locks:
    (G, 3) float32 linear albedo at root and tip. ``others`` : photos of other looks, which tell the brightness, too.

    Locks, roots and tips differ in brightness only: differences in hue between locks come from lamps or walls at one
    side, or from JPEG blocks, and a hue of roots and tips apart was further from the photos (b* by 4.5, 3.8 without).
    """
    by_name, albedo = {face.name: face for face in faces}, fitted.vertex_albedo
    bare = load_template().regions["face"][: len(albedo)] > 0.5
    skin = float(np.median(albedo[bare], 0) @ np.array(LUMINANCE))
    thin = 0.0 if kind is None else 1 - kind.probability("density", "full") * (1 - kind.probability("length", *_SHORT))
    seen = [_observed_albedo(guides, photo, by_name[photo.name], skin, thin) for photo in fitted.photos]
    logs, shown = np.stack([log for log, _, _ in seen]), np.stack([mask for _, mask, _ in seen])  # (V, G, P)
    views = [colour for _, _, colour in seen if colour is not None]
    more = (_observed_albedo(guides, photo, by_name[photo.name], skin, thin)[2] for photo in others)
    whole = colour_of_views(np.array(views), [one[1] for one in more if one is not None]) if views else np.log(UNKNOWN)
    if kind is not None and "grey" in kind.odds:
        whole = greyed(whole, kind.odds["grey"])
    near = cKDTree(guides[:, 0]).query(guides[:, 0], k=min(_TOGETHER, len(guides)))[1].reshape(len(guides), -1)
    half = guides.shape[1] // 2
    hidden = np.minimum(np.linalg.norm(np.diff(guides, axis=1), axis=-1).sum(1) / HIDES, 1.0)
    ends = []
    for part in (slice(0, half), slice(half, None)):
        each = np.where(shown, logs, 0.0)[:, :, part], shown[:, :, part]
        total, number = (values.sum((0, 2))[near].sum(1) for values in each)
        own = np.clip(total / (number + _FEW), -_RANGE, _RANGE) * hidden
        ends.append(np.exp(natural(whole) + own[:, None]).astype(np.float32))
    return ends


def colour_of_views(logs: np.ndarray, others: Sequence[float] = ()) -> np.ndarray:
    """(3,) log linear albedo of the hair from the estimates ``logs`` (V, 3) of V photos of a look.

    The brightness is the photos' median; ``others``, of other looks, add half as much weight as the look's:
    photos of one look differ by a factor of 2.6 on the mean. The hue is a weighted mean: an estimate with an unnatural
    hue counts less, by a Gaussian with deviation ``_HUE_DEVIATION``, because the light's hue is probably wrong in that
    photo. If all estimates have the same unnatural hue it is kept, because the hair is dyed.
    """
    off = np.linalg.norm(natural(logs, np.inf) - logs, axis=1)
    weight = np.exp(-0.5 * (off**2 - off.min() ** 2) / _HUE_DEVIATION**2)
    hue = weight @ (logs - logs[:, 1:2]) / weight.sum()
    share = np.repeat([1.0 / len(logs), 0.5 / max(len(others), 1)], [len(logs), len(others)])
    green = np.concatenate([logs[:, 1], others])
    order = green.argsort()
    return hue + np.interp(0.5 * share.sum(), share[order].cumsum() - 0.5 * share[order], green[order])


def greyed(log: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Log linear albedo (3,) of hair, as bright as before, whose hue is white hairs' where the light is theirs.

    odds : (4,) probabilities of the values of ``grey``, as even shares of hairs from 0 to 1; a third of white hairs
    sends most of the light. A value that moves the hue further than the light's error does is less likely.
    """
    level, white = np.exp(log) @ LUMINANCE, WHITE @ LUMINANCE
    share = np.linspace(0, 1, len(odds)) * white / level  # of the light
    odds, share = odds / np.maximum(share, 1), np.minimum(share, 1)  # white hairs alone are no brighter than all
    move = np.log(WHITE / white) - log + np.log(level)
    odds = odds * np.exp(-0.5 * (share * np.linalg.norm(np.diff(move)) / _HUE_DEVIATION) ** 2)  # the light's error
    mixed = np.exp(log + odds @ share / odds.sum() * move)
    return np.log(mixed * level / (mixed @ LUMINANCE))


def natural(logs: np.ndarray, most: float = _DYED) -> np.ndarray:
    """Log linear albedo (..., 3) of hair moved to the nearest natural hue, by at most ``most``; green stays.

    A photo's light is estimated from the skin, and its hue is wrong by some tenths. The pigments of hair absorb more
    blue than green and more green than red, so no natural hair is greener than ``_GREENEST`` or redder than
    ``_REDDEST``.
    """
    blue, red = logs[..., 1] - logs[..., 2], logs[..., 0] - logs[..., 1]  # log(green / blue), log(red / green)
    hue = nearest = np.stack([blue, red], -1)
    for ratio, off in ((_GREENEST, red < _GREENEST * blue), (_REDDEST, red > _REDDEST * blue)):
        share = np.maximum(blue + ratio * red, 0) / (1 + ratio**2)  # projection onto the line of this ratio
        nearest = np.where(off[..., None], np.stack([share, ratio * share], -1), nearest)
    move = nearest - hue
    length = np.linalg.norm(move, axis=-1, keepdims=True)
    move = move * np.minimum(1, most / np.maximum(length, 1e-9))
    return logs + np.stack([move[..., 1], np.zeros_like(move[..., 0]), -move[..., 0]], -1)


def _observed_albedo(
    guides: np.ndarray, photo: FittedPhoto, face: PhotoFace, skin: float, thin: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """What one photo tells: (G, P) log green albedo at the guides' points relative to the hair as a whole, (G, P)
    whether the photo shows the point, and (3,) log albedo of the hair as a whole, None where it shows none: its hue by
    the light, its brightness by that of the face's skin, whose albedo's luminance is ``skin``. Hair that is thin or
    clipped, with probability ``thin``, shows skin: up to half of its pixels, those most like skin, are left out."""
    scale = min(1.0, _SIDE / max(face.labels.shape))
    camera = photo.camera.scaled(scale)
    size = camera.size
    linear = linear_from_srgb(cv2.resize(face.pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255)
    if face.monochrome:
        linear = np.repeat((linear @ np.array(LUMINANCE, np.float32))[..., None], 3, axis=-1)
    labels = cv2.resize(face.labels, size, interpolation=cv2.INTER_NEAREST)
    hair = cv2.erode((labels == FaceClass.HAIR).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # without mixed edges
    bare, level = linear[labels == FaceClass.SKIN], np.array(LUMINANCE, np.float32)
    if len(bare) and hair.any():
        start = np.median(bare, 0)
        share = (linear - start) @ (np.median(linear[hair], 0) - start)
        hair &= share >= np.quantile(share[hair], 0.5 * thin)
    pixel = camera.project(guides.astype(np.float64))
    column, row = np.floor(pixel[..., 0]).astype(int), np.floor(pixel[..., 1]).astype(int)
    inside = (column >= 0) & (column < size[0]) & (row >= 0) & (row < size[1])
    column, row = column.clip(0, size[0] - 1), row.clip(0, size[1] - 1)
    cell = (row // 4) * (size[0] // 4 + 1) + column // 4  # depth of the foremost hair, in cells as wide as a lock
    front = np.full((size[1] // 4 + 1) * (size[0] // 4 + 1), np.inf)
    np.minimum.at(front, cell[inside], pixel[..., 2][inside])
    shown = inside & hair[row, column] & (pixel[..., 2] < front[cell] + _FRONT)
    outwards = guides - guides[:, 0].mean(0)
    outwards = outwards / np.maximum(np.linalg.norm(outwards, axis=-1, keepdims=True), 1e-6)
    shading = sh.shade(outwards.astype(np.float32), photo.light)
    usual = float(np.abs(shading[shown]).mean()) if shown.any() else 1.0
    albedo = np.maximum(linear[row, column], _DARKEST) / np.maximum(shading, _LEAST_SHADING * max(usual, 1e-3))
    log_albedo = np.log(np.maximum(albedo, _DARKEST))
    if not shown.any():
        return log_albedo[..., 1], shown, None
    whole = np.median(log_albedo[shown], 0)
    lock = log_albedo[..., 1] - whole[1]
    if len(bare):
        times = np.maximum(np.median(linear[hair], 0) @ level, _DARKEST) / (np.median(bare, 0) @ level)
        whole += np.log(max(times * skin, _BLACKEST) / (np.exp(whole) @ level))
    return lock, shown, whole
