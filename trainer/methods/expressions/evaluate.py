"""Expressions, head pose and blinks on pictures of synthetic people with ground truth: errors of the 52 weights, of the
pose by axis and by yaw, and the blinks that are found in clips with two each, from the front to the profile.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from rich.console import Console
from scipy.ndimage import label
from scipy.spatial.transform import Rotation
from scipy.stats import binomtest

from backend.errors import LikenessError
from backend.expression.calibrate import solve_photo
from backend.expression.follow import face_in_frame, find_face, frame_face
from backend.expression.reading import towards_point
from backend.expression.subject import Subject, subject_of
from backend.expression.transfer import transfer_frames
from backend.expression.video import VideoFrame
from backend.fitting.parameters import FACING_CAMERA, PhotoParameters
from backend.geometry.template import load_template
from backend.photos.faces import detect_faces
from protocol.names import ARKIT_NAMES, LIDS
from trainer.methods.expressions.observe import frame_camera, put_into_frame
from trainer.people.scene import FRAMES_PER_SECOND, Shot
from trainer.people.source import People, PeopleBatch, PeopleConfig

BLINK_SEED = 9300
"""Seed of people unused in training and in choosing rules (the blink rules were chosen on clips of seed 9200)."""
FRAMES, SIZE = 24, 160
YAWS = (0.0, 12.0, 25.0, 40.0, 55.0, 72.0)
"""Degrees, views of the clips in turn, from both sides."""
SECONDS, JITTER_SECONDS, WIDTH_SECONDS = (0.5, 1.5), 0.12, 0.11
"""Seconds: centres of the blinks, their jitter, and the Gaussian width of a lid's motion."""
CLOSED, FALSE = 0.5, 0.25
"""Lid weight above which a run of frames counts as a blink; upper limit of the true weight in a run that counts as a
false blink."""
DIFFERENT_LEVELS, LEAST_PIXELS = 16, 25
"""A blink is visible if at least that many pixels of its deepest picture differ by more than so many of 255 levels, in
any channel, from a picture of the same instant with open eyes. Chosen by looking at such pairs, at reading resolution,
of the 93 blinks of 56 other clips: with 24 pixels and fewer, behind dark or shining lenses and in blurred profiles, the
shut picture cannot be identified; from 30 on it can. Eye pixels of the renderer's labels predict it less well, because
they ignore glare and half dark lenses."""
AXES = ("pitch", "yaw", "roll")
YAW_EDGES = (0.0, 20.0, 45.0, 90.0)
SEED = 9100
"""Seed of people unused in all training runs."""


class BlinkPeople(People):
    """Clips of ``People`` whose lids only make two full blinks; clip n is seen from ``yaw_of(n)``."""

    def __init__(self, seed: int = BLINK_SEED) -> None:
        super().__init__(PeopleConfig(size=SIZE, seed=seed, photos=FRAMES, clips=True))

    def shots(self, index: int) -> list[Shot]:
        """Draw the parameters of all frames of person ``index``."""
        generator = np.random.default_rng([self.config.seed, index])
        middles = np.array(SECONDS) + generator.uniform(-JITTER_SECONDS, JITTER_SECONDS, len(SECONDS))
        frames = super().shots(index)
        turned = np.radians(yaw_of(index)) - frames[0].view.yaw
        return [_blinking(shot, number, middles, turned) for number, shot in enumerate(frames)]


class LimitedLids(People):
    """The pictures of ``people`` at the same instants, with the lids limited to their median over the clip's frames."""

    def __init__(self, people: People) -> None:
        super().__init__(people.config)
        self._people = people

    def shots(self, index: int) -> list[Shot]:
        """Draw the parameters of all frames of person ``index``."""
        frames = self._people.shots(index)
        usual = np.median([shot.expression.weights[LIDS] for shot in frames], axis=0)
        return [_with_lids(shot, np.minimum(shot.expression.weights[LIDS], usual)) for shot in frames]


