"""Glasses: two equal outlines bent around the face, with rims, a bridge, and temples to the ears.

Frames are grids of points in the head frame (metres), for a batch of N people at once.

Of photos: all their rims together determine one pair, by its label and by the frame's contrast with the skin.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from backend.geometry.template import Template, ear_vertices
from backend.geometry.vectors import disc, tube, unit
from backend.models.parsing.accessories import behind_frame
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.camera import Camera
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.rendering.interpolate import sample_image
from backend.rendering.spherical_harmonics import shade

Numbers = float | np.ndarray | Tensor
OUTLINE = 32


@dataclass(frozen=True)
class GlassesShape:
    """A pair of glasses; lengths in metres, single numbers or a batch (N,).

    Attributes
    ----------
    width, height : of a lens. power : 2 for an ellipse, more for a box. sweep : rise of the outer upper corner (cat's
        eye); narrow : how much narrower the lens is at the bottom; drop : outward sag (aviators). distance : from eye
        to lens. low : of the lens' centre below the eye's. wrap : bend around the face (1/m); tilt : radians. spread :
        of the lenses beyond the eyes.
    rim, rim_below : thickness of the frame above and below; depth : front to back. bridge : its height along the lens,
        -1 to 1, bridge_thickness. temple : height of the temples at the hinge, hinge : where they start, -1 to 1.
    """

    width: Numbers
    height: Numbers
    power: Numbers
    sweep: Numbers
    narrow: Numbers
    drop: Numbers
    distance: Numbers
    low: Numbers
    wrap: Numbers
    tilt: Numbers
    spread: Numbers
    rim: Numbers
    rim_below: Numbers
    depth: Numbers
    bridge: Numbers
    bridge_thickness: Numbers
    temple: Numbers
    hinge: Numbers


@dataclass(frozen=True)
class GlassesSeat:
    """Where glasses sit on the heads of a batch.

    ``eyes`` (N, 2, 3) centres of the lids' openings, the person's left first; ``bridge`` (N, 3) of the nose between
    them; ``ears`` (N, 2, 3) where the temples rest; ``scale`` (N,) size of the head.
    """

    eyes: Tensor
    bridge: Tensor
    ears: Tensor
    scale: Tensor

    def place(self, shape: GlassesShape, flat: Tensor, forward: Tensor, side: int) -> Tensor:
        """Points (N, ..., 2) of the lens' plane, x outwards, in 3D (N, ..., 3), ``forward`` metres in front of it."""
        sign = 1.0 if side == 0 else -1.0
        n = (len(self.eyes),) + (1,) * (flat.ndim - 2)
        middle = self.eyes.mean(1)
        centre_x = (self.eyes[:, 0, 0] - self.eyes[:, 1, 0]) / 2 + shape.spread * self.scale
        x = centre_x.view(n) + flat[..., 0] * self.scale.view(n)
        y = (flat[..., 1] - shape.low.view(n)) * self.scale.view(n)
        nose = (self.bridge[:, 2] - middle[:, 2] - 0.002).clamp(min=0)
        z = torch.maximum(shape.distance * self.scale, nose).view(n) + forward
        z = z - shape.wrap.view(n) * x**2 + shape.tilt.view(n) * y
        return middle.view(*n, 3) + torch.stack([sign * x, y, z], -1)


def outline(shape: GlassesShape, grow: Tensor) -> Tensor:
    """(N, OUTLINE + 1, 2) outline in the lens' plane, x outwards, enlarged by metres (N, OUTLINE + 1)."""
    angle = _angles(grow)
    c, s = angle.cos(), angle.sin()
    exponent = 2 / shape.power[:, None]
    x = c.sign() * c.abs().clamp(min=1e-4) ** exponent
    y = s.sign() * s.abs().clamp(min=1e-4) ** exponent
    half_w, half_h = shape.width[:, None] / 2, shape.height[:, None] / 2
    outer = x.clamp(min=0)
    px = x * half_w * (1 + shape.narrow[:, None] * (y - 1) * 0.5)
    py = y * half_h + shape.sweep[:, None] * outer * (y + 0.5) - shape.drop[:, None] * outer * (1 - y) * 0.5
    flat = torch.stack([px, py], -1)
    return flat + unit(flat) * grow[..., None]


