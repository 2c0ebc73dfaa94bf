"""Project photos onto the head: where each shows its surface, how surely, and what of that belongs to the texture.

Photos' labels decide: hair, hands, glasses and eyes are no skin, skin in a hat's shade is no evidence for its colour,
and photos from before and after a shave do not both paint the lower face.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.robust_statistics import weighted_quantile
from backend.geometry.surface_fields import compression
from backend.geometry.template import Template
from backend.geometry.vectors import disc, smoothstep, smoothstep_at, vertex_normals
from backend.photos.collection import CONTRADICTED_LABEL, LABELS_SIDE, FaceClass, PhotoFace
from backend.rendering import spherical_harmonics as sh
from backend.rendering.camera import Camera
from backend.rendering.color import LINEAR_OF_BYTES, LUMINANCE
from backend.rendering.interpolate import bilinear, byte_taps, sampled_bytes
from backend.rendering.rasterize import depth_map, facing_cosine, point_visibility
from backend.rendering.render import render_linear
from backend.system.numba_cache import njit, prange
from backend.system.parallel import each
from backend.texture.surface import HeadSurface, SurfaceAtlas, TextureSpace, head_surface, relative_weight, value_at


@dataclass(frozen=True)
class UnwrappingSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason.

    A pair is the start and end of a soft step.
    """

    max_photos: int = 12
    """Photos, 4 to 24: most that a texture uses; more cost time and memory and add little."""
    coloured_light: float = 0.55
    """Log units of chroma, 0.3 to 1: a photo whose bare skin varies more (root mean square) is lit by coloured lamps.
    Of 834 press photos 98 % are below 0.53, half below 0.19; five under stage lamps have 0.6 to 1.1."""
    depth_side: int = 640
    """Pixels, 320 to 1280: edge of the depth buffers; finer ones do not help."""
    depth_jump: float = 0.010
    """Metres, 0.003 to 0.03: a jump in depth that marks an outline."""
    sharp: tuple[float, float] = (1000.0, 2500.0)
    """Pixels per metre, 500 to 5000: from a coarse photo to a sharp one."""
    label_border: float = 1.0
    """Pixels, 0.5 to 3: smoothing of the borders between labels."""
    shading_floor: float = 0.12
    """Share in [0, 1] of a photo's mean shading: darker shading is shadow and is not divided out in full."""
    beside: float = 0.014
    """Metres, 0.005 to 0.03, from labelled hair and glasses within which dark skin is a strand or a rim."""
    strand: float = 0.75
    """Log units, 0.4 to 1.5, by which it is darker than skin under the same light."""
    margin: float = 0.0025
    """Metres, 0.001 to 0.005: dilation of screened texels, and of the mesh's ears, on which a photo's may lie."""
    hat_share: tuple[float, float] = (0.3, 0.6)
    """Share in [0, 1], 0.2 to 0.9, of what a photo shows of the scalp that is labelled occluder: from there on it shows
    a hat. Hands, microphones and headbands cover less."""
    strained: tuple[float, float] = (0.06, 0.20)
    """Compression (Green strain), 0.03 to 0.3, from skin at rest to skin that folds: half of the cheeks have 0.06 to
    0.13 in smiles and 0.00 to 0.04 in calm photos."""


UNWRAPPING = UnwrappingSettings()


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

