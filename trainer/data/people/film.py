"""From rendered light to something like a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class FilmParameters:
    """What ``draw_film`` drew for one picture."""

    noise_seed: int


def draw_film(generator: np.random.Generator) -> FilmParameters:
    """The camera, its settings, and what happened to the picture afterwards."""
    raise NotImplementedError


def develop(linear: Tensor, parameters: Sequence[FilmParameters]) -> Tensor:
    """sRGB pictures (N, 3, H, W) in [0, 1], rounded to 1/255, of linear light (N, 3, H, W).

    Blur, exposure, white balance, noise, tone curve, vignetting, black and white, JPEG. The same parameters give
    the same picture on any device to about 1/255.
    """
    raise NotImplementedError
