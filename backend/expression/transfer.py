"""From pictures to an ``ExpressionClip``: all steps in order.

Complete blinks and suppress trembling lids: lids that shut and open again at once count as fully shut, even where
the pictures show half of it; all that does not exceed the noise is damped.

A blink is found by how far the reader's lid weights, and the lid opening of the landmark net, exceed the noise of
this take, because on faces in profile or with small eyes a whole blink is read as a tenth of one.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.ndimage import grey_opening, maximum_filter1d
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.expression import calibrate as calibrating
from backend.expression import solver
from backend.expression.clip import ExpressionClip, FrameMark, gaze_of_weights
from backend.expression.follow import FaceFollower, FrameFace, face_in_frame, find_face, frame_face
from backend.expression.reading import Reading
from backend.expression.subject import Subject, read_subject, subject_from_faces
from backend.expression.video import PhotoSequence, Video, VideoFrame
from backend.fitting.detector_model import initial_parameters
from backend.fitting.options import PriorWeights
from backend.fitting.parameters import FACING_CAMERA
from backend.photos.collection import PhotoFace, PhotoSource, PhotoUnreadableError
from backend.photos.faces import detect_faces, quarter_turns, upright
from backend.photos.faces import turned as turned_by
from backend.photos.reading import read_photo
from backend.progress import ProgressReporter, silent
from protocol.names import LIDS

REACH_SECONDS = 0.35
"""Time before and after a blink's deepest frame within which the lids are open."""
LONGEST_SECONDS = 0.5
"""Longest duration of a blink."""
RISE, RISE_OF_EACH = 0.22, 0.3
"""Least rise of both lids' mean reading over the frames before and after in a plain blink; and least rise of each lid,
relative to the mean, in any blink."""
PLAIN_SCORE, SCORE, SCORE_OF_EACH = 3.0, 5.0, 1.0
"""Least sum of ``blink_scores`` of a plain blink and of one that is read as less than ``RISE``; and least of reading
and of opening in the latter."""
END_SECONDS = 0.15
"""Least time from a take's end: nearer to it a blink needs ``SCORE`` in any case."""
LID_RISE_FACTOR = 0.4
"""Factor on a rise of both lids that is over in ``LONGEST_SECONDS`` but is not a blink."""
_PEAK_WINDOW = 5
"""Window in frames within which a blink's frame must be the deepest."""
READING_FLOOR, OPENING_FLOOR, MOST_OPENING_SCORE = 0.02, 0.04, 6.0
"""Lower bounds of the noise of the reading and of the logarithm of the opening; upper bound of the opening's score."""
RUN_SHARE = 0.35
"""Share of the peak's score from which on frames belong to the blink."""
BLINK_DEPTH = 0.95
"""Least weight of both lids at the deepest frame of a completed blink."""

ReadFrame = tuple[FrameFace, Reading] | FrameMark
"""A frame with its reading, or why there is none."""


def with_whole_blinks(frames: Iterable[ReadFrame], fps: float, open_lids: np.ndarray) -> Iterator[ReadFrame]:
    """The frames with lid weights relative to ``open_lids`` (2,), see ``lids_from_open``, and blinks completed; buffers
    some 3 s of frames."""
    reach = _context(fps)
    window: list[ReadFrame] = []
    at = 0  # index in the window of the first frame not yielded yet
    for frame in frames:
        window.append(frame)
        if len(window) - at > reach:
            yield _completed(window, at, fps, open_lids)
            at += 1
            if at > reach:
                window, at = window[1:], at - 1
    for number in range(at, len(window)):
        yield _completed(window, number, fps, open_lids)


def _context(fps: float) -> int:
    """Frames of context before and after one: its blink's peak may be ``LONGEST_SECONDS`` away, and ``blink_scores``
    there uses three times ``REACH_SECONDS`` around it."""
    return math.ceil(LONGEST_SECONDS * fps) + 3 * math.ceil(REACH_SECONDS * fps) + 2


def _completed(window: list[ReadFrame], at: int, fps: float, open_lids: np.ndarray) -> ReadFrame:
    """Frame ``at`` of the window, as of ``with_whole_blinks``."""
    frame = window[at]
    if isinstance(frame, FrameMark):
        return frame
    unseen = np.full(2, np.nan)
    lids = np.array([unseen if isinstance(one, FrameMark) else one[1].weights[LIDS] for one in window])
    face, reading = frame
    weights = reading.weights.copy()
    weights[LIDS] = complete_blinks(solver.lids_from_open(lids, open_lids), _openings(window), fps)[at]
    return face, replace(reading, weights=weights)


