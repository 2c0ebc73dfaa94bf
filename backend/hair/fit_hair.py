"""Fit hair to photographs: the look that it follows (photos that show the same hair and beard as the leading one),
whether there is any, guides on the scalp, and their albedo at root and tip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.spatial import cKDTree

from backend.errors import LikenessError
from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.robust_statistics import weighted_median
from backend.geometry.template import Template
from backend.geometry.vectors import unit_vectors
from backend.hair.attach import attach
from backend.hair.curl import CURLS, LONG_COILS, STYLES, curl_of, curled
from backend.hair.hair_line import line_numbers
from backend.hair.hair_strands import HairStrands
from backend.hair.hair_surface import HairSurface, HullGrid, hair_surface, hull_grid, view_coverage, view_votes
from backend.hair.hair_views import HairView, hair_views, off_body
from backend.hair.trace import (
    Parting,
    direction_field,
    falls,
    find_knot,
    hangs,
    lock_widths,
    top_height,
    trace_guides,
)
from backend.models.hair_kind import HairKind, read_kind
from backend.photos.collection import FaceClass, PhotoFace
from backend.progress import ProgressReporter, silent
from backend.rendering import spherical_harmonics as sh
from backend.rendering.camera import Camera
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.system.parallel import each

_SIDE = 320
"""Longer side of the pictures in pixels: resolves locks, not single hairs."""
_DARKEST = 0.002
"""Noise floor of a photo, linear light in [0, 1]: half a step of 8 bits near black is 0.0002, and the blocks of a JPEG
are ten times that."""
_LEAST_SHADING = 0.15
"""Least shading, relative to its mean over the hair. Darker shading is a guess, and dividing by it gives too bright an
albedo."""
_FRONT = 0.006
"""Metres behind the foremost hair within which hair counts as visible: half a lock."""
_UNKNOWN = np.log(np.array([0.045, 0.028, 0.018]))
"""Log linear albedo of brown hair, the commonest colour: the fallback where no photo shows hair."""
_RANGE = 0.7
"""Log units by which a lock may differ from the hair as a whole: a factor of two, as between tips and dark roots.
Larger differences are shadows or highlights."""
_FEW = 2.0
"""Weight of the hair's overall colour as a prior, in samples (points of guides that a photo shows)."""
_GREENEST = 0.5
"""Least ratio of log(red / green) to log(green / blue) in the albedo of hair. The square roots of eumelanin's
absorption of red, green and blue are 0.65, 0.83, 1.17 (d'Eon et al., An Energy-Conserving Hair Reflectance Model,
2011)."""
_DYED = 0.4
"""Log units: greatest error of the light's hue. Hair that is further off a natural hue is dyed."""
_HUE_DEVIATION = 0.25
"""Log units: standard deviation of one photo's light hue, measured against other photos of the same hair."""
_TOGETHER = 8
"""Neighbouring guides that share a colour: two centimetres, about the resolution of a photo's chroma."""


def strand_colours(
    guides: np.ndarray, fitted: FittedFace, faces: Sequence[PhotoFace], others: Sequence[FittedPhoto] = ()
) -> list[np.ndarray]:
    """Colours of guides (G, P, 3), metres, from the photos in which they are the foremost hair; smooth between locks:
    (G, 3) float32 linear albedo at root and tip. ``others`` : photos of other looks, which tell the brightness, too.

    Locks differ in brightness only; roots and tips differ in hue, too. Differences in hue between locks are ignored,
    because they come from lamps or walls at one side, or from JPEG blocks.
    """
    by_name = {face.name: face for face in faces}
    seen = [_observed_albedo(guides, photo, by_name[photo.name]) for photo in fitted.photos]
    logs, shown = np.stack([log for log, _, _ in seen]), np.stack([mask for _, mask, _ in seen])  # (V, G, P[, 3])
    views = [colour for _, _, colour in seen if colour is not None]
    more = [_observed_albedo(guides, photo, by_name[photo.name])[2] for photo in others]
    more = [colour[1] for colour in more if colour is not None]
    whole = colour_of_views(np.array(views), more) if views else _UNKNOWN
    near = cKDTree(guides[:, 0]).query(guides[:, 0], k=min(_TOGETHER, len(guides)))[1].reshape(len(guides), -1)
    half = guides.shape[1] // 2
    ends = []
    for part in (slice(0, half), slice(half, None)):
        mask = shown[:, :, part]
        total = np.where(mask[..., None], logs[:, :, part], 0.0).sum((0, 2))
        number = mask.sum((0, 2)).astype(float)
        hue = (total - total[:, 1:2]).sum(0) / (number.sum() + _FEW)  # one hue for all roots, one for all tips
        total, number = total[near, 1].sum(1), number[near].sum(1)
        logs_here = whole + hue + np.clip(total / (number + _FEW), -_RANGE, _RANGE)[:, None]
        ends.append(np.exp(natural(logs_here)).astype(np.float32))
    return ends


