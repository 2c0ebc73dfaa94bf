"""The graph face model: decoders from codes to a face by graph convolutions on the mesh, and the encoder of photos.

After Gao et al., Semi-supervised 3D Face Representation Learning from Unconstrained Photo Collections (CVPRW 2020). An
encoder turns a photo into codes of identity (128), expression (64), pose (6) and light (27). A shape decoder computes
the head's vertices from identity and expression, an albedo decoder colours from identity alone. Both are graph
convolutional networks that go up a mesh hierarchy, as in Ranjan et al. (ECCV 2018).

The paper's encoder is ResNet-50 at 224 px (``trunk`` in the configuration). Ours is EfficientNet-Lite0 at 112 px, with
a twentieth of the operations. Its ImageNet weights come from its package; only scales and shifts are trained. Its
second input is shape and view from the landmark net's points, which would take days on two cores to learn from
pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.geometry.mesh_hierarchy import MeshHierarchy, load_mesh_hierarchy
from backend.geometry.template import load_template
from backend.models.checkpoints import ModelWeights, load_weights_into
from backend.models.graph_face.layers import ChebyshevConvolution, Unpooling, scaled_laplacian, unpooling
from backend.models.graph_face.residual_trunk import ResidualTrunk
from backend.models.lap.landmark_face import LandmarkFace
from backend.models.mobile_trunk import WHOLE, FrozenTrunk, MobileTrunk, frozen_entries, normalised
from backend.rendering.camera_models import rotation_from_euler
from backend.rendering.spherical_harmonics import BASIS_CONSTANTS

POSE, LIGHT = 6, 27
MIDDLE = (0.0, 0.72, 0.09)
"""Centre of rotation of heads, metres in the head frame."""
UNIT = 0.005
"""Unit of the shape decoder's last layer in metres, about the variation of faces."""
_USUAL_SCALE = 5.7
"""Sides of the picture per metre at the face, in ``backend.photos.faces.crop.face_square``."""
_USUAL_SHADING = 0.8
_FACING = (1.0, -1.0, -1.0)
_REDUCED_CHANNELS = (40, 64)
"""Channels to which the trunk's features at 1/16 and at 1/32 are reduced."""
_LARGEST_LOG_CONFIDENCE = 3.0
"""Largest absolute log confidence of a photo, relative to a usual one."""


@dataclass(frozen=True)
class GraphFaceConfig:
    """Size of the networks.

    Attributes
    ----------
    size : side of the pictures. identity, expression : lengths of the codes. order : of the Chebyshev polynomials.
        widths : features of the shape decoder's convolutions, coarse to fine, one for each level but the finest, or one
        for each level as in the paper; albedo_widths : of the albedo decoder's. feature : size between trunk and codes;
        ResNet's features are used directly. linear : whether the shape is a linear basis plus the convolutions' output;
        the paper's has the convolutions alone. landmarks : number of shape directions from the landmark net's points
        as further input; 0: pictures alone. trunk : ``lite0``, or ``resnet50``, whose first convolution has
        ``trunk_width`` channels. confidence : whether a person's photos are weighted; the paper uses their mean.
    """

    size: int = 112
    identity: int = 128
    expression: int = 64
    order: int = 6
    widths: tuple[int, ...] = (128, 64, 32, 16)
    albedo_widths: tuple[int, ...] = (64, 32, 16, 16)
    feature: int = 384
    linear: bool = True
    landmarks: int = 48
    trunk: Literal["lite0", "resnet50"] = "lite0"
    trunk_width: int = 64
    confidence: bool = True

    def __post_init__(self) -> None:
        if self.size % 16 or self.size < 32:
            raise ValueError(f"size must be a multiple of 16, at least 32, not {self.size}")
        if self.trunk not in ("lite0", "resnet50"):
            raise ValueError(f"trunk must be lite0 or resnet50, not {self.trunk!r}")
        if self.landmarks < 0:
            raise ValueError(f"landmarks must be at least 0, not {self.landmarks}")
        numbers = (self.identity, self.expression, self.order, self.feature, self.trunk_width)
        if min(*numbers, *self.widths, *self.albedo_widths) < 1:
            raise ValueError("all numbers must be at least 1")
        if len(self.widths) != len(self.albedo_widths):
            raise ValueError("widths and albedo_widths must have a number for each level")

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return {**asdict(self), "widths": list(self.widths), "albedo_widths": list(self.albedo_widths)}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> GraphFaceConfig:
        """The inverse of ``to_json``; raises ``TypeError`` or ``ValueError`` for an invalid configuration."""
        lists = {name: tuple(values[name]) for name in ("widths", "albedo_widths")}
        return GraphFaceConfig(**{**values, **lists})


