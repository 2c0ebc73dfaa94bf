"""Generate random people from MakeHuman's macro, local and asymmetry targets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trainer.template.makehuman import read_target, target_folder

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
    from trainer.template.makehuman import read_base_mesh

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
