import numpy as np
import pytest
from flat_sheet import flat_sheet

from backend.geometry.vectors import smoothstep
from trainer.engine import disk_cache
from trainer.heads.ict_skin import boundary_vertices, fit_surface, robust_similarity, warp_by_landmarks
from trainer.heads.makehuman import read_obj
from trainer.heads.paint import EyeLook, fractal_noise, paint_eyeball, value_noise
from trainer.heads.photographs import FACE_METRES, LIGHT_NAMES, lighting, shot_camera, six_shots, subdivide_midpoint


def rotation_about_y(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])


def test_a_similarity_is_recovered_with_outliers():
    points = np.random.default_rng(0).normal(size=(40, 3))
    target = 1.7 * points @ rotation_about_y(25).T + [1, 2, 3]
    target[:8] += 5
    assert robust_similarity(points, target, keep=0.7).scale == pytest.approx(1.7)


def test_warp_meets_its_landmarks_and_levels_off():
    source = np.random.default_rng(1).uniform(-0.1, 0.1, (60, 3))
    target = source + [0.004, 0, 0] + 0.05 * source * source[:, :1]
    np.testing.assert_allclose(warp_by_landmarks(source, source, target, 0.0), target, atol=1e-6)
    far = np.array([[0, 0, -1.0]])
    assert np.linalg.norm(warp_by_landmarks(far, source, target) - far) < 0.02


def test_registration_reaches_the_target_and_drags_along_what_it_does_not_cover():
    vertices, faces = flat_sheet(21, 0.0)
    target, target_faces = flat_sheet(61, 0.003)
    movable = (vertices[:, 0] < 0.02).astype(float)
    moved = fit_surface(vertices, faces, movable, target, target_faces)
    inside = (np.abs(vertices[:, :2]).max(1) < 0.045) & (vertices[:, 0] < 0.01)
    np.testing.assert_allclose(moved[inside, 2], 0.003, atol=5e-5)
    np.testing.assert_allclose(moved[vertices[:, 0] > 0.03, 2], 0.003, atol=1e-3)
    np.testing.assert_allclose(moved[:, :2], vertices[:, :2], atol=1e-4)


def test_boundary_of_a_grid_is_its_rim():
    vertices, faces = flat_sheet(5, 0.0)
    rim = np.flatnonzero(np.abs(vertices[:, :2]).max(1) > 0.0499)
    assert boundary_vertices(faces).tolist() == rim.tolist()


def test_midpoints_keep_linear_attributes():
    vertices, faces = flat_sheet(4, 0.0)
    fine_faces, matrix = subdivide_midpoint(faces, len(vertices), 2)
    assert len(fine_faces) == 16 * len(faces)
    assert matrix.shape[0] == 13 * 13
    linear = vertices @ [3.0, -2.0, 0]
    np.testing.assert_allclose(matrix @ linear, (matrix @ vertices) @ [3.0, -2.0, 0], atol=1e-12)
    corners = (matrix @ vertices)[fine_faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] / 2
    assert area.min() > 0
    assert area.sum() == pytest.approx(0.01)


def test_noise_is_smooth_bounded_and_repeatable():
    points = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    values = fractal_noise(points, 0.1, 7)
    assert (values == fractal_noise(points, 0.1, 7)).all()
    assert np.abs(values).max() <= 1
    assert values.std() > 0.1
    assert (value_noise(points, 0.1, 7) != value_noise(points, 0.1, 8)).any()
    nudged = value_noise(points + 1e-4, 0.1, 7)
    assert np.abs(nudged - value_noise(points, 0.1, 7)).max() < 0.02


def test_an_eyeball_has_pupil_iris_and_white_where_they_belong():
    angle = np.linspace(0, np.pi / 2, 200)
    ball = 0.012 * np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1)
    look = EyeLook(iris_diameter=0.0117)
    colour = paint_eyeball(ball, np.zeros(3), np.array([0, 0, 1.0]), look, 0)
    radius = ball[:, 0]
    assert colour[radius < 0.0015].max() < 0.02
    iris = colour[(radius > 0.003) & (radius < 0.0045)]
    assert iris[:, 0].mean() > 1.5 * iris[:, 2].mean()
    assert colour[(radius > 0.0065) & (radius < 0.008)].mean() > 0.4


