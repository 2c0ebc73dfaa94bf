"""Hashes of everything the product makes: python -m benchmarks.golden --out FILE.json [--against FILE.json].

A change that should not alter results is checked with it: write the hashes before and after, on the same machine, and
compare. ``--only PART``, as often as wanted, chooses parts:

photos : heads from 1, 3 and 5 photos of the person of ``assets/demo``: every file, and every buffer of
    the message for Blender; one more head from the command line with most options changed; the canonical face.
transfer : expressions of a short sequence of frames.
recipes : the chain that makes ``assets/`` at toy size (``trainer all --toy``), with ``--steps`` steps of each stage
    of every recipe: losses of each step, figures on held-out data, final weights, averages and optimiser state, and the
    exported files. Steps that need data beside the repository are left out (template, identity-population).

A hash is of values with their type and shape: pixels of a PNG file, tensors and arrays by name, JSON without layout;
``face.glb`` and ``face.obj`` by their bytes. Left out: seconds, memory and versions in reports and logs, model cards
(they have a date and a machine). Everything runs on one thread, with an empty cache. Figures of ``recipes`` that
follow from an earlier step's weights differ with them: look at the first row that differs.

Exit code 1 where something differs.
"""

from __future__ import annotations

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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PHOTO_COUNTS = (5, 3, 1)
STEPS = 20
DEMO = sorted((ROOT / "assets" / "demo").glob("*.jpg"))
CHANGED_OPTIONS = (
    *("--quality", "fast", "--texture", "1024", "--face-model", "graph", "--hair", "curves"),
    *("--hair-style", "bob", "--symmetry", "0.5", "--average", "0.7"),
)
CLIP_PHOTOS, FRAMES_PER_PHOTO, FRAME_SIZE, FRAME_RATE = 2, 8, (300, 400), 25
"""A clip is a slow zoom and turn into photo after photo; frames of (width, height) pixels."""
CHAIN_STEPS = (
    *("landmarks", "portraits", "parsing", "parsing-opinion", "expressions"),
    *("lap", "learned-basis", "graph-face", "graph-albedo", "detail", "typical-lines"),
)
UNSTABLE = ("seconds", "peak_rss_mb", "versions", "images_per_second")
"""Fields of reports and logs, and prefixes before a dot, that differ from run to run or between machines."""

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
            hashes |= {f"{name}/{key}": value for key, value in PARTS[name](work, arguments.steps)}
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


def photos(work: Path, steps: int) -> Iterator[tuple[str, str]]:
    """Heads from photos; in this process, because a message is no file."""
    from backend.exchange.all_or_none import OutputFolder
    from backend.exchange.folder import draw_preview
    from backend.exchange.wire import encode_face
    from backend.photos.collection import PhotoSource
    from backend.pipeline import ReconstructOptions, reconstruct_into

    for count in PHOTO_COUNTS:
        sources = [PhotoSource.from_path(path) for path in DEMO[:count]]
        folder = work / f"head_{count}"
        with OutputFolder(folder) as output:
            head = reconstruct_into(output, sources, ReconstructOptions(hair="cards"))
            draw_preview(head.asset, head.previews, output)
        yield from _folder(folder, str(count))
        message = encode_face(head.asset)
        yield from _message(message.header, message.buffers, f"{count}/message")
    folder = work / "head_options"
    _run("backend", "reconstruct", *map(str, DEMO[:3]), "--out", str(folder), *CHANGED_OPTIONS)
    yield from _folder(folder, "options")
    folder = work / "canonical"
    _run("backend", "canonical", *map(str, DEMO), "--out", str(folder))
    yield from _folder(folder, "canonical")


def transfer(work: Path, steps: int) -> Iterator[tuple[str, str]]:
    """Expressions of a sequence of frames."""
    folder, out = work / "frames", work / "clip.json"
    _write_frames(DEMO, folder)
    _run("backend", "transfer", "--from", str(folder), "--fps", str(FRAME_RATE), "--out", str(out))
    clip = json.loads(out.read_text("utf-8"))
    yield from ((f"clip/{name}", _json(value)) for name, value in clip.items() if not _unstable(name))


