"""Where the learned face model may begin instead of zero: the template's modes on the graph, reflectance of people."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from backend.geometry.deformation_graph import deformation_graph
from backend.geometry.normals import vertex_normals
from backend.geometry.refine import refinements
from backend.geometry.symmetry import mirrored
from backend.geometry.template import load_template
from backend.geometry.topology import triangles_from_quads
from backend.models.learned_basis import MILLIMETRE, FaceBases
from backend.photos.collection import FaceClass
from backend.rendering.camera_models import project
from backend.rendering.color import linear_from_srgb
from trainer.data.face_model import FaceBatch, FaceTruth
from trainer.data.lap.batch import class_mask
from trainer.data.people.expression import draw_expression
from trainer.data.people.identity import IdentityShapes, draw_identity
from trainer.data.people.surface import PeopleSurface

REFLECTANCE_CLASSES = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.LIPS, FaceClass.FACIAL_HAIR)
"""What the reflectance of the skin is seen on."""
_EYE_REFLECTANCE = 0.45
_FACING = 0.35
_DRAWS = 2000
_SHAPE_SEED = 11


def principal(vectors: np.ndarray, metric: np.ndarray, count: int) -> np.ndarray:
    """(count, G, 3) principal directions of sums of vectors (K, G, 3) with independent unit coefficients.

    Lengths are those of U^T U = ``metric`` (G, G); coefficients of the result are independent and of unit variance,
    too; rows beyond the rank are zero.
    """
    flat = vectors.reshape(len(vectors), -1).astype(np.float64)
    weighted = np.einsum("gh,khc->kgc", metric, vectors.astype(np.float64)).reshape(len(vectors), -1)
    values, turns = np.linalg.eigh(weighted @ flat.T)
    kept = np.argsort(values)[::-1][: min(count, int((values > 1e-9 * values.max()).sum()))]
    result = np.zeros((count, *vectors.shape[1:]), np.float32)
    result[: len(kept)] = (turns[:, kept].T @ flat).reshape(len(kept), *vectors.shape[1:])
    return result


def usual_expressions(seed: int = 0) -> np.ndarray:
    """(52, 52) lower triangular L: weights L z with independent unit z are spread as those of synthetic people."""
    generator = np.random.default_rng(seed)
    weights = np.stack([draw_expression(generator).weights for _ in range(_DRAWS)]).astype(np.float64)
    return np.linalg.cholesky(weights.T @ weights / _DRAWS + 1e-4 * np.eye(weights.shape[1]))


@torch.no_grad()
def begin_from_prior(bases: FaceBases) -> None:
    """Give identity and expression the principal directions of the template's modes and of its 52 expressions."""
    template = load_template()
    head = template.head.vertex_stop
    _begin(bases, bases.identity_raw, template.identity_modes[:, :head])
    _begin(bases, bases.expression, np.tensordot(usual_expressions().T, template.expressions[:, :head], 1))


@torch.no_grad()
def begin_from_people(bases: FaceBases, count: int) -> None:
    """As ``begin_from_prior``, but identities of ``count`` synthetic people, who have more than the template's modes.

    People and their mirror images count alike. The seed is none that the evaluation draws its people from.
    """
    begin_from_prior(bases)
    template = load_template()
    generator = np.random.default_rng(_SHAPE_SEED)
    drawn = [draw_identity(generator, len(template.identity_modes)) for _ in range(count)]
    shapes = IdentityShapes(PeopleSurface(template, torch.device("cpu"))).neutral(drawn)
    offsets = shapes.numpy()[:, : template.head.vertex_stop] - template.vertices[: template.head.vertex_stop]
    mirror = template.mirror[: template.head.vertex_stop]
    _begin(bases, bases.identity_raw, np.concatenate([offsets, mirrored(offsets, mirror)]) / (2 * count) ** 0.5)


def _begin(bases: FaceBases, parameter: torch.nn.Parameter, offsets: np.ndarray) -> None:
    """Principal directions of sums of cage offsets (K, V, 3) in metres with independent unit coefficients."""
    template, graph = load_template(), deformation_graph(bases.config.nodes)
    importance = 0.05 + template.regions["face"][: template.head.vertex_stop]
    nodes = graph.fitted(offsets, importance) / MILLIMETRE
    parameter.copy_(torch.from_numpy(principal(nodes, bases.metric.cpu().numpy(), len(parameter))))


