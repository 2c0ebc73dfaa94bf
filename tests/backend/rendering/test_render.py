import numpy as np
import pytest

from backend.rendering.camera import Camera
from backend.rendering.color import linear_from_srgb, srgb_from_linear
from backend.rendering.render import STUDIO_LIGHT, render_linear
from backend.rendering.spherical_harmonics import light_from_directions

QUAD = np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
UV = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])


def camera(width: int = 40, height: int = 30, focal: float = 100.0) -> Camera:
    pose = np.diag([1.0, -1, -1, 1])
    pose[2, 3] = 1.0
    return Camera(np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]), pose, (width, height))


def test_flat_colour_and_background():
    colors = np.tile(linear_from_srgb(np.array([200, 100, 50], np.uint8)), (4, 1))
    picture = render_linear(QUAD, FACES, camera(), colors=colors).over((10, 20, 30))
    assert picture.shape == (30, 40, 3) and picture.dtype == np.uint8
    assert (picture[6:24, 11:29] == (200, 100, 50)).all()
    assert (picture[:4] == (10, 20, 30)).all()
    photo = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    over = render_linear(QUAD, FACES, camera(), colors=colors).over(photo)
    np.testing.assert_array_equal(over[:4], photo[:4])


def test_antialiasing_is_coverage():
    # 0.1 m at 1 m and 105 px: the quad ends at 20 +- 10.5 px, half a pixel on each side.
    rendering = render_linear(QUAD, FACES, camera(focal=105.0), colors=np.ones((4, 3)), supersample=4)
    np.testing.assert_allclose(rendering.alpha[15, [8, 9, 10, 29, 30, 31]], [0, 0.5, 1, 1, 0.5, 0], atol=0.01)
    np.testing.assert_allclose(rendering.color[15, 9], 0.5, atol=0.01)


def test_texture_upright_and_mipmapped():
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:32] = (255, 0, 0)  # row 0 is v = 1: above
    texture[:, 32:, 2] = 255  # u > 0.5: the picture's right, seen from +z
    picture = render_linear(QUAD, FACES, camera(), texture=texture, uv=UV, uv_faces=FACES).over((255, 255, 255))
    assert (picture[7, 12] == (255, 0, 0)).all() and (picture[22, 12] == (0, 0, 0)).all()
    assert (picture[7, 28] == (255, 0, 255)).all()
    checks = np.indices((2048, 2048)).sum(0)[..., None].repeat(3, -1) % 2 * 255
    grey = render_linear(QUAD, FACES, camera(), texture=checks.astype(np.uint8), uv=UV, uv_faces=FACES)
    np.testing.assert_allclose(grey.color[8:22, 13:27], 0.5, atol=0.01)  # the mean in linear light, no moire


def test_light_is_lambert_in_linear_light():
    light = light_from_directions(np.array([[0, 0, 1.0]]), np.array([[0.4, 0.2, 0.1]]), 0.1)
    rendering = render_linear(QUAD, FACES, camera(), colors=np.full((4, 3), 0.5), light=light)
    expected = 0.5 * (0.1 + np.array([0.4, 0.2, 0.1]) * 1.0625)  # bands 0-2 of the clamped cosine, at its peak
    np.testing.assert_allclose(rendering.color[15, 20], expected, rtol=1e-4)
    behind = render_linear(QUAD[:, [0, 1, 2]] * [1, 1, -1], FACES[:, ::-1], camera(), colors=np.ones((4, 3)) / 2)
    assert behind.alpha.max() == 1


def test_back_faces_are_lit_from_their_own_side():
    light = light_from_directions(np.array([[0, 0, 1.0]]), np.ones((1, 3)), 0.0)
    front = render_linear(QUAD, FACES, camera(), colors=np.ones((4, 3)), light=light)
    back = render_linear(QUAD, FACES[:, ::-1], camera(), colors=np.ones((4, 3)), light=light)
    np.testing.assert_allclose(front.color, back.color, atol=1e-6)


def test_clay_and_grey_light():
    clay = render_linear(QUAD, FACES, camera())
    assert 0.1 < clay.color[15, 20].mean() < 0.9
    grey = render_linear(QUAD, FACES, camera(), light=STUDIO_LIGHT[:, :1])
    np.testing.assert_allclose(grey.color, clay.color, atol=1e-6)


def test_texture_needs_uv():
    with pytest.raises(ValueError, match="uv"):
        render_linear(QUAD, FACES, camera(), texture=np.zeros((4, 4, 3)))


def test_transfer_function_round_trip():
    codes = np.arange(256, dtype=np.uint8)
    linear = linear_from_srgb(codes)
    np.testing.assert_allclose(srgb_from_linear(linear) * 255, codes, atol=1e-3)
    np.testing.assert_allclose(linear_from_srgb(codes / 255.0), linear, atol=1e-7)
    np.testing.assert_allclose(linear[128], 0.2158605, atol=1e-6)  # sRGB's middle grey


def test_a_cavity_keeps_what_its_walls_reflect():
    colors = np.tile([0.2, 0.5, 0.8], (4, 1))
    open_quarter = render_linear(QUAD, FACES, camera(), colors=colors, openness=np.full(4, 0.25)).color[15, 20]
    bounces = colors[0] * 0.25 * sum((colors[0] * 0.75) ** number for number in range(200))
    np.testing.assert_allclose(open_quarter, bounces, rtol=1e-4)
    np.testing.assert_allclose(
        render_linear(QUAD, FACES, camera(), colors=colors, openness=np.ones(4)).color[15, 20], colors[0], rtol=1e-4
    )
