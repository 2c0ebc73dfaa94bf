"""Bake assets/template.safetensors from MakeHuman's data and the registered scans.

Read the landmark embeddings: the 68 of the committed table, and the 478 calibrated against the detector.

Rigid alignment of faces, and mirror-symmetric principal components of a population.

The identity prior: ICT-FaceKit's modes, and modes of the part of MakeHuman's people that these cannot express.

Round eyeballs: MakeHuman's 72-vertex helper eye, subdivided once and shaped to have a spherical smooth surface.

Assemble the mean face: eyeballs, teeth, tongue and lashes are placed into the registered head.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from backend.geometry.subdivision import catmull_clark, subdivide
from backend.geometry.template import (
    TEMPLATE_PATH,
    LandmarkEmbedding,
    PartRange,
    Template,
    mirrored,
    save_template,
    symmetric_part,
)
from backend.rig.measure import face_loops
from backend.rig.mouth import touch_lips
from backend.system.assets import ASSETS
from protocol.names import ARKIT_NAMES
from protocol.similarity import fit_similarity
from trainer.heads.ict import FaceKit, read_facekit, triangulate
from trainer.template import makehuman
from trainer.template.expressions import bake_expressions, carried_face_units, makehuman_keys
from trainer.template.facekit import HeadTopology, facekit_keys, fit_to_facekit, make_carrier, register_to_facekit
from trainer.template.parts import (
    OVERLAP,
    PartRules,
    UVMap,
    bake_contour_rows,
    bake_regions,
    carry_parts,
    chart_labels,
    flesh_matrix,
    head_map,
    keep_lips_closed,
    keep_pocket_behind_skin,
    make_rules,
    makehuman_map,
    motion_rows,
    split_quads,
)
from trainer.template.registration import closest_points

LANDMARKS478 = ASSETS / "landmarks478.json"


def read_landmarks68(selection: makehuman.Selection) -> LandmarkEmbedding:
    """The 68 iBUG landmarks of ``assets/landmarks68_hm08.json`` on the template."""
    table = json.loads((ASSETS / "landmarks68_hm08.json").read_text())
    lookup = {int(vertex): index for index, vertex in enumerate(selection.hm08_vertex)}
    vertices = np.array([[lookup[vertex] for vertex in triangle] for triangle in table["tri"]], dtype=np.int32)
    barycentrics = np.array(table["bary"], dtype=np.float32)
    return LandmarkEmbedding(vertices, barycentrics, np.full(68, 1.5, np.float32), np.ones(68, bool))


def read_landmarks478() -> LandmarkEmbedding:
    """The 478 calibrated landmarks of ``assets/landmarks478.json`` (see ``calibration.py``), in template vertices."""
    table = json.loads(LANDMARKS478.read_text())
    return LandmarkEmbedding(
        np.array(table["vertices"], dtype=np.int32),
        np.array(table["barycentrics"], dtype=np.float32),
        np.array(table["deviation"], dtype=np.float32),
        np.array(table["valid"], dtype=bool),
    )


def rigid_align(faces: np.ndarray, target: np.ndarray, weights: np.ndarray, iterations: int = 1) -> np.ndarray:
    """Align faces (N, V, 3) rigidly (no scale) to ``target`` (V, 3) with vertex weights (V,), by Kabsch's method.

    With ``iterations`` > 1 the target becomes the mean of the aligned faces after each round (the first target fixes
    the frame).
    """
    for _ in range(iterations):
        faces = np.stack([fit_similarity(face, target, weights, scale=1.0).apply(face) for face in faces])
        target = faces.mean(0)
    return faces


def principal_modes(
    offsets: np.ndarray, weights: np.ndarray, mirror: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of offsets (N, V, 3) from the mean face and of their mirror images.

    Returns modes (count, V, 3), one standard deviation each, sorted by variance, and (count,) their parity: +1 for
    modes that are their own mirror image, -1 for those that are the negative of it. A population and its mirror image
    have the same statistics, so the covariance splits into these two blocks.
    ``weights`` (V,) weigh the vertices' variances.
    """
    reflected = mirrored(offsets, mirror)
    modes, parities, variances = [], [], []
    for parity in (1, -1):
        half = (0.5 * (offsets + parity * reflected)).reshape(len(offsets), -1)
        scale = np.sqrt(np.repeat(weights, 3))
        gram = (half * scale) @ (half * scale).T / len(offsets)
        values, vectors = np.linalg.eigh(gram)
        keep = values > 1e-12 * values.max()
        # mode k = X^T u_k / sqrt(N): the coefficients sqrt(N) u_k of the samples have unit variance
        modes.append((half.T @ vectors[:, keep]).T / np.sqrt(len(offsets)))
        variances.append(values[keep])
        parities.append(np.full(keep.sum(), parity))
    order = np.argsort(-np.concatenate(variances))[:count]
    chosen = np.concatenate(modes)[order].reshape(len(order), -1, 3)
    # an eigenvector's sign is arbitrary: fix it, so that every bake gives the same modes
    direction = np.random.default_rng(0).normal(size=chosen.shape[1:])
    chosen = chosen * np.where(np.einsum("kvi,vi->k", chosen, direction) < 0, -1.0, 1.0)[:, None, None]
    return chosen, np.concatenate(parities)[order]


