"""Faces in a photo: found, cropped as a square around the head, with 478 landmarks and approximate pose.

A face's grey texture is also warped to the mean face's frontal view, to compare faces.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product

import cv2
import numpy as np
from scipy.spatial import Delaunay

from backend.photos import networks
from backend.photos.networks import Window, fit_inside
from backend.system.files import ASSETS, read_table
from protocol.similarity import fit_similarity


@dataclass(frozen=True)
class FacesSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    search_side: int = 1280
    """Pixels, 640 to 2560: longer side of the image used for detection. Smaller values lose small faces."""
    view_side: int = 192
    """Pixels, 128 to 384: side of each window passed to the detectors; their inputs are 128 and 192."""
    same_face_overlap: float = 0.3
    """Share in [0, 1] of the smaller box: boxes with more overlap are one face."""
    sure_score: float = 0.7
    """Detector confidence in [0, 1] from which a large face ends the search."""
    upright_score: float = 0.9
    """Detector confidence in [0, 1] above which a face is surely upright in its window: faces that are turned by a
    quarter or a half reach 0.89 on 28 photos, upright ones mostly 0.91 to 0.96."""
    large_face: float = 0.2
    """Fraction of the image's short side, 0.1 to 0.5: if a larger face is found, no tiles are searched."""
    min_tile: int = 96
    """Pixels, 48 to 192: smaller tiles cannot contain a usable face."""
    least_contrast: int = 8
    """Levels of 255, 2 to 20, between the darkest and the brightest value of a view. With less it is a plain area
    (black video frame, backdrop) and is skipped, which saves two models on ten tiles in four orientations."""
    window_per_face: float = 1.5
    """Face sizes, 1.3 to 1.7: side of the window that the mesh sees; MediaPipe's."""
    agreement: float = 0.03
    """Face sizes, 0.01 to 0.1: results of the mesh model farther from the median are dropped."""
    follow_shift: float = 0.45
    """Face sizes, 0.2 to 1: most that a face may move between frames."""
    follow_size: float = 1.5
    """Ratio, 1.1 to 2: most that a face's size may change between frames."""
    crop_per_face: float = 2.4
    """Landmark extents, 2 to 3: side of a head crop; it contains all hair except long hair."""
    crop_raised: float = 0.04
    """Landmark extents, 0 to 0.15: upward shift of the crop, because the skull extends farther above the landmarks than
    the chin below them."""
    crop_behind: float = 0.25
    """Landmark extents, 0 to 0.5: backward shift of the crop of a profile, because the centre of a turned head lies
    behind that of its landmarks."""


FACES = FacesSettings()


_DIRECTIONS = (0.0, np.pi / 2, -np.pi / 2, np.pi)


@dataclass(frozen=True)
class DetectedFace:
    """A face box in image pixels.

    Attributes
    ----------
    centre : (x, y) of the box, brows to chin.
    side : length of the box's side.
    angle : radians, direction of the line from the image-left to the image-right eye of an upright face; positive when
        the head is turned clockwise in the image.
    score : 0 to 1, the detector's confidence.
    """

    centre: tuple[float, float]
    side: float
    angle: float
    score: float


def detect_faces(pixels: np.ndarray) -> tuple[DetectedFace, ...]:
    """Detect faces in (H, W, 3) uint8 pixels, largest first; includes small, turned, sideways and upside-down faces.

    Searches the whole image, without and with a margin (for faces that fill it), and again turned by a quarter, a half
    and three quarters unless it finds a large face that is surely upright: the detectors also fire on a face that lies
    on its side or stands on its head, less surely and with wrong eyes, so the surest direction has the right angle. If
    no large face is found, also searches overlapping tiles (for small faces), in the first direction with any.
    """
    small, factor = fit_inside(pixels, FACES.search_side)
    large = FACES.large_face * min(small.shape[:2])
    detections: list[DetectedFace] = []
    for turn in _DIRECTIONS:
        detections += [face for window in _whole_views(small.shape, turn) for face in _detect_in(small, window)]
        if any(face.side > large and face.score > FACES.upright_score for face in detections):
            break  # in the first direction for an upright photo, in its own for a turned one
    if not any(face.side > large and face.score > FACES.sure_score for face in detections):
        for turn in _DIRECTIONS:
            in_tiles = [face for window in _tiles(small.shape, turn) for face in _detect_in(small, window)]
            detections += in_tiles
            if in_tiles:
                break
    faces = _merge(detections)
    scaled = [
        DetectedFace((f.centre[0] / factor, f.centre[1] / factor), f.side / factor, f.angle, f.score) for f in faces
    ]
    return tuple(sorted(scaled, key=lambda face: -face.side))


