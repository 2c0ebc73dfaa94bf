"""MediaPipe's networks for faces, persons and hands, run by LiteRT, and what surrounds them.

Square, optionally rotated image windows: antialiased resampling, and mapping back to image pixels.

The networks are those of MediaPipe 0.10.21 (Apache-2.0), unchanged. What its graphs do around them follows their public
description: a grid of anchors, boxes and key points as offsets from them (Liu et al., SSD, 2016; Bazarevsky et al.,
BlazeFace, 2019), the weighted mean of overlapping boxes, and the turned square that the next network sees.
"""

import hashlib
import os
import threading
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.special import expit

from backend.errors import DamagedFileError, LikenessError
from backend.system.files import ASSETS, made_once

FOLDER = ASSETS / "mediapipe"
SHA256 = {
    "face_detection_full_range_sparse": "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    "face_detection_short_range": "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    "face_landmark": "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    "hand_landmark_lite": "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
    "palm_detection_lite": "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
    "selfie_segmentation": "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
}
"""SHA-256 of the files, without their ending: a damaged one would end the process, not raise an error."""
SHORT_RANGE, FULL_RANGE, PALMS = ((16, 2), (8, 6)), ((48, 1),), ((24, 2), (12, 6))
"""A detector's grids: cells along a side and anchors in the middle of each cell."""
SAME_BOX = 0.3
"""Intersection over union, 0.2 to 0.5, above which a detector's boxes are one; MediaPipe's."""
HAND_WINDOW = 2.6
"""Side of the square around a hand, per palm; MediaPipe's."""


@dataclass(frozen=True)
class Window:
    """A square of an image: its centre and side in image pixels, and its rotation.

    ``angle`` in radians: the direction (cos, sin) in the image (x right, y down) that becomes the window's x axis.
    ``flipped`` mirrors the window left-right after turning.
    """

    centre: tuple[float, float]
    side: float
    angle: float = 0.0
    flipped: bool = False

    def cut(self, pixels: np.ndarray, resolution: int, first: float = 0.5) -> np.ndarray:
        """Resample the window to (resolution, resolution, C); outside the image its edge is repeated.

        first : where in the window the first pixel's centre is, in its pixels. MediaPipe's is 0, on the corner, while
            an image's pixel is still around its own centre (half a pixel on along the image's axes; here along the
            window's, so that a turned photo gives the same).
        """
        factor = resolution / self.side
        if factor < 0.5:  # area filter first, so that the bilinear warp below does not alias
            pixels, origin, shrink = self._shrunk_part(pixels, factor)
        else:
            origin, shrink = np.zeros(2), np.ones(2)
        # picture_px = centre + R (window_px - resolution / 2) / factor; pixel centres are i in cv2, i + 0.5 here
        forward = self._linear() / factor
        corner = self._linear() @ np.full(2, 0.5 - first) - forward @ np.full(2, resolution / 2)
        offset = np.asarray(self.centre) + corner
        forward, offset = shrink[:, None] * forward, shrink * (offset - origin)
        matrix = np.concatenate([forward, (offset + forward @ [first, first] - 0.5)[:, None]], axis=1)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(pixels, matrix, (resolution, resolution), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def to_picture(self, points: np.ndarray, resolution: int) -> np.ndarray:
        """Map points (..., 2 or 3) from pixels of the cut window to image pixels; z is scaled alike."""
        scale = self.side / resolution
        result = np.asarray(points, dtype=np.float64) * scale
        result[..., :2] = (result[..., :2] - self.side / 2) @ self._linear().T + self.centre
        return result

    def from_picture(self, points: np.ndarray, resolution: float) -> np.ndarray:
        """The inverse of ``to_picture`` for points (..., 2)."""
        turned = (np.asarray(points, dtype=np.float64) - self.centre) @ self._linear()
        return (turned + self.side / 2) * (resolution / self.side)

    def _linear(self) -> np.ndarray:
        """(2, 2) rotation (and flip) from window to image directions."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        sign = -1.0 if self.flipped else 1.0
        return np.array([[sign * cos, -sin], [sign * sin, cos]])

    def _shrunk_part(self, pixels: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The window's surroundings, area-averaged; their origin in the image; the scale factors in x and y."""
        height, width = pixels.shape[:2]
        half = self.side * 0.71 + 4
        low = np.clip(np.floor(np.asarray(self.centre) - half), 0, [width - 1, height - 1]).astype(int)
        high = np.clip(np.ceil(np.asarray(self.centre) + half), low + 1, [width, height]).astype(int)
        part = pixels[low[1] : high[1], low[0] : high[0]]
        size = np.maximum(np.round((high - low) * factor).astype(int), 1)
        small = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
        return small, low.astype(np.float64), size / (high - low)


def fit_inside(pixels: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """The image area-averaged to at most ``longest`` pixels a side, and the scale factor (at most 1)."""
    height, width = pixels.shape[:2]
    factor = min(1.0, longest / max(height, width))
    if factor == 1.0:
        return pixels, 1.0
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), factor


@dataclass(frozen=True)
class Box:
    """A detection in a window: its confidence, the box's centre and side, and its key points (K, 2), image pixels."""

    score: float
    centre: np.ndarray
    side: float
    points: np.ndarray


class Network:
    """One network. Calls are serialised by a lock: an interpreter is not thread-safe."""

    def __init__(self, name: str) -> None:
        path = FOLDER / f"{name}.tflite"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DamagedFileError(path, f"it cannot be read ({error.strerror})") from error
        if hashlib.sha256(content).hexdigest() != SHA256[name]:
            raise DamagedFileError(path, "its content is not what was written")
        self._lock = threading.Lock()
        self._interpreter = _interpreter(content)
        (self._input,) = self._interpreter.get_input_details()
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]
        self.side = int(self._input["shape"][1])

    def see(self, pixels: np.ndarray, window: Window, signed: bool = False) -> list[np.ndarray]:
        """Outputs for a window of (H, W, 3) uint8 sRGB pixels, of which the network sees 0 to 1, or -1 to 1."""
        view = window.cut(pixels, self.side, first=0.0).astype(np.float32) / 255.0
        with self._lock:
            self._interpreter.set_tensor(self._input["index"], (2.0 * view - 1.0 if signed else view)[None])
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


