"""The detail net's input: the square of UV map ``Head`` where skin wrinkles, the map of an expression's strain, and a
photo's skin in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
from scipy import sparse

from backend.geometry.template import Template
from backend.geometry.vectors import smoothstep, squared_lengths, unit_vectors, vertex_normals
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import LUMINANCE
from backend.texture.surface import HeadSurface, SurfaceAtlas, UvChart, build_atlases, head_surface

ORIGIN = (0.1, 0.14)
"""Left and lower edge of the window in UV map ``Head``; with ``SIDE`` it contains forehead, cheeks and chin."""
SIDE = 0.8
"""Side of the window in sides of the UV map."""
_FADE = (0.15, 0.6)
"""Mask values of an excluded region between which displacement fades out."""


@dataclass(frozen=True)
class DetailWindow:
    """The window at one size: N texels a side, row 0 is the top; V vertices of the subdivided head.

    Attributes
    ----------
    surface : the head. atlas : the face's own chart in the window.
    allowed : (N, N) float32 in [0, 1], where skin may be displaced: the face and its surroundings without lips, lid
        rims, ears and cavities, where displacement would break contact.
    """

    surface: HeadSurface
    atlas: SurfaceAtlas
    allowed: np.ndarray

    @property
    def size(self) -> int:
        """N."""
        return self.atlas.resolution

    def image(self, values: np.ndarray) -> np.ndarray:
        """(N, N, C) float32 image of vertex values (V, C); zero where the window has no skin."""
        return self.atlas.image(self.atlas.sample(values))

    def frames(self, positions: np.ndarray) -> SurfaceFrames:
        """Frames of the subdivided head at positions (V, 3)."""
        right, down = (self._slopes @ positions).reshape(2, -1, 3)
        a, c = squared_lengths(right)[:, None] + 1e-12, squared_lengths(down)[:, None] + 1e-12
        b = (right * down) @ np.ones((3, 1))
        across = np.stack([c * right - b * down, a * down - b * right], 1) / (a * c - b * b)[..., None]
        return SurfaceFrames(vertex_normals(positions, self.surface.triangles), np.stack([right, down], -1), across)

    @cached_property
    def _slopes(self) -> sparse.csr_matrix:
        """(2 V, V): of values at the vertices, their derivatives by the window's x, then by its y, averaged over the
        faces around each vertex by area in the map."""
        surface = self.surface
        own, count = surface.triangles[surface.main], len(surface.regions["face"])
        corners = surface.uv[surface.uv_triangles[surface.main]] / SIDE  # (F, 3, 2)
        one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
        side = np.where(np.abs(area) < 1e-12, 0.0, np.sign(area))[:, None]
        by_x = side * np.stack([one[:, 1] - two[:, 1], two[:, 1], -one[:, 1]], 1)  # of a face's corners, times its area
        by_y = side * np.stack([one[:, 0] - two[:, 0], two[:, 0], -one[:, 0]], 1)
        face = np.repeat(np.arange(len(own)), 3)
        around = sparse.csr_matrix((np.ones(own.size), (own.ravel(), face)), (count, len(own)))
        scale = sparse.diags(1.0 / np.maximum(around @ np.abs(area), 1e-12))
        both = [scale @ around @ sparse.csr_matrix((by.ravel(), (face, own.ravel()))) for by in (by_x, by_y)]
        return sparse.vstack(both, format="csr")


@dataclass(frozen=True)
class SurfaceFrames:
    """Local frames of a mesh at its V vertices, head frame, metres.

    Attributes
    ----------
    normals : (V, 3) unit. along : (V, 3, 2) derivative of the position with respect to the window's x (right) and y
        (down), metres per window side. across : (V, 2, 3) its pseudo-inverse, so that a height's surface gradient is
        ``across.T @ (dh/dx, dh/dy)``.
    """

    normals: np.ndarray
    along: np.ndarray
    across: np.ndarray

    def axes(self) -> np.ndarray:
        """(V, 3, 3) orthonormal rows: the window's x direction on the surface, up on the surface, normal."""
        right = unit_vectors(self.along[..., 0])
        right = unit_vectors(right - (right * self.normals) @ np.ones((3, 1)) * self.normals)
        return np.stack([right, np.cross(self.normals, right), self.normals], 1)


