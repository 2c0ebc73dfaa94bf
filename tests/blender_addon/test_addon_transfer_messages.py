"""What the extension says when it asks for a transfer, and what it takes for an answer; without sockets."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_transfer_names import take

from backend.exchange.buffers import BufferList
from backend.service.messages import Limits as ServerLimits
from backend.service.messages import Transfer as AskedFor
from backend.service.messages import decode
from blender_addon.client.events import Limits, Welcomed
from blender_addon.client.submissions import PhotoFile, Transfer, composed, header_frame
from blender_addon.errors import AddonError
from blender_addon.protocol.buffers import decode_expression

LIMITS = Limits(header_bytes=2**16, frame_bytes=1000, message_bytes=2**20 + 5000, photos=4)


def welcome(*capabilities: str) -> Welcomed:
    return Welcomed("i", LIMITS, True, 2.0, 15.0, frozenset(capabilities))


def asked(job: Transfer, *capabilities: str) -> tuple[AskedFor, list[bytes]]:
    """The message as the server's own decoder takes it."""
    header, buffers = composed(job, welcome(*capabilities))
    return decode(header_frame(header), [memoryview(buffer) for buffer in buffers], ServerLimits()), buffers


def test_a_photo_with_a_known_head() -> None:
    head = np.ones((5, 3), "<f4").tobytes()
    message, buffers = asked(Transfer("t", (PhotoFile("a.jpg", data=b"abc"),), head=head))
    assert message.identity and message.photos[0].name == "a.jpg" and buffers == [b"abc", head]


def test_a_video_by_its_path_where_the_server_reads_files_and_in_pieces_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "clip.mov"
    path.write_bytes(bytes(range(250)) * 10)
    message, buffers = asked(Transfer("t", video=path), "path")
    assert message.video.path == str(path) and not buffers
    message, buffers = asked(Transfer("t", video=path))
    assert message.video.bytes == 2500 and [len(piece) for piece in buffers] == [1000, 1000, 500]
    assert b"".join(buffers) == path.read_bytes()


@pytest.mark.parametrize("space", ["\u202f", "\u3000", "\u00a0"])
def test_a_video_may_be_named_with_any_space(tmp_path: Path, space: str) -> None:
    path = tmp_path / f"take at 9.41{space}AM.mov"
    path.write_bytes(b"video")
    message, _ = asked(Transfer("t", video=path), "path")
    assert (message.video.name, message.video.path) == ("take at 9.41AM.mov", str(path))
    message, buffers = asked(Transfer("t", video=path))
    assert message.video.name == "take at 9.41AM.mov" and buffers == [b"video"]


def test_a_video_whose_path_is_no_text_goes_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mov")
    try:
        path.write_bytes(b"video")
    except OSError:
        pytest.skip("a file system that takes UTF-8 only")
    message, buffers = asked(Transfer("t", video=path), "path")
    assert message.video.name == "caf.mov" and message.video.path is None and buffers == [b"video"]
    path.write_bytes(b"")
    with pytest.raises(AddonError, match=r"caf\.mov is an empty file"):
        asked(Transfer("t", video=path), "path")


def test_what_the_server_would_refuse_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "clip.mov"
    cases = [(b"", "is an empty file"), (bytes(5001), "is larger than")]
    for content, sentence in cases:
        path.write_bytes(content)
        with pytest.raises(AddonError, match=sentence):
            asked(Transfer("t", video=path))
    path.unlink()
    with pytest.raises(AddonError, match="could not be read"):
        asked(Transfer("t", video=path))


def test_the_answer_is_checked() -> None:
    def answer(content: bytes, media_type: str = "application/json", version: int = 1):
        buffers = BufferList()
        buffers.add_file("expression", content, media_type)
        message = buffers.message({"type": "result", "kind": "transfer", "version": version})
        return decode_expression(json.loads(json.dumps(message.header)), message.buffers)

    clip = answer(json.dumps(take(7)).encode())
    assert clip.weights.shape == (7, 52) and clip.rotation.shape == (7, 3, 3)
    for bad in (b"", b"{}", b"\xff\xfe", b"[1]", json.dumps(take(7) | {"frame_count": 9}).encode()):
        with pytest.raises(AddonError) as caught:
            answer(bad)
        assert caught.value.code == "malformed"
    with pytest.raises(AddonError, match="another type"):
        answer(json.dumps(take(7)).encode(), "text/plain")
    with pytest.raises(AddonError, match="another version"):
        answer(json.dumps(take(7)).encode(), version=2)
