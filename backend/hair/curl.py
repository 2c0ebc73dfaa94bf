"""How hair curls: told by the lines in a photo's hair, and drawn as helices about guides; hairstyles to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from backend.geometry.vectors import unit_vectors
from backend.hair.hair_strands import MOST_POINTS

PIXELS_PER_METRE = 600.0
"""Scale at which hair is looked at: a head fills 130 pixels, as in a small press photo."""
_LINES, _AROUND = (1.0, 4.0), (5.0, 10.0)
"""Pixels: standard deviations of the filters that see fine and coarse lines, and of the surroundings over which their
directions are compared."""
_SHADE = 6.0
"""Pixels: shading and highlights are wider than this, 1 cm, and not lines."""
_LEAST_HAIR = 400
"""Pixels: with less hair (11 square centimetres) a photo says nothing."""
_STRAIGHT, _COILY, _CURLY, _SMOOTH = 0.50, 0.45, 0.36, 0.65
"""Coherence of fine lines from which hair is straight, and below which it is coily or curly; and of coarse lines above
which curls are coils. Hair between is wavy: the milder error where lines are unsure. Of 156 official portraits drawn at
random (public domain) 29 % lie below the second and 6 % below the third, about as many as have curls. Felt by
``evaluate hair --curl``."""
_CROP = 0.615
"""Coherence of fine lines in low hair below which it is a crop and stands: official portraits (public domain), labelled
by eye, of eleven crops and twelve thin, combed heads. Felt by ``evaluate hair --low``."""
_SHARP, _CLEAR = 2.9, 1.5
"""Least contrast of fine lines relative to that of coarse ones, and to that of the skin's texture and the photo's
noise, of hair that may curl: blur and compression leave directions without lines, and slick hair has none. Tied hair in
press photos has 2.3 to 2.6 of the first, what shines on a bald top 0.8 of the second, curls that are found 2.9 to 5.3
and 1.8 to 6.5. Felt by ``evaluate hair --curl``."""
_PER_TURN = 6
"""Points per turn of a helix: four represent it, six make it round."""
_ALIKE = 0.02
"""Metres over which locks curl alike."""
_UNEVEN = 0.3
"""Share by which the radius of curls differs from lock to lock."""


@dataclass(frozen=True)
class Curl:
    """A helix about a guide: ``radius`` and ``pitch`` in metres. ``upright`` : hair stands off the scalp, unparted."""

    name: str
    radius: float
    pitch: float
    upright: bool = False


CURLS = (
    Curl("straight", 0.0, 0.1),
    Curl("wavy", 0.005, 0.09),
    Curl("curly", 0.008, 0.035),
    Curl("coily", 0.0025, 0.009, upright=True),
)
"""What the classifier tells apart, the straightest first."""


LONG_COILS, STUBBLE = CURLS[2], Curl("stubble", 0.0, 0.1, upright=True)
"""Coils that fall below the ears, and hair of a few millimetres."""


@dataclass(frozen=True)
class Style:
    """A hairstyle that the user may choose.

    Attributes
    ----------
    radial, ahead, aside : strengths of combing away from the crown, to the front (to the back where negative) and to
        the sides. tied : whether hair is gathered behind. rope : metres across a lock that stays as wide to
        its tip; 0 for locks that get narrower.
    """

    radial: float = 0.8
    ahead: float = 0.0
    aside: float = 0.15
    curl: Curl = CURLS[0]
    tied: bool = False
    rope: float = 0.0


_BACKWARDS, _APART = Style(0.1, -0.9, 0.1), Style(0.4, 0.0, 1.2)
STYLES = {
    "buzz": Style(),
    "crew": Style(ahead=0.4),
    "side part": Style(0.45, -0.3, 1.7),
    "slicked back": _BACKWARDS,
    "quiff": _BACKWARDS,
    "forward crop": Style(0.6, 0.7),
    "messy": Style(ahead=0.4, curl=CURLS[1]),
    "mop": Style(),
    "pixie": Style(aside=1.0),
    "bob": _APART,
    "long straight": _APART,
    "long wavy": replace(_APART, curl=CURLS[1]),
    "long behind the ears": Style(0.25, -0.4, 1.0),
    "tied back": Style(0.0, -0.25, tied=True),
    "afro short": Style(curl=CURLS[3]),
    "afro": Style(curl=CURLS[3]),
    "curls": Style(curl=CURLS[2]),
    "long curls": Style(aside=1.0, curl=CURLS[2]),
    "locs": Style(aside=0.5, rope=0.0095),
}
"""By the names that the user chooses from; without ``shaved`` (no hair) and ``balding`` (combed like the photos)."""


def line_statistics(
    pixels: np.ndarray, hair: np.ndarray, skin: np.ndarray, pixels_per_metre: float
) -> np.ndarray | None:
    """(4,) how alike the fine and the coarse lines in a picture's hair run, 0 to 1, and the contrast of the fine ones
    relative to the coarse ones and to the skin's; None where it has too little hair.

    The mean coherence of the structure tensor (Bigun and Granlund 1987) of the log luminance, without shading, over
    surroundings of 1 to 2 cm. Straight hair runs alike in both; curls in neither; coils are too fine for coarse lines.
    Contrasts are medians of the gradient; without skin the last is infinite.

    pixels : (H, W, 3) uint8. hair, skin : (H, W) in [0, 1]. pixels_per_metre : at the head.
    """
    scale = PIXELS_PER_METRE / pixels_per_metre
    size = tuple(max(1, round(side * scale)) for side in hair.shape[::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.cvtColor(cv2.resize(pixels, size, interpolation=how), cv2.COLOR_RGB2GRAY)
    light = np.log(small.astype(np.float32) + 8.0)

    def gradients(mask: np.ndarray, sigmas: Sequence[float]) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        there = (cv2.resize(mask.astype(np.float32), size, interpolation=how) > 0.5).astype(np.uint8)
        inner = cv2.erode(there, np.ones((5, 5), np.uint8)).astype(np.float32)
        detail = light - _within(light, there, _SHADE)
        smooth = [_within(detail, there, sigma) for sigma in sigmas]
        return inner, [tuple(cv2.Sobel(x, cv2.CV_32F, *order) for order in ((1, 0), (0, 1))) for x in smooth]

    inner, lines = gradients(hair, _LINES)
    if inner.sum() < _LEAST_HAIR:
        return None
    alike = []
    for dx, dy in lines:
        tensor = np.stack([dy * dy - dx * dx, -2 * dx * dy, dx * dx + dy * dy], -1) * inner[..., None]
        means = (cv2.GaussianBlur(tensor, (0, 0), around) * inner[..., None] for around in _AROUND)
        alike.append(np.mean([np.hypot(x[..., 0], x[..., 1]).sum() / (x[..., 2].sum() + 1e-6) for x in means]))
    fine, coarse = (float(np.median(np.hypot(*each)[inner > 0])) for each in lines)
    inner, (texture,) = gradients(skin, _LINES[:1])
    noise = float(np.median(np.hypot(*texture)[inner > 0])) if inner.any() else 0.0
    return np.array([*alike, fine / max(coarse, 1e-9), fine / noise if noise else np.inf])


def _within(picture: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """A picture (H, W) smoothed within a mask (H, W), float32."""
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)
    return cv2.GaussianBlur(picture * mask, (0, 0), sigma) / np.maximum(share, 1e-3)


def find_curl(seen: Sequence[np.ndarray | None], low: bool = False) -> Curl:
    """How the hair of a look's photos, the leading one first, curls: from the median of their ``line_statistics``, of
    an even number without the last; straight where none tells or fine lines are too faint. ``low`` hair stands where
    its fine lines run every way."""
    told = [each for each in seen if each is not None]
    if not told:
        return CURLS[0]
    fine, coarse, sharp, clear = np.median(told[: len(told) - 1 + len(told) % 2], axis=0)
    sure = sharp > _SHARP and clear > _CLEAR
    if sure and fine < _COILY and coarse > _SMOOTH:
        return CURLS[3]
    if sure and fine < _CURLY:
        return CURLS[2]
    if low and fine < _CROP:
        return STUBBLE
    return CURLS[1 if sure and fine < _STRAIGHT and coarse <= _SMOOTH else 0]


def curled(guides: np.ndarray, curl: Curl, seed: int = 0) -> np.ndarray:
    """Guides (G, P, 3), metres, as helices about themselves; resampled to the points that these need, at most
    ``MOST_POINTS``: longer guides have wider turns."""
    if curl.radius == 0:
        return guides
    length = np.linalg.norm(np.diff(guides, axis=1), axis=-1).sum(1)
    count = int(np.clip(_PER_TURN * np.percentile(length, 90) / curl.pitch, guides.shape[1], MOST_POINTS))
    points = resampled_to(guides, count)
    step = np.linalg.norm(np.diff(points, axis=1), axis=-1)
    along = np.concatenate([np.zeros((len(points), 1)), np.cumsum(step, 1)], 1)
    tangent = unit_vectors(np.gradient(points, axis=1))
    out = points - points[:, :1].mean(0) + np.array([1e-4, 0.0, 3e-5])  # a side for strands straight away from the head
    side = unit_vectors(np.cross(out, tangent))
    up = np.cross(tangent, side)
    random = np.random.default_rng(seed)
    pitch = np.maximum(curl.pitch, _PER_TURN * length[:, None] / count) * random.uniform(0.85, 1.2, (len(points), 1))
    wave = random.normal(0, 1 / _ALIKE, (3, 1))  # neighbours curl alike
    start = 0.3 * random.random((len(points), 1)) + points[:, 0] @ wave
    angle = 2 * np.pi * (start + along / pitch)
    radius = curl.radius * random.uniform(1 - _UNEVEN, 1 + _UNEVEN, (len(points), 1)) * np.clip(along / pitch, 0, 1)
    return points + side * (radius * np.sin(angle))[..., None] + up * (radius * np.cos(angle))[..., None]


def resampled_to(lines: np.ndarray, count: int) -> np.ndarray:
    """Lines (G, P, 3) resampled to ``count`` points each, by linear interpolation."""
    place = np.linspace(0, lines.shape[1] - 1, count)
    low = np.minimum(place.astype(int), lines.shape[1] - 2)
    t = (place - low)[:, None]
    return lines[:, low] * (1 - t) + lines[:, low + 1] * t
