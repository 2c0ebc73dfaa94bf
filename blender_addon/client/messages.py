"""Write and read headers of protocol version 1, and turn them into events. Buffers are handled in ``protocol``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..protocol.buffers import checked_field, malformed
from .events import JobFailed, Limits, Progressed, Queued, Welcomed

PROTOCOL = 1
MOST_HEADER_BYTES = 4 * 2**20
_LARGEST = 1e30  # limit for numbers in a header; JSON integers may exceed any float


def header_frame(header: Mapping[str, Any]) -> bytes:
    """Encode a header as its frame."""
    return json.dumps(header, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def parse_header(frame: bytes) -> dict[str, Any]:
    """Decode a header from its frame. Raises ``AddonError`` ``malformed``."""
    if len(frame) > MOST_HEADER_BYTES:
        raise malformed("its header is too large")
    try:
        header = json.loads(frame.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise malformed("its header is no JSON") from error
    checked_field(header, "type", str)
    return header


def text_of(header: Mapping[str, Any], name: str) -> str:
    """A string of the header, "" if missing or null. Raises ``AddonError`` ``malformed``."""
    return "" if header.get(name) is None else checked_field(header, name, str)


def number_of(header: Mapping[str, Any], name: str) -> float | None:
    """A finite number of the header, None if missing or null. Raises ``AddonError`` ``malformed``."""
    value = header.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:  # NaN fails, too
        raise malformed(f"{name} is not a number")
    return value


def welcomed(header: Mapping[str, Any], instance_before: str | None) -> Welcomed:
    """Event for ``welcome``; ``instance_before`` is the previous connection's, if any."""
    capabilities = checked_field(header, "capabilities", list)
    limits, heartbeat = checked_field(header, "limits", dict), checked_field(header, "heartbeat", dict)
    device, pid = header.get("device"), number_of(header, "pid")
    instance = checked_field(header, "instance", str)
    return Welcomed(
        likeness=text_of(header, "likeness"),
        instance=instance,
        pid=None if pid is None else int(pid),
        device=text_of(device, "kind") if isinstance(device, dict) else "",
        limits=Limits(
            frame_bytes=checked_field(limits, "frame_bytes", int),
            message_bytes=checked_field(limits, "message_bytes", int),
            photos=checked_field(limits, "photos", int),
        ),
        same_server=instance_before in (None, instance),
        ping_seconds=min(max(number_of(heartbeat, "interval_seconds") or 2.0, 0.2), 60.0),
        silence_seconds=min(max(number_of(heartbeat, "silence_seconds") or 15.0, 1.0), 600.0),
        capabilities=frozenset(name for name in capabilities if isinstance(name, str)),
    )


def queued(header: Mapping[str, Any]) -> Queued:
    """Event for ``queued``."""
    return Queued(text_of(header, "token"), int(number_of(header, "position") or 0))


def progressed(header: Mapping[str, Any]) -> Progressed:
    """Event for ``progress``."""
    return Progressed(
        token=text_of(header, "token"),
        stage=text_of(header, "stage"),
        sentence=text_of(header, "sentence"),
        fraction=min(max(number_of(header, "fraction") or 0.0, 0.0), 1.0),
        seconds_left=number_of(header, "seconds_left"),
    )


def job_failed(header: Mapping[str, Any], token: str) -> JobFailed:
    """Event for an ``error`` that ends the job ``token``."""
    sentence = text_of(header, "sentence") or "The backend reported an error without a sentence."
    return JobFailed(token, text_of(header, "code") or "internal", sentence, text_of(header, "advice"))
