"""Photographs without known relief: ``kind = "detail_portraits"`` in recipes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

import backend.detail
import backend.fitting
from backend.detail.expression_map import CHANNELS, ExpressionMaps
from backend.detail.find import LEAST_PIXELS, LEAST_SHARPNESS, photo_in_window, window_density
from backend.detail.observation import observe
from backend.detail.window import detail_window
from backend.errors import LikenessError
from backend.fitting.fit import fit_face
from backend.fitting.options import fit_options_for
from backend.geometry.template import load_template
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection
from backend.photos.faces.crop import upright_square
from backend.photos.reading.source import PhotoSource
from trainer.contracts import Source, SourceConfig
from trainer.data.detail.batch import TARGETS, DetailBatch, DetailPictures
from trainer.data.detail.picture import picture_places, pictures_of
from trainer.data.disk_cache import cache_folder, content_key, save_arrays


@dataclass(frozen=True, kw_only=True)
class DetailPortraitsConfig(SourceConfig):
    """One portrait per person from a folder, those that are sharp enough for detail in the product. Their relief is
    unknown."""

    folder: str
    """Folder of JPEG files. Files without a face and files too small or too soft are skipped."""
    size: int = 512
    """Texels a side of the window."""
    coarse: int = 128
    """Texels a side of expression maps."""
    picture: int = 0
    """Side of the pictures in pixels, for losses on pictures; 0: none."""
    least_pixels: float = LEAST_PIXELS
    """Pixels per metre on the face."""
    people: int = 0
    """Number of portraits examined, those with the most pixels first; 0: all. They repeat in the same order."""

    def __post_init__(self) -> None:
        if self.people < 0 or self.picture < 0 or self.least_pixels <= 0:
            raise ValueError("people and picture must be at least 0, least_pixels above 0")

    def build(self) -> Source:
        """Make the source. All portraits are examined, about 1.5 s each, and the results are cached."""
        return DetailPortraits(self)


class DetailPortraits:
    """See ``DetailPortraitsConfig``; raises ``LikenessError`` ("no_photo") where the folder has no portrait to use."""

    def __init__(self, config: DetailPortraitsConfig) -> None:
        self.config = config
        paths = sorted(Path(config.folder).glob("*.jpg"), key=lambda path: (-_pixels(path), path.name))
        here = Path(__file__).resolve()
        packages = (backend.fitting, backend.detail)
        code = [one for package in packages for one in sorted(Path(package.__file__).parent.rglob("*.py"))]
        numbers = (config.size, config.coarse, config.picture, config.least_pixels)
        self._folder = cache_folder() / "detail_portraits" / content_key(numbers, here, *code)
        kept = [self._kept(path) for path in paths[: config.people or None]]
        self._portraits = [path for path in kept if path is not None]
        if not self._portraits:
            raise LikenessError(
                "no_photo",
                f"No portrait in {config.folder} shows a face sharp enough.",
                "Name a folder of larger portraits.",
            )

    def __len__(self) -> int:
        return len(self._portraits)

    def batch(self, indices: range, device: torch.device) -> DetailBatch:
        """Return portraits ``indices``, modulo their count."""
        return DetailBatch.joined([self._one(index % len(self._portraits)) for index in indices], device)

    def _one(self, number: int) -> DetailBatch:
        config = self.config
        with np.load(self._portraits[number]) as data:
            arrays = {name: torch.from_numpy(data[name].astype(np.float32))[None] for name in data.files}
        still = torch.zeros(1, CHANNELS, config.coarse, config.coarse)
        window = detail_window(load_template(), config.size)
        pictures = {name: arrays[name] for name in DetailPictures.__dataclass_fields__ if name in arrays}
        return DetailBatch(
            photos=arrays["observed"],
            expressions=arrays["expression"],
            person=torch.zeros(1, dtype=torch.int64),
            wanted=torch.cat([still, arrays["expression"], still]),
            displacement=torch.zeros(TARGETS, 1, config.size, config.size),
            told=torch.tensor([False]),
            allowed=torch.from_numpy(window.allowed)[None, None],
            pictures=DetailPictures(**pictures) if pictures else None,
        )

    def _kept(self, path: Path) -> Path | None:
        """Return the cached file of a portrait's observation, made if missing; None where the portrait is unusable."""
        kept = self._folder / f"{content_key(path)}.npz"
        if not kept.exists():
            config = self.config
            found = observed_portrait(path, config.size, config.coarse, config.picture, config.least_pixels)
            save_arrays(kept, **(found or {"none": np.zeros(1)}))
        with np.load(kept) as data:
            return None if "none" in data else kept


def _pixels(path: Path) -> int:
    """Number of pixels of a picture; 0 for a file that is not a picture."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return 0 if picture is None else picture.size


def observed_portrait(
    path: Path, size: int, coarse: int, picture: int, least_pixels: float
) -> dict[str, np.ndarray] | None:
    """Observe one portrait, as float16 except the places: ``observed`` (7, N, N), ``expression`` (9, n, n), and with
    ``picture`` above 0 the arrays of ``DetailPictures``. None where no face is large and sharp enough."""
    try:
        faces = collect([PhotoSource.from_path(path)]).faces
        if not faces or faces[0].quality.sharpness < LEAST_SHARPNESS:
            return None
        fitted = fit_face(PhotoCollection(faces), fit_options_for("fast"))
    except LikenessError:
        return None
    template, face, fit = load_template(), faces[0], fitted.photos[0]
    window = detail_window(template, size)
    photo = photo_in_window(window, face, fit)
    if photo.pixels_per_metre < least_pixels:
        return None
    surface, density = window.surface, window_density(window, fitted.neutral)
    cage = fit.vertices[: surface.count].astype(np.float64)
    maps = ExpressionMaps(detail_window(template, coarse), fitted.neutral[: surface.count])
    arrays = {"observed": observe(photo, density), "expression": maps.of(cage)}
    if picture:
        square = upright_square(face.landmarks)

        def seen(points: np.ndarray) -> np.ndarray:
            pixels = fit.camera.project(points)
            return np.column_stack([square.from_picture(pixels[:, :2], picture), pixels[:, 2]])

        where = picture_places(window, seen(surface.lifted(cage)), picture)
        shown = pictures_of(photo, window, density, where, square.cut(face.pixels, picture))
        arrays |= {name: getattr(shown, name)[0].numpy() for name in DetailPictures.__dataclass_fields__}
    return {name: value if name == "places" else value.astype(np.float16) for name, value in arrays.items()}
