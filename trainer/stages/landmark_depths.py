"""Auxiliary outputs of the landmark net in training: depths and the camera's distance. They are not exported, but they
improve the landmarks' places."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backend.models.landmarks.network import LANDMARKS, SEEN, LandmarkGuess, LandmarkNetConfig

_LOG_DISTANCE = 1.6
"""Logarithm of a portrait's usual camera distance in sides of the window."""


@dataclass(frozen=True)
class DepthGuess:
    """Predicted depths of N pictures, in sides of the picture at the points' centroid.

    Attributes
    ----------
    depths : (N, 478) along the line of sight, away from the camera, from the points' centroid. deviation : (N, 478).
    log_distance : (N,) logarithm of the centroid's distance from the camera. distance_deviation : (N,).
    """

    depths: Tensor
    deviation: Tensor
    log_distance: Tensor
    distance_deviation: Tensor


class DepthHeads(nn.Module):
    """Predicts a ``DepthGuess`` from every ``LandmarkGuess`` of a picture."""

    def __init__(self, config: LandmarkNetConfig, mean: Tensor) -> None:
        """mean : (478,) mean depths of the points, in sides."""
        super().__init__()
        self.guess = nn.Linear(config.hidden, 2 * LANDMARKS)
        self.correct = nn.ModuleList(nn.Linear(SEEN, 2) for _ in range(config.rounds))
        self.distance = nn.Linear(config.hidden, 2)
        self.register_buffer("mean", mean.clone())
        with torch.no_grad():
            for layer in (self.guess, self.distance, *self.correct):
                layer.weight.mul_(0.1)
                layer.bias.zero_()

    def forward(self, guesses: list[LandmarkGuess]) -> list[DepthGuess]:
        """Predict one for each of the net's guesses."""
        corrections, found = torch.zeros(()), []
        units, first = self.mean.new_tensor([0.02, 1.0]), self.mean.new_tensor([0.1, 1.0])
        for number, guess in enumerate(guesses):
            if guess.seen is not None:
                corrections = corrections + units * self.correct[number - 1](guess.seen).float()
            values = first * self.guess(guess.hidden).float().view(-1, LANDMARKS, 2) + corrections
            log_distance, spread = self.distance(guess.hidden).float().unbind(-1)
            found.append(
                DepthGuess(
                    self.mean + values[..., 0],
                    0.02 * torch.exp(values[..., 1].clamp(-4.0, 3.0)),
                    _LOG_DISTANCE + log_distance,
                    0.5 * torch.exp(spread.clamp(-3.0, 2.0)),
                )
            )
        return found