def seen_reflectance(batch: FaceBatch) -> tuple[Tensor, Tensor]:
    """Linear reflectance (G, C, 3) at the cage's vertices, mean over the photos of each person, and known (G, C).

    Raises ``ValueError`` for a batch without truth.
    """
    truth = batch.truth
    if truth is None:
        raise ValueError("a first reflectance basis needs people with truth in the source")
    count, size = len(truth.vertices), truth.albedo.shape[-1]
    pixels = _projected(truth)
    skin = class_mask(batch.labels[:count], REFLECTANCE_CLASSES).float()
    pictures = torch.cat([linear_from_srgb(truth.albedo), skin[:, None]], 1)
    grid = pixels[..., :2] * (2 / size) - 1
    found = grid_sample(pictures, grid[:, None], align_corners=False, padding_mode="zeros")[:, :, 0].transpose(1, 2)
    faces = torch.from_numpy(triangles_from_quads(_head_quads())).to(pixels.device)
    normals = vertex_normals(truth.vertices, faces)
    turn, move = truth.camera_from_head[:, :3, :3], truth.camera_from_head[:, :3, 3:]
    towards = -(turn.transpose(1, 2) @ move).transpose(1, 2) - truth.vertices
    facing = torch.nn.functional.cosine_similarity(normals, towards, dim=-1)
    weight = (found[..., 3] > 0.99) * facing.clamp(min=0) * (facing > _FACING)  # (n, C)
    own = batch.set_of[:count]
    people = int(own[-1]) + 1
    total = pixels.new_zeros(people, pixels.shape[1], 4)
    total.index_add_(0, own, torch.cat([found[..., :3] * weight[..., None], weight[..., None]], -1))
    return total[..., :3] / total[..., 3:].clamp(min=1e-6), total[..., 3] > 0


@torch.no_grad()
def begin_reflectance(bases: FaceBases, batches: list[FaceBatch], with_basis: bool) -> None:
    """Set the mean reflectance, and with ``with_basis`` the basis too, from people with truth.

    What no photo of a person shows comes from the other side of the face, and where that is not seen either from the
    mean of all. The basis holds the principal components, one deviation each.
    """
    template = load_template()
    mirror = torch.from_numpy(template.mirror[: template.head.vertex_stop].astype(np.int64))
    pairs = [seen_reflectance(batch) for batch in batches]
    values = torch.cat([values for values, _ in pairs]).cpu()
    known = torch.cat([known for _, known in pairs]).cpu()
    values = torch.where(known[..., None], values, values[:, mirror])
    known = known | known[:, mirror]
    number = known.sum(0)[:, None]
    everywhere = (values * known[..., None]).sum((0, 1)) / known.sum().clamp(min=1)
    mean = ((values * known[..., None]).sum(0) + 0.5 * everywhere) / (number + 0.5)  # (C, 3)
    mean = 0.5 * (mean + mean[mirror])
    left = torch.where(known[..., None], values - mean, 0.0)
    components = _components(torch.cat([left, left[:, mirror]]), len(bases.reflectance)) if with_basis else None
    fields = [mean] if components is None else [mean, *components]
    refined = torch.cat(fields, 1)
    for step in refinements(_head_quads(), template.head.vertex_stop, bases.config.level):
        refined = step(refined)
    skin = bases.surface.skin
    device = bases.reflectance.device
    bases.reflectance_mean[:skin] = refined[:, :3].to(device)
    bases.reflectance_mean[skin:] = _EYE_REFLECTANCE
    if components is not None:
        spread = torch.zeros(len(bases.reflectance), len(bases.reflectance_mean), 3)
        spread[: len(components), :skin] = refined[:, 3:].view(skin, -1, 3).transpose(0, 1)
        bases.reflectance.copy_(spread[:, bases.covered.cpu()].to(device))


def _components(samples: Tensor, count: int) -> Tensor:
    """(count or fewer, C, 3) principal components of samples (P, C, 3) about zero, of one deviation."""
    flat = samples.flatten(1)
    values, turns = torch.linalg.eigh((flat @ flat.T).double() / len(flat))
    kept = values.argsort(descending=True)[: min(count, len(flat) // 2)]
    directions = (turns[:, kept].T.float() @ flat) / len(flat) ** 0.5
    return directions.view(-1, *samples.shape[1:])


def _head_quads() -> np.ndarray:
    template = load_template()
    return template.quads[template.head.face_start : template.head.face_stop].astype(np.int64)


def _projected(truth: FaceTruth) -> Tensor:
    """(n, C, 3) where the true surface is in the photos."""
    pose = truth.camera_from_head
    return project(truth.vertices @ pose[:, :3, :3].transpose(1, 2) + pose[:, None, :3, 3], truth.intrinsics)
