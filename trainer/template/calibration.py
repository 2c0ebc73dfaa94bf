"""Calibrate the positions of the detector's 478 landmarks on the template, with rendered people of the prior.

The detector's landmarks have their own definition and their own biases. Random people with MakeHuman's skins and brows
are rendered in random poses and lights, and the photo stage's detector runs on them. Each landmark gets the point of
the template, the same for all people, with the smallest robust reprojection error.

Textures for random people: MakeHuman's skins and brows on the UV map ``Head``, with painted eyes and lids.

For calibration only: the pictures are input of the landmark detector and are not kept.

Measure the landmark detector's errors on rendered people as a ``backend.fitting.detector_model.DetectorModel``.

Detections of the photo stage on ray-traced people of known shape, in addition to the rasterised ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from backend.fitting.detector_model import DetectorModel, face_scale, turn_of, view_features
from backend.geometry.normals import vertex_normals
from backend.geometry.subdivision import subdivide
from backend.geometry.template import Template
from backend.photos.collect import collect
from backend.photos.faces import LOWER_LIP_EDGE, detect_faces, find_landmarks
from backend.photos.formats import PhotoSource
from backend.photos.regions import FACE_OVAL
from backend.rendering.camera import Camera
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_texture
from backend.rendering.render import render_linear
from backend.rendering.spherical_harmonics import light_from_directions
from backend.rendering.uv_space import UvRaster, dilate, rasterize_uv
from backend.rig.measure import face_loops
from trainer.engine.disk_cache import shared_folder
from trainer.heads.ict import triangulate
from trainer.heads.paint import EyeLook, paint_eyeball
from trainer.heads.photographs import shot_camera, six_shots
from trainer.heads.raytrace import look_at
from trainer.heads.scans import ict_photos, neutral_face_middle, true_template_positions
from trainer.people.look import TABLES
from trainer.people.scene import draw_light
from trainer.people.shape import draw_expression
from trainer.template.makehuman import DECIMETRE, read_base_mesh
from trainer.template.registration import closest_points

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


def read_proxy(folder: Path, base: np.ndarray | None = None) -> Proxy:
    """Read the ``.obj`` and ``.mhclo`` of a part and place it on a body (19158, 3), or on the base mesh itself."""
    base = read_base_mesh().vertices if base is None else base
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
        texels = self._texels
        covered, face, weights = texels.face_ids >= 0, np.maximum(texels.face_ids, 0), texels.barycentrics
        positions = (t.vertices[_split(t.quads)[face]] * weights[..., None]).sum(2)
        original = (t.uv_makehuman[_split(t.uv_makehuman_quads)[face]] * weights[..., None]).sum(2)
        return covered, positions, original

    def _field(self, values: np.ndarray) -> np.ndarray:
        """(R, R) interpolation of a per-vertex field (V,) in the texture."""
        texels = self._texels
        return (values[_split(self.template.quads)[np.maximum(texels.face_ids, 0)]] * texels.barycentrics).sum(2)

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
        texel = sample_texture(picture, uv)
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
        covered, positions, original = self._raster
        picture = np.asarray(Image.open(self.skins[look.skin]).convert("RGB")).astype(np.float32) / 255
        albedo = linear_from_srgb(sample_texture(picture, original).reshape(*covered.shape, 3).astype(np.float32))
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
            eye_look = EyeLook(iris=tuple(list(TABLES["iris_colours"].values())[look.iris]), sclera=(0.42, 0.38, 0.36))
            centre = self.template.eye_pivots[eye].astype(np.float64)
            albedo[inside] = paint_eyeball(
                positions[inside].astype(np.float64), centre, np.array([0.0, 0.0, 1.0]), eye_look, look.seed
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


SIZE = 512
CAMERA_TARGET_OFFSET = np.array([0.0, 0.0, 0.03])
"""Offset in metres from the mean of the head's vertices to the camera's target."""

IRISES = tuple(range(468, 478))


@dataclass(frozen=True)
class Observation:
    """One rendered and detected person.

    Attributes
    ----------
    vertices : (V, 3) float32 posed cage, head frame.
    camera : the picture's camera.
    yaw : degrees, positive when the person looks to their own left.
    landmarks : (478, 2) detected, pixels.
    scale : pixels between the eyes' outer corners, as if seen from the front.
    """

    vertices: np.ndarray
    camera: Camera
    yaw: float
    landmarks: np.ndarray
    scale: float


def random_camera(rng: np.random.Generator, target: np.ndarray, yaw: float, pitch: float) -> Camera:
    """A random camera that looks at ``target`` (3,) and sees the head turned by yaw and pitch (degrees)."""
    distance = float(np.exp(rng.uniform(np.log(0.3), np.log(3.0))))
    focal = SIZE * distance / rng.uniform(0.24, 0.34)
    camera = look_at(yaw, pitch, rng.normal(0, 6), distance, focal, (SIZE, SIZE), target)
    intrinsics = camera.intrinsics.copy()
    intrinsics[:2, 2] += rng.normal(0, 12, 2)
    return replace(camera, intrinsics=intrinsics)


def observe(template: Template, dresser: Dresser, count: int, seed: int) -> list[Observation]:
    """Render ``count`` random people and detect their landmarks; people without a detected face are left out."""
    fine = subdivide(template, 2)
    faces = np.concatenate([fine.quads[:, [0, 1, 2]], fine.quads[:, [0, 2, 3]]])
    uv_faces = np.concatenate([fine.uv_head_quads[:, [0, 1, 2]], fine.uv_head_quads[:, [0, 2, 3]]])
    lashes = fine.parts["lashes"]
    count_quads = len(fine.quads)
    quad = np.arange(2 * count_quads) % count_quads
    shown = (quad < lashes.face_start) | (quad >= lashes.face_stop)
    rng, observations = np.random.default_rng(seed), []
    for index in range(count):
        identity = rng.normal(size=len(template.identity_modes)) * 0.9
        neutral = template.vertices + np.tensordot(identity, template.identity_modes, 1)
        cage = (neutral + np.tensordot(draw_expression(rng).weights, template.expressions, 1)).astype(np.float32)
        yaw = rng.uniform(-62.0, 62.0) * (0.35 if rng.random() < 0.4 else 1.0)
        pitch = rng.uniform(-20, 20)
        camera = random_camera(rng, cage[: template.head.vertex_stop].mean(0) + CAMERA_TARGET_OFFSET, yaw, pitch)
        look = Look(
            skin=int(rng.integers(len(dresser.skins))),
            brow=int(rng.integers(len(dresser.brows))),
            brow_strength=float(rng.uniform(0.5, 1.1)),
            lash_strength=float(rng.uniform(0.2, 0.9)),
            hair=float(rng.uniform(0.5, 1.0)) if rng.random() < 0.8 else 0.0,
            iris=int(rng.integers(len(TABLES["iris_colours"]))),
            seed=int(rng.integers(1 << 30)),
        )
        lamps = draw_light(rng)
        light = lamps.ambient + light_from_directions(lamps.directions, lamps.colours)
        picture = render_linear(
            fine.positions(cage), faces[shown], camera, texture=dresser.texture(look), uv=fine.uv_head,
            uv_faces=uv_faces[shown], light=light, supersample=1,
        ).over(_background(rng))  # fmt: skip
        picture = _develop(picture, rng)
        detected = detect_faces(picture)
        marks = find_landmarks(picture, detected[0]) if detected else None
        if marks is None:
            continue
        corners = template.landmarks478.positions(cage)[[33, 263]]
        depth = camera.project(corners)[:, 2].mean()
        scale = float(np.linalg.norm(corners[0] - corners[1]) * camera.intrinsics[0, 0] / depth)
        observations.append(Observation(cage, camera, yaw, marks[:, :2].astype(np.float64), scale))
        if index % 20 == 19:
            print(f"{index + 1} rendered, {len(observations)} found")
    return observations


def _background(rng: np.random.Generator) -> np.ndarray:
    noise = gaussian_filter(rng.normal(size=(SIZE, SIZE, 3)), (40, 40, 0)) * 40
    return np.clip(255 * (rng.uniform(0.15, 0.9, 3) + 0.15 * noise), 0, 255).astype(np.uint8)


def _develop(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    blurred = gaussian_filter(picture.astype(np.float64), (*[rng.uniform(0.3, 1.0)] * 2, 0))
    return np.clip(blurred + rng.normal(0, rng.uniform(0.5, 4.0), picture.shape), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Calibration:
    """Calibrated landmarks.

    Attributes
    ----------
    vertices : (478, 3) corners of each landmark's triangle; barycentrics : (478, 3).
    deviation : (478,) robust standard deviation of the reprojection, per cent of ``Observation.scale``, frontal.
    """

    vertices: np.ndarray
    barycentrics: np.ndarray
    deviation: np.ndarray


def calibrate(template: Template, observations: list[Observation], iterations: int = 12) -> Calibration:
    """Minimise every landmark's robust reprojection error by moving it over the mean face (Gauss-Newton)."""
    mean = template.vertices.astype(np.float64)
    surfaces = _surfaces(template)
    vertices, barycentrics = _nearest_vertices(observations, surfaces)
    used = np.concatenate([surface.triangles for surface in surfaces if not surface.within])
    normals = [vertex_normals(o.vertices.astype(np.float64), used) for o in observations]
    for iteration in range(iterations):
        system, right = np.zeros((478, 2, 2)), np.zeros((478, 2))
        for observation, normal in zip(observations, normals, strict=True):
            error, jacobian, facing = _residual(observation, normal, vertices, barycentrics)
            error, jacobian = error / observation.scale * 100, jacobian / observation.scale * 100
            width = 3.0 if iteration < 4 else 1.5
            weight = _trust(observation.yaw, facing) / (1 + (error**2).sum(1) / width**2)
            system += np.einsum("l,lia,lib->lab", weight, jacobian, jacobian)
            right += np.einsum("l,lia,li->la", weight, jacobian, error)
        system += 1e-3 * np.trace(system, axis1=1, axis2=2)[:, None, None] * np.eye(2) + 1e-9 * np.eye(2)
        step = np.linalg.solve(system, right[..., None])[..., 0]
        corners = mean[vertices]
        move = step[:, :1] * (corners[:, 1] - corners[:, 0]) + step[:, 1:] * (corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(move, axis=1, keepdims=True)
        move *= np.minimum(1.0, 0.003 / np.maximum(length, 1e-12))
        target = (corners * barycentrics[..., None]).sum(1) + move
        vertices, barycentrics = _onto_surfaces(target, mean, surfaces)
    errors = np.stack([
        _residual(o, normal, vertices, barycentrics)[0] / o.scale * 100
        for o, normal in zip(observations, normals, strict=True) if abs(o.yaw) < 15
    ])  # fmt: skip
    deviation = np.median(np.linalg.norm(errors, axis=2), axis=0) / 1.1774  # median of a Rayleigh law
    return Calibration(vertices, barycentrics, deviation)


def _onto_surfaces(
    points: np.ndarray, mean: np.ndarray, surfaces: tuple[Surface, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (478, 3) and barycentrics (478, 3) of the surface points nearest to landmarks ``points`` (478, 3)."""
    vertices, barycentrics = np.zeros((478, 3), dtype=np.int64), np.zeros((478, 3))
    for surface in surfaces:
        hits, weights, _ = closest_points(points[surface.landmarks], mean, surface.triangles)
        vertices[surface.landmarks], barycentrics[surface.landmarks] = surface.triangles[hits], weights
    return vertices, barycentrics


def _nearest_vertices(observations: list[Observation], surfaces: tuple[Surface, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Initial vertex of every landmark: the one with the smallest median reprojection error in the 40 most frontal
    pictures."""
    frontal = sorted(observations, key=lambda o: abs(o.yaw))[:40]
    vertices, barycentrics = np.zeros((478, 3), dtype=np.int64), np.tile([1.0, 0.0, 0.0], (478, 1))
    for surface in surfaces:
        chosen, triangles = surface.landmarks, surface.triangles
        candidates = np.unique(triangles)
        distance = []
        for observation in frontal:
            points = observation.vertices.astype(np.float64)
            normal = vertex_normals(points, triangles)[candidates]
            points = points[candidates]
            pixels = observation.camera.project(points)[:, :2]
            away = ((observation.camera.centre() - points) * normal).sum(1) <= 0
            apart = np.linalg.norm(observation.landmarks[chosen][:, None] - pixels[None], axis=-1) / observation.scale
            distance.append(np.where(away[None], 1.0, apart).astype(np.float32))
        best = candidates[np.median(np.stack(distance), axis=0).argmin(1)]
        of_vertex = np.zeros(triangles.max() + 1, dtype=np.int64)
        for corner in range(3):
            of_vertex[triangles[:, corner]] = np.arange(len(triangles))
        corners = triangles[of_vertex[best]]
        vertices[chosen] = corners
        barycentrics[chosen] = (corners == best[:, None]).astype(np.float64)
    return vertices, barycentrics


@dataclass(frozen=True)
class Surface:
    """Triangles (T, 3) on which ``landmarks`` (L,) lie; ``within``: the triangles are part of another surface."""

    landmarks: np.ndarray
    triangles: np.ndarray
    within: bool = False


def _surfaces(template: Template) -> tuple[Surface, ...]:
    """The visible skin, the lower lip's part of it, and both eyeballs.

    Most mouths are shut, where both lips' edges coincide. Distance alone would put the lower lip's edge on the upper
    lip, which the jaw does not move.
    """
    head = template.head
    triangles = triangulate(template.quads[: head.face_stop])
    hidden = np.maximum(template.regions["eye_sockets"], template.regions["mouth_interior"]) > 0.5
    skin = triangles[~hidden[triangles].any(1)]
    mouth = face_loops(template).mouth
    below = np.isin(skin, mouth.rows[:, np.r_[mouth.right, mouth.lower, mouth.left]]).all(1)
    eyes = [template.parts[name] for name in ("eye_left", "eye_right")]
    eyeballs = np.concatenate([triangulate(template.quads[part.face_start : part.face_stop]) for part in eyes])
    return (
        Surface(np.setdiff1d(np.arange(478), (*IRISES, *LOWER_LIP_EDGE)), skin),
        Surface(np.array(LOWER_LIP_EDGE), skin[below], within=True),
        Surface(np.array(IRISES), eyeballs),
    )


def _trust(yaw: float, facing: np.ndarray) -> np.ndarray:
    """(478,) weights by the surface's angle to the view; the outline, which slides over the head when the head turns,
    counts in frontal views only."""
    weight = np.clip((facing - 0.15) / 0.5, 0, 1)
    outline = np.array(FACE_OVAL)
    weight[outline] = np.clip(facing[outline] + 0.3, 0.05, 1) * np.clip(1.5 - abs(yaw) / 10, 0, 1)
    return weight


def _residual(
    observation: Observation, normals: np.ndarray, vertices: np.ndarray, barycentrics: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals (478, 2) pixels, detected minus projected; derivatives (478, 2, 2) of the projection by the second and
    third barycentric; cosines (478,) between view and surface normal."""
    camera = observation.camera
    corners = observation.vertices.astype(np.float64)[vertices]
    points = (corners * barycentrics[..., None]).sum(1)
    rotation = camera.camera_from_head[:3, :3]
    local = points @ rotation.T + camera.camera_from_head[:3, 3]
    focal = camera.intrinsics[0, 0]
    projected = camera.project(points)
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=-1)  # (L, 3, 2)
    turned = np.einsum("ij,ljk->lik", rotation, edges)
    z = local[:, 2:]
    jacobian = np.stack([
        focal * (turned[:, 0] - local[:, :1] / z * turned[:, 2]) / z,
        focal * (turned[:, 1] - local[:, 1:2] / z * turned[:, 2]) / z,
    ], axis=1)  # fmt: skip
    normal = (normals[vertices] * barycentrics[..., None]).sum(1)
    view = camera.centre() - points
    facing = (normal * view).sum(1) / np.linalg.norm(view, axis=1) / np.maximum(np.linalg.norm(normal, axis=1), 1e-9)
    return observation.landmarks - projected[:, :2], jacobian, facing


def symmetric_calibration(template: Template, result: Calibration, partners: np.ndarray) -> Calibration:
    """``result`` averaged with its mirror image; ``partners`` (478,) is each landmark's partner on the other side."""
    mean = template.vertices.astype(np.float64)
    points = (mean[result.vertices] * result.barycentrics[..., None]).sum(1)
    both = 0.5 * (points + points[partners] * [-1.0, 1.0, 1.0])
    vertices, barycentrics = _onto_surfaces(both, mean, _surfaces(template))
    deviation = 0.5 * (result.deviation + result.deviation[partners])
    return Calibration(vertices, barycentrics, deviation)


def write_calibration(result: Calibration, path: Path) -> None:
    """Write the JSON table that ``embeddings.read_landmarks478`` reads."""
    path.write_text(json.dumps({
        "vertices": result.vertices.tolist(),
        "barycentrics": np.round(result.barycentrics, 5).tolist(),
        "deviation": np.round(result.deviation, 3).tolist(),
        "valid": [True] * len(result.vertices),
    }))  # fmt: skip


MODE_COUNT = 16
RIDGE = 2.0
OUTLIER_PERCENT = 2.5
LARGEST_PERCENT = 8.0
SMALLEST_DEVIATION = 0.4


@dataclass(frozen=True)
class ErrorTable:
    """Errors of the detector in the head's upright picture axes.

    Attributes
    ----------
    errors : (P, 478, 2) detected minus true, per cent of ``face_scale``, without the common shift of a picture.
    features : (P, 8) ``view_features``. people : (P,) person of each picture, for cross-validation.
    """

    errors: np.ndarray
    features: np.ndarray
    people: np.ndarray


def error_table(
    template: Template, observations: list[Observation], people: np.ndarray, partners: np.ndarray
) -> ErrorTable:
    """Errors of all observations and of their mirror images; ``partners`` (478,) is each landmark's mirror partner."""
    errors, views = [], []
    for observation in observations:
        camera = observation.camera
        head = observation.vertices[: template.head.vertex_stop].astype(np.float64)
        middle = head[template.regions["face"][: len(head)] > 0.5].mean(0)
        towards = camera.centre() - middle
        yaw, pitch, upright = turn_of(camera.camera_from_head[:3, :3], towards)
        true = camera.project(template.landmarks478.positions(observation.vertices.astype(np.float64)))[:, :2]
        detected = np.asarray(observation.landmarks[:, :2], dtype=np.float64)
        error = 100.0 / face_scale(detected) * (detected - true) @ upright
        errors.append(error - np.median(error, axis=0))
        views.append((yaw, pitch, float(np.linalg.norm(towards))))
    both = np.concatenate([np.stack(errors), np.stack(errors)[:, partners] * [-1.0, 1.0]])
    features = view_features(*np.concatenate([views, np.array(views) * [-1.0, 1.0, 1.0]]).T)
    return ErrorTable(both, features, np.concatenate([people, people]))


def fit_bias(table: ErrorTable) -> np.ndarray:
    """(8, 478, 2) robust ridge regression of the errors on the view."""
    features, errors = table.features, table.errors
    weight = np.ones(errors.shape[:2])
    bias = np.zeros((features.shape[1], *errors.shape[1:]))
    for _ in range(4):
        system = np.einsum("pi,pl,pj->lij", features, weight, features) + RIDGE * np.eye(features.shape[1])
        right = np.einsum("pi,pl,plc->lic", features, weight, errors)
        bias = np.linalg.solve(system, right).transpose(1, 0, 2)
        left = errors - np.tensordot(features, bias, 1)
        weight = 1.0 / (1.0 + ((left**2).sum(-1) / OUTLIER_PERCENT**2))
    return bias


def fit_detector_model(table: ErrorTable, mode_count: int = MODE_COUNT) -> DetectorModel:
    """Fit the bias, the leading correlated errors, and the remaining deviation per landmark."""
    bias = fit_bias(table)
    left = np.clip(table.errors - np.tensordot(table.features, bias, 1), -LARGEST_PERCENT, LARGEST_PERCENT)
    modes, deviation = correlated_errors(left, mode_count)
    # the share that the detector shows of a person is not corrected: it differs between photographs and renders
    return DetectorModel(bias, modes, np.maximum(deviation, SMALLEST_DEVIATION), np.ones(len(deviation)))


def correlated_errors(errors: np.ndarray, mode_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Principal components (mode_count, L, 2) of errors (P, L, 2), each of one standard deviation, and the standard
    deviation (L,) per axis of the residuals."""
    flat = errors.reshape(len(errors), -1)
    _, strengths, directions = np.linalg.svd(flat, full_matrices=False)
    modes = directions[:mode_count] * strengths[:mode_count, None] / np.sqrt(len(flat))
    rest = flat - flat @ directions[:mode_count].T @ directions[:mode_count]
    # The modes explain more of the pictures they were fitted to than of new ones.
    freedom = 1.0 - 2.0 * mode_count / len(flat)
    deviation = np.sqrt((rest.reshape(errors.shape) ** 2).mean((0, 2)) / max(freedom, 0.2))
    return modes.reshape(mode_count, *errors.shape[1:]), deviation


def cross_validated_percent(table: ErrorTable, folds: int = 8) -> tuple[float, float]:
    """Median error in per cent before and after subtracting the bias, which is always fitted on other people."""
    after = np.empty_like(table.errors)
    groups = np.unique(table.people)
    for fold in range(folds):
        held_out = np.isin(table.people, groups[fold::folds])
        training = ErrorTable(table.errors[~held_out], table.features[~held_out], table.people[~held_out])
        after[held_out] = table.errors[held_out] - np.tensordot(table.features[held_out], fit_bias(training), 1)
    return tuple(float(np.median(np.linalg.norm(errors, axis=-1))) for errors in (table.errors, after))


def joined(first: ErrorTable, second: ErrorTable) -> ErrorTable:
    """Concatenate two tables; their people must not share numbers."""
    return ErrorTable(
        np.concatenate([first.errors, second.errors]),
        np.concatenate([first.features, second.features]),
        np.concatenate([first.people, second.people]),
    )


def observe_traced(template: Template, seeds: Iterable[int]) -> tuple[list[Observation], np.ndarray]:
    """Observations of six photographs each of random ICT people, and (P,) the person's number of each observation.

    Rendering takes about 20 seconds per person, once: it is cached. Raises ``LikenessError`` where no face is found.
    """
    observations, people = [], []
    for number, seed in enumerate(seeds):
        cage = with_parts(template, true_template_positions(seed))
        for path, shot in zip(ict_photos(seed, smiling=False), six_shots(5000 + seed), strict=True):
            camera = shot_camera(shot, neutral_face_middle(seed))
            face = collect([PhotoSource.from_path(path)]).faces[0]
            detected = face.landmarks[:, :2] / face.crop_scale + np.asarray(face.crop_offset)
            observations.append(Observation(cage, camera, 0.0, detected, 1.0))
            people.append(number)
    return observations, np.array(people)


def with_parts(template: Template, head: np.ndarray) -> np.ndarray:
    """(V, 3) float32 cage with the head (V_head, 3) as given; every other part moves with the skin around it."""
    cage = template.vertices.astype(np.float64).copy()
    count = template.head.vertex_stop
    moved = head - cage[:count]
    cage[:count] = head
    for name, part in template.parts.items():
        if name == "head":
            continue
        rows = slice(part.vertex_start, part.vertex_stop)
        distance = np.linalg.norm(template.vertices[:count] - template.vertices[rows].mean(0), axis=1)
        near = np.exp(-0.5 * (distance / (distance.min() + 0.006)) ** 2)
        cage[rows] += (near[:, None] * moved).sum(0) / near.sum()
    return cage.astype(np.float32)