def yaw_of(index: int) -> float:
    """Yaw in degrees of clip ``index`` in its first frame."""
    return YAWS[index % len(YAWS)] * (-1.0) ** (index // len(YAWS))


def blinking_lids(number: int, middles: Sequence[float] | np.ndarray) -> float:
    """Lid closure in frame ``number`` for blinks at ``middles`` (seconds)."""
    off = (number / FRAMES_PER_SECOND - np.asarray(middles)) / WIDTH_SECONDS
    return float(np.exp(-(off**2)).max())


def _blinking(shot: Shot, number: int, middles: np.ndarray, turned: float) -> Shot:
    shot = _with_lids(shot, blinking_lids(number, middles))
    return replace(shot, view=replace(shot.view, yaw=shot.view.yaw + turned))


def _with_lids(shot: Shot, lids: np.ndarray | float) -> Shot:
    weights = shot.expression.weights.copy()
    weights[LIDS] = lids
    return replace(shot, expression=replace(shot.expression, weights=weights))


@dataclass(frozen=True)
class BlinkCounts:
    """Blinks of some clips: all true ones and how many were found, the visible ones and how many of these were found,
    and
    false ones."""

    blinks: int = 0
    found: int = 0
    showing: int = 0
    found_showing: int = 0
    false: int = 0

    def __add__(self, other: BlinkCounts) -> BlinkCounts:
        return BlinkCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def different_pixels(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(F,) number of pixels where pictures (F, H, W, 3) uint8 differ from others by more than ``DIFFERENT_LEVELS``."""
    off = np.abs(pictures.astype(np.int16) - others).max(axis=-1)
    return (off > DIFFERENT_LEVELS).sum(axis=(1, 2))


def count_blinks(truth: np.ndarray, estimate: np.ndarray, lid_pixels: np.ndarray) -> BlinkCounts:
    """Count one clip's blinks from weights (F, 52), by both lids' mean; ``lid_pixels`` (F,) are ``different_pixels``
    from open eyes.

    A blink is found when the estimated lid closes within one frame of it.
    """
    true_lid, found_lid = truth[:, LIDS].mean(1), estimate[:, LIDS].mean(1)
    counts = BlinkCounts()
    for frames in _runs(true_lid > CLOSED):
        hit = bool((found_lid[max(frames[0] - 1, 0) : frames[-1] + 2] > CLOSED).any())
        shows = bool(lid_pixels[frames[true_lid[frames].argmax()]] >= LEAST_PIXELS)
        counts += BlinkCounts(1, hit, shows, hit and shows, 0)
    for frames in _runs(found_lid > CLOSED):
        counts += BlinkCounts(false=true_lid[max(frames[0] - 1, 0) : frames[-1] + 2].max() < FALSE)
    return BlinkCounts(*map(int, astuple(counts)))


def _runs(shut: np.ndarray) -> list[np.ndarray]:
    """Frames of each run of True."""
    runs, count = label(shut)
    return [np.flatnonzero(runs == run) for run in range(1, count + 1)]


def blink_figures(prefix: str, counts: BlinkCounts, seconds: float) -> dict[str, float]:
    """Shares of all blinks and of the visible ones that were found, with 95 % intervals, and false ones per minute."""
    figures: dict[str, float] = {}
    for name, hits, count in (("", counts.found, counts.blinks), ("_showing", counts.found_showing, counts.showing)):
        low, high = binomtest(hits, count).proportion_ci(method="wilson") if count else (0.0, 1.0)
        own = {f"blinks{name}": count, f"blinks_found{name}": hits / max(count, 1)}
        figures |= own | {f"blinks_found{name}_low": low, f"blinks_found{name}_high": high}
    figures["blinks_false_per_minute"] = 60.0 * counts.false / seconds
    return {f"{prefix}.{name}": float(value) for name, value in figures.items()}


@dataclass(frozen=True)
class PoseErrors:
    """Errors of F poses.

    Attributes
    ----------
    off : (F, 3) degrees, rotation vector in the true head's axes from the true to the found rotation.
    off_sight : (F, 3) the same relative to the lines of sight to the true and to the found position. This removes the
        ambiguity of the head's direction with an unknown focal length.
    yaw : (F,) degrees, rotation of the head away from the line of sight.
    """

    off: np.ndarray
    off_sight: np.ndarray
    yaw: np.ndarray

    @staticmethod
    def joined(parts: list[PoseErrors]) -> PoseErrors:
        """Concatenate several."""
        names = ("off", "off_sight", "yaw")
        return PoseErrors(*(np.concatenate([getattr(one, name) for one in parts]) for name in names))

    def figures(self, prefix: str) -> dict[str, float]:
        """Mean, median and 95th percentile of the angle; means by axis, by yaw and relative to the line of sight."""
        angle, sight = (np.linalg.norm(values, axis=1) for values in (self.off, self.off_sight))
        errors_of = {f"{prefix}_mean": angle.mean(), f"{prefix}_median": np.median(angle)}
        errors_of[f"{prefix}_p95"] = np.percentile(angle, 95)
        errors_of |= {f"{prefix}_from_sight_mean": sight.mean(), f"{prefix}_from_sight_median": np.median(sight)}
        errors_of |= {f"{prefix}_{name}": np.abs(self.off[:, axis]).mean() for axis, name in enumerate(AXES)}
        for low, high in pairwise(YAW_EDGES):
            inside = (np.abs(self.yaw) >= low) & (np.abs(self.yaw) < high)
            if inside.any():
                errors_of[f"{prefix}_mean_yaw_{low:.0f}_{high:.0f}"] = angle[inside].mean()
        return {name: float(value) for name, value in errors_of.items()}


def pose_errors(true: np.ndarray, true_places: np.ndarray, poses: np.ndarray, found_places: np.ndarray) -> PoseErrors:
    """Compare rotations camera_from_head (F, 3, 3) and positions of the face's centre in the camera frame (F, 3)."""
    sights = [
        np.array([towards_point(point[:2] / point[2]) for point in points]) for points in (true_places, found_places)
    ]
    from_sight = [sight.transpose(0, 2, 1) @ turns for sight, turns in zip(sights, (true, poses), strict=True)]
    off, off_sight = (
        Rotation.from_matrix(a.transpose(0, 2, 1) @ b).as_rotvec(degrees=True) for a, b in ((true, poses), from_sight)
    )
    towards = -from_sight[0][:, 2]  # the direction of the camera in the head's axes
    return PoseErrors(off, off_sight, np.degrees(np.arctan2(towards[:, 0], towards[:, 2])))


@dataclass(frozen=True)
class KnownPictures:
    """Pictures of one synthetic person from a camera whose axis is in the centre of the picture.

    Attributes
    ----------
    pictures : F of (S, S, 3) uint8 sRGB. rotations : (F, 3, 3) camera_from_head. places : (F, 3) of the face's centre
    in the camera frame, metres. weights : (F, 52). neutral : (V, 3) vertices. focal_px : focal length in pixels.
    lid_pixels : (F,) ``different_pixels`` from open eyes; zeros where not asked for.
    """

    pictures: tuple[np.ndarray, ...]
    rotations: np.ndarray
    places: np.ndarray
    weights: np.ndarray
    neutral: np.ndarray
    focal_px: float
    lid_pixels: np.ndarray


def known_pictures(source: PeopleConfig | People, index: int, open_eyed: People | None = None) -> KnownPictures:
    """Render person number ``index`` and put each crop into a whole frame with one focal length and a central principal
    point (the rest of the frame repeats the crop's edge). ``open_eyed``: the same pictures without blinks, for
    ``lid_pixels``."""
    people = source.build() if isinstance(source, PeopleConfig) else source
    config = people.config
    batch = people.batch(range(index, index + 1), torch.device("cpu"))
    intrinsics = batch.intrinsics.numpy().astype(np.float64)
    camera, side = frame_camera(float(np.median(intrinsics[:, 0, 0])), config.size)
    crops = _pixels(batch)
    both = zip(crops, intrinsics, strict=True)
    pictures = [put_into_frame(crop, intrinsic, camera, side) for crop, intrinsic in both]
    lid_pixels = np.zeros(len(crops), int)
    if open_eyed is not None:
        lid_pixels = different_pixels(crops, _pixels(open_eyed.batch(range(index, index + 1), torch.device("cpu"))))
    poses = batch.camera_from_head.numpy().astype(np.float64)
    template = load_template()
    middle = template.landmarks478.positions(batch.neutral[0].numpy())[template.landmarks478.valid].mean(0)
    return KnownPictures(
        tuple(pictures),
        poses[:, :3, :3],
        poses[:, :3, :3] @ middle + poses[:, :3, 3],
        batch.expression.numpy(),
        batch.neutral[0].numpy(),
        float(camera[0, 0]),
        lid_pixels,
    )


def _pixels(batch: PeopleBatch) -> np.ndarray:
    """Convert to (F, S, S, 3) uint8 crops."""
    return np.ascontiguousarray((batch.images.permute(0, 2, 3, 1).numpy() * 255.0 + 0.5).astype(np.uint8))


class PictureSource(AbstractContextManager):
    """Pictures in memory with the interface of a video."""

    def __init__(self, pictures: Sequence[np.ndarray], fps: float) -> None:
        self._pictures, self.fps, self.frame_count = pictures, fps, len(pictures)

    def __exit__(self, *_: object) -> None:
        """Nothing is held open."""

    def frames(self, every: int = 1) -> Iterator[VideoFrame]:
        """See ``Video.frames``."""
        for slot in range(0, len(self._pictures), every):
            yield VideoFrame(slot, self._pictures[slot])


@dataclass(frozen=True)
class Read:
    """Results with ground truth: weights (F, 52), and pose errors as the product gives them; for photos also with known
    focal length (EXIF)."""

    truth: np.ndarray
    found: np.ndarray
    pose: PoseErrors
    exif_pose: PoseErrors | None = None


def read_photos(known: KnownPictures, subject: Subject) -> Read:
    """Read each picture by itself; pictures without a detected face, or with a covered one, are left out.

    Raises ``LikenessError`` if all are."""
    rows = []
    for number, picture in enumerate(known.pictures):
        for face in detect_faces(picture)[:1]:
            there = find_face(picture, face)
            if there is None:
                continue
            framed = frame_face(face_in_frame(str(number), picture, there.landmarks), there.surface)
            if framed.covered:  # left out by the product, too
                continue
            parameters = solve_photo(subject, framed).parameters
            known_focal = replace(framed, face=replace(framed.face, focal_px=known.focal_px))
            calibrated = solve_photo(subject, known_focal).parameters
            rows.append((number, parameters, calibrated))
    if not rows:
        raise LikenessError("no_face", "No face was found in any of the pictures.", "")
    seen_in, solutions, calibrated = zip(*rows, strict=True)
    weights = np.array([one.expression for one in solutions])
    errors = [_errors(known, np.array(seen_in), solved) for solved in (solutions, calibrated)]
    return Read(known.weights[list(seen_in)], weights, *errors)


def _errors(known: KnownPictures, numbers: np.ndarray, solved: Sequence[PhotoParameters]) -> PoseErrors:
    names = ("rotation", "pivot_in_camera")
    rotations, positions = (np.array([getattr(one, name) for one in solved]) for name in names)
    return pose_errors(known.rotations[numbers], known.places[numbers], rotations, positions)


def read_clip(known: KnownPictures) -> Read:
    """Read all pictures as one video of the person's true head. Raises ``LikenessError`` when no face is found."""
    take = transfer_frames("clip", lambda: PictureSource(known.pictures, FRAMES_PER_SECOND), subject_of(known.neutral))
    rotations = FACING_CAMERA @ Rotation.from_quat(np.roll(take.head_rotations, -1, axis=1)).as_matrix()
    positions = take.head_positions.astype(np.float64) @ FACING_CAMERA
    errors = pose_errors(known.rotations, known.places, rotations, positions)
    return Read(known.weights, take.weights, errors)


def jitter(values: np.ndarray) -> float:
    """Mean absolute second difference along the first axis."""
    return float(np.abs(np.diff(values, 2, axis=0)).mean())


def weight_figures(prefix: str, reads: Sequence[Read]) -> dict[str, float]:
    """Mean absolute errors, in total and per key, and pose errors."""
    truth, weights = (np.concatenate([getattr(read, name) for read in reads]) for name in ("truth", "found"))
    error = np.abs(weights - truth)
    figures = {f"{prefix}.pictures": len(truth), f"{prefix}.weights_mae": error.mean()}
    figures[f"{prefix}.weights_mae_of_zero"] = truth.mean()
    for name, kind in (("pose", "pose"), ("exif_pose", "pose_exif")):
        errors = [getattr(read, name) for read in reads if getattr(read, name) is not None]
        if errors:
            figures |= PoseErrors.joined(errors).figures(f"{prefix}.{kind}_degrees")
    figures |= {f"{prefix}.mae.{name}": error[:, key].mean() for key, name in enumerate(ARKIT_NAMES)}
    for key, name in enumerate(ARKIT_NAMES):
        if (truth[:, key] > 0.1).sum() >= 3:  # gain of the motion: slope of a line through 0
            figures[f"{prefix}.gain.{name}"] = (truth[:, key] @ weights[:, key]) / (truth[:, key] @ truth[:, key])
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate expressions``."""
    parser.add_argument("--people", type=int, default=24, help="people of whom two photos are read (default 24)")
    parser.add_argument("--clips", type=int, default=12, help="clips of two seconds (default 12)")
    parser.add_argument("--size", type=int, default=224, help="side of the head's crop in pixels (default 224)")
    parser.add_argument("--blink-clips", type=int, default=96, help="clips with two blinks each, from all sides (96)")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Compute the figures documented in docs/expressions.md."""
    torch.set_num_threads(1)
    photos = PeopleConfig(size=arguments.size, seed=SEED, photos=2)
    reads = []
    for index in range(arguments.people):
        known = known_pictures(photos, index)
        try:
            reads.append(read_photos(known, subject_of(known.neutral)))
        except LikenessError:
            console.print(f"person {index}: no face")
    figures = weight_figures("photos", reads) if reads else {}
    clips = PeopleConfig(size=arguments.size, seed=SEED, photos=24, clips=True).build()
    reads, ratios = [], []
    for index in range(1000, 1000 + arguments.clips):
        try:
            read = read_clip(known_pictures(clips, index))
        except LikenessError:
            console.print(f"clip {index}: no face")
            continue
        reads.append(read)
        ratios.append((jitter(read.found), jitter(read.truth)))
        console.print(f"clip {index}: pose {np.linalg.norm(read.pose.off, axis=1).mean():.1f} degrees")
    if reads:
        ratio, true = np.mean(ratios, axis=0)
        figures |= weight_figures("clips", reads) | {"clips.jitter_ratio": ratio / true}
    return figures | (_read_blink_clips(arguments.blink_clips, console) if arguments.blink_clips else {})


def _read_blink_clips(count: int, console: Console) -> dict[str, float]:
    """``blinks.*`` of the blink clips; blinks in clips without any detected face count as missed."""
    people = BlinkPeople()
    open_eyed = LimitedLids(people)
    by_yaw: dict[float, BlinkCounts] = {}
    for index in range(count):
        known = known_pictures(people, index, open_eyed)
        try:
            found = read_clip(known).found
        except LikenessError:
            console.print(f"blink clip {index}: no face")
            found = np.zeros_like(known.weights)
        counts = count_blinks(known.weights, found, known.lid_pixels)
        if counts.blinks > counts.found or counts.false:
            console.print(f"blink clip {index}, {yaw_of(index):.0f} degrees: {counts}")
        yaw = abs(yaw_of(index))
        by_yaw[yaw] = by_yaw.get(yaw, BlinkCounts()) + counts
    figures = blink_figures("blinks", sum(by_yaw.values(), BlinkCounts()), count * FRAMES / FRAMES_PER_SECOND)
    for yaw, counts in sorted(by_yaw.items()):
        figures[f"blinks.blinks_found_yaw_{yaw:.0f}"] = counts.found / counts.blinks
        figures[f"blinks.blinks_found_showing_yaw_{yaw:.0f}"] = counts.found_showing / max(counts.showing, 1)
    return figures
