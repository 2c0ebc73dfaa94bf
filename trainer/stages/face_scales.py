"""Size of faces in pictures, for batches of landmarks."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.fitting.detector_model import OUTER_EYE_CORNERS, UPRIGHT


def face_scales(landmarks: Tensor) -> Tensor:
    """(N,) ``backend.fitting.initial_pose.face_scale`` of landmarks (N, L, 2)."""

    def apart(pair: tuple[int, int]) -> Tensor:
        return (landmarks[:, pair[0]] - landmarks[:, pair[1]]).norm(dim=-1)

    return torch.maximum(apart(OUTER_EYE_CORNERS), 0.5 * apart(UPRIGHT))
