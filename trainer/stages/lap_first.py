"""What LAP's networks know before they learn, what faces may have alike, and the views that the landmark net's points
solve."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from backend.models.lap.landmark_face import LandmarkFace
from backend.models.lap.network import LapNet
from backend.rendering.camera_models import View
from trainer.contracts import SourceConfig
from trainer.data.lap.landmark_shapes import depth_shapes, landmark_shapes
from trainer.stages.lap_sets import bases_missing, first_people, give_bases

VIEW_SHAPES = 48
"""Ways in which faces may differ while a view is solved; as many as networks are told of that see landmarks."""

_NEWEST = 0.02
"""Share of a batch in the mean over the last ones: fifty batches of a few people, so that chance hardly counts."""


def give_first_knowledge(network: LapNet, source: SourceConfig, people: int, device: torch.device) -> None:
    """Give the linear decoders their first basis, and the landmarks' shapes what is known of faces, from the first
    ``people`` of a source with truth, unless weights brought them."""
    marked, config = network.landmarks, network.config
    bases = config.decoder == "linear" and bool(bases_missing(network))
    shapes = marked is not None and not marked.people.any()
    if not bases and not shapes:
        return
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        found = first_people(source.build(), people, device)
        if bases:
            give_bases(network, [own.truth for own in found])
        if not shapes:
            return
        marks = torch.cat([own.marks for own in found])
        if config.posterior:
            given = config.size, config.depth_components, config.landmark_components
            known = depth_shapes(*given, network.raw_depth, device)
            network.depth_decoder.set_basis(known.mean, known.basis)
            marked.set_reference(known.landmarks, marks)
        else:
            marked.set_reference(landmark_shapes(config.size, config.landmark_components, device), marks)


class AlikeCoefficients(nn.Module):
    """Twice the product of coefficients' mean over a batch and over the last batches: what all faces have alike is
    pulled back to nothing, what one face has is not. Its value is no loss, its gradient that of a squared mean."""

    def __init__(self, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(components))

    def forward(self, coefficients: Tensor) -> Tensor:
        """coefficients : (N, K); returns a number."""
        own = coefficients.float().mean(0)
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(own, _NEWEST)
        return 2 * (self.mean.clone() * own).mean()


class MarkedViews:
    """Views by the landmark net's points alone, which no network changes and no loss pulls at.

    The same source gives the same views, so that a training that is resumed need not keep them.
    """

    def __init__(self, size: int, source: SourceConfig, people: int, device: torch.device) -> None:
        """size : side of the pictures in pixels. people : of the source, on whose points it is measured how far these
        lie beside what faces explain. Raises ``ValueError`` where the source's pictures have no points."""
        with torch.random.fork_rng([]):  # what networks and photos draw afterwards must not depend on this
            self._face = LandmarkFace(size, VIEW_SHAPES, 0).to(device)
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            marks = [own.marks for own in first_people(source.build(), people, device)]
            if any(own is None for own in marks):
                raise ValueError("views by landmarks need a source with marks = true")
            self._face.set_reference(landmark_shapes(size, VIEW_SHAPES, device), torch.cat(marks))

    def __call__(self, marks: Tensor, set_of: Tensor) -> View:
        """The view of each photo with points (N, 478, 3) in sides, ``set_of`` (N,) naming from 0 on who shares a shape;
        without gradients."""
        return self._face.faces(marks, set_of).view
