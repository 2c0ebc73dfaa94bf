"""Loops for every device: a kernel's results are those of the processor, and compiled helpers are noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.texture import blending, unwrap
from backend.texture.albedo import build_albedo
from tests.texture_scene import Shot, make_scene

ROOT = Path(__file__).resolve().parents[2]
EVERY = 997
"""Texels between two that are computed again."""
AGAIN = """
import sys
import numpy as np
from backend.system import numba_cache
from backend.texture import blending, unwrap

numba_cache._BLOCKS, numba_cache._THREADS = 2, 8
saved = np.load(sys.argv[1])
for name, loop, results in (("unwrap", unwrap._unwrap, 7), ("finest", blending._add_finest, 2)):
    arguments = [saved[f"{name}_{number}"] for number in range(sum(one.startswith(name + "_") for one in saved))]
    arguments = [one[()] if one.ndim == 0 else numba_cache.on_device("cuda", one)[0] for one in arguments]
    assert any(hasattr(one, "copy_to_host") for one in arguments)
    loop(*arguments)
    for one, wanted in zip(arguments[-results:], range(results)):
        found, right = numba_cache.on_host(one)[0], saved[f"right_{name}_{wanted}"]
        print(name, wanted, len(found), float(np.abs(found - right.astype(float)).max()))
"""
"""Runs loops on a simulated card with saved arguments, and prints how far each result is from the processor's."""


def test_a_card_computes_what_the_processor_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: dict[str, np.ndarray] = {}

    def record(module: object, loop: str, name: str, texels: tuple[int, ...], results: int) -> None:
        plain = getattr(module, loop)

        def recorded(*arguments: object) -> None:
            few = [one[::EVERY] if number in texels else one for number, one in enumerate(arguments)]
            outputs = [one[::EVERY].copy() for one in arguments[-results:]]
            saved.update({f"{name}_{k}": np.asarray(one) for k, one in enumerate([*few[:-results], *outputs])})
            plain(*arguments)
            saved.update({f"right_{name}_{k}": one[::EVERY].copy() for k, one in enumerate(arguments[-results:])})

        monkeypatch.setattr(module, loop, recorded)

    record(unwrap, "_unwrap", "unwrap", (1, 2), 7)
    record(blending, "_add_finest", "finest", (0, 2, 3), 2)
    scene = make_scene([Shot(size=256)])
    build_albedo(scene.template, scene.fitted, scene.faces, 512)
    np.savez(tmp_path / "saved.npz", **saved)
    simulated = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(tmp_path / "saved.npz")],
        env=os.environ | simulated,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == 9
    assert all(int(row[2]) > 100 for row in rows)
    assert [float(row[3]) for row in rows if row[0] == "unwrap"] == [0.0] * 7
    assert all(float(row[3]) < 1e-6 for row in rows)


def test_a_loop_is_compiled_again_where_what_it_calls_changes(tmp_path: Path) -> None:
    """A helper, a helper's helper, a number of another file and a function of a module."""
    first = "from backend.system.numba_cache import dense, njit, prange\n"
    files = {
        "loop.py": "import numpy as np\nfrom helper import changed\n@dense\ndef apply(out):\n"
        "    for i in prange(len(out)):\n        out[i] = changed(out[i])\n"
        "out = np.ones(1)\napply(out)\nprint(out[0])\n",
        "helper.py": "import deepest\nfrom deeper import times\nfrom number import ADDED\n@njit(cache=True)\n"
        "def changed(x):\n    return 2 * times(x) + ADDED + deepest.more(x)\n",
        "deeper.py": "@njit(cache=True)\ndef times(x):\n    return 3 * x\n",
        "deepest.py": "@njit(cache=True)\ndef more(x):\n    return 5 * x\n",
        "number.py": "ADDED = 7.0\n",
    }
    changes = [("loop", "", ""), ("helper", "2 *", "20 *"), ("deeper", "3 *", "30 *")]
    changes += [("number", "7.0", "70.0"), ("deepest", "5 *", "50 *")]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("NUMBA_CACHE_DIR", None)
    for name, text in files.items():
        (tmp_path / name).write_text(first + text)
    answers = []
    for name, before, after in changes:
        path = tmp_path / f"{name}.py"
        path.write_text(path.read_text().replace(before, after))
        done = subprocess.run(
            [sys.executable, str(tmp_path / "loop.py")], env=environment, capture_output=True, text=True, timeout=300
        )
        answers.append(done.stdout.strip() or done.stderr)
    assert answers == ["18.0", "72.0", "612.0", "675.0", "720.0"]
