"""Photo sets for LAP: synthetic people in its canonical frame (``kind = "lap_people"``), kept on disk;
those of real portraits are ``"face_portraits"``.

A person's canonical face is the neutral face from the front, scaled and centred so that its landmarks fill the square
of ``face_square`` and their mean has depth 1. Photos are perspective, LAP's views are rotations and translations
before one narrow camera: a photo's view is the one with the smallest landmark error.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.geometry.template import load_template
from backend.photos.collection import FaceClass
from backend.rendering.camera import LAP_PIVOT, CanonicalCamera, View
from backend.rendering.color import srgb_from_linear
from backend.rendering.depth_surface import ViewedSurface, unwarp_to_canonical
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from trainer.engine.batch import BYTES, Batch, Coding, batch_field
from trainer.engine.contracts import Source, SourceConfig
from trainer.people.camera import FACE_CROP
from trainer.people.mixtures import stored
from trainer.people.shape import people_surface, points_on
from trainer.people.source import PeopleBatch, PeopleConfig

_ALBEDO_CLASSES = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.EYES, FaceClass.LIPS, FaceClass.FACIAL_HAIR)
FACE_CLASSES = (*_ALBEDO_CLASSES, FaceClass.GLASSES, FaceClass.MOUTH_INTERIOR)
"""Classes that the canonical surface represents in a photo."""
CHANGING_CLASSES = (FaceClass.BROWS, FaceClass.EYES, FaceClass.LIPS, FaceClass.MOUTH_INTERIOR)
"""Classes that differ most between photos of one person: the paper's mouth, eyes and brow."""


DEPTH_CODING = Coding(np.uint16, levels=1 << 15)
"""Depths of up to two units on disk; 0, which means none, stays 0."""


@dataclass(frozen=True)
class CanonicalTruth(Batch):
    """Ground truth of synthetic people in LAP's units: n photos of g sets, canonical and view pictures of S x S.

    Canonical frame: that of ``CanonicalCamera``, x right, y down, z forward; one unit is about a metre.

    Attributes
    ----------
    depth : (g, S, S) canonical depth of the neutral face, 0 where there is none. albedo : (g, 3, S, S) sRGB in [0, 1],
        mean over the photos. albedo_seen : (g, S, S) bool, visible in at least one photo.
    personal_depth : (n, S, S) canonical depth with the photo's expression.
    rotation : (n, 3, 3), translation : (n, 3) of the ``View`` closest to the photo's camera.
    view_depth : (n, S, S) depth of the face in the photo, in the view's frame; 0 where there is none.
    """

    depth: Tensor = batch_field(coding=DEPTH_CODING)
    albedo: Tensor = batch_field(coding=BYTES)
    albedo_seen: Tensor
    personal_depth: Tensor = batch_field(coding=DEPTH_CODING)
    rotation: Tensor
    translation: Tensor
    view_depth: Tensor = batch_field(coding=DEPTH_CODING)


@dataclass(frozen=True)
class LapBatch(Batch):
    """N photos in G sets. A set is one person; its photos are consecutive.

    Attributes
    ----------
    images : (N, 3, S, S) float32 in [0, 1], sRGB, the square of ``backend.photos.faces.face_square``.
    labels : (N, S, S) uint8 of ``FaceClass``, 255 where unknown.
    is_grey : (N,) bool; the photo has no colour.
    set_of : (N,) int64, ascending from 0.
    truth : of all sets, or None.
    """

    images: Tensor = batch_field(coding=BYTES)
    labels: Tensor
    is_grey: Tensor
    set_of: Tensor = batch_field("number")
    truth: CanonicalTruth | None


def class_mask(labels: Tensor, classes: tuple[FaceClass, ...]) -> Tensor:
    """(...) bool: label is one of ``classes``."""
    wanted = torch.zeros(256, dtype=torch.bool, device=labels.device)
    wanted[[int(c) for c in classes]] = True
    return wanted[labels.long()]


NEAREST, FARTHEST = 0.9, 1.1
"""LAP's range of canonical depth; the background is set to the farthest."""
_FACING = (1.0, -1.0, -1.0)
"""Signs that convert head axes to those of a camera in front of the face."""


