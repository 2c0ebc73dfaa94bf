"""The person in a take: the neutral head and its keys, fixed while expressions are solved."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pygltflib

from backend.errors import LikenessError
from backend.exchange.assemble import face_parts
from backend.exchange.asset_mesh import split_at_seams
from backend.expression.photometric_pose import Appearance, appearance_of_texture
from backend.fitting.fit import run_landmark_stage
from backend.fitting.landmark_targets import LandmarkModel, landmark_model
from backend.fitting.options import PriorWeights, fit_options_for
from backend.geometry.template import Template, load_template
from backend.photos.collection import PhotoFace
from backend.photos.formats import PhotoSource, ReadLimits
from backend.photos.reading import read_photo
from backend.rig.personalise import personalise_keys

MOST_GLB_BYTES = 512 * 2**20
MOST_TEXTURE_SIDE = 8192
_ADVICE = "Give the folder that 'python -m backend reconstruct' wrote, or --identity auto."


@dataclass(frozen=True)
class Subject:
    """One person's rig.

    Attributes
    ----------
    template : the template with this person's neutral vertices and keys, and no identity modes.
    model : the landmarks on it.
    appearance : the person's skin, None where it is not known.
    """

    template: Template
    model: LandmarkModel
    appearance: Appearance | None = None


def subject_of(neutral: np.ndarray, appearance: Appearance | None = None) -> Subject:
    """The rig of neutral vertices (V, 3) in the template's order, head frame, metres."""
    template = load_template()
    neutral = np.ascontiguousarray(neutral, dtype=np.float32)
    own = replace(
        template,
        vertices=neutral,
        expressions=personalise_keys(template, neutral),
        identity_modes=np.zeros((0, *neutral.shape), np.float32),
    )
    return Subject(own, landmark_model(own), appearance)


def read_subject(folder: Path) -> Subject:
    """Read the person from a ``folder`` written by ``reconstruct``.

    Raises ``LikenessError`` with code "usage" when there is no ``face.glb`` of this version in it.
    """
    neutral = read_neutral(folder)
    texture = read_texture(folder)
    return subject_of(neutral, None if texture is None else appearance_of_texture(load_template(), texture))


def read_texture(folder: Path) -> np.ndarray | None:
    """(R, R, 3) uint8 sRGB albedo in ``face.glb``, None without a readable square picture."""
    try:
        gltf = pygltflib.GLTF2.load_binary(str(Path(folder) / "face.glb"))
        view = gltf.bufferViews[gltf.images[0].bufferView]
        start = view.byteOffset or 0
        data = bytes(gltf.binary_blob()[start : start + view.byteLength])
        pixels = read_photo(
            PhotoSource("texture", data), ReadLimits(max_side=MOST_TEXTURE_SIDE, kept_pixels=10**9)
        ).pixels
        return pixels if pixels.shape[0] == pixels.shape[1] else None
    except Exception:  # third-party parser; the head is used without its texture
        return None


def read_neutral(folder: Path) -> np.ndarray:
    """(V, 3) float32 neutral vertices, template order, from ``face.glb``; raises as ``read_subject``."""
    path = Path(folder) / "face.glb"
    if not os.path.isfile(path):
        raise LikenessError("usage", f"There is no face.glb in {folder}.", _ADVICE)
    broken = LikenessError("usage", f"{path} is not a head that this version of Likeness wrote.", _ADVICE)
    if path.stat().st_size > MOST_GLB_BYTES:
        raise broken
    template = load_template()
    neutral = np.full(template.vertices.shape, np.nan, np.float32)
    try:
        with path.open("rb") as file:
            if file.read(8) != b"glTF\2\0\0\0":  # binary glTF, version 2
                raise broken
        gltf = pygltflib.GLTF2.load_binary(str(path))
        nodes = {node.name: node for node in gltf.nodes}
        for part in face_parts(template, template.vertices, template.expressions):
            accessor = gltf.meshes[nodes[part.name].mesh].primitives[0].attributes.POSITION
            positions = _positions(gltf, accessor)
            source = split_at_seams(part).source
            if len(positions) != len(source):  # eyes on map ``Eye``, which has no seams
                source = split_at_seams(replace(part, uv=part.vertices[:, :2], uv_quads=part.quads)).source
            if len(positions) != len(source):
                raise broken
            neutral[template.parts[part.name].vertex_start + source] = positions
    except LikenessError:
        raise
    except Exception as error:  # third-party parser on an untrusted file
        raise broken from error
    if not np.isfinite(neutral).all() or np.abs(neutral).max() > 10.0:
        raise broken
    return neutral


def _positions(gltf: pygltflib.GLTF2, number: int) -> np.ndarray:
    """(N, 3) float32 of a plain accessor."""
    accessor = gltf.accessors[number]
    view = gltf.bufferViews[accessor.bufferView]
    if (
        accessor.componentType != pygltflib.FLOAT
        or accessor.type != pygltflib.VEC3
        or view.byteStride not in (None, 12)
    ):
        raise ValueError("not packed float32 vectors")
    start = (view.byteOffset or 0) + (accessor.byteOffset or 0)
    return np.frombuffer(gltf.binary_blob(), "<f4", 3 * accessor.count, start).reshape(-1, 3)


def subject_from_faces(faces: tuple[PhotoFace, ...], weights: PriorWeights | None = None) -> Subject:
    """The person in some pictures, by the joint landmark fit (pictures of somebody else are left out)."""
    options = replace(fit_options_for("fast"), prior=weights or PriorWeights())
    return subject_of(run_landmark_stage(load_template(), faces, options).neutral())
