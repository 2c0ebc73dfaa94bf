"""Arrays and pictures as the buffers of a message, with their entries in its header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.message import FLOATS, INTS, ArrayField
from protocol.photo_folder import png_bytes

PNG = "image/png"
DTYPES: Mapping[str, np.dtype] = {name: np.dtype(name) for name in (FLOATS, INTS)}
"""Names of types in a message -> little-endian types."""


@dataclass(frozen=True)
class WireMessage:
    """A header of JSON types, and the buffers described by its ``buffers``, in order."""

    header: dict[str, Any]
    buffers: tuple[bytes, ...]


class BufferList:
    """Collects buffers and their entries in the header. An entry has a name; of an array also ``dtype`` and
    ``shape``; of a file ``media_type`` and ``bytes``, its length; of an image ``width`` and ``height``, too."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.buffers: list[bytes] = []

    def add_array(self, name: str, array: np.ndarray, dtype: str) -> str:
        """Append an array, converted to ``dtype``, little-endian and C-contiguous; returns ``name``."""
        array = np.ascontiguousarray(array, DTYPES[dtype])
        self.entries.append({"name": name, "dtype": dtype, "shape": list(array.shape)})
        self.buffers.append(array.tobytes())
        return name

    def add_arrays(self, name: str, values: Mapping[str, Any], fields: Mapping[str, ArrayField]) -> dict[str, Any]:
        """Append those arrays of ``values`` that ``fields`` declares, as ``name.field``; returns field -> name of its
        buffer, or None for a value that is None."""
        return {
            field: None if values[field] is None else self.add_array(f"{name}.{field}", values[field], one.dtype)
            for field, one in fields.items()
        }

    def add_picture(self, name: str, pixels: np.ndarray) -> str:
        """Append pixels as ``png_bytes`` takes them; returns ``name``."""
        return self.add_file(name, png_bytes(pixels), PNG, (pixels.shape[1], pixels.shape[0]))

    def add_file(self, name: str, data: bytes, media_type: str, size: tuple[int, int] | None = None) -> str:
        """Append a file's bytes, with (width, height) for an image; returns ``name``."""
        sides = dict(zip(("width", "height"), size or (), strict=False))
        self.entries.append({"name": name, "media_type": media_type, **sides, "bytes": len(data)})
        self.buffers.append(data)
        return name

    def extend(self, more: BufferList) -> None:
        """Append another list's buffers."""
        self.entries += more.entries
        self.buffers += more.buffers

    def message(self, header: Mapping[str, Any]) -> WireMessage:
        """The header with ``buffers`` added, and the buffers."""
        return WireMessage({**header, "buffers": self.entries}, tuple(self.buffers))