_BESIDE_GLASSES = (FaceClass.BACKGROUND, FaceClass.OCCLUDER, FaceClass.HAIR)
_BESIDE_FACE = (*_BESIDE_GLASSES, FaceClass.GLASSES)


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
    visible : (P,) float32 in [0, 1]: the photo sees this texel (visibility, angle, distance to outlines), occluded or
        not.
    weight : (P,) float32 in [0, 1]: ``visible``, and bare face there (labels, exposure, distance to occluders).
    near_eye : (P,) float32 in [0, 1]: the weight for the lids. Lashes and shadow belong to their look, so only glasses,
        hair, hands and background lower it.
    away : (P,) float32 metres in the image from hair, hands, glasses and background, less one pixel.
    cosine : (P,) float32.
    """

    linear: np.ndarray
    labels: np.ndarray
    visible: np.ndarray
    weight: np.ndarray
    near_eye: np.ndarray
    away: np.ndarray
    cosine: np.ndarray


def view_surface(
    vertices: np.ndarray, triangles: np.ndarray, camera: Camera, skin_count: int | None = None
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


def label_masks(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.float32]:
    """(h, w, L) float32 smoothed masks of the L labels of (H, W), their values (L,), and (H, W)'s pixels in one of the
    masks'.

    Borders are smoothed, because pixel steps would show where texels are finer than pixels. Labels of large crops are
    subsampled to the resolution of the parsing.
    """
    step = max(1, max(labels.shape) // LABELS_SIDE)
    small = labels[step // 2 :: step, step // 2 :: step]
    values = np.flatnonzero(np.bincount(small.ravel())).astype(labels.dtype)
    masks = np.zeros((*small.shape, len(values)), np.float32)
    margin = int(np.ceil(5 * UNWRAPPING.label_border))  # OpenCV's filter ends before
    for index, label in enumerate(values):
        own = (small == label).view(np.uint8)
        x, y, width, height = cv2.boundingRect(own)
        around = np.s_[max(y - margin, 0) : y + height + margin, max(x - margin, 0) : x + width + margin]
        masks[(*around, index)] = cv2.GaussianBlur(own[around].astype(np.float32), (0, 0), UNWRAPPING.label_border)
    return masks, values, np.float32(step)


@njit(cache=True)
def _label_at(masks, values, step, x, y):
    """The likeliest label at a point."""
    result, most = np.uint8(0), np.float32(0.0)
    for index in range(len(values)):
        share = bilinear(masks, x / step, y / step, index)
        if share > most:
            result, most = values[index], share
    return result


@njit(cache=True, parallel=True, nogil=True)
def _labels_at(masks, values, step, positions, out):
    for i in prange(len(positions)):
        out[i] = _label_at(masks, values, step, positions[i, 0], positions[i, 1])


def sample_labels(labels: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """(P,) uint8, the likeliest label at positions (P, 2) of labels (H, W)."""
    out = np.empty(len(positions), labels.dtype)
    _labels_at(*label_masks(labels), np.ascontiguousarray(positions, np.float32), out)
    return out


def picture_for(face: PhotoFace, pixels_per_metre: float, density: float) -> tuple[np.ndarray, np.ndarray, np.float32]:
    """A photo for ``sampled_bytes`` by texels, ``density`` a metre, its ``byte_taps``, and its pixels in one of the
    crop's: reduced where texels would skip pixels."""
    pixels, scale = face.pixels, min(1.0, 1.3 * density / pixels_per_metre)
    if scale > 0.8:
        return pixels, byte_taps(cv2.INTER_CUBIC), np.float32(1.0)
    size = tuple(max(1, round(scale * side)) for side in pixels.shape[1::-1])
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return small, byte_taps(cv2.INTER_LINEAR), np.float32(scale)


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


def _edges(face: PhotoFace) -> np.ndarray:
    """(4,) float32 left, top, right and bottom of the photograph in its crop. A crop may extend beyond the file's edge;
    its padding shows nothing."""
    size, offset = np.array(face.pixels.shape[1::-1], np.float64), np.array(face.crop_offset)
    first = np.maximum(-offset * face.crop_scale, 0.0)
    last = np.minimum((np.array(face.source_size) - offset) * face.crop_scale, size)
    return np.concatenate([first, last]).astype(np.float32)


_BARE_FACE, _BROWS = 1, 2
_KINDS = np.zeros(256, np.uint8)
_KINDS[list(_FACE_CLASSES)] = _BARE_FACE
_KINDS[FaceClass.BROWS] |= _BROWS


