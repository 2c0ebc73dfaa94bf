"""The photo stage: read photo files and return the faces of one person.

The photo stage with the user's corrections.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from backend.errors import LikenessError
from backend.models.landmarks import SurfaceLandmarker, inside_by_net, surface_landmarker
from backend.models.parsing.accessories import AccessoryScores, vote_over_photos
from backend.models.parsing.apply import enlarge_labels, look_at_face
from backend.photos import faces as detection
from backend.photos import screening
from backend.photos.collection import (
    FORMATS_ADVICE,
    LABELS_SIDE,
    DecodedPhoto,
    PhotoCollection,
    PhotoFace,
    PhotoSource,
    PhotoUnreadableError,
    PhotoVerdict,
    ReadLimits,
)
from backend.photos.corrections import PhotoCorrections, check_corrections, left_out_verdicts, with_corrections
from backend.photos.reading import read_photo, read_photos
from backend.progress import ProgressReporter, silent
from backend.system.parallel import each, in_order

STAGE = "photos"
NO_FACE_REASON = "No face was found in it; it may be too small, too dark, covered or turned away."
_ANALYSIS_SHARE = 0.85
"""Share of the stage's progress spent on analysis; the rest is cropping the used photos."""


@dataclass(frozen=True)
class CollectOptions:
    """Settings of the photo stage.

    Attributes
    ----------
    max_photos : most photos that may be given; more raise an error.
    max_used : most photos that are used; the best are chosen.
    max_crop_side : largest side of a head crop in pixels.
    kept_crop_bytes : memory for cached head crops; the other photos are decoded again when used.
    limits : resource limits for reading a file.
    surface : whether to run the landmark net, if it is trained.
    device : ``cpu`` or ``cuda``, for the parsing nets and the landmark net.
    """

    max_photos: int = 200
    max_used: int = 24
    max_crop_side: int = detection.MAX_CROP_SIDE
    kept_crop_bytes: int = 256 * 2**20
    limits: ReadLimits = field(default_factory=ReadLimits)
    surface: bool = True
    device: str = "cpu"


@dataclass(frozen=True)
class _Analysed:
    """A photo without its pixels: its faces (largest first), or the reason why there are none."""

    source_size: tuple[int, int]
    focal_px: float | None
    decoded_width: int  # pixels, as source_size before the photo is turned upright
    faces: tuple[screening.FaceCandidate, ...]
    failure: str = ""


def collect(
    sources: Sequence[PhotoSource], *, progress: ProgressReporter = silent, options: CollectOptions | None = None
) -> PhotoCollection:
    """Read the photos, find the person's face in each, and give a verdict on every photo.

    Photos are decoded in order, up to two ahead. Memory grows only with the head crops of the used photos.

    Raises
    ------
    LikenessError : ``no_photo`` when none is given or readable, ``no_face`` when none shows a face, ``usage`` when more
        than ``options.max_photos`` are given.
    errors.Cancelled : from ``progress``.
    """
    options = options or CollectOptions()
    if not sources:
        raise LikenessError("no_photo", "No photo was given.", "Give at least one photo of the person's face.")
    photo_count = sum(not source.left_out for source in sources)
    if photo_count > options.max_photos:
        advice = f"Give fewer: at most {options.max_used} are used."
        raise LikenessError("usage", f"{photo_count} photos were given; the limit is {options.max_photos}.", advice)
    names = unique_names([source.name for source in sources])
    analysed: list[_Analysed] = []
    crops: dict[int, dict[int, detection.HeadCrop]] = {}  # photo -> face -> crop, while memory allows
    room = options.kept_crop_bytes
    done = 0.0

    def still_here() -> None:
        progress(STAGE, done)

    read = read_photos(sources, options.limits, still_here)
    looked = in_order(partial(_analyse_once, options, names), _beside_earlier(read))
    for index, (result, cut) in enumerate(looked):
        done = _ANALYSIS_SHARE * (index + 1) / len(sources)
        still_here()
        analysed.append(result)
        size = sum(crop.pixels.nbytes for crop in cut)
        if size <= room:
            crops[index] = dict(enumerate(cut))
            room -= size
    _raise_without_faces(analysed, names)
    choice = screening.screen([photo.faces for photo in analysed], names, options.max_used)

    def finished(candidate: screening.FaceCandidate, accessories: AccessoryScores) -> PhotoFace:
        photo = analysed[candidate.photo]
        which = next(k for k, face in enumerate(photo.faces) if face is candidate)
        crop = crops.get(candidate.photo, {}).get(which)
        if crop is None:
            again = read_photo(sources[candidate.photo], options.limits, still_here)
            crop = detection.crop_head(
                detection.upright(again.pixels, candidate.turns), candidate.detected, options.max_crop_side
            )
        if candidate.accessories.decisions != accessories.decisions:
            candidate = _relabelled(candidate, crop, accessories, options.device)
        worn = float(np.nan_to_num(0.5 + 0.5 * np.tanh(accessories.glasses / 2)))
        return replace(_photo_face(names[candidate.photo], photo, candidate, crop), glasses=worn)

    voted = vote_over_photos([candidate.accessories for candidate in choice.used])
    share = (1 - _ANALYSIS_SHARE) / len(choice.used)
    faces = each(finished, choice.used, voted, report=lambda count: progress(STAGE, _ANALYSIS_SHARE + share * count))
    progress(STAGE, 1.0)
    for candidate, face in zip(choice.used, faces, strict=True):
        if said := screening.what_it_seems(face, detection.face_square(face.landmarks)):
            choice.notes[candidate.photo] = f"{choice.notes.get(candidate.photo, '')} {said}".strip()
    return PhotoCollection(tuple(faces), tuple(_verdicts(analysed, names, choice)))


