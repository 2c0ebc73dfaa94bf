"""Read Wavefront OBJ files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


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
