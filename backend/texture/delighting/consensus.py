"""Multi-view consensus: bring every photo to a common level, smoothly, so that their mean has no seams.

A photo divided by its spherical-harmonics light is albedo times exposure, cast shadows and other light that the model
cannot express. This remainder is the photo's smooth difference from the robust mean of all photos, and is divided out
as well. What all photos show (a beard, brows, lips, the shade in a fold) stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from backend.geometry.robust_statistics import robust_consensus, weighted_median
from backend.geometry.smoothstep import smoothstep
from backend.geometry.surface_fields import SurfaceOperators, smooth_field
from backend.parallel import each
from backend.photos.collection import FaceClass
from backend.texture.delighting.highlights import gloss
from backend.texture.delighting.light import DelitBase, excess_chroma
from backend.texture.delighting.settings import DELIGHTING
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import HeadSurface, usual_weight
from backend.texture.unwrapping.photo_selection import TexturePhoto, plain_skin
from backend.texture.unwrapping.settings import UNWRAPPING
from backend.texture.unwrapping.unwrap import DARKEST
from backend.texture.unwrapping.vertex_samples import shading

_ROUNDS = 4  # iterations of estimating each photo's difference from the common mean


@dataclass(frozen=True)
class Consensus:
    """Per-photo light fields and the common smooth albedo on the head's V subdivided vertices.

    Attributes
    ----------
    log_fields : (V, 3) float32 per photo; the photo's linear light divided by exp(field) is albedo on the common level.
    log_base : (V, 3) float32, smooth albedo common to all photos, extrapolated to unseen skin.
    log_skin : (V, 3) float32, upper limit of plain skin; brighter texels are specular.
    colour_range : (V, 2) float32: log units by which the chroma of finer detail may differ from ``log_base``, and the
        share of that difference removed from dark detail.
    """

    log_fields: tuple[np.ndarray, ...]
    log_base: np.ndarray
    log_skin: np.ndarray
    colour_range: np.ndarray


def multi_view_consensus(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[TexturePhoto],
    base: DelitBase,
    operators: SurfaceOperators,
    tone: np.ndarray,
) -> Consensus:
    """Bring the photos to a common level.

    Parameters
    ----------
    atlas : at the working size.
    tone : (3,) linear albedo assigned to plain skin.
    """

    def without_light(photo: TexturePhoto, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(C, 3) log light on the cage, and (P, 3) the photo's log albedo under it."""
        smooth = smooth_light(operators, photo.samples.transfer, light)
        own = np.log(np.maximum(photo.unwrap.linear, DARKEST)) - atlas.sample(surface.lifted(smooth))
        return smooth, np.repeat(own.mean(1, keepdims=True), 3, axis=1) if photo.samples.coloured_light else own

    lights, delit = zip(*each(without_light, photos, base.lights), strict=True)
    grey = np.array([photo.samples.colourless for photo in photos])
    values, weight = _at_cage(surface, atlas, photos, delit, [photo.shown for photo in photos])
    rests = _differences(operators, values, weight, grey)
    common = _consensus(values - rests, weight, grey)
    total = weight.sum(0)
    skin = plain_skin(surface)[: surface.count] * total * operators.mass
    level = np.log(tone) - weighted_median(common, skin)  # median, because beards and shade would bias a mean
    smooth = smooth_field(operators, common, _normalised_weight(total), DELIGHTING.difference_length, None, 1e-3)
    correction = level - (1.0 - DELIGHTING.one_sided_skin) * 0.5 * (smooth - smooth[surface.mirror])
    bare = plain_skin(surface)[: surface.count] * _normalised_weight(total)
    bare = bare * (1.0 - smoothstep(0.05, 0.3, _bearded(surface, atlas, photos)))  # grey hair looks like gloss
    correction = correction - gloss(smooth + correction, bare, operators)
    correction = correction + (np.log(tone) - weighted_median(common + correction, skin)).mean()
    matt = base.base - gloss(base.base, bare, operators)
    matt = matt + (np.log(tone) - weighted_median(matt, skin)).mean()
    # chroma beyond the range is coloured rim light
    correction = correction - excess_chroma(smooth + correction - matt, DELIGHTING.colour_range)
    log_base = surface.lifted(
        _extrapolated_base(surface, operators, common + correction, _normalised_weight(total), matt)
    ).astype(np.float32)
    fields = tuple(
        surface.lifted(light + rest - correction).astype(np.float32) for light, rest in zip(lights, rests, strict=True)
    )
    sharp = max(float(smoothstep(*UNWRAPPING.sharp, photo.view.pixels_per_metre)) for photo in photos)
    colour_range = _colour_range(surface.regions["lips"], sharp)
    log_skin = surface.lifted(matt + DELIGHTING.skin_range).astype(np.float32)
    return Consensus(fields, log_base, log_skin, colour_range.astype(np.float32))


