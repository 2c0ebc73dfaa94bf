"""Skin where no photo looks: today's completion and the U-Net in UV beside the true skin of synthetic people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.stats import bootstrap

from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.template import load_template
from backend.models.checkpoints import load_model
from backend.models.graph_face.skin_network import MODEL_NAME, GraphAlbedoNet
from backend.photos.collection import PhotoFace, PhotoQuality
from backend.rendering.camera import Camera
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.unwrapping.head_surface import head_surface, texture_space
from trainer.data.graph.skins import DARKEST, SkinUnwrapper
from trainer.data.people import PeopleBatch, PeopleConfig
from trainer.data.people.source import People
from trainer.evaluate.trained import trained_or_none

SEED = 91
"""Of people that no recipe trains or selects on."""
PHOTOS = 3
"""Photos of each person; completed are the skins that the first alone shows, and all."""
_PICTURE = 320
"""Pixels a side of the photos."""
_TEXTURE = 512
"""Texels a side of the product's texture."""
_UNSEEN, _SEEN = 0.05, 0.9
"""Cover up to which no photo shows a texel, and from which one shows it well."""
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Completed:
    """One person's skin. P texels of the head's large chart at the network's size.

    Attributes
    ----------
    made, found, truth : (P, 3) log albedo of the product's texture, of the network, and the true one; the first two
        moved by the median difference of the product's texture from the truth where photos show it well.
    unseen : (P,) bool, skin of face, ears and neck that no photo shows.
    """

    made: np.ndarray
    found: np.ndarray
    truth: np.ndarray
    unseen: np.ndarray

    def errors(self) -> tuple[float, float]:
        """Mean absolute difference from the truth where no photo looks, log units: of the product's, the network's."""
        apart = (np.abs(one - self.truth)[self.unseen].mean() for one in (self.made, self.found))
        first, second = apart
        return float(first), float(second)


def load_graph_albedo(folder: Path | None) -> GraphAlbedoNet:
    """The trained U-Net. Raises ``LikenessError`` where there is none."""
    return GraphAlbedoNet.from_weights(load_model(MODEL_NAME, folder))


def albedo_figures(folder: Path | None, people: int) -> dict[str, float | str]:
    """Of ``people`` held-out synthetic people: ``albedo.completion.COUNT`` and ``albedo.network.COUNT``, mean errors in
    log units where none of COUNT photos looks, ``albedo.ratio.COUNT`` of the second to the first and the bounds of its
    95 % interval. COUNT: ``n1`` and ``n3``. The fit is given its truth: shape, cameras, light, mean colour."""
    names = [f"albedo.{what}.n{count}" for count in (1, PHOTOS) for what in ("completion", "network", "ratio")]
    net = trained_or_none(load_graph_albedo, folder)
    if net is None:
        return dict.fromkeys(names, "not trained")
    if people < 2:
        return dict.fromkeys(names, "left out: not asked for")
    source = People(PeopleConfig(size=_PICTURE, seed=SEED, photos=PHOTOS, framing="head", depth=True, carried=True))
    unwrapper = SkinUnwrapper(net.config.size, _CPU)
    figures: dict[str, float | str] = {}
    rows: dict[int, list[tuple[float, float]]] = {1: [], PHOTOS: []}
    for index in range(people):
        batch = source.batch(range(index, index + 1), _CPU)
        truth = unwrapper.truth(source, index).clamp(min=DARKEST).log().numpy()
        for count, found in rows.items():
            one = completed(net, batch, count, truth)
            if one.unseen.sum() > 50:
                found.append(one.errors())
    for count, found in rows.items():
        errors = np.array(found)
        figures[f"albedo.completion.n{count}"], figures[f"albedo.network.n{count}"] = errors.mean(0).tolist()
        ratio = bootstrap(
            (errors[:, 1], errors[:, 0]), lambda a, b: a.mean() / b.mean(), paired=True, rng=0, method="percentile",
            vectorized=False,
        )  # fmt: skip
        figures[f"albedo.ratio.n{count}"] = float(errors[:, 1].mean() / errors[:, 0].mean())
        figures[f"albedo.ratio.n{count}.low"] = float(ratio.confidence_interval.low)
        figures[f"albedo.ratio.n{count}.high"] = float(ratio.confidence_interval.high)
    return figures


