"""Blend photos in frequency bands.

Hand-set constants of blending.

Blend masked images with Laplacian pyramids.

The method is Burt and Adelson's ("A multiresolution spline with application to image mosaics", 1983) with one change:
it blends residuals over a common base, so that a photo contributes zero instead of an edge where it does not see the
surface.

Detect hinges and arms of glasses in the blended bands; parsing labels only lenses and rims as glasses.

Folds of expressions: smooth dark lines of the blended detail that are shade and no pigment.

Choose the photo that gives each texel its detail: one photo per feature, the best one elsewhere.

Split the skin into three frequency bands (base, middle, fine) and blend each in its own way.

- *base*, coarser than about a centimetre: the photos' consensus on the mesh (``delighting.consensus``);
- *middle*: the mean of the photos. Each is divided only by its smooth light (spherical harmonics, without cast shadows
  or occlusion), so that personal shape such as the depth of the lids or the fold of a lip is not removed as light;
- *fine*: from the best photo, one photo per feature (``view_selection``), blended with pyramids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np

from backend.geometry.robust_statistics import robust_consensus
from backend.geometry.vectors import disc, smoothstep
from backend.photos.collection import FaceClass
from backend.photos.regions import connected
from backend.rendering.interpolate import sample_image
from backend.rig.arkit import ARKIT_INDEX
from backend.system.parallel import each, parallel_threads
from backend.texture.delighting import Consensus, photo_detail
from backend.texture.surface import (
    HeadSurface,
    SurfaceAtlas,
    TextureSpace,
    channel_mean,
    enlarged,
    grown,
    masked_lowpass,
    pieces,
)
from backend.texture.unwrap import (
    DARKEST,
    SEEN,
    PhotoInView,
    TexturePhoto,
    labelled_share,
    photo_at_scale,
    sample_linear,
    trusted_share,
)


@dataclass(frozen=True)
class BlendingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    A pair is the start and end of a soft step. ``benchmarks/sensitivity.py`` halves and doubles each constant and
    reports which figures respond.
    """

    middle_width: float = 0.0008
    """Metres, 0.0004 to 0.002: finer detail comes from the best photo alone, because photos are aligned no better."""
    middle_levels: int = 6
    """Octaves, 3 to 8, of the pyramid that blends middle frequencies: six reach two centimetres, the scale at which
    photos differ in light."""
    consensus_size: int = 512
    """Texels, 256 to 1024: edge of the map on which the consensus of middle frequencies is computed."""
    consensus_outlier: float = 0.25
    """Log units, 0.1 to 0.8: a photo this far from the others gets a quarter of its weight in that consensus."""
    deviation_blur: float = 2.0
    """Widths of the middle band, 1 to 8, over which a photo's deviation from the consensus is smoothed."""
    consistent: float = 0.30
    """Log units, 0.1 to 0.8: a photo that deviates more from the consensus shows an occluder there."""
    features_consistent: float = 0.45
    """Log units: the same for eyes, brows and lips, which move."""
    hairline_consistent: float = 1.0
    """Log units: the same for the hairline, which is never sharp."""
    moved_less: float = 0.85
    """Share in [0, 1] by which the weight of skin moved by an expression is reduced."""
    expression_folds: float = 0.45
    """Share in [0, 1] of the dark detail that is removed as expression folds where the skin is moved in all photos. It
    is divided by the number of photos, because several photos have different expressions."""
    fold_width: float = 0.002
    """Metres, 0.001 to 0.004: half the width of a laugh's folds, which are 3 to 6 mm wide."""
    fold_shown: tuple[float, float] = (0.3, 0.8)
    """Weight in [0, 1] of a photo, from where on to where fully it can say that skin is not as dark as a fold."""
    fold_unseen: float = 3.0
    """Log units, 2 to 5, as dark as any detail: what a photo that cannot say so is taken for."""
    prefer_first: float = 1.4
    """Factor, 1 to 2, by which the best photo overall is preferred, to reduce borders between photos."""
    enough_density: float = 3500.0
    """Pixels per metre, 1500 to 8000, at which a photo resolves all that the texture can hold."""
    beside_hair: float = 120.0
    """Divisor of the working size, 60 to 240: texels within 1 / 120 of it of the hair roots count as hair."""
    brow_share: tuple[float, float] = (0.1, 0.4)
    """Share in [0, 1] of the photos' labels that are brow: from there on dark detail is brow, not an arm of glasses."""
    glasses_area: float = 3e-5
    """Square metres, 1e-5 to 1e-4: a photo with more glasses than this shows the person wearing them."""
    worn_share: tuple[float, float] = (0.2, 0.4)
    """Share in [0, 1] of the photos with glasses, from which the person wears them and arms are searched."""
    beside_eyes: float = 0.002
    """Metres, 0 to 0.01: distance outside the eyes' outer corners where arms of glasses begin."""
    below_eyes: float = 0.010
    """Metres, 0.005 to 0.02: lower limit of the arms, below the middle of the eyes."""
    above_eyes: float = 0.020
    """Metres, 0.01 to 0.04: upper limit of the arms, above the middle of the eyes."""
    beside_brows: float = 0.003
    """Metres, 0.001 to 0.01: margin around brows within which no arm is detected."""
    arm_contrast: float = 0.3
    """Log units, 0.15 to 0.6, darker than the base: a hinge or an arm; wrinkles have less contrast."""
    part_of_arm: float = 0.06
    """Log units, 0.02 to 0.2, darker than the base: a texel connected to an arm belongs to it."""
    sliver: float = 0.0012
    """Metres, 0.0005 to 0.003: half the width of the strips between two gaps that are removed, because they would stand
    out as lines."""