def _angles(like: Tensor) -> Tensor:
    return torch.linspace(0, 2 * torch.pi, OUTLINE + 1, device=like.device)


def rim_thickness(shape: GlassesShape) -> Tensor:
    """(N, OUTLINE + 1) thickness of the rim along the outline, metres."""
    above = 0.5 + 0.5 * _angles(shape.rim).sin()
    return shape.rim_below[:, None] + (shape.rim - shape.rim_below)[:, None] * (above * 1.6 - 0.3).clamp(0, 1)


Mesh = tuple[np.ndarray, np.ndarray]
Grid = tuple[Tensor, Tensor]
"""Vertices and normals (N, rows, sides, 3) of a tube."""


def frame_grids(
    shape: GlassesShape, seat: GlassesSeat, clear: Callable[[Tensor], Tensor] = lambda path: path
) -> tuple[list[Tensor], list[Grid], Grid]:
    """Both rims (N, 5, OUTLINE + 1, 3), whose last row and column repeat the first, both temples, and the bridge.

    ``clear`` moves the temples' paths (N, 5, 3) out of the head.
    """
    rim = rim_thickness(shape)
    zero = torch.zeros_like(rim)
    inner, outer = outline(shape, zero), outline(shape, rim)
    front = (0.5 * shape.depth)[:, None].expand_as(rim)
    rims, temples = [], []
    for side in (0, 1):
        ring = [(inner, front), (outer, front), (outer, -front), (inner, -front), (inner, front)]
        rims.append(torch.stack([seat.place(shape, flat, forward, side) for flat, forward in ring], 1))
        hinge = torch.stack([shape.width / 2 + 0.7 * shape.rim, shape.hinge * shape.height / 2], -1)
        start = seat.place(shape, hinge[:, None], zero[:, :1], side)[:, 0]
        ear = seat.ears[:, side]
        beyond = ear + (ear - start) * 0.28 - ear.new_tensor([0.0, 0.012, 0.0])
        bow = start + (ear - start) * 0.12 + ear.new_tensor([0.004 if side == 0 else -0.004, 0.0, 0.0])
        path = torch.stack([start, bow, start + (ear - start) * 0.5, ear, beyond], 1)
        thickness = torch.linspace(1, 0.6, 5, device=ear.device) * (shape.temple * seat.scale)[:, None]
        temples.append(tube(clear(path), thickness / 2, 5, flatten=0.4))
    t = torch.linspace(-1, 1, 7, device=rim.device)
    inside = torch.stack([-shape.width / 2 * (1 - 0.12), shape.bridge * shape.height / 2], -1)
    ends = [seat.place(shape, inside[:, None], zero[:, :1], side)[:, 0] for side in (0, 1)]
    path = ends[1][:, None] + (ends[0] - ends[1])[:, None] * (0.5 + 0.5 * t)[:, None]
    path = path + path.new_tensor([0.0, 0.0025, 0.003]) * (1 - t**2)[:, None]
    return rims, temples, tube(path, (0.5 * shape.bridge_thickness * seat.scale)[:, None].expand(-1, 7), 5)


