"""Choose the photo that gives each texel its detail: one photo per feature, the best one elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from backend.geometry.disc import disc
from backend.geometry.smoothstep import smoothstep
from backend.parallel import each
from backend.rig.arkit import ARKIT_INDEX
from backend.texture.blending.settings import BLENDING

# expression weights that change a feature's look; photos without these expressions are preferred
_DISTURBING: Mapping[str, tuple[tuple[str, float], ...]] = {
    "eye_left": (
        ("browInnerUp", 0.4), ("browOuterUpLeft", 0.5), ("browDownLeft", 0.5), ("eyeBlinkLeft", 1.2),
        ("eyeSquintLeft", 0.5), ("eyeWideLeft", 0.3), ("mouthSmileLeft", 0.3),
    ),
    "eye_right": (
        ("browInnerUp", 0.4), ("browOuterUpRight", 0.5), ("browDownRight", 0.5), ("eyeBlinkRight", 1.2),
        ("eyeSquintRight", 0.5), ("eyeWideRight", 0.3), ("mouthSmileRight", 0.3),
    ),
    "lips": (
        ("jawOpen", 1.5), ("mouthSmileLeft", 0.7), ("mouthSmileRight", 0.7), ("mouthPucker", 1.0),
        ("mouthFunnel", 1.0), ("mouthRollUpper", 0.7), ("mouthRollLower", 0.7),
    ),
    "nose": (("noseSneerLeft", 0.7), ("noseSneerRight", 0.7), ("mouthSmileLeft", 0.3), ("mouthSmileRight", 0.3)),
}  # fmt: skip


@dataclass(frozen=True)
class PhotoScore:
    """Inputs of view selection for one photo: ``weight`` (S, S) and ``cosine`` (S, S) in UV, ``deviation`` (S, S) from
    the other photos in log units, ``pixels_per_metre``, ``quality`` 0-1, ``expression`` (52,)."""

    weight: np.ndarray
    cosine: np.ndarray
    deviation: np.ndarray
    pixels_per_metre: float
    quality: float
    expression: np.ndarray


def neutrality(expression: np.ndarray, feature: str) -> float:
    """1 for a feature at rest, falling towards 0 as the expression changes its look."""
    return float(np.exp(-2.0 * sum(w * expression[ARKIT_INDEX[name]] for name, w in _DISTURBING[feature])))


def rest_weights(photos: Sequence[PhotoScore], features: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """(S, S) float32 per photo: 1 outside the features (S, S), lower within a feature that this photo's expression
    changes more than the calmest photo's does. Averaging a raised with a lowered brow would make a thick one."""
    result = [np.ones_like(photo.weight) for photo in photos]
    for name, mask in features.items():
        rests = np.array([neutrality(photo.expression, name) for photo in photos])
        for image, rest in zip(result, rests / rests.max(), strict=True):
            image *= 1.0 - mask * np.float32(1.0 - rest)
    return result


def detail_weights(photos: Sequence[PhotoScore], features: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Blending weights for fine detail.

    Parameters
    ----------
    features : feature (a name as in ``_DISTURBING``) -> (S, S) soft mask in [0, 1].

    Returns
    -------
    One (S, S) float32 per photo. They sum to 1 where any photo has weight; a photo without weight gets 0.
    """
    size = photos[0].weight.shape[0]
    blur = size / 100.0
    strength = [
        (0.25 + 0.75 * p.quality) * float(np.clip(p.pixels_per_metre / BLENDING.enough_density, 0.02, 1.0))
        for p in photos
    ]
    scores = each(
        lambda p, s: cv2.GaussianBlur(p.weight * np.maximum(p.cosine, 0.05) * np.float32(s), (0, 0), blur),
        photos,
        strength,
    )
    first = int(np.argmax([float(score.sum()) for score in scores]))
    scores[first] = scores[first] * BLENDING.prefer_first  # reduces borders between photos
    best = np.maximum.reduce(scores)
    for name, mask in features.items():
        total = float(mask.sum())
        if total <= 0:
            continue
        values = []
        for photo, s in zip(photos, strength, strict=True):
            shown = float((mask * photo.weight).sum()) / total
            frontal = float((mask * photo.weight * photo.cosine).sum()) / max(total * shown, 1e-9)
            deviating = float((mask * photo.weight * photo.deviation).sum()) / max(total * shown, 1e-9)
            preferred = BLENDING.prefer_first if len(values) == first else 1.0
            values.append(
                preferred * s * shown**3 * frontal * neutrality(photo.expression, name) * np.exp(-deviating / 0.1)
            )
        chosen = int(np.argmax(values))
        if values[chosen] <= 0:
            continue
        strict = 0.9 if name == "nose" else 1.0  # eyes and lips: from one photo alone
        scores = [
            score * (1.0 - strict * mask) if i != chosen else score * (1.0 - mask) + mask * np.maximum(score, best)
            for i, score in enumerate(scores)
        ]
    most = max(float(best.max()), 1e-9)
    sharpened = each(lambda score: _sharpened(np.maximum(score, 0.0) / most), scores)
    total = np.maximum(sum(sharpened), 1e-30)
    weights = each(
        lambda own, p: cv2.GaussianBlur(own / total, (0, 0), size / 200.0) * smoothstep(0.02, 0.3, p.weight),
        sharpened,
        photos,
    )
    total = sum(weights)
    return [(w / np.maximum(total, 1e-6) * (total > 1e-6)).astype(np.float32) for w in weights]


def _sharpened(score: np.ndarray) -> np.ndarray:
    """The eighth power, so that the best photo gets nearly all the weight. Three squarings are faster than ``power``,
    which takes logarithms."""
    squared = score * score
    squared *= squared
    squared *= squared
    return squared


def coverage(weights: Sequence[np.ndarray], fine: Sequence[np.ndarray]) -> np.ndarray:
    """(S, S) float32 in [0, 1]: confidence that the photo chosen for a texel's detail shows bare face there."""
    total = sum(w * smoothstep(0.03, 0.35, shown) for shown, w in zip(weights, fine, strict=True))
    return np.clip(total, 0.0, 1.0).astype(np.float32)


def without_slivers(cover: np.ndarray, density: float) -> np.ndarray:
    """Cover (S, S) in [0, 1] without strips narrower than twice ``BlendingSettings.sliver``. Such a strip is the common
    rim of two unseen places and would stand out as a line. density : texels per metre."""
    radius = max(1, round(BLENDING.sliver * density))
    broad = cv2.GaussianBlur(cv2.morphologyEx(cover, cv2.MORPH_OPEN, disc(radius)), (0, 0), 1.0)
    return np.minimum(cover, broad)