def colour_of_views(logs: np.ndarray, others: Sequence[float] = ()) -> np.ndarray:
    """(3,) log linear albedo of the hair from the estimates ``logs`` (V, 3) of V photos of a look.

    The brightness is the median, to which ``others``, of other looks, add as much weight as the look's, because two
    photos of one look differ by a factor of 2.6 on the mean. The hue is a weighted mean: an estimate with an unnatural
    hue counts less, by a Gaussian with deviation ``_HUE_DEVIATION``, because the light's hue is probably wrong in that
    photo. If all estimates have the same unnatural hue it is kept, because the hair is dyed.
    """
    off = np.linalg.norm(natural(logs, np.inf) - logs, axis=1)
    weight = np.exp(-0.5 * (off**2 - off.min() ** 2) / _HUE_DEVIATION**2)
    hue = weight @ (logs - logs[:, 1:2]) / weight.sum()
    share = np.repeat([1.0 / len(logs), 1.0 / max(len(others), 1)], [len(logs), len(others)])
    green = np.concatenate([logs[:, 1], others])
    return hue + 0.5 * (weighted_median(green, share) - weighted_median(-green, share))  # of two, their mean


def natural(logs: np.ndarray, most: float = _DYED) -> np.ndarray:
    """Log linear albedo (..., 3) of hair moved to the nearest natural hue, by at most ``most``; green stays.

    A photo's light is estimated from the skin, and its hue is wrong by some tenths. The pigments of hair absorb more
    blue than green and more green than red, so no natural hair is greener than ``_GREENEST``.
    """
    blue, red = logs[..., 1] - logs[..., 2], logs[..., 0] - logs[..., 1]  # log(green / blue), log(red / green)
    share = np.maximum(blue + _GREENEST * red, 0) / (1 + _GREENEST**2)  # projection onto the line of _GREENEST
    on_line = np.stack([share, _GREENEST * share], -1)
    not_blue = np.stack([np.zeros_like(blue), np.maximum(red, 0)], -1)
    hue = np.stack([blue, red], -1)
    nearest = np.where((blue < 0)[..., None], not_blue, np.where((red < _GREENEST * blue)[..., None], on_line, hue))
    move = nearest - hue
    length = np.linalg.norm(move, axis=-1, keepdims=True)
    move = move * np.minimum(1, most / np.maximum(length, 1e-9))
    return logs + np.stack([move[..., 1], np.zeros_like(move[..., 0]), -move[..., 0]], -1)


