"""Textures for random people: MakeHuman's skins and brows on the UV map ``Head``, with painted eyes and lids.

For calibration only: the pictures are input of the landmark detector and are not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from backend.geometry.template import Template
from backend.rendering.color import linear_from_srgb
from backend.rendering.uv_space import UvRaster, dilate, rasterize_uv
from backend.rig.face_loops import face_loops
from trainer.data.face_paint import EyeLook, paint_eyeball
from trainer.data.shared_data import shared_folder
from trainer.template.closest_point import closest_points
from trainer.template.makehuman import DECIMETRE, read_base_mesh
from trainer.template.scans import triangulate

IRIS_COLOURS = ((0.05, 0.025, 0.012), (0.10, 0.055, 0.02), (0.12, 0.10, 0.05), (0.10, 0.17, 0.26), (0.16, 0.20, 0.20))
"""Linear-light colours of irises: dark brown, brown, hazel, blue, grey."""


SAMPLES = 36
"""Samples along a side of a brow's quad when it is transferred into the texture."""


def makehuman_folder() -> Path:
    """``../shared/makehuman``, or under ``LIKENESS_SHARED``; raises ``FileNotFoundError`` when it is not there."""
    folder = shared_folder() / "makehuman"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: calibrating the landmarks needs MakeHuman's skins")
    return folder


@dataclass(frozen=True)
class Proxy:
    """A MakeHuman part bound to the base mesh: points (P, 3) in metres, quads (F, 4), uv (T, 2), uv_quads (F, 4)."""

    points: np.ndarray
    quads: np.ndarray
    uv: np.ndarray
    uv_quads: np.ndarray


def read_proxy(folder: Path) -> Proxy:
    """Read the ``.obj`` and ``.mhclo`` of a part and place it on the base mesh."""
    base = read_base_mesh().vertices
    uv, quads, uv_quads = [], [], []
    for line in next(folder.glob("*.obj")).read_text().splitlines():
        words = line.split()
        if words[:1] == ["vt"]:
            uv.append([float(word) for word in words[1:3]])
        elif words[:1] == ["f"]:
            corners = [word.split("/") for word in words[1:]]
            corners += corners[-1:] * (4 - len(corners))
            quads.append([int(corner[0]) - 1 for corner in corners])
            uv_quads.append([int(corner[1]) - 1 for corner in corners])
    scales, points, binding = np.ones(3), [], False
    for line in next(folder.glob("*.mhclo")).read_text().splitlines():
        words = line.split()
        if words[:1] and words[0] in ("x_scale", "y_scale", "z_scale"):
            axis = "xyz".index(words[0][0])
            span = abs(base[int(words[1]), axis] - base[int(words[2]), axis]) / DECIMETRE
            scales[axis] = span / float(words[3])
        elif words[:1] == ["verts"]:
            binding = True
        elif binding and len(words) == 9:
            corners, weights = [int(word) for word in words[:3]], np.array([float(word) for word in words[3:6]])
            offset = np.array([float(word) for word in words[6:]]) * scales * DECIMETRE
            points.append(weights @ base[corners] + offset)
        elif binding and len(words) == 1 and words[0].isdigit():
            points.append(base[int(words[0])])
    return Proxy(np.array(points), np.array(quads), np.array(uv), np.array(uv_quads))


@dataclass(frozen=True)
class Look:
    """A person's appearance: indices of a skin and a brow style (-1: none), hair darkness and colours."""

    skin: int
    brow: int
    brow_strength: float
    lash_strength: float
    hair: float
    iris: int
    seed: int


