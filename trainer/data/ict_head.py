"""The ICT-FaceKit head (light model), which carries scanned faces in evaluation photographs.

It is a whole head with eyeballs and teeth. Its topology differs from the template's, so that the evaluation is
independent of the template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trainer.data.shared_data import shared_folder

CENTIMETRE = 0.01
SKIN_STOP = 11248
SOCKETS_STOP = 14062
TEETH_STOP = 21451
EYES = ((21451, 23021), (23021, 24591))
"""Vertex ranges of the eyeballs: the person's left (x > 0), then the right."""


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
