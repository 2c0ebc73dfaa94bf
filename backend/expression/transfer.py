"""From pictures to an ``ExpressionClip``: all steps in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.expression.appearance import turned
from backend.expression.blinks import ReadFrame, with_whole_blinks
from backend.expression.calibrate import (
    FRAME_WEIGHTS,
    Calibration,
    assumed_focal,
    calibrate,
    solve_in_take,
    solve_photo,
)
from backend.expression.clip import ExpressionClip, FrameMark, gaze_of_weights
from backend.expression.expected import read_subject_face
from backend.expression.follow import FaceFollower, find_face
from backend.expression.photo_sequence import PhotoSequence
from backend.expression.reading import Reading
from backend.expression.seen_face import SeenFace, seen_in_frame
from backend.expression.smooth import MeasuredFrame, SmoothFrame, smoothed
from backend.expression.subject import Subject, read_subject, subject_from_faces
from backend.expression.video import Video, VideoFrame
from backend.fitting.initial_pose import initial_parameters
from backend.fitting.options import PriorWeights
from backend.fitting.parameters import FACING_CAMERA
from backend.photos.collection import PhotoFace
from backend.photos.faces.detect import detect_faces
from backend.photos.reading.read import read_photo
from backend.photos.reading.source import PhotoSource, PhotoUnreadableError
from backend.progress import ProgressReporter, silent

ANCHORS = 8
"""Number of frames that calibrate the camera, and the identity where none is given."""
MOST_IDENTITY_PHOTOS = 16
NO_FACE = LikenessError(
    "no_face", "No face was found in any of the pictures.", "Give pictures in which the face is large and in the light."
)


class FrameSource(Protocol):
    """A video, or a source with its interface; ``frames`` may be called once."""

    fps: float
    frame_count: int

    def frames(self, every: int = 1) -> Iterator[VideoFrame]: ...


def transfer_video(path: Path, identity: Path | Subject | None, progress: ProgressReporter = silent) -> ExpressionClip:
    """The take of a video file.

    Parameters
    ----------
    identity : folder that ``reconstruct`` wrote for this person, or the person's rig; None: solved from the video's own
        first good frames.

    Raises ``LikenessError``: "no_photo" (not a video), "no_face", "usage" (not such a folder), "cancelled".
    """
    note, waiting = _repeatable(progress)
    return transfer_frames(Path(path).name, lambda: Video(path, waiting), _subject(identity), note)


def transfer_sequence(
    name: str, paths: Sequence[Path], fps: float, identity: Path | Subject | None, progress: ProgressReporter = silent
) -> ExpressionClip:
    """The take of picture files that are consecutive frames at ``fps``; as ``transfer_video``."""
    note, waiting = _repeatable(progress)
    return transfer_frames(name, lambda: PhotoSequence(paths, fps, waiting), _subject(identity), note)


def _repeatable(progress: ProgressReporter) -> tuple[ProgressReporter, Callable[[], None]]:
    """``progress``, and a function that repeats its last call, so that a run can be cancelled while it waits."""
    reached = ("identity", 0.0)

    def note(stage: str, fraction: float) -> None:
        nonlocal reached
        reached = stage, fraction
        progress(stage, fraction)

    return note, lambda: progress(*reached)


def transfer_frames(
    name: str,
    open_source: Callable[[], AbstractContextManager[FrameSource]],
    subject: Subject | None,
    progress: ProgressReporter = silent,
) -> ExpressionClip:
    """The take of a source of frames, which is read twice. Memory holds a few hundred frames' solutions, one frame's
    pixels, and the take. ``subject`` None: solved from the first good frames."""
    progress("identity", 0.0)
    with open_source() as source:
        anchors = _anchors(source, progress)
    if not anchors:
        raise NO_FACE
    subject = subject or subject_from_faces(tuple(one.face for one in anchors), FRAME_WEIGHTS)
    calibration = calibrate(subject, anchors)
    progress("identity", 1.0)
    with open_source() as source:
        fps = source.fps
        measured = _measured(subject, calibration, source, progress)
        frames = list(smoothed(measured, fps))
    if all(frame.mark in (FrameMark.NO_FACE, FrameMark.DROPPED) for frame in frames):
        raise NO_FACE
    progress("expression", 1.0)
    pivot = _pivot(subject, anchors[0].face)
    return _clip(name, "video", fps, frames, pivot)


def identity_of_frames(open_source: Callable[[], AbstractContextManager[FrameSource]]) -> Subject:
    """The subject that ``transfer_frames`` solves where none is given. Raises ``LikenessError`` "no_face"."""
    with open_source() as source:
        anchors = _anchors(source, silent)
    if not anchors:
        raise NO_FACE
    return subject_from_faces(tuple(one.face for one in anchors), FRAME_WEIGHTS)


def _subject(identity: Path | Subject | None) -> Subject | None:
    return read_subject(identity) if isinstance(identity, Path) else identity


def _anchors(source: FrameSource, progress: ProgressReporter) -> tuple[SeenFace, ...]:
    """Up to ``ANCHORS`` frames with a face, about half a second apart, from the take's start."""
    every = max(1, round(source.fps / 2))
    if source.frame_count:
        every = max(1, min(every, source.frame_count // ANCHORS))
    follow, found = FaceFollower(), []
    for frame in source.frames(every):
        progress(
            "identity", 0.8 * max(len(found) / ANCHORS, min(frame.slot / max(source.frame_count, frame.slot + 1), 1))
        )
        seen = _seen_face(follow, frame)
        if seen is not None:
            found.append(seen)
        if len(found) == ANCHORS:
            break
    return tuple(found)


def _seen_face(follow: FaceFollower, frame: VideoFrame) -> SeenFace | None:
    """The face in a frame; None where none is found, or it is almost fully occluded."""
    found = follow(frame.pixels)
    if found is None:
        return None
    name, focal = f"frame {frame.slot}", assumed_focal(frame.pixels)
    seen = seen_in_frame(name, frame.pixels, found.landmarks, None, focal, found.surface)
    return None if seen.covered else seen


def _measured(
    subject: Subject, calibration: Calibration, source: FrameSource, progress: ProgressReporter
) -> Iterator[MeasuredFrame]:
    """Solve each slot, in order."""
    read = _read(subject, source, progress)
    for frame in with_whole_blinks(read, source.fps, calibration.open_lids):
        if isinstance(frame, FrameMark):
            yield MeasuredFrame(None, frame)
        else:
            yield _measure(subject, calibration, *frame)


def _read(subject: Subject, source: FrameSource, progress: ProgressReporter) -> Iterator[ReadFrame]:
    """Read each slot with the expression reader, in order."""
    follow = FaceFollower()
    expected = 0
    for frame in source.frames():
        progress("expression", min(frame.slot / source.frame_count, 0.999) if source.frame_count else 0.0)
        for _ in range(expected, frame.slot):
            yield FrameMark.DROPPED
        expected = frame.slot + 1
        seen = _seen_face(follow, frame)
        if seen is None:
            yield FrameMark.NO_FACE
            continue
        try:
            yield seen, read_subject_face(subject, seen.evidence)
        except (ValueError, np.linalg.LinAlgError):  # no pose explains these landmarks
            yield FrameMark.NO_FACE


def _measure(subject: Subject, calibration: Calibration, seen: SeenFace, reading: Reading) -> MeasuredFrame:
    try:
        solved = solve_in_take(subject, seen, reading, calibration.prior)
    except (ValueError, np.linalg.LinAlgError):  # no pose explains these landmarks
        return MeasuredFrame(None, FrameMark.NO_FACE)
    if not np.isfinite(solved.information).all():
        return MeasuredFrame(None, FrameMark.NO_FACE)
    solved = replace(solved, parameters=turned(solved.parameters, calibration.turn))
    return MeasuredFrame(solved, FrameMark.MEASURED)


def transfer_photos(
    name: str, photos: Sequence[tuple[str, Path]], identity: Path | Subject | None, progress: ProgressReporter = silent
) -> ExpressionClip:
    """The expressions of photos (name, path), each solved by itself; photos without a usable face are in ``left_out``.

    Raises ``LikenessError``: "no_photo" when none can be read, "no_face", "usage" (not such a folder), "cancelled".
    """
    progress("identity", 0.0)
    subject = _subject(identity)
    faces, left_out, unreadable = [], [], 0
    for number, (photo, path) in enumerate(photos):
        done = 0.8 * number / len(photos)
        progress("identity", done)
        try:
            faces.append(_photo_face(photo, path, lambda done=done: progress("identity", done)))
        except PhotoUnreadableError as error:
            left_out.append((photo, str(error)))
            unreadable += 1
        except LikenessError as error:
            left_out.append((photo, error.sentence))
    if unreadable == len(photos):
        raise LikenessError("no_photo", f"No photo can be read: {left_out[0][1]}", "")
    if not faces:
        raise NO_FACE
    if subject is None:
        step = max(1, len(faces) // MOST_IDENTITY_PHOTOS)
        subject = subject_from_faces(tuple(one.face for one in faces[::step][:MOST_IDENTITY_PHOTOS]))
    progress("identity", 1.0)
    frames, names = [], []
    for number, seen in enumerate(faces):
        progress("expression", number / len(faces))
        try:
            solved = solve_photo(subject, seen)
        except (ValueError, np.linalg.LinAlgError):
            left_out.append((seen.face.name, "The head could not be fitted to the landmarks in it."))
            continue
        found = solved.parameters
        frames.append(
            SmoothFrame(
                found.rotation, found.pivot_in_camera, found.expression, FrameMark.MEASURED, solved.error_percent
            )
        )
        names.append(seen.face.name)
    if not frames:
        raise NO_FACE
    progress("expression", 1.0)
    return _clip(name, "photos", None, frames, _pivot(subject, faces[0].face), tuple(names), tuple(left_out))


def _photo_face(name: str, path: Path, waiting: Callable[[], None]) -> SeenFace:
    photo = read_photo(PhotoSource(name, path=path), waiting=waiting)
    sentence = "No face was found in it."
    for detected in detect_faces(photo.pixels):
        found = find_face(photo.pixels, detected)
        if found is None:
            continue
        size, focal = photo.source_size, photo.focal_px
        seen = seen_in_frame(name, photo.pixels, found.landmarks, size, focal, found.surface)
        if not seen.covered:
            return seen
        sentence = "Almost all of the face is covered; give a picture that shows it."
    raise LikenessError("no_face", sentence)


def _pivot(subject: Subject, face: PhotoFace) -> np.ndarray:
    return initial_parameters(subject.template, face, PriorWeights(), 0).pivot


def _clip(
    name: str,
    kind: str,
    fps: float | None,
    frames: list[SmoothFrame],
    pivot: np.ndarray,
    frame_names: tuple[str, ...] = (),
    left_out: tuple[tuple[str, str], ...] = (),
) -> ExpressionClip:
    weights = np.array([frame.weights for frame in frames], np.float32)
    rotations = FACING_CAMERA @ np.array([frame.rotation for frame in frames])
    quaternions = np.roll(Rotation.from_matrix(rotations).as_quat(), 1, axis=1)  # w first
    if kind == "video":
        flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(1))
        quaternions[1:] *= np.cumprod(np.where(flips == 0, 1.0, flips))[:, None]
    return ExpressionClip(
        source=name,
        kind=kind,
        fps=fps,
        frame_names=frame_names,
        weights=weights,
        head_positions=np.array([frame.position for frame in frames]).astype(np.float32) @ FACING_CAMERA.astype("f4"),
        head_rotations=quaternions.astype(np.float32),
        gaze=gaze_of_weights(weights),
        marks=np.array([frame.mark for frame in frames], np.uint8),
        errors=np.array([frame.error_percent for frame in frames], np.float32),
        pivot=np.asarray(pivot, np.float32),
        left_out=left_out,
    )
