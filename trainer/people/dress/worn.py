"""What synthetic people wear on their heads: glasses with temples and lenses; caps, hats, scarves, turbans, bands,
helmets.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.vectors import unit
from backend.hair.hull import AZIMUTHS, HeadHull, HullSurface, azimuths
from backend.models.parsing.glasses import OUTLINE, GlassesSeat, GlassesShape, frame_grids, outline
from backend.photos.collection import FaceClass
from trainer.people.dress import layers
from trainer.people.dress.grow import Numbers
from trainer.people.look import TABLES, PersonLook

LENS_ROWS = 5


@dataclass(frozen=True)
class GlassesParameters(GlassesShape):
    """A pair of glasses as drawn.

    Attributes
    ----------
    worn : 0 or 1. colour, temple_colour : (3,) linear; metal : 0 plastic, 1 metal. lens_colour : (3,); lens_alpha :
        opacity at the top and the bottom (2,). glare : (5,) strength, place, slope, width and second strength of
        reflections.
    """

    worn: Numbers
    colour: Numbers
    temple_colour: Numbers
    metal: Numbers
    lens_colour: Numbers
    lens_alpha: Numbers
    glare: Numbers


def draw_glasses(
    generator: np.random.Generator, look: PersonLook, like: GlassesParameters | None = None
) -> GlassesParameters:
    """Draw the glasses of one person; with ``like`` usually the same ones again."""
    worn = generator.random() < 0.26 + 0.2 * np.clip((look.age - 35) / 40, 0, 1)
    if like is not None and generator.random() < 0.75:
        return GlassesParameters(
            **{
                **like.__dict__,
                "glare": _glare(generator, bool(like.lens_alpha[0] > 0.4)),
                "low": generator.uniform(0, 0.006),
            }
        )
    kind = generator.choice(5, p=[0.22, 0.42, 0.12, 0.12, 0.12])  # plastic, metal, half rim, rimless, bold
    sun = generator.random() < 0.14
    tinted = generator.random() < 0.12
    rim = (
        generator.uniform(0.0022, 0.0042),
        generator.uniform(0.0007, 0.0016),
        generator.uniform(0.0012, 0.0035),
        0.0005,
        generator.uniform(0.004, 0.0075),
    )[kind]
    below = rim * (1.0, 1.0, 0.15, 1.0, generator.uniform(0.6, 1.0))[kind]
    metal = float(kind in (1, 3) or (kind == 2 and generator.random() < 0.5))
    colour = _frame_colour(generator, metal > 0)
    if kind == 3:
        colour = np.array([0.25, 0.25, 0.25])
    temple_colour = _frame_colour(generator, metal > 0) if kind == 3 or generator.random() < 0.1 else colour
    big = generator.random() ** 1.5 * (1.0 + 0.4 * sun)
    alpha, tint = _lenses(generator, sun, tinted)
    return GlassesParameters(
        worn=float(worn),
        width=generator.uniform(0.044, 0.051) + 0.009 * big,
        height=generator.uniform(0.026, 0.038) + 0.016 * big,
        power=generator.choice([2.0, 2.3, 2.8, 3.5, 5.0]) * generator.uniform(0.95, 1.1),
        sweep=max(generator.normal(0.001, 0.002), 0) * (1 + 2 * look.femininity),
        narrow=generator.uniform(0.0, 0.22),
        drop=max(generator.normal(0, 0.002), 0) + 0.004 * (sun and generator.random() < 0.4),
        distance=generator.uniform(0.0105, 0.0155),
        low=generator.uniform(0.0, 0.006),
        wrap=generator.uniform(0.8, 2.6) + 1.5 * sun,
        tilt=generator.uniform(0.03, 0.2),
        spread=generator.uniform(-0.001, 0.003) + 0.002 * big,
        rim=rim,
        rim_below=below,
        depth=generator.uniform(0.002, 0.004) if kind != 1 else 0.0016,
        bridge=generator.uniform(0.1, 0.6),
        bridge_thickness=max(rim * generator.uniform(0.8, 1.3), 0.0014),
        temple=generator.uniform(0.0012, 0.003) if metal else generator.uniform(0.003, 0.010),
        hinge=generator.uniform(0.1, 0.75),
        colour=colour,
        temple_colour=temple_colour,
        metal=metal,
        lens_colour=tint,
        lens_alpha=alpha,
        glare=_glare(generator, sun),
    )


def _lenses(generator: np.random.Generator, sun: bool, tinted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Opacity above and below (2,) and colour (3,) of lenses."""
    if not sun:
        alpha = np.full(2, generator.uniform(0.1, 0.4) if tinted else generator.uniform(0.0, 0.06))
        return alpha, generator.uniform(0.02, 0.2, 3) if tinted else np.full(3, 0.4)
    graded = generator.random() < 0.4
    alpha = np.sort(generator.uniform(0.6, 0.99, 2))[::-1] if graded else np.full(2, generator.uniform(0.75, 0.99))
    return alpha, generator.uniform(0.005, 0.05) * generator.uniform(0.6, 1.4, 3)


