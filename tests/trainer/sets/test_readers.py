"""Every reader on a made-up copy of its format; what a wrong, half or damaged folder ends in; resuming; licences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_up import LAMPS, PHOTOS, WRITERS, copy_of, drawn, head

from backend.photos.collection import FaceClass
from trainer.__main__ import main
from trainer.engine.logs import research_sets
from trainer.portraits.collection import PortraitsConfig
from trainer.sets.prepare import READERS, prepare_samples, reader_of
from trainer.sets.reader import Reader, SetError, listed, open_prepared

TRUTHS = [name for name, reader in READERS.items() if reader.fields]
PICTURES = [name for name in READERS if name not in TRUTHS]
DETECTED = {"micc", "bu3dfe"}
"""Sets whose scans' landmarks our detector finds on renderings; it takes seconds."""


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sets")
    return {name: copy_of(name, folder) for name in READERS}


def test_there_is_a_made_up_copy_for_every_reader_and_at_least_fourteen() -> None:
    assert set(WRITERS) == set(READERS) and len(READERS) >= 14
    for reader in READERS.values():
        assert reader.licence.name and reader.licence.page and reader.unchecked and reader.needs


@pytest.mark.parametrize("name", PICTURES)
def test_photographs_become_portraits_that_recipes_train_on(name: str, copies: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["data", name, str(copies[name]), "--out", str(out), "--size", "32"]) == 0
    card = json.loads((out / "card.json").read_text())
    assert card["kept"] and card["research_only"] == READERS[name].licence.research_only
    source = PortraitsConfig(folder=str(out), photos=PHOTOS).build()
    assert len(source) == 2
    assert source.batch(range(2), drawn().people.images.device).images.shape == (2 * PHOTOS, 3, 32, 32)


@pytest.mark.parametrize("name", [name for name in TRUTHS if name not in DETECTED])
def test_sets_with_truth_keep_every_entry_with_the_declared_arrays(
    name: str, copies: dict[str, Path], tmp_path: Path
) -> None:
    assert main(["data", name, str(copies[name]), "--out", str(tmp_path)]) == 0
    prepared = open_prepared(tmp_path, name)
    assert len(prepared.keys) == len(listed(reader_of(name), copies[name]))
    for key in prepared.keys:
        assert prepared.sample(key).keys() == READERS[name].fields.keys()


def read(name: str, folder: Path) -> list[dict[str, np.ndarray]]:
    reader = reader_of(name)
    return [dict(reader.read(item)) for item in listed(reader, folder)]


def test_landmarks_and_yaw_are_those_that_were_written(copies: dict[str, Path]) -> None:
    for row, sample in enumerate(read("aflw2000", copies["aflw2000"])):
        np.testing.assert_allclose(sample["landmarks"], drawn().marks[row], atol=1e-3)
        assert sample["angles"][1] == pytest.approx(drawn().yaw[row], abs=1e-3)
    for row, sample in enumerate(read("300w_lp", copies["300w_lp"])):
        np.testing.assert_allclose(sample["landmarks"][:, :2], drawn().marks[row][:, :2], atol=1e-3)
    kept = [k for k in range(68) if k not in (60, 64)]
    for row, sample in enumerate(read("3dfaw", copies["3dfaw"])):
        np.testing.assert_allclose(sample["landmarks"], drawn().marks[row][kept], atol=1e-3)


def test_photometric_stereo_gives_the_normals_that_drew_the_pictures(copies: dict[str, Path]) -> None:
    assert len(LAMPS) == 4
    for row, sample in enumerate(read("photoface", copies["photoface"])):
        known = np.linalg.norm(sample["normals"], axis=-1) > 0.9
        true = drawn().normals[row]
        facing = known & (true[..., 2] > 0.6)  # lit by all lamps
        cosine = (sample["normals"] * true)[facing].sum(-1).clip(-1, 1)
        assert facing.sum() > 1000 and np.degrees(np.arccos(cosine)).mean() < 2.0


def test_depth_and_masks_are_those_that_were_written(copies: dict[str, Path]) -> None:
    for sample in read("bfm", copies["bfm"]):
        face = sample["depth"] > 0
        assert 0.2 < face.mean() < 1 and 0.8999 <= sample["depth"][face].min() < sample["depth"][face].max() <= 1.1001
    for row, sample in enumerate(read("celebamask", copies["celebamask"])):
        true = drawn().people.labels[row].numpy()
        assert (sample["lips"].any(0) == (true == FaceClass.LIPS)).all()
        assert ((sample["labels"] == FaceClass.SKIN) == (true == FaceClass.SKIN)).all()