@lru_cache(maxsize=3)
def detail_window(template: Template, size: int) -> DetailWindow:
    """The window with ``size`` texels a side; the last three sizes are cached."""
    surface = head_surface(template)
    uv = (surface.uv - np.array(ORIGIN)) / SIDE
    inside = surface.main & ((uv[surface.uv_triangles] > -0.2) & (uv[surface.uv_triangles] < 1.2)).all((1, 2))
    (atlas,) = build_atlases([UvChart(uv, surface.uv_triangles[inside], surface.triangles[inside])], size)
    allowed = atlas.image(atlas.sample(allowed_displacement(surface)[:, None]))[..., 0]
    return DetailWindow(surface, atlas, _without_edge(allowed))


def allowed_displacement(surface: HeadSurface) -> np.ndarray:
    """(V,) in [0, 1] vertex mask behind ``DetailWindow.allowed``."""
    face, kept_out = surface.regions["face"], np.maximum(surface.regions["ears"], surface.regions["scalp"])
    allowed = smoothstep(0.02, 0.5, face) * (1.0 - smoothstep(*_FADE, kept_out))
    return (allowed * contact_free_mask(surface)).astype(np.float32)


def contact_free_mask(surface: HeadSurface) -> np.ndarray:
    """(V,) in [0, 1]: 0 on lips, lid rims and in cavities, where any displacement would break contact."""
    regions = surface.regions
    kept_out = np.maximum.reduce([regions[name] for name in ("lips", "mouth_interior", "eye_sockets")])
    # A lid's rim lies between its skin and the socket behind it, where neither mask reaches 1.
    rims = np.maximum(regions["lids_left"], regions["lids_right"]) + regions["eye_sockets"]
    return (1.0 - smoothstep(*_FADE, kept_out)) * (1.0 - smoothstep(0.7, 1.0, rims))


def insert_in_map(image: np.ndarray, resolution: int) -> np.ndarray:
    """Resample an image (N, N) of the window into a map (R, R) float32 of UV map ``Head``; zero outside the window."""
    scale, texels = image.shape[0] / (SIDE * resolution), np.arange(resolution) + 0.5
    x, y = ((texels - first * resolution) * scale - 0.5 for first in (ORIGIN[0], 1.0 - ORIGIN[1] - SIDE))
    column, row = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return cv2.remap(
        image.astype(np.float32), column, row, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=0.0
    )


def _without_edge(allowed: np.ndarray) -> np.ndarray:
    """``allowed`` (N, N), faded out over the outer twentieth of the window."""
    size = allowed.shape[0]
    near = np.minimum(np.arange(size) + 0.5, size - 0.5 - np.arange(size)) / size
    fade = smoothstep(0.0, 0.05, near).astype(np.float32)
    return allowed * fade[:, None] * fade


CHANNELS = 9
_STRAIN_LIMIT = 0.8
"""Limit of the strain: beyond it the cage's own lines crowd, whereas real skin folds."""


def vertex_strain(rest: SurfaceFrames, posed: SurfaceFrames) -> np.ndarray:
    """(V, 3) Green strain in the axes of the frame at rest: along x, along y (up), and the shear between them.

    E = (F'F - I) / 2, where F is the derivative of the posed surface with respect to the surface at rest. A negative
    value means compression along that axis.
    """
    inner = rest.across @ rest.axes()[:, :2].transpose(0, 2, 1)  # window coordinates by axis coordinates: (V, 2, 2)
    before, after = rest.along @ inner, posed.along @ inner  # (V, 3, 2); before is orthonormal on a sound map
    strain = 0.5 * (after.transpose(0, 2, 1) @ after - before.transpose(0, 2, 1) @ before)
    strain = np.clip(strain, -_STRAIN_LIMIT, _STRAIN_LIMIT)
    return np.stack([strain[:, 0, 0], strain[:, 1, 1], strain[:, 0, 1]], 1)


