"""What the encoder of the learned face model is given: pictures, and landmarks that err as the detector's do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from backend.fitting.detector_model import (
    DetectorModel,
    load_detector_model,
    turn_of,
    view_features,
)
from backend.models.learned_basis.encoder import LANDMARKS, MIDDLE, FaceCode
from backend.models.learned_basis.network import LearnedBasisNet
from trainer.data.face_model import FaceBatch, FaceTruth
from trainer.stages.face_scales import face_scales


class DetectorErrors(nn.Module):
    """Draws errors of the landmark detector, as ``backend.fitting.detector_model`` has measured them."""

    def __init__(self, model: DetectorModel | None = None) -> None:
        super().__init__()
        model = load_detector_model() if model is None else model
        for name, value in {
            "bias": model.bias[:, :LANDMARKS],
            "modes": model.modes[:, :LANDMARKS],
            "deviation": model.deviation[:LANDMARKS],
        }.items():
            self.register_buffer(name, torch.from_numpy(value.astype(np.float32)), persistent=False)

    def detected(self, batch: FaceBatch, generator: torch.Generator | None = None) -> Tensor:
        """(N, LANDMARKS, 2) landmarks in sides of the picture: those of synthetic people, which are true, with errors;
        those of real photos, which were detected, as they are."""
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
    """Codes of all photos of a batch; ``generator`` (CPU) draws the detector's errors, the global one without."""
    return network.lit(_predicted(network, batch, errors, generator), batch.images * 2 - 1)


def _predicted(
    network: LearnedBasisNet, batch: FaceBatch, errors: DetectorErrors, generator: torch.Generator | None
) -> FaceCode:
    landmarks = errors.detected(batch, generator) if network.config.landmark_components else None
    return network.encoder(batch.images * 2 - 1, batch.set_of, landmarks)


def encode_again(network: LearnedBasisNet, batch: FaceBatch) -> FaceCode:
    """``encode`` with errors that are the same at every call, for figures and pictures."""
    return network.lit(predicted_again(network, batch), batch.images * 2 - 1)


def predicted_again(network: LearnedBasisNet, batch: FaceBatch) -> FaceCode:
    """``encode_again`` with the light that the encoder predicts, whatever the configuration says."""
    errors = DetectorErrors().to(batch.images.device)
    return _predicted(network, batch, errors, torch.Generator().manual_seed(len(batch.images)))
