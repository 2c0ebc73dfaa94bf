"""The learned face model (paper 3): bases on a deformation graph, the siamese encoder, and the light solved in the
same pass.

Mallikarjun et al., "Learning Complete 3D Morphable Face Models from Images and Videos" (CVPR 2021):

    V = mean + M_id alpha + M_exp delta   (1)      M_id = U M_gid, M_exp = U M_gexp   (2)      R = mean + M_R beta   (3)

The bases are weights of the network. Identity is made orthogonal to expression in every pass; expression, light and
pose come from each photo's own features, identity and reflectance from features pooled over the set (section 3.3).
Codes are in standard deviations. Ours: with geometry, pose and reflectance known, colours are linear in the light's 27
coefficients, which robust least squares determines, with the encoder's light as a weak prior.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.geometry.deformation_graph import GraphSurface, graph_surface
from backend.geometry.mesh_hierarchy import spread
from backend.geometry.vectors import vertex_normals
from backend.models.checkpoints import NetworkConfig
from backend.rendering.camera import PerspectiveCameras, rotation_from_euler
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_points
from backend.rendering.spherical_harmonics import BASIS_CONSTANTS, basis

SMALLEST_REGION = 0.5
"""Least membership in the face region of the vertices that are used."""
_HOLD = 0.001
"""Weight of the squared distance to the predicted light; the data weights sum to one. Photometric error on 100
portraits of the training set with this, ``_OUTLIER`` and ``_ROUNDS``: 0.0455. With 0.002 and 0.004: 0.0458 and 0.0465.
With ``_OUTLIER`` 0.14 and 0.3: 0.0455 and 0.0458. With the predicted light: 0.0577."""
_FIRST_HOLD = 0.1
"""The same weight in the first round, halved in each further one down to ``_HOLD``. Non-skin then shows as an outlier
before the light can fit it. With ``_HOLD`` from the start the same portraits have 0.0455, with this 0.0454, and the
worst of them 0.073 instead of 0.077; a fringe over a forehead no longer becomes a dark side of the face."""
_OUTLIER = 0.2
"""Geman-McClure scale of a colour's error, converted to sRGB by the slope at that colour."""
_ROUNDS = 8
"""Rounds of reweighting. Photometric error with ``_HOLD`` 0.002: none 0.049, four 0.0461, eight 0.0458, twelve 0.0458.
Dark hair over much of the forehead needs ten rounds to lose its influence."""
_DARK, _GAMMA = 0.03, 0.6
"""Slope of sRGB at linear c, about (c + _DARK)^-_GAMMA, so that errors are weighted perceptually."""


def vertex_areas(vertices: Tensor, faces: Tensor) -> Tensor:
    """(V,) area of each vertex (V, 3), a third of each adjacent face (F, 3), relative to the mean."""
    a, b, c = (vertices[corner] for corner in faces.T)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    total = torch.zeros(len(vertices), dtype=vertices.dtype, device=vertices.device)
    for corner in faces.T:
        total.index_add_(0, corner, area)
    return total / total.mean()