def unwrap_photo(face: PhotoFace, view: SurfaceView, atlas: SurfaceAtlas, texels_per_metre: float) -> PhotoUnwrap:
    """Sample one photo at the atlas's texels and weight it; the atlas must cover only ``view``'s vertices."""
    count, pixel = len(atlas.texel), 1.0 / view.pixels_per_metre
    values = np.concatenate([view.pixels, view.visible[:, None], view.cosine[:, None]], 1)
    picture, taps, scale = picture_for(face, view.pixels_per_metre, texels_per_metre)
    labels = face.labels
    away, inner = (
        label_distance(labels, np.array(classes), view.pixels_per_metre)[..., None]
        for classes in (_BESIDE_FACE, (FaceClass.MOUTH_INTERIOR,))
    )
    away = np.maximum(away - np.float32(pixel), 0.0)  # labels end on one of two pixels
    beside_brows = away
    if (labels == FaceClass.GLASSES).any():
        beside_brows = label_distance(labels, np.array(_BESIDE_GLASSES), view.pixels_per_metre)[..., None]
    masks, classes, step = label_masks(labels)
    results = np.empty((count, 3), np.float32), np.empty(count, np.uint8)
    shares = (np.empty(count, np.float32) for _ in range(5))
    arrays = (
        *(atlas.triangles, atlas.triangle, atlas.barycentrics, values, picture, taps, LINEAR_OF_BYTES),
        *(view.outline_distance[..., None], away, beside_brows, inner, masks, classes, _KINDS, _edges(face)),
    )
    scales = scale, np.float32(view.outline_scale), step, max(0.0008, 0.8 * pixel)
    results = *results, *shares
    _unwrap(*map(np.ascontiguousarray, arrays), *scales, *results)
    return PhotoUnwrap(*results)


@njit(cache=True, parallel=True, nogil=True)
def _unwrap(
    triangles, triangle, barycentrics, values, picture, taps, light, outline, away, beside_brows, inner, masks,
    classes, kinds, edges, scale, outline_scale, step, pixel,
    linear, chosen, seen, weight, near_eye, clear_of, cosines,
):  # fmt: skip
    for i in prange(len(triangle)):
        corners, shares = triangles[triangle[i]], barycentrics[i]
        x, y = value_at(values, corners, shares, 0), value_at(values, corners, shares, 1)
        visible, cosine = value_at(values, corners, shares, 2), value_at(values, corners, shares, 3)
        red, green, blue = sampled_bytes(picture, taps, x * scale, y * scale)
        linear[i, 0], linear[i, 1], linear[i, 2] = light[red], light[green], light[blue]
        label = _label_at(masks, classes, step, x, y)
        kind, chosen[i] = kinds[label], label
        inside = min(min(x - edges[0], edges[2] - x), min(y - edges[1], edges[3] - y))
        border = bilinear(outline, x * outline_scale, y * outline_scale, 0)
        shown = smoothstep_at(0.5, 1.0, visible) * smoothstep_at(0.15, 0.5, cosine)
        shown = shown * smoothstep_at(0.0008, 0.003, border) * smoothstep_at(0.0, 4.0, inside)
        distance = bilinear(beside_brows if kind & _BROWS else away, x, y, 0)
        brightest = max(light[red], light[green], light[blue])
        exposed = np.float32(1.0) - np.float32(0.9) * smoothstep_at(0.88, 0.99, brightest)
        clean = smoothstep_at(0.0015, 0.008, distance) * smoothstep_at(0.0, pixel, bilinear(inner, x, y, 0))
        seen[i], weight[i] = shown, shown * exposed * clean * np.float32(kind & _BARE_FACE)
        near_eye[i] = shown * exposed * smoothstep_at(0.0, 0.003, distance)
        clear_of[i], cosines[i] = distance, cosine


def above_eyes(surface: HeadSurface, positions: np.ndarray) -> np.ndarray:
    """(V,) 1 on the forehead and the brows, 0 from the lids down; positions (V, 3) neutral, metres."""
    brows = positions[surface.regions["brows"] > 0.5, 1]
    low, middle = float(brows.min()), float(np.median(brows))
    return smoothstep(low, middle, positions[:, 1]) * surface.regions["face"]


def wears_hat(unwrap: PhotoUnwrap, top: np.ndarray) -> float:
    """How surely, in [0, 1], a photo shows a hat: of what it shows on the head's top (P,), ``top`` in [0, 1], most is
    labelled occluder and little is hair or skin."""
    shown = unwrap.visible * top
    total = float(shown.sum())
    if total <= 0.0:
        return 0.0
    share = float((shown * (unwrap.labels == FaceClass.OCCLUDER)).sum()) / total
    return float(smoothstep(*UNWRAPPING.hat_share, share))


