"""Hair as a texture: whether there is any, where it grows, and its colour.

Hair stands off the head, so its pixels hardly ever fall on the scalp's texels. Its colour and amount are therefore
measured in the photos; only the hair line is looked up on the surface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from backend.geometry.disc import disc
from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass
from backend.rendering.color import LUMINANCE
from backend.texture.atlas import SurfaceAtlas
from backend.texture.blend import masked_lowpass
from backend.texture.photo_hair import SOME_HAIR, PhotoHair
from backend.texture.surface import HeadSurface
from backend.texture.surface_field import weighted_median, weighted_quantile
from backend.texture.unwrap import PhotoUnwrap

_LUMINANCE = np.array(LUMINANCE)
_SKIN_LABELS = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.NECK, FaceClass.EARS)
_BARE_TOP = 0.3  # share of skin on the scalp from which on hair beside it wants better evidence
_TOP_SEEN, _THIN = 0.03, 0.4
"""Share of the scalp that photos must show to tell how bare it is; amount of hair, of the face's skin, from which on it
is not: what shows of a scalp below a whole head of hair is its rim."""
_BALDING, _VOTED = 0.15, 0.3
"""Share of skin on the scalp from which on what no photo shows of its top is bare behind bare skin; the least votes of
what is seen."""
_TOP_ROWS, _TOP_COLUMNS = (0.28, 0.20), (0.32, 0.24)
"""Where the head's top begins and is all, of the survey's side from its upper edge and from its middle."""
_VOTED_HAIR, _SEEN_THERE = 0.6, 0.1
"""Share of the votes from which photos agree that a place has hair, if at least two see it at least so well."""
_RING_AREA, _RINGS = 0.01, ((0.105, 0.0), (0.05, 0.3), (0.0, 0.5))
"""Share of the area where hair may grow from which on photos agree on a ring of hair around a bare top; and, of the
places that two photos see, the share with hair by their votes from which on so many photos must show hair of a colour
that is not the skin's. Twelve men with rings have hair on 0.12 to 0.32 of those places; two bald ones, whose shaded
skin or background is called hair, on 0.01 and 0.08, and its colour in 0.37 and 0.01 of the photos."""
_ALIKE = 0.8  # log units: one person's hair is as bright as that in all photos; shine and what is behind a head are not
_YELLOWEST = 0.75  # log green over blue of hair
_UNNATURAL = 0.30  # log chroma by which what is called hair may differ from any hair's
_REDDEST = (1.5, 0.10)  # melanins: log red over green is at most so many times green over blue, and so much more
_STRANGE = (0.10, 0.30)  # log units beyond that from which on it is cloth; the same for what is greener than hair
_BLUE = 0.15  # log blue over red from which what is called hair beside headgear is of it
_BROWN = np.log(np.array([0.03, 0.02, 0.014]))  # of hair of which nothing is known
_TOO_DARK = (0.004, 0.015)  # linear light: darker has no colour to tell
_SHAVED_AMOUNT, _SHAVED, _SMOOTH_SCALP, _DARK_BROWS = 0.35, -0.3, 0.042, 1.65
"""Share of the face's skin below which, log units brighter than it from which, contrast (log units) below which, and
darkness of brows (log units) from which what is called hair is a shaved scalp: the net knows none, and its shine is as
bright as white hair, but who has that has no dark brows. Of 230 people the three with shaved heads are all that, and a
fourth one is; nearest are two with white hair (contrast 0.046; brows 1.40) and one with cropped hair (-0.36)."""
_GREY, _DARKER = 0.30, 0.8  # log units: chroma of grey hair; by how much other hair is darker than skin in the shade is
_BRIGHT, _GREY_PHOTOS = -1.6, 0.3
"""Log albedo from which hair is as bright as skin that shines through it; share of the photos that show it without
colour from which it is white: of blond hair hardly any does."""
_NEAR, _BESIDE = 200.0, 90.0  # of the survey's side: where hair thins out, and the skin between it and the seen face
_OTHER_SIDE = 0.2  # of a vote that counts for the mirrored place
_SOME_VOTES = 0.45
"""Share of the photos that make hair. Against a photo that was left out, of 47 people, a quarter draws 1,131 mm² of it
where there is skin and misses 492; 0.45 draws 676 and misses 716, and no share is wrong on less in all."""
_UNDER_HATS = (0.05, 0.25)
"""Prior of hair from which on a head that no photo shows bare has some: the line that hats hide is lower than where
foreheads that are seen to be bare end."""
_SMOOTH, _SMOOTH_UNDER_HATS = 60.0, 22.0
"""Of the survey's side: over so much a hair line is smoothed; where hats hide it, only patches beside them are seen."""
_LEAST_PIECE = 0.1  # of the largest one's area: tufts on a bald crown are none
_THINNING = 80.0  # of the survey's side: hair thins out over this and back, five millimetres


