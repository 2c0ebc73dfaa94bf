"""``python -m backend canonical``: LAP's canonical face (neutral, from the front) from photos, and its folder: images,
textured OBJ, each photo's light and view.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from backend import __version__
from backend.exchange.all_or_none import OutputFolder, write_together
from backend.exchange.buffers import png_bytes
from backend.fitting.canonical import CanonicalFrame, align_by_landmarks
from backend.geometry.template import load_template
from backend.models.checkpoints import computing_device
from backend.models.lap import canonical_face as lap_result
from backend.models.lap.apply import STAGE, canonical_face
from backend.models.registry import LAP
from backend.photos.collect import collect
from backend.photos.collection import PhotoSource
from backend.progress import WRITING, ProgressReporter, silent
from backend.rendering.depth_surface import points_from_depth

PICTURES = "pictures"
STAGES: tuple[tuple[str, float], ...] = (("photos", 0.5), (STAGE, 0.2), (PICTURES, 0.2), (WRITING, 0.1))
"""All stages that report progress, in order, with their usual share of the total time."""


@dataclass(frozen=True)
class Canonical:
    """Result of ``make_canonical``: the face, its images, the transform from head to it, and name, used and
    reason of every given photo."""

    face: lap_result.CanonicalFace
    pictures: Mapping[str, np.ndarray]
    placement: CanonicalFrame
    verdicts: tuple[Mapping[str, Any], ...]


def make_canonical(
    sources: Sequence[PhotoSource], device: str = "auto", progress: ProgressReporter = silent
) -> Canonical:
    """Reconstruct and draw one person's canonical face.

    Raises
    ------
    LikenessError : with a sentence for the user (a network not trained, no photo, no face).
    errors.Cancelled : ``progress`` raised it.
    """
    model = LAP.load(computing_device(device))  # before the photos, to fail early if it is missing
    collection = collect(sources, progress=progress)
    face = canonical_face(collection.faces, model, progress)
    progress(PICTURES, 0.0)
    pictures = lap_result.canonical_pictures(face, collection.faces)
    progress(PICTURES, 1.0)
    placement = align_by_landmarks(load_template(), face)
    verdicts = tuple({"name": one.name, "used": one.used, "reason": one.reason} for one in collection.verdicts)
    return Canonical(face, pictures, placement, verdicts)


CANONICAL_FILE_NAMES: tuple[str, ...] = (
    "canonical_depth.png",
    "canonical_normals.png",
    "canonical_albedo.png",
    "canonical_confidence.png",
    "canonical_photos.png",
    "canonical.obj",
    "canonical.mtl",
    "canonical.json",
)
"""All files that the command writes."""


def write_canonical_folder(made: Canonical, folder: OutputFolder, progress: ProgressReporter) -> None:
    """Write all ``CANONICAL_FILE_NAMES`` into ``folder``, all or none. Raises ``LikenessError`` with code "disk"."""

    def picture(name: str) -> Callable[[Path], None]:
        return lambda folder: (folder / f"canonical_{name}.png").write_bytes(png_bytes(made.pictures[name]))

    steps = [
        *(picture(name) for name in made.pictures),
        lambda folder: _write_obj(made, folder),
        lambda folder: _write_json(made, folder / "canonical.json"),
    ]
    write_together(folder, CANONICAL_FILE_NAMES, steps, progress)


def _write_obj(made: Canonical, folder: Path) -> None:
    """Write the surface as quads, with one texture coordinate per pixel centre of ``canonical_albedo.png`` (v up)."""
    face, size = made.face, len(made.face.depth)
    points = points_from_depth(torch.from_numpy(face.depth)[None], face.camera)[0].numpy().reshape(-1, 3)
    row, column = np.nonzero(lap_result.surface_cells(face))
    corner = row * size + column
    quads = np.stack([corner, corner + size, corner + size + 1, corner + 1], axis=1)  # counter-clockwise from outside
    used, numbers = np.unique(quads, return_inverse=True)
    numbers = numbers.reshape(quads.shape) + 1
    vertices = made.placement.undo(points[used])
    u, v = (used % size + 0.5) / size, 1.0 - (used // size + 0.5) / size
    lines = [
        f"# Likeness {__version__}: canonical face; metres, y up, x to the person's left",
        "mtllib canonical.mtl",
        "o canonical",
        *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices.tolist()),
        *(f"vt {a:.6f} {b:.6f}" for a, b in zip(u.tolist(), v.tolist(), strict=True)),
        "usemtl canonical",
        "s 1",
        *(f"f {a}/{a} {b}/{b} {c}/{c} {d}/{d}" for a, b, c, d in numbers.tolist()),
    ]
    (folder / "canonical.obj").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    material = "newmtl canonical\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\nmap_Kd canonical_albedo.png\n"
    (folder / "canonical.mtl").write_text(material, encoding="utf-8", newline="\n")


def _write_json(made: Canonical, path: Path) -> None:
    face = made.face
    content = {
        "version": 1,
        "model": face.version,
        "size": len(face.depth),
        "depth_range": lap_result.DEPTH_RANGE,
        "fov_degrees": face.camera.fov_degrees,
        "given": list(made.verdicts),
        "photos": [
            {
                "name": photo.name,
                "rotation": photo.rotation.tolist(),
                "translation": photo.translation.tolist(),
                "ambient": photo.ambient,
                "diffuse": photo.diffuse,
                "light_direction": photo.direction.tolist(),
                "scale": float(photo.alignment.scale),
                "tilt_degrees": float(np.degrees(photo.alignment.tilt + photo.window.angle)),
                "offset": [float(value) / len(face.depth) for value in photo.alignment.offset],
            }
            for photo in face.photos
        ],
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
