"""Transfer of expressions to each face: keys by deformation transfer, the jaw as a hinge, lids on the eyeball.

The template's keys are offsets of the mean head. Adding them unchanged to every face would make all expressions linear.
Here each offset is rotated and stretched like the skin around it between the mean head and the person's (the first
order of deformation transfer, Sumner & Popovic 2004). The jaw's part of ``jawOpen`` rotates about the person's own
hinge, and no lid intersects an eyeball.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import Template
from backend.rig.arkit import ARKIT_NAMES

_REGION_RADIUS = 0.01
"""Metres, standard deviation of the skin region whose deformation a key follows: about two centimetres, not single
edges."""
_STIFFNESS = 0.004
"""Metres; directions with a smaller extent of skin than this (its normal) are hardly rotated or stretched."""
_HINGE_REACH = 0.03
"""Metres, standard deviation of the skin region around the mean jaw's hinge that determines its motion."""
_LID_THICKNESS = 0.0008
"""Metres, thickness of the lid between its outer surface and the eyeball."""


class CarriedExpressions:
    """Pose neutral faces by weights, on one device. The template has V vertices, the first C are the head's."""

    def __init__(self, template: Template, device: torch.device) -> None:
        count = template.head.vertex_stop
        self.count = count
        self._mean = torch.from_numpy(template.vertices[:count]).to(device)
        self._middle = self._mean.mean(0)
        apart = torch.cdist(self._mean, self._mean)  # (C, C)
        places = (apart < 3 * _REGION_RADIUS).nonzero().T
        values = (-apart[places[0], places[1]].square() / (2 * _REGION_RADIUS**2)).exp()
        values = values / torch.zeros(count, device=device).index_add_(0, places[0], values)[places[0]]
        around = torch.sparse_coo_tensor(places, values, (count, count), check_invariants=False)
        self._around = around.coalesce().to(device)
        self._inverse = torch.linalg.inv(self._moment(self._mean[None])[0])  # (C, 3, 3)
        jaw = torch.from_numpy(template.jaw_weights.astype(np.float32)).to(device)
        self._jaw = jaw[:, None]
        self._pivot = torch.from_numpy(template.jaw_pivot.astype(np.float32)).to(device)
        axis = torch.from_numpy(template.jaw_axis.astype(np.float32)).to(device)
        self._axis = axis / axis.norm()
        hinge = (-(self._mean - self._pivot).square().sum(-1) / (2 * _HINGE_REACH**2)).exp()
        self._near_hinge = hinge / hinge.sum()
        keys = torch.from_numpy(template.expressions).to(device)
        whole = torch.from_numpy(template.vertices).to(device)
        opened = ARKIT_NAMES.index("jawOpen")
        self._opened = opened
        self._angle = _hinge_angle(whole, keys[opened], self._pivot, self._axis, jaw > 0.9)
        turned = self._turned(whole[None], self._angle[None], self._pivot[None])[0]
        self._jaw_key = keys[opened] - (turned - whole)  # motion of opening besides the bone's rotation
        self._keys = keys.clone()
        self._keys[opened] = 0
        self._lids = [
            torch.from_numpy(template.regions[name][:count] > 0.5).to(device) for name in ("lids_left", "lids_right")
        ]
        self._eyes = [template.parts[name] for name in ("eye_left", "eye_right")]

    def posed(self, neutral: Tensor, weights: Tensor) -> Tensor:
        """(N, V, 3) faces posed with weights (N, 52) from neutral cages (N, V, 3); eyeballs do not move."""
        head = neutral[:, : self.count]
        carried = self._moment(head) @ self._inverse
        offsets = (weights @ self._keys.flatten(1)).view_as(neutral)
        pivot = self._pivot + ((head - self._mean) * self._near_hinge[:, None]).sum(1)
        opening = weights[:, self._opened]
        moved = self._turned(neutral + _transformed(carried, offsets), self._angle * opening, pivot)
        moved = moved + _transformed(carried, opening[:, None, None] * self._jaw_key)
        for part in self._eyes:
            own = slice(part.vertex_start, part.vertex_stop)
            moved[:, own] = neutral[:, own]
        for own, part in zip(self._lids, self._eyes, strict=True):
            ball = neutral[:, part.vertex_start : part.vertex_stop]
            centre = ball.mean(1, keepdim=True)
            radius = (ball - centre).norm(dim=-1).mean(1)[:, None] + _LID_THICKNESS
            rest = (head[:, own] - centre).norm(dim=-1)
            arm = moved[:, : self.count][:, own] - centre
            length = arm.norm(dim=-1).clamp(min=1e-6)
            least = torch.minimum(rest, radius)
            moved[:, : self.count][:, own] = centre + arm * (torch.maximum(length, least) / length)[..., None]
        return moved

    def _turned(self, points: Tensor, angle: Tensor, pivot: Tensor) -> Tensor:
        """Rotate points (N, V, 3) by angles (N,) about the jaw's axis through pivots (N, 3), scaled by the jaw's
        weights."""
        arm = points - pivot[:, None]
        along = (arm * self._axis).sum(-1, keepdim=True) * self._axis
        across = torch.linalg.cross(self._axis.expand_as(arm), arm)
        cos, sin = (part[:, None, None] for part in (angle.cos(), angle.sin()))
        return points + self._jaw * ((arm - along) * (cos - 1) + across * sin)

    def _moment(self, head: Tensor) -> Tensor:
        """(N, C, 3, 3) second moments of heads (N, C, 3) with the mean head over each vertex's surroundings. Multiplied
        by the inverse of the mean head's own moments they give the skin's rotation and stretch."""
        people, rest = len(head), self._mean - self._middle
        head = head - self._middle  # small numbers have small rounding errors
        products = head[..., :, None] * rest[None, :, None, :]  # (N, C, 3, 3)
        middle = self._averaged(head.permute(1, 0, 2).reshape(self.count, -1)).view(self.count, people, 3)
        moment = self._averaged(products.permute(1, 0, 2, 3).reshape(self.count, -1)).view(self.count, people, 3, 3)
        moment = moment - middle[..., :, None] * self._averaged(rest)[:, None, None, :]
        return moment.transpose(0, 1) + _STIFFNESS**2 * torch.eye(3, device=head.device)

    def _averaged(self, values: Tensor) -> Tensor:
        """Average values (C, K) over each vertex's surroundings to (C, K)."""
        return torch.sparse.mm(self._around, values)


def _transformed(carried: Tensor, offsets: Tensor) -> Tensor:
    """Transform offsets (N, V, 3): those of the head by its matrices (N, C, 3, 3), the others unchanged."""
    count = carried.shape[1]
    return torch.cat([(carried @ offsets[:, :count, :, None])[..., 0], offsets[:, count:]], 1)


def _hinge_angle(mean: Tensor, key: Tensor, pivot: Tensor, axis: Tensor, on_jaw: Tensor) -> Tensor:
    """() radians of the jaw bone's rotation about the axis in a key (C, 3), by least squares of directions."""
    arm = (mean - pivot)[on_jaw]
    arm = arm - (arm @ axis)[:, None] * axis
    after = arm + key[on_jaw]
    after = after - (after @ axis)[:, None] * axis
    sine = (torch.linalg.cross(arm, after) @ axis).sum()
    return torch.atan2(sine, (arm * after).sum())
