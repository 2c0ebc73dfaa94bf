"""The ``result`` of a transfer: the content of ``expression.json`` (docs/protocol.md, docs/expressions.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..transfer.clips import ExpressionClip, parse_json
from .buffers import NamedBuffers, checked_field, malformed

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
