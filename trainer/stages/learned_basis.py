"""Stage ``learned_basis``: train a complete face model and its encoder on photos and clips of people.

Mallikarjun et al., "Learning Complete 3D Morphable Face Models from Images and Videos" (CVPR 2021): pose pretraining,
identity pretraining on neutral faces, combined training (section 4). Terms against the truth of synthetic people are
ours and have weight 0 by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from backend.geometry.normals import vertex_normals
from backend.models.learned_basis import LEARNED_BASIS
from backend.models.learned_basis.encoder import FaceCode
from backend.models.learned_basis.network import LearnedBasisConfig, LearnedBasisNet, ModelledFace
from backend.models.learned_basis.picture import RenderedFace, render_face
from backend.rendering.camera_models import PerspectiveCameras
from trainer.contracts import ExportedModel, ParameterGroup, Stage, StageConfig
from trainer.data.face_model import FaceBatch, FaceTruth
from trainer.data.lap.batch import class_mask
from trainer.losses import face_model as losses
from trainer.losses.lip_contour import contour_error, lip_masks, mesh_contours, photo_contours
from trainer.losses.perceptual import PerceptualConfig, build_features
from trainer.losses.photometric import grey_where
from trainer.stages.learned_basis_augment import FaceAugmentConfig, augment_faces
from trainer.stages.learned_basis_detector import DetectorErrors, encode
from trainer.stages.learned_basis_metrics import contact_sheet, face_figures
from trainer.stages.learned_basis_render import FaceMarks, lip_grid
from trainer.stages.learned_basis_start import (
    REFLECTANCE_CLASSES,
    begin_from_people,
    begin_reflectance,
    refit_identity,
)

_START_BATCH = 16
_LANDMARK_SETS, _LANDMARK_CHANGES = 96, 8
"""Sets, and random augmentations of each, whose landmarks give the encoder's landmark components."""
_LIP_THRESHOLD = 6.0
"""Lip contours farther apart than this, in per cent of the picture's side, are rejected as outliers."""


@dataclass(frozen=True, kw_only=True)
class FaceModelWeights:
    """Weights of the loss terms; a term with weight 0 is not computed.

    The paper's weights are not published; equation 5 gives the landmarks weight 1, the others here are ours.
    """

    landmark: float = 1.0
    """Equation 6: squared landmark error in the photo, in per cent of its side."""
    mean_landmark: float = 1.0
    """The same for the mean face, so that the bases do not learn the head's pose."""
    lips: float = 1.0
    """Equation 7: contours of both lips."""
    photometric: float = 20.0
    """Equation 8: colour differences of render and photo."""
    perceptual: float = 0.5
    """Equation 9: feature differences of render and photo."""
    smooth: float = 0.1
    """Equation 10: differences between neighbouring nodes, mm squared."""
    disentangle: float = 0.1
    """Equation 11: expression codes of neutral faces."""
    identity_prior: float = 0.01
    """Squared identity codes."""
    reflectance_prior: float = 0.01
    """Squared reflectance codes."""
    expression_prior: float = 0.01
    """Squared expression codes."""
    shape: float = 0.0
    """Neutral face against truth, mm."""
    expression: float = 0.0
    """Expression offsets against truth, mm."""
    pose: float = 0.0
    """True face projected by the predicted camera against the true one, per cent."""
    light: float = 0.0
    """Shading of the mean face's skin by the predicted against the true light."""
    albedo: float = 0.0
    """Rendered reflectance against the true one, where the photo shows skin."""