@dataclass(frozen=True)
class HairEvidence:
    """What the photos say of the hair.

    Attributes
    ----------
    cover : (S, S) float32 in [0, 1], 1 where the scalp carries hair; 0 everywhere for bald and unknown heads. It goes
        on over the chart's rim, so that no seam shows.
    log_color : (3,) logarithm of its linear albedo.
    thick : (S, S) float32 in [0, 1], how thick: as ``cover``, but thinning out over a centimetre at the line.
    """

    cover: np.ndarray
    log_color: np.ndarray
    thick: np.ndarray

    @cached_property
    def near(self) -> np.ndarray:
        """(S, S) in [0, 1]: hair, and the millimetres before the hair line where it thins out."""
        return self._around(_NEAR)

    @cached_property
    def beside(self) -> np.ndarray:
        """(S, S) in [0, 1]: hair, and the skin between it and the seen face."""
        return self._around(_BESIDE)

    def _around(self, share: float) -> np.ndarray:
        return smoothstep(0.03, 0.3, cv2.GaussianBlur(self.cover, (0, 0), self.cover.shape[0] / share))


def hair_grows(surface: HeadSurface, positions: np.ndarray) -> np.ndarray:
    """(V,) in [0, 1] where a head may carry hair: on the scalp, high on the face, and beside it down to the sideburns;
    what hangs lower or before that is not painted. positions : (V, 3) neutral, metres."""
    regions = surface.regions
    ears = positions[regions["ears"] > 0.5]
    height = positions[:, 1] - float(positions[regions["brows"] > 0.5, 1].max())
    over_ear = positions[:, 1] - float(ears[:, 1].mean())
    front = float(ears[:, 2].max()) + 0.018 + 0.8 * np.maximum(over_ear, 0.0)  # sideburn to temple
    high = smoothstep(0.022, 0.034, height)
    beside = smoothstep(0.005, -0.005, positions[:, 2] - front) * smoothstep(-0.008, 0.008, over_ear)
    beside = beside * (1.0 - smoothstep(0.1, 0.5, regions["cheeks"]))
    allowed = np.maximum.reduce([smoothstep(0.3, 0.5, regions["scalp"]), high, beside])
    return allowed * (1.0 - regions["ears"]) * (1.0 - regions["neck"])


def shown_with_hair(
    unwrap: PhotoUnwrap, atlas: SurfaceAtlas, hair: HairEvidence, cast: np.ndarray | None = None
) -> np.ndarray:
    """(P,) float32 in [0, 1], how far a photo shows what the texture has there: bare skin outside of the hair, hair
    within, either at the hair line. A strand over the cheek, a scalp between strands and a headband that is called hair
    are not what it has. cast : (3,) log colour of the photo's light where
    its hair has a colour that hair has not, else None."""
    if not hair.cover.any():  # what photos call hair is something else
        return unwrap.weight
    cover = atlas.gather(hair.cover)
    near = unwrap.hair * atlas.gather(hair.near) + (1.0 - unwrap.hair) * atlas.gather(hair.beside)
    inside = smoothstep(0.8, 1.0, cover)
    hairy = unwrap.with_hair * near * (1.0 - inside * (1.0 - unwrap.hair))
    if cast is not None:
        hairy = hairy * np.where(unwrap.labels == FaceClass.HAIR, coloured_like_hair(unwrap.linear, cast), 1.0)
    return np.maximum(unwrap.weight * (1.0 - smoothstep(0.3, 0.7, cover)), hairy).astype(np.float32)


