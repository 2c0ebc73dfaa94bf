"""Skins of synthetic people in UV, whole and as photos show them: ``kind = "graph_skins"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from backend.geometry.normals import vertex_normals
from backend.geometry.template import load_template
from backend.photos.collection import FaceClass
from backend.rendering.color import linear_from_srgb
from backend.rendering.spherical_harmonics import shade
from backend.texture.unwrapping.head_surface import head_surface, texture_space
from trainer.contracts import Source, SourceConfig
from trainer.data.disk_cache import cache_folder, content_key
from trainer.data.kept_rows import mapped, missing_runs
from trainer.data.people import PeopleBatch, PeopleConfig
from trainer.data.people.render import Renderer
from trainer.data.people.skin import Columns
from trainer.data.people.source import People
from trainer.data.people.surface import PeopleSurface

SHOWN = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.LIPS, FaceClass.FACIAL_HAIR, FaceClass.NECK, FaceClass.EARS)
"""Labels of pixels that show skin with what grows on it."""
DARKEST = 0.003
"""Linear light below which a photo tells no colour."""
_FACING = (0.15, 0.5)
"""Cosine between normal and line of sight: from where on a photo shows something, and all of it."""
_DEPTH_SLACK = 0.004
"""Metres that a texel may lie behind what the picture shows and still be seen."""
_LEAST_SHADING = 0.05
_STEP = 1 / 512
"""Log units; logs are kept as 16-bit steps."""
_MADE_AT_ONCE = 4


@dataclass(frozen=True)
class SkinBatch:
    """B people with K photos each in UV map ``Head``, S x S texels, row 0 at the top.

    Attributes
    ----------
    log_albedo : (B, K, 3, S, S) log of the photos' linear light over the shading of their true light; each photo's
        mean colour is the truth's where it shows skin: films have casts, which the texture stage evens out.
    weight : (B, K, S, S) in [0, 1], how far the photo shows skin there. truth : (B, 3, S, S) log albedo, linear.
    covered : (S, S) bool, texels of the head's large chart; all else is zero in the others.
    """

    log_albedo: Tensor
    weight: Tensor
    truth: Tensor
    covered: Tensor


@dataclass(frozen=True, kw_only=True)
class GraphSkinsConfig(SourceConfig):
    """Skins that are drawn once and kept."""

    size: int = 128
    """Texels a side of the UV map."""
    picture: int = 128
    """Pixels a side of the photos."""
    seed: int = 0
    """Other seeds give other people."""
    photos: int = 2
    """Photos of each person."""
    people: int = 1200
    """How many people there are; they come again in the same order."""
    folder: str = ""
    """Where they are kept; empty: in the user's cache folder."""

    def __post_init__(self) -> None:
        if self.people < 1 or self.photos < 1:
            raise ValueError("people and photos must be at least 1")

    def build(self) -> Source:
        """Make the source."""
        return GraphSkins(self)


class SkinUnwrapper:
    """From pictures of synthetic people to their skins in UV, on one device."""

    def __init__(self, size: int, device: torch.device) -> None:
        template = load_template()
        surface, atlas = head_surface(template), texture_space(template, size).skin
        self._surface = PeopleSurface(template, device)
        self._renderer = Renderer(self._surface, 128, 1.5)
        self._count = surface.count
        self._triangles = torch.from_numpy(surface.triangles.astype(np.int64)).to(device)
        lift = surface.lift.tocoo()
        places = torch.from_numpy(np.stack([lift.row, lift.col]).astype(np.int64))
        shares = torch.from_numpy(lift.data.astype(np.float32))
        matrix = torch.sparse_coo_tensor(places, shares, lift.shape, check_invariants=False)
        self._lift = matrix.coalesce().to(device)
        self.size = size
        self.texel = torch.from_numpy(atlas.texel).to(device)
        self._corners = torch.from_numpy(atlas.corners.astype(np.int64)).to(device)
        self._shares = torch.from_numpy(atlas.barycentrics).to(device)[..., None]
        row, column = self.texel // size, self.texel % size
        self._uv = torch.stack([(column + 0.5) / size, 1 - (row + 0.5) / size], -1).float()
        self.covered = torch.zeros(size * size, dtype=torch.bool, device=device).index_fill_(0, self.texel, True)
        self.covered = self.covered.view(size, size)

    def truth(self, people: People, index: int) -> Tensor:
        """(P, 3) linear albedo at the texels of person ``index``, as the renderer paints it."""
        skin = Columns([people.shots(index)[0].person.skin], self._uv.device)
        image = torch.zeros(len(self._uv), dtype=torch.int64, device=self._uv.device)
        return self._renderer._paint_head(self._uv, skin, image).albedo

    def unwrapped(self, batch: PeopleBatch) -> tuple[Tensor, Tensor]:
        """(N, P, 3) log albedo that the pictures show and (N, P) how far they do; ``batch`` has depth."""
        count = len(batch.images)
        cage = batch.vertices[:, : self._count]
        flat = cage.permute(1, 0, 2).reshape(self._count, -1)
        fine = torch.sparse.mm(self._lift, flat).view(-1, count, 3).permute(1, 0, 2)
        normals = self._at_texels(vertex_normals(fine, self._triangles))
        normals = functional.normalize(normals, dim=-1)
        points = self._at_texels(fine)
        turn, shift = batch.camera_from_head[:, :3, :3], batch.camera_from_head[:, :3, 3]
        in_camera = points @ turn.transpose(1, 2) + shift[:, None]
        in_image = in_camera @ batch.intrinsics.transpose(1, 2)
        size = batch.images.shape[-1]
        grid = (2 * in_image[..., :2] / in_image[..., 2:] / size - 1)[:, :, None]

        def look(maps: Tensor, mode: str = "bilinear") -> Tensor:
            """(N, P, C) of maps (N, C, H, W) where the texels are seen."""
            return functional.grid_sample(maps, grid, mode=mode, align_corners=False)[..., 0].transpose(1, 2)

        shown = torch.isin(batch.labels, torch.tensor([int(kind) for kind in SHOWN], device=batch.labels.device))
        bare = (shown & batch.inside).float()[:, None]
        bare = -functional.max_pool2d(-bare, 3, 1, 1)  # what borders on something else is mixed with it
        near = in_camera[..., 2] < look(batch.depth[:, None], "nearest")[..., 0] + _DEPTH_SLACK
        towards = -torch.einsum("nji,nj->ni", turn, shift)[:, None] - points
        cosine = (normals * functional.normalize(towards, dim=-1)).sum(-1)
        low, high = _FACING
        facing = ((cosine - low) / (high - low)).clamp(0, 1)
        weight = facing * near * look(bare)[..., 0]
        light = shade(normals, batch.light).clamp(min=_LEAST_SHADING)
        linear = linear_from_srgb(look(batch.images)).clamp(min=DARKEST)
        return linear.log() - light.log(), weight

    def image(self, values: Tensor) -> Tensor:
        """Texel values (..., P) as maps (..., S, S), zero elsewhere."""
        maps = values.new_zeros(*values.shape[:-1], self.size**2)
        return maps.index_copy_(-1, self.texel, values).unflatten(-1, (self.size, self.size))

    def _at_texels(self, values: Tensor) -> Tensor:
        return (values[:, self._corners] * self._shares).sum(2)


