"""Occluders in front of the face: microphones, cups, telephones, sheets of paper, sticks, random lumps; and face
masks.

A hand at the face: palm, five fingers with three joints each, and a forearm in a sleeve.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.geometry.vectors import tube, unit
from backend.hair.hull import HeadHull, HullSurface
from backend.photos.collection import FaceClass
from backend.rendering.camera import rotation_from_euler
from trainer.people.dress import layers as sheets
from trainer.people.dress.grow import Numbers
from trainer.people.dress.worn import cloth_colour
from trainer.people.look import TABLES, PersonLook

SIDES, JOINTS = 8, 3
FINGER_POINTS = 8
BASES, LENGTHS, RADII = (
    np.array([finger[name] for finger in TABLES["fingers"].values()]) for name in ("root", "length", "radius")
)
SEGMENT_SHARES = np.array([0.48, 0.29, 0.23])


@dataclass(frozen=True)
class HandParameters:
    """A hand in front of the face.

    Attributes
    ----------
    present : 0 or 1. anchor : (68,) weights of the landmarks at the hand's place. shift : (3,) metres from there.
    turn : (3,) of the hand: in the picture plane, tilt, and about its own axis, radians. mirrored : 1 for a left hand.
    reach : share of the hand's length, from the wrist, that lies at the anchor. curl : (5, 3) bend of the joints;
    spread : (5,) sideways angle of the fingers. size : relative. skin, sleeve : (3,) linear; sleeved : where it begins.
    """

    present: Numbers
    anchor: Numbers
    shift: Numbers
    turn: Numbers
    mirrored: Numbers
    reach: Numbers
    curl: Numbers
    spread: Numbers
    size: Numbers
    skin: Numbers
    sleeve: Numbers
    sleeved: Numbers


def draw_hand(generator: np.random.Generator, look: PersonLook, chance: float = 0.08) -> HandParameters:
    """Draw a hand, or none. Its skin varies a little, because it may be somebody else's."""
    poses = TABLES["hand_poses"]
    pose = str(generator.choice(list(poses), p=[one["chance"] for one in poses.values()]))
    left = generator.random() < 0.5
    anchor = np.zeros(68)
    anchor[poses[pose]["landmarks"][int(left)]] = 1.0
    relaxed = generator.uniform(0.05, 0.45) + generator.normal(0, 0.08, (5, JOINTS))
    if pose == "fist at chin":
        relaxed = generator.uniform(1.0, 1.5) + generator.normal(0, 0.1, (5, JOINTS))
    elif generator.random() < 0.25:  # some fingers are folded
        relaxed = relaxed + 1.2 * (generator.random((5, 1)) < 0.4)
    relaxed[0] *= 0.4
    inwards = generator.normal(0.35, 0.3) if pose != "forehead" else generator.normal(0.8, 0.3)
    if pose == "mouth":
        inwards = generator.normal(0.9, 0.35)
    return HandParameters(
        present=float(generator.random() < chance),
        anchor=anchor,
        shift=generator.normal(0, 0.007, 3) + np.array([0.0, 0.0, 0.004]),
        turn=np.array([inwards, generator.normal(0.05, 0.18), generator.normal(0, 0.35)]),
        mirrored=float(left),
        reach=generator.uniform(0.45, 0.95) if pose != "fist at chin" else generator.uniform(0.5, 0.6),
        curl=np.clip(relaxed, -0.15, 1.7),
        spread=np.array([0.75, 0.16, 0.03, -0.09, -0.22]) * generator.uniform(0.2, 1.6) + generator.normal(0, 0.04, 5),
        size=generator.normal(0.98 + 0.07 * (1 - look.femininity), 0.04),
        skin=np.array(look.skin) * generator.uniform(0.9, 1.1) * np.array([1.0, 0.95, 0.93]),
        sleeve=cloth_colour(generator) if generator.random() < 0.75 else np.array(look.skin),
        sleeved=generator.uniform(0.05, 0.4),
    )


