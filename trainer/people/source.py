"""The endless source of labelled synthetic people, rendered on the training device (``kind = "people"`` in recipes),
with geometric labels. Begin with ``PeopleConfig``, then ``People.batch``.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Barrier
from typing import Literal

import torch
from torch import Tensor

from backend.geometry.template import load_template
from backend.rendering.camera import PerspectiveCameras
from backend.rendering.color import srgb_from_linear
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from trainer.engine.batch import Batch, batch_field
from trainer.engine.contracts import SourceConfig
from trainer.people.background import background_pictures
from trainer.people.camera import develop, photo_border
from trainer.people.render import Renderer
from trainer.people.scene import PeopleSampler, Posed, Shot, Stage, light_in_head
from trainer.people.shape import PeopleSurface, people_surface, points_on
from trainer.people.skin import columns_of
from trainer.people.worn import Wardrobe


@dataclass(frozen=True)
class PeopleBatch(Batch):
    """Pictures of people with labels. N is people times pictures per person, one person's consecutive; see ``grouped``.

    Images: x right, y down, pixel centres at i + 0.5. Head frame: metres, x to the person's left, y up, z out of the
    face. V vertices of the template.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB. labels : (N, S, S) uint8 of ``FaceClass``. Beyond the end of the
        photo both repeat its edge.
    photos : pictures per person. person : (N,) int64 the person's number. inside : (N, S, S) bool, within the photo.
    intrinsics : (N, 3, 3) K in pixels. camera_from_head : (N, 4, 4).
    light : (N, 9, 3) coefficients of the shading in the head frame, in the form of
        ``backend.rendering.spherical_harmonics``: all light in bands 0-2, without shadows and highlights, with the
        picture's exposure before the camera's tone curve.
    expression : (N, 52) weights in the order of ``ARKIT_NAMES``, eyeLook included.
    vertices : (N, V, 3) template vertices with expression, head frame. neutral : (N, V, 3) without expression.
    landmarks478 : (N, 478, 2) in pixels. visible478 : (N, 478) bool.
    depth : (N, S, S) distance along the camera's axis to head, eyes, teeth, tongue in metres, ignoring occluders; 0
        elsewhere. albedo : (N, 3, S, S) linear, of everything visible except the background. Each is None where the
        configuration did not ask for it.
    """

    images: Tensor
    labels: Tensor
    photos: int = batch_field("shared")
    person: Tensor
    inside: Tensor
    intrinsics: Tensor
    camera_from_head: Tensor
    light: Tensor
    expression: Tensor
    vertices: Tensor
    neutral: Tensor
    landmarks478: Tensor
    visible478: Tensor
    depth: Tensor | None
    albedo: Tensor | None

    @property
    def cameras(self) -> PerspectiveCameras:
        """The pictures' cameras."""
        return PerspectiveCameras(self.intrinsics, self.camera_from_head)

    def grouped(self, values: Tensor) -> Tensor:
        """Reshape values (N, ...) of this batch to (people, photos, ...)."""
        return values.view(-1, self.photos, *values.shape[1:])


@cache
def single_threaded_pool(workers: int) -> ThreadPoolExecutor:
    """Return a pool of threads in which torch does not split an operation over further threads.

    Making people takes thousands of small operations, which are fastest on one core. So several batches run at once on
    one core each, instead of one batch on all cores. The caller's number of threads stays unchanged.
    """
    before = torch.get_num_threads()
    started = Barrier(workers + 1)

    def alone() -> None:
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="people", initializer=alone)
    for _ in range(workers):
        pool.submit(int)  # a pool starts a thread only for a submitted task
    started.wait()
    torch.set_num_threads(before)
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=single_threaded_pool.cache_clear)  # threads do not survive a fork


_HIDDEN_DEPTH = 0.006
"""Metres behind the depth map beyond which a landmark is hidden."""


