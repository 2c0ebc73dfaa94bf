"""The template, read from assets/, and what follows from its topology alone.

It has faces, parts, UV maps, landmarks, 52 expression deltas and the identity prior. From its topology follow edges and
Laplacians, its mirror symmetry (x -> -x), and which landmarks slide over the skin as the head turns: those of the
outline. A user can set more points in a photo than the 478 landmarks: the ears' ends from ``FIRST_EAR`` on, the
hairline from ``FIRST_HAIR`` to ``POINTS`` (exclusive).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backend.errors import DamagedFileError
from backend.system.files import ASSETS, made_once, read_asset
from protocol.names import PART_NAMES

TEMPLATE_PATH = ASSETS / "template.safetensors"
FORMAT = "4"
REGION_NAMES: tuple[str, ...] = (
    "face", "lips", "lip_upper", "lip_lower", "lids_left", "lids_right", "mouth_interior", "nose", "brows", "cheeks",
    "forehead", "chin", "ears", "scalp", "neck", "eye_sockets",
)  # fmt: skip
UV_STEPS = 65535
_AROUND = 0.01
"""Metres added to the distance of the nearest skin: width of the Gaussian weights of the skin that a part follows."""


@dataclass(frozen=True)
class PartRange:
    """A part's range in the template's arrays: vertices[v0:v1], quads[f0:f1]."""

    vertex_start: int
    vertex_stop: int
    face_start: int
    face_stop: int


@dataclass(frozen=True)
class LandmarkEmbedding:
    """Landmarks on the head's surface.

    Attributes
    ----------
    vertices : (L, 3) int32 template vertex ids of the triangle.
    barycentrics : (L, 3) float32, rows sum to 1.
    deviation : (L,) float32 typical error of the detector at this landmark, in per cent of the distance of the eyes'
        outer corners (for weighting residuals), frontal views.
    valid : (L,) bool, False where a landmark has no meaningful place on the template.
    """

    vertices: np.ndarray
    barycentrics: np.ndarray
    deviation: np.ndarray
    valid: np.ndarray

    def positions(self, mesh: np.ndarray) -> np.ndarray:
        """Landmark positions (..., L, 3) on a mesh (..., V, 3)."""
        return (mesh[..., self.vertices, :] * self.barycentrics[:, :, None]).sum(-2)


@dataclass(frozen=True)
class Sculpture:
    """What is finer than ``hm08``, on the mean face: the mouth's inside and the lashes, and what hangs on what. Metres.

    The mouth is a tube of seven loops of 38 vertices, from the throat to the fold between lip and gum. The first axis
    of ``crowns`` and after are the upper and the lower row of teeth.

    Attributes
    ----------
    rest : (M, 3) vertices of both rows of teeth and of the tongue, in the template's order.
    lining_vertices : (7, 38) vertices of the tube; lining : (7, 38, 3) their places.
    jaw_share : (7, 38) share of the lower teeth's motion in a place's rigid motion; rigid_share : (7, 38) share of this
        rigid motion in the keys, the rest is the motion of lips and cheeks.
    corner : (7, 38) the vertex at the mouth's corner in the same loop; corner_share : (7, 38) share of the corner's
        own place on a face, beyond the mouth's motion.
    crowns : (2, N, 3) vertices of the teeth and their gum; crown_quads : (2, F, 4); crown_uv, crown_uv_makehuman :
        (2, N, 2), v up; crown_strip : (2, N) vertex of ``hm08``'s row (68) that a vertex stands for, -1 for none.
    lash_alpha : (L,) opacity of the lashes' vertices in [0, 1]; lash_uv : (L, 2) in the picture of single lashes, v up.
    lash_edges, lash_shares : (L, 2) the two head vertices on the lid's outer edge beside the lash, and (L,) weight of
        the second one.
    eye_rows : (2, R, 28) vertices of the loops around the left and the right eye; mouth_rows : (R, 38) around the
        mouth, as in ``rig.measure``.
    pocket : (P,) head vertices of the pocket behind the lips; pocket_skin : (P, 4) nearest vertices of the skin in
        front of each.
    """

    rest: np.ndarray
    lining_vertices: np.ndarray
    lining: np.ndarray
    jaw_share: np.ndarray
    rigid_share: np.ndarray
    corner: np.ndarray
    corner_share: np.ndarray
    crowns: np.ndarray
    crown_quads: np.ndarray
    crown_uv: np.ndarray
    crown_uv_makehuman: np.ndarray
    crown_strip: np.ndarray
    lash_alpha: np.ndarray
    lash_uv: np.ndarray
    lash_edges: np.ndarray
    lash_shares: np.ndarray
    eye_rows: np.ndarray
    mouth_rows: np.ndarray
    pocket: np.ndarray
    pocket_skin: np.ndarray


@dataclass(frozen=True, eq=False)
class Template:
    """Constants of all faces. All lengths in metres, head frame (x to the person's left, y up, z out of the face,
    origin as in ``hm08``). All parts share one vertex array and one quad array; head first.

    Attributes
    ----------
    parts : part name -> ``PartRange``, in the order of ``PART_NAMES``.
    vertices : (V, 3) float32 mean neutral face, lips closed, teeth behind the lips.
    quads : (F, 4) int32; a triangle repeats its last vertex. Counter-clockwise from outside.
    uv_head : (T, 2) float32 map ``Head``; uv_head_quads : (F, 4) int32. v up. The parts do not overlap in it.
    uv_makehuman : (T2, 2) float32 original atlas; uv_makehuman_quads : (F, 4) int32.
    hm08_vertex : (V,) int32 vertex in MakeHuman's whole base mesh, -1 for the eyeballs' extra vertices.
    mirror : (V,) int32, vertex across the median plane (eyes and other parts included).
    regions : name -> (V,) float32 in [0, 1]. At least: face (front of the head, reliable in a photo fit), lips,
        lip_upper, lip_lower, lids_left, lids_right, mouth_interior, nose, brows, cheeks, forehead, chin, ears, scalp,
        neck, eye_sockets.
    landmarks68, landmarks478 : ``LandmarkEmbedding``; 468-477 are the irises
        and lie on the eyeballs.
    contour_rows : (R, C) int32 rows of head vertices along which the face's outline slides when the head turns
        (ear to chin to ear), -1 padded; each row runs from the middle of the cheek outwards.
    jaw_weights : (V,) float32 skinning weight of the jaw; jaw_pivot : (3,) and jaw_axis : (3,).
    eye_pivots : (2, 3) centres of eye_left and eye_right; eye_radius : float metres.
    expressions : (52, V, 3) float32 offsets at weight 1, order of ``protocol.names.ARKIT_NAMES``.
    identity_modes : (K, V, 3) float32 offset of one standard deviation each; decorrelated, sorted by variance.
    sculpture : ``Sculpture`` of the mouth and the lashes.
    """

    parts: Mapping[str, PartRange]
    vertices: np.ndarray
    quads: np.ndarray
    uv_head: np.ndarray
    uv_head_quads: np.ndarray
    uv_makehuman: np.ndarray
    uv_makehuman_quads: np.ndarray
    hm08_vertex: np.ndarray
    mirror: np.ndarray
    regions: Mapping[str, np.ndarray]
    landmarks68: LandmarkEmbedding
    landmarks478: LandmarkEmbedding
    contour_rows: np.ndarray
    jaw_weights: np.ndarray
    jaw_pivot: np.ndarray
    jaw_axis: np.ndarray
    eye_pivots: np.ndarray
    eye_radius: float
    expressions: np.ndarray
    identity_modes: np.ndarray
    sculpture: Sculpture

    @property
    def head(self) -> PartRange:
        """The head's range."""
        return self.parts["head"]

    def following_skin(self, offsets: np.ndarray) -> np.ndarray:
        """(..., V, 3) offsets of all parts from those of the head (..., V_head, 3): eyes, teeth, tongue and lashes are
        each translated as a whole with the skin around them."""
        count = self.head.vertex_stop
        whole = np.zeros((*offsets.shape[:-2], len(self.vertices), 3))
        whole[..., :count, :] = offsets
        for name, part in self.parts.items():
            if name == "head":
                continue
            centre = self.vertices[part.vertex_start : part.vertex_stop].mean(0)
            distance = np.linalg.norm(self.vertices[:count] - centre, axis=-1)
            around = np.exp(-0.5 * (distance / (distance.min() + _AROUND)) ** 2)
            mean = np.einsum("v,...vc->...c", around / around.sum(), offsets)
            whole[..., part.vertex_start : part.vertex_stop, :] = mean[..., None, :]
        return whole


