"""A mesh of a head in place of photos: its pictures, and the head on it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from plain_photo import plain_photo
from scipy.spatial.transform import Rotation

from backend import pipeline
from backend.errors import LikenessError
from backend.exchange.files import build_report
from backend.fitting.fit import refit_face, resumable_fit
from backend.fitting.options import FitOptions
from backend.geometry.closest import Closest
from backend.geometry.subdivision import subdivision
from backend.geometry.template import load_template, triangles_from_quads
from backend.photos import meshes
from backend.photos.collect import collect
from backend.photos.collection import PhotoCollection, PhotoSource, PhotoVerdict, Scan
from backend.photos.corrections import CorrectedPoint, PhotoCorrections


def person() -> tuple[np.ndarray, np.ndarray]:
    """A smooth head with eyes, in the head's frame."""
    template, fine = load_template(), subdivision(1)
    shape = template.vertices + np.tensordot([1.5, -1.0, 0.8, 1.2], template.identity_modes[:4], 1)
    parts = [fine.parts[name] for name in ("head", "eye_left", "eye_right")]
    quads = np.concatenate([fine.quads[part.face_start : part.face_stop] for part in parts])
    return fine.matrix @ shape, triangles_from_quads(quads).astype(np.int64)


def test_models_that_guess_the_shape_rest_where_a_mesh_gives_it() -> None:
    opened = pipeline.open_all_models((PhotoSource("head.ply", data=b""),), pipeline.ReconstructOptions())
    assert {opened.to_report()[name] for name in ("lap", "learned_basis")} == {"not used"}


@pytest.mark.slow
def test_a_head_lies_on_its_mesh_in_another_unit_and_turn(tmp_path: Path) -> None:
    (vertices, triangles), turn = person(), Rotation.from_euler("x", 90, degrees=True).as_matrix()  # z is up
    trimesh.Trimesh(1000.0 * vertices @ turn.T, triangles, process=False).export(tmp_path / "millimetres.obj")
    scan, drawn, others = meshes.split_mesh_from_photos([PhotoSource.from_path(tmp_path / "millimetres.obj")])
    assert scan is not None and not others and [one.name.split()[1] for one in drawn] == ["front", "left", "right"]
    assert np.ptp(scan.mesh.vertices[:, 1]) == pytest.approx(np.ptp(vertices[np.unique(triangles), 1]), rel=1e-5)
    seen = collect(drawn)
    begun = resumable_fit(PhotoCollection(seen.faces, seen.verdicts, scan), FitOptions())
    face = subdivision(1).matrix @ load_template().regions["face"] > 0.9
    made = subdivision(1).matrix @ begun.face.photos[0].vertices
    camera, picture = begun.face.photos[0].camera, scan.cameras[begun.face.photos[0].name]
    to_camera = scan.mesh.vertices @ picture.camera_from_head[:3, :3].T + picture.camera_from_head[:3, 3]
    pose = camera.camera_from_head
    truth = Closest((to_camera - pose[:3, 3]) @ pose[:3, :3], scan.mesh.triangles)
    assert np.median(truth(made[face])[2]) < 0.0002
    again = refit_face(begun, seen.faces, FitOptions())
    assert again is not None and np.abs(again.neutral - begun.face.neutral).max() < 1e-5


def test_what_is_no_head_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.glb").write_bytes(b"glTF\x02\0\0\0" + b"\xff" * 200)
    (tmp_path / "empty.ply").touch()
    trimesh.creation.icosphere(4).export(tmp_path / "ball.ply")
    trimesh.creation.box().export(tmp_path / "box.obj")
    for name in ("broken.glb", "empty.ply", "ball.ply", "not there.obj"):
        with pytest.raises(LikenessError) as refused:
            meshes.split_mesh_from_photos([PhotoSource.from_path(tmp_path / name)])
        assert name in str(refused.value)
    both = [PhotoSource.from_path(tmp_path / name) for name in ("ball.ply", "box.obj")]
    with pytest.raises(LikenessError, match="Give one mesh"):
        meshes.split_mesh_from_photos(both)


