"""The template, and networks that have learnt nothing."""

from __future__ import annotations

import pytest
import torch
from canonical_hand_made import tiny_network

from backend.models.lap.apply import LapModel


@pytest.fixture(scope="module")
def model() -> LapModel:
    return LapModel(tiny_network(), torch.device("cpu"), "tiny")