class Dresser:
    """Makes ``Head``-map textures (R, R, 3) float32 in linear light."""

    def __init__(self, template: Template, resolution: int = 1024) -> None:
        self.template, self.resolution = template, resolution
        self.skins = sorted((makehuman_folder() / "skins").glob("*.jpg"))
        self.brows = sorted(path for path in (makehuman_folder() / "parts" / "eyebrows").iterdir() if path.is_dir())
        self._overlays: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    @cached_property
    def _texels(self) -> UvRaster:
        return rasterize_uv(self.template.uv_head, _split(self.template.uv_head_quads), self.resolution)

    @cached_property
    def _raster(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per texel: covered (R, R), rest position (R, R, 3) and MakeHuman UV (R, R, 2)."""
        t = self.template
        found = self._texels
        covered, face, weights = found.face_ids >= 0, np.maximum(found.face_ids, 0), found.barycentrics
        places = (t.vertices[_split(t.quads)[face]] * weights[..., None]).sum(2)
        original = (t.uv_makehuman[_split(t.uv_makehuman_quads)[face]] * weights[..., None]).sum(2)
        return covered, places, original

    def _field(self, values: np.ndarray) -> np.ndarray:
        """(R, R) interpolation of a per-vertex field (V,) in the texture."""
        found = self._texels
        return (values[_split(self.template.quads)[np.maximum(found.face_ids, 0)]] * found.barycentrics).sum(2)

    @cached_property
    def _scalp(self) -> np.ndarray:
        return gaussian_filter(self._field(self.template.regions["scalp"]), 4.0)

    @cached_property
    def _lid_edge(self) -> np.ndarray:
        """(R, R) density of lashes on the lids' edges, up to 1."""
        edge = np.zeros(len(self.template.vertices), np.float32)
        for eye in face_loops(self.template).eyes:
            edge[eye.rows[eye.margin : eye.margin + 2][:, eye.upper]] = 1.0
            edge[eye.rows[eye.margin : eye.margin + 2][:, eye.lower]] = 0.45
        return self._field(edge)

    def _brow_overlay(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Colour (R, R, 3) linear and alpha (R, R) of a brow style, transferred to the skin's texture."""
        if index in self._overlays:
            return self._overlays[index]
        folder, t, base = self.brows[index], self.template, read_base_mesh()
        proxy = read_proxy(folder)
        picture = np.asarray(Image.open(next(folder.glob("*.png"))).convert("RGBA")).astype(np.float32) / 255
        u, v = (axis.ravel() for axis in np.meshgrid(*[(np.arange(SAMPLES) + 0.5) / SAMPLES] * 2))
        corners = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1)  # (S, 4)
        points = np.einsum("sc,fck->fsk", corners, proxy.points[proxy.quads]).reshape(-1, 3)
        uv = np.einsum("sc,fck->fsk", corners, proxy.uv[proxy.uv_quads]).reshape(-1, 2)
        height, width = picture.shape[:2]
        place = [(1 - uv[:, 1]) * height - 0.5, uv[:, 0] * width - 0.5]
        texel = np.stack([map_coordinates(picture[..., c], place, order=1, mode="nearest") for c in range(4)], axis=1)
        head = t.head
        brow_region = t.regions["face"][: head.vertex_stop] > 0.2
        faces = triangulate(t.quads[: head.face_stop])
        uv_faces = _split(t.uv_head_quads[: head.face_stop])
        near = brow_region[faces].all(1)
        shape = base.vertices[t.hm08_vertex[: head.vertex_stop]]
        triangle, weights, _ = closest_points(points, shape, faces[near])
        spot = (t.uv_head[uv_faces[near][triangle]] * weights[..., None]).sum(1)
        columns = np.clip((spot[:, 0] * self.resolution).astype(int), 0, self.resolution - 1)
        rows = np.clip(((1 - spot[:, 1]) * self.resolution).astype(int), 0, self.resolution - 1)
        flat, count = rows * self.resolution + columns, self.resolution**2
        number = np.maximum(np.bincount(flat, minlength=count), 1)
        alpha = np.bincount(flat, texel[:, 3], minlength=count) / number
        colour = np.stack([np.bincount(flat, texel[:, c] * texel[:, 3], minlength=count) for c in range(3)], axis=1)
        colour /= np.maximum(alpha * number, 1e-3)[:, None]
        size = (self.resolution, self.resolution)
        overlay = (
            linear_from_srgb(colour.reshape(*size, 3).astype(np.float32)),
            gaussian_filter(alpha.reshape(size), 0.6),
        )
        self._overlays[index] = overlay
        return overlay

    def texture(self, look: Look) -> np.ndarray:
        """(R, R, 3) float32 linear albedo of all parts."""
        covered, places, original = self._raster
        picture = np.asarray(Image.open(self.skins[look.skin]).convert("RGB")).astype(np.float32) / 255
        height, width = picture.shape[:2]
        place = [((1 - original[..., 1]) * height - 0.5).ravel(), (original[..., 0] * width - 0.5).ravel()]
        skin = np.stack([map_coordinates(picture[..., c], place, order=1, mode="nearest") for c in range(3)], axis=1)
        albedo = linear_from_srgb(skin.reshape(*covered.shape, 3).astype(np.float32))
        rng = np.random.default_rng(look.seed)
        noise = gaussian_filter(rng.normal(size=covered.shape), 1.5) * 3
        hair = np.clip(self._scalp * look.hair * (1.0 + 0.3 * noise), 0, 1)[..., None]
        albedo = albedo * (1 - hair) + hair * 0.03
        lash = np.clip(self._lid_edge * look.lash_strength, 0, 1)[..., None]
        albedo = albedo * (1 - lash) + lash * 0.02
        if look.brow >= 0:
            colour, alpha = self._brow_overlay(look.brow)
            alpha = np.clip(alpha * look.brow_strength, 0, 1)[..., None]
            albedo = albedo * (1 - alpha) + alpha * np.minimum(colour, 0.12)
        for eye, inside in enumerate(self._eye_texels):
            eye_look = EyeLook(iris=IRIS_COLOURS[look.iris], sclera=(0.42, 0.38, 0.36))
            centre = self.template.eye_pivots[eye].astype(np.float64)
            albedo[inside] = paint_eyeball(
                places[inside].astype(np.float64), centre, np.array([0.0, 0.0, 1.0]), eye_look, look.seed
            )
        return dilate(albedo, covered, 6).astype(np.float32)

    @cached_property
    def _eye_texels(self) -> tuple[np.ndarray, np.ndarray]:
        """Texels of each eyeball, (R, R) bool."""
        quad = self._texels.face_ids % len(self.template.uv_head_quads)
        parts = [self.template.parts[name] for name in ("eye_left", "eye_right")]
        inside = [(self._texels.face_ids >= 0) & (quad >= p.face_start) & (quad < p.face_stop) for p in parts]
        return inside[0], inside[1]


def _split(quads: np.ndarray) -> np.ndarray:
    """(2 F, 3) both triangles of every quad, degenerate or not, so that maps stay corner by corner."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int64)
