"""Choose photos: of one person, no copies, photographs and not drawings, the best; a reason for each one left out.

Whether two photos show one person is estimated from a histogram of oriented gradients (Dalal and Triggs 2005) of the
frontal face after the contrast normalisation of Tan and Triggs (2010), projected by linear discriminant analysis. It
separates most people, not all: decisions need several photos or a wide margin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from backend.geometry.robust_statistics import robust_deviation
from backend.models.parsing.accessories import AccessoryScores
from backend.photos.collection import FaceClass, PhotoFace, PhotoQuality, SurfaceLandmarks
from backend.photos.faces import FRONTAL_SIDE, HeadPose, Window, frontal_grid, frontal_texture, landmark_window, upright
from backend.photos.regions import FACE_OVAL, polygon_mask
from backend.system.files import ASSETS, read_table


@dataclass(frozen=True)
class ScreeningSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    faces_per_photo: int = 6
    """Faces, 1 to 20: most examined per photo, largest first."""
    bystander: float = 0.15
    """Ratio to the largest face's side, 0.05 to 0.5: smaller faces are bystanders."""
    min_face_px: float = 40.0
    """Pixels of face height, 24 to 100: smaller faces show too little of their shape."""
    max_yaw: float = 56.0
    """Degrees, 40 to 70: the landmark mesh reports about this for a true angle of 80 degrees."""
    min_sharpness: float = 0.06
    """``PhotoQuality.sharpness`` in [0, 1]: below, a face is too blurred to use."""
    min_occlusion: float = 0.5
    """Share in [0, 1] of the face that must be visible."""
    min_exposure: float = 0.08
    """``PhotoQuality.exposure`` in [0, 1]: below, a face is too dark or too bright."""
    size_weight: float = 0.3
    """Units of (same - different), 0 to 1: extra similarity that a face of half the size needs."""
    rounds: int = 6
    """Most iterations, 2 to 20, of the choice of one face per photo: it converges in two or three."""
    pose_reach: float = 15.0
    """Degrees, 5 to 30: photos whose poses differ by less are redundant."""
    min_photos: int = 3
    """Photos, 3 to 6, needed before one can be rejected as another person."""
    same_picture: float = 0.982
    """Dot product of two fingerprints, 0.95 to 0.995: above, the images are copies; two shots of one session stay
    below."""
    same_look: int = 40
    """Levels of 255, 20 to 50, by which ``picture_signature`` differs at most in copies; two shots differ by 53 or
    more, and the face's fingerprint decides."""
    fingerprint_side: int = 32
    """Pixels, 16 to 64: side of the face image in a fingerprint."""
    fingerprint_border: int = 4
    """Pixels, 0 to 8, cropped from each edge of it to remove background."""
    measure_side: int = 192
    """Pixels, 96 to 384: face size to which crops are resampled before measuring sharpness."""
    useless_face_px: float = 24.0
    """Pixels of face height, 16 to 64, at which ``PhotoQuality.size`` is 0."""
    good_face_px: float = 400.0
    """Pixels of face height, 200 to 800, from which ``PhotoQuality.size`` is 1."""
    blurred: float = 0.24
    """Ratio of Laplacian to gradient, 0.1 to 0.4, at which ``PhotoQuality.sharpness`` is 0."""
    sharp: float = 0.65
    """The same ratio at which it is 1, as in sharp portraits."""
    noise: float = 1.0
    """Grey levels, 0.5 to 3, added to the gradient, so that noise in flat images does not count as sharp."""
    black: int = 8
    """Level of 255, 0 to 16, up to which a pixel is clipped to black."""
    white: int = 247
    """Level of 255, 240 to 255, from which a pixel is clipped to white."""
    grey_chroma: float = 1.5
    """Units of Lab, 0.5 to 4: below this mean chroma a photo is black-and-white."""
    tint_spread: float = 1.35
    """Units of Lab, 0.5 to 4: below this mean deviation from a function of brightness a photo's colour is one tint."""
    size_exponent: float = 0.35
    """Exponent of ``PhotoQuality.size`` in the score, 0 to 1."""
    sharpness_exponent: float = 0.35
    """The same for sharpness."""
    yaw_exponent: float = 0.5
    """The same for yaw."""
    exposure_exponent: float = 0.5
    """The same for exposure."""
    occlusion_exponent: float = 0.7
    """The same for occlusion, which no later stage can repair."""


