"""Backgrounds: gradients, stripes, shapes in and out of focus, noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.people.look import Numbers, stack

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
    stripes : (5,) frequency, angle, strength, sharpness, phase.
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


def draw_background(generator: np.random.Generator) -> BackgroundParameters:
    """Draw one background: a gradient with a pool of light, often stripes, shapes of one softness, and noise."""
    g, shapes = generator, np.zeros((SHAPES, 9))
    light = 10 ** g.uniform(-2.3, 0.0)
    first = _colour(g, 0.5) * light
    angle, soft, size = g.uniform(0, 2 * np.pi), 10 ** g.uniform(-2.6, -1.0), 10 ** g.uniform(-1.6, -0.4)
    shapes[:, :2] = g.uniform(-0.55, 0.55, (SHAPES, 2))
    shapes[:, 2:4] = size * g.uniform(0.3, 1.0, (SHAPES, 1)) * g.uniform(0.3, 1.0, (SHAPES, 2))
    shapes[:, 4] = g.normal(0, 1.0, SHAPES) * (g.random() < 0.3)
    shapes[:, 5] = soft * g.uniform(0.7, 1.4, SHAPES)
    shapes[:, 6] = g.uniform(0.5, 1.0, SHAPES) * (np.arange(SHAPES) < g.integers(-8, SHAPES + 1))
    shapes[:, 7] = g.random(SHAPES) < g.choice([0.0, 0.4, 1.0])
    colours = np.stack([_colour(g, 0.9) for _ in range(SHAPES)]) * g.uniform(0.01, 1.0, (SHAPES, 1)) ** 1.5
    striped = g.uniform(0.05, 0.6) * (g.random() < 0.25)
    return BackgroundParameters(
        colours=np.stack([first, np.clip(first * g.uniform(0.35, 1.5) + g.normal(0, 0.03, 3), 0.002, 1.2)]),
        gradient=np.array([np.cos(angle), np.sin(angle)]),
        spot=np.array([*g.normal(0, 0.2, 2), g.uniform(0.3, 0.8), g.uniform(0, 0.8) * light]),
        octaves=g.exponential(0.25) * g.uniform(0.5, 1.0) ** np.arange(5),
        noise_colour=first * g.uniform(0.2, 1.6) + 0.3 * g.random() * _colour(g, 0.9),
        noise=tuple(g.uniform(-1, 1, (1, side, side)).astype(np.float32) for side in NOISE_SIDES),
        shapes=shapes,
        shape_colours=colours + (first - colours) * g.uniform(0, 0.6),
        stripes=np.array([10 ** g.uniform(0.4, 1.4), g.uniform(0, np.pi), striped, g.uniform(1, 8), g.uniform(0, 6)]),
    )


def background_pictures(parameters: Sequence[BackgroundParameters], size: int, device: torch.device | str) -> Tensor:
    """(N, 3, size, size) linear light, about 0-1.5."""
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
    return functional.interpolate(image.clamp(0.001, 2.0), size=(size, size), mode="bilinear", align_corners=False)


def _colour(generator: np.random.Generator, most: float) -> np.ndarray:
    """(3,) a colour of brightness about 1, with saturation up to ``most``, usually low."""
    hue, deep = generator.random(), most * generator.random() ** 1.7
    wheel = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return 1 - deep + deep * wheel


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
