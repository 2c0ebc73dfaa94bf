"""The person in a take: the neutral head and its keys, fixed while expressions are solved, and the head's rotation from
the person's own skin: position of brows, lips, nostrils and shading in a picture.

The landmark detector's error is a few degrees, in the same direction through a whole take. A textured head allows
direct alignment: its skin, under the light that fits best, is compared with the picture (Lucas and Kanade 1981;
spherical harmonics of Ramamoorthi and Hanrahan 2001).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
from scipy.spatial.transform import Rotation

from backend.errors import LikenessError
from backend.exchange.assemble import face_parts
from backend.exchange.asset_mesh import split_at_seams
from backend.expression.reading import WINDOW_PER_FACE, WINDOW_PIXELS
from backend.fitting.detector_model import face_scale
from backend.fitting.fit import run_landmark_stage
from backend.fitting.landmark_targets import LandmarkModel, landmark_model
from backend.fitting.options import PriorWeights, fit_options_for
from backend.fitting.parameters import PhotoParameters, project_with_derivatives
from backend.geometry.normals import vertex_normals
from backend.geometry.template import Template, load_template, triangles_from_quads
from backend.photos.collection import PhotoFace, PhotoSource, ReadLimits
from backend.photos.faces import landmark_window
from backend.photos.reading import read_photo
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_image
from backend.rendering.spherical_harmonics import basis
from backend.rig.measure import part_slice
from backend.rig.mouth import with_plain_teeth
from backend.rig.personalise import personalise_keys
from protocol.message import HEAD_METRES

MOST_GLB_BYTES = 512 * 2**20
MOST_TEXTURE_SIDE = 8192
MOST_JSON_BYTES = 4 * 2**20
"""Of the description in a ``face.glb``; ours has 0.2 MiB."""
FLOAT = 5126
"""glTF's number for float32."""
_ADVICE = "Give the folder that 'python -m backend reconstruct' wrote, or --identity auto."
TEXTURE_SIDE = 320
"""Side of the reduced texture: a texel is about as large as the distance between two vertices."""
FACE_SHARE = 0.5
BLURS = (0.03, 0.015)
"""Standard deviations of the picture's low-pass filter, coarse to fine, in window pixels per face height."""
LIGHT_ROUNDS, ROUNDS, STEPS = 6, 2, 5
INFORMATION = 0.02
"""Number of independent measurements that a vertex's colour is worth; residuals of neighbours are correlated."""
OUTLIER = 1.2
"""Scale of the robust loss in robust standard deviations: hair, glasses, hands and shadows are outliers."""
PLACE_PERCENT = 2.0
"""Standard deviation of place and size from the landmarks', in per cent of the face's scale."""
_POSE = np.arange(6)  # rotation, lateral place, log scale


@dataclass(frozen=True)
class Appearance:
    """Albedo of a person's skin per vertex.

    Attributes
    ----------
    vertices : (K,) template vertices of the front of the head. albedo : (K, 3) linear.
    """

    vertices: np.ndarray
    albedo: np.ndarray


def face_vertices(template: Template) -> np.ndarray:
    """Vertices of the head's skin in the face region."""
    return np.flatnonzero(template.regions["face"][: template.head.vertex_stop] > FACE_SHARE)


def appearance_of_texture(template: Template, texture: np.ndarray) -> Appearance:
    """Sample an albedo texture (R, R, 3) uint8 sRGB of UV map ``Head``, row 0 at the top."""
    head = template.head
    uv = np.zeros((len(template.vertices), 2))
    faces = slice(head.face_start, head.face_stop)
    uv[template.quads[faces]] = template.uv_head[template.uv_head_quads[faces]]
    side = min(TEXTURE_SIDE, len(texture))
    small = cv2.resize(linear_from_srgb(texture.astype(np.float32) / 255.0), (side, side), interpolation=cv2.INTER_AREA)
    vertices = face_vertices(template)
    texels = np.column_stack([uv[vertices, 0], 1.0 - uv[vertices, 1]]) * side
    return Appearance(vertices, _sample(small, texels))


def turn_by_appearance(
    template: Template,
    appearance: Appearance,
    window: np.ndarray,
    landmarks: np.ndarray,
    solved: PhotoParameters,
    rotation_covariance: np.ndarray,
) -> np.ndarray:
    """Rotation of the head relative to its solution, by the skin's appearance.

    Parameters
    ----------
    template : the person's (``Subject.template``). window : (144, 144, 3) uint8 sRGB, ``landmark_window`` of the
        landmarks (478, 3). solved : solution whose expression and camera are kept. rotation_covariance : (3, 3) rad²,
        covariance of the solution's rotation, head axes.

    Returns
    -------
    (3,) rotation vector in the head's axes: rotation = ``solved.rotation`` exp(turn).
    """
    aligner = _Aligner(template, appearance, window, landmarks, solved, rotation_covariance)
    current = solved
    for blur in BLURS:
        for _ in range(ROUNDS):
            current = aligner.aligned(current, blur)
    return Rotation.from_matrix(solved.rotation.T @ current.rotation).as_rotvec()


