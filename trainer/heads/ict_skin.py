"""Heads of ICT-FaceKit with skin, eyes and hair, fitted to scans.

Register one head mesh to another: first by landmarks, then by closest points with a smooth displacement field.

Skin for ICT heads: MakeHuman's skin maps transferred by registration, with painted brows, lashes, eyes and hair.

Complete a face scan to a whole head: the most probable ICT-FaceKit head whose face matches the scan.

The scans of the simulated population are masks that end 22 to 32 mm in front of the ears. The ICT head is registered
to them and the rest is inferred: ICT's identity modes, regularised by their standard deviations, are fitted to the
scan (the conditional mean of the head given its face; Blanz et al., "A statistical method for robust 3D surface
reconstruction from sparse data", 2004). A small smooth field removes the residual at the scan's border and fades out
behind it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import sparse
from scipy.interpolate import RBFInterpolator
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from backend.geometry.normals import vertex_normals
from backend.geometry.template import load_template
from backend.geometry.vectors import smoothstep
from backend.photos.regions import LID_LOWER, LID_UPPER
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_texture
from protocol.similarity import Similarity, fit_similarity
from trainer.engine.disk_cache import cache_folder, content_key, save_arrays, shared_folder
from trainer.heads import paint, photographs
from trainer.heads.ict import EYES, SKIN_STOP, SOCKETS_STOP, TEETH_STOP, IctModel, TriangleMesh, load_ict, triangulate
from trainer.heads.population import fit_model
from trainer.heads.raytrace import Surface, build_bvh, closest_hits, joined


def robust_similarity(source: np.ndarray, target: np.ndarray, keep: float = 0.7) -> Similarity:
    """``fit_similarity`` of the share ``keep`` of the pairs with the smallest residuals (trimmed, ten
    iterations)."""
    chosen = np.arange(len(source))
    for _ in range(10):
        similarity = fit_similarity(source[chosen], target[chosen])
        distance = np.linalg.norm(similarity.apply(source) - target, axis=1)
        chosen = np.argsort(distance)[: max(int(len(source) * keep), 4)]
    return similarity


def warp_by_landmarks(
    points: np.ndarray, source: np.ndarray, target: np.ndarray, smoothing: float = 1e-3
) -> np.ndarray:
    """Move ``points`` (P, 3) by a smooth displacement field (kernel r plus a constant) that maps landmarks ``source``
    to ``target`` (L, 3). Both should be aligned already; the field levels off far away instead of extrapolating."""
    return points + RBFInterpolator(source, target - source, kernel="linear", degree=0, smoothing=smoothing)(points)


def graph_laplacian(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """(V, V) uniform Laplacian with rows divided by the number of neighbours."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    adjacency = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    adjacency.data[:] = 1.0
    degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1.0)
    return (sparse.identity(count) - sparse.diags(1 / degree) @ adjacency).tocsr()


def boundary_vertices(faces: np.ndarray) -> np.ndarray:
    """Ids of vertices on open edges."""
    return np.unique(photographs.open_edges(faces))


def longest_border(faces: np.ndarray) -> np.ndarray:
    """Ids of vertices on the longest connected line of open edges: the rim of a mask, not its holes."""
    edges = photographs.open_edges(faces)
    count = int(edges.max()) + 1
    _, line = connected_components(
        sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count)), directed=False
    )
    longest = np.bincount(line[edges[:, 0]]).argmax()
    return np.unique(edges[line[edges[:, 0]] == longest])


