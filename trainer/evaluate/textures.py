"""Textures against a photo that they were not made from, lit as that photo is.

``made`` and ``photo`` are natural logarithms of linear light. Differences are made minus photo: positive where the
texture is brighter.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from backend.errors import LikenessError
from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.robust_statistics import weighted_median
from backend.geometry.template import Template, load_template
from backend.hair.fit_hair import fit_hair
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.texture import surface as surfaces
from backend.texture import unwrap as unwrapping
from backend.texture.albedo import AlbedoResult, build_albedo
from backend.texture.delighting import matched_light
from trainer.measures.estimate import fitted_person, without_photo
from trainer.measures.harness import Figures, add_people_arguments, judged, means, people_folders

SIZE = 1024
"""Side of the compared textures."""
_RIDGE = (0.0, 0.002, 0.012)  # on constant, linear and quadratic coefficients: pull to the start where few pixels speak
FINEST, COARSEST = 0.0025, 0.009
"""Metres, frequency band of the details of lids, lips, brows and folds; finer is the photo's noise, coarser is
light."""
_DETAIL_WEIGHT = 0.3  # weight above which a texel is used for details
_LOWPASS_WEIGHT = 0.05  # weight above which it contributes to its neighbours' means


COLOURS = ("brightness", "red_green", "green_blue")
"""Natural logarithms of luminance and of the channels' ratios, in the order of all (..., 3) here."""
PLACES = ("forehead", "nose", "cheeks", "chin")
_FACE = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.EYES, FaceClass.LIPS, FaceClass.FACIAL_HAIR)
_LEAST_TEXELS = 150  # least number of texels for a figure
_UNSEEN_COVERAGE = 0.05  # coverage below which no other photo shows a texel
_VISIBLE_WEIGHT, _REGION_WEIGHT = 0.3, 0.5  # photo's weight of visible texels; region weight inside a place


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
    unwrap: unwrapping.PhotoUnwrap
    bare: np.ndarray
    size: int
    density: float
    monochrome: bool


def held_out_photo(template: Template, fitted: FittedFace, faces: Sequence[PhotoFace], name: str) -> HeldOutPhoto:
    """Make the texture from all photos but ``name``, light it like that photo, and sample both.

    The head's shape, and the photo's pose, expression and camera, are from the fit to all photos, because only the
    texture is evaluated. The light is fitted to the photo's bare skin with the texture as its albedo.

    Parameters
    ----------
    faces : at least those of ``fitted.photos``. name : one of at least two.
    """
    split = without_photo(fitted, faces, name)
    strands = fit_hair(template, split.rest, split.rest_faces).strands
    result = build_albedo(template, split.rest, split.rest_faces, SIZE, strands)
    return beside_photo(template, fitted, split.photo, split.face, result)


def fit_light(
    samples: unwrapping.PhotoSamples, albedo: np.ndarray, start: np.ndarray, iterations: int = 4
) -> np.ndarray:
    """Fit the light (9, 3) such that ``albedo * (transfer @ light)`` matches the photo: robust ridge regression.

    albedo : (V, 3) linear. start : (9, 3) the light towards which the ridge pulls.
    """
    used = np.flatnonzero(samples.weight > 0)
    if len(used) < 20:
        return start
    transfer, weight = samples.transfer[used], samples.weight[used]
    light = start.copy()
    trust = np.array(_RIDGE)[list(sh.BAND_OF_COEFFICIENT)]
    for channel in range(3):
        design = transfer * albedo[used, channel, None]
        target = samples.linear[used, channel]
        level = max(float(np.average(target, weights=weight)), 1e-4)
        ridge = trust * weight.sum() * (level / max(abs(start[0, channel]), 1e-3)) ** 2
        robust = np.ones(len(used))
        for _ in range(iterations):
            predicted = np.maximum(design @ light[:, channel], 0.05 * level)
            relative = (target - design @ light[:, channel]) / predicted
            # robust loss: highlights and cast shadows are outliers; highlights get the tighter scale
            scale = np.where(relative > 0, 0.6, 1.0) * max(1.5 * float(np.median(np.abs(relative))), 0.04)
            robust = weight / (1.0 + (relative / scale) ** 2) / (0.3 * level + predicted) ** 2 * level**2
            normal = design.T @ (design * robust[:, None]) + np.diag(ridge + 1e-9)
            light[:, channel] = np.linalg.solve(normal, design.T @ (robust * target) + ridge * start[:, channel])
    if samples.monochrome:
        light = np.repeat(light.mean(1, keepdims=True), 3, axis=1)
    return light


