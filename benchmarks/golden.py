"""Hashes of everything the product makes: python -m benchmarks.golden --out FILE.json [--against FILE.json].

A change that should not alter results is checked with it: write the hashes before and after, on the same machine, and
compare. ``--only PART``, as often as wanted, chooses parts:

photos : every file of heads from 1, 3 and 5 photos of the person of ``assets/demo``, of one with most options changed,
    and of the canonical face.
transfer : expressions of the photos as frames of one take.
recipes : the chain that makes ``assets/`` at toy size (``trainer all --toy``), with ``--steps`` steps of each stage
    of every recipe: losses of each step, figures on held-out data, final weights, averages and optimiser state, and the
    exported files. Steps that need data beside the repository are left out (template, identity-population).

A hash is of values with their type and shape: pixels of a PNG file, tensors and arrays by name, JSON without layout;
``face.glb`` and ``face.obj`` by their bytes. Left out: seconds, memory and versions in reports and logs, model cards
(they have a date and a machine). Everything runs on one thread, with an empty cache. Figures of ``recipes`` that
follow from an earlier step's weights differ with them: look at the first row that differs.

Exit code 1 where something differs.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[1]
STEPS = 20
DEMO = sorted((ROOT / "assets" / "demo").glob("*.jpg"))
CHANGED_OPTIONS = (
    *("--quality", "fast", "--texture", "1024", "--face-model", "graph", "--hair", "curves"),
    *("--hair-style", "bob", "--symmetry", "0.5", "--average", "0.7"),
)
HEADS = {"5": (5, ()), "3": (3, ()), "1": (1, ()), "options": (3, CHANGED_OPTIONS)}
"""Number of photos and options of each head."""
CHAIN_STEPS = (
    *("landmarks", "portraits", "parsing", "parsing-opinion", "expressions"),
    *("lap", "learned-basis", "graph-face", "graph-albedo", "detail"),
)
UNSTABLE = ("seconds", "peak_rss_mb", "versions", "images_per_second")
"""Fields of reports and logs, and prefixes before a dot, that differ from run to run or between machines."""
LOGGED = ("name", "kind", "step", "samples", "values")
"""Fields of a row of a run's log."""

Hashes = dict[str, str]


