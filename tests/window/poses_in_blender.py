"""Keys and pose assets in a window, from Blender's default scene: save an expression, reset, put it on again, undo,
reopen the file, the Asset Browser; sliders of the active mesh and their keyframes. Told by ``in_blender.py``; needs
``message.npz`` as the armature does.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import bpy
import numpy as np
from armature_in_blender import TITLE_BELOW_TOP
from saved_head_in_blender import begun, choose, head

Story = Generator[float, None, None]
SMILE = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "jawOpen": 0.25, "browInnerUp": 0.6}


def values() -> dict[str, float]:
    """The keys that are not 0."""
    blocks = head().data.shape_keys.key_blocks[1:]
    return {block.name: round(block.value, 3) for block in blocks if abs(block.value) > 1e-4}


def story(tools: Any) -> Story:
    ops = bpy.ops.likeness
    yield from begun(tools)
    choose(head())
    tools.addon("ui.redraw").push_undo("Head", bpy.context.scene)
    yield 2.0

    sliders = bpy.context.scene.likeness_keys  # the panel's, both sides at once; that of a single key is Blender's own
    sliders.mouthSmile, sliders.jawOpen = 0.9, 0.25
    head().data.shape_keys.key_blocks["browInnerUp"].value = 0.6
    assert values() == SMILE, values()
    window, _, region = tools.view3d()
    x, y = region.x + region.width // 2, region.y + region.height // 2
    window.event_simulate(type="MOUSEMOVE", value="NOTHING", x=x, y=y)
    yield 0.5
    tools.call(ops.save_pose_asset, "INVOKE_DEFAULT", True, name="Smile")
    yield 1.0
    tools.screenshot("1_name")
    tools.press("RET", x, y)
    yield 1.0
    pose = bpy.data.actions.get("Smile")
    assert pose is not None and pose.asset_data is not None, [action.name for action in bpy.data.actions]
    assert values() == SMILE and head().data.shape_keys.animation_data is None, "saving animates nothing"

    tools.call(ops.reset_keys, "EXEC_DEFAULT", True)
    yield 0.5
    assert values() == {}
    tools.call(ops.apply_pose_asset, "EXEC_DEFAULT", True, pose="Smile")
    yield 1.0
    assert values() == SMILE
    yield from in_the_panel(tools)
    tools.call(bpy.ops.ed.undo)
    yield 1.0
    assert values() == {}, "one undo takes the pose off"
    tools.call(ops.apply_pose_asset, "EXEC_DEFAULT", True, pose="Smile", factor=0.5)
    yield 0.5
    assert abs(values()["mouthSmileLeft"] - 0.45) < 1e-3, "half way"

    target = str(tools.HERE / "poses.blend")
    tools.call(ops.reset_keys, "EXEC_DEFAULT", True)
    tools.call(bpy.ops.wm.save_as_mainfile, filepath=target)
    tools.call(bpy.ops.wm.open_mainfile, filepath=target)
    yield 2.0
    assert values() == {}
    tools.call(ops.apply_pose_asset, "EXEC_DEFAULT", True, pose="Smile")
    yield 1.0
    assert values() == SMILE, "the file keeps the pose"
    yield from asset_browser(tools)
    yield from copied_and_keyed(tools)


def in_the_panel(tools: Any) -> Story:
    """Face Keys with the pose below its sliders, the panels above it put away."""
    panels = tools.addon("ui.panel")
    above = (panels.MainPanel, panels.OptionsPanel, panels.HeadPanel)
    for panel in reversed(above):
        bpy.utils.unregister_class(panel)
    tools.addon("ui.redraw").everything()
    yield 1.0
    sidebar = next(region for region in tools.view3d()[1].regions if region.type == "UI")
    tools.press("LEFTMOUSE", sidebar.x + sidebar.width // 3, sidebar.y + sidebar.height - TITLE_BELOW_TOP)
    yield 1.5
    tools.screenshot("2_pose_on")
    for panel in above:
        bpy.utils.register_class(panel)


def asset_browser(tools: Any) -> Story:
    """The pose stands among the file's assets, and is put on from there."""
    tools.call(bpy.ops.likeness.reset_keys, "EXEC_DEFAULT", True)
    window = bpy.context.window_manager.windows[0]
    area = min((a for a in window.screen.areas if a.type != "VIEW_3D"), key=lambda a: -a.height * a.width)
    area.ui_type = "ASSETS"
    yield 1.0
    area.spaces.active.params.asset_library_reference = "LOCAL"
    yield 2.0
    region = next(region for region in area.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.file.select_all(action="SELECT")
    yield 1.0
    with bpy.context.temp_override(window=window, area=area, region=region):
        shown = [asset.name for asset in bpy.context.selected_assets]
        assert shown == ["Smile"], shown
        bpy.ops.likeness.apply_pose_asset("EXEC_DEFAULT", True, pose=shown[0])
    yield 1.0
    assert values() == SMILE
    tools.screenshot("3_asset_browser")


def copied_and_keyed(tools: Any) -> Story:
    """Sliders move the mesh that is active, and show that they are animated and where their keyframes are."""
    original = head()
    other = original.copy()
    other.data = original.data.copy()
    bpy.context.collection.objects.link(other)
    other.location.x += 0.3
    for mesh, value in ((other, 0.7), (original, 0.2)):
        choose(mesh)
        bpy.context.scene.likeness_keys.mouthSmile = value
        yield 0.5
    smiles = [mesh.data.shape_keys.key_blocks["mouthSmileLeft"].value for mesh in (other, original)]
    assert np.allclose(smiles, (0.7, 0.2)), smiles
    panels = tools.addon("ui.keys_panel")
    curves = tools.addon("transfer.actions").animated_keys
    names, signs = ("mouthSmileLeft", "mouthSmileRight"), []
    tools.open_panels("KeysPanel")
    tools.show_sidebar()
    for frame in (3, 4):
        bpy.context.scene.frame_set(frame)
        if frame == 3:
            tools.call(bpy.ops.likeness.keyframe_keys, "EXEC_DEFAULT", True, names=" ".join(names))
        tools.addon("ui.redraw").everything()
        yield 1.5
        signs.append(panels._keyframe_icon(dict(curves(original.data.shape_keys)), names, frame))
        tools.screenshot(f"4_keyframe_at_{frame}")
    assert signs == ["DECORATE_KEYFRAME", "DECORATE_ANIMATE"], signs