@dataclass(frozen=True)
class WeakPerspective:
    """Poses of N faces, equation 3 of the paper: s_2D = f Pr R s + t_2D.

    Attributes
    ----------
    angles : (N, 3) Euler angles, radians; zero faces the camera. scale : (N,) f, sides of the picture per metre.
    shift : (N, 2) projection of ``MIDDLE``, right and down of the picture's centre, in sides of the picture.
    """

    angles: Tensor
    scale: Tensor
    shift: Tensor

    def rotation(self) -> Tensor:
        """(N, 3, 3) R from the head frame to the camera's: x right, y down, z away."""
        return rotation_from_euler(self.angles) * self.angles.new_tensor(_FACING)

    def project(self, vertices: Tensor) -> Tensor:
        """(N, C, 2) projections in sides of the picture, of vertices (N, C, 3), metres in the head frame."""
        centred = vertices - vertices.new_tensor(MIDDLE)
        turned = centred @ self.rotation().transpose(1, 2)
        return 0.5 + self.shift[:, None] + self.scale[:, None, None] * turned[..., :2]


@dataclass(frozen=True)
class GraphCodes:
    """The encoder's result for N photos.

    Attributes
    ----------
    identity : (N, 128), expression : (N, 64), zero for a neutral face. pose. light : (N, 9, 3) SH coefficients.
    confidence : (N,) positive weight of each photo in a person's mean identity.
    """

    identity: Tensor
    expression: Tensor
    pose: WeakPerspective
    light: Tensor
    confidence: Tensor

    def of(self, chosen: Tensor) -> GraphCodes:
        """The codes of the photos ``chosen`` (N,) bool."""
        pose = WeakPerspective(self.pose.angles[chosen], self.pose.scale[chosen], self.pose.shift[chosen])
        light, confidence = self.light[chosen], self.confidence[chosen]
        return GraphCodes(self.identity[chosen], self.expression[chosen], pose, light, confidence)

    def person(self) -> Tensor:
        """(128,) identity of one person from all N photos."""
        return persons_identity(self.identity, self.confidence)


def persons_identity(identity: Tensor, confidence: Tensor) -> Tensor:
    """(..., 128) mean of codes (..., N, 128), weighted by confidences (..., N)."""
    share = confidence / confidence.sum(-1, keepdim=True)
    return (share[..., None] * identity).sum(-2)


