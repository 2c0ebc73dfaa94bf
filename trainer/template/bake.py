"""The whole story of the template: from MakeHuman's data and the registered scans to assets/template.safetensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backend.geometry.template import TEMPLATE_PATH, Template, save_template
from trainer.template.atlas import head_map, makehuman_map
from trainer.template.contours import bake_contour_rows
from trainer.template.embeddings import read_landmarks68, read_landmarks478
from trainer.template.expressions import raw_face_units, with_baked_expressions
from trainer.template.identity import keep_eyes_rigid, principal_modes, rigid_align
from trainer.template.makehuman import joint_centre, read_base_mesh, subtree_weight
from trainer.template.makehuman_people import mean_adult, people_model, random_faces
from trainer.template.regions import bake_regions
from trainer.template.topology import Selection, select

MAKEHUMAN_PEOPLE = 1500
MODE_COUNT = 100


def _teeth_behind_lips(points: np.ndarray, selection: Selection) -> np.ndarray:
    """Points with teeth and tongue moved back so that they clear the lips."""
    points = points.copy()
    for name in ("teeth_upper", "teeth_lower", "tongue"):
        span = slice(selection.parts[name].vertex_start, selection.parts[name].vertex_stop)
        points[span, 2] -= 0.004
    return points


def bake(path: Path = TEMPLATE_PATH) -> Template:
    """Bake the template and write it to ``path``."""
    base = read_base_mesh()
    selection = select(base)
    ids, parts = selection.hm08_vertex, selection.parts
    model = people_model(ids)
    upright, original = head_map(base, selection), makehuman_map(base, selection)
    landmarks68 = read_landmarks68(selection)
    regions = bake_regions(base, selection, landmarks68.positions(model.base))
    neutral = _teeth_behind_lips(mean_adult(model), selection)
    head = np.zeros(len(ids))
    head[: parts["head"].vertex_stop] = 1.0
    trusted = regions["face"] + 0.05 * head
    people = rigid_align(random_faces(model, MAKEHUMAN_PEOPLE, np.random.default_rng(1)), neutral, trusted)
    offsets = keep_eyes_rigid(people - people.mean(0), parts)
    modes, _ = principal_modes(offsets, trusted, selection.mirror, MODE_COUNT)
    quads = selection.quads[: parts["head"].face_stop]
    eyes = [neutral[parts[name].vertex_start : parts[name].vertex_stop] for name in ("eye_left", "eye_right")]
    pivots = np.stack([0.5 * (eye.min(0) + eye.max(0)) for eye in eyes])
    template = Template(
        parts=parts,
        vertices=neutral.astype(np.float32),
        quads=selection.quads.astype(np.int32),
        uv_head=upright.uv.astype(np.float32),
        uv_head_quads=upright.quads.astype(np.int32),
        uv_makehuman=original.uv.astype(np.float32),
        uv_makehuman_quads=original.quads.astype(np.int32),
        hm08_vertex=ids.astype(np.int32),
        mirror=selection.mirror.astype(np.int32),
        regions=regions,
        landmarks68=landmarks68,
        landmarks478=read_landmarks478(selection),
        contour_rows=bake_contour_rows(upright, quads, neutral, landmarks68.positions(neutral), selection.mirror),
        jaw_weights=subtree_weight("jaw")[ids].astype(np.float32),
        jaw_pivot=(joint_centre("joint-mouth") + neutral.mean(0) - model.base.mean(0)).astype(np.float32),
        jaw_axis=np.array([1.0, 0.0, 0.0], np.float32),
        eye_pivots=pivots.astype(np.float32),
        eye_radius=float(np.linalg.norm(eyes[0] - pivots[0], axis=1).mean()),
        expressions=raw_face_units(ids),
        identity_modes=modes.astype(np.float32),
    )
    template = with_baked_expressions(template)
    save_template(template, path)
    return template
