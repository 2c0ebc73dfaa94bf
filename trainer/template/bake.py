"""Bake assets/template.safetensors from MakeHuman's data and the registered scans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from backend.geometry.similarity import nearest_similarity
from backend.geometry.subdivision import subdivide
from backend.geometry.symmetry import symmetric_part
from backend.geometry.template import TEMPLATE_PATH, Template, save_template
from backend.rig.arkit import ARKIT_NAMES
from backend.rig.face_loops import face_loops
from backend.rig.lip_contact import touch_lips
from trainer.template.atlas import UVMap, chart_labels, head_map, makehuman_map, split_quads
from trainer.template.contours import bake_contour_rows
from trainer.template.embeddings import read_landmarks68, read_landmarks478
from trainer.template.expressions import bake_expressions, carried_face_units, makehuman_keys
from trainer.template.facekit_expressions import facekit_keys
from trainer.template.facekit_prior import HeadTopology, fit_to_facekit, make_carrier, register_to_facekit
from trainer.template.identity import principal_modes, rigid_align
from trainer.template.lip_contact import OVERLAP, keep_lips_closed
from trainer.template.makehuman import (
    BaseMesh,
    face_unit_path,
    joint_centre,
    read_base_mesh,
    read_target,
    subtree_weight,
)
from trainer.template.makehuman_people import mean_adult, people_model, random_faces
from trainer.template.mean_face import lid_triangles, place_eyes, place_lashes, place_teeth, seat_eyeballs
from trainer.template.part_rules import PartRules, carry_parts, make_rules
from trainer.template.pockets import flesh_matrix, keep_pocket_behind_skin
from trainer.template.prior import PriorOptions, extra_modes, scan_modes, spread_mm, without_rigid_motion
from trainer.template.regions import bake_regions
from trainer.template.scans import read_facekit, triangulate
from trainer.template.topology import Refined, refine_eyes, select

MAKEHUMAN_PEOPLE = 1000
DOLL_MODES = 60


@dataclass(frozen=True)
class MakeHumanHeads:
    """MakeHuman's mean adult on the template's topology, and the heads of random MakeHuman people.

    Attributes
    ----------
    template : all fields but keys and prior: its modes are ``DOLL_MODES`` of MakeHuman's, its keys the raw face units.
    people : (N, H, 3) heads of random people, rigidly aligned to the mean adult.
    refined : the topology.
    """

    template: Template
    people: np.ndarray
    refined: Refined


def _jaw_pivot(base: BaseMesh, ids: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(3,) MakeHuman's jaw joint carried from the base mesh to head positions ``points`` (H, 3)."""
    source = base.vertices[ids[: len(points)]]
    joint = joint_centre("joint-mouth")
    near = np.exp(-((np.linalg.norm(source - joint, axis=1) / 0.05) ** 2))
    moved = near @ (points - source) / near.sum()
    return joint + moved


def make_makehuman_heads() -> MakeHumanHeads:
    """Make the template from MakeHuman alone: topology, maps, masks, landmarks."""
    base = read_base_mesh()
    selection = select(base)
    model = people_model(selection.hm08_vertex)
    landmarks68 = read_landmarks68(selection)
    coarse_regions = bake_regions(base, selection, landmarks68.positions(model.base))
    mean = symmetric_part(mean_adult(model), selection.mirror)
    refined = refine_eyes(selection, base.vertices[selection.hm08_vertex])
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
    people = random_faces(model, MAKEHUMAN_PEOPLE, np.random.default_rng(1))[:, :head]
    people = rigid_align(people, mean[:head], face + 0.05)
    modes = principal_modes(people - people.mean(0), face + 0.05, selection.mirror[:head], DOLL_MODES)[0]
    whole_modes = np.zeros((len(modes), len(points), 3), np.float32)
    whole_modes[:, :head] = modes
    upright, original = maps
    weights = refined.matrix @ subtree_weight("jaw")[selection.hm08_vertex]
    units = np.stack([read_target(face_unit_path(name))[selection.hm08_vertex] for name in ARKIT_NAMES])
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
    eyes = seat_eyeballs(template, (topology.matrix @ cage)[:head], kit)
    placed = nearest_similarity(mean, cage)
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
    turn = nearest_similarity(cage[face > 0.5], mean[face > 0.5]).rotation
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
        jaw_pivot=_jaw_pivot(read_base_mesh(), refined.hm08_vertex, points[:head]).astype(np.float32),
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
