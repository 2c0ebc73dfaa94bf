"""Trained parsing nets as teachers for another one (distillation).

Stage ``parsing``: the face parsing net, trained on pictures with label maps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.mobile_trunk import trainable_state
from backend.models.parsing.network import CLASS_NAMES, FaceParser, ParsingNet, ParsingNetConfig
from backend.models.registry import PARSING, PARSING_OPINION
from trainer.engine.contracts import ExportedModel, Stage, StageConfig
from trainer.methods.parsing.scenes import IGNORE, AugmentConfig, change_backdrops, change_light, change_scenes, move


def cross_entropy(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, boundary_weight: float = 1.0
) -> Tensor:
    """Mean cross entropy over the pixels that are not ``IGNORE``, weighted by class and near boundaries.

    Parameters
    ----------
    logits : (N, C, H, W).
    labels : (N, H, W) integers, 0 to C - 1 or ``IGNORE``.
    class_weights : (C,), or None for equal weights.
    boundary_weight : factor for pixels at most one pixel from another class.

    Returns
    -------
    () sum of weight times cross entropy over sum of weights; 0 where every pixel is ignored.

    Raises
    ------
    ValueError : shapes do not match.
    """
    valid = labels != IGNORE
    target = labels.long().masked_fill(~valid, 0)
    weight = valid.float()
    if class_weights is not None:
        weight = weight * class_weights.to(logits.device)[target]
    if boundary_weight != 1.0:
        weight = weight * (1.0 + (boundary_weight - 1.0) * near_boundary(labels).float())
    loss = functional.cross_entropy(logits.float(), target, reduction="none")  # (N, H, W)
    return (loss * weight).sum() / weight.sum().clamp_min(1e-6)


def divergence(logits: Tensor, probabilities: Tensor, mask: Tensor) -> Tensor:
    """() mean Kullback-Leibler divergence of the softmax of ``logits`` (N, C, H, W) from ``probabilities`` (N, C, H, W)
    over the pixels of ``mask`` (N, H, W) bool; 0 where there are none (Hinton et al. 2015, temperature 1)."""
    log_probabilities = logits.float().log_softmax(1)
    wanted = probabilities.clamp_min(1e-6)
    each = (wanted * (wanted.log() - log_probabilities)).sum(1)  # (N, H, W)
    return (each * mask).sum() / mask.sum().clamp_min(1)


def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - mean over the classes in ``labels`` of 2 Σ p g / (Σ p + Σ g), sums over the whole batch.

    Shapes and errors as for ``cross_entropy``; p the softmax, g the one-hot labels (Milletari et al. 2016, eq. 3, with
    plain instead of squared sums).
    """
    class_count = logits.shape[1]
    known = (labels != IGNORE)[:, None]
    truth = labels.long()[:, None].masked_fill(~known, 0)  # (N, 1, H, W)
    probability = logits.float().softmax(1) * known
    count = torch.bincount(truth[known], minlength=class_count).to(probability.dtype)  # (C,)
    right = probability.gather(1, truth)
    overlap = probability.new_zeros(class_count).index_add(0, truth.flatten(), right.flatten())
    total = probability.sum((0, 2, 3)) + count
    present = (count > 0).float()
    dice = 2.0 * overlap / total.clamp_min(1e-6)
    return ((1.0 - dice) * present).sum() / present.sum().clamp_min(1.0)


def near_boundary(labels: Tensor) -> Tensor:
    """(N, H, W) bool: the 3 x 3 neighbourhood contains more than one label."""
    values = labels.float().unsqueeze(1)
    highest = functional.max_pool2d(values, 3, stride=1, padding=1)
    lowest = -functional.max_pool2d(-values, 3, stride=1, padding=1)
    return (highest != lowest).squeeze(1)


def confusion_matrix(predicted: Tensor, labels: Tensor, class_count: int) -> Tensor:
    """(C, C) int64 pixel counts, row = true class, column = predicted class; ``IGNORE`` pixels are left out."""
    valid = labels != IGNORE
    index = labels[valid].long() * class_count + predicted[valid].long()
    return torch.bincount(index, minlength=class_count**2).reshape(class_count, class_count)


def intersection_over_union(confusion: Tensor) -> Tensor:
    """(C,) IoU per class from a confusion matrix; NaN for classes that are neither present nor predicted."""
    hits = confusion.diagonal().double()
    union = confusion.sum(0).double() + confusion.sum(1).double() - hits
    return torch.where(union > 0, hits / union.clamp_min(1.0), torch.full_like(hits, float("nan")))


def label_figures(confusion: Tensor) -> dict[str, float]:
    """``iou.<class>``, ``iou.mean`` over the classes that occur, ``accuracy`` from a confusion matrix (C, C)."""
    iou, present = intersection_over_union(confusion), confusion.sum(1) > 0
    figures = {f"iou.{name}": float(iou[number]) for number, name in enumerate(CLASS_NAMES) if present[number]}
    accuracy = confusion.diagonal().sum() / confusion.sum().clamp_min(1)
    return figures | {"iou.mean": float(iou[present].mean()), "accuracy": float(accuracy)}


class ParsingTeachers:
    """Exported parsing nets, averaged by their probabilities."""

    def __init__(self, folders: Sequence[str], device: torch.device) -> None:
        """Load the nets; raises ``LikenessError`` (``missing_part``) where a folder has none."""
        self._networks = [FaceParser.load(Path(folder), device).network for folder in folders]

    @torch.no_grad()
    def probabilities(self, pictures: Tensor) -> Tensor:
        """(N, C, H, W) float32 class probabilities of pictures (N, 3, H, W) in [0, 1], sRGB."""
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        said = [network(pictures).float().softmax(1) for network in self._networks]
        return torch.stack(said).mean(0)