def landmarks_in_picture(marks: Tensor, posed: Posed, depth: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pixels (N, L, 2) of landmarks (N, L, 3) of the posed heads, and (N, L) bool: inside the picture and unoccluded.
    depth (N, H, W) is that of everything opaque in the picture, inf on the background, at any resolution."""
    points = posed.cameras.project(marks)  # (N, L, 3)
    n, height, width = depth.shape
    column = (points[..., 0] * width / size).floor()
    row = (points[..., 1] * height / size).floor()
    within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixel = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
    before = depth.view(n, -1).gather(1, pixel)
    return points[..., :2], within & (points[..., 2] < before + _HIDDEN_DEPTH)


def head_depth(posed: Posed, surface: PeopleSurface, size: int) -> Tensor:
    """(N, S, S) metres to head, eyes, teeth and tongue, 0 elsewhere; exact at pixel centres."""
    pixels = posed.cameras.project(posed.smoothed)
    raster = fragments(face_ids(pixels, surface.faces, (size, size)), surface.faces)
    return raster.scatter(fragment_values(pixels[..., 2:], raster, fragment_barycentrics(pixels, raster)))[..., 0]


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
    move and rotate the landmark net's windows."""
    depth: bool = False
    """Whether to make the depth of the bare head."""
    albedo: bool = False
    """Whether to make the albedo."""
    film: bool = True
    """Simulate a camera: blur, exposure, noise, tone curve, JPEG. Without it pictures are clean."""
    carried: bool = False
    """Adapt expressions to each face (``CarriedExpressions``), instead of adding keys unchanged."""
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


class People:
    """See ``PeopleConfig``."""

    def __init__(self, config: PeopleConfig) -> None:
        self.config = config
        template = load_template()
        self._wardrobe = Wardrobe(template)
        self.sampler = PeopleSampler(config.seed, len(template.identity_modes))
        self._tools: dict[torch.device, tuple[Stage, Renderer]] = {}

    def shots(self, index: int) -> list[Shot]:
        """Draw the parameters of all pictures of person ``index``."""
        if self.config.clips:
            return self.sampler.clip(index, self.config.photos)
        return self.sampler.photos(index, self.config.photos)

    def batch(self, indices: range, device: torch.device) -> PeopleBatch:
        """Return people number ``indices``."""
        inner = self._supersampling * self.config.size
        pictures = max(1, round(_PIXELS_AT_ONCE.get(device.type, _PIXELS_AT_ONCE["cuda"]) / inner**2))
        workers = torch.get_num_threads() if device.type == "cpu" else 1
        people = max(1, min(pictures // self.config.photos, -(-len(indices) // workers)))
        chunks = [indices[k : k + people] for k in range(0, len(indices), people)]
        self._tools_on(device)  # before the threads

        def render(chunk: range) -> PeopleBatch:
            shots = [(index, shot) for index in chunk for shot in self.shots(index)]
            parts = [self._render(shots[k : k + pictures], device) for k in range(0, len(shots), pictures)]
            return PeopleBatch.concatenate(parts)

        if workers == 1 or len(chunks) == 1:
            return PeopleBatch.concatenate([render(chunk) for chunk in chunks])
        return PeopleBatch.concatenate(list(single_threaded_pool(workers).map(render, chunks)))

    @property
    def _supersampling(self) -> float:
        return self.config.supersampling or (2.0 if self.config.size < 96 else 1.5)

    def _tools_on(self, device: torch.device) -> tuple[Stage, Renderer]:
        if device not in self._tools:
            surface = people_surface(device)
            renderer = Renderer(surface, self.config.size, self._supersampling)
            self._tools[device] = Stage(surface, self.config.carried), renderer
        return self._tools[device]

    @torch.no_grad()
    def _render(self, numbered: list[tuple[int, Shot]], device: torch.device) -> PeopleBatch:
        config, (stage, renderer) = self.config, self._tools_on(device)
        shots = [shot for _, shot in numbered]
        posed = stage.pose(shots, config.size, config.framing)
        light = light_in_head(shots, device)
        skin = columns_of([shot.person.skin for shot in shots], device)
        parts = columns_of([shot.person.parts for shot in shots], device)
        background = background_pictures([shot.background for shot in shots], config.size, device)
        worn = self._wardrobe.mesh([shot.worn for shot in shots], posed.smoothed)
        picture = renderer.draw(posed, light, skin, parts, worn, background, config.albedo)
        exposure = _exposure(picture.skin_level)
        exposed = picture.linear * exposure[:, None, None, None]
        images = develop(exposed, [shot.film for shot in shots]) if config.film else srgb_from_linear(exposed)
        border = photo_border([shot.view for shot in shots], config.size, config.framing, device)
        inside = border.inside()
        marks = points_on(stage.surface.template.landmarks478, posed.smoothed)
        places, visible = landmarks_in_picture(marks, posed, picture.depth, config.size)
        return PeopleBatch(
            images=border.repeat(images),
            labels=border.repeat(picture.labels),
            photos=config.photos,
            person=torch.tensor([index for index, _ in numbered], device=device),
            inside=inside,
            intrinsics=posed.cameras.intrinsics,
            camera_from_head=posed.cameras.camera_from_head,
            light=light.total * exposure[:, None, None],
            expression=posed.weights,
            vertices=posed.cage,
            neutral=posed.neutral,
            landmarks478=places,
            visible478=visible,
            depth=head_depth(posed, stage.surface, config.size) * inside if config.depth else None,
            albedo=None if picture.albedo is None else picture.albedo * inside[:, None],
        )


def _exposure(skin_level: Tensor) -> Tensor:
    """(N,) exposure factors for the face, two thirds of the full correction, from the skin's mean luminance (N,)."""
    return torch.where(skin_level > 0, (0.26 / skin_level.clamp(min=0.004)) ** 0.65, torch.ones_like(skin_level))
