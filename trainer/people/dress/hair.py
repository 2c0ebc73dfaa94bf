"""Hair and beards of synthetic people: parameters, one person's from the hairstyles, and meshes of a batch: locks, the
scalp's cover, bun or tail, loose strands, long beards. Lengths in metres; arrays of one person or (N, ...) tensors of
a batch.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import Template
from backend.geometry.vectors import unit
from backend.hair.hull import AZIMUTHS, HeadHull, HullSurface, azimuths
from backend.photos.collection import FaceClass
from trainer.people.dress.grow import STYLES, Flow, Locks, Numbers, Range, Style, grow
from trainer.people.dress.layers import STRANDS, SurfaceLayer, grid_faces, grid_normals, layer_of, ribbon_faces, ribbons
from trainer.people.look import PersonLook


@dataclass(frozen=True)
class HairParameters:
    """A head of hair.

    Attributes
    ----------
    style : index of ``hairstyles.STYLES``; character : (32,) the random numbers behind the style, reused in other
    pictures
        of the person. flow, locks, wisps : the hair and its thin loose strands.
    cap_height : (CAP_ROWS, AZIMUTHS) height of the scalp's cover above the hull, below zero where there is no hair.
    cap_edge : (AZIMUTHS,) s of the hairline. ear_room : see ``hull.hull_surface``. cap_mix : 1 where the cover is hair,
        down to 0.4 where skin is visible between the hairs; colour, second_colour, root_colour : (3,) linear.
    root_length : metres over which the root's colour fades. shine : strength of the highlight.
    bundle : (8,) bun or tail: present, azimuth, s, radius, length, squash, lobes, drop.
    """

    style: Numbers
    character: Numbers
    flow: Flow
    locks: Locks
    wisps: Locks
    wisp_alpha: Numbers
    cap_height: Numbers
    cap_edge: Numbers
    cap_mix: Numbers
    ear_room: Numbers
    colour: Numbers
    second_colour: Numbers
    root_colour: Numbers
    root_length: Numbers
    shine: Numbers
    bundle: Numbers
    scalp: Numbers


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
        bundle=_hairstyles_bundle(tie, bundled, bundle_kind, character[20:24]),
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


def _tie(height: float) -> np.ndarray:
    """(3,) x, z in the plane and s of the place where hair is tied: nape, back of the head, crown, or a side."""
    s = 0.04 + 0.17 * height if height > 0.12 else 0.02
    angle = np.pi - (0.5 if 0.45 < height < 0.55 else 0.0)
    return np.array([s * np.sin(angle), s * np.cos(angle), s])


def _hairstyles_bundle(tie: np.ndarray, present: float, kind: float, numbers: np.ndarray) -> np.ndarray:
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


SEGMENTS = 10
BUNDLE_ROWS, BUNDLE_COLUMNS = 12, 14


@dataclass(frozen=True)
class HatPressure:
    """Pressure of a hat on the hair: inside its rim, given as s (N, AZIMUTHS), hair is pressed to ``height`` (N,)."""

    rim: Tensor
    height: Tensor


def hair_layers(
    hair: HairParameters, hull: HeadHull, surface: HullSurface, pressure: HatPressure
) -> tuple[tuple[SurfaceLayer, ...], SurfaceLayer]:
    """Build the opaque layers (locks, cover, bundle) and the veil (loose strands)."""
    locks = _lock_layer(hair, hair.locks, hull, surface, pressure, None)
    wisps = _lock_layer(hair, hair.wisps, hull, surface, pressure, hair.wisp_alpha)
    return (locks, _cover(hair, surface, pressure), _bundle(hair, surface)), wisps


def _lock_layer(
    hair: HairParameters,
    locks: Locks,
    hull: HeadHull,
    surface: HullSurface,
    pressure: HatPressure,
    alpha: Tensor | None,
) -> SurfaceLayer:
    device = locks.s.device
    lines = [torch.from_numpy(line).float().to(device) for line in (hull.hairline, hull.brow_line)]
    azimuth, s, height = grow(locks, hair.flow, *lines, SEGMENTS)
    column = ((azimuth / (2 * torch.pi) + 0.5) * AZIMUTHS).round().long().remainder(AZIMUTHS)
    rim = pressure.rim[:, None].expand(-1, azimuth.shape[1], -1).gather(2, column)
    cover = ((rim - s) / 0.02).clamp(0, 1)
    height = height + (torch.minimum(height, pressure.height[:, None, None]) - height) * cover
    edges, normals, tangent = ribbons(surface, locks, azimuth, s, height)
    n, count, points = azimuth.shape
    gone = (locks.length < 1e-4)[..., None, None, None]
    edges = torch.where(gone, edges[:, :, :1, :1], edges)
    t = torch.linspace(0, 1, points, device=device)
    travelled = locks.length[..., None] * t**1.25
    colour = hair.colour[:, None, None]
    root = (1 - travelled / hair.root_length[:, None, None].clamp(min=1e-3)).clamp(0, 1)[..., None]
    colour = colour + (hair.root_colour[:, None, None] - colour) * root
    share = (locks.second[..., None] * (0.5 + 0.5 * t))[..., None]
    colour = colour + (hair.second_colour[:, None, None] - colour) * share
    # ambient occlusion: it is darker deep between the locks
    depth = height / (0.4 * height.amax((1, 2), keepdim=True) + 0.004)
    shade = 0.42 + 0.58 * depth.clamp(0, 1)
    behind = ((s - 0.2) / 0.08).clamp(0, 1) * ((azimuth.abs() - 1.7) / 0.5).clamp(0, 1)
    shade = shade * (1 - 0.55 * behind)
    colour = colour * (shade * locks.tone[..., None])[..., None]
    colour = colour[:, :, :, None].expand(-1, -1, -1, 2, -1)
    vertices = edges.reshape(n, -1, 3)
    ones = torch.ones_like(vertices[..., 0])
    across = torch.arange(2, device=device).float() * (locks.width / 0.0022)[..., None, None]  # (n, L, 1, 2)
    u = across.expand(-1, -1, points, -1) + 37.0 * torch.arange(count, device=device)[:, None, None]
    v = (travelled / 0.02)[..., None].expand(-1, -1, -1, 2)
    detail = torch.stack([torch.full_like(u, STRANDS), torch.full_like(u, 0.35), u, v], -1).reshape(n, -1, 4)
    return SurfaceLayer(
        vertices=vertices,
        normals=normals.reshape(n, -1, 3),
        faces=ribbon_faces(count, points).to(device),
        labels=torch.full((n, count * (points - 1) * 2), int(FaceClass.HAIR), dtype=torch.uint8, device=device),
        albedo=colour.reshape(n, -1, 3).clamp(0.002, 0.9),
        specular=ones * hair.shine[:, None],
        roughness=ones * 0.35,
        tangent=tangent.reshape(n, -1, 3),
        alpha=ones if alpha is None else alpha[:, :, None].expand(-1, -1, points * 2).reshape(n, -1),
        mirror=torch.zeros_like(ones),
        detail=detail,
    )


def _cover(hair: HairParameters, surface: HullSurface, pressure: HatPressure) -> SurfaceLayer:
    """Build the scalp's cover: just above the skin where hair grows, below it elsewhere."""
    device = hair.cap_edge.device
    rows = torch.linspace(0, 1, CAP_ROWS, device=device)
    rows = torch.cat([rows, rows.new_tensor([1.025])])
    a = torch.from_numpy(azimuths()).float().to(device)
    a = torch.cat([a, a[:1]])
    edge = torch.cat([hair.cap_edge, hair.cap_edge[:, :1]], 1)
    s = rows[:, None] * edge[:, None]  # (N, R, A + 1)
    height = torch.cat([hair.cap_height, torch.full_like(hair.cap_height[:, :1], -0.006)], 1)
    height = torch.cat([height, height[..., :1]], 2)
    rim = torch.cat([pressure.rim, pressure.rim[:, :1]], 1)[:, None]
    pressed = torch.minimum(height, 0.7 * pressure.height[:, None, None])
    height = height + (pressed - height) * ((rim - s) / 0.02).clamp(0, 1)
    points, normals = surface.sample(a.expand_as(s), s)
    vertices = points + normals * height[..., None]
    colour = hair.root_colour + (hair.colour - hair.root_colour) * (hair.cap_mix < 1)[:, None]
    colour = hair.scalp + (0.75 * colour - hair.scalp) * hair.cap_mix[:, None]
    grain = torch.stack(torch.broadcast_tensors(
        torch.full_like(s, STRANDS), 0.15 + 0.35 * (1 - hair.cap_mix)[:, None, None].expand_as(s),
        a.expand_as(s) * 60, s * 700,
    ), -1)  # fmt: skip
    return layer_of(vertices, normals, grid_faces(CAP_ROWS + 1, AZIMUTHS + 1, device), int(FaceClass.HAIR),
                    colour[:, None, None].expand_as(vertices), specular=0.15, detail=grain)  # fmt: skip


