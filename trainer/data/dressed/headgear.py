"""Headgear of more kinds than ``people`` wear: turbans, helmets, crowns, caps, hats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.hair.hull import AZIMUTHS, HeadHull, azimuths
from trainer.data.people.attachments.hats import KINDS, SHELL_ROWS, HatParameters, cloth_colour, draw_hat
from trainer.data.people.attachments.layers import CHECKS, KNIT, PLAIN, STRIPES, WEAVE
from trainer.data.people.look import PersonLook

_SHARES = {
    "any": 0.34, "turban": 0.17, "helmet": 0.13, "cap": 0.15, "crown": 0.07, "hat": 0.08, "fez": 0.03, "peaked": 0.03,
}  # fmt: skip
_METALS = ((0.80, 0.62, 0.25), (0.72, 0.72, 0.72), (0.45, 0.45, 0.47), (0.62, 0.40, 0.28))


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
