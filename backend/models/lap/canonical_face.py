"""LAP's result for one person, the canonical surface with its albedo and each photo's light and view, and its
pictures: in the views of photos, and as plaster.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from backend.models.lap.network import CanonicalMaps, LapConfig, Scene
from backend.photos.collection import PhotoFace
from backend.photos.faces import Window
from backend.rendering import depth_surface
from backend.rendering.camera import LAP_PIVOT, CanonicalCamera, View


@dataclass(frozen=True)
class PhotoAlignment:
    """Similarity from LAP's view of a photo to the square cut out of the photo: scale, offset and tilt.

    ``square_px = centre + scale * R(tilt) (view_px - centre) + offset``, with the middle of both as the centre. It is
    needed because crops of one person differ in size, place and tilt by more than the networks' views can express.

    Attributes
    ----------
    scale : factor. tilt : radians, clockwise in the picture. offset : (2,) pixels of the square.
    """

    scale: float = 1.0
    tilt: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)

    def to_square(self, points: np.ndarray, size: int) -> np.ndarray:
        """Convert view pixels (..., 2) to square pixels."""
        return (points - size / 2) @ self._linear().T + size / 2 + np.asarray(self.offset)

    def to_view(self, points: np.ndarray, size: int) -> np.ndarray:
        """Convert square pixels (..., 2) to view pixels."""
        return (points - size / 2 - np.asarray(self.offset)) @ np.linalg.inv(self._linear()).T + size / 2

    def _linear(self) -> np.ndarray:
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        return self.scale * np.array([[cos, -sin], [sin, cos]])


@dataclass(frozen=True)
class CanonicalPhoto:
    """LAP's result for one photo.

    Attributes
    ----------
    name : the photo's name.
    window : the upright square of ``PhotoFace.pixels`` that was the networks' input.
    alignment : from the networks' view to that square.
    rotation : (3, 3), translation : (3,) of the ``View``: R (p - pivot) + pivot + t, canonical to camera.
    ambient, diffuse : strengths of the light in [0, 1]; direction : (3,) unit vector along which it travels, canonical
        frame.
    depth : (S, S), albedo : (S, S, 3) sRGB in [0, 1]: the canonical face personalised to this photo's expression.
    """

    name: str
    window: Window
    alignment: PhotoAlignment
    rotation: np.ndarray
    translation: np.ndarray
    ambient: float
    diffuse: float
    direction: np.ndarray
    depth: np.ndarray
    albedo: np.ndarray

    def moved(self, points: np.ndarray) -> np.ndarray:
        """Canonical points (..., 3) in the frame of the photo's camera."""
        pivot = np.asarray(LAP_PIVOT)
        return (points - pivot) @ self.rotation.T + pivot + self.translation


@dataclass(frozen=True)
class CanonicalFace:
    """One person's face in LAP's canonical frame, from all photos; S is the networks' resolution.

    The frame is that of ``CanonicalCamera`` (x right, y down, z forward, the face at depth 1): the face is neutral,
    looks into the camera, and fills the square of ``photos.faces.crop.face_square``. One unit is about a metre.

    Attributes
    ----------
    depth : (S, S) float64. normals : (S, S, 3) unit vectors out of the surface.
    albedo : (S, S, 3) sRGB in [0, 1], without the photos' light.
    confidence : (S, S) in [0, 1], from visibility in the photos and the networks' own confidence.
    landmarks : (468, 3) MediaPipe's, projected from the photos onto the surface; landmark_weights : (468,) in [0, 1], 0
        where no photo shows the landmark.
    photos : in the order of the input faces.
    version : of the networks.
    """

    depth: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray
    confidence: np.ndarray
    landmarks: np.ndarray
    landmark_weights: np.ndarray
    photos: tuple[CanonicalPhoto, ...]
    version: str

    @property
    def camera(self) -> CanonicalCamera:
        """The camera of the maps."""
        return CanonicalCamera(self.depth.shape)


STUDIO = (0.35, 0.65, (0.35, -0.35))
"""Ambient, diffuse and slope of the studio light that shows surfaces: from above and the picture's right."""


@dataclass(frozen=True)
class RenderedFace:
    """Pictures (N, 3, S, S) in [-1, 1] of faces in views, undefined outside the mask, and the surfaces shown."""

    image: Tensor
    surface: depth_surface.ViewedSurface

    @property
    def mask(self) -> Tensor:
        """(N, S, S) bool."""
        return self.surface.mask


def view_of(face: CanonicalMaps, view: View, config: LapConfig) -> depth_surface.ViewedSurface:
    """The surfaces of N faces in one view each."""
    camera = CanonicalCamera(tuple(face.depth.shape[-2:]))
    return depth_surface.view_surface(face.depth, view, camera, depth_range=config.view_depth_range)


def render_face(face: CanonicalMaps, scene: Scene, config: LapConfig) -> RenderedFace:
    """Equation 1: N faces lit in the canonical frame, then seen in their photos' views."""
    surface = view_of(face, scene.view, config)
    return RenderedFace(surface.sample(face.shaded(scene.light)), surface)


def studio_light(count: int, like: Tensor) -> depth_surface.LambertLight:
    """The light ``STUDIO`` for ``count`` pictures, on the device of ``like``."""
    ambient, diffuse, slope = STUDIO
    direction = like.new_tensor([-slope[0], -slope[1], 1.0])
    direction = (direction / direction.norm()).expand(count, 3)
    return depth_surface.LambertLight(like.new_full((count,), ambient), like.new_full((count,), diffuse), direction)


