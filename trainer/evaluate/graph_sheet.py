"""Sheets of the graph face model: its results on photos, and interpolations between synthetic people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from backend.geometry.mesh_hierarchy import load_mesh_hierarchy
from backend.geometry.normals import vertex_normals
from backend.models.graph_face.apply import GraphModel, read_codes
from backend.models.graph_face.network import GraphFaceNet, WeakPerspective
from backend.models.learned_basis.picture import draw_colours
from backend.photos.collection import PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.rendering.spherical_harmonics import light_from_directions, shade
from trainer.data.graph import GraphBatch

TILE = 168
_CLAY = 0.45
_BACKGROUND = 0.16
_FRONT_SCALE = 4.6
_FAR = 2.0


@torch.no_grad()
def people_sheet(net: GraphFaceNet, batch: GraphBatch) -> np.ndarray:
    """(H, W, 3) uint8 sRGB, a row per photo: the photo; its reconstruction in its pose and light; predicted and true
    neutral face as clay, from the front and rotated; the first person's face with this photo's expression."""
    codes = net.encoder(batch.photos.images, batch.photos.marks)
    found, rest = net.shape(codes.identity, codes.expression), net.neutral(codes.identity)
    truth = batch.neutral[:, : len(net.mean)]
    others = net.shape(codes.identity[:1].expand_as(codes.identity), codes.expression)
    photos = torch.nn.functional.interpolate(batch.photos.images, size=(TILE, TILE), mode="bicubic").clamp(0, 1)
    front, side = (seen_from(len(found), yaw) for yaw in (0.0, math.radians(35)))
    columns = [
        photos,
        drawn(found, linear_from_srgb(net.albedo(codes.identity).clamp(0.001, 1)), codes.light, codes.pose),
        clay(rest, front),
        clay(truth, front),
        clay(rest, side),
        clay(truth, side),
        clay(others, front),
    ]
    return in_columns(columns)


@torch.no_grad()
def photo_sheet(model: GraphModel, faces: Sequence[PhotoFace]) -> np.ndarray:
    """(H, W, 3) uint8 sRGB, a row per photo: the photo; its reconstruction in its pose and light; the neutral face as
    clay, from the front and rotated; the first person's face with this photo's expression."""
    net = model.network
    _, pictures, codes = read_codes(faces, model)
    rest = net.neutral(codes.identity)
    photos = torch.nn.functional.interpolate(pictures, size=(TILE, TILE), mode="bicubic").clamp(0, 1)
    front, side = (seen_from(len(rest), yaw) for yaw in (0.0, math.radians(35)))
    colours = linear_from_srgb(net.albedo(codes.identity).clamp(0.001, 1))
    columns = [
        photos,
        drawn(net.shape(codes.identity, codes.expression), colours, codes.light, codes.pose),
        clay(rest, front),
        clay(rest, side),
        clay(net.shape(codes.identity[:1].expand_as(codes.identity), codes.expression), front),
    ]
    return in_columns(columns)


@torch.no_grad()
def between_sheet(net: GraphFaceNet, batch: GraphBatch, steps: int = 5) -> np.ndarray:
    """(H, W, 3) uint8 sRGB: interpolation from the first photo's identity to the last one's; below it the first
    identity with the first photo's expression at double strength, fading to none, then to the last photo's."""
    codes = net.encoder(batch.photos.images, batch.photos.marks)
    share = torch.linspace(0, 1, steps)[:, None]
    identity = (1 - share) * codes.identity[:1] + share * codes.identity[-1:]
    first, last = codes.expression[:1], codes.expression[-1:]
    expression = torch.where(share < 0.5, (2 - 4 * share) * first, (2 * share - 1) * last)
    pose = seen_from(steps, math.radians(15))
    rows = [clay(net.neutral(identity), pose), clay(net.shape(codes.identity[:1].expand(steps, -1), expression), pose)]
    return in_columns([torch.stack(pair) for pair in zip(*rows, strict=True)])


def drawn(shapes: Tensor, colours: Tensor, light: Tensor, pose: WeakPerspective) -> Tensor:
    """Render shapes (N, C, 3) with linear colours (N, C, 3) under light (N, 9, 3) to (N, 3, TILE, TILE)."""
    faces = torch.from_numpy(load_mesh_hierarchy().levels[0].faces)
    shading = shade(vertex_normals(shapes, faces), light).clamp(min=0)
    depth = (shapes @ pose.rotation().transpose(1, 2))[..., 2:] + _FAR
    pixels = torch.cat([TILE * pose.project(shapes), depth], -1)
    picture, mask = draw_colours(colours * shading, pixels, faces, TILE)
    return torch.where(mask[:, None], picture, _BACKGROUND)


def clay(shapes: Tensor, pose: WeakPerspective) -> Tensor:
    """Render shapes (N, C, 3) as clay, lit from the upper left, to (N, 3, TILE, TILE)."""
    lamp = light_from_directions(torch.tensor([[-0.45, 0.6, 0.66]]), torch.tensor([[0.9, 0.9, 0.9]]), 0.25)
    return drawn(shapes, torch.full_like(shapes, _CLAY), lamp.expand(len(shapes), -1, -1), pose)


def write_sheet(path: Path, picture: np.ndarray) -> None:
    """Write (H, W, 3) uint8 sRGB as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[:, :, ::-1])


def seen_from(count: int, yaw: float, scale: float = _FRONT_SCALE) -> WeakPerspective:
    """``count`` poses, rotated by yaw (radians), in which a metre spans ``scale`` tiles."""
    angles = torch.zeros(count, 3)
    angles[:, 1] = yaw
    return WeakPerspective(angles, torch.full((count,), scale), torch.zeros(count, 2))


def in_columns(columns: list[Tensor]) -> np.ndarray:
    """Join columns (N, 3, TILE, TILE) of N tiles to one picture (H, W, 3) uint8 sRGB."""
    whole = torch.cat([torch.cat(list(column), 1) for column in columns], 2)
    return (whole.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
