"""Fill what no photo shows: skin, beards, the learned completion.

Hand-set constants of inpainting.

Limits on how far the colour of skin may differ from the typical colour around it.

Compute the confidence of each texel of the photos.

Photos are least reliable at their borders: skin is specular at grazing angles, hair and background bleed in, and the
last millimetres of every mask are wrong. So confidence fades over 7 to 10 mm *inside* the photos' border.

Inpaint the beard: where it grows, how dark its bristles are, and how it continues where unseen.

Smooth skin for poorly seen places, extrapolated from the well-seen face.

Fill holes in blended bands (mirrored side, then surroundings) and synthesise pores.

Correct the inpainted skin of a texture with a network that learned the errors of the inpainting rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from backend.geometry.noise import fractal_noise, gradient_noise
from backend.geometry.normals import vertex_normals
from backend.geometry.robust_statistics import weighted_quantile
from backend.geometry.surface_fields import SurfaceOperators, smooth_field
from backend.geometry.template import Template, load_template
from backend.geometry.vectors import smoothstep
from backend.models.graph_face import GraphAlbedoModel, skin_correction
from backend.photos.collection import FaceClass
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.texture.delighting import HAEMOGLOBIN_DENSITY, Consensus
from backend.texture.surface import (
    HeadSurface,
    SurfaceAtlas,
    head_surface,
    image_at_cage,
    push_pull,
    texture_space,
    usual_weight,
)
from backend.texture.unwrap import DARKEST, UNWRAPPING, TexturePhoto, plain_skin


@dataclass(frozen=True)
class InpaintingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    A pair is the start and end of a soft step. ``benchmarks/sensitivity.py`` halves and doubles each constant and
    reports which figures respond.
    """

    fade: float = 0.007
    """Metres, 0.003 to 0.015: width inside the photos' border over which confidence falls, because the last millimetres
    of every mask are wrong."""
    hole: float = 6e-4
    """Square metres, 1e-4 to 2e-3: smaller unseen spots (nostrils, specks, closed eyes) do not form a border."""
    grazing: tuple[float, float] = (0.08, 0.30)
    """Cosine in [0, 1] of the angle between normal and camera: evidence rises from none to full."""
    known: float = 0.35
    """Share in [0, 1] of evidence from which a texel is inside the photos' border."""
    under_jaw_grazing: tuple[float, float] = (0.50, 0.25)
    """Cosine in [0, 1]: skin under the jaw is in the chin's shadow and mostly seen at grazing angles."""
    skin_length: float = 0.030
    """Metres, 0.01 to 0.06: length over which inpainted skin follows the visible skin."""
    coarse_border: float = 0.4
    """Share, 0 to 1: limit of how much wider a coarse photo's border is than a sharp one's."""
    aslant: tuple[float, float] = (0.75, 0.50)
    """Cosine in [0, 1]: bare skin at more grazing angles is specular and takes the inpainted skin's colour."""
    lit_quantile: float = 0.65
    """Quantile of visible skin's brightness that counts as lit."""
    plainest_shade: float = 0.15
    """Log units, 0.05 to 0.8: scale of the robust weight around lit skin's brightness for nearly plain skin, the
    reference for skin at grazing angles."""
    nearest_shade: float = 0.40
    """The same for inpainted skin, which continues the colour of the visible skin beside it."""
    anchor: float = 0.01
    """Share, 0.001 to 0.2: pull of both towards the one typical colour."""
    blotches: tuple[float, float, float] = (0.014, 0.026, 0.026)
    """Log units of red, green and blue, 0 to 0.05: blotches that keep inpainted skin from looking too even."""
    bristle_run: tuple[float, float, float] = (1.0, 0.4, 0.6)
    """Factors on x, y and z, 0.2 to 1: bristles of an inpainted beard run down and backwards."""
    chroma_range: float = 0.06
    """Log units, 0.02 to 0.2: most that the chroma of skin at grazing angles may differ from the inpainted skin's."""
    brighter: float = 0.14
    """Log units, 0.05 to 0.4: most that skin at grazing angles may be brighter; more is a rim light."""
    darker: float = 0.10
    """Log units, 0.05 to 0.4: most that it may be darker; more is the shadow of hair, or strands."""
    beard_length: float = 0.012
    """Metres, 0.005 to 0.03: length over which an inpainted beard follows the visible one."""
    bristle_quantile: float = 0.3
    """Quantile of a beard's brightness that represents bristles; brighter texels are skin between them."""
    few_bristles: float = 5.0
    """Summed weight of vertices, 1 to 50, below which too few bristles are labelled to use the labels."""
    pore_octaves: tuple[float, ...] = (0.0016, 0.0008, 0.0004)
    """Metres: wavelengths of synthetic pores."""
    chart_edge: float = 0.02
    """Fraction of the map's side, 0.005 to 0.05: width over which the learned correction fades towards the chart's
    border, so that both sides of the seam match."""


