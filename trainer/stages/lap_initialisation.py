"""Initialisation of LAP's networks from synthetic people, the loss on mean coefficients, and views solved from the
landmark net's points."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backend.models.lap.landmark_face import LandmarkFace
from backend.models.lap.network import LapNet
from backend.rendering.camera_models import View
from trainer.contracts import SourceConfig
from trainer.data.lap.landmark_shapes import depth_shapes, landmark_shapes
from trainer.stages.lap_sets import bases_missing, first_people, initialise_bases

VIEW_SHAPES = 48
"""Shape components that are solved with a view."""

_NEWEST = 0.02
"""Rate of the running mean: about fifty batches of a few people, so that it has little noise."""


def initialise_from_people(network: LapNet, source: SourceConfig, people: int, device: torch.device) -> None:
    """Initialise the linear decoders' bases and the landmarks' shapes from the first ``people`` of a source with truth,
    unless loaded weights already have them."""
    marked, config = network.landmarks, network.config
    bases = config.decoder == "linear" and bool(bases_missing(network))
    shapes = marked is not None and not marked.people.any()
    if not bases and not shapes:
        return
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        found = first_people(source.build(), people, device)
        if bases:
            initialise_bases(network, [own.truth for own in found])
        if not shapes:
            return
        marks = torch.cat([own.marks for own in found])
        given = config.size, config.depth_components, config.landmark_components
        known = depth_shapes(*given, network.raw_depth, device)
        network.depth_decoder.set_basis(known.mean, known.basis)
        marked.set_reference(known.landmarks, marks)


class AlikeCoefficients(nn.Module):
    """Pull the mean of coefficients to zero without pulling at single faces.

    The term is twice the product of the batch mean and the running mean over the last batches. Its gradient is that of
    the squared mean; its value is not a loss."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(components))

    def forward(self, coefficients: Tensor) -> Tensor:
        """coefficients : (N, K); returns a scalar."""
        own = coefficients.float().mean(0)
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(own, _NEWEST)
        return 2 * (self.mean.clone() * own).mean()


class MarkedViews:
    """Solve views from the landmark net's points alone, independent of the trained networks and the losses.

    The same source gives the same views, so a resumed training need not store them.
    """

    def __init__(self, size: int, source: SourceConfig, people: int, device: torch.device) -> None:
        """size : side of the pictures in pixels. people : people of the source whose points give the residual around
        the face shapes. Raises ``ValueError`` if the source's pictures have no points."""
        with torch.random.fork_rng([]):  # later random draws of networks and photos must not depend on this
            self._face = LandmarkFace(size, VIEW_SHAPES).to(device)
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            marks = [own.marks for own in first_people(source.build(), people, device)]
            if any(own is None for own in marks):
                raise ValueError("views by landmarks need a source with marks = true")
            self._face.set_reference(landmark_shapes(size, VIEW_SHAPES, device), torch.cat(marks))

    def __call__(self, marks: Tensor, set_of: Tensor) -> View:
        """Views of photos with points (N, 478, 3) in sides, without gradients. ``set_of`` : (N,) set of each photo,
        from 0; the photos of a set share a shape."""
        return self._face.faces(marks, set_of).view
