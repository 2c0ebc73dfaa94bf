"""Draw one person's hair from the hairstyles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backend.hair.hull import AZIMUTHS, HeadHull, azimuths
from backend.hair.locks import Flow, Locks
from backend.hair.styles import STYLES, Range, Style
from trainer.data.people.attachments.hair_parameters import HairParameters
from trainer.data.people.look import PersonLook

CAP_ROWS = 10
WISPS = 72
LOCKS = 380
CHARACTER = 32
_COILED = {"afro short", "afro", "locs", "curls", "long curls"}


def draw_hair(
    generator: np.random.Generator, look: PersonLook, hull: HeadHull, locks: int, like: HairParameters | None = None
) -> HairParameters:
    """Draw one person's hair for one picture; with ``like`` the same person's hair of another picture."""
    if like is None:
        index = _pick_style(generator, look)
        character = generator.random(CHARACTER)
    else:
        index = int(like.style)
        character = np.clip(like.character + generator.normal(0, 0.04, CHARACTER), 0, 1)
        character[24:] = like.character[24:]
    style = STYLES[index]
    drawn = iter(character)

    def within(span: Range) -> float:
        return span[0] + (span[1] - span[0]) * float(next(drawn))

    top, sides, up, bend = within(style.top), within(style.sides), within(style.up), within(style.bend)
    width, taper, curl, wave = within(style.width), within(style.taper), within(style.curl), within(style.wave)
    wild, ears = within(style.wild), within(style.ears)
    fringed = next(drawn) < style.fringe
    tie_place, bundle_kind = next(drawn), next(drawn)
    tie = _tie(tie_place)
    flow = Flow(
        whorl=np.array([0.02 * (next(drawn) - 0.5), -0.035 - 0.02 * next(drawn)]),
        radial=within(style.radial),
        forward=within(style.forward),
        backward=within(style.backward),
        sideways=within(style.sideways),
        parting=within(style.parting) * (0.2 if style.sides[0] > 0.15 and next(drawn) < 0.6 else 1.0),
        tied=float(style.tied),
        tie=tie[:2],
        gravity=within(style.gravity),
        window=within(style.window),
        cut=within(style.cut),
        fringe_drop=generator.uniform(-0.025, 0.012),
        volume=within(style.volume),
        gather=generator.uniform(0.4, 1.0) * (generator.random() < 0.6),
    )
    colours = _colours(generator, look, character[24:], like)
    edge, bald = _hairline(generator, look, hull, character[28:])
    a, s = _roots(generator, locks, hull, edge)
    haired = generator.random(locks) > bald(a, s)
    on_top = np.clip((np.where(np.abs(a) < 0.8, 0.19, 0.115) - s) / 0.035, 0, 1)
    length = (sides + (top - sides) * on_top) * generator.uniform(0.75, 1.08, locks) * haired
    front = (np.abs(a) < 0.85) & (s > 0.045)
    fringe = front & fringed & (generator.random(locks) < 0.9)
    length = np.where(fringe & (length > 0.11), generator.uniform(0.08, 0.14, locks), length)
    side_locks = s > 0.75 * hull.line(a, edge)
    group = np.sin(23 * a + 90 * s + generator.uniform(0, 6)) + generator.normal(0, 0.6, locks)
    spread = style.turn * generator.normal(0, 0.6, (2, locks)) + 0.25 * style.turn * group
    hair = Locks(
        azimuth=a,
        s=s,
        length=length,
        base=np.full(locks, 0.002) + 0.002 * generator.random(locks),
        floor=0.0025 + 0.004 * generator.random(locks) + 0.010 * np.clip(length, 0, 0.3) * (1 - s / 0.2),
        up=np.clip(up * generator.uniform(0.7, 1.25, locks) * np.where(side_locks, 0.75, 1.0), 0, 1),
        bend=np.clip(bend + generator.normal(0, 0.08, locks), 0, 1.2),
        forward=np.where(fringe, 1.0, 0.0),
        turn_x=spread[0],
        turn_z=spread[1] + 2.0 * fringe,
        drift=0.15 * style.turn * group + generator.normal(0, 0.06, locks),
        fringe=fringe.astype(np.float64),
        tied=np.where(fringe, 0.0, 1.0),
        cut_jitter=generator.normal(0, 0.006, locks) * (1 + 2 * style.turn),
        width=width * generator.uniform(0.6, 1.25, locks) * np.clip(length / 0.03, 0.6, 1),
        taper=np.clip(taper + generator.normal(0, 0.08, locks), 0, 0.97),
        roll=style.roll * generator.normal(0, 1, locks),
        amplitude=curl * generator.uniform(0.6, 1.3, locks),
        waves=length / wave * generator.uniform(0.85, 1.15, locks),
        phase=2 * np.pi * generator.random() + 1.5 * group,
        wild=wild * generator.uniform(0.4, 1.4, locks),
        tone=np.exp(generator.normal(0, 0.16, locks) + 0.08 * group),
        second=(generator.random(locks) < colours.second_share) * generator.uniform(0.4, 1.0, locks),
    )
    cap_mix = 1.0 if style.name != "buzz" else generator.uniform(0.5, 0.95)
    rows = np.linspace(0, 1, CAP_ROWS)
    cap_a = np.broadcast_to(azimuths()[None], (CAP_ROWS, AZIMUTHS))
    cover = 1 - bald(cap_a, rows[:, None] * edge)
    thick = 0.0022 if style.name == "buzz" else 0.0032
    if style.bulk > 0:
        reach = style.bulk * np.clip(length, 0, 0.2).max(initial=0)
        lumps = 1 + 0.10 * generator.normal(0, 1, (CAP_ROWS, AZIMUTHS))
        thick = 0.0032 + reach * (1 - rows[:, None] ** 5) * lumps
        hair = replace(
            hair, base=hair.base + reach * (1 - (s / hull.line(a, edge)) ** 5), length=length * (1 - 0.7 * style.bulk)
        )
    cap = -0.006 + (thick + 0.006) * np.clip(cover * 2 - 0.5, 0, 1) * (length.max(initial=0) > 0)
    bundled = float(style.tied and bundle_kind < style.bundle)
    return HairParameters(
        style=float(index),
        character=character,
        flow=flow,
        locks=hair,
        wisps=_wisps(generator, hair, style, haired.any()),
        wisp_alpha=generator.uniform(0.25, 0.75, WISPS),
        cap_height=cap,
        cap_edge=edge,
        cap_mix=cap_mix,
        ear_room=ears,
        colour=colours.first,
        second_colour=colours.second,
        root_colour=colours.root,
        root_length=colours.root_length,
        shine=generator.uniform(0.15, 0.6) * (0.35 if style.name in _COILED else 1.0),
        bundle=_bundle(tie, bundled, bundle_kind, character[20:24]),
        scalp=np.array(look.skin),
    )


def without_locks(hair: HairParameters) -> HairParameters:
    """Hide the hair except the scalp's cover."""
    locks, wisps = (replace(each, length=np.zeros_like(each.length)) for each in (hair.locks, hair.wisps))
    return replace(hair, locks=locks, wisps=wisps, bundle=hair.bundle * 0.0)


