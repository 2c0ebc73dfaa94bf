"""Training data of the expression reader: the product's landmarks on synthetic people, with the truth. Lids, brows and
lips are learned from it.

Half of the people have everyday expressions, half rare ones, in whole frames of phones and webcams. More come from the
landmark net's training set, whose pictures are in the cache already: their expressions are drawn again.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch

from backend.expression.follow import find_face
from backend.expression.reading import WINDOW_PER_FACE as READER_WINDOW_PER_FACE
from backend.expression.reading import WINDOW_PIXELS
from backend.geometry.template import load_template
from backend.models.landmarks import WINDOW_PER_FACE, SurfaceLandmarker
from backend.photos.faces import Window, landmark_window
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, LIDS, mirrored_name
from trainer.engine.disk_cache import save_arrays
from trainer.methods.landmarks.data import LandmarkPeopleConfig, box_of_landmarks
from trainer.people.scene import PeopleSampler, Shot, Stage
from trainer.people.shape import MOOD_NAMES, ExpressionParameters, draw_expression, people_surface
from trainer.people.source import People, PeopleBatch, PeopleConfig
from trainer.people.worn import draw_worn

FOCAL_PER_SIDE, SIDES = 0.9, (1.3, 4.0)
"""Focal length over the side of a whole frame, as for phones and webcams, and limits of that side in multiples of the
head's crop."""
_HALF = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])  # cv2 has the first pixel's centre at 0
KEPT = LandmarkPeopleConfig(count=48000, people=PeopleConfig(size=160, framing="roomy", seed=41))
"""The people of trainer/recipes/landmarks_cpu.toml."""
COMMON_KEY_PREFIXES = ("eyeLook", "mouthSmile", "cheekSquint", "mouthDimple", "jawOpen")
"""Prefixes of the common keys: every second picture moves them."""
VISIBLE_WEIGHT = 0.25
"""Weight above which a key counts; smaller ones hardly show."""
JITTER, SIZE_JITTER = 0.03, 0.05
"""Standard deviations of a window's middle in its sides, and of its side (logarithm) and rotation (radians). The
landmark net's first window in the product is no better."""
WIDE_SHARE = 0.5
ANY_MOOD_SHARE = 0.5
"""Share of wide expressions with a mood drawn uniformly, so that fear, sulking or disgust are as frequent as a
smile."""
TURNED_SHARE, TURNED_DEGREES = 0.12, (35.0, 80.0)
"""Share of pictures turned to the side, in addition to ``draw_view``'s, and their yaw; they are the hardest to read."""
HARD_TURNED_SHARE, HARD_DEGREES = 0.65, (40.0, 84.0)
"""Share of hard pictures from the side, and their yaw. Without them the reader has only a few hundred pictures from the
side, a tenth of them with shut eyes."""
HARD_MASKED_SHARE, HARD_HAT_SHARE = 0.3, 0.3
"""Shares of hard pictures with a face mask, and with a hat."""
HARD_SHUT_SHARE, HARD_LIDS_SHARE = 0.3, 0.25
"""Shares of hard pictures with shut eyes, and with lids at random."""
_KEYS = tuple(name for name in ARKIT_NAMES if not name.startswith(("eyeLook", "eyeBlink", "tongue", "mouthClose")))
SEED, HARD_SEED = 31000, 31500
HARD_NUMBERS, KEPT_NUMBERS = 1_000_000, 2_000_000
NUMBERS = {"hard_": HARD_NUMBERS, "rare_": KEPT_NUMBERS, "calm_": KEPT_NUMBERS, "": 0}
"""Offsets of people's numbers by the prefix of their files: hard people, and the landmark net's people."""
SIZES = (224, 160)
"""Sides of the heads' crops in pixels."""
PICTURES_OF_EACH = 2
PEOPLE_AT_ONCE = 20


def frame_camera(focal: float, crop_side: int) -> tuple[np.ndarray, int]:
    """Camera K (3, 3) of a whole frame around a crop of ``crop_side`` pixels, centred, and the frame's side."""
    side = round(float(np.clip(focal / FOCAL_PER_SIDE, *(factor * crop_side for factor in SIDES))))
    return np.array([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1.0]]), side


