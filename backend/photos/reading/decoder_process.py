"""Child process that decodes photos, started only by ``decoders``; it can be killed when a file never ends.

A request (``limited_child``) has ``limits``, and a ``path`` or the file's bytes after it. An answer has ``error``, a
sentence, or ``width`` and ``height`` of the image that follows as PPM, ``source_size`` and ``focal_px``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.limited_child import ParentLine, limit_memory, limit_time
from backend.photos.reading.decode import NO_MEMORY, check_size, decode, read_file
from backend.photos.reading.source import PhotoUnreadableError, ReadLimits


def main() -> None:
    """Answer requests until the parent exits."""
    line = ParentLine()
    while True:
        header, data = line.request()
        _serve(header, data, line)
        del data


def _serve(header: dict[str, Any], data: bytes, line: ParentLine) -> None:
    limits = ReadLimits(**header["limits"])
    try:
        limit_memory(limits.most_bytes)
        limit_time(limits.cpu_seconds)
        if "path" in header:
            data = read_file(Path(header["path"]), limits)
        check_size(len(data), limits)
        picture = decode(data, limits, lambda pixels: limit_time(limits.seconds_for(pixels)))
        image = picture.image
    except PhotoUnreadableError as error:
        return line.answer({"error": str(error)})
    except MemoryError:
        return line.answer({"error": NO_MEMORY})
    told = {"source_size": picture.source_size, "focal_px": picture.focal_px}
    line.answer({"width": image.width, "height": image.height, **told})
    image.save(line.outgoing, "PPM")  # Pillow writes it without a copy, unlike Python bytes
    line.outgoing.flush()
