"""Occluders in front of the face: microphones, cups, telephones, sheets of paper, sticks, random lumps; and face
masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.unit import unit
from backend.hair.hull import HeadHull, HullSurface
from backend.hair.locks import Numbers
from backend.photos.collection import FaceClass
from backend.rendering.camera_models import rotation_from_euler
from trainer.data.people.attachments.hats import cloth_colour
from trainer.data.people.attachments.layers import KNIT, PLAIN, WEAVE, SurfaceLayer, join_layers
from trainer.data.people.attachments.meshes import grid_faces, grid_normals, layer_of

ROWS, COLUMNS = 9, 15
MASK_ROWS, MASK_COLUMNS = 9, 17
KINDS = ("microphone", "cup", "telephone", "paper", "stick", "lump")


@dataclass(frozen=True)
class ThingParameters:
    """An object of two superellipsoids, and a face mask.

    Attributes
    ----------
    present : 0 or 1. anchor : (68,) weights of landmarks. shift : (2, 3) metres from there to the parts' centres.
    turn : (3,) Euler angles. half : (2, 3) half sizes; square : (2, 2) exponents, 1 is round, near 0 boxy.
    colour : (2, 3); shine.
    mask : 0 or 1; mask_top, mask_bottom : s in front where it begins and ends; mask_wide : its azimuth;
    mask_colour : (3,); mask_detail : (3,) pattern.
    """

    present: Numbers
    anchor: Numbers
    shift: Numbers
    turn: Numbers
    half: Numbers
    square: Numbers
    colour: Numbers
    shine: Numbers
    mask: Numbers
    mask_top: Numbers
    mask_bottom: Numbers
    mask_wide: Numbers
    mask_colour: Numbers
    mask_detail: Numbers


def draw_thing(
    generator: np.random.Generator, hull: HeadHull, chance: float = 0.06, masked: float = 0.03
) -> ThingParameters:
    """Draw an object in front of the face, or none."""
    kind = str(generator.choice(KINDS, p=[0.26, 0.18, 0.12, 0.12, 0.12, 0.20]))
    anchor, shift, half, square = np.zeros(68), np.zeros((2, 3)), np.full((2, 3), 1e-4), np.ones((2, 2))
    turn, shine = generator.normal(0, 0.25, 3), generator.uniform(0, 0.5)
    first, second = cloth_colour(generator), cloth_colour(generator)
    spot = 57
    if kind == "microphone":
        size = generator.uniform(0.018, 0.03)
        shift[0] = [generator.normal(0, 0.02), -size - generator.uniform(-0.01, 0.03), generator.uniform(0.025, 0.07)]
        shift[1] = shift[0] - np.array([0, size + 0.08, 0.0])
        half[0], half[1] = [size, size * generator.uniform(1, 1.4), size], [size * 0.5, 0.09, size * 0.5]
        square[1] = [1.0, 0.2]
        first = np.full(3, generator.uniform(0.01, 0.2))
        turn = np.array([generator.normal(0.5, 0.3), generator.normal(0, 0.2), generator.normal(0, 0.4)])
    elif kind == "cup":
        wide = generator.uniform(0.028, 0.045)
        shift[0] = [generator.normal(0, 0.01), -0.035, wide + generator.uniform(0.0, 0.015)]
        half[0] = [wide, generator.uniform(0.04, 0.06), wide]
        square[0] = [1.0, 0.15]
        turn = np.array([generator.normal(-0.5, 0.3), 0, generator.normal(0, 0.15)])
    elif kind == "telephone":
        spot = int(generator.choice([2, 14, 30]))
        out = {2: -1, 14: 1, 30: 0}[spot]
        shift[0] = [out * 0.018, generator.normal(0, 0.02), 0.05 if out == 0 else -0.01]
        half[0] = [0.036, 0.075, 0.005] if out == 0 else [0.006, 0.075, 0.036]
        square[0] = [0.15, 0.15]
        turn = np.array([generator.normal(0, 0.3), 0.3 * out, generator.normal(0, 0.2) - 0.2 * out])
    elif kind == "paper":
        spot = int(generator.choice([8, 30, 3, 13]))
        shift[0] = [generator.normal(0, 0.04), -generator.uniform(0.06, 0.12), generator.uniform(0.03, 0.12)]
        half[0] = [generator.uniform(0.06, 0.14), generator.uniform(0.06, 0.11), generator.uniform(0.001, 0.012)]
        square[0] = [0.1, 0.1]
        first = np.full(3, generator.uniform(0.4, 0.85)) if generator.random() < 0.5 else first
    elif kind == "stick":
        shift[0] = [generator.normal(0, 0.01), 0.0, generator.uniform(0.03, 0.05)]
        half[0] = [generator.uniform(0.002, 0.006), generator.uniform(0.03, 0.08), 0.004]
        turn = np.array([generator.normal(1.2, 0.3), generator.normal(0, 0.3), generator.normal(0, 0.6)])
        half[0, 2] = half[0, 0]
    else:
        spot = int(generator.integers(68))
        shift[0] = generator.normal(0, 0.04, 3) + np.array([0, 0, 0.06])
        half[0] = generator.uniform(0.01, 0.07, 3)
        square[0] = generator.uniform(0.1, 1.2, 2)
        turn = generator.uniform(-np.pi, np.pi, 3)
        shift[1], half[1] = shift[0] + generator.normal(0, 0.04, 3), generator.uniform(0.005, 0.05, 3)
    anchor[spot] = 1.0
    has_mask = generator.random() < masked
    front = np.zeros(1)
    mask_colours = ([0.25, 0.45, 0.6], [0.75, 0.75, 0.75], [0.01, 0.01, 0.012], cloth_colour(generator))
    return ThingParameters(
        present=float(generator.random() < chance),
        anchor=anchor,
        shift=shift,
        turn=turn,
        half=half,
        square=square,
        colour=np.stack([first, second]),
        shine=shine,
        mask=float(has_mask),
        mask_top=hull.s_at_height(front, np.array(generator.choice([0.714, 0.704, 0.675], p=[0.6, 0.3, 0.1])))[0],
        mask_bottom=hull.s_at_height(front, np.array(generator.uniform(0.600, 0.615)))[0],
        mask_wide=generator.uniform(0.75, 1.15),
        mask_colour=np.array(mask_colours[generator.integers(4)]) * generator.uniform(0.8, 1.1),
        mask_detail=np.array([generator.choice([PLAIN, WEAVE, KNIT]), 0.15, 300.0]),
    )


def thing_layer(thing: ThingParameters, landmarks: Tensor, surface: HullSurface) -> SurfaceLayer:
    """Build the objects and masks of a batch; landmarks (N, 68, 3)."""
    n, device = len(landmarks), landmarks.device
    anchor = (landmarks * thing.anchor[..., None]).sum(1)
    rotation = rotation_from_euler(thing.turn)
    latitude = torch.linspace(-torch.pi / 2, torch.pi / 2, ROWS, device=device)[:, None]
    longitude = torch.linspace(0, 2 * torch.pi, COLUMNS, device=device)[None]
    layers = []
    for part in range(2):
        e1, e2 = thing.square[:, part, 0, None, None], thing.square[:, part, 1, None, None]
        c1, s1 = _power(latitude.cos(), e2), _power(latitude.sin(), e2)
        c2, s2 = _power(longitude.cos(), e1), _power(longitude.sin(), e1)
        unit = torch.stack(torch.broadcast_tensors(c1 * c2, s1 + 0 * c2, c1 * s2), -1)
        half = (thing.half[:, part] * thing.present[:, None])[:, None, None]
        middle = (
            anchor + thing.shift[:, 0] + torch.einsum("nij,nj->ni", rotation, thing.shift[:, part] - thing.shift[:, 0])
        )
        vertices = torch.einsum("nij,nrcj->nrci", rotation, unit * half) + middle[:, None, None]
        normals = grid_normals(vertices, closed=True)
        inwards = ((normals * (vertices - middle[:, None, None])).sum(-1).sum((1, 2)) < 0)[:, None, None, None]
        normals = torch.where(inwards, -normals, normals)
        layers.append(layer_of(vertices, normals, grid_faces(ROWS, COLUMNS, device), int(FaceClass.OCCLUDER),
                               thing.colour[:, part, None, None], specular=thing.shine, roughness=0.35))  # fmt: skip
    layers.append(_mask(thing, surface, n, device))
    return join_layers(tuple(layers))


def _mask(thing: ThingParameters, surface: HullSurface, n: int, device: torch.device) -> SurfaceLayer:
    t = torch.linspace(0, 1, MASK_ROWS, device=device)[:, None]
    u = torch.linspace(-1, 1, MASK_COLUMNS, device=device)[None]
    a = (thing.mask_wide[:, None, None] * u).expand(-1, MASK_ROWS, -1)
    top = thing.mask_top[:, None, None] + 0.022 * u.abs() ** 1.2
    bottom = thing.mask_bottom[:, None, None] - 0.035 * u.abs() ** 2
    s = top + (bottom - top) * t
    points, normals = surface.sample(a, s.expand_as(a))
    pleat = 0.0012 * torch.sin(t * 22) * (1 - u**2)
    nose = 0.008 * torch.exp(-((u / 0.16) ** 2)) * torch.exp(-(((t - 0.25) / 0.3) ** 2))
    vertices = points + normals * (0.0045 + 0.004 * (1 - u.abs()) + pleat + nose)[..., None]
    vertices = torch.where((thing.mask > 0.5)[:, None, None, None], vertices, vertices[:, :1, :1])
    shading = grid_normals(vertices)
    scale = thing.mask_detail[:, 2, None, None]
    kind, strength = (thing.mask_detail[:, k, None, None].expand_as(a) for k in range(2))
    detail = torch.stack([kind, strength, a * 0.09 * scale, s.expand_as(a) * scale], -1)
    return layer_of(vertices, unit(shading + 1e-6), grid_faces(MASK_ROWS, MASK_COLUMNS, device),
                    int(FaceClass.OCCLUDER), thing.mask_colour[:, None, None], detail=detail)  # fmt: skip


def _power(values: Tensor, exponent: Tensor) -> Tensor:
    return values.sign() * values.abs().clamp(min=1e-5) ** exponent
