"""Figures and pictures of the learned face model on held-out photos: one encoder pass, no fitting."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from backend.geometry.normals import vertex_normals
from backend.models.learned_basis.network import LearnedBasisNet, ModelledFace
from backend.models.learned_basis.picture import render_face
from backend.rendering.spherical_harmonics import light_from_directions
from trainer.data.face_model import FaceBatch
from trainer.data.lap.batch import class_mask
from trainer.losses.face_model import METRES_TO_MM
from trainer.losses.lip_contour import lip_masks
from trainer.stages.learned_basis_detector import encode_again
from trainer.stages.learned_basis_render import FaceMarks, lip_pictures
from trainer.stages.learned_basis_start import REFLECTANCE_CLASSES

_SMALLEST_LIP = 6
"""Pixels; IoU is not measured for smaller lips."""


@torch.no_grad()
def face_figures(network: LearnedBasisNet, marks: FaceMarks, batches: Iterable[FaceBatch]) -> dict[str, float]:
    """Means over photos, without NaN figures.

    ``landmark`` (per cent of the picture's side; ``landmark.mean_face`` for the mean mesh in the same poses), ``turn``
    (degrees between predicted and true camera axes), ``neutral`` and ``expression`` (mm over the face against truth;
    baselines ``.mean_face`` and ``.none``, which has no expression), ``shape`` (``neutral`` after similarity alignment
    to the truth, because a photo shows neither a head's size nor the origin of its frame), ``neutral.moved`` (mm of
    expression offsets on neutral faces: the paper's AE), ``photometric`` (mean absolute error, 0 to 1),
    ``lip_iou.upper`` and ``.lower``.
    """
    total: dict[str, float] = {}
    count: dict[str, int] = {}

    def add(name: str, values: Tensor) -> None:
        values = values[torch.isfinite(values)]
        total[name] = total.get(name, 0.0) + float(values.double().sum())
        count[name] = count.get(name, 0) + len(values)

    for batch in batches:
        for name, values in photo_figures(network, marks, batch).items():
            add(name, values)
    return {name: total[name] / count[name] if count[name] else float("nan") for name in total}


@torch.no_grad()
def photo_figures(network: LearnedBasisNet, marks: FaceMarks, batch: FaceBatch) -> dict[str, Tensor]:
    """The figures of ``face_figures`` for each photo, (N,) or (n,)."""
    size, bases = batch.images.shape[-1], network.bases
    code = encode_again(network, batch)
    face = network.face(code)
    cameras = code.pose.cameras(size)
    pixels = cameras.project(face.vertices)
    figures = {}
    mean = bases.mean.expand(len(batch.images), -1, -1)
    for name, vertices in (("landmark", face.vertices), ("landmark.mean_face", mean)):
        points = cameras.project(marks.slid(vertices, vertex_normals(vertices, bases.faces), cameras, batch.slides))
        apart = (points[..., :2] - batch.landmarks).norm(dim=-1) * (100.0 / size)
        weight = (batch.landmark_weight > 0).float()
        figures[name] = (apart * weight).sum(1) / weight.sum(1)
    rendered = render_face(bases, face, pixels, code.light, size)
    mask = (rendered.mask & class_mask(batch.labels, REFLECTANCE_CLASSES)).float()
    difference = (rendered.image - batch.images).abs().mean(1) * mask
    figures["photometric"] = torch.where(batch.is_grey, torch.nan, difference.sum((1, 2)) / mask.sum((1, 2)))
    figures |= lip_figures(network, pixels, batch)
    skin = bases.surface.face[: bases.surface.cage].to(pixels.device) > 0.5
    cage = bases.surface.cage
    moved = (face.vertices - face.neutral)[:, :cage][:, skin].norm(dim=-1).mean(1) * METRES_TO_MM
    figures["neutral.moved"] = torch.where(batch.neutral, moved, torch.nan)
    if batch.truth is not None:
        figures |= _truth_figures(face, batch, skin, bases.mean[:cage])
        known = len(batch.truth.vertices)
        axes = (cameras.rotation[:known, 2] * batch.truth.camera_from_head[:, 2, :3]).sum(-1)
        figures["turn"] = axes.clamp(-1, 1).acos() * (180 / math.pi)
    return figures


def lip_figures(network: LearnedBasisNet, pixels: Tensor, batch: FaceBatch) -> dict[str, Tensor]:
    """(N,) IoU of each rendered lip with the parsed one; NaN where the photo shows next to nothing of it."""
    masks = lip_masks(batch.labels, batch.landmarks)
    seen = lip_pictures(network.bases, pixels, batch.images.shape[-1])
    figures = {}
    for name, found, wanted in zip(("upper", "lower"), seen, (masks.upper, masks.lower), strict=True):
        both, either = (found & wanted).sum((1, 2)), (found | wanted).sum((1, 2))
        figures[f"lip_iou.{name}"] = torch.where(wanted.sum((1, 2)) >= _SMALLEST_LIP, both / either, torch.nan)
    return figures


def _truth_figures(face: ModelledFace, batch: FaceBatch, skin: Tensor, mean: Tensor) -> dict[str, Tensor]:
    """Mean errors in mm over the face's skin against truth, in the head frame; only ``shape`` is aligned."""
    truth, count, cage = batch.truth, len(batch.truth.vertices), len(mean)

    def apart(found: Tensor, wanted: Tensor) -> Tensor:
        return (found - wanted)[:, skin].norm(dim=-1).mean(1) * METRES_TO_MM

    neutral = face.neutral[:count, :cage]
    moved, wanted = face.vertices[:count, :cage] - neutral, truth.vertices - truth.neutral
    return {
        "shape": apart(_nearest_similar(neutral, truth.neutral, skin), truth.neutral),
        "shape.mean_face": apart(_nearest_similar(mean.expand_as(neutral), truth.neutral, skin), truth.neutral),
        "neutral": apart(neutral, truth.neutral),
        "neutral.mean_face": apart(mean.expand_as(neutral), truth.neutral),
        "expression": apart(moved, wanted),
        "expression.none": apart(torch.zeros_like(moved), wanted),
    }


def _nearest_similar(points: Tensor, wanted: Tensor, chosen: Tensor) -> Tensor:
    """Align points (n, V, 3) by the similarity that fits those ``chosen`` (V,) best to ``wanted`` (Umeyama 1991)."""
    a, b = points[:, chosen], wanted[:, chosen]
    middle, goal = a.mean(1, keepdim=True), b.mean(1, keepdim=True)
    u, strengths, vh = torch.linalg.svd((b - goal).transpose(1, 2) @ (a - middle))
    signs = torch.ones_like(strengths)
    signs[:, 2] = torch.det(u @ vh).sign()
    turn = (u * signs[:, None]) @ vh
    scale = (strengths * signs).sum(1) / (a - middle).square().sum((1, 2))
    return scale[:, None, None] * (points - middle) @ turn.transpose(1, 2) + goal


@torch.no_grad()
def contact_sheet(network: LearnedBasisNet, batch: FaceBatch, rows: int = 6) -> Tensor:
    """(3, H, W) in [0, 1], one row per photo: photo, reconstruction over it, reflectance, surface, neutral surface."""
    size, bases = batch.images.shape[-1], network.bases
    code = encode_again(network, batch)
    face = network.face(code)
    pixels = code.pose.cameras(size).project(face.vertices)
    neutral_pixels = code.pose.cameras(size).project(face.neutral)
    rendered = render_face(bases, face, pixels, code.light, size)
    clay = ModelledFace(
        face.vertices, face.neutral, face.identity_nodes, face.expression_nodes, torch.full_like(face.reflectance, 0.5)
    )
    lamp = light_from_directions(torch.tensor([[0.45, 0.6, 0.66]]), torch.tensor([[0.9, 0.9, 0.9]]), 0.15)
    light = lamp.to(pixels).expand(len(pixels), -1, -1)
    surface = render_face(bases, clay, pixels, light, size)
    calm = ModelledFace(
        face.neutral, face.neutral, face.identity_nodes, face.expression_nodes, torch.full_like(face.reflectance, 0.5)
    )
    plain = render_face(bases, calm, neutral_pixels, light, size)
    columns = [
        batch.images,
        torch.where(rendered.mask[:, None], rendered.image, batch.images),
        rendered.albedo,
        surface.image,
        plain.image,
    ]
    return torch.cat([torch.cat(list(column[:rows]), 1) for column in columns], 2).float()
