"""The panels beside a finished head: what is in them, once, and above what may be long."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

bpy = pytest.importorskip("bpy")
import bmesh  # noqa: E402

sys.path[:0] = [str(Path(__file__).parent / "scene"), str(Path(__file__).parent)]
from instant_backend import Backend  # noqa: E402

from blender_addon.objects import tags  # noqa: E402
from blender_addon.protocol.result import HeadResult  # noqa: E402
from blender_addon.scene.importing import import_head  # noqa: E402
from blender_addon.ui.panel import HEAD_PANELS, FeaturesPanel, MainPanel, OptionsPanel, ShapePanel  # noqa: E402
from blender_addon.ui.transfer_panel import ExpressionPanel  # noqa: E402

pytestmark = pytest.mark.blender


def buttons() -> list[str]:
    """Operators of all panels, from top to bottom."""
    layout = MagicMock()
    for panel in (MainPanel, *HEAD_PANELS, ExpressionPanel):
        if getattr(panel, "poll", lambda context: True)(bpy.context):
            panel.draw(MagicMock(layout=layout), bpy.context)
    return [call.args[0] for call in layout.mock_calls if call[0].endswith("operator")]


class Rows:
    """A layout that counts its height, in rows of one button: what stands in a row counts as its highest part."""

    def __init__(self, place: Rows | None = None, beside: bool = False) -> None:
        self.top = place
        self.beside, self.height, self.parts, self.scale_y = beside, 0.0, [], 1.0
        self.ends: dict[str, float] = {} if place is None else place.ends
        self.start = 0.0 if place is None else place.end

    @property
    def end(self) -> float:
        """Where the next part begins, in rows from the panel's top."""
        return self.start + sum(self.heights)

    @property
    def heights(self) -> list[float]:
        own = [self.scale_y * (sum(part.heights) if isinstance(part, Rows) else part) for part in self.parts]
        return [max(own, default=0.0)] if self.beside else own

    def put(self, height: float) -> MagicMock:
        self.parts.append(height)
        return MagicMock()

    def inside(self, beside: bool) -> Rows:
        self.parts.append(Rows(self, beside))
        return self.parts[-1]

    def row(self, **_: object) -> Rows:
        return self.inside(beside=True)

    def column(self, **_: object) -> Rows:
        return self.inside(beside=False)

    box = column

    def operator(self, name: str, **_: object) -> MagicMock:
        made = self.put(1.0)
        self.ends[name] = self.end
        return made

    def prop(self, *_: object, **__: object) -> MagicMock:
        return self.put(1.0)

    def split(self, **_: object) -> Rows:
        return self.inside(beside=True)

    operator_menu_enum = popover = label = prop

    def separator(self) -> None:
        self.put(0.5)

    def template_list(self, *_: object, maxrows: int, **__: object) -> None:
        self.put(maxrows + 1.0)  # and the grip below

    def template_icon(self, scale: float, **_: object) -> None:
        self.put(scale)


SIDEBAR_PIXELS = 725
"""Height of the sidebar in a window of 900 pixels."""
ROW_PIXELS = 24
"""Of a button and the gap below it, at interface scale 1 (20 and at most 4); a panel's header is as high."""


