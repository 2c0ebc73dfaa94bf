"""Photo files in, the faces of one person out: the whole photo stage on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from backend.errors import LikenessError
from backend.photos.collection import PhotoCollection, PhotoFace, PhotoVerdict
from backend.photos.crop import MAX_CROP_SIDE, crop_head
from backend.photos.detect import detect_faces
from backend.photos.landmarks import find_landmarks, head_pose
from backend.photos.masks import label_face
from backend.photos.quality import is_monochrome, measure_quality
from backend.photos.read import DecodedPhoto, PhotoSource, PhotoUnreadableError, ReadLimits, read_photo
from backend.progress import ProgressReporter, silent

STAGE = "photos"


@dataclass(frozen=True)
class CollectOptions:
    """Settings of the photo stage.

    Attributes
    ----------
    max_photos : most photos that may be given; more raise.
    max_used : most photos that are used; the best are taken.
    max_crop_side : largest side of a head crop in pixels.
    limits : what a file may cost.
    """

    max_photos: int = 200
    max_used: int = 24
    max_crop_side: int = MAX_CROP_SIDE
    limits: ReadLimits = field(default_factory=ReadLimits)


def collect(
    sources: Sequence[PhotoSource], *, progress: ProgressReporter = silent, options: CollectOptions | None = None
) -> PhotoCollection:
    """Read the photos, find the person's face in each, and say what became of every photo.

    Raises
    ------
    LikenessError : ``no_photo`` when none is given or none can be read, ``no_face`` when none shows a face,
        ``usage`` when more than ``options.max_photos`` are given.
    """
    options = options or CollectOptions()
    if not sources:
        raise LikenessError("no_photo", "No photo was given.", "Give at least one photo of the person's face.")
    names = unique_names([source.name for source in sources])
    faces, verdicts = [], []
    for index, photo in enumerate(_decoded(sources, options.limits)):
        progress(STAGE, index / len(sources))
        if isinstance(photo, PhotoUnreadableError):
            verdicts.append(PhotoVerdict(names[index], False, str(photo)))
            continue
        face = _largest_face(names[index], photo, options)
        if face is None:
            verdicts.append(PhotoVerdict(names[index], False, "No face was found in it."))
        else:
            faces.append(face)
            verdicts.append(PhotoVerdict(names[index], True, "", face.quality))
    if not faces:
        raise LikenessError("no_face", "No face was found in any photo.", "Give photos that show the face.")
    progress(STAGE, 1.0)
    return PhotoCollection(tuple(sorted(faces, key=lambda face: -face.quality.score)), tuple(verdicts))


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, a number added to those that were there before: ``a.jpg``, ``a.jpg (2)``."""
    seen: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 1
        while candidate in seen:
            number += 1
            candidate = f"{name} ({number})"
        seen.add(candidate)
        result.append(candidate)
    return result


def _decoded(sources: Sequence[PhotoSource], limits: ReadLimits) -> Iterator[DecodedPhoto | PhotoUnreadableError]:
    """The photos in order, the next one being decoded while the caller works on this one."""

    def read(source: PhotoSource) -> DecodedPhoto | PhotoUnreadableError:
        try:
            return read_photo(source, limits)
        except PhotoUnreadableError as error:
            return error

    with ThreadPoolExecutor(max_workers=1) as pool:
        coming: Future = pool.submit(read, sources[0])
        for following in [*sources[1:], None]:
            photo = coming.result()
            if following is not None:
                coming = pool.submit(read, following)
            yield photo


def _largest_face(name: str, photo: DecodedPhoto, options: CollectOptions) -> PhotoFace | None:
    for detected in detect_faces(photo.pixels):
        landmarks = find_landmarks(photo.pixels, detected)
        if landmarks is not None:
            return _photo_face(name, photo, landmarks, options)
    return None


def _photo_face(name: str, photo: DecodedPhoto, landmarks: np.ndarray, options: CollectOptions) -> PhotoFace:
    crop = crop_head(photo.pixels, landmarks, options.max_crop_side)
    in_crop = crop.to_crop(landmarks).astype(np.float32)
    labels = label_face(crop.pixels, in_crop)
    yaw = head_pose(landmarks).yaw
    reduced = photo.pixels.shape[1] / photo.source_size[0]
    return PhotoFace(
        name=name,
        source_size=photo.source_size,
        focal_px=photo.focal_px,
        pixels=crop.pixels,
        crop_scale=crop.scale * reduced,
        crop_offset=(crop.offset[0] / reduced, crop.offset[1] / reduced),
        landmarks=in_crop,
        labels=labels,
        monochrome=is_monochrome(crop.pixels),
        yaw_degrees=yaw,
        quality=measure_quality(crop.pixels, in_crop, labels, yaw),
    )