class Labelled(Protocol):
    """The fields of a batch that the stage needs; sources may give more."""

    images: Tensor
    """(N, 3, H, W) float32 in [0, 1], sRGB; H and W multiples of 32."""
    labels: Tensor
    """(N, H, W) uint8 of ``FaceClass``, 255 where unknown."""


@dataclass(frozen=True, kw_only=True)
class ParsingWeights:
    """Weights of the loss terms; a term with weight 0 is not computed."""

    cross_entropy: float = 1.0
    """Per pixel."""
    dice: float = 0.5
    """Overlap per class, which gives small classes the weight of large ones."""
    teachers: float = 1.0
    """Divergence from the teachers' probabilities, if there are teachers."""


@dataclass(frozen=True, kw_only=True)
class ParsingStageConfig(StageConfig):
    """Trains ``backend.models.parsing.network.ParsingNet``."""

    network: ParsingNetConfig = field(default_factory=ParsingNetConfig)
    """Size of the net; ``network.size`` is the backend's picture size, sources may give smaller pictures."""
    weights: ParsingWeights = field(default_factory=ParsingWeights)
    """Weights of the loss terms."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes to the training pictures."""
    boundary_weight: float = 2.0
    """Factor in the cross entropy for pixels next to another class."""
    class_weights: tuple[float, ...] = ()
    """Factor of each class in the cross entropy; empty: equal factors."""
    teachers: tuple[str, ...] = ()
    """Folders of exported parsing nets whose mean probabilities are targets beside the labels. Their input is the moved
    picture with its original light and backdrop."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.class_weights and len(self.class_weights) != self.network.class_count:
            raise ValueError(f"class_weights must have {self.network.class_count} numbers or none")

    def build(self, device: torch.device) -> Stage:
        """See ``StageConfig``."""
        return ParsingStage(self, device)


class ParsingStage(Stage):
    """See ``ParsingStageConfig``."""

    SUMMARY: ClassVar[str] = (
        "Classes of the pixels of a head crop (skin, brows, eyes, glasses, lips, mouth interior, hair, facial hair, "
        "ears, neck, occluder, background). Input: square sRGB crop; output: logits of the same size."
    )
    FROZEN: ClassVar[str] = (
        " The encoder is EfficientNet-Lite0 with ImageNet's weights (Apache-2.0), which are in assets/lite0."
    )
    LIMITS: ClassVar[str] = (
        "Made for square crops around one head, with the face about 0.4 of the crop's side. Every pixel gets a class, "
        "also in a crop without a head, where classes are meaningless. Clear lenses of glasses have the class of what "
        "is behind them."
    )

    def __init__(self, config: ParsingStageConfig, device: torch.device) -> None:
        self.config = config
        net = ParsingNet(config.network)
        ready = config.network.trunk == "separable"
        self._random = None if ready else net.trunk.stem.convolution.weight.detach().clone()
        self.modules = nn.ModuleDict({"net": net}).to(device)
        self._device = device
        self._class_weights = torch.tensor(config.class_weights, device=device) if config.class_weights else None

    def step(self, batch: Labelled, fraction: float) -> Mapping[str, Tensor]:
        """Compute ``cross_entropy``, ``dice``, ``teachers``, those whose weight is not 0.

        Raises ``ValueError`` and ``FileNotFoundError`` where a trunk's initial weights are missing, ``LikenessError``
        where a teacher is missing.
        """
        self._need_trunk()
        config = self.config
        moved, labels = move(batch.images, batch.labels, config.augment)
        images, changed = change_backdrops(moved, labels, config.augment.backdrop)
        images, labels, staged = change_scenes(images, labels, config.augment.press)
        logits = self.modules["net"](change_light(images, config.augment))
        weights, terms = config.weights, {}
        if config.teachers and weights.teachers:
            terms["teachers"] = divergence(logits, self._teachers.probabilities(moved), ~(changed | staged))
        if weights.cross_entropy:
            terms["cross_entropy"] = cross_entropy(logits, labels, self._class_weights, config.boundary_weight)
        if weights.dice:
            terms["dice"] = soft_dice(logits, labels)
        return terms

    @cached_property
    def _teachers(self) -> ParsingTeachers:
        """Load the teachers on first use, because exporting the stage must work without them."""
        return ParsingTeachers(self.config.teachers, self._device)

    def _need_trunk(self) -> None:
        """Load ImageNet weights into a trunk that still has its random initialisation."""
        if self._random is None:
            return
        trunk, drawn = self.modules["net"].trunk, self._random
        self._random = None
        if not torch.equal(trunk.stem.convolution.weight.cpu(), drawn):
            return
        trunk.load_imagenet()

    def metrics(self, batches: Iterable[Labelled]) -> Mapping[str, float]:
        """See ``label_figures``."""
        count = self.config.network.class_count
        confusion = torch.zeros(count, count, dtype=torch.int64)
        for batch in batches:
            predicted = self.modules["net"](batch.images).argmax(1)
            confusion += confusion_matrix(predicted, batch.labels, count).cpu()
        return label_figures(confusion)

    def export(self) -> ExportedModel:
        """Export the net for ``backend.models.parsing.network.FaceParser``; with a frozen trunk only the trained
        weights."""
        config, tensors = self.config.network, trainable_state(self.modules["net"])
        if config.trunk == "lite0_frozen":
            summary = self.SUMMARY + self.FROZEN
            return ExportedModel(PARSING_OPINION.name, config.to_json(), tensors, summary, self.LIMITS)
        return ExportedModel(PARSING.name, config.to_json(), tensors, self.SUMMARY, self.LIMITS)