def completed(net: GraphAlbedoNet, batch: PeopleBatch, photos: int, truth: np.ndarray) -> Completed:
    """The product's texture of the first ``photos`` pictures of a person, and what the network makes of its seen part.

    truth : (P, 3) log albedo at the texels of the chart at the network's size.
    """
    template, size = load_template(), net.config.size
    fitted, faces = known_fit(batch, photos, np.exp(truth).mean(0))
    result = build_albedo(template, fitted, faces, _TEXTURE)
    atlas = texture_space(template, size).skin
    made, cover = (
        cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        for image in (linear_from_srgb(result.albedo), result.coverage)
    )
    logs = np.log(np.maximum(made, DARKEST)).astype(np.float32)
    cover = np.where(atlas.image(np.ones(len(atlas.texel), bool)), cover, 0).astype(np.float32)
    with torch.no_grad():
        found = net(torch.from_numpy(logs.transpose(2, 0, 1).copy())[None], torch.from_numpy(cover)[None])[0]
    own, whole = atlas.gather(logs), atlas.gather(found.permute(1, 2, 0).numpy())
    seen = atlas.gather(cover)
    shift = np.median((own - truth)[seen > _SEEN], axis=0)
    return Completed(own - shift, whole - shift, truth, (seen < _UNSEEN) & _skin(size))


def _skin(size: int) -> np.ndarray:
    """(P,) bool, texels of face, ears and neck without scalp and mouth."""
    surface, atlas = head_surface(load_template()), texture_space(load_template(), size).skin
    names = ("face", "ears", "neck", "scalp", "mouth_interior", "eye_sockets")
    inside = atlas.sample(np.stack([surface.regions[name] for name in names], 1)) > 0.5
    return inside[:, :3].any(1) & ~inside[:, 3:].any(1)


def known_fit(batch: PeopleBatch, photos: int, colour: np.ndarray) -> tuple[FittedFace, list[PhotoFace]]:
    """The first ``photos`` pictures of the one person of ``batch`` as a fit without error would have them; colour (3,)
    linear, of all vertices."""
    template = load_template()
    faces, fits = [], []
    for number in range(photos):
        picture = (batch.images[number].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        name, size = f"photo{number}.png", (picture.shape[1], picture.shape[0])
        pose = batch.camera_from_head[number].numpy().astype(np.float64)
        camera = Camera(batch.intrinsics[number].numpy().astype(np.float64), pose, size)
        marks = np.zeros((478, 3), np.float32)
        marks[:, :2] = batch.landmarks478[number].numpy()
        labels = batch.labels[number].numpy()
        forward = -pose[2, :3]  # of the line of sight, towards the camera, in the head frame
        yaw = -float(np.degrees(np.arctan2(forward[0], forward[2])))
        chroma = np.ptp(picture.astype(int), axis=2).max()
        quality = PhotoQuality(0.9, 1.0, 1.0, 1.0, 1.0, 1.0)
        faces.append(
            PhotoFace(name, size, None, picture, 1.0, (0.0, 0.0), marks, labels, bool(chroma < 12), yaw, quality)
        )
        fits.append(
            FittedPhoto(
                name,
                camera,
                batch.expression[number].numpy().astype(np.float64),
                batch.vertices[number].numpy(),
                batch.light[number].numpy(),
                1.0,
                0.02,
            )
        )
    albedo = np.broadcast_to(colour, (template.head.vertex_stop, 3)).astype(np.float32)
    modes = np.zeros(len(template.identity_modes))
    return FittedFace(modes, batch.neutral[0].numpy(), albedo, tuple(fits)), faces