@dataclass(frozen=True)
class PriorOptions:
    """Sizes and weights of the prior.

    Attributes
    ----------
    scan_modes : number of modes from scans.
    extra_modes : number of modes for the residuals of MakeHuman's people.
    noise : metres; standard deviation of the offsets' noise when a face is fitted with the scan modes.
    makehuman_share : share of the variance of MakeHuman's residuals in the prior.
    """

    scan_modes: int = 100
    extra_modes: int = 40
    noise: float = 0.001
    makehuman_share: float = 0.6


def without_rigid_motion(offsets: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Subtract the least-squares small rigid motion from offsets (N, V, 3) at ``points`` (V, 3).

    ``weights`` (V,) weigh the vertices; size stays in the offsets.
    """
    rows = motion_rows(points - weights @ points / weights.sum())[..., :6]
    system = np.einsum("v,via,vib->ab", weights, rows, rows)
    right = np.einsum("v,via,nvi->an", weights, rows, offsets, optimize=True)
    return offsets - np.einsum("via,an->nvi", rows, np.linalg.solve(system, right), optimize=True)


def explain(offsets: np.ndarray, modes: np.ndarray, weights: np.ndarray, noise: float) -> np.ndarray:
    """(N, K) most probable coefficients of offsets (N, V, 3) in modes (K, V, 3) under a unit-variance prior.

    ``weights`` (V,) sum to the effective number of independent measurements.
    """
    scale = np.sqrt(np.repeat(weights, 3))
    basis = modes.reshape(len(modes), -1) * scale
    data = offsets.reshape(len(offsets), -1) * scale
    system = basis @ basis.T / noise**2 + np.eye(len(modes))
    return np.linalg.solve(system, basis @ data.T / noise**2).T


def scan_modes(offsets: np.ndarray, weights: np.ndarray, mirror: np.ndarray, options: PriorOptions) -> np.ndarray:
    """Mirror-symmetric modes (K, V, 3), of one standard deviation each, with the covariance of scan modes (N, V, 3)."""
    # principal_modes divides by the number of samples: N modes of unit variance are sqrt(N) times N samples
    return principal_modes(offsets * np.sqrt(len(offsets)), weights, mirror, options.scan_modes)[0]


def extra_modes(
    modes: np.ndarray, people: np.ndarray, weights: np.ndarray, mirror: np.ndarray, options: PriorOptions
) -> np.ndarray:
    """Modes (K2, V, 3) of the residuals of other people after a fit with ``modes``.

    Parameters
    ----------
    modes : (K, V, 3) from the scans.
    people : (N, V, 3) offsets of random MakeHuman people from their mean.
    weights : (V,) weights of the vertices.
    """
    measurements = weights * (400.0 / weights.sum())
    residuals = people - np.tensordot(explain(people, modes, measurements, options.noise), modes, 1)
    return principal_modes(residuals * np.sqrt(options.makehuman_share), weights, mirror, options.extra_modes)[0]


def spread_mm(modes: np.ndarray, weights: np.ndarray) -> float:
    """Root-mean-square distance in millimetres of a random person from the mean, over ``weights`` (V,)."""
    return float(np.sqrt((weights * (modes**2).sum((0, 2))).sum() / weights.sum()) * 1e3)


CLEARANCE = 0.0001
"""Metres between the eyeball and the closest point of the lids' edges."""


def spherical_cage(directions: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """(V, 3) cage whose twice subdivided surface is as close to the unit sphere as possible.

    Parameters
    ----------
    directions : (V, 3) from the ball's centre to each vertex, any length; quads : (F, 4).
    """
    step, finer = catmull_clark(quads, len(directions))
    fine = (catmull_clark(finer, step.shape[0])[0] @ step).tocsr()
    cage = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    system = (fine.T @ fine + 1e-3 * sp.identity(len(cage))).tocsc()
    for _ in range(20):
        surface = fine @ cage
        on_sphere = surface / np.linalg.norm(surface, axis=1, keepdims=True)
        # smallest change of the cage that moves the surface onto the sphere
        cage = cage + spsolve(system, fine.T @ (on_sphere - surface))
    return cage


def fit_eyeball(behind: np.ndarray, edge: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit the centre (3,) and radius of an eyeball on which the lids rest.

    Only the centre's depth is solved, so that the pupil stays at its place between the lids.

    Parameters
    ----------
    behind : (N, 3) points just behind the lids' edges, which lie on the ball.
    edge : (M, 3) points of the edges, which stay outside the ball.
    guess : (3,) approximate centre; its depth is a weak prior, because the error is almost flat in the depth.
    """
    centre = guess.astype(np.float64)
    anchor = 0.2 * np.sqrt(len(behind))
    for _ in range(50):
        arm = behind - centre
        distance = np.linalg.norm(arm, axis=1)
        slope = -arm[:, 2] / distance
        slope, gap = slope - slope.mean(), distance.mean() - distance
        centre[2] += (slope @ gap + anchor**2 * (guess[2] - centre[2])) / (slope @ slope + anchor**2)
    resting = np.linalg.norm(behind - centre, axis=1).mean()
    return centre, float(min(resting, np.linalg.norm(edge - centre, axis=1).min() - CLEARANCE))


LASH_LENGTH = 0.6
"""Length of the lashes relative to MakeHuman's cards."""

TOOTH_GAP = 0.0030
"""Distance in metres of the front teeth behind ICT-FaceKit's."""

ARCH_WIDTH = 0.93
"""Width of the dental arches relative to ICT-FaceKit's, so that they do not show at the corners of closed lips."""

TONGUE_DROP = np.array([0.0, -0.004, -0.003])
"""Offset of the tongue from MakeHuman's, metres: lower and further back."""
PART_OFFSETS: dict[str, tuple[float, float, float]] = {
    "teeth_upper": (0.0, -0.0038, 0.0), "teeth_lower": (0.0, 0.0020, -0.0010), "tongue": (0.0, -0.0050, -0.0070),
}  # fmt: skip
"""Offsets in metres from ICT-FaceKit's places. Its upper teeth end where the lips meet, so an open smile would show
none; a tongue on its lower teeth would fill the mouth."""


@dataclass(frozen=True)
class Eyeballs:
    """Centres (2, 3) of eye_left and eye_right and their common radius in metres."""

    centres: np.ndarray
    radius: float


def _span(parts: Mapping[str, PartRange], name: str) -> slice:
    return slice(parts[name].vertex_start, parts[name].vertex_stop)


def fit_eyeballs(template: Template, surface: np.ndarray, kit: FaceKit) -> Eyeballs:
    """Fit eyeballs under the lids of ``surface``: (H, 3) smooth head's points at the cage's vertices, FaceKit's frame.

    ``template`` gives the topology of the lids. The left eye is solved; the right one is its mirror image.
    """
    lids = face_loops(template).eyes[0]
    behind, edge = surface[lids.rows[lids.margin - 1]], surface[lids.rows[lids.margin]]
    ball = kit.neutral[kit.EYE_LEFT]
    rear = ball[ball[:, 2] < ball[:, 2].mean() + 0.004]  # without the cornea
    system = np.concatenate([2 * rear, np.ones((len(rear), 1))], axis=1)
    guess = np.linalg.lstsq(system, (rear**2).sum(1), rcond=None)[0][:3]
    centre, radius = fit_eyeball(behind, edge, guess)
    return Eyeballs(np.stack([centre, centre * [-1.0, 1.0, 1.0]]), radius)


def place_eyes(points: np.ndarray, parts: Mapping[str, PartRange], quads: np.ndarray, eyes: Eyeballs) -> np.ndarray:
    """``points`` (V, 3) with spherical eyeballs at the places ``eyes``."""
    points = points.copy()
    for name, centre in zip(("eye_left", "eye_right"), eyes.centres, strict=True):
        span = _span(parts, name)
        own = quads[parts[name].face_start : parts[name].face_stop] - parts[name].vertex_start
        old = points[span]
        cage = spherical_cage(old - 0.5 * (old.min(0) + old.max(0)), own)
        points[span] = centre + eyes.radius * cage
    return points


def place_teeth(points: np.ndarray, parts: Mapping[str, PartRange], kit: FaceKit) -> np.ndarray:
    """``points`` (V, 3) with teeth and tongue fitted to ICT-FaceKit's dental arches, a little behind them."""
    points = points.copy()
    teeth = kit.neutral[kit.TEETH]
    middle = 0.5 * (teeth[:, 1].min() + teeth[:, 1].max())
    # align the biting edges of the front teeth: the upper teeth's lowest, the lower teeth's highest points
    upper, lower = teeth[teeth[:, 1] > middle], teeth[teeth[:, 1] <= middle]
    for name, arch, own_edge, arch_edge in (
        ("teeth_upper", upper, np.min, np.min),
        ("teeth_lower", lower, np.max, np.max),
    ):
        span = _span(parts, name)
        own = points[span]
        scale = np.ones(3)
        scale[0] = ARCH_WIDTH * (arch[:, 0].max() - arch[:, 0].min()) / (own[:, 0].max() - own[:, 0].min())
        scale[2] = (arch[:, 2].max() - arch[:, 2].min()) / (own[:, 2].max() - own[:, 2].min())
        scale[1] = 0.5 * (scale[0] + scale[2])
        front = own[:, 2] > own[:, 2].max() - 0.008
        arch_front = arch[:, 2] > arch[:, 2].max() - 0.008
        shift = np.array([
            0.0,
            arch_edge(arch[arch_front, 1]) - scale[1] * own_edge(own[front, 1]),
            arch[:, 2].max() - TOOTH_GAP - scale[2] * own[:, 2].max(),
        ])  # fmt: skip
        points[span] = own * scale + shift
        if name == "teeth_lower":
            tongue = _span(parts, "tongue")
            points[tongue] = points[tongue] * scale + shift + TONGUE_DROP
    for name, offset in PART_OFFSETS.items():
        points[_span(parts, name)] += offset
    return points


def place_lashes(
    points: np.ndarray, before: np.ndarray, parts: Mapping[str, PartRange], lid_triangles: np.ndarray
) -> np.ndarray:
    """``points`` (V, 3) with the lashes at the same places of the lids as in the face ``before`` (V, 3), shortened.

    ``lid_triangles`` (T, 3) are triangles of the lids' skin. Each lash vertex keeps its offset from its foot, times
    ``LASH_LENGTH``.
    """
    points = points.copy()
    span = _span(parts, "lashes")
    triangle, weights, _ = closest_points(before[span], before, lid_triangles)
    corners = lid_triangles[triangle]
    feet_before, feet = ((mesh[corners] * weights[..., None]).sum(1) for mesh in (before, points))
    points[span] = feet + LASH_LENGTH * (before[span] - feet_before)
    return points


def lid_triangles(regions: Mapping[str, np.ndarray], quads: np.ndarray) -> np.ndarray:
    """(T, 3) triangles of the lids' outer skin."""
    lids = (regions["lids_left"] + regions["lids_right"]) > 0.3
    triangles = triangulate(quads)
    return triangles[lids[triangles].all(1)]


MAKEHUMAN_PEOPLE = 1000
MAKEHUMAN_MODES = 60


@dataclass(frozen=True)
class MakeHumanHeads:
    """MakeHuman's mean adult on the template's topology, and the heads of random MakeHuman people.

    Attributes
    ----------
    template : all fields but keys and prior: its modes are ``MAKEHUMAN_MODES`` of MakeHuman's, its keys the raw face
    units. people : (N, H, 3) heads of random people, rigidly aligned to the mean adult.
    refined : the topology.
    """

    template: Template
    people: np.ndarray
    refined: makehuman.Refined


def _jaw_pivot(base: makehuman.BaseMesh, ids: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(3,) MakeHuman's jaw joint carried from the base mesh to head positions ``points`` (H, 3)."""
    source = base.vertices[ids[: len(points)]]
    joint = makehuman.joint_centre("joint-mouth")
    near = np.exp(-((np.linalg.norm(source - joint, axis=1) / 0.05) ** 2))
    moved = near @ (points - source) / near.sum()
    return joint + moved


def make_makehuman_heads() -> MakeHumanHeads:
    """Make the template from MakeHuman alone: topology, maps, masks, landmarks."""
    base = makehuman.read_base_mesh()
    selection = makehuman.select(base)
    model = makehuman.people_model(selection.hm08_vertex)
    landmarks68 = read_landmarks68(selection)
    coarse_regions = bake_regions(base, selection, landmarks68.positions(model.base))
    mean = symmetric_part(makehuman.mean_adult(model), selection.mirror)
    refined = makehuman.refine_eyes(selection, base.vertices[selection.hm08_vertex])
    points = refined.matrix @ mean
    regions = {name: (refined.matrix @ mask).astype(np.float32) for name, mask in coarse_regions.items()}
    maps = []
    for coarse in (head_map(base, selection), makehuman_map(base, selection)):
        fine = coarse
        for name in ("eye_right", "eye_left"):  # the later range first, so that the earlier one stays valid
            part = selection.parts[name]
            fine = split_quads(fine, part.face_start, part.face_stop)
        maps.append(fine)
    head = selection.parts["head"].vertex_stop
    face = regions["face"][:head].astype(np.float64)
    people = makehuman.random_faces(model, MAKEHUMAN_PEOPLE, np.random.default_rng(1))[:, :head]
    people = rigid_align(people, mean[:head], face + 0.05)
    modes = principal_modes(people - people.mean(0), face + 0.05, selection.mirror[:head], MAKEHUMAN_MODES)[0]
    whole_modes = np.zeros((len(modes), len(points), 3), np.float32)
    whole_modes[:, :head] = modes
    upright, original = maps
    weights = refined.matrix @ makehuman.subtree_weight("jaw")[selection.hm08_vertex]
    units = np.stack(
        [makehuman.read_target(makehuman.face_unit_path(name))[selection.hm08_vertex] for name in ARKIT_NAMES]
    )
    units = np.stack([refined.matrix @ unit for unit in units])
    template = Template(
        parts=refined.parts,
        vertices=points.astype(np.float32),
        quads=refined.quads.astype(np.int32),
        uv_head=upright.uv.astype(np.float32),
        uv_head_quads=upright.quads.astype(np.int32),
        uv_makehuman=original.uv.astype(np.float32),
        uv_makehuman_quads=original.quads.astype(np.int32),
        hm08_vertex=refined.hm08_vertex.astype(np.int32),
        mirror=refined.mirror.astype(np.int32),
        regions=regions,
        landmarks68=landmarks68,
        landmarks478=read_landmarks478(),
        contour_rows=np.zeros((0, 0), np.int32),
        jaw_weights=weights.astype(np.float32),
        jaw_pivot=np.zeros(3, np.float32),
        jaw_axis=np.array([1.0, 0.0, 0.0], np.float32),
        eye_pivots=np.zeros((2, 3), np.float32),
        eye_radius=0.0,
        expressions=units.astype(np.float32),
        identity_modes=whole_modes,
    )
    return MakeHumanHeads(template, people, refined)


def head_topology(template: Template) -> HeadTopology:
    """The head's cage, its level-1 surface and its masks."""
    fine = subdivide(template, 1)
    head, fine_head = template.head, fine.parts["head"]
    quads = template.quads[: head.face_stop].astype(np.int64)
    labels = chart_labels(template.uv_makehuman_quads, len(template.uv_makehuman))[: len(quads)]
    size = np.bincount(labels)[labels]
    return HeadTopology(
        quads=quads,
        triangles=triangulate(quads),
        mirror=template.mirror[: head.vertex_stop].astype(np.int64),
        matrix=fine.matrix[: fine_head.vertex_stop, : head.vertex_stop].astype(np.float64),
        fine_triangles=triangulate(fine.quads[: fine_head.face_stop]),
        mouth=(size > 350) & (size < 1000),
        regions={name: mask[: head.vertex_stop].astype(np.float64) for name, mask in template.regions.items()},
        landmarks=template.landmarks68,
    )


def _rules(template: Template, points: np.ndarray) -> PartRules:
    head = template.head.vertex_stop
    regions = {name: mask[:head].astype(np.float64) for name, mask in template.regions.items()}
    rims = tuple(eye.rows[eye.margin - 1] for eye in face_loops(template).eyes)
    mouth = regions["lips"] + 0.3 * regions["chin"] + 0.2 * regions["mouth_interior"]
    lids = lid_triangles(template.regions, template.quads[: template.head.face_stop])
    return make_rules(points, template.parts, (rims[0], rims[1]), mouth, lids)


def bake(path: Path = TEMPLATE_PATH, say: Callable[[str], None] = print) -> Template:
    """Bake the template and write it to ``path``, which takes some minutes; ``say`` gets progress messages.

    Raises ``FileNotFoundError`` when MakeHuman's data or the scans are missing.
    """
    doll, kit, options = make_makehuman_heads(), read_facekit(), PriorOptions()
    template, refined = doll.template, doll.refined
    head = template.head.vertex_stop
    topology = head_topology(template)
    mean, modes = template.vertices[:head].astype(np.float64), template.identity_modes[:, :head].astype(np.float64)

    say("fitting MakeHuman's face to ICT-FaceKit's")
    start = fit_to_facekit(topology, mean, modes, kit).cage
    say("registering")
    cage = register_to_facekit(topology, template, start, kit)
    carrier = make_carrier(topology, cage, kit)
    cage = touch_lips(cage, topology.matrix[:head], face_loops(template).mouth, OVERLAP)
    cage = keep_pocket_behind_skin(cage, topology.quads, topology.mouth)
    eyes = fit_eyeballs(template, (topology.matrix @ cage)[:head], kit)
    placed = fit_similarity(mean, cage)
    before = placed.apply(template.vertices)
    points = before.copy()
    points[:head] = cage
    points = place_eyes(points, refined.parts, refined.quads, eyes)
    points = place_teeth(points, refined.parts, kit)
    lids = lid_triangles(template.regions, template.quads[: template.head.face_stop])
    points = place_lashes(points, before, refined.parts, lids)
    points = symmetric_part(points, refined.mirror)

    say("carrying the identity modes over")
    face = topology.regions["face"]
    offsets = carrier.carry(kit.identity.astype(np.float64))
    # from ICT-FaceKit's frame into hm08's: rigid, so that the size stays that of real people
    turn = fit_similarity(cage[face > 0.5], mean[face > 0.5]).rotation
    shift = mean[face > 0.5].mean(0) - turn @ cage[face > 0.5].mean(0)
    points, offsets = points @ turn.T + shift, offsets @ turn.T
    rules, mouth = _rules(template, points), face_loops(template).mouth
    flesh = flesh_matrix(points[:head], topology.quads, topology.mouth)

    def tidy(moved: np.ndarray) -> np.ndarray:
        """Head offsets without rigid motion, with closed lips, and with the mouth's inside moved by the skin."""
        moved = keep_lips_closed(without_rigid_motion(moved, points[:head], face), points[:head], mouth)
        return np.stack([flesh @ offset for offset in moved])

    weights = np.zeros(len(points))
    weights[:head] = np.clip(face + 0.05, 0, 1)
    scans = scan_modes(carry_parts(rules, tidy(offsets)), weights, refined.mirror, options)
    people = tidy(placed.scale * (doll.people - doll.people.mean(0)))
    extra = extra_modes(scans, carry_parts(rules, people), weights, refined.mirror, options)
    known, beyond = spread_mm(scans, weights), spread_mm(extra, weights)
    say(f"a random face is {known:.2f} mm from the mean by the scans' modes, {beyond:.2f} mm by what goes beyond them")
    identity = np.concatenate([scans, extra])
    identity = identity[np.argsort(-np.einsum("kvi,v->k", identity**2, weights))]

    pivots = eyes.centres @ turn.T + shift
    upright = UVMap(template.uv_head, template.uv_head_quads)
    marks = template.landmarks68.positions(points)
    quads = template.quads[: template.head.face_stop]
    rows = bake_contour_rows(upright, quads, points, marks, refined.mirror, template.regions["ears"])
    template = replace(
        template,
        vertices=points.astype(np.float32),
        contour_rows=rows,
        jaw_pivot=_jaw_pivot(makehuman.read_base_mesh(), refined.hm08_vertex, points[:head]).astype(np.float32),
        eye_pivots=pivots.astype(np.float32),
        eye_radius=eyes.radius,
        expressions=carried_face_units(doll.template, points),
        identity_modes=identity.astype(np.float32),
    )
    say("making the 52 keys")
    keys = bake_expressions(template, facekit_keys(template, kit, makehuman_keys(template)))
    template = replace(template, expressions=keys.astype(np.float32))
    save_template(template, path)
    return template
