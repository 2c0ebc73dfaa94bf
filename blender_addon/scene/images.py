"""Packed images: albedo and photos, stored as their original files."""

from __future__ import annotations

import bpy
import numpy as np


def packed_image(name: str, data: bytes) -> bpy.types.Image:
    """A new image with the file ``data`` packed into the .blend. It is decoded only when it is displayed."""
    image = bpy.data.images.new(name, 1, 1)
    replace_packed(image, data)
    return image


def replace_packed(image: bpy.types.Image, data: bytes) -> None:
    """Replace the packed file of ``image``; all users show the new one."""
    image.pack(data=data, data_len=len(data))
    image.source = "GENERATED"  # makes the next line drop the pixels of the old file
    image.source = "FILE"


def file_bytes(image: bpy.types.Image) -> bytes | None:
    """The image's packed file, or the file on disk; None if it is gone."""
    if image.packed_file is not None:
        return bytes(image.packed_file.data)
    try:
        with open(bpy.path.abspath(image.filepath, library=image.library), "rb") as file:
            return file.read()
    except OSError:
        return None


def picture_pixels(image: bpy.types.Image) -> np.ndarray:
    """(H, W, 3) float32 pixels as stored, row 0 at v = 0."""
    flat = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(flat)
    return flat.reshape(image.size[1], image.size[0], image.channels)[..., :3]