class GraphDecoder(nn.Module):
    """A code (B, D) to 3 numbers at each vertex: FC, then at each level a convolution, ELU and unpooling. With a width
    for the finest level, there is another convolution and ELU there before the last convolution."""

    def __init__(self, hierarchy: MeshHierarchy, code: int, widths: tuple[int, ...], order: int) -> None:
        super().__init__()
        levels = hierarchy.levels
        if len(widths) not in (len(levels) - 1, len(levels)):
            wanted = f"{len(levels) - 1} or {len(levels)}"
            raise ValueError(f"a hierarchy of {len(levels)} levels needs {wanted} widths, not {len(widths)}")
        self.start = nn.Linear(code, len(levels[-1].vertices) * widths[0])
        self.width = widths[0]
        self.convolutions, self.unpoolings = nn.ModuleList(), nn.ModuleList()
        inputs = widths[0]
        for number, outputs in zip(range(len(levels) - 1, -1, -1), widths, strict=False):
            level = levels[number]
            self.convolutions.append(ChebyshevConvolution(scaled_laplacian(level), inputs, outputs, order))
            if number:
                self.unpoolings.append(Unpooling(unpooling(level, len(levels[number - 1].vertices))))
            inputs = outputs
        self.last = ChebyshevConvolution(scaled_laplacian(levels[0]), inputs, 3, order)

    def forward(self, code: Tensor) -> Tensor:
        """(B, D) to (B, C, 3)."""
        x = self.start(code).view(len(code), -1, self.width)
        for number, convolution in enumerate(self.convolutions):
            x = functional.elu(convolution(x))
            if number < len(self.unpoolings):
                x = self.unpoolings[number](x)
        return self.last(x).float()


