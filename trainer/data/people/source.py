"""The endless source of labelled synthetic people: ``kind = "people"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from backend.geometry.template import load_template
from backend.rendering.color import srgb_from_linear
from trainer.contracts import SourceConfig
from trainer.data.people.attachments.attachments import Attachments
from trainer.data.people.background import background_pictures
from trainer.data.people.batch import PeopleBatch, join_batches
from trainer.data.people.film import develop
from trainer.data.people.geometry_labels import LandmarkLabels, head_depth
from trainer.data.people.people_sampler import PeopleSampler
from trainer.data.people.render import Renderer
from trainer.data.people.scene import Shot, Stage, light_in_head
from trainer.data.people.skin import Columns
from trainer.data.people.surface import PeopleSurface
from trainer.data.people.threads import single_threaded_pool
from trainer.data.people.view import photo_border

_PIXELS_AT_ONCE = {"cpu": 8 * 192**2, "cuda": 64 * 384**2}
"""Pixels rendered at a time: few enough for a CPU's caches, enough to fill a GPU."""


@dataclass(frozen=True, kw_only=True)
class PeopleConfig(SourceConfig):
    """An endless sequence of synthetic people, rendered on the device of the batch."""

    size: int = 128
    """Side of the pictures in pixels."""
    seed: int = 0
    """Other seeds give other people."""
    photos: int = 1
    """Pictures per person; a batch of n people has n * photos pictures, one person's consecutive."""
    clips: bool = False
    """The pictures of a person are successive frames of one take, instead of photos from different days."""
    framing: Literal["head", "face", "roomy"] = "head"
    """``head``: the parsing net's crop; ``face``: the crop of LAP's nets; ``roomy``: the face with enough margin to
    move
    and rotate the landmark net's windows."""
    depth: bool = False
    """Whether to make depth and normals of the bare head."""
    albedo: bool = False
    """Whether to make the albedo."""
    film: bool = True
    """Simulate a camera: blur, exposure, noise, tone curve, JPEG. Without it pictures are clean."""
    carried: bool = False
    """Transfer expressions to each face, with jaws that rotate and lids that slide (``CarriedExpressions``)."""
    rasterizer: str = "auto"
    """See ``backend.rendering.rasterize.face_ids``."""
    supersampling: float = 0.0
    """Samples per pixel each way, 1 to 2; 0: 2 below 96 px, else 1.5."""

    def __post_init__(self) -> None:
        if self.size < 16 or self.photos < 1:
            raise ValueError(f"size must be at least 16 and photos at least 1, not {self.size} and {self.photos}")
        if self.supersampling and not 1 <= self.supersampling <= 2:
            raise ValueError(f"supersampling must be 0 or from 1 to 2, not {self.supersampling}")

    def build(self) -> People:
        """Make the source."""
        return People(self)


@dataclass(frozen=True)
class _Tools:
    """Objects made once per device."""

    stage: Stage
    renderer: Renderer
    landmarks478: LandmarkLabels


class People:
    """See ``PeopleConfig``."""

    def __init__(self, config: PeopleConfig) -> None:
        self.config = config
        template = load_template()
        self.attachments = Attachments(template, detail=0.5 if config.size < 96 else 1.0)
        self.casting = PeopleSampler(config.seed, len(template.identity_modes), self.attachments)
        self._tools: dict[torch.device, _Tools] = {}

    def shots(self, index: int) -> list[Shot]:
        """Draw the parameters of all pictures of person ``index``."""
        if self.config.clips:
            return self.casting.clip(index, self.config.photos)
        return self.casting.photos(index, self.config.photos)

    def batch(self, indices: range, device: torch.device) -> PeopleBatch:
        """Return people number ``indices``."""
        device = torch.device(device)
        inner = self._supersampling * self.config.size
        pictures = max(1, round(_PIXELS_AT_ONCE.get(device.type, _PIXELS_AT_ONCE["cuda"]) / inner**2))
        workers = torch.get_num_threads() if device.type == "cpu" else 1
        people = max(1, min(pictures // self.config.photos, -(-len(indices) // workers)))
        chunks = [indices[k : k + people] for k in range(0, len(indices), people)]
        self._tools_on(device)

        def render(chunk: range) -> PeopleBatch:
            shots = [(index, shot) for index in chunk for shot in self.shots(index)]
            parts = [self._render(shots[k : k + pictures], device) for k in range(0, len(shots), pictures)]
            return join_batches(parts)

        if workers == 1 or len(chunks) == 1:
            return join_batches([render(chunk) for chunk in chunks])
        return join_batches(list(single_threaded_pool(workers).map(render, chunks)))

    @property
    def _supersampling(self) -> float:
        return self.config.supersampling or (2.0 if self.config.size < 96 else 1.5)

    def _tools_on(self, device: torch.device) -> _Tools:
        if device not in self._tools:
            template = load_template()
            surface = PeopleSurface(template, device)
            self._tools[device] = _Tools(
                Stage(surface, self.config.carried),
                Renderer(surface, self.config.size, self._supersampling, self.config.rasterizer),
                LandmarkLabels(template.landmarks478, device),
            )
        return self._tools[device]

    @torch.no_grad()
    def _render(self, numbered: list[tuple[int, Shot]], device: torch.device) -> PeopleBatch:
        config, tools = self.config, self._tools_on(device)
        shots = [shot for _, shot in numbered]
        posed = tools.stage.pose(shots, config.size, config.framing)
        light = light_in_head(shots, device)
        skin = Columns([shot.person.skin for shot in shots], device)
        parts = Columns([shot.person.parts for shot in shots], device)
        background = background_pictures([shot.background for shot in shots], config.size, device)
        worn = self.attachments.mesh([shot.worn for shot in shots], posed.drawn)
        picture = tools.renderer.draw(posed, light, skin, parts, worn, background, config.albedo)
        exposure = _exposure(picture.skin_level)
        exposed = picture.linear * exposure[:, None, None, None]
        images = develop(exposed, [shot.film for shot in shots]) if config.film else srgb_from_linear(exposed)
        border = photo_border([shot.view for shot in shots], config.size, config.framing, device)
        inside = border.inside()
        depth = normals = None
        if config.depth:
            depth, normals = head_depth(posed, tools.stage.surface, config.size, config.rasterizer)
            depth, normals = depth * inside, normals * inside[:, None]
        marks478 = tools.landmarks478(posed, picture.depth, config.size)
        return PeopleBatch(
            images=border.repeat(images),
            labels=border.repeat(picture.labels),
            photos=config.photos,
            person=torch.tensor([index for index, _ in numbered], device=device),
            inside=inside,
            intrinsics=posed.cameras.intrinsics,
            camera_from_head=posed.cameras.camera_from_head,
            light=light.total * exposure[:, None, None],
            identity=posed.coefficients,
            expression=posed.weights,
            gaze=posed.gaze,
            vertices=posed.cage,
            neutral=posed.neutral,
            landmarks478=marks478.places,
            visible478=marks478.visible,
            depth=depth,
            normals=normals,
            albedo=None if picture.albedo is None else picture.albedo * inside[:, None],
        )


def _exposure(skin_level: Tensor) -> Tensor:
    """(N,) exposure factors for the face, two thirds of the full correction, from the skin's mean luminance (N,)."""
    return torch.where(skin_level > 0, (0.26 / skin_level.clamp(min=0.004)) ** 0.65, torch.ones_like(skin_level))
