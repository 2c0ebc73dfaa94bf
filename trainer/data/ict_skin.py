"""Skin for ICT heads: MakeHuman's skin maps transferred by registration, with painted brows, lashes, eyes and hair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import sparse
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from backend.geometry.normals import vertex_normals
from backend.geometry.smoothstep import smoothstep
from backend.geometry.template import load_template
from backend.rendering.color import linear_from_srgb
from trainer.data.disk_cache import cache_folder, content_key, save_arrays
from trainer.data.face_paint import EyeLook, brow_density, lash_density, paint_eyeball
from trainer.data.ict_head import EYES, SKIN_STOP, SOCKETS_STOP, TEETH_STOP, load_ict
from trainer.data.midpoint import subdivide_midpoint
from trainer.data.noise3d import fractal_noise, value_noise
from trainer.data.raytrace.bvh import build_bvh, closest_hits
from trainer.data.raytrace.scene import Surface, joined
from trainer.data.scan_registration import fit_surface, robust_similarity, warp_by_landmarks
from trainer.data.shared_data import shared_folder
from trainer.data.surface_landmarks import CLAY, SurfaceLandmarks, find_surface_landmarks
from trainer.data.torso import sweep_torso

LEVELS = 2
TEETH_BACK = 0.008
BUST = ((1.12, 1.12, 0.03), (1.18, 1.18, 0.12), (1.15, 1.15, 0.5))
"""Outline of the shirt below the head model's bust, see ``torso.sweep_torso``."""
FACE_MIDDLE = np.array([0.0, 0.0, 0.08])


@dataclass(frozen=True)
class FineIct:
    """The visible ICT surface, subdivided, and the skin's layout on the neutral mean face.

    Attributes
    ----------
    faces : (F, 3) triangles of the fine mesh. matrix : (V', V) from ICT vertices. part : (V',) int, 0 skin, 1 socket
        or mouth, 2 gums and teeth, 3 left eyeball, 4 right eyeball.
    canonical : (V', 3) fine vertices of the neutral mean face. landmarks : ``SurfaceLandmarks`` on ``coarse_faces``.
    skin_uv : (V', 2) place in MakeHuman's skin maps (v up), meaningful where part is 0.
    template : (V_head, 3) the template's head vertices registered to the neutral mean face.
    """

    faces: np.ndarray
    coarse_faces: np.ndarray
    matrix: sparse.csr_matrix
    part: np.ndarray
    canonical: np.ndarray
    landmarks: SurfaceLandmarks
    skin_uv: np.ndarray
    template: np.ndarray


@dataclass(frozen=True)
class SkinLook:
    """Appearance of a person's skin and hair.

    Attributes
    ----------
    skin_map : file name in ``makehuman/skins``. tint : (3,) factor on its linear colours.
    brow : darkness 0-1; brow_thickness : factor. hair : linear colour of brows, lashes and hair.
    cap : thickness of the hair in metres, 0 for a shaved head. cloth : colour of the shirt.
    eyes : ``EyeLook``. seed : of blotches and pores.
    """

    skin_map: str
    tint: tuple[float, float, float]
    brow: float
    brow_thickness: float
    hair: tuple[float, float, float]
    cap: float
    cloth: tuple[float, float, float]
    eyes: EyeLook
    seed: int


def eye_centre(vertices: np.ndarray, eye: int) -> np.ndarray:
    """(3,) centre of an ICT eyeball (0 left, 1 right), from a sphere fitted to its back half."""
    start, stop = EYES[eye]
    points = vertices[start:stop]
    back = points[points[:, 2] < np.median(points[:, 2])]
    system = np.concatenate([2 * back, np.ones((len(back), 1))], axis=1)
    return np.linalg.lstsq(system, (back**2).sum(1), rcond=None)[0][:3]


def _clay_with_eyes(vertices: np.ndarray) -> np.ndarray:
    colours = np.tile(CLAY, (len(vertices), 1))
    for eye, (start, stop) in enumerate(EYES):
        gaze = np.array([0.0, 0.0, 1.0])
        colours[start:stop] = paint_eyeball(vertices[start:stop], eye_centre(vertices, eye), gaze, EyeLook(), 0)
    return colours


