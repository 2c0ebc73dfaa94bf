"""A hand at the face: palm, five fingers with three joints each, and a forearm in a sleeve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.hair.locks import Numbers
from backend.photos.collection import FaceClass
from trainer.data.people.attachments.hats import cloth_colour
from trainer.data.people.attachments.layers import SurfaceLayer, join_layers
from trainer.data.people.attachments.meshes import grid_faces, layer_of, tube, unit
from trainer.data.people.look import PersonLook

SIDES, JOINTS = 8, 3
FINGER_POINTS = 8
BASES = np.array(
    [(0.032, 0.032, 0.0), (0.030, 0.088, 0.0), (0.010, 0.092, 0.0), (-0.011, 0.088, 0.0), (-0.030, 0.080, 0.0)]
)
"""Roots of thumb, index, middle, ring and little finger. The wrist is the origin, fingers point along y, the palm faces
-z, the thumb is on the side of +x (a person's right hand with the palm towards them)."""
LENGTHS = np.array([0.062, 0.074, 0.082, 0.076, 0.060])
RADII = np.array([0.0105, 0.0088, 0.0090, 0.0085, 0.0074])
SEGMENT_SHARES = np.array([0.48, 0.29, 0.23])
POSES = ("cheek", "chin", "fist at chin", "forehead", "mouth", "beside", "eye")
_ANCHORS = {"cheek": 3, "chin": 7, "fist at chin": 8, "forehead": 19, "mouth": 51, "beside": 1, "eye": 41}
"""Indices into the 68 landmarks, on the person's right side."""


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
    pose = str(generator.choice(POSES, p=[0.26, 0.18, 0.12, 0.14, 0.12, 0.12, 0.06]))
    left = generator.random() < 0.5
    anchor = np.zeros(68)
    anchor[_mirrored_landmark(_ANCHORS[pose]) if left else _ANCHORS[pose]] = 1.0
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


def _mirrored_landmark(index: int) -> int:
    """Return the landmark of the 68 on the other side, for those in ``_ANCHORS``."""
    return {3: 13, 7: 9, 8: 8, 19: 24, 51: 51, 1: 15, 41: 46}[index]


def hand_layer(hand: HandParameters, landmarks: Tensor, scale: Tensor) -> SurfaceLayer:
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
    finger = grid_faces(FINGER_POINTS, SIDES, device)
    parts = [
        (vertices, normals, torch.cat([finger + k * FINGER_POINTS * SIDES for k in range(5)]),
         hand.skin[:, None, None]),
        (palm, palm_normals, grid_faces(palm.shape[1], palm.shape[2], device), hand.skin[:, None, None]),
        (arm, arm_normals, grid_faces(4, 12, device), arm_colour),
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
        layers.append(layer_of(placed, turned, faces, int(FaceClass.OCCLUDER), colour.expand_as(placed),
                               specular=0.12, roughness=0.45))  # fmt: skip
    return join_layers(tuple(layers))


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
