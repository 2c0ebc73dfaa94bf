"""Render a mesh to a picture (previews, masks, trainer): textured or vertex-coloured, SH-lit, antialiased."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from backend.geometry.vectors import unit, vertex_normals
from backend.rendering.camera import Camera
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.rendering.interpolate import Fragments, fragment_barycentrics, fragment_values, fragments, sample_points
from backend.rendering.rasterize import face_ids
from backend.rendering.spherical_harmonics import light_from_directions, shade

CLAY = 0.55
"""Linear albedo of a mesh without colours."""

_KEY, _FILL = np.array([0.48, 0.62, 0.62]), np.array([-0.85, 0.05, 0.52])
STUDIO_LIGHT: np.ndarray = light_from_directions(
    np.stack([_KEY / np.linalg.norm(_KEY), _FILL / np.linalg.norm(_FILL)]),
    np.array([[0.85, 0.85, 0.85], [0.20, 0.20, 0.20]]),
    0.07,
)
"""(9, 3) SH light of a white lamp from the person's upper left and a weak one from the right; for clay previews."""


@dataclass(frozen=True)
class Rendering:
    """A rendered picture in linear light.

    Attributes
    ----------
    color : (H, W, 3) float32 linear, premultiplied by alpha. alpha : (H, W) float32 share of the pixel covered.
    depth : (sH, sW) float32 metres at each of a pixel's s x s samples, inf where there is no face; None unless asked.
    """

    color: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray | None = None

    def over(self, background: np.ndarray | tuple[float, float, float]) -> np.ndarray:
        """(H, W, 3) uint8 sRGB over a background in sRGB: (H, W, 3) uint8, or three values 0-255."""
        behind = linear_from_srgb(np.asarray(background, np.float32) / 255)
        return srgb_bytes(self.color + behind * (1 - self.alpha[..., None]))


def render_linear(
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    *,
    colors: np.ndarray | None = None,
    texture: np.ndarray | None = None,
    uv: np.ndarray | None = None,
    uv_faces: np.ndarray | None = None,
    light: np.ndarray | None = None,
    normals: np.ndarray | None = None,
    openness: np.ndarray | None = None,
    supersample: int = 2,
    with_depth: bool = False,
) -> Rendering:
    """Render a mesh in linear light: albedo times SH shading, Lambert only, no cast shadows.

    Parameters
    ----------
    vertices : (V, 3) head frame, metres. faces : (F, 3) counter-clockwise from outside.
    camera : its size is the picture's.
    colors : (V, 3) linear albedo per vertex; or
    texture : (h, w, 3 or 4) albedo, uint8 taken as sRGB, float as linear, row 0 at v = 1, with uv : (T, 2) v up and
        uv_faces : (F, 3). With neither the mesh is grey clay.
    light : (9, 3) or (9, 1) as in ``spherical_harmonics``. None: unlit colours; clay gets ``STUDIO_LIGHT``.
    normals : (V, 3) unit shading normals; smooth ones of the mesh by default. Flipped towards the camera on back faces.
    openness : (V,) share in [0, 1] of the light that reaches a vertex from outside; the albedo reflects the rest of it
        again and again. 1 everywhere by default.
    supersample : samples per pixel along each axis. with_depth : whether to return ``Rendering.depth``.

    Raises
    ------
    ValueError : texture without uv and uv_faces, or colours and texture together.
    """
    if texture is not None and (uv is None or uv_faces is None or colors is not None):
        raise ValueError("a texture needs uv and uv_faces, and no vertex colours")
    width, height = camera.size
    large = camera.scaled(supersample)
    positions = np.asarray(vertices, np.float64)
    points = torch.from_numpy(large.project(positions).astype(np.float32))[None]
    triangles = torch.from_numpy(np.array(faces, np.int64))
    ids = face_ids(points, triangles, (large.size[1], large.size[0]))
    found = fragments(ids, triangles)
    weights = fragment_barycentrics(points, found)
    if texture is not None:
        color = _sample(texture, uv, uv_faces, found, weights)
    elif colors is not None:
        color = fragment_values(_tensor(colors)[None], found, weights)
    else:
        color = torch.full((len(found.pixel), 3), CLAY)
        light = STUDIO_LIGHT if light is None else light
    if openness is not None:
        share = fragment_values(_tensor(openness)[None, :, None], found, weights).clamp(min=1e-3)
        color = color * share / (1.0 - color * (1.0 - share))
    if light is not None:
        if normals is None:
            normals = vertex_normals(positions, np.asarray(faces))
        normal = fragment_values(_tensor(normals)[None], found, weights)
        seen_from = torch.from_numpy((camera.centre() - positions).astype(np.float32))
        view = fragment_values(seen_from[None], found, weights)
        away = ((normal * view).sum(-1) < 0) & _is_back(points, triangles).index_select(0, found.face)
        normal = unit(torch.where(away[:, None], -normal, normal))
        color = color * shade(normal, _tensor(light)).clamp(min=0)
    canvas = found.scatter(torch.cat([color, torch.ones_like(color[:, :1])], -1))[0]  # (sH, sW, 4)
    samples = canvas.view(height * supersample, width * supersample, 4).numpy()
    pixels = cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)
    depth = None
    if with_depth:
        depth = found.scatter(fragment_values(points[..., 2:], found, weights), torch.inf)[0, ..., 0].numpy()
    return Rendering(pixels[..., :3], pixels[..., 3], depth)


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _is_back(points: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
    """(F,) bool: the face is a back face (clockwise)."""
    a, b, c = points[0, :, :2][triangles].unbind(1)
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) > 0


def _sample(
    texture: np.ndarray, uv: np.ndarray, uv_faces: np.ndarray, found: Fragments, weights: torch.Tensor
) -> torch.Tensor:
    """(P, 3) linear texture colours, bilinear, from the mip level that fits the picture's resolution."""
    texture = np.asarray(texture)[..., :3]
    image = torch.from_numpy(np.ascontiguousarray(linear_from_srgb(texture) if texture.dtype == np.uint8 else texture))
    image = image.float().permute(2, 0, 1)[None]  # (1, 3, h, w)
    height, width = texture.shape[:2]
    triangles, coordinates = torch.from_numpy(np.array(uv_faces, np.int64)), _tensor(uv)
    first, second, third = (coordinates[triangles[:, i]] for i in range(3))  # (F, 2)
    place = first[found.face] * weights[:, :1]  # (P, 2)
    place += second[found.face] * weights[:, 1:2]
    place += third[found.face] * weights[:, 2:]
    seen = torch.zeros(len(triangles), dtype=torch.bool).index_fill_(0, found.face, True)
    a, b, c = (corner[seen] * torch.tensor([width, height]) for corner in (first, second, third))
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs().sum() / 2
    texels_per_sample = float(area) / max(1, len(place))
    level = int(np.clip(np.floor(np.log2(max(1.0, texels_per_sample)) / 2 + 0.25), 0, np.log2(min(height, width))))
    if level > 0:
        image = avg_pool2d(image, 2**level)
    grid = torch.stack([2 * place[:, 0] - 1, 1 - 2 * place[:, 1]], -1)
    return sample_points(image, grid[None])[0]
