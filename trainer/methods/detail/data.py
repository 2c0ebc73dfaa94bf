"""Batches of the detail stage: synthetic skin with wrinkles that follow from strain, photographed in UV with known
relief (``kind = "detail_people"``), and photographs without (``"detail_portraits"``), each with pictures into which
relief is rendered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from backend.detail import window as windows
from backend.detail.find import LEAST_PIXELS, LEAST_SHARPNESS, photo_in_window, window_density
from backend.detail.skin_detail import KEY_GROUPS, group_weights
from backend.errors import LikenessError
from backend.fitting.fit import fit_face
from backend.fitting.options import fit_options_for
from backend.geometry.template import load_template
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection, PhotoSource
from backend.photos.faces import upright_square
from backend.rendering.color import linear_from_srgb, srgb_from_linear
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments, sample_image
from backend.rendering.rasterize import face_ids
from backend.texture.unwrap import with_view
from trainer.engine.batch import Batch, batch_field
from trainer.engine.contracts import Source, SourceConfig
from trainer.engine.disk_cache import content_key
from trainer.measures.harness import kept_arrays
from trainer.methods.detail import relief as reliefs
from trainer.people.look import draw_look
from trainer.people.shape import draw_expression
from trainer.people.skin import SkinParameters, draw_skin

TARGETS = 3
"""Expressions per person with a target displacement: at rest, the first photo's, and one that no photo shows."""


@dataclass(frozen=True)
class DetailPictures(Batch):
    """The P photos as pictures of S x S pixels, for image losses.

    Attributes
    ----------
    photos : (P, 3, S, S) sRGB in [0, 1]. coarse : (P, 3, S, S) the same without the colour detail, which is the
    residual
        of the smooth face under the fitted light. places : (P, S, S, 2) position of each pixel in the window, -1 to 1
        (right, down), for ``torch.nn.functional.grid_sample``. mask : (P, 1, S, S) in [0, 1], share of a pixel that is
        bare skin and may be displaced.
    """

    photos: Tensor
    coarse: Tensor
    places: Tensor
    mask: Tensor


@dataclass(frozen=True)
class DetailBatch(Batch):
    """B people, P photos of them, T = 3 B targets (``TARGETS`` consecutive rows per person). The window has N x N
    texels, expression maps n x n.

    Attributes
    ----------
    photos : (P, 7, N, N) observations. expressions : (P, 9, n, n) with a fit's errors. person : (P,) int64, ascending
        from 0. wanted : (T, 9, n, n) target expressions. displacement : (T, 1, N, N) ground truth, millimetres; zero
        for
        people without ground truth. has_truth : (B,) bool, whether a person has ground truth. allowed : (1, 1, N, N) in
        [0, 1], where skin may be displaced. pictures : None where the recipe asks for none.
    """

    photos: Tensor
    expressions: Tensor
    person: Tensor = batch_field("number")
    wanted: Tensor
    displacement: Tensor
    has_truth: Tensor
    allowed: Tensor = batch_field("shared")
    pictures: DetailPictures | None = None


METRES = 0.175
"""Width of the picture at the face: brows to chin with a small margin, as in
``backend.photos.faces.face_square``."""
_WINDOW_METRES = 0.30
"""Width of the window on the mean face."""
_CAMERA_DISTANCE = 1.0
"""Metres, camera distance of synthetic people's pictures."""
MIDDLE = (0.0, 0.72, 0.09)
"""Point at the centre of the picture: metres, head frame."""
_BACKGROUND_LIGHT = 0.2
"""Linear light of the background behind a synthetic face."""


@dataclass(frozen=True)
class PictureCoordinates:
    """Positions of a face's skin in a picture of S x S pixels.

    Attributes
    ----------
    places : (S, S, 2) float32, see ``DetailPictures``; 2 (outside) at pixels without skin of the window. shown : (S, S)
    bool.
    """

    places: np.ndarray
    shown: np.ndarray


def pooled_texels(texels: int, size: int) -> int:
    """Texels of a window of ``texels`` x ``texels`` that a pixel of a picture of side ``size`` spans in each
    direction."""
    return max(1, round(texels / _WINDOW_METRES * METRES / size))


def projected(positions: np.ndarray, turn: np.ndarray, size: int) -> np.ndarray:
    """Project positions (V, 3) to (V, 3) pixels and depth (metres). ``turn`` (3, 3) is head from camera axes (x right,
    y up, z to the camera)."""
    turned = (positions - np.array(MIDDLE)) @ turn
    depth = _CAMERA_DISTANCE - turned[:, 2]
    focal = size * _CAMERA_DISTANCE / METRES
    x, y = 0.5 * size + focal * turned[:, 0] / depth, 0.5 * size - focal * turned[:, 1] / depth
    return np.stack([x, y, depth], 1)