def skin_misfit(
    template: Template,
    appearance: Appearance,
    window: np.ndarray,
    landmarks: np.ndarray,
    parameters: PhotoParameters,
    deviation: float | None = None,
) -> tuple[float, float]:
    """Mean robust residual of the lit skin against the picture at ``parameters``, 0 to 1, and the standard deviation
    that it is relative to: the given one, or that of the residuals here. Arguments as of ``turn_by_appearance``."""
    aligner = _Aligner(template, appearance, window, landmarks, parameters, np.eye(3))
    picture, trust = aligner.smoothed(BLURS[-1]), aligner.trust(parameters)
    observed = _sample(picture, aligner.places(parameters)[0])
    expected, left = aligner.lit(observed, trust)
    deviation = deviation or left
    squared = ((observed - expected) / (OUTLIER * deviation)) ** 2
    return float((trust[:, None] * squared / (1.0 + squared)).sum() / max(3.0 * float(trust.sum()), 1e-6)), deviation


class _Aligner:
    """One picture: its window, the skin's points with their expression, and the prior on the pose."""

    def __init__(
        self,
        template: Template,
        appearance: Appearance,
        window: np.ndarray,
        landmarks: np.ndarray,
        solved: PhotoParameters,
        rotation_covariance: np.ndarray,
    ) -> None:
        head = template.head
        mesh = template.vertices + np.tensordot(solved.expression, template.expressions, 1)
        self.points = mesh[appearance.vertices].astype(np.float64)
        triangles = triangles_from_quads(template.quads[head.face_start : head.face_stop])
        self.normals = vertex_normals(mesh[: head.vertex_stop], triangles)[appearance.vertices].astype(np.float64)
        self.basis = basis(self.normals)
        self.albedo = appearance.albedo
        square = landmark_window(landmarks, WINDOW_PER_FACE)
        corners = square.from_picture(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), WINDOW_PIXELS)
        self.offset, self.to_window = corners[0], (corners[1:] - corners[0]).T  # window = to_window @ picture + offset
        self.picture = np.sqrt(np.maximum(linear_from_srgb(window.astype(np.float32) / 255.0), 0.0))
        self.solved = solved
        size = PLACE_PERCENT / 100.0 * face_scale(landmarks)
        information = np.zeros((6, 6))
        information[:3, :3] = solved.rotation @ np.linalg.inv(rotation_covariance) @ solved.rotation.T
        information[3:5, 3:5] = np.eye(2) * (solved.focal / size) ** 2
        information[5, 5] = (100.0 / PLACE_PERCENT) ** 2
        self.information = information

    def aligned(self, start: PhotoParameters, blur: float) -> PhotoParameters:
        """A few Gauss-Newton steps of the pose with the light estimated at ``start``."""
        picture, trust = self.smoothed(blur), self.trust(start)
        slopes = np.stack([np.gradient(picture, axis=axis) for axis in (1, 0)], axis=-1)  # (144, 144, 3, 2)
        expected, deviation = self.lit(_sample(picture, self.places(start)[0]), trust)
        current = start
        for _ in range(STEPS):
            pixels, by_pose = self.places(current)
            off = (_sample(picture, pixels) - expected) / deviation  # (K, 3)
            slope = _sample(slopes.reshape(WINDOW_PIXELS, WINDOW_PIXELS, 6), pixels).reshape(-1, 3, 2) / deviation
            rows = np.einsum("kci,kip->kcp", slope, by_pose).reshape(-1, 6)
            weight = INFORMATION * (trust[:, None] / (1.0 + (off / OUTLIER) ** 2) ** 2).ravel()
            moved = self._moved(current)
            hessian = self.information + (rows * weight[:, None]).T @ rows
            gradient = self.information @ moved + rows.T @ (weight * off.ravel())
            step = np.zeros(9)
            step[_POSE] = -np.linalg.solve(hessian, gradient)
            current = current.moved(step, np.zeros_like(current.expression))
        return current

    def smoothed(self, blur: float) -> np.ndarray:
        """(144, 144, 3) low-pass filtered window, square roots of linear light."""
        return cv2.GaussianBlur(self.picture, (0, 0), max(blur * WINDOW_PIXELS / WINDOW_PER_FACE, 0.5))

    def trust(self, parameters: PhotoParameters) -> np.ndarray:
        """(K,) weight: 0 where the skin is turned away from the camera, 1 where it faces it."""
        towards = parameters.camera().centre() - self.points
        facing = (self.normals * towards).sum(1) / np.linalg.norm(towards, axis=1)
        return np.clip((facing - 0.15) / 0.35, 0.0, 1.0)

    def places(self, parameters: PhotoParameters) -> tuple[np.ndarray, np.ndarray]:
        """(K, 2) window pixels of the points, and derivatives (K, 2, 6) by the pose."""
        pixels, _, by_pose = project_with_derivatives(parameters, self.points)
        return pixels @ self.to_window.T + self.offset, self.to_window @ by_pose[:, :, _POSE]

    def _moved(self, parameters: PhotoParameters) -> np.ndarray:
        """(6,) pose step from the solution to ``parameters``."""
        turn = Rotation.from_matrix(parameters.rotation @ self.solved.rotation.T).as_rotvec()
        scale = parameters.log_scale - self.solved.log_scale
        return np.concatenate([turn, parameters.lateral - self.solved.lateral, [scale]])

    def lit(self, observed: np.ndarray, trust: np.ndarray) -> tuple[np.ndarray, float]:
        """Square roots of the skin's colours (K, 3) under the light that best fits the ``observed`` ones (K, 3), and
        the robust standard deviation of the residuals."""
        weight = np.repeat(trust[:, None], 3, axis=1)
        expected = np.empty_like(observed)
        deviation = 1.0
        for _ in range(LIGHT_ROUNDS):
            for channel in range(3):
                lit = self.albedo[:, channel : channel + 1] * self.basis  # (K, 9)
                weighted = lit * weight[:, channel : channel + 1]
                ridge = 1e-4 * np.trace(weighted.T @ lit) * np.eye(9)
                light = np.linalg.solve(weighted.T @ lit + ridge, weighted.T @ observed[:, channel] ** 2)
                expected[:, channel] = np.sqrt(np.maximum(lit @ light, 1e-4))
            off = observed - expected
            deviation = max(1.5 * float(np.median(np.abs(off[trust > 0.3]), axis=None)), 0.01)
            weight = trust[:, None] / (1.0 + (off / (OUTLIER * deviation)) ** 2) ** 2
        return expected, deviation


