"""Fixtures of the training tests: they compare bits, and must be quick."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are taken in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_tensorboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not installed: its import takes seconds."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
