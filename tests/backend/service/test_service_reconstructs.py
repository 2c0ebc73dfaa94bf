"""Real photographs through the real service: ``python -m backend serve`` in a process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from service_client import ROOT, ServiceClient

from backend.progress import SHARES
from blender_addon.protocol.result import decode_result
from protocol.names import ARKIT_NAMES, EYE_PART_NAMES, PART_NAMES

pytestmark = [pytest.mark.photos, pytest.mark.slow]
LONG = 240.0


@pytest.fixture
def photos(photo_dir: Path) -> list[bytes]:
    """Two photographs of one person."""
    found = sorted((photo_dir / "people" / "john_simm").glob("*.jp*g"))[:2]
    if len(found) < 2:
        pytest.skip("needs the photographs people/john_simm")
    return [path.read_bytes() for path in found]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ServiceClient]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "LIKENESS_CONFIG_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "backend", "serve"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    keys = json.loads((tmp_path / "client_key.json").read_text())
    connection = ServiceClient(ready["endpoint"], ready["public_key"], (keys["public_key"], keys["secret_key"]))
    yield connection
    connection.close()
    process.terminate()
    process.communicate(timeout=20)


def test_photographs_become_a_head(client: ServiceClient, photos: list[bytes]) -> None:
    client.hello()
    job = client.submit("second", *photos, quality="fast", texture_size=1024)["token"]
    result = client.last_message(job, LONG)
    assert result.type == "result", result.header
    asset = decode_result(result.header, result.buffers)
    assert tuple(part.name for part in asset.parts) == (*PART_NAMES, *EYE_PART_NAMES, "bust")
    head = asset.head
    assert head.key_names == ARKIT_NAMES
    assert Image.open(io.BytesIO(asset.albedo_png)).size == (1024, 1024)
    assert 0.15 < np.ptp(head.vertices[:, 1]) < 0.4  # metres, chin to crown
    assert np.abs(head.keys[head.key_names.index("jawOpen")]).max() > 0.01
    assert [photo["used"] for photo in asset.report["photos"]].count(True) == len(asset.photos) >= 1
    assert {photo.name for photo in asset.photos} <= {"photo 0.jpg", "photo 1.jpg"}

    stages = {message["stage"] for message in client.ignored if message.type == "progress"}
    assert {"photos", "landmarks", "texture"} <= stages <= SHARES.keys()
    previews = [message for message in client.ignored if message.type == "preview"]
    assert previews
    (picture,) = previews[-1].buffers
    assert picture.startswith(b"\x89PNG")
    fractions = [message["fraction"] for message in client.ignored if message.type == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] > 0.95

    def alone(only: str, token: str) -> dict[str, Any]:
        header = {"type": "submit", "token": token, "photos": [], "options": {"only": only, "head": "second"}}
        return client.last_message(client.ask(header)["token"]).header

    client.send({"type": "received", "token": job})
    assert [alone(only, f"kept-{only}")["type"] for only in ("hair", "texture")] == ["result", "result"]
    assert client.ask({"type": "forget", "token": job}).type == "forgotten"
    for only in ("hair", "texture"):
        assert alone(only, f"gone-{only}")["code"] == "usage"
