"""Stage ``lap``: train LAP to aggregate and personalize, on photo sets with or without truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from backend.models.lap import LAP
from backend.models.lap.network import CanonicalMaps, Codes, LapConfig, LapNet, Scene
from backend.models.lap.posterior import Posterior
from backend.models.lap.render import render_face
from backend.rendering.camera_models import CanonicalCamera, View
from backend.rendering.depth_surface import ViewedSurface, normals_from_depth, unwarp_to_canonical
from backend.rendering.lambert import lambert_image, lambert_shading
from trainer.contracts import ExportedModel, ParameterGroup, Stage, StageConfig
from trainer.data.lap.batch import CHANGING_CLASSES, FACE_CLASSES, CanonicalTruth, LapBatch, class_mask
from trainer.losses import canonical
from trainer.losses.perceptual import PerceptualConfig, build_features
from trainer.losses.photometric import feature_distance, grey_where, photometric, smoothness
from trainer.stages.lap_augment import LapAugmentConfig, augment_sets
from trainer.stages.lap_initialisation import AlikeCoefficients, MarkedViews, initialise_from_people
from trainer.stages.lap_metrics import depth_figures
from trainer.stages.lap_sets import (
    LARGEST_TRUE_DEPTH,
    Subsets,
    filled_depth,
    nested_groups,
    random_subsets,
    single_photos,
    true_coefficients,
)
from trainer.stages.lap_sheet import contact_sheet
from trainer.stages.lap_weights import LapWeights

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
    perceptual: PerceptualConfig = field(default_factory=PerceptualConfig)
    """Features of the perceptual terms."""
    augment: LapAugmentConfig = field(default_factory=LapAugmentConfig)
    """Random changes to the training photos."""
    multi_image: bool = True
    """False: every photo is a set of its own, as in Unsup3D."""
    set_sizes: tuple[int, int] = (1, 6)
    """Smallest and largest set; sizes are random."""
    relaxed: float = 0.3
    """Equation 5: factor on differences at mouth, eyes and brows in phase ``aggregate``; 1: not relaxed."""
    basis_people: int = 512
    """People whose maps give the linear decoders' first basis."""
    basis_rate: float = 0.02
    """Factor on the learning rate of means and bases."""
    views: Literal["network", "landmarks"] = "network"
    """Views for the picture terms: the networks', or at first those solved from the landmark net's points."""
    views_held: float = 1.0
    """Fraction of the stage that uses the landmarks' views; there the networks' views learn from ``held_view`` only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.set_sizes[0] <= self.set_sizes[1]:
            raise ValueError(f"set_sizes must rise from 1, not {self.set_sizes}")
        if not 0 < self.relaxed <= 1:
            raise ValueError(f"relaxed must be in (0, 1], not {self.relaxed}")
        if not 0 < self.views_held <= 1:
            raise ValueError(f"views_held must be in (0, 1], not {self.views_held}")
        if self.network.personal_size != self.network.size:
            raise ValueError("training needs target_size equal to size: photos come in one size")

    def build(self, device: torch.device) -> LapStage:
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
        self._features = build_features(config.perceptual, device) if wanted else None
        self._alike = None
        if weights.mean_coefficients and config.network.decoder == "linear":
            self.modules["alike"] = self._alike = AlikeCoefficients(config.network.depth_components).to(device)
        self._marked_views: MarkedViews | None = None
        self._has_basis = config.network.decoder != "linear" and self.network.landmarks is None

    def step(self, batch: LapBatch, fraction: float) -> Mapping[str, Tensor]:
        """Loss terms named as in ``LapWeights``: those with a weight other than 0 and the needed data in the batch."""
        self._need_basis()
        config, weights = self.config, self.config.weights
        with torch.autocast(self.device.type, enabled=False):
            batch = augment_sets(batch, config.augment)
        subsets = self._subsets(batch.set_of)
        pictures = batch.images * 2 - 1
        if self._shape_only():
            return self._shape_terms(batch, pictures, subsets)
        refining = config.phase == "refine"
        with torch.set_grad_enabled(not refining):
            codes = self.network.encode(pictures, batch.marks)
            shared, scene = self.network.face_and_scene(pictures, codes, subsets.set_of)
        own = shared.of(subsets.set_of)
        if config.phase != "aggregate":
            own = self.network.personalize(pictures, own)
        terms: dict[str, Tensor] = {}
        if config.views == "landmarks" and fraction < config.views_held:
            held = self._held_view(batch, subsets)
            if weights.held_view and not refining:
                with torch.autocast(self.device.type, enabled=False):
                    terms["held_view"] = canonical.view_error(scene.view, held, own.depth.detach())
            scene = replace(scene, view=held)
        if weights.photometric or weights.flip or weights.view_depth or self._features is not None:
            terms |= self._picture_terms(batch, pictures, own, scene)
        with torch.autocast(self.device.type, enabled=False):
            if weights.smooth:
                terms["smooth"] = smoothness(own.depth)
            if weights.mean_view and not refining:
                terms["mean_view"] = canonical.mean_view(scene.view)
            if config.network.decoder == "linear" and not refining:
                terms |= self._coefficients(codes, subsets.set_of)
            if weights.change and config.phase != "aggregate":
                terms["change"] = 100.0 * (own.depth - shared.depth[subsets.set_of].detach()).abs().mean()
            if batch.truth is not None:
                if not refining:
                    terms |= self._shared_truth(batch.truth, shared, subsets)
                    if config.network.posterior:
                        found = self.network.posterior(codes, subsets.set_of)
                        terms |= self._surprise(batch.truth, found, subsets.owner)
                    terms |= self._scene_truth(batch, pictures, scene)
                if config.phase != "aggregate":
                    terms |= self._personal_truth(batch.truth, own)
        return terms

    def _shape_only(self) -> bool:
        """Whether only canonical depth and views learn, so that the other networks need not run."""
        wanted = {field.name for field in fields(LapWeights) if getattr(self.config.weights, field.name)}
        return self.config.phase == "aggregate" and wanted <= {"depth", "normal", "view", "posterior"}

    def _shape_terms(self, batch: LapBatch, pictures: Tensor, subsets: Subsets) -> dict[str, Tensor]:
        if batch.truth is None:
            return {}
        if self.config.network.posterior:
            return self._posterior_terms(batch, pictures)
        depth, view = self.network.shape(pictures, subsets.set_of, batch.marks)
        with torch.autocast(self.device.type, enabled=False):
            terms = self._shared_truth(batch.truth, CanonicalMaps(depth, depth[:, None]), subsets)
            return terms | self._view_truth(batch.truth, view)

    def _view_truth(self, truth: CanonicalTruth, view: View) -> dict[str, Tensor]:
        """Term for the views of the photos."""
        if not self.config.weights.view:
            return {}
        wanted = View(truth.rotation, truth.translation)
        return {"view": canonical.view_error(view, wanted, filled_depth(truth.personal_depth))}

    def _posterior_terms(self, batch: LapBatch, pictures: Tensor) -> dict[str, Tensor]:
        """Terms for sets of one, two and all photos of each person; every picture is encoded once."""
        network, truth = self.network, batch.truth
        codes = network.encode_depth(pictures, batch.marks)
        with torch.autocast(self.device.type, enabled=False):
            groups = nested_groups(batch.set_of)
            found = network.posterior(codes.of(groups.rows), groups.set_of)
            depth = network.decode_depth(found.mean)
            shown = CanonicalMaps(depth, depth[:, None])
            terms = self._shared_truth(truth, shown, Subsets(groups.set_of, groups.owner))
            terms |= self._surprise(truth, found, groups.owner)
            whole = found.mean[groups.whole]
        if self.config.weights.view:
            view = network.view_of(pictures, codes, whole[batch.set_of])
            with torch.autocast(self.device.type, enabled=False):
                terms |= self._view_truth(truth, view)
        return terms

    def _surprise(self, truth: CanonicalTruth, found: Posterior, owner: Tensor) -> dict[str, Tensor]:
        """Negative log-likelihood of the true depth coefficients of sets; ``owner`` (G,) : person per set."""
        if not self.config.weights.posterior:
            return {}
        decoder, known = self.network.depth_decoder, (truth.depth > 0) & (truth.depth < LARGEST_TRUE_DEPTH)
        raw = self.network.raw_depth(truth.depth)
        wanted = true_coefficients(raw, known, decoder.mean.detach(), decoder.basis.detach())
        return {"posterior": found.surprise(wanted[owner]).mean()}

    def _subsets(self, set_of: Tensor) -> Subsets:
        if self.config.multi_image:
            return random_subsets(set_of, *self.config.set_sizes)
        return single_photos(set_of)

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
            photos = grey_where(pictures, batch.is_grey)
            terms: dict[str, Tensor] = {}
            if weights.view_depth and batch.truth is not None:
                depth, true = rendered.surface.depth[: len(photos)], batch.truth.view_depth
                shown = class_mask(batch.labels, FACE_CLASSES) & masks[0] & (true > 0)
                terms["view_depth"] = canonical.relative_depth_error(depth, true, shown.float())
            wanted = None if self._features is None else self._seen_features(photos, half)
            seen = face_mask
            for side, names in enumerate((("photometric", "perceptual"), ("flip", "flip_perceptual"))[: len(images)]):
                seen = seen & masks[side]  # for the flipped face the product of both masks
                image = grey_where(images[side], batch.is_grey)
                mask = seen.float()
                if getattr(weights, names[0]):
                    terms[names[0]] = photometric(image, photos, sigma[:, side : side + 1], mask, relax)
                if getattr(weights, names[1]):
                    kept = torch.where(seen[:, None], image, photos)  # outside the face, features must be equal
                    found = self._seen_features(kept, half)
                    terms[names[1]] = feature_distance(found, wanted, feature_sigma[:, side : side + 1], mask)
        return terms

    def _seen_features(self, pictures: Tensor, half: bool) -> Tensor:
        """(N, C, h, w) float32 features of pictures (N, 3, S, S), computed in bfloat16 if ``half``."""
        with torch.autocast(self.device.type, enabled=half, dtype=torch.bfloat16):
            return self._features(pictures).float()

    def _shared_truth(self, truth: CanonicalTruth, face: CanonicalMaps, subsets: Subsets) -> dict[str, Tensor]:
        """Terms for the canonical faces of sets against truth."""
        weights, owner = self.config.weights, subsets.owner
        true = truth.depth[owner]
        mask = ((true > 0) & (true < LARGEST_TRUE_DEPTH)).float()
        depth, albedo = face.depth, face.albedo
        terms = {}
        if weights.depth:
            terms["depth"] = canonical.depth_error(depth, true, mask)
        if weights.normal:
            terms["normal"] = canonical.normal_error(depth, torch.where(true > 0, true, depth.detach()), mask)
        if weights.albedo or weights.albedo_edges:
            wanted, seen = truth.albedo[owner] * 2 - 1, truth.albedo_seen[owner].float()
            if weights.albedo:
                terms["albedo"] = canonical.albedo_error(albedo, wanted, seen)
            if weights.albedo_edges:
                terms["albedo_edges"] = canonical.gradient_error(albedo, wanted, seen)
        return terms

    def _scene_truth(self, batch: LapBatch, pictures: Tensor, scene: Scene) -> dict[str, Tensor]:
        """Terms for view and light of photos against truth."""
        truth = batch.truth
        terms = self._view_truth(truth, scene.view)
        if self.config.weights.light:
            depth = filled_depth(truth.personal_depth)
            camera = CanonicalCamera(tuple(depth.shape[-2:]))
            shown = (truth.view_depth > 0) & class_mask(batch.labels, FACE_CLASSES)
            surface = ViewedSurface(torch.where(shown, truth.view_depth, 0.0), shown, depth.new_zeros(0))
            view = View(truth.rotation, truth.translation)
            photo, seen = unwarp_to_canonical(pictures, depth, surface, view, camera)
            albedo = truth.albedo[batch.set_of] * 2 - 1
            image = lambert_image(albedo, lambert_shading(normals_from_depth(depth, camera), scene.light))
            known = (seen & truth.albedo_seen[batch.set_of]).float()
            terms["light"] = canonical.albedo_error(image.mean(1, True), photo.mean(1, True), known) * 3
        return terms

    def _personal_truth(self, truth: CanonicalTruth, face: CanonicalMaps) -> dict[str, Tensor]:
        """Terms for the personalised faces of photos against truth."""
        weights, true = self.config.weights, truth.personal_depth
        depth = face.depth
        mask = ((true > 0) & (true < LARGEST_TRUE_DEPTH)).float()
        terms = {}
        if weights.personal_depth:
            terms["personal_depth"] = canonical.depth_error(depth, true, mask)
        if weights.personal_normal:
            filled = torch.where(true > 0, true, depth.detach())
            terms["personal_normal"] = canonical.normal_error(depth, filled, mask)
        return terms

    def _coefficients(self, codes: Codes, set_of: Tensor) -> dict[str, Tensor]:
        """Regularise depth coefficients: those of each photo's code stay small, their mean over faces stays at zero."""
        coefficients, weights = self.network.depth_decoder.coefficients, self.config.weights
        terms = {"coefficients": coefficients(codes.depth.float()).pow(2).mean()} if weights.coefficients else {}
        if self._alike is not None:
            terms["mean_coefficients"] = self._alike(coefficients(self.network.depth_codes(codes, set_of)))
        return terms

    def _need_basis(self) -> None:
        """Initialise bases and landmark shapes from the people of the source, once."""
        if not self._has_basis:
            self._has_basis = True
            initialise_from_people(self.network, self.config.source, self.config.basis_people, self.device)

    def _held_view(self, batch: LapBatch, subsets: Subsets) -> View:
        """Views of the photos solved from the landmark net's points."""
        if self._marked_views is None:
            config = self.config
            given = config.network.size, config.source, config.basis_people
            self._marked_views = MarkedViews(*given, self.device)
        return self._marked_views(batch.marks, subsets.set_of)

    def metrics(self, batches: Iterable[LapBatch]) -> Mapping[str, float]:
        """See ``lap_metrics.depth_figures``; ``personal.*`` in the phases that train the refining networks."""
        with torch.autocast(self.device.type, enabled=False):
            return depth_figures(self.network, batches, self.config.phase != "aggregate")

    def pictures(self, batch: LapBatch) -> Mapping[str, Tensor]:
        """``faces``: a row for each of up to six people. Columns: photo, reconstruction, canonical surface, albedo,
        relit, turned by -40 and 40 degrees, personalised surface, true surface if known."""
        pictures = batch.images * 2 - 1
        with torch.autocast(self.device.type, enabled=False):
            return {"faces": contact_sheet(self.network, batch, pictures)}

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Groups: refining networks; means and bases; depth and view; confidence; the rest. The phase decides which
        groups learn; confidence learns in every phase."""
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
            "basis": lambda fraction: 0.0 if refining else config.basis_rate,
            "depth": lambda fraction: 0.0 if refining else 1.0,
            "confidence": lambda fraction: 1.0,
            "rest": lambda fraction: 0.0 if refining else 1.0,
        }
        return tuple(ParameterGroup(name, tuple(found), rates[name]) for name, found in named.items() if found)

    def export(self) -> ExportedModel:
        """All networks, for ``backend.models.lap.apply.LapModel``."""
        config, weights = self.config.network.to_json(), self.network.state_dict()
        return ExportedModel(LAP.name, config, weights, self.SUMMARY, self.LIMITS, self.SENSITIVE)