def _read_embedding(arrays: Mapping[str, np.ndarray], prefix: str) -> LandmarkEmbedding:
    kinds = {"vertices": np.int32, "barycentrics": np.float32, "deviation": np.float32, "valid": bool}
    return LandmarkEmbedding(**{name: arrays[f"{prefix}.{name}"].astype(kind) for name, kind in kinds.items()})


def read_template(path: Path) -> Template:
    """Read the template from ``path``.

    Raises
    ------
    DamagedFileError : the file is missing, truncated, changed, or of another format.
    """
    file = read_asset(path)
    if file.metadata.get("format") != FORMAT:
        raise DamagedFileError(path, "it is of another version")
    arrays = file.arrays
    parts = {name: PartRange(*map(int, row)) for name, row in zip(PART_NAMES, arrays["parts"], strict=True)}
    mirror = arrays["mirror"].astype(np.int32)
    half = np.flatnonzero(mirror >= np.arange(len(mirror)))
    modes = np.empty((len(arrays["identity_half"]), len(mirror), 3), dtype=np.float32)
    modes[:, half] = arrays["identity_half"]
    flip = arrays["identity_parity"][:, None, None] * np.array([-1, 1, 1], np.float32)
    modes[:, mirror[half]] = modes[:, half] * flip
    modes[:, half] = arrays["identity_half"]
    sources = arrays["expression_source"].astype(np.int64)
    stored = np.flatnonzero(sources == np.arange(len(sources)))
    expressions = arrays["expressions"].astype(np.float32)[np.searchsorted(stored, sources)]
    images = np.flatnonzero(sources != np.arange(len(sources)))
    expressions[images] = expressions[images][:, mirror] * np.array([-1, 1, 1], np.float32)
    indices = ("quads", "uv_head_quads", "uv_makehuman_quads", "hm08_vertex", "contour_rows")
    return Template(
        parts=parts,
        **{name: arrays[name].astype(np.int32) for name in indices},
        **{name: arrays[name].astype(np.float32) / UV_STEPS for name in ("uv_head", "uv_makehuman")},
        **{name: arrays[name] for name in ("vertices", "jaw_pivot", "jaw_axis", "eye_pivots")},
        mirror=mirror,
        regions={
            name: mask.astype(np.float32) / 255 for name, mask in zip(REGION_NAMES, arrays["regions"], strict=True)
        },
        landmarks68=_read_embedding(arrays, "landmarks68"),
        landmarks478=_read_embedding(arrays, "landmarks478"),
        jaw_weights=arrays["jaw_weights"].astype(np.float32),
        eye_radius=float(arrays["eye_radius"][0]),
        expressions=expressions,
        identity_modes=modes,
        sculpture=Sculpture(**{field.name: arrays[f"sculpture.{field.name}"] for field in fields(Sculpture)}),
    )


