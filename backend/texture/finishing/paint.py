"""Turn log skin albedo into the whole texture: cavities, mouth interior, eyes, teeth, tongue and lashes."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from backend.fitting.fitted_face import FittedFace
from backend.geometry.noise import fractal_noise
from backend.geometry.smoothstep import smoothstep
from backend.geometry.template import Template
from backend.parallel import each
from backend.rig.measure import eye_sphere
from backend.texture.delighting.skin_tone import HAEMOGLOBIN_DENSITY
from backend.texture.finishing.settings import FINISHING
from backend.texture.inpainting.skin import InpaintedSkin
from backend.texture.parts import mouth
from backend.texture.parts.eye_colours import EyeColours
from backend.texture.parts.eyes import lash_line, lid_shadow, paint_eyeball
from backend.texture.unwrapping.atlas import SurfaceAtlas, pieces
from backend.texture.unwrapping.head_surface import HeadSurface, TextureSpace


def finish_skin(
    surface: HeadSurface,
    space: TextureSpace,
    log_skin: np.ndarray,
    inpainted: InpaintedSkin,
    opening: np.ndarray,
    cover: np.ndarray,
) -> np.ndarray:
    """Darken cavities in the composed skin (P, 3). Returns linear albedo (P, 3).

    cover : (S, S), 1 where photos show the skin; cavities there keep the photos' colour.
    opening : (V,) of ``ambient_occlusion.openness``.
    """
    atlas = space.skin
    fields = np.concatenate([opening[:, None], surface.regions["nose"][:, None], inpainted.log_skin], 1)
    unseen = 1.0 - atlas.gather_small(cover)

    def finish(texels: slice) -> np.ndarray:
        other = atlas.part(texels).sample(fields)
        return np.exp(_paint_cavities(log_skin[texels], other[:, 0], other[:, 1], unseen[texels], other[:, 2:]))

    return np.concatenate(each(finish, pieces(len(atlas.texel))))


def paint_parts(
    canvas: np.ndarray,
    template: Template,
    surface: HeadSurface,
    space: TextureSpace,
    fitted: FittedFace,
    inpainted: InpaintedSkin,
    positions: np.ndarray,
    eyes: EyeColours,
) -> None:
    """Fill the other charts of ``canvas`` (R, R, 3) linear, in place: mouth interior, sockets, neck, and all parts."""
    flat = canvas.reshape(-1, 3)
    log_lips = np.median(inpainted.log_skin, axis=0) - HAEMOGLOBIN_DENSITY - 0.12
    regions = surface.regions
    lips = positions[regions["lips"] > 0.5]
    masks = [regions[name][:, None] for name in ("mouth_interior", "eye_sockets", "neck")]
    inner = space.inner.sample(np.concatenate([positions, *masks, inpainted.log_skin], 1))  # (P, 9)
    lip_depth = float(np.percentile(lips[:, 2], 90)) - inner[:, 2]
    painted = _paint_inner(inner[:, :3], inner[:, 3], inner[:, 4], inner[:, 5], lip_depth, inner[:, 6:], log_lips)
    flat[space.inner.texel] = _blend_seams(painted, flat[space.skin.texel], surface, space, positions)
    for name, atlas in space.parts.items():
        points = atlas.sample(fitted.neutral)
        if name.startswith("eye"):
            centre = eye_sphere(template, fitted.neutral, int(name == "eye_right"))[0].astype(np.float32)
            colour = paint_eyeball(points - centre, eyes.iris, 5 if name == "eye_left" else 6, eyes.white)
            lids = positions[regions["lids_left" if name == "eye_left" else "lids_right"] > 0.3]
            colour = colour * lid_shadow(points, lids, float(centre[1]))[:, None]
        elif name.startswith("teeth"):
            colour = mouth.paint_teeth(points, upper=name == "teeth_upper")
        elif name == "tongue":
            colour = mouth.paint_tongue(points)
        else:
            colour = mouth.paint_lashes(points)
        flat[atlas.texel] = colour


def paint_lash_lines(
    skin: np.ndarray,
    atlas: SurfaceAtlas,
    template: Template,
    surface: HeadSurface,
    fitted: FittedFace,
    positions: np.ndarray,
) -> np.ndarray:
    """Linear albedo (P, 3) of the skin, darkened along the lash lines; skin (P, 3), positions (V, 3) neutral."""
    result = skin.copy()
    regions = np.stack([surface.regions[f"lids_{side}"] for side in ("left", "right")], 1)
    lids = atlas.sample(regions)
    for column in (0, 1):
        used = np.flatnonzero(lids[:, column] > 0.1)
        near = atlas.part(used)
        centre, radius = eye_sphere(template, fitted.neutral, column)
        skin_of_lids = positions[regions[:, column] > 0.3]
        result[used] *= lash_line(near.sample(positions), skin_of_lids, centre.astype(np.float32), radius)[:, None]
    return result


def _blend_seams(
    inner: np.ndarray, skin: np.ndarray, surface: HeadSurface, space: TextureSpace, positions: np.ndarray
) -> np.ndarray:
    """Linear albedo (P, 3) of the small charts, blended into the skin's colour at their seams. No line then shows along
    the lips or in an eye's corner at any texture size.

    inner : (P, 3) of the small charts, skin : (P', 3) of the face's. positions : (V, 3) neutral, metres.
    """
    count = surface.lift.shape[0]
    colour, weight = space.skin.splat(skin, np.ones(len(skin)), count)
    within = np.unique(surface.triangles[~surface.main])
    seam = np.intersect1d(within, np.flatnonzero(weight > 0))
    distance, nearest = cKDTree(positions[seam]).query(positions[within])
    fields = np.zeros((count, 4))
    fields[within, 0] = smoothstep(FINISHING.seam_reach, 0.0, distance)
    fields[within, 1:] = colour[seam[nearest]]
    fields = space.inner.sample(fields)  # (P, 4)
    return inner + fields[:, :1] * (fields[:, 1:] - inner)


def _nostril() -> np.ndarray:
    """(3,) log albedo of a nostril minus that of the surrounding skin."""
    return -FINISHING.nostril_haemoglobin * HAEMOGLOBIN_DENSITY - FINISHING.nostril_shade


def _paint_cavities(
    log_albedo: np.ndarray, openness: np.ndarray, nose: np.ndarray, unseen: np.ndarray, log_skin: np.ndarray
) -> np.ndarray:
    """Paint nostrils dark red and darken occluded skin, where no photo shows them: log albedo (P, 3).

    openness, nose (mask), unseen : (P,) in [0, 1].
    """
    result = log_albedo.astype(np.float32)
    used = np.flatnonzero((openness < 0.5) & (unseen > 0.01))
    openness, nose, unseen = openness[used], nose[used], unseen[used]
    inside = (smoothstep(0.30, 0.08, openness) * smoothstep(0.3, 0.7, nose) * unseen)[:, None]
    closed = (0.35 * smoothstep(0.5, 0.1, openness) * (1.0 - nose) * unseen)[:, None]
    dark = log_skin[used] + _nostril()
    result[used] = (result[used] - closed) * (1 - inside) + dark * inside
    return result


def _paint_inner(
    positions: np.ndarray,
    mouth: np.ndarray,
    sockets: np.ndarray,
    neck: np.ndarray,
    lip_depth: np.ndarray,
    log_skin: np.ndarray,
    log_lips: np.ndarray,
) -> np.ndarray:
    """Linear albedo (P, 3) of the head's small charts: mouth interior, eye sockets, front of the neck, nostrils.

    Parameters
    ----------
    positions : (P, 3) neutral, metres. mouth, sockets, neck : (P,) masks; texels outside all three are nostrils.
    lip_depth : (P,) metres behind the lips. log_skin : (P, 3) base there; log_lips : (3,).
    """
    mottle = 1.0 + 0.05 * fractal_noise(positions, 0.004, 3, 91)[:, None]
    depth = smoothstep(0.002, 0.030, lip_depth)[:, None]
    front = 0.5 * np.exp(log_lips) + 0.5 * np.array(FINISHING.mouth_front)
    throat = smoothstep(*FINISHING.throat_depth, lip_depth)[:, None]
    inside = front * (1 - depth) + np.array(FINISHING.mouth_back) * depth
    inside = (inside * (1 - throat) + np.array(FINISHING.throat) * throat) * mottle
    skin = np.exp(log_skin + 0.02 * fractal_noise(positions, 0.002, 3, 92)[:, None])
    socket = np.exp(log_skin - 0.8 * HAEMOGLOBIN_DENSITY - 0.4)
    nostril = np.exp(log_skin + _nostril())
    other = np.clip(1.0 - mouth - sockets - neck, 0.0, 1.0)[:, None]
    shares = (mouth[:, None], sockets[:, None], neck[:, None], other)
    total = np.maximum(sum(shares), 1e-6)
    mixed = inside * shares[0] + socket * shares[1] + skin * shares[2] + nostril * shares[3]
    return (mixed / total).astype(np.float32)
