"""Meshes and points in the sets' files: OBJ, PLY text, VRML, MeshLab's picked points, BU-3DFE's landmarks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from trainer.heads.ict import TriangleMesh

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_MOST_BYTES = 600_000_000
"""A mesh file above this is not a face scan (a FaceScape scan has 200 MB)."""


def read_mesh(path: Path, metres_per_unit: float = 1.0) -> TriangleMesh:
    """Read a mesh by its ending; vertices in metres. Raises ``ValueError`` for what is not a mesh of triangles."""
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path.name} is too large for a face scan")
    text = path.read_text(encoding="utf-8", errors="replace")
    kinds = {".obj": _obj, ".wrl": _vrml, ".ply": _ply}
    vertices, faces = kinds[path.suffix.lower()](text)
    if not len(vertices) or not len(faces) or faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"{path.name} holds no whole mesh")
    if not np.isfinite(vertices).all():
        raise ValueError(f"{path.name} holds vertices that are not numbers")
    return TriangleMesh(vertices * metres_per_unit, faces)


def write_obj(path: Path, vertices: np.ndarray, triangles: np.ndarray) -> None:
    """Write vertices (V, 3) and triangles (T, 3) as OBJ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii") as file:
        np.savetxt(file, vertices, "v %.6f %.6f %.6f")
        np.savetxt(file, triangles + 1, "f %d %d %d")


def _obj(text: str) -> tuple[np.ndarray, np.ndarray]:
    vertices = [line.split()[1:4] for line in text.splitlines() if line.startswith("v ")]
    polygons = []
    for line in text.splitlines():
        if line.startswith("f "):
            corners = [int(corner.split("/")[0]) for corner in line.split()[1:]]
            polygons.append([corner - 1 if corner > 0 else len(vertices) + corner for corner in corners])
    return np.array(vertices, np.float64).reshape(-1, 3), _fans(polygons)


def _vrml(text: str) -> tuple[np.ndarray, np.ndarray]:
    """The first ``point [...]`` and ``coordIndex [...]`` of a VRML file."""
    points, index = re.search(r"\bpoint\s*\[([^\]]*)\]", text), re.search(r"\bcoordIndex\s*\[([^\]]*)\]", text)
    if points is None or index is None:
        raise ValueError("the VRML file has no points or no faces")
    vertices = np.array(re.findall(_NUMBER, points[1]), np.float64)
    polygons: list[list[int]] = [[]]
    for corner in map(int, re.findall(r"-?\d+", index[1])):
        if corner < 0:
            polygons.append([])
        else:
            polygons[-1].append(corner)
    return vertices[: len(vertices) // 3 * 3].reshape(-1, 3), _fans(polygons)


def _ply(text: str) -> tuple[np.ndarray, np.ndarray]:
    head, found, body = text.partition("end_header")
    counts = dict(re.findall(r"element (vertex|face) (\d+)", head))
    if not found or "format ascii" not in head or len(counts) != 2:
        raise ValueError("only PLY files in text form can be read")
    lines = body.strip().splitlines()
    vertices = [line.split()[:3] for line in lines[: int(counts["vertex"])]]
    faces = [
        list(map(int, line.split()[1:]))[: int(line.split()[0])] for line in lines[int(counts["vertex"]) :] if line
    ]
    return np.array(vertices, np.float64).reshape(-1, 3), _fans(faces[: int(counts["face"])])


def _fans(polygons: Iterable[list[int]]) -> np.ndarray:
    """(T, 3) triangles of polygons."""
    fans = [(one[0], one[k], one[k + 1]) for one in polygons for k in range(1, len(one) - 1)]
    return np.array(fans, np.int64).reshape(-1, 3)


def picked_points(path: Path) -> np.ndarray:
    """(N, 3) points of a MeshLab ``.pp`` file, in its order."""
    points = []
    for tag in re.findall(r"<point\b[^>]*>", path.read_text(encoding="utf-8", errors="replace")):
        places = {axis: re.search(rf'\b{axis}="({_NUMBER})"', tag) for axis in "xyz"}
        if not all(places.values()):
            raise ValueError(f"{path.name} holds a point without coordinates")
        points.append([float(places[axis][1]) for axis in "xyz"])
    return np.array(points, np.float64).reshape(-1, 3)