def faces_in_view(pixels: np.ndarray) -> tuple[DetectedFace, ...]:
    """Detect upright faces in a square image (S, S, 3) uint8 in one pass: 6 ms, misses small ones."""
    side = pixels.shape[0]
    return tuple(_merge(_detect_in(pixels, Window((side / 2, side / 2), float(side)))))


def _whole_views(shape: tuple[int, ...], turn: float) -> list[Window]:
    height, width = shape[:2]
    return [Window((width / 2, height / 2), max(height, width) * margin, turn) for margin in (1.0, 1.5)]


def _tiles(shape: tuple[int, ...], turn: float) -> list[Window]:
    height, width = shape[:2]
    longest, shortest = max(height, width), min(height, width)
    tiles = []
    for divide in (1, 2, 3):
        side = shortest / divide
        if side < FACES.min_tile or (divide == 1 and longest < 1.2 * shortest):
            continue
        tiles += [Window((x, y), side, turn) for y in _tile_centres(height, side) for x in _tile_centres(width, side)]
    return tiles


def _tile_centres(length: float, side: float) -> np.ndarray:
    """Centres of at most eight tiles of ``side`` that cover ``length`` and overlap by a third or more."""
    count = min(8, max(1, int(np.ceil((length - side) / (side * 0.6))) + 1))
    return np.linspace(side / 2, length - side / 2, count) if count > 1 else np.array([length / 2])


def _detect_in(pixels: np.ndarray, window: Window) -> list[DetectedFace]:
    view = window.cut(pixels, FACES.view_side)
    if int(view.max()) - int(view.min()) < FACES.least_contrast:
        return []
    whole = Window((FACES.view_side / 2, FACES.view_side / 2), float(FACES.view_side))
    found = [box for full_range in (True, False) for box in networks.faces(view, whole, full_range)]
    return [_in_picture(box, window) for box in found]


def _in_picture(box: networks.Box, window: Window) -> DetectedFace:
    """The face of a box in the cut window."""
    centre, right, left = window.to_picture(np.stack([box.centre, *box.points[:2]]), FACES.view_side)
    line, side = left - right, box.side / FACES.view_side * window.side
    return DetectedFace(tuple(centre), side, float(np.arctan2(line[1], line[0])), box.score)


def _merge(faces: list[DetectedFace]) -> list[DetectedFace]:
    """Non-maximum suppression: keep the most confident of overlapping boxes."""
    merged: list[DetectedFace] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face, other) < FACES.same_face_overlap for other in merged):
            merged.append(face)
    return merged


def overlap(a: DetectedFace, b: DetectedFace) -> float:
    """Shared area of two boxes over the smaller one's area."""
    shared = 1.0
    for axis in range(2):
        low = max(a.centre[axis] - a.side / 2, b.centre[axis] - b.side / 2)
        high = min(a.centre[axis] + a.side / 2, b.centre[axis] + b.side / 2)
        shared *= max(0.0, high - low)
    return shared / min(a.side, b.side) ** 2


LANDMARK_COUNT = 478
MESH_COUNT = 468
EYE_OUTER_RIGHT, EYE_OUTER_LEFT = 33, 263  # of the person
FOREHEAD_TOP, CHIN, NOSE_TIP = 10, 152, 1
LOWER_LIP_EDGE = (95, 88, 178, 87, 14, 317, 402, 318, 324)
UPPER_LIP_EDGE = (191, 80, 81, 82, 13, 312, 311, 310, 415)
"""Inner lip edges without the corners, from the person's right to left; the two rows correspond index by index."""
UPPER_LID_EDGES = (161, 160, 159, 158, 157, 388, 387, 386, 385, 384)
LOWER_LID_EDGES = (163, 144, 145, 153, 154, 390, 373, 374, 380, 381)
"""Landmarks of the lids' edges, right eye, then left eye; the two rows correspond."""

