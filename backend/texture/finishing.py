"""The last steps of the texture: all bands of the skin become one log albedo, and that the whole texture with its
cavities, eyes, lashes and the mouth's inside.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree

from backend.fitting.stages import FittedFace
from backend.geometry.robust_statistics import robust_deviation
from backend.geometry.template import Template
from backend.geometry.vectors import smoothstep
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rendering.interpolate import sample_image
from backend.rig.measure import eye_sphere
from backend.system.files import ASSETS, made_once
from backend.system.parallel import each
from backend.texture.blending import SolvedDetail
from backend.texture.delighting import HAEMOGLOBIN_DENSITY
from backend.texture.eyes import painted_eye
from backend.texture.parts import GRAIN, Scalp, skin_noise, with_roots
from backend.texture.surface import HeadSurface, SurfaceAtlas, TextureSpace, channel_mean

MOUTH_PATH = ASSETS / "mouth.png"
"""The lowest rows of map ``Head``: teeth with gum, tongue, palate and throat, shaded as deep as they lie; sRGB."""
_LASHES = np.uint8([32, 26, 22])  # sRGB


@dataclass(frozen=True)
class FinishingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    cavity_haemoglobin: float = 0.8
    """Units of ``skin_tone.HAEMOGLOBIN_DENSITY``, 0 to 2: extra redness of a nostril and of an eye's socket."""
    nostril_shade: float = 1.5
    """Log units, 0.5 to 3: extra darkness of a nostril, which is a cavity."""
    seam_reach: float = 0.006
    """Metres, 0.002 to 0.015: width of the blend between skin and an eye socket or the mouth interior. It is two mesh
    edges, the shortest usable transition."""


FINISHING = FinishingSettings()


_ALL_SHOWN = 0.99  # share from which the photos' own detail is all; noise is slow


