"""A complete linear face model, learned: identity and expression on a deformation graph, reflectance per vertex.

Mallikarjun et al., "Learning Complete 3D Morphable Face Models from Images and Videos" (CVPR 2021):

    V = mean + M_id alpha + M_exp delta   (1)      M_id = U M_gid, M_exp = U M_gexp   (2)      R = mean + M_R beta   (3)

The bases are weights of the network, together with the encoder that predicts their coefficients (``encoder``). Identity
is made orthogonal to expression in every pass (section 3.3). Codes are in standard deviations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backend.geometry.graph_surface import GraphSurface, graph_surface
from backend.geometry.sparse_product import spread
from backend.models.learned_basis.encoder import FaceCode, FaceEncoder
from backend.models.learned_basis.light import SMALLEST_REGION, solved_light, vertex_areas

MILLIMETRE = 1e-3
SKIN_TONE = (0.42, 0.24, 0.16)
"""Initial linear reflectance of all vertices."""
_RIDGE = 1e-9
_LEAST_REFLECTANCE = 0.003


@dataclass(frozen=True)
class LearnedBasisConfig:
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

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> LearnedBasisConfig:
        """From the configuration in an exported model; other keys are ignored."""
        known = {field.name for field in fields(LearnedBasisConfig)}
        return LearnedBasisConfig(**{name: value for name, value in values.items() if name in known})

    def to_json(self) -> dict[str, Any]:
        """What ``from_json`` reads."""
        return asdict(self)


class FaceBases(nn.Module):
    """The three bases and the mean reflectance; G nodes, V vertices, R of them with a reflectance basis.

    Parameters of the module: ``identity_raw`` (m_i, G, 3) before it is made orthogonal and ``expression`` (m_e, G, 3)
    in millimetres per standard deviation; ``reflectance_mean`` (V, 3) and ``reflectance`` (m_r, R, 3) linear. All but
    the mean reflectance are initially zero, as in the paper; ``trainer.stages.learned_basis_start`` has other values.
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
        own = weighted @ expression.flatten(1).T  # (m_e, m_e)
        ridge = _RIDGE * own.diagonal().mean().detach() + 1e-12
        shared = weighted @ self.identity_raw.double().flatten(1).T  # (m_e, m_i)
        share = torch.linalg.solve(own + ridge * torch.eye(len(own), dtype=own.dtype, device=own.device), shared)
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
        own = torch.einsum("nm,mrc->nrc", codes, self.reflectance)
        whole = self.reflectance_mean.expand(len(codes), -1, -1).index_add(1, self.covered, own)
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
        self.encoder = FaceEncoder(
            width=config.width,
            stages=config.stages,
            feature=config.feature,
            identity=config.identity,
            reflectance=config.reflectance,
            expression=config.expression,
            focal=config.focal,
            angle_degrees=config.angle_degrees,
            light_start=config.light_start,
            landmark_components=config.landmark_components,
        )

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
            return replace(code, light=self.light_on(self.face(code), code, pictures.float()))

    def light_on(self, face: ModelledFace, code: FaceCode, pictures: Tensor) -> Tensor:
        """(N, 9, 3) lights of photos (N, 3, S, S) in [-1, 1], solved for these faces in the code's poses."""
        bases, cameras = self.bases, code.pose.cameras(pictures.shape[-1])
        return solved_light(
            (pictures + 1) / 2, face.vertices, bases.faces, face.reflectance, cameras, code.light, bases.light_areas
        )

    def face(self, code: FaceCode) -> ModelledFace:
        """The faces of all photos of a code. Call it without autocast."""
        own = code.set_of
        identity, expression = self.bases.node_offsets(code.identity, code.expression)
        neutral = self.bases.vertices(identity)[own]
        moved = MILLIMETRE * spread(self.bases.without_eyes, expression)
        return ModelledFace(
            vertices=neutral + moved,
            neutral=neutral,
            identity_nodes=identity[own],
            expression_nodes=expression,
            reflectance=self.bases.reflectance_of(code.reflectance)[own],
        )