_VARIANTS = tuple(product((0.88, 1.12), (-0.1, 0.1), (False, True)))  # scale, radians, mirrored
_FOLLOW_VARIANTS = ((0.95, -0.05, False), (1.05, 0.05, True), (1.05, -0.05, True), (0.95, 0.05, False))


@dataclass(frozen=True)
class MeanLandmarks:
    """The mean face and its mirror map.

    Attributes
    ----------
    points : (478, 3) float64, upright and frontal: x to the person's left, y down, z away from the camera (image axes);
        centred; the outer corners of the eyes are 1 apart.
    mirror : (478,) index of each landmark's mirror image.
    """

    points: np.ndarray
    mirror: np.ndarray


@dataclass(frozen=True)
class HeadPose:
    """Approximate rotation of the head in degrees.

    yaw is positive when the person looks to their own left, pitch when they look up, roll when the head is turned
    clockwise in the image.
    """

    yaw: float
    pitch: float
    roll: float


@cache
def mean_landmarks() -> MeanLandmarks:
    """The stored mean of MediaPipe's landmarks over 148 frontal portraits, symmetrised."""
    data = read_table(ASSETS / "photos" / "mean_landmarks.npz")
    return MeanLandmarks(data["points"].astype(np.float64), data["mirror"].astype(np.int64))


def find_landmarks(pixels: np.ndarray, face: DetectedFace) -> np.ndarray | None:
    """Landmarks (478, 3) float32 in image pixels (z on the same scale, smaller is nearer), or None.

    Runs the mesh model on an upright window around the box, then averages its results on eight slightly different
    windows around the first result, half of them mirrored. This lowers the noise that depends on the window's position
    from 0.42 % to 0.10 % of the face's size.
    """
    first = None
    for scale in (1.0, 0.75, 1.25):
        first = _run_mesh(pixels, Window(face.centre, FACES.window_per_face * scale * face.side, face.angle))
        if first is not None and _belongs_to(first, face):
            break
        first = None
    if first is None:
        return None
    answers = []
    for scale, turn, flipped in _VARIANTS:
        window = landmark_window(first, FACES.window_per_face * scale)
        points = _run_mesh(pixels, Window(window.centre, window.side, window.angle + turn, flipped))
        if points is not None and _belongs_to(points, face):
            answers.append(points)
    if not answers:
        return _with_irises(first)
    apart = np.linalg.norm(np.array(answers) - np.median(answers, axis=0), axis=2).mean(axis=1)
    limit = max(FACES.agreement * landmark_window(first, 1.0).side, float(apart.min()))
    return _with_irises(np.mean([answer for answer, far in zip(answers, apart, strict=True) if far <= limit], axis=0))


def landmarks_of_largest(pixels: np.ndarray) -> np.ndarray | None:
    """``find_landmarks`` of the largest face in (H, W, 3) uint8 sRGB pixels; None without a face."""
    faces = detect_faces(pixels)
    return find_landmarks(pixels, faces[0]) if faces else None


def follow_landmarks(pixels: np.ndarray, previous: np.ndarray) -> np.ndarray | None:
    """Track landmarks: (478, 3) float32 of the face with landmarks ``previous`` one frame before; None if it is lost.

    The mean over four windows around the old position, half of them mirrored.
    """
    window = landmark_window(previous, FACES.window_per_face)
    size = landmark_window(previous, 1.0).side
    answers = []
    for scale, turn, flipped in _FOLLOW_VARIANTS:
        points = _run_mesh(pixels, Window(window.centre, window.side * scale, window.angle + turn, flipped))
        if points is None:
            return None  # such similar windows all find a face that is there
        now = landmark_window(points, 1.0)
        moved = np.hypot(now.centre[0] - window.centre[0], now.centre[1] - window.centre[1])
        if moved > FACES.follow_shift * size or not 1 / FACES.follow_size < now.side / size < FACES.follow_size:
            return None
        answers.append(points)
    return _with_irises(np.mean(answers, axis=0))


