"""Constants of ``backend/photos``, a figure per room:

- ``reading``: levels between a file with a colour profile and the photo that it was made from, and known focal lengths;
- ``faces``: faces found in whole, small, turned and padded photos, and landmarks' error on synthetic people;
- ``regions``: the parsing's IoU on synthetic people, with hands where they have some;
- ``screening``: verdicts and their reasons on a set with bad photos, grey photos told from coloured ones, and the
  figures of ``evaluate textures``, for which photos count by their quality.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageCms

from backend.models.parsing.apply import label_face
from backend.models.parsing.network import CLASS_NAMES
from backend.photos import collect as photo_stage
from backend.photos.collect import CollectOptions
from backend.photos.collection import LABELS_SIDE, PhotoFace, PhotoVerdict
from backend.photos.faces import FACES, fit_inside, landmarks_of_largest, mean_landmarks
from backend.photos.formats import READING, PhotoSource
from backend.photos.reading import read_photo
from backend.photos.regions import REGIONS
from backend.photos.screening import SCREENING, is_monochrome
from benchmarks.sensitivity import texture
from benchmarks.sensitivity.constants import constants_of_rooms
from benchmarks.sensitivity.frame import Measured, Subject
from benchmarks.sensitivity.kept import Kept
from trainer.methods.parsing.evaluate import HELD_OUT_SEED
from trainer.methods.parsing.losses import confusion_matrix, intersection_over_union
from trainer.people.source import PeopleConfig

STAGE_SETTINGS = {"reading": READING, "faces": FACES, "regions": REGIONS, "screening": SCREENING}
SHARES = (
    "faces.same_face_overlap",
    "faces.min_score",
    "faces.sure_score",
    "regions.hand_score",
    "regions.hand_outside",
    "screening.min_occlusion",
)
SYNTHETIC = 2
"""Synthetic people for each real one."""
_SIDE = 256
_EYES = (33, 263)


@dataclass(frozen=True)
class Person:
    """Photos of a person, and another person's; ``first`` : number of the first synthetic person that goes with it;
    ``textured`` : the fit with a photo left out."""

    photos: tuple[Path, ...]
    stranger: Path
    first: int
    textured: texture.Person


def person_of(photos: Sequence[Path], most: int) -> Person:
    """Fit at most ``most`` of at least four photos; the stranger is of the next folder beside that of the photos."""
    beside = sorted(path for path in photos[0].parent.parent.iterdir() if path.is_dir())
    number = beside.index(photos[0].parent)
    stranger = sorted(beside[(number + 1) % len(beside)].iterdir())[0]
    return Person(tuple(photos[:most]), stranger, SYNTHETIC * number, texture.person_of(photos, most))


def reading_figures(person: Person) -> dict[str, float]:
    """``levels`` of 255 between photos read from files with another profile, and ``focal``, the share of known ones."""
    levels, known = [], []
    for path in person.photos:
        picture = Image.open(path).convert("RGB")
        for tagged in (_with_profile(picture, "LAB"), _with_profile(picture, "sRGB"), _transparent(picture)):
            read = read_photo(PhotoSource(name="a", data=tagged)).pixels.astype(float)
            levels.append(float(np.abs(read - np.asarray(picture)).mean()))
        known += [
            read_photo(PhotoSource(name="a", data=_cropped(picture, ratio))).focal_px is not None
            for ratio in (1.333, 1.34, 1.35, 1.38)
        ]
    return {"levels": float(np.mean(levels)), "focal": float(np.mean(known))}


def _with_profile(picture: Image.Image, space: str) -> bytes:
    profile = ImageCms.createProfile(space)
    srgb = ImageCms.createProfile("sRGB")
    image = ImageCms.profileToProfile(picture, srgb, profile, outputMode="LAB") if space == "LAB" else picture
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", icc_profile=ImageCms.ImageCmsProfile(profile).tobytes())
    return buffer.getvalue()


def _transparent(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.convert("RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def _cropped(picture: Image.Image, ratio: float) -> bytes:
    """A JPEG of that ratio whose EXIF says 50 mm."""
    width = picture.width
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50
    picture.resize((width * 4, round(width * 4 / ratio))).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def faces_figures(person: Person) -> dict[str, float]:
    """``found``: share of photos, whole and made difficult, in which the largest face has landmarks.

    ``landmarks``: mean error on synthetic people in per cent of the distance of the eyes; ``steady``: the same between
    a photo and its mirror image."""
    found, steady, errors = [], [], []
    first = _pixels(person.photos[0])
    height, width = first.shape[:2]
    wide = np.full((3 * height, 5 * width, 3), 128, np.uint8)
    wide[height : 2 * height, 3 * width : 4 * width] = first
    small = cv2.resize(first, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    for other in (wide, np.rot90(first), small, first // 24 + 3):
        found.append(landmarks_of_largest(np.ascontiguousarray(other)) is not None)
    for path in person.photos[:2]:
        pixels = _pixels(path)
        marks = landmarks_of_largest(pixels)
        mirrored = landmarks_of_largest(np.ascontiguousarray(pixels[:, ::-1]))
        found += [marks is not None, mirrored is not None]
        if marks is not None and mirrored is not None:
            back = mirrored[:, :2][mean_landmarks().mirror] * (-1.0, 1.0) + (pixels.shape[1], 0.0)
            steady.append(_error(back, marks[:, :2]))
    for picture, _, truth in synthetic(person.first):
        marks = landmarks_of_largest(picture)
        found.append(marks is not None)
        if marks is not None:
            errors.append(_error(marks[:, :2], truth[:, :2]))
    figures = {"found": found, "steady": steady, "landmarks": errors}
    return {name: float(np.mean(values)) for name, values in figures.items() if values}


def _error(found: np.ndarray, true: np.ndarray) -> float:
    eyes = float(np.linalg.norm(true[_EYES[0]] - true[_EYES[1]]))
    return 100.0 * float(np.linalg.norm(found - true, axis=1).mean()) / max(eyes, 1.0)


def regions_figures(person: Person) -> dict[str, float]:
    """``iou`` of the product's labels on synthetic people, with the landmarks of the unchanged detector."""
    confusion = torch.zeros(len(CLASS_NAMES), len(CLASS_NAMES), dtype=torch.int64)
    for (picture, labels, _), landmarks in zip(synthetic(person.first), _detected(person.first), strict=True):
        if landmarks is None:
            continue
        found = torch.from_numpy(label_face(picture, landmarks).astype(np.int64))
        confusion += confusion_matrix(found[None], torch.from_numpy(labels)[None], len(CLASS_NAMES))
    present = confusion.sum(1) > 0
    return {"iou": float(intersection_over_union(confusion)[present].mean())}


