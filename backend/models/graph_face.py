"""The graph face model: codes of identity and expression to a face, by convolutions on the mesh; and who reads them.

After Gao et al., Semi-supervised 3D Face Representation Learning from Unconstrained Photo Collections (CVPRW 2020). An
encoder turns a photo into codes of identity (128), expression (64), pose (6) and light (27). A shape decoder makes the
head's vertices of identity and expression, an albedo decoder colours of identity alone; both are graph convolutional
networks that go up a mesh hierarchy, as in Ranjan et al. (ECCV 2018).

The paper's encoder is ResNet-50 at 224 px. Ours is EfficientNet-Lite0 down to a sixteenth at 112 px: a twentieth of
the operations, and its weights are small enough to ship.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.geometry.mesh_hierarchy import MeshHierarchy, load_mesh_hierarchy
from backend.geometry.template import load_template
from backend.models.checkpoints import ModelWeights, load_weights_into
from backend.models.graph_layers import ChebyshevConvolution, Unpooling, scaled_laplacian, unpooling
from backend.models.mobile_trunk import MobileTrunk, normalised
from backend.rendering.camera_models import rotation_from_euler
from backend.rendering.spherical_harmonics import BASIS_CONSTANTS

MODEL_NAME = "graph_face"
POSE, LIGHT = 6, 27
MIDDLE = (0.0, 0.72, 0.09)
"""Metres in the head frame: the point that heads turn about."""
UNIT = 0.005
"""Metres in a unit of the shape decoder's last layer: about what faces differ by."""
_USUAL_SCALE = 5.7
"""Sides of the picture that a metre at the face spans in ``backend.photos.crop.face_square``."""
_USUAL_SHADING = 0.8
_FACING = (1.0, -1.0, -1.0)


@dataclass(frozen=True)
class GraphFaceConfig:
    """Size of the networks.

    Attributes
    ----------
    size : side of the pictures. identity, expression : lengths of the codes. order : of the Chebyshev polynomials.
        widths : features of the shape decoder's convolutions, coarse to fine, one for each level but the finest;
        albedo_widths : of the albedo decoder's. feature : between trunk and codes. linear : whether the shape is a
        linear basis and what the convolutions add to it; the paper's has the convolutions alone.
    """

    size: int = 112
    identity: int = 128
    expression: int = 64
    order: int = 6
    widths: tuple[int, ...] = (128, 64, 32, 16)
    albedo_widths: tuple[int, ...] = (64, 32, 16, 16)
    feature: int = 384
    linear: bool = True

    def __post_init__(self) -> None:
        if self.size % 16 or self.size < 32:
            raise ValueError(f"size must be a multiple of 16, at least 32, not {self.size}")
        if min(self.identity, self.expression, self.order, self.feature, *self.widths, *self.albedo_widths) < 1:
            raise ValueError("all numbers must be at least 1")
        if len(self.widths) != len(self.albedo_widths):
            raise ValueError("widths and albedo_widths must have a number for each level")

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return {**asdict(self), "widths": list(self.widths), "albedo_widths": list(self.albedo_widths)}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> GraphFaceConfig:
        """The inverse of ``to_json``; raises ``TypeError`` or ``ValueError`` for what is no configuration."""
        lists = {name: tuple(values[name]) for name in ("widths", "albedo_widths")}
        return GraphFaceConfig(**{**values, **lists})


@dataclass(frozen=True)
class WeakPerspective:
    """Poses of N faces, equation 3 of the paper: s_2D = f Pr R s + t_2D.

    Attributes
    ----------
    angles : (N, 3) Euler angles, radians; zero faces the camera. scale : (N,) f, sides of the picture in a metre.
    shift : (N, 2) where ``MIDDLE`` is seen, right and down of the picture's middle, in sides of the picture.
    """

    angles: Tensor
    scale: Tensor
    shift: Tensor

    def rotation(self) -> Tensor:
        """(N, 3, 3) R from the head frame to the camera's: x right, y down, z away."""
        return rotation_from_euler(self.angles) * self.angles.new_tensor(_FACING)

    def project(self, vertices: Tensor) -> Tensor:
        """(N, C, 2) places in the picture, its sides are 1, of vertices (N, C, 3), metres in the head frame."""
        centred = vertices - vertices.new_tensor(MIDDLE)
        turned = centred @ self.rotation().transpose(1, 2)
        return 0.5 + self.shift[:, None] + self.scale[:, None, None] * turned[..., :2]