class GraphEncoder(nn.Module):
    """Photos (N, 3, S, S) in [0, 1], sRGB, and the landmark net's points in them (N, 478, 3), in the form of
    ``LandmarkFace``, to ``GraphCodes``."""

    def __init__(self, config: GraphFaceConfig) -> None:
        super().__init__()
        self.points = None
        if config.trunk == "resnet50":
            self.trunk: nn.Module = ResidualTrunk(config.trunk_width)
            told = self.trunk.width
        else:
            self.trunk = FrozenTrunk()
            *_, middle, last = MobileTrunk.widths(WHOLE)
            side = config.size // 16
            self.narrow = nn.Conv2d(middle, _REDUCED_CHANNELS[0], 1)
            self.narrow_last = nn.Conv2d(last, _REDUCED_CHANNELS[1], 1)
            self.top = nn.Linear(
                _REDUCED_CHANNELS[0] * side**2 + _REDUCED_CHANNELS[1] * (side // 2) ** 2, config.feature
            )
            self.tones = nn.Linear(3 * 64, config.feature)  # because normalised layers lose a photo's brightness
            told = config.feature
        if config.landmarks:
            self.points = LandmarkFace(config.size, config.landmarks)
            told += self.points.width
        self.identity = nn.Linear(told, config.identity)
        self.expression = nn.Linear(told, config.expression)
        self.pose = nn.Linear(told, POSE)
        self.light = nn.Linear(told, LIGHT)
        self.confidence = nn.Linear(told, 1) if config.confidence else None
        with torch.no_grad():  # initialise near the mean face, from the front, in even light
            for head in (self.identity, self.expression, self.pose, self.light, self.confidence):
                if head is not None:
                    head.weight.mul_(0.3)
                    head.bias.zero_()
            self.light.bias[:3] = _USUAL_SHADING / BASIS_CONSTANTS[0]

    def forward(self, pictures: Tensor, marks: Tensor) -> GraphCodes:
        """See the class; ``marks`` are ignored without ``landmarks`` in the configuration."""
        x = self._seen(pictures)
        if self.points is not None:
            x = torch.cat([x, self.points.features(marks)], 1)
        pose = self.pose(x).float()
        return GraphCodes(
            identity=self.identity(x).float(),
            expression=self.expression(x).float(),
            pose=WeakPerspective(
                angles=pose[:, :3], scale=_USUAL_SCALE * (0.5 * pose[:, 3]).exp(), shift=0.2 * pose[:, 4:]
            ),
            light=self.light(x).float().view(-1, 9, 3),
            confidence=self._sure(x),
        )

    def _seen(self, pictures: Tensor) -> Tensor:
        """(N, F) features of the trunk."""
        if isinstance(self.trunk, ResidualTrunk):
            return self.trunk(normalised(pictures))
        *_, middle, last = self.trunk(normalised(pictures))
        seen = [functional.relu(self.narrow(middle)), functional.relu(self.narrow_last(last))]
        x = self.top(torch.cat([one.flatten(1) for one in seen], 1))
        return functional.relu(x + self.tones(functional.adaptive_avg_pool2d(pictures, 8).flatten(1)))

    def _sure(self, x: Tensor) -> Tensor:
        """(N,) confidence; without one all photos have weight 1."""
        if self.confidence is None:
            return x.new_ones(len(x), dtype=torch.float32)
        return self.confidence(x).float()[:, 0].clamp(-_LARGEST_LOG_CONFIDENCE, _LARGEST_LOG_CONFIDENCE).exp()


class GraphFaceNet(nn.Module):
    """Encoder and decoders.

    ``basis`` (D, 3 C), in units of ``UNIT``: the linear part of the shape, with the identity's codes first.
    """

    def __init__(self, config: GraphFaceConfig, hierarchy: MeshHierarchy | None = None) -> None:
        super().__init__()
        self.config = config
        hierarchy = load_mesh_hierarchy() if hierarchy is None else hierarchy
        count = len(hierarchy.levels[0].vertices)
        self.encoder = GraphEncoder(config)
        codes = config.identity + config.expression
        self.shape_decoder = GraphDecoder(hierarchy, codes, config.widths, config.order)
        self.albedo_decoder = GraphDecoder(hierarchy, config.identity, config.albedo_widths, config.order)
        self.basis = None
        if config.linear:
            self.basis = nn.Parameter(torch.zeros(codes, count * 3))
            nn.init.zeros_(self.shape_decoder.last.weight)  # initialise as the linear model
        template = load_template()
        self.register_buffer("mean", torch.from_numpy(template.vertices[:count]), persistent=False)
        self.mean_albedo = nn.Parameter(torch.full((count, 3), 0.6))

    def shape(self, identity: Tensor, expression: Tensor) -> Tensor:
        """(B, C, 3) the head's cage, metres, of codes (B, 128) and (B, 64): f_shape([c_id, c_exp])."""
        codes = torch.cat([identity, expression], 1)
        offsets = self.shape_decoder(codes)
        if self.basis is not None:
            offsets = offsets + (codes.float() @ self.basis).view_as(offsets)
        return self.mean + UNIT * offsets

    def neutral(self, identity: Tensor) -> Tensor:
        """(B, C, 3) shape without expression (its code is zero)."""
        return self.shape(identity, identity.new_zeros(len(identity), self.config.expression))

    def albedo(self, identity: Tensor) -> Tensor:
        """(B, C, 3) sRGB colours at the vertices, of codes (B, 128)."""
        return self.mean_albedo + 0.2 * self.albedo_decoder(identity)

    def trainable_state(self) -> dict[str, Tensor]:
        """The state dict without the weights of the trunk ``lite0``, which come from its package."""
        trunk = self.encoder.trunk
        foreign = {f"encoder.trunk.{name}" for name in trunk.imagenet_names()} if self._frozen else set()
        return {
            name: value
            for name, value in self.state_dict().items()
            if name not in foreign and not name.endswith("num_batches_tracked")
        }

    @property
    def _frozen(self) -> bool:
        return isinstance(self.encoder.trunk, FrozenTrunk)

    @staticmethod
    def from_weights(weights: ModelWeights) -> GraphFaceNet:
        """The trained network for inference. Raises ``LikenessError`` where the weights do not fit, or the package with
        the trunk's weights is not installed."""
        net = GraphFaceNet(GraphFaceConfig.from_json(weights.config))
        if not net._frozen:
            load_weights_into(net, weights)
            return net.eval()
        trunk = {f"encoder.trunk.{own}": value for own, value in frozen_entries(net.encoder.trunk).items()}
        load_weights_into(net, replace(weights, tensors={**weights.tensors, **trunk}))
        net.eval().encoder.trunk.fuse()
        return net