def _frame_colour(generator: np.random.Generator, metal: bool) -> np.ndarray:
    palette = TABLES["colours"]["metal_frames" if metal else "plastic_frames"]
    return np.array(palette[generator.integers(len(palette))]) * generator.uniform(0.7, 1.4)


def _glare(generator: np.random.Generator, sun: bool) -> np.ndarray:
    strength = generator.uniform(0.05, 0.5) if generator.random() < 0.28 else generator.uniform(0, 0.03)
    return np.array([strength * (0.6 if sun else 1.0), generator.uniform(-0.9, 0.9), generator.uniform(-1.2, 1.2),
                     generator.uniform(0.12, 0.5), strength * generator.uniform(0, 0.8)])  # fmt: skip


def glasses_layers(glasses: GlassesParameters, seat: GlassesSeat) -> tuple[layers.SurfaceLayer, layers.SurfaceLayer]:
    """Frames (opaque) and lenses (veil) of the heads of a batch."""
    g, device = glasses, seat.scale.device
    inner = outline(g, torch.zeros(len(seat.scale), OUTLINE + 1, device=device))
    rims, temples, bridge = frame_grids(g, seat)
    opaque, lenses = [], []
    for side in (0, 1):
        normals = layers.grid_normals(rims[side]) * (-1.0 if side == 1 else 1.0)
        opaque.append(_frame(rims[side], normals, g.colour, g))
        # lens: rings from the centre to the frame
        share = torch.linspace(0, 1, LENS_ROWS, device=device)[:, None, None]
        flat = inner[:, None] * share  # (N, LENS_ROWS, OUTLINE + 1, 2)
        glass = seat.place(g, flat, 0.0008 * (1 - share[..., 0] ** 2), side)
        normal = unit(glass - (seat.eyes[:, side] - glass.new_tensor([0, 0, 0.05]))[:, None, None])
        up = flat[..., 1] / g.height[:, None, None] + 0.5
        alpha = (g.lens_alpha[:, 1, None, None] + (g.lens_alpha[:, 0] - g.lens_alpha[:, 1])[:, None, None] * up).clamp(
            0, 1
        )
        across = (flat[..., 0] * (1 if side == 0 else -1) + g.glare[:, 2, None, None] * flat[..., 1]) / (
            g.width[:, None, None] / 2
        )
        offset = (across - g.glare[:, 1, None, None]) / g.glare[:, 3, None, None]
        mirror = g.glare[:, 0, None, None] * torch.exp(-(offset**4)) + g.glare[:, 4, None, None] * 0.3 * (
            up - 0.4
        ).clamp(min=0)
        # the edge of rimless lenses is visible
        edge = (share[..., 0] > 0.99) * (g.rim < 0.001)[:, None, None]
        alpha = torch.maximum(alpha, 0.35 * edge)
        lenses.append(layers.layer_of(_if_worn(g, glass), normal, layers.grid_faces(LENS_ROWS, OUTLINE + 1, device),
                               int(FaceClass.GLASSES), g.lens_colour[:, None, None], specular=0.2, roughness=0.1,
                               alpha=alpha * g.worn[:, None, None], mirror=mirror * g.worn[:, None, None]))  # fmt: skip
        opaque.append(_frame(*temples[side], g.temple_colour, g))
    opaque.append(_frame(*bridge, g.colour, g))
    return layers.join_layers(tuple(opaque)), layers.join_layers(tuple(lenses))


