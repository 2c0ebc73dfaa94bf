"""Synthetic people in LAP's canonical frame: depth, albedo and views computed from the renderer's labels.

A person's canonical face is the neutral face in front view. It is scaled and centred so that its landmarks fill the
square of ``face_square`` and their mean has depth 1. Photos are perspective, but LAP's views are rotations and
translations in front of one narrow camera: a photo's view is the one with the smallest landmark error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.geometry.template import load_template
from backend.photos.collection import FaceClass
from backend.rendering.camera_models import LAP_PIVOT, CanonicalCamera, View
from backend.rendering.color import srgb_from_linear
from backend.rendering.depth_surface import ViewedSurface, unwarp_to_canonical
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from trainer.data.lap.batch import CanonicalTruth, class_mask
from trainer.data.people.batch import PeopleBatch
from trainer.data.people.surface import PeopleSurface
from trainer.data.people.view import FACE_CROP

NEAREST, FARTHEST = 0.9, 1.1
"""LAP's range of canonical depth; the background is set to the farthest."""
_ALBEDO_CLASSES = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.EYES, FaceClass.LIPS, FaceClass.FACIAL_HAIR)
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
        template = load_template()
        self._surface = PeopleSurface(template, device)
        marks = template.landmarks478
        self._mark_vertices = torch.from_numpy(marks.vertices[:468].astype(np.int64)).to(device)
        self._mark_weights = torch.from_numpy(marks.barycentrics[:468]).to(device)[..., None]

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
        depth = self.canonical_depth(of_set.apply(self._surface.drawn(people.neutral[first])), camera)
        drawn = self._surface.drawn(people.vertices)
        personal = self.canonical_depth(frames.apply(drawn), camera)
        view = self._views(people, frames, camera)
        view_depth = _view_depth(people, frames, view)
        albedo, seen = _canonical_albedo(people, personal, view, view_depth, camera)
        return CanonicalTruth(depth, albedo, seen, personal, view.rotation, view.translation, view_depth)

    def neutral_depth(self, neutral: Tensor, size: int) -> Tensor:
        """(N, S, S) canonical depth of neutral cages (N, V, 3), 0 where there is no head."""
        points = self.frames(neutral, size).apply(self._surface.drawn(neutral))
        return self.canonical_depth(points, CanonicalCamera((size, size)))

    def _marks(self, cage: Tensor) -> Tensor:
        """(N, 468, 3) landmarks on cages, on the subdivided surface that is rendered."""
        return (self._surface.drawn(cage)[:, self._mark_vertices] * self._mark_weights).sum(2)

    def canonical_depth(self, points: Tensor, camera: CanonicalCamera) -> Tensor:
        """(N, S, S) depth of the head in the canonical camera, 0 outside the head."""
        pixels = camera.project(points)
        found = fragments(face_ids(pixels, self._surface.faces, camera.size), self._surface.faces)
        values = fragment_values(pixels[..., 2:], found, fragment_barycentrics(pixels, found))
        return found.scatter(values.clamp(NEAREST, FARTHEST))[..., 0]

    def _views(self, people: PeopleBatch, frames: CanonicalFrames, camera: CanonicalCamera) -> View:
        """Find the views closest to the photos' cameras. Their rotation is the camera's, corrected for the head's
        offset from the optical axis. Their translation is a least-squares fit to the landmarks."""
        rotation, translation = people.camera_from_head[:, :3, :3], people.camera_from_head[:, :3, 3]
        middle = (rotation @ frames.origin[..., None])[..., 0] + translation
        turn = _towards_axis(functional.normalize(middle, dim=1)) @ rotation
        turn = turn * turn.new_tensor(_FACING)  # from canonical axes
        marks = self._marks(people.vertices)
        seen = marks @ rotation.transpose(1, 2) + translation[:, None]
        focal = people.intrinsics[:, 0, 0, None, None]
        pixels = seen[..., :2] / seen[..., 2:] * focal + people.intrinsics[:, None, :2, 2]
        rays = (pixels - camera.size[1] / 2) / camera.focal  # (N, 468, 2)
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
    rotation, translation = people.camera_from_head[:, :3, :3], people.camera_from_head[:, :3, 3]
    in_head = (in_camera - translation[:, None]) @ rotation
    depth = view.apply(frames.apply(in_head))[..., 2].view(n, size, size)
    return torch.where(people.depth > 0, depth, 0.0)


def _canonical_albedo(
    people: PeopleBatch, personal: Tensor, view: View, view_depth: Tensor, camera: CanonicalCamera
) -> tuple[Tensor, Tensor]:
    """(G, 3, S, S) sRGB, mean over the photos, and (G, S, S) bool where at least one photo shows it."""
    skin = class_mask(people.labels, _ALBEDO_CLASSES) & people.inside & (view_depth > 0)
    surface = ViewedSurface(view_depth, view_depth > 0, view_depth.new_zeros(0))
    values = torch.cat([srgb_from_linear(people.albedo) * skin[:, None], skin[:, None].float()], 1)
    back, seen = unwarp_to_canonical(values, torch.where(personal > 0, personal, FARTHEST), surface, view, camera)
    pure = back[:, 3] > 0.99  # all four samples are skin, without any other class
    weight = (seen & pure & (personal > 0)).float()
    total = people.grouped(back[:, :3] * weight[:, None]).sum(1)
    count = people.grouped(weight).sum(1)
    return total / count.clamp(min=1)[:, None], count > 0
