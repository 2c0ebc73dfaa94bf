"""Backgrounds: paper, walls, rooms, shelves, curtains, leaves, sky, lights out of focus, other people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.people.dress.grow import Numbers
from trainer.people.dress.layers import stack
from trainer.people.look import TABLES

SHAPES = 22
NOISE_SIDES = (3, 6, 13, 28, 60)
"""Lattice sizes of the octaves of noise."""


@dataclass(frozen=True)
class BackgroundParameters:
    """One background. Places are in units of the picture's side, from -0.5 to 0.5, x right and y down.

    Attributes
    ----------
    colours : (2, 3) linear, of the ends of a gradient; gradient : (2,) its direction, 1 over the picture.
    spot : (4,) x, y, radius, strength of a pool of light. octaves : (5,) strength of noise; noise_colour : (3,) colour
        that it blends in. noise : the lattices, (1, side, side) each. shapes : (SHAPES, 9) x, y, half width, half
        height,
        angle, softness, opacity, kind (0 box, 1 ellipse), order; shape_colours : (SHAPES, 3).
    stripes : (5,) frequency, angle, strength, sharpness, phase. picture : (4,) random number, x, y, zoom for a real
        picture, when there are any.
    """

    colours: Numbers
    gradient: Numbers
    spot: Numbers
    octaves: Numbers
    noise_colour: Numbers
    noise: tuple[Numbers, ...]
    shapes: Numbers
    shape_colours: Numbers
    stripes: Numbers
    picture: Numbers


def draw_background(generator: np.random.Generator) -> BackgroundParameters:
    """Draw kind and parameters of one background."""
    kinds = TABLES["backgrounds"]
    kind = str(generator.choice(list(kinds), p=np.array(list(kinds.values())) / sum(kinds.values())))
    light = generator.uniform(0.004, 0.08) if generator.random() < 0.22 else generator.uniform(0.05, 0.9)
    first = _colour(generator, 0.5) * light
    second = np.clip(first * generator.uniform(0.35, 1.5) + generator.normal(0, 0.03, 3), 0.002, 1.2)
    angle = generator.uniform(0, 2 * np.pi)
    octaves = np.array([0.10, 0.06, 0.03, 0.02, 0.01]) * generator.uniform(0, 1.5)
    noise_colour = first * generator.uniform(0.2, 1.6)
    soft = 10 ** generator.uniform(-2.6, -1.0)
    shapes, colours = _no_shapes(), np.zeros((SHAPES, 3))
    stripes = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    spot = np.array([generator.normal(0, 0.2), generator.normal(0, 0.2), generator.uniform(0.3, 0.8), 0.0])
    if kind == "paper":
        spot[3] = generator.uniform(0, 0.8) * light
        octaves = octaves * generator.choice([0.2, 1.5])
    elif kind == "wall":
        upright = generator.choice([0, np.pi / 2]) + generator.normal(0, 0.05)
        stripes = np.array([10 ** generator.uniform(0.4, 1.4), upright, *generator.uniform((0.05, 1, 0), (0.5, 8, 6))])
        shapes, colours = _boxes(generator, int(generator.integers(0, 5)), soft, (0.05, 0.3), first)
    elif kind in ("room", "clutter"):
        count = int(generator.integers(5, 14) if kind == "room" else SHAPES)
        shapes, colours = _boxes(generator, count, soft, (0.03, 0.5) if kind == "room" else (0.02, 0.2), first)
        if kind == "clutter":
            shapes[:, 4] = generator.uniform(0, np.pi, SHAPES)
            shapes[:, 7] = generator.random(SHAPES) < 0.4
    elif kind == "shelves":
        (shapes, colours), first = _books(generator, soft * 0.5), first * 0.5
    elif kind == "curtain":
        stripes = np.array([generator.uniform(3, 14), generator.normal(0, 0.08), generator.uniform(0.3, 0.8), 0.8,
                            generator.uniform(0, 6)])  # fmt: skip
        octaves = octaves * 2
    elif kind == "leaves":
        first, second, noise_colour, octaves = _leaves(generator, soft)
        shapes, colours = _discs(generator, int(generator.integers(0, 8)), soft, np.array([0.7, 0.8, 0.6]))
    elif kind == "sky":
        angle, (first, second, noise_colour, octaves) = np.pi / 2, _sky(generator)
        shapes, colours = _boxes(generator, int(generator.integers(1, 7)), soft, (0.1, 0.5), np.array([0.1, 0.1, 0.08]))
        shapes[:, 1] = np.abs(shapes[:, 1]) + 0.15
    elif kind == "lights":
        first, second = first * 0.12, second * 0.12
        shapes, colours = _discs(generator, SHAPES, soft, np.array([1.2, 0.9, 0.6]))
    elif kind == "people":
        shapes, colours = _strangers(generator, max(soft, 0.02))
    elif kind == "lettering":
        shapes, colours = _letters(generator, soft * 0.4, first)
    elif kind == "snapshot":
        octaves, noise_colour = generator.uniform(0, 0.7, 5), _colour(generator, 0.9)
    return BackgroundParameters(
        colours=np.stack([first, second]),
        gradient=np.array([np.cos(angle), np.sin(angle)]),
        spot=spot,
        octaves=octaves,
        noise_colour=noise_colour,
        noise=tuple(generator.uniform(-1, 1, (1, side, side)).astype(np.float32) for side in NOISE_SIDES),
        shapes=shapes,
        shape_colours=colours,
        stripes=stripes,
        picture=np.append(generator.random(3), generator.uniform(0.5, 1.0)),
    )


def _leaves(generator: np.random.Generator, soft: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two colours (3,), the noise's colour and its octaves (5,) of leaves so blurred."""
    first = np.array([0.05, 0.10, 0.02]) * generator.uniform(0.2, 2.5) * generator.uniform(0.7, 1.3, 3)
    second = first * generator.uniform(0.5, 3)
    noise_colour = np.array([0.25, 0.4, 0.08]) * generator.uniform(0.3, 2.5)
    fine = np.clip(np.array([0, 0, 0.3, 0.6, 0.9]) - 2.5 * (soft - 0.01) / 0.1, 0, 1)
    octaves = np.array([0.3, 0.4, 0.5, 0.5, 0.5]) * np.clip(fine + np.array([1, 1, 0.6, 0, 0]), 0, 1)
    return first, second, noise_colour, octaves