def _pick_style(generator: np.random.Generator, look: PersonLook) -> int:
    f = look.femininity
    weights = np.array([style.men * (1 - f) + style.women * f for style in STYLES])
    coiled = np.array([style.name in _COILED for style in STYLES])
    weights = np.where(coiled, weights * (0.35 + 2.0 * look.melanin), weights * (1.25 - 0.8 * look.melanin))
    weights[0] *= 0.3 + 2.5 * look.baldness
    if look.baldness > 0.55:
        weights *= [style.top[1] < 0.12 for style in STYLES]
    return int(generator.choice(len(STYLES), p=weights / weights.sum()))


def _tie(place: float) -> np.ndarray:
    """(3,) x, z in the plane and s of the place where hair is tied: nape, back of the head, crown, or a side."""
    s = 0.04 + 0.17 * place if place > 0.12 else 0.02
    angle = np.pi - (0.5 if 0.45 < place < 0.55 else 0.0)
    return np.array([s * np.sin(angle), s * np.cos(angle), s])


def _bundle(tie: np.ndarray, present: float, kind: float, numbers: np.ndarray) -> np.ndarray:
    azimuth = np.arctan2(tie[0], tie[1])
    bun = kind < 0.5
    radius = 0.026 + 0.02 * numbers[0] if bun else 0.016 + 0.012 * numbers[0]
    length = radius * 0.5 if bun else 0.12 + 0.22 * numbers[1]
    lobes = 0.0 if bun or numbers[2] < 0.6 else 1.0
    return np.array([present, azimuth, tie[2], radius, length, 0.75 + 0.3 * numbers[3], lobes, float(not bun)])