def vertex_expression(
    rest_positions: np.ndarray, posed_positions: np.ndarray, rest: SurfaceFrames, posed: SurfaceFrames
) -> np.ndarray:
    """(V, 9) features of an expression, in the axes of the skin at rest: displacement (centimetres), change of the
    normal, and strain (``vertex_strain``) times five."""
    axes = rest.axes()
    changes = np.stack([100.0 * (posed_positions - rest_positions), posed.normals - rest.normals], -1)
    moved, turned = np.moveaxis(axes @ changes, -1, 0)
    return np.concatenate([moved, turned, vertex_strain(rest, posed) * 5.0], 1)


class ExpressionMaps:
    """Computes expression maps relative to one face at rest.

    Parameters
    ----------
    window : has the size of the maps. neutral : (C, 3) cage at rest, head frame, metres.
    """

    def __init__(self, window: DetailWindow, neutral: np.ndarray) -> None:
        self._window = window
        self._rest = window.surface.lifted(np.asarray(neutral, np.float64))
        self._frames = window.frames(self._rest)

    def of(self, posed: np.ndarray) -> np.ndarray:
        """(9, N, N) float32 expression map of a posed cage (C, 3); zero where the window has no skin."""
        positions = self._window.surface.lifted(np.asarray(posed, np.float64))
        values = vertex_expression(self._rest, positions, self._frames, self._window.frames(positions))
        return np.ascontiguousarray(self._window.image(values).transpose(2, 0, 1))


BASE_LENGTH = 0.008
"""Metres: broader differences in brightness are form and colour of the face, not relief."""
_MIN_WEIGHT = 1e-3
"""Weight below which the base is undefined."""
_DETAIL_LIMIT = 1.0
"""Log units: detail beyond this is a hair, a mole or a highlight, not a wrinkle."""
_SHADING_FLOOR = 0.2
"""Share of the mean shading: darker places are in shadow, where three SH bands are unreliable."""
_SHARPNESS_UNIT = 2000.0
"""Pixels per metre, unit of the sharpness channel: a face of 280 pixels."""


@dataclass(frozen=True)
class PhotoInWindow:
    """One photo sampled at the window's texels.

    Attributes
    ----------
    log_linear : (N, N, 3) logarithm of linear light. weight : (N, N) in [0, 1], visibility of bare skin.
    normals : (N, N, 3) unit normals of the posed, smooth face, head frame. across : (N, N, 2, 3) of ``SurfaceFrames``,
    posed. light : (9, 3) coefficients of the shading. pixels_per_metre : of the photo, at the face.
    """

    log_linear: np.ndarray
    weight: np.ndarray
    normals: np.ndarray
    across: np.ndarray
    light: np.ndarray
    pixels_per_metre: float


def frames_in_window(window: DetailWindow, frames: SurfaceFrames) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (N, N, 3) and ``across`` (N, N, 2, 3) at the window's texels."""
    flat = np.concatenate([frames.normals, frames.across.reshape(-1, 6)], 1)
    image = window.image(flat)
    return unit_vectors(image[..., :3]), image[..., 3:].reshape(*image.shape[:2], 2, 3)


