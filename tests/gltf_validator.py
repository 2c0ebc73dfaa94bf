"""What the Khronos validator says of a glTF file. Tests of every folder can import this one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent


def validated(path: Path) -> dict[str, Any]:
    """The validator's report; skips where Node or the validator is missing."""
    node = shutil.which("node")
    if node is None or not (TESTS.parent / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("needs Node and the glTF validator: npm ci")
    script = TESTS / "validate_gltf.cjs"
    printed = subprocess.run([node, str(script), str(path)], check=True, capture_output=True, text=True).stdout
    return json.loads(printed)
