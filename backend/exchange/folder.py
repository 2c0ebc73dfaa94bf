"""Write the output folder of a reconstruction, completely or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from backend.exchange.all_or_none import OutputFolder, write_together
from backend.exchange.detail_files import (
    normal_picture,
    write_detail,
    write_displacement,
    write_wrinkles,
)
from backend.exchange.face_asset import FaceAsset
from backend.exchange.file_names import FILE_NAMES as FILE_NAMES
from backend.exchange.hair_files import hair_picture, write_hair
from backend.exchange.json_files import with_seconds_of, write_cameras, write_expressions, write_report
from backend.exchange.obj import EYE_TEXTURE, NORMAL_TEXTURE, write_obj
from backend.exchange.png import png_bytes
from backend.exchange.preview import PhotoPreview, write_preview
from backend.progress import ProgressReporter, silent


def write_folder(
    asset: FaceAsset,
    previews: Sequence[PhotoPreview],
    out_dir: Path | OutputFolder,
    progress: ProgressReporter = silent,
) -> None:
    """Write all ``FILE_NAMES`` into ``out_dir``, creating it if needed.

    The files are first written to a temporary folder on the same disk and moved into place when all are complete, so
    that a failed or cancelled run leaves the folder unchanged. Files of an earlier run are replaced; other files in the
    folder stay.

    Parameters
    ----------
    previews : one per used photo, shown in ``preview.png`` (see ``exchange.preview``).

    Raises
    ------
    LikenessError : code "disk" if the disk is full, the folder may not be written, or ``out_dir`` is a file; "in_use"
        if another run writes into it.
    """
    start = time.perf_counter()
    steps: list[Callable[[Path], None]] = [  # the slowest first, because they run in parallel
        lambda folder: write_preview(asset, previews, folder / "preview.png"),
        lambda folder: _write_glb(asset, folder / "face.glb"),
        lambda folder: (folder / "albedo.png").write_bytes(png_bytes(asset.albedo)),
        lambda folder: (folder / EYE_TEXTURE).write_bytes(png_bytes(_eye_picture(asset))),
        lambda folder: write_obj(asset, folder),
        lambda folder: (folder / "hair.png").write_bytes(png_bytes(hair_picture(asset.hair_cards))),
        lambda folder: (folder / NORMAL_TEXTURE).write_bytes(png_bytes(normal_picture(asset.detail, asset.parts[0]))),
        lambda folder: write_displacement(asset.detail, folder / "displacement.png"),
        lambda folder: write_wrinkles(asset.detail, folder),
        lambda folder: write_detail(asset.detail, folder / "detail.json"),
        lambda folder: write_hair(asset.hair_strands, folder / "hair.json"),
        lambda folder: write_cameras(asset.photos, folder / "cameras.json"),
        lambda folder: write_expressions(asset.photos, folder / "expressions.json"),
    ]

    def report(folder: Path) -> None:
        write_report(with_seconds_of(asset.report, "files", start), folder / "report.json")

    write_together(out_dir, FILE_NAMES, steps, progress, report)


def _write_glb(asset: FaceAsset, path: Path) -> None:
    from backend.exchange.gltf import write_glb  # imported here: it takes 0.2 s, which reading photos would wait for

    write_glb(asset, path)


def _eye_picture(asset: FaceAsset) -> np.ndarray:
    """(S, 2 S, 3) uint8 image of map ``Eye``; one grey pixel if the asset has none."""
    missing = asset.eyes is None or asset.eyes.picture is None
    return np.full((1, 1, 3), 128, np.uint8) if missing else asset.eyes.picture