SCREENING = ScreeningSettings()
SAME_PICTURE = "It is the same picture as {}; one of them is enough."


@dataclass(frozen=True)
class FaceCandidate:
    """One face in one photo.

    Attributes
    ----------
    photo : index of the photo in the given order.
    detected, landmarks : (478, 3) float32 in pixels of the upright decoded photo: the detector's, and inside the face's
        outline the landmark net's.
    turns : counter-clockwise quarter turns, 0 to 3, from the decoded photo to the upright one.
    size_px : height of the face in pixels of the decoded photo.
    pose : approximate rotation of the head.
    descriptor : vector of ``identity_descriptor``.
    fingerprint : unit vector, nearly equal for copies of one image, see ``picture_fingerprint``.
    small_crop : (S, S, 3) uint8 head crop, S at most 512.
    small_labels : (S, S) uint8 of ``FaceClass``.
    accessories : accessory scores used for the labels.
    small_factor : pixels of ``small_crop`` per pixel of the full crop.
    quality : see ``PhotoQuality``.
    surface : the landmark net's points in pixels of the crop, None without the net.
    """

    photo: int
    detected: np.ndarray
    landmarks: np.ndarray
    turns: int
    size_px: float
    pose: HeadPose
    descriptor: np.ndarray
    fingerprint: np.ndarray
    small_crop: np.ndarray
    small_labels: np.ndarray
    accessories: AccessoryScores
    small_factor: float
    quality: PhotoQuality
    surface: SurfaceLandmarks | None = None