def _colour_range(lips: np.ndarray, sharp: float) -> np.ndarray:
    """(V, 2) ``Consensus.colour_range``; lips : (V,) mask in [0, 1]. sharp : in [0, 1], of the sharpest photo."""
    plain = DELIGHTING.colour_range * (DELIGHTING.coarse_colour + (1.0 - DELIGHTING.coarse_colour) * sharp)
    blurred, crisp = DELIGHTING.lip_colour_range, DELIGHTING.sharp_lip_colour_range
    painted = (blurred + (crisp - blurred) * sharp) * lips
    return np.stack([np.maximum(plain, painted), DELIGHTING.dark_grey * (1.0 - sharp * lips)], 1)


def _normalised_weight(total: np.ndarray) -> np.ndarray:
    """(C,) confidence in [0, 1] from summed weights (C,): 1 from the 60th percentile on."""
    typical = float(np.percentile(total[total > 0], 60)) if (total > 0).any() else 1.0
    return np.clip(total / typical, 0.0, 1.0)


def _extrapolated_base(
    surface: HeadSurface,
    operators: SurfaceOperators,
    values: np.ndarray,
    seen: np.ndarray,
    unseen: np.ndarray,
) -> np.ndarray:
    """(C, 3) smooth field through values (C, 3). Unseen skin takes the mirrored value, the rest tends to ``unseen``."""
    other = seen < 0.1
    completed = np.where(other[:, None], values[surface.mirror], values)
    trusted = np.where(other, 0.5 * seen[surface.mirror], seen)
    return smooth_field(operators, completed, trusted, DELIGHTING.base_length, unseen, DELIGHTING.plain_skin_pull)


def smooth_light(operators: SurfaceOperators, transfer: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(C, 3) log light on the cage from (C, 9) transfer and (9, 3) light, without its finest relief. Bounced light
    fills folds and the underside of lips, which spherical harmonics make dark; dividing by that would bleach them.
    """
    lit = np.log(shading(transfer, light))
    return smooth_field(operators, lit, np.ones(len(lit)), DELIGHTING.light_length, None, 1e-3)


def _at_cage(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[TexturePhoto],
    values: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Average every photo's texel values (P, 3) around the cage's vertices: (N, C, 3), and weights (N, C) in [0, 1]."""

    def around(photo: TexturePhoto, value: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, total = surface.at_cage(atlas, value, weight * np.maximum(photo.unwrap.cosine, 0.0) ** 2)
        return mean, np.clip(total / usual_weight(total), 0.0, 1.0) * photo.samples.trust

    means, totals = zip(*each(around, photos, values, weights), strict=True)
    return np.stack(means), np.stack(totals)


def _bearded(surface: HeadSurface, atlas: SurfaceAtlas, photos: Sequence[TexturePhoto]) -> np.ndarray:
    """(C,) share in [0, 1] of the visible texels around each vertex that are labelled beard."""
    labelled = [(p.unwrap.labels == FaceClass.FACIAL_HAIR).astype(np.float32)[:, None] for p in photos]
    values, weight = _at_cage(surface, atlas, photos, labelled, [p.unwrap.weight for p in photos])
    return (values[..., 0] * weight).sum(0) / np.maximum(weight.sum(0), 1e-9)


def _differences(operators: SurfaceOperators, values: np.ndarray, weight: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """(N, C, 3) each photo's smooth difference from the consensus; values (N, C, 3), weight (N, C)."""

    def smooth_difference(own: np.ndarray, common: np.ndarray, seen: np.ndarray) -> np.ndarray:
        if seen.max() <= 0:
            return np.zeros_like(own)
        return smooth_field(operators, own - common, seen / seen.max(), DELIGHTING.difference_length, None, 1e-3)

    differences = np.zeros_like(values)
    for _ in range(_ROUNDS if len(values) > 1 else 0):
        common = _consensus(values - differences, weight, grey)
        differences = np.stack(each(smooth_difference, values, repeat(common, len(values)), weight))
    return differences


def _consensus(values: np.ndarray, weight: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """(C, 3) robust mean of (P, C, 3); chroma only from the colour photos, if there are any."""
    common, _ = robust_consensus(values, weight, DELIGHTING.consensus_outlier, iterations=3)
    if not grey.any() or grey.all():
        return common
    coloured, total = robust_consensus(values[~grey], weight[~grey], DELIGHTING.consensus_outlier, iterations=3)
    chroma = coloured - coloured.mean(1, keepdims=True)
    share = np.clip(total / 0.05, 0.0, 1.0)[:, None]
    return common + share * (chroma - (common - common.mean(1, keepdims=True)))