def _openings(window: list[ReadFrame]) -> np.ndarray:
    """(F,) ``eyes_opening`` of the landmark net's points, NaN without a face."""
    return np.array(
        [np.nan if isinstance(one, FrameMark) else eyes_opening(one[0].evidence.on_surface()) for one in window]
    )


def eyes_opening(landmarks: np.ndarray) -> float:
    """Lid opening over the eye's width, of landmarks (478, 3): mean of both eyes, weighted by their squared width."""
    widths = np.array(
        [np.linalg.norm(landmarks[corners[0], :2] - landmarks[corners[1], :2]) for _, corners, _ in solver.EYES]
    )
    share = widths**2 / max(float((widths**2).sum()), 1e-9)
    return float(share @ [solver.lid_opening(landmarks, eye) for eye in range(2)])


def blink_scores(lids: np.ndarray, openings: np.ndarray, valid: np.ndarray, fps: float) -> np.ndarray:
    """(2, F) z-scores of the reading and of the opening against the surrounding frames, in robust standard deviations;
    0 where no face is seen.

    lids : (F, 2) ``lids_from_open``, not clipped at 0, because clipped lids would have hardly any noise;
    openings : (F,) ``eyes_opening``; both finite. valid : (F,) bool, False where values are interpolated between two
    faces, which lowers the noise.
    """
    reach = math.ceil(REACH_SECONDS * fps)
    reading = _z_scores(lids.mean(1), valid, reach, READING_FLOOR)
    opening = _z_scores(-np.log(np.maximum(openings, 0.02)), valid, reach, OPENING_FLOOR)
    return np.stack([reading, np.clip(opening, -2.0, MOST_OPENING_SCORE)])


def _z_scores(values: np.ndarray, valid: np.ndarray, reach: int, floor: float) -> np.ndarray:
    """(F,) difference from the running median, over the usual size of this difference in ``valid`` frames, which is at
    least ``floor``; 0 in other frames."""
    off = values - np.median(_windows(values, reach), axis=1)
    usual = np.nanmedian(_windows(np.where(valid, np.abs(off), np.nan), 2 * reach)[valid], axis=1)
    score = np.zeros(len(values))
    score[valid] = off[valid] / np.maximum(1.4826 * usual, floor)
    return score


def _windows(values: np.ndarray, reach: int) -> np.ndarray:
    """(F, 2 reach + 1) windows of ``reach`` frames before and after each; mirrored beyond the ends."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, mode="symmetric"), 2 * reach + 1)


def complete_blinks(lids: np.ndarray, openings: np.ndarray, fps: float) -> np.ndarray:
    """Lids' weights (F, 2) in [0, 1] with every blink as deep as ``BLINK_DEPTH`` and the rest damped to
    ``LID_RISE_FACTOR``. lids : ``lids_from_open``, NaN where there was no face.

    A blink is a peak of ``blink_scores`` in which both lids rise, and that is over in ``LONGEST_SECONDS``. Plain blinks
    rise by ``RISE`` over the lowest values within ``REACH_SECONDS`` before and after, and need ``PLAIN_SCORE``; at the
    take's ends, where one side is enough, and in all other cases, ``SCORE``. openings : (F,) ``eyes_opening``.
    """
    result = np.clip(lids, 0.0, 1.0)
    valid = ~np.isnan(lids[:, 0])
    known = np.flatnonzero(valid)
    if not len(known):
        return result
    frames = np.arange(len(lids))
    read = np.column_stack([np.interp(frames, known, lids[known, eye]) for eye in range(2)])
    filled = np.clip(read, 0.0, 1.0)
    scores = blink_scores(read, np.interp(frames, known, openings[known]), valid, fps)
    whole, is_blink = filled.copy(), np.zeros(len(lids), bool)
    total = scores.sum(0)
    plain, clear = _peaks(filled, scores, fps)
    for peak in known[(plain | clear)[known]]:
        blink = _blink_at(peak, filled, total, plain[peak], clear[peak], fps)
        if blink is None:
            continue
        span, base = blink
        gain = np.maximum((BLINK_DEPTH - base) / np.maximum(filled[peak] - base, 1e-3), 1.0)
        whole[span] = np.maximum(whole[span], np.clip(base + gain * (filled[span] - base), 0.0, 1.0))
        is_blink[span] = True
    whole = np.where(is_blink[:, None], whole, _damped(filled, fps))
    return np.where(np.isnan(lids), np.nan, whole)


def _peaks(lids: np.ndarray, scores: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Candidates for the deepest frame of a plain blink, and of a clear one of any depth: (F,) bool each.

    lids : (F, 2) in [0, 1]; scores : (2, F) ``blink_scores``.
    """
    total, mean, frames = scores.sum(0), lids.mean(1), np.arange(len(lids))
    deepest, clearest = (
        values >= maximum_filter1d(values, _PEAK_WINDOW, mode="constant", cval=-np.inf) for values in (mean, total)
    )
    at_end = np.minimum(frames, len(lids) - 1 - frames) < math.ceil(END_SECONDS * fps)
    plain = deepest & (total >= np.where(at_end, SCORE, PLAIN_SCORE))
    clear = clearest & (total >= SCORE) & (scores.min(0) >= SCORE_OF_EACH) & ~at_end
    return plain, clear


