"""Collections of real photographs: what is kept, what is left out, and that a stopped run goes on."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.errors import EXIT_CODES
from backend.photos.collection import FaceClass
from backend.photos.faces import MESH_COUNT
from backend.photos.screening import hue_spread
from trainer.__main__ import main
from trainer.portraits.collection import PortraitsConfig, Verdict, open_cache


def prepare(folder: Path, out: Path) -> int:
    return main(["data", "people", str(folder), "--out", str(out), "--size", "64"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photo_dir: Path) -> Path:
    """Two people with three photos each, one alone, a broken file, a landscape, a repeated picture."""
    root = tmp_path_factory.mktemp("portraits")
    for person in ("john_simm", "john_savage"):
        (root / person).mkdir()
        pictures = sorted(path for path in (photo_dir / "people" / person).iterdir() if path.suffix != ".txt")
        for path in pictures[:3]:
            shutil.copy(path, root / person / path.name)
    alone = sorted((photo_dir / "people" / "john_simm").iterdir())[5]
    shutil.copy(alone, root / f"alone{alone.suffix}")
    (root / "zz_again").mkdir()
    shutil.copy(sorted((root / "john_simm").iterdir())[0], root / "zz_again" / f"again{alone.suffix}")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is not a picture")
    rows, columns = np.mgrid[:120, :160]
    cv2.imwrite(str(root / "hills.png"), np.stack([rows * 2, columns, 200 - rows], -1).astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def prepared(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "cache"
    assert prepare(folder, out) == 0
    return out


def test_every_file_has_a_verdict_and_its_reason_is_written_down(prepared: Path) -> None:
    cache = open_cache(prepared)
    verdicts = {file.path: Verdict(verdict) for file, verdict in zip(cache.files, cache.verdicts, strict=True)}
    assert verdicts["broken.jpg"] == Verdict.BROKEN
    assert verdicts["hills.png"] == Verdict.NO_FACE
    assert [verdict for path, verdict in verdicts.items() if path.startswith("zz_again")] == [Verdict.REPEATED]
    assert sum(verdict == Verdict.KEPT for verdict in verdicts.values()) == 7
    with (prepared / "left_out.csv").open(newline="") as file:
        reasons = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons["broken.jpg"] == "cannot be read"
    assert len(reasons) == 3


def test_subfolders_are_people(prepared: Path) -> None:
    files = open_cache(prepared).files
    people = {file.path.split("/")[0]: set() for file in files}
    for file in files:
        people[file.path.split("/")[0]].add(file.person)
    assert all(len(who) == 1 for who in people.values())
    assert len(set.union(*people.values())) == len(people)


def test_landmarks_fill_the_crop_and_labels_agree_with_them(prepared: Path) -> None:
    cache = open_cache(prepared)
    for row in np.flatnonzero(cache.verdicts == Verdict.KEPT):
        mesh = cache.landmarks[row, :MESH_COUNT]
        assert np.allclose((mesh.min(axis=0) + mesh.max(axis=0)) / 2, 32, atol=0.6)
        assert 64 / 1.1 * 0.9 < np.ptp(mesh, axis=0).mean() < 64 / 1.1 * 1.1
        x, y = np.round(cache.landmarks[row, [13, 1]] - 0.5).astype(int).T  # between the lips, tip of the nose
        assert cache.labels[row, y[1], x[1]] == FaceClass.SKIN
        near = cache.labels[row, y[0] - 4 : y[0] + 5, x[0] - 2 : x[0] + 3]
        assert np.isin(near, [FaceClass.LIPS, FaceClass.MOUTH_INTERIOR]).any()


def test_a_killed_run_goes_on_and_ends_with_the_same_files(folder: Path, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "cache"
    command = [sys.executable, "-m", "trainer", "data", "people", str(folder), "--out", str(out), "--size", "64"]
    root = Path(__file__).parents[3]
    # verdicts are written every 64 files or at the end: a kill on the way leaves rows without a verdict
    process = subprocess.Popen(command, cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while process.poll() is None and not (out / "portraits.json").is_file():
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (open_cache(out).verdicts == Verdict.UNSEEN).any()
    assert prepare(folder, out) == 0
    for name in ("crops", "labels", "landmarks", "verdicts"):
        np.testing.assert_array_equal(np.load(out / f"{name}.npy"), np.load(prepared / f"{name}.npy"))


def test_another_collection_in_the_folder_is_not_overwritten(folder: Path, prepared: Path, capsys) -> None:
    before = (prepared / "crops.npy").read_bytes()
    assert main(["data", "people", str(folder), "--out", str(prepared), "--size", "128"]) == EXIT_CODES["usage"]
    assert "prepared otherwise" in capsys.readouterr().err
    assert (prepared / "crops.npy").read_bytes() == before


def test_batches_are_the_same_in_any_company_and_sets_are_of_one_person(prepared: Path) -> None:
    source = PortraitsConfig(folder=str(prepared), photos=3, seed=4).build()
    assert len(source) == 2
    device = torch.device("cpu")
    together = source.batch(range(0, 6), device)
    assert together.images.shape == (18, 3, 64, 64)
    assert (together.person.reshape(6, 3) == together.person.reshape(6, 3)[:, :1]).all()
    # everybody comes once before anybody comes again
    assert all(len(set(pair)) == 2 for pair in together.person.reshape(3, 2, 3)[..., 0].tolist())
    alone = source.batch(range(4, 5), device)
    assert torch.equal(alone.images, together.images[12:15])
    assert torch.equal(alone.landmarks, together.landmarks[12:15])


def test_a_folder_without_anything_says_so(tmp_path: Path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    assert prepare(tmp_path, tmp_path / "out") == EXIT_CODES["usage"]
    assert "no entry" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="python -m trainer data"):
        PortraitsConfig(folder=str(tmp_path)).build()


@pytest.mark.parametrize(("tint", "colourful"), [((1.0, 1.0, 1.0), False), ((1.0, 0.8, 0.55), False), (None, True)])
def test_toned_prints_count_as_black_and_white(tint: tuple[float, float, float] | None, colourful: bool) -> None:
    generator = np.random.default_rng(0)
    grey = generator.uniform(30, 220, (64, 64, 1))
    hues = generator.uniform(0.5, 1.0, (64, 64, 3))
    picture = np.clip(grey * (hues if tint is None else np.array(tint)), 0, 255).astype(np.uint8)
    assert (hue_spread(picture) > 6.0) == colourful