def _if_worn(g: GlassesParameters, vertices: Tensor) -> Tensor:
    """Vertices (N, R, C, 3), collapsed to a point where no glasses are worn."""
    return torch.where(g.worn[:, None, None, None] > 0.5, vertices, vertices[:, :1, :1])


def _frame(vertices: Tensor, normals: Tensor, colour: Tensor, g: GlassesParameters) -> layers.SurfaceLayer:
    detail = vertices.new_zeros(*vertices.shape[:3], 4) + layers.PLAIN
    return layers.layer_of(_if_worn(g, vertices), normals, layers.grid_faces(*vertices.shape[1:3], vertices.device),
                    int(FaceClass.GLASSES), colour[:, None, None],
                    specular=0.5 + 0.5 * g.metal, roughness=0.28 - 0.08 * g.metal, detail=detail)  # fmt: skip


SHELL_ROWS, BRIM_ROWS = 14, 4
KINDS = ("none", *TABLES["hats"])


@dataclass(frozen=True)
class HatParameters:
    """A hat.

    Attributes
    ----------
    kind : index of ``KINDS``. rim : (AZIMUTHS,) s of its lower end, -1 without hat; start : (AZIMUTHS,) s of its upper
        end (0, or a band's upper edge). height : (SHELL_ROWS, AZIMUTHS) above the hull. press : height to which it
        presses
        the hair. brim : (AZIMUTHS,) length outwards; brim_drop, brim_bend : drop per metre of it, and for a visor how
        far
        its sides sink. colour, band_colour : (3,); band : number of rows at the rim in the band's colour.
    detail : (3,) kind, strength and scale of the cloth's pattern. shine : specular.
    """

    kind: Numbers
    rim: Numbers
    start: Numbers
    height: Numbers
    press: Numbers
    brim: Numbers
    brim_drop: Numbers
    brim_bend: Numbers
    colour: Numbers
    band_colour: Numbers
    band: Numbers
    detail: Numbers
    shine: Numbers


