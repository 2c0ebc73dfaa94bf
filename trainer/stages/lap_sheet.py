"""Contact sheet of LAP's faces for inspection."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.models.lap.network import LapNet, Scene
from backend.models.lap.render import render_face, shaded_surface, studio_light, turned_view
from backend.rendering.camera_models import View
from trainer.data.lap.batch import LapBatch
from trainer.stages.lap_sets import filled_depth


def contact_sheet(network: LapNet, batch: LapBatch, pictures: Tensor, rows: int = 6) -> Tensor:
    """(3, H, W) in [0, 1]; see ``LapStage.pictures``."""
    face, scene = network(pictures, batch.set_of, batch.marks)
    first = torch.searchsorted(batch.set_of, torch.arange(min(rows, len(face.depth)), device=batch.set_of.device))
    face = face.of(batch.set_of[first])
    own = Scene(
        type(scene.light)(scene.light.ambient[first], scene.light.diffuse[first], scene.light.direction[first]),
        View(scene.view.rotation[first], scene.view.translation[first]),
    )
    config, count = network.config, len(first)
    rendered = render_face(face, own, config)
    columns = [batch.images[first], _unit(rendered.image) * rendered.mask[:, None]]
    columns += [shaded_surface(face.depth), _unit(face.albedo)]
    studio = studio_light(count, face.depth)
    columns.append(_unit(face.shaded(studio)))
    for yaw in (-40.0, 40.0):
        angle = torch.full((count,), yaw, device=face.depth.device)
        turned = render_face(face, Scene(studio, turned_view(angle, angle * 0)), config)
        columns.append(_unit(turned.image) * turned.mask[:, None])
    columns.append(shaded_surface(network.personalize(pictures[first], face).depth))
    if batch.truth is not None and count <= len(batch.truth.depth):
        columns.append(shaded_surface(filled_depth(batch.truth.depth[:count])))
    return torch.cat([torch.cat(list(column), 1) for column in columns], 2).float()


def _unit(pictures: Tensor) -> Tensor:
    return (pictures / 2 + 0.5).clamp(0, 1)
