"""A mesh of a head in place of photos: read from a file, checked, and drawn from three sides as photos would be.

``decoding.py`` parses the file in a process of its own, and names its arrays. The pipeline calls
``split_mesh_from_photos`` before it reads photos; ``fitting/scan.py`` lays the face on the mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.geometry.closest import TriangleMesh
from backend.photos.collection import DecodedPhoto, PhotoSource, PhotoUnreadableError, ReadLimits, Scan
from backend.photos.faces import FACES, detect_faces
from backend.photos.reading import read_photo
from backend.rendering.camera import Camera, look_at
from backend.rendering.color import linear_from_srgb
from backend.rendering.rasterize import places_at
from backend.rendering.render import render_linear
from protocol.photo_folder import is_mesh

LIMITS = ReadLimits(most_cpu_seconds=30.0, most_bytes=3 * ReadLimits.most_bytes)
"""Of a mesh's file: one of two million vertices in OBJ's text takes 12 s of processor time and 2.5 GiB."""
UNITS = (1.0, 0.01, 0.001, 0.0254)
"""Units that files are in, metres: m, cm, mm, inch. Where none makes the face about ``FACE``, it is scaled to that."""
FACE = 0.15
"""Metres, side of a detected face's box, brows to chin, of an adult. A unit that makes the face up to a quarter larger
or smaller is believed, and the face keeps its size."""
SIZE, DISTANCE, SPAN = 1024, 1.5, 0.44
"""Picture side in pixels; camera distance and visible width in metres, enough for head and hair."""
SIDES = {"front": 0.0, "left": 45.0, "right": -45.0}
"""Names of the pictures -> degrees by which the head is turned to its left."""
_ADVICE = "Export the head once more, as GLB, PLY or OBJ, upright and with the face free."


@dataclass(frozen=True)
class PaintedMesh:
    """A mesh and its paint, arguments of ``render_linear``: ``colors``, or ``texture`` and UV, or none."""

    mesh: TriangleMesh
    paint: Mapping[str, np.ndarray]

    def moved(self, scale: float, rotation: np.ndarray, middle: np.ndarray) -> PaintedMesh:
        """The mesh with ``middle`` (3,) in the origin, turned and scaled."""
        return PaintedMesh(
            TriangleMesh(scale * (self.mesh.vertices - middle) @ rotation.T, self.mesh.triangles), self.paint
        )

    def drawn(self, camera: Camera) -> np.ndarray:
        """(H, W, 3) uint8 picture: unlit paint, because it holds the light of its photos; without paint, lit clay."""
        return render_linear(self.mesh.vertices, self.mesh.triangles, camera, **self.paint).over((0, 0, 0))


def split_mesh_from_photos(
    sources: Sequence[PhotoSource], waiting: Callable[[], None] = lambda: None
) -> tuple[Scan | None, list[PhotoSource], list[PhotoSource]]:
    """The mesh among the sources, pictures drawn of it, and the other sources; ``waiting`` is called while a file is
    read, and may raise to stop that.

    Raises
    ------
    LikenessError : "no_photo" for a file that holds no usable mesh, "no_face" where no face is seen on it, "usage" for
        more than one.
    """
    meshes, others = [one for one in sources if is_mesh(one.name)], [one for one in sources if not is_mesh(one.name)]
    if not meshes:
        return None, [], others
    if len(meshes) > 1:
        raise LikenessError("usage", f"{len(meshes)} meshes were given.", "Give one mesh, and photos beside it.")
    name = meshes[0].name
    upright = _upright(read_mesh(meshes[0], waiting), name)
    cameras = {f"{name} {side}": _camera(turn) for side, turn in SIDES.items()}
    drawn = []
    for label, camera in cameras.items():
        pixels = upright.drawn(camera)
        photo = DecodedPhoto(label, pixels, (SIZE, SIZE), float(camera.intrinsics[0, 0]))
        drawn.append(PhotoSource(label, data=pixels.tobytes(), decoded=photo))
    return Scan(name, upright.mesh, cameras, bool(upright.paint)), drawn, others


def read_mesh(source: PhotoSource, waiting: Callable[[], None] = lambda: None) -> PaintedMesh:
    """A mesh file's surface in its own frame and units, read in a process with limits. Vertices at one place become
    one, so that seams of the texture are no borders. ``waiting`` as of ``read_photo``; raises ``LikenessError`` as
    ``split_mesh_from_photos``."""
    try:
        found = read_photo(source, LIMITS, waiting, as_mesh=True)
    except PhotoUnreadableError as error:
        raise LikenessError("no_photo", f"{source.name}: {error}", _ADVICE) from error
    vertices, triangles = found.pop("vertices"), found.pop("triangles")
    places, back = np.unique(vertices, axis=0, return_inverse=True)
    chosen = np.zeros(len(places), np.int64)
    chosen[back.ravel()] = np.arange(len(vertices))
    if "colors" in found:
        found["colors"] = linear_from_srgb(found["colors"][chosen] / np.float32(255.0))
    if "texture" in found:
        found["uv_faces"] = triangles
    return PaintedMesh(TriangleMesh(places, back.ravel()[triangles]), found)


def _camera(turn: float, size: int = SIZE) -> Camera:
    return look_at(turn, 0.0, 0.0, DISTANCE, size * DISTANCE / SPAN, (size, size), np.zeros(3))


def _upright(painted: PaintedMesh, name: str) -> PaintedMesh:
    """The mesh in metres, turned so that the face best detected in six turns looks along z. The origin lies half a face
    behind the middle of the face's surface, so that pictures from the sides turn about the head's middle."""
    low, high = painted.mesh.vertices.min(0), painted.mesh.vertices.max(0)
    best, camera = None, _camera(0.0, SIZE // 2)
    # The usual up axes first: y up, then z up.
    for axis, angle in (("x", 0), ("x", -90), ("y", 180), ("y", 90), ("y", -90), ("x", 90)):
        turn = Rotation.from_euler(axis, angle, degrees=True).as_matrix()
        whole = painted.moved(SPAN / max(float((high - low).max()), 1e-9), turn, (low + high) / 2)
        for found in detect_faces(whole.drawn(camera))[:1]:
            if best is None or found.score > best[0].score:
                best = found, whole
        if best is not None and best[0].score > FACES.upright_score:
            break
    if best is None:
        raise LikenessError("no_face", f"No face is seen on the mesh {name}.", _ADVICE)
    found, whole = best
    (middle,), (distance,) = places_at(np.array([found.centre]), whole.mesh.vertices, whole.mesh.triangles, camera)
    if not np.isfinite(distance):
        raise LikenessError("no_face", f"The mesh {name} has a hole in the middle of the face.", _ADVICE)
    side = found.side * distance / camera.intrinsics[0, 0]  # of the face's square
    roll = Rotation.from_euler("z", np.pi / 2 * round(found.angle / (np.pi / 2))).as_matrix()
    scale = FACE / side
    # One file unit in metres if the face is ``FACE`` wide; a ``UNITS`` entry near it is preferred.
    per_unit = scale * SPAN / max(float((high - low).max()), 1e-9)
    known = [unit for unit in UNITS if abs(np.log(per_unit / unit)) < np.log(1.25)]
    return whole.moved(scale * known[0] / per_unit if known else scale, roll, middle - [0.0, 0.0, 0.5 * side])
