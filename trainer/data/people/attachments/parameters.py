"""Parameters of one person's hair, hat, glasses, beard, clothes and occluders in front of the face."""

from __future__ import annotations

from dataclasses import dataclass

from backend.hair.locks import Numbers
from trainer.data.people.attachments.beard import BeardParameters
from trainer.data.people.attachments.clothes import ClothesParameters
from trainer.data.people.attachments.glasses import GlassesParameters
from trainer.data.people.attachments.hair_parameters import HairParameters
from trainer.data.people.attachments.hands import HandParameters
from trainer.data.people.attachments.hats import HatParameters
from trainer.data.people.attachments.things import ThingParameters


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