def shaded_surface(depth: Tensor) -> Tensor:
    """(N, 3, S, S) in [0, 1]: depth maps (N, S, S) as white plaster under the studio's light."""
    camera = CanonicalCamera(tuple(depth.shape[-2:]))
    shading = depth_surface.lambert_shading(
        depth_surface.normals_from_depth(depth, camera), studio_light(len(depth), depth)
    )
    return shading.clamp(0, 1)[:, None].expand(-1, 3, -1, -1)


TILE = 256
"""Side of each picture on the sheet, in pixels."""
DEPTH_RANGE = (0.9, 1.1)
"""Canonical depths stored as 0 and 65535 in the depth picture."""
_VIEW_RANGE = (0.5, 1.5)
_LEAST_FACING = 0.12
"""Least cosine to the camera of the face's surface; below it is the depth step to the background."""
_BACKDROP = 0.15


@torch.inference_mode()
def canonical_pictures(face: CanonicalFace, faces: Sequence[PhotoFace]) -> dict[str, np.ndarray]:
    """Draw all pictures of a face, in sRGB unless said otherwise; ``faces`` are its photos, in its order.

    depth : (S, S) uint16 over ``DEPTH_RANGE``. normals : (S, S, 3) uint8, x right, y up, z out of the face, as usual.
    albedo : (S, S, 3) uint8. confidence : (S, S) uint8. photos : (H, W, 3) uint8, a row per photo: its square, LAP's
    reconstruction of it, and plaster and normals of its personalised face.
    """
    near, far = DEPTH_RANGE
    steps = np.round((face.depth - near) / (far - near) * 65535)
    return {
        "depth": np.clip(steps, 0, 65535).astype(np.uint16),
        "normals": _bytes(_normal_colours(face.normals)),
        "albedo": _bytes(face.albedo),
        "confidence": _bytes(face.confidence),
        "photos": np.concatenate([_photo_row(face, number, photo) for number, photo in enumerate(faces)]),
    }


def surface_cells(face: CanonicalFace) -> np.ndarray:
    """(S - 1, S - 1) bool mask of the cells between four pixels of the face, without the step to the background."""
    good = -face.normals[..., 2] > _LEAST_FACING
    good[[0, -1]] = good[:, [0, -1]] = False  # there are no valid normals at the border
    cells = good[:-1, :-1] & good[1:, :-1] & good[:-1, 1:] & good[1:, 1:]
    count, parts, sizes, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=4)
    if count < 2:
        return cells
    return parts == 1 + int(sizes[1:, cv2.CC_STAT_AREA].argmax())


def _enlarged(depth: np.ndarray, albedo: np.ndarray) -> tuple[Tensor, Tensor]:
    """Depth (1, T, T) and albedo (1, 3, T, T) in [-1, 1] at the sheet's resolution."""
    maps = np.concatenate([depth[None], albedo.transpose(2, 0, 1) * 2 - 1])
    large = torch.from_numpy(maps)[None]
    large = torch.nn.functional.interpolate(large, (TILE, TILE), mode="bicubic", align_corners=False)
    smooth = cv2.GaussianBlur(large[0, 0].numpy(), (0, 0), 0.6 * TILE / len(depth))  # removes interpolation ripples
    large[0, 0] = torch.from_numpy(smooth)
    return large[:, 0], large[:, 1:].clamp(-1, 1)


def _photo_row(face: CanonicalFace, number: int, source: PhotoFace) -> np.ndarray:
    """(T, 4 T, 3) one photo's row."""
    photo = face.photos[number]
    camera = CanonicalCamera((TILE, TILE))
    depth, albedo = _enlarged(photo.depth, photo.albedo)
    view = View(torch.from_numpy(photo.rotation)[None], torch.from_numpy(photo.translation)[None])
    normals = depth_surface.normals_from_depth(depth, camera)
    light = depth_surface.LambertLight(
        depth.new_tensor([photo.ambient]), depth.new_tensor([photo.diffuse]), torch.from_numpy(photo.direction)[None]
    )
    surface = depth_surface.view_surface(depth, view, camera, depth_range=_VIEW_RANGE)
    plaster = depth_surface.lambert_image(torch.full_like(albedo, 0.6), normals, studio_light(1, depth))
    colours = torch.from_numpy(_normal_colours(-normals.numpy())).permute(0, 3, 1, 2)
    own = depth_surface.lambert_image(albedo, normals, light) / 2 + 0.5
    corners = np.array([[0.0, 0.0], [TILE, 0.0], [0.0, TILE]])
    larger = TILE / len(face.depth)
    moved = photo.alignment.to_square(corners / larger, len(face.depth)) * larger
    to_square = cv2.getAffineTransform((corners - 0.5).astype(np.float32), (moved - 0.5).astype(np.float32))
    tiles = [photo.window.cut(source.pixels, TILE)]
    for values in (own, plaster / 2 + 0.5, colours):
        shaded = torch.where(surface.mask[:, None], surface.sample(values), _BACKDROP)[0]
        tile = cv2.warpAffine(_tile(shaded), to_square, (TILE, TILE), borderValue=[round(255 * _BACKDROP)] * 3)
        tiles.append(tile)
    return np.concatenate(tiles, axis=1)


def _normal_colours(normals: np.ndarray) -> np.ndarray:
    """Outward normals (..., 3) in the camera's axes to colours in [0, 1]: red right, green up, blue out of the face."""
    return normals * np.array([0.5, -0.5, -0.5]) + 0.5


def _tile(picture: Tensor) -> np.ndarray:
    """(3, H, W) in [0, 1] to (H, W, 3) uint8."""
    return _bytes(picture.permute(1, 2, 0).numpy())


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
