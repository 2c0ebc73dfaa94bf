"""The style model: straight hair from 27 named numbers. Curls are added later by the style (``guides.curled``).

A style's numbers are one point (D,) in the box of ``NUMBERS``; ``points`` are (N, D) in units of that box, 0 to 1. The
family of ``styles.STYLES`` is a set of smaller boxes in it. Photographs are fitted by points near one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.hair.hull import AZIMUTHS, HeadHull, azimuths
from backend.hair.locks import Flow, Locks
from backend.hair.styles import STYLES, Style


@dataclass(frozen=True)
class StyleNumber:
    """One number of the style model: its name, its range, and whether its scale is logarithmic (``ratio``; lengths)."""

    name: str
    low: float
    high: float
    ratio: bool = False


NUMBERS: tuple[StyleNumber, ...] = (
    StyleNumber("top", 0.003, 0.55, True),  # metres
    StyleNumber("sides", 0.002, 0.50, True),  # metres
    StyleNumber("fade", 0.0, 0.9),  # share of the length that is cut off at the lower hairline
    StyleNumber("up", 0.05, 1.0),  # sine of the angle with the skull at the root
    StyleNumber("bend", 0.0, 1.1),  # how far a lock bends back to the skull
    StyleNumber("radial", 0.0, 1.0),
    StyleNumber("forward", 0.0, 1.0),
    StyleNumber("backward", 0.0, 1.0),
    StyleNumber("sideways", 0.0, 2.2),
    StyleNumber("parting", -0.06, 0.06),  # metres to the person's left
    StyleNumber("gravity", 0.0, 1.0),
    StyleNumber("window", 0.5, 1.6),  # radians
    StyleNumber("cut", 0.18, 0.60),  # metres from the crown along the head
    StyleNumber("volume", 0.006, 0.12, True),  # metres
    StyleNumber("ears", 0.0, 0.02),  # metres of room for covered ears
    StyleNumber("bulk", 0.0, 0.75),  # share of the length that is a closed body of hair
    StyleNumber("fringe", 0.0, 1.0),  # share of the front's locks
    StyleNumber("fringe_drop", -0.03, 0.03),  # metres below the brows
    StyleNumber("gather", 0.0, 1.0),
    StyleNumber("turn", 0.0, 1.2),
    StyleNumber("tied", 0.0, 1.0),
    StyleNumber("tie", 0.02, 0.20),  # metres behind the crown
    StyleNumber("forehead", -0.03, 0.025),  # metres by which the hairline is higher than the template's
    StyleNumber("temples", 0.0, 0.06),  # metres by which the hairline recedes at the temples
    StyleNumber("sideburns", -0.02, 0.03),  # metres
    StyleNumber("nape", -0.015, 0.03),  # metres
    StyleNumber("bald", 0.0, 1.0),  # from 0.35 a bare patch at the crown; from 0.72 only a ring is left
)
_INDEX = {number.name: i for i, number in enumerate(NUMBERS)}
_LOW = np.array([number.low for number in NUMBERS])
_HIGH = np.array([number.high for number in NUMBERS])
_RATIO = np.array([number.ratio for number in NUMBERS])
_TOLD = ("top", "sides", "cut", "bulk", "tied", "fringe")
"""Numbers that decide a fitted style's name, because an outline determines them."""
_DENSE = 0.2
"""``bulk`` that fits find even in straight hair, because real hair has fewer gaps than the model's."""
_CURLY = 0.005
"""Amplitude in metres above which a style counts as curly. Outlines cannot distinguish curls from straight locks of the
same length."""
MOST_LAYER = 0.004
"""Most metres by which the hair below lifts a lock off the skin; a closed body of hair (``bulk``) is added."""
FADE = 0.05
"""Metres above the hairline at the ears and the nape over which faded hair gets shorter: half a hand's breadth."""
RARE = 0.05
"""Penalty for a style that is rarer by the factor e, relative to the squared distance of one whole range."""
_USUAL = {
    "forehead": (-0.012, 0.012),
    "temples": (0.0, 0.016),
    "sideburns": (-0.012, 0.015),
    "nape": (-0.006, 0.014),
    "bald": (0.0, 0.0),
    "fringe_drop": (-0.025, 0.012),
    "gather": (0.0, 1.0),
    "tie": (0.02, 0.20),
}
"""Usual ranges of numbers that depend on the person or the day, not on the style."""


