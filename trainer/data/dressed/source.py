"""Synthetic people with many hats, beards and glasses, for parsing: ``kind = "dressed_people"`` in recipes.

Among ``people``, hats, beards and glasses are as rare as in everyday life. A net needs more of them to distinguish them
from hair and skin. Faces, poses, light and backgrounds are those of ``people`` with the same number and seed. What is
worn comes from random generators of its own, so that ``people`` stay unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from backend.hair.hull import head_hull
from backend.photos.collection import FaceClass
from trainer.data.dressed.headgear import draw_headgear
from trainer.data.people.attachments.attachments import Attachments
from trainer.data.people.attachments.beard import beard_roots, draw_beard
from trainer.data.people.attachments.clothes import draw_clothes, neck_rim
from trainer.data.people.attachments.glasses import draw_glasses
from trainer.data.people.attachments.hair_styles import without_locks
from trainer.data.people.attachments.hands import draw_hand
from trainer.data.people.attachments.hats import KINDS
from trainer.data.people.attachments.parameters import AttachmentParameters
from trainer.data.people.batch import PeopleBatch
from trainer.data.people.film import FilmParameters
from trainer.data.people.look import PersonLook
from trainer.data.people.people_sampler import PeopleSampler
from trainer.data.people.scene import Person, Shot
from trainer.data.people.source import People, PeopleConfig

_LOOK, _WORN, _BESIDE = 16, 17, 18  # purposes of random numbers; ``casting`` uses the numbers below


@dataclass(frozen=True, kw_only=True)
class DressedPeopleConfig(PeopleConfig):
    """Synthetic people, many of them with hat, beard, glasses, white hair, a hand, or somebody beside them."""

    hats: float = 0.4
    """Share of the people with headgear."""
    beards: float = 0.6
    """Share of masculine people with a moustache or a beard; half of these are short."""
    glasses: float = 0.45
    """Share of the people with glasses."""
    company: float = 0.15
    """Share of the people with another head behind or beside them; 0 unless pictures come in batches of at least 2."""

    def build(self) -> DressedPeople:
        """Make the source."""
        return DressedPeople(self)


class DressedPeople(People):
    """See ``DressedPeopleConfig``."""

    def __init__(self, config: DressedPeopleConfig) -> None:
        super().__init__(config)
        self.casting = _DressedCasting(config, self.attachments)

    def batch(self, indices: range, device: torch.device) -> PeopleBatch:
        """Return people number ``indices``; the head beside somebody is that of the neighbouring number."""
        if self.config.photos > 1 or self.config.company == 0:
            return super().batch(indices, device)
        first, last = indices.start - indices.start % 2, indices.stop + indices.stop % 2
        whole = super().batch(range(first, last), device)
        images = whole.images.clone()
        for row, index in enumerate(whole.person.tolist()):
            g = self.casting.numbers(index, _BESIDE)
            if g.random() < self.config.company:
                images[row] = _with_company(g, whole, row, row ^ 1)
        rows = slice(indices.start - first, indices.stop - first)
        values = {field.name: getattr(whole, field.name) for field in fields(whole)} | {"images": images}
        cut = {name: value[rows] if isinstance(value, Tensor) else value for name, value in values.items()}
        return PeopleBatch(**cut)


class _DressedCasting(PeopleSampler):
    """Draws people and what they wear."""

    def __init__(self, config: DressedPeopleConfig, attachments: Attachments) -> None:
        template = attachments.template
        super().__init__(config.seed, len(template.identity_modes), attachments)
        self._config = config
        self._hull, self._rim, self._beard = head_hull(template), neck_rim(template), beard_roots(template)

    def numbers(self, index: int, purpose: int, photo: int = 0) -> np.random.Generator:
        """Return the random generator for one purpose."""
        return self._generator(index, purpose, photo)

    def person(self, index: int) -> Person:
        """Return person ``index`` of ``people`` with another beard, and sometimes white hair."""
        person = super().person(index)
        g = self.numbers(index, _LOOK)
        look = _bearded(g, person.look, self._config.beards)
        if g.random() < 0.2:
            white = np.array([0.66, 0.64, 0.60]) * g.uniform(0.55, 1.2)
            look = replace(look, hair=_colour(white), greyness=1.0)
        skin = replace(
            person.skin,
            beard_colour=look.beard_hair,
            stubble=look.stubble,
            moustache=look.moustache,
            chin=look.chin,
            jaw=look.jaw,
            hair_colour=look.hair,
        )
        return replace(person, look=look, skin=skin)

    def photos(self, index: int, count: int) -> list[Shot]:
        """Return ``count`` photos of person ``index`` with new headgear, clothes and glasses."""
        return [
            replace(
                shot,
                worn=self._dressed(self.numbers(index, _WORN, photo), shot.person.look, shot.worn),
                film=_coarser(self.numbers(index, _BESIDE + 1, photo), shot.film),
            )
            for photo, shot in enumerate(super().photos(index, count))
        ]

    def _dressed(self, g: np.random.Generator, look: PersonLook, worn: AttachmentParameters) -> AttachmentParameters:
        config = self._config
        hat = draw_headgear(g, look, self._hull, config.hats)
        kind = KINDS[int(hat.kind)]
        hair = worn.hair
        if kind in ("headscarf", "turban") and g.random() < 0.75:
            hair = without_locks(hair)
        clothes = draw_clothes(g, look, self._rim, hat.colour if kind in ("headscarf", "hood") else None)
        beard = draw_beard(g, look, self._beard)
        if worn.thing.mask > 0:
            beard = replace(beard, length=np.zeros_like(beard.length))
        glasses = draw_glasses(g, look)
        return replace(
            worn,
            hair=hair,
            hat=hat,
            clothes=clothes,
            beard=beard,
            glasses=replace(glasses, worn=float(g.random() < config.glasses)),
            hand=draw_hand(g, look, chance=0.12),
        )


def _bearded(g: np.random.Generator, look: PersonLook, share: float) -> PersonLook:
    """Change a look's beard: full length, or short hair through which skin is visible."""
    kind, colour, mix, density = g.random(), g.random(), g.uniform(0.0, 0.45), g.uniform(0.45, 1.0)
    parts, shade, length = g.random(3), g.uniform(0.6, 1.25), g.beta(2, 1.2)
    if look.femininity > 0.5 or g.random() >= share:
        return replace(look, beard=0.0, moustache=0.0, chin=0.0, jaw=0.0, stubble=0.45 * look.stubble)
    hair = np.array(look.beard_hair)
    if colour < 0.3:  # white, grey, or pepper and salt
        hair = np.array([0.62, 0.60, 0.57]) * shade * (1.0 if colour < 0.2 else 0.45)
    elif colour < 0.42:  # blond or ginger, much like skin
        hair = np.array([0.36, 0.20, 0.09]) * shade
    short = kind < 0.5
    if short:
        hair = hair + mix * (np.array(look.skin) - hair)
    moustache = float(parts[0] < 0.88)
    chin = float(parts[1] < 0.72 or not moustache)
    jaw = chin * float(parts[2] < 0.6)
    size = density if short else max(0.35, length)
    return replace(
        look,
        beard=0.25 if short else float(length),
        moustache=moustache * size,
        chin=chin * size,
        jaw=jaw * size,
        beard_hair=_colour(hair),
        stubble=0.0 if colour < 0.42 else 0.3 * look.stubble,  # visible hair must be labelled
    )


