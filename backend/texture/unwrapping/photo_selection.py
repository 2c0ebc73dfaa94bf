"""Photo selection: choose the photos that the texture uses, and compute each one's trust and visible skin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.smoothstep import smoothstep
from backend.parallel import each
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import LUMINANCE
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.hats import above_eyes, clear_of_hat, wears_hat
from backend.texture.unwrapping.head_surface import HeadSurface, TextureSpace, usual_weight
from backend.texture.unwrapping.screening import TexelRegions, screen, texel_regions
from backend.texture.unwrapping.settings import UNWRAPPING
from backend.texture.unwrapping.unwrap import PhotoUnwrap, SurfaceView, unwrap_photo, view_surface
from backend.texture.unwrapping.vertex_samples import PhotoSamples, colour_spread, shading, shading_contrast

_BARE = (FaceClass.SKIN, FaceClass.NECK, FaceClass.EARS)


@dataclass(frozen=True)
class PhotoInView:
    """``face``, ``view`` and ``samples`` of a ``TexturePhoto``: enough to sample the photo again without its texels."""

    face: PhotoFace
    view: SurfaceView
    samples: PhotoSamples


@dataclass(frozen=True)
class TexturePhoto:
    """One photo as a texture source; V subdivided vertices of the head.

    Attributes
    ----------
    face, fit : the inputs.
    view : positions of the vertices in the photo.
    unwrap : the photo at the texels of the atlas of working size; grey photos have three equal channels.
    transfer : (V, 9), shading = transfer @ light.
    samples : its skin at the cage's vertices.
    shown : (P,) in [0, 1], how far the photo shows bare skin that belongs in the texture; once hair growth is known,
        only skin beside the hair (``scalp.shown_beside_hair``).
    bare : (P,) in [0, 1], texels where this person has no hair (``screening``).
    moved : (V,) in [0, 1], how far the expression moves plain skin from rest.
    below_hat : (V,) in [0, 1], skin above the eyes in a photo that shows a hat.
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
    below_hat: np.ndarray

    @property
    def in_view(self) -> PhotoInView:
        """The photo without its texels, which are tens of megabytes."""
        return PhotoInView(self.face, self.view, self.samples)


def choose_photos(fitted: FittedFace, faces: Sequence[PhotoFace]) -> list[tuple[PhotoFace, FittedPhoto]]:
    """The photos to use, most trusted first, at most ``UnwrappingSettings.max_photos``.

    Raises ``ValueError`` when a fitted photo's face is not among ``faces``, or the fit has no photo.
    """
    by_name = {face.name: face for face in faces}
    missing = [photo.name for photo in fitted.photos if photo.name not in by_name]
    if missing or not fitted.photos:
        raise ValueError(f"no face for fitted photos {missing}" if missing else "the fit has no photo")
    pairs = [(by_name[photo.name], photo) for photo in fitted.photos]
    order = sorted(range(len(pairs)), key=lambda i: (-photo_trust(*pairs[i]), i))
    return [pairs[i] for i in order[: UNWRAPPING.max_photos]]


def photo_trust(face: PhotoFace, fit: FittedPhoto) -> float:
    """Trust in a photo, above 0 and at most 1, from the fit's landmark error and the photo's quality."""
    fit_quality = float(np.exp(-max(fit.landmark_error_percent - 2.0, 0.0) / 4.0))
    return max((0.2 + 0.8 * face.quality.score) * fit_quality, 1e-3)


def trusted_share(photos: Sequence[TexturePhoto], shown: Sequence[bool]) -> float:
    """Trust-weighted share of the photos for which ``shown`` holds."""
    trusts = [photo.samples.trust for photo in photos]
    return sum(trust for trust, shows in zip(trusts, shown, strict=True) if shows) / max(sum(trusts), 1e-9)


def plain_skin(surface: HeadSurface) -> np.ndarray:
    """(V,) 1 on skin without lips, brows, lids, hair and cavities."""
    r = surface.regions
    other = np.maximum.reduce(
        [r["lips"], r["brows"], r["lids_left"], r["lids_right"], r["mouth_interior"], r["eye_sockets"], r["scalp"]]
    )
    return np.clip((r["face"] + r["neck"] + r["ears"]) * (1.0 - smoothstep(0.1, 0.5, other)), 0.0, 1.0)


def bare_skin(unwrap: PhotoUnwrap, plain: np.ndarray) -> np.ndarray:
    """(P,) in [0, 1], how far a texel is skin by the photo's labels and by ``plain`` (P,), ``plain_skin`` at texels.
    Lower at grazing angles, where colours are unreliable."""
    bare = smoothstep(0.3, 0.9, plain) * np.isin(unwrap.labels, _BARE)
    return bare * smoothstep(0.2, 0.6, unwrap.cosine)