class GraphSkins:
    """See ``GraphSkinsConfig``."""

    def __init__(self, config: GraphSkinsConfig) -> None:
        self.config = config
        self._people = People(
            PeopleConfig(
                size=config.picture, seed=config.seed, photos=config.photos, framing="face", depth=True, carried=True
            )
        )
        self._unwrappers: dict[torch.device, SkinUnwrapper] = {}
        here = Path(__file__).resolve()
        code = [here, *sorted((here.parent.parent / "people").rglob("*.py"))]
        root = Path(config.folder) if config.folder else cache_folder() / "graph_skins"
        self._folder = root / content_key(replace(config, folder=""), *code)
        self._folder.mkdir(parents=True, exist_ok=True)
        each, size = (config.people, config.photos), config.size
        shapes = {
            "log_albedo": ((*each, 3, size, size), np.int16),
            "weight": ((*each, size, size), np.uint8),
            "truth": ((config.people, 3, size, size), np.int16),
            "made": ((config.people,), np.uint8),
        }
        self._arrays = {name: mapped(self._folder / f"{name}.npy", *what) for name, what in shapes.items()}

    def batch(self, indices: range, device: torch.device) -> SkinBatch:
        """People ``indices`` modulo their count."""
        device = torch.device(device)
        if device not in self._unwrappers:
            self._unwrappers[device] = SkinUnwrapper(self.config.size, device)
        rows = np.array([index % self.config.people for index in indices])
        for part in missing_runs(self._arrays["made"], rows, _MADE_AT_ONCE):
            self._make(part, device)

        def read(name: str) -> Tensor:
            return torch.from_numpy(self._arrays[name][rows]).to(device).float()

        return SkinBatch(
            log_albedo=read("log_albedo") * _STEP,
            weight=read("weight") / 255,
            truth=read("truth") * _STEP,
            covered=self._unwrappers[device].covered,
        )

    @torch.no_grad()
    def _make(self, rows: np.ndarray, device: torch.device) -> None:
        """Draw people ``rows``, neighbours; a row is marked when all of it is in its files."""
        unwrapper, arrays = self._unwrappers[device], self._arrays
        indices = range(int(rows[0]), int(rows[-1]) + 1)
        logs, weight = unwrapper.unwrapped(self._people.batch(indices, device))
        truth = torch.stack([unwrapper.truth(self._people, index) for index in indices]).clamp(min=DARKEST).log()
        logs = without_cast(logs, weight, truth.repeat_interleave(self.config.photos, 0))
        values = {
            "log_albedo": unwrapper.image(logs.transpose(1, 2)) / _STEP,
            "weight": unwrapper.image(weight) * 255,
            "truth": unwrapper.image(truth.transpose(1, 2)) / _STEP,
        }
        for name, value in values.items():
            array = arrays[name]
            whole = value.round().cpu().numpy().reshape(len(rows), *array.shape[1:])
            array[rows] = whole.astype(array.dtype)
        arrays["made"][rows] = 1


def without_cast(logs: Tensor, weight: Tensor, truth: Tensor) -> Tensor:
    """Log colours (N, P, 3), moved so that their mean by weights (N, P) is that of the truth (N, P, 3)."""
    share = (weight / weight.sum(1, keepdim=True).clamp(min=1e-6))[..., None]
    return logs + (share * (truth - logs)).sum(1, keepdim=True)