def _sky(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two colours (3,), the clouds' colour and octaves (5,)."""
    first = np.array([0.25, 0.42, 0.75]) * generator.uniform(0.3, 1.3)
    second = np.array([0.7, 0.75, 0.8]) * generator.uniform(0.5, 1.3)
    noise_colour = np.full(3, generator.uniform(0.4, 1.1))
    return first, second, noise_colour, np.array([0.3, 0.25, 0.15, 0.06, 0.02]) * generator.uniform(0, 1.5)


def background_pictures(
    parameters: Sequence[BackgroundParameters],
    size: int,
    device: torch.device | str,
    pictures: Tensor | None = None,
    share: float = 0.5,
) -> Tensor:
    """(N, 3, size, size) linear light, about 0-1.5.

    ``pictures`` : (M, 3, h, w) linear light; random crops of them replace a ``share`` of the backgrounds.
    """
    p = stack(parameters, device)
    work = max(48, min(size, (size + 1) // 2))
    axis = (torch.arange(work, device=device) + 0.5) / work - 0.5
    y, x = axis[:, None], axis[None, :]
    along = (p.gradient[:, 0, None, None] * x + p.gradient[:, 1, None, None] * y + 0.5).clamp(0, 1)[:, None]
    image = p.colours[:, 0, :, None, None] * (1 - along) + p.colours[:, 1, :, None, None] * along
    spot = p.spot[:, :, None, None]
    distance = ((x - spot[:, 0]) ** 2 + (y - spot[:, 1]) ** 2) / spot[:, 2] ** 2
    image = image + (spot[:, 3] * torch.exp(-distance))[:, None] * image.mean((2, 3), keepdim=True) * 2
    warp = functional.interpolate(p.noise[1], size=(work, work), mode="bicubic", align_corners=True)[:, 0] * 0.02
    image = image * (1 + _stripes(p.stripes, x + warp, y + warp)[:, None]).clamp(min=0.05)
    image = _with_shapes(image, p.shapes, p.shape_colours, x, y)
    noise = torch.zeros_like(image[:, :1])
    for octave, lattice in enumerate(p.noise):
        large = functional.interpolate(lattice, size=(work, work), mode="bicubic", align_corners=True)
        noise = noise + large * p.octaves[:, octave, None, None, None]
    image = image + (p.noise_colour[:, :, None, None] - image) * noise.clamp(0, 1) + image * noise.clamp(max=0) * 0.7
    image = functional.interpolate(image.clamp(0.001, 2.0), size=(size, size), mode="bilinear", align_corners=False)
    return image if pictures is None else _with_pictures(image, p.picture, pictures.to(device), share)


def _colour(generator: np.random.Generator, most: float) -> np.ndarray:
    """(3,) a colour of brightness about 1, with saturation up to ``most``, usually low."""
    hue, deep = generator.random(), most * generator.random() ** 1.7
    wheel = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return 1 - deep + deep * wheel


def _no_shapes() -> np.ndarray:
    shapes = np.zeros((SHAPES, 9))
    shapes[:, 2:4], shapes[:, 5] = 0.01, 0.01
    return shapes


def _boxes(
    generator: np.random.Generator, count: int, soft: float, span: tuple[float, float], base: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    shapes = _no_shapes()
    shapes[:, :2] = generator.uniform(-0.55, 0.55, (SHAPES, 2))
    shapes[:, 2:4] = generator.uniform(*span, (SHAPES, 2)) * generator.uniform(0.3, 1.0, (SHAPES, 2))
    shapes[:, 4] = generator.normal(0, 0.03)
    shapes[:, 5] = soft * generator.uniform(0.7, 1.4, SHAPES)
    shapes[:count, 6] = generator.uniform(0.5, 1.0, count)
    colours = (
        np.stack([_colour(generator, 0.9) for _ in range(SHAPES)]) * generator.uniform(0.01, 1.0, (SHAPES, 1)) ** 1.5
    )
    return shapes, colours + (base - colours) * generator.uniform(0, 0.6)


def _discs(generator: np.random.Generator, count: int, soft: float, tint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shapes, _ = _boxes(generator, count, soft, (0.01, 0.02), tint)
    radius = generator.uniform(0.01, 0.06) + 0.02 * generator.random(SHAPES)
    shapes[:, 2], shapes[:, 3], shapes[:, 7], shapes[:, 5] = radius, radius, 1.0, 0.006 + 0.3 * radius.mean()
    shapes[:, 6] *= 0.7
    return shapes, tint * generator.uniform(0.2, 1.6, (SHAPES, 1)) * generator.uniform(0.6, 1.3, (SHAPES, 3))


def _books(generator: np.random.Generator, soft: float) -> tuple[np.ndarray, np.ndarray]:
    shapes, colours = _boxes(generator, SHAPES, soft, (0.01, 0.03), np.array([0.1, 0.08, 0.06]))
    rows = int(generator.integers(2, 4))
    per_row = SHAPES // rows
    x = np.linspace(-0.5, 0.5, per_row)
    row = np.arange(SHAPES) % rows
    shapes[:, 0] = x[(np.arange(SHAPES) // rows) % per_row] + generator.normal(0, 0.01, SHAPES)
    shapes[:, 1] = (row + 0.5) / rows - 0.5 + generator.uniform(0, 0.03, SHAPES)
    shapes[:, 2] = 0.5 / per_row * generator.uniform(0.5, 1.1, SHAPES)
    shapes[:, 3] = 0.42 / rows * generator.uniform(0.8, 1.0, SHAPES)
    return shapes, colours


def _letters(generator: np.random.Generator, soft: float, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lines of strokes in one colour, as on posters and banners."""
    shapes, _ = _boxes(generator, SHAPES, soft, (0.01, 0.03), base)
    lines = int(generator.integers(1, 4))
    height, line = generator.uniform(0.025, 0.09), np.arange(SHAPES) % lines
    column = np.arange(SHAPES) // lines
    shapes[:, 0] = (column + 0.5) / (SHAPES // lines) - 0.5 + generator.normal(0, 0.008, SHAPES)
    shapes[:, 1] = np.sort(generator.uniform(-0.45, 0.35, lines))[line] + height * generator.normal(0, 0.25, SHAPES)
    upright = generator.random(SHAPES) < 0.6
    shapes[:, 2] = np.where(upright, 0.2, generator.uniform(0.4, 0.9, SHAPES)) * height
    shapes[:, 3] = np.where(upright, generator.uniform(0.6, 1.0, SHAPES), 0.25) * height
    shapes[:, 7] = generator.random(SHAPES) < 0.25
    ink = _colour(generator, 0.9) * generator.uniform(0.01, 0.9)
    return shapes, np.broadcast_to(ink, (SHAPES, 3))


def _strangers(generator: np.random.Generator, soft: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw heads and shoulders out of focus, so that colours of skin and hair alone do not identify the person."""
    shapes, colours = _boxes(generator, 10, soft, (0.05, 0.4), np.array([0.3, 0.3, 0.3]))
    for person in range(3):
        k = 10 + 4 * person
        x, y = generator.uniform(-0.6, 0.6), generator.uniform(-0.3, 0.2)
        size = generator.uniform(0.05, 0.14)
        skin = np.array([0.5, 0.3, 0.2]) * 10 ** generator.uniform(-0.8, 0.1)
        parts = ((0, 3.2, 1.7, 1.8, generator.uniform(0.01, 0.8, 3)), (0, 1.2, 0.4, 0.6, skin * 0.8),
                 (0, -0.25, 0.95, 1.15, np.array([0.1, 0.06, 0.03]) * 10 ** generator.uniform(-1, 0.6)),
                 (0, 0.05, 0.75, 1.0, skin))  # fmt: skip
        for offset, (dx, dy, w, h, colour) in enumerate(parts):
            shapes[k + offset] = [x + dx * size, y + dy * size, w * size, h * size, 0, soft, 1, 1, 0]
            colours[k + offset] = colour
    return shapes, colours


def _stripes(stripes: Tensor, x: Tensor, y: Tensor) -> Tensor:
    frequency, angle, strength, sharpness, phase = (stripes[:, k, None, None] for k in range(5))
    wave = torch.sin(2 * torch.pi * frequency * (x * angle.cos() + y * angle.sin()) + phase)
    return strength * torch.tanh(wave * sharpness)


def _with_shapes(image: Tensor, shapes: Tensor, colours: Tensor, x: Tensor, y: Tensor) -> Tensor:
    for k in range(SHAPES):
        s = shapes[:, k, :, None, None]
        if not bool((s[:, 6] > 0).any()):
            continue
        dx, dy = x - s[:, 0], y - s[:, 1]
        cos, sin = s[:, 4].cos(), s[:, 4].sin()
        across, down = (dx * cos + dy * sin).abs() / s[:, 2], (dy * cos - dx * sin).abs() / s[:, 3]
        box = torch.maximum((across - 1) * s[:, 2], (down - 1) * s[:, 3])
        ellipse = ((across**2 + down**2).sqrt() - 1) * torch.minimum(s[:, 2], s[:, 3])
        outside = torch.where(s[:, 7] > 0.5, ellipse, box)
        alpha = (0.5 - outside / s[:, 5]).clamp(0, 1) * s[:, 6]
        image = image + (colours[:, k, :, None, None] - image) * alpha[:, None]
    return image


def _with_pictures(image: Tensor, numbers: Tensor, pictures: Tensor, share: float) -> Tensor:
    out, size = image.clone(), image.shape[-1]
    height, width = pictures.shape[-2:]
    for k, (chance, x, y, zoom) in enumerate(numbers.tolist()):
        if chance >= share:
            continue
        number = int(chance / share * len(pictures))
        side = max(2, int(zoom * min(height, width)))
        top, left = int(y * (height - side)), int(x * (width - side))
        part = pictures[number : number + 1, :, top : top + side, left : left + side]
        out[k] = functional.interpolate(part, size=(size, size), mode="bilinear", align_corners=False)[0]
    return out
