"""Evidence of each photograph about the hair: its mask, its occluders, and the depth of head and chest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.subdivision import catmull_clark
from backend.geometry.template import Template, triangles_from_quads
from backend.geometry.vectors import disc, unit_vectors
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.camera import Camera
from backend.rendering.rasterize import depth_map
from backend.rig.bust import load_bust

VIEW_SIDE = 384
"""Longest side of a view in pixels: a pixel is about 1 mm on a short-haired head."""
_MARGIN = 0.10
"""Metres round the head that a view shows at least; it always shows all of the photo's hair."""
BARE_FACE = 1.0
"""Extra cost of hair in front of the bare face, on top of the cost of hair anywhere that the photo shows none."""
_RIM = 0.015
"""Metres. Where most of the hair on top of a head is thinner than this, its thin parts are not hair: parsing nets label
the edges of bald heads as hair, while a full head's hair is at least 20 mm thick. Beside the head thin lines stay,
because hair may be seen at a grazing angle there."""
_MIXED, _HUE = (0.35, 0.8), 5.0
"""Share of the way from the skin's hue to that of the hair beside it at which thin hair on top hides none of the scalp,
and all of it; and CIELAB units by which the two must differ for this to tell. On top of full heads labels are at
0.8 to 1.5 of the way, on bald and balding ones at 0.2 to 0.8 (27 people, by person)."""
_MUCH = (0.5, 0.65)
"""Share of the hair on top that is thin, the median over the photos, at which it is believed to be, not and quite:
hairlines have the hue of the skin beside them by the photo's blur (full heads 0 to 0.2, two balding ones 0.7)."""
BEHIND = 0.006
"""Metres behind the head's surface within which hair is seen: the skull under hair is fitted no more accurately."""
_SIDE, _TOP = 0.5, 0.8
"""Cosine to straight up from the head's middle below which hair is beside the head, and from which it is on top."""
_BORDER = 0.004
"""Metres along the file's border where labels show hair, but not its end: there the nets round the hair off, by up to
three pixels of a head as large as theirs."""
_SLICES, _THICK, _NECK = 12, 0.012, 0.594
"""Slices of the bust across which hair gives way, metres above and below each, and the height of the first: lower
than any hairline."""
_ON_BODY, _SHOULDER = 0.006, 0.02
"""Metres: hair lies so far off the body, and falls in front of the shoulder if it meets it at most so far behind its
middle."""
_BENDS = 0.8
"""Greatest slope by which hair gives way to the body: it leaves its fall above the shoulder and has no kink there."""
_FACE = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.EYES, FaceClass.GLASSES, FaceClass.LIPS)
_TOGETHER = 2.5
"""Pixels: standard deviation of the surroundings that share a direction or hue."""


@dataclass(frozen=True)
class HairView:
    """One photo's hair, H x W pixels.

    Attributes
    ----------
    name : of the photo.
    camera : for these pixels.
    hair : (H, W) float32, share of hair in each pixel. visible : (H, W) float32, 0 where occluded or outside the photo.
    face : (H, W) float32, share of the face: skin, brows, eyes, glasses, lips.
    direction : (H, W, 2) float32, cosine and sine of twice the angle of the strands with the rows, times the structure
        tensor's coherence, 0 to 1.
    depth : (H, W) float32 metres to head and chest, inf beside them.
    trust : weight of this photo, above 0.
    """

    name: str
    camera: Camera
    hair: np.ndarray
    visible: np.ndarray
    face: np.ndarray
    direction: np.ndarray
    depth: np.ndarray
    trust: float

    @property
    def pixels_per_metre(self) -> float:
        """Scale at the median depth of head and chest."""
        distance = float(np.median(self.depth[np.isfinite(self.depth)])) if np.isfinite(self.depth).any() else 1.0
        return float(self.camera.intrinsics[0, 0] / distance)


def hair_views(template: Template, fitted: FittedFace, faces: Sequence[PhotoFace]) -> tuple[HairView, ...]:
    """Make one view per fitted photo, in the fit's order; ``faces`` are matched by name."""
    by_name = {face.name: face for face in faces}
    seen = [_view(template, photo, by_name[photo.name]) for photo in fitted.photos]
    much = float(np.median([share for _, _, share in seen])) if seen else 0.0
    sure = np.clip((much - _MUCH[0]) / (_MUCH[1] - _MUCH[0]), 0, 1)
    return tuple(_thinned(view, dense, sure) for view, dense, _ in seen)


