"""Face models and scans from outside the repository: ICT-FaceKit (MIT), the simulated population (Apache-2.0).

ICT's head carries scanned faces in evaluation photographs: whole, with eyeballs and teeth, and in another topology than
the template's, so that the evaluation is independent of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from backend.geometry.closest import TriangleMesh
from trainer.engine.disk_cache import shared_folder

CENTIMETRE = 0.01
SKIN_STOP = 11248
SOCKETS_STOP = 14062
EYES = ((21451, 23021), (23021, 24591))
"""Vertex ranges of the eyeballs: the person's left (x > 0), then the right."""
TRAINING_SIMPOP = tuple(range(1, 15))
"""Simulated faces that training may use."""


@dataclass(frozen=True)
class IctModel:
    """Neutral (V, 3) metres, quads (Q, 4), triangles (F, 3), identity modes (100, V, 3) and expression
    deltas by name (V, 3)."""

    neutral: np.ndarray
    quads: np.ndarray
    faces: np.ndarray
    identity: np.ndarray
    expressions: Mapping[str, np.ndarray]

    @property
    def skin(self) -> np.ndarray:
        """Triangles of face, head, neck and shoulders."""
        return self.faces[(self.faces < SKIN_STOP).all(1)]

    @property
    def visible(self) -> np.ndarray:
        """Triangles of skin, sockets, gums, teeth and eyeballs (no lashes, no tear film)."""
        return self.faces[(self.faces < EYES[1][1]).all(1)]

    def shaped(self, coefficients: np.ndarray, expression: Mapping[str, float] | None = None) -> np.ndarray:
        """(V, 3) metres for identity ``coefficients`` (up to 100, in standard deviations) and named weights."""
        modes = self.identity[: len(coefficients)].astype(np.float64)
        vertices = self.neutral + np.tensordot(coefficients, modes, 1)
        for name, weight in (expression or {}).items():
            vertices = vertices + weight * self.expressions[name]
        return vertices


@lru_cache(maxsize=1)
def load_ict() -> IctModel:
    """Load the model from ``faces3d/ict_facekit.npz``; raises ``FileNotFoundError`` where it is missing."""
    with np.load(shared_folder() / "faces3d" / "ict_facekit.npz") as data:
        quads = data["faces"].astype(np.int64)
        faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        names = [str(name) for name in data["expression_names"]]
        deltas = data["expression"].astype(np.float32) * CENTIMETRE
        return IctModel(
            data["neutral"].astype(np.float64) * CENTIMETRE,
            quads,
            faces,
            data["identity"].astype(np.float32) * CENTIMETRE,
            dict(zip(names, deltas, strict=True)),
        )


def scan_folder() -> Path:
    """``../shared/faces3d``, or under ``LIKENESS_SHARED``; raises ``FileNotFoundError`` when it is not there."""
    folder = shared_folder() / "faces3d"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: this needs the face scans")
    return folder


def triangulate(quads: np.ndarray) -> np.ndarray:
    """(T, 3) triangles of quads (F, 4), degenerate ones left out."""
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int64)
    a, b, c = triangles.T
    return triangles[(a != b) & (b != c) & (a != c)]


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
