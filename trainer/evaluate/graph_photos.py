"""Evaluate the graph face model's encoder on photographs, as MICC does, and its code for face verification.

Gao et al. (CVPRW 2020), tables 1 and 2: mean and standard deviation of the error of each frame of a clip, and of the
mean of a person's frames. Clips are of held-out synthetic people, or the photos of held-out scans. Baselines on the
same photos: the mean face, the learned complete basis's encoder, and a fit of the linear face model to the landmarks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from backend.errors import LikenessError
from backend.fitting.fit import fit_face
from backend.fitting.options import fit_options_for
from backend.geometry.template import load_template
from backend.models.encoded_face import EncodedFace
from backend.models.graph_face.apply import GraphModel, graph_face
from backend.models.learned_basis.apply import BasisModel, encoded_face
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection, PhotoFace
from backend.photos.reading.source import PhotoSource
from backend.photos.screening.identity import GradientIdentity
from trainer.data.graph.skins import head_people
from trainer.data.scan_heads import HELD_OUT, scan_head, scan_photos
from trainer.evaluate.basis_pairs import cosines_of_pairs, equal_error_rate, pairs_of_photos, similarities
from trainer.evaluate.estimate import as_estimate
from trainer.evaluate.metrics.shape_distance import aligned_faces
from trainer.evaluate.scans import measure

SEED = 91
"""Seed of people unused for training and selection in all recipes."""
FRAMES = 5
"""Photos per person, each with its own expression, view and light."""
_PICTURE = 320
"""Pixels a side of the photos."""

Estimator = Callable[[Sequence[PhotoFace]], np.ndarray]
"""Function from the faces of one person in photos to a neutral cage (V, 3), metres."""


@dataclass(frozen=True)
class Clip:
    """A person's photos, and a function giving the mean distance of a neutral cage (V, 3) from the truth,
    millimetres."""

    faces: tuple[PhotoFace, ...]
    error: Callable[[np.ndarray], float]


def estimators(graph: GraphModel | None, basis: BasisModel | None) -> dict[str, Estimator]:
    """Estimators by name: ``mean``, the constant mean face; ``linear``; and the trained ones of ``graph`` and
    ``basis``."""
    template = load_template()

    def of_encoder(face: EncodedFace) -> np.ndarray:
        return template.vertices + template.following_skin(face.identity)

    def linear(faces: Sequence[PhotoFace]) -> np.ndarray:
        return fit_face(PhotoCollection(tuple(faces)), fit_options_for("fast"), template=template).neutral

    found: dict[str, Estimator] = {"mean": lambda faces: template.vertices, "linear": linear}
    if graph is not None:
        found["graph"] = lambda faces: of_encoder(graph_face(faces, graph))
    if basis is not None:
        found["basis"] = lambda faces: of_encoder(encoded_face(faces, basis))
    return found


def clip_figures(kinds: Mapping[str, Estimator], clips: Sequence[Clip], name: str) -> dict[str, float]:
    """``NAME.frame.KIND.mean_mm`` and ``.std_mm`` over all photos, each alone, and ``NAME.all.KIND...`` over people,
    from all their photos; ``.ratio`` of the mean to the mean face's. A failed fit counts as the mean face."""
    rows: dict[str, list[float]] = {}
    for clip in clips:
        for kind, estimate in kinds.items():
            rows.setdefault(f"all.{kind}", []).append(clip.error(_or_mean(estimate, clip.faces)))
            alone = [clip.error(_or_mean(estimate, [face])) for face in clip.faces]
            rows.setdefault(f"frame.{kind}", []).extend(alone)
    figures = {f"{name}.people": float(len(clips))}
    for row, errors in rows.items():
        figures |= {f"{name}.{row}.mean_mm": float(np.mean(errors)), f"{name}.{row}.std_mm": float(np.std(errors))}
        figures[f"{name}.{row}.ratio"] = float(np.mean(errors) / np.mean(rows[f"{row.split('.')[0]}.mean"]))
    return figures


def _or_mean(estimate: Estimator, faces: Sequence[PhotoFace]) -> np.ndarray:
    try:
        return estimate(faces)
    except LikenessError:
        return load_template().vertices


def synthetic_clips(people: int, frames: int = FRAMES) -> list[Clip]:
    """Clips of held-out synthetic people; those without a detected face are left out. The error is the mean distance of
    the face's vertices after aligning each face to the template's by a similarity."""
    template = load_template()
    clips = []
    for neutral, paths in synthetic_photos(people, frames):
        truth = aligned_faces(template, [neutral])[0]

        def error(cage: np.ndarray, truth: np.ndarray = truth) -> float:
            return float(np.linalg.norm(aligned_faces(template, [cage])[0] - truth, axis=1).mean())

        faces = found_faces(paths)
        if faces:
            clips.append(Clip(faces, error))
    return clips


def synthetic_photos(people: int, frames: int = FRAMES) -> Iterator[tuple[np.ndarray, list[Path]]]:
    """Yield the neutral vertices (V, 3) and the photos of the first ``people`` held-out synthetic people. The files
    exist until the next iteration."""
    source = head_people(_PICTURE, SEED, frames)
    for index in range(people):
        batch = source.batch(range(index, index + 1), torch.device("cpu"))
        pictures = (batch.images.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{number}.png" for number in range(len(pictures))]
            for path, picture in zip(paths, pictures, strict=True):
                cv2.imwrite(str(path), picture[..., ::-1])
            yield batch.neutral[0].numpy(), paths


def scan_clips(heads: int) -> list[Clip]:
    """Clips of the first ``heads`` held-out scans; the error is the mean distance from scan to mesh."""
    clips = []
    for name in HELD_OUT[:heads]:
        truth = scan_head(name).truth

        def error(cage: np.ndarray, truth=truth) -> float:
            return measure(truth, as_estimate(cage)).mean

        clips.append(Clip(found_faces(scan_photos(name)), error))
    return clips


def found_faces(paths: Sequence[Path]) -> tuple[PhotoFace, ...]:
    """Detect the faces in one person's photos with the photo stage; empty where it finds none."""
    try:
        return collect([PhotoSource.from_path(path) for path in paths]).faces
    except LikenessError as error:
        if error.code != "no_face":
            raise
        return ()


def pair_figures(graph: GraphModel, folder: Path, people: int) -> dict[str, float]:
    """Equal error rates of verifying whether two photos show one person, over ``people`` of ``folder`` (a folder each,
    two photos or more): ``pairs.eer.graph`` by the cosine of the graph face model's centred codes,
    ``pairs.eer.screening`` by the features of photo screening, and ``pairs.people``."""
    screening = GradientIdentity()
    codes: list[list[np.ndarray]] = [[], []]
    looks: list[list[np.ndarray]] = [[], []]
    for pair in pairs_of_photos(folder, people):
        faces = [found_faces([path]) for path in pair]
        if not all(faces):
            continue
        for number, (face, *_) in enumerate(faces):
            codes[number].append(graph_face([face], graph).code)
            looks[number].append(screening.describe(face.pixels, face.landmarks))
    by_code = similarities(*map(np.stack, codes))
    by_look = cosines_of_pairs(*map(np.stack, looks))
    return {
        "pairs.eer.graph": equal_error_rate(*by_code),
        "pairs.eer.screening": equal_error_rate(*by_look),
        "pairs.people": float(len(codes[0])),
    }
