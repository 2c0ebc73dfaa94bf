"""The pictures of the 52 keys in the panel: each has its own, none stays behind."""

from __future__ import annotations

import itertools
from pathlib import Path
from unittest.mock import MagicMock

import bpy
import numpy as np
import pytest
from blender_addon.shared.names import ARKIT_NAMES
from blender_addon.shared.options import HAIR_STYLES
from instant_backend import Backend

from blender_addon.ui import panel, pictures

NAMES = sorted(ARKIT_NAMES)


def shown(name: str) -> np.ndarray:
    """(64, 64, 4) of 0 to 1, from the bottom: a key's picture as Blender has it."""
    picture = pictures._pictures[name]
    pixels = np.empty(64 * 64 * 4, np.float32)
    assert tuple(picture.image_size) == (64, 64)
    picture.image_pixels_float.foreach_get(pixels)
    return pixels.reshape(64, 64, 4)


def test_every_key_has_a_picture_of_its_own(backend: Backend) -> None:
    pictures = {name: shown(name) for name in NAMES}
    assert len(pictures) == 52 and all(picture[..., :3].std() > 0.03 for picture in pictures.values())
    for one, other in itertools.combinations(NAMES, 2):
        assert np.abs(pictures[one] - pictures[other]).mean() > 0.004, (one, other)


def test_hairstyles_are_chosen_from_pictures(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has one of its own and a button below it that grows the hair."""
    names = [style.name for style in HAIR_STYLES]
    for one, other in itertools.combinations(names, 2):
        assert np.abs(shown(one) - shown(other)).mean() > 0.002, (one, other)
    monkeypatch.setattr(panel, "picture_icon", lambda name: names.index(name) + 1)
    layout = MagicMock()
    panel.HairStyles.draw(MagicMock(layout=layout, bl_label=""), bpy.context)
    assert len(names) <= 7 * layout.grid_flow.call_args.kwargs["columns"], "seven rows are as high as a window"
    cell = layout.grid_flow.return_value.column.return_value
    assert [call.args[0] for call in cell.template_icon.call_args_list] == list(range(1, len(names) + 1))
    assert [call.kwargs["text"] for call in cell.operator.call_args_list] == [style.label for style in HAIR_STYLES]
    assert {call.args[0] for call in cell.operator.call_args_list} == {"likeness.change_hair"}


def test_the_head_in_progress_is_as_the_backend_drew_it(backend: Backend) -> None:
    path = Path(bpy.app.tempdir, "likeness_preview.png")
    for png in (b"first", b"second"):
        pictures.preview_icon(png)
        assert path.read_bytes() == png and str(path) in pictures._photos


def test_pictures_are_freed_with_the_extension(backend: Backend) -> None:
    kept, images = pictures._pictures, len(bpy.data.images)
    assert len(kept) == 52 + len(HAIR_STYLES)
    pictures.unregister()
    assert len(kept) == 0 and pictures._pictures is None and pictures.picture_icon("jawOpen") == 0
    pictures.unregister()  # twice does no harm
    pictures.register()
    assert len(pictures._pictures) == 52 + len(HAIR_STYLES) and len(bpy.data.images) == images
