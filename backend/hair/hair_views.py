"""Evidence of each photograph about the hair: its mask, its occluders, and the depth of head and chest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numba
import numpy as np

from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.template import Template, triangles_from_quads
from backend.geometry.vectors import disc
from backend.hair.hull import BODY_ROWS
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.camera import Camera
from backend.rendering.visibility import depth_map

VIEW_SIDE = 112
"""Longer side of a view in pixels. A pixel is about 4 mm on a head, the thickness of a lock."""
_BEHIND = 0.006
"""Depth tolerance in metres: hair this far behind the head's surface still counts as visible, because the skull under
hair is fitted no more accurately."""
_CLOSED = 0.007
"""Metres: smaller gaps between locks are closed."""
_RIM = 0.015
"""Metres. Where most of the hair on top of a head is thinner than this, its thin parts are not hair: parsing nets label
the edges of bald heads as hair, while a full head's hair is at least 20 mm thick. Beside the head thin lines stay,
because hair may be seen at a grazing angle there."""
_RING = 24
"""Vertices of each ring of the body: the outline's error is 2 mm, half a pixel of a view."""
_INSIDE_NECK = (0.048, 0.070, -0.015, 0.650)
"""Metres: a ring as in ``BODY_ROWS``, above the first of these, that closes the gap below a raised head."""
_FACE = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.EYES, FaceClass.GLASSES, FaceClass.LIPS)
_DIRECTION_SIDE = 448
"""Longer side, in pixels, of the crop in which the strands' direction is measured: a pixel is as wide as ten hairs."""


@dataclass(frozen=True)
class HairView:
    """One photo's hair, H x W pixels.

    Attributes
    ----------
    name : of the photo.
    camera : for these pixels.
    hair : (H, W) float32, share of hair in each pixel. known : (H, W) float32, 0 where occluded or outside the photo.
    face : (H, W) float32, share of the face: skin, brows, eyes, glasses, lips.
    direction : (H, W, 2) float32, cosine and sine of twice the angle of the strands with the rows, times the structure
        tensor's coherence, 0 to 1.
    depth : (H, W) float32 metres to head and chest, inf beside them.
    trust : weight of this photo, above 0.
    """

    name: str
    camera: Camera
    hair: np.ndarray
    known: np.ndarray
    face: np.ndarray
    direction: np.ndarray
    depth: np.ndarray
    trust: float

    @property
    def pixels_per_metre(self) -> float:
        """Scale at the median depth of head and chest."""
        distance = float(np.median(self.depth[np.isfinite(self.depth)])) if np.isfinite(self.depth).any() else 1.0
        return float(self.camera.intrinsics[0, 0] / distance)


def hair_views(template: Template, fitted: FittedFace, faces: Sequence[PhotoFace]) -> tuple[HairView, ...]:
    """Make one view per fitted photo, in the fit's order; ``faces`` are matched by name."""
    by_name = {face.name: face for face in faces}
    return tuple(_view(template, photo, by_name[photo.name]) for photo in fitted.photos)


def _view(template: Template, photo: FittedPhoto, face: PhotoFace) -> HairView:
    height, width = face.labels.shape
    camera = photo.camera.scaled(VIEW_SIDE / max(height, width))
    size = camera.size
    rim = _bald_rim(template, photo, face)
    hair = ((face.labels == FaceClass.HAIR) & ~rim).astype(np.float32)
    known = (face.labels != FaceClass.OCCLUDER).astype(np.float32) * _inside_file(face)
    bare = (np.isin(face.labels, _FACE) | rim).astype(np.float32)
    hair, known, bare = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (hair, known, bare))
    body, rings = body_mesh(photo.vertices[: template.head.vertex_stop], template)
    vertices, triangles = closed_head(photo.vertices, template)
    depth = depth_map(np.concatenate([vertices, body]), np.concatenate([triangles, rings + len(vertices)]), camera)
    trust = (0.2 + 0.8 * face.quality.score) / (1 + photo.landmark_error_percent / 4)
    return HairView(photo.name, camera, hair, known, bare, strand_direction(face, size), depth, float(trust))


