"""Lip contact: lips do not intersect, and their corners stay together while the jaw opens a little.

The gap between the lips' inner edges is corrected at nine stations between the corners of the mouth. A gap smaller
than at rest is compressed but never becomes zero. A larger gap is held closed until it is wider than the moisture can
bridge; this is strongest at the corners. The skin around an edge follows it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import Template
from backend.rig.arkit import ARKIT_INDEX

UPPER = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER = (95, 88, 178, 87, 14, 317, 402, 318, 324)
"""MediaPipe's landmarks on the inner edges of the lips, from the right corner to the left."""
CORNERS = (78, 308)
_LEAST_GAP = 0.0003
"""Metres between the inner edges of closed lips."""
_YIELD_LENGTH = 0.0008
"""Metres over which lips yield when pressed together."""
_FOLLOW_RADIUS = 0.007
"""Metres, standard deviation of the skin region that follows an edge of the lips."""


_ITERATIONS = 5
"""Iterations: stations share skin, so one round leaves part of the gap error; five leave less than a hundredth."""


class LipContact:
    """The lips of N heads, on one device; the first C of the template's V vertices are the head's."""

    def __init__(self, template: Template, device: torch.device) -> None:
        count = template.head.vertex_stop
        self._count = count
        marks = template.landmarks478
        self._vertices = torch.from_numpy(marks.vertices[list(UPPER + LOWER)].astype(np.int64)).to(device)
        self._weights = torch.from_numpy(marks.barycentrics[list(UPPER + LOWER)]).to(device)
        vertices = template.vertices.astype(np.float64)
        places = marks.positions(vertices)
        across = places[list(UPPER), 0]
        half = places[CORNERS[1], 0]
        self._outward = torch.from_numpy((np.abs(across) / half).astype(np.float32)).to(device)
        self._follow = torch.from_numpy(_following(template)).to(device)

    def gaps(self, faces: Tensor) -> Tensor:
        """(N, 9) metres from the lower lip's inner edge up to the upper lip's, of faces (N, V, 3)."""
        edges = (faces[:, self._vertices, 1] * self._weights).sum(-1)
        return edges[:, : len(UPPER)] - edges[:, len(UPPER) :]

    def parted(self, neutral: Tensor) -> Tensor:
        """Correct neutral faces (N, V, 3) so that the lips touch without intersecting."""
        gap = self.gaps(neutral)
        wanted = _LEAST_GAP + torch.nn.functional.softplus((gap - _LEAST_GAP) / _YIELD_LENGTH) * _YIELD_LENGTH
        for _ in range(_ITERATIONS):
            neutral = self._moved(neutral, wanted)
        return neutral

    def touching(self, moved: Tensor, neutral: Tensor, stick: Tensor) -> Tensor:
        """Correct faces (N, V, 3), posed from ``neutral`` ones, so that lips collide and stick. stick : (N,) metres of
        gap that a person's lips keep closed at the corners."""
        wanted = self._held(self.gaps(moved), self.gaps(neutral).clamp(min=_LEAST_GAP), stick)
        for _ in range(_ITERATIONS):
            moved = self._moved(moved, wanted)
        return moved

    def _held(self, gap: Tensor, rest: Tensor, stick: Tensor) -> Tensor:
        """(N, 9) gaps with contact, from gaps (N, 9) without contact and gaps at rest."""
        opened = gap - rest
        squeezed = rest * torch.exp((opened / rest).clamp(-20, 0))
        holds = stick[:, None] * self._outward.square()
        wide = opened.clamp(min=0)
        freed = wide**3 / (wide.square() + holds.square()).clamp(min=1e-12)
        return torch.where(opened < 0, squeezed.clamp(min=0.2 * _LEAST_GAP), rest + freed)

    def _moved(self, faces: Tensor, wanted: Tensor) -> Tensor:
        """Move the lips of faces (N, V, 3) so that the gaps are about ``wanted`` (N, 9); each lip moves half of the
        way."""
        lift = 0.5 * (wanted - self.gaps(faces)) @ self._follow  # (N, C)
        faces = faces.clone()
        faces[:, : self._count, 1] += lift
        return faces


def _following(template: Template) -> np.ndarray:
    """(9, C) float32 weight of each vertex at each station: positive on the upper lip, negative on the lower.

    A vertex is assigned to a lip with the mouth open.
    """
    count = template.head.vertex_stop
    vertices = template.vertices[:count].astype(np.float64)
    marks = template.landmarks478
    places = marks.positions(template.vertices.astype(np.float64))
    opened = template.vertices + template.expressions[ARKIT_INDEX["jawOpen"]]
    wide = marks.positions(opened.astype(np.float64))
    edge = [np.linalg.norm(opened[:count, None] - wide[None, list(lip)], axis=2) for lip in (UPPER, LOWER)]  # (C, 9)
    above = edge[0].min(1) < edge[1].min(1)
    distance = np.where(above, edge[0].min(1), edge[1].min(1))
    fall = np.exp(-(distance**2) / (2 * _FOLLOW_RADIUS**2))
    across = np.concatenate([[places[CORNERS[0], 0]], places[list(UPPER), 0], [places[CORNERS[1], 0]]])
    hats = np.stack([np.interp(vertices[:, 0], across, row) for row in np.eye(len(across))[1:-1]])
    return (hats * fall * np.where(above, 1, -1)).astype(np.float32)