def test_smoothstep_rises_and_falls():
    np.testing.assert_allclose(smoothstep(0, 2, np.array([-1, 1, 3.0])), [0, 0.5, 1])
    np.testing.assert_allclose(smoothstep(2, 0, np.array([-1, 1, 3.0])), [1, 0.5, 0])


def test_six_shots_are_the_same_every_time_and_cover_what_they_promise():
    shots = six_shots(3)
    assert shots == six_shots(3)
    assert shots != six_shots(4)
    assert len({shot.light for shot in shots}) == 6
    distances = [shot.distance for shot in shots]
    assert min(distances) == pytest.approx(0.5)
    assert max(distances) == pytest.approx(2.0)
    assert min(shot.yaw for shot in shots) < -45
    assert max(shot.yaw for shot in shots) > 45
    assert {shot.distance for shot in six_shots(3, 0.35)} == {0.35}


def test_a_shot_puts_the_face_where_and_as_large_as_it_says():
    middle = np.array([0.01, 0.6, 0.1])
    for shot in six_shots(5):
        camera = shot_camera(shot, middle)
        width, height = shot.size
        place = camera.project(middle)
        assert np.linalg.norm(camera.centre() - middle) == pytest.approx(shot.distance)
        expected = [width * (0.5 + shot.offset[0]), height * (0.5 + shot.offset[1])]
        np.testing.assert_allclose(place[:2], expected, atol=1e-6)
        share = camera.intrinsics[1, 1] * FACE_METRES / shot.distance / height
        assert share == pytest.approx(shot.face_share)
        np.testing.assert_allclose(camera.intrinsics[:2, 2], [width / 2, height / 2])


@pytest.mark.parametrize("name", LIGHT_NAMES)
def test_every_light_shines_and_turns(name):
    middle = np.array([0.0, 0.7, 0.1])
    light, turned = lighting(name, 0, middle), lighting(name, 90, middle)
    total = light.environment.sky.sum() + sum(lamp.irradiance.sum() for lamp in light.lights)
    assert total > 0.5
    for lamp, other in zip(light.lights, turned.lights, strict=True):
        before, after = lamp.position - middle, other.position - middle
        np.testing.assert_allclose(after, [before[2], before[1], -before[0]], atol=1e-9)
    with pytest.raises(ValueError, match="unknown light"):
        lighting("moon", 0, middle)


def test_obj_files_are_read(tmp_path):
    path = tmp_path / "a.obj"
    path.write_text("# x\nv 0 0 0\nv 1 0 0\nv 0 1 0.5\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/3 2/2 3/1\n")
    mesh = read_obj(path)
    vertices, faces, uv, uv_faces = mesh.vertices, mesh.faces, mesh.uv, mesh.uv_faces
    assert vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0.5]]
    assert (faces.tolist(), uv_faces.tolist()) == ([[0, 1, 2]], [[2, 1, 0]])
    assert uv.shape == (3, 2)
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert read_obj(path).uv_faces.shape == (0, 3)


def test_cache_keys_follow_content_and_files_are_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path / "cache"))
    assert disk_cache.cache_folder() == tmp_path / "cache"
    array = np.arange(6.0)
    assert disk_cache.content_key(array, "a") == disk_cache.content_key(array.copy(), "a")
    assert disk_cache.content_key(array) != disk_cache.content_key(array.reshape(2, 3))
    file = tmp_path / "x"
    file.write_bytes(b"1")
    first = disk_cache.content_key(file)
    file.write_bytes(b"2")
    assert disk_cache.content_key(file) != first
    disk_cache.save_arrays(tmp_path / "deep" / "a.npz", a=array)
    with np.load(tmp_path / "deep" / "a.npz") as data:
        assert (data["a"] == array).all()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.npz"]