def _bald_rim(template: Template, photo: FittedPhoto, face: PhotoFace) -> np.ndarray:
    """(H, W) bool mask of the edge of a bald head that is labelled as hair: see ``_RIM``."""
    camera = photo.camera
    scalp = template.regions["scalp"][: template.head.vertex_stop] > 0.5
    middle = photo.vertices[: template.head.vertex_stop][scalp].mean(0)  # within the skull
    column, row, distance = camera.project(middle[None])[0]
    up = camera.project((middle + np.array([0.0, 0.05, 0.0]))[None])[0, :2] - [column, row]
    rows, columns = np.indices(face.labels.shape)
    across, down = columns - column, rows - row
    on_top = across * up[0] + down * up[1] > np.abs(across * up[1] - down * up[0])  # within 45 degrees of straight up
    hair = (face.labels == FaceClass.HAIR).astype(np.uint8)
    width = _RIM * float(camera.intrinsics[0, 0]) / distance  # pixels
    thin = hair > cv2.morphologyEx(hair, cv2.MORPH_OPEN, disc(max(1, round(0.5 * width))))
    if 2 * (thin & on_top).sum() <= (hair.astype(bool) & on_top).sum():  # thinned by its own edges alone
        return np.zeros_like(on_top)
    hidden = cv2.dilate((face.labels == FaceClass.OCCLUDER).astype(np.uint8), disc(max(1, round(width)))) > 0
    return thin & on_top & ~hidden  # below a hat a strip of hair is hair


def closed_head(vertices: np.ndarray, template: Template) -> tuple[np.ndarray, np.ndarray]:
    """Head and eyeballs of a face (V, 3), so that the eye sockets are closed: vertices (N, 3), triangles (T, 3)."""
    parts = [template.parts[name] for name in ("head", "eye_left", "eye_right")]
    faces = [triangles_from_quads(template.quads[part.face_start : part.face_stop]) for part in parts]
    return vertices[: max(part.vertex_stop for part in parts)], np.concatenate(faces)


def strand_direction(face: PhotoFace, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 2) ``HairView.direction`` at ``size`` (width, height), from the structure tensor of the log luminance."""
    scale = min(1.0, _DIRECTION_SIDE / max(face.labels.shape))
    fine = (round(face.labels.shape[1] * scale), round(face.labels.shape[0] * scale))
    grey = cv2.cvtColor(cv2.resize(face.pixels, fine, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    hair = cv2.resize((face.labels == FaceClass.HAIR).astype(np.uint8), fine, interpolation=cv2.INTER_NEAREST)
    hair = cv2.erode(hair, np.ones((5, 5), np.uint8)).astype(np.float32)  # the outline's own gradient is left out
    light = np.log(grey.astype(np.float32) + 8.0)
    dx, dy = (cv2.Sobel(light, cv2.CV_32F, *order) * hair for order in ((1, 0), (0, 1)))
    # strands run perpendicular to the gradient: twice their angle is twice the gradient's, plus half a circle
    tensor = np.stack([dy * dy - dx * dx, -2 * dx * dy, dx * dx + dy * dy], -1)
    tensor = cv2.resize(tensor, size, interpolation=cv2.INTER_AREA)
    tensor = cv2.GaussianBlur(tensor, (0, 0), 1.0)
    return tensor[..., :2] / np.maximum(tensor[..., 2:], 1e-6)


def _inside_file(face: PhotoFace) -> np.ndarray:
    """(H, W) 1 where the crop lies inside the photo, 0 in its padding."""
    height, width = face.labels.shape
    x = (np.arange(width) + 0.5) / face.crop_scale + face.crop_offset[0]
    y = (np.arange(height) + 0.5) / face.crop_scale + face.crop_offset[1]
    across, down = (x > 0) & (x < face.source_size[0]), (y > 0) & (y < face.source_size[1])
    return (down[:, None] & across).astype(np.float32)


def body_mesh(head_vertices: np.ndarray, template: Template) -> tuple[np.ndarray, np.ndarray]:
    """Neck and chest of the mean body, upright, moved to a head's neck: vertices (B, 3) metres, triangles (T, 3)."""
    neck = template.regions["neck"][: template.head.vertex_stop] > 0.8
    mean = template.vertices[: template.head.vertex_stop][neck].mean(0)
    offset = head_vertices[neck].mean(0) - mean
    angle = np.arange(_RING) / _RING * 2 * np.pi
    rows = np.concatenate([[_INSIDE_NECK], BODY_ROWS])
    half, front, back, y = (rows[:, k, None] for k in range(4))
    x = half * np.sin(angle)
    z = (front + back) / 2 + (front - back) / 2 * np.cos(angle)
    vertices = np.stack([x, np.broadcast_to(y, x.shape), z], -1).reshape(-1, 3) + offset
    start = (np.arange(len(rows) - 1)[:, None] * _RING + np.arange(_RING)).ravel()
    right = start - start % _RING + (start + 1) % _RING
    triangles = np.concatenate([np.stack([start, start + _RING, right], 1),
                                np.stack([right, start + _RING, right + _RING], 1)])  # fmt: skip
    return vertices, triangles


