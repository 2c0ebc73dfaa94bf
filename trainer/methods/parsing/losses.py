"""Losses between class logits and label maps."""

import torch
from torch import Tensor
from torch.nn import functional

IGNORE = 255
"""Label of pixels that all losses and metrics ignore."""


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    boundary_weight: float = 1.0,
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
    _check_shapes(logits, labels)
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
    _check_shapes(logits, labels)
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


def _check_shapes(logits: Tensor, labels: Tensor) -> None:
    if logits.dim() != 4 or labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(f"logits must be (N, C, H, W) and labels (N, H, W): {logits.shape} and {labels.shape}")