def unique_names(names: Sequence[str]) -> list[str]:
    """Make the names unique by numbering repeats: ``a.jpg``, ``a.jpg (2)``."""
    used: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 1
        while candidate in used:
            number += 1
            candidate = f"{name} ({number})"
        used.add(candidate)
        result.append(candidate)
    return result


_Task = tuple[int, DecodedPhoto | PhotoUnreadableError, Future[_Analysed], tuple[int, Future[_Analysed]] | None]
"""A photo's index, the photo, its analysis to come, and those of the earlier photo that it may be a copy of."""


def _beside_earlier(photos: Iterable[DecodedPhoto | PhotoUnreadableError]) -> Iterator[_Task]:
    seen: list[tuple[np.ndarray, int, tuple[int, Future[_Analysed]]]] = []
    for index, photo in enumerate(photos):
        mine, earlier = Future[_Analysed](), None
        if isinstance(photo, DecodedPhoto):
            look, size = screening.picture_signature(photo.pixels), photo.pixels.size
            larger = ((other, task) for other, area, task in seen if area >= size)
            earlier = next((task for other, task in larger if screening.look_alike(look, other)), None)
            seen.append((look, size, (index, mine)))
        yield index, photo, mine, earlier


def _analyse_once(
    options: CollectOptions, names: Sequence[str], task: _Task
) -> tuple[_Analysed, list[detection.HeadCrop]]:
    """Analyse a photo, unless its largest face is, pixel by pixel, that of the earlier photo which it looks like."""
    index, photo, mine, earlier = task
    try:
        first = earlier[1].result() if earlier else None  # it began before, so it ends
        if first and first.faces and screening.is_copy(photo.pixels, first.faces[0], first.decoded_width):
            reason = screening.SAME_PICTURE.format(names[earlier[0]])
            result = replace(first, source_size=photo.source_size, faces=(), failure=reason), []
        else:
            result = _analyse(options, index, photo)
    except BaseException as error:
        mine.set_exception(error)
        raise
    mine.set_result(result[0])
    return result


def _analyse(
    options: CollectOptions, index: int, photo: DecodedPhoto | PhotoUnreadableError
) -> tuple[_Analysed, list[detection.HeadCrop]]:
    """Analyse the faces of the photo at ``index``; also returns their head crops."""
    if isinstance(photo, PhotoUnreadableError):
        return _Analysed((0, 0), None, 0, (), str(photo)), []
    landmarker = surface_landmarker(options.device) if options.surface else None
    faces, crops = [], []
    found = detection.detect_faces(photo.pixels)
    for detected in found[: screening.SCREENING.faces_per_photo]:
        if faces and detected.side < screening.SCREENING.bystander * found[0].side:
            break
        landmarks = detection.find_landmarks(photo.pixels, detected)
        if landmarks is None and landmarker is not None:
            landmarks = _by_net(photo.pixels, detected, landmarker)
        if landmarks is None or screening.face_size_px(landmarks) < screening.SCREENING.useless_face_px:
            continue  # so small, icons of a screenshot are faces as well
        turns = detection.quarter_turns(landmarks)
        landmarks = detection.turned(landmarks, photo.pixels.shape, turns)
        crop = detection.crop_head(detection.upright(photo.pixels, turns), landmarks, options.max_crop_side)
        faces.append(_candidate(index, landmarks, turns, crop, landmarker, options))
        crops.append(crop)
    failure = "" if faces else NO_FACE_REASON
    return _Analysed(photo.source_size, photo.focal_px, photo.pixels.shape[1], tuple(faces), failure), crops


def _by_net(pixels: np.ndarray, face: detection.DetectedFace, landmarker: SurfaceLandmarker) -> np.ndarray | None:
    """Landmarks of a face that the mesh does not see (profiles, light of one colour), where the net is sure of them."""
    surface = landmarker.find_in_box(pixels, face)
    landmarks = detection.posed(surface.positions)
    return landmarks if screening.is_face(surface, landmarks) else None


