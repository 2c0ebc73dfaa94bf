"""The named buffers of a message, checked against their descriptions in the header."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import AddonError

DTYPES = ("<f4", "<i4")
MOST_BUFFERS = 256
MOST_BYTES = 2**30
"""Per buffer."""
MOST_SMALL_PIXELS_A_SIDE = 1024
"""Limit for the small preview copy of a picture; today's have 512."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def malformed(reason: str) -> AddonError:
    """The error for a message that violates docs/protocol.md; ``reason`` is half a sentence."""
    return AddonError(
        f"The backend's answer cannot be used: {reason}.",
        "Check that the extension and the backend have the same version, and repair the backend.",
        "malformed",
    )


def checked_field(entry: Any, name: str, kind: type) -> Any:
    """Return ``entry[name]``, which must have type ``kind`` (a bool is not an int). Raises ``AddonError``
    ``malformed``."""
    if not isinstance(entry, Mapping):
        raise malformed(f"there is something else where {name} should be")
    value = entry.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise malformed(f"{name} is missing or of the wrong kind")
    return value


class NamedBuffers:
    """The buffers of one message.

    Parameters
    ----------
    descriptions : the header's ``buffers``.
    buffers : the frames after the header.

    Raises
    ------
    AddonError : ``malformed`` if numbers, names, types, shapes or sizes do not match.
    """

    def __init__(self, descriptions: Sequence[Any], buffers: Sequence[Any]) -> None:
        if len(descriptions) != len(buffers):
            raise malformed(f"it has {len(buffers)} buffers and describes {len(descriptions)}")
        if len(buffers) > MOST_BUFFERS:
            raise malformed(f"it has {len(buffers)} buffers")
        self._found: dict[str, tuple[Mapping[str, Any], memoryview]] = {}
        for description, buffer in zip(descriptions, buffers, strict=True):
            name = checked_field(description, "name", str)
            view = memoryview(buffer).cast("B")
            if name in self._found:
                raise malformed("two buffers have the same name")
            if not view.nbytes <= MOST_BYTES:
                raise malformed("a buffer is too large")
            if view.nbytes != _described_bytes(description):
                raise malformed("a buffer does not have the size that the header says")
            self._found[name] = (description, view)

    def array(self, name: str, dtype: str, shape: Sequence[int | None]) -> np.ndarray:
        """The array called ``name``, as a view, after checking its dtype and shape (None: any length)."""
        description, view = self._get(name)
        has = description.get("shape")
        if description.get("dtype") != dtype or not isinstance(has, list) or len(has) != len(shape):
            raise malformed("an array has another type or number of dimensions than it should")
        if any(want is not None and want != is_ for want, is_ in zip(shape, has, strict=True)):
            raise malformed("an array has another shape than it should")
        return np.frombuffer(view, dtype).reshape(has)

    def picture(self, name: str, most_pixels_a_side: int) -> tuple[bytes, tuple[int, int]]:
        """The PNG file called ``name`` and its (width, height), checked against the file's own header."""
        description, view = self._get(name)
        width, height = checked_field(description, "width", int), checked_field(description, "height", int)
        if description.get("media_type") != "image/png" or not (
            0 < width <= most_pixels_a_side and 0 < height <= most_pixels_a_side
        ):
            raise malformed("a picture is not a PNG file or far too large")
        data = bytes(view)
        if data[:8] != PNG_SIGNATURE or data[12:16] != b"IHDR" or len(data) < 33:
            raise malformed("a picture is not a PNG file")
        if struct.unpack(">II", data[16:24]) != (width, height):
            raise malformed("a picture has another size than the header says")
        return data, (width, height)

    def file(self, name: str, media_type: str) -> memoryview:
        """The bytes of the file called ``name``."""
        description, view = self._get(name)
        if description.get("media_type") != media_type:
            raise malformed("a file has another type than it should")
        return view

    def _get(self, name: str) -> tuple[Mapping[str, Any], memoryview]:
        if name not in self._found:
            raise malformed("a buffer that the header names is missing")
        return self._found[name]


def _described_bytes(description: Mapping[str, Any]) -> int:
    if "dtype" not in description:
        return checked_field(description, "bytes", int)
    if description["dtype"] not in DTYPES:
        raise malformed("an array has an unknown type")
    shape = checked_field(description, "shape", list)
    if not 1 <= len(shape) <= 4 or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape):
        raise malformed("an array has an impossible shape")
    size = 4
    for n in shape:
        size *= n
    return size
