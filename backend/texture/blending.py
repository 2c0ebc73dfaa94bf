"""Weigh photos against each other, and solve the detail that they show together in the head's UV chart.

All photos share in the detail for which they are aligned, that of eyes and lips, too; the best one of each place gives
what is finer.

Photos ``p`` show log detail ``d_p`` (log light, less the photo's light field and the smooth skin) with weights ``w_p``.
The detail ``v`` of the texture minimises ``sum |grad v - c g|² + |v|² / L²`` over the texels, where ``g`` is the
weighted mean of the photos' gradients and ``c`` in [0, 1] is how surely any photo shows the place (Pérez et al.,
"Poisson image editing", 2003). No value is joined, so neither a border between photos nor the border of all of them
makes a step: away from the photos ``v`` fades to 0, which is the prior's posterior. Constant coefficients make it one
product in the basis of the discrete cosine transform. Features that only the other side of the face shows enter as
mirrored gradients.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import fft

from backend.geometry.robust_statistics import robust_consensus, robust_deviation
from backend.geometry.vectors import smoothstep
from backend.photos.collection import FaceClass
from backend.rendering.color import LINEAR_OF_BYTES
from backend.rendering.interpolate import bilinear, sampled_bytes
from backend.system.numba_cache import njit, prange
from backend.system.parallel import each
from backend.texture import surface as surfaces
from backend.texture.delighting import DELIGHTING, Delit, photo_detail, texel_detail
from backend.texture.skin_prior import pull_share
from backend.texture.surface import HeadSurface, SurfaceAtlas, channel_mean, enlarged, grown, masked_lowpass
from backend.texture.unwrap import UNWRAPPING, PhotoInView, TexturePhoto, labelled_share, picture_for, under_jaw


@dataclass(frozen=True)
class BlendingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    A pair is the start and end of a soft step.
    """

    middle_width: float = 0.0008
    """Metres, 0.0004 to 0.002: finer detail comes from the best photo alone, because photos are aligned no better."""
    consensus_size: int = 512
    """Texels, 256 to 1024: edge of the map on which the consensus of middle frequencies is computed."""
    witness: float = 0.6
    """Weight, 0.2 to 1, of the smooth skin and of the other side in that consensus, beside a good photo's 1, in plain
    skin."""
    deviation_blur: float = 2.0
    """Widths of the middle band, 1 to 8, over which a photo's deviation from the consensus is smoothed."""
    consistent: float = 0.30
    """Log units, 0.1 to 0.8: a photo that deviates more from the consensus shows an occluder there."""
    strained_less: float = 0.85
    """Share in [0, 1] by which the weight of skin folded by an expression is reduced, and its detail, because no other
    photo may show that skin at rest."""
    grazing: tuple[float, float] = (0.15, 0.5)
    """Cosine in [0, 1] of the angle between normal and camera: a photo's gradients count from none to full."""
    coarse_grazing: float = 0.3
    """Added to ``grazing`` for skin in coarse photos, whose outlines and shades are as wide as what they are beside."""
    under_jaw: float = 0.2
    """Added to ``grazing`` where the chin's shadow falls, which ends in a line."""
    known: float = 0.35
    """Share in [0, 1] of a photo's weight from which it shows a texel."""
    hole: float = 6e-4
    """Square metres, 1e-4 to 2e-3: smaller unseen spots (nostrils, specks, closed eyes) are no border."""
    fade: float = 0.006
    """Metres, 0.003 to 0.015: width inside the photos' border over which gradients fade out, because the last
    millimetres of every mask are wrong."""
    feature_length: float = 0.07
    """Metres, 0.05 to 0.15: size up to which features keep their own colour, the largest of them beards; also the
    length over which detail fades to the smooth skin beyond the photos' border."""
    skin_length: float = 0.02
    """Metres, 0.005 to 0.05: coarser differences of plain skin from the smooth skin are shade."""
    feature_width: float = 0.008
    """Metres, 0.002 to 0.012: finer detail of plain skin counts as far as photos confirm it; within it of lids no skin
    is plain."""
    noise: float = 0.02
    """Log units, 0.01 to 0.06: deviation of an only photo's noise in detail below ``feature_width``."""
    enough_density: float = 3500.0
    """Pixels per metre, 1500 to 8000, at which a photo resolves all that the texture can hold."""


