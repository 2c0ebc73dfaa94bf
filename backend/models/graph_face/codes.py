"""Fit codes of the graph face model to a known shape by Gauss-Newton."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.models.graph_face.network import GraphFaceNet

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
