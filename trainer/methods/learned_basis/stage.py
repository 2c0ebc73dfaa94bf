"""Stage ``learned_basis``: train a complete face model and its encoder on photos and clips.

Mallikarjun et al. (CVPR 2021): pose, identity on neutral faces, all together (section 4). Terms against the truth of
synthetic people are ours and have weight 0 by default. Below the stage: its augmentation, which moves photos together
with their truth, and its figures, from one pass of the encoder.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from backend.geometry.template import load_template
from backend.geometry.vectors import vertex_normals
from backend.models.learned_basis import network as networks
from backend.models.learned_basis.apply import RenderedFace, render_face
from backend.models.registry import LEARNED_BASIS
from backend.rendering.camera import PerspectiveCameras
from protocol.similarity import fit_similarity
from trainer.engine.contracts import ExportedModel, ParameterGroup, Stage, StageConfig
from trainer.losses import PerceptualConfig, build_features, grey_where
from trainer.methods.landmarks.data import landmark_mirror
from trainer.methods.lap.data import class_mask
from trainer.methods.lap.sets import AugmentConfig, exposed
from trainer.methods.learned_basis import losses
from trainer.methods.learned_basis import start as starts
from trainer.methods.learned_basis.data import FaceBatch, FaceTruth
from trainer.methods.learned_basis.losses import METRES_TO_MM, contour_error, lip_masks, mesh_contours, photo_contours
from trainer.methods.learned_basis.start import refit_identity

_UNKNOWN = 255
_ODD_ACROSS = (1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0)
"""Signs of spherical harmonics under mirroring: those of x, xy and xz flip."""
_SMALLEST_LIP = 6
"""Pixels; IoU is not measured for smaller lips."""
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

    network: networks.LearnedBasisConfig = field(default_factory=networks.LearnedBasisConfig)
    """Sizes of the model."""
    phase: Literal["pose", "identity", "together", "appearance"] = "together"
    """The paper's three phases: pose alone on the mean face; identity with expressions fixed at zero; all. And ours:
    light and reflectance alone, of an encoder that is already trained."""
    weights: FaceModelWeights = field(default_factory=FaceModelWeights)
    """Weights of the loss terms."""
    perceptual: PerceptualConfig = field(default_factory=PerceptualConfig)
    """Features of the perceptual term."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
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

    def build(self, device: torch.device) -> Stage:
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
        self.network = networks.LearnedBasisNet(config.network).to(device)
        self.modules = nn.ModuleDict({"net": self.network})
        self.network.register_buffer("begun", torch.zeros((), device=device))  # 1: initialised; 2: identity refitted
        self._marks = starts.FaceMarks().to(device)
        self._errors = starts.DetectorErrors().to(device)
        self._lips = starts.lip_grid().to(device)
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
        code = starts.encode(self.network, batch, self._errors, None)
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
            true = PerspectiveCameras(truth.intrinsics, truth.camera_from_head)
            posed = PerspectiveCameras(cameras.intrinsics[:count], cameras.camera_from_head[:count])
            terms["pose"] = losses.pose_error(posed.project(points), true.project(points), size)
        return terms

    def _data_terms(
        self, batch: FaceBatch, code: networks.FaceCode, face: networks.ModelledFace, cameras: PerspectiveCameras
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
        mask = rendered.mask & class_mask(batch.labels, starts.REFLECTANCE_CLASSES)
        image, photos = grey_where(rendered.image, batch.is_grey), grey_where(batch.images, batch.is_grey)
        if weights.photometric:
            terms["photometric"] = losses.picture_error(image, photos, mask.float())
        if self._features is not None:
            masked = torch.where(mask[:, None], image, photos)  # outside the face, features must be equal
            with torch.autocast(self.device.type, enabled=self.device.type == "cuda", dtype=torch.bfloat16):
                layers = [self._features.each(pictures * 2 - 1) for pictures in (masked, photos)]
            terms["perceptual"] = losses.feature_angle(*([layer.float() for layer in one] for one in layers))
        if weights.albedo and batch.truth is not None:
            count = len(batch.truth.albedo)
            terms["albedo"] = losses.picture_error(rendered.albedo[:count], batch.truth.albedo, mask[:count].float())
        return terms

    def _regularisers(
        self, batch: FaceBatch, code: networks.FaceCode, face: networks.ModelledFace
    ) -> dict[str, Tensor]:
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

    def _truth_terms(self, truth: FaceTruth, code: networks.FaceCode, face: networks.ModelledFace) -> dict[str, Tensor]:
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
                starts.begin_from_people(bases, config.start_shapes)
        if config.start_people:
            source, batches = config.source.build(), []
            with torch.autocast(self.device.type, enabled=False):
                for first in range(0, config.start_people, _START_BATCH):
                    chosen = range(first, min(first + _START_BATCH, config.start_people))
                    batches.append(source.batch(chosen, self.device))
                starts.begin_reflectance(bases, batches, config.start != "zero")
        self.network.begun.fill_(1)

    def metrics(self, batches: Iterable[FaceBatch]) -> Mapping[str, float]:
        """See ``learned_basis_metrics.face_figures``."""
        with _exact(self.device):
            return face_figures(self.network, self._marks, batches)

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
        groups = named.items()
        return tuple(ParameterGroup(name, tuple(group), lambda _, rate=rates[name]: rate) for name, group in groups)

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


def augment_faces(batch: FaceBatch, config: AugmentConfig) -> FaceBatch:
    """Augment a batch; draws from torch's global generators. The true light is not adapted to a changed exposure."""
    if config.mirror:
        sets = torch.rand(int(batch.set_of[-1]) + 1, device=batch.images.device) < config.mirror
        batch = mirrored_faces(batch, sets[batch.set_of])
    if config.rotate_degrees or config.zoom or config.shift:
        batch = _moved(batch, config)
    return replace(batch, images=exposed(batch.images, config))


def mirrored_faces(batch: FaceBatch, which: Tensor) -> FaceBatch:
    """Mirror the photos ``which`` (N,) bool with their landmarks, labels and truth; left and right landmarks swap."""
    size = batch.images.shape[-1]
    names = torch.from_numpy(landmark_mirror()[: networks.LANDMARKS]).to(which.device)
    flipped = batch.landmarks[:, names]
    flipped = torch.stack([size - flipped[..., 0], flipped[..., 1]], -1)

    def chosen(changed: Tensor, value: Tensor) -> Tensor:
        return torch.where(which[: len(value)].view(-1, *[1] * (value.dim() - 1)), changed, value)

    truth = batch.truth
    if truth is not None:
        across = truth.vertices.new_tensor([-1.0, 1.0, 1.0])
        pairs = torch.from_numpy(load_template().mirror[: truth.vertices.shape[1]].astype(np.int64)).to(which.device)
        intrinsics = truth.intrinsics.clone()
        intrinsics[:, 0, 2] = size - intrinsics[:, 0, 2]
        plane = torch.diag(truth.camera_from_head.new_tensor([-1.0, 1.0, 1.0, 1.0]))
        odd = truth.light.new_tensor(_ODD_ACROSS)[:, None]
        truth = FaceTruth(
            neutral=chosen(truth.neutral[:, pairs] * across, truth.neutral),
            vertices=chosen(truth.vertices[:, pairs] * across, truth.vertices),
            intrinsics=chosen(intrinsics, truth.intrinsics),
            camera_from_head=chosen(plane @ truth.camera_from_head @ plane, truth.camera_from_head),
            light=chosen(truth.light * odd, truth.light),
            albedo=chosen(truth.albedo.flip(-1), truth.albedo),
        )
    return replace(
        batch,
        images=chosen(batch.images.flip(-1), batch.images),
        labels=chosen(batch.labels.flip(-1), batch.labels),
        landmarks=chosen(flipped, batch.landmarks),
        landmark_weight=chosen(batch.landmark_weight[:, names], batch.landmark_weight),
        truth=truth,
    )


def _moved(batch: FaceBatch, config: AugmentConfig) -> FaceBatch:
    """Rotate, zoom and shift each photo by an affine map A in its pixels: pictures, labels, landmarks, and K' = A K."""
    count, size, device = len(batch.images), batch.images.shape[-1], batch.images.device
    angle = torch.randn(count, device=device) * math.radians(config.rotate_degrees)
    factor = torch.exp(torch.randn(count, device=device) * config.zoom)
    move = torch.randn(count, 2, device=device) * config.shift  # in sides
    cosine, sine = factor * angle.cos(), factor * angle.sin()
    turn = torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
    back = torch.linalg.inv(turn)
    rows = torch.cat([back, -(back @ (2 * move[..., None]))], 2)
    grid = affine_grid(rows, [count, 1, size, size], align_corners=False)
    images = grid_sample(batch.images, grid, padding_mode="border", align_corners=False)
    labels = _labels(batch.labels, grid)
    middle = size / 2
    landmarks = (batch.landmarks - middle) @ turn.transpose(1, 2) + middle + size * move[:, None]
    inside = ((landmarks >= 0) & (landmarks < size)).all(-1)
    truth = batch.truth
    if truth is not None:
        known = len(truth.albedo)
        affine = torch.eye(3, device=device).repeat(known, 1, 1)
        affine[:, :2, :2] = turn[:known]
        affine[:, :2, 2] = middle + size * move[:known] - (turn[:known] @ turn.new_full((2, 1), middle))[..., 0]
        truth = replace(
            truth,
            intrinsics=affine @ truth.intrinsics,
            albedo=grid_sample(truth.albedo, grid[:known], padding_mode="border", align_corners=False),
        )
    weight = batch.landmark_weight * inside
    return replace(batch, images=images, labels=labels, landmarks=landmarks, landmark_weight=weight, truth=truth)


def _labels(labels: Tensor, grid: Tensor) -> Tensor:
    """Sample labels (N, S, S) at a grid (N, S, S, 2), nearest neighbour; unknown outside the picture."""
    values = labels[:, None].float() - _UNKNOWN
    sampled = grid_sample(values, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return (sampled[:, 0] + _UNKNOWN).round().to(labels.dtype)


@torch.no_grad()
def face_figures(
    network: networks.LearnedBasisNet, marks: starts.FaceMarks, batches: Iterable[FaceBatch]
) -> dict[str, float]:
    """Means over photos, without NaN figures.

    ``landmark`` (per cent of the picture's side; ``landmark.mean_face`` for the mean mesh in the same poses), ``turn``
    (degrees between predicted and true camera axes), ``neutral`` and ``expression`` (mm over the face against truth;
    baselines ``.mean_face`` and ``.none``, which has no expression), ``shape`` (``neutral`` after similarity alignment
    to the truth, because a photo shows neither a head's size nor the origin of its frame), ``neutral.moved`` (mm of
    expression offsets on neutral faces: the paper's AE), ``photometric`` (mean absolute error, 0 to 1),
    ``lip_iou.upper`` and ``.lower``.
    """
    total: dict[str, float] = {}
    count: dict[str, int] = {}

    def add(name: str, values: Tensor) -> None:
        values = values[torch.isfinite(values)]
        total[name] = total.get(name, 0.0) + float(values.double().sum())
        count[name] = count.get(name, 0) + len(values)

    for batch in batches:
        for name, values in photo_figures(network, marks, batch).items():
            add(name, values)
    return {name: total[name] / count[name] if count[name] else float("nan") for name in total}


@torch.no_grad()
def photo_figures(network: networks.LearnedBasisNet, marks: starts.FaceMarks, batch: FaceBatch) -> dict[str, Tensor]:
    """The figures of ``face_figures`` for each photo, (N,) or (n,)."""
    size, bases = batch.images.shape[-1], network.bases
    code = starts.encode_again(network, batch)
    face = network.face(code)
    cameras = code.pose.cameras(size)
    pixels = cameras.project(face.vertices)
    figures = {}
    mean = bases.mean.expand(len(batch.images), -1, -1)
    for name, vertices in (("landmark", face.vertices), ("landmark.mean_face", mean)):
        points = cameras.project(marks.slid(vertices, vertex_normals(vertices, bases.faces), cameras, batch.slides))
        apart = (points[..., :2] - batch.landmarks).norm(dim=-1) * (100.0 / size)
        weight = (batch.landmark_weight > 0).float()
        figures[name] = (apart * weight).sum(1) / weight.sum(1)
    figures["photometric"] = colour_errors(bases, face, pixels, code.light, batch)
    figures |= lip_figures(network, pixels, batch)
    skin = bases.surface.face[: bases.surface.cage].to(pixels.device) > 0.5
    cage = bases.surface.cage
    moved = (face.vertices - face.neutral)[:, :cage][:, skin].norm(dim=-1).mean(1) * METRES_TO_MM
    figures["neutral.moved"] = torch.where(batch.neutral, moved, torch.nan)
    if batch.truth is not None:
        figures |= _truth_figures(face, batch, skin, bases.mean[:cage])
        known = len(batch.truth.vertices)
        axes = (cameras.rotation[:known, 2] * batch.truth.camera_from_head[:, 2, :3]).sum(-1)
        figures["turn"] = axes.clamp(-1, 1).acos() * (180 / math.pi)
    return figures


def colour_errors(
    bases: networks.FaceBases, face: networks.ModelledFace, pixels: Tensor, light: Tensor, batch: FaceBatch
) -> Tensor:
    """(N,) mean absolute error of the render over skin, lips, brows and beard, 0 to 1; NaN for grey photos."""
    rendered = render_face(bases, face, pixels, light, batch.images.shape[-1])
    mask = (rendered.mask & class_mask(batch.labels, starts.REFLECTANCE_CLASSES)).float()
    difference = (rendered.image - batch.images).abs().mean(1) * mask
    return torch.where(batch.is_grey, torch.nan, difference.sum((1, 2)) / mask.sum((1, 2)))


def lip_figures(network: networks.LearnedBasisNet, pixels: Tensor, batch: FaceBatch) -> dict[str, Tensor]:
    """(N,) IoU of each rendered lip with the parsed one; NaN where the photo shows next to nothing of it."""
    masks = lip_masks(batch.labels, batch.landmarks)
    lips = starts.lip_pictures(network.bases, pixels, batch.images.shape[-1])
    figures = {}
    for name, drawn, wanted in zip(("upper", "lower"), lips, (masks.upper, masks.lower), strict=True):
        both, either = (drawn & wanted).sum((1, 2)), (drawn | wanted).sum((1, 2))
        figures[f"lip_iou.{name}"] = torch.where(wanted.sum((1, 2)) >= _SMALLEST_LIP, both / either, torch.nan)
    return figures


def _truth_figures(face: networks.ModelledFace, batch: FaceBatch, skin: Tensor, mean: Tensor) -> dict[str, Tensor]:
    """Mean errors in mm over the face's skin against truth, in the head frame; only ``shape`` is aligned."""
    truth, count, cage = batch.truth, len(batch.truth.vertices), len(mean)

    def apart(predicted: Tensor, wanted: Tensor) -> Tensor:
        return (predicted - wanted)[:, skin].norm(dim=-1).mean(1) * METRES_TO_MM

    neutral = face.neutral[:count, :cage]
    moved, wanted = face.vertices[:count, :cage] - neutral, truth.vertices - truth.neutral
    return {
        "shape": apart(_nearest_similar(neutral, truth.neutral, skin), truth.neutral),
        "shape.mean_face": apart(_nearest_similar(mean.expand_as(neutral), truth.neutral, skin), truth.neutral),
        "neutral": apart(neutral, truth.neutral),
        "neutral.mean_face": apart(mean.expand_as(neutral), truth.neutral),
        "expression": apart(moved, wanted),
        "expression.none": apart(torch.zeros_like(moved), wanted),
    }


def _nearest_similar(points: Tensor, wanted: Tensor, chosen: Tensor) -> Tensor:
    """Align points (n, V, 3) by the similarities that fit those ``chosen`` (V,) best to ``wanted``."""
    chosen = chosen.cpu().numpy()
    pairs = zip(points.cpu().numpy(), wanted.cpu().numpy(), strict=True)
    return points.new_tensor(np.stack([fit_similarity(a[chosen], b[chosen]).apply(a) for a, b in pairs]))
