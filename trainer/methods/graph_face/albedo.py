"""Skins completed by the texture stage, paired with the true ones: ``kind = "completed_skins"`` in recipes.

Stage ``graph_albedo``: the U-Net that corrects unseen parts of textures, trained on synthetic people's true
skins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

import backend.texture
from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import load_template
from backend.models.graph_face import GraphAlbedoConfig, GraphAlbedoNet
from backend.models.registry import GRAPH_ALBEDO
from backend.photos.collection import PhotoFace, PhotoQuality
from backend.rendering.camera import Camera
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import AlbedoResult, bare_skin, build_albedo, small_maps
from backend.texture.surface import SurfaceAtlas, texture_space
from backend.texture.unwrap import DARKEST
from trainer.engine.batch import BYTES, Batch, Coding, batch_field
from trainer.engine.contracts import ExportedModel, ParameterGroup, Source, SourceConfig, Stage, StageConfig
from trainer.people.mixtures import stored
from trainer.people.render import Renderer
from trainer.people.shape import people_surface
from trainer.people.skin import columns_of
from trainer.people.source import People, PeopleBatch, PeopleConfig

SEEN = 0.9
"""Coverage above which a texel counts as well visible in the photos."""
_CPU = torch.device("cpu")
_STEP = 1 / 512
"""Log units; logs are stored as 16-bit multiples of it."""
_GREY = 12
"""Greatest difference between the channels of a grey picture, in levels of 255."""


def texture_difference(predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of maps (B, C, S, S), weighted by texels (B, S, S)."""
    apart = (predicted - truth).abs().mean(1)
    return (weight * apart).sum() / weight.sum().clamp(min=1.0)


def texture_gradient_difference(predicted: Tensor, truth: Tensor, inside: Tensor) -> Tensor:
    """Equation 5's gradient difference (Mathieu et al. 2015) of maps (B, C, S, S): mean absolute difference of the
    absolute slopes along rows and columns, between texels that are both ``inside`` (S, S)."""
    total = predicted.new_zeros(())
    for axis in (-1, -2):
        estimate, true = (one.diff(dim=axis).abs() for one in (predicted, truth))
        both = (inside.narrow(axis, 1, inside.shape[axis] - 1) & inside.narrow(axis, 0, inside.shape[axis] - 1)).float()
        total = total + ((estimate - true).abs().mean((0, 1)) * both).sum() / both.sum().clamp(min=1.0)
    return total


@dataclass(frozen=True)
class SkinBatch(Batch):
    """B people in UV map ``Head``, S x S texels, row 0 at the top.

    Attributes
    ----------
    made : (B, 3, S, S) log linear albedo of the product's texture. cover : (B, S, S) in [0, 1], coverage by photos.
    truth : (B, 3, S, S) ground truth, shifted by the median difference where the photos' coverage is good, because the
        brightness of the light is unknown. skin : (S, S) in [0, 1], bare skin of face, ears and neck.
    """

    made: Tensor = batch_field(coding=Coding(np.int16, step=_STEP))
    cover: Tensor = batch_field(coding=BYTES)
    truth: Tensor = batch_field(coding=Coding(np.int16, step=_STEP))
    skin: Tensor = batch_field("shared")


@dataclass(frozen=True, kw_only=True)
class CompletedSkinsConfig(SourceConfig):
    """Skins that are made once and stored. Every second person has one photo, the others have ``photos``."""

    size: int = 128
    """Texels a side of the UV map."""
    texture: int = 512
    """Texels a side of the product's texture."""
    picture: int = 320
    """Pixels a side of the photos."""
    seed: int = 0
    """Another seed gives other people."""
    photos: int = 3
    """Number of photos of every second person."""
    people: int = 600
    """Number of people; they repeat in the same order."""
    folder: str = ""
    """Folder of the store; empty: in the user's cache folder."""

    def __post_init__(self) -> None:
        if self.people < 1 or self.photos < 1:
            raise ValueError("people and photos must be at least 1")

    def build(self) -> Source:
        """Make the source."""
        texture = sorted(Path(backend.texture.__file__).parent.rglob("*.py"))
        kept = SkinBatch, CompletedSkins(self), self.people, self.folder, "completed_skins", 1
        return stored(*kept, replace(self, folder=""), *texture)