def recipes(work: Path, steps: int) -> Iterator[tuple[str, str]]:
    """The chain at toy size."""
    folder = work / "chain"
    only = (word for step in CHAIN_STEPS for word in ("--only", step))
    _run("trainer", "all", "--toy", "--toy-steps", str(steps), "--work", str(folder), *only)
    for run in sorted((folder / "runs").iterdir()):
        yield from _training_run(run, run.name)
    yield from _folder(folder / "assets", "assets")


PARTS: Mapping[str, Callable[[Path, int], Iterator[tuple[str, str]]]] = {
    "photos": photos,
    "transfer": transfer,
    "recipes": recipes,
}


def _write_frames(pictures: list[Path], folder: Path) -> None:
    import cv2

    folder.mkdir()
    width, height = FRAME_SIZE
    for number in range(CLIP_PHOTOS * FRAMES_PER_PHOTO):
        photo, moment = divmod(number, FRAMES_PER_PHOTO)
        picture = cv2.imread(str(pictures[photo]))
        rows, columns = picture.shape[:2]
        scale = min(width / columns, height / rows) * (1.0 + 0.01 * moment)
        motion = cv2.getRotationMatrix2D((columns / 2, rows / 2), 0.5 * moment, scale)
        motion[:, 2] += (width / 2 - columns / 2, height / 2 - rows / 2)
        frame = cv2.warpAffine(picture, motion, FRAME_SIZE, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        cv2.imwrite(str(folder / f"{number:03}.png"), frame)


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
    import numpy as np

    digest = hashlib.sha256(repr((array.dtype.str, array.shape)).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _pixels(data: bytes) -> str:
    import cv2
    import numpy as np

    return _array(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))


def _file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _folder(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    """Hashes of all files; several of a file with tensors or arrays."""
    import numpy as np

    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        key = f"{name}/{path.relative_to(folder).as_posix()}"
        if path.suffix == ".md":
            continue
        if path.suffix == ".png":
            yield key, _pixels(path.read_bytes())
        elif path.suffix == ".json":
            yield key, _json(json.loads(path.read_text("utf-8")))
        elif path.suffix == ".safetensors":
            yield from _tensors(path, key)
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                yield from ((f"{key}/{one}", _array(arrays[one])) for one in sorted(arrays.files))
        else:
            yield key, _file(path)


def _tensors(path: Path, name: str) -> Iterator[tuple[str, str]]:
    """Two hashes for each group of tensors (``model``, ``average``, ``optimizer`` of a checkpoint): of their names, and
    of their values whatever their names."""
    from safetensors.numpy import load_file

    groups: dict[str, dict[str, str]] = {}
    for key, tensor in sorted(load_file(path).items()):
        group = key.partition("/")[0] if "/" in key else "tensors"
        groups.setdefault(group, {})[key] = _array(tensor)
    for group, hashes in groups.items():
        yield f"{name}/{group}/names", _json(list(hashes))
        yield f"{name}/{group}/values", _json(sorted(hashes.values()))


def _message(header: Mapping[str, Any], buffers: Iterable[bytes], name: str) -> Iterator[tuple[str, str]]:
    """Hashes of a message's header and buffers; a picture's file size is left out."""
    header = json.loads(json.dumps(header))
    for entry, data in zip(header["buffers"], buffers, strict=True):
        entry.pop("bytes", None)
        key = f"{name}/{entry['name']}"
        if entry.get("media_type") == "image/png":
            yield key, _pixels(data)
        else:
            yield key, _json([entry.get("dtype"), entry.get("shape"), hashlib.sha256(data).hexdigest()])
    yield from ((f"{name}/header/{field}", _json(value)) for field, value in header.items())


def _training_run(run: Path, name: str) -> Iterator[tuple[str, str]]:
    """Hashes of a run: each stage's losses and figures, and its last checkpoint."""
    rows: dict[str, list[Any]] = {}
    for line in (run / "log.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        rows.setdefault(f"{row['name']}/{row['kind']}", []).append([row["step"], row["samples"], row["values"]])
    yield from ((f"{name}/{kind}", _json(values)) for kind, values in rows.items())
    last = {path.name.partition("_step")[0]: path for path in sorted((run / "checkpoints").glob("stage*_step*"))}
    for stage, path in last.items():
        yield from _tensors(path, f"{name}/{stage}")


if __name__ == "__main__":
    sys.exit(main())
