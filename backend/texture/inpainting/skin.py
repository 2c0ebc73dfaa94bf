"""Where the photos stop: how far each texel may be believed, and the skin, beard and hair that go on behind the border.

A photo is least to be believed where it ends: at grazing angles skin shines, hair and background run into it, and the
last millimetres of every mask are wrong. So what photos show fades into what is made up over some eight millimetres
*inside* their border, and what is made up starts from the colours of the well-seen face, not from those of its rim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from backend.geometry.noise import fractal_noise, gradient_noise
from backend.geometry.normals import vertex_normals
from backend.geometry.smoothstep import smoothstep
from backend.geometry.surface_fields import SurfaceOperators, smooth_field, weighted_quantile
from backend.photos.collection import FaceClass
from backend.texture.delighting.consensus import Agreement, image_at_cage
from backend.texture.parts.scalp import Scalp
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import HeadSurface, usual_weight
from backend.texture.unwrapping.photo_selection import SurveyedPhoto, plain_skin
from backend.texture.unwrapping.unwrap import DARKEST, SHARP

FADE = 0.007  # metres inside the border of what photos show
_HOLE = 6e-4  # m²: unseen spots smaller than this have no border of their own (nostrils, specks, closed eyes)
_GRAZING = (0.08, 0.30)  # cosine
_SHOWN = 0.35
_SKIN_LENGTH = 0.030  # metres over which the made-up skin follows the seen
_COARSE = 0.4  # share by which a coarse photo's border is wider than a sharp one's, at most
_ASLANT = (0.75, 0.50)  # cosine
_BEARD_LENGTH = 0.012
_BEARD_RANGE = 0.9  # log units by which a made-up beard may follow the seen one beside it
_BRISTLE_QUANTILE, _FEW_BRISTLES = 0.3, 5.0  # the second: summed weight of vertices
_LIT = 0.65  # quantile of seen skin's brightness that counts as lit
_BETWEEN_HAIRS = 0.10  # log units by which a beard is darker than its smooth colour
_ASYMMETRY = 0.3  # share of what differs left and right that made-up skin keeps
_CHROMA_RANGE = 0.06  # log units by which the smooth colour of skin that is seen aslant may differ from the made-up
_UNDER_GRAZING = (0.50, 0.25)  # cosine: what faces down is in the chin's shadow, and seen aslant at best
_SHADED = 0.12  # log units by which its smooth colour may be darker than the made-up
_BRIGHTER = 0.14  # log units by which it may be brighter: more is a rim light
_DARKER = 0.10  # by which it may be darker: more is the shadow of the hair beside it, or strands
_BORDER = (1.0, 0.2)  # of being believed: where a photo's end is near
_FACE = (FaceClass.SKIN, FaceClass.FACIAL_HAIR, FaceClass.NECK, FaceClass.LIPS, FaceClass.BROWS)
_BLOTCHES = np.array([0.014, 0.026, 0.026], np.float32)  # log units, of made-up skin
_BRISTLES = np.array([1.0, 0.4, 0.6], np.float32)
_BEARD_DROP = 0.050  # metres below the chin's lowest point where a beard ends


@dataclass(frozen=True)
class SkinWays:
    """How smooth skin follows what is seen: ``shade`` log units around lit skin that count, ``anchor`` pull of the one
    typical colour, ``reach`` log units of brightness by which it may differ from that, ``chroma`` share of its own
    colour that it keeps."""

    shade: float
    anchor: float
    reach: float
    chroma: float


_PLAINEST = SkinWays(0.15, 0.03, 0.15, 0.4)  # nearly one colour: what rims are judged by
_NEAREST = SkinWays(0.40, 0.005, 0.45, 0.9)  # goes on in the colour of the seen skin beside it


@dataclass(frozen=True)
class MadeUp:
    """What goes where no photo is believed; V subdivided vertices.

    Attributes
    ----------
    believed : (S, S) float32 in [0, 1], how far the photos are believed (this side's or, mirrored, the other's).
    log_skin : (V, 3) float32 smooth skin, beard included.
    log_base : (V, 3) float32, the photos' own smooth albedo without rim light.
    beard : (V,) float32 in [0, 1], its share in ``log_skin``.
    rim : (V,) float32 in [0, 1], how far bare skin is seen too badly for details.
    """

    believed: np.ndarray
    log_skin: np.ndarray
    log_base: np.ndarray
    beard: np.ndarray
    rim: np.ndarray


def believed(
    shown: Sequence[np.ndarray],
    cosines: Sequence[np.ndarray],
    behind: np.ndarray,
    atlas: SurfaceAtlas,
    density: float,
    fade: float = FADE,
) -> np.ndarray:
    """(S, S) float32 in [0, 1]: 1 well inside of what photos show, falling to 0 at its border over ``fade`` metres.

    Parameters
    ----------
    shown, cosines : (P,) per photo at the atlas's texels; a mirrored side counts as shown.
    behind : (P,) in [0, 1], where photos show rims of glasses; skin goes on behind them, so that they are no border.
    density : texels per metre.
    """
    evidence = np.maximum.reduce(
        [weight * smoothstep(*_GRAZING, cosine) for weight, cosine in zip(shown, cosines, strict=True)]
    )
    known = atlas.image((evidence > _SHOWN) | (behind > _SHOWN))
    known |= known[:, ::-1]
    chart = atlas.image(np.ones(len(atlas.texel), bool))
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats((chart & ~known).astype(np.uint8), connectivity=4)
    small = statistics[:, cv2.CC_STAT_AREA] < _HOLE * density**2
    small[0] = False
    if count > 1:
        known |= small[pieces]
    distance = cv2.distanceTransform((known | ~chart).astype(np.uint8), cv2.DIST_L2, 5) / np.float32(density)
    return (smoothstep(0.001, fade, distance) * (known | ~chart)).astype(np.float32)


def make_up(
    surface: HeadSurface,
    atlas: SurfaceAtlas,
    photos: Sequence[SurveyedPhoto],
    scalp: Scalp,
    agreement: Agreement,
    operators: SurfaceOperators,
    tone: np.ndarray,
    positions: np.ndarray,
    density: float,
) -> MadeUp:
    """Decide what is believed, and what goes on behind it.

    Parameters
    ----------
    atlas : at survey size, ``density`` texels per metre. scalp : where hair grows.
    agreement : of ``agree``. tone : (3,) linear albedo of plain skin. positions : (V, 3) neutral, metres.
    """
    count = surface.count
    under = _under_jaw(surface, positions)
    in_shade = atlas.sample(surface.lifted(under[:, None]))[:, 0]
    shown = [p.shown * (1.0 - in_shade * smoothstep(*_UNDER_GRAZING, p.unwrap.cosine)) for p in photos]
    sharp = [float(smoothstep(*SHARP, p.view.pixels_per_metre)) for p in photos]
    facing = [p.unwrap.cosine * (1.0 - _COARSE * (1.0 - own)) for p, own in zip(photos, sharp, strict=True)]
    coarse = 1.0 - max(sharp)
    behind = np.maximum.reduce([p.unwrap.seen * (p.unwrap.labels == FaceClass.GLASSES) for p in photos])
    sure = believed(shown, facing, behind, atlas, density, FADE * (1.0 + _COARSE * coarse))
    weight = image_at_cage(surface, atlas, sure)  # (C,)
    covered = scalp.grows[:count]
    bearded, looked = _beard_votes(surface, atlas, photos)
    plain = plain_skin(surface)[:count]
    own = agreement.log_base[:count].astype(np.float64)
    bearded = np.maximum(bearded, _dark_below(surface, own, weight * plain, positions))
    skin_weight = weight**2 * plain * (1.0 - smoothstep(0.02, 0.3, covered)) * (1.0 - smoothstep(0.05, 0.4, bearded))
    skin_weight = skin_weight * (1.0 - 0.8 * surface.regions["neck"][:count])
    plainest = _skin(surface, operators, own, skin_weight, tone, _PLAINEST)
    facing = atlas.image(np.maximum.reduce([p.shown * p.unwrap.cosine for p in photos]).astype(np.float32))
    rim = smoothstep(*(np.array(_ASLANT) + 0.1 * coarse), image_at_cage(surface, atlas, facing))
    rim = np.maximum(rim, smoothstep(*_BORDER, weight))
    bare = rim * plain * (1.0 - smoothstep(0.1, 0.5, covered)) * (1.0 - smoothstep(0.1, 0.5, bearded))
    calm = own + bare[:, None] * (calmed(own - plainest) + plainest - own)
    shade = (under * plain * (1.0 - smoothstep(0.1, 0.5, bearded)))[:, None]
    calm = calm + shade * (_not_darker(calm - plainest) + plainest - calm)
    skin = _skin(surface, operators, calm, skin_weight, tone, _NEAREST)
    share = np.zeros(count)
    shown = (bearded > 0.6) & (weight > 0.3)
    low = surface.regions["chin"][:count] > 0.5
    if shown.sum() >= 30 and (shown & low).sum() >= 10:  # a moustache ends where it ends
        share = _beard(surface, operators, bearded, looked, positions)
        sure_beard = smoothstep(0.4, 0.8, bearded) * looked * (0.1 + weight)
        bristles, labelled = _bristles(surface, atlas, photos, agreement)
        if (labelled * sure_beard).sum() > _FEW_BRISTLES:
            sure_beard = sure_beard * labelled
        else:  # known by its darkness alone
            bristles = own
        typical = _dark_typical(bristles, sure_beard * operators.mass)
        colour = smooth_field(operators, bristles, sure_beard, _BEARD_LENGTH, typical, 0.02)
        colour = _near(colour, typical, _BEARD_RANGE)
        skin = np.log(np.exp(skin) * (1.0 - share[:, None]) + np.exp(colour - _BETWEEN_HAIRS) * share[:, None])
    fields = (skin, calm, share, coarse * bare)
    lifted = (surface.lifted(values).astype(np.float32) for values in fields)
    return MadeUp(sure, *lifted)


def made_up_skin(
    atlas: SurfaceAtlas,
    made_up: MadeUp,
    sure: np.ndarray,
    detail: np.ndarray,
    where: np.ndarray,
) -> np.ndarray:
    """(P, 3) float32 log albedo of made-up skin and beard at an atlas's texels. Texels that photos show in full
    stay as the smooth skin is.

    Parameters
    ----------
    sure : (P,) in [0, 1], ``believed`` of ``made_up`` there. detail : (P, 3) that goes onto the skin.
    where : (P, 3) neutral positions, metres.
    """
    smooth = atlas.sample(made_up.log_skin)
    used = np.flatnonzero(sure < 0.999)
    where, beard = where[used], atlas.part(used).sample(made_up.beard[:, None])
    blotches = fractal_noise(where, 0.009, 2, 19)[:, None] * _BLOTCHES
    skin = smooth[used] + detail[used] + (1.0 - beard) * blotches
    if beard.any():
        skin = skin + (0.16 * beard[:, 0] * gradient_noise(where * _BRISTLES, 0.0009, 75))[:, None]
    smooth[used] = skin
    return smooth


def _skin(
    surface: HeadSurface,
    operators: SurfaceOperators,
    own: np.ndarray,
    weight: np.ndarray,
    tone: np.ndarray,
    ways: SkinWays,
) -> np.ndarray:
    """(C, 3) smooth skin through the well-seen (C, 3), left and right nearly alike."""
    if weight.sum() < 20:
        return np.broadcast_to(np.log(tone), own.shape).copy()
    brightness = own.mean(1)
    order = np.argsort(brightness, kind="stable")
    share = np.cumsum(weight[order] * operators.mass[order])
    level = float(brightness[order][np.searchsorted(share, _LIT * share[-1])])
    weight = weight / (1.0 + ((brightness - level) / ways.shade) ** 2) ** 2
    typical = np.average(own, axis=0, weights=weight * operators.mass)
    field = smooth_field(operators, own, weight, _SKIN_LENGTH, typical, ways.anchor)
    field = field - (1.0 - _ASYMMETRY) * 0.5 * (field - field[surface.mirror])
    return _near(field, typical, ways.reach, ways.chroma)


def calmed(difference: np.ndarray) -> np.ndarray:
    """(C, 3) the difference (C, 3) of seen from made-up skin without strange colour, rim light and shadow of hair."""
    level = difference.mean(1, keepdims=True)
    chroma = difference - level
    size = np.linalg.norm(chroma, axis=1, keepdims=True)
    chroma = chroma * _CHROMA_RANGE * np.tanh(size / _CHROMA_RANGE) / np.maximum(size, 1e-9)
    most = np.where(level > 0, _BRIGHTER, _DARKER)
    return most * np.tanh(level / most) + chroma


def _not_darker(difference: np.ndarray) -> np.ndarray:
    """(C, 3) the difference (C, 3) of seen from made-up skin without the shadow that a chin casts."""
    level = difference.mean(1, keepdims=True)
    return difference + np.where(level < 0, _SHADED * np.tanh(level / _SHADED) - level, 0.0)


def _under_jaw(surface: HeadSurface, positions: np.ndarray) -> np.ndarray:
    """(C,) in [0, 1], below the lips and facing down; positions (V, 3) neutral, metres."""
    count = surface.count
    normals = vertex_normals(positions[:count], surface.cage_triangles)
    lips = float(np.median(positions[surface.regions["lips"] > 0.5, 1]))
    below = smoothstep(lips - 0.015, lips - 0.025, positions[:count, 1])
    return below * smoothstep(0.25, 0.65, -normals[:, 1])


def _near(field: np.ndarray, typical: np.ndarray, reach: float, chroma: float = 0.4) -> np.ndarray:
    """(C, 3) log colours that differ from the typical (3,) by at most ``reach`` in brightness and less in chroma."""
    difference = field - typical
    level = difference.mean(1, keepdims=True)
    return typical + np.clip(level, -reach, reach) + chroma * (difference - level)


def _beard_votes(
    surface: HeadSurface, atlas: SurfaceAtlas, photos: Sequence[SurveyedPhoto]
) -> tuple[np.ndarray, np.ndarray]:
    """(C,) in [0, 1], share of the photos that show a beard around each vertex, 0 where none looks; and (C,) in [0, 1]
    how many look there."""
    total = sum(p.samples.trust * p.unwrap.seen * np.isin(p.unwrap.labels, _FACE) for p in photos)
    votes = sum(p.samples.trust * p.unwrap.seen * (p.unwrap.labels == FaceClass.FACIAL_HAIR) for p in photos)
    mean, weight = surface.at_cage(atlas, (votes / np.maximum(total, 1e-6))[:, None], total)
    return mean[:, 0], np.clip(2.0 * weight / usual_weight(weight), 0.0, 1.0)


def _bristles(
    surface: HeadSurface, atlas: SurfaceAtlas, photos: Sequence[SurveyedPhoto], agreement: Agreement
) -> tuple[np.ndarray, np.ndarray]:
    """(C, 3) log albedo of what the photos label as beard around each vertex, the skin beside it left out, and (C,) in
    [0, 1] how much of it they show. Colour comes from the photos that have any."""
    grey_only = all(photo.samples.colourless for photo in photos)
    total = np.zeros(len(atlas.texel))
    summed = np.zeros((len(atlas.texel), 3))
    for photo, field in zip(photos, agreement.log_fields, strict=True):
        if photo.samples.colourless and not grey_only:
            continue
        labelled = (photo.unwrap.labels == FaceClass.FACIAL_HAIR) * np.maximum(photo.unwrap.cosine, 0.0) ** 2
        weight = photo.samples.trust * photo.shown * labelled
        summed += weight[:, None] * (np.log(np.maximum(photo.unwrap.linear, DARKEST)) - atlas.sample(field))
        total += weight
    mean, weight = surface.at_cage(atlas, summed / np.maximum(total, 1e-9)[:, None], total)
    return mean, np.clip(2.0 * weight / usual_weight(weight), 0.0, 1.0)


def _dark_typical(colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(3,) mean of log colours (C, 3), as bright as the darker ones: bristles, without the skin that shines between."""
    brightness = colours.mean(1, keepdims=True)
    level = weighted_quantile(brightness, weights, _BRISTLE_QUANTILE)[0]
    mean = np.average(colours, axis=0, weights=weights)
    return mean - mean.mean() + level


