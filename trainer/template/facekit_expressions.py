"""Transfer ICT-FaceKit's expressions (MIT) to the template's topology.

The template's head is registered onto ICT-FaceKit's neutral (landmarks, lines of lids and lips, closest points). Each
of its vertices takes the offsets of its closest point there. Vertices without a counterpart (pockets of mouth, nose and
eyes, the back of the head) blend into MakeHuman's key of the same name. Deformation transfer carries the result from
ICT-FaceKit's face to the template's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from backend.geometry.similarity import nearest_similarity
from backend.geometry.template import Template
from backend.rig.arkit import ARKIT_NAMES
from backend.rig.deformation_transfer import source_deformations, transfer
from backend.rig.face_loops import face_loops
from trainer.data.ict_head import load_ict
from trainer.template.closest_point import closest_points
from trainer.template.facekit_curves import curve_pulls, lip_sides
from trainer.template.registration import Pull, Surface, cotangent_laplacian, register, vertex_areas
from trainer.template.scans import FaceKit, TriangleMesh, facekit_surface, triangulate

_LANDMARK_WEIGHT = 2e-4
_LANDMARKS = tuple(range(27, 68))
"""Nose, eyes and mouth; brows and contour are fitted by the surface alone."""
_FADE = 0.015
"""Metres over which the keys blend into MakeHuman's outside the trusted skin."""
_REACH = 0.003
"""Metres: template vertices further than this from ICT-FaceKit's skin take no offsets from it."""


@dataclass(frozen=True)
class RegisteredKit:
    """The template's head, registered onto ICT-FaceKit's neutral.

    Attributes
    ----------
    head : (H, 3) float64 metres, template frame.
    aligned : (26719, 3) ICT-FaceKit's neutral in the same frame; turn : (3, 3) the linear part (scale and rotation) of
        that alignment.
    triangles : (H, 3) ICT-FaceKit vertices of each head vertex's closest point; barycentrics : (H, 3).
    valid : (H,) bool, where that correspondence can be trusted.
    """

    head: np.ndarray
    aligned: np.ndarray
    turn: np.ndarray
    triangles: np.ndarray
    barycentrics: np.ndarray
    valid: np.ndarray


def register_facekit(template: Template, kit: FaceKit) -> RegisteredKit:
    """Register the template's head onto ICT-FaceKit's neutral."""
    head = template.head
    vertices = template.vertices[: head.vertex_stop].astype(np.float64)
    triangles = triangulate(template.quads[head.face_start : head.face_stop])
    marks = list(_LANDMARKS)
    own = template.landmarks68.positions(template.vertices)[marks].astype(np.float64)
    placed = nearest_similarity(kit.neutral[kit.landmarks[marks]], own)
    aligned = placed.apply(kit.neutral)
    scan = facekit_surface(kit)
    scan = TriangleMesh(aligned, scan.triangles)
    rows = sp.csr_matrix(
        (
            template.landmarks68.barycentrics[marks].ravel(),
            (np.repeat(np.arange(len(marks)), 3), template.landmarks68.vertices[marks].ravel()),
        ),
        (len(marks), head.vertex_stop),
    )
    pulls = (
        Pull(rows, aligned[kit.landmarks[marks]], np.full(len(marks), _LANDMARK_WEIGHT)),
        *curve_pulls(template, kit, aligned),
    )
    weights = _outside(template)
    surface = Surface(
        sp.identity(head.vertex_stop, format="csr"), triangles, triangles, weights, np.ones(head.vertex_stop)
    )
    registered = register(vertices, surface, scan, pulls)
    under, barycentrics, distance = _spots(template, kit, registered, scan)
    return RegisteredKit(
        registered, aligned, placed.scale * placed.rotation, under, barycentrics, (weights > 0.5) & (distance < _REACH)
    )