def draw_hat(generator: np.random.Generator, look: PersonLook, hull: HeadHull, chance: float = 0.13) -> HatParameters:
    """Draw a hat, or none."""
    a = azimuths()
    kind = "none"
    if generator.random() < chance:
        weights = np.array(list(TABLES["hats"].values()))
        weights[3] *= 0.2 + 1.6 * look.femininity
        weights[5] *= 1.2 - look.femininity
        kind = str(generator.choice(KINDS[1:], p=weights / weights.sum()))
    t = np.linspace(0, 1, SHELL_ROWS)[:, None]
    cos, wide = np.cos(a), np.abs(a)
    height = np.full((SHELL_ROWS, AZIMUTHS), 0.009)
    rim, start, brim = np.full(AZIMUTHS, -1.0), np.zeros(AZIMUTHS), np.zeros(AZIMUTHS)
    colour, other = cloth_colour(generator), cloth_colour(generator)
    drop = bend = band = shine = 0.0
    detail = np.array([layers.WEAVE, 0.15, generator.uniform(200, 500)])
    wobble = generator.uniform(0.001, 0.004) * np.sin(a * generator.integers(2, 6) + generator.uniform(0, 6))
    if kind in ("beanie", "visor cap", "brim", "helmet", "turban"):
        front = hull.line(np.zeros(1), hull.hairline)[0] + generator.uniform(-0.012, 0.03)
        ear = generator.uniform(0.115, 0.135) + (0.02 * generator.random() if kind == "beanie" else 0)
        nape = generator.uniform(0.16, 0.205) if kind in ("beanie", "turban") else generator.uniform(0.13, 0.17)
        side = np.where(wide < np.pi / 2, front + (ear - front) * (1 - cos), ear + (nape - ear) * -cos)
        rim = side + 0.3 * wobble
    if kind == "beanie":
        slouch = generator.uniform(0.0, 0.05) * (generator.random() < 0.5)
        back = 0.4 + 0.6 * np.clip(-cos, 0, 1)
        height = 0.008 + 0.004 * np.sin(np.pi * t) + slouch * (1 - t**1.5) * back + 0 * a
        fold = generator.random() < 0.6
        band = float(generator.integers(3, 6)) if fold else 0.0
        height = height + 0.005 * (t > 1 - band / SHELL_ROWS) * fold
        detail = np.array([layers.KNIT, generator.uniform(0.1, 0.35), generator.uniform(150, 400)])
        other = colour if generator.random() < 0.7 else other
    elif kind == "visor cap":
        crown = generator.uniform(0.012, 0.03)
        height = 0.008 + crown * np.clip(1 - t**2, 0, 1) * (0.6 + 0.5 * cos) + 0 * a
        direction = np.pi if generator.random() < 0.12 else generator.normal(0, 0.12)
        away = np.abs((a - direction + np.pi) % (2 * np.pi) - np.pi)
        brim = generator.uniform(0.055, 0.075) * np.clip(1 - (away / 0.95) ** 4, 0, 1) ** 0.5
        drop, bend = generator.uniform(0.15, 0.55), generator.uniform(2.0, 7.0)
        shine = 0.05
        other = colour if generator.random() < 0.6 else other
        band = 0.0
    elif kind == "brim":
        crown = generator.uniform(0.02, 0.055)
        height = 0.009 + crown * (1 - t**5) + 0 * a
        brim = np.full(AZIMUTHS, generator.uniform(0.03, 0.085)) + wobble * 2
        drop, bend = generator.uniform(-0.15, 0.35), generator.uniform(-1.0, 1.0)
        band = float(generator.random() < 0.7)
    elif kind == "helmet":
        height = 0.02 + generator.uniform(0.01, 0.03) * (1 - t**2) + 0 * a
        brim = generator.uniform(0.012, 0.03) * (0.4 + 0.6 * np.clip(cos, 0, 1))
        drop, shine = 0.3, 0.6
        detail = np.array([layers.PLAIN, 0.0, 1.0])
    elif kind == "turban":
        swirl = np.sin(9 * t + 2 * a + generator.uniform(0, 6))
        height = 0.016 + generator.uniform(0.02, 0.045) * np.sin(np.pi * np.clip(t * 0.9 + 0.1, 0, 1)) + 0.003 * swirl
        other, band = colour, 0.0
    elif kind == "band":
        width = generator.uniform(0.02, 0.06)
        middle = hull.line(np.zeros(1), hull.hairline)[0] + generator.uniform(-0.04, 0.02)
        rim = np.where(wide < np.pi / 2, middle + (0.125 - middle) * (1 - cos), 0.125 + 0.03 * -cos) + width / 2
        start = rim - width
        height = 0.007 + 0.003 * np.sin(np.pi * t) + 0 * a
    elif kind in ("headscarf", "hood"):
        front = hull.line(np.zeros(1), hull.hairline)[0] + generator.uniform(-0.02, 0.022)
        opening = generator.uniform(0.72, 0.95)
        fall = np.clip((wide - 0.30) / (opening - 0.30), 0, 1)
        rim = front + (0.44 - front) * fall**2.2
        thick = generator.uniform(0.008, 0.014) if kind == "headscarf" else generator.uniform(0.018, 0.035)
        folds = generator.uniform(0.001, 0.004) * np.sin(22 * t + 3 * wide + generator.uniform(0, 6))
        height = thick + 0.012 * (np.sin(np.pi * t)) + folds + 0 * a
        other, band = colour, 0.0
    if kind in ("beanie", "headscarf", "band", "turban") and generator.random() < 0.25:
        detail = np.array(
            [generator.choice([layers.STRIPES, layers.CHECKS]), generator.uniform(0.2, 0.6), generator.uniform(60, 250)]
        )
    return HatParameters(
        kind=float(KINDS.index(kind)),
        rim=rim,
        start=start,
        height=height,
        press=0.0045 if kind != "band" else 0.006,
        brim=brim,
        brim_drop=drop,
        brim_bend=bend,
        colour=colour,
        band_colour=other,
        band=band,
        detail=detail,
        shine=shine,
    )


