"""Packed images: the albedo and the photos, as the files that they came as."""

from __future__ import annotations

import bpy
import numpy as np


def packed_image(name: str, data: bytes) -> bpy.types.Image:
    """A new image whose file is ``data``, inside the .blend. Nothing is decoded before somebody looks at it."""
    image = bpy.data.images.new(name, 1, 1)
    replace_packed(image, data)
    return image


def replace_packed(image: bpy.types.Image, data: bytes) -> None:
    """Let ``image`` hold another file; whoever uses it shows the new one."""
    image.pack(data=data, data_len=len(data))
    image.source = "GENERATED"  # so that the next line lets go of the pixels of the earlier file
    image.source = "FILE"


def file_bytes(image: bpy.types.Image) -> bytes | None:
    """The file behind an image as it was packed or as it lies on the disk; None when it is gone."""
    if image.packed_file is not None:
        return bytes(image.packed_file.data)
    try:
        with open(bpy.path.abspath(image.filepath, library=image.library), "rb") as file:
            return file.read()
    except OSError:
        return None


def picture_pixels(image: bpy.types.Image) -> np.ndarray:
    """(H, W, 3) float32 of the picture as it is stored, row 0 at v = 0."""
    flat = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(flat)
    return flat.reshape(image.size[1], image.size[0], image.channels)[..., :3]