def _spots(
    template: Template, kit: FaceKit, registered: np.ndarray, scan: TriangleMesh
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The closest points on the scan: vertex ids (H, 3), barycentrics (H, 3), distances (H,).

    The template's upper lip is never matched to the scan's lower lip, nor the other way round.
    """
    under, barycentrics, distance = closest_points(registered, scan.vertices, scan.triangles)
    corners = scan.triangles[under]
    mouth = face_loops(template).mouth
    upper, lower = lip_sides(kit)
    for columns, foreign in ((mouth.upper, lower), (mouth.lower, upper)):
        lip = np.unique(mouth.rows[mouth.contact - 1 :, columns])
        own = scan.triangles[~np.isin(scan.triangles, foreign).any(1)]
        found, barycentrics[lip], distance[lip] = closest_points(registered[lip], scan.vertices, own)
        corners[lip] = own[found]
    return corners, barycentrics, distance


def facekit_keys(template: Template, kit: FaceKit, own: np.ndarray) -> np.ndarray:
    """ICT-FaceKit's expressions on the template's head: (52, H, 3) float32 offsets in metres.

    ``own`` (52, V, 3) are MakeHuman's keys, used where ICT-FaceKit has no counterpart. ICT-FaceKit lacks ``tongueOut``:
    it is MakeHuman's here, and not used. ICT-FaceKit's left and right halves of ``browInnerUp`` and ``cheekPuff`` are
    added up.
    """
    found = register_facekit(template, kit)
    by_name = load_ict().expressions
    names, offsets = list(by_name), np.stack(list(by_name.values()))
    head = template.head.vertex_stop
    sampled = own[:, :head].astype(np.float64)
    for index, name in enumerate(ARKIT_NAMES):
        if name == "tongueOut":
            continue
        parts = [names.index(part) for part in _facekit_names(name, names)]
        whole = offsets[parts].sum(0).astype(np.float64) @ found.turn.T
        sampled[index] = (whole[found.triangles] * found.barycentrics[:, :, None]).sum(1)
    sampled = own[:, :head] + _fade_out(template, found, sampled - own[:, :head])
    quads = template.quads[template.head.face_start : template.head.face_stop]
    source = source_deformations(found.head, quads, sampled)
    return transfer(source, template.vertices[:head])


def _facekit_names(name: str, names: list[str]) -> list[str]:
    for word, letter in (("Left", "_L"), ("Right", "_R")):
        if name.endswith(word) and name[: -len(word)] + letter in names:
            return [name[: -len(word)] + letter]
    return [name] if name in names else [name + "_L", name + "_R"]


def _outside(template: Template) -> np.ndarray:
    """(H,) weights: 1 on visible facial skin, less on scalp and ears, 0 in the pockets behind lids and lips."""
    head = template.head.vertex_stop
    weights = np.ones(head)
    weights[template.regions["mouth_interior"][:head] > 0.5] = 0.0
    loops = face_loops(template)
    for eye in loops.eyes:
        inside = eye.rows[: eye.margin].ravel()
        weights[inside] = 0.0
        centre = template.vertices[eye.rows[eye.margin]].mean(0)
        behind = np.linalg.norm(template.vertices[:head] - centre, axis=1) < 0.025
        pocket = behind & (template.vertices[:head, 2] < template.vertices[eye.rows[eye.margin]][:, 2].min() - 0.002)
        weights[pocket] = 0.0
    mouth = loops.mouth
    weights[mouth.rows[: mouth.contact - 1].ravel()] = 0.0
    weights[mouth.rows[mouth.contact - 1, mouth.upper]] = 0.0
    weights *= np.maximum(template.regions["face"][:head], 0.1) * (1.0 - template.regions["ears"][:head])
    return weights


def _fade_out(template: Template, found: RegisteredKit, difference: np.ndarray) -> np.ndarray:
    """Offsets (K, H, 3), kept where trusted, elsewhere continued smoothly and fading out over ``_FADE`` metres.

    Solves (L + M / fade^2) d = 0 on the untrusted vertices, with the cotangent Laplacian L and lumped areas M.
    """
    head = template.head
    triangles = triangulate(template.quads[head.face_start : head.face_stop])
    vertices = template.vertices[: head.vertex_stop].astype(np.float64)
    system = cotangent_laplacian(vertices, triangles) + sp.diags(vertex_areas(vertices, triangles) / _FADE**2)
    free = np.flatnonzero(~found.valid)
    fixed = np.flatnonzero(found.valid)
    system = system.tocsr()[free]
    right = -system[:, fixed] @ difference[:, fixed].transpose(1, 0, 2).reshape(len(fixed), -1)
    solution = splu(system[:, free].tocsc()).solve(right)
    faded = difference.copy()
    faded[:, free] = solution.reshape(len(free), len(difference), 3).transpose(1, 0, 2)
    return faded