def beside_photo(
    template: Template, fitted: FittedFace, own: FittedPhoto, face: PhotoFace, texture: AlbedoResult
) -> HeldOutPhoto:
    """Compare ``texture``, of any size, under one photo's light with that photo."""
    size = len(texture.albedo)
    surface, atlas = surfaces.head_surface(template), surfaces.texture_space(template, size).skin
    positions = surface.lifted(fitted.neutral[: surface.count].astype(np.float64))
    density = surfaces.texels_per_metre(surface, positions, size)
    view = unwrapping.view_surface(
        surface.lifted(own.vertices[: surface.count].astype(np.float64)), surface.triangles, own.camera
    )
    unwrap = unwrapping.unwrap_photo(face, view, atlas, density)
    albedo, linear = atlas.gather(linear_from_srgb(texture.albedo)), unwrap.linear
    if face.monochrome:
        albedo, linear = (
            np.repeat((values @ np.array(LUMINANCE, np.float32))[:, None], 3, axis=1) for values in (albedo, linear)
        )
    plain = atlas.sample(unwrapping.plain_skin(surface)[:, None])[:, 0]
    bare = unwrap.weight * unwrapping.bare_skin(unwrap, plain)
    skin, seen = surface.at_cage(atlas, linear, bare)
    skin_albedo = np.maximum(surface.at_cage(atlas, albedo, bare)[0], unwrapping.DARKEST)
    transfer = sh.basis(view.normals)  # (V, 9)
    samples = unwrapping.PhotoSamples(
        linear=skin,
        weight=surfaces.relative_weight(seen),
        transfer=transfer[: surface.count],
        light=own.light.astype(np.float64),
        trust=1.0,
        monochrome=face.monochrome,
    )
    light = fit_light(samples, skin_albedo, matched_light(samples, skin_albedo))
    lit = atlas.sample(unwrapping.shading(transfer, light))
    return HeldOutPhoto(
        made=np.log(np.maximum(albedo * lit, unwrapping.DARKEST)),
        photo=np.log(np.maximum(linear, unwrapping.DARKEST)),
        covered=atlas.gather(texture.coverage),
        unwrap=unwrap,
        bare=bare,
        size=size,
        density=density,
        monochrome=face.monochrome,
    )


def log_ratios(log_linear: np.ndarray) -> np.ndarray:
    """(P, 3) log luminance, log red over green and log green over blue of log linear light (P, 3)."""
    brightness = np.log(np.exp(log_linear) @ np.array(LUMINANCE))
    return np.stack([brightness, log_linear[:, 0] - log_linear[:, 1], log_linear[:, 1] - log_linear[:, 2]], 1)


