"""Calibrate the positions of the detector's 478 landmarks on the template, with rendered people of the prior.

The detector's landmarks have their own definition and their own biases. Random people with MakeHuman's skins and brows
are rendered in random poses and lights, and the photo stage's detector runs on them. Each landmark gets the point of
the template, the same for all people, with the smallest robust reprojection error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from backend.geometry.normals import vertex_normals
from backend.geometry.subdivision import subdivide
from backend.geometry.template import Template
from backend.photos.faces.detect import detect_faces
from backend.photos.faces.landmarks import LOWER_LIP_EDGE, find_landmarks
from backend.rendering.camera import Camera
from backend.rendering.render import render_linear
from backend.rendering.spherical_harmonics import light_from_directions
from backend.rig.arkit import ARKIT_INDEX
from backend.rig.face_loops import face_loops
from trainer.template.closest_point import closest_points
from trainer.template.dressing import IRIS_COLOURS, Dresser, Look
from trainer.template.scans import triangulate

SIZE = 512
OUTLINE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""The face's outline. It slides over the head when the head turns, so it is calibrated on frontal pictures only."""

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
    y, p = np.radians([-yaw, -pitch])
    away = np.array([np.sin(y) * np.cos(p), np.sin(p), np.cos(y) * np.cos(p)])
    forward, roll = -away, np.radians(rng.normal(0, 6))
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    rotation = np.stack([right, down, forward])
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = -rotation @ (target + distance * away)
    focal = SIZE * distance / rng.uniform(0.24, 0.34)
    middle = SIZE / 2 + rng.normal(0, 12, 2)
    intrinsics = np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1.0]])
    return Camera(intrinsics, pose, (SIZE, SIZE))


def random_expression(rng: np.random.Generator) -> np.ndarray:
    """(52,) random mild expression: half of the people are neutral, the others smile, talk, frown or squint."""
    weights = np.zeros(52)
    if rng.random() < 0.5:
        return weights
    both = {
        "mouthSmile": 0.8, "browDown": 0.4, "browOuterUp": 0.4, "eyeSquint": 0.5, "eyeBlink": 0.3, "mouthFrown": 0.3,
        "cheekSquint": 0.4, "mouthUpperUp": 0.3, "mouthStretch": 0.2,
    }  # fmt: skip
    for name, most in both.items():
        if rng.random() < 0.35:
            strength = rng.uniform(0, most)
            for side in ("Left", "Right"):
                weights[ARKIT_INDEX[name + side]] = np.clip(strength * rng.uniform(0.85, 1.15), 0, 1)
    for name, most in {"jawOpen": 0.45, "browInnerUp": 0.5, "mouthPucker": 0.4}.items():
        if rng.random() < 0.25:
            weights[ARKIT_INDEX[name]] = rng.uniform(0, most)
    return weights


def random_light(rng: np.random.Generator) -> np.ndarray:
    """(9, 3) irradiance of one strong and two weak lamps and an ambient part."""
    directions = rng.normal(size=(3, 3)) + np.array([0.0, 0.5, 1.2])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    strength = np.array([rng.uniform(0.4, 1.2), rng.uniform(0, 0.4), rng.uniform(0, 0.4)])
    tint = 1 + 0.12 * rng.normal(size=(3, 3))
    light = light_from_directions(directions, strength[:, None] * tint, rng.uniform(0.3, 0.7))
    return light * rng.uniform(0.9, 1.6) / max(float(strength.sum()), 0.8)


def observe(template: Template, dresser: Dresser, count: int, seed: int) -> list[Observation]:
    """Render ``count`` random people and detect their landmarks; people without a detected face are left out."""
    fine = subdivide(template, 2)
    faces = np.concatenate([fine.quads[:, [0, 1, 2]], fine.quads[:, [0, 2, 3]]])
    uv_faces = np.concatenate([fine.uv_head_quads[:, [0, 1, 2]], fine.uv_head_quads[:, [0, 2, 3]]])
    lashes = fine.parts["lashes"]
    count_quads = len(fine.quads)
    quad = np.arange(2 * count_quads) % count_quads
    shown = (quad < lashes.face_start) | (quad >= lashes.face_stop)
    rng, found = np.random.default_rng(seed), []
    for index in range(count):
        identity = rng.normal(size=len(template.identity_modes)) * 0.9
        neutral = template.vertices + np.tensordot(identity, template.identity_modes, 1)
        cage = (neutral + np.tensordot(random_expression(rng), template.expressions, 1)).astype(np.float32)
        yaw = rng.uniform(-62.0, 62.0) * (0.35 if rng.random() < 0.4 else 1.0)
        pitch = rng.uniform(-20, 20)
        camera = random_camera(rng, cage[: template.head.vertex_stop].mean(0) + CAMERA_TARGET_OFFSET, yaw, pitch)
        look = Look(
            skin=int(rng.integers(len(dresser.skins))),
            brow=int(rng.integers(len(dresser.brows))),
            brow_strength=float(rng.uniform(0.5, 1.1)),
            lash_strength=float(rng.uniform(0.2, 0.9)),
            hair=float(rng.uniform(0.5, 1.0)) if rng.random() < 0.8 else 0.0,
            iris=int(rng.integers(len(IRIS_COLOURS))),
            seed=int(rng.integers(1 << 30)),
        )
        picture = render_linear(
            fine.positions(cage), faces[shown], camera, texture=dresser.texture(look), uv=fine.uv_head,
            uv_faces=uv_faces[shown], light=random_light(rng), supersample=1,
        ).over(_background(rng))  # fmt: skip
        picture = _develop(picture, rng)
        detected = detect_faces(picture)
        marks = find_landmarks(picture, detected[0]) if detected else None
        if marks is None:
            continue
        corners = template.landmarks478.positions(cage)[[33, 263]]
        depth = camera.project(corners)[:, 2].mean()
        scale = float(np.linalg.norm(corners[0] - corners[1]) * camera.intrinsics[0, 0] / depth)
        found.append(Observation(cage, camera, yaw, marks[:, :2].astype(np.float64), scale))
        if index % 20 == 19:
            print(f"{index + 1} rendered, {len(found)} found")
    return found


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
    seen = np.concatenate([surface.triangles for surface in surfaces if not surface.within])
    normals = [vertex_normals(o.vertices.astype(np.float64), seen) for o in observations]
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
        found, weights, _ = closest_points(points[surface.landmarks], mean, surface.triangles)
        vertices[surface.landmarks], barycentrics[surface.landmarks] = surface.triangles[found], weights
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
            place = observation.camera.project(points)[:, :2]
            away = ((observation.camera.centre() - points) * normal).sum(1) <= 0
            apart = np.linalg.norm(observation.landmarks[chosen][:, None] - place[None], axis=-1) / observation.scale
            distance.append(np.where(away[None], 1.0, apart).astype(np.float32))
        best = candidates[np.median(np.stack(distance), axis=0).argmin(1)]
        of_vertex = np.zeros(triangles.max() + 1, dtype=np.int64)
        for corner in range(3):
            of_vertex[triangles[:, corner]] = np.arange(len(triangles))
        own = triangles[of_vertex[best]]
        vertices[chosen] = own
        barycentrics[chosen] = (own == best[:, None]).astype(np.float64)
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
    """(478,) weights by the surface's angle to the view; the outline counts in frontal views only."""
    weight = np.clip((facing - 0.15) / 0.5, 0, 1)
    outline = np.array(OUTLINE)
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