def picture_coordinates(window: windows.DetailWindow, pixels: np.ndarray, size: int) -> PictureCoordinates:
    """Find the texel of each pixel from the projected vertices (V, 3) of the subdivided head: pixels and depth."""
    surface = window.surface
    vertices = torch.from_numpy(np.ascontiguousarray(pixels, np.float32))[None]
    corners = torch.from_numpy(surface.triangles.astype(np.int64))
    ids = face_ids(vertices, corners, (size, size), cull_backfaces=True)
    weights = fragment_barycentrics(vertices, fragments(ids, corners))
    raster = fragments(ids, torch.from_numpy(surface.uv_triangles.astype(np.int64)))
    uv = fragment_values(torch.from_numpy(surface.uv.astype(np.float32))[None], raster, weights)
    grid = 2.0 * (uv - torch.tensor(windows.ORIGIN)) / windows.SIDE - 1.0
    grid = torch.stack([grid[:, 0], -grid[:, 1]], 1)
    inside = torch.from_numpy(surface.main)[raster.face] & (grid.abs() < 1.0).all(1)
    grid[~inside] = 2.0
    places = raster.scatter(grid, background=2.0)[0].numpy()
    return PictureCoordinates(places, (np.abs(places) < 1.0).all(-1))


def pictures_of(
    photo: windows.PhotoInWindow,
    window: windows.DetailWindow,
    texels_per_metre: float,
    where: PictureCoordinates,
    cut: np.ndarray | None = None,
) -> DetailPictures:
    """Make the pictures of one photo.

    Parameters
    ----------
    cut : (S, S, 3) uint8 sRGB, the photograph's crop; None: the colours that ``photo`` has at each pixel's texel.
    """
    size = len(where.places)
    detail = windows.colour_detail(photo, texels_per_metre).astype(np.float32)
    weight = (photo.weight * window.allowed).astype(np.float32)
    values = np.concatenate([photo.log_linear.astype(np.float32), detail, weight[..., None]], -1)
    observed = sampled(values, where, pooled_texels(window.size, size))
    mask = np.clip(observed[..., 6:], 0.0, 1.0) * where.shown[..., None]
    if cut is None:
        linear = np.where(where.shown[..., None], np.exp(observed[..., :3]), np.float32(_BACKGROUND_LIGHT))
    else:
        linear = linear_from_srgb(cut)
    coarse = linear * np.exp(-observed[..., 3:6] * mask)
    return DetailPictures(
        photos=_channels_first(srgb_from_linear(linear)),
        coarse=_channels_first(srgb_from_linear(coarse)),
        places=torch.from_numpy(where.places)[None],
        mask=_channels_first(mask),
    )


def sampled(values: np.ndarray, where: PictureCoordinates, pool: int) -> np.ndarray:
    """Sample values (N, N, C) at the pixels' places to (S, S, C), each averaged over ``pool`` x ``pool`` texels."""
    if pool > 1:
        values = cv2.blur(values, (pool, pool))
    texels = (where.places + 1.0) * (0.5 * len(values))
    return sample_image(values, texels.reshape(-1, 2)).reshape(*texels.shape[:2], -1)


def _channels_first(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]


_IDENTITY_SPREAD = 0.95
_PAINTED_LINES = ("folds", "lines", "crows", "bags", "frown")


@dataclass(frozen=True, kw_only=True)
class DetailPeopleConfig(SourceConfig):
    """People by number."""

    size: int = 512
    """Texels a side of the window."""
    coarse: int = 128
    """Texels a side of expression maps."""
    photos: int = 3
    """Greatest number of photos per person; each has one to this many."""
    seed: int = 0
    """Another seed gives other people."""
    colours: str = "all"
    """``all``; ``plain``: no freckles, moles and make-up; ``marked``: the same people full of freckles and make-up."""
    labelled: float = 1.0
    """Share of the people with known relief, spread evenly over their numbers. The relief of the others is set to
    zero."""
    picture: int = 0
    """Side of the pictures in pixels, for losses on pictures; 0: none."""

    def __post_init__(self) -> None:
        if not 0 <= self.labelled <= 1 or self.picture < 0:
            raise ValueError("labelled must be in [0, 1] and picture at least 0")
        if self.photos < 1 or self.colours not in ("all", "plain", "marked"):
            raise ValueError("photos must be at least 1, colours one of all, plain and marked")

    def build(self) -> DetailPeople:
        """Make the source."""
        return DetailPeople(self)


