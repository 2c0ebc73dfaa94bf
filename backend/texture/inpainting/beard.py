"""Inpaint the beard: where it grows, how dark its bristles are, and how it continues where unseen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.geometry.robust_statistics import weighted_quantile
from backend.geometry.smoothstep import smoothstep
from backend.geometry.surface_fields import SurfaceOperators, smooth_field
from backend.photos.collection import FaceClass
from backend.texture.delighting.consensus import Consensus
from backend.texture.inpainting.settings import INPAINTING
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import HeadSurface, usual_weight
from backend.texture.unwrapping.photo_selection import TexturePhoto
from backend.texture.unwrapping.unwrap import DARKEST

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