@dataclass(frozen=True)
class GraphCodes:
    """What the encoder reads from N photos.

    Attributes
    ----------
    identity : (N, 128), expression : (N, 64), zero for a neutral face. pose. light : (N, 9, 3) SH coefficients.
    """

    identity: Tensor
    expression: Tensor
    pose: WeakPerspective
    light: Tensor


class GraphDecoder(nn.Module):
    """A code (B, D) to 3 numbers at each vertex: FC, then at each level a convolution, ELU and unpooling."""

    def __init__(self, hierarchy: MeshHierarchy, code: int, widths: tuple[int, ...], order: int) -> None:
        super().__init__()
        levels = hierarchy.levels
        if len(widths) != len(levels) - 1:
            raise ValueError(f"a hierarchy of {len(levels)} levels needs {len(levels) - 1} widths, not {len(widths)}")
        self.start = nn.Linear(code, len(levels[-1].vertices) * widths[0])
        self.width = widths[0]
        self.convolutions, self.unpoolings = nn.ModuleList(), nn.ModuleList()
        inputs = widths[0]
        for number, outputs in zip(range(len(levels) - 1, 0, -1), widths, strict=True):
            level, finer = levels[number], levels[number - 1]
            self.convolutions.append(ChebyshevConvolution(scaled_laplacian(level), inputs, outputs, order))
            self.unpoolings.append(Unpooling(unpooling(level, len(finer.vertices))))
            inputs = outputs
        self.last = ChebyshevConvolution(scaled_laplacian(levels[0]), inputs, 3, order)

    def forward(self, code: Tensor) -> Tensor:
        """(B, D) to (B, C, 3)."""
        x = self.start(code).view(len(code), -1, self.width)
        for convolution, up in zip(self.convolutions, self.unpoolings, strict=True):
            x = up(functional.elu(convolution(x)))
        return self.last(x).float()


class GraphEncoder(nn.Module):
    """Photos (N, 3, S, S) in [0, 1], sRGB, to ``GraphCodes``."""

    def __init__(self, config: GraphFaceConfig) -> None:
        super().__init__()
        self.trunk = MobileTrunk()
        self.narrow = nn.Conv2d(MobileTrunk.widths()[-1], 40, 1)
        self.top = nn.Linear(40 * (config.size // 16) ** 2, config.feature)
        self.tones = nn.Linear(3 * 64, config.feature)  # normalised layers do not know how bright a photo is
        self.identity = nn.Linear(config.feature, config.identity)
        self.expression = nn.Linear(config.feature, config.expression)
        self.pose = nn.Linear(config.feature, POSE)
        self.light = nn.Linear(config.feature, LIGHT)
        with torch.no_grad():  # begins near the mean face, from the front, under even light
            for head in (self.identity, self.expression, self.pose, self.light):
                head.weight.mul_(0.3)
                head.bias.zero_()
            self.light.bias[:3] = _USUAL_SHADING / BASIS_CONSTANTS[0]

    def forward(self, pictures: Tensor) -> GraphCodes:
        """See the class."""
        x = functional.relu(self.narrow(self.trunk(normalised(pictures))[-1]))
        x = self.top(x.flatten(1)) + self.tones(functional.adaptive_avg_pool2d(pictures, 8).flatten(1))
        x = functional.relu(x)
        pose = self.pose(x).float()
        return GraphCodes(
            identity=self.identity(x).float(),
            expression=self.expression(x).float(),
            pose=WeakPerspective(
                angles=pose[:, :3], scale=_USUAL_SCALE * (0.5 * pose[:, 3]).exp(), shift=0.2 * pose[:, 4:]
            ),
            light=self.light(x).float().view(-1, 9, 3),
        )


class GraphFaceNet(nn.Module):
    """Encoder and decoders.

    ``basis`` (D, 3 C), in units of ``UNIT``: the linear part of the shape, identity's codes first.
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
            nn.init.zeros_(self.shape_decoder.last.weight)  # begins as the linear model
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
        """(B, C, 3) without expression: its code is zero."""
        return self.shape(identity, identity.new_zeros(len(identity), self.config.expression))

    def albedo(self, identity: Tensor) -> Tensor:
        """(B, C, 3) sRGB colours at the vertices, of codes (B, 128)."""
        return self.mean_albedo + 0.2 * self.albedo_decoder(identity)

    @staticmethod
    def from_weights(weights: ModelWeights) -> GraphFaceNet:
        """The trained network, in eval mode; raises ``LikenessError`` where the weights are those of another one."""
        net = GraphFaceNet(GraphFaceConfig.from_json(weights.config))
        load_weights_into(net, weights)
        return net.eval()