def openness(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V,) share of the directions in front of each vertex that are unoccluded, 0-1."""
    normals = vertex_normals(vertices, faces)
    bvh = build_bvh(vertices, faces)
    k = np.arange(64) + 0.5
    z, turn = 1 - 2 * k / 64, 2.399963 * k
    sphere = np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], axis=1)
    seen, asked = np.zeros(len(vertices)), np.zeros(len(vertices))
    for direction in sphere:
        ahead = np.flatnonzero(normals @ direction > 0.15)
        hit, _, _ = closest_hits(bvh, vertices[ahead] + normals[ahead] * 2e-4, np.tile(direction, (len(ahead), 1)))
        seen[ahead] += hit < 0
        asked[ahead] += 1
    return seen / np.maximum(asked, 1)


def _template_on_ict(canonical: np.ndarray, faces: np.ndarray, landmarks: SurfaceLandmarks) -> np.ndarray:
    """Register the template's head (V_head, 3) to the ICT mean face."""
    template = load_template()
    head = template.head
    vertices = template.vertices[: head.vertex_stop].astype(np.float64)
    quads = template.quads[head.face_start : head.face_stop].astype(np.int64)
    head_faces = _triangles(quads)
    middle = np.array([0.0, *template.vertices[template.landmarks478.vertices[168, 0], 1:]]) - [0, 0.03, 0.03]
    found = find_surface_landmarks(vertices, head_faces, middle)
    own = found.positions
    good = found.steady & landmarks.steady
    scale, rotation, translation = robust_similarity(own[good], landmarks.positions[good])
    own = scale * own @ rotation.T + translation
    good &= np.nan_to_num(np.linalg.norm(own - landmarks.positions, axis=1), nan=1.0) < 0.015
    start = warp_by_landmarks(scale * vertices @ rotation.T + translation, own[good], landmarks.positions[good])
    movable = (openness(start, head_faces) > 0.35).astype(float)
    return fit_surface(start, head_faces, movable, canonical, faces)


def _triangles(quads: np.ndarray) -> np.ndarray:
    """(F', 3) triangles of quads (F, 4); a quad that repeats its last vertex is one triangle."""
    second = quads[quads[:, 2] != quads[:, 3]][:, [0, 2, 3]]
    return np.concatenate([quads[:, [0, 1, 2]], second])


def _skin_uv(canonical: np.ndarray, faces: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """MakeHuman UV (P, 2) for fine ICT vertices (P, 3): that of the closest point of the registered template."""
    template = load_template()
    head = template.head
    quads = template.quads[head.face_start : head.face_stop].astype(np.int64)
    uv_quads = template.uv_makehuman_quads[head.face_start : head.face_stop].astype(np.int64)
    pairs, inverse = np.unique(np.stack([quads.ravel(), uv_quads.ravel()], 1), axis=0, return_inverse=True)
    head_faces = _triangles(inverse.reshape(-1, 4))
    fine_faces, matrix = subdivide_midpoint(head_faces, len(pairs), 2)
    fine, fine_uv = matrix @ moved[pairs[:, 0]], matrix @ template.uv_makehuman[pairs[:, 1]].astype(np.float64)
    # compare normals too, so that inner lips and nostrils do not take the outside's colour
    fine_normals, normals = vertex_normals(fine, fine_faces), vertex_normals(canonical, faces)
    reach = 0.004
    _, index = cKDTree(np.concatenate([fine, reach * fine_normals], 1)).query(
        np.concatenate([canonical, reach * normals], 1)
    )
    return fine_uv[index]


@lru_cache(maxsize=1)
def fine_ict() -> FineIct:
    """Build the fine ICT surface once; afterwards read it from the disk cache."""
    model = load_ict()
    coarse = model.visible
    count = EYES[1][1]
    faces, matrix = subdivide_midpoint(coarse, count, LEVELS)
    limits = np.array([SKIN_STOP, SOCKETS_STOP, TEETH_STOP, EYES[0][1], EYES[1][1]])
    coarse_part = np.searchsorted(limits, np.arange(count), side="right")
    part = coarse_part[matrix.indices[matrix.indptr[:-1]]]
    vertices = model.neutral[:count]
    canonical = matrix @ vertices
    path = cache_folder() / f"ict_skin_{content_key('v5', vertices, load_template().vertices)}.npz"
    if not path.exists():
        landmarks = find_surface_landmarks(vertices, coarse, FACE_MIDDLE, _clay_with_eyes(vertices))
        skin_faces = faces[(part[faces] == 0).all(1)]
        uv = np.zeros((len(canonical), 2))
        used = np.flatnonzero(part == 0)
        renumber = np.zeros(len(canonical), dtype=np.int64)
        renumber[used] = np.arange(len(used))
        skin_vertices, skin_faces = canonical[used], renumber[skin_faces]
        template_vertices = _template_on_ict(skin_vertices, skin_faces, landmarks)
        uv[used] = _skin_uv(skin_vertices, skin_faces, template_vertices)
        save_arrays(
            path,
            uv=uv,
            faces=landmarks.faces,
            bary=landmarks.barycentrics,
            positions=landmarks.positions,
            template=template_vertices,
        )
    with np.load(path) as data:
        landmarks = SurfaceLandmarks(data["faces"], data["bary"], data["positions"])
        uv, template_vertices = data["uv"], data["template"]
    return FineIct(faces, coarse, matrix, part, canonical, landmarks, uv, template_vertices)


def _sample_map(path: Path, uv: np.ndarray) -> np.ndarray:
    picture = linear_from_srgb(np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) / 255)
    height, width = picture.shape[:2]
    rows, columns = (1 - uv[:, 1]) * height - 0.5, uv[:, 0] * width - 0.5
    return np.stack([map_coordinates(picture[..., c], [rows, columns], order=1, mode="nearest") for c in range(3)], 1)


