"""Evaluate hair on held-out photos: fit the hair to a person's other photos and compare its silhouette with the
held-out photo's hair.

Compare brightness, colour and contrast of rendered hair with a photo's.

Share of the hair that intersects the skull, the ears or the eyes.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import torch
from rich.console import Console

from backend.errors import LikenessError
from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.normals import vertex_normals
from backend.geometry.template import Template, boundary_edges, load_template, triangles_from_quads
from backend.geometry.vectors import disc, unit_vectors
from backend.hair.attach import skin_normals
from backend.hair.curl import CURLS, find_curl, line_statistics, resampled_to
from backend.hair.draw import draw_hair, lock_edges
from backend.hair.fit_hair import HairResult, fit_hair
from backend.hair.hair_strands import HairStrands
from backend.hair.hair_surface import hair_surface, hull_grid
from backend.hair.hair_views import HairView, closed_head, hair_views
from backend.hair.trace import direction_field, lock_widths, trace_guides
from backend.models.mobile_trunk import WHOLE, MobileTrunk, lite0_state, normalised
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb, srgb_bytes
from backend.system.numba_cache import numba
from trainer.engine.sheets import in_rows, write_sheet
from trainer.evaluate.textures import fit_options_for, fit_with, fitted_person, open_models, without_photo
from trainer.heads.surface import Closest
from trainer.measures.harness import collected, found_faces, measured, people_folders
from trainer.measures.metrics import mean_interval

_SIDE = 224
"""Pixels of the photo's longer side: about two millimetres per pixel on a head, parts of a lock."""
_LEAST_PIXELS = 100
"""Least number of pixels that show hair in both pictures."""
_DARKEST = 0.002
"""Linear light at the level of a photo's noise, lower bound before logarithms."""


@dataclass(frozen=True)
class HairTone:
    """``brightness`` : natural logarithm of the ratio of median luminances, rendered hair to photo. ``contrast`` :
    ratio of
    the standard deviations of log luminance over the hair, rendered to photo. ``redder``, ``bluer`` : difference of the
    medians of log red over green and of log blue over green, rendered minus photo. NaN where too little hair is
    visible.
    """

    brightness: float
    contrast: float
    redder: float
    bluer: float


UNKNOWN_TONE = HairTone(np.nan, np.nan, np.nan, np.nan)