@made_once
def network(name: str) -> Network:
    """The network of this name; raises ``LikenessError`` ("missing_part") without LiteRT or for a damaged file."""
    return Network(name)


def _interpreter(content: bytes) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        sentence = f"LiteRT, which runs the networks that find faces, cannot be loaded ({error})."
        raise LikenessError("missing_part", sentence, "Install it with 'pip install ai-edge-litert==2.3.0'.") from error
    try:
        stderr = os.dup(2)
    except OSError:  # no standard error, as under pythonw
        stderr = -1
    try:
        if stderr >= 0:  # the first interpreter names its delegate there
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), 2)
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    finally:
        if stderr >= 0:
            os.dup2(stderr, 2)
            os.close(stderr)
    return interpreter


def boxes(
    name: str, grids: tuple[tuple[int, int], ...], pixels: np.ndarray, window: Window, least: float, signed: bool = True
) -> list[Box]:
    """What the detector ``name`` with ``grids`` finds in a window with a score of at least ``least``, surest first."""
    detector = network(name)
    offsets, logits = detector.see(pixels, window, signed)
    scores = expit(logits[:, 0])
    sure = scores >= least
    anchors = anchor_centres(grids)[sure]
    values = offsets[sure].astype(np.float64).reshape(len(anchors), offsets.shape[1] // 2, 2) / detector.side
    middle, half = values[:, 0] + anchors, values[:, 1] / 2
    places = np.concatenate([(middle - half)[:, None], (middle + half)[:, None], values[:, 2:] + anchors[:, None]], 1)
    found = []
    for score, place in merged(scores[sure], places):
        inside = window.to_picture(place * detector.side, detector.side)
        side = float((place[1] - place[0]).max()) * window.side
        found.append(Box(score, (inside[0] + inside[1]) / 2, side, inside[2:]))
    return found


def anchor_centres(grids: tuple[tuple[int, int], ...]) -> np.ndarray:
    """(A, 2) anchors' centres in shares of the window, row by row; those of a cell follow each other."""
    found = []
    for cells, per_cell in grids:
        rows, columns = np.mgrid[:cells, :cells].reshape(2, -1)
        found.append(np.repeat(np.stack([columns, rows], axis=1) + 0.5, per_cell, axis=0) / cells)
    return np.concatenate(found)


def merged(scores: np.ndarray, places: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Non-maximum suppression: boxes that overlap the surest one become one, the mean weighted by their scores.

    scores : (N,). places : (N, 2 + K, 2) lower corner, upper corner, key points.
    """
    order, found = np.argsort(-scores, kind="stable"), []
    while len(order):
        low, high = np.maximum(places[order[0], 0], places[order, 0]), np.minimum(places[order[0], 1], places[order, 1])
        shared = np.prod(np.maximum(high - low, 0.0), axis=1)
        areas = np.prod(places[order, 1] - places[order, 0], axis=1)
        same = shared > SAME_BOX * (areas[0] + areas - shared)
        same[0] = True
        weights = scores[order[same]]
        found.append((float(weights[0]), np.average(places[order[same]], axis=0, weights=weights)))
        order = order[~same]
    return found


def faces(pixels: np.ndarray, window: Window, full_range: bool) -> list[Box]:
    """Upright faces in a window; key points: right and left eye of the person, nose, mouth, right and left ear.

    full_range : the model for faces far away, 192 pixels, instead of that for faces nearer than 2 m, 128 pixels.
    """
    if full_range:
        return boxes("face_detection_full_range_sparse", FULL_RANGE, pixels, window, 0.6)
    return boxes("face_detection_short_range", SHORT_RANGE, pixels, window, 0.5)


def mesh(pixels: np.ndarray, window: Window) -> np.ndarray | None:
    """(468, 3) points of a face in its upright window, in image pixels (z alike, smaller is nearer); None without one.

    The window's side is 1.5 times the face's. The points of a flipped window are those of the mirror image.
    """
    net = network("face_landmark")
    points, presence = net.see(pixels, window)
    if presence.item() < 0.0 or not np.isfinite(points).all():  # logit
        return None
    return window.to_picture(points.reshape(-1, 3), net.side)


def person(pixels: np.ndarray) -> np.ndarray:
    """(S, S) float32 probability, 0 to 1, that each pixel of (S, S, 3) uint8 belongs to a person."""
    side = pixels.shape[0]
    (probability,) = network("selfie_segmentation").see(pixels, Window((side / 2, side / 2), float(side)))
    return cv2.resize(probability[..., 0], (side, side), interpolation=cv2.INTER_LINEAR)


def hands(pixels: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Hands in (S, S, 3) uint8 pixels: how sure it is whether it is a left or a right one, and its (21, 2) points."""
    side, found = pixels.shape[0], []
    whole = Window((side / 2, side / 2), float(side))
    net = network("hand_landmark_lite")
    for palm in boxes("palm_detection_lite", PALMS, pixels, whole, 0.4, signed=False)[:2]:
        up = palm.points[2] - palm.points[0]  # from the wrist to the middle finger
        angle = float(np.arctan2(up[0], -up[1]))
        centre = palm.centre + 0.5 * palm.side * np.array([np.sin(angle), -np.cos(angle)])
        window = Window(tuple(centre), HAND_WINDOW * palm.side, angle)
        points, presence, right, _ = net.see(pixels, window)
        if presence.item() >= 0.5:
            sure = max(right.item(), 1.0 - right.item())
            found.append((sure, window.to_picture(points.reshape(-1, 3), net.side)[:, :2]))
    return found
