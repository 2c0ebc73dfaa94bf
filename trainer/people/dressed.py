"""Synthetic people with much on their heads: what a parsing net sees too seldom among others.

Headgear of more kinds than ``people`` wear: turbans, helmets, crowns, caps, hats.

Synthetic people with many hats, beards and glasses, for parsing: ``kind = "dressed_people"`` in recipes.

Among ``people``, hats, beards and glasses are as rare as in everyday life. A net needs more of them to distinguish them
from hair and skin. Faces, poses, light and backgrounds are those of ``people`` with the same number and seed. What is
worn comes from random generators of its own, so that ``people`` stay unchanged.

People of more variety, for the landmark net: ``kind = "varied_people"`` in recipes.

A share of them are ``people`` as they are; the others are dressed, and half of these have faces further from the mean
than the prior's, because real faces leave its modes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from backend.hair.hull import AZIMUTHS, HeadHull, azimuths, head_hull
from backend.photos.collection import FaceClass
from trainer.people.camera import FilmParameters
from trainer.people.dress.clothes import draw_clothes, neck_rim
from trainer.people.dress.hair import beard_roots, draw_beard, without_locks
from trainer.people.dress.layers import CHECKS, KNIT, PLAIN, STRIPES, WEAVE
from trainer.people.dress.things import draw_hand
from trainer.people.dress.worn import KINDS, SHELL_ROWS, HatParameters, cloth_colour, draw_glasses, draw_hat
from trainer.people.look import TABLES, PersonLook, bounded_colour
from trainer.people.scene import AttachmentParameters, Attachments, PeopleSampler, Person, Shot
from trainer.people.shape import IdentityParameters
from trainer.people.source import People, PeopleBatch, PeopleConfig

_SHARES, _METALS = TABLES["headgear"], TABLES["colours"]["crowns"]


def draw_headgear(generator: np.random.Generator, look: PersonLook, hull: HeadHull, chance: float) -> HatParameters:
    """Draw headgear, or none."""
    plain = draw_hat(generator, look, hull, chance=1.0)
    kind = str(generator.choice(list(_SHARES), p=list(_SHARES.values())))
    if generator.random() >= chance:
        return draw_hat(generator, look, hull, chance=0.0)
    if kind == "any":
        return plain
    make = {"turban": _turban, "helmet": _helmet, "cap": _cap, "crown": _crown, "hat": _hat, "fez": _fez,
            "peaked": _peaked}[kind]  # fmt: skip
    return make(generator, hull, plain)


def _rim(
    generator: np.random.Generator, hull: HeadHull, front: tuple[float, float], nape: tuple[float, float]
) -> np.ndarray:
    """(AZIMUTHS,) s of a rim: above the hairline in front by a length from ``front``, down to ``nape`` at the back."""
    a = azimuths()
    cos, wide = np.cos(a), np.abs(a)
    middle = hull.line(np.zeros(1), hull.hairline)[0] + generator.uniform(*front)
    ear, back = generator.uniform(0.108, 0.135), generator.uniform(*nape)
    rim = np.where(wide < np.pi / 2, middle + (ear - middle) * (1 - cos), ear + (back - ear) * -cos)
    slant = generator.normal(0, 0.006)  # worn askew
    return rim + slant * np.sin(a)


def _base(
    generator: np.random.Generator, plain: HatParameters, kind: str, rim: np.ndarray, height: np.ndarray
) -> HatParameters:
    """Headgear of plain cloth without brim and band."""
    colour = cloth_colour(generator)
    return replace(
        plain,
        kind=float(KINDS.index(kind)),
        rim=rim,
        start=np.zeros(AZIMUTHS),
        height=np.broadcast_to(height, (SHELL_ROWS, AZIMUTHS)).copy(),
        press=0.0045,
        brim=np.zeros(AZIMUTHS),
        brim_drop=0.0,
        brim_bend=0.0,
        colour=colour,
        band_colour=colour,
        band=0.0,
        detail=_cloth(generator),
        shine=0.0,
    )


def _cloth(generator: np.random.Generator) -> np.ndarray:
    """(3,) pattern of a cloth."""
    dice = generator.random()
    if dice < 0.55:
        return np.array([WEAVE, generator.uniform(0.05, 0.3), generator.uniform(150, 500)])
    if dice < 0.65:
        return np.array([KNIT, generator.uniform(0.1, 0.35), generator.uniform(150, 400)])
    return np.array([generator.choice([STRIPES, CHECKS]), generator.uniform(0.15, 0.8), generator.uniform(40, 260)])


def _down() -> np.ndarray:
    """(SHELL_ROWS, 1) from 0 at the crown to 1 at the rim."""
    return np.linspace(0, 1, SHELL_ROWS)[:, None]


def _turban(generator: np.random.Generator, hull: HeadHull, plain: HatParameters) -> HatParameters:
    """Cloth wound around the head: bulging at the sides, its windings oblique, crossing in front."""
    t, a = _down(), azimuths()
    rim = _rim(generator, hull, (-0.012, 0.028), (0.15, 0.21))
    thick = generator.uniform(0.015, 0.055)
    bulge = np.sin(np.pi * np.clip(0.12 + 0.85 * t, 0, 1)) ** generator.uniform(0.5, 1.2)
    wide = 1 + generator.uniform(0, 0.7) * np.sin(a) ** 2 + generator.uniform(-0.2, 0.3) * np.cos(a)
    windings, lean = generator.uniform(5, 16), generator.uniform(0.5, 3.0)
    folds = np.abs(np.sin(windings * t + lean * np.abs(a) + generator.uniform(0, 6)))
    height = 0.012 + thick * bulge * wide + generator.uniform(0.002, 0.007) * folds
    drawn = _base(generator, plain, "turban", rim, height)
    if generator.random() < 0.5:  # the strong colours that turbans often have
        hue, value = generator.uniform(-0.05, 0.18), generator.uniform(0.2, 0.75)
        wheel = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
        deep = generator.uniform(0.6, 0.97)
        colour = np.clip(value * (1 - deep + deep * wheel), 0.01, 0.9)
        drawn = replace(drawn, colour=colour, band_colour=colour)
    if generator.random() < 0.7:
        drawn = replace(drawn, detail=np.array([WEAVE, generator.uniform(0.05, 0.25), generator.uniform(150, 400)]))
    return drawn


def _helmet(generator: np.random.Generator, hull: HeadHull, plain: HatParameters) -> HatParameters:
    """A hard, shiny helmet, often with ribs or vents of another colour, and a short peak."""
    t, a = _down(), azimuths()
    rim = _rim(generator, hull, (-0.022, 0.02), (0.12, 0.19))
    height = 0.018 + generator.uniform(0.008, 0.04) * (1 - t**2) + 0 * a
    vents = generator.random() < 0.55
    if vents:
        height = height + generator.uniform(0.002, 0.007) * np.sign(np.sin(generator.integers(5, 12) * a))
    peak = generator.uniform(0.0, 0.05) * np.clip(np.cos(a), 0, 1) ** 2
    pattern = np.array([STRIPES, generator.uniform(0.5, 1.0), generator.uniform(40, 110)])
    drawn = _base(generator, plain, "helmet", rim, height)
    return replace(
        drawn,
        brim=peak,
        brim_drop=generator.uniform(0.1, 0.5),
        band_colour=cloth_colour(generator),
        band=float(generator.integers(0, 5)),
        detail=pattern if vents else np.array([PLAIN, 0.0, 1.0]),
        shine=generator.uniform(0.2, 1.0),
    )


def _cap(generator: np.random.Generator, hull: HeadHull, plain: HatParameters) -> HatParameters:
    """A cap with a visor in front, behind or aside; its front panels often have another colour."""
    t, a = _down(), azimuths()
    rim = _rim(generator, hull, (-0.015, 0.022), (0.13, 0.17))
    height = 0.008 + generator.uniform(0.01, 0.04) * np.clip(1 - t**2, 0, 1) * (0.6 + 0.5 * np.cos(a))
    direction = np.pi if generator.random() < 0.3 else generator.normal(0, 0.15)
    away = np.abs((a - direction + np.pi) % (2 * np.pi) - np.pi)
    drawn = _base(generator, plain, "visor cap", rim, height)
    return replace(
        drawn,
        brim=generator.uniform(0.045, 0.08) * np.clip(1 - (away / 0.95) ** 4, 0, 1) ** 0.5,
        brim_drop=generator.uniform(0.0, 0.6),
        brim_bend=generator.uniform(2.0, 7.0),
        band_colour=cloth_colour(generator) if generator.random() < 0.5 else drawn.colour,
        band=float(generator.integers(1, 10)),
        shine=0.05,
    )


def _crown(generator: np.random.Generator, hull: HeadHull, plain: HatParameters) -> HatParameters:
    """A ring with upright points: crown, tiara, wreath."""
    a = azimuths()
    rim = _rim(generator, hull, (-0.05, 0.0), (0.09, 0.13))
    start = rim - generator.uniform(0.008, 0.02)
    points, whole = generator.integers(5, 16), generator.random() < 0.5
    reach = 0.5 + 0.5 * np.abs(np.cos(points * a / 2)) ** generator.uniform(0.5, 3)
    front = 1.0 if whole else np.clip(np.cos(a), 0, 1) ** 0.7
    drawn = _base(generator, plain, "band", rim, np.full((SHELL_ROWS, AZIMUTHS), 0.008))
    metal = np.array(_METALS[generator.integers(len(_METALS))]) * generator.uniform(0.6, 1.1)
    return replace(
        drawn,
        start=start,
        brim=generator.uniform(0.006, 0.018) * reach * front,
        brim_drop=-generator.uniform(2.5, 6.0),
        colour=metal,
        band_colour=metal if generator.random() < 0.6 else cloth_colour(generator),
        band=float(generator.integers(0, 6)),
        detail=np.array([generator.choice([CHECKS, WEAVE, STRIPES]), generator.uniform(0.3, 0.9), 300.0]),
        shine=generator.uniform(0.4, 1.0),
        press=0.006,
    )


def _hat(generator: np.random.Generator, hull: HeadHull, plain: HatParameters) -> HatParameters:
    """A hat with a brim all round and a crown that may be high."""
    t, a = _down(), azimuths()
    rim = _rim(generator, hull, (-0.02, 0.02), (0.12, 0.16))
    height = 0.009 + generator.uniform(0.02, 0.09) * (1 - t ** generator.uniform(3, 8)) + 0 * a
    curl = generator.uniform(0, 0.04) * np.sin(a) ** 2
    drawn = _base(generator, plain, "brim", rim, height)
    return replace(
        drawn,
        brim=generator.uniform(0.025, 0.10) + curl,
        brim_drop=generator.uniform(-0.4, 0.35),
        brim_bend=generator.uniform(-1.0, 1.0),
        band_colour=cloth_colour(generator),
        band=float(generator.integers(0, 5)),
    )


def _fez(generator: np.random.Generator, hull: HeadHull, plain: HatParameters) -> HatParameters:
    """Stiff and upright, without a brim: fez, toque, garrison cap."""
    t, a = _down(), azimuths()
    rim = _rim(generator, hull, (-0.03, 0.012), (0.10, 0.15))
    height = 0.008 + generator.uniform(0.03, 0.10) * (1 - t ** generator.uniform(4, 10)) + 0 * a
    drawn = _base(generator, plain, "beanie", rim, height)
    return replace(drawn, band=float(generator.integers(0, 6)), band_colour=cloth_colour(generator))


def _peaked(generator: np.random.Generator, hull: HeadHull, plain: HatParameters) -> HatParameters:
    """A soldier's, sailor's or driver's cap: a broad flat top, a band, a dark shiny peak."""
    t, a = _down(), azimuths()
    rim = _rim(generator, hull, (-0.012, 0.018), (0.12, 0.15))
    height = 0.009 + generator.uniform(0.02, 0.05) * np.sin(np.pi * np.clip(t * 0.8, 0, 1)) + 0 * a
    away = np.abs(a)
    drawn = _base(generator, plain, "visor cap", rim, height)
    return replace(
        drawn,
        brim=generator.uniform(0.03, 0.05) * np.clip(1 - (away / 0.9) ** 4, 0, 1) ** 0.5,
        brim_drop=generator.uniform(0.4, 0.9),
        brim_bend=generator.uniform(2.0, 4.0),
        band_colour=cloth_colour(generator),
        band=float(generator.integers(2, 5)),
        shine=0.2,
    )


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
        return replace(whole, images=images).take(rows)


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
            look = replace(look, hair=bounded_colour(white), greyness=1.0)
        skin = replace(
            person.skin,
            beard_colour=look.beard_hair,
            stubble=look.stubble,
            moustache=look.moustache,
            chin=look.chin,
            jaw=look.jaw,
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
        beard_hair=bounded_colour(hair),
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
    cell = rows.clamp(0, size - 1)[:, None], columns.clamp(0, size - 1)[None]
    below_top = (batch.labels[other] != int(FaceClass.BACKGROUND)).cummax(0).values  # the head and everything below it
    behind = below_top[cell] & inside & (labels == int(FaceClass.BACKGROUND))
    return torch.where(behind[None], batch.images[other][:, cell[0], cell[1]], image)


_SHAPE = 20  # purpose of random numbers; dressed people use the numbers below
_LIMIT = 3.4
"""Largest coefficient of a wide face, in standard deviations."""


@dataclass(frozen=True, kw_only=True)
class VariedPeopleConfig(DressedPeopleConfig):
    """Synthetic people, some as ``people`` are, some dressed, some with unusual faces; alone in their pictures."""

    plain: float = 0.6
    """Share of those that are as ``people`` are."""
    wide: float = 0.5
    """Share of the others whose faces are further from the mean."""
    company: float = 0.0

    def build(self) -> VariedPeople:
        """Make the source."""
        return VariedPeople(self)


class VariedPeople(People):
    """See ``VariedPeopleConfig``."""

    def __init__(self, config: VariedPeopleConfig) -> None:
        super().__init__(config)
        self.casting = _VariedCasting(config, self.attachments)


class _VariedCasting(_DressedCasting):
    """Draws people of both kinds."""

    _config: VariedPeopleConfig

    def person(self, index: int) -> Person:
        """Return person ``index``."""
        g = self.numbers(index, _SHAPE)
        if g.random() < self._config.plain:
            return PeopleSampler.person(self, index)
        person = super().person(index)
        if g.random() >= self._config.wide:
            return person
        return replace(person, identity=widened(g, person.identity))

    def photos(self, index: int, count: int) -> list[Shot]:
        """Return ``count`` photos of person ``index``."""
        if self.numbers(index, _SHAPE).random() < self._config.plain:
            return PeopleSampler.photos(self, index, count)
        return super().photos(index, count)


def widened(generator: np.random.Generator, identity: IdentityParameters) -> IdentityParameters:
    """Move a face further from the mean: its modes by a factor of up to 1.4, its bumps by up to 2.5."""
    coefficients = np.clip(identity.coefficients * generator.uniform(1.0, 1.4), -_LIMIT, _LIMIT)
    return IdentityParameters(coefficients.astype(np.float32), identity.bumps * np.float32(generator.uniform(1.0, 2.5)))