def fit_surface(
    vertices: np.ndarray,
    faces: np.ndarray,
    movable: np.ndarray,
    target_vertices: np.ndarray,
    target_faces: np.ndarray,
    stiffness: tuple[float, ...] = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1),
    reach: float = 0.012,
) -> np.ndarray:
    """Register a mesh non-rigidly to a nearby target by closest points.

    Every iteration pulls each vertex towards its closest target point along the target's normal. The total displacement
    stays smooth (bi-Laplacian, weight ``stiffness``), so that parts without a target follow their surroundings.

    Parameters
    ----------
    vertices, faces : the mesh to move, (V, 3) metres and (F, 3).
    movable : (V,) 0-1, strength of the pull on a vertex (0: it only follows).
    target_vertices, target_faces : dense target, (T, 3) and (G, 3).
    reach : metres beyond which there is no pull.

    Returns
    -------
    (V, 3) moved vertices.
    """
    normals_target = vertex_normals(target_vertices, target_faces)
    tree = cKDTree(target_vertices)
    on_rim = np.zeros(len(target_vertices), bool)
    on_rim[boundary_vertices(target_faces)] = True
    smooth = graph_laplacian(faces, len(vertices))
    smooth = smooth.T @ smooth
    anchor = sparse.identity(len(vertices)) * 1e-6
    moved = vertices.copy()
    for weight in stiffness:
        for _ in range(2):
            distance, index = tree.query(moved)
            facing = (vertex_normals(moved, faces) * normals_target[index]).sum(1)
            use = movable * (distance < reach) * (facing > 0.5) * ~on_rim[index]
            # point-to-plane distance: sliding along the surface costs nothing
            gap = ((target_vertices[index] - moved) * normals_target[index]).sum(1, keepdims=True)
            goal = moved + gap * normals_target[index] - vertices
            system = (sparse.diags(use) + weight * smooth + anchor).tocsc()
            moved = vertices + splu(system).solve(use[:, None] * goal)
    return moved


def spread_field(
    faces: np.ndarray, held: np.ndarray, displacement: np.ndarray, fading: float, stiffness: float = 0.1
) -> np.ndarray:
    """(V, 3) smooth field (bi-Laplacian) that equals ``displacement`` (V, 3) where ``held`` (V,) and fades out
    elsewhere over about ``fading`` edges of the mesh with triangles ``faces`` (F, 3)."""
    smooth = graph_laplacian(faces, len(held))
    smooth = stiffness * (smooth.T @ smooth)
    # |L u|^2 + fading^-4 |u|^2 decays over ``fading`` edges
    weight = np.where(held, 1e3, stiffness * fading**-4)
    field = splu((smooth + sparse.diags(weight)).tocsc()).solve(np.where(held, 1e3, 0.0)[:, None] * displacement)
    return np.where(held[:, None], displacement, field)


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
    landmarks: photographs.SurfaceLandmarks
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
    eyes: paint.EyeLook
    seed: int


def eye_centre(vertices: np.ndarray, eye: int) -> np.ndarray:
    """(3,) centre of an ICT eyeball (0 left, 1 right), from a sphere fitted to its back half."""
    start, stop = EYES[eye]
    points = vertices[start:stop]
    back = points[points[:, 2] < np.median(points[:, 2])]
    system = np.concatenate([2 * back, np.ones((len(back), 1))], axis=1)
    return np.linalg.lstsq(system, (back**2).sum(1), rcond=None)[0][:3]


def _clay_with_eyes(vertices: np.ndarray) -> np.ndarray:
    colours = np.tile(photographs.CLAY, (len(vertices), 1))
    for eye, (start, stop) in enumerate(EYES):
        gaze = np.array([0.0, 0.0, 1.0])
        colours[start:stop] = paint.paint_eyeball(
            vertices[start:stop], eye_centre(vertices, eye), gaze, paint.EyeLook(), 0
        )
    return colours