def _bundle(hair: HairParameters, surface: HullSurface) -> SurfaceLayer:
    """Build a bun, or a tail that starts where the hair is tied and hangs down."""
    present, azimuth, s, radius, length, squash, lobes, tail = hair.bundle.unbind(1)
    device = azimuth.device
    anchor, out = surface.sample(azimuth[:, None], s[:, None])
    anchor, out = anchor[:, 0], out[:, 0]
    t = torch.linspace(0, 1, BUNDLE_ROWS, device=device)
    angle = torch.linspace(0, 2 * torch.pi, BUNDLE_COLUMNS, device=device)
    down = out.new_tensor([0.0, -1.0, 0.0]).expand_as(out)
    radius, length = radius * present, length * present
    # a bun is a ball around a point off the head; a tail bends from outwards to downwards
    leave = 1 - (1 - t) ** 2
    along = out[:, None] * (length[:, None] * (0.35 * leave))[..., None]
    along = along + down[:, None] * (length[:, None] * tail[:, None] * 0.9 * t**1.5)[..., None]
    ball_axis = torch.cos(torch.pi * t)
    ball = -out[:, None] * (radius[:, None] * squash[:, None] * ball_axis)[..., None]
    centre = anchor[:, None] + torch.where(
        tail[:, None, None] > 0, along, ball + out[:, None] * radius[:, None, None] * 0.6
    )
    thick_tail = (0.35 + 0.9 * (t * 5).clamp(max=1)) * (1 - t**2.5) * (1 + lobes[:, None] * 0.18 * torch.sin(t * 30))
    thick = torch.where(tail[:, None] > 0, thick_tail.expand(len(tail), -1), torch.sin(torch.pi * t).clamp(min=0)[None])
    thick = thick * radius[:, None]
    side = unit(torch.linalg.cross(out, down) + 1e-5)
    axis = torch.where(tail[:, None] > 0, unit(out + down), out)
    other = torch.linalg.cross(axis, side)
    ring = side[:, None, None] * angle.cos()[:, None] + other[:, None, None] * angle.sin()[:, None]
    vertices = centre[:, :, None] + ring * thick[:, :, None, None]
    normals = grid_normals(vertices, closed=True)
    inwards = ((normals * ring).sum(-1).mean((1, 2)) < 0)[:, None, None, None]
    normals = torch.where(inwards, -normals, normals)
    u, v = torch.broadcast_tensors(angle * 5, t[:, None] * (length[:, None, None] / 0.03 + 2))
    zeros = torch.zeros_like(v)
    twist = torch.where(tail[:, None, None] > 0, torch.zeros_like(v), t[:, None] * 14)
    detail = torch.stack([zeros + STRANDS, zeros + 0.4, u + twist, v], -1)
    return layer_of(vertices, normals, grid_faces(BUNDLE_ROWS, BUNDLE_COLUMNS, device), int(FaceClass.HAIR),
                    (0.8 * hair.colour)[:, None, None].expand_as(vertices), specular=0.3, detail=detail)  # fmt: skip


