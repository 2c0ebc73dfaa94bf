"""Depth maps as surfaces: to a mesh, into a view and back, with the reprojection of Unsup3D and LAP, and LAP's light.

The canonical depth grid, two triangles a cell, is rasterized for depth only. Colours come by warping the view's pixel
grid back into the canonical frame and sampling the canonical image there, so that no gradient passes through
rasterized texture. Light is ambient plus one distant lamp; normals point *into* the scene (z > 0 where the surface
faces the camera) and the light's direction is that of its rays, as in Unsup3D.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import grid_sample, normalize, pad

from backend.rendering.camera import CanonicalCamera, View
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids

DEPTH_RANGE = (0.8, 1.2)
"""LAP's canonical depth of 0.9-1.1 with a margin of 0.1: a view's depth is clamped to it, empty pixels get its end."""

_RIM = 1e-3
"""Pixels by which the outermost vertices are moved outwards, so that rounding does not lose their pixels."""


@dataclass(frozen=True)
class ViewedSurface:
    """A canonical depth map in a view.

    Attributes
    ----------
    depth : (N, H, W) clamped to the depth range, the range's end where the view is empty; differentiable.
    mask : (N, H, W) bool, pixels covered by the surface.
    grid : (N, H, W, 2) position of each pixel of the view in the canonical image, in ``grid_sample``'s units
        (align_corners=False); differentiable.
    """

    depth: torch.Tensor
    mask: torch.Tensor
    grid: torch.Tensor

    def sample(self, canonical: torch.Tensor) -> torch.Tensor:
        """Warp a canonical image (N, C, H, W) into the view (N, C, H, W), bilinear; meaningless outside the mask."""
        return grid_sample(canonical, self.grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def grid_faces(height: int, width: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """(2 (H-1) (W-1), 3) int64 faces of a pixel grid with vertex index row * W + column; front faces the camera."""
    return _grid_faces(height, width, str(device))


@lru_cache(maxsize=32)
def _grid_faces(height: int, width: int, device: str) -> torch.Tensor:
    index = torch.arange(height * width, device=device).view(height, width)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    return torch.stack([torch.stack([a, b, c], -1), torch.stack([c, b, d], -1)], 2).view(-1, 3)


@lru_cache(maxsize=32)
def _pixel_grid(height: int, width: int, rim: float, device: str, dtype: torch.dtype) -> torch.Tensor:
    """(H, W, 2) x, y of pixel centres, with the outermost moved out by ``rim``."""
    x = torch.arange(width, device=device, dtype=dtype) + 0.5
    y = torch.arange(height, device=device, dtype=dtype) + 0.5
    for line in (x, y):
        line[0] -= rim
        line[-1] += rim
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def points_from_depth(depth: torch.Tensor, camera: CanonicalCamera, *, rim: float = 0.0) -> torch.Tensor:
    """Camera-frame points (N, H, W, 3) of a depth map (N, H, W) at its pixel centres."""
    _, height, width = depth.shape
    return camera.unproject(_pixel_grid(height, width, rim, str(depth.device), depth.dtype), depth)


def normals_from_depth(depth: torch.Tensor, camera: CanonicalCamera, guard: float = 0.0) -> torch.Tensor:
    """Unit normals (N, H, W, 3) by central differences, pointing into the scene (see ``lambert``).

    The border has no neighbours on one side and gets (0, 0, 1), as in Unsup3D. ``guard`` is added to a cross product's
    length before it divides it, which shortens the normals, as Unsup3D's code does with 1e-7.
    """
    points = points_from_depth(depth, camera)
    across = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    down = points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
    crossed = torch.linalg.cross(across, down)
    inner = normalize(crossed, dim=-1, eps=1e-12)
    if guard:
        length = crossed.norm(dim=-1, keepdim=True)
        inner = inner * (length / (length + guard))
    framed = pad(inner, (0, 0, 1, 1, 1, 1))
    border = torch.ones_like(framed[..., 2], dtype=torch.bool)
    border[:, 1:-1, 1:-1] = False
    return torch.stack([framed[..., 0], framed[..., 1], torch.where(border, 1.0, framed[..., 2])], -1)


def view_surface(
    depth: torch.Tensor,
    view: View,
    camera: CanonicalCamera,
    *,
    depth_range: tuple[float, float] = DEPTH_RANGE,
    backend: str = "auto",
) -> ViewedSurface:
    """Move a canonical depth map (N, H, W) by a view and render it in the canonical camera.

    Differentiable in the depth and the view. backend : see ``rasterize.face_ids``.
    """
    count, height, width = depth.shape
    faces = grid_faces(height, width, depth.device)
    points = camera.project(view.apply(points_from_depth(depth, camera, rim=_RIM).view(count, -1, 3)))
    found = fragments(face_ids(points, faces, (height, width), backend=backend), faces)
    seen = fragment_values(points[..., 2:], found, fragment_barycentrics(points, found))
    near, far = depth_range
    viewed = found.scatter(seen[:, 0], far).clamp(near, far)
    mask = torch.zeros(count * height * width, dtype=torch.bool, device=depth.device)
    mask[found.pixel] = True
    grid = _grid_units(camera.project(view.undo(points_from_depth(viewed, camera))), camera)
    return ViewedSurface(viewed, mask.view(count, height, width), grid)


def view_grid(depth: torch.Tensor, view: View, camera: CanonicalCamera) -> torch.Tensor:
    """Positions in the view of a canonical depth map's pixels (N, H, W): (N, H, W, 2) for ``grid_sample``."""
    return _grid_units(camera.project(view.apply(points_from_depth(depth, camera))), camera)


