"""Pictures as PNG files, and the tone of a texture and of hair beside the fit's."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from backend.exchange.buffers import png_bytes

sys.path.append(str(Path(__file__).parents[1] / "hair"))
from made_strands import made_strands

from backend.geometry.template import load_template
from backend.pipeline import tone_of_texture
from backend.rendering.color import srgb_bytes
from backend.texture.surface import head_surface, texture_space
from backend.texture.unwrap import beard_region, plain_skin


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_another_reader_sees_the_same_pixels(channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (7, 11, *channels), np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png_bytes(pixels)))) == pixels).all()
    assert png_bytes(pixels) == png_bytes(pixels)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_sixteen_bits_stay_sixteen_bits(channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(2).integers(0, 65536, (5, 4, *channels), np.uint16)
    back = cv2.imdecode(np.frombuffer(png_bytes(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
    assert back.dtype == np.uint16
    assert (back == (pixels[..., ::-1] if channels else pixels)).all()


def test_a_view_into_a_larger_picture_is_written_as_it_looks() -> None:
    large = np.random.default_rng(3).integers(0, 256, (20, 30, 4), np.uint8)
    part = large[3:9, 5:25:2, :3]
    assert (np.asarray(Image.open(io.BytesIO(png_bytes(part)))) == part).all()


def test_the_tone_is_that_of_bare_skin_beside_dark_beards_lids_and_lips() -> None:
    template, size = load_template(), 512
    surface, count = head_surface(template), template.head.vertex_stop
    dark = np.maximum(1.0 - plain_skin(surface)[:count], beard_region(surface, template.vertices[:count]))
    space, albedo = texture_space(template, size), np.zeros((size, size, 3), np.uint8)
    skin = 0.25 * (1.0 - space.skin.sample(surface.lifted(dark[:, None])))
    albedo.reshape(-1, 3)[space.skin.texel] = srgb_bytes(np.repeat(skin, 3, axis=1))
    faces = slice(template.head.face_start, template.head.face_stop)
    uv = {"uv": template.uv_head, "uv_quads": template.uv_head_quads[faces]}
    head = SimpleNamespace(vertices=template.vertices[:count], quads=template.quads[faces], **uv)
    fit = SimpleNamespace(vertex_albedo=np.full((count, 3), 0.5), neutral=template.vertices)
    tone = tone_of_texture(fit, SimpleNamespace(part=lambda name: head, albedo=albedo), template)
    np.testing.assert_allclose(tone, 0.5, rtol=0.05)


def test_hair_is_recoloured_and_stays_an_albedo() -> None:
    strands = made_strands(50)
    darker = strands.recoloured(np.array([0.5, 0.5, 0.25]))
    np.testing.assert_allclose(darker.root_colour, strands.root_colour * [0.5, 0.5, 0.25], rtol=1e-5)
    np.testing.assert_allclose(darker.tip_colour, strands.tip_colour * [0.5, 0.5, 0.25], rtol=1e-5)
    assert strands.recoloured(np.full(3, 1e4)).root_colour.max() == pytest.approx(1.0)
    np.testing.assert_array_equal(darker.points, strands.points)