def _thinned(view: HairView, dense: np.ndarray, sure: float) -> HairView:
    """The view with ``hair_density``'s (H, W) believed as far as ``sure``, 0 to 1: what hides less than half of the
    scalp is less of hair."""
    hair = view.hair * np.minimum(2 * (1 - sure * (1 - dense)), 1)
    return replace(view, hair=hair, face=np.maximum(view.face, view.hair - hair))


def _view(template: Template, photo: FittedPhoto, face: PhotoFace) -> tuple[HairView, np.ndarray, float]:
    """One photo's view, and its ``hair_density``."""
    left, upper, right, lower = _box(template, photo, face.labels == FaceClass.HAIR)
    scale = min(1.0, VIEW_SIDE / max(right - left, lower - upper))
    there = (slice(upper, lower), slice(left, right))
    size = (round((right - left) * scale), round((lower - upper) * scale))
    part = size[0] / (right - left), size[1] / (lower - upper), 1.0
    cut = np.diag(part) @ [[1, 0, -left], [0, 1, -upper], [0, 0, 1]]
    camera = Camera(cut @ photo.camera.intrinsics, photo.camera.camera_from_head, size)

    def share(mask: np.ndarray) -> np.ndarray:
        return cv2.resize(mask[there].astype(np.float32), size, interpolation=cv2.INTER_AREA)

    pixels = cv2.resize(face.pixels[there], size, interpolation=cv2.INTER_AREA)
    hidden = share(face.labels == FaceClass.OCCLUDER)
    inside = share(_inside_file(face))
    hair, skin = (share(face.labels == kind) for kind in (FaceClass.HAIR, FaceClass.SKIN))
    scale, upward = _upward(template, photo, camera, hair.shape)
    rim = _bald_rim(scale, upward, hair > 0.5, hidden > 0.5)
    bare = np.maximum(share(np.isin(face.labels, _FACE)), rim)
    hair = hair * ~rim
    dense, much = (np.ones_like(hair), 0.0) if face.monochrome else hair_density(pixels, hair, skin, upward)
    body, rings = body_mesh(photo.vertices[: template.head.vertex_stop], template)
    vertices, triangles = closed_head(photo.vertices, template)
    depth = depth_map(np.concatenate([vertices, body]), np.concatenate([triangles, rings + len(vertices)]), camera)
    trust = (0.2 + 0.8 * face.quality.score) / (1 + photo.landmark_error_percent / 4)
    known = np.clip(inside - hidden, 0, 1)
    direction = strand_direction(pixels, hair)
    view = HairView(photo.name, camera, hair, known, bare, direction, depth, float(trust))
    within = cv2.erode(inside, disc(max(1, round(_BORDER * view.pixels_per_metre)))) > 0.5
    known = np.where(within, known, np.minimum(known, hair))
    return replace(view, visible=known), dense, much