def test_both_buttons_are_near_the_top_of_the_tab_with_eight_photos_and_a_head(
    backend: Backend, result: HeadResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon import text
    from blender_addon.ui import panel

    chosen = SimpleNamespace(system=SimpleNamespace(ui_scale=1.0))
    narrow = SimpleNamespace(region=SimpleNamespace(width=240), preferences=chosen)  # a sidebar as it opens, in pixels
    monkeypatch.setattr(text, "bpy", SimpleNamespace(context=narrow))
    monkeypatch.setattr(panel, "photo_icon", lambda path: 7)
    monkeypatch.setattr(panel, "_backend_problem", lambda context: None)
    for number in range(7):
        (tmp_path / f"{number}.jpg").write_bytes(b"\xff\xd8")
        bpy.ops.likeness.add_photos(directory=str(tmp_path), files=[{"name": f"{number}.jpg"}])
    listed = bpy.context.scene.likeness
    assert len(listed.photos) == 8
    import_head(eight(result), bpy.context)
    for photo in listed.photos:
        photo.status, photo.landmark_error, photo.reason = "USED", 1.2, "Its light differs from the other photos'."
    layout = Rows()
    for drawn in (MainPanel, *HEAD_PANELS):
        layout.put(1.0)  # the panel's header
        drawn.draw(MagicMock(layout=layout), bpy.context)
    first, second = (layout.ends[f"likeness.{name}"] for name in ("reconstruct", "solve_again"))
    assert layout.ends["likeness.add_photos"] > 5 and layout.ends["likeness.apply_to_mpfb"] > second  # it does count
    assert first + 1 == pytest.approx(second) and second * ROW_PIXELS < 600


def test_a_window_of_900_pixels_shows_photos_buttons_and_any_one_sub_panel(
    backend: Backend, result: HeadResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the head's sub-panels start closed; opened, each ends above the window's lower edge."""
    from blender_addon import text
    from blender_addon.ui import panel

    chosen = SimpleNamespace(system=SimpleNamespace(ui_scale=1.0))
    monkeypatch.setattr(text, "bpy", SimpleNamespace(context=SimpleNamespace(region=None, preferences=chosen)))
    monkeypatch.setattr(panel, "photo_icon", lambda path: 7)
    monkeypatch.setattr(panel, "_backend_problem", lambda context: None)
    import_head(result, bpy.context)
    photo = bpy.context.scene.likeness.photos[0]
    photo.status, photo.head, photo.landmark_error = "USED", tags.head_collections()[0]["likeness_id"], 1.2
    for opened in HEAD_PANELS[1:]:
        assert "DEFAULT_CLOSED" in opened.bl_options
        layout = Rows()
        for drawn in (MainPanel, HEAD_PANELS[0], opened):
            drawn.draw(MagicMock(layout=layout), bpy.context)
        headers = len({MainPanel, OptionsPanel, *HEAD_PANELS, *([FeaturesPanel] if opened is ShapePanel else [])})
        assert (layout.end + headers) * ROW_PIXELS < SIDEBAR_PIXELS, opened.bl_label


def test_options_are_below_the_buttons_and_closed(backend: Backend, result: HeadResult) -> None:
    assert OptionsPanel.bl_parent_id == MainPanel.bl_idname and "DEFAULT_CLOSED" in OptionsPanel.bl_options
    import_head(result, bpy.context)
    layout = MagicMock()
    MainPanel.draw(MagicMock(layout=layout), bpy.context)
    assert [call.args[1] for call in layout.mock_calls if call[0].endswith("prop")][-2:] == ["person_name", "quality"]


def test_solving_again_is_offered_once_and_only_with_a_head(backend: Backend, result: HeadResult) -> None:
    assert buttons().count("likeness.solve_again") == 0 and buttons().count("likeness.reconstruct") == 1
    import_head(result, bpy.context)
    assert buttons().count("likeness.solve_again") == buttons().count("likeness.reconstruct") == 1


def eight(result: HeadResult) -> HeadResult:
    """As of eight photos."""
    return replace(result, photos=tuple(replace(result.photos[0], name=f"{number}.jpg") for number in range(8)))


def test_neutral_is_there_once_with_a_head_and_without(backend: Backend, result: HeadResult) -> None:
    neutral = {"likeness.reset_selected", "likeness.reset_expression"}
    assert len([name for name in buttons() if name in neutral]) == 1
    import_head(result, bpy.context)
    assert len([name for name in buttons() if name in neutral]) == 1


def test_many_photos_push_no_button_down(backend: Backend, result: HeadResult) -> None:
    import_head(eight(result), bpy.context)
    drawn = buttons()
    first = drawn.index("likeness.look_through")
    assert drawn.count("likeness.look_through") == 8
    assert {"likeness.solve_again", "likeness.apply_to_mpfb", "likeness.leave_photo"} <= set(drawn[:first])


def test_the_photo_list_scrolls(backend: Backend) -> None:
    layout = MagicMock()
    MainPanel.draw(MagicMock(layout=layout), bpy.context)
    (listed,) = [call for call in layout.mock_calls if call[0].endswith("template_list")]
    assert listed.kwargs["rows"] == listed.kwargs["maxrows"] == 4


def test_neutral_leaves_an_artists_own_key_and_finds_the_only_head(backend: Backend, result: HeadResult) -> None:
    head = tags.part_object(import_head(result, bpy.context), "head")
    head.shape_key_add(name="longer nose").value = 0.5
    keys = head.data.shape_keys.key_blocks
    for chosen in (True, False):
        keys["jawOpen"].value = 0.5
        head.select_set(chosen)
        bpy.context.view_layer.objects.active = head if chosen else None
        assert bpy.ops.likeness.reset_selected() == {"FINISHED"}
        assert keys["jawOpen"].value == 0 and keys["longer nose"].value == 0.5


def test_skin_is_locked_by_a_sculpt_or_a_selection(backend: Backend, result: HeadResult) -> None:
    from blender_addon.scene.expressions import lock_weights

    head = tags.part_object(import_head(result, bpy.context), "head")
    assert "likeness.lock_skin" not in buttons()
    with pytest.raises(RuntimeError, match="This head has not been sculpted"):
        bpy.ops.likeness.lock_skin()
    head.data.shape_keys.reference_key.points[500].co.z += 0.004
    assert "likeness.lock_skin" in buttons()
    bpy.ops.likeness.lock_skin()
    assert lock_weights(head)[500] == 1.0
    bpy.ops.likeness.unlock_skin()
    assert lock_weights(head) is None
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="DESELECT")
    edited = bmesh.from_edit_mesh(head.data)
    edited.verts.ensure_lookup_table()
    edited.verts[7].select_set(True)
    bmesh.update_edit_mesh(head.data)
    assert bpy.ops.likeness.lock_skin() == {"FINISHED"} and head.mode == "EDIT"
    bpy.ops.object.mode_set(mode="OBJECT")
    assert set(lock_weights(head).nonzero()[0]) == {7}
