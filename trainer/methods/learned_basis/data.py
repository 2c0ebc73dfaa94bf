"""Photo sets for the learned face model, kept on disk: ``face_people``, ``face_portraits`` and ``face_mix``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from backend.geometry.template import load_template
from backend.models.learned_basis.network import LANDMARKS
from backend.rendering.color import srgb_from_linear
from trainer.engine.batch import BYTES, Batch, Coding, batch_field
from trainer.engine.contracts import Source, SourceConfig
from trainer.people.mixtures import stored
from trainer.people.scene import Shot
from trainer.people.shape import SHAPE_CODING, people_surface
from trainer.people.source import People, PeopleConfig
from trainer.portraits.collection import PortraitsConfig

_LANDMARK_STEP = 1 / 64
"""Pixels; landmarks are stored as 16-bit multiples of it."""


@dataclass(frozen=True)
class FaceTruth(Batch):
    """Ground truth of n photos of synthetic people. Head frame, metres; C vertices of the head's cage.

    Attributes
    ----------
    neutral, vertices : (n, C, 3) surface points at the cage's vertices (after one Catmull-Clark step), without and
        with the photo's expression.
    intrinsics : (n, 3, 3) and camera_from_head : (n, 4, 4) of the photo's crop, pixels.
    light : (n, 9, 3) as in ``PeopleBatch``. albedo : (n, 3, S, S) sRGB in [0, 1] at the photo's pixels.
    """

    neutral: Tensor = batch_field(coding=replace(SHAPE_CODING, once=True))
    vertices: Tensor = batch_field(coding=SHAPE_CODING)
    intrinsics: Tensor
    camera_from_head: Tensor
    light: Tensor
    albedo: Tensor = batch_field(coding=BYTES)


@dataclass(frozen=True)
class FaceBatch(Batch):
    """N photos or frames in G sets. A set is one person; its photos are consecutive.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB, the square of ``backend.photos.faces.face_square``.
    labels : (N, S, S) uint8 of ``FaceClass``, 255 where unknown.
    landmarks : (N, 468, 2) pixels. landmark_weight : (N, 468), 0 for unreliable ones.
    slides : (N,) bool; the landmarks of the face's outline follow the silhouette, not fixed places of the face.
    is_grey : (N,) bool; the photo has no colour. neutral : (N,) bool, the face is measured as neutral.
    set_of : (N,) int64, ascending from 0.
    truth : of the first photos; None when no photo has ground truth.
    """

    images: Tensor = batch_field(coding=BYTES)
    labels: Tensor
    landmarks: Tensor = batch_field(coding=Coding(np.int16, step=_LANDMARK_STEP))
    landmark_weight: Tensor
    slides: Tensor
    is_grey: Tensor
    neutral: Tensor
    set_of: Tensor = batch_field("number")
    truth: FaceTruth | None = batch_field("leading")


_MADE_AT_ONCE = 8


NEUTRAL_MM = 0.5
"""Largest root mean square motion of the face's skin, in millimetres, of a face that counts as neutral."""


@dataclass(frozen=True, kw_only=True)
class FacePeopleConfig(SourceConfig):
    """Photos or clips of synthetic people with ground truth; an index is a person."""

    size: int
    """Side of the pictures in pixels."""
    seed: int = 0
    """Another seed gives other people."""
    photos: int
    """Photos or frames of each person: N_f of the paper."""
    clips: bool = False
    """Frames of one take with the same light and camera, instead of photos from different days."""
    span: int = 36
    """Frames, at twelve a second, over which the frames of a clip are spread."""
    neutral: bool = False
    """All faces are neutral: for the identity stage and for disentanglement."""
    film: bool = True
    """Simulate a camera on the pictures."""
    keep: int = 0
    """Number of people stored on disk, which repeat; 0: an endless sequence of new people, for fast machines."""
    folder: str = ""
    """Folder of the store; empty: in the user's cache folder."""

    def __post_init__(self) -> None:
        if self.keep < 0 or self.photos < 1 or self.span < self.photos:
            raise ValueError("keep must be 0 or more, photos 1 or more, and span no less than photos")

    def build(self) -> Source:
        """Make the source."""
        fresh = FacePeople(self)
        key = replace(self, keep=0, folder="")
        kept = FaceBatch, fresh, self.keep, self.folder, "face_model", _MADE_AT_ONCE, key
        return stored(*kept) if self.keep else fresh


class Actors(People):
    """People with neutral faces, or filmed for longer, according to the configuration."""

    def __init__(self, config: FacePeopleConfig) -> None:
        shared = {name: getattr(config, name) for name in ("size", "seed", "photos", "clips", "film")}
        super().__init__(PeopleConfig(framing="face", albedo=True, **shared))
        self.wanted = config

    def shots(self, index: int) -> list[Shot]:
        """See ``People``."""
        wanted = self.wanted
        if wanted.clips:
            frames = self.sampler.clip(index, wanted.span)
            shots = [frames[round(k)] for k in np.linspace(0, wanted.span - 1, wanted.photos)]
        else:
            shots = self.sampler.photos(index, wanted.photos)
        if wanted.neutral:
            shots = [
                replace(s, expression=replace(s.expression, weights=np.zeros_like(s.expression.weights))) for s in shots
            ]
        return shots