def coloured_like_hair(linear: np.ndarray, cast: np.ndarray) -> np.ndarray:
    """(P,) in [0, 1], 0 where linear light (P, 3) is pink, red or green as no hair is: headbands, caps, lawns behind
    thin hair. cast : (3,) log colour of the light."""
    red, green, blue = (np.log(np.maximum(linear, 2e-3)) - cast).T
    red_green, green_blue = red - green, np.maximum(green - blue, 0.0)
    natural = 1.0 - smoothstep(*_STRANGE, red_green - _REDDEST[0] * green_blue - _REDDEST[1])
    natural = natural * (1.0 - smoothstep(*_STRANGE, -red_green))
    return 1.0 - (1.0 - natural) * smoothstep(*_TOO_DARK, linear.mean(1))


def natural_hair(log_color: np.ndarray) -> np.ndarray:
    """The natural hair colour nearest to a log linear one (3,), as bright: melanins only, from black to white."""
    green_blue = float(np.clip(log_color[1] - log_color[2], 0.02, _YELLOWEST))
    reddest = min(_REDDEST[0] * green_blue + _REDDEST[1], 0.65)
    red_green = float(np.clip(log_color[0] - log_color[1], 0.5 * green_blue, reddest))  # never green, never pink
    chroma = np.array([red_green, 0.0, -green_blue])
    chroma -= chroma.mean()
    brightness = float(np.log(np.exp(log_color) @ _LUMINANCE) - np.log(np.exp(chroma) @ _LUMINANCE))
    return float(np.clip(brightness, np.log(0.010), np.log(0.58))) + chroma


def hair_evidence(
    hairs: Sequence[PhotoHair],
    unwraps: Sequence[PhotoUnwrap],
    trusts: Sequence[float],
    scalp: np.ndarray,
    allowed: np.ndarray,
    to_image: Callable[[np.ndarray], np.ndarray],
    log_skin: np.ndarray,
) -> HairEvidence:
    """Put together what the photos say.

    Parameters
    ----------
    hairs, unwraps, trusts : per photo.
    scalp : (P,) prior of hair. allowed : (P,) where a hair label may mean hair that grows there (not a strand over
        the cheek).
    to_image : maps texel values (P, C) to an image (S, S, C).
    log_skin : (3,) plain skin.
    """
    hair_votes = np.zeros(len(scalp), np.float32)
    skin_votes = np.zeros(len(scalp), np.float32)
    photos = np.zeros(len(scalp), np.int32)
    for unwrap, trust in zip(unwraps, trusts, strict=True):
        hair_votes += np.float32(trust) * unwrap.seen * (unwrap.labels == FaceClass.HAIR)
        skin_votes += np.float32(trust) * unwrap.seen * np.isin(unwrap.labels, _SKIN_LABELS)
        photos += unwrap.seen > _SEEN_THERE
    total = hair_votes + skin_votes
    told = total > 0.02
    vote = np.where(told, hair_votes / np.maximum(total, 1e-6), 0.0)
    voted = np.clip(total * 4.0, 0.0, 1.0)
    stacked = to_image(np.stack([vote, voted, scalp, allowed], 1).astype(np.float32))
    top = scalp > 0.5
    bare_share = float(skin_votes[top].sum()) / max(float(total[top].sum()), 1e-6)
    amount = _typical_amount(hairs, trusts)
    tells = told[top].mean() > _TOP_SEEN and (amount is None or amount < _THIN)
    bare, balding = tells and bare_share > _BARE_TOP, tells and bare_share > _BALDING
    grows = allowed > 0.5
    twice = grows & (photos >= 2)
    ring = int((twice & (vote > _VOTED_HAIR)).sum())
    ring_share = ring / twice.sum() if ring > _RING_AREA * grows.sum() else 0.0
    least = next(least for share, least in _RINGS if ring_share >= share)
    log_color = hair_colour(hairs, trusts, log_skin if bare else None, least)
    if log_color is None:
        none = np.zeros(stacked.shape[:2], np.float32)
        return HairEvidence(none, _BROWN, none)
    size = stacked.shape[0]
    sides = stacked[..., 1] + _OTHER_SIDE * stacked[:, ::-1, 1]  # where this side is hardly seen the other one decides
    both = stacked[..., 0] * stacked[..., 1] + _OTHER_SIDE * stacked[:, ::-1, 0] * stacked[:, ::-1, 1]
    agreed = np.minimum(both / np.maximum(sides, 1e-6) * (0.5 / _SOME_VOTES), 1.0)
    mean, support = masked_lowpass(agreed[..., None], np.minimum(sides, 1.0), size / 60.0)
    sure = np.clip(support * 2.0, 0.0, 1.0)
    under_hats = all(hair.hidden for hair in hairs)
    unseen = smoothstep(*_UNDER_HATS, stacked[..., 2]) if under_hats else stacked[..., 2]
    if balding and not under_hats:
        unseen = unseen * _behind(mean[..., 0], (sides > _VOTED) & (stacked[..., 2] > 0.5))
    cover = (sure * mean[..., 0] + (1.0 - sure) * unseen) * stacked[..., 3]
    chart = to_image(np.ones((len(scalp), 1), np.float32))[..., 0]
    cover = _one_piece(cover, stacked[..., 2])
    ragged = _SMOOTH_UNDER_HATS if under_hats else _SMOOTH
    smooth, _ = masked_lowpass(cover[..., None], chart, size / ragged)  # labels are ragged, hair lines hardly
    hair = (smooth > 0.5).astype(np.float32)
    soft, _ = masked_lowpass(hair, chart, size / 150.0)
    thick, _ = masked_lowpass(hair, chart, size / _THINNING)
    return HairEvidence(soft[..., 0], log_color, thick[..., 0])