def picture_fingerprint(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(576,) unit vector: the face's grey levels, upright, high-pass filtered.

    The dot product of two is above ``ScreeningSettings.same_picture`` if one image is a resized, recompressed or
    recoloured copy of the other; two shots of one session stay below.
    """
    side, border = SCREENING.fingerprint_side, SCREENING.fingerprint_border
    grey = cv2.cvtColor(landmark_window(landmarks, 1.6).cut(pixels, 4 * side), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    inner = small[border:-border, border:-border]
    detail = inner - cv2.GaussianBlur(inner, (0, 0), 6)
    return detail.ravel() / max(float(np.linalg.norm(detail)), 1e-6)


def picture_signature(pixels: np.ndarray) -> np.ndarray:
    """(32, 32, 3) int16: the picture (H, W, 3) as a whole, for a first search for copies."""
    small = cv2.resize(pixels, (SCREENING.fingerprint_side,) * 2, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), 0.7).astype(np.int16)


def look_alike(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two pictures with these signatures may be copies; ``is_copy`` decides."""
    return bool(np.abs(one - two).max() <= SCREENING.same_look)


def is_copy(pixels: np.ndarray, face: "FaceCandidate", width: int) -> bool:
    """Whether a decoded picture (H, W, 3) is a copy of that with ``face``, which is ``width`` pixels wide."""
    landmarks = face.landmarks * (pixels.shape[1] / width)
    mine = picture_fingerprint(upright(pixels, face.turns), landmarks)
    return float(mine @ face.fingerprint) > SCREENING.same_picture


def mirrored_fingerprint(fingerprint: np.ndarray) -> np.ndarray:
    """The fingerprint of the mirrored image."""
    side = SCREENING.fingerprint_side - 2 * SCREENING.fingerprint_border
    return fingerprint.reshape(side, side)[:, ::-1].ravel()


_COLOURFUL = (FaceClass.SKIN, FaceClass.LIPS, FaceClass.EYES, FaceClass.BROWS, FaceClass.MOUTH_INTERIOR)


def measure_quality(
    pixels: np.ndarray, landmarks: np.ndarray, labels: np.ndarray, label_factor: float, yaw: float
) -> PhotoQuality:
    """Quality of a head crop (S, S, 3) with landmarks (478, 3), its labels (T, T) and ``yaw`` in degrees.

    ``label_factor`` is T / S. Every part is 0 to 1; ``score`` is the product of the parts raised to their exponents.
    """
    face = polygon_mask(landmarks * label_factor, FACE_OVAL, labels.shape[0])
    small = cv2.resize(pixels, labels.shape[::-1], interpolation=cv2.INTER_AREA)
    parts = {
        "size": (size_quality(landmarks), SCREENING.size_exponent),
        "sharpness": (sharpness_quality(pixels, landmarks), SCREENING.sharpness_exponent),
        "yaw": (float(np.clip(1.15 - (abs(yaw) / 58) ** 2, 0.0, 1.0)), SCREENING.yaw_exponent),
        "exposure": (exposure_quality(small[face]), SCREENING.exposure_exponent),
        "occlusion": (occlusion_quality(labels, face), SCREENING.occlusion_exponent),
    }
    score = float(np.prod([part**exponent for part, exponent in parts.values()]))
    return PhotoQuality(score=score, **{name: part for name, (part, _) in parts.items()})


def face_size_px(landmarks: np.ndarray) -> float:
    """Height of the face's upright box in pixels."""
    return landmark_window(landmarks, 1.0).side


def is_face(surface: SurfaceLandmarks, landmarks: np.ndarray) -> bool:
    """Whether the landmark net is as sure of its points as with a person's face."""
    return bool(np.median(surface.deviation) <= _UNLIKE_A_FACE * face_size_px(landmarks))


def size_quality(landmarks: np.ndarray) -> float:
    """0 for a face of 24 pixels, 1 from 400 on, logarithmic in between."""
    useless, good = SCREENING.useless_face_px, SCREENING.good_face_px
    ratio = np.log(max(face_size_px(landmarks), 1.0) / useless) / np.log(good / useless)
    return float(np.clip(ratio, 0.0, 1.0))


_BUMPS = np.float32([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
"""Filter that sees neither slopes nor straight edges, so that what it finds in skin is noise (Immerkær, "Fast Noise
Variance Estimation", 1996)."""


def sharpness_quality(pixels: np.ndarray, landmarks: np.ndarray) -> float:
    """Sharpness in [0, 1] from the ratio of Laplacian to gradient magnitude, over the face at a normalised scale, both
    without what the file's noise adds to them.

    The ratio does not depend on contrast. Sharp portraits have 0.65; blurred by one pixel in 192 of face 0.5, by two
    0.37, by four 0.28.
    """
    window, side = landmark_window(landmarks, 1.0), SCREENING.measure_side
    part = replace(window, side=min(2 * window.side / 3, 512))  # enough to know the noise
    (x, y), reach = np.int64(window.centre), int(part.side / 2) + 1
    middle = pixels[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
    bumps = cv2.filter2D(cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY), cv2.CV_32F, _BUMPS)
    noise = robust_deviation(bumps.ravel()) / np.linalg.norm(_BUMPS)
    unit = np.random.default_rng(0).standard_normal((3 * reach, 3 * reach), np.float32)
    unit = replace(part, centre=(3 * reach / 2, 3 * reach / 2)).cut(unit, round(side * part.side / window.side))
    grey = cv2.cvtColor(window.cut(pixels, side), cv2.COLOR_RGB2GRAY).astype(np.float32)
    laplacian, gradient = np.sqrt(np.maximum(_edge_energies(grey) - noise**2 * _edge_energies(unit), 0.0))
    ratio = laplacian / (gradient + SCREENING.noise)
    return float(np.clip((ratio - SCREENING.blurred) / (SCREENING.sharp - SCREENING.blurred), 0.0, 1.0))


def _edge_energies(grey: np.ndarray) -> np.ndarray:
    """(2,) mean squares of Laplacian and gradient of a picture (S, S) without its outer sixth."""
    margin = len(grey) // 6
    inner = cv2.GaussianBlur(grey, (0, 0), 0.8)[margin:-margin, margin:-margin]
    across, down = cv2.Sobel(inner, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(inner, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.array([cv2.Laplacian(inner, cv2.CV_32F).var(), (across**2 + down**2).mean()])


def exposure_quality(face_pixels: np.ndarray) -> float:
    """Exposure in [0, 1] from the share of clipped pixels and the mean level of face pixels (N, 3) uint8."""
    if len(face_pixels) == 0:
        return 0.0
    clipped = np.mean((face_pixels.max(axis=1) >= SCREENING.white) | (face_pixels.max(axis=1) <= SCREENING.black))
    level = float(face_pixels.mean()) / 255
    too_dark, too_bright = np.clip(level / 0.25, 0.0, 1.0), np.clip((1.0 - level) / 0.12, 0.0, 1.0)
    return float(np.clip(1.0 - 2.5 * clipped, 0.0, 1.0) * too_dark * too_bright)


def occlusion_quality(labels: np.ndarray, face: np.ndarray) -> float:
    """Unoccluded share of the face oval (S, S) bool."""
    hidden = (FaceClass.GLASSES, FaceClass.HAIR, FaceClass.OCCLUDER, FaceClass.BACKGROUND)
    inside = labels[face]
    return float(1.0 - np.isin(inside, hidden).mean()) if len(inside) else 0.0


def is_monochrome(pixels: np.ndarray, labels: np.ndarray) -> bool:
    """Whether a head crop (S, S, 3) sRGB with labels (S, S) is black-and-white or of one tint (sepia).

    In a colour photo lips, eyes, brows and skin differ in colour even at equal brightness; in a tinted photo colour is
    a function of brightness.
    """
    face = np.isin(labels, _COLOURFUL)
    if face.sum() <= 100:
        face = np.ones(labels.shape, dtype=bool)
    bright = max(20.0, float(np.percentile(pixels[face], 98)))  # normalises dark photos, whose colours are weak
    lab = cv2.cvtColor(np.clip(pixels.astype(np.float32) / bright, 0, 1), cv2.COLOR_RGB2LAB)
    colours = lab[face]
    colours = colours[:: max(1, len(colours) // 20_000)]
    if np.abs(colours[:, 1:]).mean() < SCREENING.grey_chroma:
        return True
    level = colours[:, 0] / 100
    design = np.stack([np.ones_like(level), level, level**2, level**3], axis=1)
    solution, *_ = np.linalg.lstsq(design, colours[:, 1:], rcond=None)
    return bool(np.abs(colours[:, 1:] - design @ solution).mean() < SCREENING.tint_spread)


def as_grey(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 pixels without the tint of a print or of light of one colour."""
    return np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


_DRAWN = 0.7
"""Probability, 0.5 to 0.95, from which a photo is called a drawing."""
_UNLIKE_A_FACE = 0.035
"""Face sizes, 0.025 to 0.06: median deviation of the landmark net above which a face may be no person's. 284 photos of
people have 0.019 at most, a cat, a cheetah and a tower 0.062 to 0.113."""
_DRAWING_SIDE = 64
_RINGS = 14
_CELLS = 4
_ORIENTATIONS = 8


def hue_spread(face: np.ndarray) -> float:
    """Variation of the colours of (S, S, 3) uint8 pixels that is independent of brightness, in 8-bit levels.

    The smaller singular value of the chroma's (Cb, Cr) covariance, as a standard deviation: 0 for black and white, and
    for a print toned in one hue, whose chroma lies on a line.
    """
    chroma = cv2.cvtColor(face, cv2.COLOR_RGB2YCrCb)[..., 1:].reshape(-1, 2).astype(np.float64)
    brightness = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).reshape(-1, 1).astype(np.float64)
    design = np.concatenate([brightness, np.ones_like(brightness)], axis=1)
    rest = chroma - design @ np.linalg.lstsq(design, chroma, rcond=None)[0]
    return float(np.linalg.norm(rest.std(axis=0)))


def drawing_features(face: np.ndarray) -> np.ndarray:
    """(F,) float64 features of a face square (S, S, 3) uint8: its fine structure's distribution over scales and
    directions.

    Engravings consist of lines of one spacing and few directions, also on skin. Paintings lack the noise and the
    specular points of photographs.
    """
    side = (_DRAWING_SIDE, _DRAWING_SIDE)
    grey = cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), side, interpolation=cv2.INTER_AREA).astype(np.float64)
    grey = (grey - grey.mean()) / max(grey.std(), 4.0)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), 2.0)
    window = np.outer(np.hanning(_DRAWING_SIDE), np.hanning(_DRAWING_SIDE))
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey * window))) ** 2
    rows, columns = np.mgrid[:_DRAWING_SIDE, :_DRAWING_SIDE] - _DRAWING_SIDE // 2
    ring = np.minimum((np.hypot(rows, columns) / (_DRAWING_SIDE / 2) * _RINGS).astype(int), _RINGS)
    spectrum = np.array([np.log(power[ring == index].mean() + 1e-3) for index in range(_RINGS)])
    peaks = np.array([np.log(power[ring == index].max() / power[ring == index].mean()) for index in range(_RINGS)])
    cell = _DRAWING_SIDE // _CELLS
    blocks = detail.reshape(_CELLS, cell, _CELLS, cell).transpose(0, 2, 1, 3).reshape(_CELLS**2, -1)
    energy = np.log(blocks.std(axis=1) + 0.02)
    peaked = np.log((blocks**4).mean(axis=1) / ((blocks**2).mean(axis=1) ** 2 + 1e-6) + 0.1)
    across, down = np.gradient(grey, axis=1), np.gradient(grey, axis=0)
    size, turn = np.hypot(across, down), np.arctan2(down, across) % np.pi
    bins = np.minimum((turn / np.pi * _ORIENTATIONS).astype(int), _ORIENTATIONS - 1)
    directions = []
    for row in range(0, _DRAWING_SIDE, 2 * cell):
        for column in range(0, _DRAWING_SIDE, 2 * cell):
            part = np.s_[row : row + 2 * cell, column : column + 2 * cell]
            histogram = np.bincount(bins[part].ravel(), weights=size[part].ravel(), minlength=_ORIENTATIONS)
            directions.append(histogram / histogram.sum().clip(1e-6))
    levels = np.histogram(grey, bins=16, range=(-2.5, 2.5))[0] / grey.size
    colour = np.array([np.log1p(hue_spread(face)), np.log1p(cv2.cvtColor(face, cv2.COLOR_RGB2HSV)[..., 1].mean())])
    return np.concatenate([spectrum, peaks, energy, peaked, np.concatenate(directions), np.sqrt(levels), colour])


def drawing_chance(face: np.ndarray) -> float:
    """Probability, 0 to 1, that a face square (S, S, 3) uint8 shows a drawing, an engraving or a painting.

    A logistic regression on ``drawing_features``, fitted to portraits that were sorted by eye
    (``assets/README.md``).
    """
    fitted = _drawing_classifier()
    score = ((drawing_features(face) - fitted["mean"]) / fitted["scale"]) @ fitted["weights"] + fitted["bias"]
    return float(1 / (1 + np.exp(-np.clip(score, -30, 30))))


@cache
def _drawing_classifier() -> dict[str, np.ndarray]:
    table = read_table(ASSETS / "photos" / "drawing_classifier.npz")
    return {name: value.astype(np.float64) for name, value in table.items()}


def what_it_seems(face: PhotoFace, square: Window) -> str:
    """A sentence for the user where a used photo seems to show no person or to be no photograph; empty otherwise.

    ``square`` is the face's ``faces.face_square``. Faces of animals and patterns leave the landmark net unsure; statues
    and dolls with a person's features do not.
    """
    if face.surface is not None and not is_face(face.surface, face.landmarks):
        return "It may show no person but an animal, a mask or a pattern: look at the result with care."
    if drawing_chance(square.cut(face.pixels, _DRAWING_SIDE)) > _DRAWN:
        return "It looks like a drawing or a painting: the head gets the shapes and the skin that were drawn."
    return ""


_CELL, _BINS = 8, 8
_WINDOW_SIDE, _WINDOW_PER_FACE = 192, 1.25
"""Pixels, and face sizes: the projection was trained on histograms of these cells, bins and windows."""


SAME, DIFFERENT = 0.32, 0.03
"""Median similarities of two photos of one person, and of two people: portraits outside the training set."""
STRANGER, CONSISTENT = 0.06, 0.18
"""A face with a lower mean similarity to a consistent group shows another person; a group with a higher one shows one
person."""


def identity_descriptor(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(128,) unit vector of the face with landmarks (478, 3) in (H, W, 3) pixels; the similarity of two is the
    cosine."""
    mean, projection = _projection()
    vector = (gradient_histogram(pixels, landmarks) - mean) @ projection
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _similarities(faces: Sequence[FaceCandidate]) -> np.ndarray:
    """(N, N) cosines of the faces' descriptors."""
    vectors = np.array([face.descriptor for face in faces])
    return vectors @ vectors.T


def gradient_histogram(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(800,) float32: square roots of normalised gradient-orientation histograms in 8 x 8 pixel cells on the face."""
    window = landmark_window(landmarks, _WINDOW_PER_FACE)
    window = Window(window.centre, window.side)  # upright; the frontal view removes the rotation
    face = window.cut(pixels, _WINDOW_SIDE)
    inside = np.array(landmarks, dtype=np.float64)
    inside[:, :2] = (inside[:, :2] - window.centre + window.side / 2) * (_WINDOW_SIDE / window.side)
    grey = _flatten_light(frontal_texture(face, inside))
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    grid_inside = frontal_grid().inside
    strength = np.hypot(across, down) * grid_inside
    angle = np.arctan2(down, across) % (2 * np.pi) / (2 * np.pi) * _BINS
    cells = FRONTAL_SIDE // _CELL
    histogram = np.empty((cells, cells, _BINS), np.float32)
    for index in range(_BINS):
        apart = np.abs((angle - index + _BINS / 2) % _BINS - _BINS / 2)
        part = cv2.GaussianBlur((np.clip(1 - apart, 0, 1) * strength).astype(np.float32), (0, 0), _CELL / 3)
        histogram[..., index] = cv2.resize(part, (cells, cells), interpolation=cv2.INTER_AREA)
    histogram = np.sqrt(histogram / (histogram.sum(axis=-1, keepdims=True) + 1e-3) + 1e-9)
    covered = cv2.resize(grid_inside.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA) > 0.5
    return histogram[covered].ravel()


def _flatten_light(grey: np.ndarray) -> np.ndarray:
    """Normalise lighting: gamma, difference of Gaussians, local contrast normalisation (Tan and Triggs 2010)."""
    bright = (grey / 255) ** 0.3
    detail = cv2.GaussianBlur(bright, (0, 0), 1) - cv2.GaussianBlur(bright, (0, 0), 4)
    return detail / (np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 8)) + 0.01)


@cache
def _projection() -> tuple[np.ndarray, np.ndarray]:
    """Mean (800,) and projection (800, 128), by linear discriminant analysis (``assets/README.md``)."""
    data = read_table(ASSETS / "photos" / "identity_projection.npz")
    projection = data["projection"].astype(np.float32) * data["scale"].astype(np.float32)
    return data["mean"].astype(np.float32), projection


@dataclass(frozen=True)
class Choice:
    """Result of the screening.

    Attributes
    ----------
    used : the selected faces, best first.
    left_out : photo index -> sentence for the user.
    notes : photo index -> sentence about a used photo.
    chosen : photo index -> the face considered, used or not.
    """

    used: tuple[FaceCandidate, ...]
    left_out: dict[int, str]
    notes: dict[int, str]
    chosen: dict[int, FaceCandidate]


def screen(faces_by_photo: Sequence[Sequence[FaceCandidate]], names: Sequence[str], max_used: int) -> Choice:
    """Select among the faces of each photo (an empty sequence if it has none); ``names`` are the photos'."""
    chosen = choose_person(faces_by_photo)
    taken = "the one that matches the other photos best" if len(chosen) > 1 else "the largest"
    several = ((photo, len(faces)) for photo, faces in enumerate(faces_by_photo) if len(faces) > 1)
    notes = {photo: f"{count} faces are in it; {taken} was taken." for photo, count in several}
    left_out = duplicates(list(chosen.values()), names)
    good = [face for photo, face in chosen.items() if photo not in left_out]
    left_out |= other_people(good)
    good = [face for face in good if face.photo not in left_out]
    poor = {face.photo: reason for face in good if (reason := low_quality_reason(face))}
    if len(poor) < len(good):
        left_out |= poor
        good = [face for face in good if face.photo not in poor]
    else:
        notes |= {photo: f"{reason} It was used because there is no better photo." for photo, reason in poor.items()}
    best = best_spread(good, max_used)
    used = {face.photo for face in best}
    for face in good:
        if face.photo not in used:
            left_out[face.photo] = f"It is not among the best {max_used} of {len(good)} good photos; more are not used."
    best.sort(key=lambda face: (-face.quality.score, face.photo))
    return Choice(tuple(best), left_out, {photo: note for photo, note in notes.items() if photo in used}, chosen)


def choose_person(faces_by_photo: Sequence[Sequence[FaceCandidate]]) -> dict[int, FaceCandidate]:
    """Choose one face per photo such that the faces match each other best; larger faces are preferred.

    Coordinate ascent, started from every face of the photo with the fewest faces: each photo takes the face most
    similar to the other photos' faces, until nothing changes. The start with the highest total wins.
    """
    groups = [list(faces) for faces in faces_by_photo if faces]
    largest = [max(range(len(faces)), key=lambda k: faces[k].size_px) for faces in groups]
    if all(len(faces) == 1 for faces in groups) or len(groups) < 2:
        return {faces[k].photo: faces[k] for faces, k in zip(groups, largest, strict=True)}
    flat = [face for faces in groups for face in faces]
    starts = np.cumsum([0] + [len(faces) for faces in groups])
    alike = np.clip((_similarities(flat) - DIFFERENT) / (SAME - DIFFERENT), -1.0, 1.5)
    large = np.concatenate(
        [
            SCREENING.size_weight * np.log2([face.size_px / max(other.size_px for other in faces) for face in faces])
            for faces in groups
        ]
    )

    def climb(selection: list[int]) -> tuple[float, list[int]]:
        for _ in range(SCREENING.rounds):
            before = list(selection)
            for group in range(len(groups)):
                others = [index for other, index in enumerate(selection) if other != group]
                members = np.arange(starts[group], starts[group + 1])
                gain = alike[np.ix_(members, others)].mean(axis=1) + large[members]
                selection[group] = int(members[np.argmax(gain)])
            if selection == before:
                break
        pairs = alike[np.ix_(selection, selection)]
        mean_alike = (pairs.sum() - np.trace(pairs)) / max(1, len(selection) - 1)
        return float(mean_alike + large[selection].sum()), selection

    fewest = min(range(len(groups)), key=lambda group: len(groups[group]))
    trials = []
    for seed in range(starts[fewest], starts[fewest + 1]):
        selection = [
            int(
                starts[group]
                + np.argmax(alike[starts[group] : starts[group + 1], seed] + large[starts[group] : starts[group + 1]])
            )
            for group in range(len(groups))
        ]
        selection[fewest] = seed
        trials.append(climb(selection))
    trials.append(climb([int(starts[group] + k) for group, k in enumerate(largest)]))
    best = max(trials, key=lambda trial: trial[0])[1]
    return {flat[index].photo: flat[index] for index in sorted(best)}


def duplicates(faces: Sequence[FaceCandidate], names: Sequence[str]) -> dict[int, str]:
    """Photo index -> reason for every copy of an image except the best one."""
    left_out: dict[int, str] = {}
    distinct: list[FaceCandidate] = []
    for face in sorted(faces, key=lambda face: (-round(face.quality.score, 2), face.photo)):
        for other in distinct:
            if float(face.fingerprint @ other.fingerprint) > SCREENING.same_picture:
                left_out[face.photo] = SAME_PICTURE.format(names[other.photo])
            elif float(face.fingerprint @ mirrored_fingerprint(other.fingerprint)) > SCREENING.same_picture:
                left_out[face.photo] = f"It is the mirror image of {names[other.photo]}; one of them is enough."
            else:
                continue
            break
        else:
            distinct.append(face)
    return left_out


def other_people(faces: Sequence[FaceCandidate]) -> dict[int, str]:
    """Photo index -> reason for faces of another person than most photos show.

    Average linkage clusters the faces. The largest cluster is the person if it is larger than every other, has at
    least two faces and is consistent. A face is rejected if its mean similarity to it is below ``STRANGER``
    threshold. With fewer than three photos nothing is rejected.
    """
    if len(faces) < SCREENING.min_photos:
        return {}
    alike = _similarities(faces)
    apart = np.maximum(alike.max() - (alike + alike.T) / 2, 0.0)
    np.fill_diagonal(apart, 0.0)
    limit = alike.max() - (SAME + DIFFERENT) / 2
    groups = fcluster(linkage(squareform(apart, checks=False), "average"), limit, "distance")
    sizes = np.bincount(groups)
    person = groups == np.argmax(sizes)
    if person.sum() < 2 or (sizes == sizes.max()).sum() > 1:
        return {}
    pairs = alike[np.ix_(person, person)]
    agreement = (pairs.sum() - np.trace(pairs)) / (len(pairs) * (len(pairs) - 1))
    if agreement < CONSISTENT:
        return {}
    to_person = alike[:, person].mean(axis=1)
    return {
        face.photo: "It seems to show another person than the other photos do."
        for face, belongs, similarity in zip(faces, person, to_person, strict=True)
        if not belongs and similarity < STRANGER
    }


def low_quality_reason(face: FaceCandidate) -> str:
    """Sentence that says why the face is of little use; empty if it is good enough."""
    quality = face.quality
    if face.size_px < SCREENING.min_face_px:
        return f"The face is only {face.size_px:.0f} pixels high; give a larger picture of it."
    if abs(face.pose.yaw) > SCREENING.max_yaw:
        return "It shows the face from the side only; give a photo in which both eyes are seen."
    if quality.occlusion < SCREENING.min_occlusion:
        return "Most of the face is covered."
    if quality.sharpness < SCREENING.min_sharpness:
        return "The face is too blurred."
    if quality.exposure < SCREENING.min_exposure:
        return "The face is too dark or too bright."
    return ""


def best_spread(faces: Sequence[FaceCandidate], most: int) -> list[FaceCandidate]:
    """Choose at most ``most`` faces greedily by quality, reduced for poses close to those already chosen."""
    if len(faces) <= most:
        return list(faces)
    left, taken = list(faces), []
    turns = np.array([[face.pose.yaw, face.pose.pitch] for face in left]) / SCREENING.pose_reach
    scores = np.array([face.quality.score for face in left])
    crowding = np.zeros(len(left))
    available = np.ones(len(left), dtype=bool)
    while len(taken) < most:
        value = np.where(available, scores / (1.0 + crowding), -1.0)
        index = int(np.argmax(value))
        taken.append(left[index])
        available[index] = False
        crowding += np.exp(-0.5 * ((turns - turns[index]) ** 2).sum(axis=1)) / 4
    return taken
