"""Neck and shoulders below the head, down to a level edge, so that pictures need no cropping.

Made once from MakeHuman's average adult and attached to the rim of a person's neck. At
the rim it has the head's own vertices. Farther down, the neck's own shape and the motion of the keys fade out.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from backend.geometry.template import Template
from backend.system.files import ASSETS, read_asset

BUST_PATH = ASSETS / "bust.safetensors"


@dataclass(frozen=True)
class BustModel:
    """The bust under the mean head.

    Attributes
    ----------
    vertices : (B, 3) float32 head frame, metres; the first R are the rim of the neck.
    quads : (F, 4) int32, counter-clockwise from outside.
    uv : (T, 2) float32, a chart of its own in the free part of map ``Head``, v up. uv_quads : (F, 4) int32.
    uv_makehuman, uv_makehuman_quads : the same in MakeHuman's map.
    hm08_vertex : (B,) int32 vertices of MakeHuman's base mesh.
    rim : (R,) int32 the same vertices of the template's head.
    nearest : (B, 2) int32 into ``rim``, and share : (B, 2) float32, rows sum to 1: interpolation of the rim above.
    follows : (B,) float32 in [0, 1], weight of the rim's offsets at a vertex: 1 on the rim.
    """

    vertices: np.ndarray
    quads: np.ndarray
    uv: np.ndarray
    uv_quads: np.ndarray
    uv_makehuman: np.ndarray
    uv_makehuman_quads: np.ndarray
    hm08_vertex: np.ndarray
    rim: np.ndarray
    nearest: np.ndarray
    share: np.ndarray
    follows: np.ndarray

    def carried(self, at_rim: np.ndarray) -> np.ndarray:
        """(B, C) values interpolated from the rim (R, C), fading downwards."""
        return self.follows[:, None] * (self.share[..., None] * at_rim[self.nearest]).sum(1)


@lru_cache(maxsize=1)
def load_bust(path: Path = BUST_PATH) -> BustModel:
    """The bust of ``assets``, read once. Raises ``DamagedFileError``."""
    return BustModel(**read_asset(path).arrays)


@dataclass(frozen=True)
class BustShape:
    """A person's bust: neutral vertices (B, 3) float32 and keys (52, B, 3) float32, metres."""

    vertices: np.ndarray
    keys: np.ndarray


def bust_shape(model: BustModel, template: Template, neutral: np.ndarray, keys: np.ndarray) -> BustShape:
    """Attach the bust to a head: neutral (V, 3) and keys (52, V, 3), metres.

    It is scaled by the head's size relative to the average and placed at the rim of the neck.
    """
    count = template.head.vertex_stop
    mean_rim, rim = template.vertices[model.rim].astype(np.float64), neutral[model.rim].astype(np.float64)
    size = _spread(neutral[:count]) / _spread(template.vertices[:count])
    about, now = mean_rim.mean(0), rim.mean(0)
    vertices = now + size * (model.vertices - about)
    vertices += model.carried(rim - (now + size * (mean_rim - about)))
    moved = np.stack([model.carried(key) for key in keys[:, model.rim].astype(np.float64)])
    vertices[: len(rim)] = rim  # bitwise equal, so that no light shines through the seam
    moved[:, : len(rim)] = keys[:, model.rim]
    return BustShape(vertices.astype(np.float32), moved.astype(np.float32))


def _spread(points: np.ndarray) -> float:
    """Root mean square distance from the centroid."""
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean()))
