"""Fixtures of the tests of files."""

from __future__ import annotations

import pytest
from hand_made import make_asset

from backend.exchange.face_asset import FaceAsset


@pytest.fixture
def hand_made_asset() -> FaceAsset:
    """Seven spheres under ``PART_NAMES`` with their keys, a gradient as albedo, two photos and hair."""
    return make_asset()
