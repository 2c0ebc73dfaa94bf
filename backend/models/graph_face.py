"""The graph face model (paper 2): layers, encoders, decoders, codes of a known shape, its pass over photos, and its
albedo network.

After Gao et al. (CVPRW 2020). An encoder turns a photo into codes of identity (128), expression (64), pose (6) and
light (27). A shape decoder computes vertices from identity and expression, an albedo decoder colours from identity
alone; both are graph convolutional networks that go up a mesh hierarchy (Ranjan et al., ECCV 2018). The paper's
encoder is ResNet-50 at 224 px (``trunk``); ours is EfficientNet-Lite0 at 112 px, whose second input is shape and view
from the landmark net's points. Section 4.1's U-Net works here on the texture in UV map ``Head``, freed of light and
completed by rules, whose errors it learns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.geometry.mesh_hierarchy import MeshHierarchy, MeshLevel, load_mesh_hierarchy, spread
from backend.geometry.template import Template, load_template
from backend.models.checkpoints import LoadedNetwork, ModelWeights, NetworkConfig, float64_array
from backend.models.landmarks import LandmarkFace, marks_in
from backend.models.learned_basis.apply import EncodedFace, EncodedPhoto
from backend.models.mobile_trunk import WHOLE, FrozenTrunk, MobileTrunk, load_beside_imagenet, normalised
from backend.models.registry import GRAPH_ALBEDO, GRAPH_FACE
from backend.photos.collection import PhotoFace
from backend.photos.faces import Window, upright_square
from backend.progress import ProgressReporter, silent
from backend.rendering.camera import rotation_from_euler
from backend.rendering.color import linear_from_srgb
from backend.rendering.spherical_harmonics import BASIS_CONSTANTS


def scaled_laplacian(level: MeshLevel) -> Tensor:
    """(N, N) sparse 2 L / lambda_max - I of the normalised graph Laplacian L = I - D^-1/2 A D^-1/2.

    lambda_max is replaced by its bound 2, so that only -D^-1/2 A D^-1/2 remains (Kipf & Welling 2017).
    """
    start, stop, degree = _directed(level)
    return _sparse(start, stop, -1.0 / np.sqrt(degree[start] * degree[stop]), (len(degree), len(degree)))


def neighbour_means(level: MeshLevel) -> Tensor:
    """(N, N) sparse matrix that averages over each vertex's neighbours."""
    start, stop, degree = _directed(level)
    return _sparse(start, stop, 1.0 / degree[start], (len(degree), len(degree)))


