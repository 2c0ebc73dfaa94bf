"""Delit albedo of a fitted face: photographs in, one texture in UV map ``Head`` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from backend.fitting.fitted_face import FittedFace
from backend.geometry.normals import vertex_normals
from backend.geometry.surface_fields import surface_operators
from backend.geometry.template import Template
from backend.hair.hair_strands import HairStrands
from backend.photos.collection import PhotoFace
from backend.progress import ProgressReporter, silent
from backend.rendering.color import srgb_bytes
from backend.texture.blending.frequency_bands import fine_band, middle_band, personal_prior
from backend.texture.delighting.ambient_occlusion import openness
from backend.texture.delighting.consensus import agree
from backend.texture.delighting.light import solve_base
from backend.texture.delighting.skin_tone import estimate_tone
from backend.texture.finishing.compose import compose_skin
from backend.texture.finishing.paint import finish_skin, paint_everything_else, paint_lash_lines
from backend.texture.inpainting.fill import pigment_prior
from backend.texture.inpainting.skin import make_up
from backend.texture.parts.brows import brow_place, hidden_brows, paint_brows, seen_darkness, without_brows
from backend.texture.parts.eye_colours import find_eyes
from backend.texture.parts.scalp import scalp_below, shown_beside_hair, with_roots
from backend.texture.unwrapping.head_surface import head_surface, texels_per_metre, texture_space
from backend.texture.unwrapping.photo_selection import plain_skin, survey_photos

SURVEY_SIZE = 1024
_STAGE = "texture"


@dataclass(frozen=True)
class AlbedoResult:
    """The texture.

    Attributes
    ----------
    albedo : (R, R, 3) uint8 sRGB, row 0 is the top (v = 1) of UV map ``Head``; all parts, no holes, charts padded.
    coverage : (R, R) float32 in [0, 1]: 1 where photos show the skin, 0 where it was made up.
    iris : (3,) linear-light colour of the irises.
    """

    albedo: np.ndarray
    coverage: np.ndarray
    iris: np.ndarray


def build_albedo(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    resolution: int,
    strands: HairStrands | None = None,
    progress: ProgressReporter = silent,
) -> AlbedoResult:
    """Make the albedo texture of a fitted face.

    Parameters
    ----------
    template : the face's template. fitted : the fit. faces : the photos that the fit used, found by name.
    resolution : edge of the texture in texels, at least 256.
    strands : the hair, which is no part of the texture: the scalp below it is bare skin with the shade of roots.
    progress : told about stage "texture".

    Raises
    ------
    ValueError : the resolution is too small, or a fitted photo has no face.
    errors.Cancelled : when ``progress`` raised it.
    """
    if resolution < 256:
        raise ValueError(f"resolution must be at least 256, not {resolution}")
    progress(_STAGE, 0.0)
    surface = head_surface(template)
    survey_size = min(SURVEY_SIZE, resolution)
    survey_space = texture_space(template, survey_size)
    cage = fitted.neutral[: surface.count].astype(np.float64)
    positions = surface.lifted(cage)  # (V, 3)
    opening = openness(cage, surface.cage_triangles, vertex_normals(cage, surface.cage_triangles))
    opening = surface.lifted(opening)
    scalp = scalp_below(strands, positions)
    density = texels_per_metre(surface, positions, survey_size)
    photos = survey_photos(surface, survey_space, fitted, faces, opening, density)
    progress(_STAGE, 0.3)
    landmarks = template.landmarks478.positions(fitted.neutral)
    where = survey_space.skin.sample(positions)
    brows, darkness = brow_place(where, landmarks), None
    paints_brows = hidden_brows(brows, where[:, 0], photos)
    if paints_brows:
        darkness = seen_darkness(brows, photos)
        photos = [without_brows(photo, survey_space.skin) for photo in photos]
    samples = [photo.samples for photo in photos]

    tone = estimate_tone(samples, fitted.vertex_albedo, plain_skin(surface)[: surface.count])
    operators = surface_operators(cage, surface.cage_triangles)
    pigment = np.clip(1.0 - 0.8 * surface.regions["neck"] - 0.5 * surface.regions["ears"], 0.0, 1.0)[: surface.count]
    base = solve_base(samples, tone, operators, surface.mirror, pigment)
    grows = survey_space.skin.sample(scalp.grows[:, None])[:, 0]
    photos = [replace(photo, shown=shown_beside_hair(photo.unwrap.weight, grows)) for photo in photos]
    agreement = agree(surface, survey_space.skin, photos, base, operators, tone)
    made_up = make_up(surface, survey_space.skin, photos, scalp.grows, agreement, operators, tone, positions, density)
    progress(_STAGE, 0.45)
    middle = middle_band(surface, survey_space, photos, agreement, scalp.grows, positions, density)
    grey_only = all(photo.colourless for photo in samples)
    prior = pigment_prior(surface.regions).astype(np.float32)
    prior = personal_prior(surface, survey_space.skin, middle, prior, grey_only)
    progress(_STAGE, 0.55)

    space = texture_space(template, resolution)
    full_density = density * resolution / survey_size
    fine = fine_band(space.skin, photos, middle, agreement, full_density)
    progress(_STAGE, 0.75)
    log_skin = compose_skin(
        surface, survey_space.skin, space.skin, middle, fine, made_up, prior, positions, full_density, grey_only
    )
    if paints_brows:
        place = brow_place(space.skin.sample(positions), landmarks)
        log_skin = paint_brows(log_skin, space.skin, positions, place, scalp.log_color, darkness)
    log_skin = with_roots(log_skin, space.skin.sample(scalp.grows[:, None])[:, 0], scalp.log_color)
    progress(_STAGE, 0.85)

    seen = cv2.resize(middle.cover, (resolution, resolution), interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((resolution, resolution, 3), np.float32)
    skin = finish_skin(surface, space, log_skin, made_up, opening, seen)
    skin = paint_lash_lines(skin, space.skin, template, surface, fitted, positions)
    canvas.reshape(-1, 3)[space.skin.texel] = skin
    eyes = find_eyes(photos, tone)
    paint_everything_else(canvas, template, surface, space, fitted, made_up, positions, eyes)
    progress(_STAGE, 0.95)

    albedo = srgb_bytes(canvas).reshape(-1, 3)[space.gutter].reshape(resolution, resolution, 3)
    progress(_STAGE, 1.0)
    return AlbedoResult(albedo, seen, eyes.iris)