def difference_of(made: np.ndarray, photo: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3,) weighted median of made less photo in ``COLOURS``, of (P, 3) log linear light with weights (P,), not all 0;
    and (N, 4) the differences where there is weight, and that."""
    used = weight > 0
    apart = log_ratios(made[used]) - log_ratios(photo[used])
    return weighted_median(apart, weight[used]), np.column_stack([apart, weight[used]])


def spread_about(apart: np.ndarray, common: np.ndarray) -> dict[str, float]:
    """Weighted mean size of differences (N, 4) less ``common`` (3,), by the names of ``COLOURS``."""
    sizes = np.average(np.abs(apart[:, :3] - common), axis=0, weights=apart[:, 3])
    return dict(zip(COLOURS, sizes.tolist(), strict=True))


def detail_likeness(
    made: np.ndarray, photo: np.ndarray, weight: np.ndarray, atlas: surfaces.SurfaceAtlas, texels_per_metre: float
) -> tuple[float, float]:
    """Contrast of the texture's details relative to the photo's, and their correlation.

    Details are the frequency band of log luminance between ``FINEST`` and ``COARSEST``.

    Parameters
    ----------
    made, photo : (P, 3); weight : (P,) in [0, 1], visibility of the face in the photo.
    """
    brightness = np.stack([log_ratios(made)[:, 0], log_ratios(photo)[:, 0]], 1)
    clear = np.where(weight > _LOWPASS_WEIGHT, weight, 0.0).astype(np.float32)
    image, weights = atlas.image(brightness.astype(np.float32)), atlas.image(clear)
    fine, coarse = (
        surfaces.masked_lowpass(image, weights, length * texels_per_metre)[0] for length in (FINEST, COARSEST)
    )
    used = weights > _DETAIL_WEIGHT
    details = (fine - coarse)[used].astype(np.float64)  # (N, 2)
    covariance = np.cov(details.T, aweights=weights[used])
    (own, both), (_, others) = covariance
    return float(np.sqrt(own / others)), float(both / np.sqrt(own * others))


def texture_figures(held_out: HeldOutPhoto) -> dict[str, float] | None:
    """Flat figures of one photo; a figure is missing where the photo does not show it, or has no colours. None where it
    shows no bare skin.

    ``skin.*`` : mean absolute difference over bare plain skin, log units. ``unseen.*`` : the same over bare skin
    that no other photo shows, after subtracting the common offset of all bare skin. ``PLACE.brightness_offset``,
    ``.red_green_offset`` : a place's or feature's median difference minus that of all plain skin.
    ``detail.contrast``, ``.correlation`` : of the face's details, texture relative to photo.
    """
    template = load_template()
    surface, atlas = surfaces.head_surface(template), surfaces.texture_space(template, held_out.size).skin
    unwrap, bare = held_out.unwrap, held_out.bare
    if (bare > _VISIBLE_WEIGHT).sum() < _LEAST_TEXELS:
        return None
    names = (*PLACES, "face", "lips")
    stacked = np.stack([surface.regions[name] for name in names], 1)
    inside = dict(zip(names, (atlas.sample(stacked) > _REGION_WEIGHT).T, strict=True))
    weights = {name: bare * inside[name] for name in PLACES}
    weights["lips"] = unwrap.weight * (unwrap.labels == FaceClass.LIPS) * inside["lips"]
    weights["brows"] = unwrap.weight * (unwrap.labels == FaceClass.BROWS)
    hidden = bare * (held_out.covered < _UNSEEN_COVERAGE)
    face = unwrap.visible * np.isin(unwrap.labels, _FACE) * inside["face"]

    everywhere, apart = difference_of(held_out.made, held_out.photo, bare)
    contrast, correlation = detail_likeness(held_out.made, held_out.photo, face, atlas, held_out.density)
    figures = {f"skin.{key}": value for key, value in spread_about(apart, everywhere).items()}
    if (hidden > _VISIBLE_WEIGHT).sum() >= _LEAST_TEXELS:
        unseen = difference_of(held_out.made, held_out.photo, hidden)[1]
        figures |= {f"unseen.{key}": value for key, value in spread_about(unseen, everywhere).items()}
    for name, weight in weights.items():
        if (weight > _VISIBLE_WEIGHT).sum() >= _LEAST_TEXELS:
            brightness, red_green, _ = difference_of(held_out.made, held_out.photo, weight)[0] - everywhere
            figures |= {f"{name}.brightness_offset": float(brightness), f"{name}.red_green_offset": float(red_green)}
    if held_out.monochrome:
        figures = {name: value for name, value in figures.items() if ".brightness" in name}
    return figures | {"detail.contrast": contrast, "detail.correlation": correlation}


def person_figures(photos: Sequence[Path], quality: str, most: int) -> dict[str, float]:
    """Mean figures over at most ``most`` photos of a person, left out in turn, spread over those that the fit uses.

    Raises ``LikenessError`` where fewer than two photos are usable, or no left-out one shows bare skin.
    """
    person, template = fitted_person(photos, quality, most), load_template()
    figures = [texture_figures(held_out_photo(template, person.fitted, person.faces, name)) for name in person.names]
    known = [one for one in figures if one is not None]
    if not known:
        sentence = f"None of the {len(figures)} photos that were left out shows bare skin."
        advice = "Leave more of them out in turn (--most), or add photos without a mask before the face."
        raise LikenessError("no_photo", sentence, advice)
    return means(known)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate textures``."""
    add_people_arguments(parser, most=2)


def run(arguments: argparse.Namespace, console: Console) -> Figures:
    """Compute the flat figures ``textures.…`` (mean over people), and the same per person under ``person.NAME.``."""

    def person(photos: Sequence[Path]) -> dict[str, float]:
        return person_figures(photos, arguments.quality, arguments.most)

    return judged(people_folders(arguments.people), person, console, "textures")
