"""Evaluate expressions, head pose and blinks on pictures of synthetic people with ground truth."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.expression.appearance import face_vertices
from backend.expression.calibrate import solve_photo
from backend.expression.clip import ExpressionClip
from backend.expression.follow import find_face
from backend.expression.seen_face import seen_in_frame
from backend.expression.subject import Subject, subject_of
from backend.expression.transfer import identity_of_frames, transfer_frames
from backend.expression.video import VideoFrame
from backend.fitting.parameters import FACING_CAMERA, PhotoParameters
from backend.geometry.template import load_template
from backend.photos.faces.detect import detect_faces
from backend.rig.arkit import ARKIT_NAMES
from trainer.data.people.batch import PeopleBatch
from trainer.data.people.people_sampler import FRAMES_PER_SECOND
from trainer.data.people.source import People, PeopleConfig
from trainer.evaluate.blink_clips import FRAMES as BLINK_FRAMES
from trainer.evaluate.blink_clips import BlinkPeople, LimitedLids, yaw_of
from trainer.evaluate.blink_counts import BlinkCounts, blink_figures, count_blinks, different_pixels
from trainer.evaluate.pose_errors import PoseErrors, pose_errors, turn_between
from trainer.evaluate.seen_skin import seen_appearance
from trainer.expressions.pictures import frame_camera, put_into_frame

SEED = 9100
"""Seed of people unused in all training runs."""
KINDS = ("photos", "clips", "blinks", "all_clips")


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
    pictures = [put_into_frame(crop, own, camera, side) for crop, own in zip(crops, intrinsics, strict=True)]
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


class PictureSource:
    """Pictures in memory with the interface of a video."""

    def __init__(self, pictures: Sequence[np.ndarray], fps: float) -> None:
        self._pictures, self.fps, self.frame_count = pictures, fps, len(pictures)

    def __enter__(self) -> PictureSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def frames(self, every: int = 1) -> Iterator[VideoFrame]:
        """See ``Video.frames``."""
        for slot in range(0, len(self._pictures), every):
            yield VideoFrame(slot, self._pictures[slot])


@dataclass(frozen=True)
class Read:
    """Results with ground truth: weights (F, 52), and pose errors as the product gives them; for photos also with known
    focal length (EXIF), and for reconstructed heads also after aligning the faces."""

    truth: np.ndarray
    found: np.ndarray
    pose: PoseErrors
    exif_pose: PoseErrors | None = None
    aligned_pose: PoseErrors | None = None


def read_photos(known: KnownPictures, subject: Subject) -> Read:
    """Read each picture by itself; pictures without a detected face, or with a covered one, are left out.

    Raises ``LikenessError`` if all are."""
    rows = []
    for number, picture in enumerate(known.pictures):
        for face in detect_faces(picture)[:1]:
            there = find_face(picture, face)
            if there is None:
                continue
            seen = seen_in_frame(str(number), picture, there.landmarks, surface=there.surface)
            if seen.covered:  # left out by the product, too
                continue
            parameters = solve_photo(subject, seen).parameters
            told = solve_photo(subject, replace(seen, face=replace(seen.face, focal_px=known.focal_px))).parameters
            rows.append((number, parameters, told))
    if not rows:
        raise LikenessError("no_face", "No face was found in any of the pictures.", "")
    seen_in, found, told = zip(*rows, strict=True)
    weights = np.array([one.expression for one in found])
    errors = [_errors(known, np.array(seen_in), solved) for solved in (found, told)]
    return Read(known.weights[list(seen_in)], weights, *errors)


def _errors(known: KnownPictures, numbers: np.ndarray, solved: Sequence[PhotoParameters]) -> PoseErrors:
    rotations, places = (np.array([getattr(one, name) for one in solved]) for name in ("rotation", "pivot_in_camera"))
    return pose_errors(known.rotations[numbers], known.places[numbers], rotations, places)


def read_clip(known: KnownPictures, subject: Subject) -> tuple[Read, ExpressionClip]:
    """Read all pictures as one video. Where ``subject`` is None, the person is reconstructed from them. Raises
    ``LikenessError`` when no face is found."""

    def source() -> PictureSource:
        return PictureSource(known.pictures, FRAMES_PER_SECOND)

    own = subject or identity_of_frames(source)
    take = transfer_frames("clip", source, own)
    found = FACING_CAMERA @ Rotation.from_quat(np.roll(take.head_rotations, -1, axis=1)).as_matrix()
    places = take.head_positions.astype(np.float64) @ FACING_CAMERA
    errors = pose_errors(known.rotations, known.places, found, places)
    if subject is not None:
        return Read(known.weights, take.weights, errors), take
    face = face_vertices(own.template)
    found = found @ turn_between(own.template.vertices[face], known.neutral[face])
    aligned = pose_errors(known.rotations, known.places, found, places)
    return Read(known.weights, take.weights, errors, aligned_pose=aligned), take


def jitter(values: np.ndarray) -> float:
    """Mean absolute second difference along the first axis."""
    return float(np.abs(np.diff(values, 2, axis=0)).mean())


def weight_figures(prefix: str, reads: Sequence[Read]) -> dict[str, float]:
    """Mean absolute errors, in total and per key, and pose errors."""
    truth, found = (np.concatenate([getattr(read, name) for read in reads]) for name in ("truth", "found"))
    error = np.abs(found - truth)
    figures = {
        f"{prefix}.pictures": len(truth),
        f"{prefix}.weights_mae": error.mean(),
        f"{prefix}.weights_mae_of_zero": truth.mean(),
    }
    for name, kind in (("pose", "pose"), ("exif_pose", "pose_exif"), ("aligned_pose", "pose_aligned")):
        errors = [getattr(read, name) for read in reads if getattr(read, name) is not None]
        if errors:
            figures |= PoseErrors.joined(errors).figures(f"{prefix}.{kind}_degrees")
    figures |= {f"{prefix}.mae.{name}": error[:, key].mean() for key, name in enumerate(ARKIT_NAMES)}
    for key, name in enumerate(ARKIT_NAMES):
        if (truth[:, key] > 0.1).sum() >= 3:  # gain of the motion: slope of a line through 0
            figures[f"{prefix}.gain.{name}"] = (truth[:, key] @ found[:, key]) / (truth[:, key] @ truth[:, key])
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``evaluate expressions``."""
    parser.add_argument("--people", type=int, default=24, help="people of whom two photos are read (default 24)")
    parser.add_argument("--clips", type=int, default=12, help="clips of two seconds (default 12)")
    parser.add_argument("--size", type=int, default=224, help="side of the head's crop in pixels (default 224)")
    parser.add_argument(
        "--identity",
        choices=("known", "textured", "auto"),
        default="known",
        help="the person's true neutral head (default), with skin as four other photos show it, or solved (clips only)",
    )
    parser.add_argument(
        "--blink-clips", type=int, default=96, help="clips with two blinks each, from all sides (default 96)"
    )


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Compute the figures documented in docs/expressions.md."""
    torch.set_num_threads(1)
    photos = PeopleConfig(size=arguments.size, seed=SEED, photos=2)
    textured = arguments.identity == "textured"
    reads = []
    for index in range(arguments.people):
        known = known_pictures(photos, index)
        skin = seen_appearance(photos, index) if textured else None
        try:
            reads.append(read_photos(known, subject_of(known.neutral, skin)))
        except LikenessError:
            console.print(f"person {index}: no face")
    figures = weight_figures("photos", reads) if reads else {}
    clips = PeopleConfig(size=arguments.size, seed=SEED, photos=24, clips=True).build()
    open_eyed = LimitedLids(clips)
    reads, ratios, total = [], [], BlinkCounts()
    for index in range(1000, 1000 + arguments.clips):
        known = known_pictures(clips, index, open_eyed)
        skin = seen_appearance(photos, index) if textured else None
        subject = None if arguments.identity == "auto" else subject_of(known.neutral, skin)
        try:
            read, _ = read_clip(known, subject)
        except LikenessError:
            console.print(f"clip {index}: no face")
            total += _missed(known)
            continue
        reads.append(read)
        ratios.append((jitter(read.found), jitter(read.truth)))
        counts = count_blinks(read.truth, read.found, known.lid_pixels)
        total += counts
        off = np.linalg.norm(read.pose.off, axis=1).mean()
        console.print(f"clip {index}: pose {off:.1f} degrees, {counts}")
    if reads:
        figures |= weight_figures("clips", reads)
        found, true = np.mean(ratios, axis=0)
        figures["clips.jitter_ratio"] = found / true
        figures |= blink_figures("clips", total, sum(len(read.truth) for read in reads) / FRAMES_PER_SECOND)
    if arguments.blink_clips:
        clip_figures, counts = _read_blink_clips(arguments.blink_clips, console)
        figures |= clip_figures
        total += counts
        frames = sum(len(read.truth) for read in reads) + arguments.blink_clips * BLINK_FRAMES
        figures |= blink_figures("all_clips", total, frames / FRAMES_PER_SECOND)
    _print(figures, console)
    return figures


def _read_blink_clips(count: int, console: Console) -> tuple[dict[str, float], BlinkCounts]:
    """``blinks.*`` of the blink clips; blinks in clips without any detected face count as missed."""
    people = BlinkPeople()
    open_eyed = LimitedLids(people)
    by_yaw: dict[float, BlinkCounts] = {}
    for index in range(count):
        known = known_pictures(people, index, open_eyed)
        try:
            read, _ = read_clip(known, subject_of(known.neutral))
            counts = count_blinks(read.truth, read.found, known.lid_pixels)
        except LikenessError:
            console.print(f"blink clip {index}: no face")
            counts = _missed(known)
        if counts.blinks > counts.found or counts.false:
            console.print(f"blink clip {index}, {yaw_of(index):.0f} degrees: {counts}")
        yaw = abs(yaw_of(index))
        by_yaw[yaw] = by_yaw.get(yaw, BlinkCounts()) + counts
    total = sum(by_yaw.values(), BlinkCounts())
    figures = blink_figures("blinks", total, count * BLINK_FRAMES / FRAMES_PER_SECOND)
    for yaw, counts in sorted(by_yaw.items()):
        figures[f"blinks.blinks_found_yaw_{yaw:.0f}"] = counts.found / counts.blinks
        figures[f"blinks.blinks_found_showing_yaw_{yaw:.0f}"] = counts.found_showing / max(counts.showing, 1)
    return figures, total


def _missed(known: KnownPictures) -> BlinkCounts:
    """Counts for a clip in which no face is found."""
    return count_blinks(known.weights, np.zeros_like(known.weights), known.lid_pixels)


def _print(figures: dict[str, float], console: Console) -> None:
    table = Table(box=None, header_style="bold")
    for column in ("", *KINDS):
        table.add_column(column, justify="left" if not column else "right")
    names = dict.fromkeys(name.split(".", 1)[1] for name in figures)
    for name in names:
        cells = [figures.get(f"{kind}.{name}") for kind in KINDS]
        table.add_row(name, *("" if cell is None else f"{cell:.3f}" for cell in cells))
    console.print(table)