def _observed_albedo(
    guides: np.ndarray, photo: FittedPhoto, face: PhotoFace
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """What one photo tells: (G, P, 3) log albedo at the guides' points relative to the hair as a whole, (G, P) whether
    the photo shows the point, and (3,) log albedo of the hair as a whole, None where it shows none."""
    scale = min(1.0, _SIDE / max(face.labels.shape))
    camera = photo.camera.scaled(scale)
    size = camera.size
    linear = linear_from_srgb(cv2.resize(face.pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255)
    if face.monochrome:
        linear = np.repeat((linear @ np.array(LUMINANCE, np.float32))[..., None], 3, axis=-1)
    labels = cv2.resize(face.labels, size, interpolation=cv2.INTER_NEAREST)
    hair = cv2.erode((labels == FaceClass.HAIR).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # without mixed edges
    pixel = camera.project(guides.astype(np.float64))
    column, row = np.floor(pixel[..., 0]).astype(int), np.floor(pixel[..., 1]).astype(int)
    inside = (column >= 0) & (column < size[0]) & (row >= 0) & (row < size[1])
    column, row = column.clip(0, size[0] - 1), row.clip(0, size[1] - 1)
    cell = (row // 4) * (size[0] // 4 + 1) + column // 4  # depth of the foremost hair, in cells as wide as a lock
    front = np.full((size[1] // 4 + 1) * (size[0] // 4 + 1), np.inf)
    np.minimum.at(front, cell[inside], pixel[..., 2][inside])
    shown = inside & hair[row, column] & (pixel[..., 2] < front[cell] + _FRONT)
    outwards = guides - guides[:, 0].mean(0)
    outwards = outwards / np.maximum(np.linalg.norm(outwards, axis=-1, keepdims=True), 1e-6)
    shading = sh.shade(outwards.astype(np.float32), photo.light)
    usual = float(np.abs(shading[shown]).mean()) if shown.any() else 1.0
    albedo = np.maximum(linear[row, column], _DARKEST) / np.maximum(shading, _LEAST_SHADING * max(usual, 1e-3))
    log_albedo = np.log(np.maximum(albedo, _DARKEST))
    if not shown.any():
        return log_albedo, shown, None
    whole = np.median(log_albedo[shown], 0)
    log_albedo -= whole
    return log_albedo, shown, whole


LOWEST = 67
"""Rows of the grid that are compared: to 42 cm from the crown, long hair on the chest."""
SAME_HAIR = 0.125
"""Greatest ``_difference`` of two photos of one look. Of eleven people's photos, looked at: the same hair differs by
0.01 to 0.11, loose and tied hair, or an afro and a crop, by 0.13 to 0.42."""
LEAST_HAIR = 0.06
"""Share of the compared area, added to the area with hair in either photo: a difference of little hair is little."""
BEARD_WORTH, COLOUR_WORTH = 0.5, 0.02
"""``difference`` of a bearded lower face to a bare one, and per log unit of hair's brightness against the skin: light
changes that by more than a unit between photos of the same hair."""
_LEADS = 0.25
"""Weight of a photo's trust in its choice as the leader, relative to that of the photos that agree with it."""
_HATS = 0.25
"""Trust in a photo without hair, relative to one with as much as the others: it shows a hat more often than a shave."""


@dataclass(frozen=True)
class Look:
    """``leader`` : name of the leading photo. ``photos`` : names of all that share its hair, the leader first."""

    leader: str
    photos: tuple[str, ...]


@dataclass(frozen=True)
class _PhotoHair:
    """One photo's hair. ``coverage``, ``confidence`` : (COLUMNS, LOWEST) as of ``HairSurface``. ``dark`` : log
    ratio of hair to skin, NaN unknown. ``beard`` : share of the face's skin that is bearded."""

    coverage: np.ndarray
    confidence: np.ndarray
    dark: float
    beard: float


def check_look(leader: str, names: Sequence[str]) -> None:
    """Raise ``LikenessError`` unless ``leader`` is one of the used photos' ``names``."""
    if leader not in names:
        used = ", ".join(names)
        raise LikenessError("usage", f"The look's photo {leader!r} is not among the used photos.", f"Choose of {used}.")


def find_look(
    grid: HullGrid,
    views: Sequence[HairView],
    faces: Sequence[PhotoFace],
    told: Sequence[np.ndarray],
    leader: str = "",
) -> Look:
    """The look of the photo ``leader``; without one, of the photo with which most of the photos' trust agrees.

    faces, told : in the order of ``views``; ``told`` are their votes ``hair_surface.view_votes``. Raises
    ``LikenessError`` if ``leader`` is not one of the views.
    """
    names = [view.name for view in views]
    if leader:
        check_look(leader, names)
    seen = [_photo_hair(grid, *each) for each in zip(views, faces, told, strict=True)]
    area = grid.radius[:, :LOWEST]
    apart = np.array([[_difference(one, other, area) for other in seen] for one in seen])
    scalp = area * (grid.s < grid.line[:, None])[:, :LOWEST]
    shown = np.array([(one.confidence * scalp).sum() / scalp.sum() for one in seen])
    amount = np.array([(one.confidence * one.coverage * scalp).sum() for one in seen])
    less = np.minimum(amount / max(float(np.median(amount)), 1e-9), 1)
    trust = np.array([view.trust for view in views]) * shown * (_HATS + (1 - _HATS) * less)
    worth = (apart <= SAME_HAIR) @ trust + _LEADS * trust
    best = names.index(leader) if leader else int(worth.argmax())
    same = [i for i in np.argsort(-trust, kind="stable") if i != best and apart[best, i] <= SAME_HAIR]
    return Look(names[best], tuple(names[i] for i in (best, *same)))


def _photo_hair(grid: HullGrid, view: HairView, face: PhotoFace, told: np.ndarray) -> _PhotoHair:
    hair, skin, beard = (face.labels == kind for kind in (FaceClass.HAIR, FaceClass.SKIN, FaceClass.FACIAL_HAIR))
    some = (slice(None, None, 4), slice(None, None, 4))  # medians need no more
    light = linear_from_srgb(face.pixels[some].astype(np.float32) / 255) @ np.array(LUMINANCE, np.float32)
    dark = np.nan
    if hair[some].sum() > 20 and skin[some].sum() > 20:
        dark = float(np.log((np.median(light[hair[some]]) + 0.002) / (np.median(light[skin[some]]) + 0.002)))
    there, sure = view_coverage(grid, view, told)
    return _PhotoHair(there[:, :LOWEST], sure[:, :LOWEST], dark, float(beard.sum() / max((beard | skin).sum(), 1)))


def _difference(one: _PhotoHair, other: _PhotoHair, area: np.ndarray) -> float:
    """Share of the area (COLUMNS, LOWEST) with hair in either photo, of what both show, that has none in the other; and
    what beard and colour add."""
    both = np.minimum(one.confidence, other.confidence) * area
    unlike = (both * np.abs(one.coverage - other.coverage)).sum()
    either = (both * np.maximum(one.coverage, other.coverage)).sum() + LEAST_HAIR * area.sum()
    colour = abs(one.dark - other.dark) if np.isfinite(one.dark + other.dark) else 0.0
    return float(unlike / either + BEARD_WORTH * abs(one.beard - other.beard) + COLOUR_WORTH * colour)


STAGE = "hair"
HAIR_RADIUS = 4e-5
"""Metres: hairs are 0.06 to 0.1 mm thick."""
_LEAST_SEEN = 0.0002
"""Square metres of hair in all photos of the look together; less is no hairstyle."""
_LEAST_GUIDES = 20
"""Least number of guides, of the thousand on a full head: fewer cover less than 15 square centimetres, and are mostly a
shadow."""
BALDING = "balding"
_RING = 0.105
"""Metres from the crown down: a ring of hair has no root nearer to it."""
_CROPPED = 0.009
"""Metres: greatest mean height on top of shaved heads and stubble. A grey cut combed at 10.6 mm has as few lines as
crops of 12 mm (official portraits), so higher hair lies; ten of twelve thin combed heads are as low, and lie by their
lines."""
_SKIN_LIKE, _STUBBLE_HUE, _SHINE, _RING_LIKE = 13.2, 18.0, 0.3, 25.0
"""CIELAB: difference from the face of a shaved scalp, in the middle between shaved heads (10 and 12) and thin white
hair (14 and more) of official portraits (public domain; ``evaluate hair --low``), and in hue alone of stubble (6 to 15;
of tied hair 19 and more). A scalp that shines is lighter, which counts ``_SHINE``. Sides of a bald top differ by
``_RING_LIKE`` where a ring of hair grows (29, 40), and by less where they are shaved (9 to 22)."""
_RING_STANDS = 0.007
"""Metres of mean height at the sides from which there is a ring, of whatever colour (7.6 to 12 mm; shaved 4.5 to
5.6)."""
_LEAST_PLACES = 20
"""Places of the grid, 15 square centimetres, that show a part of the hair."""
_SQUARE = 0.1
"""Cosine to a photo's ray from which a place is seen."""


@dataclass(frozen=True)
class HairResult:
    """``strands`` : the hair, or None. ``reason`` : why there is none, a sentence for the user. ``look`` : the photos
    that it follows, None if none was looked at."""

    strands: HairStrands | None
    reason: str = ""
    look: Look | None = None

    def to_report(self) -> dict[str, object]:
        """The hair's entry in ``report.json``: the look, and style, guides and the hairline, or the reason."""
        look = {} if self.look is None else {"look": {"leader": self.look.leader, "photos": list(self.look.photos)}}
        if self.strands is None:
            return {"found": False, "reason": self.reason} | look
        numbers = {name: round(value, 4) for name, value in self.strands.parameters.items()}
        guides = len(self.strands.points)
        return {"found": True, "style": self.strands.style, "guides": guides, "numbers": numbers} | look


@dataclass(frozen=True)
class HairVotes:
    """What the photos show of the hair: the look, and view and vote (``view_votes``) of each of its photos, the leader
    first. ``hangs`` : whether hair hangs in a photo of another look. ``tight`` : the views of the others of these.
    ``kind`` : what the look's photos say together, None without the net that reads it."""

    grid: HullGrid
    look: Look
    views: tuple[HairView, ...]
    votes: tuple[np.ndarray, ...]
    hangs: bool
    tight: tuple[HairView, ...]
    kind: HairKind | None = None


def hair_votes(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    leader: str = "",
    line: np.ndarray | None = None,
) -> HairVotes:
    """Find the look; ``faces`` are matched to the fitted photos by name.

    leader : name of the look's photo; empty: chosen. line : (A,) s of the hairline on ``hull.azimuths()`` where the
    user has set it. Raises ``LikenessError`` for an unknown ``leader``.
    """
    views = hair_views(template, fitted, faces)
    grid = hull_grid(template, fitted.neutral, line)
    votes = each(lambda view: view_votes(grid, view), views)
    look = find_look(grid, views, fitted.used_faces(faces), votes, leader)
    pairs = {view.name: (view, vote) for view, vote in zip(views, votes, strict=True)}
    others = [(view, hangs(grid, vote)) for name, (view, vote) in pairs.items() if name not in look.photos]
    tight = tuple(view for view, hanging in others if not hanging)
    views, votes = zip(*(pairs[name] for name in look.photos), strict=True)
    kind = read_kind([face for face in fitted.used_faces(faces) if face.name in look.photos])
    return HairVotes(grid, look, views, votes, len(tight) < len(others), tight, kind)


def fit_hair(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    progress: ProgressReporter = silent,
    told_style: str = "auto",
    told: HairVotes | None = None,
    parting: Parting | None = None,
) -> HairResult:
    """Fit hair to the photos of a fitted face that share a look; ``faces`` are matched to them by name.

    told_style : ``auto``, ``shaved``, ``balding`` or a key of ``curl.STYLES``; unless it is ``auto``, hair is combed
    and curled like that where the photos do not show it. told : of ``hair_votes``; None: found here, the look
    chosen. parting : None for the photos'. Raises ``errors.Cancelled`` when ``progress`` raised it.
    """
    progress(STAGE, 0.0)
    if told_style == "shaved":
        return HairResult(None, "The hairstyle was given as shaved.")
    told = told or hair_votes(template, fitted, faces)
    progress(STAGE, 0.4)
    if sum(float((view.hair * view.visible).sum()) / view.pixels_per_metre**2 for view in told.views) < _LEAST_SEEN:
        hidden = all(float(view.visible.mean()) < 0.98 for view in told.views)
        return HairResult(None, "A hat hides the hair." if hidden else "The photos show no hair.", told.look)
    strands = hair_of_look(template, fitted, faces, told, told_style, parting)
    progress(STAGE, 1.0)
    return HairResult(strands, "" if strands else "The photos show too little hair, or a shaved head.", told.look)


def hair_of_look(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    told: HairVotes,
    told_style: str = "auto",
    parting: Parting | None = None,
) -> HairStrands | None:
    """Hair of the look ``told``, whose leading photo counts as much as all others together; None if there is too little
    hair, or a shaved head. The other arguments are those of ``fit_hair``."""
    photos, grid = {photo.name: photo for photo in fitted.photos}, told.grid
    fitted = replace(fitted, photos=tuple(photos.pop(name) for name in told.look.photos))  # the leading one first
    views, style = _led(told.views), STYLES.get(told_style)
    surface = hair_surface(grid, views, told.votes)
    if told_style == BALDING:
        surface = ring_alone(surface)
    low = style is None and top_height(surface) < _CROPPED and not falls(surface)
    knot, hue, ring = None, np.inf, False
    if low:
        hue, lighter = beside_skin(fitted, faces)
        if is_skin(hue, lighter):
            ring = has_ring(surface, fitted, faces)
            if not ring:
                return None
            surface = ring_alone(surface)
    curl = style.curl if style else curl_of(told.kind, low and not ring)
    if curl.upright and falls(surface):
        curl = LONG_COILS
    if hue >= _STUBBLE_HUE and (style is None or style.tied):
        knot = find_knot(surface, (*views, *told.tight), told.hangs or style is not None)
        curl = curl if knot is None else CURLS[0]
    surface = replace(surface, height=np.maximum(surface.height - 0.5 * curl.radius, np.minimum(surface.height, 0.004)))
    guides = trace_guides(surface, direction_field(surface, views, style, knot, parting), views, curl=curl, knot=knot)
    if len(guides) < _LEAST_GUIDES:
        return None
    head = fitted.neutral[: template.head.vertex_stop].astype(np.float64)
    guides = off_body(curled(guides, curl), head, template)
    points, root_uv = attach(guides, template, fitted.neutral)
    root_colour, tip_colour = strand_colours(points, fitted, faces, tuple(photos.values()))
    return HairStrands(
        points=points,
        root_uv=root_uv,
        width=lock_widths(points, () if curl.upright else views, style),  # what stands hides no face
        root_colour=root_colour,
        tip_colour=tip_colour,
        hair_radius=HAIR_RADIUS,
        style=told_style,
        parameters=line_numbers(surface),
    )


def _led(views: Sequence[HairView]) -> tuple[HairView, ...]:
    """The views, the leading one, which is the first, trusted as much as all others together and itself."""
    others = sum(view.trust for view in views[1:])
    return (*(replace(view, trust=view.trust + others) for view in views[:1]), *views[1:])


def lab_beside_skin(face: PhotoFace) -> np.ndarray | None:
    """(H, W, 3) CIELAB of a face's pixels less the median of its skin; None without colour or skin."""
    skin = face.labels == FaceClass.SKIN
    if face.monochrome or not skin.any():
        return None
    lab = cv2.cvtColor(face.pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab - np.median(lab[skin], 0)


def is_skin(hue: np.ndarray | float, lighter: np.ndarray | float, most: float = _SKIN_LIKE) -> np.ndarray | bool:
    """Whether what is labelled as low hair is a shaved scalp, by how it differs from the face's skin in CIELAB."""
    return np.hypot(hue, np.where(lighter > 0, _SHINE, 1) * lighter) < most


def ring_alone(surface: HairSurface) -> HairSurface:
    """The hair without its top and without what grows over the forehead."""
    grid = surface.grid
    return replace(surface, roots=surface.roots * (grid.s > _RING) * grid.beside_face)


def has_ring(surface: HairSurface, fitted: FittedFace, faces: Sequence[PhotoFace]) -> bool:
    """Whether hair grows at the sides, below a top that looks like skin: it stands off, or its colour differs."""
    sides = surface.grid.s > _RING
    if surface.height[sides & (surface.grid.s < surface.grid.line[:, None])].mean() > _RING_STANDS:
        return True
    beside = _part_beside_skin(surface, sides, fitted, faces)
    return bool(np.isfinite(beside[0]) and not is_skin(*beside, _RING_LIKE))


def _part_beside_skin(
    surface: HairSurface, part: np.ndarray, fitted: FittedFace, faces: Sequence[PhotoFace]
) -> tuple[float, float]:
    """``beside_skin`` of the hair's outside in a part (C or 1, R) bool of the scalp."""
    grid = surface.grid
    part = part & (grid.s < grid.line[:, None])
    outside = (grid.points + grid.normal * surface.height[..., None])[part]
    return beside_skin(fitted, faces, (outside, grid.normal[part]))


def beside_skin(
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    part: tuple[np.ndarray, np.ndarray] | None = None,
    kind: FaceClass = FaceClass.HAIR,
) -> tuple[float, float]:
    """How far what is labelled as hair of a ``kind`` differs in hue from the skin, and how much lighter it is: CIELAB,
    the median over the photos; infinity and 0 where no photo in colour shows both. ``part`` : places and normals (N, 3)
    of the hair's outside that are compared; None: all that is labelled."""
    photos, apart = {photo.name: photo for photo in fitted.photos}, []
    for face in faces:
        lab, hair = lab_beside_skin(face) if face.name in photos else None, face.labels == kind
        if lab is None:
            continue
        there = lab[hair] if part is None else lab[_labelled(hair, photos[face.name].camera, *part)]
        if len(there) >= (1 if part is None else _LEAST_PLACES):
            apart.append(np.median(there, 0))
    lighter, *hue = np.median(apart, 0) if apart else (0.0, np.inf, 0.0)
    return float(np.hypot(*hue)), float(lighter)


def _labelled(
    hair: np.ndarray, camera: Camera, places: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a photo's ``hair`` (H, W) bool at those of the places (N, 3) that face the camera."""
    column, row = np.floor(camera.project(places)[:, :2]).astype(int).T
    inside = (column >= 0) & (column < hair.shape[1]) & (row >= 0) & (row < hair.shape[0])
    inside &= (unit_vectors(camera.centre() - places) * normals).sum(1) > _SQUARE
    row, column = row[inside], column[inside]
    return row[hair[row, column]], column[hair[row, column]]
