"""Logistic regression on features of a few hundred labelled pictures."""

from __future__ import annotations

import numpy as np

_STEPS, _ENOUGH = 25, 1e-9  # most Newton steps; change of the weights at which they stop


def logistic_regression(x: np.ndarray, y: np.ndarray, ridge: float, rarity: float) -> tuple[np.ndarray, float]:
    """Weights (F,) and bias of a ridge-penalised logistic regression of labels (P,), 0 or 1, on features (P, F).

    By Newton's method. Rows labelled 1 have the weight (rows labelled 0 / rows labelled 1) ** ``rarity``: 1 gives both
    classes equal weight, 0 gives all rows equal weight.
    """
    design = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    penalty = np.diag([ridge] * x.shape[1] + [1e-6])
    importance = np.where(y > 0, ((1 - y).sum() / max(y.sum(), 1.0)) ** rarity, 1.0)
    weights = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (importance * (chance - y)) + penalty @ weights
        curvature = (design * (importance * chance * (1 - chance))[:, None]).T @ design + penalty
        change = np.linalg.solve(curvature, gradient)
        weights -= change
        if np.abs(change).max() < _ENOUGH:
            break
    return weights[:-1], float(weights[-1])