def openness(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V,) share of the directions in front of each vertex that are unoccluded, 0-1."""
    normals = vertex_normals(vertices, faces)
    bvh = build_bvh(vertices, faces)
    k = np.arange(64) + 0.5
    z, turn = 1 - 2 * k / 64, 2.399963 * k
    sphere = np.stack([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z], axis=1)
    open_directions, asked = np.zeros(len(vertices)), np.zeros(len(vertices))
    for direction in sphere:
        ahead = np.flatnonzero(normals @ direction > 0.15)
        hit, _, _ = closest_hits(bvh, vertices[ahead] + normals[ahead] * 2e-4, np.tile(direction, (len(ahead), 1)))
        open_directions[ahead] += hit < 0
        asked[ahead] += 1
    return open_directions / np.maximum(asked, 1)


def _template_on_ict(canonical: np.ndarray, faces: np.ndarray, landmarks: photographs.SurfaceLandmarks) -> np.ndarray:
    """Register the template's head (V_head, 3) to the ICT mean face."""
    template = load_template()
    head = template.head
    vertices = template.vertices[: head.vertex_stop].astype(np.float64)
    quads = template.quads[head.face_start : head.face_stop].astype(np.int64)
    head_faces = triangulate(quads)
    middle = np.array([0.0, *template.vertices[template.landmarks478.vertices[168, 0], 1:]]) - [0, 0.03, 0.03]
    marks = photographs.find_surface_landmarks(vertices, head_faces, middle)
    points = marks.positions
    good = marks.steady & landmarks.steady
    scale, rotation, translation = robust_similarity(points[good], landmarks.positions[good])
    points = scale * points @ rotation.T + translation
    good &= np.nan_to_num(np.linalg.norm(points - landmarks.positions, axis=1), nan=1.0) < 0.015
    start = warp_by_landmarks(scale * vertices @ rotation.T + translation, points[good], landmarks.positions[good])
    movable = (openness(start, head_faces) > 0.35).astype(float)
    return fit_surface(start, head_faces, movable, canonical, faces)