def hand_layer(hand: HandParameters, landmarks: Tensor, scale: Tensor) -> sheets.SurfaceLayer:
    """Build the hands of a batch at landmarks (N, 68, 3)."""
    n, device = len(landmarks), landmarks.device
    fingers, radius = _fingers(hand, device)  # (N, 5, P, 3), (N, 5, P)
    vertices, normals = tube(fingers.flatten(0, 1), radius.flatten(0, 1), SIDES)
    vertices, normals = (x.view(n, 5 * FINGER_POINTS, SIDES, 3) for x in (vertices, normals))
    palm, palm_normals = _palm(n, device)
    arm_path = torch.tensor(
        [[0.0, 0.012, 0.0], [0.0, -0.03, 0.002], [0.0, -0.12, 0.006], [0.0, -0.30, 0.01]], device=device
    )
    arm, arm_normals = tube(
        arm_path.expand(n, -1, -1), torch.tensor([0.026, 0.027, 0.035, 0.042], device=device).expand(n, -1), 12
    )
    row = torch.linspace(0, 1, 4, device=device)[:, None, None]
    sleeve = row > hand.sleeved[:, None, None, None]
    arm = torch.where(sleeve, arm * arm.new_tensor([1.25, 1.0, 1.3]), arm)
    arm_colour = torch.where(sleeve, hand.sleeve[:, None, None], hand.skin[:, None, None])
    finger = sheets.grid_faces(FINGER_POINTS, SIDES, device)
    parts = [
        (vertices, normals, torch.cat([finger + k * FINGER_POINTS * SIDES for k in range(5)]),
         hand.skin[:, None, None]),
        (palm, palm_normals, sheets.grid_faces(palm.shape[1], palm.shape[2], device), hand.skin[:, None, None]),
        (arm, arm_normals, sheets.grid_faces(4, 12, device), arm_colour),
    ]  # fmt: skip
    rotation, origin = _placement(hand, landmarks, scale)
    layers = []
    size = (hand.size * scale * hand.present)[:, None, None, None]
    for points, normal, faces, colour in parts:
        flip = torch.where(hand.mirrored > 0.5, -1.0, 1.0)[:, None, None, None] * points.new_tensor([1.0, 0.0, 0.0])
        flip = flip + points.new_tensor([0.0, 1.0, 1.0])
        placed = torch.einsum("nij,nrcj->nrci", rotation, points * flip) * size + origin[:, None, None]
        turned = torch.einsum("nij,nrcj->nrci", rotation, normal * flip)
        # the back of the hand catches light, creases between the fingers do not
        layers.append(sheets.layer_of(placed, turned, faces, int(FaceClass.OCCLUDER), colour.expand_as(placed),
                               specular=0.12, roughness=0.45))  # fmt: skip
    return sheets.join_layers(tuple(layers))


def _fingers(hand: HandParameters, device: torch.device) -> tuple[Tensor, Tensor]:
    base = torch.from_numpy(BASES).float().to(device)
    lengths = torch.from_numpy(LENGTHS).float().to(device)
    shares = torch.from_numpy(SEGMENT_SHARES).float().to(device)
    spread = hand.spread
    forward = torch.stack([spread.sin(), spread.cos(), torch.zeros_like(spread)], -1)  # (N, 5, 3)
    point = base.expand(len(spread), -1, -1)
    bend = torch.zeros_like(spread)
    palmward = point.new_tensor([0.0, 0.0, -1.0])
    points = [point - forward * 0.012, point]
    for joint in range(JOINTS):
        bend = bend + hand.curl[..., joint] * (1.0, 1.1, 0.7)[joint]
        direction = forward * bend.cos()[..., None] + palmward * bend.sin()[..., None]
        for _ in range(2):
            point = point + direction * (0.5 * lengths * shares[joint])[:, None]
            points.append(point)
    path = torch.stack(points, 2)
    taper = torch.tensor([1.05, 1.1, 1.0, 1.02, 0.93, 0.95, 0.85, 0.35], device=device)
    radius = torch.from_numpy(RADII).float().to(device)[:, None] * taper
    return path, radius.expand(len(spread), -1, -1)