class CompletedSkins:
    """See ``CompletedSkinsConfig``; without a store."""

    def __init__(self, config: CompletedSkinsConfig) -> None:
        self.config = config
        self._people = head_people(config.picture, config.seed, config.photos)

    def batch(self, indices: range, device: torch.device) -> SkinBatch:
        """Return people number ``indices``."""
        config, skin = self.config, torch.from_numpy(bare_skin(self.config.size)).to(device)
        batches = []
        for index in indices:
            photos = 1 if index % 2 else config.photos
            arrays = completed_skin(self._people, index, photos, config.texture, config.size)
            batches.append(SkinBatch(*(torch.from_numpy(np.ascontiguousarray(one))[None] for one in arrays), skin))
        return SkinBatch.concatenate(batches, device)


def head_people(picture: int, seed: int, photos: int) -> People:
    """Make synthetic people whose whole heads are in the pictures."""
    return People(PeopleConfig(size=picture, seed=seed, photos=photos, framing="head", depth=True, carried=True))


def completed_skin(
    people: People, index: int, photos: int, texture: int, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``made`` (3, S, S), ``cover`` (S, S) and ``truth`` (3, S, S) of ``SkinBatch`` of person ``index``, from the first
    ``photos`` pictures, as float32."""
    atlas = texture_space(load_template(), size).skin
    batch = people.batch(range(index, index + 1), _CPU)
    result = known_texture(batch, photos, true_albedo(people, index, 64).mean(0), texture)
    made, cover = small_maps(linear_from_srgb(result.albedo), result.coverage, atlas)
    truth = moved_truth(true_albedo(people, index, size), made, cover, atlas)
    return made.transpose(2, 0, 1), cover, truth.transpose(2, 0, 1)


def known_texture(batch: PeopleBatch, photos: int, colour: np.ndarray, texture: int) -> AlbedoResult:
    """Build the product's texture of the one person of ``batch`` from the first ``photos`` pictures, with an exact fit.
    colour (3,) linear is the mean of the true skin."""
    return build_albedo(load_template(), *known_fit(batch, photos, colour), texture)


def moved_truth(truth: np.ndarray, made: np.ndarray, cover: np.ndarray, atlas: SurfaceAtlas) -> np.ndarray:
    """(S, S, 3) float32 log albedo of a true one (P, 3) linear, shifted by its median difference to ``made`` (S, S, 3)
    where ``cover`` (S, S) is good."""
    logs = np.log(np.maximum(truth, DARKEST))
    known = atlas.gather(cover) > SEEN
    if known.any():
        logs = logs + np.median((atlas.gather(made) - logs)[known], axis=0)
    return atlas.image(logs.astype(np.float32))


def true_albedo(people: People, index: int, size: int) -> np.ndarray:
    """(P, 3) linear albedo that the renderer paints at the texels of the head's large chart, for person ``index``."""
    skin = columns_of([people.shots(index)[0].person.skin], _CPU)
    texel = texture_space(load_template(), size).skin.texel
    row, column = torch.from_numpy(texel // size), torch.from_numpy(texel % size)
    uv = torch.stack([(column + 0.5) / size, 1 - (row + 0.5) / size], -1).float()
    return _renderer().paint_head(uv, skin, torch.zeros(len(uv), dtype=torch.int64)).albedo.numpy()


@lru_cache(maxsize=1)
def _renderer() -> Renderer:
    return Renderer(people_surface(_CPU), 128, 1.5)


def known_fit(batch: PeopleBatch, photos: int, colour: np.ndarray) -> tuple[FittedFace, list[PhotoFace]]:
    """Convert the first ``photos`` pictures of the one person of ``batch`` to an exact fit; colour (3,) is linear and
    the same for all vertices."""
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
        seen = picture, 1.0, (0.0, 0.0), marks, labels, bool(chroma < _GREY), yaw, quality
        faces.append(PhotoFace(name, size, None, *seen))
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


UNSEEN = 0.05
"""Coverage below which a texel counts as unseen."""


@dataclass(frozen=True)
class GraphAlbedoWeights:
    """Weights of the loss terms."""

    unseen: float = 1.0
    """Ours: difference of log albedo at unseen texels. The paper has no ground truth and compares only the picture."""
    gradient: float = 0.5
    """Gradient difference of equation 5, in UV."""


@dataclass(frozen=True, kw_only=True)
class GraphAlbedoStageConfig(StageConfig):
    """Trains ``backend.models.graph_face.GraphAlbedoNet``."""

    network: GraphAlbedoConfig = field(default_factory=GraphAlbedoConfig)
    """Size of the network."""
    weights: GraphAlbedoWeights = field(default_factory=GraphAlbedoWeights)
    """Weights of the loss terms."""
    mirror: bool = True
    """Mirror half of the skins, as in the paper."""
    tone: float = 0.3
    """Log units, standard deviation of a random change common to all channels; each channel's own has a third of it."""
    usual_rate: float = 10.0
    """Learning rate of the mean skin relative to the other weights, because each of its texels is trained
    separately."""

    def build(self, device: torch.device) -> Stage:
        """See ``StageConfig``."""
        return GraphAlbedoStage(self, device)


class GraphAlbedoStage(Stage):
    """See ``GraphAlbedoStageConfig``."""

    SUMMARY: ClassVar[str] = (
        "Correction of the log albedo in UV map `Head` where no photo shows the skin of face, ears and neck. Input: "
        "the product's own texture, and its coverage by photos."
    )
    LIMITS: ClassVar[str] = (
        "Trained on synthetic, rule-based skin only, of heads with known shape, cameras and light. It adds what is "
        "typical for a place; it cannot predict scars, tattoos or single moles of a side that no photo shows."
    )

    def __init__(self, config: GraphAlbedoStageConfig, device: torch.device) -> None:
        self.config = config
        self.modules = nn.ModuleDict({"albedo": GraphAlbedoNet(config.network)}).to(device)

    def step(self, batch: SkinBatch, fraction: float) -> Mapping[str, Tensor]:
        """Compute the terms of ``GraphAlbedoWeights``."""
        made, cover, truth = batch.made, batch.cover, batch.truth
        if self.config.mirror and torch.rand(()) < 0.5:
            made, cover, truth = (one.flip(-1) for one in (made, cover, truth))
        people, tone = len(made), self.config.tone
        change = tone * (torch.randn(people, 1, 1, 1) + torch.randn(people, 3, 1, 1) / 3).to(made)
        albedo = self.modules["albedo"](made + change, cover, batch.skin[None])
        return {
            "unseen": texture_difference(albedo, truth + change, (1.0 - cover) * batch.skin),
            "gradient": texture_gradient_difference(albedo, truth + change, batch.skin > 0.5),
        }

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The mean skin, and all other weights."""
        usual, rate = self.modules["albedo"].usual, self.config.usual_rate
        others = tuple(p for p in self.modules.parameters() if p is not usual)
        kept = ParameterGroup("all", others, lambda fraction: 1.0)
        return kept, ParameterGroup("usual", (usual,), lambda fraction: rate)

    def metrics(self, batches: Iterable[SkinBatch]) -> Mapping[str, float]:
        """Mean difference of log albedo at unseen texels, over people: ``network``; ``rules``, of the input texture;
        ``ratio`` of the first to the second."""
        apart = torch.cat([unseen_differences(self.modules["albedo"], batch) for batch in batches]).mean(0)
        return {"network": float(apart[0]), "rules": float(apart[1]), "ratio": float(apart[0] / apart[1])}

    def export(self) -> ExportedModel:
        """The network."""
        state = dict(self.modules["albedo"].state_dict())
        return ExportedModel(GRAPH_ALBEDO.name, self.config.network.to_json(), state, self.SUMMARY, self.LIMITS)


def unseen_differences(network: GraphAlbedoNet, batch: SkinBatch) -> Tensor:
    """(B, 2) mean absolute difference of log albedo from the true one at unseen texels: of the network's texture, and
    of the input."""
    unseen = ((batch.cover < UNSEEN) & (batch.skin > 0.5)).float()  # (B, S, S)
    albedo = network(batch.made, batch.cover, batch.skin[None])
    total = unseen.sum((1, 2)).clamp(min=1.0)
    apart = [((one - batch.truth).abs().mean(1) * unseen).sum((1, 2)) / total for one in (albedo, batch.made)]
    return torch.stack(apart, 1)
