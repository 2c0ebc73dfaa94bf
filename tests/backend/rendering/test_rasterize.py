"""Every backend gives the reference's face ids, pixel for pixel."""

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template, triangles_from_quads
from backend.rendering import rasterize
from backend.rendering.camera import MIN_DEPTH, project, rotation_from_axis_angle
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids

BACKENDS = ["torch", "numba"]  # equal to the bit; PyTorch3D has a test of its own


def face_ids_reference(
    vertices: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], cull_backfaces: bool
) -> torch.Tensor:
    """One face after the other, every pixel, no shortcuts; float32 arithmetic in the same order as the backends."""
    ids = [_one_image(image, faces.cpu().numpy(), size, cull_backfaces) for image in vertices.cpu().numpy()]
    return torch.from_numpy(np.stack(ids)).to(vertices.device)


def _one_image(vertices: np.ndarray, faces: np.ndarray, size: tuple[int, int], cull_backfaces: bool) -> np.ndarray:
    height, width = size
    ids = np.full((height, width), -1, np.int64)
    nearest = np.full((height, width), np.inf, np.float32)
    centre_x = (np.arange(width, dtype=np.float32) + np.float32(0.5))[None, :]
    centre_y = (np.arange(height, dtype=np.float32) + np.float32(0.5))[:, None]
    with np.errstate(all="ignore"):
        for index, (i0, i1, i2) in enumerate(faces):
            (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = vertices[i0], vertices[i1], vertices[i2]
            area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
            if not (z0 > MIN_DEPTH and z1 > MIN_DEPTH and z2 > MIN_DEPTH):
                continue
            if not np.isfinite(area) or area == 0 or (cull_backfaces and area > 0):
                continue
            if area < 0:  # orient all faces alike
                x1, y1, z1, x2, y2, z2 = x2, y2, z2, x1, y1, z1
            w0 = (x1 - centre_x) * (y2 - centre_y) - (y1 - centre_y) * (x2 - centre_x)  # (H, W)
            w1 = (x2 - centre_x) * (y0 - centre_y) - (y2 - centre_y) * (x0 - centre_x)
            w2 = (x0 - centre_x) * (y1 - centre_y) - (y0 - centre_y) * (x1 - centre_x)
            inside = (w0 >= 0) & (w1 >= 0) & (w2 >= 0)
            inside &= (centre_x >= min(x0, x1, x2)) & (centre_x <= max(x0, x1, x2))
            inside &= (centre_y >= min(y0, y1, y2)) & (centre_y <= max(y0, y1, y2))
            one = np.float32(1)
            depth = (w0 + w1 + w2) / (w0 * (one / z0) + w1 * (one / z1) + w2 * (one / z2))
            visible = inside & (depth < nearest)  # False for NaN (all edge functions zero)
            nearest[visible] = depth[visible]
            ids[visible] = index
    return ids


rasterize.BACKENDS["reference"] = face_ids_reference


def random_scene(seed: int, count: int, vertices: int, faces: int, size: tuple[int, int], lattice: bool = False):
    """Triangles all over and beyond the image, some behind the camera; on the half-pixel lattice when asked."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    points = torch.rand(count, vertices, 3, generator=generator)
    points = points * torch.tensor([1.4 * width, 1.4 * height, 2.2]) - torch.tensor([0.2 * width, 0.2 * height, 0.2])
    if lattice:
        points[..., :2] = (points[..., :2] * 2).round() / 2
        points[..., 2] = (points[..., 2] * 2).round() / 2
    return points, torch.randint(0, vertices, (faces, 3), generator=generator)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cull", [False, True])
@pytest.mark.parametrize(
    ("count", "vertices", "faces", "size"),
    [(1, 30, 40, (33, 33)), (3, 60, 70, (17, 41)), (2, 40, 30, (90, 70)), (2, 400, 300, (24, 20)), (1, 9, 5, (1, 7))],
)
def test_random_scenes_equal_the_reference(backend, cull, count, vertices, faces, size):
    for lattice in (False, True):
        points, triangles = random_scene(faces + count, count, vertices, faces, size, lattice)
        expected = face_ids(points, triangles, size, backend="reference", cull_backfaces=cull)
        assert torch.equal(face_ids(points, triangles, size, backend=backend, cull_backfaces=cull), expected)
        assert expected.shape == (count, *size) and expected.dtype == torch.int64
        if size[0] > 1:
            assert (expected >= 0).float().mean() > 0.05


@pytest.mark.parametrize("backend", [*BACKENDS, "reference"])
class TestRule:
    def test_lowest_index_wins_a_tie(self, backend):
        points = torch.tensor([[[1.0, 1, 2], [9, 1, 2], [1, 9, 2], [9, 9, 2]]])
        faces = torch.tensor([[3, 1, 2], [0, 1, 2], [0, 1, 2], [2, 1, 0]])
        ids = face_ids(points, faces, (10, 10), backend=backend)[0]
        assert ids[2, 2] == 1
        assert ids[7, 7] == 0
        assert ids[5, 4] == 0  # exactly on the shared diagonal: x + y = 10 at equal depth

    def test_perspective_depth_decides_where_planes_cross(self, backend):
        # A face from depth 1 to 3 is at depth 1.5 (not 2) half-way across the image: in front of a wall at 1.8.
        points = torch.tensor([[[0.0, -9, 1], [0, 19, 1], [10, -9, 3], [10, 19, 3.0]]])
        wall = torch.tensor([[[0.0, -9, 1.8], [0, 19, 1.8], [10, -9, 1.8], [10, 19, 1.8]]])
        faces = torch.tensor([[0, 1, 2], [2, 1, 3], [4, 5, 6], [6, 5, 7]])
        ids = face_ids(torch.cat([points, wall], 1), faces, (10, 10), backend=backend)[0]
        assert (ids[:, 5] < 2).all()
        assert (ids[:, 8] >= 2).all()

    def test_culling_keeps_faces_seen_counter_clockwise(self, backend):
        points = torch.tensor([[[0.0, 0, 1], [0, 8, 1], [8, 0, 1]]])  # down, then right: cross < 0 with y down
        towards, away = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 2, 1]])
        assert (face_ids(points, towards, (3, 3), backend=backend, cull_backfaces=True) == 0).all()
        assert (face_ids(points, away, (3, 3), backend=backend, cull_backfaces=True) == -1).all()
        assert (face_ids(points, away, (3, 3), backend=backend) == 0).all()

    def test_lattice_on_pixel_centres_has_no_holes(self, backend):
        height, width = 7, 11
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        points = torch.stack([x, y, torch.ones_like(x)], -1).view(1, -1, 3)
        index = torch.arange(height * width).view(height, width)
        a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
        faces = torch.cat([torch.stack([a, b, c], -1).view(-1, 3), torch.stack([c, b, d], -1).view(-1, 3)])
        for cull in (False, True):
            assert (face_ids(points, faces, (height, width), backend=backend, cull_backfaces=cull) >= 0).all()

    @pytest.mark.parametrize("depth", [0.0, -1.0, 1e-9, float("nan")])
    def test_faces_at_or_behind_the_camera_are_dropped(self, backend, depth):
        points = torch.tensor([[[0.0, 0, 1], [8, 0, 1], [0, 8, depth]]])
        assert (face_ids(points, torch.tensor([[0, 1, 2]]), (3, 3), backend=backend) == -1).all()

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
    def test_broken_positions_are_harmless(self, backend, value):
        points = torch.tensor([[[0.0, 0, 2], [8, 0, 2], [0, 8, 2], [value, value, 1]]])
        faces = torch.tensor([[0, 1, 3], [0, 1, 2]])
        assert (face_ids(points, faces, (3, 3), backend=backend) == 1).all()


def test_bands_and_images_on_threads_equal_one_thread():
    scenes = [random_scene(3, count, 3000, 5000, (50, 37)) for count in (1, 2, 5)]
    expected = [face_ids(points, triangles, (50, 37), backend="torch") for points, triangles in scenes]
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for (points, triangles), ids in zip(scenes, expected, strict=True):
                assert torch.equal(face_ids(points, triangles, (50, 37), backend="numba"), ids)
    finally:
        torch.set_num_threads(before)


def test_wrong_arguments_are_named():
    points, triangles = random_scene(0, 1, 9, 4, (5, 5))
    with pytest.raises(ValueError, match="vertices_px"):
        face_ids(points[0], triangles, (5, 5))
    with pytest.raises(ValueError, match="faces"):
        face_ids(points, triangles.float(), (5, 5))
    with pytest.raises(ValueError, match="unknown rasterizer"):
        face_ids(points, triangles, (5, 5), backend="magic")
    with pytest.raises(IndexError):
        face_ids(points, triangles + 100, (5, 5))


def large_triangles():
    """A thousand random triangles over 96 x 80 pixels, some behind the camera, some turned away."""
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(1, 1000, 1, 3, generator=generator) * torch.tensor([96.0, 80.0, 2.0])
    points = points + (torch.rand(1, 1000, 3, 3, generator=generator) - 0.2) * torch.tensor([30.0, 30.0, 0.5])
    return points.view(1, 3000, 3), torch.arange(3000).view(1000, 3), (80, 96)


def template_from_two_sides():
    template = load_template()
    head, size = template.head, (96, 96)
    faces = triangles_from_quads(template.quads[head.face_start : head.face_stop])
    vertices = torch.from_numpy(template.vertices - template.vertices.mean(0)).float()
    turns = rotation_from_axis_angle(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.7, 0.0]])) * torch.tensor([1.0, -1.0, -1.0])
    intrinsics = torch.tensor([[[320.0, 0.0, 48.0], [0.0, 320.0, 48.0], [0.0, 0.0, 1.0]]])
    return project(vertices @ turns + torch.tensor([0.0, 0.0, 1.0]), intrinsics), torch.from_numpy(faces).long(), size


@pytest.mark.parametrize("scene", [large_triangles, template_from_two_sides])
@pytest.mark.parametrize("cull", [False, True])
def test_pytorch3d_gives_the_references_pixels(scene, cull):
    """Where another face wins, the pixel's centre is within 1e-4 of a border in barycentric coordinates, or the faces
    are as far away."""
    pytest.importorskip("pytorch3d")
    points, faces, size = scene()
    both = [face_ids(points, faces, size, backend=name, cull_backfaces=cull) for name in ("torch", "pytorch3d")]
    other = both[0] != both[1]
    assert (both[0] >= 0).float().mean() > 0.2 and other.float().mean() < 1e-3
    near, depths = [], []
    for ids in both:
        found = fragments(torch.where(other, ids, -1), faces)
        shares = fragment_barycentrics(points, found)
        near.append(found.scatter(shares.amin(1, keepdim=True), 0.0)[..., 0] < 1e-4)
        depths.append(found.scatter(fragment_values(points[..., 2:], found, shares), 0.0)[..., 0])
    assert (near[0] | near[1] | torch.isclose(*depths, rtol=1e-4))[other].all()
