"""Split the skin into three frequency bands (base, middle, fine) and blend each in its own way.

- *base*, coarser than about a centimetre: the photos' consensus on the mesh (``delighting.consensus``);
- *middle*: the mean of the photos. Each is divided only by its smooth light (spherical harmonics, without cast shadows
  or occlusion), so that personal shape such as the depth of the lids or the fold of a lip is not removed as light;
- *fine*: from the best photo, one photo per feature (``view_selection``), blended with pyramids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from backend.geometry.robust_statistics import robust_consensus
from backend.geometry.smoothstep import smoothstep
from backend.parallel import each, parallel_threads
from backend.photos.collection import FaceClass
from backend.texture.blending.arms_of_glasses import arms_of_glasses
from backend.texture.blending.expression_folds import folds_of_some_photos
from backend.texture.blending.pyramids import ResidualBlender, WeightedBands
from backend.texture.blending.settings import BLENDING
from backend.texture.blending.view_selection import (
    PhotoScore,
    coverage,
    detail_weights,
    rest_weights,
    without_slivers,
)
from backend.texture.delighting.consensus import Consensus
from backend.texture.delighting.highlights import photo_detail
from backend.texture.unwrapping.atlas import SurfaceAtlas, pieces
from backend.texture.unwrapping.head_surface import HeadSurface, TextureSpace
from backend.texture.unwrapping.photo_selection import PhotoInView, TexturePhoto, labelled_share
from backend.texture.unwrapping.unwrap import DARKEST, photo_at_scale, sample_image, sample_linear
from backend.texture.unwrapping.uv_filters import channel_mean, enlarged, grown, masked_lowpass

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
