"""How hair curls: drawn as helices about guides; hairstyles to choose from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backend.geometry.vectors import unit_vectors
from backend.hair.hair_strands import MOST_POINTS
from backend.models.hair_kind import HairKind

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
"""The straightest first."""
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


def curl_of(kind: HairKind | None, low: bool = False) -> Curl:
    """How hair of a kind curls: likeliest; straight where no kind is known. ``low`` hair that is cut to millimetres
    stands."""
    if kind is None:
        return CURLS[0]
    if low and kind.probability("length", "shaved", "buzz") > 0.5:
        return STUBBLE
    return next((curl for curl in CURLS if curl.name == kind.value("curl")), CURLS[3])  # locs are coils, too


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