@made_once
def load_template() -> Template:
    """The committed template ``assets/template.safetensors``, read once per process."""
    return read_template(TEMPLATE_PATH)


if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Triangulation:
    """Triangles of a quad mesh.

    Attributes
    ----------
    faces : (T, 3) int64 vertex indices, in the quads' winding; quads in order, one or two triangles each.
    quad : (T,) int64 index of each triangle's quad.
    corners : (T, 3) int64 corners (0-3) of that quad.
    """

    faces: np.ndarray
    quad: np.ndarray
    corners: np.ndarray

    def apply(self, quads: np.ndarray) -> np.ndarray:
        """(T, 3) the same triangulation of another index array of these quads (Q, 4), such as the UV quads."""
        return np.asarray(quads)[self.quad[:, None], self.corners].astype(np.int64)


def triangulate(quads: np.ndarray) -> Triangulation:
    """Split quads (Q, 4) along their first diagonal; triangles with a repeated vertex are left out.

    A triangle that is stored as a quad with its last vertex repeated gives one triangle.
    """
    quads = np.asarray(quads)
    if quads.ndim != 2 or quads.shape[1] != 4:
        raise ValueError(f"quads must be (Q, 4), not {quads.shape}")
    corners = np.tile(np.array([[0, 1, 2], [0, 2, 3]]), (len(quads), 1))
    quad = np.repeat(np.arange(len(quads)), 2)
    faces = quads[quad[:, None], corners].astype(np.int64)
    valid = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return Triangulation(faces[valid], quad[valid], corners[valid])


