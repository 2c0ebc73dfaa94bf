"""The template that ships, and its 52 keys."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.errors import LikenessError
from backend.geometry.subdivision import subdivision
from backend.geometry.template import TEMPLATE_PATH, mirrored, read_template, triangles_from_quads
from backend.rendering.rasterize import texel_faces
from backend.rig.measure import part_slice
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, mirrored_name

sys.path.append(str(Path(__file__).resolve().parents[1] / "rig"))


FLIP = np.array([-1.0, 1.0, 1.0])


def test_quads_turn_outwards(template):
    points = template.vertices.astype(np.float64)
    for name in ("head", "eye_left", "eye_right"):
        part = template.parts[name]
        triangles = triangles_from_quads(template.quads[part.face_start : part.face_stop])
        a, b, c = (points[triangles[:, corner]] for corner in range(3))
        volume = np.einsum("ti,ti->", a - points[part.vertex_start], np.cross(b, c)) / 6
        assert volume > 0, name


def test_mirror_is_an_involution_and_the_mean_is_symmetric(template):
    mirror = template.mirror
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(mirror)))
    apart = template.vertices - mirrored(template.vertices, mirror)
    assert np.linalg.norm(apart, axis=1).max() < 1e-6
    swapped = {"eye_left": "eye_right", "eye_right": "eye_left"}
    for name, part in template.parts.items():
        other = template.parts[swapped.get(name, name)]
        images = mirror[part.vertex_start : part.vertex_stop]
        assert images.min() == other.vertex_start and images.max() == other.vertex_stop - 1
    # mirrored quads are quads
    own = {tuple(sorted(quad)) for quad in template.quads.tolist()}
    assert {tuple(sorted(quad)) for quad in mirror[template.quads].tolist()} == own


def test_uv_head_does_not_overlap(template):
    size = 1024
    faces = triangles_from_quads(template.uv_head_quads)
    covered = (texel_faces(template.uv_head, faces, size) >= 0).sum() / size**2
    a, b, c = (template.uv_head[faces[:, corner]].astype(np.float64) for corner in range(3))
    area = 0.5 * np.abs(np.cross(b - a, c - a)).sum()
    assert area == pytest.approx(covered, abs=0.004)  # overlapping charts would cover less than their area
    assert area > 0.6


def people(template, count, seed=0):
    identities = np.random.default_rng(seed).normal(size=(count, len(template.identity_modes))).astype(np.float32)
    return template.vertices + np.tensordot(identities, template.identity_modes, 1)


def test_eyes_lie_behind_the_lids_of_random_people(template):
    from backend.rig.measure import face_loops

    level, loops = subdivision(1), face_loops(template).eyes
    for cage in people(template, 25):
        surface = level.positions(cage)
        for eye, name in zip(loops, ("eye_left", "eye_right"), strict=True):
            part = level.parts[name]
            ball = surface[part.vertex_start : part.vertex_stop]
            centre = 0.5 * (ball.max(0) + ball.min(0))
            radius = np.linalg.norm(ball - centre, axis=1).mean()
            edge = np.linalg.norm(surface[eye.rows[eye.margin]] - centre, axis=1) - radius
            assert edge.min() > -0.0012 and edge.mean() > 0  # lids outside the ball (cage vertices come first)
            assert edge.mean() < 0.0035  # and resting on it
            front = surface[eye.rows[eye.margin], 2].mean()
            assert centre[2] < front < centre[2] + radius


def test_lips_stay_closed_on_random_people(template):
    from backend.rig.measure import face_loops

    mouth = face_loops(template).mouth
    contact = mouth.rows[mouth.contact]

    def gap(points):
        upper, lower = points[contact[mouth.upper]], points[contact[mouth.lower]]
        order = np.argsort(lower[:, 0])
        return upper[:, 1] - np.interp(upper[:, 0], lower[order, 0], lower[order, 1])

    rest = gap(template.vertices[:4200])
    for cage in people(template, 25, seed=4):
        assert np.abs(gap(cage[:4200]) - rest).max() < 0.0015


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "changed", "text"])
def test_damaged_files_are_refused(damage, tmp_path):
    path = tmp_path / "template.safetensors"
    data = bytearray(TEMPLATE_PATH.read_bytes())
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "changed":
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    elif damage == "text":
        path.write_text("this is not a template")
    with pytest.raises(LikenessError) as caught:
        read_template(path)
    assert caught.value.code == "missing_part" and caught.value.advice


def test_loading_needs_no_training_code():
    code = (
        "import sys; from backend.geometry.template import load_template; load_template(); "
        "assert not {'torch', 'anny', 'ai_edge_litert'} & set(sys.modules), sys.modules.keys()"
    )
    root = TEMPLATE_PATH.parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})


def test_pairs_are_mirror_images(template):
    for index, name in enumerate(ARKIT_NAMES):
        partner = template.expressions[ARKIT_INDEX[mirrored_name(name)]]
        mirrored = partner[template.mirror] * FLIP
        assert np.abs(mirrored - template.expressions[index]).max() < 5e-4, name


def test_keys_do_what_their_names_say(template):
    marks = template.landmarks68

    def motion(name):
        moved = marks.positions(template.vertices + template.expressions[ARKIT_INDEX[name]])
        return (moved - marks.positions(template.vertices)) * 1e3  # (68, 3) mm

    corner, brow_outer, upper_lip, lower_lip, chin = 54, 26, 51, 57, 8  # of the person's left
    assert motion("mouthSmileLeft")[corner, 1] > 3
    assert motion("mouthFrownLeft")[corner, 1] < -2
    assert motion("mouthStretchLeft")[corner, 0] > 2
    assert motion("mouthPucker")[corner, 0] < -2
    assert motion("mouthLeft")[[upper_lip, lower_lip], 0].min() > 2
    assert motion("jawOpen")[chin, 1] < -15
    assert motion("jawForward")[chin, 2] > 2
    assert motion("jawRight")[chin, 0] < -2
    assert motion("browOuterUpLeft")[brow_outer, 1] > 2
    assert motion("browDownLeft")[22:27, 1].mean() < -1
    assert motion("browInnerUp")[[21, 22], 1].min() > 2
    assert motion("mouthUpperUpLeft")[52, 1] > 2
    assert motion("mouthLowerDownLeft")[56, 1] < -2
    assert motion("noseSneerLeft")[35, 1] > 0.5
    assert motion("mouthShrugUpper")[upper_lip, 1] > 1
    puffed = template.expressions[ARKIT_INDEX["cheekPuff"]]
    left_cheek = (template.regions["cheeks"] > 0.5) & (template.vertices[:, 0] > 0.02)
    assert puffed[left_cheek, 0].max() > 0.004
    tongue = part_slice(template.parts["tongue"])
    assert template.expressions[ARKIT_INDEX["tongueOut"], tongue, 2].max() > 0.01