def compose_skin(
    atlas: SurfaceAtlas, detail: SolvedDetail, fine: np.ndarray, log_base: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    """Smooth skin, solved detail, finer detail and synthetic pores: log albedo (P, 3) at the atlas's texels.

    Parameters
    ----------
    fine : (P, 3) of ``fine_band``; the result is written over it, which saves 140 MB at 4 k.
    log_base : (V, 3) smooth skin. positions : (V, 3) neutral, metres.
    """
    seen = channel_mean(fine)[atlas.gather_small(detail.cover) > _ALL_SHOWN]
    grain = np.hypot(detail.grain, robust_deviation(seen) if len(seen) else 0.0).astype(np.float32)

    def compose(texels: slice) -> None:
        part = atlas.part(texels)
        where = part.sample(positions)
        own, other = (part.gather_small(image)[:, None] for image in (detail.cover, detail.mirrored))
        across = part.across()
        shown = own * fine[texels] + other * np.where(across[:, None] < 0, 0, fine[texels][across])
        unseen = np.flatnonzero(own + other < _ALL_SHOWN)
        shown[unseen] += (1.0 - own - other)[unseen] * grain * skin_noise(where[unseen])
        fine[texels] = part.sample(log_base) + part.gather_small(detail.solved) + shown

    each(compose, atlas.bands())
    return fine


def finish_skin(
    surface: HeadSurface, atlas: SurfaceAtlas, log_skin: np.ndarray, log_base: np.ndarray, opening: np.ndarray,
    cover: np.ndarray, scalp: Scalp | None = None,
) -> np.ndarray:  # fmt: skip
    """Paint nostrils, and the roots of a scalp's hair, into the composed skin (P, 3) at an atlas's texels, which may be
    a part of the head's. Returns linear albedo (P, 3).

    cover : (S, S), 1 where photos show the skin; cavities there keep the photos' colour.
    opening : (V,) of ``delighting.openness``.
    """
    fields = atlas.sample(np.concatenate([opening[:, None], surface.regions["nose"][:, None], log_base], 1))
    if scalp is not None:
        log_skin = with_roots(log_skin, atlas.sample(scalp.shade[:, None])[:, 0], scalp.log_color)
    unseen = 1.0 - atlas.gather_small(cover)
    return np.exp(_paint_nostrils(log_skin, fields[:, 0], fields[:, 1], unseen, fields[:, 2:]))


def paint_parts(
    canvas: np.ndarray, skin: Callable[[np.ndarray | slice], np.ndarray], template: Template, surface: HeadSurface,
    space: TextureSpace, fitted: FittedFace, log_base: np.ndarray, positions: np.ndarray, eyes: np.ndarray,
) -> None:  # fmt: skip
    """Fill the charts of ``canvas`` (R, R, 3) uint8 sRGB, in place: the skin, mouth interior, sockets, neck, and all
    parts. ``skin`` : linear albedo (P, 3) of those of the skin's texels: all at once have 140 MB at 4 k. ``eyes`` : of
    ``eye_picture``."""
    flat = canvas.reshape(-1, 3)

    def paint_skin(texels: slice) -> None:
        flat[space.skin.texel[texels]] = srgb_bytes(skin(texels))

    each(paint_skin, space.skin.bands())
    masks = [surface.regions[name][:, None] for name in ("mouth_interior", "eye_sockets", "neck")]
    inner = space.inner.sample(np.concatenate([positions, *masks, log_base], 1))  # (P, 9)
    within = linear_from_srgb(_mouth_at(space.inner))
    painted = _paint_inner(inner[:, :3], within, inner[:, 3], inner[:, 4], inner[:, 5], inner[:, 6:])
    flat[space.inner.texel] = srgb_bytes(_blend_seams(painted, skin, surface, space, positions))
    for name, atlas in space.parts.items():
        if name.startswith("eye"):
            eye = int(name == "eye_right")
            centre = eye_sphere(template, fitted.neutral, eye)[0]
            offsets = atlas.sample(fitted.neutral - centre)
            flat[atlas.texel] = painted_eye(eyes, offsets, float(template.eye_radius), left=eye == 0)
        else:
            flat[atlas.texel] = _LASHES if name == "lashes" else _mouth_at(atlas)


@made_once
def _mouth_picture() -> np.ndarray:
    with Image.open(MOUTH_PATH) as picture:
        return np.asarray(picture)


def _mouth_at(atlas: SurfaceAtlas) -> np.ndarray:
    """(P, 3) uint8 sRGB of the mouth's inside at an atlas's texels."""
    picture = _mouth_picture()
    row, column = np.divmod(atlas.texel, atlas.resolution)
    scale = picture.shape[1] / atlas.resolution
    below = (row + 0.5 - atlas.resolution) * scale + len(picture)
    return sample_image(picture, np.stack([(column + 0.5) * scale, below], 1))


def _blend_seams(
    inner: np.ndarray, skin: Callable[[np.ndarray], np.ndarray], surface: HeadSurface, space: TextureSpace,
    positions: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Linear albedo (P, 3) of the small charts, blended into the skin's colour at their seams. No line then shows along
    the lips or in an eye's corner at any texture size.

    inner : (P, 3) of the small charts, skin : of some of the face's texels. positions : (V, 3) neutral, metres.
    """
    count = surface.lift.shape[0]
    within = np.unique(surface.triangles[~surface.main])
    near = space.skin.touching(np.bincount(within, minlength=count) > 0)
    colour, weight = space.skin.part(near).splat(skin(near), np.ones(len(near)), count)
    seam = np.intersect1d(within, np.flatnonzero(weight > 0))
    distance, nearest = cKDTree(positions[seam]).query(positions[within])
    fields = np.zeros((count, 4))
    fields[within, 0] = smoothstep(FINISHING.seam_reach, 0.0, distance)
    fields[within, 1:] = colour[seam[nearest]]
    fields = space.inner.sample(fields)  # (P, 4)
    return inner + fields[:, :1] * (fields[:, 1:] - inner)


_NOSTRIL = -FINISHING.cavity_haemoglobin * HAEMOGLOBIN_DENSITY - FINISHING.nostril_shade
"""(3,) log albedo of a nostril minus that of the surrounding skin."""


def _paint_nostrils(
    log_albedo: np.ndarray, openness: np.ndarray, nose: np.ndarray, unseen: np.ndarray, log_skin: np.ndarray
) -> np.ndarray:
    """Paint nostrils dark red where no photo shows them: log albedo (P, 3).

    openness, nose (mask), unseen : (P,) in [0, 1].
    """
    result = log_albedo.astype(np.float32)
    used = np.flatnonzero((openness < 0.3) & (unseen > 0.0))
    inside = smoothstep(0.3, 0.08, openness[used]) * nose[used] * unseen[used]
    result[used] += inside[:, None] * (log_skin[used] + _NOSTRIL - result[used])
    return result


def _paint_inner(
    positions: np.ndarray, inside: np.ndarray, mouth: np.ndarray, sockets: np.ndarray, neck: np.ndarray,
    log_skin: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Linear albedo (P, 3) of the head's small charts: mouth interior, eye sockets, front of the neck, nostrils.

    Parameters
    ----------
    positions : (P, 3) neutral, metres. inside : (P, 3) of the mouth. mouth, sockets, neck : (P,) masks; texels outside
    all three are nostrils. log_skin : (P, 3) base there.
    """
    skin = np.exp(log_skin + GRAIN * skin_noise(positions))
    socket = np.exp(log_skin - FINISHING.cavity_haemoglobin * HAEMOGLOBIN_DENSITY - 0.4)
    nostril = np.exp(log_skin + _NOSTRIL)
    other = np.clip(1.0 - mouth - sockets - neck, 0.0, 1.0)[:, None]
    shares = (mouth[:, None], sockets[:, None], neck[:, None], other)
    total = np.maximum(sum(shares), 1e-6)
    mixed = inside * shares[0] + socket * shares[1] + skin * shares[2] + nostril * shares[3]
    return (mixed / total).astype(np.float32)
