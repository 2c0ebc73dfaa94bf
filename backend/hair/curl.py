"""How hair curls: a classifier of photos by the statistics of the lines in their hair, and helices about guides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.special import softmax

from backend.geometry.vectors import disc, unit_vectors
from backend.hair.hair_strands import MOST_POINTS
from backend.system.assets import ASSETS
from backend.system.files import read_table

PIXELS_PER_METRE = 600.0
"""Scale at which hair is looked at: a head fills 130 pixels, as in a small press photo."""
_LINES, _AROUND = (1.0, 2.0, 4.0), (2.0, 5.0, 10.0, 20.0)
"""Pixels: standard deviations of the filters that see lines, and of the surroundings over which directions are
compared (3 to 33 mm)."""
_SHADE = 6.0
"""Pixels: shading and highlights are wider than this, 1 cm, and not lines."""
_EDGES = (3, 6)
"""Pixels: radii of discs that the outline is opened and closed with."""
_LEAST_HAIR = 400
"""Pixels: with less hair (11 square centimetres) a photo says nothing."""
_SURE = 0.5
"""Least probability that hair curls at least so much for it to be taken to: unsure hair is the straighter one."""
_PER_TURN = 6
"""Points per turn of a helix: four represent it, six make it round."""
_ALIKE = 0.02
"""Metres over which locks curl alike."""
_UNEVEN = 0.3
"""Share by which the radius of curls differs from lock to lock."""


@dataclass(frozen=True)
class Curl:
    """A helix about a guide: ``radius`` and ``pitch`` in metres. ``stands`` : hair stands off the scalp, unparted."""

    name: str
    radius: float
    pitch: float
    stands: bool = False


CURLS = (
    Curl("straight", 0.0, 0.1),
    Curl("wavy", 0.005, 0.09),
    Curl("curly", 0.008, 0.035),
    Curl("coily", 0.0025, 0.009, stands=True),
)
"""What the classifier tells apart, the straightest first."""


@dataclass(frozen=True)
class Style:
    """A hairstyle that the user may choose.

    Attributes
    ----------
    radial, ahead, aside : strengths of combing away from the crown, to the front (to the back where negative) and to
        the sides. tied : whether hair runs to the back of the head. rope : metres across a lock that stays as wide to
        its tip; 0 for locks that get narrower.
    """

    radial: float = 0.8
    ahead: float = 0.0
    aside: float = 0.15
    curl: Curl = CURLS[0]
    tied: bool = False
    rope: float = 0.0


STYLES = {
    "buzz": Style(),
    "crew": Style(ahead=0.4),
    "side part": Style(0.45, -0.3, 1.7),
    "slicked back": Style(0.1, -0.9, 0.1),
    "quiff": Style(0.1, -0.75, 0.4),
    "forward crop": Style(0.6, 0.7),
    "messy": Style(ahead=0.2, curl=Curl("messy", 0.003, 0.09)),
    "mop": Style(),
    "pixie": Style(aside=0.9),
    "bob": Style(0.4, 0.0, 1.2),
    "long straight": Style(0.3, 0.0, 1.35),
    "long wavy": Style(0.35, 0.0, 1.15, CURLS[1]),
    "long behind the ears": Style(0.25, -0.4, 0.9),
    "tied back": Style(0.05, -0.25, tied=True),
    "afro short": Style(curl=CURLS[3]),
    "afro": Style(curl=CURLS[3]),
    "curls": Style(curl=CURLS[2]),
    "long curls": Style(aside=0.8, curl=CURLS[2]),
    "locs": Style(aside=0.5, rope=0.0095),
}
"""By name, as ``choices.HAIR_STYLES``; without ``shaved`` (no hair) and ``balding`` (combed like the photos)."""


def curl_features(pixels: np.ndarray, hair: np.ndarray, pixels_per_metre: float) -> np.ndarray | None:
    """(F,) float32 statistics of the lines in a picture's hair; None where there is too little of it.

    Coherence of the structure tensor (Bigun and Granlund 1987) for lines of several widths over surroundings of several
    sizes, energies of these lines, lines along the outline, and the outline's raggedness. Straight hair runs alike over
    centimetres, curls only over their own size, coils nowhere.

    pixels : (H, W, 3) uint8. hair : (H, W) in [0, 1]. pixels_per_metre : at the head.
    """
    scale = PIXELS_PER_METRE / pixels_per_metre
    size = tuple(max(1, round(side * scale)) for side in hair.shape[::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    mask = cv2.resize(hair.astype(np.float32), size, interpolation=how)
    there = (mask > 0.5).astype(np.uint8)
    inner = cv2.erode(there, np.ones((5, 5), np.uint8)).astype(np.float32)
    if inner.sum() < _LEAST_HAIR:
        return None
    light = np.log(cv2.cvtColor(cv2.resize(pixels, size, interpolation=how), cv2.COLOR_RGB2GRAY).astype(np.float32) + 8)
    shade = cv2.GaussianBlur(light * there, (0, 0), _SHADE) / np.maximum(
        cv2.GaussianBlur(there * 1.0, (0, 0), _SHADE), 1e-3
    )
    light, whole = light - shade.astype(np.float32), inner.sum()
    rim = cv2.GaussianBlur(mask, (0, 0), 3.0)
    across = np.arctan2(cv2.Sobel(rim, cv2.CV_32F, 0, 1), cv2.Sobel(rim, cv2.CV_32F, 1, 0))
    near = inner * (cv2.erode(there, disc(8)) == 0)
    found: list[float] = []
    for sigma in _LINES:
        smooth = _within(light, there, sigma)
        dx, dy = (sigma * cv2.Sobel(smooth, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
        tensor = np.stack([dy * dy - dx * dx, -2 * dx * dy, dx * dx + dy * dy], -1) * inner[..., None]
        energy = float(tensor[..., 2].sum() / whole)
        found.append(np.log(energy + 1e-5))
        for around in _AROUND:
            mean = cv2.GaussianBlur(tensor, (0, 0), around)
            found.append(
                float((np.hypot(mean[..., 0], mean[..., 1]) * inner).sum() / ((mean[..., 2] * inner).sum() + 1e-9))
            )
        along = -(tensor[..., 0] * np.cos(2 * across) + tensor[..., 1] * np.sin(2 * across)) * near
        found.append(float(along.sum() / ((tensor[..., 2] * near).sum() + 1e-9)))
        total = tensor[..., 2].sum() + 1e-9
        found += [float(tensor[..., 0].sum() / total), float(abs(tensor[..., 1].sum()) / total)]
    found[8], found[16] = found[8] - found[0], found[16] - found[0]  # energies relative to the finest
    for radius in _EDGES:
        for kind in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE):
            found.append(
                float(
                    np.abs(cv2.morphologyEx(there, kind, disc(radius)).astype(float) - there).sum() / there.sum() ** 0.5
                )
            )
    return np.array(found, np.float32)


@dataclass(frozen=True)
class CurlClassifier:
    """Two layers: ``mean``, ``scale`` (F,), ``hidden`` (F + 1, H), ``out`` (H + 1, 4); last rows are biases."""

    mean: np.ndarray
    scale: np.ndarray
    hidden: np.ndarray
    out: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(..., 4) of ``CURLS`` for features (..., F)."""
        x = np.clip((features - self.mean) / self.scale, -3, 3)
        x = np.tanh(x @ self.hidden[:-1] + self.hidden[-1])
        return softmax(x @ self.out[:-1] + self.out[-1], axis=-1)


