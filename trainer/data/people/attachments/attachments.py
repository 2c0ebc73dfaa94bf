"""Everything on and around a head, drawn once per person and built for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import Template
from trainer.data.people.attachments.layers import AttachmentMesh
from trainer.data.people.attachments.parameters import AttachmentParameters
from trainer.data.people.look import PersonLook


class Attachments:
    """Hair, hats, glasses, long beards, hands and things before the face, and clothes for heads of the template.

    ``detail`` 0.5 to 1: share of the hair's full number of locks; 0.5 will do for pictures of 64 px.
    """

    def __init__(self, template: Template, *, detail: float = 1.0) -> None:
        self.template, self.detail = template, detail

    def draw(
        self, generator: np.random.Generator, look: PersonLook, like: AttachmentParameters | None = None
    ) -> AttachmentParameters:
        """What one person wears in one picture.

        ``like``: what was drawn for another picture of the same person; colour, length and style of the hair, the
        beard and usually the glasses stay, single locks, hats, clothes and hands are drawn anew.
        """
        raise NotImplementedError

    def mesh(self, parameters: Sequence[AttachmentParameters], head_vertices: Tensor) -> AttachmentMesh:
        """Triangles for a batch, on the device of ``head_vertices``.

        ``head_vertices`` : (N, V, 3) posed and expressed vertices of the whole template (all parts), or at least the
        head's, in the head frame, metres.
        """
        raise NotImplementedError