def _skin_uv(canonical: np.ndarray, faces: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """MakeHuman UV (P, 2) for fine ICT vertices (P, 3): that of the closest point of the registered template."""
    template = load_template()
    head = template.head
    quads = template.quads[head.face_start : head.face_stop].astype(np.int64)
    uv_quads = template.uv_makehuman_quads[head.face_start : head.face_stop].astype(np.int64)
    pairs, inverse = np.unique(np.stack([quads.ravel(), uv_quads.ravel()], 1), axis=0, return_inverse=True)
    head_faces = triangulate(inverse.reshape(-1, 4))
    fine_faces, matrix = photographs.subdivide_midpoint(head_faces, len(pairs), 2)
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
    faces, matrix = photographs.subdivide_midpoint(coarse, count, LEVELS)
    limits = np.array([SKIN_STOP, SOCKETS_STOP, TEETH_STOP, EYES[0][1], EYES[1][1]])
    coarse_part = np.searchsorted(limits, np.arange(count), side="right")
    part = coarse_part[matrix.indices[matrix.indptr[:-1]]]
    vertices = model.neutral[:count]
    canonical = matrix @ vertices
    path = cache_folder() / f"ict_skin_{content_key('v5', vertices, load_template().vertices)}.npz"
    if not path.exists():
        landmarks = photographs.find_surface_landmarks(vertices, coarse, FACE_MIDDLE, _clay_with_eyes(vertices))
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
        landmarks = photographs.SurfaceLandmarks(data["faces"], data["bary"], data["positions"])
        uv, template_vertices = data["uv"], data["template"]
    return FineIct(faces, coarse, matrix, part, canonical, landmarks, uv, template_vertices)


def _sample_map(path: Path, uv: np.ndarray) -> np.ndarray:
    picture = np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) / 255
    return sample_texture(linear_from_srgb(picture), uv)


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
    wobble = 0.006 * paint.value_noise(canonical, 0.03, seed) + 0.003 * paint.value_noise(canonical, 0.006, seed + 1)
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
    blotch = paint.fractal_noise(canonical[skin], 0.03, look.seed, 5)
    red = paint.fractal_noise(canonical[skin], 0.012, look.seed + 9, 4)
    tone = (1 + 0.10 * blotch[:, None]) * (1 + 0.07 * red[:, None] * np.array([0.3, -1.0, -0.8]))
    albedo[skin] = base * np.asarray(look.tint) * tone
    hair = np.asarray(look.hair)
    marks = fine.landmarks.positions
    for density in (
        look.brow * paint.brow_density(canonical[skin], marks, look.brow_thickness, look.seed),
        paint.lash_density(canonical[skin], marks),
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
        albedo[chosen] = paint.paint_eyeball(points[chosen], centre, np.array([0.0, 0, 1]), look.eyes, look.seed + eye)
        specular[chosen], roughness[chosen], translucency[chosen] = 0.03, 0.06, 0.25
    # lips and nose shine more than cheeks, pores everywhere
    normals = vertex_normals(points, fine.faces)
    height = 9e-6 * paint.value_noise(canonical, 0.0011, look.seed + 3) + 2.5e-5 * paint.value_noise(
        canonical, 0.003, look.seed + 4
    )
    bumped = np.where(skin[:, None], points + normals * height[:, None], points)
    roughness[skin] += 0.06 * paint.fractal_noise(canonical[skin], 0.02, look.seed + 5)
    if look.cap > 0:
        grown = hair_mask(canonical, look.seed) * skin
        strands = paint.value_noise(canonical, (0.0012, 0.012, 0.004), look.seed + 6)
        lift = look.cap * (0.8 + 0.25 * paint.fractal_noise(canonical, 0.03, look.seed + 7) + 0.06 * strands)
        points = points + normals * (grown * lift)[:, None]
        bumped = points + normals * (0.0004 * grown * strands)[:, None]
        albedo += (hair * (1 + 0.5 * strands[:, None]) - albedo) * grown[:, None]
        translucency *= 1 - grown
        roughness += (0.5 - roughness) * grown
    cloth = np.asarray(look.cloth)
    collar = -0.142 - 0.25 * np.clip(canonical[:, 2], -0.05, 0.1) + 0.35 * np.abs(canonical[:, 0])
    covered = smoothstep(0.0, -0.003, canonical[:, 1] - collar) * skin
    weave = 1 + 0.25 * paint.value_noise(canonical, 0.0015, look.seed + 8)
    albedo += (cloth * weave[:, None] - albedo) * covered[:, None]
    points = points + normals * (0.004 * covered)[:, None]
    bumped = bumped + normals * (0.004 * covered)[:, None]
    roughness += (0.7 - roughness) * covered
    translucency *= 1 - covered
    normals = vertex_normals(bumped, fine.faces)
    albedo = np.clip(albedo, 0.005, 0.95)
    head = Surface(points, fine.faces, normals, albedo, specular, roughness, translucency)
    return IctPerson(
        joined((head, photographs.sweep_torso(points, fine.faces, canonical[:, 1] < -0.10, BUST, cloth))),
        (np.flatnonzero(fine.part == 3), np.flatnonzero(fine.part == 4)),
        np.stack([eye_centre(vertices, 0), eye_centre(vertices, 1)]),
    )


SEEN = 0.45
"""Openness above which a vertex counts as skin visible to a scanner (not nostrils, inner lips, lid pockets)."""
SCAN_DISTANCE_METRES = 0.015
"""Metres from the scan within which skin belongs to it. This covers nostrils, lips, lids and what holes leave out."""
FADING_EDGES = 4.0
"""Edges (of about 4 mm) over which the field fades behind the scan."""


@dataclass(frozen=True)
class FittedIctHead:
    """An ICT head fitted to a face scan, upright, at the scan's scale.

    Attributes
    ----------
    vertices : (V, 3) metres, ICT's vertices up to the eyeballs. marks : (478, 3) landmarks found on the scan, NaN where
    missing. rotation (3, 3), translation (3,) : move the scan there, ``upright = points @ rotation.T + translation``.
    """

    vertices: np.ndarray
    marks: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray


def carry_onto_scan(vertices: np.ndarray, faces: np.ndarray) -> FittedIctHead:
    """Fit the most probable head to a face scan that looks along +z: vertices (N, 3) in metres, triangles (F, 3)."""
    model, fine = load_ict(), fine_ict()
    count = EYES[1][1]
    source = fine.landmarks.positions
    embedded = photographs.find_surface_landmarks(vertices, faces, (vertices.max(0) + vertices.min(0)) / 2)
    marks = embedded.positions
    good = fine.landmarks.steady & embedded.steady
    scale, rotation, translation = robust_similarity(source[good], marks[good])
    rotation, translation = rotation.T, -rotation.T @ translation
    vertices, marks = vertices @ rotation.T + translation, marks @ rotation.T + translation
    placed, placed_marks = scale * model.neutral[:count], scale * source
    good &= np.nan_to_num(np.linalg.norm(placed_marks - marks, axis=1), nan=1.0) < 0.012
    warped = warp_by_landmarks(placed, placed_marks[good], marks[good])
    dense_faces, matrix = photographs.subdivide_midpoint(faces, len(vertices), 2)
    dense = matrix @ vertices
    visible = openness(placed[:SKIN_STOP], model.skin) > SEEN
    fitted = fit_surface(warped[:SKIN_STOP], model.skin, visible.astype(float), dense, dense_faces)
    scanned = scanned_part(fitted, dense, longest_border(dense_faces))
    moved = warped.copy()
    # sockets, mouth and teeth follow the skin around them; eyeballs keep their shape
    near_distance, near = cKDTree(warped[:SKIN_STOP]).query(warped[SKIN_STOP:], k=6)
    share = 1 / np.maximum(near_distance, 1e-4) ** 2
    share /= share.sum(1, keepdims=True)
    moved[SKIN_STOP:] += ((fitted - warped[:SKIN_STOP])[near] * share[..., None]).sum(1)
    likeliest = most_probable_head(model, fine, TriangleMesh(vertices, faces), marks, np.flatnonzero(good))[:SKIN_STOP]
    moved[:SKIN_STOP] = likeliest + spread_field(model.skin, scanned, fitted - likeliest, FADING_EDGES)
    fitted_marks = fine.landmarks.on(moved, fine.coarse_faces)
    for eye, (first, stop) in enumerate(EYES):
        moved[first:stop] = _seat_eyeball(model.neutral, moved, eye, source, fitted_marks)
    return FittedIctHead(moved, marks, rotation, translation)


def scanned_part(skin: np.ndarray, scan: np.ndarray, border: np.ndarray) -> np.ndarray:
    """(V,) bool: vertices of ``skin`` (V, 3) that lie on or beside the scan, but not beyond its border.

    scan : (N, 3) dense points. border : ids of the points on its outer border (the rims of holes are not among them).
    """
    distance, near = cKDTree(scan).query(skin)
    at_border = np.zeros(len(scan), bool)
    at_border[border] = True
    return (distance < SCAN_DISTANCE_METRES) & ~at_border[near]


def most_probable_head(
    model: IctModel, fine: FineIct, scan: TriangleMesh, marks: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """Return the (V, 3) most probable ICT head, up to a free similarity, given an upright ``scan`` and some landmarks.

    marks : (478, 3) landmarks on the scan. chosen : (L,) ids of the landmarks that are used.
    """
    count = EYES[1][1]
    corners = fine.coarse_faces[fine.landmarks.faces[chosen]]
    row = np.repeat(np.arange(len(chosen)), 3)
    weights = fine.landmarks.barycentrics[chosen].ravel()
    rows = sparse.csr_matrix((weights, (row, corners.ravel())), shape=(len(chosen), count))
    visible = (openness(model.neutral[:SKIN_STOP], model.skin) > SEEN).astype(float)
    skin = sparse.identity(count, format="csr")[:SKIN_STOP]
    mean, modes = model.neutral[:count], model.identity[:, :count].astype(np.float64)
    return fit_model(mean, modes, skin, model.skin, visible, scan, rows, marks[chosen]).cage


def _seat_eyeball(
    neutral: np.ndarray, moved: np.ndarray, eye: int, marks: np.ndarray, moved_marks: np.ndarray
) -> np.ndarray:
    """Place an eyeball's vertices behind the lids of ``moved``: upright, sized and centred by the lid opening, and far
    enough back that the lids lie in front of it."""
    start, stop = EYES[eye]
    ids = sorted({*LID_UPPER[1 - eye], *LID_LOWER[1 - eye]})
    opening, moved_opening = marks[ids], moved_marks[ids]
    scale = np.ptp(moved_opening[:, 0]) / np.ptp(opening[:, 0])
    centre = eye_centre(neutral, eye)
    middle, moved_middle = ((points.max(0) + points.min(0)) / 2 for points in (opening, moved_opening))
    seat = moved_middle + scale * (centre - middle)
    lids = np.flatnonzero(np.linalg.norm(neutral[:SKIN_STOP] - centre, axis=1) < 0.0175)
    gap = np.linalg.norm(moved[lids] - seat, axis=1) - scale * np.linalg.norm(neutral[lids] - centre, axis=1)
    seat[2] += min(float(np.percentile(gap, 25)), 0.0)
    return seat + scale * (neutral[start:stop] - centre)
