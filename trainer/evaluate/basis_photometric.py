"""Photometric errors on photos: of the learned model, and of the prior, which has no reflectance basis."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from backend.geometry.deformation_graph import deformation_graph
from backend.geometry.normals import vertex_normals
from backend.geometry.template import load_template
from backend.models.learned_basis.network import MILLIMETRE, FaceBases, LearnedBasisNet, ModelledFace
from backend.models.learned_basis.picture import render_face
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids
from backend.rendering.spherical_harmonics import basis as harmonics
from trainer.data.face_model import FaceBatch
from trainer.data.lap.batch import class_mask
from trainer.evaluate.basis_heads import nearest_codes
from trainer.stages.learned_basis_detector import predicted_again
from trainer.stages.learned_basis_start import REFLECTANCE_CLASSES

_RIDGE = 1e-3
_LEAST_REFLECTANCE = 0.003


def best_lights(bases: FaceBases, face: ModelledFace, pixels: Tensor, images: Tensor, mask: Tensor) -> Tensor:
    """Solve for the lights (N, 9, 3) that fit the faces to photos: weighted least squares in linear light.

    Equation 4's colours are linear in the light. The weights are the slopes of sRGB at the photo's colours, so that
    errors count as in sRGB. pixels : (N, V, 3) projected vertices. images : (N, 3, S, S) sRGB. mask : (N, S, S).
    """
    size = images.shape[-1]
    directions = harmonics(vertex_normals(face.vertices, bases.faces))  # (N, V, 9)
    found = fragments(face_ids(pixels, bases.faces, (size, size), cull_backfaces=True), bases.faces)
    mix = fragment_barycentrics(pixels, found)
    covered = found.scatter(torch.ones_like(mix[:, 0])) > 0.5
    lights = torch.zeros(len(images), 9, 3)
    for channel in range(3):
        terms = found.scatter(fragment_values(directions * face.reflectance[..., channel : channel + 1], found, mix))
        for number in range(len(images)):
            used = covered[number] & (mask[number] > 0)
            seen = images[number, channel][used].double()
            slope = 1.0 / (0.03 + linear_from_srgb(seen)) ** 0.6
            design = terms[number][used].double() * slope[:, None]
            system = design.T @ design
            system += _RIDGE * system.diagonal().mean() * torch.eye(9, dtype=system.dtype)
            solved = torch.linalg.solve(system, design.T @ (linear_from_srgb(seen) * slope))
            lights[number, :, channel] = solved.float()
    return lights


def colour_errors(bases: FaceBases, face: ModelledFace, pixels: Tensor, light: Tensor, batch: FaceBatch) -> Tensor:
    """(N,) mean absolute error of the render over skin, lips, brows and beard, 0 to 1; NaN for grey photos."""
    rendered = render_face(bases, face, pixels, light, batch.images.shape[-1])
    mask = (rendered.mask & class_mask(batch.labels, REFLECTANCE_CLASSES)).float()
    difference = (rendered.image - batch.images).abs().mean(1) * mask
    return torch.where(batch.is_grey, torch.nan, difference.sum((1, 2)) / mask.sum((1, 2)))


@torch.no_grad()
def prior_face(bases: FaceBases, face: ModelledFace) -> ModelledFace:
    """The prior's face nearest to a modelled one, with as many identity modes as the model has and the 52 keys.

    The prior has no reflectance basis, so it gets the learned model's mean reflectance.
    """
    template = load_template()
    head = template.head.vertex_stop
    importance = 0.02 + template.regions["face"][:head].astype(np.float64)
    graph = bases.surface
    count = bases.config.identity
    identity = template.identity_modes[:count, :head].astype(np.float64)
    keys = template.expressions[:, :head].astype(np.float64)
    neutral = (face.neutral - bases.mean)[:, : graph.cage].double().numpy()
    moved = (face.vertices - face.neutral)[:, : graph.cage].double().numpy()
    nodes = deformation_graph(bases.config.nodes)
    offsets = [
        np.tensordot(nearest_codes(modes, target, importance), modes, 1)
        for modes, target in ((identity, neutral), (keys, moved))
    ]
    identity_nodes, expression_nodes = (
        torch.from_numpy(nodes.fitted(part, importance) / MILLIMETRE).float() for part in offsets
    )
    calm = bases.vertices(identity_nodes)
    return ModelledFace(
        vertices=bases.vertices(identity_nodes, expression_nodes),
        neutral=calm,
        identity_nodes=identity_nodes,
        expression_nodes=expression_nodes,
        reflectance=bases.reflectance_mean.clamp(min=_LEAST_REFLECTANCE).expand(len(calm), -1, -1),
    )


@torch.no_grad()
def photometric_figures(network: LearnedBasisNet, batch: FaceBatch) -> dict[str, float]:
    """Mean absolute errors on held-out photos after one encoder pass; only lights are fitted.

    ``photometric.learned`` : with the light of the model's own pass. ``.learned_predicted_light`` : with the light that
    the encoder predicts. ``.learned_best_light`` and ``.prior`` (``prior_face``) : with the best-fitting light.
    ``.prior_solved_light`` : the prior's face with the model's own step that solves for the light.
    """
    bases, size = network.bases, batch.images.shape[-1]
    predicted = predicted_again(network, batch)
    pictures = batch.images * 2 - 1
    face, cameras = network.face(predicted), predicted.pose.cameras(size)
    prior = prior_face(bases, face)
    skin = class_mask(batch.labels, REFLECTANCE_CLASSES)
    pixels, prior_pixels = cameras.project(face.vertices), cameras.project(prior.vertices)

    def figure(shown: ModelledFace, places: Tensor, light: Tensor) -> float:
        return float(colour_errors(bases, shown, places, light, batch).nanmean())

    return {
        "photometric.learned": figure(face, pixels, network.lit(predicted, pictures).light),
        "photometric.learned_predicted_light": figure(face, pixels, predicted.light),
        "photometric.learned_best_light": figure(face, pixels, best_lights(bases, face, pixels, batch.images, skin)),
        "photometric.prior": figure(prior, prior_pixels, best_lights(bases, prior, prior_pixels, batch.images, skin)),
        "photometric.prior_solved_light": figure(prior, prior_pixels, network.light_on(prior, predicted, pictures)),
    }