def observe(photo: PhotoInWindow, texels_per_metre: float) -> np.ndarray:
    """(7, N, N) float32 input channels: detail of the log luminance, divided by the smooth face's shading, and of the
    red-green and yellow-blue differences; change of the log shading per millimetre of height per texel (right, down);
    weight; the photo's sharpness.

    A height h changes the normal by minus its surface gradient, and the log shading by ``-(b . grad h)``, with
    b = across @ grad_n S / S. The two slope channels are b's components.
    """
    weight = photo.weight.astype(np.float32)
    shading, relative = shading_and_gradient(photo.normals, photo.light)
    detail = _without_base(photo, shading, texels_per_metre)
    luminance = detail @ np.array(LUMINANCE, np.float32)
    red, yellow = detail[..., 0] - detail[..., 1], 0.5 * (detail[..., 0] + detail[..., 1]) - detail[..., 2]
    slope = np.einsum("yxic,yxc->yxi", photo.across, relative) * (1e-3 * len(weight))
    channels = [
        np.clip(luminance, -_DETAIL_LIMIT, _DETAIL_LIMIT) * weight,
        np.clip(red, -_DETAIL_LIMIT, _DETAIL_LIMIT) * weight,
        np.clip(yellow, -_DETAIL_LIMIT, _DETAIL_LIMIT) * weight,
        np.clip(slope[..., 0], -4.0, 4.0) * weight,
        np.clip(slope[..., 1], -4.0, 4.0) * weight,
        weight,
        np.full_like(weight, np.clip(np.log2(photo.pixels_per_metre / _SHARPNESS_UNIT), -2.0, 2.0)),
    ]
    return np.stack(channels).astype(np.float32)


def colour_detail(photo: PhotoInWindow, texels_per_metre: float) -> np.ndarray:
    """(N, N, 3) log residual of a photo's linear light after the smooth face's shading and all colours broader than
    ``BASE_LENGTH``. Zero where no bare skin is visible."""
    return _without_base(photo, shading_and_gradient(photo.normals, photo.light)[0], texels_per_metre)


def _without_base(photo: PhotoInWindow, shading: np.ndarray, texels_per_metre: float) -> np.ndarray:
    weight = photo.weight.astype(np.float32)
    delit = photo.log_linear - np.log(shading)[..., None]
    sigma = BASE_LENGTH * texels_per_metre
    blurred = cv2.GaussianBlur(weight, (0, 0), sigma)
    base = cv2.GaussianBlur(delit * weight[..., None], (0, 0), sigma)
    base /= np.maximum(blurred, _MIN_WEIGHT)[..., None]
    known = (blurred > _MIN_WEIGHT) & (weight > 0)
    return np.where(known[..., None], delit - base, 0.0)


def shading_and_gradient(normals: np.ndarray, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance of the shading (N, N), clamped above a fifth of its mean, and its gradient with respect to the normal
    divided by it (N, N, 3); normals (N, N, 3) unit, zero outside the skin; light (9, 3)."""
    constant, linear, quadratic = _polynomial(light @ np.array(LUMINANCE))
    flat = normals.reshape(-1, 3).astype(np.float32)
    turned = flat @ (2.0 * quadratic).astype(np.float32)
    shading = constant + flat @ linear.astype(np.float32) + 0.5 * (turned * flat).sum(1)
    gradient = turned + linear.astype(np.float32)
    shown = np.abs(flat).sum(1) > 0
    floor = _SHADING_FLOOR * max(float(shading[shown].mean()) if shown.any() else 1.0, 1e-6)
    shading = np.maximum(shading, floor)
    relative = gradient / shading[:, None]
    return shading.reshape(normals.shape[:2]), relative.reshape(normals.shape)


def _polynomial(light: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Shading from nine coefficients (9,) as c + b.n + n'Qn of the normal: c, b (3,), Q (3, 3) symmetric."""
    c0, c1, c2, c3, c4 = sh.BASIS_CONSTANTS
    xy, yz, zz, xz, xx = c2 * light[4], c2 * light[5], c3 * light[6], c2 * light[7], c4 * light[8]
    quadratic = np.array([[xx, xy / 2, xz / 2], [xy / 2, -xx, yz / 2], [xz / 2, yz / 2, 3 * zz]])
    return float(c0 * light[0] - zz), c1 * np.array([light[3], light[1], light[2]]), quadratic
