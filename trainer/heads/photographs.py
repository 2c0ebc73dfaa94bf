"""Photographs of a head by ray tracing, with its landmarks.

Midpoint subdivision that does not change the surface, as a sparse matrix for any vertex attribute.

Landmarks on a bare mesh: render it as clay from the front, detect, cast rays back to the mesh.

A dressed torso that hangs from the open rim of a head mesh.

Simulate ordinary photographs of a surface: cameras, light, backgrounds, film.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.ndimage import gaussian_filter

from backend.geometry.normals import vertex_normals
from backend.photos.faces import landmarks_of_largest
from backend.photos.regions import FACE_OVAL
from backend.rendering.camera import Camera
from trainer.heads import raytrace


def edge_keys(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of triangles (F, 3), corners 0-1, 1-2 and 2-0 of each: (3 F, 2) directed vertex ids, and an int64 key per
    edge that is the same for both directions."""
    edges = np.asarray(faces, dtype=np.int64)[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    return edges, (edges.min(1) << 32) | edges.max(1)


def open_edges(faces: np.ndarray) -> np.ndarray:
    """(E, 2) directed edges of triangles (F, 3) that have a triangle on one side only."""
    edges, keys = edge_keys(faces)
    _, first, count = np.unique(keys, return_index=True, return_counts=True)
    return edges[first[count == 1]]


def subdivide_midpoint(faces: np.ndarray, vertex_count: int, levels: int) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Split every triangle into four, ``levels`` times.

    Parameters
    ----------
    faces : (F, 3) int. vertex_count : number of vertices that ``faces`` indexes.

    Returns
    -------
    faces (F * 4**levels, 3) int64, and the (V', V) matrix that takes vertex attributes to the finer mesh. The first V
    fine vertices are the coarse ones.
    """
    faces = np.asarray(faces, dtype=np.int64)
    matrix = sparse.identity(vertex_count, format="csr")
    for _ in range(levels):
        count = matrix.shape[0]
        keys, inverse = np.unique(edge_keys(faces)[1], return_inverse=True)
        unique = np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)
        middle = (count + inverse.ravel()).reshape(-1, 3)
        a, b, c = faces.T
        ab, bc, ca = middle.T
        faces = np.concatenate(
            [np.stack(corners, axis=1) for corners in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        )
        rows = np.repeat(np.arange(len(unique)), 2)
        halves = sparse.csr_matrix((np.full(len(rows), 0.5), (rows, unique.ravel())), shape=(len(unique), count))
        matrix = sparse.vstack([sparse.identity(count, format="csr"), halves], format="csr") @ matrix
    return faces, matrix.tocsr()


TABLES = tomllib.loads((Path(__file__).parent / "tables.toml").read_text(encoding="utf-8"))
"""Lights and colours, as the file says."""
CLAY = np.array([0.50, 0.36, 0.28])
SIZE = 512
DISTANCE = 2.0
VIEW_METRES = 0.30  # width that the picture shows


@dataclass(frozen=True)
class SurfaceLandmarks:
    """478 points on a mesh.

    Attributes
    ----------
    faces : (478,) int32, -1 where the ray missed. barycentrics : (478, 3). positions : (478, 3), NaN where missed.
    """

    faces: np.ndarray
    barycentrics: np.ndarray
    positions: np.ndarray

    @property
    def steady(self) -> np.ndarray:
        """(478,) bool, landmarks that were found, lie on the skin (no irises) and mark a fixed place (no outline)."""
        ids = np.arange(len(self.faces))
        return self.found & (ids < 468) & ~np.isin(ids, FACE_OVAL)

    @property
    def found(self) -> np.ndarray:
        """(478,) bool."""
        return self.faces >= 0

    def on(self, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """(478, 3) positions on other vertices of the same triangles, NaN where missed."""
        corners = vertices[faces[np.maximum(self.faces, 0)]]
        positions = (corners * self.barycentrics[:, :, None]).sum(1)
        return np.where(self.found[:, None], positions, np.nan)


def find_surface_landmarks(
    vertices: np.ndarray, faces: np.ndarray, target: np.ndarray, albedo: np.ndarray | None = None
) -> SurfaceLandmarks:
    """Find the landmarks of a face that looks along +z.

    Parameters
    ----------
    vertices : (V, 3) metres; faces : (F, 3). target : (3,) approximate centre of the face.
    albedo : (V, 3) linear colours that help the detector, such as dark irises; clay when None.

    Raises
    ------
    ValueError : when no face is detected.
    """
    count = len(vertices)
    surface = raytrace.Surface(
        vertices,
        faces,
        vertex_normals(vertices, faces),
        np.tile(CLAY, (count, 1)) if albedo is None else albedo,
        np.full(count, 0.028),
        np.full(count, 0.45),
        np.ones(count),
    )
    bvh = raytrace.build_bvh(vertices, faces)
    camera = raytrace.look_at(0, 0, 0, DISTANCE, SIZE * DISTANCE / VIEW_METRES, (SIZE, SIZE), target)
    soft = raytrace.Environment(np.full(3, 0.25), np.full(3, 0.55), np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3)))
    pixels = []
    for side in (-1.0, 0.0, 1.0):
        lamp = raytrace.AreaLight(np.array([side * 1.0, 0.7, 1.6]), 0.3, np.full(3, 0.6))
        view = raytrace.trace_view(
            surface, camera, raytrace.Lighting((lamp,), soft), samples=3, ambient_rays=4, bvh=bvh
        )
        picture = raytrace.develop(view.over(np.full(3, 0.35)), raytrace.Film(noise=0.0), np.random.default_rng(0))
        points = landmarks_of_largest(picture)
        if points is not None:
            pixels.append(points[:, :2])
    if not pixels:
        raise ValueError("no face is seen on this mesh")
    pixel = np.median(pixels, axis=0)  # (478, 2)
    in_camera = np.concatenate([pixel, np.ones((len(pixel), 1))], axis=1) @ np.linalg.inv(camera.intrinsics).T
    directions = in_camera @ camera.camera_from_head[:3, :3]
    hit, _, barycentrics = raytrace.closest_hits(bvh, np.tile(camera.centre(), (len(pixel), 1)), directions)
    corners = vertices[faces[np.maximum(hit, 0)]]
    facing = (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * directions).sum(1) < 0
    hit = np.where(facing, hit, -1)  # missed: the ray went through a gap to the inside of the skull
    positions = np.where(hit[:, None] >= 0, (corners * barycentrics[:, :, None]).sum(1), np.nan)
    return SurfaceLandmarks(hit, barycentrics, positions)


def sweep_torso(
    points: np.ndarray,
    faces: np.ndarray,
    allowed: np.ndarray,
    outline: Sequence[tuple[float, float, float]],
    cloth: np.ndarray,
) -> raytrace.Surface:
    """Sweep a surface down from the open edges of a mesh.

    Parameters
    ----------
    points, faces : the head, (V, 3) metres (y up) and (F, 3).
    allowed : (V,) bool, vertices whose open edges count (the neck's rim, not the eyes').
    outline : rings below the rim, each (width factor along x, width factor along z, metres below the rim); widths are
        about the rim's centre.
    cloth : (3,) linear colour.

    Raises
    ------
    ValueError : when the mesh has no open edge there.
    """
    rim = open_edges(faces)
    rim = rim[allowed[rim].all(1)]
    if len(rim) == 0:
        raise ValueError("the mesh has no open rim to hang a torso from")
    ids, local = np.unique(rim, return_inverse=True)
    local = local.reshape(-1, 2)
    top = points[ids]
    middle = (top.max(0) + top.min(0)) / 2
    half = (top.max(0) - top.min(0)) / 2
    angle = np.arctan2((top[:, 2] - middle[2]) / half[2], (top[:, 0] - middle[0]) / half[0])
    ellipse = np.stack([half[0] * np.cos(angle), 0 * angle, half[2] * np.sin(angle)], axis=1)
    rings = [top]
    for index, (wide, deep, drop) in enumerate(outline):
        # blend from the rim's own outline and height to an ellipse
        even = min((index + 1) / 4, 1.0)
        ring = ((1 - even) * (top - middle) + even * ellipse) * [wide, 1.0, deep] + middle
        ring[:, 1] -= drop
        rings.append(ring)
    n = len(ids)
    strips = []
    for ring in range(len(rings) - 1):
        a, b = local[:, 0] + ring * n, local[:, 1] + ring * n
        strips += [np.stack([b, a, a + n], 1), np.stack([b, a + n, b + n], 1)]
    vertices, strip_faces = np.concatenate(rings), np.concatenate(strips)
    size = len(vertices)
    return raytrace.Surface(
        vertices,
        strip_faces,
        vertex_normals(vertices, strip_faces),
        np.tile(cloth, (size, 1)),
        np.full(size, 0.02),
        np.full(size, 0.7),
        np.zeros(size),
    )


LIGHT_NAMES = tuple(TABLES["lights"])
FACE_METRES = 0.20
"""Metres, from brow to chin with a margin; ``Shot.face_share`` is its share of the picture's height."""


@dataclass(frozen=True)
class Shot:
    """Settings of one photograph. Angles in degrees, see ``look_at``. ``distance`` from the centre of the face in
    metres. ``face_share``: share of the picture's height that 20 cm at that distance take. ``offset`` of the face from
    the picture's centre as a share of its size. ``light`` one of ``LIGHT_NAMES``, rotated by ``light_turn`` degrees
    about the vertical.
    """

    yaw: float
    pitch: float
    roll: float
    distance: float
    face_share: float
    offset: tuple[float, float]
    size: tuple[int, int]
    light: str
    light_turn: float
    film: raytrace.Film
    seed: int


@dataclass(frozen=True)
class Photograph:
    """A finished picture: JPEG bytes (no EXIF) and its camera."""

    jpeg: bytes
    camera: Camera


def lighting(name: str, turn_degrees: float, middle: np.ndarray) -> raytrace.Lighting:
    """Make the light called ``name`` around a face at ``middle`` (3,) that looks along +z, rotated about the
    vertical."""
    turn = np.radians(turn_degrees)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    if name not in LIGHT_NAMES:
        raise ValueError(f"unknown light {name!r}; known: {', '.join(LIGHT_NAMES)}")
    table = TABLES["lights"][name]
    lights = []
    for position, radius, irradiance in table.get("lamps", ()):
        at = rotation @ np.array(position) + middle
        # ``irradiance`` is given at the face, but ``AreaLight`` states it at the origin
        gain = ((at - middle) ** 2).sum() / (at**2).sum()
        lights.append(raytrace.AreaLight(at, radius, np.array(irradiance) * gain))
    windows = table.get("windows", ())
    directions = np.array([direction for direction, _, _ in windows]).reshape(-1, 3)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    sharpness, colours = (np.array([window[k] for window in windows]) for k in (1, 2))
    ground, sky = np.array(table["ground"]), np.array(table["sky"])
    return raytrace.Lighting(
        tuple(lights), raytrace.Environment(ground, sky, directions @ rotation.T, sharpness, colours.reshape(-1, 3))
    )


def background(size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """(H, W, 3) linear light of an out-of-focus room or garden."""
    width, height = size
    first, second = generator.uniform(0.05, 0.5, 3), generator.uniform(0.02, 0.35, 3)
    first, second = (0.2 * c + 0.8 * c.mean() for c in (first, second))
    ramp = np.linspace(0, 1, height)[:, None, None]
    picture = np.broadcast_to(first * (1 - ramp) + second * ramp, (height, width, 3)).copy()
    rows, columns = np.mgrid[0:height, 0:width]
    for _ in range(generator.integers(3, 9)):
        colour = generator.uniform(0.0, 0.7, 3)
        colour = 0.25 * colour + 0.75 * colour.mean()
        x, y = generator.uniform(0, width), generator.uniform(0, height)
        a, b = generator.uniform(0.04, 0.25, 2) * width
        if generator.random() < 0.6:
            inside = (np.abs(columns - x) < a) & (np.abs(rows - y) < 2 * b)
        else:
            inside = ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 < 1
        picture[inside] += generator.uniform(0.4, 0.9) * (colour - picture[inside])
    blur = width * generator.uniform(0.008, 0.04)
    return gaussian_filter(picture, (blur, blur, 0))


def shot_camera(shot: Shot, middle: np.ndarray) -> Camera:
    """Build the camera of a shot of a face with centre ``middle`` (3,)."""
    width, height = shot.size
    focal = shot.face_share * height * shot.distance / FACE_METRES
    where = (width * (0.5 + shot.offset[0]), height * (0.5 + shot.offset[1]))
    # the principal point stays in the picture's centre, so rotate the camera until the face lies at ``where``
    camera = raytrace.look_at(shot.yaw, shot.pitch, shot.roll, shot.distance, focal, shot.size, middle)
    ray = np.array([(where[0] - width / 2) / focal, (where[1] - height / 2) / focal, 1.0])
    ray /= np.linalg.norm(ray)
    axis = np.cross([0, 0, 1.0], ray)
    sine, cosine = np.linalg.norm(axis), ray[2]
    turn = np.eye(3)
    if sine > 1e-9:
        x, y, z = axis / sine
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        turn = np.eye(3) + sine * cross + (1 - cosine) * cross @ cross  # Rodrigues
    moved = np.eye(4)
    moved[:3, :3] = turn
    return Camera(camera.intrinsics, moved @ camera.camera_from_head, shot.size)


def take_photograph(
    surface: raytrace.Surface, middle: np.ndarray, shot: Shot, samples: int = 3, ambient_rays: int = 3
) -> Photograph:
    """Photograph ``surface``, a face that looks along +z with its centre at ``middle``, with the settings ``shot``."""
    generator = np.random.default_rng(shot.seed)
    camera = shot_camera(shot, middle)
    light = lighting(shot.light, shot.light_turn, middle)
    view = raytrace.trace_view(surface, camera, light, samples, ambient_rays, shot.seed)
    linear = view.over(background(shot.size, generator))
    covered = view.coverage > 0.99
    level = np.percentile(view.linear[covered].max(-1), 90) if covered.any() else 1.0
    # exposure is metered on the person, as phones do, and then varied by the film's exposure
    factor = min(0.55 / max(float(level), 1e-3), 2.0)
    film = shot.film
    exposed = raytrace.Film(
        film.exposure * factor**0.6, film.white_balance, film.noise, film.blur, film.jpeg_quality, film.contrast
    )
    return Photograph(raytrace.jpeg_bytes(raytrace.develop(linear, exposed, generator), film.jpeg_quality), camera)


SIX_VIEWS = ((-4.0, 3.0), (28.0, -6.0), (-33.0, 4.0), (49.0, 2.0), (-50.0, -5.0), (10.0, 14.0))
"""Yaw and pitch of the standard set, before jitter."""


def six_shots(seed: int, distance: float | None = None) -> tuple[Shot, ...]:
    """Make six different photographs of one person, all from ``distance`` metres if given, else from 0.5 to 2 m."""
    generator = np.random.default_rng(seed)
    lights = list(generator.permutation(["window", "overcast", "lamp", "sun", "flash", "two_lamps"]))
    sizes = ((640, 640), (600, 760), (720, 600))
    distances = generator.permutation(np.geomspace(0.5, 2.0, 6))
    shots = []
    for index, (yaw, pitch) in enumerate(SIX_VIEWS):
        jitter = generator.uniform(-1, 1, 8)
        film = raytrace.Film(
            exposure=1 + 0.15 * jitter[0],
            white_balance=(1 + 0.06 * jitter[1], 1.0, 1 - 0.08 * jitter[2]),
            noise=float(generator.uniform(0.001, 0.005)),
            blur=float(generator.uniform(0.4, 0.9)),
            jpeg_quality=int(generator.integers(78, 95)),
            contrast=float(generator.uniform(0.0, 0.35)),
        )
        shots.append(
            Shot(
                yaw + 3 * jitter[3],
                pitch + 3 * jitter[4],
                4 * jitter[5],
                float(distances[index]) if distance is None else distance,
                float(generator.uniform(0.52, 0.72)),
                (0.05 * jitter[6], 0.02 + 0.04 * jitter[7]),
                sizes[int(generator.integers(len(sizes)))],
                str(lights[index]),
                float(generator.uniform(-40, 40)),
                film,
                seed * 100 + index,
            )
        )
    return tuple(shots)