def _roots(
    generator: np.random.Generator, count: int, hull: HeadHull, edge: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Azimuth and s (count,) of roots, evenly over the scalp (additive recurrence with a random shift)."""
    number = np.arange(count)[:, None]
    u, v = ((number * [0.7548776662466927, 0.5698402909980532] + generator.random(2)) % 1).T
    a = (u - 0.5) * 2 * np.pi
    s = v**0.62 * hull.line(a, edge) * 0.985
    return a, s


def _hairline(generator: np.random.Generator, look: PersonLook, hull: HeadHull, character: np.ndarray):
    """Hairline's s (AZIMUTHS,), and a function (azimuth, s) -> share of bald skin 0-1."""
    b, a = look.baldness, np.abs(azimuths())
    forehead = 0.012 * (character[0] - 0.45) + 0.020 * b
    temples = (0.004 + 0.012 * character[1]) * (1 - 0.7 * look.femininity) + 0.035 * np.clip(b * 1.3, 0, 1)
    front = np.clip(1.25 - a, 0, 0.4) / 0.4
    corner = np.exp(-(((a - 0.66) / 0.26) ** 2))
    ragged = generator.normal(0, 0.0012, AZIMUTHS)
    sideburn = (character[2] - 0.45) * 0.03 * np.exp(-(((a - 1.12) / 0.13) ** 2)) * (1 - 0.6 * look.femininity)
    nape = (character[3] - 0.3) * 0.02 * (a > 2)
    edge = hull.hairline - forehead * front - temples * corner + ragged + sideburn + nape
    patch = 0.075 * np.clip((b - 0.35) / 0.3, 0, 1)
    horseshoe = np.clip((b - 0.6) / 0.12, 0, 1)
    rim = 0.085 + 0.03 * np.clip((b - 0.6) / 0.4, 0, 1)

    def bald(azimuth: np.ndarray, s: np.ndarray) -> np.ndarray:
        x, z = s * np.sin(azimuth), s * np.cos(azimuth) + 0.04
        vertex = np.clip((patch - np.hypot(x, z)) / 0.02, 0, 1)
        front_limit = np.clip((1.15 - np.abs(azimuth)) / 0.25, 0, 1)
        top = horseshoe * np.maximum(np.clip((rim - s) / 0.012, 0, 1), front_limit)
        return np.clip(np.maximum(vertex, top), 0, 1)

    return edge, bald


@dataclass(frozen=True)
class _HairColours:
    first: np.ndarray
    second: np.ndarray
    second_share: float
    root: np.ndarray
    root_length: float


def _colours(
    generator: np.random.Generator, look: PersonLook, character: np.ndarray, like: HairParameters | None
) -> _HairColours:
    """Choose colours of the hair, its highlights or grey hairs, and its roots. ``character`` (4,) decides about dye."""
    base = np.array(look.hair)
    if like is not None:
        first, second, root = like.colour, like.second_colour, like.root_colour
        return _HairColours(first, second, float(character[1]), root, float(like.root_length))
    share, root, root_length = float(character[1]) * 0.5, base.copy(), 0.02
    grey = np.array([0.40, 0.39, 0.38])
    if 0.05 < look.greyness < 0.9:
        second = base + (grey - base) * 0.6
    elif look.femininity > 0.4 and character[0] < 0.25:  # dyed lighter, roots grown out
        first = np.array([0.36, 0.22, 0.10]) * generator.uniform(0.5, 1.3)
        return _HairColours(first, first * 1.35, share, base, float(generator.uniform(0.01, 0.09)))
    else:
        second = base * generator.uniform(0.8, 2.2) + 0.01 * generator.random()
    return _HairColours(base * generator.uniform(0.85, 1.2), np.clip(second, 0, 0.8), share, root, root_length)


def _wisps(generator: np.random.Generator, locks: Locks, style: Style, haired: bool) -> Locks:
    """Make thin loose strands: copies of locks with their own direction, some in front over forehead and temples."""
    order = np.argsort(np.where(np.abs(locks.azimuth) < 1.2, -locks.s, 0.0) + 0.05 * generator.random(len(locks.s)))
    pick = np.concatenate([order[: WISPS // 2], generator.integers(0, len(order), WISPS - WISPS // 2)])
    n, chosen = WISPS, {name: np.asarray(value)[pick] for name, value in locks.__dict__.items()}
    loose = generator.random(n) < np.where(np.arange(n) < n // 2, 0.35, 0.0)
    length = chosen["length"] * generator.uniform(0.6, 1.1, n)
    length = np.where(loose & (length > 0.02), generator.uniform(0.03, 0.12, n), length) * haired
    chosen |= {
        "length": length * (generator.random(n) < generator.uniform(0.3, 1.0)),
        "base": chosen["base"] + 0.002,
        "floor": chosen["floor"] + 0.002 + 0.004 * generator.random(n),
        "up": np.clip(chosen["up"] * generator.uniform(0.9, 1.8, n), 0, 1),
        "bend": chosen["bend"] * generator.uniform(0.5, 1.0, n),
        "turn_x": chosen["turn_x"] + generator.normal(0, 0.35 + style.turn, n),
        "turn_z": chosen["turn_z"] + generator.normal(0, 0.35 + style.turn, n),
        "drift": chosen["drift"] + generator.normal(0, 0.25, n),
        "fringe": np.maximum(chosen["fringe"], loose * 1.0),
        "forward": np.maximum(chosen["forward"], loose * 1.0),
        "tied": chosen["tied"] * (1 - loose),
        "cut_jitter": chosen["cut_jitter"]
        + np.where(loose, generator.uniform(0.0, 0.09, n), generator.normal(0, 0.02, n)),
        "width": generator.uniform(0.0008, 0.0028, n),
        "taper": generator.uniform(0.5, 0.95, n),
        "wild": chosen["wild"] + generator.uniform(0, 0.0015, n),
        "amplitude": chosen["amplitude"] + generator.uniform(0, 0.003, n),
    }  # fmt: skip
    return Locks(**chosen)
