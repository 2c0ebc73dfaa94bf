"""A photo's mask in a window, from Blender's default scene: paint, clear, take back, give up, keep, undo. Told by
``in_blender.py``; needs ``message.npz`` as the armature does.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import bpy
from saved_head_in_blender import begun

Story = Generator[float, None, None]


def drag(start: tuple[int, int], stop: tuple[int, int], ctrl: bool = False) -> Story:
    """Press the button, go there in steps, let go."""
    window = bpy.context.window_manager.windows[0]
    window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=start[0], y=start[1])
    yield 0.2
    window.event_simulate(type="LEFTMOUSE", value="PRESS", x=start[0], y=start[1], ctrl=ctrl)
    for step in range(1, 9):
        x, y = (round(a + (b - a) * step / 8) for a, b in zip(start, stop, strict=True))
        window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y, ctrl=ctrl)
        yield 0.1
    window.event_simulate(type="LEFTMOUSE", value="RELEASE", x=stop[0], y=stop[1], ctrl=ctrl)
    yield 0.5


def story(tools: Any) -> Story:
    collection = yield from begun(tools)
    name = collection.name
    tools.addon("ui.redraw").push_undo("Head", bpy.context.scene)
    yield 2.0
    corrections = tools.addon("scene.corrections")
    photo = corrections.known_photos(collection)[0]

    def kept() -> Any:
        return corrections.mask_of(bpy.data.collections[name], photo)

    def paint() -> None:
        assert tools.call(bpy.ops.likeness.paint_mask, "INVOKE_DEFAULT", photo=photo) == {"RUNNING_MODAL"}

    _, _, region = tools.view3d()
    x, y = region.x + region.width // 2, region.y + region.height // 2
    head = next(obj for obj in bpy.data.objects if obj.get("likeness_part") == "head")

    paint()
    yield 2.0
    assert head.hide_get(), "the photo is to be seen"
    yield from drag((x - 60, y), (x + 60, y))
    tools.screenshot("1_stroke")
    tools.press("ESC", x, y)
    yield 1.0
    assert kept() is None and not head.hide_get(), "given up: as it was"

    paint()
    yield 1.0
    yield from drag((x - 60, y), (x + 60, y))
    view = tools.view3d()[1].spaces.active.region_3d
    view.view_perspective = "PERSP"  # as orbiting does
    yield from drag((x - 60, y - 60), (x + 60, y - 60))
    view.view_perspective = "CAMERA"
    yield 1.0
    yield from drag((x - 60, y + 60), (x + 60, y + 60))
    window = bpy.context.window_manager.windows[0]
    for value in ("PRESS", "RELEASE"):
        window.event_simulate(type="Z", value=value, x=x, y=y, ctrl=True)
    yield 0.5
    for _ in range(6):
        tools.press("LEFT_BRACKET", x, y)
        yield 0.2
    yield from drag((x, y - 40), (x, y + 40), ctrl=True)
    tools.screenshot("2_cleared")
    tools.press("RET", x, y)
    yield 1.0
    mask = kept()
    assert mask is not None and not head.hide_get()
    cells = tools.addon("scene.corrections").cells_of(mask, (1, 1))
    used = cells.any(0).nonzero()[0]
    assert 0.0 < mask.share < 0.2
    gap = ~cells[:, used[0] : used[-1] + 1].any(0)
    assert gap.any(), "the cleared stroke parts the mask in two"
    assert cells.any(1).sum() < 0.5 * len(used), "the second stroke was taken back"
    tools.figures["mask_share"] = round(mask.share, 4)
    tools.screenshot("3_kept")
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert kept() is None, "one undo takes it away"