def landmark_window(points: np.ndarray, per_face: float) -> Window:
    """The upright square around landmarks, with side ``per_face`` times their larger extent."""
    line = points[EYE_OUTER_LEFT, :2] - points[EYE_OUTER_RIGHT, :2]
    down = points[CHIN, :2] - points[FOREHEAD_TOP, :2]
    # the eye line is short in profile views; the face's long axis then dominates the angle
    angle = float(np.arctan2(line[1] - down[0], line[0] + down[1]))
    cos, sin = np.cos(angle), np.sin(angle)
    turned = points[:MESH_COUNT, :2] @ np.array([[cos, -sin], [sin, cos]])
    low, high = turned.min(axis=0), turned.max(axis=0)
    middle = (low + high) / 2 @ np.array([[cos, sin], [-sin, cos]])
    return Window((float(middle[0]), float(middle[1])), float((high - low).max() * per_face), angle)


def head_pose(points: np.ndarray) -> HeadPose:
    """Pose of landmarks (478, 3) by rigid alignment with the mean face (Umeyama 1991), without mouth and brows."""
    rigid = rigid_indices()
    rotation = fit_similarity(mean_landmarks().points[rigid], np.asarray(points)[rigid], scale=1.0).rotation
    forward = rotation @ [0.0, 0.0, -1.0]  # out of the face, in image axes
    across = rotation @ [1.0, 0.0, 0.0]
    yaw = np.degrees(np.arctan2(forward[0], -forward[2]))
    pitch = np.degrees(np.arcsin(np.clip(-forward[1], -1.0, 1.0)))
    roll = np.degrees(np.arctan2(across[1], across[0]))
    return HeadPose(float(yaw), float(pitch), float(roll))


def quarter_turns(points: np.ndarray) -> int:
    """Counter-clockwise quarter turns, 0 to 3, of the image that bring the head of landmarks (478, 3) upright within
    45 degrees."""
    return round(head_pose(points).roll / 90.0) % 4


def upright(pixels: np.ndarray, turns: int) -> np.ndarray:
    """(H, W, 3) pixels after ``turns`` counter-clockwise quarter turns, in memory order."""
    return np.ascontiguousarray(np.rot90(pixels, turns))


def turned(points: np.ndarray, shape: tuple[int, ...], turns: int) -> np.ndarray:
    """Points (N, 2 or 3) of an image of ``shape`` (H, W, ...) after ``turns`` counter-clockwise quarter turns, as
    ``np.rot90`` turns the image; z stays."""
    height, width = shape[:2]
    result = points.copy()
    for _ in range(turns):
        result[:, 0], result[:, 1] = result[:, 1].copy(), width - result[:, 0]
        height, width = width, height
    return result


@cache
def rigid_indices() -> np.ndarray:
    """Indices of mesh landmarks that expressions move little: above the upper lip, without brows and lids."""
    y = mean_landmarks().points[:MESH_COUNT, 1]
    mouth_top = mean_landmarks().points[0, 1]
    return np.flatnonzero(y < mouth_top - 0.05)


def posed(points: np.ndarray) -> np.ndarray:
    """Landmarks (478, 3) float32 with the places of ``points`` (478, 2) and the mean face's depths in the same pose, by
    scaled orthography."""
    mean, rigid = mean_landmarks().points, rigid_indices()
    mean = mean - mean[rigid].mean(axis=0)
    seen = np.linalg.lstsq(mean[rigid], points[rigid] - points[rigid].mean(axis=0), rcond=None)[0]  # (3, 2)
    axes, scales, turn = np.linalg.svd(seen, full_matrices=False)
    right, down = (axes @ turn).T
    return np.column_stack([points, scales.mean() * mean @ np.cross(right, down)]).astype(np.float32)


def _run_mesh(pixels: np.ndarray, window: Window) -> np.ndarray | None:
    points = networks.mesh(pixels, window)
    return points[mean_landmarks().mirror[:MESH_COUNT]] if window.flipped and points is not None else points


