"""Effect of five dragged points on fits with wrong landmarks in one photo, with and without corrections.

python benchmarks/corrections.py [--people 8] [--photos FOLDER] [--json FILE]

People are drawn from the prior. Their three photos (-25, 0 and 25 degrees) have landmarks with the measured errors of
the detector and the landmark net. On the first photo both are then moved by a smooth field whose mean length is 3 % of
the face's width. Five of its landmarks, of those that the extension shows, are corrected: each time the one with the
largest error, away from those before. Flat names: the median over people of the median distance of face vertices after
the best similarity, in mm, undisturbed, moved and corrected; the error of corrected points in the fit, in pixels of a
photo of 900; seconds of one fit. ``refit``: the same corrections on the kept fit of the moved landmarks, as *Fit* does
in Blender. ``ears``: the median distance of the ears' vertices, undisturbed, and with the ears' end points set to their
true places in all three photos, for the visible ear.

With ``--photos``, for the first five photos of a folder: wall and processor seconds of a whole job of the service's
runner and of geometry-only jobs after a point was dragged, at 2 k, with a warm runner (medians of three).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from measure import benchmark_parser, report

from backend.exchange.buffers import WireMessage
from backend.fitting.detector_model import DetectorModel, expected_errors, face_scale
from backend.fitting.fit import fit_face, refit_face, resumable_fit
from backend.fitting.fitted_face import FittedFace
from backend.fitting.landmark_targets import LandmarkModel, landmark_model
from backend.fitting.options import FitOptions
from backend.fitting.parameters import FACING_CAMERA, PhotoParameters
from backend.geometry.template import FIRST_EAR, ear_vertices, load_template
from backend.models.landmarks import net_points
from backend.photos.collection import FaceClass, PhotoCollection, PhotoFace, PhotoQuality, SurfaceLandmarks
from backend.photos.corrections import CorrectedPoint, PhotoCorrections, with_corrections
from backend.service import job_runner
from backend.service.messages import JobOptions
from backend.service.worker import JobReporter, Task
from protocol.similarity import fit_similarity

SIDE = 900
YAWS = (0.0, -25.0, 25.0)
WRONG_SHARE = 0.03
DRAGGED = 5
APART_SHARE = 0.2
"""Least distance between dragged points, relative to the face's width."""
HANDLES = (33, 133, 362, 263, 61, 291, 0, 17, 152, 172, 397, 1, 98, 327, 105, 334, 10, 234, 454)
"""Corners of eyes and mouth, lips, chin, jaw, nose, brows, forehead and cheeks: a subset of the extension's points."""
_TEMPLATE = load_template()
_OPTIONS = FitOptions(canonical=None, encoded=None, dense=None, cage=None)