def solved_light(
    pictures: Tensor,
    vertices: Tensor,
    faces: Tensor,
    reflectance: Tensor,
    cameras: PerspectiveCameras,
    predicted: Tensor,
    areas: Tensor,
) -> Tensor:
    """(N, 9, 3) lights, head frame, by robust least squares over the vertices; differentiable.

    Parameters
    ----------
    pictures : (N, 3, S, S) sRGB in [0, 1]. vertices : (N, V, 3) metres. faces : (F, 3). reflectance : (N, V, 3) linear.
    predicted : (N, 9, 3) prior mean of the light. areas : (V,) weights of the vertices; those with 0 are not used.
    """
    chosen = areas.nonzero()[:, 0]
    size = pictures.shape[-1]
    points, colours = vertices[:, chosen], reflectance[:, chosen]
    normals = vertex_normals(vertices, faces)[:, chosen]
    centre = cameras.centres()[:, None]
    facing = (normals * functional.normalize(centre - points, dim=-1)).sum(-1).clamp(min=0)
    grid = cameras.project(points)[..., :2] * (2 / size) - 1
    inside = (grid.abs() < 1).all(-1)
    linear = linear_from_srgb(pictures)
    observed = sample_points(linear, grid)
    weight = facing * inside * areas[chosen]  # a vertex's area in the picture
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-6)
    slope = (_DARK + observed.clamp(min=0)) ** -_GAMMA
    terms = basis(normals)  # (N, M, 9)
    same = torch.eye(9, dtype=observed.dtype, device=observed.device)
    light, trust = predicted, torch.ones_like(weight)
    for turn in range(_ROUNDS + 1):
        if turn:
            error = slope * (observed - colours * (terms @ light))
            trust = (_OUTLIER**2 / (_OUTLIER**2 + error.square().mean(-1))) ** 2
        hold = max(_HOLD, _FIRST_HOLD * 0.5**turn)
        counts = (weight * trust)[..., None] * slope.square()  # (N, M, 3)
        system = torch.einsum("nmc,nmd,nme->ncde", counts * colours.square(), terms, terms)
        right = torch.einsum("nmc,nmd->ncd", counts * colours * observed, terms) + hold * predicted.transpose(1, 2)
        light = torch.linalg.solve(system + hold * same, right).transpose(1, 2)
    return light


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
        offset = torch.cat([self.shift / self.scale[:, None], self.distance[:, None]], 1)
        middle = self.angles.new_tensor(MIDDLE)
        intrinsics = self.angles.new_zeros(len(focal), 3, 3)
        intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal * size
        intrinsics[:, :2, 2] = size / 2
        intrinsics[:, 2, 2] = 1
        return PerspectiveCameras(intrinsics, torch.cat([rotation, (offset - rotation @ middle)[..., None]], 2))


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
    """Photos (N, 3, S, S) in [-1, 1] to ``FaceCode``."""

    def __init__(self, config: LearnedBasisConfig) -> None:
        super().__init__()
        self.focal, self.angle = config.focal, math.radians(config.angle_degrees)
        width, feature, components = config.width, config.feature, config.landmark_components
        widths = [width * min(2**stage, 8) for stage in range(config.stages)]
        self.stem = nn.Conv2d(3, width, 5, 2, 2, bias=False)
        self.stem_norm = nn.GroupNorm(_GROUPS, width)
        self.blocks = nn.ModuleList(_Block(inputs, outputs, 2) for inputs, outputs in itertools.pairwise(widths))
        self.narrow = nn.Conv2d(widths[-1], max(_GROUPS, widths[-1] // 4), 1)
        self.top = nn.Linear(self.narrow.out_channels * _CORNERS**2, feature)
        self.tones = nn.Linear(3 * _TONES**2, feature)  # the normalised layers lose a photo's brightness
        self.landmarks = LandmarkFeatures(components, feature) if components else None
        self.pooled = nn.Sequential(nn.Linear(feature, feature), nn.ReLU())
        self.identity = nn.Linear(feature, config.identity)
        self.reflectance = nn.Linear(feature, config.reflectance)
        self.expression = nn.Linear(feature, config.expression)
        self.light = nn.Linear(feature, 27)
        self.pose = nn.Linear(feature, 7)
        light = torch.zeros(9, 3)
        light[0] = config.light_start / BASIS_CONSTANTS[0]
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
        features = self.features(pictures, landmarks)
        number = torch.bincount(set_of)
        total = features.new_zeros(len(number), features.shape[1]).index_add(0, set_of, features)
        shared = self.pooled(total / number[:, None].to(features.dtype))  # of the mean of each set
        identity, reflectance = self.identity(shared), self.reflectance(shared)
        return FaceCode(
            identity=identity.float(),
            reflectance=reflectance.float(),
            expression=self.expression(features).float(),
            light=self.light(features).float().view(-1, 9, 3),
            pose=self._pose(self.pose(features).float()),
            set_of=set_of,
        )

    def _pose(self, raw: Tensor) -> FacePose:
        """Convert outputs (N, 7) to poses within their limits."""
        bounded = torch.tanh(raw)
        scale = torch.exp(_SCALE * bounded[:, 5]) / FACE_SIDE
        distance = self.focal / scale if self.focal else USUAL_DISTANCE * torch.exp(_DISTANCE * bounded[:, 6])
        return FacePose(self.angle * bounded[:, :3], _SHIFT * bounded[:, 3:5], scale, distance)


MILLIMETRE = 1e-3
SKIN_TONE = (0.42, 0.24, 0.16)
"""Initial linear reflectance of all vertices."""
_RIDGE = 1e-9
_LEAST_REFLECTANCE = 0.003


@dataclass(frozen=True)
class LearnedBasisConfig(NetworkConfig):
    """Sizes of the model; the defaults are the paper's where it gives them.

    Attributes
    ----------
    size : side of the photos in pixels. level : of subdivision, 2 for the paper's some 60,000 vertices.
    nodes : of the deformation graph. identity, reflectance, expression : coefficients.
    orthogonal : identity is orthogonal to expression.
    reflectance_on : the reflectance basis covers the ``face`` only (elsewhere the mean), or ``all`` vertices.
    width, stages : channels of the encoder's first stage, doubled up to four times, and its number of halvings.
    feature : length of a photo's feature vector.
    focal : the camera's focal length over the photo's side, as in the paper one for all photos; 0: the distance is
        predicted too, and the focal length follows from the face's size.
    landmark_components : principal components of a detector's landmarks that the encoder reads in addition to the
        picture (ours: they are available anyway, and small nets learn poses faster with them); 0: none (the paper).
    angle_degrees : largest turn. light_start : initial ambient light.
    light : ``predicted`` by the encoder, as in the paper, or ``solved`` in the same pass from the photo's colours, with
        the face that the encoder predicts (``light.solved_light``).
    """

    size: int = 240
    level: Literal[0, 1, 2] = 2
    nodes: int = 521
    identity: int = 80
    reflectance: int = 80
    expression: int = 64
    orthogonal: bool = True
    reflectance_on: Literal["face", "all"] = "all"
    width: int = 64
    stages: int = 5
    feature: int = 512
    focal: float = 4.0
    landmark_components: int = 0
    angle_degrees: float = 90.0
    light_start: float = 0.8
    light: Literal["predicted", "solved"] = "predicted"

    def __post_init__(self) -> None:
        if self.size < 2**self.stages * 2:
            raise ValueError(f"photos of {self.size} pixels are too small for {self.stages} halvings")
        if min(self.identity, self.reflectance, self.expression) < 1 or self.focal < 0:
            raise ValueError("identity, reflectance and expression must be at least 1, focal at least 0")
        if self.light not in ("predicted", "solved"):
            raise ValueError(f"light must be predicted or solved, not {self.light!r}")


class FaceBases(nn.Module):
    """The three bases and the mean reflectance; G nodes, V vertices, R of them with a reflectance basis.

    Parameters of the module: ``identity_raw`` (m_i, G, 3) before it is made orthogonal and ``expression`` (m_e, G, 3)
    in millimetres per standard deviation; ``reflectance_mean`` (V, 3) and ``reflectance`` (m_r, R, 3) linear. All but
    the mean reflectance are initially zero, as in the paper; ``trainer.methods.learned_basis.start`` has other values.
    """

    def __init__(self, config: LearnedBasisConfig, surface: GraphSurface | None = None) -> None:
        super().__init__()
        self.config = config
        self.surface = surface = graph_surface(config.level, config.nodes) if surface is None else surface
        covered = torch.arange(len(surface.mean))
        if config.reflectance_on == "face":
            covered = (surface.face > 0.02).nonzero()[:, 0]
        self.identity_raw = nn.Parameter(torch.zeros(config.identity, surface.nodes, 3))
        self.expression = nn.Parameter(torch.zeros(config.expression, surface.nodes, 3))
        self.reflectance_mean = nn.Parameter(torch.tensor(SKIN_TONE).repeat(len(surface.mean), 1))
        self.reflectance = nn.Parameter(torch.zeros(config.reflectance, len(covered), 3))
        for name, value in {
            "mean": surface.mean,
            "faces": surface.faces,
            "covered": covered,
            **({"metric": surface.metric()} if config.orthogonal else {}),  # only ``identity`` needs it
            "with_eyes": surface.upsampling(eyes=True),
            "without_eyes": surface.upsampling(eyes=False),
            "light_areas": _light_areas(surface),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def identity(self) -> Tensor:
        """(m_i, G, 3) M_gid: the part of ``identity_raw`` that is orthogonal to all expressions, as vertex offsets.

        M_gid = M - M_gexp (M_gexp^T W M_gexp)^-1 M_gexp^T W M with W = U^T U, so that M_id^T M_exp = 0.
        """
        if not self.config.orthogonal:
            return self.identity_raw
        expression = self.expression.double()
        weighted = torch.einsum("gh,mhc->mgc", self.metric, expression).flatten(1)  # (m_e, 3 G)
        gram = weighted @ expression.flatten(1).T  # (m_e, m_e)
        ridge = _RIDGE * gram.diagonal().mean().detach() + 1e-12
        shared = weighted @ self.identity_raw.double().flatten(1).T  # (m_e, m_i)
        share = torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device), shared)
        return self.identity_raw - torch.einsum("ei,egc->igc", share, expression).float()

    def node_offsets(self, identity: Tensor, expression: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (N, m_i) and (N, m_e) to node offsets (N, G, 3) each, in millimetres."""
        return (
            torch.einsum("nm,mgc->ngc", identity, self.identity()),
            torch.einsum("nm,mgc->ngc", expression, self.expression),
        )

    def vertices(self, identity_nodes: Tensor, expression_nodes: Tensor | None = None) -> Tensor:
        """(N, V, 3) metres, head frame, of node offsets (N, G, 3) in millimetres: equations 1 and 2."""
        offsets = spread(self.with_eyes, identity_nodes)
        if expression_nodes is not None:
            offsets = offsets + spread(self.without_eyes, expression_nodes)
        return self.mean + MILLIMETRE * offsets

    def reflectance_of(self, codes: Tensor) -> Tensor:
        """(N, V, 3) linear reflectance of codes (N, m_r): equation 3, clamped above zero."""
        albedo = torch.einsum("nm,mrc->nrc", codes, self.reflectance)
        whole = self.reflectance_mean.expand(len(codes), -1, -1).index_add(1, self.covered, albedo)
        return whole.clamp(min=_LEAST_REFLECTANCE)


def _light_areas(surface: GraphSurface) -> Tensor:
    """(V,) weights of the vertices in solving for light: areas of the cage's vertices in the face, 0 elsewhere."""
    areas = vertex_areas(surface.mean, surface.faces)
    areas[surface.cage :] = 0
    return torch.where(surface.face > SMALLEST_REGION, areas, 0.0)


@dataclass(frozen=True)
class ModelledFace:
    """The model's faces of N photos.

    Attributes
    ----------
    vertices : (N, V, 3) metres, head frame, with expression. neutral : (N, V, 3) without expression.
    identity_nodes, expression_nodes : (N, G, 3) node offsets in millimetres. reflectance : (N, V, 3) linear.
    """

    vertices: Tensor
    neutral: Tensor
    identity_nodes: Tensor
    expression_nodes: Tensor
    reflectance: Tensor


class LearnedBasisNet(nn.Module):
    """Bases and encoder."""

    def __init__(self, config: LearnedBasisConfig, surface: GraphSurface | None = None) -> None:
        super().__init__()
        self.config = config
        self.bases = FaceBases(config, surface)
        self.encoder = FaceEncoder(config)

    def forward(self, pictures: Tensor, set_of: Tensor, landmarks: Tensor | None = None) -> FaceCode:
        """Codes of photos (N, 3, S, S) in [-1, 1]. ``set_of`` (N,) int64 : index of each photo's person, from 0.
        ``landmarks`` : (N, LANDMARKS, 2) in sides of the picture if the configuration has ``landmark_components``."""
        return self.lit(self.encoder(pictures, set_of, landmarks), pictures)

    def lit(self, code: FaceCode, pictures: Tensor) -> FaceCode:
        """Replace the code's light by the one solved from photos (N, 3, S, S) in [-1, 1], if the configuration says so.
        To be repeated for a code that is combined from several."""
        if self.config.light == "predicted":
            return code
        with torch.autocast(pictures.device.type, enabled=False):
            face, bases, shown = self.face(code), self.bases, (pictures.float() + 1) / 2
            cameras, predicted = code.pose.cameras(pictures.shape[-1]), code.light
            light = solved_light(
                shown, face.vertices, bases.faces, face.reflectance, cameras, predicted, bases.light_areas
            )
            return replace(code, light=light)

    def face(self, code: FaceCode) -> ModelledFace:
        """The faces of all photos of a code. Call it without autocast."""
        set_of = code.set_of
        identity, expression = self.bases.node_offsets(code.identity, code.expression)
        neutral = self.bases.vertices(identity)[set_of]
        moved = MILLIMETRE * spread(self.bases.without_eyes, expression)
        return ModelledFace(
            vertices=neutral + moved,
            neutral=neutral,
            identity_nodes=identity[set_of],
            expression_nodes=expression,
            reflectance=self.bases.reflectance_of(code.reflectance)[set_of],
        )
