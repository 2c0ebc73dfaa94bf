"""The siamese encoder of the learned face model: one tower for all photos, one identity for all photos of a person.

Section 3.3 of Mallikarjun et al. (CVPR 2021): expression, light and pose come from each photo's own features. Identity
and reflectance come from features that are pooled over the photos of a set, through a small network. Any number of
photos in any order is possible.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.rendering.camera_models import PerspectiveCameras, rotation_from_euler
from backend.rendering.spherical_harmonics import BASIS_CONSTANTS

MIDDLE = (0.0, 0.70, 0.11)
"""Origin of the poses in metres, head frame: a point some way behind the base of the nose."""
FACE_SIDE = 0.176
"""Initial width in metres of a photo's field of view at the face, as in ``photos.faces.crop.face_square``."""
USUAL_DISTANCE = 1.0
LANDMARKS = 468
"""MediaPipe's landmarks without the irises, because the model has no gaze."""
_LANDMARK_NOISE = 0.002
"""Detector's error in sides of the picture. It keeps components with less variance from being amplified."""
_SHIFT, _SCALE, _DISTANCE = 0.5, 0.8, 1.6
"""Largest shift in sides of the photo, and logarithms of scale and distance."""
_FACING = (1.0, -1.0, -1.0)
_CORNERS = 4
_GROUPS = 8
_TONES = 8
"""Side in pixels of the small copy of a photo whose colours bypass the tower."""


@dataclass(frozen=True)
class FacePose:
    """Poses of the heads of N photos, for cameras with the principal point in the middle of a square photo.

    Attributes
    ----------
    angles : (N, 3) Euler angles in radians about the camera's x, y, z axes; zero faces the camera.
    shift : (N, 2) projection of ``MIDDLE``, right and down from the photo's middle, in sides of the photo.
    scale : (N,) size of a metre at ``MIDDLE``, in sides of the photo. distance : (N,) metres.
    """

    angles: Tensor
    shift: Tensor
    scale: Tensor
    distance: Tensor

    def of(self, rows: Tensor | slice) -> FacePose:
        """Select photos, by indices (M,), a mask (N,) or a slice."""
        return FacePose(self.angles[rows], self.shift[rows], self.scale[rows], self.distance[rows])

    def cameras(self, size: int) -> PerspectiveCameras:
        """Cameras of photos of ``size`` x ``size`` pixels: phi(v) = R v + t and pi of section 3.2."""
        facing = self.angles.new_tensor(_FACING)
        rotation = rotation_from_euler(self.angles) * facing  # columns: the head's axes
        focal = self.scale * self.distance  # in sides of the photo
        place = torch.cat([self.shift / self.scale[:, None], self.distance[:, None]], 1)
        middle = self.angles.new_tensor(MIDDLE)
        intrinsics = self.angles.new_zeros(len(focal), 3, 3)
        intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal * size
        intrinsics[:, :2, 2] = size / 2
        intrinsics[:, 2, 2] = 1
        return PerspectiveCameras(intrinsics, rotation, place - rotation @ middle)


@dataclass(frozen=True)
class FaceCode:
    """The encoder's prediction for N photos of G sets: p_i = (alpha, beta, delta_i, gamma_i, phi_i).

    Attributes
    ----------
    identity : (G, m_i) alpha and reflectance : (G, m_r) beta, one for each set. expression : (N, m_e) delta.
    light : (N, 9, 3) gamma, as in ``backend.rendering.spherical_harmonics``, head frame. pose : phi.
    set_of : (N,) int64 index of each photo's set.
    """

    identity: Tensor
    reflectance: Tensor
    expression: Tensor
    light: Tensor
    pose: FacePose
    set_of: Tensor