@dataclass(frozen=True)
class IctPerson:
    """An ICT head with skin and shirt; ``eye_vertices``: ids of the left and the right eyeball; ``eye_centres`` (2,
    3)."""

    surface: Surface
    eye_vertices: tuple[np.ndarray, np.ndarray]
    eye_centres: np.ndarray

    def looking_at(self, point: np.ndarray, limit_degrees: float = 22.0) -> Surface:
        """The surface with both eyes turned towards ``point`` (3,), at most ``limit_degrees`` from straight ahead."""
        vertices, normals = self.surface.vertices.copy(), self.surface.normals.copy()
        for chosen, centre in zip(self.eye_vertices, self.eye_centres, strict=True):
            wish = (point - centre) / np.linalg.norm(point - centre)
            yaw, pitch = np.arctan2(wish[0], max(wish[2], 1e-6)), np.arcsin(np.clip(wish[1], -1, 1))
            yaw, pitch = np.clip([yaw, pitch], -np.radians(limit_degrees), np.radians(limit_degrees))
            turn_yaw = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
            turn_pitch = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
            turn = turn_yaw @ turn_pitch
            vertices[chosen] = (vertices[chosen] - centre) @ turn.T + centre
            normals[chosen] = normals[chosen] @ turn.T
        return replace(self.surface, vertices=vertices, normals=normals)


def hair_mask(canonical: np.ndarray, seed: int) -> np.ndarray:
    """(P,) 0-1 hair coverage of the head, in the ICT mean face's frame."""
    x, y, z = canonical.T
    wobble = 0.006 * value_noise(canonical, 0.03, seed) + 0.003 * value_noise(canonical, 0.006, seed + 1)
    # hairline: over the forehead, down in front of the ears, low on the neck
    front = np.interp(np.abs(x), [0, 0.035, 0.055, 0.075, 0.1], [0.098, 0.094, 0.078, 0.050, 0.040])
    line = np.where(z > 0.03, front, np.interp(z, [-0.09, -0.04, 0.0, 0.03], [-0.045, -0.02, 0.035, 0.040]))
    ear = smoothstep(0.076, 0.080, np.abs(x)) * (z > -0.03) * (z < 0.03) * (y < 0.06)
    return smoothstep(-0.004, 0.004, y - line + wobble) * (1 - ear)