@cache
def curl_classifier() -> CurlClassifier:
    """The classifier that ``trainer.methods.curl`` trained."""
    data = read_table(ASSETS / "curl.npz")
    return CurlClassifier(*(data[name] for name in ("mean", "scale", "hidden", "out")))


def surely(probabilities: np.ndarray) -> Curl:
    """The curliest of ``CURLS`` that hair with ``probabilities`` (4,) has at least, with ``_SURE``."""
    at_least = np.cumsum(probabilities[::-1])[::-1]
    return CURLS[int(np.flatnonzero(at_least >= _SURE).max())]


def find_curl(seen: Sequence[tuple[float, np.ndarray | None]]) -> Curl:
    """How the hair of a look's photos curls, from each photo's trust and ``curl_features``."""
    told = [(trust, curl_classifier().probabilities(each)) for trust, each in seen if each is not None]
    if not told:
        return CURLS[0]
    trust, each = (np.array(part) for part in zip(*told, strict=True))
    return surely(trust @ each / trust.sum())


def curled(guides: np.ndarray, curl: Curl, seed: int = 0) -> np.ndarray:
    """Guides (G, P, 3), metres, as helices about themselves; resampled to the points that these need, at most
    ``MOST_POINTS``: longer guides have wider turns."""
    if curl.radius == 0:
        return guides
    length = np.linalg.norm(np.diff(guides, axis=1), axis=-1).sum(1)
    count = int(np.clip(_PER_TURN * np.percentile(length, 90) / curl.pitch, guides.shape[1], MOST_POINTS))
    place = np.linspace(0, guides.shape[1] - 1, count)
    low = np.minimum(place.astype(int), guides.shape[1] - 2)
    t = (place - low)[:, None]
    points = guides[:, low] * (1 - t) + guides[:, low + 1] * t
    step = np.linalg.norm(np.diff(points, axis=1), axis=-1)
    along = np.concatenate([np.zeros((len(points), 1)), np.cumsum(step, 1)], 1)
    tangent = unit_vectors(np.gradient(points, axis=1))
    side = unit_vectors(np.cross(points - points[:, :1].mean(0), tangent))
    up = np.cross(tangent, side)
    random = np.random.default_rng(seed)
    pitch = np.maximum(curl.pitch, _PER_TURN * length[:, None] / count) * random.uniform(0.85, 1.2, (len(points), 1))
    wave = random.normal(0, 1 / _ALIKE, (3, 1))  # neighbours curl alike
    start = 0.3 * random.random((len(points), 1)) + points[:, 0] @ wave
    angle = 2 * np.pi * (start + along / pitch)
    radius = curl.radius * random.uniform(1 - _UNEVEN, 1 + _UNEVEN, (len(points), 1)) * np.clip(along / pitch, 0, 1)
    return points + side * (radius * np.sin(angle))[..., None] + up * (radius * np.cos(angle))[..., None]
