"""Project a photo onto the head: each surface point's position in the photo, and the photo's confidence there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.geometry.normals import vertex_normals
from backend.geometry.smoothstep import smoothstep
from backend.models.parsing.thin_glasses import brows_behind_glasses
from backend.photos.collection import LABELS_SIDE, FaceClass, PhotoFace
from backend.rendering.camera import Camera
from backend.rendering.color import linear_from_srgb
from backend.rendering.visibility import depth_map, facing_cosine, point_visibility
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.settings import UNWRAPPING

SEEN = 0.02
"""Visibility in [0, 1] from which a photo shows a texel."""
DARKEST = 0.003
"""Linear light: darker pixels have no reliable colour, and logarithms are clamped here."""
_FACE_CLASSES = (
    FaceClass.SKIN,
    FaceClass.BROWS,
    FaceClass.LIPS,
    FaceClass.FACIAL_HAIR,
    FaceClass.NECK,
    FaceClass.EARS,
    FaceClass.EYES,
)

_OCCLUDER_CLASSES = (FaceClass.BACKGROUND, FaceClass.OCCLUDER, FaceClass.GLASSES)
_BESIDE_GLASSES = np.array([FaceClass.BACKGROUND, FaceClass.OCCLUDER, FaceClass.HAIR])


@dataclass(frozen=True)
class SurfaceView:
    """Positions and visibility of the (subdivided) mesh's vertices in one photo.

    Attributes
    ----------
    vertices, normals : (V, 3) posed, head frame.
    pixels : (V, 2) float32 position in the photo's crop (pixel centres at i + 0.5), aligned to its landmarks.
    visible : (V,) float32 in [0, 1], from the depth buffer.
    cosine : (V,) float32 of the angle between normal and camera.
    pixels_per_metre : at the face.
    outline_distance : (H, W) float32 metres from each pixel of the depth buffer to the nearest jump in depth;
        outline_scale : depth-buffer pixels per crop pixel.
    """

    vertices: np.ndarray
    normals: np.ndarray
    pixels: np.ndarray
    visible: np.ndarray
    cosine: np.ndarray
    pixels_per_metre: float
    outline_distance: np.ndarray
    outline_scale: float


@dataclass(frozen=True)
class PhotoUnwrap:
    """One photo sampled at the P covered texels of an atlas.

    Attributes
    ----------
    linear : (P, 3) float32 linear light.
    labels : (P,) uint8 of ``FaceClass``.
    seen : (P,) float32 in [0, 1]: the photo sees this texel (visibility, angle, distance to outlines), occluded or
        not.
    weight : (P,) float32 in [0, 1]: ``seen``, and bare face there (labels, exposure, distance to occluders).
    near_eye : (P,) float32 in [0, 1]: the weight for the lids. Lashes and shadow belong to their look, so only glasses,
        hair, hands and background lower it.
    with_hair : (P,) float32 in [0, 1]: ``seen``, and bare face or hair there.
    away : (P,) float32 metres in the image from hair, hands, glasses and background.
    cosine : (P,) float32.
    """

    linear: np.ndarray
    labels: np.ndarray
    seen: np.ndarray
    weight: np.ndarray
    near_eye: np.ndarray
    with_hair: np.ndarray
    away: np.ndarray
    cosine: np.ndarray


def view_surface(
    vertices: np.ndarray,
    triangles: np.ndarray,
    camera: Camera,
    skin_count: int | None = None,
) -> SurfaceView:
    """Project a posed mesh into a photo and compute its visibility.

    Parameters
    ----------
    vertices : (V, 3) posed, head frame, metres; triangles : (F, 3).
    skin_count : return only the first so many vertices; the others still occlude.
    """
    width, height = camera.size
    scale = min(1.0, UNWRAPPING.depth_side / max(width, height))
    small = camera.scaled(scale)
    depth = depth_map(vertices, triangles, small)
    count = len(vertices) if skin_count is None else skin_count
    own = triangles[(triangles < count).all(1)]
    skin = vertices[:count].astype(np.float64)
    normals = vertex_normals(skin, own)
    cosine = facing_cosine(skin, normals, camera)
    visible = np.where(cosine > 0, point_visibility(skin, small, depth, bias=0.002), 0.0)
    projected = camera.project(skin)
    pixels = projected[:, :2]
    middle = float(np.median(projected[:, 2]))
    return SurfaceView(
        skin,
        normals,
        pixels.astype(np.float32),
        visible.astype(np.float32),
        cosine.astype(np.float32),
        float(camera.intrinsics[0, 0] / middle),
        _outline_distance(depth) / np.float32(small.intrinsics[0, 0] / middle),
        scale,
    )


def _outline_distance(depth: np.ndarray) -> np.ndarray:
    """(H, W) float32 pixels to the nearest jump in depth, or to the image's empty part."""
    far = np.where(np.isfinite(depth), depth, 1e3).astype(np.float32)
    kernel = np.ones((3, 3), np.uint8)
    jump = cv2.dilate(far, kernel) - cv2.erode(far, kernel) > UNWRAPPING.depth_jump
    return cv2.distanceTransform((~jump).astype(np.uint8), cv2.DIST_L2, 3)