def silhouettes(points: np.ndarray, view: HairView) -> np.ndarray:
    """(N, H, W) uint8 masks of the visible parts of strands with dense points (N, M, 3); small gaps are closed.

    Points with a NaN are ignored.
    """
    to_pixels = (view.camera.intrinsics @ view.camera.camera_from_head[:3]).astype(np.float32)
    canvas = np.zeros((len(points), *view.depth.shape), np.uint8)
    _splat(np.ascontiguousarray(points, np.float32), to_pixels, view.depth + np.float32(_BEHIND), canvas)
    kernel = disc(max(1, round(_CLOSED * view.pixels_per_metre)))
    for picture in canvas:
        cv2.morphologyEx(picture, cv2.MORPH_CLOSE, kernel, dst=picture)
    return canvas


def along_hair(points: np.ndarray, pieces: int, view: HairView) -> np.ndarray:
    """(N,) sum over the view's hair pixels of the mean cosine of twice the angle between the foremost strands and
    ``HairView.direction``. points : (N, M, 3), ``pieces`` successive ones per strand."""
    to_pixels = (view.camera.intrinsics @ view.camera.camera_from_head[:3]).astype(np.float32)
    wanted = view.direction * (view.hair * view.known)[..., None]
    points = np.ascontiguousarray(points, np.float32)
    return _along(points, pieces, to_pixels, view.depth + np.float32(_BEHIND), wanted.astype(np.float32))


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _pixel(to_pixels, x, y, z):
    """Column, row and depth of a point by the projection (3, 4)."""
    depth = to_pixels[2, 0] * x + to_pixels[2, 1] * y + to_pixels[2, 2] * z + to_pixels[2, 3]
    column = (to_pixels[0, 0] * x + to_pixels[0, 1] * y + to_pixels[0, 2] * z + to_pixels[0, 3]) / depth
    row = (to_pixels[1, 0] * x + to_pixels[1, 1] * y + to_pixels[1, 2] * z + to_pixels[1, 3]) / depth
    return column, row, depth


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _along(points, pieces, to_pixels, limit, wanted):
    height, width = limit.shape
    count = points.shape[1]
    result = np.zeros(points.shape[0], np.float32)
    place = np.empty(count, np.int32)
    depths = np.empty(count, np.float32)
    cosines = np.empty(count, np.float32)
    front = np.empty(height * width, np.float32)
    total = np.empty(height * width, np.float32)
    number = np.empty(height * width, np.float32)
    for n in range(points.shape[0]):
        front[:] = np.inf
        total[:] = 0
        number[:] = 0
        last_column, last_row = np.float32(0.0), np.float32(0.0)
        for k in range(count):
            place[k] = -1
            x, y, z = points[n, k]
            column, row, depth = _pixel(to_pixels, x, y, z)
            if not depth > 0.01:
                continue
            dx, dy = column - last_column, row - last_row
            last_column, last_row = column, row
            if not (0 <= column < width and 0 <= row < height):
                continue
            i, j = int(row), int(column)
            if depth > limit[i, j]:
                continue
            pixel = i * width + j
            front[pixel] = min(front[pixel], depth)
            square = dx * dx + dy * dy
            if k % pieces and square > 1e-8:
                place[k], depths[k] = pixel, depth
                cosines[k] = ((dx * dx - dy * dy) * wanted[i, j, 0] + 2 * dx * dy * wanted[i, j, 1]) / square
        for k in range(count):
            pixel = place[k]
            if pixel >= 0 and depths[k] < front[pixel] + np.float32(0.006):
                total[pixel] += cosines[k]
                number[pixel] += 1
        for pixel in range(height * width):
            if number[pixel] > 0:
                result[n] += total[pixel] / number[pixel]
    return result


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _splat(points, to_pixels, limit, canvas):
    height, width = limit.shape
    for n in range(points.shape[0]):
        for k in range(points.shape[1]):
            x, y, z = points[n, k]
            column, row, depth = _pixel(to_pixels, x, y, z)
            if not depth > 0.01:
                continue
            if 0 <= column < width and 0 <= row < height and depth < limit[int(row), int(column)]:
                canvas[n, int(row), int(column)] = 1
