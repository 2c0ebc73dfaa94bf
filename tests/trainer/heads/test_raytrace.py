import numpy as np
import pytest

from backend.geometry.normals import vertex_normals
from trainer.heads.raytrace import (
    AreaLight,
    Environment,
    Lighting,
    Surface,
    build_bvh,
    closest_hits,
    closest_points,
    joined,
    look_at,
    trace_view,
)

TRIANGLE = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]])
NO_WINDOWS = (np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3)))
DARK = Environment(np.zeros(3), np.zeros(3), *NO_WINDOWS)


def matte(vertices: np.ndarray, faces: np.ndarray, albedo: float = 0.5) -> Surface:
    count = len(vertices)
    return Surface(
        vertices,
        faces,
        vertex_normals(vertices, faces),
        np.full((count, 3), albedo),
        np.zeros(count),
        np.ones(count),
        np.zeros(count),
    )


def sheet(half: float, z: float, albedo: float = 0.5) -> Surface:
    corners = np.array([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]])
    return matte(corners, np.array([[0, 1, 2], [0, 2, 3]]), albedo)


def sphere(radius: float, rings: int = 40) -> Surface:
    theta, phi = np.meshgrid(np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, 2 * rings), indexing="ij")
    vertices = radius * np.stack([np.sin(theta) * np.sin(phi), np.cos(theta), np.sin(theta) * np.cos(phi)], -1)
    ids = np.arange(theta.size).reshape(theta.shape)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[1:, :-1].ravel(), ids[1:, 1:].ravel(), ids[:-1, 1:].ravel()
    return matte(vertices.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def random_triangles(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    centres = generator.uniform(-1, 1, (count, 1, 3))
    vertices = (centres + generator.normal(0, 0.2, (count, 3, 3))).reshape(-1, 3)
    return vertices, np.arange(3 * count).reshape(-1, 3)


def nearest_hit_by_brute_force(corners: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> float:
    """Solves origin + t direction = a + u e1 + v e2 for every triangle."""
    best = np.inf
    for a, b, c in corners:
        system = np.stack([b - a, c - a, -direction], axis=1)
        if abs(np.linalg.det(system)) < 1e-12:
            continue
        u, v, t = np.linalg.solve(system, origin - a)
        if u >= 0 and v >= 0 and u + v <= 1 and t > 0:
            best = min(best, t)
    return best


def test_rays_hit_what_brute_force_says():
    vertices, faces = random_triangles(300, 1)
    generator = np.random.default_rng(2)
    origins, directions = generator.uniform(-2, 2, (200, 3)), generator.normal(size=(200, 3))
    hit, distance, barycentrics = closest_hits(build_bvh(vertices, faces), origins, directions)
    corners = vertices[faces]
    expected = np.array([nearest_hit_by_brute_force(corners, o, d) for o, d in zip(origins, directions, strict=True)])
    assert 20 < np.isfinite(expected).sum() < 190
    assert ((hit >= 0) == np.isfinite(expected)).all()
    seen = hit >= 0
    np.testing.assert_allclose(distance[seen], expected[seen], rtol=1e-4)
    points = (corners[hit[seen]] * barycentrics[seen][:, :, None]).sum(1)
    np.testing.assert_allclose(points, origins[seen] + expected[seen, None] * directions[seen], atol=1e-4)


@pytest.mark.parametrize(
    ("point", "distance", "closest"),
    [
        ((0.25, 0.25, 2.0), 2.0, (0.25, 0.25, 0)),  # over the face
        ((-3.0, -4.0, 0.0), 5.0, (0, 0, 0)),  # corner
        ((0.5, -2.0, 0.0), 2.0, (0.5, 0, 0)),  # edge
        ((1.0, 1.0, 0.0), np.sqrt(0.5), (0.5, 0.5, 0)),  # long edge
        ((4.0, 0.0, 4.0), 5.0, (1, 0, 0)),
        ((0.0, 1.0, -3.0), 3.0, (0, 1, 0)),
    ],
)
def test_closest_points_of_a_triangle_by_hand(point, distance, closest):
    vertices, faces = TRIANGLE
    face, found, barycentrics = closest_points(build_bvh(vertices, faces), np.array([point]))
    assert face[0] == 0
    assert found[0] == pytest.approx(distance)
    np.testing.assert_allclose(barycentrics[0] @ vertices, closest, atol=1e-9)


def test_closest_points_of_many_triangles_are_the_nearest_of_each():
    vertices, faces = random_triangles(200, 3)
    points = np.random.default_rng(4).uniform(-2, 2, (60, 3))
    _, distance, _ = closest_points(build_bvh(vertices, faces), points)
    each = [closest_points(build_bvh(vertices, faces[[k]]), points)[1] for k in range(len(faces))]
    np.testing.assert_allclose(distance, np.min(each, axis=0), rtol=1e-6)


def test_an_empty_mesh_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        build_bvh(np.zeros((3, 3)), np.zeros((0, 3), int))


def camera(size: int = 33, yaw: float = 0.0, distance: float = 1.0, focal: float = 50.0):
    return look_at(yaw, 0, 0, distance, focal, (size, size), np.zeros(3))


def uniform_environment(radiance: float = 1.0) -> Environment:
    """The same white light from everywhere."""
    grey = np.full(3, radiance)
    return Environment(grey, grey, np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3)))


def test_a_convex_white_body_in_white_surroundings_shows_its_albedo():
    view = trace_view(sphere(0.1), camera(focal=100), Lighting((), uniform_environment(1.0)), 4, 16)
    assert view.coverage[16, 16] == pytest.approx(1)
    np.testing.assert_allclose(view.linear[12:21, 12:21], 0.5, rtol=0.02)
    assert view.depth[16, 16] == pytest.approx(0.9, rel=1e-3)


def test_a_lamp_gives_the_irradiance_it_states_and_falls_off_with_the_square():
    lamp = AreaLight(np.array([0, 0, 2.0]), 0.01, np.array([0.8, 0.4, 0.2]))
    at_origin = trace_view(sheet(0.5, 0.0), camera(), Lighting((lamp,), DARK), 4, 1)
    nearer = trace_view(sheet(0.5, 1.0), camera(distance=2.0), Lighting((lamp,), DARK), 4, 1)
    np.testing.assert_allclose(at_origin.linear[16, 16], [0.4, 0.2, 0.1], rtol=0.02)
    np.testing.assert_allclose(nearer.linear[16, 16], 4 * at_origin.linear[16, 16], rtol=0.03)


def test_a_blocker_casts_a_shadow():
    lamp = AreaLight(np.array([0, 0, 2.0]), 0.01, np.ones(3))
    blocked = joined((sheet(0.5, 0.0), sheet(0.05, 1.5)))
    aside = look_at(60, 0, 0, 1.0, 50.0, (33, 33), np.zeros(3))
    lit = trace_view(sheet(0.5, 0.0), aside, Lighting((lamp,), DARK), 4, 1)
    shadowed = trace_view(blocked, aside, Lighting((lamp,), DARK), 4, 1)
    assert lit.linear[16, 16].min() > 0.4
    assert shadowed.linear[16, 16].max() < 1e-3


def test_points_appear_where_the_camera_projects_them():
    small = sphere(0.004)
    place = np.array([0.05, 0.08, -0.02])
    moved = Surface(small.vertices + place, *[getattr(small, name) for name in ("faces", "normals", "albedo")],
                    small.specular, small.roughness, small.translucency)  # fmt: skip
    view_camera = look_at(30, -10, 15, 0.8, 220.0, (101, 81), np.zeros(3))
    view = trace_view(moved, view_camera, Lighting((), uniform_environment()), 9, 1)
    rows, columns = np.mgrid[0:81, 0:101] + 0.5
    centre = [(view.coverage * axis).sum() / view.coverage.sum() for axis in (columns, rows)]
    np.testing.assert_allclose(centre, view_camera.project(place)[:2], atol=0.15)


def test_yaw_shows_the_head_turned_to_its_own_left():
    # turned to its left, the nose points to the picture's right, where the person's left is
    nose, back = np.array([0, 0, 0.1]), np.array([0, 0, -0.1])
    turned = camera(yaw=30)
    assert turned.project(nose)[0] > turned.project(back)[0]
    assert turned.project(nose)[2] < turned.project(back)[2]


def test_the_seed_decides_the_picture():
    lamp = AreaLight(np.array([0.5, 0.5, 1.0]), 0.3, np.ones(3))
    first, again, other = (
        trace_view(sphere(0.2), camera(), Lighting((lamp,), uniform_environment(0.3)), 2, 2, seed=seed).linear
        for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()