def _dark_below(surface: HeadSurface, own: np.ndarray, weight: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(C,) in [0, 1]: below the mouth and so much darker than seen skin that it is a beard, whatever its label."""
    count = surface.count
    if weight.sum() < 20:
        return np.zeros(count)
    brightness = own.mean(1)
    lips = float(np.median(positions[surface.regions["lips"] > 0.5, 1]))
    below = smoothstep(lips - 0.004, lips - 0.012, positions[:count, 1]) * (surface.regions["face"][:count] > 0.5)
    above = weight * (1.0 - below)
    level = float(np.average(brightness, weights=above if above.sum() > 20 else weight))
    return below * smoothstep(0.30, 0.65, level - brightness) * (weight > 0.02)


def _beard(
    surface: HeadSurface, operators: SurfaceOperators, votes: np.ndarray, looked: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    """(C,) in [0, 1], the made-up beard: the photos' ``votes`` (C,) where they ``looked`` (C,), carried on where beards
    grow."""
    count = surface.count
    share = smooth_field(operators, votes[:, None], looked, _BEARD_LENGTH, np.zeros(1), 0.02)[:, 0]
    place = positions[:count]
    lips = float(np.median(place[surface.regions["lips"][:count] > 0.5, 1]))
    chin = float(place[surface.regions["chin"][:count] > 0.5, 1].min())
    ears = place[surface.regions["ears"][:count] > 0.5]
    reach = np.clip((ears[:, 2].max() + 0.03 - place[:, 2]) / 0.03, 0.0, 1.0)  # upwards along the jaw to the sideburns
    top = lips + 0.012 + reach * max(float(ears[:, 1].mean()) - lips, 0.0)
    grows = smoothstep(top + 0.012, top - 0.004, place[:, 1])
    grows = grows * smoothstep(chin - _BEARD_DROP, chin - 0.2 * _BEARD_DROP, place[:, 1])
    grows = grows * smoothstep(ears[:, 2].min() - 0.002, ears[:, 2].min() + 0.016, place[:, 2])
    grows = grows * (1.0 - surface.regions["ears"][:count])
    return 0.95 * smoothstep(0.1, 0.45, share) * grows
