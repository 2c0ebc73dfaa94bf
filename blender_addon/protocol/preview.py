"""A ``preview`` message, checked and decoded (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .buffers import NamedBuffers, checked_field, malformed


@dataclass(frozen=True)
class Preview:
    """Preview of the head in progress.

    Attributes
    ----------
    vertices : (V, 3) float32 neutral, head frame.
    quads : (F, 4) int32, a triangle repeats its last vertex.
    picture_png : PNG file of ``picture_size`` (width, height).
    """

    stage: str
    number: int
    vertices: np.ndarray
    quads: np.ndarray
    picture_png: bytes
    picture_size: tuple[int, int]


def decode_preview(header: Mapping[str, Any], buffers: Sequence[bytes]) -> Preview:
    """Check and decode a ``preview`` message; the arrays are views of the buffers.

    Raises ``AddonError`` with code ``malformed`` and one sentence.
    """
    named = NamedBuffers(checked_field(header, "buffers", list), buffers)
    vertices = named.array("vertices", "<f4", (None, 3))
    quads = named.array("quads", "<i4", (None, 4))
    if len(vertices) > 200_000 or len(quads) > 400_000:
        raise malformed("the preview's mesh is too large")
    if vertices.size and not np.abs(vertices).max() <= 10:
        raise malformed("a number of the preview is not finite or far too large")
    if quads.size and (quads.min() < 0 or quads.max() >= len(vertices)):
        raise malformed("a face of the preview points outside of its vertices")
    png, size = named.picture("picture", 4096)
    number = header.get("number")
    stage = header.get("stage")
    return Preview(
        stage if isinstance(stage, str) else "", number if isinstance(number, int) else 0, vertices, quads, png, size
    )
