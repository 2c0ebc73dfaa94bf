"""Light per photo and one albedo per vertex: image = albedo * (SH basis(normal) @ light), in linear light.

The photos only determine the product. Priors split it: human skin has a known range of tones and hues, faces are
exposed neither black nor white, and white balance is roughly right.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from backend.geometry.vectors import vertex_normals
from backend.photos.collection import FaceClass, PhotoFace, class_mask
from backend.rendering.camera import Camera
from backend.rendering.color import linear_from_srgb, srgb_from_linear
from backend.rendering.interpolate import sample_image
from backend.rendering.rasterize import face_ids, facing_cosine
from backend.rendering.spherical_harmonics import BASIS_CONSTANTS, basis
from backend.system.parallel import each

MEAN_SKIN = np.array([0.43, 0.26, 0.185])
"""Linear sRGB reflectance of a medium skin tone."""
SKIN_LOG_DEVIATION = 0.45
SHADING_LOG_MEAN, SHADING_LOG_DEVIATION = np.log(0.85), 0.45
SKIN_HUE_DEVIATION = 0.10
LIGHT_HUE_DEVIATION = 0.12
LIGHT_RIDGE = 0.02
"""Ridge regularisation of the light's bands 1 and 2, per unit of mean vertex weight."""
ROUNDS = 6
SKIN_CLASSES = (FaceClass.SKIN, FaceClass.LIPS, FaceClass.BROWS, FaceClass.NECK, FaceClass.EARS)


@dataclass(frozen=True)
class PosedPhoto:
    """One fitted photo as input of ``estimate_appearance``: face, camera and posed vertices (V, 3)."""

    face: PhotoFace
    camera: Camera
    vertices: np.ndarray


@dataclass(frozen=True)
class Appearance:
    """albedo : (V_head, 3) linear; light : (P, 9, 3); photometric_error : (P,) mean absolute sRGB difference, 0-1."""

    albedo: np.ndarray
    light: np.ndarray
    photometric_error: np.ndarray


@dataclass(frozen=True)
class _Samples:
    color: np.ndarray  # (V, 3) linear
    weight: np.ndarray  # (V,)
    basis: np.ndarray  # (V, 9)


def _samples(photo: PosedPhoto, triangles: np.ndarray, head_count: int) -> _Samples:
    factor = min(320.0 / max(photo.face.pixels.shape[:2]), 1.0)
    camera = photo.camera.scaled(factor)
    columns, rows = camera.size
    small = cv2.resize(photo.face.pixels, (columns, rows), interpolation=cv2.INTER_AREA)
    linear = linear_from_srgb(small)
    mask = class_mask(photo.face.labels, SKIN_CLASSES)
    mask = cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    mask = cv2.erode(mask, np.ones((5, 5), np.uint8)) * (small.max(-1) < 250)
    pixels = camera.project(photo.vertices)
    ids = face_ids(torch.from_numpy(pixels[None].astype(np.float32)), torch.from_numpy(triangles), (rows, columns))[0]
    normals = vertex_normals(photo.vertices, triangles)[:head_count]
    cosine = facing_cosine(photo.vertices[:head_count], normals, camera)
    column = np.clip(pixels[:head_count, 0], 0, columns - 1).astype(int)
    row = np.clip(pixels[:head_count, 1], 0, rows - 1).astype(int)
    shown = ids.numpy()[row, column]
    # A vertex is visible when it is at most 6 mm behind the nearest corner of the triangle at its pixel.
    corner_depth = pixels[triangles[np.maximum(shown, 0)], 2].min(-1)
    visible = (shown >= 0) & (pixels[:head_count, 2] < corner_depth + 0.006)
    inside = (pixels[:head_count, 0] > 1) & (pixels[:head_count, 0] < columns - 1)
    inside &= (pixels[:head_count, 1] > 1) & (pixels[:head_count, 1] < rows - 1)
    weight = np.clip((cosine - 0.15) / 0.5, 0.0, 1.0) * visible * inside
    color = sample_image(linear, pixels[:head_count, :2], outside=0.0)
    weight = weight * sample_image(mask, pixels[:head_count, :2], outside=0.0)
    if photo.face.monochrome:
        color = np.repeat(color @ np.array([[0.2126], [0.7152], [0.0722]], np.float32), 3, axis=1)
    return _Samples(color.astype(np.float64), weight.astype(np.float64), basis(normals.astype(np.float64)))