@dataclass(frozen=True)
class CanonicalFrames:
    """Transform from the head frame to the canonical one: scale * facing * (p - origin) + pivot. scale : (N,). origin :
    (N, 3)."""

    scale: Tensor
    origin: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """Transform head-frame points (N, P, 3) in metres to canonical ones (N, P, 3)."""
        turned = (points - self.origin[:, None]) * points.new_tensor(_FACING)
        return turned * self.scale[:, None, None] + points.new_tensor(LAP_PIVOT)


class TruthMaker:
    """Compute ``CanonicalTruth`` on one device."""

    def __init__(self, device: torch.device) -> None:
        self._surface = people_surface(device)

    def frames(self, neutral: Tensor, size: int) -> CanonicalFrames:
        """Return the canonical frames of neutral cages (N, V, 3)."""
        marks = self._marks(neutral)
        low, high = marks.amin(1), marks.amax(1)
        side = FACE_CROP * (high - low)[:, :2].mean(1)
        origin = torch.cat([(low + high)[:, :2] / 2, marks[:, :, 2:].mean(1)], 1)
        return CanonicalFrames(size / CanonicalCamera((size, size)).focal / side, origin)

    def __call__(self, people: PeopleBatch) -> CanonicalTruth:
        """Compute the ground truth of a batch with depth and albedo; raises ``ValueError`` without them."""
        if people.depth is None or people.albedo is None:
            raise ValueError("canonical truth needs people with depth and albedo")
        size = people.images.shape[-1]
        camera = CanonicalCamera((size, size))
        frames = self.frames(people.neutral, size)
        first = slice(None, None, people.photos)
        of_set = CanonicalFrames(frames.scale[first], frames.origin[first])
        depth = self.canonical_depth(of_set.apply(self._surface.smoothed(people.neutral[first])), camera)
        drawn = self._surface.smoothed(people.vertices)
        personal = self.canonical_depth(frames.apply(drawn), camera)
        view = self._views(people, frames, camera)
        view_depth = _view_depth(people, frames, view)
        albedo, visible = _canonical_albedo(people, personal, view, view_depth, camera)
        return CanonicalTruth(depth, albedo, visible, personal, view.rotation, view.translation, view_depth)

    def _marks(self, cage: Tensor) -> Tensor:
        """(N, 468, 3) landmarks on cages, on the subdivided surface that is rendered."""
        return points_on(load_template().landmarks478, self._surface.smoothed(cage))[:, :468]

    def canonical_depth(self, points: Tensor, camera: CanonicalCamera) -> Tensor:
        """(N, S, S) depth of the head in the canonical camera, 0 outside the head."""
        pixels = camera.project(points)
        raster = fragments(face_ids(pixels, self._surface.faces, camera.size), self._surface.faces)
        values = fragment_values(pixels[..., 2:], raster, fragment_barycentrics(pixels, raster))
        return raster.scatter(values.clamp(NEAREST, FARTHEST))[..., 0]

    def _views(self, people: PeopleBatch, frames: CanonicalFrames, camera: CanonicalCamera) -> View:
        """Find the views closest to the photos' cameras. Their rotation is the camera's, corrected for the head's
        offset from the optical axis. Their translation is a least-squares fit to the landmarks."""
        middle = people.cameras.in_camera(frames.origin[:, None])[:, 0]
        turn = _towards_axis(functional.normalize(middle, dim=1)) @ people.cameras.rotation
        turn = turn * turn.new_tensor(_FACING)  # from canonical axes
        marks = self._marks(people.vertices)
        rays = (people.cameras.project(marks)[..., :2] - camera.size[1] / 2) / camera.focal  # (N, 468, 2)
        placed = (frames.apply(marks) - marks.new_tensor(LAP_PIVOT)) @ turn.transpose(1, 2)
        return View(turn, _shift(placed, rays))


