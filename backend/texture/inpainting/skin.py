"""Smooth skin for poorly seen places, extrapolated from the well-seen face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.geometry.noise import fractal_noise, gradient_noise
from backend.geometry.normals import vertex_normals
from backend.geometry.smoothstep import smoothstep
from backend.geometry.surface_fields import SurfaceOperators, smooth_field
from backend.photos.collection import FaceClass
from backend.texture.delighting.consensus import Consensus
from backend.texture.inpainting.beard import beard_votes, with_beard
from backend.texture.inpainting.colour_limits import limited_difference
from backend.texture.inpainting.confidence import confidence
from backend.texture.inpainting.settings import INPAINTING
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import HeadSurface, image_at_cage
from backend.texture.unwrapping.photo_selection import TexturePhoto, plain_skin
from backend.texture.unwrapping.settings import UNWRAPPING


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