BLENDING = BlendingSettings()


_SURE = 0.9
"""Share in [0, 1] from which plain skin is seen."""
_WEIGHT = 1e-3
"""Summed weight of photos below which a texel has no gradient."""


@njit(cache=True, parallel=True, nogil=True)
def _add_gradients(detail, weight, across, down, sums):
    """Add one photo's weighted differences to the next texel (S, S, C), and the weights (S, S, 2)."""
    size = detail.shape[0]
    for i in prange(size):
        for j in range(size):
            right = min(weight[i, j], weight[i, j + 1]) if j + 1 < size else 0.0
            below = min(weight[i, j], weight[i + 1, j]) if i + 1 < size else 0.0
            sums[i, j, 0] += right
            sums[i, j, 1] += below
            for k in range(detail.shape[2]):
                if right > 0.0:
                    across[i, j, k] += right * (detail[i, j + 1, k] - detail[i, j, k])
                if below > 0.0:
                    down[i, j, k] += below * (detail[i + 1, j, k] - detail[i, j, k])


def mean_gradients(details: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean differences (S, S, C) to the next texel, across and down, of images (S, S, C) with weights
    (S, S). An edge counts as far as both of its texels do; 0 where none counts."""
    across, down = np.zeros_like(details[0]), np.zeros_like(details[0])
    sums = np.zeros((*weights[0].shape, 2), np.float32)
    for detail, weight in zip(details, weights, strict=True):
        _add_gradients(detail, weight, across, down, sums)
    for gradient, total in ((across, sums[..., :1]), (down, sums[..., 1:])):
        gradient *= (total > _WEIGHT) / np.maximum(total, _WEIGHT)
    return across, down


def mirrored_gradients(
    across: np.ndarray, down: np.ndarray, cover: np.ndarray, mirrored: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients (S, S, C) weighted by ``cover`` (S, S), and where it is low by the other side's, by ``mirrored``
    (S, S), its share in [0, 1]. The chart is its own mirror image."""
    own, other = cover[..., None], mirrored[..., None]
    flipped = np.zeros_like(across)
    flipped[:, :-1] = -across[:, -2::-1]  # an edge to the right is one to the left on the other side
    return own * across + other * flipped, own * down + other * down[:, ::-1]


def screened_poisson(across: np.ndarray, down: np.ndarray, length: float) -> np.ndarray:
    """(S, S, C) float32 image whose differences are nearest to ``across`` and ``down`` (S, S, C) and whose values are
    nearest to 0: minimises ``sum |differences|² + |v|² / length²``, ``length`` in texels. Free at the borders."""
    across, down = across.copy(), down.copy()
    across[:, -1], down[-1] = 0.0, 0.0
    divergence = -across - down
    divergence[:, 1:] += across[:, :-1]
    divergence[1:] += down[:-1]
    return _filtered(divergence, _inverse_gain(*divergence.shape[:2], 1.0 / length**2))


def _inverse_gain(height: int, width: int, pull: float) -> np.ndarray:
    """(height, width) float32, the inverse of the Laplacian plus ``pull`` in the basis of the cosine transform."""
    rows, columns = (2.0 - 2.0 * np.cos(np.pi * np.arange(count) / count) for count in (height, width))
    return (1.0 / (rows[:, None] + columns + pull)).astype(np.float32)


def _filtered(image: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Image (S, S, C) times ``gain`` (S, S) in the basis of the cosine transform."""
    out = np.empty_like(image)
    for channel in range(image.shape[2]):
        spectrum = fft.dctn(image[..., channel], norm="ortho")
        out[..., channel] = fft.idctn(spectrum * gain, norm="ortho", overwrite_x=True)
    return out


def _laplacian(image: np.ndarray) -> np.ndarray:
    """(S, S, C) sum of the differences of each texel from its neighbours, free at the borders."""
    out = np.zeros_like(image)
    for axis in (0, 1):
        difference = np.diff(image, axis=axis)
        ahead, behind = ((slice(None),) * axis + (part,) for part in (slice(1, None), slice(None, -1)))
        out[ahead] += difference
        out[behind] -= difference
    return out


_COARSE = 4  # texels of the solve's grid on one of its coarse one's
_MOST_STEPS = 60
_TOLERANCE = 2e-3  # of the residual's norm, where the coarse solve ends


def _coarse(image: np.ndarray) -> np.ndarray:
    size = image.shape[0] // _COARSE
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def weighted_poisson(
    across: np.ndarray, down: np.ndarray, plain: np.ndarray, length: float, least: float
) -> np.ndarray:
    """(S, S, C) float32 image as of ``screened_poisson`` with the pull to 0 of each texel: ``1 / length²`` in features,
    for what deviates as much as they do (``pull_share``) and where nothing is shown, up to ``1 / least²`` in what is
    plain (S, S), in [0, 1], which photos show with their shade.

    The difference from the solution of constant pull is smooth, so it is solved on a coarse grid by conjugate
    gradients, with the constant solve as preconditioner.
    """
    constant = screened_poisson(across, down, length)
    values = _coarse(constant).reshape(*(side // _COARSE for side in plain.shape), -1)
    slack = np.float32(1.0 / least**2 - 1.0 / length**2) * (_coarse(plain) * pull_share(values))[..., None].astype(
        np.float32
    )
    pull = _COARSE**2 * (slack + np.float32(1.0 / length**2))
    gain = _inverse_gain(*values.shape[:2], float(np.sqrt(pull.min() * pull.max())))
    correction = np.zeros_like(values)
    residual = -(_COARSE**2) * slack * values
    enough = _TOLERANCE**2 * float((residual**2).sum())
    step = _filtered(residual, gain)
    power = float((residual * step).sum())
    for _ in range(_MOST_STEPS):
        if float((residual**2).sum()) <= enough:
            break
        image = pull * step + _laplacian(step)
        share = np.float32(power / max(float((step * image).sum()), 1e-30))
        correction += share * step
        residual -= share * image
        ahead = _filtered(residual, gain)
        power, before = float((residual * ahead).sum()), power
        step = ahead + np.float32(power / before) * step
    return constant + enlarged(correction, constant.shape[0]).reshape(constant.shape)


def photos_cover(shown: np.ndarray, chart: np.ndarray, hole: float, fade: float) -> np.ndarray:
    """(S, S) float32 in [0, 1], how surely photos show a texel: 1 well inside what they show, 0 at its border.

    The last millimetres of every mask are wrong: skin is specular at grazing angles, hair and background bleed in.

    Parameters
    ----------
    shown : (S, S) bool, shown by a photo. chart : (S, S) bool, texels of the surface; its end is no border.
    hole : square texels; smaller unseen spots are no border. fade : texels.
    """
    known = shown | ~chart
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats((~known).astype(np.uint8), connectivity=4)
    small = statistics[:, cv2.CC_STAT_AREA] < hole
    small[0] = False
    if count > 1:
        known = known | small[pieces]
    distance = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, 5)
    return (smoothstep(0.15, 1.0, distance / np.float32(fade)) * known).astype(np.float32)


@dataclass(frozen=True)
class PhotoScore:
    """How well one photo shows the texels: ``weight`` (S, S) and ``cosine`` (S, S) in UV, ``pixels_per_metre``,
    ``quality`` 0-1."""

    weight: np.ndarray
    cosine: np.ndarray
    pixels_per_metre: float
    quality: float

    @property
    def strength(self) -> float:
        """How sharp and trusted the photo is, in [0, 1]."""
        return self.quality * min(self.pixels_per_metre / BLENDING.enough_density, 1.0)


def detail_weights(photos: Sequence[PhotoScore]) -> list[np.ndarray]:
    """Blending weights for fine detail: one (S, S) float32 per photo.

    They sum to 1 where any photo has weight; a photo without weight gets 0, and the best one nearly all.
    """
    shown = each(lambda p: (p.weight * np.maximum(p.cosine, 0.05) * np.float32(p.strength)) ** 4, photos)
    total = np.maximum(sum(shown), np.float32(1e-12))
    return [(own / total).astype(np.float32) for own in shown]


_FACE_HAIR = (FaceClass.BROWS, FaceClass.FACIAL_HAIR)


def feature_masks(
    surface: HeadSurface, atlas: SurfaceAtlas, photos: Sequence[TexturePhoto]
) -> tuple[np.ndarray, np.ndarray]:
    """Soft masks (S, S) of lips, and eyes with lids and brows, whose detail is no shade.

    The height of brows varies between people, so their mask comes from the photos' labels where enough are labelled.
    """
    names = ("lips", "lids_left", "lids_right", "brows")
    masks = atlas.image(atlas.sample(np.stack([surface.regions[name] for name in names], 1).astype(np.float32)))
    lips, *lids, brows = np.moveaxis(masks, 2, 0)
    voted = labelled_share(atlas, photos, FaceClass.BROWS)
    if (voted > 0.5).sum() > 0.2 * (brows > 0.5).sum():
        brows = smoothstep(0.15, 0.4, voted)
    around, between = atlas.resolution // 200, atlas.resolution // 60
    return grown(lips, around, 0), grown(np.maximum.reduce([*lids, brows]), 2 * around, between)


@dataclass(frozen=True)
class SolvedDetail:
    """The photos' detail at the working size S.

    Attributes
    ----------
    solved : (S, S, 3) log detail over the smooth skin.
    per_photo : (S, S, 3) per photo, its own log detail, low-passed as ``solved``.
    weights : (S, S) per photo, its weight for finer detail.
    cover : (S, S) in [0, 1], how surely photos show bare skin; mirrored : the same of only the other side.
    visibility : (S, S) per photo, how well it shows bare skin, square on.
    grain : deviation in log units of the plain skin's detail, which skin that no photo shows has as well.
    """

    solved: np.ndarray
    per_photo: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    cover: np.ndarray
    mirrored: np.ndarray
    visibility: tuple[np.ndarray, ...]
    grain: float


@dataclass(frozen=True)
class ObservedDetail:
    """What each photo shows before they are compared: everything that ``solve_detail`` needs of their texels, which are
    30 MB each.

    Attributes
    ----------
    eyes : (S, S) of ``feature_masks``. feature : (S, S) in [0, 1], all of them. middles : per photo,
        (S, S, 3) low-passed detail. scores : per photo. rested : per photo, (S, S) how far it is at rest. behind : (P,)
        how far any photo shows the rim of glasses.
    """

    eyes: np.ndarray
    feature: np.ndarray
    middles: tuple[np.ndarray, ...]
    scores: tuple[PhotoScore, ...]
    rested: tuple[np.ndarray, ...]
    behind: np.ndarray


def observe_detail(
    surface: HeadSurface, atlas: SurfaceAtlas, photos: Sequence[TexturePhoto], delit: Delit, density: float
) -> ObservedDetail:
    """The detail of each photo by itself; ``density`` texels per metre."""
    texel_base, texel_range = atlas.sample(delit.log_base), atlas.sample(delit.colour_range)
    sigma = BLENDING.middle_width * density
    lips, eyes = feature_masks(surface, atlas, photos)
    feature = np.clip(lips + eyes, 0.0, 1.0)
    all_grey = all(photo.samples.colourless for photo in photos)

    def look(photo: TexturePhoto, field: np.ndarray) -> tuple[np.ndarray, PhotoScore, np.ndarray]:
        """The photo's low-passed detail and score, and (S, S) how far it is at rest."""
        limit = texel_range[:, 0] * np.float32(not photo.samples.coloured_light)  # lamps' colour is not the skin's
        detail = photo_detail(photo.unwrap.linear, atlas.sample(field), texel_base, limit, photo.samples.monochrome)
        weight = atlas.image(photo.unwrap.weight)
        middle, _ = masked_lowpass(atlas.image(detail), weight, sigma)
        bald = ~np.isin(photo.unwrap.labels, _FACE_HAIR)
        strained = atlas.image(atlas.sample(photo.strained[:, None])[:, 0] * bald) * (1.0 - feature)
        quality = photo.samples.trust * (0.25 if photo.samples.colourless and not all_grey else 1.0)
        score = PhotoScore(weight, atlas.image(photo.unwrap.cosine), photo.view.pixels_per_metre, quality)
        return middle, score, 1.0 - BLENDING.strained_less * strained

    looks = zip(*each(look, photos, delit.log_fields), strict=True)
    behind = np.maximum.reduce([p.unwrap.visible * (p.unwrap.labels == FaceClass.GLASSES) for p in photos])
    return ObservedDetail(eyes, feature, *looks, behind)


def solve_detail(
    surface: HeadSurface, atlas: SurfaceAtlas, observed: ObservedDetail, delit: Delit, positions: np.ndarray,
    density: float,
) -> SolvedDetail:  # fmt: skip
    """Solve the detail that all photos show together; positions (V, 3) neutral, ``density`` texels per metre."""
    feature, sigma = observed.feature, BLENDING.middle_width * density
    middles, scores, rested = observed.middles, observed.scores, observed.rested
    shade = atlas.image(atlas.sample(surface.lifted(under_jaw(surface, positions)[:, None]))[:, 0])
    least, most = BLENDING.grazing
    facing = []
    for score in scores:
        coarse = 1.0 - float(smoothstep(*UNWRAPPING.sharp, score.pixels_per_metre))
        later = BLENDING.under_jaw * shade + BLENDING.coarse_grazing * coarse * (1.0 - feature)
        facing.append(smoothstep(least + later, most + later, score.cosine))
    each_shown = tuple(score.weight * own for score, own in zip(scores, facing, strict=True))
    shown = np.maximum.reduce(each_shown)
    chart = atlas.image(np.ones(len(atlas.texel), bool))
    known = (shown > BLENDING.known) | (atlas.image(observed.behind) > BLENDING.known)  # skin goes on behind rims
    cover = photos_cover(known, chart, BLENDING.hole * density**2, BLENDING.fade * density)
    square_on = smoothstep(0.0, 1.0, np.maximum.reduce(facing))
    cover = cover * cv2.GaussianBlur(np.maximum(square_on, ~chart).astype(np.float32), (0, 0), 2.0 * sigma)
    # brows beside a frame or a fringe
    unfolded = 1.0 - atlas.image(atlas.sample(surface.regions["lid_folds"][:, None])[:, 0])
    cover = np.clip(unfolded * np.maximum(cover, feature * smoothstep(0.02, 0.3, shown)), 0.0, 1.0).astype(np.float32)
    around = 2 * round(BLENDING.feature_width * density) + 1  # sockets go on from lids and brows; lips end
    eyes = cv2.dilate(observed.eyes, np.ones((around, around), np.uint8))
    own_colour = np.maximum(feature, smoothstep(0.15, 0.4, delit.beard))
    plain = 1.0 - np.maximum(own_colour, eyes).astype(np.float32)
    calm = [score.weight * rest for score, rest in zip(scores, rested, strict=True)]
    agreed = _consensus(middles, calm, [score.quality for score in scores], plain)
    consistent = each(lambda own: _consistency(own, agreed, sigma), middles)
    scores = [replace(score, weight=weight * own) for score, weight, own in zip(scores, calm, consistent, strict=True)]
    shares = [
        (score.weight * score.cosine**2 * own * score.quality).astype(np.float32)
        for score, own in zip(scores, facing, strict=True)
    ]
    del facing
    right = np.arange(feature.shape[1]) < feature.shape[1] // 2
    for mask in (np.clip(feature - observed.eyes, 0.0, 1.0), observed.eyes * right, observed.eyes * ~right):
        shares = [own + mask * (one - own) for own, one in zip(shares, _of_feature(scores, mask), strict=True)]
    sure = 1.0 - (1.0 - own_colour) * (1.0 - np.maximum.reduce([score.weight for score in scores]))
    at_rest = [own * (rest * sure)[..., None].astype(np.float32) for own, rest in zip(middles, rested, strict=True)]
    width = BLENDING.feature_width * density
    broad = each(lambda own, score: masked_lowpass(own, score.weight, width)[0], at_rest, scores)
    for own, wide in zip(at_rest, broad, strict=True):
        own -= wide
    cosines = [score.cosine for score in scores]
    share = (1.0 - plain * (1.0 - confirmed(at_rest, shares, cosines, width, plain)))[..., None].astype(np.float32)
    for own, wide in zip(at_rest, broad, strict=True):
        own *= share
        own += wide
    behind = grown(atlas.image(observed.behind), round(2.0 * sigma), 0)
    shares = each(lambda *own: _faded_behind_rims(*own, behind, sigma), at_rest, shares, scores)
    across, down = mean_gradients(at_rest, shares)
    del broad, at_rest, shares
    mirrored = cover[:, ::-1] * (1.0 - cover) * unfolded * (1.0 - plain)
    lengths = BLENDING.feature_length * density, BLENDING.skin_length * density
    solved = weighted_poisson(*mirrored_gradients(across, down, cover, mirrored), cover * plain, *lengths)
    unfolded_shown = tuple(own * unfolded for own in each_shown)
    finer = channel_mean(solved - masked_lowpass(solved, cover * plain, 0.25 * width)[0])[cover * plain > _SURE]
    grain = float(robust_deviation(finer)) if len(finer) else 0.0
    return SolvedDetail(solved, middles, tuple(detail_weights(scores)), cover, mirrored, unfolded_shown, grain)


def _faded_behind_rims(
    detail: np.ndarray, share: np.ndarray, score: PhotoScore, behind: np.ndarray, sigma: float
) -> np.ndarray:
    """Weights (S, S) of a photo's gradients, behind rims (S, S), too: there its detail (S, S, 3) fades, in place, over
    some ``sigma`` texels. Without gradients there the step down from a brow would be lost, and brows lighter."""
    low, near = masked_lowpass(detail, score.weight, 2.5 * sigma)
    shown = smoothstep(0.0, BLENDING.known, near)[..., None]
    detail += (behind * (1.0 - score.weight))[..., None] * (shown * low - detail)
    return share + behind * near * share.max()


def _of_feature(scores: Sequence[PhotoScore], mask: np.ndarray) -> list[np.ndarray]:
    """(S, S) float32 per photo, its weight in a feature (S, S), in [0, 1]: one number wherever it shows some, by how
    much it shows, how squarely and how sharply. Half an eye of one photo beside half of another's is nobody's."""
    weights = []
    for score in scores:
        seen = mask * score.weight
        shown = float(seen.sum()) / max(float(mask.sum()), 1e-6)
        squarely = float((seen * score.cosine).sum()) / max(float(seen.sum()), 1e-9)
        weights.append(score.weight * np.float32(score.strength * shown**3 * squarely))
    return weights


def confirmed(
    details: Sequence[np.ndarray], weights: Sequence[np.ndarray], cosines: Sequence[np.ndarray], sigma: float,
    plain: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """(S, S) share in [0, 1] of the mean brightness of details (S, S, 3) with weights (S, S) that the photos confirm:
    its power around a texel less that of its noise, over the first (Wiener). The noise is how much the photos differ
    there, and where there are few, in all plain skin (S, S) that several show: more aslant (S, S), where a pixel is
    longer and its place less certain, both by 1 / cosine, so that detail fades before the colour does."""
    values = [channel_mean(own) for own in details]
    total = np.maximum(sum(weights), np.float32(1e-6))
    mean = sum(own * weight for own, weight in zip(values, weights, strict=True)) / total
    spread = sum(weight * (own - mean) ** 2 for own, weight in zip(values, weights, strict=True)) / total
    count = total**2 / np.maximum(sum(weight**2 for weight in weights), 1e-12)
    aslant = sum(own / np.maximum(cosine, 0.1) ** 4 for own, cosine in zip(weights, cosines, strict=True)) / total
    several = plain * total * (1.0 - 1.0 / np.maximum(count, 1.0))
    usual = (BLENDING.noise**2 + (plain * total * spread).sum()) / (1.0 + (several * aslant).sum())
    variance = (np.float32(usual) * aslant + count * spread) / count
    noise, power = (
        cv2.GaussianBlur((own * (total > _WEIGHT)).astype(np.float32), (0, 0), sigma)
        for own in (variance / count, mean**2)
    )
    return np.clip(1.0 - noise / np.maximum(power, 1e-8), 0.0, 1.0)


def _consensus(
    middles: Sequence[np.ndarray], weights: Sequence[np.ndarray], qualities: Sequence[float], plain: np.ndarray
) -> np.ndarray:
    """(S, S, 3) robust consensus of the photos' middle frequencies with weights (S, S), and in plain skin (S, S), in
    [0, 1], of two more witnesses, which decide where photos contradict each other or only one shows the skin: the
    smooth skin, and what the photos show of the other side."""
    size = middles[0].shape[0]
    if len(middles) == 1:
        return middles[0]  # moles of a head from one photo stay
    small = (min(BLENDING.consensus_size, size),) * 2
    values = [cv2.resize(own, small, interpolation=cv2.INTER_AREA) for own in middles]
    votes = [
        cv2.resize(own, small, interpolation=cv2.INTER_AREA) * quality
        for own, quality in zip(weights, qualities, strict=True)
    ]
    total = sum(votes)
    mean = sum(own * vote[..., None] for own, vote in zip(values, votes, strict=True))
    witness = cv2.resize(plain, small, interpolation=cv2.INTER_AREA) * np.float32(BLENDING.witness)
    values += [np.zeros_like(mean), (mean / np.maximum(total, _WEIGHT)[..., None])[:, ::-1]]
    votes += [witness, witness * np.minimum(total, 1.0)[:, ::-1]]
    stacked, weighed = np.stack(values).reshape(len(values), -1, 3), np.stack(votes).reshape(len(votes), -1)
    consensus, _ = robust_consensus(stacked, weighed, DELIGHTING.consensus_outlier, iterations=3)
    image = consensus.astype(np.float32).reshape(*small, 3)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)


def _consistency(own: np.ndarray, agreed: np.ndarray, sigma: float) -> np.ndarray:
    """(S, S) weight of a photo's detail (S, S, 3): 1 where it is near the consensus over millimetres, towards 0 where
    it probably shows an occluder."""
    deviation = cv2.GaussianBlur(np.abs(channel_mean(own - agreed)), (0, 0), BLENDING.deviation_blur * sigma)
    return (1.0 / (1.0 + (deviation / BLENDING.consistent) ** 2) ** 2).astype(np.float32)


_COUNTS = 0.02  # weight of a photo in the finest detail, of which all have 1 together, below which it is left out


def fine_band(
    atlas: SurfaceAtlas, photos: Sequence[PhotoInView], detail: SolvedDetail, delit: Delit, density: float
) -> np.ndarray:
    """(P, 3) log detail finer than the solved one, each place from its best photo; density : texels per metre at the
    atlas's size."""
    place = [np.ascontiguousarray(part) for part in (atlas.texel, atlas.triangles, atlas.triangle, atlas.barycentrics)]
    total, summed = np.full(len(atlas.texel), 1e-3, np.float32), np.zeros((len(atlas.texel), 3), np.float32)
    ratio = np.float32(len(detail.cover) / atlas.resolution)
    per_photo = zip(photos, detail.weights, detail.per_photo, delit.log_fields, strict=True)
    for photo, weight, middle, field in per_photo:
        colour_range = delit.colour_range * np.float32(not photo.samples.coloured_light)
        fields = [photo.view.pixels, field, delit.log_base, colour_range]
        values = np.concatenate(fields, 1).astype(np.float32)  # (V, 9)
        picture, taps, scale = picture_for(photo.face, photo.view.pixels_per_metre, density)
        maps = (one.astype(np.float32, copy=False) for one in (weight[..., None], middle))
        images = map(np.ascontiguousarray, (values, *maps, picture, taps, LINEAR_OF_BYTES))
        monochrome = photo.samples.monochrome
        _add_finest(*place, *images, atlas.resolution, ratio, scale, monochrome, total, summed)
    summed /= total[:, None]
    return summed


@njit(cache=True, parallel=True, nogil=True)
def _add_finest(
    texel, triangles, triangle, barycentrics, values, weight, middle, picture, taps, light,
    resolution, ratio, scale, monochrome, total, summed,
):  # fmt: skip
    for i in prange(len(texel)):
        x = (np.float32(texel[i] % resolution) + np.float32(0.5)) * ratio
        y = (np.float32(texel[i] // resolution) + np.float32(0.5)) * ratio
        share = bilinear(weight, x, y, 0)
        if share > _COUNTS:
            corners, shares = triangles[triangle[i]], barycentrics[i]
            across = surfaces.value_at(values, corners, shares, 0) * scale
            down = surfaces.value_at(values, corners, shares, 1) * scale
            red, green, blue = sampled_bytes(picture, taps, across, down)
            shown = texel_detail(
                (light[red], light[green], light[blue]),
                surfaces.values_at(values, corners, shares, 2),
                surfaces.values_at(values, corners, shares, 5),
                surfaces.value_at(values, corners, shares, 8),
                monochrome,
            )
            for k in range(3):
                summed[i, k] += share * (np.float32(shown[k]) - bilinear(middle, x, y, k))
            total[i] += share
