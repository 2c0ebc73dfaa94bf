"""A world in which LAP's assumptions hold exactly: smooth faces under one lamp, seen in known views.

How wide a face and how long a nose is shows in the places of eyes and mouth.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from canonical_hand_made import TINY
from torch import Tensor

from backend.models.lap.canonical_face import render_face
from backend.models.lap.network import CanonicalMaps, Scene
from backend.photos.collection import FaceClass
from backend.rendering.camera import View, rotation_from_euler
from backend.rendering.depth_surface import LambertLight
from trainer.engine.contracts import SourceConfig
from trainer.methods.lap.data import CanonicalTruth, LapBatch

SMALL_NET = dataclasses.replace(
    TINY,
    rotation_degrees=60.0,
    decoder="linear",
    depth_components=6,
    albedo_components=6,
    depth_residual=4,
    albedo_residual=4,
    refine_residual=True,
    border_columns=0,
)


@dataclass(frozen=True, kw_only=True)
class ToySetsConfig(SourceConfig):
    """Sets of ``photos`` pictures of 32 x 32 pixels."""

    photos: int = 3
    seed: int = 0
    known: bool = True

    def build(self) -> ToySets:
        return ToySets(self)


class ToySets:
    def __init__(self, config: ToySetsConfig) -> None:
        self.config = config

    def batch(self, indices: range, device: torch.device) -> LapBatch:
        made = [self._person(index) for index in indices]
        photos = self.config.photos
        face = CanonicalMaps(torch.stack([m[0] for m in made]), torch.stack([m[1] for m in made]))
        rows = torch.arange(len(made) * photos) // photos
        scene = Scene(
            LambertLight(
                *(torch.cat([getattr(m[2].light, n) for m in made]) for n in ("ambient", "diffuse", "direction"))
            ),
            View(*(torch.cat([getattr(m[2].view, n) for m in made]) for n in ("rotation", "translation"))),
        )
        rendered = render_face(face.of(rows), scene, SMALL_NET)
        inside = _disk(0.85)
        visible = (rendered.surface.sample(inside.expand(len(rows), 1, -1, -1).float())[:, 0] > 0.99) & rendered.mask
        images = torch.where(visible[:, None], rendered.image / 2 + 0.5, torch.tensor(0.3)).clamp(0, 1)
        labels = torch.where(visible, int(FaceClass.SKIN), int(FaceClass.BACKGROUND)).byte()
        truth = CanonicalTruth(
            depth=face.depth * inside,
            albedo=face.albedo / 2 + 0.5,
            albedo_seen=inside.expand(len(made), -1, -1),
            personal_depth=(face.depth * inside)[rows],
            rotation=scene.view.rotation,
            translation=scene.view.translation,
            view_depth=rendered.surface.depth * visible,
        )
        grey = torch.zeros(len(rows), dtype=torch.bool)
        return LapBatch(images, labels, grey, rows, truth if self.config.known else None)

    def _person(self, index: int) -> tuple[Tensor, Tensor, Scene]:
        g = torch.Generator().manual_seed(self.config.seed * 100003 + index)
        y, x = _plane()
        wide, nose, tilt = (torch.rand(3, generator=g) * 2 - 1).tolist()
        relief = 0.05 * (1 - (1 + 0.5 * wide) * x**2 - 0.8 * y**2)
        relief = relief + (0.03 + 0.02 * nose) * torch.exp(-((x**2 + (y - 0.1) ** 2) / 0.03))
        depth = (1.02 - relief + 0.01 * tilt * y).clamp(0.91, 1.09)
        tone = torch.rand(3, 1, 1, generator=g) * 0.6 - 0.1
        mouth = torch.exp(-(((y - 0.45 - 0.1 * nose) / 0.1) ** 2 + (x / 0.3) ** 2))
        eyes = torch.exp(-(((y + 0.2) / 0.1) ** 2 + ((x.abs() - 0.35 - 0.1 * wide) / 0.15) ** 2))
        albedo = tone - mouth * torch.tensor([0.1, 0.5, 0.5]).view(3, 1, 1) - 0.6 * eyes
        n = self.config.photos
        angles = torch.randn(n, 3, generator=g) * torch.tensor([0.12, 0.3, 0.08])
        shift = torch.randn(n, 3, generator=g) * torch.tensor([0.005, 0.005, 0.0])
        slope = torch.randn(n, 2, generator=g) * 0.5
        direction = torch.nn.functional.normalize(torch.cat([slope, torch.ones(n, 1)], 1), dim=1)
        light = LambertLight(torch.rand(n, generator=g) * 0.3 + 0.3, torch.rand(n, generator=g) * 0.3 + 0.4, direction)
        return depth, albedo.clamp(-0.95, 0.95), Scene(light, View(rotation_from_euler(angles), shift))


def _plane() -> tuple[Tensor, Tensor]:
    line = (torch.arange(32) + 0.5) / 16 - 1
    return torch.meshgrid(line, line, indexing="ij")


def _disk(radius: float) -> Tensor:
    y, x = _plane()
    return x**2 + y**2 < radius**2
