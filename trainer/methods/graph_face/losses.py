"""Losses of the graph face model: the equations of section 4.2 of Gao et al. (CVPRW 2020).

Shapes (B, C, 3) are in metres, their differences in millimetres; places (B, L, 2) in sides of the picture, their
differences in per cent of it; colours (B, C, 3) in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_MM = 1000.0
_PER_CENT = 100.0


def classification(logits: Tensor, person: Tensor) -> Tensor:
    """L_soft of equation 4: softmax loss of logits (B, P) for people (B,)."""
    return functional.cross_entropy(logits.float(), person)


def centre_distance(identity: Tensor, centres: Tensor, person: Tensor) -> Tensor:
    """L_center of equation 4 (Wen et al. 2016): half the mean squared distance of codes (B, D) from the centres (P, D)
    of their people (B,)."""
    return 0.5 * (identity - centres[person]).square().sum(1).mean()


def photometric(drawn: Tensor, shown: Tensor, mask: Tensor, edges: Tensor) -> Tensor:
    """Equation 5 at the mesh's vertices: squared difference of rendered and photo colours (B, C, 3), and of their
    gradients along edges (E, 2), weighted by a mask (B, C) in [0, 1] of the visible face.

    The paper compares pixels. On faces of a hundred pixels vertices are as dense as pixels and need no rasterizer.
    """
    colours = (mask * (drawn - shown).square().sum(-1)).sum() / mask.sum().clamp(min=1.0)
    start, stop = edges[:, 0], edges[:, 1]
    both = mask[:, start] * mask[:, stop]
    slope = (drawn[:, stop] - drawn[:, start]).abs() - (shown[:, stop] - shown[:, start]).abs()
    return colours + (both * slope.abs().sum(-1)).sum() / both.sum().clamp(min=1.0)


def landmarks(predicted: Tensor, truth: Tensor) -> Tensor:
    """Equation 6: squared distances of landmarks (B, L, 2), and of the vectors from each landmark to all others, in per
    cent of the picture."""
    apart = _PER_CENT * (predicted - truth)
    ways = apart[:, :, None] - apart[:, None]
    return apart.square().sum(-1).mean() + ways.square().sum(-1).mean()


def shape(predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Equations 7 and 8: mean absolute difference of shapes, millimetres, weighted by vertices (C,)."""
    return _MM * ((predicted - truth).abs().sum(-1) * weight).sum() / (weight.sum() * len(predicted))


def smoothness(predicted: Tensor, template: Tensor, laplacian: Callable[[Tensor], Tensor]) -> Tensor:
    """Equation 9: each vertex's offset from the mean of its neighbours, relative to the template's (C, 3), millimetres.

    laplacian : maps (B, C, 3) to each vertex minus the mean of its neighbours.
    """
    return _MM * (laplacian(predicted) - laplacian(template[None])).abs().sum(-1).mean()


def plain_smoothness(predicted: Tensor, laplacian: Callable[[Tensor], Tensor]) -> Tensor:
    """Conventional Laplacian smoothness, for the ablation: the offset itself, millimetres."""
    return _MM * laplacian(predicted).abs().sum(-1).mean()


def asymmetry(albedo: Tensor, mirror: Tensor) -> Tensor:
    """Equation 10: mean absolute difference of colours (B, C, 3) from those of the mirror vertices (C,)."""
    return (albedo - albedo[:, mirror]).abs().mean()


def critic_divergence(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, factor: float = 2.0, power: float = 6.0
) -> Tensor:
    """Critic loss of equation 11 (WGAN-div, Wu et al. 2018): its value on real shapes minus that on fake ones, plus a
    penalty of factor times the mean power of its gradient's norm between them.

    critic : maps shapes (B, C, 3) to (B,), larger for shapes that look real. The sign is opposite to the paper's so
    that
        both networks minimise. factor, power : k and p of Wu et al.
    """
    share = torch.rand(len(real), 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = slope.flatten(1).norm(dim=1).pow(power).mean()
    return critic(fake.detach()).mean() - critic(real).mean() + factor * penalty


def texture_difference(predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of maps (B, C, S, S), weighted by texels (B, S, S)."""
    apart = (predicted - truth).abs().mean(1)
    return (weight * apart).sum() / weight.sum().clamp(min=1.0)


def texture_gradient_difference(predicted: Tensor, truth: Tensor, inside: Tensor) -> Tensor:
    """Equation 5's gradient difference (Mathieu et al. 2015) of maps (B, C, S, S): mean absolute difference of the
    absolute slopes along rows and columns, between texels that are both ``inside`` (S, S)."""
    total = predicted.new_zeros(())
    for axis in (-1, -2):
        estimate, true = (one.diff(dim=axis).abs() for one in (predicted, truth))
        both = (inside.narrow(axis, 1, inside.shape[axis] - 1) & inside.narrow(axis, 0, inside.shape[axis] - 1)).float()
        total = total + ((estimate - true).abs().mean((0, 1)) * both).sum() / both.sum().clamp(min=1.0)
    return total