def clear_of_hat(unwrap: PhotoUnwrap, below: np.ndarray) -> np.ndarray:
    """(P,) factor in [0, 1] of a photo's weight: low on skin below a hat (``below`` (P,) in [0, 1]) within
    ``beside`` of its edge, where the hat's contact shadow and hair that sticks out are. Brows stay."""
    reach = UNWRAPPING.beside
    beside = smoothstep(reach, 0.5 * reach, unwrap.away) * (unwrap.labels == FaceClass.SKIN)
    return 1.0 - below * beside


@dataclass(frozen=True)
class PhotoSamples:
    """One photo sampled at the head's V vertices.

    Attributes
    ----------
    linear : (V, 3) linear light around each vertex, bare skin only.
    weight : (V,) 0 where no bare skin is visible.
    transfer : (V, 9) spherical-harmonics basis at the posed normals: shading = transfer @ light.
    light : (9, 3) the fit's.
    trust : 0-1, of the photo as a whole.
    monochrome : its channels are equal.
    coloured_light : it is lit by coloured lamps: light is solved per channel, but the remaining chroma is not the
        skin's.
    """

    linear: np.ndarray
    weight: np.ndarray
    transfer: np.ndarray
    light: np.ndarray
    trust: float
    monochrome: bool
    coloured_light: bool = False

    @property
    def colourless(self) -> bool:
        """Whether the photo's chroma is useless for skin colour."""
        return self.monochrome or self.coloured_light