def hair_colour(
    hairs: Sequence[PhotoHair], trusts: Sequence[float], log_skin: np.ndarray | None = None, least_share: float = 0.5
) -> np.ndarray | None:
    """Logarithm (3,) of the hair's linear albedo, None for a bald head.

    With ``log_skin`` (3,), which is given where most photos show bare skin on top of the head, shine and background
    beside it that look like hair to the parsing are told from a ring of hair: ``least_share`` of the photos must show a
    colour that hair has and this skin has not, and nearly the same.
    Photos in which headgear hides the hair say nothing of its amount.
    """
    amount = _typical_amount(hairs, trusts)
    if (amount is not None and amount < SOME_HAIR) or _shaved(hairs):
        return None
    seen = [
        (hair, trust)
        for hair, trust in zip(hairs, trusts, strict=True)
        if hair.log_color is not None and not _of_a_bright_hat(hair)
    ]
    known = [(hair.log_color, trust) for hair, trust in seen if not _of_a_blue_band(hair)]
    if log_skin is not None:
        sure = [(color, trust) for color, trust in known if _hair_not_skin(color, log_skin)]
        if sure:
            levels, of_sure = np.array([(color.mean(), trust) for color, trust in sure]).T
            level = weighted_median(levels[:, None], of_sure)[0]
            sure = [(color, trust) for color, trust in sure if abs(color.mean() - level) < _ALIKE]
        telling = sum(trust for hair, trust in zip(hairs, trusts, strict=True) if not hair.hidden)
        if sum(trust for _, trust in sure) < least_share * telling:
            return None
        known = sure or known
    if not known:  # the band says where hair is, not how it looks
        return natural_hair(_BROWN) if seen else None
    natural = [(color, trust) for color, trust in known if coloured_naturally(_less_yellow(color))]
    color = _middle(natural or known)
    grey = [(own, trust) for own, trust in natural if _is_grey(own)]
    if color.mean() > _BRIGHT and sum(t for _, t in grey) > _GREY_PHOTOS * sum(t for _, t in natural):
        color = _middle(grey)
    if not natural and color.mean() > _BROWN.mean():  # of a lamp or a dye, which say nothing of the hair
        color = _BROWN
    return natural_hair(color)


def _typical_amount(hairs: Sequence[PhotoHair], trusts: Sequence[float]) -> float | None:
    """The median amount of hair, None where headgear hides it in all photos."""
    telling = [(hair.amount, trust) for hair, trust in zip(hairs, trusts, strict=True) if not hair.hidden]
    if not telling:
        return None
    amounts, weights = np.array(telling, np.float64).T
    return float(weighted_median(amounts[:, None], weights)[0])


def _less_yellow(log_color: np.ndarray) -> np.ndarray:
    """A colour (3,) with as much blue as the yellowest hair has: lamps take it away, and small pictures."""
    return np.array([*log_color[:2], max(log_color[2], log_color[1] - _YELLOWEST)])


