"""What no format holds and a program needs: wrinkle maps that follow the keys, and settings of the importer."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..scene.materials import WRINKLES, file_bytes, skin_material, strength_socket, wrinkles_of
from .presets import ExportPreset

CHANNELS = ("red", "green", "blue")


def write_beside(head: bpy.types.Object, preset: ExportPreset, path: Path) -> None:
    """Write ``NAME_wrinkles_1.png`` and so on, and ``NAME.txt`` beside the exported file ``path``. Without wrinkles and
    advice nothing is written. Raises ``OSError``."""
    material = skin_material(head)
    maps, groups, reach = ([], [], 0.0) if material is None else wrinkles_of(material)
    names = [f"{path.stem}_wrinkles_{number + 1}.png" for number in range(len(maps))]
    lines = [f"{path.name}: {preset.label}", ""] + [f"- {sentence}" for sentence in preset.advice]
    for name, image in zip(names, maps, strict=True):
        path.with_name(name).write_bytes(file_bytes(image) or b"")
    if maps:
        strength = strength_socket(material, WRINKLES)
        factor = 1.0 if strength is None else strength.default_value
        lines += [
            "",
            "Wrinkles: 16-bit heights in the skin's UV map, linear, to be added to its normals or displacement.",
            f"- Millimetres outwards = (value / 65536 - 0.5) * {2.0 * reach * factor:.4g} * weight.",
            "- Weight = the largest value of a group's keys; those that end in Left or Right act on that side only.",
        ]
        for group, keys, number, channel in groups:
            lines.append(f"- {group}: {names[number]}, {CHANNELS[channel]}: {', '.join(keys)}")
    if maps or preset.advice:
        path.with_suffix(".txt").write_text("\n".join(lines) + "\n", "utf-8")