def hair_tone(strands: HairStrands, photo: FittedPhoto, face: PhotoFace, template: Template) -> HairTone:
    """Compare hair, rendered in a photo's camera and light, with the photo where both show hair."""
    camera = photo.camera.scaled(_SIDE / max(face.labels.shape))
    size = camera.size
    small = cv2.resize(face.pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    hair = cv2.resize((face.labels == FaceClass.HAIR).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    hair = cv2.erode(hair, np.ones((3, 3), np.uint8)) > 0  # the mask's edge is half background
    drawn = draw_hair(strands, camera, *closed_head(photo.vertices, template), photo.light)
    both = hair & (drawn.alpha > 0.9)
    if both.sum() < _LEAST_PIXELS:
        return UNKNOWN_TONE
    photo_light, drawn_light = linear_from_srgb(small[both]), drawn.color[both] / drawn.alpha[both, None]  # (N, 3)
    seen, made = (np.log(np.maximum(light @ np.array(LUMINANCE), _DARKEST)) for light in (photo_light, drawn_light))
    spread = float(seen.std())
    contrast = float(made.std()) / spread if spread > 0 else np.nan
    red, green, blue = np.subtract(
        *(np.median(np.log(np.maximum(light, _DARKEST)), 0) for light in (drawn_light, photo_light))
    )
    return HairTone(float(np.median(made) - np.median(seen)), contrast, float(red - green), float(blue - green))


SKULL_DEPTH = 0.002
"""Metres under the skin from which a strand's point counts as in the skull; smaller depths are within the head shape's
accuracy."""
EAR_DEPTH = 0.001
"""Metres under an ear's skin from which a point counts as in it; ears are 3 mm thick, so few points lie much deeper."""
_ROOT_POINTS = 2  # first points of a strand, the root's, which may lie in the skin
_EAR_WEIGHT = 0.5  # region weight above which skin belongs to an ear
_BORDER_WEIGHT = 0.999  # weight of the mesh's border above which a point is outside the mesh


@dataclass(frozen=True)
class StrandsInside:
    """Shares, 0 to 1: ``skull`` and ``ears``, of the strands' points beyond the second that lie in them; ``eyes``, of
    the
    strands with a point in an eyeball."""

    skull: float
    ears: float
    eyes: float


def strands_inside(points: np.ndarray, template: Template, neutral: np.ndarray) -> StrandsInside:
    """Locate strands of points (G, P, 3) in a head of ``neutral`` (V, 3), both metres in the head frame.

    A point is assigned to the ear or the skull by its nearest skin. Points whose nearest skin is the mesh's border,
    below the neck, are in neither. Eye sockets are empty, so eyes are not in the skull.
    """
    head = template.head
    triangles = triangles_from_quads(template.quads[: head.face_stop])
    vertices = neutral[: head.vertex_stop].astype(np.float64)
    places = points[:, _ROOT_POINTS:].reshape(-1, 3).astype(np.float64)
    hit, weights, _ = Closest(vertices, triangles)(places)
    corners = triangles[hit]  # (N, 3)

    def there(values: np.ndarray) -> np.ndarray:
        """Interpolate values (V_head, ...) at the nearest skin (N, ...)."""
        return np.einsum("nk,nk...->n...", weights, values[corners])

    normal = there(vertex_normals(vertices, triangles))
    depth = ((there(vertices) - places) * normal).sum(-1) / np.maximum(np.linalg.norm(normal, axis=-1), 1e-9)
    border = np.zeros(head.vertex_stop)
    border[boundary_edges(triangles)] = 1.0
    under = there(border) < _BORDER_WEIGHT
    ear = there(template.regions["ears"][: head.vertex_stop].astype(np.float64)) > _EAR_WEIGHT
    return StrandsInside(
        skull=float((under & ~ear & (depth > SKULL_DEPTH)).mean()),
        ears=float((under & ear & (depth > EAR_DEPTH)).mean()),
        eyes=float(_in_eyes(points[:, _ROOT_POINTS:], template, neutral).any(1).mean()),
    )


def _in_eyes(points: np.ndarray, template: Template, neutral: np.ndarray) -> np.ndarray:
    """(G, P) bool, points (G, P, 3) that lie in an eyeball, approximated by a sphere."""
    inside = np.zeros(points.shape[:2], bool)
    for name in ("eye_left", "eye_right"):
        part = template.parts[name]
        vertices = neutral[part.vertex_start : part.vertex_stop]
        centre = 0.5 * (vertices.min(0) + vertices.max(0))
        radius = np.median(np.linalg.norm(vertices - centre, axis=1))
        inside |= np.linalg.norm(points - centre, axis=-1) < radius
    return inside


CLEAR = 0.6
"""Coherence of a photo's lines, 0 to 1, from which their direction counts: a third of the hair."""
_FOREMOST = 0.006
"""Metres: strands so far behind the foremost are seen, too."""
_STEPS = 4
"""Points per segment of a guide, closer together than a view's pixels."""


def line_angle(strands: HairStrands, view: HairView) -> float:
    """Median angle in degrees between the strands that a view shows and the photo's clear lines; NaN without both."""
    pieces = _STEPS * strands.points.shape[1]
    pixel = view.camera.project(resampled_to(strands.points.astype(np.float64), pieces))  # (G, M, 3)
    step = np.diff(pixel[..., :2], axis=1, append=pixel[:, -1:, :2])
    column, row = np.floor(pixel[..., 0]).astype(int), np.floor(pixel[..., 1]).astype(int)
    height, width = view.depth.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    shown = inside & (pixel[..., 2] < view.depth[row, column] + _FOREMOST) & ((step**2).sum(-1) > 1e-9)
    front = np.full(view.depth.shape, np.inf)
    np.minimum.at(front, (row[shown], column[shown]), pixel[..., 2][shown])
    shown &= pixel[..., 2] < front[row, column] + _FOREMOST
    row, column, twice = row[shown], column[shown], 2 * np.arctan2(step[..., 1], step[..., 0])[shown]
    drawn = np.zeros((height, width, 2))
    np.add.at(drawn, (row, column), np.stack([np.cos(twice), np.sin(twice)], 1))
    clear = np.hypot(*np.moveaxis(view.direction, -1, 0)) * (view.hair > 0.5) * (view.visible > 0.5) > CLEAR
    clear &= np.hypot(drawn[..., 0], drawn[..., 1]) > 0
    one, other = (np.arctan2(each[clear][:, 1], each[clear][:, 0]) for each in (drawn, view.direction))
    apart = np.abs((one - other + np.pi) % (2 * np.pi) - np.pi) / 2
    return float(np.degrees(np.median(apart))) if len(apart) > _LEAST_PIXELS else np.nan


def hairline_distance(drawn: np.ndarray, view: HairView) -> float:
    """Median millimetres from the border of a photo's hair against the face to that of a silhouette (H, W) there."""

    def edge(hair: np.ndarray) -> np.ndarray:
        near = cv2.dilate(hair.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        return near & ~hair & face

    face = cv2.dilate((view.face > 0.5).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    seen, made = edge(view.hair > 0.5), edge(drawn > 0)
    if seen.sum() < _LEAST_EDGE or made.sum() < _LEAST_EDGE:
        return np.nan
    away = cv2.distanceTransform((~made).astype(np.uint8), cv2.DIST_L2, 5)[seen]
    return float(np.median(away)) / view.pixels_per_metre * 1000


_LEAST_EDGE = 20
"""Pixels of a hairline that is compared: 3 cm."""


_PIECES = 6
"""Points drawn per segment of a guide, so that they lie closer together than a view's pixels."""
_CLOSED = 0.007
"""Metres: smaller gaps between locks are closed."""
_BEHIND = 0.006
"""Depth tolerance in metres: hair this far behind the head's surface still counts as visible, because the skull under
hair is fitted no more accurately."""


def hair_outline(
    points: np.ndarray, width: np.ndarray, template: Template, neutral: np.ndarray, view: HairView
) -> np.ndarray:
    """(H, W) uint8 silhouette in a view of the locks of guides (G, P, 3), ``width`` (G,) metres wide, on a head
    (V, 3)."""
    normals = skin_normals(points[:, 0], *closed_head(neutral.astype(np.float64), template))
    edges = lock_edges(points, width, normals).reshape(-1, *points.shape[1:])
    return silhouettes(resampled_to(edges, _PIECES * points.shape[1]).reshape(1, -1, 3), view)[0]


def silhouettes(points: np.ndarray, view: HairView) -> np.ndarray:
    """(N, H, W) uint8 masks of the visible parts of strands with dense points (N, M, 3); small gaps are closed.

    Points with a NaN are ignored.
    """
    to_pixels = (view.camera.intrinsics @ view.camera.camera_from_head[:3]).astype(np.float32)
    canvas = np.zeros((len(points), *view.depth.shape), np.uint8)
    _splat(np.ascontiguousarray(points, np.float32), to_pixels, view.depth + np.float32(_BEHIND), canvas)
    kernel = disc(max(1, round(_CLOSED * view.pixels_per_metre)))
    for picture in canvas:
        cv2.morphologyEx(picture, cv2.MORPH_CLOSE, kernel, dst=picture)
    return canvas


@numba.njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _pixel(to_pixels, x, y, z):
    """Column, row and depth of a point by the projection (3, 4)."""
    depth = to_pixels[2, 0] * x + to_pixels[2, 1] * y + to_pixels[2, 2] * z + to_pixels[2, 3]
    column = (to_pixels[0, 0] * x + to_pixels[0, 1] * y + to_pixels[0, 2] * z + to_pixels[0, 3]) / depth
    row = (to_pixels[1, 0] * x + to_pixels[1, 1] * y + to_pixels[1, 2] * z + to_pixels[1, 3]) / depth
    return column, row, depth


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _splat(points, to_pixels, limit, canvas):
    height, width = limit.shape
    for n in range(points.shape[0]):
        for k in range(points.shape[1]):
            x, y, z = points[n, k]
            column, row, depth = _pixel(to_pixels, x, y, z)
            if not depth > 0.01:
                continue
            if 0 <= column < width and 0 <= row < height and depth < limit[int(row), int(column)]:
                canvas[n, int(row), int(column)] = 1


FitHair = Callable[[Template, FittedFace, Sequence[PhotoFace]], HairResult]


@dataclass(frozen=True)
class HairFigures:
    """Figures of one held-out photo, or means over several; NaN where there is nothing to measure.

    Attributes
    ----------
    overlap : intersection over union of the fitted hair's silhouette and the photo's hair, without pixels that are
        occluded or outside the photo. Hair that was not found has an empty silhouette.
    cap_overlap : the same for the baseline hair, which is fitted to no photo (``cap``).
    gain : ``overlap`` minus ``cap_overlap``.
    seen_overlap : mean overlap with the photos of the look that the hair was fitted to; lead_overlap : with the leading
        one. angle, seen_angle, lead_angle : ``line_angle`` in the held-out photo, the look's photos, the leading one.
        hairline : ``hairline_distance`` in the leading photo.
    missed : share of the photo's hair outside the silhouette. beside : share of the silhouette without hair in the
        photo.
    face_hidden : share of the photo's facial skin that the silhouette covers.
    found : 1 if hair was found, else 0.
    in_skull, in_ear, in_eyes : shares of ``StrandsInside``.
    brightness, contrast, redder, bluer : ``HairTone`` in the held-out photo. brightness_off, red_off, blue_off : sizes
        of ``brightness``, ``redder`` and ``bluer``, of which photos of one person do not cancel each other in a mean.
    seconds : duration of the fit.
    """

    overlap: float
    cap_overlap: float
    gain: float
    seen_overlap: float
    lead_overlap: float
    angle: float
    seen_angle: float
    lead_angle: float
    hairline: float
    missed: float
    beside: float
    face_hidden: float
    found: float
    in_skull: float
    in_ear: float
    in_eyes: float
    brightness: float
    brightness_off: float
    contrast: float
    redder: float
    red_off: float
    bluer: float
    blue_off: float
    seconds: float


@dataclass(frozen=True)
class HeldOutHair:
    """``figures`` and ``view`` of one held-out photo. ``drawn`` : (H, W) uint8 silhouette, in the photo's pixels, of
    the hair fitted to the other photos. ``style`` : the fitted style's name, or why there is no hair."""

    figures: HairFigures
    view: HairView
    drawn: np.ndarray
    style: str


def held_out_hair(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    name: str,
    fit: FitHair = fit_hair,
) -> HeldOutHair:
    """Fit the hair to all photos but ``name`` and measure it on that photo.

    The head's shape and the photo's camera come from the fit to all photos, so that only the hair is measured.

    Parameters
    ----------
    faces : at least those of ``fitted.photos``. name : one of at least two photos.
    """
    split = without_photo(fitted, faces, name)
    own, face = split.own, split.face
    start = perf_counter()
    found = fit(template, split.others, split.other_faces)
    seconds = perf_counter() - start
    view = hair_views(template, replace(fitted, photos=(own,)), [face])[0]
    strands = found.strands
    drawn, look = np.zeros(view.depth.shape, np.uint8), LookFigures()
    inside, tone = None, UNKNOWN_TONE
    if strands is not None:
        drawn = hair_outline(strands.points, strands.width, template, fitted.neutral, view)
        look = look_figures(template, split.others, faces, found)
        inside = strands_inside(strands.points, template, fitted.neutral)
        tone = hair_tone(strands, own, face, template)
    overlap, cap_overlap = mask_overlap(drawn, view), mask_overlap(cap(template, fitted.neutral, view), view)
    figures = HairFigures(
        overlap=overlap,
        cap_overlap=cap_overlap,
        gain=overlap - cap_overlap,
        seen_overlap=look.overlap,
        lead_overlap=look.lead_overlap,
        angle=np.nan if strands is None else line_angle(strands, view),
        seen_angle=look.angle,
        lead_angle=look.lead_angle,
        hairline=look.hairline,
        missed=_share(1 - drawn, view.hair * view.visible),
        beside=_share(1 - view.hair, drawn * view.visible),
        face_hidden=_share(drawn, facial_skin(face, view) * view.visible),
        found=float(strands is not None),
        in_skull=np.nan if inside is None else inside.skull,
        in_ear=np.nan if inside is None else inside.ears,
        in_eyes=np.nan if inside is None else inside.eyes,
        brightness=tone.brightness,
        brightness_off=abs(tone.brightness),
        contrast=tone.contrast,
        redder=tone.redder,
        red_off=abs(tone.redder),
        bluer=tone.bluer,
        blue_off=abs(tone.bluer),
        seconds=seconds,
    )
    return HeldOutHair(figures, view, drawn, found.reason if strands is None else strands.style)


@dataclass(frozen=True)
class LookFigures:
    """Figures of fitted hair in the photos of its look; see ``HairFigures``."""

    lead_overlap: float = np.nan
    overlap: float = np.nan
    lead_angle: float = np.nan
    angle: float = np.nan
    hairline: float = np.nan


def look_figures(template: Template, fitted: FittedFace, faces: Sequence[PhotoFace], found: HairResult) -> LookFigures:
    """Measure hair that ``fit_hair`` found in the photos that it follows."""
    photos = {photo.name: photo for photo in fitted.photos}
    names = photos if found.look is None else found.look.photos
    own = replace(fitted, photos=tuple(photos[name] for name in names))
    views, strands = hair_views(template, own, faces), found.strands
    drawn = [hair_outline(strands.points, strands.width, template, fitted.neutral, view) for view in views]
    overlaps = [mask_overlap(each, view) for each, view in zip(drawn, views, strict=True)]
    angles = [line_angle(strands, view) for view in views]
    return LookFigures(overlaps[0], _mean(overlaps), angles[0], _mean(angles), hairline_distance(drawn[0], views[0]))


def cap(template: Template, neutral: np.ndarray, view: HairView) -> np.ndarray:
    """(H, W) uint8 silhouette of the baseline hair on a head of ``neutral`` (V, 3): what the fit makes of no photo,
    short hair within the usual hairline."""
    surface = hair_surface(hull_grid(template, neutral), ())
    lines = trace_guides(surface, direction_field(surface, ()), ())
    return hair_outline(lines, lock_widths(lines, ()), template, neutral, view)


def facial_skin(face: PhotoFace, view: HairView) -> np.ndarray:
    """(H, W) float32 share of facial skin in each pixel of the view."""
    skin = (face.labels == FaceClass.SKIN).astype(np.float32)
    return cv2.resize(skin, view.camera.size, interpolation=cv2.INTER_AREA)


def mask_overlap(drawn: np.ndarray, view: HairView) -> float:
    """Intersection over union of a silhouette (H, W) and the view's hair where known; NaN if both are empty."""
    seen, known = view.hair * view.visible, drawn * view.visible
    both = float((drawn * seen).sum())
    either = float(known.sum() + seen.sum()) - both
    return both / either if either > 1.0 else np.nan


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    """Mean of ``part`` weighted by ``whole``; NaN if the weights sum to at most a pixel."""
    total = float(whole.sum())
    return float((part * whole).sum()) / total if total > 1.0 else np.nan


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    known = np.array(values)[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def mean_figures(figures: Sequence[HairFigures]) -> HairFigures:
    """Mean of each figure over those where it is known."""
    names = [field.name for field in fields(HairFigures)]
    return HairFigures(**{name: _mean([getattr(one, name) for one in figures]) for name in names})


def flat_figures(people: Mapping[str, HairFigures]) -> dict[str, float]:
    """``hair.FIGURE`` with ``.low`` and ``.high`` over people, and ``person.NAME.FIGURE``; NaN is left out."""
    figures: dict[str, float] = {}
    for field in fields(HairFigures):
        values = {name: getattr(person, field.name) for name, person in people.items()}
        figures |= {f"person.{name}.{field.name}": value for name, value in values.items()}
        figures |= mean_interval(np.array(list(values.values()))).figures(f"hair.{field.name}")
    return {name: value for name, value in figures.items() if not np.isnan(value)}


GREY = 118
"""Level of everything that is not hair in the pictures of hair alone."""
_HEAD_METRES, _PICTURE = 0.46, 160
"""Metres and pixels across a picture of hair alone."""


@dataclass(frozen=True)
class HairPair:
    """Hair alone, (S, S, 3) uint8 with all else grey: of a person's leading ``photo``, and as ``drawn``."""

    photo: np.ndarray
    drawn: np.ndarray


def hair_pair(template: Template, fitted: FittedFace, faces: Sequence[PhotoFace], found: HairResult) -> HairPair:
    """Both pictures have the head's middle in theirs, at the same size, so that neither tells by its frame."""
    photo = next(one for one in fitted.photos if one.name == found.look.leader)
    face = next(one for one in faces if one.name == found.look.leader)
    middle = photo.vertices[: template.head.vertex_stop][template.regions["scalp"][: template.head.vertex_stop] > 0.5]
    column, row, distance = photo.camera.project(middle.mean(0)[None].astype(np.float64))[0]
    scale = _PICTURE / _HEAD_METRES * distance / photo.camera.intrinsics[0, 0]
    warp = np.array([[scale, 0, _PICTURE / 2 - scale * column], [0, scale, _PICTURE * 0.4 - scale * row]])
    drawn = np.full(face.pixels.shape, GREY, np.float32)
    if found.strands is not None:
        hair = draw_hair(found.strands, photo.camera, *closed_head(photo.vertices, template), photo.light)
        drawn = srgb_bytes(hair.color / np.maximum(hair.alpha, 1e-3)[..., None]) * hair.alpha[..., None]
        drawn = drawn + GREY * (1 - hair.alpha[..., None])
    seen = np.where((face.labels == FaceClass.HAIR)[..., None], face.pixels, GREY)
    both = (np.clip(each, 0, 255).astype(np.uint8) for each in (seen, drawn))
    size, level = (_PICTURE, _PICTURE), (GREY, GREY, GREY)
    return HairPair(*(cv2.warpAffine(x, warp, size, flags=cv2.INTER_AREA, borderValue=level) for x in both))


def pair_features(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """(N, F) unit vectors of pictures of hair alone (S, S, 3) uint8: the last map of EfficientNet-Lite0, trained on
    ImageNet, less that of a picture without hair. Raises ``Lite0MissingError`` without its weights."""
    trunk = MobileTrunk(WHOLE)
    trunk.load_imagenet(lite0_state())
    trunk.eval().fuse()
    stack = torch.from_numpy(np.stack([*pictures, np.full_like(pictures[0], GREY)])).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        maps = trunk(normalised(stack))[-1].flatten(1).double().numpy()
    features = maps[:-1] - maps[-1]
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)


def rank_one(pairs: Sequence[HairPair]) -> float:
    """Share of drawn hair whose own photo is the most alike by ``pair_features``."""
    photos, drawn = (pair_features([getattr(p, name) for p in pairs]) for name in ("photo", "drawn"))
    return float(((drawn @ photos.T).argmax(1) == np.arange(len(pairs))).mean())


def shuffled_pairs(pairs: Sequence[HairPair], seed: int = 0) -> tuple[list[Sequence[np.ndarray]], list[int]]:
    """Rows of the photos, then of the drawings in a random order, and the number, from 1, of each photo's drawing."""
    order = np.random.default_rng(seed).permutation(len(pairs)).tolist()
    rows = [*in_rows([p.photo for p in pairs], 8), *in_rows([pairs[k].drawn for k in order], 8)]
    return rows, [order.index(k) + 1 for k in range(len(pairs))]


def write_pairs(path: Path, pairs: Sequence[HairPair], seed: int = 0) -> Path:
    """Write the sheet of ``shuffled_pairs``, photos and drawings numbered from 1, and the answers beside it in
    ``NAME.key.csv``, whose path is returned: whoever pairs them does not open it."""
    rows, answers = shuffled_pairs(pairs, seed)
    tiles = [tile.copy() for row in rows for tile in row]
    for k, tile in enumerate(tiles):
        drawn, number = divmod(k, len(pairs))
        cv2.putText(tile, f"{'drawn' if drawn else 'photo'} {number + 1}", (4, 14), 0, 0.45, (255, 255, 255))
    write_sheet(path, [row for half in (tiles[: len(pairs)], tiles[len(pairs) :]) for row in in_rows(half, 8)])
    key = path.with_suffix(".key.csv")
    lines = [f"{number},{answer}" for number, answer in enumerate(answers, 1)]
    key.write_text("\n".join(["photo,drawn", *lines]) + "\n", "utf-8")
    return key


def person_hair(photos: Sequence[Path], quality: str, most: int, pairs: list[HairPair]) -> list[HeldOutHair]:
    """Hold out at most ``most`` photos of a person in turn, spread over those that the fit uses, and add the pair of
    hair alone, fitted to all of them, to ``pairs``.

    Raises ``LikenessError`` if fewer than two photos are usable.
    """
    person, template = fitted_person(photos, quality, most), load_template()
    found = fit_hair(template, person.fitted, person.fitted.used_faces(person.faces))
    pairs.append(hair_pair(template, person.fitted, person.faces, found))
    return [held_out_hair(template, person.fitted, person.faces, name) for name in person.names]


CURL_LABELS = Path(__file__).with_name("curl_labels.csv")
"""People of ``research_only/lfw`` and how the hair in their first photo curls, by eye. No bound is a fit to them; when
``curl._SHARP`` and ``curl._CLEAR`` were chosen they were in view."""


def curl_figures(photos: Path) -> dict[str, float]:
    """``curl.LABEL.FOUND``: share of the labelled people, one photo each, whose hair is found to curl so; ``braids``
    are labelled, too, but never found."""
    found: dict[str, list[str]] = {}
    with CURL_LABELS.open() as file:
        for row in csv.DictReader(file):
            for face in found_faces(sorted((photos / row["person"]).glob("*.jpg"))[:1]):
                wide = float(np.linalg.norm(face.landmarks[_CHEEKS[1]] - face.landmarks[_CHEEKS[0]]))
                hair, skin = (face.labels == kind for kind in (FaceClass.HAIR, FaceClass.SKIN))
                curl = find_curl([line_statistics(face.pixels, hair, skin, wide / _FACE_WIDTH)])
                found.setdefault(row["curl"], []).append(curl.name)
    return {
        f"curl.{label}.{curl.name}": float(np.mean([name == curl.name for name in names]))
        for label, names in found.items()
        for curl in CURLS
    }


_CHEEKS, _FACE_WIDTH = (234, 454), 0.14
"""Landmarks at both sides of the face, and metres between them, by which photos that are not fitted are scaled."""


LOW_HAIR = {
    "shaved": "041308 022115 029701 041903",
    "crop": "020358 021365 020302 029776 099911 040502 014643 021119 020733 020517 020522",
    "combed": "014914 021560 021334 015703 020937 021101 021100 021372 014503 015039 020759 020515",
}
"""Portraits of ``public_domain`` by eye: shaved scalps, hair that stands, and thin or low hair that is combed. The
bounds between them were set on these, so the figure shows what a bound does and is no test of it."""


def low_hair_figures(photos: Path) -> dict[str, float]:
    """``low.LABEL.FOUND``: share of the portraits of ``LOW_HAIR``, fitted alone, that get no hair (``none``), and hair
    that ``stands`` or ``lies``."""
    template, figures = load_template(), {}
    for label, names in LOW_HAIR.items():
        found = []
        for name in names.split():
            collection = collected([photos / f"{name}.jpg"])
            fitted = fit_with(collection, fit_options_for("fast"), open_models())
            strands = fit_hair(template, fitted, collection.faces).strands
            found.append("none" if strands is None else _stands(strands, *closed_head(fitted.neutral, template)))
        figures |= {f"low.{label}.{each}": float(np.mean([x == each for x in found])) for each in _LOW}
    return figures


_LOW = ("none", "stands", "lies")


def _stands(strands: HairStrands, vertices: np.ndarray, triangles: np.ndarray) -> str:
    """Whether hair stands at more than 45 degrees to the skin."""
    root, tip = strands.points[:, 0].astype(np.float64), strands.points[:, -1].astype(np.float64)
    cosine = (unit_vectors(tip - root) * skin_normals(root, vertices.astype(np.float64), triangles)).sum(1)
    return "stands" if np.median(cosine) > np.sqrt(0.5) else "lies"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate hair``."""
    parser.add_argument("people", type=Path, nargs="*", help="folders of a person's photos, or of such folders")
    parser.add_argument("--curl", type=Path, help="folder of the people of curl_labels.csv: how their hair curls")
    parser.add_argument("--low", type=Path, help="folder of the public-domain portraits: whether low hair is found")
    parser.add_argument("--meshes", type=Path, help="folder for pictures of MakeHuman's hair meshes: known hair")
    parser.add_argument(
        "--pairs", type=Path, help="write a sheet of photos' and drawn hair to be paired by eye, and its key"
    )
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    parser.add_argument("--most", type=int, default=2, help="photos left out in turn per person (default 2)")
    parser.add_argument("--photos", type=int, help="photos used of each person, the first by name (default: all)")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Flat figures ``hair.…`` (mean over people), the same per person under ``person.NAME.``, and with the options
    ``curl.…``, ``low.…``, ``meshes.…`` and ``pairs.rank_one``."""
    if arguments.meshes:
        from trainer.evaluate.hair_meshes import mesh_truth

        return mesh_truth(arguments.meshes, console)
    if arguments.curl:
        return curl_figures(arguments.curl)
    if arguments.low:
        return low_hair_figures(arguments.low)
    folders = {name: photos for folder in arguments.people for name, photos in people_folders(folder).items()}
    if not folders:
        raise LikenessError("usage", "No people were given.", "Name folders of photos, or --curl or --low FOLDER.")
    pairs: list[HairPair] = []

    def person(photos: Sequence[Path]) -> HairFigures:
        held_out = person_hair(photos[: arguments.photos], arguments.quality, arguments.most, pairs)
        return mean_figures([one.figures for one in held_out])

    figures = flat_figures(measured(folders, person, console, asdict))
    if arguments.pairs:
        write_pairs(arguments.pairs, pairs)
        figures["pairs.rank_one"] = rank_one(pairs)
    return figures
