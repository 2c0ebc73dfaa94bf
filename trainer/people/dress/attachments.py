"""Hair, hats, glasses, clothes and other attachments of a head: drawn per person, meshed for a whole batch.

Parameters of one person's hair, hat, glasses, beard, clothes and occluders in front of the face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import Template
from backend.hair.hull import head_hull, hull_surface
from trainer.people.dress.clothes import ClothesParameters, clothes_layer, draw_clothes, neck_rim
from trainer.people.dress.grow import Numbers
from trainer.people.dress.hair import (
    LOCKS,
    BeardParameters,
    HairParameters,
    HatPressure,
    beard_layer,
    beard_roots,
    draw_beard,
    draw_hair,
    hair_layers,
    without_locks,
)
from trainer.people.dress.layers import AttachmentMesh, join_layers, stack
from trainer.people.dress.things import HandParameters, ThingParameters, draw_hand, draw_thing, hand_layer, thing_layer
from trainer.people.dress.worn import (
    KINDS,
    GlassesParameters,
    HatParameters,
    draw_glasses,
    draw_hat,
    glasses_layers,
    hat_layer,
)
from trainer.people.look import PersonLook


@dataclass(frozen=True)
class AttachmentParameters:
    """Parameters of one person in one picture (after ``stack`` of a batch); see the modules of the parts.

    ``hair_colour`` (3,) is the linear albedo of the hair as rendered; dyed or highlighted hair differs from
    ``PersonLook.hair``.
    """

    hair_colour: Numbers
    hair: HairParameters
    hat: HatParameters
    glasses: GlassesParameters
    clothes: ClothesParameters
    beard: BeardParameters
    hand: HandParameters
    thing: ThingParameters


EYE_CORNERS = ((42, 45), (36, 39))
"""Indices into the 68 landmarks: outer and inner corners of the person's left and right eye."""
NOSE_BRIDGE = 27
EAR_FRONT = (16, 0)


class Attachments:
    """Hair, hats, glasses, long beards, hands, objects in front of the face, and clothes for heads of the template.

    ``detail`` 0.5 to 1: share of the full number of hair locks; 0.5 is enough for pictures of 64 px.
    """

    def __init__(self, template: Template, *, detail: float = 1.0) -> None:
        self.template, self.detail = template, detail
        self._locks = max(64, round(LOCKS * detail))
        self._hull, self._rim = head_hull(template), neck_rim(template)
        self._beard = beard_roots(template)

    def draw(
        self, generator: np.random.Generator, look: PersonLook, like: AttachmentParameters | None = None
    ) -> AttachmentParameters:
        """Draw the attachments of one person in one picture.

        ``like``: the attachments of another picture of the same person. Colour, length and style of the hair, the beard
        and usually the glasses stay; single locks, hats, clothes and hands are drawn anew.
        """
        hair = draw_hair(generator, look, self._hull, self._locks, like.hair if like else None)
        hat = draw_hat(generator, look, self._hull)
        wrapped = hat.colour if KINDS[int(hat.kind)] in ("headscarf", "hood") else None
        if KINDS[int(hat.kind)] == "headscarf" and generator.random() < 0.7:  # the hair is hidden
            hair = without_locks(hair)
        thing = draw_thing(generator, self._hull)
        beard = draw_beard(generator, look, self._beard, like.beard if like else None)
        shown = beard if thing.mask == 0 else replace(beard, length=np.zeros_like(beard.length))
        return AttachmentParameters(
            hair_colour=hair.colour,
            hair=hair,
            hat=hat,
            glasses=draw_glasses(generator, look, like.glasses if like else None),
            clothes=draw_clothes(generator, look, self._rim, wrapped),
            beard=shown,
            hand=draw_hand(generator, look),
            thing=thing,
        )

    def mesh(self, parameters: Sequence[AttachmentParameters], head_vertices: Tensor) -> AttachmentMesh:
        """Build the triangles of a batch, on the device of ``head_vertices``.

        ``head_vertices`` : (N, V, 3) posed and expressed vertices of the whole template (all parts), or at least the
        head's, in the head frame, metres.
        """
        device = head_vertices.device
        drawn = stack(parameters, device)
        head = head_vertices.float()
        surface = hull_surface(self._hull, head, drawn.hair.ear_room)
        landmarks = self._landmarks(head)
        eyes = torch.stack([landmarks[:, list(corners)].mean(1) for corners in EYE_CORNERS], 1)
        ears = landmarks[:, list(EAR_FRONT)] + head.new_tensor([[0.004, 0.006, -0.012], [-0.004, 0.006, -0.012]])
        hair, wisps = hair_layers(drawn.hair, self._hull, surface, HatPressure(drawn.hat.rim, drawn.hat.press))
        frames, lenses = glasses_layers(drawn.glasses, eyes, landmarks[:, NOSE_BRIDGE], ears, surface.scale)
        hats = hat_layer(drawn.hat, surface)
        clothes = clothes_layer(drawn.clothes, self._rim, head, surface.scale)
        beards = beard_layer(drawn.beard, self._beard, head, surface.scale)
        hands = hand_layer(drawn.hand, landmarks, surface.scale)
        things = thing_layer(drawn.thing, landmarks, surface)
        return AttachmentMesh(
            join_layers((*hair, hats, frames, clothes, beards, hands, things), opaque=True),
            join_layers((wisps, lenses)),
        )

    def _landmarks(self, head: Tensor) -> Tensor:
        embedding = self.template.landmarks68
        corners = head[:, torch.from_numpy(embedding.vertices.astype(np.int64)).to(head.device)]
        return (corners * torch.from_numpy(embedding.barycentrics).to(head.device)[..., None]).sum(2)