def put_into_frame(pixels: np.ndarray, intrinsics: np.ndarray, camera: np.ndarray, side: int) -> np.ndarray:
    """Warp crop pixels (S, S, 3) with ``intrinsics`` (3, 3) into a frame (side, side, 3) with ``camera`` (3, 3); the
    rest of the frame repeats the crop's edge."""
    to_frame = _HALF @ camera @ np.linalg.inv(intrinsics) @ np.linalg.inv(_HALF)
    return cv2.warpAffine(pixels, to_frame[:2], (side, side), borderMode=cv2.BORDER_REPLICATE)


@cache
def _casting() -> PeopleSampler:
    return PeopleSampler(KEPT.people.seed, len(load_template().identity_modes))


def cached_shot(number: int) -> Shot:
    """Person, expression and view of kept picture ``number``, without worn things."""
    return _casting().photos(number, 1)[0]


def rarity(weights: np.ndarray) -> np.ndarray:
    """(N,) sum over all keys but the usual ones of how far weights (N, 52) exceed ``VISIBLE_WEIGHT``."""
    rare = [number for number, name in enumerate(ARKIT_NAMES) if not name.startswith(COMMON_KEY_PREFIXES)]
    return np.clip(weights[:, rare] - VISIBLE_WEIGHT, 0.0, None).sum(1)


