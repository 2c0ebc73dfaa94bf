"""Skins completed by the texture stage, paired with the true ones: ``kind = "completed_skins"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import backend.texture
from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.template import load_template
from backend.photos.collection import PhotoFace, PhotoQuality
from backend.rendering.camera import Camera
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import AlbedoResult, build_albedo
from backend.texture.inpainting.learned import bare_skin, small_maps
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.head_surface import texture_space
from backend.texture.unwrapping.unwrap import DARKEST
from trainer.contracts import Source, SourceConfig
from trainer.data.disk_cache import cache_folder, content_key
from trainer.data.kept_rows import mapped, missing_runs
from trainer.data.people import PeopleBatch, PeopleConfig
from trainer.data.people.render import Renderer
from trainer.data.people.skin import Columns
from trainer.data.people.source import People
from trainer.data.people.surface import PeopleSurface

SEEN = 0.9
"""Coverage above which a texel counts as well visible in the photos."""
_CPU = torch.device("cpu")
_STEP = 1 / 512
"""Log units; logs are stored as 16-bit multiples of it."""
_GREY = 12
"""Greatest difference between the channels of a grey picture, in levels of 255."""


@dataclass(frozen=True)
class SkinBatch:
    """B people in UV map ``Head``, S x S texels, row 0 at the top.

    Attributes
    ----------
    made : (B, 3, S, S) log linear albedo of the product's texture. cover : (B, S, S) in [0, 1], coverage by photos.
    truth : (B, 3, S, S) ground truth, shifted by the median difference where the photos' coverage is good, because the
        brightness of the light is unknown. skin : (S, S) in [0, 1], bare skin of face, ears and neck.
    """

    made: Tensor
    cover: Tensor
    truth: Tensor
    skin: Tensor


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
        return CompletedSkins(self)


class CompletedSkins:
    """See ``CompletedSkinsConfig``."""

    def __init__(self, config: CompletedSkinsConfig) -> None:
        self.config = config
        self._people = head_people(config.picture, config.seed, config.photos)
        here = Path(__file__).resolve()
        drawn = sorted((here.parent.parent / "people").rglob("*.py"))
        texture = sorted(Path(backend.texture.__file__).parent.rglob("*.py"))
        root = Path(config.folder) if config.folder else cache_folder() / "completed_skins"
        self._folder = root / content_key(replace(config, folder=""), here, *drawn, *texture)
        self._folder.mkdir(parents=True, exist_ok=True)
        count, size = config.people, config.size
        shapes = {
            "made": ((count, 3, size, size), np.int16),
            "cover": ((count, size, size), np.uint8),
            "truth": ((count, 3, size, size), np.int16),
            "ready": ((count,), np.uint8),
        }
        self._arrays = {name: mapped(self._folder / f"{name}.npy", *what) for name, what in shapes.items()}
        self._skin = torch.from_numpy(bare_skin(size))

    def batch(self, indices: range, device: torch.device) -> SkinBatch:
        """Return people ``indices``, modulo their count."""
        rows = np.array([index % self.config.people for index in indices])
        for part in missing_runs(self._arrays["ready"], rows, 1):
            for row in part:
                self._make(int(row))

        def read(name: str) -> Tensor:
            return torch.from_numpy(self._arrays[name][rows]).to(device).float()

        return SkinBatch(read("made") * _STEP, read("cover") / 255, read("truth") * _STEP, self._skin.to(device))

    def _make(self, row: int) -> None:
        """Draw a person and make the texture; the row is marked once all its files are written."""
        config = self.config
        photos = 1 if row % 2 else config.photos
        made, cover, truth = completed_skin(self._people, row, photos, config.texture, config.size)
        self._arrays["made"][row] = np.round(made / _STEP).astype(np.int16)
        self._arrays["cover"][row] = np.round(cover * 255).astype(np.uint8)
        self._arrays["truth"][row] = np.round(truth / _STEP).astype(np.int16)
        self._arrays["ready"][row] = 1


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
    skin = Columns([people.shots(index)[0].person.skin], _CPU)
    texel = texture_space(load_template(), size).skin.texel
    row, column = torch.from_numpy(texel // size), torch.from_numpy(texel % size)
    uv = torch.stack([(column + 0.5) / size, 1 - (row + 0.5) / size], -1).float()
    return _renderer().paint_head(uv, skin, torch.zeros(len(uv), dtype=torch.int64)).albedo.numpy()


@lru_cache(maxsize=1)
def _renderer() -> Renderer:
    return Renderer(PeopleSurface(load_template(), _CPU), 128, 1.5)


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
        faces.append(
            PhotoFace(name, size, None, picture, 1.0, (0.0, 0.0), marks, labels, bool(chroma < _GREY), yaw, quality)
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