def _shift(placed: Tensor, rays: Tensor) -> Tensor:
    """(N, 3) t that minimises sum |placed_xy + t_xy - rays (1 + placed_z + t_z)|^2 over points (N, P, 3), (N, P, 2)."""
    count = placed.shape[1]
    right = rays * (1 + placed[..., 2:]) - placed[..., :2]  # (N, P, 2)
    x, y = rays.unbind(-1)
    matrix = placed.new_zeros(len(placed), 3, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = count
    matrix[:, 0, 2] = matrix[:, 2, 0] = -x.sum(1)
    matrix[:, 1, 2] = matrix[:, 2, 1] = -y.sum(1)
    matrix[:, 2, 2] = (rays**2).sum((1, 2))
    vector = torch.stack([right[..., 0].sum(1), right[..., 1].sum(1), -(rays * right).sum((1, 2))], 1)
    return torch.linalg.solve(matrix, vector[..., None])[..., 0]


def _towards_axis(direction: Tensor) -> Tensor:
    """(N, 3, 3) smallest rotations that bring unit vectors (N, 3) with z > 0 to (0, 0, 1)."""
    x, y, z = direction.unbind(1)
    k = 1 / (1 + z)
    rows = [1 - k * x * x, -k * x * y, -x, -k * x * y, 1 - k * y * y, -y, x, y, z]
    return torch.stack(rows, 1).view(-1, 3, 3)


def _view_depth(people: PeopleBatch, frames: CanonicalFrames, view: View) -> Tensor:
    """(N, S, S) depth of each photo pixel's surface point in the view's frame; 0 outside the head."""
    n, size, _ = people.depth.shape
    steps = torch.arange(size, device=people.depth.device) + 0.5
    grid = torch.stack([*torch.meshgrid(steps, steps, indexing="xy"), torch.ones(size, size, device=steps.device)], -1)
    rays = grid.view(1, -1, 3) @ torch.linalg.inv(people.intrinsics).transpose(1, 2)
    in_camera = rays * people.depth.view(n, -1, 1)
    in_head = (in_camera - people.cameras.translation[:, None]) @ people.cameras.rotation
    depth = view.apply(frames.apply(in_head))[..., 2].view(n, size, size)
    return torch.where(people.depth > 0, depth, 0.0)


def _canonical_albedo(
    people: PeopleBatch, personal: Tensor, view: View, view_depth: Tensor, camera: CanonicalCamera
) -> tuple[Tensor, Tensor]:
    """(G, 3, S, S) sRGB, mean over the photos, and (G, S, S) bool where at least one photo shows it."""
    skin = class_mask(people.labels, _ALBEDO_CLASSES) & people.inside & (view_depth > 0)
    surface = ViewedSurface(view_depth, view_depth > 0, view_depth.new_zeros(0))
    values = torch.cat([srgb_from_linear(people.albedo) * skin[:, None], skin[:, None].float()], 1)
    back, visible = unwarp_to_canonical(values, torch.where(personal > 0, personal, FARTHEST), surface, view, camera)
    pure = back[:, 3] > 0.99  # all four samples are skin, without any other class
    weight = (visible & pure & (personal > 0)).float()
    total = people.grouped(back[:, :3] * weight[:, None]).sum(1)
    count = people.grouped(weight).sum(1)
    return total / count.clamp(min=1)[:, None], count > 0


_MADE_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True)
class LapPeopleConfig(SourceConfig):
    """Sets of photos of synthetic people with canonical ground truth; an index is a person."""

    size: int
    """Side of the pictures and of the canonical maps in pixels."""
    seed: int = 0
    """Another seed gives other people."""
    photos: int
    """Number of photos per person; the default is the paper's largest set."""
    keep: int = 0
    """Number of people stored on disk, which repeat; 0: an endless sequence of new people, for fast machines."""
    folder: str = ""
    """Folder of the store; empty: in the user's cache folder."""
    film: bool = True
    """Simulate a camera on the pictures."""

    def __post_init__(self) -> None:
        if self.keep < 0:
            raise ValueError(f"keep must be 0 or more, not {self.keep}")

    def people(self) -> PeopleConfig:
        """The source of the pictures."""
        size, seed, photos, film = self.size, self.seed, self.photos, self.film
        return PeopleConfig(size=size, seed=seed, photos=photos, film=film, framing="face", depth=True, albedo=True)

    def build(self) -> Source:
        """Make the source."""
        fresh = LapPeople(self)
        kept = LapBatch, fresh, self.keep, self.folder, "lap", _MADE_AT_ONCE, self.people()
        return stored(*kept) if self.keep else fresh


class LapPeople:
    """See ``LapPeopleConfig``; without a store."""

    def __init__(self, config: LapPeopleConfig) -> None:
        self.config = config
        self._people = config.people().build()

    @torch.no_grad()
    def batch(self, indices: range, device: torch.device) -> LapBatch:
        """Return people number ``indices``."""
        people = self._people.batch(indices, device)
        count = len(people.images)
        return LapBatch(
            images=people.images,
            labels=people.labels,
            is_grey=torch.zeros(count, dtype=torch.bool, device=device),
            set_of=torch.arange(count, device=device) // self.config.photos,
            truth=TruthMaker(device)(people),
        )