def test_scans_come_in_metres_with_their_points(copies: dict[str, Path]) -> None:
    vertices, triangles, seven, marks = head(0)
    (sample,) = read("now", copies["now"])
    np.testing.assert_allclose(sample["vertices"], vertices, atol=1e-6)
    np.testing.assert_array_equal(sample["triangles"], triangles)
    np.testing.assert_allclose(sample["seven"], seven, atol=1e-6)
    (shapes,) = read("facescape", copies["facescape"])
    np.testing.assert_allclose(shapes["neutral"], vertices, atol=1e-6)
    assert shapes["expressions"].shape == (1, *vertices.shape)
    (regions,) = read("realy", copies["realy"])
    np.testing.assert_allclose(regions["keypoints"][:68] * regions["scale"] / 1000, marks, atol=1e-6)


@pytest.mark.parametrize("name", sorted(DETECTED))
def test_the_detector_finds_a_scans_points(name: str, copies: dict[str, Path]) -> None:
    (sample,) = read(name, copies[name])
    _, _, seven, _ = head(0)
    assert np.linalg.norm(sample["seven"] - seven, axis=1).max() < 0.008
    assert len(sample["photos"]) == len(sample["groups"]) >= 1


@pytest.mark.parametrize("name", READERS)
def test_a_wrong_folder_ends_in_one_sentence_that_says_what_is_missing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.md").write_text("nothing here")
    assert main(["data", name, str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and READERS[name].needs[0] in said
    assert main(["data", name, str(tmp_path / "nowhere")]) == 2
    assert "is not a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("celeba", "img_align_celeba/000002.jpg"),
        ("aflw2000", "image00001.jpg"),
        ("300w_lp", "landmarks/HELEN/a_0_0_pts.mat"),
        ("3dfaw", "train_img/f1.jpg"),
        ("bfm", "test/depth/depth_1.png"),
        ("photoface", "subject0/session1/im2.bmp"),
        ("celebamask", "CelebAMask-HQ-mask-anno/0/00001_skin.png"),
        ("bu3dfe", "F0001/F0001_NE00WH_F2D.bmp"),
        ("now", "iphone_pictures/FaMoS_1/multiview_neutral/IMG_1.jpg"),
        ("realy", "REALY_scan_region/1/mouth.obj"),
    ],
)
def test_half_a_download_ends_in_one_sentence_that_names_a_missing_file(
    name: str, gone: str, copies: dict[str, Path], tmp_path: Path
) -> None:
    root = shutil.copytree(copies[name], tmp_path / name)
    (root / gone).unlink()
    with pytest.raises(SetError) as refused:
        listed(reader_of(name), root)
    missing = {Path(gone).name, Path(gone).stem.replace("depth", "image")}
    assert any(word in str(refused.value) for word in missing) or READERS[name].needs[-1] in str(refused.value)


def test_partial_keeps_what_is_whole(copies: dict[str, Path], tmp_path: Path) -> None:
    root = shutil.copytree(copies["aflw2000"], tmp_path / "set")
    (root / "image00001.jpg").unlink()
    assert len(listed(reader_of("aflw2000"), root, partial=True)) == len(drawn().pictures) - 1


def test_a_damaged_entry_is_left_out_with_its_reason_and_the_rest_is_kept(
    copies: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shutil.copytree(copies["aflw2000"], tmp_path / "set")
    (root / "image00001.mat").write_bytes(b"half a file")
    assert main(["data", "aflw2000", str(root), "--out", str(tmp_path / "out")]) == 0
    assert "is no MATLAB file" in " ".join(capsys.readouterr().out.split())
    assert len(open_prepared(tmp_path / "out", "aflw2000").keys) == len(drawn().pictures) - 1


def test_a_stopped_run_goes_on_without_reading_again(
    copies: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = reader_of("aflw2000")
    items = listed(reader, copies["aflw2000"])
    prepare_samples(reader, items[:2], tmp_path)
    taken: list[str] = []
    whole = type(reader).read

    def counted(self: Reader, item: object) -> object:
        taken.append(item.key)
        return whole(self, item)

    monkeypatch.setattr(type(reader), "read", counted)
    verdicts = prepare_samples(reader, items, tmp_path)
    assert taken == [item.key for item in items[2:]] and set(verdicts.values()) == {"kept"}


def test_a_prepared_folder_is_not_mixed_with_another_set(copies: dict[str, Path], tmp_path: Path) -> None:
    assert main(["data", "aflw2000", str(copies["aflw2000"]), "--out", str(tmp_path)]) == 0
    assert main(["data", "bfm", str(copies["bfm"]), "--out", str(tmp_path)]) == 2
    with pytest.raises(SetError, match="holds aflw2000, not bfm"):
        open_prepared(tmp_path, "bfm")
    assert research_sets({"source": [{"folder": str(tmp_path)}]}) == {"AFLW2000-3D (AFLW's: research only)"}