@dataclass(frozen=True)
class DrawnPerson:
    """A person before any photo. The head's cage has C vertices.

    Attributes
    ----------
    skin, relief : the skin's appearance. neutral : (C, 3) float32, head frame, metres. keys : (K, C, 3) offsets.
    cause : for the window's size N.
    """

    skin: SkinParameters
    relief: reliefs.Relief
    neutral: np.ndarray
    keys: np.ndarray
    cause: reliefs.Cause

    def posed(self, weights: np.ndarray) -> np.ndarray:
        """(C, 3) cage for weights (K,)."""
        return self.neutral + np.einsum("k,kvc->vc", weights, self.keys)

    def displacement(self, weights: np.ndarray) -> np.ndarray:
        """(N, N) float32 millimetres, the true relief for weights (K,)."""
        strain = windows.vertex_strain(self._rest, self.frames(weights))
        return self.relief.displacement(self.cause.smoothed(self.cause.window.image(strain)))

    def frames(self, weights: np.ndarray) -> windows.SurfaceFrames:
        """Surface frames of the subdivided head, posed."""
        window = self.cause.window
        return window.frames(window.surface.lifted(self.posed(weights).astype(np.float64)))

    @cached_property
    def _rest(self) -> windows.SurfaceFrames:
        return self.frames(np.zeros(len(self.keys), np.float32))


class DetailPeople:
    """See ``DetailPeopleConfig``."""

    def __init__(self, config: DetailPeopleConfig) -> None:
        self.config = config
        self._template = load_template()
        self._cause = reliefs.cause(config.size)
        self._coarse = windows.detail_window(self._template, config.coarse)

    def batch(self, indices: range, device: torch.device) -> DetailBatch:
        """Return people number ``indices``."""
        return DetailBatch.concatenate([self.person(index) for index in indices], device)

    def person(self, index: int) -> DetailBatch:
        """Return one person, number 0 of the batch."""
        config, known = self.config, self._cause
        drawn, g = self._drawn(index)
        skin, posed, truth = drawn.skin, drawn.posed, drawn.displacement
        surface = known.window.surface
        maps = windows.ExpressionMaps(self._coarse, drawn.neutral)
        albedo = reliefs.paint(known, skin, drawn.relief.moles)
        bare = reliefs.bare_skin(known, skin)
        photos, expressions, pictures, first = [], [], [], None
        for _ in range(int(g.integers(1, config.photos + 1))):
            weights = draw_expression(g).weights
            first = weights if first is None else first
            positions = surface.lifted(posed(weights).astype(np.float64))
            shot = reliefs.draw_shot(g)
            frames = known.window.frames(positions)
            photo = reliefs.take_photo(known, frames, truth(weights), albedo, skin.shine, shot)
            photo = replace(photo, weight=photo.weight * bare)
            photos.append(windows.observe(photo, known.density))
            if config.picture:
                pixels = projected(positions, shot.turn, config.picture)
                where = picture_coordinates(known.window, pixels, config.picture)
                pictures.append(pictures_of(photo, known.window, known.density, where))
            noisy = np.clip(weights * np.exp(g.normal(0, 0.2, weights.shape)) + g.normal(0, 0.02, weights.shape), 0, 1)
            expressions.append(maps.of(posed(noisy.astype(np.float32))))
        other = group_weights(list(KEY_GROUPS)[int(g.integers(len(KEY_GROUPS)))])
        if g.random() < 0.4:
            other = draw_expression(g).weights
        wanted = [np.zeros((windows.CHANNELS, config.coarse, config.coarse), np.float32), maps.of(posed(first))]
        wanted.append(maps.of(posed(other)))
        heights = np.stack([truth(np.zeros_like(other)), truth(first), truth(other)])
        has_truth = int((index + 1) * config.labelled) > int(index * config.labelled)
        return DetailBatch(
            photos=torch.from_numpy(np.stack(photos)),
            expressions=torch.from_numpy(np.stack(expressions)),
            person=torch.zeros(len(photos), dtype=torch.int64),
            wanted=torch.from_numpy(np.stack(wanted)),
            displacement=torch.from_numpy(heights * np.float32(has_truth))[:, None],
            has_truth=torch.tensor([has_truth]),
            allowed=torch.from_numpy(known.window.allowed)[None, None],
            pictures=DetailPictures.concatenate(pictures) if pictures else None,
        )

    def drawn(self, index: int) -> DrawnPerson:
        """Return person ``index`` as in its photos."""
        return self._drawn(index)[0]

    def _drawn(self, index: int) -> tuple[DrawnPerson, np.random.Generator]:
        """Return the person and the generator that draws the photos."""
        config, template = self.config, self._template
        g = np.random.Generator(np.random.Philox(key=[config.seed, index]))
        look = draw_look(g)
        skin = replace(draw_skin(g, look), **dict.fromkeys(_PAINTED_LINES, 0.0))
        relief = reliefs.draw_relief(g, float(np.clip((look.age - 18) / 60, 0, 1)))
        if config.colours == "plain":
            skin = replace(skin, freckles=0.0, lipstick=0.0, blush=0.0, eye_shadow=0.0, liner=0.0, blotch=0.5)
            relief = replace(relief, moles=0)
        elif config.colours == "marked":
            skin = replace(skin, freckles=1.0, lipstick=0.9, blush=0.7, eye_shadow=0.8, liner=1.0, blotch=2.0)
            relief = replace(relief, moles=0)
        count = template.head.vertex_stop
        modes = template.identity_modes[:, :count]
        coefficients = _IDENTITY_SPREAD * np.clip(g.standard_normal(len(modes)), -2.8, 2.8).astype(np.float32)
        neutral = template.vertices[:count] + np.einsum("k,kvc->vc", coefficients, modes)
        gains = np.exp(g.normal(0, 0.15, len(template.expressions))).astype(np.float32)
        person_relief = reliefs.Relief(relief, config.size)
        keys = template.expressions[:, :count] * gains[:, None, None]
        return DrawnPerson(skin, person_relief, neutral, keys, self._cause), g


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

    def build(self) -> Source:
        """Make the source. All portraits are examined, about 1.5 s each, and the results are cached."""
        return DetailPortraits(self)


