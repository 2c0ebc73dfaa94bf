"""The named buffers of a message, checked against their descriptions in the header; previews and results of transfers
(docs/protocol.md).
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import AddonError
from ..shared.message import FLOATS, HEAD_METRES, INTS, LENGTHS, ArrayField
from .clips import ExpressionClip, parse_json

DTYPES = (FLOATS, INTS)
MOST_BUFFERS = 256
MOST_PIXELS_A_SIDE = 16_384
MOST_BYTES = 2**30
"""Per buffer."""
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


def is_number(value: Any) -> bool:
    """Whether a value of a header is a finite number; JSON's integers may exceed any float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


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

    def entry(self, entry: Any, fields: Mapping[str, ArrayField], what: str, **lengths: int) -> dict[str, Any]:
        """The arrays that ``fields`` declares, of an entry of the header, after checking shapes and numbers.

        None for an optional one that is missing. ``what`` : the entry's name in a sentence. ``lengths`` : known ones.
        """
        arrays: dict[str, Any] = {}
        for name, field in fields.items():
            if field.optional and isinstance(entry, Mapping) and entry.get(name) is None:
                arrays[name] = None
                continue
            values = self.array(checked_field(entry, name, str), field.dtype, [None] * len(field.shape))
            for wanted, length in zip(field.shape, values.shape, strict=True):
                least, most = LENGTHS.get(wanted, (0, MOST_BYTES))
                if length != (lengths.setdefault(wanted, length) if isinstance(wanted, str) else wanted):
                    raise malformed(f"{name} of {what} has another length than it should")
                if not least <= length <= most:
                    raise malformed(f"{name} of {what} has {length} rows")
            arrays[name] = values
        for name, field in fields.items():
            values = arrays[name]
            high = lengths[field.high] - 1 if isinstance(field.high, str) else field.high
            fits = values is None or not values.size or (values.min() >= field.low and values.max() <= high)
            if not fits:  # fails for NaN, too
                raise malformed(f"a number of {name} of {what} is not finite or outside of its limits")
        return arrays

    def picture(self, name: str, most_pixels_a_side: int = MOST_PIXELS_A_SIDE) -> bytes:
        """The PNG file called ``name``, whose size is checked against the file's own header."""
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
        return data

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


TRANSFER = "transfer"
RESULT_VERSION = 1


def decode_expression(header: Mapping[str, Any], buffers: Sequence[bytes]) -> ExpressionClip:
    """Decode a ``result`` whose ``kind`` is ``transfer``.

    Raises ``AddonError`` ``malformed``, or ``bad_clip`` for a file of a later version.
    """
    if checked_field(header, "version", int) != RESULT_VERSION:
        raise malformed("it has another version")
    named = NamedBuffers(checked_field(header, "buffers", list), buffers)
    try:
        return parse_json(str(named.file("expression", "application/json"), "utf-8"))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise malformed("it holds no expressions") from error


@dataclass(frozen=True)
class Preview:
    """Preview of the head in progress.

    Attributes
    ----------
    vertices : (V, 3) float32 neutral, head frame.
    quads : (F, 4) int32, a triangle repeats its last vertex.
    """

    vertices: np.ndarray
    quads: np.ndarray


def decode_preview(header: Mapping[str, Any], buffers: Sequence[bytes]) -> Preview:
    """Check and decode a ``preview`` message; the arrays are views of the buffers.

    Raises ``AddonError`` with code ``malformed`` and one sentence.
    """
    named = NamedBuffers(checked_field(header, "buffers", list), buffers)
    vertices = named.array("vertices", "<f4", (None, 3))
    quads = named.array("quads", "<i4", (None, 4))
    if len(vertices) > 200_000 or len(quads) > 400_000:
        raise malformed("the preview's mesh is too large")
    if vertices.size and not np.abs(vertices).max() <= HEAD_METRES:
        raise malformed("a number of the preview is not finite or far too large")
    if quads.size and (quads.min() < 0 or quads.max() >= len(vertices)):
        raise malformed("a face of the preview points outside of its vertices")
    return Preview(vertices, quads)
