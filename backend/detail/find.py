"""Estimate the relief of a fitted face's skin from its photos.

Synthesise pores and fine lines below the photos' resolution. The pattern is the same for everyone, its depth varies
by region.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from backend.detail import window as windows
from backend.detail.skin_detail import KEY_GROUPS, SkinDetail, group_weights, height_map
from backend.fitting.stages import FittedFace
from backend.geometry.template import Template
from backend.models.detail import DetailModel, displacements
from backend.photos.collection import FaceClass
from backend.progress import ProgressReporter, silent
from backend.system.parallel import each
from backend.texture.surface import HeadSurface, SurfaceAtlas, texels_per_metre, texture_space
from backend.texture.unwrap import DARKEST, ChosenPhoto, unwrap_photo

PORE_DISTANCE = 0.0009
"""Metres between pores on cheeks and nose."""
_SEED = 20261124
_DEPTH = {"nose": 0.030, "cheeks": 0.024, "chin": 0.022, "forehead": 0.018, "neck": 0.010, "ears": 0.004}
"""Millimetres, standard deviation of the relief by region; profilometry of facial skin finds 10 to 30 micrometres
(Ra)."""
_DEFAULT_DEPTH = 0.012
_MIN_TEXELS = 3.0
"""Least texels per pore; coarser maps get larger, fainter pores."""


def pores(surface: HeadSurface, atlas: SurfaceAtlas, texels_per_metre: float) -> np.ndarray:
    """(R, R) float32 heights in millimetres on an atlas of the face's own chart."""
    distance = max(PORE_DISTANCE * texels_per_metre, _MIN_TEXELS)
    faint = PORE_DISTANCE * texels_per_metre / distance
    depth = np.full(surface.lift.shape[0], _DEFAULT_DEPTH)
    for name, value in _DEPTH.items():
        mask = np.clip(surface.regions[name], 0, 1)
        depth += mask * (value - depth)
    depth *= windows.contact_free_mask(surface)
    depths = atlas.image(atlas.sample(depth[:, None]))[..., 0]
    return _pore_pattern(atlas.resolution, round(float(distance), 2)) * depths * np.float32(faint)


@lru_cache(maxsize=2)
def _pore_pattern(size: int, distance: float) -> np.ndarray:
    """(S, S) float32 of standard deviation 1: pits about ``distance`` texels apart in a net of fine lines."""
    generator = np.random.Generator(np.random.Philox(key=_SEED))
    noise = generator.standard_normal((size, size), np.float32)
    sigma = distance / 4.5
    pits = cv2.GaussianBlur(noise, (0, 0), sigma) - cv2.GaussianBlur(noise, (0, 0), 1.7 * sigma)
    pits /= pits.std()
    pits = -np.maximum(pits - 0.4, 0.0)  # pores go in, the skin between them is flat
    lines = cv2.GaussianBlur(generator.standard_normal((size, size), np.float32), (0, 0), 0.6 * sigma)
    lines = np.abs(lines / lines.std())  # its zero crossings form a net
    relief = pits + 0.25 * np.minimum(lines, 1.0)
    relief -= cv2.GaussianBlur(relief, (0, 0), 4.0 * sigma)
    return relief / relief.std()


STAGE = "detail"
MOST_PHOTOS = 6
"""The sharpest photos; more add little and take a tenth of a second each."""
LEAST_PIXELS = 900.0
"""Pixels per metre on the face, about 130 pixels of face; with fewer, wrinkles of two millimetres are not resolved."""
LEAST_SHARPNESS = 0.25
"""Least ``PhotoQuality.sharpness``: softer photos are enlarged or out of focus."""
ALWAYS_REACH, WRINKLE_REACH = 4.0, 4.0
"""Millimetres: range of the height maps; skin folds reach one to three."""
WRINKLE_SIZE = 1024
_TOO_SOFT = "The photos are too small or too soft for wrinkles; use photos with a larger, sharper face."
_HAIRY = (FaceClass.FACIAL_HAIR, FaceClass.BROWS)


@dataclass(frozen=True)
class DetailEstimate:
    """The estimated relief, and the reason if no photo shows wrinkles.

    Attributes
    ----------
    detail : None without the model. photos : names of the photos used. sentence : for the user. side : metres of
        skin along a side of the maps, at the face's scale.
    """

    detail: SkinDetail | None
    photos: tuple[str, ...]
    sentence: str
    side: float = 1.0

    def to_report(self) -> dict[str, object]:
        """Content for ``report.json``: the depth of each map's lines (``line_depth``), and the photos used."""
        report: dict[str, object] = {"sentence": self.sentence, "photos": list(self.photos)}
        if self.detail is not None:
            maps = {"always": self.detail.always, **self.detail.wrinkles}
            report["depth_mm"] = {
                name: round(line_depth(one.millimetres(), self.side), 3) for name, one in maps.items()
            }
        return report


