"""What LAP's networks are told by the points of the landmark net (ours): the view of a mean face, and what the points
say of the person beyond it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.landmarks import LANDMARKS
from backend.rendering.camera_models import LAP_PIVOT, CanonicalCamera, View, rotation_from_axis_angle

_HIDDEN = 256
_SPREADS = 8
"""Numbers that the points' standard deviations are summed up in."""
_STEPS = 5
"""Gauss-Newton steps; three are enough from the front, profiles take five."""
_FIRM = 0.01
"""Standard deviation, in sides, that a point's place on a person is given as long as nothing has been measured."""
_NEAREST = 0.3
"""Least depth that the mean face's middle may get while it is being placed."""


class LandmarkFeatures(nn.Module):
    """Marks (N, 478, 3), x, y and standard deviation in sides of a picture, to a view and to features.

    A mean face is placed so that its points come closest to the marks (perspective-n-point, points weighted by how far
    people and expressions move them and how sure the net is). What is left is turned back into the canonical frame, so
    that photos from all sides speak of the same thing, and given to a small net by its principal components.

    Attributes
    ----------
    width : features that come out.
    """

    def __init__(self, size: int, components: int) -> None:
        super().__init__()
        self.focal = CanonicalCamera((size, size)).focal / size  # in sides
        told = components + 12 + _SPREADS
        self.width = told + _HIDDEN
        self.register_buffer("points", torch.zeros(LANDMARKS, 3))  # of the mean face, from the pivot
        self.register_buffer("spread", torch.full((LANDMARKS,), _FIRM))
        self.register_buffer("mean", torch.zeros(LANDMARKS * 3))
        self.register_buffer("directions", torch.zeros(components, LANDMARKS * 3))
        self.spreads = nn.Linear(LANDMARKS, _SPREADS)
        self.net = nn.Sequential(nn.Linear(told, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU())

    @torch.no_grad()
    def set_reference(self, points: Tensor, marks: Tensor) -> None:
        """Take canonical points (478, 3) of a mean face, and what else is needed from marks (P, 478, 3) of people."""
        self.points.copy_(points - points.new_tensor(LAP_PIVOT))
        for _ in range(2):  # who is placed by the firmest points shows best which these are
            left = self.residuals(marks, self.view(marks))
            self.spread.copy_(left.pow(2).sum(-1).mean(0).sqrt())
        left = self.residuals(marks, self.view(marks)).flatten(1).double()
        self.mean.copy_(left.mean(0))
        centred = left - left.mean(0)
        count = min(len(self.directions), len(left) - 1)
        _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
        self.directions.zero_()
        self.directions[:count] = directions[:count] / (lengths[:count] / len(left) ** 0.5)[:, None]

    def forward(self, marks: Tensor) -> tuple[Tensor, View]:
        """(N, width) features and the views of the mean face."""
        with torch.no_grad(), torch.autocast(marks.device.type, enabled=False):
            view = self.view(marks.float())
            shares = (self.residuals(marks.float(), view).flatten(1) - self.mean) @ self.directions.T
        spreads = self.spreads(torch.log(marks[..., 2].clamp(min=1e-4)) + 5.0)
        told = torch.cat([shares, view.rotation.flatten(1), 10.0 * view.translation, spreads], 1)
        return torch.cat([told, self.net(told)], 1), view

    def view(self, marks: Tensor) -> View:
        """The view in which the mean face's points come closest to the marks."""
        weight = 1 / (marks[..., 2] ** 2 + self.spread**2)  # (N, L)
        weight = weight / weight.mean(1, keepdim=True)
        rotation, translation = self._first_view(marks[..., :2] - 0.5, weight)
        for _ in range(_STEPS):
            turned = self.points @ rotation.transpose(1, 2)  # (N, L, 3)
            placed = turned + translation[:, None] + turned.new_tensor(LAP_PIVOT)
            x, y, z = placed.unbind(-1)
            zero, scale = torch.zeros_like(x), self.focal / z
            rows = torch.stack(
                [
                    torch.stack([scale, zero, -scale * x / z], -1),
                    torch.stack([zero, scale, -scale * y / z], -1),
                ],
                2,
            )  # (N, L, 2, 3) by the place
            a, b, c = turned.unbind(-1)
            turn = torch.stack([zero, c, -b, -c, zero, a, b, -a, zero], -1).unflatten(-1, (3, 3))  # d place / d turn
            jacobian = torch.cat([rows @ turn, rows], -1)  # (N, L, 2, 6)
            wanted = marks[..., :2] - 0.5 - self.focal * placed[..., :2] / placed[..., 2:]
            weighted = jacobian * weight[..., None, None]
            matrix = torch.einsum("nlrc,nlrd->ncd", weighted, jacobian)
            matrix = matrix + 1e-6 * torch.diag_embed(matrix.diagonal(dim1=1, dim2=2) + 1e-6)
            step = torch.linalg.solve(matrix, torch.einsum("nlrc,nlr->nc", weighted, wanted))
            rotation = rotation_from_axis_angle(step[:, :3].clamp(-0.5, 0.5)) @ rotation
            translation = translation + step[:, 3:].clamp(-0.3, 0.3)
            depth = translation[:, 2:].clamp(min=_NEAREST - LAP_PIVOT[2])
            translation = torch.cat([translation[:, :2], depth], 1)
        return View(rotation, translation)

    def _first_view(self, places: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation (N, 3, 3), translation (N, 3) of a scaled orthographic view of places (N, L, 2) from the middle."""
        points = torch.cat([self.points, torch.ones_like(self.points[:, :1])], 1)  # (L, 4)
        matrix = torch.einsum("lc,nl,ld->ncd", points, weight, points)
        matrix = matrix + 1e-6 * torch.diag_embed(matrix.diagonal(dim1=1, dim2=2))
        affine = torch.linalg.solve(matrix, torch.einsum("lc,nl,nlr->ncr", points, weight, places)).transpose(1, 2)
        u, size, vh = torch.linalg.svd(affine[..., :3], full_matrices=False)
        rows = u @ vh  # (N, 2, 3)
        rotation = torch.cat([rows, torch.linalg.cross(rows[:, 0], rows[:, 1])[:, None]], 1)
        depth = self.focal / size.mean(1).clamp(min=1e-3)
        shift = affine[..., 3] * (depth / self.focal)[:, None]
        return rotation, torch.cat([shift, depth[:, None] - LAP_PIVOT[2]], 1)

    def residuals(self, marks: Tensor, view: View) -> Tensor:
        """(N, L, 3) how far the marks lie beside the mean face in a view: across the line of sight, canonical frame."""
        pivot = marks.new_tensor(LAP_PIVOT)
        placed = self.points @ view.rotation.transpose(1, 2) + view.translation[:, None] + pivot
        aside = (marks[..., :2] - 0.5) * placed[..., 2:] / self.focal - placed[..., :2]
        return functional.pad(aside, (0, 1)) @ view.rotation
