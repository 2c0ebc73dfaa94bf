"""Poses to begin with: Ekman's six emotions, after the action units of EMFACS, and the fifteen visemes of lip sync.

``starter_poses.json`` has the weights of ARKit's keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

_POSES = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
EMOTIONS: Mapping[str, Mapping[str, float]] = _POSES["emotions"]
VISEMES: Mapping[str, Mapping[str, float]] = _POSES["visemes"]
STARTER_POSES: Mapping[str, Mapping[str, float]] = {**EMOTIONS, **VISEMES}
"""Name -> weights of ARKit's keys; what is missing is 0."""
