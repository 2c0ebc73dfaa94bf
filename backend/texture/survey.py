"""The first look at every photo: which are used, how far they are trusted, and what their skin looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import LUMINANCE
from backend.texture.delight import PhotoSamples, shading
from backend.texture.screening import TexelRegions, screen
from backend.texture.surface import HeadSurface, TextureSpace
from backend.texture.unwrap import PhotoUnwrap, SurfaceView, unwrap_photo, view_surface

MAX_PHOTOS = 12
_BLOCKED = 0.0  # share of self-shadowing that is taken out as light
_BARE = (FaceClass.SKIN, FaceClass.NECK, FaceClass.EARS)


@dataclass(frozen=True)
class SurveyedPhoto:
    """One photo after the first look; V subdivided vertices of the head.

    Attributes
    ----------
    face, fit : what was given.
    view : where the vertices are in the photo.
    unwrap : the photo at the survey atlas's texels; grey photos with three equal channels.
    transfer : (V, 9), shading = transfer @ light.
    samples : its skin at the cage's vertices.
    shown : (P,) in [0, 1], how far the photo shows what the texture has there: bare skin, and once it is known where
        hair grows, hair (``hair.shown_with_hair``).
    bare : (P,) in [0, 1], texels where this person has no hair (``screening``).
    moved : (V,) in [0, 1], how far the expression has moved plain skin from where it is at rest.
    """

    face: PhotoFace
    fit: FittedPhoto
    view: SurfaceView
    unwrap: PhotoUnwrap
    transfer: np.ndarray
    samples: PhotoSamples
    shown: np.ndarray
    bare: np.ndarray
    moved: np.ndarray


def choose_photos(fitted: FittedFace, faces: Sequence[PhotoFace]) -> list[tuple[PhotoFace, FittedPhoto]]:
    """The photos to use, most trusted first, at most ``MAX_PHOTOS``.

    Raises ``ValueError`` when a fitted photo's face is not among ``faces``, or the fit has no photo.
    """
    by_name = {face.name: face for face in faces}
    missing = [photo.name for photo in fitted.photos if photo.name not in by_name]
    if missing or not fitted.photos:
        raise ValueError(f"no face for fitted photos {missing}" if missing else "the fit has no photo")
    pairs = [(by_name[photo.name], photo) for photo in fitted.photos]
    order = sorted(range(len(pairs)), key=lambda i: (-photo_trust(*pairs[i]), i))
    return [pairs[i] for i in order[:MAX_PHOTOS]]


def photo_trust(face: PhotoFace, fit: FittedPhoto) -> float:
    """How much a photo may say, above 0 and at most 1: the fit's weight, its landmark error, the photo's quality."""
    fit_quality = float(np.exp(-max(fit.landmark_error_percent - 2.0, 0.0) / 4.0))
    trust = float(np.clip(fit.weight, 0.0, 1.0)) * (0.2 + 0.8 * face.quality.score) * fit_quality
    return max(trust, 1e-3)


def plain_skin(surface: HeadSurface) -> np.ndarray:
    """(V,) 1 on skin without lips, brows, lids, hair and cavities."""
    r = surface.regions
    other = np.maximum.reduce(
        [r["lips"], r["brows"], r["lids_left"], r["lids_right"], r["mouth_interior"], r["eye_sockets"], r["scalp"]]
    )
    return np.clip((r["face"] + r["neck"] + r["ears"]) * (1.0 - smoothstep(0.1, 0.5, other)), 0.0, 1.0)


def survey_photo(
    surface: HeadSurface,
    space: TextureSpace,
    face: PhotoFace,
    fit: FittedPhoto,
    neutral: np.ndarray,
    blocked: np.ndarray,
    regions: TexelRegions,
    density: float,
) -> SurveyedPhoto:
    """Look at one photo.

    Parameters
    ----------
    space : atlases at survey size. neutral : (C, 3) cage at rest.
    blocked : (C, 9) of ``occlusion.blocked_transfer`` at the cage's vertices.
    regions : masks at the survey atlas's texels. density : texels per metre at survey size.
    """
    cage = fit.vertices[: surface.count].astype(np.float64)
    view = view_surface(surface.lifted(cage), surface.triangles, fit.camera)
    unwrap = unwrap_photo(face, view, space.skin, density)
    if face.monochrome:
        grey = unwrap.linear @ np.array(LUMINANCE, np.float32)
        unwrap = replace(unwrap, linear=np.repeat(grey[:, None], 3, axis=1))
    transfer = sh.basis(view.normals) - _BLOCKED * surface.lifted(blocked)
    lit = space.skin.sample(shading(transfer, fit.light.astype(np.float64)))
    screened = screen(unwrap, lit, regions, face.monochrome, space.skin, density)
    unwrap = replace(unwrap, weight=screened.weight)
    weight = unwrap.weight * smoothstep(0.3, 0.9, regions.plain) * np.isin(unwrap.labels, _BARE)
    weight = weight * smoothstep(0.2, 0.6, unwrap.cosine)  # grazing light and grazing views mislead
    mean, total = space.skin.splat(unwrap.linear, weight, len(view.vertices))  # (V, 3), (V,)
    cage_total = surface.lift.T @ total
    cage_mean = (surface.lift.T @ (mean * total[:, None])) / np.maximum(cage_total, 1e-9)[:, None]
    typical = float(np.median(cage_total[cage_total > 0])) if (cage_total > 0).any() else 1.0
    samples = PhotoSamples(
        linear=cage_mean,
        weight=np.clip(cage_total / typical, 0.0, 1.0) * (cage_total > 0.02 * typical),
        transfer=transfer[: surface.count],
        light=fit.light.astype(np.float64),
        trust=photo_trust(face, fit),
        monochrome=face.monochrome,
    )
    strain = np.linalg.norm(cage - neutral, axis=1)
    moved = surface.lifted(smoothstep(0.0015, 0.007, strain)) * np.clip(plain_skin(surface), 0.0, 1.0)
    return SurveyedPhoto(
        face, fit, view, unwrap, transfer, samples, unwrap.weight, screened.bare, moved.astype(np.float32)
    )