def _middle(colors: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
    """(3,) medians of colours (3,) with their weights: of two that weigh nearly the same, their mean."""
    values, weights = np.stack([color for color, _ in colors]), np.array([weight for _, weight in colors])
    return 0.5 * (weighted_quantile(values, weights, 0.45) + weighted_quantile(values, weights, 0.55))


def _of_a_bright_hat(hair: PhotoHair) -> bool:
    """Whether what is called hair beside a hat is brighter than skin, above dark brows: then it is the hat's."""
    look = hair.scalp
    return hair.hidden and look is not None and look.brighter > 0 and look.brows > _DARK_BROWS


def _of_a_blue_band(hair: PhotoHair) -> bool:
    """Whether what is called hair beside headgear has that one's blue; white hair may be blue in the shade."""
    blue = hair.log_color[2] - hair.log_color[0] > _BLUE
    return hair.hidden and bool(blue and hair.log_color.mean() < _BRIGHT)


def _shaved(hairs: Sequence[PhotoHair]) -> bool:
    """Whether what most photos call hair is a shaved scalp: little, smooth and as bright as skin, above dark brows."""
    looks = [
        (hair.amount, hair.scalp.brighter, hair.scalp.contrast, hair.scalp.brows)
        for hair in hairs
        if hair.scalp is not None and not hair.hidden
    ]
    if not looks:
        return False
    amount, brighter, contrast, brows = np.median(looks, axis=0)
    return bool(amount < _SHAVED_AMOUNT and brighter > _SHAVED and contrast < _SMOOTH_SCALP and brows > _DARK_BROWS)


def _hair_not_skin(log_color: np.ndarray, log_skin: np.ndarray) -> bool:
    """Whether a colour (3,) is one that hair has, and much darker than skin (3,) or grey: what is as light as skin and
    has a colour is skin that shines."""
    if not coloured_naturally(log_color):
        return False
    return _is_grey(log_color) or bool(log_skin.mean() - log_color.mean() > _DARKER)


def _is_grey(log_color: np.ndarray) -> bool:
    """Whether a colour (3,) has as little chroma as grey and white hair."""
    return bool(np.linalg.norm(log_color - log_color.mean()) < _GREY)


def coloured_naturally(log_color: np.ndarray) -> bool:
    """Whether a colour (3,) is near one that hair has; a headband's is not."""
    chroma, natural = (color - color.mean() for color in (log_color, natural_hair(log_color)))
    return bool(np.linalg.norm(chroma - natural) <= _UNNATURAL)


def _behind(hair: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(S, S) in [0, 1], 0 on top of the head behind bare skin, 1 behind hair and elsewhere: ``hair`` (S, S) of the
    nearest place on top that is ``seen`` (S, S) bool, or of the mirrored place's, whichever has more."""
    places = (np.arange(len(hair)) + 0.5) / len(hair)
    top = smoothstep(*_TOP_ROWS, places)[:, None] * smoothstep(*_TOP_COLUMNS, np.abs(places - 0.5))
    seen = seen & (top > 0.5)
    if not seen.any():
        return np.ones_like(hair)
    _, nearest = cv2.distanceTransformWithLabels(
        (~seen).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(int(nearest.max()) + 1, hair.dtype)
    of_label[nearest[seen]] = hair[seen]
    own = of_label[nearest]
    return 1.0 - top * (1.0 - np.maximum(own, own[:, ::-1]))


def _one_piece(cover: np.ndarray, scalp: np.ndarray) -> np.ndarray:
    """(S, S) float32 0 or 1: hair without islands on the face or a bald top, and without holes between the hair line
    and the scalp."""
    size = cover.shape[0]
    hair = (cover > 0.45).astype(np.uint8)
    for operation, radius in (
        (cv2.MORPH_OPEN, size // 100),
        (cv2.MORPH_CLOSE, size // 24),
        (cv2.MORPH_OPEN, size // 60),
    ):
        hair = cv2.morphologyEx(hair, operation, disc(radius))
    _, pieces = cv2.connectedComponents(hair)
    kept = np.unique(pieces[(scalp > 0.9) & (hair > 0)])
    areas = np.bincount(pieces.ravel())
    kept = kept[areas[kept] > _LEAST_PIECE * areas[kept].max(initial=0)]
    return (np.isin(pieces, kept) & (hair > 0)).astype(np.float32)
