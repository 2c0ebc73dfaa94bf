"""The endless source of labelled synthetic people: ``kind = "people"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import load_template
from backend.rendering.color import srgb_from_linear
from trainer.contracts import SourceConfig
from trainer.data.people.attachments.attachments import Attachments
from trainer.data.people.background import background_pictures, draw_background
from trainer.data.people.batch import PeopleBatch
from trainer.data.people.expression import draw_expression
from trainer.data.people.eyes import draw_parts
from trainer.data.people.film import develop, draw_film
from trainer.data.people.identity import draw_identity
from trainer.data.people.light import draw_light
from trainer.data.people.look import draw_look
from trainer.data.people.render import Renderer
from trainer.data.people.scene import Person, Shot, Stage, light_in_head
from trainer.data.people.skin import Columns, draw_skin
from trainer.data.people.surface import PeopleSurface
from trainer.data.people.view import draw_view, repeat_edges

PERSON, PHOTO, WORN, BEHIND, FILM = range(5)


@dataclass(frozen=True, kw_only=True)
class PeopleConfig(SourceConfig):
    """Endless synthetic people, rendered on the device that asks for them."""

    size: int = 128
    """Side of the pictures in pixels."""
    seed: int = 0
    """Other seeds give other people."""
    framing: Literal["head", "face"] = "head"
    """``head``: the crop that the parsing net sees; ``face``: that of LAP."""
    film: bool = True
    """Whether pictures go through a camera: blur, exposure, noise, tone curve, JPEG. Without it they are clean."""
    rasterizer: str = "auto"
    """See ``backend.rendering.rasterize.face_ids``."""
    supersampling: float = 0.0
    """Pixels are averaged from so many samples each way; 0: 2 below 96 px, else 1.5."""

    def __post_init__(self) -> None:
        if self.size < 16:
            raise ValueError(f"size must be at least 16, not {self.size}")

    def build(self) -> People:
        """Make the source."""
        return People(self)


class People:
    """See ``PeopleConfig``."""

    def __init__(self, config: PeopleConfig) -> None:
        self.config = config
        self._attachments = Attachments(load_template(), detail=0.5 if config.size < 96 else 1.0)
        self._parts: dict[torch.device, tuple[Stage, Renderer]] = {}

    def batch(self, indices: range, device: torch.device) -> PeopleBatch:
        """People number ``indices``."""
        chunk = max(1, round(8 * (128 / self.config.size) ** 2)) if torch.device(device).type == "cpu" else 64
        images, labels = [], []
        for start in range(0, len(indices), chunk):
            shots = [self._shot(index) for index in indices[start : start + chunk]]
            image, label = self._render(shots, torch.device(device))
            images.append(image)
            labels.append(label)
        person = torch.tensor(list(indices), device=device)
        return PeopleBatch(torch.cat(images), torch.cat(labels), 1, person)

    def _generator(self, index: int, stream: int, photo: int = 0) -> np.random.Generator:
        """Random numbers for one purpose: the same whatever else is drawn."""
        return np.random.Generator(np.random.Philox(key=[self.config.seed, index], counter=[0, 0, photo, stream]))

    def _person(self, index: int) -> Person:
        g = self._generator(index, PERSON)
        look = draw_look(g)
        return Person(
            identity=draw_identity(g, len(load_template().identity_modes)),
            look=look,
            skin=draw_skin(g, look),
            parts=draw_parts(g, look),
        )

    def _shot(self, index: int, photo: int = 0) -> Shot:
        person = self._person(index)
        g = self._generator(index, PHOTO, photo)
        worn = self._attachments.draw(self._generator(index, WORN, photo), person.look)
        return Shot(
            person=person,
            expression=draw_expression(g),
            view=draw_view(g),
            light=draw_light(g),
            worn=worn,
            background=draw_background(self._generator(index, BEHIND, photo)),
            film=draw_film(self._generator(index, FILM, photo)),
        )

    def _tools(self, device: torch.device) -> tuple[Stage, Renderer]:
        if device not in self._parts:
            surface = PeopleSurface(load_template(), device)
            size = self.config.size
            supersampling = self.config.supersampling or (2.0 if size < 96 else 1.5)
            self._parts[device] = Stage(surface), Renderer(surface, size, supersampling, self.config.rasterizer)
        return self._parts[device]

    def _render(self, shots: list[Shot], device: torch.device) -> tuple[Tensor, Tensor]:
        stage, renderer = self._tools(device)
        posed = stage.pose(shots, self.config.size, self.config.framing)
        light = light_in_head(shots, device)
        skin = Columns([shot.person.skin for shot in shots], device)
        parts = Columns([shot.person.parts for shot in shots], device)
        background = background_pictures([shot.background for shot in shots], self.config.size, device)
        worn = self._attachments.mesh([shot.worn for shot in shots], posed.drawn)
        picture = renderer.draw(posed, light, skin, parts, worn, background)
        exposed = picture.linear * _exposure(picture.skin_level)[:, None, None, None]
        images = develop(exposed, [shot.film for shot in shots]) if self.config.film else srgb_from_linear(exposed)
        views = [shot.view for shot in shots]
        return repeat_edges(images, views), repeat_edges(picture.labels, views)


def _exposure(skin_level: Tensor) -> Tensor:
    """(N,) factor by which people are exposed for their faces (half way), from the skin's mean luminance (N,)."""
    return torch.where(skin_level > 0, (0.24 / skin_level.clamp(min=0.004)) ** 0.55, torch.ones_like(skin_level))