def chosen(weights: np.ndarray, rare: int, calm: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose pictures by their weights (N, 52): numbers of the at most ``rare`` rarest, rarest first, and of the first
    ``calm`` without rare expressions."""
    off = rarity(weights)
    order = np.argsort(-off, kind="stable")
    return order[: min(rare, int((off > 0.0).sum()))], np.flatnonzero(off == 0.0)[:calm]


class CachedPeople:
    """The cached pictures of these people; see the module."""

    def __init__(self) -> None:
        self._pictures = KEPT.build()
        self._stage = Stage(people_surface(torch.device("cpu")))
        self._landmarker = SurfaceLandmarker.load()

    def rows(self, numbers: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """For every number: the picture (S, S, 3) uint8; the landmark net's points (478, 2) in it, from a slightly
        perturbed window; camera_from_head (4, 4); weights (52,); neutral vertices (V, 3), metres."""
        people = KEPT.people
        posed = self._stage.pose([cached_shot(int(number)) for number in numbers], people.size, people.framing)
        count = len(load_template().vertices)
        for row, number in enumerate(numbers):
            batch = self._pictures.batch(range(int(number), int(number) + 1), torch.device("cpu"))
            pixels = np.ascontiguousarray((batch.images[0].permute(1, 2, 0).numpy() * 255.0 + 0.5).astype(np.uint8))
            window = _moved(landmark_window(batch.landmarks[0].double().numpy(), WINDOW_PER_FACE), int(number))
            points = self._landmarker.find_near(pixels, window).positions
            yield (
                pixels, points, posed.cameras.camera_from_head[row].numpy(), posed.weights[row].numpy(),
                posed.neutral[row, :count].numpy(),
            )  # fmt: skip


def _moved(window: Window, number: int) -> Window:
    across, down, size, turn = np.random.default_rng([KEPT.people.seed, number]).normal(size=4)
    middle = np.asarray(window.centre) + JITTER * window.side * np.array([across, down])
    side = window.side * float(np.exp(SIZE_JITTER * size))
    return Window((float(middle[0]), float(middle[1])), side, window.angle + SIZE_JITTER * turn)


def draw_wide(generator: np.random.Generator) -> ExpressionParameters:
    """Draw a mood and a few keys of random strength, sometimes with random lids, an open mouth or a tongue."""
    rare = generator.random() < ANY_MOOD_SHARE
    base = draw_expression(generator, MOOD_NAMES[generator.integers(len(MOOD_NAMES))] if rare else None)
    weights = base.weights * generator.uniform(0.0, 1.2)
    for _ in range(1 + generator.poisson(2.0)):
        name = _KEYS[generator.integers(len(_KEYS))]
        strength = generator.uniform(0.1, 1.0)
        weights[ARKIT_INDEX[name]] = max(weights[ARKIT_INDEX[name]], strength)
        other = mirrored_name(name)
        if other != name and not name.startswith(("jaw", "mouthLeft", "mouthRight")) and generator.random() < 0.75:
            weights[ARKIT_INDEX[other]] = max(weights[ARKIT_INDEX[other]], strength * generator.uniform(0.8, 1.1))
    if generator.random() < 0.2:
        weights[ARKIT_INDEX["jawOpen"]] = generator.uniform(0.2, 1.0)
    if generator.random() < 0.3:
        lid = generator.uniform(0.2, 1.0) if generator.random() < 0.6 else 1.0
        for blink in LIDS:
            weights[blink] = lid if generator.random() < 0.9 else 0.0
    if generator.random() < 0.08:
        weights[ARKIT_INDEX["tongueOut"]] = generator.uniform(0.3, 1.0)
        weights[ARKIT_INDEX["jawOpen"]] = max(weights[ARKIT_INDEX["jawOpen"]], generator.uniform(0.15, 0.6))
    return replace(base, weights=np.clip(weights, 0, 1).astype(np.float32), glance=1.3 * base.glance)


class WidePeople(People):
    """``People`` with ``draw_wide`` expressions in a share ``WIDE_SHARE`` of the pictures, and more side views."""

    def shots(self, index: int) -> list[Shot]:
        """The parameters of all pictures of person ``index``."""
        generator = np.random.Generator(np.random.Philox(key=[self.config.seed, index], counter=[0, 0, 0, 77]))
        shots = []
        for shot in super().shots(index):
            if generator.random() < WIDE_SHARE:
                shot = replace(shot, expression=draw_wide(generator))
            if generator.random() < TURNED_SHARE:
                yaw = generator.choice([-1.0, 1.0]) * np.radians(generator.uniform(*TURNED_DEGREES))
                shot = replace(shot, view=replace(shot.view, yaw=float(yaw)))
            shots.append(shot)
        return shots


class HardPeople(WidePeople):
    """The hardest people for the detector and the reader: from the side, in masks and hoods, and often with shut
    eyes, so that the reader learns how these look there."""

    def shots(self, index: int) -> list[Shot]:
        """The parameters of all pictures of person ``index``."""
        generator = np.random.Generator(np.random.Philox(key=[self.config.seed, index], counter=[0, 0, 0, 78]))
        return [self._hard(shot, generator) for shot in super().shots(index)]

    def _hard(self, shot: Shot, generator: np.random.Generator) -> Shot:
        view = shot.view
        if generator.random() < HARD_TURNED_SHARE:
            yaw = generator.choice([-1.0, 1.0]) * np.radians(generator.uniform(*HARD_DEGREES))
            view = replace(view, yaw=float(yaw))
        worn = draw_worn(generator, shot.person.look, shot.worn, hat=HARD_HAT_SHARE, mask=HARD_MASKED_SHARE)
        weights = shot.expression.weights.copy()
        lids = generator.random()
        if lids < HARD_SHUT_SHARE:
            weights[LIDS] = generator.uniform(0.85, 1.0)
        elif lids < HARD_SHUT_SHARE + HARD_LIDS_SHARE:
            weights[LIDS] = generator.uniform(0.0, 1.0)
        return replace(shot, view=view, worn=worn, expression=replace(shot.expression, weights=weights))


@dataclass(frozen=True)
class Observed:
    """Landmarks and truth of N pictures.

    Attributes
    ----------
    person : (N,) int64. found : (N, 478, 3) float32 landmarks, pixels of the whole frame; for the landmark net's
        people they are ``surface`` with zero depth. side : (N,) side of the frame in pixels.
    camera_from_head : (N, 4, 4). weights : (N, 52).
    neutral : (N, 5376, 3) float16 offsets of the person's neutral vertices from the template's, millimetres.
    surface : (N, 478, 2) float32 the landmark net's points, pixels of the whole frame.
    window : (N, 144, 144, 3) uint8 of the upright face, ``landmark_window(found, WINDOW_PER_FACE)``.
    """

    person: np.ndarray
    found: np.ndarray
    side: np.ndarray
    camera_from_head: np.ndarray
    weights: np.ndarray
    neutral: np.ndarray
    surface: np.ndarray
    window: np.ndarray


def observe(batch: PeopleBatch, size: int) -> Observed:
    """Detect landmarks in every picture of a batch; pictures without a sure face are left out."""
    rows = []
    mean = load_template().vertices
    for number, (image, intrinsic) in enumerate(
        zip(batch.images, batch.intrinsics.numpy().astype(np.float64), strict=True)
    ):
        pixels = np.ascontiguousarray((image.permute(1, 2, 0).numpy() * 255.0 + 0.5).astype(np.uint8))
        face = find_face(pixels, box_of_landmarks(batch.landmarks478[number].numpy()))
        if face is None or not face.sure:
            continue
        points, surface = face.landmarks.copy(), face.surface.positions
        window = landmark_window(points, READER_WINDOW_PER_FACE).cut(pixels, WINDOW_PIXELS)
        camera, side = frame_camera(float(intrinsic[0, 0]), size)
        points[:, :2] += camera[:2, 2] - intrinsic[:2, 2]  # the frame is the crop, continued
        surface = (surface + camera[:2, 2] - intrinsic[:2, 2]).astype(np.float32)
        neutral = _offsets(batch.neutral[number].numpy(), mean)
        pose, weights = batch.camera_from_head[number].numpy(), batch.expression[number].numpy()
        rows.append((int(batch.person[number]), points, side, pose, weights, neutral, surface, window))
    return _observed(rows)


def observe_cached(people: CachedPeople, numbers: np.ndarray) -> Observed:
    """Kept pictures with the landmark net's points alone. The detector would take most of the time, and the reader does
    not use its landmarks."""
    rows = []
    mean, side = load_template().vertices, KEPT.people.size
    drawn = zip(numbers, people.rows(numbers), strict=True)
    for number, (pixels, points, pose, weights, neutral) in drawn:
        window = landmark_window(points, READER_WINDOW_PER_FACE).cut(pixels, WINDOW_PIXELS)
        marks = np.column_stack([points, np.zeros(len(points))]).astype(np.float32)
        offsets, surface = _offsets(neutral, mean), points.astype(np.float32)
        rows.append((int(number), marks, side, pose, weights, offsets, surface, window))
    return _observed(rows)


def _offsets(neutral: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return (1000.0 * (neutral - mean)).astype(np.float16)


def _observed(rows: list[tuple]) -> Observed:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Observed(**{field.name: column for field, column in zip(fields(Observed), columns, strict=True)})


def collect(folder: Path, people: range, hard: range, end: float = math.inf) -> None:
    """Render people and detect their landmarks, into one file in ``folder`` per ``PEOPLE_AT_ONCE`` people.

    Existing files are kept. ``hard`` people have a seed of their own. No file is begun after ``end``, seconds of
    ``time.monotonic``."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(WidePeople, SEED, "", people), (HardPeople, HARD_SEED, "hard_", hard)]
    for kind, seed, prefix, numbers in wanted:
        for first in range(numbers.start, numbers.stop, PEOPLE_AT_ONCE):
            path = folder / f"{prefix}{first:06d}.npz"
            if path.exists():
                continue
            if time.monotonic() > end:
                return
            size = SIZES[(first // PEOPLE_AT_ONCE) % len(SIZES)]
            source = kind(PeopleConfig(size=size, seed=seed, photos=PICTURES_OF_EACH))
            last = min(first + PEOPLE_AT_ONCE, numbers.stop)
            save_arrays(path, **vars(observe(source.batch(range(first, last), torch.device("cpu")), size)))


def collect_cached(folder: Path, rare: int, calm: int, end: float = math.inf) -> None:
    """The same for the landmark net's people that ``cached_people.chosen`` selects."""
    if not rare and not calm:
        return
    numbers = chosen(_kept_weights(folder / "kept" / "weights.npz"), rare, calm)
    parts = [
        (folder / f"{prefix}{first:06d}.npz", rows[first : first + PEOPLE_AT_ONCE])
        for prefix, rows in zip(("rare_", "calm_"), numbers, strict=True)
        for first in range(0, len(rows), PEOPLE_AT_ONCE)
    ]
    missing = [(path, rows) for path, rows in parts if not path.exists()]
    people = CachedPeople() if missing else None
    for path, rows in missing:
        if time.monotonic() > end:
            return
        save_arrays(path, **vars(observe_cached(people, rows)))


def _kept_weights(path: Path) -> np.ndarray:
    """(N, 52) expression weights of all the landmark net's people, drawn once and cached in a file."""
    if not path.exists():
        save_arrays(path, weights=np.array([cached_shot(number).expression.weights for number in range(KEPT.count)]))
    with np.load(path) as data:
        return data["weights"]


def read_observed(folder: Path) -> Observed:
    """Read and concatenate all files of ``folder``."""
    parts = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            parts.append({field.name: data[field.name] for field in fields(Observed)})
        parts[-1]["person"] = parts[-1]["person"] + NUMBERS[path.stem.rstrip("0123456789")]
    return Observed(**{field.name: np.concatenate([part[field.name] for part in parts]) for field in fields(Observed)})