def cloth_colour(generator: np.random.Generator) -> np.ndarray:
    """Draw a (3,) linear colour of cloth: often black, white, grey or blue, sometimes any other."""
    dice = generator.random()
    if dice < 0.28:
        return np.full(3, generator.uniform(0.008, 0.06)) * generator.uniform(0.85, 1.15, 3)
    if dice < 0.45:
        return np.full(3, generator.uniform(0.45, 0.85)) * generator.uniform(0.93, 1.05, 3)
    if dice < 0.58:
        return np.full(3, generator.uniform(0.08, 0.4)) * generator.uniform(0.9, 1.1, 3)
    if dice < 0.75:
        return np.array([0.03, 0.06, 0.18]) * generator.uniform(0.3, 3.0) * generator.uniform(0.8, 1.2, 3)
    hue, deep, value = generator.random(), generator.uniform(0.3, 0.97), generator.uniform(0.08, 0.75)
    wheel = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return np.clip(value * (1 - deep + deep * wheel), 0.005, 0.9)


def hat_layer(hat: HatParameters, surface: HullSurface) -> layers.SurfaceLayer:
    """Build shell and brim of the hats of a batch (collapsed where there is none)."""
    device, n = hat.rim.device, len(hat.rim)
    a = torch.from_numpy(azimuths()).float().to(device)

    def closed(values: Tensor) -> Tensor:
        return torch.cat([values, values[..., :1]], -1)

    a, rim, start, brim = closed(a), closed(hat.rim), closed(hat.start), closed(hat.brim)
    t = torch.linspace(0, 1, SHELL_ROWS, device=device)[:, None]
    s = (start[:, None] + (rim - start)[:, None] * t).clamp(min=0)
    points, normals = surface.sample(a.expand_as(s), s)
    height = closed(hat.height) * surface.scale[:, None, None]
    shell = points + normals * height[..., None]
    edge, direction = shell[:, -1:], normals[:, -1:]
    flat = unit(direction * direction.new_tensor([1.0, 0.0, 1.0]))
    reach = torch.linspace(0, 1, BRIM_ROWS + 1, device=device)[1:, None] * brim[:, None]  # (N, BRIM_ROWS, A + 1)
    outwards = torch.stack([a.sin(), torch.zeros_like(a), a.cos()], -1)
    front = (hat.brim_bend > 1.5)[:, None, None, None]
    straight = torch.where(front, flat.new_tensor([0.0, 0.0, 1.0]) * outwards[..., 2:].sign(), flat)
    sink = (
        -hat.brim_drop[:, None, None] * reach
        - hat.brim_bend[:, None, None] * ((edge - shell[:, :1])[..., 0] ** 2) * reach / 0.07
    )
    out = edge + (0.35 * flat + 0.65 * straight) * reach[..., None]
    out = out + torch.stack([torch.zeros_like(sink), sink, torch.zeros_like(sink)], -1)
    vertices = torch.cat([shell, out], 1)
    worn = (hat.kind > 0.5)[:, None, None, None]
    vertices = torch.where(worn, vertices, vertices[:, :1, :1])
    shading = layers.grid_normals(vertices, closed=True)
    shading = torch.cat([unit(normals[:, :1] + 1e-6), shading[:, 1:]], 1)
    row = torch.arange(SHELL_ROWS + BRIM_ROWS, device=device)[:, None].float()
    banded = (row >= SHELL_ROWS - hat.band[:, None, None]) & (row < SHELL_ROWS)
    colour = torch.where(banded[..., None], hat.band_colour[:, None, None], hat.colour[:, None, None])
    colour = colour.expand(n, -1, len(a), -1)
    shade = torch.where(row < SHELL_ROWS, 1.0, 0.85)[..., None]
    down = torch.cat([s, s[:, -1:] + reach], 1)
    scale = hat.detail[:, 2, None, None]
    kind, strength = hat.detail[:, 0, None, None].expand_as(down), hat.detail[:, 1, None, None].expand_as(down)
    detail = torch.stack([kind, strength, a.expand_as(down) * 0.09 * scale, down * scale], -1)
    return layers.layer_of(vertices, shading, layers.grid_faces(SHELL_ROWS + BRIM_ROWS, len(a), device),
                    int(FaceClass.OCCLUDER),
                    colour * shade, specular=hat.shine, roughness=0.3, detail=detail)  # fmt: skip
