"""How a 3D View shows a head that has arrived."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("bpy")
pytestmark = pytest.mark.blender

from blender_addon.scene.cameras import EVEN_LIGHT, free_span, into_span, show_albedo  # noqa: E402


@pytest.fixture
def shading(bpy):
    """Of a 3D View as Blender comes."""
    bpy.ops.wm.read_factory_settings()
    areas = (area for screen in bpy.data.screens for area in screen.areas if area.type == "VIEW_3D")
    return next(areas).spaces.active.shading


def test_a_fresh_view_shows_the_texture_in_even_light(shading) -> None:
    assert (shading.type, shading.color_type, shading.light) == ("SOLID", "MATERIAL", "STUDIO")
    show_albedo(shading)
    assert (shading.color_type, shading.light, shading.studio_light) == ("TEXTURE", "STUDIO", EVEN_LIGHT)
    assert not shading.show_object_outline, "no line across the neck"
    shading.show_object_outline = True
    show_albedo(shading)
    assert shading.show_object_outline, "an artist's choice stays"


@pytest.mark.parametrize(
    ("name", "chosen"),
    [("type", "WIREFRAME"), ("color_type", "OBJECT"), ("light", "FLAT"), ("studio_light", "rim.sl")],
)
def test_what_the_artist_chose_stays(shading, name: str, chosen: str) -> None:
    setattr(shading, name, chosen)
    before = shading.color_type
    show_albedo(shading)
    assert getattr(shading, name) == chosen
    assert shading.color_type == ("TEXTURE" if name in ("light", "studio_light") else before)


def test_solid_goes_to_material_preview_and_back_to_the_texture(shading) -> None:
    show_albedo(shading, material_preview=True)
    assert shading.type == "MATERIAL"
    shading.type = "SOLID"
    assert (shading.color_type, shading.studio_light) == ("TEXTURE", EVEN_LIGHT)


def region(kind: str, x: int, width: int) -> SimpleNamespace:
    return SimpleNamespace(type=kind, x=x, width=width)


def test_toolbar_and_sidebar_leave_the_middle_free() -> None:
    view = region("WINDOW", 100, 900)
    beside = [region("HEADER", 100, 900), region("TOOLS", 100, 50), region("UI", 720, 280), view]
    assert free_span(view, beside) == (50, 620)
    assert free_span(view, [region("UI", 100, 280), region("TOOLS", 950, 50)]) == (280, 850), "flipped to other sides"
    assert free_span(view, [region("TOOLS", 100, 1), region("UI", 999, 1)]) == (0, 900), "hidden"
    assert free_span(view, [region("TOOLS", 50, 50), region("UI", 1000, 280)]) == (0, 900), "next to the view"
    assert free_span(view, [region("TOOLS", 100, 440), region("UI", 500, 500)]) == (0, 900), "nothing is left"


@pytest.mark.parametrize(("wide", "now"), [(300.0, 300.0), (900.0, 570.0)])
def test_a_photo_comes_between_toolbar_and_sidebar_and_is_no_wider(wide: float, now: float) -> None:
    """By Blender's formulas: the frame grows with (sqrt 2 + zoom / 50)^2; the offset counts in double widths."""
    zoom, offset = into_span(10.0, wide, 900, (50, 620))
    grown, factor = (((2**0.5 + one / 50.0) ** 2 / 4.0) for one in (10.0, zoom))
    assert wide * factor / grown == pytest.approx(now)
    assert 450.0 - 2.0 * 900 * offset * factor == pytest.approx((50 + 620) / 2.0)
    assert into_span(10.0, 300.0, 900, (0, 900)) == pytest.approx((10.0, 0.0)), "nothing covers the view"