def unwarp_to_canonical(
    image: torch.Tensor,
    depth: torch.Tensor,
    viewed: ViewedSurface,
    view: View,
    camera: CanonicalCamera,
    *,
    tolerance: float = 0.01,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Warp an image of the view (N, C, H, W) back to the canonical frame, with its visibility.

    Parameters
    ----------
    depth : (N, H, W) canonical. viewed : result of ``view_surface`` for it.
    tolerance : depth by which a canonical pixel may be behind the view's depth there and still count as visible.

    Returns
    -------
    (N, C, H, W) image sampled at every canonical pixel, and (N, H, W) bool: visible in the view, inside its borders.
    """
    placed = camera.project(view.apply(points_from_depth(depth, camera)))
    grid = _grid_units(placed, camera)
    colors = grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
    nearest = grid_sample(
        torch.where(viewed.mask, viewed.depth, viewed.depth.new_tensor(torch.inf))[:, None].detach(),
        grid,
        mode="nearest",
        padding_mode="zeros",
        align_corners=False,
    )[:, 0]
    inside = (grid.abs() <= 1).all(-1)
    return colors, inside & (placed[..., 2] <= nearest + tolerance)


def _grid_units(pixels: torch.Tensor, camera: CanonicalCamera) -> torch.Tensor:
    """Pixel positions (..., 2 or more) in grid_sample's units: -1 and 1 at the picture's borders."""
    height, width = camera.size
    return pixels[..., :2] * pixels.new_tensor([2 / width, 2 / height]) - 1


@dataclass(frozen=True)
class LambertLight:
    """One light per image.

    Attributes
    ----------
    ambient, diffuse : (N,) strengths in [0, 1]. direction : (N, 3) unit vector along which light travels, z > 0.
    """

    ambient: torch.Tensor
    diffuse: torch.Tensor
    direction: torch.Tensor


def light_from_network(outputs: torch.Tensor) -> LambertLight:
    """The light of four tanh outputs (N, 4): ambient and diffuse x / 2 + 1 / 2, direction normalize(dx, dy, 1)."""
    ambient, diffuse = (outputs[:, :2] / 2 + 0.5).unbind(1)
    slope = torch.cat([outputs[:, 2:4], torch.ones_like(outputs[:, :1])], 1)
    return LambertLight(ambient, diffuse, torch.nn.functional.normalize(slope, dim=1))


def lambert_shading(normals: torch.Tensor, light: LambertLight) -> torch.Tensor:
    """Shading (N, H, W) = ambient + diffuse max(0, n . l) of normals (N, H, W, 3) that point into the scene."""
    cosine = (normals * light.direction[:, None, None]).sum(-1).clamp(min=0)
    return light.ambient[:, None, None] + light.diffuse[:, None, None] * cosine


def lambert_image(albedo: torch.Tensor, normals: torch.Tensor, light: LambertLight) -> torch.Tensor:
    """Image (N, 3, H, W) in [-1, 1] = (albedo / 2 + 1 / 2) * shading * 2 - 1 of albedo (N, 3, H, W) in [-1, 1], with
    the ``lambert_shading`` of normals (N, H, W, 3)."""
    return (albedo / 2 + 0.5) * lambert_shading(normals, light)[:, None] * 2 - 1
