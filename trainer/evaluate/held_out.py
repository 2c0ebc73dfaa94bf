"""Leave-one-out evaluation: choose photos of a person that are held out in turn from the reconstruction.

Compare a texture, under a held-out photo's light, with that photo at its visible texels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backend.errors import LikenessError
from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.fitting.options import fit_options_for
from backend.geometry.template import Template
from backend.hair.fit_hair import fit_hair
from backend.models.graph_albedo import GraphAlbedoModel
from backend.models.registry import open_models
from backend.photos.collection import PhotoFace
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.texture.albedo import AlbedoResult, build_albedo
from backend.texture.delighting import fit_light, matched_light
from backend.texture.surface import head_surface, texels_per_metre, texture_space, usual_weight
from backend.texture.unwrap import (
    DARKEST,
    PhotoSamples,
    PhotoUnwrap,
    bare_skin,
    plain_skin,
    shading,
    unwrap_photo,
    view_surface,
)
from trainer.evaluate.estimate import fit_with
from trainer.evaluate.harness import collected


@dataclass(frozen=True)
class FittedPerson:
    """One person's photos and their fit, and the names of photos to leave out in turn."""

    fitted: FittedFace
    faces: tuple[PhotoFace, ...]
    names: tuple[str, ...]


def fitted_person(photos: Sequence[Path], quality: str, most: int) -> FittedPerson:
    """Fit photos and choose at most ``most`` of those that the fit uses, evenly spread.

    Raises ``LikenessError`` where fewer than two photos are usable."""
    collection = collected(photos)
    fitted = fit_with(collection, fit_options_for(quality), open_models())
    names = tuple(fitted.photos[index].name for index in left_out(len(fitted.photos), most))
    return FittedPerson(fitted, collection.faces, names)


def left_out(count: int, most: int) -> list[int]:
    """Choose at most ``most`` of ``count`` photos, evenly spread. Raises ``LikenessError`` where there is only one."""
    if count < 2:
        raise LikenessError("no_photo", "There is only one usable photo.", "Leaving one out needs at least two.")
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()


SIZE = 1024
"""Side of the compared textures."""


@dataclass(frozen=True)
class HeldOutPhoto:
    """P texels of the head's atlas of size ``size``.

    Attributes
    ----------
    made, photo : (P, 3) log linear light of the texture under the photo's light, and of the photo; for black-and-white
        photos with three equal channels. covered : (P,) in [0, 1], coverage by the photos that the texture was made
        from.
        unwrap : the photo. bare : (P,) in [0, 1], weight of its visible plain skin.
    size : side of the atlas. density : its texels per metre. monochrome : whether the photo has no colour.
    """

    made: np.ndarray
    photo: np.ndarray
    covered: np.ndarray
    unwrap: PhotoUnwrap
    bare: np.ndarray
    size: int
    density: float
    monochrome: bool


@dataclass(frozen=True)
class WithoutPhoto:
    """One photo of a fit and its face; the fit with the other photos only, and their faces."""

    own: FittedPhoto
    face: PhotoFace
    others: FittedFace
    other_faces: tuple[PhotoFace, ...]


def without_photo(fitted: FittedFace, faces: Sequence[PhotoFace], name: str) -> WithoutPhoto:
    """Remove the photo ``name`` from a fit to at least two. faces : at least those of ``fitted.photos``."""
    own = next(photo for photo in fitted.photos if photo.name == name)
    face = next(face for face in faces if face.name == name)
    others = replace(fitted, photos=tuple(photo for photo in fitted.photos if photo.name != name))
    return WithoutPhoto(own, face, others, tuple(face for face in faces if face.name != name))


def held_out_photo(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    name: str,
    completion: GraphAlbedoModel | None = None,
) -> HeldOutPhoto:
    """Make the texture from all photos but ``name``, light it like that photo, and sample both.

    The head's shape, and the photo's pose, expression and camera, are from the fit to all photos, because only the
    texture is evaluated. The light is fitted to the photo's bare skin with the texture as its albedo.

    Parameters
    ----------
    faces : at least those of ``fitted.photos``. name : one of at least two.
    completion : network that corrects unseen skin; None: only rules.
    """
    split = without_photo(fitted, faces, name)
    strands = fit_hair(template, split.others, split.other_faces).strands
    result = build_albedo(template, split.others, split.other_faces, SIZE, strands, completion=completion)
    return beside_photo(template, fitted, split.own, split.face, result)


def beside_photo(
    template: Template, fitted: FittedFace, own: FittedPhoto, face: PhotoFace, texture: AlbedoResult
) -> HeldOutPhoto:
    """Compare ``texture``, of any size, under one photo's light with that photo."""
    size = len(texture.albedo)
    surface, atlas = head_surface(template), texture_space(template, size).skin
    positions = surface.lifted(fitted.neutral[: surface.count].astype(np.float64))
    density = texels_per_metre(surface, positions, size)
    view = view_surface(surface.lifted(own.vertices[: surface.count].astype(np.float64)), surface.triangles, own.camera)
    unwrap = unwrap_photo(face, view, atlas, density)
    albedo, linear = atlas.gather(linear_from_srgb(texture.albedo)), unwrap.linear
    if face.monochrome:
        albedo, linear = (
            np.repeat((values @ np.array(LUMINANCE, np.float32))[:, None], 3, axis=1) for values in (albedo, linear)
        )
    plain = atlas.sample(plain_skin(surface)[:, None])[:, 0]
    bare = unwrap.weight * bare_skin(unwrap, plain)
    skin, seen = surface.at_cage(atlas, linear, bare)
    skin_albedo = np.maximum(surface.at_cage(atlas, albedo, bare)[0], DARKEST)
    transfer = sh.basis(view.normals)  # (V, 9)
    samples = PhotoSamples(
        linear=skin,
        weight=np.clip(seen / usual_weight(seen), 0.0, 1.0),
        transfer=transfer[: surface.count],
        light=own.light.astype(np.float64),
        trust=1.0,
        monochrome=face.monochrome,
    )
    light = fit_light(samples, skin_albedo, matched_light(samples, skin_albedo))
    lit = atlas.sample(shading(transfer, light))
    return HeldOutPhoto(
        made=np.log(np.maximum(albedo * lit, DARKEST)),
        photo=np.log(np.maximum(linear, DARKEST)),
        covered=atlas.gather(texture.coverage),
        unwrap=unwrap,
        bare=bare,
        size=size,
        density=density,
        monochrome=face.monochrome,
    )