def _blink_at(
    peak: int, lids: np.ndarray, total: np.ndarray, plain: bool, clear: bool, fps: float
) -> tuple[slice, np.ndarray] | None:
    """Frames of the blink with its deepest one at ``peak``, and the lids' weights (2,) before and after; None where
    there is none. lids : (F, 2) in [0, 1]; total : (F,) sum of ``blink_scores``; plain, clear : of ``_peaks``, at
    ``peak``."""
    reach, mean = math.ceil(REACH_SECONDS * fps), lids.mean(1)
    sides = [lids[max(peak - reach, 0) : peak], lids[peak + 1 : peak + 1 + reach]]
    lowest = [side[side.mean(1).argmin()] for side in sides if len(side)]
    if not lowest:
        return None
    base = np.max(lowest, axis=0)  # (2,)
    height = lids[peak] - base
    if height.min() < RISE_OF_EACH * height.mean() or height.mean() <= 0.0 or (not clear and height.mean() < RISE):
        return None
    raised = mean > base.mean() + 0.25 * height.mean() if plain else total > RUN_SHARE * total[peak]
    first, last = peak, peak
    while first > 0 and raised[first - 1]:
        first -= 1
    while last + 1 < len(lids) and raised[last + 1]:
        last += 1
    return None if (last - first + 1) / fps > LONGEST_SECONDS else (slice(first, last + 1), base)


def _damped(lids: np.ndarray, fps: float) -> np.ndarray:
    """Lids (F, 2) with a rise that both share and that is over in ``LONGEST_SECONDS`` damped to ``LID_RISE_FACTOR`` of
    it; a wink is kept."""
    longest = 2 * math.ceil(0.5 * LONGEST_SECONDS * fps) + 1
    lasting = np.column_stack([grey_opening(lids[:, eye], longest, mode="constant") for eye in range(2)])
    return lids - (1.0 - LID_RISE_FACTOR) * (lids - lasting).min(axis=1, keepdims=True)


ANCHORS = 8
"""Number of frames that calibrate the camera, and the identity where none is given."""
MOST_IDENTITY_PHOTOS = 16
"""Number of photos, at most, that give the identity where none is given."""
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
    name: str,
    photos: Sequence[tuple[str, Path]],
    fps: float,
    identity: Path | Subject | None,
    progress: ProgressReporter = silent,
) -> ExpressionClip:
    """The take of picture files (name, path) that are consecutive frames at ``fps``; as ``transfer_video``."""
    note, waiting = _repeatable(progress)
    paths = [path for _, path in photos]
    take = transfer_frames(name, lambda: PhotoSequence(paths, fps, waiting), _subject(identity), note)
    return replace(take, frame_names=tuple(photo for photo, _ in photos)[: len(take)])


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
    subject = subject or subject_from_faces(tuple(one.face for one in anchors), calibrating.FRAME_WEIGHTS)
    calibration = calibrating.calibrate(subject, anchors)
    progress("identity", 1.0)
    with open_source() as source:
        fps = source.fps
        measured = _measured(subject, calibration, source, progress)
        frames = list(solver.smoothed(measured, fps))
    if all(frame.mark in (FrameMark.NO_FACE, FrameMark.DROPPED) for frame in frames):
        raise NO_FACE
    progress("expression", 1.0)
    pivot = _pivot(subject, anchors[0].face)
    return _clip(name, "video", fps, frames, pivot)


def _subject(identity: Path | Subject | None) -> Subject | None:
    return read_subject(identity) if isinstance(identity, Path) else identity