BLENDING = BlendingSettings()


def gaussian_pyramid(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """``levels`` images, each half the size of the one before."""
    pyramid = [image]
    for _ in range(levels - 1):
        pyramid.append(cv2.pyrDown(pyramid[-1]))
    return pyramid


def _up(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    return cv2.pyrUp(image, dstsize=(like.shape[1], like.shape[0]))


@dataclass(frozen=True)
class WeightedBands:
    """One photo's pyramid, finest first: ``bands`` (h, w, C), already multiplied by the weight, and ``weights``
    (h, w)."""

    bands: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]


class ResidualBlender:
    """Multi-band blending of residual images. Photos are added one at a time to limit memory.

    Parameters
    ----------
    size : (height, width) of the images; levels : number of bands, the coarsest keeps the remainder.
    """

    def __init__(self, size: tuple[int, int], levels: int) -> None:
        self._levels = levels
        self._sums: list[np.ndarray] | None = None
        self._weights: list[np.ndarray] = []
        self._size = size

    def bands(self, residual: np.ndarray, weight: np.ndarray) -> WeightedBands:
        """Split one photo into bands. ``residual`` (H, W, C) float32 is zero where unseen. Overwritten: its memory
        becomes the finest band. ``weight`` (H, W) float32 >= 0."""
        if residual.shape[:2] != self._size or weight.shape != self._size:
            raise ValueError(f"expected images of size {self._size}, got {residual.shape} and {weight.shape}")
        weights = gaussian_pyramid(weight, self._levels)
        bands = gaussian_pyramid(residual, self._levels)
        for fine, coarse in pairwise(bands):
            cv2.subtract(fine, _up(coarse, fine), dst=fine)
        for band, w in zip(bands, weights, strict=True):
            band *= w[..., None]
        return WeightedBands(tuple(bands), tuple(weights))

    def add(self, photos: list[WeightedBands]) -> None:
        """Add the bands of photos. Empties the list to free memory."""
        while photos:
            photo = photos.pop(0)
            if self._sums is None:
                self._sums = [band.copy() for band in photo.bands]
                self._weights = [weight.copy() for weight in photo.weights]
                continue
            for level, (band, weight) in enumerate(zip(photo.bands, photo.weights, strict=True)):
                self._sums[level] += band
                self._weights[level] += weight

    def result(self) -> np.ndarray:
        """The blended residual (H, W, C); zero where no photo had weight."""
        if self._sums is None:
            raise ValueError("no photo was added")
        image: np.ndarray | None = None
        for band, weight in zip(reversed(self._sums), reversed(self._weights), strict=True):
            mean = band / np.maximum(weight, 1e-4)[..., None]
            image = mean if image is None else _up(image, mean) + mean
        assert image is not None
        return image


def arms_of_glasses(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[TexturePhoto],
    blended: np.ndarray,
    hairline: np.ndarray,
    positions: np.ndarray,
    density: float,
) -> np.ndarray:
    """(S, S) mask in [0, 1] of hinges and arms of glasses at the temples, outside hair and brows.

    Zero unless the person wears glasses in many photos.

    blended : (S, S, 3) log detail. hairline : (S, S) in [0, 1], 1 on hair. positions : (V, 3) neutral, metres.
    density : texels per metre.
    """
    least = BLENDING.glasses_area * density**2
    worn = [((p.unwrap.labels == FaceClass.GLASSES) & (p.unwrap.seen > SEEN)).sum() > least for p in photos]
    often = float(smoothstep(*BLENDING.worn_share, trusted_share(photos, worn)))
    if often == 0.0:
        return np.zeros(blended.shape[:2], np.float32)
    lids = positions[np.maximum(surface.regions["lids_left"], surface.regions["lids_right"]) > 0.5]
    place = atlas.sample(positions)
    up, aside = place[:, 1] - float(np.median(lids[:, 1])), np.abs(place[:, 0]) - float(np.abs(lids[:, 0]).max())
    low, high = -BLENDING.below_eyes, BLENDING.above_eyes
    band = smoothstep(low - 0.002, low, up) * smoothstep(high + 0.002, high, up)
    band = band * smoothstep(0.0, BLENDING.beside_eyes, aside)
    band, dark = atlas.image(band.astype(np.float32)), -channel_mean(blended)
    arms = connected((band > 0) & (dark > BLENDING.part_of_arm), dark > BLENDING.arm_contrast)
    soft = cv2.GaussianBlur(cv2.dilate(arms.astype(np.float32), np.ones((5, 5), np.uint8)), (0, 0), 1.0)
    near_hair = smoothstep(0.02, 0.2, cv2.GaussianBlur(hairline, (0, 0), hairline.shape[0] / BLENDING.beside_hair))
    hairy = np.maximum(near_hair, labelled_share(atlas, photos, FaceClass.FACIAL_HAIR))
    brows = smoothstep(*BLENDING.brow_share, labelled_share(atlas, photos, FaceClass.BROWS))  # brows are dark as well
    bare = (1.0 - hairy) * (1.0 - grown(brows, round(BLENDING.beside_brows * density), 0))
    return often * band * soft * bare


def folds_of_some_photos(
    blended: np.ndarray,
    middles: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    moved: np.ndarray,
    density: float,
) -> np.ndarray:
    """(S, S) log units, at most 0, by which folds that not all photos show darken the blended detail.

    Pigment is at the same place in all photos; a fold is where this expression has it. So skin that an expression moves
    is no darker than the median photo shows it (of two photos the brighter one), up to what is usual on this skin.
    Folds that lie at the same place in most photos stay.

    Parameters
    ----------
    blended : (S, S, 3) log detail of the middle band. middles, weights : (S, S, 3) and (S, S) of each photo.
    moved : (S, S) in [0, 1], plain skin that an expression moves in some photo.
    density : texels per metre.
    """
    if len(middles) < 2:
        return np.zeros(moved.shape, np.float32)
    sigma = BLENDING.fold_width * density

    def smooth(detail: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return masked_lowpass(channel_mean(detail)[..., None], weight, sigma)[0][..., 0]

    own = each(smooth, middles, weights)
    shows = [smoothstep(*BLENDING.fold_shown, weight) for weight in weights]
    detail = np.stack([one - BLENDING.fold_unseen * (1.0 - share) for one, share in zip(own, shows, strict=True)])
    count = sum(shows)
    middle = np.maximum((np.rint(count).astype(int) - 1) // 2, 0)
    median = np.take_along_axis(-np.sort(-detail, axis=0), middle[None], axis=0)[0]
    several = np.clip(count - 1.0, 0.0, 1.0)  # one photo alone contradicts nothing
    seen = np.maximum.reduce(weights).astype(np.float32)
    level = smooth(blended, seen)
    darker = several * np.maximum(np.minimum(median, 0.0) - np.minimum(level, 0.0), 0.0)
    skin = several * moved > 0.5
    usual = float(np.median((median - level)[skin])) if skin.any() else 0.0  # the photos' differences, folds or not
    folds = (moved * np.maximum(darker - max(usual, 0.0), 0.0)).astype(np.float32)
    return -cv2.GaussianBlur(folds, (0, 0), sigma)


# expression weights that change a feature's look; photos without these expressions are preferred
_DISTURBING: Mapping[str, tuple[tuple[str, float], ...]] = {
    "eye_left": (
        ("browInnerUp", 0.4), ("browOuterUpLeft", 0.5), ("browDownLeft", 0.5), ("eyeBlinkLeft", 1.2),
        ("eyeSquintLeft", 0.5), ("eyeWideLeft", 0.3), ("mouthSmileLeft", 0.3),
    ),
    "eye_right": (
        ("browInnerUp", 0.4), ("browOuterUpRight", 0.5), ("browDownRight", 0.5), ("eyeBlinkRight", 1.2),
        ("eyeSquintRight", 0.5), ("eyeWideRight", 0.3), ("mouthSmileRight", 0.3),
    ),
    "lips": (
        ("jawOpen", 1.5), ("mouthSmileLeft", 0.7), ("mouthSmileRight", 0.7), ("mouthPucker", 1.0),
        ("mouthFunnel", 1.0), ("mouthRollUpper", 0.7), ("mouthRollLower", 0.7),
    ),
    "nose": (("noseSneerLeft", 0.7), ("noseSneerRight", 0.7), ("mouthSmileLeft", 0.3), ("mouthSmileRight", 0.3)),
}  # fmt: skip


@dataclass(frozen=True)
class PhotoScore:
    """Inputs of view selection for one photo: ``weight`` (S, S) and ``cosine`` (S, S) in UV, ``deviation`` (S, S) from
    the other photos in log units, ``pixels_per_metre``, ``quality`` 0-1, ``expression`` (52,)."""

    weight: np.ndarray
    cosine: np.ndarray
    deviation: np.ndarray
    pixels_per_metre: float
    quality: float
    expression: np.ndarray


def neutrality(expression: np.ndarray, feature: str) -> float:
    """1 for a feature at rest, falling towards 0 as the expression changes its look."""
    return float(np.exp(-2.0 * sum(w * expression[ARKIT_INDEX[name]] for name, w in _DISTURBING[feature])))


def rest_weights(photos: Sequence[PhotoScore], features: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """(S, S) float32 per photo: 1 outside the features (S, S), lower within a feature that this photo's expression
    changes more than the calmest photo's does. Averaging a raised with a lowered brow would make a thick one."""
    result = [np.ones_like(photo.weight) for photo in photos]
    for name, mask in features.items():
        rests = np.array([neutrality(photo.expression, name) for photo in photos])
        for image, rest in zip(result, rests / rests.max(), strict=True):
            image *= 1.0 - mask * np.float32(1.0 - rest)
    return result


def detail_weights(photos: Sequence[PhotoScore], features: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Blending weights for fine detail.

    Parameters
    ----------
    features : feature (a name as in ``_DISTURBING``) -> (S, S) soft mask in [0, 1].

    Returns
    -------
    One (S, S) float32 per photo. They sum to 1 where any photo has weight; a photo without weight gets 0.
    """
    size = photos[0].weight.shape[0]
    blur = size / 100.0
    strength = [
        (0.25 + 0.75 * p.quality) * float(np.clip(p.pixels_per_metre / BLENDING.enough_density, 0.02, 1.0))
        for p in photos
    ]
    scores = each(
        lambda p, s: cv2.GaussianBlur(p.weight * np.maximum(p.cosine, 0.05) * np.float32(s), (0, 0), blur),
        photos,
        strength,
    )
    first = int(np.argmax([float(score.sum()) for score in scores]))
    scores[first] = scores[first] * BLENDING.prefer_first  # reduces borders between photos
    best = np.maximum.reduce(scores)
    for name, mask in features.items():
        total = float(mask.sum())
        if total <= 0:
            continue
        values = []
        for photo, s in zip(photos, strength, strict=True):
            shown = float((mask * photo.weight).sum()) / total
            frontal = float((mask * photo.weight * photo.cosine).sum()) / max(total * shown, 1e-9)
            deviating = float((mask * photo.weight * photo.deviation).sum()) / max(total * shown, 1e-9)
            preferred = BLENDING.prefer_first if len(values) == first else 1.0
            values.append(
                preferred * s * shown**3 * frontal * neutrality(photo.expression, name) * np.exp(-deviating / 0.1)
            )
        chosen = int(np.argmax(values))
        if values[chosen] <= 0:
            continue
        strict = 0.9 if name == "nose" else 1.0  # eyes and lips: from one photo alone
        scores = [
            score * (1.0 - strict * mask) if i != chosen else score * (1.0 - mask) + mask * np.maximum(score, best)
            for i, score in enumerate(scores)
        ]
    most = max(float(best.max()), 1e-9)
    sharpened = each(lambda score: _sharpened(np.maximum(score, 0.0) / most), scores)
    total = np.maximum(sum(sharpened), 1e-30)
    weights = each(
        lambda own, p: cv2.GaussianBlur(own / total, (0, 0), size / 200.0) * smoothstep(0.02, 0.3, p.weight),
        sharpened,
        photos,
    )
    total = sum(weights)
    return [(w / np.maximum(total, 1e-6) * (total > 1e-6)).astype(np.float32) for w in weights]


def _sharpened(score: np.ndarray) -> np.ndarray:
    """The eighth power, so that the best photo gets nearly all the weight. Three squarings are faster than ``power``,
    which takes logarithms."""
    squared = score * score
    squared *= squared
    squared *= squared
    return squared


def coverage(weights: Sequence[np.ndarray], fine: Sequence[np.ndarray]) -> np.ndarray:
    """(S, S) float32 in [0, 1]: confidence that the photo chosen for a texel's detail shows bare face there."""
    total = sum(w * smoothstep(0.03, 0.35, shown) for shown, w in zip(weights, fine, strict=True))
    return np.clip(total, 0.0, 1.0).astype(np.float32)


def without_slivers(cover: np.ndarray, density: float) -> np.ndarray:
    """Cover (S, S) in [0, 1] without strips narrower than twice ``BlendingSettings.sliver``. Such a strip is the common
    rim of two unseen places and would stand out as a line. density : texels per metre."""
    radius = max(1, round(BLENDING.sliver * density))
    broad = cv2.GaussianBlur(cv2.morphologyEx(cover, cv2.MORPH_OPEN, disc(radius)), (0, 0), 1.0)
    return np.minimum(cover, broad)


_FACE_HAIR = (FaceClass.BROWS, FaceClass.FACIAL_HAIR)


@dataclass(frozen=True)
class MiddleBand:
    """The middle band and its weights at the working size S.

    Attributes
    ----------
    blended : (S, S, 3) blended log detail of the middle frequencies, 0 where unseen.
    per_photo : (S, S, 3) per photo, its own log detail.
    weights : (S, S) per photo, its weight for fine detail.
    cover : (S, S) in [0, 1], how surely photos show bare skin.
    hair : (S, S) per photo, 1 on pale brows and beards, whose brightness is not a highlight.
    """

    blended: np.ndarray
    per_photo: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    cover: np.ndarray
    hair: tuple[np.ndarray, ...]


def feature_masks(
    surface: HeadSurface, atlas: SurfaceAtlas, photos: Sequence[TexturePhoto], positions: np.ndarray
) -> dict[str, np.ndarray]:
    """Soft masks (S, S) of the features that must each come from one photo; positions (V, 3) neutral.

    The height of brows varies between people, so their mask comes from the photos' labels where enough are labelled.
    """
    regions = surface.regions
    left = smoothstep(-0.004, 0.004, positions[:, 0])
    voted = labelled_share(atlas, photos, FaceClass.BROWS)
    names = ("brows", "lids_left", "lids_right", "lips", "nose")
    stacked = atlas.image(atlas.sample(np.stack([*(regions[name] for name in names), left], 1).astype(np.float32)))
    brows, lids_left, lids_right, lips, nose, side = np.moveaxis(stacked, 2, 0)
    if (voted > 0.5).sum() > 0.2 * (brows > 0.5).sum():
        brows = smoothstep(0.15, 0.4, voted)
    around, between = atlas.resolution // 200, atlas.resolution // 60
    masks = {
        "lips": (lips, around, 0),
        "nose": (nose, around, 0),
        "eye_left": (np.maximum(lids_left, brows * side), 2 * around, between),
        "eye_right": (np.maximum(lids_right, brows * (1.0 - side)), 2 * around, between),
    }
    return dict(zip(masks, each(grown, *zip(*masks.values(), strict=True)), strict=True))


def middle_band(
    surface: HeadSurface,
    space: TextureSpace,
    photos: Sequence[TexturePhoto],
    consensus: Consensus,
    hairy: np.ndarray,
    positions: np.ndarray,
    density: float,
) -> MiddleBand:
    """Blend the photos' middle frequencies; hairy (V,) where hair grows, positions (V, 3) neutral."""
    atlas = space.skin
    texel_base, texel_skin = atlas.sample(consensus.log_base), atlas.sample(consensus.log_skin)
    texel_range = atlas.sample(consensus.colour_range)
    sigma = BLENDING.middle_width * density
    features = feature_masks(surface, atlas, photos, positions)
    feature = np.clip(sum(mask for name, mask in features.items() if name != "nose"), 0.0, 1.0)
    hairline = atlas.image(atlas.sample(hairy[:, None])[:, 0])
    all_grey = all(photo.samples.colourless for photo in photos)

    def look(photo: TexturePhoto, field: np.ndarray) -> tuple[np.ndarray, PhotoScore, np.ndarray, np.ndarray]:
        """The photo's middle band and score, and (S, S) maps of how far it is at rest and of pale facial hair."""
        texel_field = atlas.sample(field)
        grey = photo.samples.colourless
        hair = _pale_facial_hair(photo, texel_field, texel_base)
        detail = atlas.image(
            photo_detail(
                photo.unwrap.linear,
                texel_field,
                texel_base,
                texel_skin,
                _photo_colour_range(photo, texel_range),
                hair,
                photo.samples.monochrome,
            )
        )
        weight = atlas.image(photo.shown)
        middle, _ = masked_lowpass(detail, weight, sigma)
        around, _ = masked_lowpass(channel_mean(middle)[..., None], weight, 8.0 * sigma)
        strand = (
            atlas.image(photo.bare)
            * (1.0 - hairline)
            * smoothstep(0.22, 0.45, np.abs(around[..., 0] - channel_mean(middle)))
        )
        weight = weight * (1.0 - np.clip(3.0 * cv2.GaussianBlur(strand, (0, 0), 2.0 * sigma), 0.0, 1.0))
        middle, _ = masked_lowpass(detail, weight, sigma)
        moved = atlas.image(atlas.sample(photo.moved[:, None])[:, 0]) * (1.0 - feature)
        quality = photo.samples.trust * (0.25 if grey and not all_grey else 1.0)
        score = PhotoScore(
            weight,
            atlas.image(photo.unwrap.cosine),
            np.zeros_like(weight),
            photo.view.pixels_per_metre,
            quality,
            photo.fit.expression,
        )
        return middle, score, 1.0 - BLENDING.moved_less * moved, cv2.GaussianBlur(atlas.image(hair), (0, 0), 1.0)

    middles, scores, rested, facial_hair = zip(*each(look, photos, consensus.log_fields), strict=True)
    moved_in_all = _moved_in_all_photos([score.weight for score in scores], rested)
    agreed = _middle_consensus(middles, scores)
    tolerance = (
        BLENDING.consistent
        + (BLENDING.features_consistent - BLENDING.consistent) * feature
        + (BLENDING.hairline_consistent - BLENDING.consistent) * hairline
    )
    seen = [score.weight for score in scores]
    shown = [score.weight * rest for score, rest in zip(scores, rested, strict=True)]
    deviating = each(lambda own: _deviation_from_consensus(own, agreed, sigma), middles)
    scores = [
        replace(score, weight=weight * _consistency(own, tolerance), deviation=own)
        for score, weight, own in zip(scores, shown, deviating, strict=True)
    ]
    fine = detail_weights(scores, features)
    shares = [
        score.weight * score.cosine**2 * smoothstep(0.15, 0.5, score.cosine) * score.quality * rest
        for score, rest in zip(scores, rest_weights(scores, features), strict=True)
    ]
    blended = _blended(middles, shares, shown, agreed) + _borrowed_chroma(middles, scores, fine, photos)
    plain = (1.0 - np.maximum.reduce(facial_hair)) * (1.0 - hairline)
    folds = BLENDING.expression_folds / len(photos) * moved_in_all * plain * np.minimum(channel_mean(blended), 0.0)
    blended = blended - folds[..., None]
    moved = (1.0 - np.minimum.reduce(rested)) / BLENDING.moved_less * plain
    moved = moved * (1.0 - labelled_share(atlas, photos, FaceClass.FACIAL_HAIR))
    folds = folds_of_some_photos(blended, middles, seen, moved, density)
    blended = blended - folds[..., None]
    arms = arms_of_glasses(surface, atlas, photos, blended, hairline, positions, density)
    cover = without_slivers(coverage(shown, fine) * (1.0 - arms), density)
    return MiddleBand(blended, tuple(middles), tuple(fine), cover, tuple(facial_hair))


def _photo_colour_range(photo: TexturePhoto | PhotoInView, colour_range: np.ndarray) -> np.ndarray:
    """(P, 2) ``Consensus.colour_range`` for this photo; zero, so no colour difference, under coloured lamps."""
    return np.zeros_like(colour_range) if photo.samples.coloured_light else colour_range


def _pale_facial_hair(photo: TexturePhoto, field: np.ndarray, log_base: np.ndarray) -> np.ndarray:
    """(P,) float32 in [0, 1]: confidence that a texel is brow or beard lighter than the skin below (``log_base``). Its
    brightness is then not a highlight."""
    light = np.zeros(len(field), np.float32)
    hair = np.isin(photo.unwrap.labels, _FACE_HAIR)
    shown = hair & (photo.unwrap.weight > 0.3)
    if shown.sum() >= 50:
        brightness = np.log(np.maximum(photo.unwrap.linear[shown], DARKEST)) - field[shown] - log_base[shown]
        light[hair] = smoothstep(-0.25, -0.10, np.percentile(brightness.mean(1), 20))
    return light


def _borrowed_chroma(
    middles: Sequence[np.ndarray],
    scores: Sequence[PhotoScore],
    fine: Sequence[np.ndarray],
    photos: Sequence[TexturePhoto],
) -> np.ndarray | float:
    """(S, S, 3) chroma from the colour photos for texels whose detail comes from a grey photo."""
    grey = [photo.samples.colourless for photo in photos]
    if not any(grey) or all(grey):
        return 0.0
    total = sum(s.weight for s, g in zip(scores, grey, strict=True) if not g)
    chroma = sum(
        (m - channel_mean(m)[..., None]) * s.weight[..., None]
        for m, s, g in zip(middles, scores, grey, strict=True)
        if not g
    )
    share = sum(w for w, g in zip(fine, grey, strict=True) if g)
    return (chroma / np.maximum(total, 1e-3)[..., None] * share[..., None]).astype(np.float32)


def _middle_consensus(middles: Sequence[np.ndarray], scores: Sequence[PhotoScore]) -> np.ndarray:
    """(S, S, 3) robust consensus of the photos' middle frequencies."""
    size = middles[0].shape[0]
    if len(middles) == 1:
        return middles[0]
    small = (min(BLENDING.consensus_size, size),) * 2
    values = [cv2.resize(m, small, interpolation=cv2.INTER_AREA).reshape(-1, 3) for m in middles]
    weights = [cv2.resize(s.weight, small, interpolation=cv2.INTER_AREA).ravel() * s.quality for s in scores]
    consensus, _ = robust_consensus(np.stack(values), np.stack(weights), BLENDING.consensus_outlier, iterations=3)
    image = consensus.astype(np.float32).reshape(*small, 3)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)


def _blended(
    middles: Sequence[np.ndarray], shares: Sequence[np.ndarray], shown: Sequence[np.ndarray], agreed: np.ndarray
) -> np.ndarray:
    """(S, S, 3) mean of the photos' middle frequencies, weighted by ``shares``; 0 where all shares are 0.

    Shares change within millimetres (at the edge of a smile), but photos differ in light over centimetres. A direct
    mean would show seams, so the residuals from the consensus are blended by pyramid.
    """
    blender = ResidualBlender(agreed.shape[:2], levels=BLENDING.middle_levels)

    def bands(middle: np.ndarray, share: np.ndarray, seen: np.ndarray) -> WeightedBands:
        return blender.bands((middle - agreed) * np.minimum(8.0 * seen, 1.0)[..., None], share)

    blender.add(each(bands, middles, shares, shown))
    anywhere = np.minimum(sum(shares) / 1e-4, 1.0)[..., None]
    return (agreed + blender.result()) * anywhere


def _moved_in_all_photos(weights: Sequence[np.ndarray], rested: Sequence[np.ndarray]) -> np.ndarray:
    """(S, S) in [0, 1], 1 where the expression moves the skin in every photo that shows it."""
    shown = np.maximum.reduce(weights)
    calmest = np.maximum.reduce([weight * rest for weight, rest in zip(weights, rested, strict=True)])
    return np.clip((1.0 - calmest / np.maximum(shown, 1e-3)) / BLENDING.moved_less, 0.0, 1.0)


def _deviation_from_consensus(own: np.ndarray, agreed: np.ndarray, sigma: float) -> np.ndarray:
    """(S, S) absolute difference of a photo's detail from the consensus in log units, smoothed over millimetres."""
    return cv2.GaussianBlur(np.abs(channel_mean(own - agreed)), (0, 0), BLENDING.deviation_blur * sigma)


def _consistency(deviation: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """(S, S) weight: 1 where a photo is near the consensus, towards 0 where it probably shows an occluder."""
    return (1.0 / (1.0 + (deviation / tolerance) ** 2) ** 2).astype(np.float32)


def personal_prior(
    surface: HeadSurface, atlas: SurfaceAtlas, middle: MiddleBand, prior: np.ndarray, without_colour: bool
) -> np.ndarray:
    """``prior`` (V, 3) with this person's lip colour from the photos. With ``without_colour`` only the brightness of
    the lips comes from the photos. atlas : at the working size."""
    lips = atlas.image(atlas.sample(surface.regions["lips"][:, None])[:, 0])
    shown = (lips > 0.8) & (middle.cover > 0.8)
    if shown.sum() < 100:
        return prior
    own = np.median(middle.blended[shown], axis=0)
    if without_colour:
        expected = np.median(prior[surface.regions["lips"] > 0.8], axis=0)
        own = own.mean() + expected - expected.mean()
    share = surface.regions["lips"][:, None]
    return (prior * (1.0 - share) + own * share).astype(np.float32)


def fine_band(
    atlas: SurfaceAtlas,
    photos: Sequence[PhotoInView],
    middle: MiddleBand,
    consensus: Consensus,
    density: float,
) -> np.ndarray:
    """Blend the finest frequencies (R, R, 3) at full size, each place from its best photo; density : texels per metre
    at full size."""
    size = atlas.resolution
    rows, columns = _bounding_box(middle.cover > 0.01, size)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    blender = ResidualBlender((height, width), levels=4)
    row, column = np.divmod(atlas.texel, size)
    boxed = (row >= rows.start) & (row < rows.stop) & (column >= columns.start) & (column < columns.stop)
    boxed = np.flatnonzero(boxed)
    place = (row[boxed] - rows.start) * width + column[boxed] - columns.start  # index into the flattened box

    def finest(
        photo: PhotoInView, weight: np.ndarray, own: np.ndarray, hair: np.ndarray, field: np.ndarray
    ) -> WeightedBands:
        """The detail of this photo that its middle band lacks, as weighted pyramid bands."""
        weight = enlarged(weight, size)[rows, columns]
        shown = weight.ravel()[place] > 1e-3
        used, inside = boxed[shown], place[shown]
        scale_of_own = np.float32(own.shape[0] / size)
        vertex_values = [photo.view.pixels, field, consensus.log_base, consensus.log_skin, consensus.colour_range]
        vertex_values = np.concatenate(vertex_values, 1)
        pixels, scale = photo_at_scale(photo.face, photo.view.pixels_per_metre, density)
        residual = np.zeros((height * width, 3), np.float32)
        for piece in pieces(len(used)):
            here = inside[piece]
            sampled = atlas.part(used[piece]).sample(vertex_values)  # (P, 13)
            fields = (sampled[:, 2:5], sampled[:, 5:8], sampled[:, 8:11], _photo_colour_range(photo, sampled[:, 11:]))
            linear = sample_linear(sampled[:, :2], pixels, scale)
            texel = atlas.texel[used[piece]]
            in_own = (np.stack([texel % size, texel // size], 1).astype(np.float32) + np.float32(0.5)) * scale_of_own
            bristles = sample_image(hair, in_own)
            detail = photo_detail(linear, *fields, bristles, photo.samples.monochrome)
            seen = np.minimum(weight.ravel()[here] * 8.0, 1.0)[:, None]  # fades to zero at the photo's border
            residual[here] = (detail - sample_image(own, in_own)) * seen
        return blender.bands(residual.reshape(height, width, 3), weight)

    per_photo = zip(photos, middle.weights, middle.per_photo, middle.hair, consensus.log_fields, strict=True)
    used_photos = [own for own in per_photo if own[1].max() >= 0.02]
    for first in range(0, len(used_photos), parallel_threads()):  # limits memory: large images are made in batches
        blender.add(each(finest, *zip(*used_photos[first : first + parallel_threads()], strict=True)))
    full = np.zeros((size, size, 3), np.float32)
    full[rows, columns] = blender.result()
    return full


def _bounding_box(mask: np.ndarray, size: int, margin: int = 16) -> tuple[slice, slice]:
    """Row and column ranges at ``size`` that enclose the mask (S, S), with a margin in texels."""
    factor = size / mask.shape[0]
    ranges = []
    for axis in (1, 0):
        used = np.flatnonzero(mask.any(axis))
        first, last = (used[0], used[-1] + 1) if len(used) else (0, 1)
        ranges.append(slice(max(0, int(first * factor) - margin), min(size, int(last * factor) + margin)))
    return ranges[0], ranges[1]