class _Block(nn.Module):
    """Residual block: two 3 x 3 convolutions, the first with a stride, and a shortcut (He et al. 2016); GroupNorm."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.GroupNorm(_GROUPS, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.GroupNorm(_GROUPS, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        y = functional.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        skipped = functional.avg_pool2d(x, self.stride, ceil_mode=True) if self.stride > 1 else x
        return functional.relu(y + self.shortcut(skipped))


class LandmarkFeatures(nn.Module):
    """Features of a detector's landmarks (ours): ``LANDMARKS`` points to a vector, by their principal components.

    ``mean`` and ``basis`` are part of the weights; the training stage measures them (``whitening``).
    """

    def __init__(self, components: int, feature: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(LANDMARKS * 2))
        self.register_buffer("basis", torch.zeros(LANDMARKS * 2, components))
        self.first = nn.Linear(components, feature)
        self.second = nn.Linear(feature, feature)

    def forward(self, landmarks: Tensor) -> Tensor:
        """(N, LANDMARKS, 2) in sides of the picture to (N, F)."""
        with torch.autocast(landmarks.device.type, enabled=False):  # needs a precision of thousandths of a side
            components = (landmarks.float().flatten(1) - self.mean) @ self.basis
        return self.second(functional.relu(self.first(components)))

    @torch.no_grad()
    def whitening(self, landmarks: Tensor) -> None:
        """Set mean and whitening components from landmarks (N, LANDMARKS, 2) of many photos, rounded to float16.

        Raises ``ValueError`` for fewer photos than components.
        """
        count = self.basis.shape[1]
        if len(landmarks) < count:
            raise ValueError(f"{count} components need as many photos, not {len(landmarks)}")
        flat = landmarks.flatten(1).double()
        mean = flat.mean(0)
        _, strengths, directions = torch.linalg.svd(flat - mean, full_matrices=False)
        deviation = (strengths[:count] / len(flat) ** 0.5).square().add(_LANDMARK_NOISE**2).sqrt()
        self.mean.copy_(mean.half())
        self.basis.copy_((directions[:count] / deviation[:, None]).T.half())


class FaceEncoder(nn.Module):
    """Photos (N, 3, S, S) in [-1, 1] to ``FaceCode``; see ``LearnedBasisConfig`` for the arguments."""

    def __init__(
        self,
        *,
        width: int,
        stages: int,
        feature: int,
        identity: int,
        reflectance: int,
        expression: int,
        focal: float,
        angle_degrees: float,
        light_start: float,
        landmark_components: int = 0,
    ) -> None:
        super().__init__()
        self.focal, self.angle = focal, math.radians(angle_degrees)
        widths = [width * min(2**stage, 8) for stage in range(stages)]
        self.stem = nn.Conv2d(3, width, 5, 2, 2, bias=False)
        self.stem_norm = nn.GroupNorm(_GROUPS, width)
        self.blocks = nn.ModuleList(_Block(inputs, outputs, 2) for inputs, outputs in itertools.pairwise(widths))
        self.narrow = nn.Conv2d(widths[-1], max(_GROUPS, widths[-1] // 4), 1)
        self.top = nn.Linear(self.narrow.out_channels * _CORNERS**2, feature)
        self.tones = nn.Linear(3 * _TONES**2, feature)  # the normalised layers lose a photo's brightness
        self.landmarks = LandmarkFeatures(landmark_components, feature) if landmark_components else None
        self.pooled = nn.Sequential(nn.Linear(feature, feature), nn.ReLU())
        self.identity = nn.Linear(feature, identity)
        self.reflectance = nn.Linear(feature, reflectance)
        self.expression = nn.Linear(feature, expression)
        self.light = nn.Linear(feature, 27)
        self.pose = nn.Linear(feature, 7)
        light = torch.zeros(9, 3)
        light[0] = light_start / BASIS_CONSTANTS[0]
        with torch.no_grad():  # initially near the mean face, frontal, under uniform light
            for head in (self.identity, self.reflectance, self.expression, self.light, self.pose):
                head.weight.mul_(0.3)
                head.bias.zero_()
            self.light.bias.copy_(light.flatten())

    def features(self, pictures: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """(N, F) features of each photo alone.

        Raises ``ValueError`` if the encoder needs landmarks and there are none.
        """
        x = functional.relu(self.stem_norm(self.stem(pictures)))
        for block in self.blocks:
            x = block(x)
        x = functional.adaptive_avg_pool2d(functional.relu(self.narrow(x)), _CORNERS)
        x = self.top(x.flatten(1)) + self.tones(functional.adaptive_avg_pool2d(pictures, _TONES).flatten(1))
        if self.landmarks is not None:
            if landmarks is None:
                raise ValueError("this encoder reads landmarks beside pictures: pass them")
            x = x + self.landmarks(landmarks)
        return functional.relu(x)

    def forward(self, pictures: Tensor, set_of: Tensor, landmarks: Tensor | None = None) -> FaceCode:
        """See the class. ``set_of`` (N,) int64 : index of each photo's set, from 0 without gaps. ``landmarks`` :
        (N, LANDMARKS, 2) of a detector, in sides of the picture, for an encoder that reads them."""
        own = self.features(pictures, landmarks)
        shared = self.pooled(mean_of_sets(own, set_of))
        identity, reflectance = self.identity(shared), self.reflectance(shared)
        return FaceCode(
            identity=identity.float(),
            reflectance=reflectance.float(),
            expression=self.expression(own).float(),
            light=self.light(own).float().view(-1, 9, 3),
            pose=self._pose(self.pose(own).float()),
            set_of=set_of,
        )

    def _pose(self, raw: Tensor) -> FacePose:
        """Convert outputs (N, 7) to poses within their limits."""
        bounded = torch.tanh(raw)
        scale = torch.exp(_SCALE * bounded[:, 5]) / FACE_SIDE
        distance = self.focal / scale if self.focal else USUAL_DISTANCE * torch.exp(_DISTANCE * bounded[:, 6])
        return FacePose(self.angle * bounded[:, :3], _SHIFT * bounded[:, 3:5], scale, distance)


def mean_of_sets(features: Tensor, set_of: Tensor) -> Tensor:
    """(G, F) means of the rows (N, F) of each set (N,)."""
    number = torch.bincount(set_of)
    total = features.new_zeros(len(number), features.shape[1]).index_add(0, set_of, features)
    return total / number[:, None].to(features.dtype)