def _coarser(g: np.random.Generator, film: FilmParameters) -> FilmParameters:
    """Reduce the film's resolution: in many ordinary photos the head was small and has been enlarged."""
    share = g.uniform(0.3, 0.9)
    return replace(film, coarse=share if g.random() < 0.4 else film.coarse)


def _with_company(g: np.random.Generator, batch: PeopleBatch, row: int, other: int) -> Tensor:
    """Composite the head and shoulders of ``other`` behind picture ``row`` (3, S, S); the labels stay unchanged."""
    image, labels = batch.images[row], batch.labels[row]
    size = labels.shape[-1]
    side = 1 if g.random() < 0.5 else -1
    across, down = round(side * g.uniform(0.30, 0.62) * size), round(g.uniform(-0.15, 0.15) * size)
    steps = torch.arange(size, device=labels.device)
    rows, columns = steps - down, steps - across
    inside = (rows >= 0)[:, None] & ((columns >= 0) & (columns < size))[None]
    place = rows.clamp(0, size - 1)[:, None], columns.clamp(0, size - 1)[None]
    below_top = (batch.labels[other] != int(FaceClass.BACKGROUND)).cummax(0).values  # the head and everything below it
    behind = below_top[place] & inside & (labels == int(FaceClass.BACKGROUND))
    return torch.where(behind[None], batch.images[other][:, place[0], place[1]], image)


def _colour(values: np.ndarray) -> tuple[float, float, float]:
    r, g, b = np.clip(values, 0.003, 0.9)
    return float(r), float(g), float(b)