def triangles_from_quads(quads: np.ndarray) -> np.ndarray:
    """(T, 3) int64 triangles of quads (Q, 4); see ``triangulate``."""
    return triangulate(quads).faces


def unique_edges(faces: np.ndarray) -> np.ndarray:
    """(E, 2) int64 undirected edges of triangles (F, 3) or quads (F, 4), smaller index first, sorted.

    Sides of length zero (a triangle's repeated vertex) are left out.
    """
    faces = np.asarray(faces, np.int64)
    pairs = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    return np.unique(pairs, axis=0)


def boundary_edges(faces: np.ndarray) -> np.ndarray:
    """(B, 2) int64 edges with one face, in that face's direction."""
    faces = np.asarray(faces, np.int64)
    pairs = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    _, first, counts = np.unique(np.sort(pairs, axis=1), axis=0, return_index=True, return_counts=True)
    return pairs[np.sort(first[counts == 1])]


def uniform_laplacian(faces: np.ndarray, vertex_count: int) -> csr_matrix:
    """(V, V) sparse L with (L x)_i = mean of the neighbours - x_i; zero rows for vertices without edges."""
    from scipy.sparse import coo_matrix, diags

    edges = unique_edges(faces)
    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
    adjacency = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(vertex_count, vertex_count)).tocsr()
    degree = np.asarray(adjacency.sum(1))[:, 0]
    scale = np.where(degree > 0, 1 / np.maximum(degree, 1), 0.0)
    return (diags(scale) @ adjacency - diags((degree > 0).astype(float))).tocsr()


LANDMARKS = 478
EAR_POINTS = ("ear top", "ear side", "ear lobe")
"""Points of each ear, left ear first: superaurale, the outermost point, subaurale."""
HAIR_DEGREES = (0.0, 20.0, -20.0, 38.0, -38.0)
"""Azimuths of the hairline's points about the vertical axis through the skull, 0 in front, positive to the person's
left: its middle, the sides of the forehead, and the corners where it recedes first."""
FIRST_EAR = LANDMARKS
FIRST_HAIR = FIRST_EAR + 2 * len(EAR_POINTS)
POINTS = FIRST_HAIR + len(HAIR_DEGREES)
_LEAST_EAR_WEIGHT = 0.6
"""Least weight of the region ``ears``, which separates the ear from the skin around it."""


@lru_cache(maxsize=1)
def ear_vertices() -> np.ndarray:
    """(6,) template vertices of ``EAR_POINTS``, left ear, then right ear: its highest vertex, the one
    farthest from the head's middle, and its lowest."""
    template = load_template()
    count = template.head.vertex_stop
    head, ears = template.vertices[:count], template.regions["ears"][:count] > _LEAST_EAR_WEIGHT
    vertices = []
    for side in (1.0, -1.0):
        ear_rows = np.flatnonzero(ears & (side * head[:, 0] > 0.0))
        height, away = head[ear_rows, 1], np.abs(head[ear_rows, 0])
        vertices += [ear_rows[height.argmax()], ear_rows[away.argmax()], ear_rows[height.argmin()]]
    return np.array(vertices)


_FLIP = np.array([-1.0, 1.0, 1.0])


def mirrored(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Positions or offsets (..., V, 3) reflected in the median plane; ``mirror`` (V,) is ``Template.mirror``."""
    return points[..., mirror, :] * _FLIP.astype(points.dtype)


def symmetric_part(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Half the sum of positions or offsets (..., V, 3) and their mirror image."""
    return 0.5 * (points + mirrored(points, mirror))


OUTLINE_LANDMARKS = (
    454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234,
)  # fmt: skip
"""MediaPipe's face outline from the person's left ear over the chin to the right ear."""


def usable_landmarks(template: Template) -> np.ndarray:
    """(468,) bool: landmarks with a fixed place on the template, without the sliding outline."""
    usable = template.landmarks478.valid[:468].copy()
    usable[list(OUTLINE_LANDMARKS)] = False
    return usable