def shading(transfer: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(V, 3) light on the surface, (V, 9) @ (9, 3), softly clamped above a share of its mean."""
    raw = transfer @ light
    floor = UNWRAPPING.shading_floor * np.maximum(raw.mean(0), 1e-4)
    return floor + np.logaddexp(0.0, (raw - floor) / (0.25 * floor)) * 0.25 * floor


def shading_contrast(samples: PhotoSamples) -> float:
    """Standard deviation of the log of the fit's shading over the visible skin."""
    logs = np.log(shading(samples.transfer, samples.light) @ np.array(LUMINANCE))
    return _spread(logs[:, None], samples.weight)


def colour_spread(linear: np.ndarray, weight: np.ndarray) -> float:
    """Weighted root mean square deviation of the log chroma of linear light (C, 3) from its mean; weight (C,)."""
    logs = np.log(np.maximum(linear, DARKEST))
    return _spread(logs - logs.mean(1, keepdims=True), weight)


def _spread(values: np.ndarray, weight: np.ndarray) -> float:
    """Weighted root mean square distance of values (C, K) from their mean; 0 if all weights (C,) are 0."""
    if not (weight > 0).any():
        return 0.0
    squares = ((values - np.average(values, axis=0, weights=weight)) ** 2).sum(1)
    return float(np.sqrt(np.average(squares, weights=weight)))


@dataclass(frozen=True)
class TexelRegions:
    """Masks (P,) at the texels of the atlas of working size.

    Attributes
    ----------
    lips, lids, plain : regions. near_ears : ears and their immediate surroundings. scalp : the top.
    """

    lips: np.ndarray
    lids: np.ndarray
    plain: np.ndarray
    near_ears: np.ndarray
    scalp: np.ndarray


def texel_regions(surface: HeadSurface, atlas: SurfaceAtlas, plain: np.ndarray, density: float) -> TexelRegions:
    """Sample vertex masks (V,) at an atlas's texels; density : texels per metre."""
    regions = surface.regions
    lids = np.maximum(regions["lids_left"], regions["lids_right"])
    masks = (regions["lips"], lids, plain, regions["ears"], regions["scalp"])
    stacked = np.stack(masks, 1)
    sampled = TexelRegions(*atlas.sample(stacked).T)
    return replace(sampled, near_ears=_dilated(sampled.near_ears, atlas, UNWRAPPING.margin * density))


def screen(
    unwrap: PhotoUnwrap, shading: np.ndarray, regions: TexelRegions, atlas: SurfaceAtlas, density: float
) -> np.ndarray:
    """The photo's weight (P,), lowered where by its labels it does not show the texture's own surface, and where skin
    beside hair and glasses is as dark as they are.

    shading : (P,) the fit's, up to a factor. atlas : of these texels; density : its texels per metre.
    """
    lids = smoothstep(0.0, 0.5, regions.lids)
    weight = unwrap.weight * (1.0 - lids) + unwrap.near_eye * lids
    weight = weight * ((regions.lips <= 0.5) | (unwrap.labels == FaceClass.LIPS))
    seen = unwrap.visible > SEEN
    elsewhere = (unwrap.labels == FaceClass.EARS) * (1.0 - regions.near_ears) * seen
    weight = weight * (1.0 - _dilated(elsewhere, atlas, UNWRAPPING.margin * density))
    weight = weight * (1.0 - _dilated((unwrap.labels == FaceClass.EYES) * seen, atlas, 1.0))
    skin = (regions.plain > 0.5) & (unwrap.labels == FaceClass.SKIN)
    if (sure := skin & (weight > 0.5)).any():
        light = np.log(np.maximum(unwrap.linear @ np.array(LUMINANCE, np.float32), DARKEST) / shading)
        darker = smoothstep(0.5 * UNWRAPPING.strand, UNWRAPPING.strand, np.median(light[sure]) - light)
        darker = darker * smoothstep(UNWRAPPING.beside, 0.5 * UNWRAPPING.beside, unwrap.away)
        bare = regions.plain * (unwrap.labels == FaceClass.SKIN)
        weight = weight * (1.0 - _dilated(darker * bare * seen, atlas, UNWRAPPING.margin * density))
    return weight.astype(np.float32)


def _dilated(bad: np.ndarray, atlas: SurfaceAtlas, margin: float) -> np.ndarray:
    """(P,) ``bad`` dilated by ``margin`` texels and softened; specks of one or two texels are ignored."""
    image = cv2.morphologyEx(atlas.image(bad.astype(np.float32)), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    radius = max(1, round(margin))
    return np.clip(atlas.gather(cv2.GaussianBlur(cv2.dilate(image, disc(radius)), (0, 0), 0.5 * radius)), 0.0, 1.0)


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
    face : the photo. view : positions of the vertices in the photo.
    unwrap : the photo at the texels of the atlas of working size; grey photos have three equal channels.
    samples : its skin at the cage's vertices.
    strained : (V,) in [0, 1], how far the expression folds plain skin, which is then no evidence for skin at rest.
    below_hat : (V,) in [0, 1], skin above the eyes in a photo that shows a hat.
    """

    face: PhotoFace
    view: SurfaceView
    unwrap: PhotoUnwrap
    samples: PhotoSamples
    strained: np.ndarray
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


ChosenPhoto = tuple[PhotoFace, FittedPhoto, SurfaceView]
"""A photo of ``choose_photos``, and the (subdivided) head in it: what texture and relief share."""


def with_view(surface: HeadSurface, face: PhotoFace, fit: FittedPhoto) -> ChosenPhoto:
    """One photo with the head in it."""
    posed = surface.lifted(fit.vertices[: surface.count].astype(np.float64))
    return face, fit, view_surface(posed, surface.triangles, fit.camera)


def chosen_views(surface: HeadSurface, fitted: FittedFace, faces: Sequence[PhotoFace]) -> list[ChosenPhoto]:
    """The photos to use. Raises as ``choose_photos`` does."""
    return each(lambda *photo: with_view(surface, *photo), *zip(*choose_photos(fitted, faces), strict=True))


def photo_trust(face: PhotoFace, fit: FittedPhoto) -> float:
    """Trust in a photo, above 0 and at most 1, from the fit's landmark error and the photo's quality."""
    fit_quality = float(np.exp(-max(fit.landmark_error_percent - 2.0, 0.0) / 4.0))
    return max((0.2 + 0.8 * face.quality.score) * fit_quality, 1e-3)


def plain_skin(surface: HeadSurface) -> np.ndarray:
    """(V,) 1 on skin without lips, brows, lids, hair and cavities."""
    r = surface.regions
    other = np.maximum.reduce(
        [r["lips"], r["brows"], r["lids_left"], r["lids_right"], r["mouth_interior"], r["eye_sockets"], r["scalp"]]
    )
    return np.clip((r["face"] + r["neck"] + r["ears"]) * (1.0 - smoothstep(0.1, 0.5, other)), 0.0, 1.0)


def under_jaw(surface: HeadSurface, positions: np.ndarray) -> np.ndarray:
    """(C,) mask in [0, 1] of neck and of what faces down below the lips, where shadows always fall; positions (V, 3)
    neutral, metres."""
    count = surface.count
    normals = vertex_normals(positions[:count], surface.cage_triangles)
    lips = float(np.median(positions[surface.regions["lips"] > 0.5, 1]))
    below = smoothstep(lips - 0.015, lips - 0.025, positions[:count, 1])
    return np.maximum(below * smoothstep(0.25, 0.65, -normals[:, 1]), surface.regions["neck"][:count])


def bare_skin(unwrap: PhotoUnwrap, plain: np.ndarray) -> np.ndarray:
    """(P,) in [0, 1], how far a texel is skin by the photo's labels and by ``plain`` (P,), ``plain_skin`` at texels.
    Lower at grazing angles, where colours are unreliable."""
    bare = plain * np.isin(unwrap.labels, _BARE)
    return bare * smoothstep(0.2, 0.6, unwrap.cosine)


def prepare_photos(
    surface: HeadSurface, space: TextureSpace, fitted: FittedFace, chosen: Sequence[ChosenPhoto], density: float
) -> list[TexturePhoto]:
    """Project each chosen photo onto the surface, most trusted first.

    Parameters
    ----------
    space : atlases at the working size, ``density`` texels per metre. chosen : of ``chosen_views``.
    """
    neutral = fitted.neutral[: surface.count].astype(np.float64)
    regions = texel_regions(surface, space.skin, plain_skin(surface), density)
    return each(
        lambda *photo: prepare_photo(surface, space, photo, neutral, regions, density), *zip(*chosen, strict=True)
    )


def prepare_photo(
    surface: HeadSurface,
    space: TextureSpace,
    photo: ChosenPhoto,
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
    face, fit, view = photo
    cage = fit.vertices[: surface.count].astype(np.float64)
    unwrap = unwrap_photo(face, view, space.skin, density)
    bare = bare_skin(unwrap, regions.plain)
    spread = colour_spread(*surface.at_cage(space.skin, unwrap.linear, unwrap.weight * bare))
    coloured_light = spread > UNWRAPPING.coloured_light
    if face.monochrome:
        grey = unwrap.linear @ np.array(LUMINANCE, np.float32)
        unwrap = replace(unwrap, linear=np.repeat(grey[:, None], 3, axis=1))
    transfer = sh.basis(view.normals)
    lit = space.skin.sample(shading(transfer, fit.light.astype(np.float64)) @ np.array(LUMINANCE)[:, None])[:, 0]
    weight = screen(unwrap, lit, regions, space.skin, density)
    below_hat = np.zeros(len(transfer))
    hat = wears_hat(unwrap, regions.scalp)
    if hat > 0.0:
        below_hat = hat * above_eyes(surface, surface.lifted(neutral))
        weight = weight * clear_of_hat(unwrap, space.skin.sample(below_hat[:, None])[:, 0])
    unwrap = replace(unwrap, weight=weight)
    skin, seen = surface.at_cage(space.skin, unwrap.linear, unwrap.weight * bare)
    share = relative_weight(seen)
    lit_alike = 1.0 - below_hat[: surface.count]  # a hat's shade is no light of spherical harmonics
    samples = PhotoSamples(
        linear=skin,
        weight=share * (share > 0.02) * lit_alike,
        transfer=transfer[: surface.count],
        light=fit.light.astype(np.float64),
        trust=photo_trust(face, fit),
        monochrome=face.monochrome,
        coloured_light=coloured_light,
    )
    shortened = surface.lifted(compression(neutral, cage, surface.cage_triangles))
    strained = (smoothstep(*UNWRAPPING.strained, shortened) * plain_skin(surface)).astype(np.float32)
    return TexturePhoto(face, view, unwrap, samples, strained, below_hat.astype(np.float32))


def labelled_share(atlas: SurfaceAtlas, photos: Sequence[TexturePhoto], face_class: FaceClass) -> np.ndarray:
    """(S, S) in [0, 1], weighted share of the photos that label a texel ``face_class``."""
    votes = [p.samples.trust * p.unwrap.weight * (p.unwrap.labels == face_class) for p in photos]
    total = sum(p.samples.trust * p.unwrap.weight for p in photos)
    return atlas.image((sum(votes) / np.maximum(total, 1e-3)).astype(np.float32))


BEARD_DIFFERENCE_SHARE = 0.5
"""Share of the chin: a photo that differs from the others by more than half the chin shows another beard."""
LEAST_CHIN = 0.3
"""Share of the chin that a photo has to show to count: a third, so that a head from the side still counts."""
_SHAVEN_OR_NOT = (FaceClass.SKIN, FaceClass.FACIAL_HAIR)


def with_consistent_beards(
    template: Template, fitted: FittedFace, faces: Sequence[PhotoFace], leader: str = ""
) -> tuple[PhotoFace, ...]:
    """Label the lower face ``CONTRADICTED_LABEL`` in photos whose chin is bearded where the look's is bare, or the
    reverse. The photo ``leader`` decides; where it does not show the chin, the median weighted by the photos' trust.
    Moustaches alone are left unchanged.

    ``faces`` : (P,) in the order of ``fitted.photos``.
    """
    surface = head_surface(template)
    chin = surface.regions["chin"][: surface.count]
    bearded = np.array([_bearded(surface, chin, face, photo) for face, photo in zip(faces, fitted.photos, strict=True)])
    known = np.isfinite(bearded)
    if known.sum() < 2 or np.ptp(bearded[known]) <= BEARD_DIFFERENCE_SHARE:
        return tuple(faces)
    trust = np.array([photo_trust(face, photo) for face, photo in zip(faces, fitted.photos, strict=True)])
    leads = np.array([photo.name == leader for photo in fitted.photos]) & known
    usual = bearded[leads][0] if leads.any() else weighted_quantile(bearded[known, None], trust[known], 0.5)[0]
    place = beard_region(surface, fitted.neutral[: surface.count])
    other = known & (np.abs(bearded - usual) > BEARD_DIFFERENCE_SHARE)
    return tuple(
        _without_beard(surface, place, face, photo) if odd else face
        for face, photo, odd in zip(faces, fitted.photos, other, strict=True)
    )


def _bearded(surface: HeadSurface, chin: np.ndarray, face: PhotoFace, photo: FittedPhoto) -> float:
    """Share of the visible chin that a photo labels as beard; NaN if too little of it is visible."""
    view = view_surface(photo.vertices[: surface.count].astype(np.float64), surface.cage_triangles, photo.camera)
    labels = sample_labels(face.labels, view.pixels)
    shown = chin * view.visible * np.isin(labels, _SHAVEN_OR_NOT)
    if shown.sum() < LEAST_CHIN * chin.sum():
        return float("nan")
    return float((shown * (labels == FaceClass.FACIAL_HAIR)).sum() / shown.sum())


def beard_region(surface: HeadSurface, positions: np.ndarray) -> np.ndarray:
    """(C,) mask in [0, 1] on the cage: cheeks, jaw, chin and upper lip below half way from mouth to eyes."""
    regions = {name: region[: surface.count] for name, region in surface.regions.items()}
    lids = np.maximum(regions["lids_left"], regions["lids_right"])
    mouth, eyes = (float(np.median(positions[region > 0.5, 1])) for region in (regions["lips"], lids))
    half = mouth + 0.5 * (eyes - mouth)
    below = smoothstep(half + 0.006, half - 0.006, positions[:, 1])
    elsewhere = np.maximum.reduce([regions["lips"], regions["nose"], regions["mouth_interior"], regions["ears"]])
    return below * (1.0 - elsewhere) * np.maximum(regions["face"], regions["neck"])


def _without_beard(surface: HeadSurface, place: np.ndarray, face: PhotoFace, photo: FittedPhoto) -> PhotoFace:
    """The face with its beard, and skin where beards grow, labelled ``CONTRADICTED_LABEL``."""
    height, width = face.labels.shape
    scale = min(1.0, LABELS_SIDE / max(height, width))
    drawn = render_linear(
        photo.vertices[: surface.count],
        surface.cage_triangles,
        photo.camera.scaled(scale),
        colors=np.repeat(place[:, None], 3, axis=1),
        supersample=1,
    )
    there = cv2.resize(drawn.color[..., 0], (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    there = (there & np.isin(face.labels, _SHAVEN_OR_NOT)) | (face.labels == FaceClass.FACIAL_HAIR)
    return replace(face, labels=np.where(there, np.uint8(CONTRADICTED_LABEL), face.labels))