def main() -> None:
    """Run the benchmark and print the figures."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--photos", type=Path)
    arguments = parser.parse_args()
    jobs = {} if arguments.photos is None else job_figures(sorted(arguments.photos.glob("*.jp*g"))[:5])
    rows = [person_figures(seed) for seed in range(arguments.people)]
    figures = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
    figures["corrected_over_undisturbed"] = figures["corrected_mm"] / figures["undisturbed_mm"]
    figures["moved_over_undisturbed"] = figures["moved_mm"] / figures["undisturbed_mm"]
    figures["refit_over_undisturbed"] = figures["refit_mm"] / figures["undisturbed_mm"]
    report(figures | jobs, arguments.json)


def person_figures(seed: int) -> dict[str, float]:
    """Measure one person."""
    random = np.random.default_rng(seed)
    identity = 0.8 * random.normal(size=len(_TEMPLATE.identity_modes))
    person = _TEMPLATE.vertices + np.tensordot(identity, _TEMPLATE.identity_modes, 1)
    model = landmark_model(_TEMPLATE)
    cameras = [_photo(yaw, model, random) for yaw in YAWS]
    faces = tuple(_photographed(str(number), one, person, model, random) for number, one in enumerate(cameras))
    wrong = _moved(faces[0], random)
    truth = cameras[0].camera().project(net_points().positions(person))[:, :2]
    chosen = _farthest(wrong.landmarks[:, :2] - truth, truth)
    points = tuple(CorrectedPoint(int(one), float(truth[one, 0]), float(truth[one, 1])) for one in chosen)
    moved = PhotoCollection((wrong, *faces[1:]))
    corrected = with_corrections(moved, (PhotoCorrections("0", "both", points),))
    undisturbed, begun = _fitted(PhotoCollection(faces)), resumable_fit(moved, _OPTIONS)
    start = time.perf_counter()
    mended = _fitted(corrected)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    refitted = refit_face(begun, corrected.faces, _OPTIONS)
    refit_seconds = time.perf_counter() - start
    with_ears = _fitted(with_corrections(PhotoCollection(faces), _ear_corrections(cameras, person)))
    off = np.linalg.norm(mended.photos[0].landmarks[chosen, 2:] - truth[chosen], axis=-1)
    return {
        "undisturbed_mm": _error(undisturbed, person),
        "moved_mm": _error(begun.face, person),
        "corrected_mm": _error(mended, person),
        "point_off_px": float(np.median(off)),
        "farthest_point_off_px": float(off.max()),
        "dragged_by_px": float(np.mean(np.linalg.norm((wrong.landmarks[:, :2] - truth)[chosen], axis=-1))),
        "fit_seconds": seconds,
        "refit_mm": _error(refitted, person),
        "refit_seconds": refit_seconds,
        "ears_mm": _error(undisturbed, person, "ears"),
        "ears_set_mm": _error(with_ears, person, "ears"),
        "face_with_ears_set_mm": _error(with_ears, person),
    }


def _fitted(collection: PhotoCollection) -> FittedFace:
    return fit_face(collection, _OPTIONS)


def job_figures(paths: Sequence[Path]) -> dict[str, float]:
    """Seconds of a whole job and of geometry-only jobs with one dragged point."""
    job_runner.warm("cpu", lambda loaded: None)
    folder = tempfile.TemporaryDirectory()

    def job(options: JobOptions) -> tuple[dict[str, Any], float, float]:
        names = tuple(path.name for path in paths)
        task = Task(
            job="0" * 32,
            token="t",
            kind="reconstruct",
            options=options,
            names=names,
            paths=tuple(map(str, paths)),
            result=str(Path(folder.name) / "result"),
        )
        wall, processor = time.perf_counter(), time.process_time()
        header = job_runner.run(task, _Silent()).header
        return header, time.perf_counter() - wall, time.process_time() - processor

    with folder:
        header, wall, processor = job(JobOptions())
        photo = header["photos"][0]
        point = CorrectedPoint(152, 0.5 * photo["width"], 0.6 * photo["height"])
        corrections = (PhotoCorrections(photo["name"], "both", (point,)),)
        again = [job(JobOptions(geometry_only=True, corrections=corrections))[1:] for _ in range(3)]
    refit_wall, refit_processor = np.median(again, axis=0).tolist()
    return {
        "job_wall_seconds": wall,
        "job_processor_seconds": processor,
        "geometry_job_wall_seconds": refit_wall,
        "geometry_job_processor_seconds": refit_processor,
    }


class _Silent(JobReporter):
    """A reporter that discards everything."""

    def __init__(self) -> None:
        pass

    def __call__(self, stage: str, fraction: float) -> None:
        pass

    def preview(self, stage: str, message: WireMessage) -> None:
        pass


def _photo(yaw_degrees: float, model: LandmarkModel, random: np.random.Generator) -> PhotoParameters:
    yaw = np.radians(yaw_degrees)
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    marks = _TEMPLATE.landmarks478
    return PhotoParameters(
        rotation=FACING_CAMERA @ turn,
        pivot=marks.positions(_TEMPLATE.vertices)[marks.valid].mean(0).astype(np.float64),
        lateral=np.zeros(2),
        log_scale=float(np.log(3000.0)),
        log_distance=float(np.log(1.2)),
        principal_offset=np.zeros(2),
        centre=np.full(2, SIDE / 2.0),
        size=(SIDE, SIDE),
        expression=np.zeros(52),
        nuisance=random.normal(size=model.nuisance_size),
    )


def _photographed(
    name: str, photo: PhotoParameters, person: np.ndarray, model: LandmarkModel, random: np.random.Generator
) -> PhotoFace:
    """Make the person's photo as the detector and the net see it; its pixels are grey, because this fit ignores
    them."""
    camera = photo.camera()
    found = camera.project(_TEMPLATE.landmarks478.positions(person))
    scale, own = face_scale(found), len(model.detector.modes)
    found[:, :2] += _errors(model.detector, photo, photo.nuisance[:own], scale, random)
    surface = None
    if model.surface_errors is not None:
        places = camera.project(net_points().positions(person))[:, :2]
        claimed = np.full(len(places), 0.01 * scale)
        wrong = _errors(model.surface_errors, photo, photo.nuisance[own:], scale, random, claimed)
        surface = SurfaceLandmarks(places + wrong, claimed)
    return PhotoFace(
        name=name,
        source_size=(SIDE, SIDE),
        focal_px=photo.focal,
        pixels=np.full((SIDE, SIDE, 3), 128, np.uint8),
        crop_scale=1.0,
        crop_offset=(0.0, 0.0),
        landmarks=found.astype(np.float32),
        labels=np.full((SIDE, SIDE), FaceClass.SKIN, np.uint8),
        monochrome=False,
        yaw_degrees=0.0,
        quality=PhotoQuality(1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
        surface=surface,
    )


def _errors(
    model: DetectorModel,
    photo: PhotoParameters,
    strengths: np.ndarray,
    scale: float,
    random: np.random.Generator,
    claimed: np.ndarray | None = None,
) -> np.ndarray:
    bias, modes, deviation = expected_errors(model, photo, scale)
    alone = deviation if claimed is None else model.deviation * claimed
    return bias + modes @ strengths + 0.5 * alone[:, None] * random.normal(size=bias.shape)


def _moved(face: PhotoFace, random: np.random.Generator) -> PhotoFace:
    """Move both kinds of landmarks by one smooth second-order field without their common shift."""
    width = float(np.ptp(face.landmarks[:, 0]))

    def features(places: np.ndarray) -> np.ndarray:
        x, y = ((places - face.landmarks[:, :2].mean(0)) / width).T
        return np.stack([x, y, x * x - 0.08, x * y, y * y - 0.1], axis=-1)

    field = random.normal(size=(5, 2)) * np.array([1.0, 1.0, 3.0, 3.0, 3.0])[:, None]
    field *= WRONG_SHARE * width / np.linalg.norm(features(face.landmarks[:, :2]) @ field, axis=-1).mean()
    landmarks = face.landmarks.copy()
    landmarks[:, :2] += features(face.landmarks[:, :2]) @ field
    surface = face.surface
    if surface is not None:
        surface = replace(surface, places=surface.places + features(surface.places) @ field)
    return replace(face, landmarks=landmarks, surface=surface)


def _farthest(off: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(5,) landmarks to drag, those with the largest errors."""
    least = APART_SHARE * np.ptp(places[:, 0])
    chosen: list[int] = []
    for one in sorted(HANDLES, key=lambda handle: -np.linalg.norm(off[handle])):
        if all(np.linalg.norm(places[one] - places[other]) > least for other in chosen):
            chosen.append(one)
    return np.array(chosen[:DRAGGED])


def _ear_corrections(cameras: Sequence[PhotoParameters], person: np.ndarray) -> tuple[PhotoCorrections, ...]:
    """Ear points in each photo: of both ears in frontal view, else of the ear turned to the camera."""
    said = []
    for number, (photo, yaw) in enumerate(zip(cameras, YAWS, strict=True)):
        places = photo.camera().project(person[ear_vertices()])[:, :2]
        shown = range(6) if yaw == 0.0 else range(3) if photo.camera().centre()[0] > 0 else range(3, 6)
        points = [CorrectedPoint(FIRST_EAR + one, *map(float, places[one])) for one in shown]
        said.append(PhotoCorrections(str(number), "both", tuple(points)))
    return tuple(said)


def _error(fitted: FittedFace, person: np.ndarray, region: str = "face") -> float:
    """Median distance in mm of a region's vertices from the true ones, after the best similarity of the face."""
    face, wanted = (_TEMPLATE.regions[name] > 0.5 for name in ("face", region))
    mine = fitted.neutral.astype(np.float64)
    similarity = fit_similarity(mine[face], person[face])
    return float(1000.0 * np.median(np.linalg.norm(similarity.apply(mine[wanted]) - person[wanted], axis=-1)))


if __name__ == "__main__":
    main()