def _candidate(
    index: int,
    landmarks: np.ndarray,
    turns: int,
    crop: detection.HeadCrop,
    landmarker: SurfaceLandmarker | None,
    options: CollectOptions,
) -> screening.FaceCandidate:
    in_crop, surface = crop.to_crop(landmarks).astype(np.float32), None
    if landmarker is not None:
        surface = landmarker.find(crop.pixels, in_crop)
        in_crop = inside_by_net(in_crop, surface)
    small, factor = detection.fit_inside(crop.pixels, LABELS_SIDE)
    label = look_at_face(small, in_crop * factor, tuple(edge * factor for edge in crop.covered), device=options.device)
    pose = detection.head_pose(in_crop)
    return screening.FaceCandidate(
        photo=index,
        detected=landmarks,
        landmarks=crop.to_picture(in_crop).astype(np.float32),
        surface=surface,
        turns=turns,
        size_px=screening.face_size_px(landmarks),
        pose=pose,
        descriptor=screening.identity_descriptor(crop.pixels, in_crop),
        fingerprint=screening.picture_fingerprint(crop.pixels, in_crop),
        small_crop=small,
        small_labels=label.labels,
        accessories=label.accessories,
        small_factor=factor,
        quality=screening.measure_quality(crop.pixels, in_crop, label.labels, factor, pose.yaw),
    )


def _relabelled(
    candidate: screening.FaceCandidate, crop: detection.HeadCrop, accessories: AccessoryScores, device: str
) -> screening.FaceCandidate:
    """The candidate, labelled again with the accessory scores ``accessories``."""
    factor = candidate.small_factor
    landmarks = crop.to_crop(candidate.landmarks).astype(np.float32) * factor
    covered = tuple(edge * factor for edge in crop.covered)
    outcome = look_at_face(candidate.small_crop, landmarks, covered, accessories, device)
    return replace(candidate, small_labels=outcome.labels)


def _photo_face(name: str, photo: _Analysed, candidate: screening.FaceCandidate, crop: detection.HeadCrop) -> PhotoFace:
    landmarks = crop.to_crop(candidate.landmarks).astype(np.float32)
    monochrome = screening.is_monochrome(candidate.small_crop, candidate.small_labels)
    pixels = screening.as_grey(crop.pixels) if monochrome else crop.pixels
    reduced = photo.decoded_width / photo.source_size[0]
    return PhotoFace(
        name=name,
        source_size=photo.source_size if candidate.turns % 2 == 0 else photo.source_size[::-1],
        focal_px=photo.focal_px,
        pixels=pixels,
        crop_scale=crop.scale * reduced,
        crop_offset=(crop.offset[0] / reduced, crop.offset[1] / reduced),
        landmarks=landmarks,
        labels=enlarge_labels(candidate.small_labels, pixels),
        monochrome=monochrome,
        yaw_degrees=candidate.pose.yaw,
        quality=candidate.quality,
        surface=candidate.surface,
        turns=candidate.turns,
    )


def _verdicts(analysed: Sequence[_Analysed], names: Sequence[str], choice: screening.Choice) -> Iterator[PhotoVerdict]:
    for index, photo in enumerate(analysed):
        face = choice.chosen.get(index)
        if face is None:
            yield PhotoVerdict(names[index], False, photo.failure)
        elif index in choice.left_out:
            yield PhotoVerdict(names[index], False, choice.left_out[index], face.quality)
        else:
            yield PhotoVerdict(names[index], True, choice.notes.get(index, ""), face.quality)


def _raise_without_faces(analysed: Sequence[_Analysed], names: Sequence[str]) -> None:
    if any(photo.faces for photo in analysed):
        return
    reasons = " ".join(f"{name}: {photo.failure}" for name, photo in list(zip(names, analysed, strict=True))[:5])
    if all(photo.decoded_width == 0 for photo in analysed):
        raise LikenessError("no_photo", f"No photo could be read. {reasons}", FORMATS_ADVICE)
    sentence = f"No face was found in {'the photo' if len(analysed) == 1 else 'any of the photos'}. {reasons}"
    advice = "Give photos in which the face is large, sharp, lit and seen from the front or half turned."
    raise LikenessError("no_face", sentence, advice)


PhotoReader = Callable[..., PhotoCollection]
"""Has the signature of ``photos.collect.collect``."""


def collect_corrected(
    sources: Sequence[PhotoSource],
    corrections: Sequence[PhotoCorrections],
    options: CollectOptions,
    progress: ProgressReporter = silent,
    reader: PhotoReader = collect,
) -> PhotoCollection:
    """Collect the faces with ``reader`` and apply ``corrections``; photos left out by the user are not read.

    Raises ``LikenessError`` as ``collect`` does, and "usage" for corrections that do not fit the photos.
    """
    if not corrections:
        return reader(sources, progress=progress, options=options)
    names = unique_names([source.name for source in sources])
    check_corrections(corrections, names)
    out = {one.name for one in corrections if one.use == "neither"}
    named = [replace(source, name=name) for source, name in zip(sources, names, strict=True)]
    wanted = [source for source in named if source.name not in out]
    collection = with_corrections(reader(wanted, progress=progress, options=options), corrections)
    return replace(collection, verdicts=left_out_verdicts(collection.verdicts, names, corrections))
