"""From log skin to the whole texture: hair on the scalp, cavities, eyes, teeth, tongue and lashes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.fitting.fitted_face import FittedFace
from backend.geometry.template import Template
from backend.rendering.spherical_harmonics import shade
from backend.texture import mouth
from backend.texture.complete import paint_cavities, paint_inner
from backend.texture.delight import DelitBase
from backend.texture.eyes import iris_colour, iris_sample, lid_shadow, paint_eyeball
from backend.texture.hair import HairEvidence, hair_evidence, paint_hair, photo_hair
from backend.texture.surface import HeadSurface, TextureSpace
from backend.texture.survey import SurveyedPhoto
from backend.texture.tone import HAEMOGLOBIN_DENSITY
from backend.texture.unwrap import smoothstep


def find_iris(photos: Sequence[SurveyedPhoto], base: DelitBase) -> np.ndarray:
    """(3,) linear-light iris colour out of the photos that show one in colour."""
    samples = []
    for photo, light in zip(photos, base.lights, strict=True):
        if photo.samples.monochrome:
            continue
        forward = photo.fit.camera.centre() - photo.view.vertices.mean(0)
        forward = np.array([0.0, 0.0, 1.0]) + forward / max(float(np.linalg.norm(forward)), 1e-9)
        falling = np.maximum(shade((forward / np.linalg.norm(forward))[None], light)[0], 0.05)
        sample = iris_sample(photo.face, falling)
        if sample is not None:
            samples.append((sample[0], sample[1] * photo.samples.trust))
    return iris_colour(samples)


def find_hair(
    surface: HeadSurface,
    space: TextureSpace,
    photos: Sequence[SurveyedPhoto],
    base: DelitBase,
    positions: np.ndarray,
    brow_height: float,
) -> HairEvidence:
    """Where the scalp carries hair and of what colour, at survey size; brow_height in metres."""
    atlas = space.skin
    regions = surface.regions
    # hair grows on the scalp, and on what is high on the face or beside it; what hangs lower is not painted
    high = smoothstep(brow_height + 0.022, brow_height + 0.034, positions[:, 1])
    beside = smoothstep(0.054, 0.064, np.abs(positions[:, 0])) * smoothstep(
        brow_height - 0.03, brow_height + 0.005, positions[:, 1]
    )
    allowed = np.maximum.reduce([regions["scalp"], regions["face"] * high, regions["face"] * beside])
    allowed = allowed * (1.0 - regions["ears"]) * (1.0 - regions["neck"])
    stacked = atlas.sample(np.stack([regions["scalp"], allowed], 1))
    return hair_evidence(
        [photo_hair(photo.face, light) for photo, light in zip(photos, base.lights, strict=True)],
        [photo.unwrap for photo in photos],
        [photo.samples.trust for photo in photos],
        stacked[:, 0],
        stacked[:, 1],
        atlas.image,
    )


def finish_skin(
    surface: HeadSurface,
    space: TextureSpace,
    log_skin: np.ndarray,
    log_base: np.ndarray,
    hair: HairEvidence,
    hair_cover: np.ndarray,
    opening: np.ndarray,
    positions: np.ndarray,
    cover: np.ndarray,
) -> np.ndarray:
    """Hair and cavities over the composed skin (P, 3): linear albedo (P, 3).

    cover : (R, R) where photos show the skin; there a cavity is as dark as they say.
    hair_cover : (R, R) at this size. opening : (V,) of ``occlusion.openness``. log_base, positions : (V, 3).
    """
    atlas = space.skin
    where = atlas.sample(positions)
    other = atlas.sample(np.stack([opening, surface.regions["nose"]], 1))
    unseen = 1.0 - atlas.gather(cover)
    log_skin = paint_cavities(log_skin, other[:, 0], other[:, 1], unseen, atlas.sample(log_base))
    log_skin = paint_hair(log_skin, where, atlas.gather(hair_cover), hair.log_color)
    return np.exp(log_skin)


def paint_everything_else(
    canvas: np.ndarray,
    template: Template,
    surface: HeadSurface,
    space: TextureSpace,
    fitted: FittedFace,
    log_base: np.ndarray,
    positions: np.ndarray,
    iris: np.ndarray,
) -> None:
    """Fill the other charts of ``canvas`` (R, R, 3) linear, in place: mouth's inside, sockets, neck, and all parts."""
    flat = canvas.reshape(-1, 3)
    log_lips = np.median(log_base, axis=0) - HAEMOGLOBIN_DENSITY - 0.12
    regions = surface.regions
    lips = positions[regions["lips"] > 0.5]
    masks = [regions[name][:, None] for name in ("mouth_interior", "eye_sockets", "neck")]
    inner = space.inner.sample(np.concatenate([positions, *masks, log_base], 1))  # (P, 9)
    lip_depth = float(np.percentile(lips[:, 2], 90)) - inner[:, 2]
    flat[space.inner.texel] = paint_inner(
        inner[:, :3], inner[:, 3], inner[:, 4], inner[:, 5], lip_depth, inner[:, 6:], log_lips
    )
    for name, atlas in space.parts.items():
        points = atlas.sample(fitted.neutral)
        if name.startswith("eye"):
            part = template.parts[name]
            centre = _eye_centre(fitted.neutral[part.vertex_start : part.vertex_stop])
            colour = paint_eyeball(points - centre, iris, seed=5 if name == "eye_left" else 6)
            lids = positions[regions["lids_left" if name == "eye_left" else "lids_right"] > 0.3]
            colour = colour * lid_shadow(points, lids, float(centre[1]))[:, None]
        elif name.startswith("teeth"):
            colour = mouth.paint_teeth(points, upper=name == "teeth_upper")
        elif name == "tongue":
            colour = mouth.paint_tongue(points)
        else:
            colour = mouth.paint_lashes(points)
        flat[atlas.texel] = colour


def _eye_centre(vertices: np.ndarray) -> np.ndarray:
    """(3,) centre of the sphere that fits an eyeball's vertices (V, 3) best (linear least squares)."""
    points = vertices.astype(np.float64)
    design = np.concatenate([2.0 * points, np.ones((len(points), 1))], 1)
    solution = np.linalg.lstsq(design, (points**2).sum(1), rcond=None)[0]
    return solution[:3].astype(np.float32)
