"""Read the landmark embeddings: the 68 of the committed table, and the 478 calibrated against the detector."""

from __future__ import annotations

import json

import numpy as np

from backend.assets import ASSETS
from backend.geometry.template import LandmarkEmbedding
from trainer.template.topology import Selection

LANDMARKS478 = ASSETS / "landmarks478.json"


def read_landmarks68(selection: Selection) -> LandmarkEmbedding:
    """The 68 iBUG landmarks of ``assets/landmarks68_hm08.json`` on the template."""
    table = json.loads((ASSETS / "landmarks68_hm08.json").read_text())
    lookup = {int(vertex): index for index, vertex in enumerate(selection.hm08_vertex)}
    vertices = np.array([[lookup[vertex] for vertex in triangle] for triangle in table["tri"]], dtype=np.int32)
    barycentrics = np.array(table["bary"], dtype=np.float32)
    return LandmarkEmbedding(vertices, barycentrics, np.full(68, 1.5, np.float32), np.ones(68, bool))


def read_landmarks478() -> LandmarkEmbedding:
    """The 478 calibrated landmarks of ``assets/landmarks478.json`` (see ``calibration.py``), in template vertices."""
    table = json.loads(LANDMARKS478.read_text())
    return LandmarkEmbedding(
        np.array(table["vertices"], dtype=np.int32),
        np.array(table["barycentrics"], dtype=np.float32),
        np.array(table["deviation"], dtype=np.float32),
        np.array(table["valid"], dtype=bool),
    )
