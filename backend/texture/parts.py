"""Brows, mouth, scalp and bust.

Hand-set constants of brows, scalp, sclera and irises.

Paint brows for people whose brows no photo shows (thick frames, a fringe, a hat).

Paint the bust's skin into its own chart of map ``Head``, without photos.

Paint teeth, tongue and lashes in fixed colours, independent of the photos.

The scalp below the hair: where hair grows, from its strands' roots, and how roots darken the skin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from backend.geometry.noise import fractal_noise, gradient_noise
from backend.geometry.normals import vertex_normals
from backend.geometry.template import Template, triangulate
from backend.geometry.vectors import disc, smoothstep
from backend.hair.hair_strands import HairStrands
from backend.photos.collection import FaceClass
from backend.photos.regions import BROW_RIGHT, mirrored
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rendering.uv_space import dilate
from backend.rig.bust import BustModel, load_bust
from backend.texture.delighting import blocked_light
from backend.texture.skin_prior import SKIN_PRIOR, pull_share, skin_prior
from backend.texture.surface import SurfaceAtlas, UvChart, build_atlases, head_surface
from backend.texture.unwrap import TexturePhoto, beard_region, under_jaw


@dataclass(frozen=True)
class PartsSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    brow_coverage: float = 0.85
    """Fraction of the area within one brow's landmarks, 0.3 to 1.4: brows are painted if photos show less of both. Five
    people whose photos show their brows have 1.4 to 2.6, because the labels fill the outline and the hair beside it;
    under thick frames it is 0.7."""
    brow_darkness: tuple[float, float] = (1.3, 0.45)
    """Log units, 0.2 to 2: upper and lower limit of how much darker brows are than the skin, for any hair colour."""
    brow_bits: float = 0.04
    """Fraction of the area within both brows' landmarks, 0.01 to 0.2, needed to measure their darkness."""
    brow_dark_part: float = 0.25
    """Quantile of brightness at which a brow's darkness is measured; brighter texels are skin between hairs."""
    brow_margin: float = 170.0
    """Divisor of the working size, 80 to 350: brows extend 1 / 170 of it beyond their labels."""
    brow_density: float = 0.8
    """Share in [0, 1]: most of the skin that painted hairs cover."""
    brow_soft: float = 0.0012
    """Metres, 0.0005 to 0.003: softness of a painted brow's outline."""
    brow_pixel: float = 0.00025
    """Metres, 0.0001 to 0.0005: pixel size of the mask in which the outline is drawn."""
    brow_rise: float = 0.45
    """Slope, 0 to 1: metres up per metre outwards along a hair."""
    brow_along: float = 0.15
    """Factor, 0.05 to 0.5: frequency of the hair noise along a hair relative to across."""
    iris_light: float = 0.7
    """Share in [0, 1] of the light that reaches the iris under lid and lashes."""
    least_shaded: float = 0.75
    """Quantile over photos of the sclera's brightness; in darker photos lids shade it."""
    white_range: tuple[float, float] = (0.26, 0.50)
    """Linear albedo in [0, 1], mean over channels: lower and upper limit of the sclera."""
    white_light: float = 0.87
    """Share in [0, 1] of the light that reaches the sclera where it is brightest, beside the iris."""
    eye_reach: float = 3.5
    """Iris radii, 2 to 5: size of the neighbourhood examined around the iris."""
    fewest_beside: int = 6
    """Pixels, 3 to 20, of sclera needed to compare an iris with it."""
    fewest_white: int = 20
    """Pixels, 10 to 100, of sclera needed to measure its colour."""
    around_iris: tuple[float, float] = (1.0, 2.2)
    """Iris radii, 1 to 4: ring whose chroma a small image mixes with the iris's."""
    brightest_iris: float = 0.15
    """Linear albedo, 0.1 to 0.3: brighter irises are lids or sclera."""
    iris_too_small: float = 5.0
    """Pixels of an iris's radius, 3 to 8: up to this its chroma is mostly the surrounding skin's, because a JPEG stores
    one chroma for four pixels."""
    iris_large_enough: float = 9.0
    """Pixels of an iris's radius, 6 to 15: from this on its colour is measured directly."""
    light_by_luminance: float = 1.4
    """Log odds that a small iris is light (blue, grey, green) instead of brown, per log unit of luminance. Logistic
    regression on 49 people of the press photos with known eye colour; leave-one-out area under the curve is 0.94."""
    light_by_white: float = 3.2
    """The same per log unit of the ratio of its luminance to the sclera's."""
    light_by_warmth: float = -3.3
    """The same per log unit of red over blue relative to its surroundings."""
    light_offset: float = 9.15
    """Intercept of that regression, log odds."""
    few_photos: float = 1.2
    """Photos, 0.5 to 4: the log odds from ``n`` photos are scaled by ``n / (n + few_photos)`` times ``most_sure``.
    The slopes of a logistic regression on draws of 1, 2, 3 and 9 photos of 69 people are 0.42, 0.76, 0.92 and 1.3."""
    most_sure: float = 1.2
    """Factor on the log odds, 0.5 to 2, in the limit of many photos."""
    tinted: float = 0.05
    """Log of red over blue, 0 to 0.2, of the albedo around an iris: below this the eye is behind a tinted lens."""
    lids_against_white: float = -0.3
    """Log ratio of an iris's luminance to its sclera's: above this the eyes are nearly shut and the pixels are lids. 4
    of 498 photos of 69 people exceed this or ``no_iris``."""
    no_iris: float = 0.35
    """Luminance of an iris's albedo, 0.2 to 0.6, above which it is not an iris."""
    usual_against_white: float = -1.4
    """Log ratio of an iris's luminance to its sclera's, assumed where the sclera is not visible."""
    brown_luminance: tuple[float, float] = (0.012, 0.045)
    """Luminance of albedo: limits of a small brown iris."""
    light_luminance: tuple[float, float] = (0.09, 0.15)
    """Luminance of albedo: limits of a small light iris."""
    cool: float = -0.1
    """Log units of warmth at which a small light iris is blue-grey."""
    warm: float = 0.45
    """Log units of warmth at which a small light iris is green."""
    lock_reach: float = 0.5
    """Share of a lock's width, or of the distance to other roots, 0.2 to 0.8, over which hairs spread around a root."""
    hairs_per_area: float = 2e6
    """Hairs per square metre of scalp; 1.2e6 to 3e6 in people."""
    hair_diameter: float = 8e-5
    """Metres, 5e-5 to 1e-4: diameter of a hair."""
    cropped_length: tuple[float, float] = (0.012, 0.025)
    """Metres of hair length, 0.01 to 0.06: up to the first the scalp is darkened in full by upright hair, from the
    second on lying locks cover it."""
    root_shade: float = 0.5
    """Weight in [0, 1] of the hair's log colour in skin with roots: about half of cropped stubble is skin."""


