"""Stage ``lap``: train LAP to aggregate and personalize, on photo sets with or without truth; its weights of terms,
depth and normal errors in torch (``trainer.measures.metrics`` defines them).
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.lap.canonical_face import render_face, view_of
from backend.models.lap.network import CanonicalMaps, LapConfig, LapNet, Scene
from backend.models.registry import LAP
from backend.rendering import depth_surface
from backend.rendering.camera import CanonicalCamera, View
from trainer import losses as shared_losses
from trainer.engine.contracts import ExportedModel, ParameterGroup, Stage, StageConfig
from trainer.methods.lap import sets
from trainer.methods.lap.data import CHANGING_CLASSES, FACE_CLASSES, CanonicalTruth, LapBatch, class_mask

_VIEW_STRIDE = 8
"""Stride in pixels (of 64) of the points at which views are compared."""


def depth_error(depth: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Masked mean of |d - truth| in hundredths of LAP's unit, about centimetres; all are (N, H, W)."""
    return 100.0 * ((depth - truth).abs() * mask).sum() / mask.sum().clamp(min=1)


def normal_error(depth: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Masked mean of 1 - cos of the angle between the normals of two depth maps (N, H, W)."""
    camera = CanonicalCamera(tuple(depth.shape[-2:]))
    inner = -functional.max_pool2d(-mask[:, None].float(), 3, 1, 1)[:, 0]  # pixels whose neighbours are known, too
    cosine = (depth_surface.normals_from_depth(depth, camera) * depth_surface.normals_from_depth(truth, camera)).sum(-1)
    return ((1 - cosine) * inner).sum() / inner.sum().clamp(min=1)


def albedo_error(albedo: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Masked mean of |a - truth| of albedos (N, 3, H, W) in [-1, 1]; mask (N, H, W)."""
    return ((albedo - truth).abs() * mask[:, None]).sum() / (3 * mask.sum()).clamp(min=1)


def gradient_error(albedo: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """``albedo_error`` of differences between neighbouring pixels, which compares the edges."""
    across = (mask[:, :, 1:] * mask[:, :, :-1])[:, None]
    down = (mask[:, 1:] * mask[:, :-1])[:, None]
    wrong = albedo - truth
    total = (wrong.diff(dim=3).abs() * across).sum() + (wrong.diff(dim=2).abs() * down).sum()
    return total / (3 * (across.sum() + down.sum())).clamp(min=1)


def view_error(view: View, truth: View, depth: Tensor) -> Tensor:
    """Mean distance, in hundredths of a unit, between the positions of canonical surface points (N, H, W) in two views.

    Points are compared by their position in the picture and their depth relative to the mean. A common shift along the
    axis is large in numbers but hardly visible, so it counts only by the size that it gives to the face.
    """
    camera = CanonicalCamera(tuple(depth.shape[-2:]))
    step = max(1, depth.shape[-1] * _VIEW_STRIDE // 64)
    points = depth_surface.points_from_depth(depth, camera)[:, step // 2 :: step, step // 2 :: step].flatten(1, 2)
    apart = _picture_coordinates(view.apply(points)) - _picture_coordinates(truth.apply(points))
    return 100.0 * apart.norm(dim=-1).mean()


def _picture_coordinates(points: Tensor) -> Tensor:
    """Convert camera points (N, P, 3) to their position at depth 1 and their depth relative to the mean."""
    return torch.cat([points[..., :2] / points[..., 2:], points[..., 2:] - points[..., 2:].mean(1, keepdim=True)], -1)


@dataclass(frozen=True, kw_only=True)
class LapWeights:
    """Weights of the loss terms; a term with weight 0 is not computed. The defaults are the paper's."""

    photometric: float = 1.0
    """Equation 3, or equation 5 with relaxed differences."""
    flip: float = 0.5
    """The same for the flipped face."""
    perceptual: float = 1.0
    """Distance between features of renders and photos."""
    flip_perceptual: float = 0.5
    """The same for the flipped face."""
    smooth: float = 0.0
    """Smoothness: second differences of depth."""
    depth: float = 0.0
    """Canonical depth against truth."""
    normal: float = 0.0
    """Canonical normals against truth."""
    albedo: float = 0.0
    """Canonical albedo against truth."""
    albedo_edges: float = 0.0
    """Differences between neighbouring albedo pixels against truth."""
    view: float = 0.0
    """Face points placed by the predicted views against truth."""
    light: float = 0.0
    """True albedo and surface, shaded with the predicted light, against the photo."""
    personal_depth: float = 0.0
    """Personalised depth against truth with the photo's expression."""
    personal_normal: float = 0.0
    """Personalised normals against truth."""
    change: float = 0.0
    """Difference of personalised from canonical depth, in hundredths."""


def eroded(mask: Tensor) -> Tensor:
    """(N, H, W) bool, eroded by one pixel; the picture's border counts as outside."""
    outside = functional.pad((~mask).float(), (1, 1, 1, 1), value=1.0)
    return functional.max_pool2d(outside[:, None], 3, 1)[:, 0] < 0.5


def side_per_photo(predicted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """(N,) scale-invariant depth error; nan for an empty mask. (N, H, W) all."""
    weight = mask.float()
    count = weight.sum((1, 2))
    difference = torch.where(mask, predicted.clamp(min=1e-3).log() - true.clamp(min=1e-3).log(), 0.0)
    mean = difference.sum((1, 2)) / count
    return (((difference - mean[:, None, None]) ** 2 * weight).sum((1, 2)) / count).sqrt()


def mad_per_photo(predicted: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """(N,) mean angle in degrees between normals (N, H, W, 3); nan for an empty mask."""
    angle = torch.rad2deg((predicted * true).sum(-1).clamp(-1, 1).acos())
    return torch.where(mask, angle, 0.0).sum((1, 2)) / mask.sum((1, 2))


Errors = dict[str, Tensor]
"""``side`` and ``mad`` of N photos, (N,) each."""


def errors_of(depth: Tensor, true: Tensor, mask: Tensor) -> Errors:
    """Errors of depths (N, S, S), whose gaps are filled, over a mask (N, S, S)."""
    camera = CanonicalCamera(tuple(true.shape[-2:]))
    normals = (depth_surface.normals_from_depth(maps, camera) for maps in (depth, true))
    return {"side": side_per_photo(depth, true, mask), "mad": mad_per_photo(*normals, mask)}


def view_errors(face: CanonicalMaps, view: View, batch: LapBatch, rows: Tensor, network: LapNet) -> Errors:
    """Errors of faces in views against the photos ``rows`` of a batch with truth."""
    surface = view_of(face, view, network.config)
    size = surface.depth.shape[-1]
    true = batch.truth.view_depth[rows]
    shown = class_mask(batch.labels[rows], FACE_CLASSES) & (true > 0)
    if true.shape[-1] != size:
        raise ValueError(f"maps of {size} px cannot be compared with truth of {true.shape[-1]} px")
    mask = eroded(shown) & eroded(surface.mask)
    # neighbours of an eroded pixel are known, so filling does not matter
    return errors_of(*(torch.where(depth > 0, depth, 1.0) for depth in (surface.depth, true)), mask)


def canonical_errors(depth: Tensor, true: Tensor) -> Errors:
    """Errors of canonical depths (N, S, S) where truth is known; they do not depend on views."""
    return errors_of(depth, sets.filled_depth(true), eroded((true > 0) & (true < sets.LARGEST_TRUE_DEPTH)))


def first_photos(set_of: Tensor, count: int) -> Tensor:
    """(M,) rows of the first ``count`` photos of every set."""
    sizes = torch.bincount(set_of)
    start = torch.cumsum(sizes, 0) - sizes
    number = torch.arange(len(set_of), device=set_of.device) - start[set_of]
    return (number < count).nonzero()[:, 0]


def batch_errors(network: LapNet, batch: LapBatch, personal: bool, mean: Tensor | None = None) -> dict[str, Errors]:
    """Errors in the view of each person's first photo, by name.

    ``nK`` : the face from K photos, the first one included. ``canonical.nK`` : the canonical face, facing the camera.
    ``personal.nK`` : the personalised face, if ``personal``. ``mean_face``, ``mean_face_true_view``,
    ``mean_face_no_view`` : ``mean`` (S, S), by default the mean of the batch's true faces, in the predicted view, in
    the true view, and from the front. ``floor`` : the truth in its own view."""
    pictures = batch.images * 2 - 1
    codes = network.encode(pictures)
    targets = first_photos(batch.set_of, 1)
    largest = int(torch.bincount(batch.set_of).min())
    errors, views = {}, []
    for count in range(1, largest + 1):
        rows = first_photos(batch.set_of, count)
        chosen = codes.of(rows)
        face, scene = network.aggregate(chosen, batch.set_of[rows]), network.scene(pictures[rows], chosen)
        row_of = torch.searchsorted(rows, targets)
        view = View(scene.view.rotation[row_of], scene.view.translation[row_of])
        views.append(view)
        errors[f"n{count}"] = view_errors(face, view, batch, targets, network)
        errors[f"canonical.n{count}"] = canonical_errors(face.depth, batch.truth.depth)
        if personal:
            single = network.personalize(pictures[targets], face)
            errors[f"personal.n{count}"] = view_errors(single, view, batch, targets, network)
    truth = batch.truth
    true_view = View(truth.rotation[targets], truth.translation[targets])
    straight = View(torch.eye(3).to(true_view.rotation).expand_as(true_view.rotation), 0 * true_view.translation)
    mean = (sets.filled_depth(truth.depth).mean(0) if mean is None else mean).expand(len(targets), -1, -1)
    own_depth = sets.filled_depth(truth.personal_depth[targets])
    errors["canonical.mean_face"] = canonical_errors(mean, truth.depth)
    for name, depth, view in (
        ("mean_face", mean, views[0]),
        ("mean_face_true_view", mean, true_view),
        ("mean_face_no_view", mean, straight),
        ("floor", own_depth, true_view),
    ):
        blank = CanonicalMaps(depth, depth.new_zeros(len(depth), 3, *depth.shape[1:]))
        errors[name] = view_errors(blank, view, batch, targets, network)
    return errors


def view_degrees(network: LapNet, batch: LapBatch) -> Tensor:
    """(N,) angle in degrees between the networks' view of each photo alone and the true one."""
    pictures = batch.images * 2 - 1
    rotation = network.scene(pictures, network.encode(pictures)).view.rotation
    trace = (rotation * batch.truth.rotation).sum((1, 2))
    return torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos())


def mean_face(batches: Iterable[LapBatch]) -> Tensor:
    """(S, S) mean of the true canonical depths of sets with truth."""
    faces = [sets.filled_depth(batch.truth.depth) for batch in batches]
    return torch.cat(faces).mean(0)


def depth_errors(
    network: LapNet, batches: Iterable[LapBatch], personal: bool, mean: Tensor | None = None
) -> dict[str, Tensor]:
    """``side.NAME`` (times 100) and ``mad.NAME`` (degrees), one figure per person, and ``view.degrees``, per photo.

    Raises ``ValueError`` for sets without truth.
    """
    by_count: dict[str, list[Tensor]] = {}
    for batch in batches:
        if batch.truth is None:
            raise ValueError("depth can only be measured on sets with truth")
        for name, errors in batch_errors(network, batch, personal, mean).items():
            by_count.setdefault(f"side.{name}", []).append(100 * errors["side"])
            by_count.setdefault(f"mad.{name}", []).append(errors["mad"])
        by_count.setdefault("view.degrees", []).append(view_degrees(network, batch))
    return {name: torch.cat(parts) for name, parts in by_count.items()}


def depth_figures(network: LapNet, batches: Iterable[LapBatch], personal: bool) -> dict[str, float]:
    """Means of ``depth_errors``; people whose first photo shows too little of the face are left out."""
    return {name: values.nanmean().item() for name, values in depth_errors(network, batches, personal).items()}


log = logging.getLogger(__name__)

_BASIS_RATE = 0.02
"""Factor on the learning rate of the linear decoders' means and bases."""
_SMALLEST_FACE = 0.25
"""Photos whose parsed face covers a smaller share of the crop are left out of the picture terms."""


@dataclass(frozen=True, kw_only=True)
class LapStageConfig(StageConfig):
    """Trains ``backend.models.lap.network.LapNet``; ``batch`` counts people."""

    network: LapConfig = field(default_factory=LapConfig)
    """Sizes of the networks."""
    phase: Literal["aggregate", "refine", "together"] = "aggregate"
    """The paper's three steps: train all but the refining networks; train these alone; train all."""
    weights: LapWeights = field(default_factory=LapWeights)
    """Weights of the loss terms."""
    perceptual: shared_losses.PerceptualConfig = field(default_factory=shared_losses.PerceptualConfig)
    """Features of the perceptual terms."""
    augment: sets.AugmentConfig = field(default_factory=sets.AugmentConfig)
    """Random changes to the training photos."""
    multi_image: bool = True
    """False: every photo is a set of its own, as in Unsup3D."""
    set_sizes: tuple[int, int] = (1, 6)
    """Smallest and largest set; sizes are random."""
    relaxed: float = 0.3
    """Equation 5: factor on differences at mouth, eyes and brows in phase ``aggregate``; 1: not relaxed."""
    basis_people: int = 512
    """People whose maps give the linear decoders' first basis."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.set_sizes[0] <= self.set_sizes[1]:
            raise ValueError(f"set_sizes must rise from 1, not {self.set_sizes}")
        if not 0 < self.relaxed <= 1:
            raise ValueError(f"relaxed must be in (0, 1], not {self.relaxed}")

    def build(self, device: torch.device) -> Stage:
        """See ``StageConfig``."""
        return LapStage(self, device)


class LapStage(Stage):
    """See ``LapStageConfig``."""

    SUMMARY: ClassVar[str] = (
        "Canonical depth and albedo of a person from any number of photos, light and view of each photo, and the face "
        "adapted to one photo's expression. Input: square sRGB crops of the face; output: maps of the same size, "
        "facing the camera."
    )
    LIMITS: ClassVar[str] = (
        "Made for upright crops of one face from brows to chin. Its light is one grey lamp without shadows. Hair, "
        "glasses and hands are not modelled; sides of the face that no photo shows are guessed."
    )
    SENSITIVE: ClassVar[tuple[str, ...]] = ("*.mean", "*.basis", "*.coefficients.*", "depth_decoder.residual.up.*")

    def __init__(self, config: LapStageConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.network = LapNet(config.network).to(device)
        self.modules = nn.ModuleDict({"net": self.network})
        weights = config.weights
        wanted = weights.perceptual or weights.flip_perceptual
        self._features = shared_losses.build_features(config.perceptual, device) if wanted else None
        if wanted:
            self.modules["feature_scale"] = shared_losses.FeatureScale().to(device)
        self._has_basis = config.network.decoder != "linear"

    def step(self, batch: LapBatch, fraction: float) -> Mapping[str, Tensor]:
        """Loss terms named as in ``LapWeights``: those with a weight other than 0 and the needed data in the batch."""
        self._need_basis()
        config, weights = self.config, self.config.weights
        with torch.autocast(self.device.type, enabled=False):
            batch = sets.augment_sets(batch, config.augment)
        subsets = self._subsets(batch.set_of)
        pictures = batch.images * 2 - 1
        if self._shape_only():
            return self._shape_terms(batch, pictures, subsets)
        refining = config.phase == "refine"
        with torch.set_grad_enabled(not refining):
            codes = self.network.encode(pictures)
            shared, scene = self.network.aggregate(codes, subsets.set_of), self.network.scene(pictures, codes)
        single = shared.of(subsets.set_of)
        if config.phase != "aggregate":
            single = self.network.personalize(pictures, single)
        terms: dict[str, Tensor] = {}
        if weights.photometric or weights.flip or self._features is not None:
            terms |= self._picture_terms(batch, pictures, single, scene)
        with torch.autocast(self.device.type, enabled=False):
            if weights.smooth:
                terms["smooth"] = shared_losses.smoothness(single.depth)
            if weights.change and config.phase != "aggregate":
                terms["change"] = 100.0 * (single.depth - shared.depth[subsets.set_of].detach()).abs().mean()
            if batch.truth is not None:
                if not refining:
                    terms |= self._shared_truth(batch.truth, shared, subsets)
                    terms |= self._scene_truth(batch, pictures, scene)
                if config.phase != "aggregate":
                    terms |= self._personal_truth(batch.truth, single)
        return terms

    def _shape_only(self) -> bool:
        """Whether only canonical depth and views learn, so that the other networks need not run."""
        wanted = {field.name for field in fields(LapWeights) if getattr(self.config.weights, field.name)}
        return self.config.phase == "aggregate" and wanted <= {"depth", "normal", "view"}

    def _shape_terms(self, batch: LapBatch, pictures: Tensor, subsets: sets.Subsets) -> dict[str, Tensor]:
        if batch.truth is None:
            return {}
        depth, view = self.network.shape(pictures, subsets.set_of)
        with torch.autocast(self.device.type, enabled=False):
            terms = self._shared_truth(batch.truth, CanonicalMaps(depth, depth[:, None]), subsets)
            return terms | self._view_truth(batch.truth, view)

    def _view_truth(self, truth: CanonicalTruth, view: View) -> dict[str, Tensor]:
        """Term for the views of the photos."""
        if not self.config.weights.view:
            return {}
        wanted = View(truth.rotation, truth.translation)
        return {"view": view_error(view, wanted, sets.filled_depth(truth.personal_depth))}

    def _subsets(self, set_of: Tensor) -> sets.Subsets:
        if self.config.multi_image:
            return sets.random_subsets(set_of, *self.config.set_sizes)
        return sets.single_photos(set_of)

    def _picture_terms(self, batch: LapBatch, pictures: Tensor, face: CanonicalMaps, scene: Scene) -> dict[str, Tensor]:
        """Terms that compare renders of the faces, and of their mirror images, with the photos."""
        config, weights = self.config, self.config.weights
        mirrored = weights.flip or weights.flip_perceptual
        half = torch.is_autocast_enabled(self.device.type)
        sigma, feature_sigma = self.network.confidence(pictures)
        relax = None
        if config.phase == "aggregate" and config.relaxed < 1:
            changing = class_mask(batch.labels, CHANGING_CLASSES)
            relax = torch.where(changing, config.relaxed, 1.0)
        with torch.autocast(self.device.type, enabled=False):
            sigma, feature_sigma = sigma.float(), feature_sigma.float()
            face_mask = class_mask(batch.labels, FACE_CLASSES)
            large = face_mask.float().mean((1, 2)) >= _SMALLEST_FACE
            face_mask = face_mask & large[:, None, None]
            if mirrored:
                flipped = face.flipped()
                both = CanonicalMaps(torch.cat([face.depth, flipped.depth]), torch.cat([face.albedo, flipped.albedo]))
                rendered = render_face(both, scene.with_mirrored(), config.network)
            else:
                rendered = render_face(face, scene, config.network)
            images = rendered.image.chunk(2) if mirrored else (rendered.image,)
            masks = rendered.mask.chunk(2) if mirrored else (rendered.mask,)
            photos = shared_losses.grey_where(pictures, batch.is_grey)
            terms: dict[str, Tensor] = {}
            if self._features is not None:
                self._need_scale(half)
            visible = torch.stack([face_mask, *masks]).all(0)  # of both renders, as Unsup3D
            mask, inside = visible.float(), visible[:, None]
            wanted = None if self._features is None else self._seen_features(photos * inside, half)
            for side, names in enumerate((("photometric", "perceptual"), ("flip", "flip_perceptual"))[: len(images)]):
                image = shared_losses.grey_where(images[side], batch.is_grey)
                if getattr(weights, names[0]):
                    terms[names[0]] = shared_losses.photometric(image, photos, sigma[:, side : side + 1], mask, relax)
                if getattr(weights, names[1]):
                    features, deviation = self._seen_features(image * inside, half), feature_sigma[:, side : side + 1]
                    terms[names[1]] = shared_losses.feature_distance(features, wanted, deviation, mask)
        return terms

    def _seen_features(self, pictures: Tensor, half: bool) -> Tensor:
        """(N, C, h, w) float32 features of pictures (N, 3, S, S), computed in bfloat16 if ``half``."""
        with torch.autocast(self.device.type, enabled=half, dtype=torch.bfloat16):
            features = self._features(pictures).float()
        return self.modules["feature_scale"](features)

    def _need_scale(self, half: bool) -> None:
        """Measure the features' scale on the source's first people, once."""
        scale = self.modules["feature_scale"]
        if scale.value.item() == 0:
            first = self.config.source.build().batch(range(shared_losses.SCALE_PEOPLE), self.device)
            with torch.no_grad(), torch.autocast(self.device.type, enabled=half, dtype=torch.bfloat16):
                scale.measure(self._features(shared_losses.grey_where(first.images * 2 - 1, first.is_grey)))
            log.info("features of %s differ by %.4g between pictures", self._features.name, scale.value.item())

    def _shared_truth(self, truth: CanonicalTruth, face: CanonicalMaps, subsets: sets.Subsets) -> dict[str, Tensor]:
        """Terms for the canonical faces of sets against truth."""
        weights, owner = self.config.weights, subsets.owner
        true = truth.depth[owner]
        mask = ((true > 0) & (true < sets.LARGEST_TRUE_DEPTH)).float()
        depth, albedo = face.depth, face.albedo
        terms = {}
        if weights.depth:
            terms["depth"] = depth_error(depth, true, mask)
        if weights.normal:
            terms["normal"] = normal_error(depth, torch.where(true > 0, true, depth.detach()), mask)
        if weights.albedo or weights.albedo_edges:
            wanted, visible = truth.albedo[owner] * 2 - 1, truth.albedo_seen[owner].float()
            if weights.albedo:
                terms["albedo"] = albedo_error(albedo, wanted, visible)
            if weights.albedo_edges:
                terms["albedo_edges"] = gradient_error(albedo, wanted, visible)
        return terms

    def _scene_truth(self, batch: LapBatch, pictures: Tensor, scene: Scene) -> dict[str, Tensor]:
        """Terms for view and light of photos against truth."""
        truth = batch.truth
        terms = self._view_truth(truth, scene.view)
        if self.config.weights.light:
            depth = sets.filled_depth(truth.personal_depth)
            camera = CanonicalCamera(tuple(depth.shape[-2:]))
            shown = (truth.view_depth > 0) & class_mask(batch.labels, FACE_CLASSES)
            surface = depth_surface.ViewedSurface(torch.where(shown, truth.view_depth, 0.0), shown, depth.new_zeros(0))
            view = View(truth.rotation, truth.translation)
            photo, visible = depth_surface.unwarp_to_canonical(pictures, depth, surface, view, camera)
            albedo = truth.albedo[batch.set_of] * 2 - 1
            image = depth_surface.lambert_image(albedo, depth_surface.normals_from_depth(depth, camera), scene.light)
            known = (visible & truth.albedo_seen[batch.set_of]).float()
            terms["light"] = albedo_error(image.mean(1, True), photo.mean(1, True), known) * 3
        return terms

    def _personal_truth(self, truth: CanonicalTruth, face: CanonicalMaps) -> dict[str, Tensor]:
        """Terms for the personalised faces of photos against truth."""
        weights, true = self.config.weights, truth.personal_depth
        depth = face.depth
        mask = ((true > 0) & (true < sets.LARGEST_TRUE_DEPTH)).float()
        terms = {}
        if weights.personal_depth:
            terms["personal_depth"] = depth_error(depth, true, mask)
        if weights.personal_normal:
            filled = torch.where(true > 0, true, depth.detach())
            terms["personal_normal"] = normal_error(depth, filled, mask)
        return terms

    def _need_basis(self) -> None:
        """Initialise the linear decoders' bases from the people of the source, once."""
        if not self._has_basis:
            self._has_basis = True
            sets.initialise_from_people(self.network, self.config.source, self.config.basis_people, self.device)

    def metrics(self, batches: Iterable[LapBatch]) -> Mapping[str, float]:
        """See ``lap_metrics.depth_figures``; ``personal.*`` in the phases that train the refining networks."""
        with torch.autocast(self.device.type, enabled=False):
            return depth_figures(self.network, batches, self.config.phase != "aggregate")

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Groups: refining networks; means and bases; depth and view; confidence; the rest. The phase decides which
        groups learn; with refining networks alone, confidence rests as depth does (section 4.3)."""
        config, network = self.config, self.network
        refining = config.phase == "refine"
        names = ("refine", "basis", "depth", "confidence", "rest")
        named: dict[str, list[nn.Parameter]] = {name: [] for name in names}
        for name, parameter in network.named_parameters():
            part, _, tail = name.partition(".")
            if part.endswith("_refiner"):
                named["refine"].append(parameter)
            elif part.endswith("_decoder") and tail in ("mean", "basis"):
                named["basis"].append(parameter)
            elif part in ("depth_encoder", "depth_decoder", "fusion", "view", "view_head"):
                named["depth"].append(parameter)
            else:
                named["confidence" if part == "confidence" else "rest"].append(parameter)

        rates = {
            "refine": lambda fraction: 0.0 if config.phase == "aggregate" else 1.0,
            "basis": lambda fraction: 0.0 if refining else _BASIS_RATE,
            "depth": lambda fraction: 0.0 if refining else 1.0,
            "confidence": lambda fraction: 0.0 if refining else 1.0,
            "rest": lambda fraction: 0.0 if refining else 1.0,
        }
        return tuple(ParameterGroup(name, tuple(group), rates[name]) for name, group in named.items() if group)

    def export(self) -> ExportedModel:
        """All networks, for ``backend.models.lap.apply.LapModel``."""
        config, weights = self.config.network.to_json(), self.network.state_dict()
        return ExportedModel(LAP.name, config, weights, self.SUMMARY, self.LIMITS, self.SENSITIVE)