class DetailPortraits:
    """See ``DetailPortraitsConfig``; raises ``LikenessError`` ("no_photo") where the folder has no portrait to use,
    ``FileNotFoundError`` where there is no folder."""

    def __init__(self, config: DetailPortraitsConfig) -> None:
        self.config = config
        if not Path(config.folder).is_dir():
            raise FileNotFoundError(f"{config.folder} is not a folder")
        paths = sorted(Path(config.folder).glob("*.jpg"), key=lambda path: (-_pixels(path), path.name))
        self._portraits = [path for path in paths if self._observed(path)]
        if not self._portraits:
            advice = "Name a folder of larger portraits."
            raise LikenessError("no_photo", f"No portrait in {config.folder} shows a face sharp enough.", advice)

    def __len__(self) -> int:
        return len(self._portraits)

    def batch(self, indices: range, device: torch.device) -> DetailBatch:
        """Return portraits ``indices``, modulo their count."""
        return DetailBatch.concatenate([self._one(index % len(self._portraits)) for index in indices], device)

    def _one(self, number: int) -> DetailBatch:
        config = self.config
        observed = self._observed(self._portraits[number])
        arrays = {name: torch.from_numpy(values.astype(np.float32))[None] for name, values in observed.items()}
        still = torch.zeros(1, windows.CHANNELS, config.coarse, config.coarse)
        window = windows.detail_window(load_template(), config.size)
        pictures = {name: arrays[name] for name in DetailPictures.__dataclass_fields__ if name in arrays}
        return DetailBatch(
            photos=arrays["observed"],
            expressions=arrays["expression"],
            person=torch.zeros(1, dtype=torch.int64),
            wanted=torch.cat([still, arrays["expression"], still]),
            displacement=torch.zeros(TARGETS, 1, config.size, config.size),
            has_truth=torch.tensor([False]),
            allowed=torch.from_numpy(window.allowed)[None, None],
            pictures=DetailPictures(**pictures) if pictures else None,
        )

    def _observed(self, path: Path) -> dict[str, np.ndarray]:
        """A portrait's arrays of ``observed_portrait``, from the cache if they are there; none where it is unusable."""
        numbers = (self.config.size, self.config.coarse, self.config.picture, self.config.least_pixels)
        key = content_key(numbers, path, Path(__file__).resolve())
        return kept_arrays("detail_portraits", key, lambda: observed_portrait(path, *numbers) or {})


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
    window = windows.detail_window(template, size)
    photo = photo_in_window(window, with_view(window.surface, face, fit))
    if photo.pixels_per_metre < least_pixels:
        return None
    surface, density = window.surface, window_density(window, fitted.neutral)
    cage = fit.vertices[: surface.count].astype(np.float64)
    maps = windows.ExpressionMaps(windows.detail_window(template, coarse), fitted.neutral[: surface.count])
    arrays = {"observed": windows.observe(photo, density), "expression": maps.of(cage)}
    if picture:
        square = upright_square(face.landmarks)

        def seen(points: np.ndarray) -> np.ndarray:
            pixels = fit.camera.project(points)
            return np.column_stack([square.from_picture(pixels[:, :2], picture), pixels[:, 2]])

        where = picture_coordinates(window, seen(surface.lifted(cage)), picture)
        shown = pictures_of(photo, window, density, where, square.cut(face.pixels, picture))
        arrays |= {name: getattr(shown, name)[0].numpy() for name in DetailPictures.__dataclass_fields__}
    return {name: value if name == "places" else value.astype(np.float16) for name, value in arrays.items()}