INPAINTING = InpaintingSettings()


def limited_difference(difference: np.ndarray) -> np.ndarray:
    """(C, 3) the difference (C, 3) of seen from inpainted skin, limited to exclude odd chroma, rim light and hair
    shadow."""
    level = difference.mean(1, keepdims=True)
    chroma = difference - level
    size = np.linalg.norm(chroma, axis=1, keepdims=True)
    chroma = chroma * INPAINTING.chroma_range * np.tanh(size / INPAINTING.chroma_range) / np.maximum(size, 1e-9)
    most = np.where(level > 0, INPAINTING.brighter, INPAINTING.darker)
    return most * np.tanh(level / most) + chroma


def confidence(
    shown: Sequence[np.ndarray],
    cosines: Sequence[np.ndarray],
    behind: np.ndarray,
    atlas: SurfaceAtlas,
    density: float,
    fade: float,
) -> np.ndarray:
    """(S, S) float32 confidence in [0, 1]: 1 well inside the visible area, falling to 0 at its border over ``fade``
    metres.

    Parameters
    ----------
    shown, cosines : (P,) per photo at the atlas's texels; a mirrored side counts as shown.
    behind : (P,) in [0, 1], 1 on rims of glasses; skin continues behind them, so they are not a border.
    density : texels per metre.
    """
    evidence = np.maximum.reduce(
        [weight * smoothstep(*INPAINTING.grazing, cosine) for weight, cosine in zip(shown, cosines, strict=True)]
    )
    known = atlas.image((evidence > INPAINTING.known) | (behind > INPAINTING.known))
    known |= known[:, ::-1]
    chart = atlas.image(np.ones(len(atlas.texel), bool))
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats((chart & ~known).astype(np.uint8), connectivity=4)
    small = statistics[:, cv2.CC_STAT_AREA] < INPAINTING.hole * density**2
    small[0] = False
    if count > 1:
        known |= small[pieces]
    distance = cv2.distanceTransform((known | ~chart).astype(np.uint8), cv2.DIST_L2, 5) / np.float32(density)
    return (smoothstep(0.001, fade, distance) * (known | ~chart)).astype(np.float32)


_FACE = (FaceClass.SKIN, FaceClass.FACIAL_HAIR, FaceClass.NECK, FaceClass.LIPS, FaceClass.BROWS)


@dataclass(frozen=True)
class BeardVotes:
    """``bearded`` : (C,) in [0, 1], share of the photos that show a beard around each vertex of the cage, 0 where
    unseen. ``looked`` : (C,) in [0, 1], visibility of the vertex in all photos."""

    bearded: np.ndarray
    looked: np.ndarray


