"""Paint skin, lips, brows, beards, make-up and lines per pixel from static maps and a few numbers per person."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from backend.photos.collection import FaceClass
from trainer.data.people.look import BLOOD_ABSORPTION, MELANIN_ABSORPTION, PALE_SKIN, PersonLook
from trainer.data.people.maps import MAP_NAMES, TILE_NAMES

BROW_LABEL = 0.42
BEARD_LABEL = 0.25
LASHES = (0.016, 0.011, 0.009)


@dataclass(frozen=True)
class SkinParameters:
    """Parameters of one person's painted skin. Lengths in metres, colours linear.

    Attributes
    ----------
    melanin, redness : mean of the skin. blotch : unevenness. flush : blood in cheeks, nose and ears. freckles : 0-1.
    brow_colour, brow_density, brow_width, brow_start, brow_end, brow_arch, brow_lift, brow_taper : ``start`` and
        ``end`` along the brow (0 at the nose, 1 at the temple); ``arch`` raises its middle, ``lift`` the whole brow.
    beard_colour, stubble, moustache, chin, jaw : densities 0-1. buzz : density of short hair painted on the scalp.
    lip_blood, lip_melanin : of bare lips. lipstick : strength, lipstick_colour. blush, eye_shadow, eye_shadow_colour,
        liner : make-up.
    folds, lines, crows, bags, frown : depth of nasolabial folds, forehead lines, crow's feet, bags, frown lines, 0-1.
    shine : strength of the highlight. noise : (6,) offsets in the noise tiles.
    """

    melanin: float
    redness: float
    blotch: float
    flush: float
    freckles: float
    brow_colour: tuple[float, float, float]
    brow_density: float
    brow_width: float
    brow_start: float
    brow_end: float
    brow_arch: float
    brow_lift: float
    brow_taper: float
    beard_colour: tuple[float, float, float]
    stubble: float
    moustache: float
    chin: float
    jaw: float
    buzz: float
    hair_colour: tuple[float, float, float]
    lip_blood: float
    lip_melanin: float
    lipstick: float
    lipstick_colour: tuple[float, float, float]
    blush: float
    eye_shadow: float
    eye_shadow_colour: tuple[float, float, float]
    liner: float
    folds: float
    lines: float
    crows: float
    bags: float
    frown: float
    shine: float
    noise: tuple[float, float, float, float, float, float]


def draw_skin(generator: np.random.Generator, look: PersonLook) -> SkinParameters:
    """Draw skin for a person of this look."""
    g = generator
    old = float(np.clip((look.age - 28) / 45, 0, 1.2))
    wear = lambda strength: float(strength * old * g.uniform(0.3, 1.2) + g.exponential(0.06))  # noqa: E731
    masculine = 1 - look.femininity
    shades = np.array(
        [(0.35, 0.02, 0.03), (0.28, 0.05, 0.07), (0.45, 0.13, 0.11), (0.20, 0.015, 0.04), (0.5, 0.22, 0.19)]
    )
    lipstick = np.clip(shades[g.integers(len(shades))] * np.exp(g.normal(0, 0.25, 3)), 0.01, 0.8)
    shadows = np.array(
        [(0.10, 0.07, 0.06), (0.05, 0.05, 0.06), (0.25, 0.16, 0.12), (0.12, 0.10, 0.18), (0.3, 0.2, 0.18)]
    )
    shadow = np.clip(shadows[g.integers(len(shadows))] * np.exp(g.normal(0, 0.25, 3)), 0.01, 0.8)
    return SkinParameters(
        melanin=look.melanin,
        redness=look.redness,
        blotch=float(np.exp(g.normal(0, 0.35))),
        flush=float(np.clip(g.normal(0.20, 0.12), 0.02, 0.6)) * (1 - 0.6 * look.melanin),
        freckles=float(g.beta(0.5, 2.5) * np.clip(1.3 - 2.2 * look.melanin, 0.05, 1) * (1 - 0.6 * look.make_up)),
        brow_colour=look.brow_hair,
        brow_density=float(np.clip(g.normal(0.78, 0.18), 0.25, 1.0)),
        brow_width=float(np.clip(g.normal(0.0048 + 0.0012 * masculine, 0.0011), 0.0022, 0.0095)),
        brow_start=float(g.normal(0.03, 0.05)),
        brow_end=float(g.normal(1.02, 0.08)),
        brow_arch=float(g.normal(0.0006 + 0.0008 * look.femininity, 0.0011)),
        brow_lift=float(g.normal(0.0004, 0.0012)),
        brow_taper=float(g.uniform(0.35, 0.9)),
        beard_colour=look.beard_hair,
        stubble=look.stubble * (0.75 if look.beard == 0 else 0.4),
        moustache=look.moustache,
        chin=look.chin,
        jaw=look.jaw,
        buzz=0.0,
        hair_colour=look.hair,
        lip_blood=float(np.clip(g.normal(0.75, 0.18), 0.25, 1.3)),
        lip_melanin=float(np.clip(g.normal(0.02 + 0.12 * look.melanin, 0.05), -0.06, 0.25)),
        lipstick=look.make_up * float(g.uniform(0.2, 0.95)),
        lipstick_colour=tuple(lipstick),
        blush=look.make_up * float(g.uniform(0, 0.7)),
        eye_shadow=look.make_up * float(g.uniform(0, 0.7)),
        eye_shadow_colour=tuple(shadow),
        liner=look.make_up * float(g.uniform(0.2, 1.0)),
        folds=wear(0.7),
        lines=wear(0.65),
        crows=wear(0.6),
        bags=wear(0.6) + 0.1,
        frown=wear(0.6),
        shine=float(np.clip(g.normal(0.9, 0.35), 0.2, 2.0)) * (1 - 0.4 * look.make_up),
        noise=tuple(g.random(6)),
    )


class Columns:
    """Parameters of a batch, with lookup per pixel."""

    def __init__(self, items: list, device: torch.device) -> None:
        self._values: dict[str, Tensor] = {}
        for field in fields(items[0]):
            values = np.array([getattr(item, field.name) for item in items], np.float32)
            self._values[field.name] = torch.from_numpy(values).to(device)

    def batch(self, name: str) -> Tensor:
        """Values (N,) or (N, C) of the batch."""
        return self._values[name]

    def at(self, name: str, image: Tensor) -> Tensor:
        """Values (P,) or (P, C) at pixels of images (P,)."""
        return self._values[name].index_select(0, image)


@dataclass(frozen=True)
class Painted:
    """Painted pixels.

    Attributes
    ----------
    albedo : (P, 3) linear. labels : (P,) uint8 of ``FaceClass``. gloss : (P,) factor on the highlight.
    roughness : (P,).
    """

    albedo: Tensor
    labels: Tensor
    gloss: Tensor
    roughness: Tensor


def smoothstep(low: float | Tensor, high: float | Tensor, x: Tensor) -> Tensor:
    """0 below ``low``, 1 above ``high`` (or the reverse when low > high), smooth in between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def paint_skin(maps: Tensor, tiles: Tensor, hair: Tensor, columns: Columns, image: Tensor) -> Painted:
    """Paint the head's skin with brows, beard, make-up and lines.

    maps (M, P) of ``MAP_NAMES``; tiles (T, P) of ``TILE_NAMES``; hair (T, P): the same tiles, sampled along the hair's
    direction of growth; image (P,).
    """
    at = dict(zip(MAP_NAMES, maps, strict=True))
    noise = dict(zip(TILE_NAMES, tiles, strict=True))
    streaks = dict(zip(TILE_NAMES, hair, strict=True))

    def number(name: str) -> Tensor:
        return columns.at(name, image)

    lips = smoothstep(0.25, 0.75, at["lips"])
    blotch = number("blotch")
    melanin = number("melanin") * (1 + 0.07 * blotch * noise["low"] + 0.018 * noise["mid"])
    melanin = melanin + 0.16 * number("freckles") * noise["spots"] * (1 - lips) * (0.3 + at["redness"])
    melanin = melanin + number("bags") * 0.10 * at["eye_bag"] + lips * number("lip_melanin")
    lines = at["forehead_lines"] * (0.42 + 0.18 * noise["low"])
    folds = number("folds") * at["nasolabial"] + number("lines") * lines
    folds = folds + number("crows") * at["crows_feet"] + number("frown") * at["frown_lines"]
    blood = number("redness") + number("flush") * at["redness"] * (1 + 0.08 * noise["mid"])
    blood = blood + (0.03 * blotch) * (noise["mid"] + noise["low"]) + 0.025 * noise["fine"] + 0.12 * folds
    blood = blood + lips * number("lip_blood") * (1 + 0.10 * streaks["strands"]) + number("blush") * 0.5 * at["cheeks"]
    blood = blood + 0.05 * number("bags") * at["eye_bag"]
    density = melanin[:, None] * maps.new_tensor(MELANIN_ABSORPTION) + blood[:, None] * maps.new_tensor(
        BLOOD_ABSORPTION
    )
    worn = (number("folds") + number("lines") + number("bags")) * (1 / 3)
    density = density + (0.30 * folds + 0.45 * worn * at["relief"])[:, None]
    albedo = maps.new_tensor(PALE_SKIN) * torch.exp(-density)
    albedo = albedo.lerp(number("lipstick_colour"), (number("lipstick") * lips)[:, None] * 0.9)
    albedo = albedo.lerp(number("eye_shadow_colour"), (number("eye_shadow") * at["lid"])[:, None] * 0.8)
    inside = smoothstep(0.35, 0.65, at["mouth"])
    albedo = albedo.lerp(maps.new_tensor([0.20, 0.055, 0.05]), inside[:, None])
    labels = torch.full_like(image, int(FaceClass.SKIN), dtype=torch.uint8)
    labels = labels.masked_fill(at["neck"] > 0.5, int(FaceClass.NECK))
    labels = labels.masked_fill(at["ears"] > 0.5, int(FaceClass.EARS))
    labels = labels.masked_fill(at["lips"] > 0.5, int(FaceClass.LIPS))

    buzz = number("buzz") * at["scalp"]
    albedo = albedo.lerp(number("hair_colour") * (1 + 0.25 * noise["fine"][:, None]).clamp(min=0.3), buzz[:, None])
    labels = labels.masked_fill(buzz > 0.5, int(FaceClass.HAIR))

    beard = number("moustache") * at["moustache"]
    beard = torch.maximum(beard, number("chin") * at["chin"])
    beard = torch.maximum(beard, number("jaw") * at["jaw"])
    grain = 0.30 * noise["fine"] + 0.30 * streaks["strands"]
    cover = smoothstep(0.12, 0.62, beard + (0.22 * grain + 0.10 * noise["mid"]) * (beard > 0.03))
    where = torch.maximum(torch.maximum(at["moustache"], at["chin"]), at["jaw"])
    day = number("stubble") * where * (0.34 + 0.13 * noise["fine"]) * (1 - cover)
    beard_colour = number("beard_colour")
    albedo = albedo.lerp(beard_colour * 0.8 + 0.05 * albedo, day.clamp(0, 0.6)[:, None])
    albedo = albedo.lerp(beard_colour * (1 + 0.45 * grain[:, None]).clamp(min=0.25), (0.93 * cover)[:, None])
    labels = labels.masked_fill(
        (smoothstep(0.12, 0.62, beard) > BEARD_LABEL) & ~inside.bool(), int(FaceClass.FACIAL_HAIR)
    )

    body = _brow_body(at["brow_along"], at["brow_across"] / 100, number)
    brow = (body * (0.82 + 0.42 * streaks["strands"])).clamp(0, 1) * number("brow_density")
    albedo = albedo.lerp(number("brow_colour"), brow[:, None])
    labels = labels.masked_fill(body > BROW_LABEL, int(FaceClass.BROWS))

    lash = at["lash"] * (0.75 + 0.25 * number("liner"))
    albedo = albedo.lerp(maps.new_tensor(LASHES), lash.clamp(0, 0.95)[:, None])
    labels = labels.masked_fill(at["mouth"] > 0.5, int(FaceClass.MOUTH_INTERIOR))
    oily = 1 + 0.5 * at["nose"] + 0.45 * lips + 0.1 * noise["mid"]
    gloss = number("shine") * oily * (1 - 0.8 * torch.maximum(cover, brow)) * (1 - 0.5 * inside)
    roughness = 0.40 - 0.10 * lips + 0.2 * torch.maximum(cover, buzz)
    return Painted(albedo, labels, gloss, roughness)


def _brow_body(along: Tensor, across: Tensor, number) -> Tensor:
    """(P,) 0-1 density of the brow without its single hairs."""
    start, end = number("brow_start"), number("brow_end")
    t = (along - start) / (end - start)
    inner = t.clamp(0, 1)
    middle = number("brow_lift") + number("brow_arch") * (1 - 4 * (inner - 0.6) ** 2)
    full = smoothstep(-0.02, 0.22, inner) * 0.25 + 0.75
    width = number("brow_width") * full * (1 - number("brow_taper") * smoothstep(0.45, 1.05, inner))
    distance = (across - middle).abs() / width
    ends = smoothstep(-0.06, 0.06, t) * smoothstep(1.04, 0.93, t)
    fade = 0.62 + 0.38 * smoothstep(0.0, 0.25, inner)
    return smoothstep(1.25, 0.45, distance) * ends * fade