def turned(parameters: PhotoParameters, turn: np.ndarray) -> PhotoParameters:
    """The parameters with the head rotated about its pivot by a rotation vector (3,) in its own axes."""
    return replace(parameters, rotation=parameters.rotation @ Rotation.from_rotvec(turn).as_matrix())


def _sample(picture: np.ndarray, texels: np.ndarray) -> np.ndarray:
    """(K, C) samples of a picture (H, W, C) at pixels (K, 2) with centres at i + 0.5."""
    sampled = sample_image(np.ascontiguousarray(picture, np.float32), texels.astype(np.float32))
    return sampled.astype(np.float64)


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


class _Image(msgspec.Struct):
    bufferView: int = -1  # noqa: N815


class _Gltf(msgspec.Struct):
    """The fields of glTF that are used, by glTF's names; all others are skipped without being kept."""

    nodes: list[_Node] = []
    meshes: list[_Mesh] = []
    accessors: list[_Accessor] = []
    bufferViews: list[_View] = []  # noqa: N815
    images: list[_Image] = []


@dataclass(frozen=True)
class _Head:
    """The description in a binary glTF file, and its binary data."""

    gltf: _Gltf
    binary: bytes


def subject_of(neutral: np.ndarray, appearance: Appearance | None = None) -> Subject:
    """The rig of neutral vertices (V, 3) in the template's order, head frame, metres."""
    template = load_template()
    neutral = np.ascontiguousarray(neutral, dtype=np.float32)
    personal = replace(
        template,
        vertices=neutral,
        expressions=personalise_keys(template, neutral),
        identity_modes=np.zeros((0, *neutral.shape), np.float32),
    )
    return Subject(personal, landmark_model(personal), appearance)


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
        head = _read_glb(Path(folder) / "face.glb")
        view = head.gltf.bufferViews[head.gltf.images[0].bufferView]
        data = head.binary[view.byteOffset : view.byteOffset + view.byteLength]
        pixels = read_photo(
            PhotoSource("texture", data), ReadLimits(max_side=MOST_TEXTURE_SIDE, kept_pixels=10**9)
        ).pixels
        return pixels if pixels.shape[0] == pixels.shape[1] else None
    except Exception:  # the head is used without its texture
        return None


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