def with_beard(
    skin: np.ndarray,
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[TexturePhoto],
    consensus: Consensus,
    operators: SurfaceOperators,
    votes: BeardVotes,
    weight: np.ndarray,
    positions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Add a beard to smooth skin, if photos show one on the chin: colour (C, 3) and the beard's share (C,) in [0, 1].

    Parameters
    ----------
    skin : (C, 3) log albedo. weight : (C,) in [0, 1], confidence of the photos. positions : (V, 3) neutral, metres.
    """
    count = surface.count
    shown = (votes.bearded > 0.6) & (weight > 0.3)
    low = surface.regions["chin"][:count] > 0.5
    if shown.sum() < 30 or (shown & low).sum() < 10:  # a moustache alone is not continued
        return skin, np.zeros(count)
    share = _beard(surface, operators, votes.bearded, votes.looked, positions)
    sure_beard = smoothstep(0.4, 0.8, votes.bearded) * votes.looked * (0.1 + weight)
    bristles, labelled = _bristles(surface, atlas, photos, consensus)
    if (labelled * sure_beard).sum() > INPAINTING.few_bristles:
        sure_beard = sure_beard * labelled
    else:  # too few labelled bristles: all dark skin counts
        bristles = consensus.log_base[:count].astype(np.float64)
    typical = _dark_typical(bristles, sure_beard * operators.mass)
    colour = smooth_field(operators, bristles, sure_beard, INPAINTING.beard_length, typical, 0.02)
    return np.log(np.exp(skin) * (1.0 - share[:, None]) + np.exp(colour) * share[:, None]), share


def beard_votes(surface: HeadSurface, atlas: SurfaceAtlas, photos: Sequence[TexturePhoto]) -> BeardVotes:
    """Share of the photos that label each vertex of the cage as beard."""
    total = sum(p.samples.trust * p.unwrap.seen * np.isin(p.unwrap.labels, _FACE) for p in photos)
    votes = sum(p.samples.trust * p.unwrap.seen * (p.unwrap.labels == FaceClass.FACIAL_HAIR) for p in photos)
    mean, weight = surface.at_cage(atlas, (votes / np.maximum(total, 1e-6))[:, None], total)
    return BeardVotes(mean[:, 0], np.clip(2.0 * weight / usual_weight(weight), 0.0, 1.0))


def _bristles(
    surface: HeadSurface, atlas: SurfaceAtlas, photos: Sequence[TexturePhoto], consensus: Consensus
) -> tuple[np.ndarray, np.ndarray]:
    """(C, 3) mean log albedo of the texels labelled as beard around each vertex, and (C,) in [0, 1] how well they are
    seen. Grey photos count only if there is no colour photo."""
    grey_only = all(photo.samples.colourless for photo in photos)
    total = np.zeros(len(atlas.texel))
    summed = np.zeros((len(atlas.texel), 3))
    for photo, field in zip(photos, consensus.log_fields, strict=True):
        if photo.samples.colourless and not grey_only:
            continue
        labelled = (photo.unwrap.labels == FaceClass.FACIAL_HAIR) * np.maximum(photo.unwrap.cosine, 0.0) ** 2
        weight = photo.samples.trust * photo.shown * labelled
        summed += weight[:, None] * (np.log(np.maximum(photo.unwrap.linear, DARKEST)) - atlas.sample(field))
        total += weight
    mean, weight = surface.at_cage(atlas, summed / np.maximum(total, 1e-9)[:, None], total)
    return mean, np.clip(2.0 * weight / usual_weight(weight), 0.0, 1.0)


def _dark_typical(colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(3,) mean of log colours (C, 3) at a dark quantile of brightness: bristles without the skin between them."""
    brightness = colours.mean(1, keepdims=True)
    level = weighted_quantile(brightness, weights, INPAINTING.bristle_quantile)[0]
    mean = np.average(colours, axis=0, weights=weights)
    return mean - mean.mean() + level


def _beard(
    surface: HeadSurface, operators: SurfaceOperators, votes: np.ndarray, looked: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    """(C,) in [0, 1], the inpainted beard: the photos' ``votes`` (C,), weighted by ``looked`` (C,), extended over the
    area where beards grow."""
    count = surface.count
    share = smooth_field(operators, votes[:, None], looked, INPAINTING.beard_length, np.zeros(1), 0.02)[:, 0]
    place = positions[:count]
    lips = float(np.median(place[surface.regions["lips"][:count] > 0.5, 1]))
    ears = place[surface.regions["ears"][:count] > 0.5]
    reach = np.clip((ears[:, 2].max() + 0.03 - place[:, 2]) / 0.03, 0.0, 1.0)  # up along the jaw to the sideburns
    top = lips + 0.012 + reach * max(float(ears[:, 1].mean()) - lips, 0.0)
    grows = smoothstep(top + 0.012, top - 0.004, place[:, 1])
    grows = grows * smoothstep(ears[:, 2].min() - 0.002, ears[:, 2].min() + 0.016, place[:, 2])
    grows = grows * (1.0 - surface.regions["ears"][:count])
    return 0.95 * smoothstep(0.1, 0.45, share) * grows


@dataclass(frozen=True)
class InpaintedSkin:
    """Skin for texels without confidence; V subdivided vertices.

    Attributes
    ----------
    confidence : (S, S) float32 in [0, 1], of the photos on this side or, mirrored, on the other.
    log_skin : (V, 3) float32 smooth skin, beard included.
    log_base : (V, 3) float32, the photos' own smooth albedo without rim light.
    beard : (V,) float32 in [0, 1], its share in ``log_skin``.
    rim : (V,) float32 in [0, 1], how far bare skin is seen too coarsely and obliquely for detail.
    """

    confidence: np.ndarray
    log_skin: np.ndarray
    log_base: np.ndarray
    beard: np.ndarray
    rim: np.ndarray


def inpaint_skin(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[TexturePhoto],
    hairy: np.ndarray,
    consensus: Consensus,
    operators: SurfaceOperators,
    tone: np.ndarray,
    positions: np.ndarray,
    density: float,
) -> InpaintedSkin:
    """Compute the photos' confidence, and inpaint skin and beard where it is low.

    Parameters
    ----------
    atlas : at the working size, ``density`` texels per metre. hairy : (V,) in [0, 1], where hair grows.
    consensus : of ``multi_view_consensus``. tone : (3,) linear albedo of plain skin.
    positions : (V, 3) neutral, metres.
    """
    count = surface.count
    in_shade = atlas.sample(surface.lifted(_under_jaw(surface, positions)[:, None]))[:, 0]
    shown = [p.shown * (1.0 - in_shade * smoothstep(*INPAINTING.under_jaw_grazing, p.unwrap.cosine)) for p in photos]
    sharp = [float(smoothstep(*UNWRAPPING.sharp, p.view.pixels_per_metre)) for p in photos]
    widened = INPAINTING.coarse_border
    facing = [p.unwrap.cosine * (1.0 - widened * (1.0 - own)) for p, own in zip(photos, sharp, strict=True)]
    coarse = 1.0 - max(sharp)
    behind = np.maximum.reduce([p.unwrap.seen * (p.unwrap.labels == FaceClass.GLASSES) for p in photos])
    sure = confidence(shown, facing, behind, atlas, density, INPAINTING.fade * (1.0 + widened * coarse))
    weight = image_at_cage(surface, atlas, sure)  # (C,)
    covered = hairy[:count]
    votes = beard_votes(surface, atlas, photos)
    plain = plain_skin(surface)[:count]
    own = consensus.log_base[:count].astype(np.float64)
    skin_weight = weight**2 * plain * (1.0 - 0.8 * surface.regions["neck"][:count])
    skin_weight = skin_weight * (1.0 - smoothstep(0.02, 0.3, covered)) * (1.0 - smoothstep(0.05, 0.4, votes.bearded))
    plainest = _skin(surface, operators, own, skin_weight, tone, INPAINTING.plainest_shade)
    facing = atlas.image(np.maximum.reduce([p.shown * p.unwrap.cosine for p in photos]).astype(np.float32))
    rim = smoothstep(*(np.array(INPAINTING.aslant) + 0.1 * coarse), image_at_cage(surface, atlas, facing))
    bare = rim * plain * (1.0 - smoothstep(0.1, 0.5, covered)) * (1.0 - smoothstep(0.1, 0.5, votes.bearded))
    calm = own + bare[:, None] * (limited_difference(own - plainest) + plainest - own)
    skin = _skin(surface, operators, calm, skin_weight, tone, INPAINTING.nearest_shade)
    skin, share = with_beard(skin, surface, atlas, photos, consensus, operators, votes, weight, positions)
    fields = (skin, calm, share, coarse * bare)
    lifted = (surface.lifted(values).astype(np.float32) for values in fields)
    return InpaintedSkin(sure, *lifted)


def inpainted_texels(
    atlas: SurfaceAtlas,
    inpainted: InpaintedSkin,
    sure: np.ndarray,
    detail: np.ndarray,
    where: np.ndarray,
) -> np.ndarray:
    """(P, 3) float32 log albedo of inpainted skin and beard at an atlas's texels. Fully visible texels keep the smooth
    skin without added detail.

    Parameters
    ----------
    sure : (P,) in [0, 1], ``confidence`` of ``inpainted`` there. detail : (P, 3) log units added to the skin.
    where : (P, 3) neutral positions, metres.
    """
    smooth = atlas.sample(inpainted.log_skin)
    used = np.flatnonzero(sure < 0.999)
    where, beard = where[used], atlas.part(used).sample(inpainted.beard[:, None])
    blotches = fractal_noise(where, 0.009, 2, 19)[:, None] * np.array(INPAINTING.blotches, np.float32)
    skin = smooth[used] + detail[used] + (1.0 - beard) * blotches
    if beard.any():
        run = where * np.array(INPAINTING.bristle_run, np.float32)
        skin = skin + (0.16 * beard[:, 0] * gradient_noise(run, 0.0009, 75))[:, None]
    smooth[used] = skin
    return smooth


def _skin(
    surface: HeadSurface,
    operators: SurfaceOperators,
    own: np.ndarray,
    weight: np.ndarray,
    tone: np.ndarray,
    shade: float,
) -> np.ndarray:
    """(C, 3) smooth, symmetric skin fitted to the visible skin ``own`` (C, 3) by ``weight`` (C,); ``shade`` : scale of
    the robust weight around lit skin's brightness, log units."""
    if weight.sum() < 20:
        return np.broadcast_to(np.log(tone), own.shape).copy()
    brightness = own.mean(1)
    order = np.argsort(brightness, kind="stable")
    share = np.cumsum(weight[order] * operators.mass[order])
    level = float(brightness[order][np.searchsorted(share, INPAINTING.lit_quantile * share[-1])])
    weight = weight / (1.0 + ((brightness - level) / shade) ** 2) ** 2
    typical = np.average(own, axis=0, weights=weight * operators.mass)
    field = smooth_field(operators, own, weight, INPAINTING.skin_length, typical, INPAINTING.anchor)
    return 0.5 * (field + field[surface.mirror])


def _under_jaw(surface: HeadSurface, positions: np.ndarray) -> np.ndarray:
    """(C,) mask in [0, 1] of vertices below the lips that face down; positions (V, 3) neutral, metres."""
    count = surface.count
    normals = vertex_normals(positions[:count], surface.cage_triangles)
    lips = float(np.median(positions[surface.regions["lips"] > 0.5, 1]))
    below = smoothstep(lips - 0.015, lips - 0.025, positions[:count, 1])
    return below * smoothstep(0.25, 0.65, -normals[:, 1])


def pigment_prior(regions: Mapping[str, np.ndarray]) -> np.ndarray:
    """(V, 3) log offsets from plain skin for unseen texels: redder lips, ears, nose and lid margins."""
    haemoglobin = 1.1 * regions["lips"] + 0.12 * regions["ears"] + 0.10 * regions["nose"]
    haemoglobin = haemoglobin + 0.15 * np.maximum(regions["lids_left"], regions["lids_right"])
    return -haemoglobin[:, None] * HAEMOGLOBIN_DENSITY - 0.12 * regions["lips"][:, None]


def fill_from_mirror(image: np.ndarray, cover: np.ndarray, fade: float) -> tuple[np.ndarray, np.ndarray]:
    """Fill unseen texels from the mirrored side of the face.

    Both sides are mixed over ``fade`` inside the border of what is seen, because they differ in light and in what the
    border's mask got wrong, and a brow or a wrinkle that ends there would end in a line. Where the other side ends at
    the same place (eyes, nostrils, the middle), a side keeps its own.

    image : (R, R, C) in a UV chart that is its own mirror image; cover : (R, R) in [0, 1]. fade : texels.

    Returns
    -------
    The filled image and its new coverage.
    """
    inside = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    sure = cover * smoothstep(0.0, max(fade, 1.0), inside)
    other, other_cover, other_sure = image[:, ::-1], cover[:, ::-1], sure[:, ::-1]
    own = np.maximum(sure, cover * (1.0 - other_sure))
    surer = (1.0 - sure) * np.maximum(other_sure - sure, 0.0)
    take = np.maximum(surer, (1.0 - cover) * other_cover * (cover < 0.5))
    filled = (image * own[..., None] + other * take[..., None]) / np.maximum(own + take, 1e-6)[..., None]
    return filled.astype(np.float32), (cover + (1.0 - cover) * other_cover).astype(np.float32)


def fill_gaps(image: np.ndarray, cover: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Fill gaps with ``prior`` and the offset of their surroundings from it.

    image, prior : (R, R, C); cover : (R, R) in [0, 1].
    """
    return (prior + push_pull(image - prior, cover)).astype(np.float32)


def pore_noise(positions: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """(P, 3) float32 synthetic pores in log units at positions (P, 3) metres; ``deviation`` : standard deviation of
    brightness."""
    noise = sum(gradient_noise(positions, wave, seed + k) for k, wave in enumerate(INPAINTING.pore_octaves))
    noise = noise * np.float32(deviation / np.sqrt(len(INPAINTING.pore_octaves)))
    return noise[:, None] * np.array([0.85, 1.05, 1.10], np.float32)


def pore_deviation(high: np.ndarray, mask: np.ndarray) -> float:
    """Robust standard deviation of the brightness of fine detail (R, R, 3) within ``mask`` (R, R); bounded."""
    values = high[mask].mean(1)
    if len(values) < 500:
        return 0.03
    return float(np.clip(1.4826 * np.median(np.abs(values - np.median(values))), 0.010, 0.035))


_SKIN = ("face", "ears", "neck")
_NO_SKIN = ("scalp", "mouth_interior", "eye_sockets")


def with_learned_completion(
    template: Template, albedo: np.ndarray, coverage: np.ndarray, model: GraphAlbedoModel
) -> np.ndarray:
    """(R, R, 3) uint8 sRGB texture ``albedo`` in UV map ``Head``, corrected where ``coverage`` (R, R) in [0, 1] is low.

    Seen skin, scalp, eyes and mouth interior stay unchanged.
    """
    size, resolution = model.size, len(albedo)
    linear = linear_from_srgb(albedo)
    made, cover = small_maps(linear, coverage, texture_space(template, size).skin)
    correction = skin_correction(made, cover, bare_skin(size), model)
    wide = cv2.resize(correction, (resolution, resolution), interpolation=cv2.INTER_LINEAR)
    return np.where((np.abs(wide) > 1e-3).any(-1, keepdims=True), srgb_bytes(linear * np.exp(wide)), albedo)


def small_maps(linear: np.ndarray, coverage: np.ndarray, atlas: SurfaceAtlas) -> tuple[np.ndarray, np.ndarray]:
    """Downsample a linear texture (R, R, 3) and its coverage (R, R) to an atlas's size: log albedo (S, S, 3) and cover
    (S, S), both zero outside the head's large chart."""
    size = atlas.resolution
    small, cover = (cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in (linear, coverage))
    logs = np.log(np.maximum(small, DARKEST)).astype(np.float32)
    inside = atlas.image(np.ones(len(atlas.texel), bool))
    return logs * inside[..., None], np.where(inside, cover, 0.0).astype(np.float32)


@lru_cache(maxsize=4)
def bare_skin(size: int) -> np.ndarray:
    """(S, S) float32 mask in [0, 1] of face, ear and neck skin in the head's large chart, fading towards its border."""
    surface, atlas = head_surface(load_template()), texture_space(load_template(), size).skin
    regions = atlas.sample(np.stack([surface.regions[name] for name in _SKIN + _NO_SKIN], 1))
    skin = regions[:, : len(_SKIN)].max(1) * (1.0 - regions[:, len(_SKIN) :].max(1))
    inside = np.pad(atlas.image(np.ones(len(atlas.texel), np.uint8)), 1)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1] / (INPAINTING.chart_edge * size)
    return (np.clip(distance - 0.5, 0.0, 1.0) * atlas.image(skin)).astype(np.float32)
