"""Pictures and JSON of the output folder (docs/files.md): maps of relief, and cameras, expressions and report."""

import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from backend import __version__
from backend.detail.skin_detail import KEY_GROUPS, MIDDLE, HeightMap, SkinDetail, tangent_normals
from backend.exchange.buffers import png_bytes
from backend.exchange.face_asset import AssetPhoto, FacePart
from backend.photos.collection import PhotoVerdict
from protocol.names import ARKIT_NAMES


def part_texels_per_metre(part: FacePart, size: int) -> float:
    """Median texels per metre over the part's faces, for a map with ``size`` texels a side. Most faces are the face's
    front."""
    corners, texels = part.vertices[part.quads].astype(np.float64), part.uv[part.uv_quads] * size
    area = np.linalg.norm(np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]), axis=1)
    one, two = texels[:, 2] - texels[:, 0], texels[:, 3] - texels[:, 1]
    map_area = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
    sound = (area > 1e-10) & (map_area > 1e-6)
    return float(np.sqrt(np.median(map_area[sound] / area[sound])))


FORMAT_VERSION = 1
WRINKLE_FILES: dict[str, str] = {name: f"wrinkles_{name}.png" for name in KEY_GROUPS}
NONE = HeightMap(np.full((1, 1), MIDDLE, np.uint16), 1.0)
"""Placeholder for skin without relief."""


def normal_picture(detail: SkinDetail | None, head: FacePart) -> np.ndarray:
    """(S, S, 3) uint8 tangent-space normals of the permanent relief; one flat texel without detail."""
    if detail is None:
        return np.array([[[128, 128, 255]]], np.uint8)
    heights = detail.always.millimetres()
    return tangent_normals(heights, part_texels_per_metre(head, len(heights)))


def write_relief(detail: SkinDetail | None, folder: Path) -> None:
    """Write ``displacement.png`` and ``WRINKLE_FILES``, 16-bit grey, and ``detail.json``. Raises ``OSError``."""
    maps = {"displacement.png": NONE if detail is None else detail.always}
    maps |= {file: NONE if detail is None else detail.wrinkles[name] for name, file in WRINKLE_FILES.items()}
    for file, one in maps.items():
        (folder / file).write_bytes(png_bytes(one.steps))
    facts = msgspec.json.encode(detail_facts(detail))
    (folder / "detail.json").write_bytes(msgspec.json.format(facts, indent=1))


def detail_facts(detail: SkinDetail | None) -> dict[str, object]:
    """Content of ``detail.json``: scale and meaning of the maps."""
    always = NONE if detail is None else detail.always
    maps = {name: NONE for name in KEY_GROUPS} if detail is None else detail.wrinkles
    return {
        "version": FORMAT_VERSION,
        "has_detail": detail is not None,
        "uv_map": "Head",
        "heights": "outwards; millimetres = (value - 32768) / 32768 * reach_mm",
        "displacement": {"file": "displacement.png", "reach_mm": always.reach},
        "wrinkles": [
            {"name": name, "file": file, "reach_mm": maps[name].reach, "keys": list(KEY_GROUPS[name])}
            for name, file in WRINKLE_FILES.items()
        ],
        "how": "height = displacement + sum of wrinkles, each times the largest value of its keys; keys of one side "
        "count on their side of the map (Left: u above 0.5)",
    }


REPORTED_PACKAGES = ("torch", "numpy", "scipy", "ai-edge-litert", "numba", "pillow")


def build_report(
    verdicts: Sequence[PhotoVerdict],
    rejected: Sequence[tuple[str, str]],
    photos: Sequence[AssetPhoto],
    settings: Mapping[str, object],
    models: Mapping[str, str],
    doubts: Mapping[str, str],
) -> dict[str, object]:
    """Build the content of ``report.json``, for ``FaceAsset.report``.

    Parameters
    ----------
    verdicts : of the photo stage, in the given order.
    rejected : (name, reason) of photos that the fit rejected (``FittedFace.rejected``).
    photos : the used photos.
    settings : quality, texture size, device and all else that affects the result, JSON-ready.
    models : model name -> its version, or that it is not trained or was switched off.
    doubts : name of a used photo -> a further sentence about it.
    """
    rejected_by_fit = dict(rejected)
    errors = {photo.name: photo for photo in photos}
    entries = []
    for verdict in verdicts:
        photo = errors.get(verdict.name)
        reason = verdict.reason or rejected_by_fit.get(verdict.name, "")
        if photo is not None:
            reason = f"{reason} {doubts.get(verdict.name, '')}".strip()
        entry: dict[str, object] = {
            "name": verdict.name,
            "used": photo is not None or (verdict.used and verdict.quality is None),
            "reason": reason,
        }
        if verdict.quality:
            entry["quality"] = msgspec.to_builtins(verdict.quality, enc_hook=plain_json)
        if photo is not None:
            entry["landmark_error_percent"] = float(photo.landmark_error_percent)
            entry["photometric_error"] = float(photo.photometric_error)
        entries.append(entry)
    return {
        "version": FORMAT_VERSION,
        "photos": entries,
        "settings": dict(settings),
        "models": dict(models),
        "versions": installed_versions(),
        "peak_rss_mb": peak_rss_mb(),
    }


def installed_versions() -> dict[str, str]:
    """Versions of Likeness, Python and the packages that affect the result."""
    versions = {"likeness": __version__, "python": sys.version.split()[0]}
    for package in REPORTED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def peak_rss_mb() -> float | None:
    """Peak memory of this process so far, in 10⁶ bytes; None where the system does not report it."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1.0 if sys.platform == "darwin" else 1024.0) / 1e6, 1)


def camera_entry(photo: AssetPhoto) -> dict[str, Any]:
    """One photo's camera, in pixels of the whole file after EXIF rotation; arrays for ``plain_json``."""
    return {
        "name": photo.name,
        "width": int(photo.camera.size[0]),
        "height": int(photo.camera.size[1]),
        "intrinsics": np.asarray(photo.camera.intrinsics, float),
        "camera_from_head": np.asarray(photo.camera.camera_from_head, float),
    }


def write_cameras(photos: Sequence[AssetPhoto], path: Path) -> None:
    """Write ``cameras.json``."""
    frames = "x right, y down, z forward; head: metres, x to the person's left, y up, z out of the face"
    entries = [camera_entry(photo) for photo in photos]
    _write({"photos": entries, "version": FORMAT_VERSION, "convention": frames}, path)


def write_expressions(photos: Sequence[AssetPhoto], path: Path) -> None:
    """Write ``expressions.json``: for each photo ARKit name -> weight in [0, 1], all 52."""
    entries = [
        {
            "name": photo.name,
            "weights": {name: round(float(w), 5) for name, w in zip(ARKIT_NAMES, photo.expression, strict=True)},
        }
        for photo in photos
    ]
    _write({"photos": entries, "version": FORMAT_VERSION}, path)


def write_report(report: Mapping[str, object], path: Path) -> None:
    """Write ``report.json``; accepts NumPy numbers and arrays. Raises ``TypeError`` for anything else outside JSON."""
    _write(dict(report), path)


def _write(content: Any, path: Path) -> None:
    Path(path).write_bytes(msgspec.json.format(msgspec.json.encode(content, enc_hook=plain_json), indent=2) + b"\n")


def plain_json(value: Any) -> Any:
    """Convert NumPy numbers and arrays, and paths, to plain JSON values."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not go into JSON")
