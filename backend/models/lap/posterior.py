"""Gaussian posterior of the depth basis' coefficients, from a prior of people, landmarks and pictures (ours).

The landmarks of each photo give a linear-Gaussian likelihood of the coefficients, with view and expression eliminated
(``LandmarkFace.evidence``). From each picture, sampled onto the face that its landmarks give, a network predicts the
coefficients and a precision of each. Precisions add. Errors that all photos of a person share do not average out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.lap.landmark_face import LandmarkEvidence
from backend.rendering.camera_models import CanonicalCamera
from backend.rendering.depth_surface import normals_from_depth, view_grid

ALIGNED_CHANNELS = 7
"""Channels of ``aligned_pictures``: 3 colours, 1 mask of the photo's area, 3 of the normal in the camera's frame."""
_FIRST_SHARED = -4.0
"""Initial variance of the errors shared by all photos, before softplus: 0.02."""


@dataclass(frozen=True)
class Posterior:
    """Posterior of G faces' coefficients. mean : (G, K) in standard deviations of people. precision : (G, K, K)."""

    mean: Tensor
    precision: Tensor

    def surprise(self, truth: Tensor) -> Tensor:
        """(G,) negative log-likelihood of coefficients (G, K), per coefficient and without the constant."""
        factor = torch.linalg.cholesky(self.precision)
        wrong = ((truth - self.mean)[:, None] @ factor)[:, 0]  # (G, K)
        log_root = factor.diagonal(dim1=1, dim2=2).log()
        return (0.5 * wrong**2 - log_root).mean(1)


class PosteriorFusion(nn.Module):
    """Fuse the evidence of landmarks and pictures of any number of photos to a ``Posterior``."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.trust = nn.Parameter(torch.zeros(()))
        self.landmarks_alike = nn.Parameter(torch.full((components,), _FIRST_SHARED))
        self.pictures_alike = nn.Parameter(torch.full((components,), _FIRST_SHARED))

    def forward(self, evidence: LandmarkEvidence, codes: Tensor, logits: Tensor, set_of: Tensor) -> Posterior:
        """``codes`` (N, K) and ``logits`` (N, K) of their precisions come from the pictures. ``set_of`` (N,) : index of
        each photo's set, from 0."""
        sets, components = int(set_of.max()) + 1, codes.shape[1]
        codes, precision = codes.float(), functional.softplus(logits.float())
        trust = self.trust.exp()

        def summed(values: Tensor) -> Tensor:
            return values.new_zeros(sets, *values.shape[1:]).index_add(0, set_of, values)

        told = trust * summed(evidence.information)
        pull = trust * summed(evidence.pull)
        alike = functional.softplus(self.landmarks_alike)
        unit = torch.eye(components, device=codes.device)
        both = torch.cat([told, pull[..., None]], 2)
        both = torch.linalg.solve(unit + told * alike, both)  # (told^-1 + alike)^-1, also for a singular told
        told, pull = both[..., :-1], both[..., -1]
        seen, seen_pull = summed(precision), summed(precision * codes)
        share = 1 / (1 + functional.softplus(self.pictures_alike) * seen)
        total = unit + (told + told.transpose(1, 2)) / 2 + torch.diag_embed(seen * share)
        mean = torch.linalg.solve(total, pull + seen_pull * share)
        return Posterior(mean, total)


def aligned_pictures(pictures: Tensor, depth: Tensor, evidence: LandmarkEvidence) -> Tensor:
    """Pictures (N, 3, S, S) in [-1, 1] sampled onto faces of canonical depth (N, S, S) in the landmarks' views:
    (N, ``ALIGNED_CHANNELS``, S, S). The same pixel then shows the same part of the face in every picture."""
    camera = CanonicalCamera(tuple(depth.shape[-2:]))
    grid = view_grid(depth, evidence.view, camera)
    colours = functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    inside = (grid.abs() <= 1).all(-1).to(colours)[:, None]
    normals = normals_from_depth(depth, camera).flatten(1, 2) @ evidence.view.rotation.transpose(1, 2)
    normals = normals.view(*depth.shape, 3).permute(0, 3, 1, 2)
    return torch.cat([colours, inside, normals], 1)