_USUAL = GlassesShape(
    0.05, 0.036, 2.8, 0.001, 0.1, 0.0, 0.014, 0.003, 1.7, 0.11, 0.001, 0.0, 0.0, 0.0025, 0.35, 0.0025, 0.003, 0.5
)
_DEVIATION = GlassesShape(
    0.005, 0.007, 0.8, 0.0015, 0.08, 0.0, 0.004, 0.004, 0.6, 0.05, 0.002, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
)
"""Spectacles as opticians sell them, and their standard deviations; those without are measured or as usual."""
_POPULATION, _ELITE, _GENERATIONS = 256, 32, 16
_BLURS = (0.004, 0.0)  # metres: first where rims are about, then where exactly
_PRIOR = 0.005
"""Of the contrast in [0, 1], per squared standard deviation."""
_FARTHEST = 3.0  # standard deviations
_MISFIT = 0.0015  # metres of a fitted rim beside its place in one photo
_OTHER_PAIR = 0.004  # metres apart from which rims are those of another pair
_BESIDE = 0.0035  # metres from a rim to the skin that it is compared with
_STEP = 0.0006  # metres: pixels of the evidence; rims are 1 to 5 mm thick
_LABEL = 0.2  # share of the evidence that is the label alone, which is thicker than rims; the rest is darkness
_PROFILE = 0.00025 * np.arange(-24, 25)  # metres across a rim
_THINNEST, _THICKEST = 0.0008, 0.007  # metres of a rim
_HIDDEN = 0.05  # labelled eyes per labelled glasses below which lenses hide them: dark 0.00 to 0.02, clear 0.07 to 0.4
_BLUR = 1.0  # pixels: width of a camera's blur
_CLEARANCE = 0.001  # metres between frame and skin
_TINT = 0.05  # opacity of clear lenses
_WORN = 0.5  # probability from which glasses are drawn
_SOCKET, _SPREAD = -0.25, 0.2
"""Log units: skin through clear lenses over skin below them, and the standard deviation of its brightness, twice that
of its hue, as measured in 16 photos of five people."""

_EYES_HIDDEN = "Dark lenses hide the eyes, which are a guess; add a photo without them."


@dataclass(frozen=True)
class GlassesView:
    """One photo's evidence: ``rims`` (H, W) float32 in [0, 1], whether lenses ``hide`` the eyes, dark ones or mirrors,
    and the photo's linear light and light; ``pixel`` metres."""

    camera: Camera
    pixel: float
    rims: np.ndarray
    linear: np.ndarray
    hide: bool
    light: np.ndarray


@dataclass(frozen=True)
class Glasses:
    """A person's glasses.

    Attributes
    ----------
    shape : single numbers. seat : of one head. frame_colour, lens_colour : (3,) linear. lens_opacity : 0 to 1.
    eyes_seen : not behind dark lenses or mirrors in half of the photos.
    apart : (P,) metres, mean distance in each photo of its own rims from those of all, empty with one photo.
    photos : names of those that show this pair. moved : metres by which the face has pushed it forwards.
    """

    shape: GlassesShape
    seat: GlassesSeat
    frame_colour: np.ndarray
    lens_colour: np.ndarray
    lens_opacity: float
    apart: np.ndarray
    eyes_seen: bool = True
    photos: tuple[str, ...] = ()
    moved: float = 0.0


def seat_of(template: Template, neutral: np.ndarray) -> GlassesSeat:
    """Where glasses sit on neutral vertices (V, 3)."""
    marks = template.landmarks68.positions(neutral)
    eyes = np.stack([marks[42:48].mean(0), marks[36:42].mean(0)])
    ears = neutral[ear_vertices()[[0, 3]]] - [0.0, _BESIDE, _BESIDE]
    return GlassesSeat(*(torch.from_numpy(np.float32(one))[None] for one in (eyes, marks[27], ears)), torch.ones(1))


def glasses_view(pixels: np.ndarray, labels: np.ndarray, camera: Camera, light: np.ndarray) -> GlassesView:
    """The evidence of a photo (H, W, 3) uint8 sRGB of someone with glasses. labels : (H, W). light : (9, 3)."""
    density = _density(camera)
    camera = camera.scaled(min(1.0, 1.0 / (_STEP * density)))
    pixel = max(1.0 / density, _STEP)
    linear = linear_from_srgb(cv2.resize(pixels, camera.size, interpolation=cv2.INTER_AREA))
    labels = cv2.resize(labels, camera.size, interpolation=cv2.INTER_NEAREST)
    log = np.log(np.maximum(linear @ np.array(LUMINANCE, np.float32), 1e-2))
    worn = (labels == FaceClass.GLASSES).astype(np.float32)
    around, beside = (disc(max(round(one / pixel), 1)) for one in (_THICKEST, _BESIDE))
    dark = cv2.morphologyEx(cv2.GaussianBlur(log, (0, 0), _STEP / pixel), cv2.MORPH_BLACKHAT, around)
    usual = float(np.quantile(dark[worn > 0], 0.9)) if worn.any() else 1.0
    clear = np.minimum(dark / max(usual, 1e-3), 1.0)
    hide = bool((labels == FaceClass.EYES).sum() < _HIDDEN * worn.sum())
    if hide:  # the border of such lenses is the rim
        solid = cv2.morphologyEx(cv2.morphologyEx(worn, cv2.MORPH_CLOSE, beside), cv2.MORPH_OPEN, around)
        clear, worn = np.maximum(clear, solid), worn * (1.0 - cv2.erode(solid, beside))
    worn = cv2.GaussianBlur(worn, (0, 0), 2 * _STEP / pixel)
    return GlassesView(camera, pixel, worn * (_LABEL + (1 - _LABEL) * clear), linear, hide, light)