def test_a_hostile_mesh_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meshes, "LIMITS", replace(meshes.LIMITS, most_cpu_seconds=1.0))
    shape = [
        {"componentType": 5126, "type": "VEC3", "count": 10**9},
        {"componentType": 5125, "type": "SCALAR", "count": 9},
    ]
    nodes = {"scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0, "children": [0]}], "buffers": [], "bufferViews": []}
    zeros = {"asset": {"version": "2.0"}, "scene": 0, **nodes, "accessors": shape}
    zeros["meshes"] = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}]
    declared = (
        b"element vertex 1000000000\nproperty float x\nelement face 1000000000\nproperty list uchar int i\nend_header\n"
    )
    paints = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" + b"".join(b"usemtl %d\nf 1 2 3\n" % number for number in range(30_000))
    for name, data, said in (
        ("12 gigabytes.gltf", json.dumps(zeros).encode(), "memory"),
        ("nested.gltf", b"[" * 100_000, "no mesh"),
        ("declared.ply", b"ply\nformat binary_little_endian 1.0\n" + declared + bytes(99), "no mesh"),
        ("a minute.obj", paints, "far longer"),
    ):
        with pytest.raises(LikenessError, match=said):
            meshes.read_mesh(PhotoSource(name, data=data))


def test_a_texture_is_read_and_its_seams_are_no_borders(tmp_path: Path) -> None:
    from PIL import Image

    ball = trimesh.creation.icosphere(3)
    corners = ball.vertices[ball.faces].reshape(-1, 3)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.new("RGB", (8, 8), (10, 200, 30)))
    visual = trimesh.visual.TextureVisuals(uv=corners[:, :2], material=material)
    torn = trimesh.Trimesh(corners, np.arange(len(corners)).reshape(-1, 3), visual=visual, process=False)
    torn.export(tmp_path / "a.glb")
    found = meshes.read_mesh(PhotoSource("a.glb", data=(tmp_path / "a.glb").read_bytes()))
    assert len(found.mesh.vertices) == len(ball.vertices) and tuple(found.paint["texture"][4, 4]) == (10, 200, 30)


def test_a_mesh_beside_photos_gives_the_shape_and_they_the_skin(monkeypatch: pytest.MonkeyPatch) -> None:
    scan, names = Scan("a.ply", None, {}, painted=False), ["a.ply front", "a.ply left", "photo.jpg"]
    *views, photo = (PhotoSource(name, data=b"1") for name in names)

    def read(sources, corrections, *_) -> PhotoCollection:
        assert [one.name for one in corrections] == [one.name for one in sources]
        faces = (plain_photo((8, 8), name=one.name) for one in sources)
        return PhotoCollection(tuple(faces), tuple(PhotoVerdict(one.name, False, "") for one in sources))

    monkeypatch.setattr(pipeline, "collect_corrected", read)
    stated = tuple(PhotoCorrections(name, points=(CorrectedPoint(7, 4.0, 5.0),)) for name in names)
    options, uses = pipeline.ReconstructOptions(corrections=stated), []
    for mesh, others in ((replace(scan, painted=True), []), (scan, []), (scan, [photo])):  # clay: one
        monkeypatch.setattr(pipeline, "split_mesh_from_photos", lambda *_, found=(mesh, views, others): found)
        found = pipeline.read_photos((), options, pipeline.Watch())
        uses.append([face.use for face in found.faces])
    assert uses == [["both"] * 2, ["both", "shape"], ["shape", "shape", "both"]]
    assert found.scan is scan and [one.name for one in found.verdicts] == ["a.ply", *names]
    report = build_report(found.verdicts, (), (), {}, {}, {})
    assert [entry["used"] for entry in report["photos"]] == [True, False, False, False]
