"""The person in a take: the neutral head and its keys, fixed while expressions are solved."""

import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from backend.errors import LikenessError
from backend.exchange.assemble import face_parts
from backend.exchange.asset_mesh import split_at_seams
from backend.fitting.fit import run_landmark_stage
from backend.fitting.landmark_targets import LandmarkModel, landmark_model
from backend.fitting.options import PriorWeights, fit_options_for
from backend.geometry.template import Template, load_template
from backend.photos.collection import PhotoFace
from backend.rig.measure import part_slice
from backend.rig.mouth import with_plain_teeth
from backend.rig.personalise import personalise_keys
from protocol.message import HEAD_METRES

MOST_GLB_BYTES = 512 * 2**20
MOST_JSON_BYTES = 4 * 2**20
"""Of the description in a ``face.glb``; ours has 0.2 MiB."""
FLOAT = 5126
"""glTF's number for float32."""
_ADVICE = "Give the folder that 'python -m backend reconstruct' wrote, or --identity auto."


@dataclass(frozen=True)
class Subject:
    """One person's rig.

    Attributes
    ----------
    template : the template with this person's neutral vertices and keys, and no identity modes.
    model : the landmarks on it.
    """

    template: Template
    model: LandmarkModel


class _Node(msgspec.Struct):
    name: str | None = None
    mesh: int | None = None


class _Primitive(msgspec.Struct):
    attributes: dict[str, int]


class _Mesh(msgspec.Struct):
    primitives: list[_Primitive]


class _Accessor(msgspec.Struct):
    componentType: int  # noqa: N815
    type: str
    count: int
    bufferView: int = -1  # noqa: N815
    byteOffset: int = 0  # noqa: N815


class _View(msgspec.Struct):
    byteLength: int  # noqa: N815
    byteOffset: int = 0  # noqa: N815
    byteStride: int | None = None  # noqa: N815


class _Gltf(msgspec.Struct):
    """The fields of glTF that are used, by glTF's names; all others are skipped without being kept."""

    nodes: list[_Node] = []
    meshes: list[_Mesh] = []
    accessors: list[_Accessor] = []
    bufferViews: list[_View] = []  # noqa: N815


@dataclass(frozen=True)
class _Head:
    """The description in a binary glTF file, and its binary data."""

    gltf: _Gltf
    binary: bytes


def subject_of(neutral: np.ndarray) -> Subject:
    """The rig of neutral vertices (V, 3) in the template's order, head frame, metres."""
    template = load_template()
    neutral = np.ascontiguousarray(neutral, dtype=np.float32)
    personal = replace(
        template,
        vertices=neutral,
        expressions=personalise_keys(template, neutral),
        identity_modes=np.zeros((0, *neutral.shape), np.float32),
    )
    return Subject(personal, landmark_model(personal))


def read_subject(folder: Path) -> Subject:
    """Read the person from a ``folder`` written by ``reconstruct``.

    Raises ``LikenessError`` with code "usage" when there is no ``face.glb`` of this version in it.
    """
    return subject_of(read_neutral(folder))


def read_neutral(folder: Path) -> np.ndarray:
    """(V, 3) float32 neutral vertices, template order, from ``face.glb``; raises as ``read_subject``."""
    path = Path(folder) / "face.glb"
    if not os.path.isfile(path):
        raise LikenessError("usage", f"There is no face.glb in {folder}.", _ADVICE)
    broken = LikenessError("usage", f"{path} is not a head that this version of Likeness wrote.", _ADVICE)
    template = load_template()
    neutral = np.full(template.vertices.shape, np.nan, np.float32)
    try:
        head = _read_glb(path)
        nodes = {node.name: node for node in head.gltf.nodes}
        for part in face_parts(template, template.vertices, template.expressions):
            accessor = head.gltf.meshes[nodes[part.name].mesh].primitives[0].attributes["POSITION"]
            positions = _positions(head, accessor)
            source = split_at_seams(part).source
            if len(positions) != len(source):  # eyes on map ``Eye``, which has no seams
                source = split_at_seams(replace(part, uv=part.vertices[:, :2], uv_quads=part.quads)).source
            if len(positions) != len(source):
                raise broken
            span = template.parts[part.name]
            if len(part.vertices) > span.vertex_stop - span.vertex_start:  # of crowns, those that hm08 has
                numbers = part.hm08_vertex[source]
                positions, numbers = positions[numbers >= 0], numbers[numbers >= 0]
                source = np.searchsorted(template.hm08_vertex[part_slice(span)], numbers)
            neutral[span.vertex_start + source] = positions
    except LikenessError:
        raise
    except (OSError, ValueError, LookupError, TypeError, RecursionError, struct.error, msgspec.MsgspecError) as error:
        raise broken from error
    if not np.isfinite(neutral).all() or np.abs(neutral).max() > HEAD_METRES:
        raise broken
    return with_plain_teeth(template, neutral)


def _read_glb(path: Path) -> _Head:
    """The parts of a binary glTF file that are used; raises ``ValueError`` and errors of msgspec for any other file."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > MOST_GLB_BYTES:
            raise ValueError("too large")
        magic, version, _, length, kind = struct.unpack("<4sIII4s", file.read(20))
        if (magic, version, kind) != (b"glTF", 2, b"JSON") or length > MOST_JSON_BYTES:
            raise ValueError("not a head")
        gltf = msgspec.json.decode(file.read(length), type=_Gltf)
        length, kind = struct.unpack("<I4s", file.read(8))
        if kind != b"BIN\0" or length > MOST_GLB_BYTES:
            raise ValueError("no binary data")
        return _Head(gltf, file.read(length))


def _positions(head: _Head, number: int) -> np.ndarray:
    """(N, 3) float32 of a plain accessor."""
    accessor = head.gltf.accessors[number]
    view = head.gltf.bufferViews[accessor.bufferView]
    packed = (accessor.componentType, accessor.type) == (FLOAT, "VEC3") and view.byteStride in (None, 12)
    if not packed or min(accessor.bufferView, view.byteOffset, accessor.byteOffset, accessor.count) < 0:
        raise ValueError("not packed float32 vectors")
    start = view.byteOffset + accessor.byteOffset
    return np.frombuffer(head.binary, "<f4", 3 * accessor.count, start).reshape(-1, 3)


def subject_from_faces(faces: tuple[PhotoFace, ...], weights: PriorWeights | None = None) -> Subject:
    """The person in some pictures, by the joint landmark fit (pictures of somebody else are left out)."""
    options = replace(fit_options_for("fast"), prior=weights or PriorWeights())
    return subject_of(run_landmark_stage(load_template(), faces, options).neutral)