def sample_image(image: np.ndarray, positions: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Image (H, W) or (H, W, C) at positions (P, 2), pixel centres at i + 0.5; (P,) or (P, C)."""
    count, width = len(positions), 2048
    rows = -(-count // width)
    grid = np.zeros((rows * width, 2), np.float32)
    grid[:count] = positions - 0.5
    sampled = cv2.remap(image, grid.reshape(rows, width, 2), None, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return sampled.reshape(rows * width, *image.shape[2:])[:count]


def sample_labels(labels: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(P,) uint8, the likeliest label at positions (P, 2) of labels (H, W).

    Borders are smoothed, because pixel steps would show where texels are finer than pixels. Labels of large crops are
    subsampled to the resolution of the parsing.
    """
    step = max(1, max(labels.shape) // LABELS_SIDE)
    small = labels[step // 2 :: step, step // 2 :: step]
    places = positions / np.float32(step)
    result = np.zeros(len(positions), labels.dtype)
    most = np.zeros(len(positions), np.float32)
    for label in np.unique(small):
        mask = cv2.GaussianBlur((small == label).astype(np.float32), (0, 0), UNWRAPPING.label_border)
        share = sample_image(mask, places)
        result[share > most] = label
        most = np.maximum(most, share)
    return result


def photo_at_scale(face: PhotoFace, pixels_per_metre: float, texels_per_metre: float) -> tuple[np.ndarray, float]:
    """The crop, downsampled so that texels do not skip pixels: ((h, w, 3) uint8, its scale)."""
    scale = min(1.0, 1.3 * texels_per_metre / pixels_per_metre)
    if scale > 0.8:
        return face.pixels, 1.0
    size = tuple(max(1, round(scale * side)) for side in face.pixels.shape[1::-1])
    return cv2.resize(face.pixels, size, interpolation=cv2.INTER_AREA), scale


def sample_linear(atlas_positions: np.ndarray, pixels: np.ndarray, scale: float) -> np.ndarray:
    """(P, 3) float32 linear light of a downsampled crop at positions (P, 2) of the full crop."""
    sampled = sample_image(
        pixels, atlas_positions * np.float32(scale), cv2.INTER_CUBIC if scale == 1.0 else cv2.INTER_LINEAR
    )
    return linear_from_srgb(sampled)


def without_specks(labels: np.ndarray, pixels_per_metre: float) -> np.ndarray:
    """Labels (H, W) with small islands of hair, hand or background inside the face relabelled as skin: nostrils,
    corners of the mouth and moles that the parsing mistook."""
    result = labels
    for label in (FaceClass.OCCLUDER, FaceClass.HAIR, FaceClass.BACKGROUND):
        count, pieces, statistics, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8))
        small = statistics[:, cv2.CC_STAT_AREA] < UNWRAPPING.speck * pixels_per_metre**2
        small[0] = False
        if count > 1 and small.any():
            result = np.where(small[pieces], np.uint8(FaceClass.SKIN), result)
    return result


def label_distance(labels: np.ndarray, forbidden: np.ndarray, pixels_per_metre: float) -> np.ndarray:
    """(H, W) float32 metres from each pixel to the nearest with a label in ``forbidden``; 1 m if there is none."""
    bad = np.isin(labels, forbidden)
    if not bad.any():
        return np.ones(labels.shape, np.float32)
    height, width = labels.shape
    step = max(1, max(height, width) // 512)
    if step > 1:  # any bad pixel makes its block bad
        height, width = height // step, width // step
        bad = bad[: height * step, : width * step].reshape(height, step, width, step).any((1, 3))
    distance = cv2.distanceTransform(1 - bad.astype(np.uint8), cv2.DIST_L2, 5) * np.float32(step / pixels_per_metre)
    return cv2.resize(distance, labels.shape[::-1], interpolation=cv2.INTER_LINEAR) if step > 1 else distance


def _edge_distance(face: PhotoFace, positions: np.ndarray) -> np.ndarray:
    """(P,) pixels from positions (P, 2) in the crop to the edge of the photograph, negative outside. A crop may extend
    beyond the file's edge; its padding shows nothing."""
    size = np.array(face.pixels.shape[1::-1], np.float64)
    offset = np.array(face.crop_offset)
    low = np.maximum(-offset * face.crop_scale, 0.0)
    high = np.minimum((np.array(face.source_size) - offset) * face.crop_scale, size)
    across, down = positions[:, 0], positions[:, 1]
    return np.minimum(np.minimum(across - low[0], high[0] - across), np.minimum(down - low[1], high[1] - down))


def unwrap_photo(face: PhotoFace, view: SurfaceView, atlas: SurfaceAtlas, texels_per_metre: float) -> PhotoUnwrap:
    """Sample one photo at the atlas's texels and weight it; the atlas must cover only ``view``'s vertices."""
    stacked = np.concatenate([view.pixels, view.visible[:, None], view.cosine[:, None]], 1)
    sampled = atlas.sample(stacked)  # (P, 4)
    positions, visible, cosine = sampled[:, :2], sampled[:, 2], sampled[:, 3]
    pixels, scale = photo_at_scale(face, view.pixels_per_metre, texels_per_metre)
    linear = sample_linear(positions, pixels, scale)
    all_labels = without_specks(face.labels, view.pixels_per_metre)
    all_labels = brows_behind_glasses(all_labels, face.pixels, face.landmarks)
    labels = sample_labels(all_labels, positions)
    inside = smoothstep(0.0, 4.0, _edge_distance(face, positions))
    outline = sample_image(view.outline_distance, positions * np.float32(view.outline_scale))
    seen = smoothstep(0.5, 1.0, visible) * smoothstep(0.15, 0.5, cosine) * smoothstep(0.0008, 0.003, outline) * inside

    away = label_distance(all_labels, np.array([*_OCCLUDER_CLASSES, FaceClass.HAIR]), view.pixels_per_metre)
    clear = label_distance(all_labels, np.array(_OCCLUDER_CLASSES), view.pixels_per_metre)
    inner = label_distance(all_labels, np.array([FaceClass.MOUTH_INTERIOR]), view.pixels_per_metre)
    distance = sample_image(away, positions)
    if (all_labels == FaceClass.GLASSES).any():
        beside_glasses = label_distance(all_labels, _BESIDE_GLASSES, view.pixels_per_metre)
        distance = np.where(labels == FaceClass.BROWS, sample_image(beside_glasses, positions), distance)
    clean = smoothstep(0.0015, 0.008, distance)
    pixel = 1.0 / view.pixels_per_metre
    clean *= smoothstep(0.0, max(0.0008, 0.8 * pixel), sample_image(inner, positions))
    clean *= np.isin(labels, _FACE_CLASSES)
    brightest = np.maximum(np.maximum(linear[:, 0], linear[:, 1]), linear[:, 2])
    exposed = 1.0 - 0.9 * smoothstep(0.88, 0.99, brightest)
    weight = (seen * clean * exposed).astype(np.float32)
    near_eye = (seen * exposed * smoothstep(0.0, 0.003, distance)).astype(np.float32)
    head = np.isin(labels, (*_FACE_CLASSES, FaceClass.HAIR)) * smoothstep(0.001, 0.005, sample_image(clear, positions))
    with_hair = (seen * head * exposed).astype(np.float32)
    return PhotoUnwrap(linear, labels, seen.astype(np.float32), weight, near_eye, with_hair, distance, cosine)