def numbers_of(points: np.ndarray) -> np.ndarray:
    """Convert points (..., D) in the unit box to numbers (..., D) in their own units."""
    points = np.clip(points, 0.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.exp(np.log(np.maximum(_LOW, 1e-9)) * (1 - points) + np.log(_HIGH) * points)
    return np.where(_RATIO, ratio, _LOW + (_HIGH - _LOW) * points)


def points_of(numbers: np.ndarray) -> np.ndarray:
    """Inverse of ``numbers_of``, clipped to the unit box."""
    numbers = np.clip(numbers, _LOW, _HIGH)
    low, high = np.where(_RATIO, np.log(np.where(_RATIO, _LOW, 1.0)), _LOW), np.where(_RATIO, np.log(_HIGH), _HIGH)
    value = np.where(_RATIO, np.log(np.where(_RATIO, numbers, 1.0)), numbers)
    return np.clip((value - low) / (high - low), 0.0, 1.0)


def known_places(known: Mapping[str, float]) -> tuple[list[int], np.ndarray]:
    """Indices in a point (D,) of numbers given by name in their own units, and their values in the unit box."""
    numbers = numbers_of(np.full(len(NUMBERS), 0.5))
    which = [_INDEX[name] for name in known]
    numbers[which] = list(known.values())
    return which, points_of(numbers)[which]


def named(point: np.ndarray) -> dict[str, float]:
    """The numbers of a point (D,) by name."""
    return {number.name: float(value) for number, value in zip(NUMBERS, numbers_of(point), strict=True)}


@dataclass(frozen=True)
class StyleFamily:
    """The styles' boxes in the unit box: styles (S,), low and high (S, D)."""

    styles: tuple[Style, ...]
    low: np.ndarray
    high: np.ndarray

    def style_penalty(self, points: np.ndarray) -> np.ndarray:
        """(N,) penalty of points (N, D) for being unlike the family: the least over all styles of the squared distance
        to the style's box plus ``RARE`` times the log of how much rarer it is than the commonest style."""
        return ((self._beyond(points) ** 2).sum(-1) + self._rarity()).min(1)

    def nearest(self, point: np.ndarray) -> Style:
        """Name the style that a point (D,) belongs to, by the numbers that outlines determine (``_TOLD``); ties go to
        the commonest style.

        A family of one style returns that style. The level of the cut counts only for styles with a level cut. Curly
        styles (``_CURLY``) are never returned.
        """
        if len(self.styles) == 1:
            return self.styles[0]
        beyond = self._beyond(point[None])[0]
        beyond[[style.cut == Style.cut for style in self.styles], _INDEX["cut"]] = 0.0
        beyond[:, _INDEX["bulk"]] = np.maximum(beyond[:, _INDEX["bulk"]] - _DENSE, 0.0)
        beyond = beyond[:, [_INDEX[name] for name in _TOLD]]
        untold = np.array([0.5 * sum(style.curl) > _CURLY for style in self.styles])
        return self.styles[int(((beyond**2).sum(-1) + self._rarity() + np.where(untold, np.inf, 0.0)).argmin())]

    def _beyond(self, points: np.ndarray) -> np.ndarray:
        """(N, S, D) distances of points (N, D) outside each style's box."""
        return np.maximum(self.low - points[:, None], 0) + np.maximum(points[:, None] - self.high, 0)

    def _rarity(self) -> np.ndarray:
        common = np.array([style.men + style.women for style in self.styles])
        return RARE * np.log(common.max() / common)


def style_family(name: str | None = None) -> StyleFamily:
    """The family of ``styles.STYLES``, in their order, without the shaved head; with a ``name`` that style alone.

    Raises ``ValueError`` when no style with hair has that name.
    """
    styles = [style for style in STYLES if max(style.top) > 0 and name in (None, style.name)]
    if not styles:
        raise ValueError(f"no hairstyle is called {name!r}")
    boxes = [_box(style) for style in styles]
    low, high = (np.stack([box[end] for box in boxes]) for end in (0, 1))
    return StyleFamily(tuple(styles), low, high)


def _box(style: Style) -> tuple[np.ndarray, np.ndarray]:
    ends = []
    for end in (0, 1):
        values = {}
        for number in NUMBERS:
            if number.name in _USUAL:
                values[number.name] = _USUAL[number.name][end]
            elif number.name in ("tied", "turn", "bulk", "fringe"):
                values[number.name] = float(getattr(style, number.name))
            else:
                values[number.name] = getattr(style, number.name)[end]
        if style.fringe not in (0.0, 1.0):
            values["fringe"] = float(end)
        ends.append(points_of(np.array([values[number.name] for number in NUMBERS])))
    return np.minimum(*ends), np.maximum(*ends)


@dataclass(frozen=True)
class LockNoise:
    """Random differences between locks, independent of the style; drawn once, so that equal numbers give equal hair.

    ``place`` : (L, 2) roots in the unit square. ``uniform`` : (L, U), ``normal`` : (L, K), standard.
    """

    place: np.ndarray
    uniform: np.ndarray
    normal: np.ndarray


def lock_noise(count: int, seed: int = 0) -> LockNoise:
    """Draw the noise of ``count`` locks; roots are spread evenly (additive recurrence)."""
    generator = np.random.default_rng(seed)
    place = (np.arange(count)[:, None] * [0.7548776662466927, 0.5698402909980532] + 0.5) % 1
    return LockNoise(place, generator.random((count, 12)), generator.standard_normal((count, 8)))


@dataclass(frozen=True)
class StyledHair:
    """N heads of hair of the style model, ready for ``grow.grow``; ``ears`` (N,) for ``hull.hull_surface``."""

    locks: Locks
    flow: Flow
    ears: Tensor


def styled_hair(points: np.ndarray, hull: HeadHull, noise: LockNoise, roots: np.ndarray | None = None) -> StyledHair:
    """Make the locks and the flow of points (N, D).

    ``roots`` : (L, 2) azimuth and s of given roots, the same for all N; locks outside the hairline have length 0.
    None: roots are spread evenly within each head's own hairline.
    """
    numbers = numbers_of(points).astype(np.float32)
    value = {number.name: torch.from_numpy(numbers[:, i])[:, None] for i, number in enumerate(NUMBERS)}  # (N, 1)
    uniform, normal = torch.from_numpy(noise.uniform).float(), torch.from_numpy(noise.normal).float()
    edge = hairline(value, hull)  # (N, A)
    if roots is None:
        place = torch.from_numpy(noise.place).float()
        a = ((place[:, 0] - 0.5) * (2 * torch.pi)).expand(len(points), -1)
        limit = along(edge, a)
        s = place[:, 1] ** 0.62 * limit * 0.985
    else:
        a, s = (torch.from_numpy(roots[:, k]).float().expand(len(points), -1) for k in (0, 1))
        limit = along(edge, a)
    u = lambda k, low, high: low + (high - low) * uniform[:, k]  # noqa: E731
    haired = ((uniform[:, 0] > bare_share(value, a, s)) & (s < limit)).float()
    on_top = ((torch.where(a.abs() < 0.8, 0.19, 0.115) - s) / 0.035).clamp(0, 1)
    length = (value["sides"] + (value["top"] - value["sides"]) * on_top) * u(1, 0.75, 1.08) * haired
    low = ((s - limit) / FADE + 1).clamp(0, 1) * ((a.abs() - 0.85) / 0.3).clamp(0, 1)
    length = length * (1 - value["fade"] * low)
    front = (a.abs() < 0.85) & (s > 0.045)
    fringe = (front & (uniform[:, 2] < 0.9 * value["fringe"])).float()
    length = torch.where((fringe > 0) & (length > 0.11), u(3, 0.08, 0.14), length)
    side = s > 0.75 * limit
    group = torch.sin(23 * a + 90 * s) + 0.6 * normal[:, 0]
    spread = 0.6 * normal[:, 1:3] * value["turn"][..., None] + 0.25 * (value["turn"] * group)[..., None]
    thick = 0.001
    reach = value["bulk"] * length.clamp(max=0.2).amax(1, keepdim=True)
    base = 0.5 * MOST_LAYER * (1 + uniform[:, 4]) + reach * (1 - (s / limit.clamp(min=1e-3)).clamp(0, 1) ** 5)
    styled = length * (1 - 0.7 * value["bulk"])
    locks = Locks(
        azimuth=a,
        s=s,
        length=styled,
        base=base + 0 * s,
        floor=0.0025 + thick * uniform[:, 5] + 0.010 * length.clamp(0, 0.3) * (1 - s / 0.2),
        up=(value["up"] * u(6, 0.7, 1.25) * torch.where(side, 0.75, 1.0)).clamp(0, 1),
        bend=(value["bend"] + 0.08 * normal[:, 3]).clamp(0, 1.2) + 0 * s,
        forward=fringe,
        turn_x=spread[..., 0],
        turn_z=spread[..., 1] + 2.0 * fringe,
        drift=0.15 * value["turn"] * group + 0.06 * normal[:, 4],
        fringe=fringe,
        tied=1 - fringe,
        cut_jitter=0.006 * normal[:, 5] * (1 + 2 * value["turn"]),
        width=torch.full_like(s, 0.01),
        taper=torch.full_like(s, 0.8),
        roll=0.3 * normal[:, 6] + 0 * s,
        amplitude=torch.zeros_like(s),
        waves=torch.zeros_like(s),
        phase=1.5 * group,
        wild=torch.zeros_like(s),
        tone=torch.ones_like(s),
        second=torch.zeros_like(s),
    )
    tie = torch.cat([torch.zeros_like(value["tie"]), -value["tie"]], 1)
    one = {name: each[:, 0] for name, each in value.items()}
    volume = torch.where(one["bulk"] > 0.5, 0.5, one["volume"])  # standing hair is not pressed to the head
    flow = Flow(
        whorl=torch.tensor([[0.0, -0.045]]).expand(len(points), 2),
        radial=one["radial"],
        forward=one["forward"],
        backward=one["backward"],
        sideways=one["sideways"],
        parting=one["parting"],
        tied=(one["tied"] > 0.5).float(),
        tie=tie,
        gravity=one["gravity"],
        window=one["window"],
        cut=one["cut"],
        fringe_drop=one["fringe_drop"],
        volume=volume,
        gather=one["gather"],
    )
    return StyledHair(locks, flow, one["ears"])


def hairline(value: dict[str, Tensor], hull: HeadHull) -> Tensor:
    """(N, AZIMUTHS) s of the hairline for numbers (N, 1) by name."""
    a = torch.from_numpy(np.abs(azimuths())).float()
    front = (1.25 - a).clamp(0, 0.4) / 0.4
    corner = torch.exp(-(((a - 0.66) / 0.26) ** 2))
    beside = torch.exp(-(((a - 1.12) / 0.13) ** 2))
    line = torch.from_numpy(hull.hairline).float() - value["forehead"] * front - value["temples"] * corner
    return (line + value["sideburns"] * beside - value["nape"] * (a > 2)).clamp(min=0.01)


def bare_share(value: dict[str, Tensor], azimuth: Tensor, s: Tensor) -> Tensor:
    """(N, L) share of bare skin, 0 to 1, within the hairline."""
    bald = value["bald"]
    patch = 0.075 * ((bald - 0.35) / 0.3).clamp(0, 1)
    horseshoe = ((bald - 0.6) / 0.12).clamp(0, 1)
    rim = 0.085 + 0.03 * ((bald - 0.6) / 0.4).clamp(0, 1)
    x, z = s * torch.sin(azimuth), s * torch.cos(azimuth) + 0.04
    vertex = ((patch - torch.hypot(x, z)) / 0.02).clamp(0, 1)
    front = ((1.15 - azimuth.abs()) / 0.25).clamp(0, 1)
    top = horseshoe * torch.maximum(((rim - s) / 0.012).clamp(0, 1), front)
    return torch.maximum(vertex, top).clamp(0, 1)


def along(line: Tensor, azimuth: Tensor) -> Tensor:
    """Values (N, L) of periodic lines (N, AZIMUTHS) at azimuths (N, L), interpolated linearly."""
    place = (azimuth / (2 * torch.pi) + 0.5) * AZIMUTHS
    low = place.floor()
    t, column = place - low, low.long().remainder(AZIMUTHS)
    return line.gather(1, column) * (1 - t) + line.gather(1, (column + 1).remainder(AZIMUTHS)) * t
