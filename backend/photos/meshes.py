"""A mesh of a head in place of photos: read from a file, checked, and drawn from three sides as photos would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.geometry.closest import TriangleMesh
from backend.photos.collection import DecodedPhoto, PhotoSource, ReadLimits, Scan
from backend.photos.faces import FACES, detect_faces
from backend.rendering.camera import Camera, look_at
from backend.rendering.color import linear_from_srgb
from backend.rendering.rasterize import places_at
from backend.rendering.render import render_linear
from protocol.photo_folder import is_mesh

if TYPE_CHECKING:
    import trimesh

MOST_VERTICES = 2_000_000
"""Vertices of a file; a raw scan has a million, and takes a minute."""
UNITS = (1.0, 0.01, 0.001, 0.0254)
"""Metres of a mesh's unit: a face whose size fits none of them is taken for one of the usual size."""
FACE = 0.15
"""Metres, side of a detected face's box, brows to chin, of an adult; another by up to a quarter."""
SIZE, DISTANCE, SPAN = 1024, 1.5, 0.44
"""Pixels a side of a picture, metres from the camera and across: a head with its hair."""
SIDES = {"front": 0.0, "left": 45.0, "right": -45.0}
"""Names of the pictures -> degrees by which the head is turned to its left."""
_ADVICE = "Export the head once more, as GLB, PLY or OBJ, upright and with the face free."


@dataclass(frozen=True)
class PaintedMesh:
    """A mesh, and its paint as arguments of ``render_linear``: colours or a texture; empty without any."""

    mesh: TriangleMesh
    paint: Mapping[str, np.ndarray]

    def moved(self, scale: float, rotation: np.ndarray, middle: np.ndarray) -> PaintedMesh:
        """The mesh with ``middle`` (3,) in the origin, turned and scaled."""
        return PaintedMesh(
            TriangleMesh(scale * (self.mesh.vertices - middle) @ rotation.T, self.mesh.triangles), self.paint
        )

    def drawn(self, camera: Camera) -> np.ndarray:
        """(H, W, 3) uint8 picture; paint without light, because it holds that it was taken in; else clay."""
        return render_linear(self.mesh.vertices, self.mesh.triangles, camera, **self.paint).over((0, 0, 0))


def with_drawn_meshes(sources: Sequence[PhotoSource]) -> tuple[Scan | None, list[PhotoSource], list[PhotoSource]]:
    """The mesh among the sources, the pictures of it, and the other sources.

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
    upright = _upright(read_mesh(meshes[0]), name)
    cameras = {f"{name} {side}": _camera(turn) for side, turn in SIDES.items()}
    drawn = []
    for label, camera in cameras.items():
        pixels = upright.drawn(camera)
        photo = DecodedPhoto(label, pixels, (SIZE, SIZE), float(camera.intrinsics[0, 0]))
        drawn.append(PhotoSource(label, data=pixels.tobytes(), decoded=photo))
    return Scan(name, upright.mesh, cameras, bool(upright.paint)), drawn, others


def read_mesh(source: PhotoSource, limits: ReadLimits | None = None) -> PaintedMesh:
    """A mesh file's surface in its own frame and units. Vertices at one place become one, so that seams of the texture
    are no borders. Raises ``LikenessError`` as ``with_drawn_meshes``."""
    import trimesh  # a tenth of a second, which heads from photos do not need

    most = (limits or ReadLimits()).max_file_bytes
    size = source.path.stat().st_size if source.path is not None and source.path.is_file() else len(source.data or b"")
    if not 0 < size <= most:
        why = f"is larger than {most >> 20} MiB" if size else "is empty or not there"
        raise LikenessError("no_photo", f"{source.name} {why}.", _ADVICE)
    kind = Path(source.name).suffix[1:].lower()
    try:
        beside = source.path is not None and source.path.suffix  # else a service's copy: nothing lies beside it
        data = source.data if source.path is None else source.path.read_bytes()
        given = source.path if beside else BytesIO(data)
        whole = trimesh.load_scene(given, file_type=kind).to_mesh()
        vertices, faces = np.asarray(whole.vertices, np.float64), np.asarray(whole.faces, np.int64)
        paint = _paint(whole.visual, faces)
    except Exception as error:  # a parser raises whatever a broken file makes of it
        raise LikenessError("no_photo", f"{source.name} could not be read as a mesh.", _ADVICE) from error
    if not 0 < len(vertices) <= MOST_VERTICES or len(faces) < 100 or not np.isfinite(vertices).all():
        said = f"{source.name} has {len(vertices)} vertices and {len(faces)} triangles"
        raise LikenessError("no_photo", f"{said}, which is no head, or more than {MOST_VERTICES}.", _ADVICE)
    places, back = np.unique(vertices, axis=0, return_inverse=True)
    first = np.zeros(len(places), np.int64)
    first[back.ravel()] = np.arange(len(vertices))
    if "colors" in paint:
        paint = {"colors": paint["colors"][first]}
    return PaintedMesh(TriangleMesh(places, back.ravel()[faces]), paint)


def _paint(visual: trimesh.visual.base.Visuals, faces: np.ndarray) -> dict[str, np.ndarray]:
    """The paint of a loaded mesh, as in ``PaintedMesh``; colours by the file's vertices."""
    if visual.kind == "texture" and visual.uv is not None:
        image = getattr(visual.material, "baseColorTexture", None) or getattr(visual.material, "image", None)
        if image is not None:
            return {"texture": np.asarray(image.convert("RGB")), "uv": np.asarray(visual.uv), "uv_faces": faces}
    if visual.kind == "vertex":
        return {"colors": linear_from_srgb(np.asarray(visual.vertex_colors[:, :3], np.float32) / 255.0)}
    return {}


def _camera(turn: float) -> Camera:
    return look_at(turn, 0.0, 0.0, DISTANCE, SIZE * DISTANCE / SPAN, (SIZE, SIZE), np.zeros(3))


def _upright(painted: PaintedMesh, name: str) -> PaintedMesh:
    """The mesh in metres, its face's middle in the origin, looking along z: the side on which a face is seen best."""
    low, high = painted.mesh.vertices.min(0), painted.mesh.vertices.max(0)
    best = None
    for axis, angle in (("x", 0), ("x", -90), ("y", 180), ("y", 90), ("y", -90), ("x", 90)):
        turn = Rotation.from_euler(axis, angle, degrees=True).as_matrix()
        whole = painted.moved(SPAN / max(float((high - low).max()), 1e-9), turn, (low + high) / 2)
        for found in detect_faces(whole.drawn(_camera(0.0)))[:1]:
            if best is None or found.score > best[0].score:
                best = found, whole
        if best is not None and best[0].score > FACES.upright_score:
            break
    if best is None:
        raise LikenessError("no_face", f"No face is seen on the mesh {name}.", _ADVICE)
    found, whole = best
    camera = _camera(0.0)
    (middle,), (away,) = places_at(np.array([found.centre]), whole.mesh.vertices, whole.mesh.triangles, camera)
    if not np.isfinite(away):
        raise LikenessError("no_face", f"The mesh {name} has a hole in the middle of the face.", _ADVICE)
    side = found.side * away / camera.intrinsics[0, 0]
    roll = Rotation.from_euler("z", np.pi / 2 * round(found.angle / (np.pi / 2))).as_matrix()
    scale = FACE / side
    per_unit = scale * SPAN / max(float((high - low).max()), 1e-9)
    known = [unit for unit in UNITS if abs(np.log(per_unit / unit)) < np.log(1.25)]
    return whole.moved(scale * known[0] / per_unit if known else scale, roll, middle - [0.0, 0.0, 0.5 * side])
