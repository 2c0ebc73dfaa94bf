"""Faces drawn from ellipses, with all twelve parsing classes: a data source that needs no model of people.

A net trained on them does not work on real faces. They show that a loop or a loss learns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.photos.collection import FaceClass
from trainer.engine.contracts import SourceConfig
from trainer.people.mixtures import LabelledPictures


@dataclass(frozen=True, kw_only=True)
class DrawnFacesConfig(SourceConfig):
    """An endless sequence of drawn faces."""

    size: int = 64
    """Side of the pictures in pixels."""
    seed: int = 0
    """Another seed gives other faces."""
    noise: float = 0.03
    """Standard deviation of the pixel noise."""

    def __post_init__(self) -> None:
        if self.size < 8 or self.noise < 0:
            raise ValueError("size must be at least 8 and noise not negative")

    def build(self) -> DrawnFaces:
        """Make the source."""
        return DrawnFaces(self)


_NUMBERS_PER_FACE = 48
_NOISE_CELLS = 16


class DrawnFaces:
    """See ``DrawnFacesConfig``."""

    def __init__(self, config: DrawnFacesConfig) -> None:
        self.config = config

    def batch(self, indices: range, device: torch.device) -> LabelledPictures:
        """Faces number ``indices``."""
        numbers, noise = [], []
        for index in indices:
            generator = np.random.Generator(np.random.Philox(key=[self.config.seed, index]))
            numbers.append(generator.random(_NUMBERS_PER_FACE, dtype=np.float32))
            noise.append(generator.standard_normal((3, _NOISE_CELLS, _NOISE_CELLS), dtype=np.float32))
        pen = _Pen(torch.from_numpy(np.stack(numbers)).to(device), self.config.size)
        _draw_face(pen)
        grain = torch.from_numpy(np.stack(noise)).to(device) * self.config.noise
        grain = functional.interpolate(
            grain, (self.config.size, self.config.size), mode="bilinear", align_corners=False
        )
        return LabelledPictures((pen.images + grain).clamp(0, 1), pen.labels)


class _Pen:
    """Paint shapes over pictures and labels; give each face its random numbers one after the other."""

    def __init__(self, numbers: Tensor, size: int) -> None:
        self.numbers = numbers  # (N, _NUMBERS_PER_FACE) in [0, 1)
        self.next_number = 0
        count = len(numbers)
        ticks = (torch.arange(size, device=numbers.device) + 0.5) / size * 2 - 1
        y, x = torch.meshgrid(ticks, ticks, indexing="ij")
        turn, scale = self.draw(-0.35, 0.35), self.draw(0.85, 1.35)
        x, y = x - self.draw(-0.15, 0.15), y - self.draw(-0.15, 0.15)  # (N, S, S)
        self.x = scale * (torch.cos(turn) * x + torch.sin(turn) * y)
        self.y = scale * (torch.cos(turn) * y - torch.sin(turn) * x)
        self.images = torch.zeros(count, 3, size, size, device=numbers.device)
        self.labels = torch.zeros(count, size, size, dtype=torch.uint8, device=numbers.device)

    def draw(self, low: float, high: float) -> Tensor:
        """(N, 1, 1) uniform numbers."""
        value = self.numbers[:, self.next_number, None, None]
        self.next_number += 1
        return low + (high - low) * value

    def chance(self, probability: float) -> Tensor:
        """(N, 1, 1) bool, True with this probability."""
        return self.draw(0.0, 1.0) < probability

    def colour(self, low: tuple[float, float, float], high: tuple[float, float, float]) -> Tensor:
        """(N, 3, 1, 1) colours on the line from ``low`` to ``high``."""
        mix = self.draw(0.0, 1.0)[:, None]
        ends = self.numbers.new_tensor([low, high])[..., None, None]
        return ends[0] + (ends[1] - ends[0]) * mix

    def ellipse(
        self, centre: tuple[Tensor | float, Tensor | float], radii: tuple[Tensor | float, Tensor | float]
    ) -> Tensor:
        """(N, S, S) squared distance from the centre relative to the radii: below 1 inside."""
        return ((self.x - centre[0]) / radii[0]) ** 2 + ((self.y - centre[1]) / radii[1]) ** 2

    def paint(self, inside: Tensor, colour: Tensor, label: FaceClass) -> None:
        """Fill the mask ``inside`` (N, S, S) with a colour, lit slightly from one side."""
        shade = 1.0 + 0.15 * self.x[:, None] - 0.1 * self.y[:, None]
        self.images = torch.where(inside[:, None], colour * shade, self.images)
        self.labels = torch.where(inside, torch.full_like(self.labels, int(label)), self.labels)


def _draw_face(pen: _Pen) -> None:
    """Paint from back to front; x and y are about 1 at the picture's border."""
    width, height = pen.draw(0.42, 0.55), pen.draw(0.55, 0.7)
    skin = pen.colour((0.95, 0.8, 0.7), (0.3, 0.18, 0.12))
    hair = pen.colour((0.1, 0.07, 0.06), (0.8, 0.65, 0.35))
    pen.paint(pen.x.abs() < 9, pen.colour((0.1, 0.2, 0.3), (0.8, 0.8, 0.75)), FaceClass.BACKGROUND)
    pen.paint((pen.ellipse((0, -0.15), (width * 1.25, height * 1.2)) < 1) & (pen.y < 0.4), hair, FaceClass.HAIR)
    pen.paint((pen.x.abs() < 0.55 * width) & (pen.y > 0.3) & (pen.y < 1.1), skin * 0.8, FaceClass.NECK)
    for side in (-1, 1):
        pen.paint(pen.ellipse((side * width, 0.0), (0.09, 0.16)) < 1, skin * 0.9, FaceClass.EARS)
    face = pen.ellipse((0, 0), (width, height)) < 1
    pen.paint(face, skin, FaceClass.SKIN)
    beard = face & (pen.y > pen.draw(0.2, 0.3)) & pen.chance(0.35)
    pen.paint(beard, hair * 0.8, FaceClass.FACIAL_HAIR)
    pen.paint(face & (pen.y < -height * pen.draw(0.5, 0.8)), hair, FaceClass.HAIR)
    eye_x, eye_open, gaze = width * pen.draw(0.38, 0.48), pen.draw(0.02, 0.06), pen.draw(-0.03, 0.03)
    brow_y = pen.draw(-0.26, -0.18)
    iris = pen.colour((0.2, 0.15, 0.1), (0.3, 0.5, 0.7))
    for side in (-1, 1):
        eye = pen.ellipse((side * eye_x, -0.08), (0.1, eye_open)) < 1
        pen.paint(eye, torch.full_like(skin, 0.92), FaceClass.EYES)
        pen.paint(eye & (pen.ellipse((side * eye_x + gaze, -0.08), (0.04, 0.04)) < 1), iris, FaceClass.EYES)
        pen.paint(pen.ellipse((side * eye_x, brow_y), (0.13, 0.035)) < 1, hair * 0.7, FaceClass.BROWS)
    mouth_y, mouth_width = pen.draw(0.28, 0.36), pen.draw(0.14, 0.24)
    mouth_open = pen.draw(0.0, 0.08)
    lips = pen.colour((0.75, 0.3, 0.3), (0.5, 0.2, 0.22))
    pen.paint(pen.ellipse((0, mouth_y), (mouth_width, 0.05 + mouth_open)) < 1, lips, FaceClass.LIPS)
    inside = pen.ellipse((0, mouth_y), (mouth_width * 0.8, mouth_open.clamp_min(1e-3))) < 1
    pen.paint(inside, torch.full_like(skin, 0.12), FaceClass.MOUTH_INTERIOR)
    frame, thickness = pen.colour((0.05, 0.05, 0.08), (0.6, 0.1, 0.1)), pen.draw(0.02, 0.05)
    worn = pen.chance(0.3)
    bridge = (pen.x.abs() < eye_x) & ((pen.y + 0.08).abs() < thickness / 2)
    rims = torch.zeros_like(bridge)
    for side in (-1, 1):
        radius = pen.ellipse((side * eye_x, -0.06), (0.17, 0.14)).sqrt()
        rims |= (radius - 1).abs() < thickness / 0.15 / 2
        bridge &= radius > 1
    pen.paint((rims | bridge) & worn, frame, FaceClass.GLASSES)
    hand_x, hand_y = pen.draw(-0.6, 0.6), pen.draw(0.2, 0.9)
    hand = (pen.ellipse((hand_x, hand_y), (0.12, 0.3)) < 1) & pen.chance(0.25)
    pen.paint(hand, pen.colour((0.9, 0.6, 0.5), (0.2, 0.5, 0.4)), FaceClass.OCCLUDER)
