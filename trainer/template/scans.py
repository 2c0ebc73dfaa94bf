"""Read face models and scans from outside the repository: ICT-FaceKit (MIT), the simulated population (Apache-2.0)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from trainer.data.ict_head import load_ict
from trainer.data.shared_data import shared_folder

TRAINING_SIMPOP = tuple(range(1, 15))
"""Simulated faces that training may use."""

MEASURING_SIMPOP = tuple(range(15, 21))
"""Simulated faces that are for measuring only."""


@dataclass(frozen=True)
class TriangleMesh:
    """vertices (V, 3) float64 metres, triangles (T, 3) int64 counter-clockwise from outside."""

    vertices: np.ndarray
    triangles: np.ndarray


@dataclass(frozen=True)
class FaceKit:
    """ICT-FaceKit light: 100 identity modes of unit variance from real scans.

    Attributes
    ----------
    neutral : (26719, 3) float64 metres; quads : (26384, 4).
    identity : (100, 26719, 3) float32 metres, one standard deviation each.
    landmarks : (68,) vertex ids of the iBUG landmarks.
    """

    neutral: np.ndarray
    quads: np.ndarray
    identity: np.ndarray
    landmarks: np.ndarray

    SKIN = slice(0, 11248)
    FACE = slice(0, 9409)
    MOUTH = slice(11248, 13294)
    SOCKETS = slice(13294, 14062)
    EYE_LEFT = slice(21451, 23021)
    EYE_RIGHT = slice(23021, 24591)
    TEETH = slice(17039, 21451)


def scan_folder() -> Path:
    """``../shared/faces3d``, or under ``LIKENESS_SHARED``; raises ``FileNotFoundError`` when it is not there."""
    folder = shared_folder() / "faces3d"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: baking the identity prior needs the face scans")
    return folder


def triangulate(quads: np.ndarray) -> np.ndarray:
    """(T, 3) triangles of quads (F, 4), degenerate ones left out."""
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int64)
    a, b, c = triangles.T
    return triangles[(a != b) & (b != c) & (a != c)]


@lru_cache(maxsize=1)
def read_facekit() -> FaceKit:
    """ICT-FaceKit in metres."""
    indices = json.loads((scan_folder() / "ict_facekit_vertex_indices.json").read_text())
    model = load_ict()
    return FaceKit(model.neutral, model.quads, model.identity, np.array(indices["idx_to_landmark_verts"]))


def facekit_surface(kit: FaceKit) -> TriangleMesh:
    """The skin of ICT-FaceKit's neutral (no sockets, no mouth interior)."""
    triangles = triangulate(kit.quads)
    return TriangleMesh(kit.neutral, triangles[(triangles < kit.SKIN.stop).all(1)])


def read_simulated(number: int) -> TriangleMesh:
    """One face of the simulated population in metres, in its own frame."""
    vertices, triangles = [], []
    path = scan_folder() / "simulated_population" / f"SIMPOP_{number:02d}.obj"
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            vertices.append([float(word) for word in words[1:4]])
        elif words[:1] == ["f"]:
            corners = [int(word.split("/")[0]) - 1 for word in words[1:]]
            triangles += [[corners[0], corners[k], corners[k + 1]] for k in range(1, len(corners) - 1)]
    millimetre = 0.001
    return TriangleMesh(np.array(vertices) * millimetre, np.array(triangles))