def _box(template: Template, photo: FittedPhoto, hair: np.ndarray) -> tuple[int, int, int, int]:
    """Left, upper, right and lower end in crop pixels of the part around the head."""
    pixel = photo.camera.project(photo.vertices[: template.head.vertex_stop].astype(np.float64))
    margin = _MARGIN * float(photo.camera.intrinsics[0, 0] / np.median(pixel[:, 2]))
    low, high = pixel[:, :2].min(0) - margin, pixel[:, :2].max(0) + margin
    row, column = np.nonzero(hair)
    if len(row):
        low, high = np.minimum(low, [column.min(), row.min()]), np.maximum(high, [column.max() + 1, row.max() + 1])
    low, high = np.maximum(low, 0).astype(int), np.minimum(np.ceil(high), hair.shape[::-1]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _upward(template: Template, photo: FittedPhoto, camera: Camera, shape: tuple[int, int]) -> tuple[float, np.ndarray]:
    """Pixels per metre at the middle of the skull, and (H, W) cosine of each pixel's direction from there to straight
    up."""
    scalp = template.regions["scalp"][: template.head.vertex_stop] > 0.5
    middle = photo.vertices[: template.head.vertex_stop][scalp].mean(0)
    column, row, distance = camera.project(middle[None])[0]
    up = unit_vectors(camera.project((middle + np.array([0.0, 0.05, 0.0]))[None])[0, :2] - [column, row])
    rows, columns = np.indices(shape)
    away = unit_vectors(np.stack([columns - column, rows - row], -1))
    return float(camera.intrinsics[0, 0]) / distance, away @ up


def hair_density(
    pixels: np.ndarray, hair: np.ndarray, skin: np.ndarray, upward: np.ndarray
) -> tuple[np.ndarray, float]:
    """(H, W) share of the scalp that hair hides on top of the head, 1 elsewhere, and how much of the hair on top is
    thin: its hue is between that of the skin and that of the hair beside the head. Scalps and hair shine, which hues
    (CIELAB a, b) do not tell; those of hair in more light, up to the skin's lightness, grow with ``L + 16``. Either
    tells.

    pixels : (H, W, 3) uint8. hair, skin : (H, W) in [0, 1]. upward : (H, W) cosine to straight up.
    """
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    beside, bare = (hair > 0.9) & (upward < _SIDE), skin > 0.9
    if not beside.any() or not bare.any():
        return np.ones_like(hair), 0.0
    weight = cv2.GaussianBlur(hair, (0, 0), _TOGETHER)
    light, share = (lab[..., :1] + 16) / (np.median(lab[bare, 0]) + 16), np.full_like(hair, -np.inf)
    for hue, full in ((lab[..., 1:], _HUE**2), (lab[..., 1:] / np.minimum(light, 1), 0.0)):  # unsure: as full, thin
        start = np.median(hue[bare], 0)
        apart = np.median(hue[beside], 0) - start
        hue = cv2.GaussianBlur(hue * hair[..., None], (0, 0), _TOGETHER) / np.maximum(weight, 1e-3)[..., None]
        share = np.maximum(share, ((hue - start) @ apart + full) / (float(apart @ apart) + _HUE**2))
    top = np.clip((upward - _SIDE) / (_TOP - _SIDE), 0, 1)
    thin = top * np.clip((_MIXED[1] - share) / (_MIXED[1] - _MIXED[0]), 0, 1)
    return 1 - thin, float((hair * thin).sum() / max((top * hair).sum(), 1.0))


def _bald_rim(scale: float, upward: np.ndarray, hair: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(H, W) bool mask of the edge of a bald head that is labelled as ``hair`` (H, W) bool: see ``_RIM``. ``hidden`` :
    (H, W) bool occluders; scale, upward : of ``_upward``."""
    on_top, width = upward > np.sqrt(0.5), _RIM * scale  # pixels
    thin = hair & (cv2.morphologyEx(hair.astype(np.uint8), cv2.MORPH_OPEN, disc(max(1, round(0.5 * width)))) == 0)
    if 2 * (thin & on_top).sum() <= (hair & on_top).sum():  # thinned by its own edges alone
        return np.zeros_like(on_top)
    beside_hat = cv2.dilate(hidden.astype(np.uint8), disc(max(1, round(width)))) > 0
    return thin & on_top & ~beside_hat  # below a hat a strip of hair is hair


def closed_head(vertices: np.ndarray, template: Template) -> tuple[np.ndarray, np.ndarray]:
    """Head and eyeballs of a face (V, 3), so that the eye sockets are closed: vertices (N, 3), triangles (T, 3)."""
    parts = [template.parts[name] for name in ("head", "eye_left", "eye_right")]
    faces = [triangles_from_quads(template.quads[part.face_start : part.face_stop]) for part in parts]
    return vertices[: max(part.vertex_stop for part in parts)], np.concatenate(faces)


def strand_direction(pixels: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """(H, W, 2) ``HairView.direction`` of a picture (H, W, 3) uint8 with hair (H, W) in [0, 1], off its border, which
    is no strand: blur of skin and background, and shade, reach so far."""
    light = np.log(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) + 8.0)
    dx, dy = (cv2.Sobel(cv2.GaussianBlur(light, (0, 0), 1.0), cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    inner = cv2.erode((hair > 0.5).astype(np.float32), disc(round(3 * _TOGETHER)))
    tensor = np.stack([dy * dy - dx * dx, -2 * dx * dy, dx * dx + dy * dy], -1) * inner[..., None]
    tensor = cv2.GaussianBlur(tensor, (0, 0), _TOGETHER)  # strands run across the gradient
    return inner[..., None] * tensor[..., :2] / np.maximum(tensor[..., 2:], 1e-6)


def _inside_file(face: PhotoFace) -> np.ndarray:
    """(H, W) 1 where the crop lies inside the photo, 0 in its padding."""
    height, width = face.labels.shape
    x = (np.arange(width) + 0.5) / face.crop_scale + face.crop_offset[0]
    y = (np.arange(height) + 0.5) / face.crop_scale + face.crop_offset[1]
    across, down = (x > 0) & (x < face.source_size[0]), (y > 0) & (y < face.source_size[1])
    return (down[:, None] & across).astype(np.float32)


def body_mesh(head_vertices: np.ndarray, template: Template) -> tuple[np.ndarray, np.ndarray]:
    """The mean bust, upright, moved to a head's neck: vertices (B, 3) metres, triangles (T, 3)."""
    bust = load_bust()
    return bust.vertices + _neck_offset(head_vertices, template), triangles_from_quads(bust.quads)


@lru_cache(maxsize=1)
def _slices() -> np.ndarray:
    """(``_SLICES``, 4) half width, front and back z and height of the mean bust, metres, from above."""
    bust = load_bust()
    points = catmull_clark(bust.quads, len(bust.vertices))[0] @ bust.vertices
    heights = np.linspace(_NECK, points[:, 1].min(), _SLICES)
    near = [points[np.abs(points[:, 1] - height) < _THICK] for height in heights]
    return np.array([(np.abs(x).max(), z.max(), z.min(), y.mean()) for x, y, z in (one.T for one in near)])


def off_body(strands: np.ndarray, head_vertices: np.ndarray, template: Template) -> np.ndarray:
    """Strands (G, P, 3), metres, moved forwards or backwards until they lie on the body of ``body_mesh``: in front
    what enters it in front of the shoulders, behind what enters it behind."""
    offset = _neck_offset(head_vertices, template)
    x, y, z = np.moveaxis(strands.astype(np.float64) - offset, -1, 0)
    half, front, back = (np.interp(-y, -_slices()[:, 3], _slices()[:, k]) for k in range(3))
    middle, deep = 0.5 * (front + back), 0.5 * (front - back)
    reach = deep * np.sqrt(np.clip(1 - (x / half) ** 2, 0, 1)) + _ON_BODY * (np.abs(x) < half)
    inside = (y < _NECK) & (np.abs(z - middle) < reach)
    first = np.take_along_axis(z - middle + _SHOULDER, inside.argmax(1)[:, None], 1)
    before = np.where(first > 0, 1.0, -1.0)
    shift = np.where(inside, np.maximum(reach - before * (z - middle), 0.0), 0.0)
    step = _BENDS * np.linalg.norm(np.diff(strands, axis=1), axis=-1)
    count = strands.shape[1]
    for one, other in (*((k, k + 1) for k in range(count - 2, -1, -1)), *((k + 1, k) for k in range(count - 1))):
        shift[:, one] = np.maximum(shift[:, one], shift[:, other] - step[:, min(one, other)])
    run = np.pad(step.cumsum(1), ((0, 0), (1, 0)))  # roots stay
    shift = before * np.minimum(gaussian_filter1d(shift, 1.0, axis=1, mode="nearest"), run)
    return strands + shift[..., None] * [0.0, 0.0, 1.0]


def _neck_offset(head_vertices: np.ndarray, template: Template) -> np.ndarray:
    """(3,) metres from the mean head's neck to a head's."""
    neck = template.regions["neck"][: template.head.vertex_stop] > 0.8
    return head_vertices[neck].mean(0) - template.vertices[: template.head.vertex_stop][neck].mean(0)


def looked_up(picture: np.ndarray, points: np.ndarray, view: HairView) -> np.ndarray:
    """Values (...,) of a picture (H, W) at the pixels of points (..., 3); 0 outside the picture."""
    pixel = view.camera.project(np.nan_to_num(points, nan=1e3))
    height, width = picture.shape
    column, row = np.floor(pixel[..., 0]).astype(int), np.floor(pixel[..., 1]).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (pixel[..., 2] > 0)
    return np.where(inside, picture[row.clip(0, height - 1), column.clip(0, width - 1)], 0.0)


def votes(points: np.ndarray, view: HairView) -> np.ndarray:
    """(...,) votes of a view at points (..., 3): 1 on the photo's hair, -1 elsewhere (lower on the bare face), 0 where
    head, chest or hand occludes the point."""
    depth = view.camera.project(np.nan_to_num(points, nan=1e3))[..., 2]
    told = looked_up((2 * view.hair - 1 - BARE_FACE * view.face) * view.visible, points, view)
    before = depth < looked_up(np.where(np.isfinite(view.depth), view.depth, 1e6), points, view) + BEHIND
    return told * before