PARTS = PartsSettings()


def brow_masks(where: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(2, P) float32 masks in [0, 1] of the right and left brow from landmarks, at an atlas's texels.

    where : (P, 3) the texels and landmarks : (478, 3) neutral, metres.
    """
    return np.stack([_inside(where, landmarks[list(brow)]) for brow in (BROW_RIGHT, mirrored(BROW_RIGHT))])


def hidden_brows(place: np.ndarray, across: np.ndarray, photos: Sequence[TexturePhoto]) -> bool:
    """Whether no photo shows a brow that could be used, directly or mirrored.

    place : (2, P) of ``brow_masks`` at the working size. across : (P,) x of the texels, negative on the person's right.
    A brow may lie beside its landmarks, so all brow texels on its side of the face count.
    """
    shown = np.maximum.reduce([p.unwrap.weight * (p.unwrap.labels == FaceClass.BROWS) for p in photos])
    return all(
        (shown[side] > 0.3).sum() < PARTS.brow_coverage * (brow > 0.5).sum()
        for brow, side in zip(place, (across < 0.0, across >= 0.0), strict=True)
    )


def visible_brow_darkness(place: np.ndarray, photos: Sequence[TexturePhoto]) -> float | None:
    """Darkness of partly hidden brows (above a rim, beside a fringe): log units below their skin's
    brightness. None if hardly any brow is visible. place : (2, P) of ``brow_masks`` at the working size."""
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
    grown = cv2.dilate(bits, disc(round(atlas.resolution / PARTS.brow_margin)))
    left = 1.0 - atlas.gather(cv2.GaussianBlur(grown, (0, 0), 1.0))
    return replace(photo, unwrap=replace(photo.unwrap, weight=photo.unwrap.weight * left), bare=photo.bare * left)


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
    ``brow_masks``. log_hair : (3,). darkness : log units below skin, of ``visible_brow_darkness``; None: the hair's.

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


_MOTTLE, _MOTTLE_METRES = 0.025, 0.005
"""Log units and size in metres of the mottling of skin, the same as on inpainted skin."""
_GUTTER = 0.004
"""Gutter as a fraction of the map's side: the chart's rim is dilated this far, for coarse mipmaps."""


def bare_cheeks(template: Template) -> np.ndarray:
    """(N,) vertices of the cheeks above all beards."""
    surface = head_surface(template)
    bearded = beard_region(surface, template.vertices[: surface.count])
    return np.flatnonzero((surface.regions["cheeks"][: surface.count] > 0.5) & (bearded < 0.5))


def with_bust(albedo: np.ndarray, template: Template, model: BustModel, vertices: np.ndarray) -> np.ndarray:
    """Paint the bust's chart: the neck's colours at its rim, blending to the cheeks' times the usual ratio.

    By how much the neck is not as usual is evidence for the bust's colour, unless it deviates too much: shade, a beard.

    Parameters
    ----------
    albedo : (R, R, 3) uint8 sRGB, row 0 is v = 1 of map ``Head``. vertices : (B, 3) of the bust, metres.
    """
    side, prior = len(albedo), skin_prior()
    cheek, rim = (_beside(albedo, template, own) for own in (bare_cheeks(template), model.rim))
    cheek = np.median(cheek, axis=0)
    usual = cheek + cheek.mean() * prior.bust[0] + prior.bust[1]  # (B, 3)
    neck = np.median(rim - usual[: len(rim)], axis=0)
    variance = prior.bust_deviation**2
    tone = usual + variance / (variance + SKIN_PRIOR.light_deviation**2) * pull_share(neck) * neck
    log_colour = tone + model.carried(rim - tone[: len(rim)])  # (B, 3)
    split = triangulate(model.quads)
    (atlas,) = build_atlases([UvChart(model.uv, split.apply(model.uv_quads), split.faces)], side)
    sampled = atlas.sample(np.concatenate([log_colour, vertices], 1))
    painted = np.exp(sampled[:, :3] + _MOTTLE * fractal_noise(sampled[:, 3:], _MOTTLE_METRES, 3, 95)[:, None])
    covered = np.zeros((side, side), bool)
    covered.reshape(-1)[atlas.texel] = True
    result = albedo.copy()
    result.reshape(-1, 3)[atlas.texel] = srgb_bytes(painted)
    gutter = max(2, round(_GUTTER * side))
    row, column = np.nonzero(covered)
    window = (
        slice(max(row.min() - gutter, 0), row.max() + gutter + 1),
        slice(max(column.min() - gutter, 0), column.max() + gutter + 1),
    )
    result[window] = dilate(result[window], covered[window], gutter)
    return result


def light_below_chin(template: Template, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Share (V,) float32 in [0, 1] of even light that head and shoulders let through to the neck and below it, for
    pictures without cast shadows; 1 on the face.

    parts : (V, 3) of the head, and of the bust if there is one, metres.
    """
    bust, surface, count = load_bust(), head_surface(template), len(parts[0])
    quads = [template.quads[: template.head.face_stop], bust.quads + count][: len(parts)]
    points, faces = np.concatenate(parts).astype(np.float64), triangulate(np.concatenate(quads)).faces
    blocked = blocked_light(points, faces, vertex_normals(points, faces))
    blocked[:count] *= under_jaw(surface, surface.lifted(points[:count]))
    if len(parts) > 1:
        blocked[count:][: len(bust.rim)] = blocked[bust.rim]
    return np.split(np.float32(1.0 - blocked), np.cumsum([len(part) for part in parts])[:-1])


def _beside(albedo: np.ndarray, template: Template, vertices: np.ndarray) -> np.ndarray:
    """(N, 3) log albedo of the head's faces beside each of its ``vertices`` (N,)."""
    side = min(512, len(albedo))
    logs = np.log(np.maximum(linear_from_srgb(cv2.resize(albedo, (side, side), interpolation=cv2.INTER_AREA)), 1e-3))
    quads = template.quads[: template.head.face_stop]
    column, row = np.moveaxis(template.uv_head[template.uv_head_quads[: len(quads)]].mean(1) * side, 1, 0).astype(int)
    return np.array([logs[side - 1 - row, column][(quads == vertex).any(1)].mean(0) for vertex in vertices])


ENAMEL = np.array([0.61, 0.555, 0.45])
"""Linear albedo: as light as tab A1 of VITA's shade guide (L* 79.6, O'Brien, Groh and Boenke 1990), redder because lips
shine on it. On 23 smiling photographs the brightest fifth of the pixels between the lips is 1.2, 1.6, 2.1 times as
bright as the skin (red, green, blue, medians); in Cycles, under a sun 40 degrees high, that of a laughing man of dark
complexion is 1.3, 2.5, 3.0, and of a pale woman 0.8, 1.1, 1.2."""
GUM = np.array([0.42, 0.155, 0.14])
TONGUE = np.array([0.45, 0.17, 0.155])
LASHES = np.array([0.014, 0.010, 0.008])
_TEETH_SHADE, _TONGUE_SHADE = 0.80, 0.35
"""Share of the light that is removed three centimetres behind the lips, in place of a cast shadow. With 0.75 the back
teeth are white slits in viewports without shadows; a tongue with 0.75 is black in renders that do cast shadows."""
_TONGUE_BACK = 0.6  # share of its light removed where its root falls into the throat
_TONGUE_LIT = 0.9  # share of light: the tongue's tip lies behind the teeth
_GAP = 0.00018  # metres: half the width of the shade between two crowns, whose sides shade themselves


def _light_in_mouth(points: np.ndarray, shade: float) -> np.ndarray:
    """(P, 1) share of the light that reaches points (P, 3) behind the lips; ``shade`` of it is lost at the back. It
    replaces the shadow that viewports do not cast into a mouth."""
    depth = points[:, 2].max() - points[:, 2]
    return 1.0 - shade * smoothstep(0.004, 0.030, depth)[:, None]


def paint_teeth(points: np.ndarray, places: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Linear albedo (P, 3) of a row of teeth at neutral positions (P, 3) metres: separate teeth, with gum between
    them.

    places : (P, 2) of ``Sculpture.tooth_places``. profile : (A, 3) of ``Sculpture.tooth_profile``.
    """
    arc, height = places.T
    crown, aside, tone = (np.interp(1e4 * arc, np.arange(len(profile)), column) for column in profile.T)
    gum = smoothstep(crown - 0.0002, crown + 0.0004, height)[:, None]
    root = height / np.maximum(crown, 1e-6)  # 0 at the biting edge, 1 at the gum
    gap = np.exp(-((aside / (_GAP + 0.0003 * smoothstep(0.5, 1.0, root))) ** 2))[:, None]
    enamel = ENAMEL * tone[:, None]
    enamel = enamel * (1.0 - 0.12 * smoothstep(0.3, 1.0, root)[:, None] * np.array([0.5, 1.0, 1.7]))
    glassy = np.exp(-height / 0.0011)[:, None]  # enamel at the biting edge has no dentine behind it
    enamel = enamel * (1.0 - glassy * np.array([0.20, 0.15, 0.10]))
    enamel = enamel * (1.0 + 0.03 * fractal_noise(points * [2.0, 0.5, 2.0], 0.002, 2, 51)[:, None])
    enamel = enamel * (1.0 - 0.55 * gap * np.array([0.85, 1.0, 1.05]))
    flesh = GUM * (1.0 + 0.10 * fractal_noise(points, 0.0016, 2, 52)[:, None])
    flesh = flesh * (1.0 - 0.25 * np.exp(-np.maximum(height - crown, 0.0) / 0.0007))[:, None]  # its edge turns inwards
    enamel = enamel * (1.0 - 0.25 * ((1.0 - gum) * smoothstep(0.92, 1.0, root)[:, None]))
    return ((enamel * (1.0 - gum) + flesh * gum) * _light_in_mouth(points, _TEETH_SHADE)).astype(np.float32)


def paint_tongue(points: np.ndarray) -> np.ndarray:
    """Linear albedo (P, 3) of the tongue at neutral positions (P, 3) metres, with papillae and a median furrow."""
    papillae = 0.06 * gradient_noise(points, 0.0010, 61) + 0.07 * fractal_noise(points, 0.006, 2, 62)
    furrow = 0.25 * np.exp(-((points[:, 0] / 0.0016) ** 2))
    pale = np.array([1.05, 1.35, 1.32])
    blend = np.clip(0.25 + 0.15 * fractal_noise(points, 0.003, 2, 63), 0.0, 1.0)[:, None]
    tone = TONGUE * (1.0 - blend) + TONGUE * pale * blend
    into_throat = smoothstep(0.040, 0.075, points[:, 2].max() - points[:, 2])[:, None]
    lit = _TONGUE_LIT * _light_in_mouth(points, _TONGUE_SHADE) * (1.0 - _TONGUE_BACK * into_throat)
    return (tone * (1.0 + papillae - furrow)[:, None] * lit).clip(0.01, 0.9).astype(np.float32)


_BROWN = np.log(np.array([0.045, 0.028, 0.018]))
"""Log linear albedo of brown hair, the commonest; colours the brows of a head without hair."""
_NEIGHBOUR_GUIDES = 8  # guides averaged for the hair length at a place: a neighbourhood of about two centimetres
_FURTHEST = 0.016  # metres between roots, beyond which each stands alone


@dataclass(frozen=True)
class Scalp:
    """The scalp at the head's V subdivided vertices.

    Attributes
    ----------
    grows : (V,) float32 in [0, 1], where hair grows or is near. shade : (V,) float32 in [0, 1], weight of the hair's
        log colour in the skin's. log_color : (3,) log linear albedo of the hair at its roots, brown for a head without
        hair.
    """

    grows: np.ndarray
    shade: np.ndarray
    log_color: np.ndarray


def scalp_below(strands: HairStrands | None, positions: np.ndarray) -> Scalp:
    """Scalp of a head with vertices ``positions`` (V, 3), metres, below its hair; bald if ``strands`` is None."""
    if strands is None:
        return Scalp(*np.zeros((2, len(positions)), np.float32), _BROWN)
    roots = strands.points[:, 0]
    distance, near = cKDTree(roots).query(positions, k=min(_NEIGHBOUR_GUIDES, len(roots)))
    distance, near = distance.reshape(len(positions), -1), near.reshape(len(positions), -1)
    apart = cKDTree(roots).query(roots, k=min(7, len(roots)))[0][:, -1]  # locks may be narrower
    reach = PARTS.lock_reach * np.maximum(strands.width, np.minimum(apart, _FURTHEST))
    density = np.exp(-((distance / reach[near]) ** 2)).sum(1)
    grows, rooted = np.minimum(density, 1.0), smoothstep(0.3, 1.0, density)
    length = np.linalg.norm(np.diff(strands.points, axis=1), axis=-1).sum(1)[near].mean(1)
    colour = np.log(np.maximum(np.median(strands.root_colour, axis=0), 1e-3))
    return Scalp(grows.astype(np.float32), (rooted * _scalp_coverage(length)).astype(np.float32), colour)


def _scalp_coverage(length: np.ndarray) -> np.ndarray:
    """(...) visible share of the scalp covered by hair of ``length`` (...), metres, at least ``root_shade``.

    A crew cut hides the skin between its hairs, but too few hairs are drawn for that, so the scalp is darkened. Drawn
    long locks hide the skin themselves; below them only the roots darken it.
    """
    covered = 1 - np.exp(-PARTS.hairs_per_area * PARTS.hair_diameter * length)
    cropped = 1 - smoothstep(*PARTS.cropped_length, length)
    return PARTS.root_shade + np.maximum(covered - PARTS.root_shade, 0) * cropped


def hairless_skin(weight: np.ndarray, grows: np.ndarray) -> np.ndarray:
    """(P,) float32 how far a photo shows skin that hair neither hides nor shades; weight (P,) of bare skin."""
    return (weight * (1.0 - smoothstep(0.1, 0.5, grows))).astype(np.float32)


def with_roots(log_skin: np.ndarray, shade: np.ndarray, log_color: np.ndarray) -> np.ndarray:
    """(P, 3) log albedo of skin (P, 3), darkened by ``shade`` (P,) of ``Scalp`` towards the hair's colour (3,).

    Roots only darken: white hair leaves the skin unchanged.
    """
    darker = np.subtract(log_color.astype(np.float32), log_skin)
    np.minimum(darker, 0, out=darker)
    darker *= shade[:, None]
    darker += log_skin
    return darker