class FacePeople:
    """See ``FacePeopleConfig``; without a store. ``actors`` may replace the people by others of the same sizes."""

    def __init__(self, config: FacePeopleConfig, actors: Actors | None = None) -> None:
        self.config = config
        self._people = Actors(config) if actors is None else actors
        template = load_template()
        self._head = template.head.vertex_stop
        self._face = torch.from_numpy(template.regions["face"][: self._head] > 0.5)
        self._weight = torch.from_numpy(landmark_weights())

    @torch.no_grad()
    def batch(self, indices: range, device: torch.device) -> FaceBatch:
        """Return people number ``indices``."""
        surface = people_surface(device)
        people = self._people.batch(indices, device)
        # use one neutral face for all photos of a person, because their copies differ by rounding
        neutral = surface.smoothed(people.neutral[:: self.config.photos])[:, : self._head]
        neutral = neutral.repeat_interleave(self.config.photos, 0)
        vertices = surface.smoothed(people.vertices)[:, : self._head]
        count = len(people.images)
        return FaceBatch(
            images=people.images,
            labels=people.labels,
            landmarks=people.landmarks478[:, :LANDMARKS],
            landmark_weight=people.visible478[:, :LANDMARKS] * self._weight.to(device),
            slides=torch.zeros(count, dtype=torch.bool, device=device),
            is_grey=torch.zeros(count, dtype=torch.bool, device=device),
            neutral=self.is_neutral(neutral, vertices),
            set_of=torch.arange(count, device=device) // self.config.photos,
            truth=FaceTruth(
                neutral=neutral,
                vertices=vertices,
                intrinsics=people.intrinsics,
                camera_from_head=people.camera_from_head,
                light=people.light,
                albedo=srgb_from_linear(people.albedo).clamp(0, 1),
            ),
        )

    def is_neutral(self, neutral: Tensor, vertices: Tensor) -> Tensor:
        """(N,) bool: the face's skin moves by less than ``NEUTRAL_MM``."""
        moved = (vertices - neutral)[:, self._face.to(vertices.device)] * 1000
        return moved.square().sum(-1).mean(1).sqrt() < NEUTRAL_MM


def landmark_weights() -> np.ndarray:
    """(468,) float32 weights of squared residuals, by the detector's accuracy for each landmark; 0 for invalid ones."""
    marks = load_template().landmarks478
    deviation = marks.deviation[:LANDMARKS]
    usual = np.median(deviation[marks.valid[:LANDMARKS]])
    weight = np.clip(usual / np.maximum(deviation, 1e-6), 0.3, 1.5) ** 2
    return np.where(marks.valid[:LANDMARKS], weight, 0.0).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class FacePortraitsConfig(SourceConfig):
    """Real portraits prepared with ``framing = "face"``; without ground truth."""

    portraits: PortraitsConfig
    """The collection of portraits; ``photos`` is the size of the sets."""
    size: int = 0
    """Side in pixels to which the prepared crops are reduced, a divisor of theirs; 0: as prepared."""
    neutral: bool = False
    """All pictures of the collection show neutral faces, like the paper's mined ones or BU-3DFE's ``NE``."""

    def build(self) -> FacePortraits:
        """Open the collection; see ``PortraitsConfig.build``."""
        return FacePortraits(self)


class FacePortraits:
    """See ``FacePortraitsConfig``. Expressions are not measured: a collection is neutral as a whole or not at all."""

    def __init__(self, config: FacePortraitsConfig) -> None:
        self._photos, self._size, self._neutral = config.portraits.photos, config.size, config.neutral
        self._source = config.portraits.build()
        self._weight = torch.from_numpy(landmark_weights())

    def batch(self, indices: range, device: torch.device) -> FaceBatch:
        """Return people number ``indices``."""
        people = self._source.batch(indices, device)
        prepared = people.images.shape[-1]
        size = self._size or prepared
        if prepared % size:
            raise ValueError(f"crops of {prepared} pixels cannot be reduced to {size}; take one of its divisors")
        step = prepared // size
        count = len(people.images)
        marks = people.landmarks[:, :LANDMARKS] / step
        inside = ((marks >= 0) & (marks < size)).all(-1)
        return FaceBatch(
            images=avg_pool2d(people.images, step) if step > 1 else people.images,
            labels=people.labels[:, step // 2 :: step, step // 2 :: step],
            landmarks=marks,
            landmark_weight=inside * self._weight.to(marks.device),
            slides=torch.ones(count, dtype=torch.bool, device=marks.device),
            is_grey=people.is_grey,
            neutral=torch.full((count,), self._neutral, device=marks.device),
            set_of=torch.arange(count, device=marks.device) // self._photos,
            truth=None,
        )
