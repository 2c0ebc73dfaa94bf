"""Input of the learned face model's encoder: pictures, and landmarks with simulated errors of the detector."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from backend.fitting.detector_model import (
    load_detector_model,
    turn_of,
    view_features,
)
from backend.models.learned_basis.encoder import LANDMARKS, MIDDLE, FaceCode
from backend.models.learned_basis.network import LearnedBasisNet
from trainer.data.face_model import FaceBatch, FaceTruth
from trainer.stages.face_scales import face_scales


class DetectorErrors(nn.Module):
    """Draw errors of the landmark detector from the measured model in ``backend.fitting.detector_model``."""

    def __init__(self) -> None:
        super().__init__()
        model = load_detector_model()
        for name, value in {
            "bias": model.bias[:, :LANDMARKS],
            "modes": model.modes[:, :LANDMARKS],
            "deviation": model.deviation[:LANDMARKS],
        }.items():
            self.register_buffer(name, torch.from_numpy(value.astype(np.float32)), persistent=False)

    def detected(self, batch: FaceBatch, generator: torch.Generator | None = None) -> Tensor:
        """(N, LANDMARKS, 2) landmarks in sides of the picture. The true landmarks of synthetic people get errors; the
        detected landmarks of real photos stay as they are."""
        landmarks, side = batch.landmarks, batch.images.shape[-1]
        if batch.truth is not None:
            count = len(batch.truth.vertices)
            landmarks = torch.cat([self._disturbed(landmarks[:count], batch.truth, generator), landmarks[count:]])
        return landmarks / side

    def _disturbed(self, landmarks: Tensor, truth: FaceTruth, generator: torch.Generator | None) -> Tensor:
        device = landmarks.device
        features, upright = _views(truth)  # (n, 8), (n, 2, 2)
        bias = torch.einsum("nf,flc->nlc", features.to(device), self.bias)
        shares = torch.randn(len(landmarks), len(self.modes), generator=generator).to(device)
        alone = torch.randn(landmarks.shape, generator=generator).to(device) * self.deviation[:, None]
        percent = bias + torch.einsum("nm,mlc->nlc", shares, self.modes) + alone
        return landmarks + face_scales(landmarks)[:, None, None] / 100 * percent @ upright.to(device).transpose(1, 2)


def _views(truth: FaceTruth) -> tuple[Tensor, Tensor]:
    """Features of the views (n, 8) and the heads' upright axes in the pictures (n, 2, 2)."""
    features, axes = [], []
    for pose in truth.camera_from_head.cpu().double().numpy():
        towards = -pose[:3, :3].T @ pose[:3, 3] - MIDDLE
        yaw, pitch, upright = turn_of(pose[:3, :3], towards)
        features.append(view_features(yaw, pitch, float(np.linalg.norm(towards))))
        axes.append(upright)
    return torch.from_numpy(np.stack(features)).float(), torch.from_numpy(np.stack(axes)).float()


def encode(
    network: LearnedBasisNet, batch: FaceBatch, errors: DetectorErrors, generator: torch.Generator | None
) -> FaceCode:
    """Codes of all photos of a batch. ``generator`` (CPU) draws the detector's errors; None: torch's global one."""
    return network.lit(_predicted(network, batch, errors, generator), batch.images * 2 - 1)


def _predicted(
    network: LearnedBasisNet, batch: FaceBatch, errors: DetectorErrors, generator: torch.Generator | None
) -> FaceCode:
    landmarks = errors.detected(batch, generator) if network.config.landmark_components else None
    return network.encoder(batch.images * 2 - 1, batch.set_of, landmarks)


def encode_again(network: LearnedBasisNet, batch: FaceBatch) -> FaceCode:
    """``encode`` with the same errors at every call, for figures and pictures."""
    return network.lit(predicted_again(network, batch), batch.images * 2 - 1)


def predicted_again(network: LearnedBasisNet, batch: FaceBatch) -> FaceCode:
    """``encode_again`` with the light that the encoder predicts, even if the configuration solves for it."""
    errors = DetectorErrors().to(batch.images.device)
    return _predicted(network, batch, errors, torch.Generator().manual_seed(len(batch.images)))