@lru_cache(maxsize=64)
def synthetic(first: int) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    """``SYNTHETIC`` held-out people from number ``first``: (S, S, 3) uint8, (S, S) labels, (478, 2) landmarks."""
    source = PeopleConfig(size=_SIDE, seed=HELD_OUT_SEED).build()
    batch = source.batch(range(first, first + SYNTHETIC), torch.device("cpu"))
    pictures = (batch.images.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    return tuple(zip(pictures, batch.labels.long().numpy(), batch.landmarks478.numpy(), strict=True))


@lru_cache(maxsize=64)
def _detected(first: int) -> tuple[np.ndarray | None, ...]:
    return tuple(landmarks_of_largest(picture) for picture, _, _ in synthetic(first))


def screening_figures(person: Person) -> tuple[dict[str, float], np.ndarray]:
    """``right``: share of photos that are rightly used or not; ``reasons``: share of bad photos with the right reason;
    ``grey``: share of photos rightly said to have colour or not; textures' figures; and the texture."""
    right, reasons = [], []
    for bad in (_bad_set(person), _other_bad_set(person)):
        verdicts = _collected(bad)[1]
        for name, verdict in verdicts.items():
            right.append(verdict.used == (not bad[name][1]))
            if bad[name][1]:
                reasons.append(not verdict.used and bad[name][1] in verdict.reason)
    faces, verdicts = _collected({path.name: (_pixels(path), "") for path in person.photos})
    figures = {"right": float(np.mean(right)), "reasons": float(np.mean(reasons))}
    figures["grey"] = float(np.mean([_grey_is_known(face) for face in faces.values()]))
    before = person.textured
    used = [face.name for face in before.split.other_faces if verdicts[face.name].used] or [
        before.split.other_faces[0].name
    ]
    split = replace(
        before.split,
        others=replace(before.split.others, photos=tuple(p for p in before.split.others.photos if p.name in used)),
        other_faces=tuple(
            replace(face, quality=verdicts[face.name].quality, monochrome=faces[face.name].monochrome)
            if face.name in faces
            else face
            for face in before.split.other_faces
        ),
    )
    made = _texture().measure(replace(before, split=split), "screening")
    return figures | dict(made.figures), made.made


def _grey_is_known(face: PhotoFace) -> float:
    small, factor = fit_inside(face.pixels, LABELS_SIDE)
    labels = cv2.resize(face.labels, small.shape[1::-1], interpolation=cv2.INTER_NEAREST) if factor < 1 else face.labels
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    sepia = np.clip(grey[..., None] * (1.07, 0.87, 0.65), 0, 255).astype(np.uint8)
    noisy = cv2.imdecode(cv2.imencode(".jpg", sepia[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1)[..., ::-1]
    plain = np.repeat(grey[..., None], 3, axis=2)
    said = (not face.monochrome, is_monochrome(plain, labels), is_monochrome(noisy, labels))
    return float(np.mean(said))


_Bad = dict[str, tuple[np.ndarray, str]]
"""Name -> pixels, and part of the reason for which the photo is left out; "" if it is used."""


def _bad_set(person: Person) -> _Bad:
    first, second, third, fourth = (_pixels(path) for path in person.photos[:4])
    small = cv2.resize(first, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    copy = cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1)
    return {
        "first": (first, ""),
        "second": (second, ""),
        "copy": (copy, "same picture"),
        "mirror": (np.ascontiguousarray(second[:, ::-1]), "mirror image"),
        "stranger": (_pixels(person.stranger), "another person"),
        "blurred": (cv2.GaussianBlur(third, (0, 0), 6.0), "blurred"),
        "dark": (fourth // 16, "too dark"),
    }


def _other_bad_set(person: Person) -> _Bad:
    first, second, third, fourth = (_pixels(path) for path in person.photos[:4])
    tiny = cv2.resize(third, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    other = cv2.resize(_pixels(person.stranger), None, fx=1.3, fy=1.3, interpolation=cv2.INTER_CUBIC)
    together = np.zeros((max(len(fourth), len(other)), fourth.shape[1] + other.shape[1], 3), np.uint8)
    together[: len(fourth), : fourth.shape[1]] = fourth
    together[: len(other), fourth.shape[1] :] = other
    bright = np.clip(third.astype(int) * 6, 0, 255).astype(np.uint8)
    return {
        "first": (first, ""),
        "second": (second, ""),
        "tiny": (tiny, "pixels high"),
        "bright": (bright, "too bright"),
        "together": (together, ""),
        "noise": (np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8), "No face"),
    }


def _collected(photos: Mapping[str, tuple[np.ndarray, str]]) -> tuple[dict[str, PhotoFace], dict[str, PhotoVerdict]]:
    sources = [PhotoSource(name=name, data=_png(pixels)) for name, (pixels, _) in photos.items()]
    found = photo_stage.collect(sources, options=CollectOptions(surface=False))
    return {face.name: face for face in found.faces}, {verdict.name: verdict for verdict in found.verdicts}


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


@lru_cache(maxsize=256)
def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


@lru_cache(maxsize=1)
def _texture() -> Subject:
    return texture.subject(256)


def subject(size: int) -> Subject:
    """All constants of the photo stage; ``size`` is not used."""
    kept = Kept(())
    looked = {"detect_faces": (FACES,), "find_landmarks": (FACES,), "look_at_face": (FACES, REGIONS)}
    kept.keep(photo_stage, looked | {"vote_on_glasses": (REGIONS,)})

    def measure(person: Person, changed: str) -> Measured:
        room, figures, made = changed.partition(".")[0], {}, np.zeros(1, np.uint8)
        if room in ("", "reading"):
            figures |= reading_figures(person)
        if room in ("", "faces"):
            figures |= faces_figures(person)
        if room in ("", "regions"):
            figures |= regions_figures(person)
        if room in ("", "screening"):
            found, made = screening_figures(person)
            figures |= found
        return Measured(figures, made)

    def stop_recording() -> None:
        kept.recording = False
        _texture().after_base()

    return Subject(
        constants=constants_of_rooms(STAGE_SETTINGS),
        shares=SHARES,
        measure=measure,
        difference=lambda a, b: float(np.abs(a.astype(int) - b).mean()) if a.shape == b.shape else 0.0,
        unit="of 255 mean difference of textures",
        felt=texture.SMALLEST_CHANGE,
        after_base=stop_recording,
    )