def main() -> int:
    """Write the hashes, compare; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="python -m benchmarks.golden"
    )
    parser.add_argument("--out", type=Path, required=True, help="write the hashes and the seconds of each part here")
    parser.add_argument("--against", type=Path, help="hashes to compare with")
    parser.add_argument("--only", action="append", choices=tuple(PARTS), help="a part, as often as wanted")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of each stage of a recipe (default {STEPS})")
    parser.add_argument("--work", type=Path, help="empty folder to work in, kept; default: a temporary one")
    arguments = parser.parse_args()
    parts = [name for name in PARTS if name in (arguments.only or PARTS)]
    hashes: Hashes = {}
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work = (arguments.work or Path(scratch)).resolve()
        (work / "nothing").mkdir(parents=True)
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        os.environ |= {"LIKENESS_SHARED": str(work / "nothing"), "LIKENESS_CACHE": str(work / "cache")}
        for name in parts:
            start, used = time.perf_counter(), _processor_seconds()
            (work / name).mkdir()
            PARTS[name](work / name, arguments.steps)
            hashes |= {f"{name}/{key}": value for key, value in _hashes(work / name)}
            seconds[name] = time.perf_counter() - start
            print(f"{name}: {seconds[name]:.0f} s, {_processor_seconds() - used:.0f} s of a processor", flush=True)
    result = {"steps": arguments.steps, "seconds": seconds, "hashes": hashes}
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.against is None:
        return 0
    return _report(result, json.loads(arguments.against.read_text("utf-8")), parts)


def _report(new: Mapping[str, Any], old: Mapping[str, Any], parts: Iterable[str]) -> int:
    """Print a table of what differs in ``parts``; returns the exit code."""
    if "recipes" in parts and new["steps"] != old["steps"]:
        print(f"{new['steps']} steps cannot be compared with {old['steps']}: give the same --steps.")
        return 1
    chosen = tuple(f"{part}/" for part in parts)
    before = {name: value for name, value in old["hashes"].items() if name.startswith(chosen)}
    after: Hashes = new["hashes"]
    rows = [
        (name, before.get(name, "missing")[:12], after.get(name, "missing")[:12])
        for name in [*before, *(name for name in after if name not in before)]
        if before.get(name) != after.get(name)
    ]
    width = max((len(name) for name, _, _ in rows), default=0)
    for name, one, other in rows:
        print(f"{name:{width}}  {one:12}  {other:12}")
    print(f"{len(rows)} of {len(before | after)} differ")
    return 1 if rows else 0


def photos(folder: Path, steps: int) -> None:
    """Heads from photos, and the canonical face."""
    for name, (count, options) in HEADS.items():
        _run("backend", "reconstruct", *map(str, DEMO[:count]), "--out", str(folder / name), *options)
    _run("backend", "canonical", *map(str, DEMO), "--out", str(folder / "canonical"))


def transfer(folder: Path, steps: int) -> None:
    """Expressions of the photos as frames of one take."""
    _run("backend", "transfer", "--from", *map(str, DEMO), "--fps", "25", "--out", str(folder / "clip.json"))


def recipes(folder: Path, steps: int) -> None:
    """The chain at toy size."""
    only = (word for step in CHAIN_STEPS for word in ("--only", step))
    _run("trainer", "all", "--toy", "--toy-steps", str(steps), "--work", str(folder), *only)


PARTS: Mapping[str, Callable[[Path, int], None]] = {"photos": photos, "transfer": transfer, "recipes": recipes}


def _run(module: str, *words: str) -> None:
    """Run ``python -m module`` in the repository; ends this program where it fails."""
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout[-4000:]}\npython -m {module} {' '.join(words)} ended with code {done.returncode}.")


def _processor_seconds() -> float:
    """Of this process and its children that have ended."""
    return sum(os.times()[:4])


def _unstable(name: str) -> bool:
    return name.partition(".")[0] in UNSTABLE


def _stable(value: Any) -> Any:
    """JSON without the unstable fields."""
    if isinstance(value, dict):
        return {name: _stable(one) for name, one in value.items() if not _unstable(name)}
    return [_stable(one) for one in value] if isinstance(value, list) else value


def _json(value: Any) -> str:
    return hashlib.sha256(json.dumps(_stable(value), sort_keys=True).encode()).hexdigest()


def _array(array: np.ndarray) -> str:
    digest = hashlib.sha256(repr((array.dtype.str, array.shape)).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _hashes(folder: Path) -> Iterator[tuple[str, str]]:
    """Hashes of all files by their paths; several of a file with fields, tensors or arrays. Of the chain count its
    assets, and its runs' logs and checkpoints."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        parts = path.relative_to(folder).parts
        if path.suffix == ".md" or (folder.name == "recipes" and not {"assets", "log.jsonl", "checkpoints"} & {*parts}):
            continue
        key = "/".join(parts)
        if path.suffix == ".png":
            yield key, _array(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        elif path.suffix == ".json":
            value = json.loads(path.read_text("utf-8"))
            fields = value.items() if isinstance(value, dict) else [("", value)]
            yield from ((f"{key}/{name}", _json(one)) for name, one in fields if not _unstable(name))
        elif path.suffix == ".jsonl":
            rows = map(json.loads, path.read_text("utf-8").splitlines())
            yield key, _json([[row[name] for name in LOGGED] for row in rows])
        elif path.suffix == ".safetensors":
            yield from _tensors(path, key)
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                yield from ((f"{key}/{one}", _array(arrays[one])) for one in sorted(arrays.files))
        else:
            yield key, hashlib.sha256(path.read_bytes()).hexdigest()


def _tensors(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Two hashes for each group of tensors (``model``, ``average``, ``optimizer`` of a checkpoint): of their names, and
    of their values whatever their names."""
    groups: dict[str, dict[str, str]] = {}
    for key, tensor in sorted(load_file(path).items()):
        group = key.partition("/")[0] if "/" in key else "tensors"
        groups.setdefault(group, {})[key] = _array(tensor)
    for group, hashes in groups.items():
        yield f"{name}/{group}/names", _json(list(hashes))
        yield f"{name}/{group}/values", _json(sorted(hashes.values()))


if __name__ == "__main__":
    sys.exit(main())
