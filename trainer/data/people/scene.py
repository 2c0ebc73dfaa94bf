"""A batch of posed and dressed people: the input of rasterization and shading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.rendering.spherical_harmonics import light_from_directions, rotate
from trainer.data.people.attachments.parameters import AttachmentParameters
from trainer.data.people.background import BackgroundParameters
from trainer.data.people.carried import CarriedExpressions
from trainer.data.people.expression import ExpressionParameters, gaze_angles, lid_weights
from trainer.data.people.eyes import PartsParameters
from trainer.data.people.film import FilmParameters
from trainer.data.people.identity import IdentityParameters, IdentityShapes, eye_centres
from trainer.data.people.light import LightParameters
from trainer.data.people.look import PersonLook
from trainer.data.people.maps import LID_LOWER, LID_UPPER
from trainer.data.people.skin import SkinParameters
from trainer.data.people.surface import EYE_LEFT, EYE_RIGHT, PeopleSurface
from trainer.data.people.view import Cameras, ViewParameters, camera_rotation, extrinsics, frame, turn


@dataclass(frozen=True)
class Person:
    """Parameters that stay the same in all pictures of a person."""

    identity: IdentityParameters
    look: PersonLook
    skin: SkinParameters
    parts: PartsParameters


@dataclass(frozen=True)
class Shot:
    """Parameters of one picture."""

    person: Person
    expression: ExpressionParameters
    view: ViewParameters
    light: LightParameters
    worn: AttachmentParameters | None
    background: BackgroundParameters | None
    film: FilmParameters | None


@dataclass(frozen=True)
class Posed:
    """The geometry of a batch, head frame, metres.

    Attributes
    ----------
    cage : (N, V, 3) template vertices, neutral : without expression. drawn : (N, V, 3) of ``PeopleSurface``.
    eyes : (N, 2, 3) centres of the eyeballs.
    lids : (N, 2, 2, 9, 2) azimuth and elevation, radians, of the left and right eye's upper and lower lid as seen from
    the
        eye's centre. weights : (N, 52), gaze : (N, 2, 2) radians left and up.
    coefficients : (N, K). cameras : of the pictures.
    """

    cage: Tensor
    neutral: Tensor
    drawn: Tensor
    eyes: Tensor
    lids: Tensor
    weights: Tensor
    gaze: Tensor
    coefficients: Tensor
    cameras: Cameras


class Stage:
    """Pose people in front of cameras, on one device. ``carried`` : see ``CarriedExpressions``; otherwise keys are
    added unchanged."""

    def __init__(self, surface: PeopleSurface, carried: bool = False) -> None:
        self.surface = surface
        self._carried = CarriedExpressions(surface.template, surface.device) if carried else None
        self.shapes = IdentityShapes(surface)
        marks = surface.template.landmarks478
        self._mark_vertices = torch.from_numpy(marks.vertices.astype(np.int64)).to(surface.device)
        self._mark_weights = torch.from_numpy(marks.barycentrics).to(surface.device)
        self._eye_vertices = [
            (surface.kind[: surface.vertex_count] == kind).nonzero()[:, 0] for kind in (EYE_LEFT, EYE_RIGHT)
        ]

    def landmarks478(self, vertices: Tensor) -> Tensor:
        """(N, 478, 3) MediaPipe landmarks on template vertices (N, >= V, 3)."""
        return (vertices[:, self._mark_vertices] * self._mark_weights[..., None]).sum(2)

    def pose(self, shots: list[Shot], size: int, framing: str) -> Posed:
        """Compute shape, expression, gaze and camera of every picture of ``size`` pixels; ``framing`` as in
        ``frame``."""
        surface, device = self.surface, self.surface.device
        neutral = self.shapes.neutral([shot.person.identity for shot in shots])
        eyes = eye_centres(surface, neutral)
        eyes_cpu = eyes.cpu().double().numpy()
        poses = extrinsics([shot.view for shot in shots], eyes_cpu.mean(1))
        gaze, weights, turns = [], [], []
        for shot, pose, centres in zip(shots, poses, eyes_cpu, strict=True):
            camera = -pose[:3, :3].T @ pose[:3, 3]
            angles = gaze_angles(shot.expression, centres, camera)
            gaze.append(angles)
            weights.append(np.maximum(shot.expression.weights, lid_weights(angles)))
            turns.append([turn(1, left) @ turn(0, -up) for left, up in angles])
        weights = torch.from_numpy(np.stack(weights)).to(device)
        eye_turns = torch.from_numpy(np.array(turns, np.float32)).to(device)
        if self._carried is None:
            cage = neutral + (weights @ surface.expressions.flatten(1)).view_as(neutral)
        else:
            cage = self._carried.posed(neutral, weights)
        for side, own in enumerate(self._eye_vertices):
            middle = eyes[:, side, None]
            cage[:, own] = (neutral[:, own] - middle) @ eye_turns[:, side].transpose(1, 2) + middle
        drawn = surface.drawn(cage)
        marks = self.landmarks478(drawn)
        camera_from_head = torch.from_numpy(poses.astype(np.float32)).to(device)
        cameras = frame([shot.view for shot in shots], camera_from_head, marks[:, :468], size, framing)
        coefficients = torch.from_numpy(np.stack([shot.person.identity.coefficients for shot in shots])).to(device)
        return Posed(
            cage=cage,
            neutral=neutral,
            drawn=drawn,
            eyes=eyes,
            lids=_lids(marks, eyes),
            weights=weights,
            gaze=torch.from_numpy(np.stack(gaze)).to(device),
            coefficients=coefficients,
            cameras=cameras,
        )


def _lids(marks: Tensor, eyes: Tensor) -> Tensor:
    """(N, 2, 2, 9, 2); see ``Posed``. marks (N, 478, 3), eyes (N, 2, 3)."""
    sides = []
    for side, eye in ((1, 0), (0, 1)):  # the landmark lists have the right eye first
        curves = []
        for lid in (LID_UPPER, LID_LOWER):
            offset = marks[:, list(lid[side])] - eyes[:, eye, None]
            azimuth = torch.atan2(offset[..., 0], offset[..., 2])
            elevation = torch.atan2(offset[..., 1], torch.hypot(offset[..., 0], offset[..., 2]))
            curve = torch.stack([azimuth, elevation], -1)  # outer corner to inner
            curves.append(curve.flip(1) if eye == 0 else curve)
        sides.append(torch.stack(curves, 1))
    return torch.stack(sides, 1)


@dataclass(frozen=True)
class HeadLight:
    """The light of a batch in the head frame.

    Attributes
    ----------
    directions : (N, L, 3). colours : (N, L, 3). softness : (N, L). ambient : (N, 9, 3). total : (N, 9, 3) all light in
        three SH bands, without shadows.
    """

    directions: Tensor
    colours: Tensor
    softness: Tensor
    ambient: Tensor
    total: Tensor


def light_in_head(shots: list[Shot], device: torch.device) -> HeadLight:
    """Rotate every picture's light from its camera to the head frame."""
    directions, ambients, totals = [], [], []
    for shot in shots:
        rotation = camera_rotation(shot.view).T @ np.diag([1.0, -1.0, -1.0])
        turned = shot.light.directions.astype(np.float64) @ rotation.T
        ambient = rotate(shot.light.ambient.astype(np.float64), rotation)
        directions.append(turned)
        ambients.append(ambient)
        totals.append(ambient + light_from_directions(turned, shot.light.colours.astype(np.float64)))

    def tensor(values: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(values).astype(np.float32)).to(device)

    return HeadLight(
        tensor(directions),
        tensor([shot.light.colours for shot in shots]),
        tensor([shot.light.softness for shot in shots]),
        tensor(ambients),
        tensor(totals),
    )