BEARD_LOCKS, BEARD_SEGMENTS = 170, 4
SHORTEST = 0.004


@dataclass(frozen=True)
class BeardParameters:
    """A beard of L locks; lengths in metres.

    Attributes
    ----------
    triangle : (L,) row of ``BeardRoots.triangles``; weights : (L, 3). length : (L,), 0 where there is none.
    lift : (L,) angle off the skin, 0-1; side : (L,) sideways swing; width : (L,); tone : (L,).
    colour : (3,) linear.
    """

    triangle: Numbers
    weights: Numbers
    length: Numbers
    lift: Numbers
    side: Numbers
    width: Numbers
    tone: Numbers
    colour: Numbers


@dataclass(frozen=True)
class BeardRoots:
    """Places where beards grow: triangles (T, 3) of head vertices, and (3, T) cumulative probabilities of a lock's
    triangle for moustache, chin and jaw."""

    triangles: np.ndarray
    cumulative: np.ndarray


def beard_roots(template: Template) -> BeardRoots:
    """Find the skin of upper lip, chin and jaw."""
    head = template.vertices[: template.head.vertex_stop].astype(np.float64)
    quads = template.quads[: template.head.face_stop]
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int64)
    corners = head[triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    middle = corners.mean(1)
    bare = sum(template.regions[name][triangles].mean(1) for name in ("lips", "mouth_interior", "ears", "eye_sockets"))
    outside = (bare < 0.15) & (area > 0)
    landmarks = template.landmarks68.positions(template.vertices)
    mouth, nose, chin = landmarks[[48, 54]].mean(0), landmarks[33], landmarks[8]
    x, y, z = np.abs(middle[:, 0]), middle[:, 1], middle[:, 2]
    upper = (y > mouth[1]) & (y < nose[1] - 0.002) & (x < 0.030) & (z > 0.125)
    below = (y < mouth[1] - 0.006) & (y > chin[1] - 0.012) & (z > 0.075)
    on_chin = below & (x < 0.033)
    # jaw and cheeks, under a line from the sideburn to the corner of the mouth
    line = np.interp(x, [0.02, 0.045, 0.060, 0.075], [0.652, 0.668, 0.690, 0.722])
    on_jaw = (y < line) & (y > chin[1] - 0.008) & (z > 0.060) & (x > 0.026) & ~upper
    masks = np.stack([upper, on_chin, on_jaw]) & outside
    return BeardRoots(triangles, np.cumsum(masks * area / (masks * area).sum(1, keepdims=True), axis=1))


def draw_beard(
    generator: np.random.Generator, look: PersonLook, roots: BeardRoots, like: BeardParameters | None = None
) -> BeardParameters:
    """Draw one person's beard; all lengths are 0 where the look has none."""
    if like is not None:
        factor = generator.uniform(0.85, 1.15)
        return BeardParameters(**{**like.__dict__, "length": like.length * factor,
                                  "tone": np.exp(generator.normal(0, 0.16, BEARD_LOCKS))})  # fmt: skip
    share = np.array([look.moustache * 0.8, look.chin * 1.1, look.jaw * 2.2])
    if look.beard <= 0.3 or share.sum() == 0:
        nothing = np.zeros(BEARD_LOCKS)
        return BeardParameters(nothing, np.full((BEARD_LOCKS, 3), 1 / 3), *([nothing] * 5), np.array(look.beard_hair))
    area = np.searchsorted(np.cumsum(share / share.sum())[:2], generator.random(BEARD_LOCKS))
    triangle = np.empty(BEARD_LOCKS)
    for k in range(3):
        of_it = area == k
        triangle[of_it] = np.searchsorted(roots.cumulative[k][:-1], generator.random(int(of_it.sum())))
    u, v = np.sort(generator.random((2, BEARD_LOCKS)), axis=0)
    long = generator.random() < 0.25
    length = (0.03 + 0.11 * generator.random() ** 2) if long else generator.uniform(0.006, 0.022) * (0.4 + look.beard)
    lengths = length * np.array([0.45 if long else 0.8, 1.0, 0.75])[area] * generator.uniform(0.7, 1.15, BEARD_LOCKS)
    lengths = np.where(area == 0, np.minimum(lengths, 0.03), lengths)
    return BeardParameters(
        triangle=triangle,
        weights=np.stack([u, v - u, 1 - v], 1),
        length=np.where(lengths > SHORTEST, lengths, 0.0),
        lift=generator.uniform(0.1, 0.55, BEARD_LOCKS) + 0.15 * (area == 2),
        side=generator.normal(0, 0.2, BEARD_LOCKS) + np.where(area == 0, 0.9, 0.0),
        width=generator.uniform(0.004, 0.008, BEARD_LOCKS) * np.clip(lengths / 0.012, 0.7, 1.5),
        tone=np.exp(generator.normal(0, 0.16, BEARD_LOCKS)),
        colour=np.array(look.beard_hair),
    )


def beard_layer(beard: BeardParameters, roots: BeardRoots, head: Tensor, scale: Tensor) -> SurfaceLayer:
    """Build the beard locks of a batch on heads (N, V, 3)."""
    device, n = head.device, len(head)
    triangles = torch.from_numpy(roots.triangles).to(device)[beard.triangle.long()]  # (N, L, 3)
    corners = head.gather(1, triangles.view(n, -1, 1).expand(-1, -1, 3)).view(n, BEARD_LOCKS, 3, 3)
    root = (corners * beard.weights[..., None]).sum(2)
    normal = torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    normal = unit(normal)
    down = normal.new_tensor([0.0, -1.0, 0.0])
    along = unit(down - normal * (normal * down).sum(-1, keepdim=True) + 1e-5)
    middle = head[:, triangles[0, :1, 0]].new_tensor([1.0, 0.0, 0.0])
    side = beard.side[..., None] * torch.where(root[..., :1] >= 0, 1.0, -1.0) * middle
    start = unit(along + normal * beard.lift[..., None] + side)
    step = (beard.length * scale[:, None])[..., None] / BEARD_SEGMENTS
    points = [root + normal * 0.0006]
    for k in range(BEARD_SEGMENTS):
        t = (k + 0.5) / BEARD_SEGMENTS * (beard.length[..., None] / 0.05).clamp(max=1)
        direction = start + (normal.new_tensor([0.0, -1.0, 0.12]) - start) * t
        points.append(points[-1] + unit(direction) * step)
    path = torch.stack(points, 2)  # (N, L, P, 3)
    tangent = unit(torch.cat([path[:, :, 1:] - path[:, :, :-1], path[:, :, -1:] - path[:, :, -2:-1]], 2))
    across = unit(torch.linalg.cross(normal[:, :, None].expand_as(tangent), tangent) + 1e-6)
    t = torch.linspace(0, 1, BEARD_SEGMENTS + 1, device=device)
    half = (0.5 * beard.width[..., None] * (1 - 0.85 * t**1.5) * scale[:, None, None])[..., None] * across
    edges = torch.stack([path - half, path + half], 3)
    outer = unit(normal[:, :, None] - 0.5 * tangent)
    normals = unit(torch.stack([outer - 0.5 * across, outer + 0.5 * across], 3))
    gone = (beard.length < SHORTEST)[..., None, None, None]
    edges = torch.where(gone, edges[:, :, :1, :1], edges).reshape(n, -1, 3)
    colour = beard.colour[:, None, None] * (beard.tone[..., None] * (0.6 + 0.4 * t))[..., None]
    colour = colour[:, :, :, None].expand(-1, -1, -1, 2, -1).reshape(n, -1, 3)
    ones = torch.ones_like(edges[..., 0])
    u = torch.arange(2, device=device).float() * 2 + 11.0 * torch.arange(BEARD_LOCKS, device=device)[:, None, None]
    v = (t * 3)[:, None] + 0 * u
    kind = torch.full_like(v, STRANDS)
    detail = torch.stack([kind, 0 * v + 0.35, u.expand_as(v), v], -1).reshape(1, -1, 4).expand(n, -1, -1)
    return SurfaceLayer(
        vertices=edges,
        normals=normals.reshape(n, -1, 3),
        faces=ribbon_faces(BEARD_LOCKS, BEARD_SEGMENTS + 1).to(device),
        labels=torch.full(
            (n, BEARD_LOCKS * BEARD_SEGMENTS * 2), int(FaceClass.FACIAL_HAIR), dtype=torch.uint8, device=device
        ),
        albedo=colour.clamp(0.002, 0.9),
        specular=ones * 0.15,
        roughness=ones * 0.45,
        tangent=tangent[:, :, :, None].expand(-1, -1, -1, 2, -1).reshape(n, -1, 3),
        alpha=ones,
        mirror=torch.zeros_like(ones),
        detail=detail,
    )
