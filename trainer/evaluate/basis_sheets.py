"""Sheets of the learned face model, with synthetic people only: modes, expression transfer, personalisation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from backend.models.learned_basis.apply import BasisModel, encoder_input
from backend.models.learned_basis.encoder import FACE_SIDE, FaceCode, FacePose
from backend.models.learned_basis.network import LearnedBasisNet, ModelledFace
from backend.models.learned_basis.personalise import PersonaliseOptions, personalise
from backend.models.learned_basis.picture import render_face
from backend.photos.collection import PhotoFace, PhotoQuality
from backend.rendering.spherical_harmonics import light_from_directions
from trainer.data.face_model import FaceBatch, FacePeopleConfig
from trainer.evaluate.basis_heads import HELD_OUT_SEED

TILE = 160
_CLAY = 0.45
_MODES, _DEVIATIONS = 6, 2.0
_PEOPLE, _PHOTOS = 3, 5
_BACKGROUND = 0.16


def mean_face_code(network: LearnedBasisNet, count: int) -> FaceCode:
    """Codes of ``count`` mean faces seen from the front."""
    config, zeros = network.config, torch.zeros(count, 3)
    lamp = light_from_directions(torch.tensor([[0.45, 0.6, 0.66]]), torch.tensor([[0.9, 0.9, 0.9]]), 0.25)
    return FaceCode(
        identity=torch.zeros(count, config.identity),
        reflectance=torch.zeros(count, config.reflectance),
        expression=torch.zeros(count, config.expression),
        light=lamp.expand(count, -1, -1),
        pose=FacePose(zeros, zeros[:, :2], torch.full((count,), 0.9 / FACE_SIDE), torch.ones(count)),
        set_of=torch.arange(count),
    )


@torch.no_grad()
def tiles(network: LearnedBasisNet, code: FaceCode, clay: bool) -> Tensor:
    """Render codes as (N, TILE, TILE, 3) sRGB in [0, 1], in clay or with their reflectance."""
    face = network.face(code)
    if clay:
        face = in_clay(face)
    pixels = code.pose.cameras(TILE).project(face.vertices)
    rendered = render_face(network.bases, face, pixels, code.light, TILE)
    image = torch.where(rendered.mask[:, None], rendered.image, _BACKGROUND)
    return image.permute(0, 2, 3, 1)


def in_clay(face: ModelledFace) -> ModelledFace:
    """The same surface with a uniform grey reflectance."""
    return replace(face, reflectance=torch.full_like(face.reflectance, _CLAY))


def sheet(rows: list[Tensor]) -> np.ndarray:
    """Assemble rows of tiles (N, S, S, 3) in [0, 1] into a picture (H, W, 3) uint8."""
    whole = torch.cat([torch.cat(list(row), 1) for row in rows])
    return (whole.clamp(0, 1) * 255).round().byte().numpy()


def modes_sheet(network: LearnedBasisNet, basis: str) -> np.ndarray:
    """The first modes of ``identity``, ``expression`` or ``reflectance``, a column each: at -2, 0 and 2 deviations."""
    count = min(_MODES, getattr(network.config, basis))
    rows = []
    for deviations in (-_DEVIATIONS, 0.0, _DEVIATIONS):
        code = mean_face_code(network, count)
        values = getattr(code, basis).clone()
        values[torch.arange(count), torch.arange(count)] = deviations
        rows.append(tiles(network, replace(code, **{basis: values}), clay=basis != "reflectance"))
    return sheet(rows)


def people_batch(seed: int, count: int, photos: int) -> FaceBatch:
    """Held-out synthetic people at tile size, without the simulated camera."""
    config = FacePeopleConfig(size=TILE, seed=seed, photos=photos, film=False)
    return config.build().batch(range(count), torch.device("cpu"))


def photo_faces(batch: FaceBatch) -> list[PhotoFace]:
    """Synthetic photos as the product's photo stage would pass them on."""
    quality = PhotoQuality(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    faces = []
    for number, image in enumerate(batch.images):
        side = image.shape[-1]
        landmarks = np.zeros((478, 3), np.float32)
        landmarks[: batch.landmarks.shape[1], :2] = batch.landmarks[number].numpy()
        pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
        faces.append(
            PhotoFace(
                name=f"{number}.png",
                source_size=(side, side),
                focal_px=None,
                pixels=pixels,
                crop_scale=1.0,
                crop_offset=(0.0, 0.0),
                landmarks=landmarks,
                labels=batch.labels[number].numpy(),
                monochrome=False,
                yaw_degrees=0.0,
                quality=quality,
            )
        )
    return faces


@torch.no_grad()
def expressions_sheet(network: LearnedBasisNet, batch: FaceBatch, photos: int) -> np.ndarray:
    """The first person's photos; under each its expression, from the front, on the person and on the others."""
    given = encoder_input(photo_faces(batch), network.config.size)
    code = network(given.pictures * 2 - 1, batch.set_of, given.landmarks)
    people = len(code.identity)
    rows = [batch.images[:photos].permute(0, 2, 3, 1)]
    for person in range(people):
        plain = mean_face_code(network, photos)
        own = replace(
            plain,
            identity=code.identity[person].expand(photos, -1),
            reflectance=code.reflectance[person].expand(photos, -1),
            expression=code.expression[:photos],
        )
        rows.append(tiles(network, own, clay=False))
    return sheet(rows)


@torch.no_grad()
def personalised_sheet(model: BasisModel, tuned: BasisModel, faces: list[PhotoFace], number: int) -> np.ndarray:
    """Photo ``number`` and its reconstruction with the bases before and after personalisation: colours, then clay."""
    shown = torch.from_numpy(faces[number].pixels).float()[None] / 255
    rows = [torch.cat([shown, torch.full_like(shown, _BACKGROUND)], 2)]
    for one in (model, tuned):
        network = one.network
        given = encoder_input(faces, network.config.size)
        code = network(given.pictures * 2 - 1, torch.zeros(len(faces), dtype=torch.int64), given.landmarks)
        both = [tiles(network, code, clay)[number : number + 1] for clay in (False, True)]
        rows.append(torch.cat(both, 2))
    return sheet(rows)


def write_sheets(model: BasisModel, folder: Path) -> dict[str, float]:
    """Write ``basis_*.png`` into ``folder``; return the errors before and after personalising a synthetic person."""
    folder.mkdir(parents=True, exist_ok=True)
    network = model.network
    pictures = {f"modes_{name}": modes_sheet(network, name) for name in ("identity", "expression", "reflectance")}
    batch = people_batch(HELD_OUT_SEED + 3, _PEOPLE, _PHOTOS)
    pictures["expressions"] = expressions_sheet(network, batch, _PHOTOS)
    faces = photo_faces(batch)[:_PHOTOS]
    found = personalise(faces, model, PersonaliseOptions())
    number = next(number for number, face in enumerate(faces) if face.name == found.held_out)
    pictures["personalised"] = personalised_sheet(model, found.model, faces, number)
    for name, picture in pictures.items():
        cv2.imwrite(str(folder / f"basis_{name}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return {
        "personalised.photometric.before": found.before,
        "personalised.photometric.after": found.after,
        "personalised.seconds": found.seconds,
    }