def _anchors(source: FrameSource, progress: ProgressReporter) -> tuple[FrameFace, ...]:
    """Up to ``ANCHORS`` frames with a face, from the take's start, half a second apart or less in short takes."""
    every = max(1, round(source.fps / 2))
    if source.frame_count:
        every = max(1, min(every, source.frame_count // ANCHORS))
    follow, anchors = FaceFollower(), []
    for frame in source.frames(every):
        progress(
            "identity", 0.8 * max(len(anchors) / ANCHORS, min(frame.slot / max(source.frame_count, frame.slot + 1), 1))
        )
        face = _seen_face(follow, frame)
        if face is not None:
            anchors.append(face)
        if len(anchors) == ANCHORS:
            break
    return tuple(anchors)


def _seen_face(follow: FaceFollower, frame: VideoFrame) -> FrameFace | None:
    """The face in a frame; None where none is found, or it is almost fully occluded."""
    match = follow(frame.pixels)
    if match is None:
        return None
    focal = calibrating.FOCAL_PER_SIDE * max(frame.pixels.shape[:2])
    seen = face_in_frame(f"frame {frame.slot}", frame.pixels, match.landmarks, focal_px=focal)
    face = frame_face(seen, match.surface)
    return None if face.covered else face


def _measured(
    subject: Subject, calibration: calibrating.Calibration, source: FrameSource, progress: ProgressReporter
) -> Iterator[solver.MeasuredFrame]:
    """Solve each slot, in order."""
    read = _read(subject, source, progress)
    for frame in with_whole_blinks(read, source.fps, calibration.open_lids):
        if isinstance(frame, FrameMark):
            yield solver.MeasuredFrame(None, frame)
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
        face = _seen_face(follow, frame)
        if face is None:
            yield FrameMark.NO_FACE
            continue
        try:
            yield face, solver.read_subject_face(subject, face.evidence)
        except (ValueError, np.linalg.LinAlgError):  # no pose explains these landmarks
            yield FrameMark.NO_FACE


def _measure(
    subject: Subject, calibration: calibrating.Calibration, face: FrameFace, reading: Reading
) -> solver.MeasuredFrame:
    try:
        solved = calibrating.solve_in_take(subject, face, reading, calibration.prior)
    except (ValueError, np.linalg.LinAlgError):  # no pose explains these landmarks
        return solver.MeasuredFrame(None, FrameMark.NO_FACE)
    if not np.isfinite(solved.information).all():
        return solver.MeasuredFrame(None, FrameMark.NO_FACE)
    return solver.MeasuredFrame(solved, FrameMark.MEASURED)


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
    for number, face in enumerate(faces):
        progress("expression", number / len(faces))
        try:
            solved = calibrating.solve_photo(subject, face)
        except (ValueError, np.linalg.LinAlgError):
            left_out.append((face.face.name, "The head could not be fitted to the landmarks in it."))
            continue
        parameters = solved.parameters
        frames.append(
            solver.SmoothFrame(
                parameters.rotation,
                parameters.pivot_in_camera,
                parameters.expression,
                FrameMark.MEASURED,
                solved.error_percent,
            )
        )
        names.append(face.face.name)
    if not frames:
        raise NO_FACE
    progress("expression", 1.0)
    return _clip(name, "photos", None, frames, _pivot(subject, faces[0].face), tuple(names), tuple(left_out))


def _photo_face(name: str, path: Path, waiting: Callable[[], None]) -> FrameFace:
    photo = read_photo(PhotoSource(name, path=path), waiting=waiting)
    sentence = "No face was found in it."
    for detected in detect_faces(photo.pixels):
        match = find_face(photo.pixels, detected)
        if match is None:
            continue
        pixels, landmarks, surface, size = photo.pixels, match.landmarks, match.surface, photo.source_size
        if turns := quarter_turns(landmarks):
            landmarks, pixels, surface = turned_by(landmarks, pixels.shape, turns), upright(pixels, turns), None
            size = size if turns % 2 == 0 else size[::-1]
        face = frame_face(face_in_frame(name, pixels, landmarks, size, photo.focal_px), surface)
        if not face.covered:
            return face
        sentence = "Almost all of the face is covered; give a picture that shows it."
    raise LikenessError("no_face", sentence)


def _pivot(subject: Subject, face: PhotoFace) -> np.ndarray:
    return initial_parameters(subject.template, face, PriorWeights(), 0).pivot


def _clip(
    name: str,
    kind: str,
    fps: float | None,
    frames: list[solver.SmoothFrame],
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