@dataclass(frozen=True, kw_only=True)
class LearnedBasisStageConfig(StageConfig):
    """Trains ``backend.models.learned_basis.network.LearnedBasisNet``; ``batch`` counts people or clips."""

    network: LearnedBasisConfig = field(default_factory=LearnedBasisConfig)
    """Sizes of the model."""
    phase: Literal["pose", "identity", "together", "appearance"] = "together"
    """The paper's three phases: pose alone on the mean face; identity with expressions fixed at zero; all. And ours:
    light and reflectance alone, of an encoder that is already trained."""
    weights: FaceModelWeights = field(default_factory=FaceModelWeights)
    """Weights of the loss terms."""
    perceptual: PerceptualConfig = field(default_factory=PerceptualConfig)
    """Features of the perceptual term."""
    augment: FaceAugmentConfig = field(default_factory=FaceAugmentConfig)
    """Random changes to the training photos."""
    start: Literal["zero", "people"] = "zero"
    """Initialisation of the bases: zero (the paper), or the identities of ``start_shapes`` synthetic people and the
    template's expressions."""
    start_shapes: int = 1000
    """People whose neutral shapes give the first identity basis."""
    refit_identity: bool = False
    """Replace a trained model's identity basis by that of ``start_shapes`` people and adapt its encoder."""
    start_people: int = 512
    """People whose reflectance gives the mean and, unless ``start`` is zero, the first basis; 0: one skin tone."""
    geometry_rate: float = 1.0
    """Factor on the learning rate of identity and expression bases, which are in millimetres."""
    reflectance_rate: float = 0.1
    """Factor on the learning rate of the reflectance basis and the mean reflectance."""
    exported_light: Literal["as_trained", "solved"] = "as_trained"
    """``network.light`` of the exported model. With ``solved``, a learned light becomes the start of the solved one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start_people < 0 or self.start_shapes < 1:
            raise ValueError("start_people must be at least 0 and start_shapes at least 1")

    def build(self, device: torch.device) -> LearnedBasisStage:
        """See ``StageConfig``."""
        return LearnedBasisStage(self, device)


class LearnedBasisStage(Stage):
    """See ``LearnedBasisStageConfig``."""

    SUMMARY: ClassVar[str] = (
        "Linear bases of identity, expression and reflectance of faces, and an encoder that predicts their "
        "coefficients, light and pose from any number of photos of one person. Input: square sRGB crops of the face."
    )
    LIMITS: ClassVar[str] = (
        "Made for upright crops of one face from brows to chin. Light is diffuse without shadows; gaze, teeth and "
        "hair are not modelled. Skin and shapes are limited to those of the people in its training data."
    )

    def __init__(self, config: LearnedBasisStageConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.network = LearnedBasisNet(config.network).to(device)
        self.modules = nn.ModuleDict({"net": self.network})
        self.network.register_buffer("begun", torch.zeros((), device=device))  # 1: initialised; 2: identity refitted
        self._marks = FaceMarks().to(device)
        self._errors = DetectorErrors().to(device)
        self._lips = lip_grid().to(device)
        self._features = build_features(config.perceptual, device) if config.weights.perceptual else None
        if config.phase == "appearance":  # gradients through the encoder's trunk would take most of the time
            for group in self.parameter_groups():
                for parameter in group.parameters:
                    parameter.requires_grad_(group.rate(0.0) > 0)

    def step(self, batch: FaceBatch, fraction: float) -> Mapping[str, Tensor]:
        """Loss terms named as in ``FaceModelWeights``: those with a weight other than 0 and the needed data in the
        batch."""
        self._begin()
        config = self.config
        with torch.autocast(self.device.type, enabled=False):
            batch = augment_faces(batch, config.augment)
        code = encode(self.network, batch, self._errors, None)
        with _exact(self.device):
            if config.phase == "identity":
                code = replace(code, expression=torch.zeros_like(code.expression))
            cameras = code.pose.cameras(batch.images.shape[-1])
            terms = self._pose_terms(batch, cameras)
            if config.phase != "pose":
                face = self.network.face(code)
                terms |= self._data_terms(batch, code, face, cameras)
                terms |= self._regularisers(batch, code, face)
                if batch.truth is not None:
                    terms |= self._truth_terms(batch.truth, code, face)
        return terms

    def _pose_terms(self, batch: FaceBatch, cameras: PerspectiveCameras) -> dict[str, Tensor]:
        """Terms for the landmarks of the mean face, and for cameras against true ones."""
        weights, size, terms = self.config.weights, batch.images.shape[-1], {}
        if weights.mean_landmark:
            mean = self.network.bases.mean.expand(len(batch.images), -1, -1)
            normals = vertex_normals(mean[:1], self.network.bases.faces).expand_as(mean)
            points = cameras.project(self._marks.slid(mean, normals, cameras, batch.slides))[..., :2]
            terms["mean_landmark"] = losses.landmark_error(points, batch.landmarks, batch.landmark_weight, size)
        if weights.pose and batch.truth is not None:
            truth, count = batch.truth, len(batch.truth.vertices)
            points = self._marks.points(truth.vertices)
            pose = truth.camera_from_head
            true = PerspectiveCameras(truth.intrinsics, pose[:, :3, :3], pose[:, :3, 3])
            own = PerspectiveCameras(cameras.intrinsics[:count], cameras.rotation[:count], cameras.translation[:count])
            terms["pose"] = losses.pose_error(own.project(points), true.project(points), size)
        return terms

    def _data_terms(
        self, batch: FaceBatch, code: FaceCode, face: ModelledFace, cameras: PerspectiveCameras
    ) -> dict[str, Tensor]:
        """Terms of equations 6 to 9, and of the albedo where it is known."""
        weights, size = self.config.weights, batch.images.shape[-1]
        terms: dict[str, Tensor] = {}
        pixels = cameras.project(face.vertices)
        if weights.landmark:
            normals = vertex_normals(face.vertices, self.network.bases.faces)
            marks = self._marks.slid(face.vertices, normals, cameras, batch.slides)
            points = cameras.project(marks)[..., :2]
            terms["landmark"] = losses.landmark_error(points, batch.landmarks, batch.landmark_weight, size)
        if weights.lips:
            with torch.no_grad():
                photo = photo_contours(lip_masks(batch.labels, batch.landmarks))
            contours = mesh_contours(pixels, self._lips)
            terms["lips"] = contour_error(contours, photo, size, _LIP_THRESHOLD)
        if weights.photometric or weights.albedo or self._features is not None:
            rendered = render_face(self.network.bases, face, pixels, code.light, size)
            terms |= self._picture_terms(batch, rendered)
        return terms

    def _picture_terms(self, batch: FaceBatch, rendered: RenderedFace) -> dict[str, Tensor]:
        weights, terms = self.config.weights, {}
        mask = rendered.mask & class_mask(batch.labels, REFLECTANCE_CLASSES)
        image, photos = grey_where(rendered.image, batch.is_grey), grey_where(batch.images, batch.is_grey)
        if weights.photometric:
            terms["photometric"] = losses.picture_error(image, photos, mask.float())
        if self._features is not None:
            kept = torch.where(mask[:, None], image, photos)  # outside the face, features must be equal
            with torch.autocast(self.device.type, enabled=self.device.type == "cuda", dtype=torch.bfloat16):
                found, true = self._features(kept * 2 - 1), self._features(photos * 2 - 1)
            terms["perceptual"] = losses.feature_angle([found.float()], [true.float()])
        if weights.albedo and batch.truth is not None:
            count = len(batch.truth.albedo)
            terms["albedo"] = losses.picture_error(rendered.albedo[:count], batch.truth.albedo, mask[:count].float())
        return terms

    def _regularisers(self, batch: FaceBatch, code: FaceCode, face: ModelledFace) -> dict[str, Tensor]:
        weights, terms = self.config.weights, {}
        if weights.smooth:
            edges = self.network.bases.surface.edges.to(self.device)
            terms["smooth"] = losses.graph_smoothness(face.identity_nodes + face.expression_nodes, edges)
        if weights.disentangle and self.config.phase == "together":
            terms["disentangle"] = losses.expression_of_neutral(code.expression, batch.neutral)
        for name in ("identity", "reflectance", "expression"):
            if getattr(weights, f"{name}_prior"):
                terms[f"{name}_prior"] = losses.code_prior(getattr(code, name))
        return terms

    def _truth_terms(self, truth: FaceTruth, code: FaceCode, face: ModelledFace) -> dict[str, Tensor]:
        weights, count, cage = self.config.weights, len(truth.vertices), truth.vertices.shape[1]
        weight = 0.05 + self.network.bases.surface.face[:cage].to(self.device)
        terms = {}
        neutral = face.neutral[:count, :cage]
        if weights.shape:
            terms["shape"] = losses.shape_error(neutral, truth.neutral, weight)
        if weights.expression and self.config.phase == "together":
            moved = face.vertices[:count, :cage] - neutral
            terms["expression"] = losses.shape_error(moved, truth.vertices - truth.neutral, weight)
        if weights.light:
            bases = self.network.bases
            normals = vertex_normals(bases.mean[None], bases.faces)[0, :cage]
            skin = (bases.surface.face[:cage] > 0.9).nonzero()[::8, 0].to(self.device)
            terms["light"] = losses.light_error(code.light[:count], truth.light, normals[skin])
        return terms

    @torch.no_grad()
    def _begin(self) -> None:
        """Initialise the bases and the landmark components, unless loaded weights already have them."""
        config = self.config
        reader = self.network.encoder.landmarks
        if reader is not None and not reader.basis.any():
            with torch.autocast(self.device.type, enabled=False):
                whole = config.source.build().batch(range(_LANDMARK_SETS), self.device)
                changed = [augment_faces(whole, config.augment) for _ in range(_LANDMARK_CHANGES)]
                reader.whitening(torch.cat([self._errors.detected(batch) for batch in changed]))
        bases = self.network.bases
        if config.refit_identity and self.network.begun.item() < 2:
            if not bases.identity_raw.any():
                raise ValueError("refit_identity needs the weights of a trained model: --init-from")
            with _exact(self.device):
                refit_identity(self.network, config.start_shapes)
            self.network.begun.fill_(2)
        if self.network.begun.item() > 0.5 or bases.identity_raw.any():  # exported models have bases but no ``begun``
            return
        if config.start == "people":
            with _exact(self.device):  # bfloat16 would round people's shapes
                begin_from_people(bases, config.start_shapes)
        if config.start_people:
            source, batches = config.source.build(), []
            with torch.autocast(self.device.type, enabled=False):
                for first in range(0, config.start_people, _START_BATCH):
                    chosen = range(first, min(first + _START_BATCH, config.start_people))
                    batches.append(source.batch(chosen, self.device))
                begin_reflectance(bases, batches, config.start != "zero")
        self.network.begun.fill_(1)

    def metrics(self, batches: Iterable[FaceBatch]) -> Mapping[str, float]:
        """See ``learned_basis_metrics.face_figures``."""
        with _exact(self.device):
            return face_figures(self.network, self._marks, batches)

    def pictures(self, batch: FaceBatch) -> Mapping[str, Tensor]:
        """``faces``: a row for each of up to six photos; see ``learned_basis_metrics.contact_sheet``."""
        with _exact(self.device):
            return {"faces": contact_sheet(self.network, batch)}

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Groups: identity basis, expression basis, reflectance; the encoder's trunk with the pose, its reflectance
        head, its light head, its other heads. The phase decides which learn. With solved lights the predicted light is
        frozen in phase ``appearance``, because there the losses hardly constrain it."""
        kinds = ("geometry", "expression", "reflectance", "pose", "appearance", "light", "rest")
        config, named = self.config, {name: [] for name in kinds}
        for name, parameter in self.network.named_parameters():
            owner, _, tail = name.partition(".")
            if owner == "bases":
                kind = {"identity_raw": "geometry", "expression": "expression"}.get(tail, "reflectance")
            else:
                head = tail.split(".")[0]
                kind = "rest" if head in ("pooled", "identity", "expression") else "pose"
                kind = {"reflectance": "appearance", "light": "light"}.get(head, kind)
            named[kind].append(parameter)
        together, pose, appearance = (config.phase == name for name in ("together", "pose", "appearance"))
        rates = {
            "geometry": 0.0 if pose or appearance else config.geometry_rate,
            "expression": config.geometry_rate if together else 0.0,
            "reflectance": 0.0 if pose else config.reflectance_rate,
            "pose": 0.0 if appearance else 1.0,
            "appearance": 0.0 if pose else 1.0,
            "light": 0.0 if pose or (appearance and config.network.light == "solved") else 1.0,
            "rest": 0.0 if pose or appearance else 1.0,
        }
        return tuple(ParameterGroup(name, tuple(found), _constant(rates[name])) for name, found in named.items())

    def export(self) -> ExportedModel:
        """Bases and encoder, for ``backend.models.learned_basis.apply.BasisModel``."""
        tensors = {name: value for name, value in self.network.state_dict().items() if name != "begun"}
        network = self.config.network
        if self.config.exported_light != "as_trained":
            network = replace(network, light=self.config.exported_light)
        summary = f"{self.SUMMARY} {self._identity_origin()}".strip()
        return ExportedModel(LEARNED_BASIS.name, network.to_json(), tensors, summary, self.LIMITS)

    def _identity_origin(self) -> str:
        """A sentence on the identity basis if it was refitted and not trained since; else an empty string."""
        learns = any(group.name == "geometry" and group.rate(1.0) > 0 for group in self.parameter_groups())
        if learns or self.network.begun.item() < 2:
            return ""
        people = f"the principal components of {self.config.start_shapes:,} synthetic people's shapes"
        return f"The identity basis was not learned: it is {people}."


def _constant(rate: float) -> Callable[[float], float]:
    return lambda fraction: rate


@contextmanager
def _exact(device: torch.device) -> Iterator[None]:
    """Compute in full float32, without bfloat16 or TF32: heads are 0.7 m from the origin, and tenths of mm matter."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