def _palm(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    rows = torch.tensor([(0.022, 0.013, -0.005), (0.030, 0.015, 0.020), (0.040, 0.016, 0.050), (0.043, 0.013, 0.080),
                         (0.041, 0.008, 0.095), (0.030, 0.002, 0.099)], device=device)  # fmt: skip
    angle = torch.linspace(0, 2 * torch.pi, 13, device=device)
    x, z = rows[:, :1] * angle.cos(), -rows[:, 1:2] * angle.sin()
    vertices = torch.stack([x, rows[:, 2:].expand_as(x), z], -1)
    normals = torch.stack([angle.cos() / rows[:, :1], 0 * x, -angle.sin() / rows[:, 1:2]], -1)
    normals = unit(normals)
    return vertices.expand(n, -1, -1, -1), normals.expand(n, -1, -1, -1)


def _placement(hand: HandParameters, landmarks: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation (N, 3, 3) and position of the wrist (N, 3)."""
    anchor = (landmarks * hand.anchor[..., None]).sum(1)
    middle = landmarks.mean(1) - landmarks.new_tensor([0.0, 0.0, 0.085])
    outwards = unit((anchor - middle) * anchor.new_tensor([1.0, 0.5, 1.0]))
    # the palm (-z) faces the skin; fingers point up and inwards
    sign = torch.where(hand.mirrored > 0.5, -1.0, 1.0)
    plane = sign * hand.turn[:, 0]
    up = torch.stack([plane.sin(), plane.cos(), torch.zeros_like(plane)], -1)
    up = unit(up - outwards * (up * outwards).sum(-1, keepdim=True))
    up = unit(up + outwards * hand.turn[:, 1:2])
    z = unit(outwards - up * (outwards * up).sum(-1, keepdim=True))
    x = torch.linalg.cross(up, z)
    roll = hand.turn[:, 2:3]
    x, z = x * roll.cos() + z * roll.sin(), z * roll.cos() - x * roll.sin()
    rotation = torch.stack([x, up, z], -1)
    at = (hand.reach * 0.17 * hand.size * scale)[:, None]
    origin = anchor + outwards * (0.016 * scale)[:, None] + hand.shift - up * at
    return rotation, origin


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
    first, second, spot = cloth_colour(generator), cloth_colour(generator), 57
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
    has_mask, cloth = generator.random() < masked, cloth_colour(generator)
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
        **_drawn_mask(generator, hull, cloth),
    )


def _drawn_mask(generator: np.random.Generator, hull: HeadHull, cloth: np.ndarray) -> dict[str, Any]:
    """Where a mask of medicine's colours or of cloth lies, and what it looks like."""
    front, colours = np.zeros(1), ([0.25, 0.45, 0.6], [0.75, 0.75, 0.75], [0.01, 0.01, 0.012], cloth)
    return {
        "mask_top": hull.s_at_height(front, np.array(generator.choice([0.714, 0.704, 0.675], p=[0.6, 0.3, 0.1])))[0],
        "mask_bottom": hull.s_at_height(front, np.array(generator.uniform(0.600, 0.615)))[0],
        "mask_wide": generator.uniform(0.75, 1.15),
        "mask_colour": np.array(colours[generator.integers(4)]) * generator.uniform(0.8, 1.1),
        "mask_detail": np.array([generator.choice([sheets.PLAIN, sheets.WEAVE, sheets.KNIT]), 0.15, 300.0]),
    }


def thing_layer(thing: ThingParameters, landmarks: Tensor, surface: HullSurface) -> sheets.SurfaceLayer:
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
        normals = sheets.grid_normals(vertices, closed=True)
        inwards = ((normals * (vertices - middle[:, None, None])).sum(-1).sum((1, 2)) < 0)[:, None, None, None]
        normals = torch.where(inwards, -normals, normals)
        faces = sheets.grid_faces(ROWS, COLUMNS, device)
        layers.append(sheets.layer_of(vertices, normals, faces, int(FaceClass.OCCLUDER),
                               thing.colour[:, part, None, None], specular=thing.shine, roughness=0.35))  # fmt: skip
    layers.append(_mask(thing, surface, n, device))
    return sheets.join_layers(tuple(layers))


def _mask(thing: ThingParameters, surface: HullSurface, n: int, device: torch.device) -> sheets.SurfaceLayer:
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
    shading = sheets.grid_normals(vertices)
    scale = thing.mask_detail[:, 2, None, None]
    kind, strength = (thing.mask_detail[:, k, None, None].expand_as(a) for k in range(2))
    detail = torch.stack([kind, strength, a * 0.09 * scale, s.expand_as(a) * scale], -1)
    return sheets.layer_of(vertices, unit(shading + 1e-6), sheets.grid_faces(MASK_ROWS, MASK_COLUMNS, device),
                    int(FaceClass.OCCLUDER), thing.mask_colour[:, None, None], detail=detail)  # fmt: skip


def _power(values: Tensor, exponent: Tensor) -> Tensor:
    return values.sign() * values.abs().clamp(min=1e-5) ** exponent