def prepare_photos(
    surface: HeadSurface,
    space: TextureSpace,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    opening: np.ndarray,
    density: float,
) -> list[TexturePhoto]:
    """Choose the photos to use and project each onto the surface, most trusted first.

    Parameters
    ----------
    space : atlases at the working size, ``density`` texels per metre. opening : (V,) of ``ambient_occlusion.openness``.

    Raises
    ------
    ValueError : as ``choose_photos`` does.
    """
    chosen = choose_photos(fitted, faces)
    neutral = fitted.neutral[: surface.count].astype(np.float64)
    regions = texel_regions(surface, space.skin, plain_skin(surface), opening, surface.lifted(neutral), density)
    photos = each(
        lambda face, fit: prepare_photo(surface, space, face, fit, neutral, regions, density),
        *zip(*chosen, strict=True),
    )
    return prefer_soft_light(photos)


def prepare_photo(
    surface: HeadSurface,
    space: TextureSpace,
    face: PhotoFace,
    fit: FittedPhoto,
    neutral: np.ndarray,
    regions: TexelRegions,
    density: float,
) -> TexturePhoto:
    """Project one photo onto the surface, screen it, and sample its skin.

    Parameters
    ----------
    space : atlases at the working size. neutral : (C, 3) cage at rest.
    regions : masks at the texels of the atlas of working size. density : texels per metre at the working size.
    """
    cage = fit.vertices[: surface.count].astype(np.float64)
    view = view_surface(surface.lifted(cage), surface.triangles, fit.camera)
    unwrap = unwrap_photo(face, view, space.skin, density)
    bare = bare_skin(unwrap, regions.plain)
    spread = colour_spread(*surface.at_cage(space.skin, unwrap.linear, unwrap.weight * bare))
    coloured_light = spread > UNWRAPPING.coloured_light
    if face.monochrome:
        grey = unwrap.linear @ np.array(LUMINANCE, np.float32)
        unwrap = replace(unwrap, linear=np.repeat(grey[:, None], 3, axis=1))
    transfer = sh.basis(view.normals)
    lit = space.skin.sample(shading(transfer, fit.light.astype(np.float64)))
    screened = screen(unwrap, lit, regions, face.monochrome or coloured_light, space.skin, density)
    weight, below_hat = screened.weight, np.zeros(len(transfer))
    hat = wears_hat(unwrap, regions.scalp)
    if hat > 0.0:
        below_hat = hat * above_eyes(surface, surface.lifted(neutral))
        weight = weight * clear_of_hat(unwrap, space.skin.sample(below_hat[:, None])[:, 0])
    unwrap = replace(unwrap, weight=weight)
    skin, seen = surface.at_cage(space.skin, unwrap.linear, unwrap.weight * bare)
    typical = usual_weight(seen)
    lit_alike = 1.0 - below_hat[: surface.count]  # a hat's shade is no light of spherical harmonics
    samples = PhotoSamples(
        linear=skin,
        weight=np.clip(seen / typical, 0.0, 1.0) * (seen > 0.02 * typical) * lit_alike,
        transfer=transfer[: surface.count],
        light=fit.light.astype(np.float64),
        trust=photo_trust(face, fit),
        monochrome=face.monochrome,
        coloured_light=coloured_light,
    )
    strain = np.linalg.norm(cage - neutral, axis=1)
    moved = surface.lifted(smoothstep(0.0015, 0.007, strain)) * np.clip(plain_skin(surface), 0.0, 1.0)
    moved = moved.astype(np.float32)
    return TexturePhoto(
        face, fit, view, unwrap, transfer, samples, unwrap.weight, screened.bare, moved, below_hat.astype(np.float32)
    )


def prefer_soft_light(photos: Sequence[TexturePhoto]) -> list[TexturePhoto]:
    """Reduce the trust of photos under harder light than the softest one; a single photo stays unchanged."""
    softness = [1.0 / (1.0 + (shading_contrast(photo.samples) / UNWRAPPING.hard_light) ** 8) for photo in photos]
    shares = [own / max(softness) for own in softness]
    return [
        replace(photo, samples=replace(photo.samples, trust=photo.samples.trust * share))
        for photo, share in zip(photos, shares, strict=True)
    ]


def labelled_share(atlas: SurfaceAtlas, photos: Sequence[TexturePhoto], face_class: FaceClass) -> np.ndarray:
    """(S, S) in [0, 1], weighted share of the photos that label a texel ``face_class``."""
    votes = [p.samples.trust * p.unwrap.weight * (p.unwrap.labels == face_class) for p in photos]
    total = sum(p.samples.trust * p.unwrap.weight for p in photos)
    return atlas.image((sum(votes) / np.maximum(total, 1e-3)).astype(np.float32))