def line_depth(millimetres: np.ndarray, side: float) -> float:
    """Millimetres: 99th percentile of the absolute height (S, S) above its mean over ``BASE_LENGTH``. Broader dents are
    form: they change no shading that an eye would call a wrinkle. ``side`` : metres of skin along a side."""
    texels = max(round(windows.BASE_LENGTH * len(millimetres) / side), 3)
    lines = millimetres - cv2.blur(millimetres, (texels, texels))
    return float(np.percentile(np.abs(lines[::3, ::3]), 99))


NO_DETAIL = DetailEstimate(None, (), "")
"""Result when the detail model takes no part."""


def find_detail(
    template: Template,
    fitted: FittedFace,
    photos: Sequence[ChosenPhoto],
    keys: np.ndarray,
    resolution: int,
    model: DetailModel,
    progress: ProgressReporter = silent,
) -> DetailEstimate:
    """Estimate the relief of a fitted face's skin.

    Parameters
    ----------
    photos : of ``chosen_views``. keys : (52, V, 3) of this face. resolution : of the permanent
        map, texels. progress : receives stage "detail".

    Photos that resolve no wrinkles give pores and flat maps, on which Blender's *Typical Lines* are seen.
    """
    progress(STAGE, 0.0)
    config = model.network.config
    window, coarse = windows.detail_window(template, config.size), windows.detail_window(template, config.coarse)
    count, density = window.surface.count, window_density(window, fitted.neutral)
    chosen = [photo for photo in photos if photo[0].quality.sharpness >= LEAST_SHARPNESS]
    projected = each(lambda *photo: photo_in_window(window, photo), *zip(*chosen, strict=True))
    sharp = [
        (photo, fit)
        for photo, (_, fit, _) in sorted(zip(projected, chosen, strict=True), key=lambda two: -two[0].pixels_per_metre)
        if photo.pixels_per_metre >= LEAST_PIXELS
    ][:MOST_PHOTOS]
    heights = np.zeros((1 + len(KEY_GROUPS), config.size, config.size), np.float32)
    if sharp:
        progress(STAGE, 0.4)
        rest, maps = fitted.neutral[:count], windows.ExpressionMaps(coarse, fitted.neutral[:count])
        posed = [group_weights(group) @ keys[:, :count].reshape(len(keys), -1) for group in KEY_GROUPS]
        wanted = [np.zeros((9, coarse.size, coarse.size), np.float32)]  # at rest, then each group at full strength
        wanted += [maps.of(rest + moved.reshape(count, 3)) for moved in posed]
        heights = displacements(
            model,
            np.stack([windows.observe(photo, density) for photo, _ in sharp]),
            np.stack([maps.of(fit.vertices[:count]) for _, fit in sharp]),
            np.stack(wanted),
        )
    heights *= window.allowed
    lines = heights[1:] - heights[0]
    progress(STAGE, 0.8)
    always = windows.insert_in_map(heights[0], resolution)
    space = texture_space(template, resolution)
    positions = window.surface.lifted(fitted.neutral[:count].astype(np.float64))
    always += pores(window.surface, space.skin, texels_per_metre(window.surface, positions, resolution))
    size = min(WRINKLE_SIZE, resolution)
    wrinkles = {
        name: height_map(windows.insert_in_map(one, size), WRINKLE_REACH)
        for name, one in zip(KEY_GROUPS, lines, strict=True)
    }
    progress(STAGE, 1.0)
    detail = SkinDetail(height_map(always, ALWAYS_REACH), wrinkles)
    side = config.size / (density * windows.SIDE)
    return DetailEstimate(detail, tuple(fit.name for _, fit in sharp), "" if sharp else _TOO_SOFT, side)


def photo_in_window(window: windows.DetailWindow, photo: ChosenPhoto) -> windows.PhotoInWindow:
    """One photo at the window's texels, weighted by the visibility of bare skin."""
    face, fit, view = photo
    unwrap = unwrap_photo(face, view, window.atlas, window_density(window, fit.vertices))
    weight = unwrap.weight * ~np.isin(unwrap.labels, _HAIRY)
    normals, across = windows.frames_in_window(window, window.frames(view.vertices))
    return windows.PhotoInWindow(
        window.atlas.image(np.log(np.maximum(unwrap.linear, DARKEST))),
        cv2.erode(window.atlas.image(weight.astype(np.float32)), np.ones((3, 3), np.uint8)),
        normals,
        across,
        fit.light.astype(np.float64),
        view.pixels_per_metre,
    )


def window_density(window: windows.DetailWindow, vertices: np.ndarray) -> float:
    """Texels of the window per metre on the face, from vertices (V, 3)."""
    positions = window.surface.lifted(vertices[: window.surface.count].astype(np.float64))
    return texels_per_metre(window.surface, positions, window.size) / windows.SIDE