def ict_person(vertices: np.ndarray, look: SkinLook) -> IctPerson:
    """An ICT-shaped head (V, 3) metres with skin, eyes, brows, hair and a shirt, ready for the ray tracer."""
    fine = fine_ict()
    count = fine.matrix.shape[1]
    coarse = vertices[:count].copy()
    coarse[SOCKETS_STOP:TEETH_STOP, 2] -= TEETH_BACK  # otherwise they show as a line between closed lips
    points = fine.matrix @ coarse
    size = len(points)
    albedo, translucency = np.full((size, 3), 0.2), np.ones(size)
    specular, roughness = np.full(size, 0.028), np.full(size, 0.36)
    skin = fine.part == 0
    canonical = fine.canonical
    base = _sample_map(shared_folder() / "makehuman" / "skins" / look.skin_map, fine.skin_uv[skin])
    blotch = fractal_noise(canonical[skin], 0.03, look.seed, 5)
    red = fractal_noise(canonical[skin], 0.012, look.seed + 9, 4)
    tone = (1 + 0.10 * blotch[:, None]) * (1 + 0.07 * red[:, None] * np.array([0.3, -1.0, -0.8]))
    albedo[skin] = base * np.asarray(look.tint) * tone
    hair = np.asarray(look.hair)
    marks = fine.landmarks.positions
    for density in (
        look.brow * brow_density(canonical[skin], marks, look.brow_thickness, look.seed),
        lash_density(canonical[skin], marks),
    ):
        albedo[skin] += (hair - albedo[skin]) * density[:, None]
    albedo[fine.part == 1] = [0.22, 0.06, 0.05]
    albedo[fine.part == 2] = [0.55, 0.48, 0.38]
    gums = np.arange(size) < 0
    gums[:count] = (np.arange(count) >= SOCKETS_STOP) & (np.arange(count) < 17039)
    albedo[gums] = [0.30, 0.10, 0.09]
    for eye, part in ((0, 3), (1, 4)):
        chosen = fine.part == part
        centre = eye_centre(vertices, eye)
        albedo[chosen] = paint_eyeball(points[chosen], centre, np.array([0.0, 0, 1]), look.eyes, look.seed + eye)
        specular[chosen], roughness[chosen], translucency[chosen] = 0.03, 0.06, 0.25
    # lips and nose shine more than cheeks, pores everywhere
    normals = vertex_normals(points, fine.faces)
    height = 9e-6 * value_noise(canonical, 0.0011, look.seed + 3) + 2.5e-5 * value_noise(
        canonical, 0.003, look.seed + 4
    )
    bumped = np.where(skin[:, None], points + normals * height[:, None], points)
    roughness[skin] += 0.06 * fractal_noise(canonical[skin], 0.02, look.seed + 5)
    if look.cap > 0:
        grown = hair_mask(canonical, look.seed) * skin
        strands = value_noise(canonical, (0.0012, 0.012, 0.004), look.seed + 6)
        lift = look.cap * (0.8 + 0.25 * fractal_noise(canonical, 0.03, look.seed + 7) + 0.06 * strands)
        points = points + normals * (grown * lift)[:, None]
        bumped = points + normals * (0.0004 * grown * strands)[:, None]
        albedo += (hair * (1 + 0.5 * strands[:, None]) - albedo) * grown[:, None]
        translucency *= 1 - grown
        roughness += (0.5 - roughness) * grown
    cloth = np.asarray(look.cloth)
    collar = -0.142 - 0.25 * np.clip(canonical[:, 2], -0.05, 0.1) + 0.35 * np.abs(canonical[:, 0])
    covered = smoothstep(0.0, -0.003, canonical[:, 1] - collar) * skin
    weave = 1 + 0.25 * value_noise(canonical, 0.0015, look.seed + 8)
    albedo += (cloth * weave[:, None] - albedo) * covered[:, None]
    points = points + normals * (0.004 * covered)[:, None]
    bumped = bumped + normals * (0.004 * covered)[:, None]
    roughness += (0.7 - roughness) * covered
    translucency *= 1 - covered
    normals = vertex_normals(bumped, fine.faces)
    albedo = np.clip(albedo, 0.005, 0.95)
    head = Surface(points, fine.faces, normals, albedo, specular, roughness, translucency)
    return IctPerson(
        joined((head, sweep_torso(points, fine.faces, canonical[:, 1] < -0.10, BUST, cloth))),
        (np.flatnonzero(fine.part == 3), np.flatnonzero(fine.part == 4)),
        np.stack([eye_centre(vertices, 0), eye_centre(vertices, 1)]),
    )