def _light(samples: _Samples, albedo: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(9, 3) ridge least squares of color = albedo * (basis @ light)."""
    light = np.zeros((9, 3))
    ridge = np.diag([0.0] + [1.0] * 8) * LIGHT_RIDGE * max(weight.sum(), 1e-6) / 9.0
    for channel in range(3):
        design = samples.basis * albedo[:, channel : channel + 1]
        scale = weight / np.maximum(albedo[:, channel], 0.02) ** 2  # relative errors
        normal = design.T @ (scale[:, None] * design) + ridge + 1e-9 * np.eye(9)
        light[:, channel] = np.linalg.solve(normal, design.T @ (scale * samples.color[:, channel]))
    return light


def _shading(samples: _Samples, light: np.ndarray) -> np.ndarray:
    ambient = BASIS_CONSTANTS[0] * light[0]
    return np.maximum(samples.basis @ light, 0.1 * np.maximum(ambient, 0.02))


def _tone_offset(log_albedo: np.ndarray, log_shading: np.ndarray, monochrome: np.ndarray) -> np.ndarray:
    """(3,) offset of the log albedo (subtracted from the log shading) that maximises the priors of both.

    log_albedo : (3,) mean over skin; log_shading : (P, 3) mean per photo.
    """
    to_level, to_hue = np.full(3, 1.0 / 3.0), np.eye(3) - 1.0 / 3.0
    mean_skin = np.log(MEAN_SKIN)
    count = len(log_shading)
    level_skin = to_level @ (log_albedo - mean_skin) / SKIN_LOG_DEVIATION**2
    level_light = (log_shading @ to_level - SHADING_LOG_MEAN).mean() / SHADING_LOG_DEVIATION**2
    level = (level_light - level_skin) / (SKIN_LOG_DEVIATION**-2 + SHADING_LOG_DEVIATION**-2)
    hue_skin = to_hue @ (log_albedo - mean_skin) / SKIN_HUE_DEVIATION**2
    in_color = log_shading[~monochrome]
    if len(in_color) == 0:
        return level - to_hue @ (log_albedo - mean_skin)
    independent = min(count, 4)
    hue_light = (in_color @ to_hue).mean(0) * independent / LIGHT_HUE_DEVIATION**2
    hue = (hue_light - hue_skin) / (SKIN_HUE_DEVIATION**-2 + independent * LIGHT_HUE_DEVIATION**-2)
    return level + hue


def estimate_appearance(
    photos: tuple[PosedPhoto, ...],
    triangles: np.ndarray,
    head_count: int,
    mirror: np.ndarray,
    skin: np.ndarray,
    first_lights: tuple[np.ndarray, ...] = (),
) -> Appearance:
    """Estimate light and albedo alternately, each in closed form with robust weights.

    Parameters
    ----------
    triangles : (T, 3) of all parts (for occlusion). head_count : vertices [0, head_count) belong to the head.
    mirror : (V_head,) vertex across the median plane. skin : (V_head,) in [0, 1], where the skin tone is measured.
    first_lights : per photo (9, 3), of any brightness. The first albedo is the photos divided by their shading;
        without them it is the mean skin tone everywhere.
    """
    samples = each(lambda photo: _samples(photo, triangles, head_count), photos)
    monochrome = np.array([photo.face.monochrome for photo in photos])
    albedo = np.tile(MEAN_SKIN, (head_count, 1))
    weights = [sample.weight for sample in samples]
    lights = [np.zeros((9, 3))] * len(photos)
    if first_lights:
        albedo = _albedo_from_photos(samples, first_lights, head_count)
    for _ in range(ROUNDS):
        lights = [_light(s, albedo, w) for s, w in zip(samples, weights, strict=True)]
        shadings = [_shading(s, light) for s, light in zip(samples, lights, strict=True)]
        # Albedo: weighted mean of the unlit colours and, weakly, of the prior.
        prior_weight = 0.05
        total = np.full((head_count, 1), prior_weight)
        weight = skin * sum(weights) + 1e-9
        mean_tone = np.exp((weight[:, None] * np.log(albedo)).sum(0) / weight.sum())
        mean_log = prior_weight * np.log(np.tile(mean_tone, (head_count, 1)))
        for sample, shading, weight in zip(samples, shadings, weights, strict=True):
            unlit = np.log(np.clip(sample.color / shading, 0.01, 2.0))
            mean_log += weight[:, None] * unlit
            total += weight[:, None]
        albedo = np.exp(mean_log / total)
        visible = total[:, 0] - prior_weight
        share = np.clip(visible / 0.2, 0.0, 1.0)[:, None]
        albedo = share * albedo + (1.0 - share) * albedo[mirror]
        # Robust weights from the residual against the common albedo.
        weights = []
        for sample, shading in zip(samples, shadings, strict=True):
            error = np.abs(np.log((sample.color + 0.01) / (albedo * shading + 0.01))).mean(-1)
            weights.append(sample.weight / (1.0 + (error / 0.25) ** 2))
        skin_weight = skin * np.minimum(visible, 1.0) + 1e-9
        log_albedo = (skin_weight[:, None] * np.log(albedo)).sum(0) / skin_weight.sum()
        log_shading = np.stack(
            [
                (skin[:, None] * w[:, None] * np.log(s)).sum(0) / max((skin * w).sum(), 1e-6)
                for s, w in zip(shadings, weights, strict=True)
            ]
        )
        gain = np.exp(_tone_offset(log_albedo, log_shading, monochrome))
        albedo = np.clip(albedo * gain, 0.01, 0.95)
        lights = [light / gain for light in lights]
    errors = np.array([_error(s, albedo, light) for s, light in zip(samples, lights, strict=True)])
    return Appearance(albedo, np.stack(lights), errors)


def _albedo_from_photos(samples: list[_Samples], lights: tuple[np.ndarray, ...], count: int) -> np.ndarray:
    """(V_head, 3) mean over the photos of colour / shading, each photo scaled to the mean brightness of skin; mean skin
    where no photo shows the vertex."""
    total = np.full((count, 1), 0.05)
    mean_log = np.zeros((count, 3))
    for sample, light in zip(samples, lights, strict=True):
        unlit = np.log(np.clip(sample.color / _shading(sample, light), 0.01, 10.0))
        weight = sample.weight[:, None]
        mean_log += weight * (unlit - (weight * unlit).sum(0) / max(float(weight.sum()), 1e-9))
        total += weight
    return np.exp(np.clip(mean_log / total, -1.5, 1.5)) * MEAN_SKIN


def _error(samples: _Samples, albedo: np.ndarray, light: np.ndarray) -> float:
    predicted = srgb_from_linear(albedo * _shading(samples, light))
    difference = np.abs(predicted - srgb_from_linear(samples.color)).mean(-1)
    return float((samples.weight * difference).sum() / max(samples.weight.sum(), 1e-9))