@dataclass(frozen=True)
class FoundGlasses:
    """``glasses`` : None where ``probability``, the photos' mean, is below a half."""

    glasses: Glasses | None
    probability: float

    def beside(self, face: PhotoFace, camera: Camera) -> PhotoFace:
        """The photo with the labels of ``behind_frame``, nothing seen through tints; as it is without these glasses."""
        if self.glasses is None or face.name not in self.glasses.photos:
            return face
        frame = frame_mask(self.glasses, camera)
        labels = behind_frame(face.labels, face.pixels, face.landmarks, frame).copy()
        if self.glasses.lens_opacity > _TINT:
            labels[(frame == 2) & np.isin(labels, (FaceClass.SKIN, FaceClass.BROWS))] = FaceClass.GLASSES
        return replace(face, labels=labels)

    def noted(self, photos: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The report's entries of photos, with a sentence in those whose lenses hide the eyes."""
        dark = () if self.glasses is None or self.glasses.eyes_seen else self.glasses.photos
        notes = (f" {_EYES_HIDDEN}" if one["name"] in dark else "" for one in photos)
        return [{**one, "reason": (one["reason"] + note).strip()} for one, note in zip(photos, notes, strict=True)]

    def to_report(self) -> dict[str, object]:
        """Entry for the report."""
        entry: dict[str, object] = {"worn": self.glasses is not None, "probability": round(self.probability, 3)}
        if self.glasses is not None:
            entry["eyes_seen"] = self.glasses.eyes_seen
            entry["rims_apart_mm"] = (1000 * self.glasses.apart).round(2).tolist()
        return entry


def find_glasses(
    worn: Sequence[float], shown: Mapping[str, GlassesView], seat: GlassesSeat, head: np.ndarray
) -> FoundGlasses:
    """The glasses of all views, on a head's neutral vertices (V, 3). worn : each photo's probability."""
    probability, names, views = float(np.mean(worn)), tuple(shown), tuple(shown.values())
    if not views or probability < _WORN:
        return FoundGlasses(None, probability)
    middle, apart = _fit_all(views, seat)
    alike = apart <= max(_OTHER_PAIR, float(np.median(apart))) if len(views) > 1 else np.ones(1, bool)
    if not alike.all():  # people own several pairs
        names, views = (tuple(np.array(one, object)[alike]) for one in (names, views))
        middle = _fit_all(views, seat)[0]
    shape, blurred = _with_rims(middle, seat, views)
    near, beside = _PROFILE[np.abs(_PROFILE) < 0.5 * _BESIDE], np.array([-2.0, 2.0]) * _BESIDE
    rims = [_across(middle, seat, view, view.linear, near) for view in views]
    darkest = [np.take_along_axis(one, one.sum(-1).argmin(0)[None, ..., None], 0) for one in rims]
    frame = _albedo(darkest, views)
    skin = _albedo([_across(middle, seat, view, view.linear, beside) for view in views], views)
    frame = skin * (frame / skin) ** blurred  # as dark as rims that a camera has blurred must be
    through = _through_lens(shape, seat, views)
    opacity = max(1.0 - float(through.min()), _TINT)
    lens = skin * (through - through.min()) / opacity  # what is over skin is then as dark as through the lens
    clear = _clear_of_face(shape, seat, head)
    moved, seen = clear.distance - shape.distance, 2 * sum(view.hide for view in views) < len(views)
    return FoundGlasses(Glasses(clear, seat, frame, lens, opacity, apart, seen, names, moved), probability)


def frame_mask(glasses: Glasses, camera: Camera) -> np.ndarray:
    """(H, W) uint8, 1 where a photo of ``glasses.photos`` shows the frame, ``_MISFIT`` wider than it is; 2 within."""
    shape, seat = replace(glasses.shape, distance=glasses.shape.distance - glasses.moved), glasses.seat
    outer, inner = camera.project(_rims(_batch(shape, seat), seat, (shape.rim + _MISFIT, -_MISFIT))[0])[..., :2]
    ears = camera.project(seat.ears[0].numpy().astype(np.float64))[:, :2]
    mask, density = np.zeros(camera.size[::-1], np.uint8), _density(camera)
    cv2.fillPoly(mask, list(np.round(outer).astype(np.int32)), 1)
    cv2.fillPoly(mask, list(np.round(inner).astype(np.int32)), 2)
    middle = OUTLINE // 2  # the innermost point; the first is the outermost
    lines = [
        (*outer[:, middle], shape.bridge_thickness),
        *((*ends, shape.temple) for ends in zip(outer[:, 0], ears, strict=True)),
    ]
    for start, end, wide in lines:
        points = (tuple(np.round(point).astype(int).tolist()) for point in (start, end))
        cv2.line(mask, *points, 1, max(1, round((wide + 2 * _MISFIT) * density)))
    return mask


def _density(camera: Camera) -> float:
    """Pixels per metre at the head."""
    return float(camera.intrinsics[0, 0] / np.linalg.norm(camera.centre()))


def _fit_all(views: Sequence[GlassesView], seat: GlassesSeat) -> tuple[GlassesShape, np.ndarray]:
    """The shape of all views, and (P,) metres of ``Glasses.apart``."""
    middle = _fit(views, seat, _USUAL, _DEVIATION)
    still = replace(_DEVIATION, distance=0.0, tilt=0.0, wrap=0.0)  # one photo does not show depth
    own = [_fit([view], seat, middle, still) for view in views] if len(views) > 1 else []
    return middle, np.array([_apart(view, seat, middle, one) for view, one in zip(views, own, strict=False)])


def _apart(view: GlassesView, seat: GlassesSeat, *shapes: GlassesShape) -> float:
    """Mean distance in metres of two shapes' rims in a view."""
    one, other = (view.camera.project(_rims(_batch(shape, seat), seat, (0.0,)))[..., :2] for shape in shapes)
    return float(np.linalg.norm(one - other, axis=-1).mean() * view.pixel)


def _batch(shape: GlassesShape, seat: GlassesSeat) -> GlassesShape:
    """Single numbers as a batch of one."""
    return GlassesShape(*(torch.full_like(seat.scale, getattr(shape, one.name)) for one in fields(shape)))


def _rims(shape: GlassesShape, seat: GlassesSeat, grow: Sequence[float]) -> np.ndarray:
    """(N, G, 2, OUTLINE, 3) points of both outlines, grown by metres (G,)."""
    lines = [outline(shape, torch.full((len(shape.width), OUTLINE + 1), float(one)))[:, :-1] for one in grow]
    placed = [[seat.place(shape, flat, torch.zeros(1), side) for side in (0, 1)] for flat in lines]
    return torch.stack([torch.stack(sides, 1) for sides in placed], 1).numpy().astype(np.float64)


def _fit(views: Sequence[GlassesView], seat: GlassesSeat, usual: GlassesShape, deviation: GlassesShape) -> GlassesShape:
    """The shape whose rims stand out most in the views, by the cross-entropy method (Rubinstein 1999)."""
    names = [one.name for one in fields(usual)]
    centre, spread = (np.array([getattr(one, name) for name in names]) for one in (usual, deviation))
    free = spread > 0
    many = GlassesSeat(
        *(getattr(seat, one.name).expand(_POPULATION, *getattr(seat, one.name).shape[1:]) for one in fields(seat))
    )
    random, mean = np.random.default_rng(0), centre
    for blur in _BLURS:
        beside = _BESIDE + blur
        maps = [cv2.GaussianBlur(view.rims, (0, 0), blur / view.pixel) if blur else view.rims for view in views]
        width = spread if blur else 0.5 * spread
        for _ in range(_GENERATIONS):
            drawn = mean + width * random.standard_normal((_POPULATION, len(names)))
            drawn = np.clip(drawn, centre - _FARTHEST * spread, centre + _FARTHEST * spread)
            points = _rims(
                GlassesShape(*torch.from_numpy(drawn.astype(np.float32)).unbind(1)), many, (0.0, -beside, beside)
            )
            score = -_PRIOR * (((drawn - centre)[:, free] / spread[free]) ** 2).sum(1)
            for view, rims in zip(views, maps, strict=True):
                pixels = view.camera.project(points)[..., :2]
                there = sample_image(rims, pixels.reshape(-1, 2)).reshape(pixels.shape[:-1]).mean((2, 3))
                score += (there[:, 0] - there[:, 1:].mean(1)) / len(views)
            best = drawn[np.argsort(-score)[:_ELITE]]
            mean, width = best.mean(0), best.std(0)
    return GlassesShape(*mean.tolist())


def _across(
    shape: GlassesShape, seat: GlassesSeat, view: GlassesView, image: np.ndarray, grow: np.ndarray
) -> np.ndarray:
    """(G, 2, OUTLINE, ...) samples of an image beside both outlines."""
    pixels = view.camera.project(_rims(_batch(shape, seat), seat, grow)[0])[..., :2]
    return sample_image(image, pixels.reshape(-1, 2)).reshape(*pixels.shape[:-1], *image.shape[2:])


def _with_rims(shape: GlassesShape, seat: GlassesSeat, views: Sequence[GlassesView]) -> tuple[GlassesShape, float]:
    """The shape with rims as thick as above and below, its outline inside of them; and how many times as thick
    they look."""
    widths, seen = [], []
    for view in views:
        log = np.log(np.maximum(view.linear @ np.array(LUMINANCE, np.float32), 1e-2))
        across = _across(shape, seat, view, log, _PROFILE).reshape(len(_PROFILE), 2, OUTLINE)
        skin = np.median(across[np.abs(_PROFILE) > _BESIDE], 0)
        depth = np.clip(skin - across, 0.0, None)
        step, near = _PROFILE[1] - _PROFILE[0], np.abs(_PROFILE) < _BESIDE
        wide = depth[near].sum(0) * step / np.maximum(depth[near].max(0), 1e-3)
        sharp = np.sqrt(np.maximum(wide**2 - (_BLUR * view.pixel) ** 2, 0.0))
        seen.append(float(np.median(wide)))
        widths.append([np.median(sharp[:, 1 : OUTLINE // 2]), np.median(sharp[:, OUTLINE // 2 + 1 :])])
    rim, below = np.clip(np.median(widths, 0), _THINNEST, _THICKEST).tolist()
    thick = 0.5 * (rim + below)
    rims = {"rim": rim, "rim_below": below, "bridge_thickness": thick, "depth": max(thick, 2 * _THINNEST)}
    inner = {"width": shape.width - thick, "height": shape.height - thick, "temple": 2 * thick}
    return replace(shape, **rims, **inner), float(np.clip(np.median(seen) / thick, 1.0, 2.0))


def _albedo(samples: Sequence[np.ndarray], views: Sequence[GlassesView]) -> np.ndarray:
    """(3,) median of linear samples (..., 3) of each view under its light, as of a surface that faces forwards."""
    lit = (np.maximum(shade(np.array([0.0, 0.0, 1.0]), view.light), 1e-2) for view in views)
    each = [np.median(one.reshape(-1, 3), 0) / light for one, light in zip(samples, lit, strict=True)]
    return np.clip(np.median(each, 0), 1e-3, 1.0)


def _through_lens(shape: GlassesShape, seat: GlassesSeat, views: Sequence[GlassesView]) -> np.ndarray:
    """The share (3,) of the light that lenses let through, 1 where what is behind them is as usual."""
    inside, below = np.array([-0.25 * shape.height]), shape.rim_below + np.array([2.0, 3.0]) * _BESIDE
    changes = []
    for view in views:
        log = np.log(np.maximum(view.linear, 1e-3))
        low = [_across(shape, seat, view, log, grow)[:, :, OUTLINE // 2 + 1 :] for grow in (inside, below)]
        changes.append(np.subtract(*(np.median(one.reshape(-1, 3), 0) for one in low)) - _SOCKET)
    change = np.median(changes, 0)
    level = change.mean()
    unusual = np.hypot(level, 2.0 * np.linalg.norm(change - level)) / _SPREAD
    sure = max(1.0 - (_FARTHEST / max(unusual, 1e-6)) ** 2, 0.0)
    return np.exp(np.minimum(sure * change, 0.0))


def _clear_of_face(shape: GlassesShape, seat: GlassesSeat, head: np.ndarray) -> GlassesShape:
    """The shape moved forwards until nine tenths of its rims are before the skin."""
    points = _rims(_batch(shape, seat), seat, (0.5 * shape.rim,))[0].reshape(-1, 3)
    front = head[head[:, 2] > seat.eyes[..., 2].min().item() - 0.03]
    near = cKDTree(front[:, :2]).query(points[:, :2], k=3)[1]
    into = front[near, 2].max(1) - points[:, 2] + 0.5 * shape.depth + _CLEARANCE
    return replace(shape, distance=shape.distance + max(float(np.quantile(into, 0.9)), 0.0))


def glasses_mesh(glasses: Glasses, head: np.ndarray) -> tuple[Mesh, Mesh]:
    """Vertices (V, 3) float32, metres, and quads (F, 4) int32 of the frame and of the lenses.

    head : (V, 3) vertices of the head without ears, which the temples pass.
    """
    seat, shape = glasses.seat, _batch(glasses.shape, glasses.seat)
    tree = cKDTree(head[:, 1:])

    def clear(path: Tensor) -> Tensor:
        path = path.clone()
        for point in path[0]:
            beside = head[tree.query_ball_point(point[1:], 2 * _BESIDE), 0] * float(point[0].sign())
            wide = max(float(beside.max(initial=0.0)) + _CLEARANCE, float(point[0].abs()))
            point[0] = point[0].sign() * wide
        return path

    rims, temples, bridge = frame_grids(shape, seat, clear)
    pieces = [_closed(rim[0, :-1, :-1].numpy(), True) for rim in rims]
    pieces += [_closed(one[0][0, :, :-1].numpy(), False) for one in (*temples, bridge)]
    flat = outline(shape, torch.zeros(1, OUTLINE + 1))[0, :-1]
    half = OUTLINE // 2
    share = torch.linspace(0, 1, 9)[:, None, None]
    sheet = flat[:half] + share * (flat.flip(0)[:half] - flat[:half])  # (9, half, 2) quads between two halves
    lenses = []
    for side in (0, 1):
        points = seat.place(shape, sheet[None], torch.zeros(1), side)[0].numpy()
        quads = _grid_quads(np.arange(points[..., 0].size).reshape(points.shape[:2]))
        lenses.append((points.reshape(-1, 3), quads if side else quads[:, ::-1]))
    return _joined(pieces), _joined(lenses)


def _grid_quads(index: np.ndarray) -> np.ndarray:
    """(F, 4) quads of a grid of indices."""
    return np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1).reshape(-1, 4)


def _closed(grid: np.ndarray, ring: bool) -> Mesh:
    """A closed surface of a grid (R, C, 3) whose columns go round, and its rows too (``ring``), else with caps."""
    index = np.arange(grid[..., 0].size).reshape(grid.shape[:2])
    around = np.concatenate([index, index[:, :1]], 1)
    around = np.concatenate([around, around[:1]]) if ring else around
    quads = _grid_quads(around)
    points = grid.reshape(-1, 3)
    if not ring:
        quads = np.concatenate([quads, index[:1], index[-1:, ::-1]])
    a, b, c, d = (points[quads[:, k]] - points.mean(0) for k in range(4))
    outwards = (np.cross(c - a, d - b) * (a + b + c + d)).sum()
    return points, quads if outwards > 0 else quads[:, ::-1]


def _joined(pieces: Sequence[Mesh]) -> Mesh:
    starts = np.cumsum([0, *(len(points) for points, _ in pieces)])
    quads = [own + start for (_, own), start in zip(pieces, starts, strict=False)]
    return np.concatenate([points for points, _ in pieces]).astype(np.float32), np.concatenate(quads).astype(np.int32)