def _directed(level: MeshLevel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts and ends (2 E,) of the edges in both directions, and the degree of each vertex (N,)."""
    start, stop = np.concatenate([level.edges, level.edges[:, ::-1]]).T
    return start, stop, np.bincount(start, minlength=len(level.vertices)).astype(np.float64)


def unpooling(level: MeshLevel, finer: int) -> Tensor:
    """(finer, N) sparse matrix that interpolates to the next finer level, which has ``finer`` vertices."""
    return _sparse(level.up_rows, level.up_columns, level.up_values, (finer, len(level.vertices)))


def _sparse(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Tensor:
    index = torch.from_numpy(np.stack([rows, columns]).astype(np.int64))
    matrix = torch.sparse_coo_tensor(index, torch.from_numpy(values.astype(np.float32)), shape, check_invariants=False)
    return matrix.coalesce()


class ChebyshevConvolution(nn.Module):
    """y = sum_k T_k(L) x W_k + b, T_k Chebyshev polynomials of the scaled Laplacian (Defferrard et al. 2016).

    Summed by Clenshaw's recurrence, which applies L to y's features, because towards finer levels these are fewer.
    """

    def __init__(self, laplacian: Tensor, inputs: int, outputs: int, order: int) -> None:
        super().__init__()
        if order < 1:
            raise ValueError(f"the order must be at least 1, not {order}")
        self.order = order
        self.register_buffer("laplacian", laplacian, persistent=False)
        bound = (order * inputs) ** -0.5
        self.weight = nn.Parameter(torch.empty(order, outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, inputs) to (B, N, outputs)."""
        batch, count, inputs = features.shape
        rows = features.transpose(0, 1).reshape(count * batch, inputs)

        def term(k: int) -> Tensor:
            """(N, B * outputs) of x W_k."""
            return functional.linear(rows, self.weight[k]).float().view(count, -1)

        with torch.autocast(features.device.type, enabled=False):  # sparse products do not support half precision
            after, last = None, term(self.order - 1)  # b_{k + 2}, b_{k + 1}
            for k in range(self.order - 2, -1, -1):
                step = torch.sparse.mm(self.laplacian, last)
                now = torch.add(term(k), step, alpha=2.0 if k else 1.0)
                after, last = last, now if after is None else now - after
        return last.view(count, batch, -1).transpose(0, 1) + self.bias


class Unpooling(nn.Module):
    """Interpolation from a level to the next finer one."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, F) to (B, N of the finer level, F)."""
        return spread(self.matrix, features)


_BLOCKS = (3, 4, 6, 3)
"""Bottlenecks at 1/4, 1/8, 1/16 and 1/32 of the picture."""
_GROWTH = 4
"""Channels of a bottleneck's output over those inside it."""


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions with a shortcut; the stride is in the 3 x 3 one (ResNet version 1.5)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = _GROWTH * width
        self.narrow = _convolution(inputs, width, 1)
        self.across = _convolution(width, width, 3, stride)
        self.widen = _convolution(width, outputs, 1)
        nn.init.zeros_(self.widen[1].weight)  # initialise as the shortcut alone (Goyal et al. 2017)
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else _convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, 4 width, H / stride, W / stride)."""
        y = functional.relu(self.narrow(x))
        y = self.widen(functional.relu(self.across(y)))
        return functional.relu(y + self.shortcut(x))


class ResidualTrunk(nn.Module):
    """Pictures (N, 3, S, S), normalised, to (N, 32 width) features: the mean over the picture, as in ResNet-50.

    width : channels of the first convolution; ResNet-50 has 64, and thus 2048 features.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = _convolution(3, width, 7, 2)
        self.stages = nn.ModuleList()
        inputs, inner = width, width
        for number, count in enumerate(_BLOCKS):
            blocks = []
            for block in range(count):
                blocks.append(Bottleneck(inputs, inner, 2 if number and block == 0 else 1))
                inputs = _GROWTH * inner
            self.stages.append(nn.Sequential(*blocks))
            inner *= 2
        self.width = inputs

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        x = functional.max_pool2d(functional.relu(self.stem(pictures)), 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
        return x.mean((2, 3))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


POSE, LIGHT = 6, 27
MIDDLE = (0.0, 0.72, 0.09)
"""Centre of rotation of heads, metres in the head frame."""
UNIT = 0.005
"""Unit of the shape decoder's last layer in metres, about the variation of faces."""
_USUAL_SCALE = 5.7
"""Sides of the picture per metre at the face, in ``backend.photos.faces.face_square``."""
_USUAL_SHADING = 0.8
_FACING = (1.0, -1.0, -1.0)
_REDUCED_CHANNELS = (40, 64)
"""Channels to which the trunk's features at 1/16 and at 1/32 are reduced."""
_LARGEST_LOG_CONFIDENCE = 3.0
"""Largest absolute log confidence of a photo, relative to a usual one."""


@dataclass(frozen=True)
class GraphFaceConfig(NetworkConfig):
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
            inputs = self.trunk.width
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
            inputs = config.feature
        if config.landmarks:
            self.points = LandmarkFace(config.size, config.landmarks)
            inputs += self.points.width
        self.identity = nn.Linear(inputs, config.identity)
        self.expression = nn.Linear(inputs, config.expression)
        self.pose = nn.Linear(inputs, POSE)
        self.light = nn.Linear(inputs, LIGHT)
        self.confidence = nn.Linear(inputs, 1) if config.confidence else None
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
        features = [functional.relu(self.narrow(middle)), functional.relu(self.narrow_last(last))]
        x = self.top(torch.cat([one.flatten(1) for one in features], 1))
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

    @staticmethod
    def from_weights(weights: ModelWeights) -> GraphFaceNet:
        """The trained network for inference. Raises ``LikenessError`` where its weights do not fit or the trunk's are
        missing."""
        net = GraphFaceNet(GraphFaceConfig.from_json(weights.config)).eval()
        load_beside_imagenet(net, weights)
        if isinstance(net.encoder.trunk, FrozenTrunk):
            net.encoder.trunk.fuse()
        return net


CODE_STEP = 1e-2
"""Step of a code in finite differences: codes are about one, so the decoder's rounding error is a thousandth of it."""
_ROUNDS = 8
_DAMPING = 1e-2
"""Initial damping, relative to the normal matrix' mean diagonal (Levenberg 1944); each good step divides it by ten."""


@dataclass(frozen=True)
class FittedCodes:
    """``identity`` : (128,), ``expression`` : (64,). ``shape`` : (C, 3) metres, the decoder's output for them."""

    identity: Tensor
    expression: Tensor
    shape: Tensor


@torch.no_grad()
def codes_of_shape(
    net: GraphFaceNet, target: Tensor, weight: Tensor, prior: float = 1e-8, neutral: bool = False
) -> FittedCodes:
    """The codes whose shape is nearest to ``target`` (C, 3), metres, with vertex weights (C,).

    Minimises sum_i w_i |f(c)_i - s_i|^2 / sum_i w_i + prior |c|^2 from codes of zero. prior : square metres; a standard
    normal prior on the codes. neutral : the expression's code stays zero.
    """
    config = net.config
    free = config.identity + (0 if neutral else config.expression)
    scale = (weight / weight.sum()).sqrt()[:, None]

    def shapes(codes: Tensor) -> Tensor:
        whole = torch.zeros(len(codes), config.identity + config.expression, device=codes.device)
        whole[:, :free] = codes
        return net.shape(whole[:, : config.identity], whole[:, config.identity :])

    def cost(code: Tensor, shape: Tensor) -> float:
        return float((scale * (shape - target)).square().sum() + prior * code.square().sum())

    code = torch.zeros(free, device=target.device)
    shape = shapes(code[None])[0]
    best, damping = cost(code, shape), _DAMPING
    for _ in range(_ROUNDS):
        steps = code + CODE_STEP * torch.eye(free, device=code.device)
        jacobian = ((scale * (shapes(steps) - shape)) / CODE_STEP).flatten(1).T.double()  # (3 C, D)
        residual = (scale * (target - shape)).flatten().double()
        normal = jacobian.T @ jacobian + prior * torch.eye(free, device=code.device, dtype=torch.float64)
        right = jacobian.T @ residual - prior * code.double()
        while damping < 1e6:
            damped = normal + damping * normal.diagonal().mean() * torch.eye(free, device=code.device)
            tried = code + torch.linalg.solve(damped, right).float()
            moved = shapes(tried[None])[0]
            value = cost(tried, moved)
            if value < best:
                break
            damping *= 10
        else:
            break
        gain = (best - value) / best
        code, shape, best, damping = tried, moved, value, damping / 10
        if gain < 1e-4:
            break
    expression = torch.zeros(config.expression, device=code.device)
    expression[: free - config.identity] = code[config.identity :]
    return FittedCodes(code[: config.identity], expression, shape)


STAGE = "encoder"
_USUAL_DISTANCE = 1.2
"""Usual distance of portraits in metres (``PriorWeights.distance_metres``), because weak perspective has none."""
_BATCH = 32


class GraphModel(LoadedNetwork[GraphFaceNet]):
    """The graph face model."""

    model = GRAPH_FACE
    build = staticmethod(GraphFaceNet.from_weights)

    @property
    def wants_surface(self) -> bool:
        return self.network.encoder.points is not None


@torch.inference_mode()
def graph_face(faces: Sequence[PhotoFace], model: GraphModel, progress: ProgressReporter = silent) -> EncodedFace:
    """Run encoder and decoders once over all faces of one person; the identity's code is the photos' mean weighted by
    confidence. Reports progress under ``encoder``.

    Raises
    ------
    ValueError : no face was given, or the encoder needs the landmark net's points and a face has none.
    """
    if not faces:
        raise ValueError("an encoded face needs at least one photo")
    progress(STAGE, 0.0)
    network = model.network
    windows, _, codes = read_codes(faces, model)
    identity = codes.person()[None]
    neutral = network.neutral(identity)
    moved = network.shape(identity.expand(len(faces), -1), codes.expression) - neutral  # (N, V_head, 3)
    albedo = linear_from_srgb(network.albedo(identity)[0].clamp(0, 1))
    photos = tuple(
        EncodedPhoto(face.name, window, expression, rotation, _USUAL_DISTANCE, light)
        for face, window, expression, rotation, light in zip(
            faces, windows, *map(float64_array, (moved, codes.pose.rotation(), codes.light)), strict=True
        )
    )
    progress(STAGE, 1.0)
    offsets = float64_array(neutral[0] - network.mean)
    return EncodedFace(offsets, float64_array(albedo), photos, model.version, float64_array(identity[0]))


@torch.inference_mode()
def read_codes(faces: Sequence[PhotoFace], model: GraphModel) -> tuple[tuple[Window, ...], torch.Tensor, GraphCodes]:
    """Windows cut out of N photos, their pixels (N, 3, S, S) sRGB in [0, 1], and their codes."""
    network, device = model.network, model.device
    windows = tuple(upright_square(face.landmarks) for face in faces)
    size = network.config.size
    cut = np.stack([window.cut(face.pixels, size) for face, window in zip(faces, windows, strict=True)])
    pictures = torch.from_numpy(cut).to(device).permute(0, 3, 1, 2).float() / 255
    marks = marks_in(faces, windows).to(device) if model.wants_surface else pictures.new_zeros(len(faces), 0, 3)
    return windows, pictures, network.encoder(pictures, marks)


@torch.inference_mode()
def template_around(template: Template, model: GraphModel, identity: np.ndarray) -> Template:
    """Linearise the decoder around a code: the template whose identity modes are the decoder's derivatives there.

    template : the committed one, whose skin is the decoder's mean. identity : (D,). A face of the result with
    coefficients c is f(identity) + J (c - identity), so a Gauss-Newton step in the modes is one in the code. The other
    parts of the head follow the skin. J by finite differences.
    """
    network = model.network
    code = torch.from_numpy(identity).to(model.device).float()
    here = network.neutral(code[None])[0]  # (V_head, 3)
    steps = code + CODE_STEP * torch.eye(len(code), device=model.device)
    around = torch.cat([network.neutral(part) for part in steps.split(_BATCH)])
    modes = float64_array((around - here) / CODE_STEP)  # (D, V_head, 3)
    offset = float64_array(here - network.mean) - np.tensordot(identity, modes, 1)
    return replace(
        template,
        vertices=(template.vertices + template.following_skin(offset)).astype(np.float32),
        identity_modes=template.following_skin(modes).astype(np.float32),
    )


_OBSERVED = 10
"""Input channels: colour (3) and coverage (1), both again mirrored, and the texel's position (2)."""
_GROUPS = 4
_LEAST = 1e-3
"""Weight of unseen texels in the mean skin tone, so that it is defined even without any photo."""


@dataclass(frozen=True)
class GraphAlbedoConfig(NetworkConfig):
    """Size of the network.

    Attributes
    ----------
    size : texels per side of the UV map. widths : channels at full size, at half size, and so on.
    """

    size: int = 128
    widths: tuple[int, ...] = (12, 24, 40, 64, 80)

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1 or any(width % _GROUPS for width in self.widths):
            raise ValueError(f"widths must be at least two multiples of {_GROUPS}, not {self.widths}")
        step = 2 ** (len(self.widths) - 1)
        if self.size % step or self.size < 2 * step:
            raise ValueError(f"size must be a multiple of {step}, at least {2 * step}, not {self.size}")


class GraphAlbedoNet(nn.Module):
    """Correct the textures of B skins.

    ``usual`` (3, S, S) corrects the mean error of the rules; the U-Net adds the person's own correction.
    """

    def __init__(self, config: GraphAlbedoConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        inputs = _OBSERVED
        for width in widths:
            self.down.append(_block(inputs, width))
            inputs = width
        for width in reversed(widths[:-1]):
            self.up.append(_block(inputs + width, width))
            inputs = width
        self.last = nn.Conv2d(inputs, 3, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.usual = nn.Parameter(torch.zeros(3, config.size, config.size))
        axis = (torch.arange(config.size) + 0.5) * (2 / config.size) - 1
        coordinates = torch.stack([axis.abs().expand(config.size, -1), axis[:, None].expand(-1, config.size)])
        self.register_buffer("place", coordinates, persistent=False)  # |x|, because the chart is symmetric

    def forward(self, log_albedo: Tensor, cover: Tensor, skin: Tensor) -> Tensor:
        """(B, 3, S, S) corrected log albedo; texels that photos cover, and texels without skin, stay unchanged.

        log_albedo : (B, 3, S, S) natural logarithm of linear albedo. cover : (B, S, S) in [0, 1], the photos' coverage.
        skin : (B, S, S) or (1, S, S) in [0, 1], mask of the skin to correct.
        """
        known, bare = cover[:, None], skin[:, None]
        tone = _mean(log_albedo, known * bare + _LEAST * bare)
        relative = (log_albedo - tone) * bare
        coordinates = self.place.expand(len(relative), -1, -1, -1)
        x = torch.cat([relative, known, relative.flip(-1), known.flip(-1), coordinates], 1)
        skips = []
        for number, block in enumerate(self.down):
            x = block(functional.avg_pool2d(x, 2) if number else x)
            skips.append(x)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = block(torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1))
        return log_albedo + (1.0 - known) * bare * (self.usual + self.last(x).float())


def _mean(images: Tensor, weight: Tensor) -> Tensor:
    return (images * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1e-6)


def _block(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1),
        nn.GroupNorm(_GROUPS, width),
        nn.ELU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ELU(),
    )


class GraphAlbedoModel(LoadedNetwork[GraphAlbedoNet]):
    """The U-Net of skins."""

    model = GRAPH_ALBEDO
    network_type, config_type = GraphAlbedoNet, GraphAlbedoConfig

    @property
    def size(self) -> int:
        """Texels per side of its maps."""
        return self.network.config.size


@torch.inference_mode()
def skin_correction(log_albedo: np.ndarray, cover: np.ndarray, skin: np.ndarray, model: GraphAlbedoModel) -> np.ndarray:
    """(S, S, 3) float32 correction to add to the log albedo of a texture; zero where photos cover it fully.

    log_albedo : (S, S, 3) natural logarithm of linear albedo in UV map ``Head``. cover : (S, S) in [0, 1], the photos'
    coverage. skin : (S, S) in [0, 1], mask of the skin to correct. S : ``model.size``.
    """
    images = torch.from_numpy(np.ascontiguousarray(log_albedo.transpose(2, 0, 1), np.float32))[None].to(model.device)
    maps = (torch.from_numpy(np.ascontiguousarray(one, np.float32))[None].to(model.device) for one in (cover, skin))
    return (model.network(images, *maps) - images)[0].permute(1, 2, 0).cpu().numpy()
