"""Appearance of a synthetic person: correlated numbers for age, sex and ancestry, drawn once per person; and
``stack``, by which parameters of single persons become tensors of a batch.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

Colour = tuple[float, float, float]
Numbers = float | np.ndarray | torch.Tensor
"""Of one person, or a tensor of a batch with a leading axis N."""
T = TypeVar("T")

MELANIN_ABSORPTION = np.array([1.75, 2.35, 2.9])
"""Optical density in linear red, green and blue from melanin 0 to melanin 1 (the darkest skin)."""
PALE_SKIN = np.array([0.66, 0.44, 0.345])
"""Linear albedo of skin with melanin 0."""
BLOOD_ABSORPTION = np.array([0.18, 0.95, 0.80])
"""Optical density in linear red, green and blue of one unit of haemoglobin."""

TABLES = tomllib.loads((Path(__file__).parent / "tables.toml").read_text(encoding="utf-8"))
"""Colours, lights and moods of synthetic people, as the file says."""
_IRIS_COLOURS, _HAIR_COLOURS = (np.array(list(TABLES[name].values())) for name in ("iris_colours", "hair_colours"))
_GREY_HAIR = np.array([0.36, 0.35, 0.34])


@dataclass(frozen=True)
class PersonLook:
    """Traits shared by several parts of a person's picture. Colours are linear albedo.

    Attributes
    ----------
    age : years, 16-90. femininity : 0 (masculine) to 1 (feminine).
    melanin : 0 (palest skin) to 1 (darkest). redness : haemoglobin, about -0.2 to 0.5.
    skin : mean colour of the skin. hair : colour of the scalp's hair, grey included; brow_hair, beard_hair : of brows
        and beard. greyness : share of grey hair, 0-1. iris : colour of the iris.
    beard : 0 for a shaven face, up to 1 for a full beard. stubble : length of the day's growth, 0-1.
        moustache, chin, jaw : density of painted hair on the upper lip, the chin, and jaw and cheeks, 0-1.
    baldness : 0 for a full head of hair, 1 for none on top. make_up : strength, 0-1.
    """

    age: float
    femininity: float
    melanin: float
    redness: float
    skin: Colour
    hair: Colour
    brow_hair: Colour
    beard_hair: Colour
    greyness: float
    iris: Colour
    beard: float
    stubble: float
    moustache: float
    chin: float
    jaw: float
    baldness: float
    make_up: float


def skin_albedo(melanin: float | np.ndarray, redness: float | np.ndarray) -> np.ndarray:
    """(..., 3) linear albedo by Beer's law: absorption of melanin and blood over pale skin."""
    density = np.asarray(melanin)[..., None] * MELANIN_ABSORPTION + np.asarray(redness)[..., None] * BLOOD_ABSORPTION
    return PALE_SKIN * np.exp(-density)


def draw_look(generator: np.random.Generator) -> PersonLook:
    """Draw one person from the world's range."""
    age = float(np.clip(16 + 64 * generator.beta(1.3, 1.9), 16, 90))
    old = np.clip((age - 35) / 45, 0, 1)
    femininity = float(np.clip(generator.beta(0.35, 0.35), 0, 1))
    melanin = float(np.clip(generator.beta(0.9, 1.5) * 1.02, 0, 1))
    redness = float(np.clip(generator.normal(0.10, 0.10), -0.1, 0.45)) * (1 - 0.7 * melanin)
    # dark hair and eyes go with dark skin; pale people have any colour
    pale = np.clip(1.0 - melanin / 0.35, 0, 1)
    hair = _pick(generator, _HAIR_COLOURS, np.array([1.2 - 0.9 * pale, 0.4 + 0.4 * pale, 0.8 * pale, 0.6 * pale,
                                                     0.55 * pale, 0.16 * pale]))  # fmt: skip
    dyed = generator.random() < 0.05
    if dyed:
        hair = generator.uniform(0.02, 0.4, 3)
    iris = _pick(generator, _IRIS_COLOURS, np.array([1.0 - 0.9 * pale, 1.0, 0.5, 0.45 * pale, 0.3 * pale,
                                                     0.9 * pale, 0.4 * pale]))  # fmt: skip
    greyness = float(np.clip(generator.normal(1.5 * old - 0.35, 0.3), 0, 1)) * float(not dyed)
    grey = _GREY_HAIR * generator.uniform(0.7, 1.5)
    brow_hair = hair * generator.uniform(0.45, 1.0) if not dyed else _HAIR_COLOURS[1] * generator.uniform(0.5, 2.0)
    bearded = femininity < 0.45 and generator.random() < 0.42 + 0.14 * old
    style = generator.random(3)
    beard = float(generator.beta(2, 1.2)) if bearded else 0.0
    moustache = beard * float(style[0] < 0.85)
    chin = beard * float(style[1] < 0.62 or style[0] >= 0.85)  # about a third have only a moustache
    jaw = beard * float(style[2] < 0.62) * float(chin > 0)
    stubble = float(generator.random() ** 1.5) if femininity < 0.45 else 0.0
    baldness = float(np.clip(generator.normal(0.9 * old - 0.15, 0.35), 0, 1)) if femininity < 0.5 else 0.0
    make_up = float(generator.beta(1.2, 1.4)) if femininity > 0.55 and generator.random() < 0.65 else 0.0
    return PersonLook(
        age=age,
        femininity=femininity,
        melanin=melanin,
        redness=redness,
        skin=bounded_colour(skin_albedo(melanin, redness)),
        hair=bounded_colour(_mix(hair, grey, greyness)),
        brow_hair=bounded_colour(_mix(brow_hair, grey, 0.6 * greyness)),
        beard_hair=bounded_colour(_mix(brow_hair * 1.3, grey * 1.3, np.clip(1.3 * greyness, 0, 1))),
        greyness=greyness,
        iris=bounded_colour(iris),
        beard=beard,
        stubble=stubble,
        moustache=moustache,
        chin=chin,
        jaw=jaw,
        baldness=baldness,
        make_up=make_up,
    )


def _pick(generator: np.random.Generator, colours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Blend two neighbouring colours, mostly the first."""
    first = generator.choice(len(colours), p=weights / weights.sum())
    second = min(max(first + generator.choice([-1, 1]), 0), len(colours) - 1)
    return _mix(colours[first], colours[second], 0.45 * generator.random()) * generator.uniform(0.75, 1.3)


def _mix(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return a + (b - a) * share


def bounded_colour(values: np.ndarray) -> Colour:
    """Linear light (3,) within what skin, hair and cloth reflect."""
    r, g, b = np.clip(values, 0.003, 0.9)
    return float(r), float(g), float(b)


def stack(items: Sequence[T], device: torch.device | str) -> T:
    """Stack the parameters of a batch to one object of float32 tensors (N, ...)."""
    first = items[0]
    if is_dataclass(first):
        values = {f.name: stack([getattr(item, f.name) for item in items], device) for f in fields(first)}
        return type(first)(**values)
    if isinstance(first, tuple):
        return type(first)(stack([item[k] for item in items], device) for k in range(len(first)))
    return torch.from_numpy(np.stack([np.asarray(item, np.float32) for item in items])).to(device)