def _with_irises(points: np.ndarray) -> np.ndarray:
    """Landmarks (478, 3) float32: the mesh's (468, 3), and irises that look straight ahead, which it does not have."""
    mean, found = mean_landmarks().points, [points]
    for corners, lids, iris in (((33, 133), slice(0, 5), slice(468, 473)), ((263, 362), slice(5, 10), slice(473, 478))):
        eye = [*corners, *UPPER_LID_EDGES[lids], *LOWER_LID_EDGES[lids]]
        found.append(fit_similarity(mean[eye], points[eye]).apply(mean[iris]))
    return np.concatenate(found).astype(np.float32)


def _belongs_to(points: np.ndarray, face: DetectedFace) -> bool:
    """Whether the landmarks belong to this box and not to a neighbouring face."""
    low, high = points[:MESH_COUNT, :2].min(axis=0), points[:MESH_COUNT, :2].max(axis=0)
    distance = np.linalg.norm((low + high) / 2 - face.centre)
    size = float((high - low).max())
    return distance < 0.5 * face.side and 0.5 * face.side < size < 2.2 * face.side


MAX_CROP_SIDE = 2048


@dataclass(frozen=True)
class HeadCrop:
    """A square crop: ``crop_px = scale * (picture_px - offset)``; ``pixels`` (S, S, 3) uint8, edge-padded.

    ``covered`` (left, top, right, bottom) in crop pixels is the part inside the photo; the rest is padding.
    """

    pixels: np.ndarray
    scale: float
    offset: tuple[float, float]
    covered: tuple[float, float, float, float]

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Map points (..., 2 or 3) from image pixels to crop pixels; z is scaled alike."""
        moved = np.array(points, dtype=np.float64)
        moved[..., :2] -= self.offset
        return moved * self.scale

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """The inverse of ``to_crop``."""
        moved = np.array(points, dtype=np.float64) / self.scale
        moved[..., :2] += self.offset
        return moved


def crop_head(pixels: np.ndarray, landmarks: np.ndarray, max_side: int = MAX_CROP_SIDE) -> HeadCrop:
    """Crop the head from (H, W, 3) pixels by its landmarks (478, 3): 2.4 times their extent, never enlarged."""
    low, high = landmarks[:MESH_COUNT, :2].min(axis=0), landmarks[:MESH_COUNT, :2].max(axis=0)
    extent = float((high - low).max())
    pose = head_pose(landmarks)
    roll, turned = np.radians(pose.roll), np.sin(np.radians(pose.yaw))
    up, right = np.array([np.sin(roll), -np.cos(roll)]), np.array([np.cos(roll), np.sin(roll)])
    centre = (low + high) / 2 + extent * (FACES.crop_raised * up - FACES.crop_behind * turned * right)
    side = max(8, round(extent * FACES.crop_per_face))
    corner = np.round(centre - side / 2).astype(int)
    cut = _cut_padded(pixels, corner, side)
    if side > max_side:
        cut = cv2.resize(cut, (max_side, max_side), interpolation=cv2.INTER_AREA)
    scale = min(side, max_side) / side
    edges = np.clip(scale * (np.array([0, 0, pixels.shape[1], pixels.shape[0]]) - np.tile(corner, 2)), 0, side * scale)
    return HeadCrop(cut, scale, (float(corner[0]), float(corner[1])), tuple(float(edge) for edge in edges))


def face_square(landmarks: np.ndarray) -> Window:
    """Upright square input window of LAP's nets from landmarks (478, 2 or 3): brows to chin, with a small margin.

    It follows the crop of the authors' demo (half-side 1.1 (h + w) / 4 of a detector's box, moved down by 0.15 of the
    half-side), with the landmarks' extent for the box. Their box ends in the middle of the forehead, ours at the hair,
    so ours needs no shift.
    """
    low, high = landmarks[:MESH_COUNT, :2].min(axis=0), landmarks[:MESH_COUNT, :2].max(axis=0)
    middle = (low + high) / 2
    return Window((float(middle[0]), float(middle[1])), float(1.1 * (high - low).mean()))


def upright_square(landmarks: np.ndarray) -> Window:
    """``face_square`` aligned to the head: rotated by the head's roll in the image.

    landmarks : (478, 3) in image pixels.
    """
    angle = np.radians(head_pose(landmarks).roll)
    cos, sin = np.cos(angle), np.sin(angle)
    axes = np.array([[cos, sin], [-sin, cos]])  # rows: the window's x and y in the picture
    square = face_square(landmarks[:, :2] @ axes.T)
    middle = np.asarray(square.centre) @ axes
    return Window((float(middle[0]), float(middle[1])), square.side, float(angle))


def _cut_padded(pixels: np.ndarray, corner: np.ndarray, side: int) -> np.ndarray:
    """(side, side, C) copy starting at ``corner`` (x, y); pixels outside the image repeat its edge."""
    height, width = pixels.shape[:2]
    left, top = np.clip(corner, 0, [width - 1, height - 1])
    right, bottom = np.clip(corner + side, [left + 1, top + 1], [width, height])
    before_x, before_y = np.clip([left - corner[0], top - corner[1]], 0, side - 1)
    part = pixels[top:bottom, left:right][: side - before_y, : side - before_x]
    after_y, after_x = side - before_y - part.shape[0], side - before_x - part.shape[1]
    return cv2.copyMakeBorder(part, before_y, after_y, before_x, after_x, cv2.BORDER_REPLICATE)


FRONTAL_SIDE = 96
"""Pixels: side of the frontal views on which the identity descriptor was trained."""


@dataclass(frozen=True)
class FrontalGrid:
    """Position of each pixel of the frontal view on the landmark mesh.

    Attributes
    ----------
    landmarks : (S * S, 3) landmark indices of the triangle that contains the pixel.
    weights : (S * S, 3) barycentric weights.
    inside : (S, S) bool, whether the pixel is on the face.
    """

    landmarks: np.ndarray
    weights: np.ndarray
    inside: np.ndarray


@cache
def mesh_triangles() -> np.ndarray:
    """(T, 3) triangles of the 468 mesh landmarks with consistent winding: Delaunay in x and y of the mean face."""
    points = mean_landmarks().points[:MESH_COUNT, :2]
    triangles = Delaunay(points).simplices
    a, b, c = (points[triangles[:, k]] for k in range(3))
    turned = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0
    return np.where(turned[:, None], triangles[:, ::-1], triangles)


@cache
def frontal_grid() -> FrontalGrid:
    """The grid for ``FRONTAL_SIDE``, from a Delaunay triangulation of the mean face's landmarks in x and y."""
    points = mean_landmarks().points[:MESH_COUNT, :2]
    extent = np.ptp(points, axis=0)
    scale = (FRONTAL_SIDE - 1) / extent.max()
    points = (points - points.min(axis=0)) * scale + (FRONTAL_SIDE - extent * scale) / 2
    triangles = Delaunay(points)
    axis = np.arange(FRONTAL_SIDE) + 0.5
    pixels = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    simplex = triangles.find_simplex(pixels)
    transform = triangles.transform[simplex]
    two = np.einsum("nij,nj->ni", transform[:, :2], pixels - transform[:, 2])
    weights = np.concatenate([two, 1 - two.sum(axis=1, keepdims=True)], axis=1)
    return FrontalGrid(triangles.simplices[simplex], weights, (simplex >= 0).reshape(FRONTAL_SIDE, FRONTAL_SIDE))


def frontal_texture(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(96, 96) float32 grey levels 0-255 of the face in (H, W, 3) pixels with landmarks (478, 3), frontal.

    Values outside the face are undefined. The image should show the face at about this size or slightly larger.
    """
    grid = frontal_grid()
    at = np.einsum("nk,nkc->nc", grid.weights, landmarks[grid.landmarks, :2])
    at = at.reshape(FRONTAL_SIDE, FRONTAL_SIDE, 2).astype(np.float32) - 0.5
    warped = cv2.remap(pixels, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.cvtColor(warped, cv2.COLOR_RGB2GRAY).astype(np.float32)
