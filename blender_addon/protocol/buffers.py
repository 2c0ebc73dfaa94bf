"""The named buffers of a message, checked against their descriptions in the header; previews and results of transfers
(docs/protocol.md).
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import AddonError
from ..shared.message import LENGTHS, ArrayField
from .clips import ExpressionClip, parse_json

MOST_PIXELS_A_SIDE = 16_384
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FAULTS = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError)
"""What reading a header raises where something is missing or of another kind."""


def malformed(reason: str) -> AddonError:
    """The error for a message that violates docs/protocol.md; ``reason`` is half a sentence."""
    return AddonError(
        f"The backend's answer cannot be used: {reason}.",
        "Check that the extension and the backend have the same version, and repair the backend.",
        "malformed",
    )


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raise ``AddonError`` ``malformed`` where reading a header fails; ``what`` the message is."""
    try:
        yield
    except _FAULTS as error:
        fault = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise malformed(f"something in {what} is missing or of the wrong kind ({fault})") from error


class NamedBuffers:
    """The buffers of one message.

    Parameters
    ----------
    descriptions : the header's ``buffers``.
    buffers : the frames after the header.

    Raises
    ------
    AddonError : ``malformed`` if numbers, names or sizes do not match.
    """

    def __init__(self, descriptions: Sequence[Any], buffers: Sequence[Any]) -> None:
        self._found: dict[str, tuple[Mapping[str, Any], memoryview]] = {}
        for description, buffer in zip(descriptions, buffers, strict=True):
            view = memoryview(buffer).cast("B")
            shape = description.get("shape", ())
            if not all(type(length) is int and length >= 0 for length in shape):
                raise malformed("an array has an impossible shape")
            if view.nbytes != (4 * math.prod(shape) if "dtype" in description else description["bytes"]):
                raise malformed("a buffer does not have the size that the header says")
            self._found[description["name"]] = description, view
        if len(self._found) != len(buffers):
            raise malformed("two buffers have the same name")

    def entry(self, entry: Any, fields: Mapping[str, ArrayField], what: str, **lengths: int) -> dict[str, Any]:
        """The arrays that ``fields`` declares, of an entry of the header, after checking types, shapes and numbers;
        views of the buffers.

        None for an optional one that is missing. ``what`` : the entry's name in a sentence. ``lengths`` : known ones.
        """
        arrays: dict[str, Any] = {}
        for name, field in fields.items():
            if field.optional and entry.get(name) is None:
                arrays[name] = None
                continue
            description, view = self._found[entry[name]]
            if description["dtype"] != field.dtype or len(description["shape"]) != len(field.shape):
                raise malformed(f"{name} of {what} has another type or number of dimensions than it should")
            for wanted, length in zip(field.shape, description["shape"], strict=True):
                least, most = LENGTHS.get(wanted, (0, math.inf))
                if length != (lengths.setdefault(wanted, length) if isinstance(wanted, str) else wanted):
                    raise malformed(f"{name} of {what} has another length than it should")
                if not least <= length <= most:
                    raise malformed(f"{name} of {what} has {length} rows")
            arrays[name] = np.frombuffer(view, field.dtype).reshape(description["shape"])
        for name, field in fields.items():
            values = arrays[name]
            high = lengths[field.high] - 1 if isinstance(field.high, str) else field.high
            fits = values is None or not values.size or (values.min() >= field.low and values.max() <= high)
            if not fits:  # fails for NaN, too
                raise malformed(f"a number of {name} of {what} is not finite or outside of its limits")
        return arrays

    def picture(self, name: str, most_pixels_a_side: int = MOST_PIXELS_A_SIDE) -> bytes:
        """The PNG file called ``name``, whose size is checked against the file's own header."""
        description, view = self._found[name]
        size, data = (description["width"], description["height"]), bytes(view)
        if not 0 < min(size) <= max(size) <= most_pixels_a_side:
            raise malformed("a picture is empty or far too large")
        if data[:8] != PNG_SIGNATURE or len(data) < 33 or struct.unpack(">II", data[16:24]) != size:
            raise malformed("a picture is no PNG file, or has another size than the header says")
        return data

    def file(self, name: str, media_type: str) -> memoryview:
        """The bytes of the file called ``name``."""
        description, view = self._found[name]
        if description.get("media_type") != media_type:
            raise malformed("a file has another type than it should")
        return view


TRANSFER = "transfer"
RESULT_VERSION = 1


def decode_expression(header: Mapping[str, Any], buffers: Sequence[bytes]) -> ExpressionClip:
    """Decode a ``result`` whose ``kind`` is ``transfer``.

    Raises ``AddonError`` ``malformed``, or ``bad_clip`` for a file of a later version.
    """
    with reading("the expressions"):
        if header["version"] != RESULT_VERSION:
            raise malformed("it has another version")
        named = NamedBuffers(header["buffers"], buffers)
        return parse_json(str(named.file("expression", "application/json"), "utf-8"))


def decode_preview(header: Mapping[str, Any], buffers: Sequence[bytes]) -> bytes:
    """The picture of a ``preview`` message, a PNG file. Raises ``AddonError`` ``malformed``."""
    with reading("a preview"):
        return NamedBuffers(header["buffers"], buffers).picture("picture")
