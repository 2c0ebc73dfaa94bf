"""Every reader on a made-up copy of its format; what a wrong, half or damaged folder ends in; resuming; licences."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up import FACE_MODES, PHOTOS, WRITERS, copy_of, drawn, head
from PIL import Image
from scipy.io import loadmat, savemat

from backend.geometry.template import load_template
from backend.photos.collection import FaceClass
from backend.photos.faces import face_square
from trainer.__main__ import main
from trainer.engine.disk_cache import LeftOut, PreparedSet, SetError, open_prepared
from trainer.engine.logs import research_sets
from trainer.methods.graph_face.data import GraphFittedConfig, GraphShapesConfig
from trainer.people.shape import points_on
from trainer.portraits.collection import CacheSettings, PortraitsConfig
from trainer.sets.annotated import frame_of, matlab
from trainer.sets.prepare import READERS, prepare_photos, prepare_samples, reader_of
from trainer.sets.reader import KEPT, Item, LimitedReader, key_of, listed
from trainer.sets.scans import picked_points

MUTATED = int(os.environ.get("LIKENESS_MUTATED", "20"))
"""Entries of each format; 500 take two minutes of one core. BFM.mat is cut, so that no head is fitted to it."""
OUTSIDE = "lies outside the folder"
PICTURES = [name for name in WRITERS if not READERS[name].fields]


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sets")
    return {name: copy_of(name, folder) for name in WRITERS}


def test_every_reader_names_its_licence_and_what_it_needs() -> None:
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
        ("bfm", "test/depth/depth_1.png"),
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
    assert name != "aflw2000" or len(listed(reader_of(name), root, partial=True)) == len(drawn().pictures) - 1
    missing = {Path(gone).name, Path(gone).stem.replace("depth", "image")}
    assert any(word in str(refused.value) for word in missing) or READERS[name].needs[-1] in str(refused.value)


def test_a_stopped_run_goes_on_without_reading_again(copies: dict[str, Path], tmp_path: Path) -> None:
    root = shutil.copytree(copies["aflw2000"], tmp_path / "set")
    reader = reader_of("aflw2000")
    items = listed(reader, root)
    prepare_samples(reader, items[:2], tmp_path)
    for item in items[:2]:
        item.files["fit"].write_bytes(b"half a file")
    assert set(prepare_samples(reader, items, tmp_path).values()) == {"kept"}


def test_the_page_s_reader_prepares_a_set_of_one_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "data_sets.md").read_text()
    (tmp_path / "mine.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    for key, count in (("ann_1", 68), ("ann_2", 5)):
        Image.new("RGB", (20, 10), "red").save(tmp_path / f"{key}.png")
        np.savetxt(tmp_path / f"{key}.txt", np.ones((count, 2 + (count == 68))))
    command = [sys.executable, "-m", "trainer", "data", "mine:Mine", ".", "--out", "out"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    prepared = open_prepared(tmp_path / "out", "mine")
    assert prepared.keys == ["ann_1"]
    assert prepared.sample("ann_1")["landmarks"].shape == (68, 3)
    assert "mine: entries 0/2" in result.stdout and "it has no 68 landmarks" in result.stdout
    with pytest.raises(SetError, match="no set 'mine:Yours'"):
        reader_of("mine:Yours")


def spoiled(fit: Path, **values: np.ndarray) -> None:
    savemat(fit, {name: value for name, value in loadmat(fit).items() if name[0] != "_"} | values)


def crashing(fit: Path) -> None:
    data = bytearray(fit.read_bytes())
    data[144] = 5  # the first variable's class is sparse: scipy reads memory that is not its own
    fit.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (crashing, "is damaged: its reader crashed, or took too long"),
        (lambda fit: spoiled(fit, pt3d_68=np.full((3, 68), np.nan)), "landmarks holds values that are not numbers"),
        (lambda fit: fit.write_bytes(b"half a file"), "image00001.mat is no MATLAB file"),
        (lambda fit: spoiled(fit, Pose_Para=np.full(7, 1j)), "cannot be read (ComplexWarning)"),
        (lambda fit: fit.symlink_to(fit.rename(fit.parent.parent / "x.mat")), OUTSIDE),
    ],
)
def test_a_hostile_entry_is_left_out_alone(spoil: Callable, reason: str, copies: dict, tmp_path: Path) -> None:
    root = shutil.copytree(copies["aflw2000"], tmp_path / "set")
    spoil(root / "image00001.mat")
    reader = reader_of("aflw2000")
    verdicts = prepare_samples(reader, listed(reader, root), tmp_path / "out")
    assert verdicts.pop("image00001") == reason and set(verdicts.values()) == {"kept"}


class Greedy(type(reader_of("aflw2000"))):
    """What the system kills while it reads, as where memory runs out."""

    def read(self, item: Item) -> dict[str, np.ndarray]:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_reader_without_memory_calls_nothing_damaged(copies: dict[str, Path], tmp_path: Path) -> None:
    item = next(iter(listed(reader := Greedy(), copies["aflw2000"])))
    with LimitedReader(reader) as read:
        assert read(item, tmp_path / "sample.npz") == "was not read: memory ran out"


def test_a_name_in_another_encoding_does_not_spoil_picked_points(tmp_path: Path) -> None:
    point = '<point x="1" y="2" z="3" name="Jos\xe9"/>'
    (tmp_path / "scan.pp").write_text(f"<!DOCTYPE PickedPoints>\n<PickedPoints>{point}</PickedPoints>", "latin-1")
    assert picked_points(tmp_path / "scan.pp").tolist() == [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("aflw2000", "image00000.mat"),
        ("aflw2000", "image00000.jpg"),
        ("bfm", "test/depth/depth_0.png"),
        ("300w_lp", "HELEN/HELEN_0_1_0.mat"),
        ("face_model", "BFM.mat"),
    ],
)
def test_mutated_entries_are_read_or_left_out(name: str, file: str, copies: dict[str, Path], tmp_path: Path) -> None:
    path, reader = shutil.copytree(copies[name], tmp_path / name) / file, reader_of(name)
    item, data = (
        next(item for item in listed(reader, tmp_path / name) if path in item.files.values()),
        path.read_bytes(),
    )
    others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # children of earlier tests
    draw, said = np.random.default_rng(5), set()
    with LimitedReader(reader) as read:
        for _ in range(MUTATED):
            places = draw.integers(min(len(data), 1000), size=draw.integers(1, 9))  # headers and first blocks
            path.write_bytes(bytes(draw.integers(256) if k in places else one for k, one in enumerate(data[:20_000])))
            said.add(read(item, tmp_path / "sample.npz"))
    assert said - {KEPT} and not any("Traceback" in verdict or "\n" in verdict for verdict in said)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(others, 2**20)  # KiB


def test_a_damaged_count_of_structures_takes_no_memory(tmp_path: Path) -> None:
    savemat(tmp_path / "BFM.mat", {"model": {"shapeMU": np.zeros(3)}})
    data = bytearray((tmp_path / "BFM.mat").read_bytes())
    data[162] = 177  # eleven million structures instead of one
    (tmp_path / "BFM.mat").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(LeftOut, match="no MATLAB file"):
        matlab(tmp_path / "BFM.mat")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_maps_are_png_of_a_map_s_size(copies: dict[str, Path], tmp_path: Path) -> None:
    root = shutil.copytree(copies["bfm"], tmp_path / "set")
    Image.new("L", (64, 64)).save(root / "test/depth/depth_0.png", "JPEG2000")
    Image.new("1", (16000, 16000)).save(root / "test/depth/depth_1.png")
    reader = reader_of("bfm")
    verdicts = list(prepare_samples(reader, listed(reader, root), tmp_path / "out").values())
    assert verdicts == [f"depth/depth_{k}.png cannot be read as PNG" for k in range(2)] + ["kept"] * 2


def test_a_list_names_no_file_outside_the_folder(copies: dict[str, Path], tmp_path: Path) -> None:
    root = shutil.copytree(copies["celeba"], tmp_path / "set")
    for name in ("x.jpg", "y.jpg"):
        shutil.copy(root / "img_align_celeba/000001.jpg", tmp_path / name)
    lines = (root / "identity_CelebA.txt").read_text().splitlines()[:-1]  # the last is in the set's test part
    (root / "identity_CelebA.txt").write_text("\n".join(["../../x.jpg 10", f"{tmp_path}/y.jpg 10", *lines[2:]]))
    reader, settings = reader_of("celeba"), CacheSettings(32, "face", 40.0, True, "label_face")
    verdicts = prepare_photos(reader, listed(reader, root), root, tmp_path / "out", settings)
    assert [verdicts["x"], verdicts["y"]] == [OUTSIDE] * 2 and list(verdicts.values()).count("kept") == len(lines) - 2


def test_damaged_lists_and_cards_are_one_sentence(copies: dict[str, Path], tmp_path: Path) -> None:
    for name, content in (("celeba", b"\xff.jpg 1"), ("now", b"IMG_1.jpg")):
        root = shutil.copytree(copies[name], tmp_path / name)
        (root / READERS[name].needs[1 if name == "celeba" else 0].removeprefix("**/")).write_bytes(content)
        with pytest.raises(SetError, match="is damaged"):
            listed(reader_of(name), root)
    for content in ("[]", "{", '{"name": "bfm"}'):
        (tmp_path / "card.json").write_text(content)
        with pytest.raises(SetError, match="is damaged"):
            open_prepared(tmp_path, "bfm")


def test_every_path_has_its_own_short_key() -> None:
    root = Path("set")
    paths = [
        root / "a_b/c.jpg",
        root / "a/b_c.jpg",
        root / "a b/c.jpg",
        *(root / ("d" * 250) / f"{k}.jpg" for k in "12"),
    ]
    keys = {key_of(path, root) for path in paths}
    assert len(keys) == len(paths) and all(len(key) <= 120 and "/" not in key for key in keys)


def test_a_playlist_named_as_a_clip_shows_no_other_film(copies: dict[str, Path], tmp_path: Path) -> None:
    film = copies["voxceleb"] / "id10001/abc/00001.avi"
    assert frame_of(film, 3, 4, tmp_path / "whole.png").is_file()
    clip = tmp_path / "00001.mp4"
    clip.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{film.as_uri()}\n#EXT-X-ENDLIST\n")
    with pytest.raises(LeftOut, match="cannot be played"):
        frame_of(clip, 0, 4, tmp_path / "other.png")


def test_a_prepared_set_opens_neither_damaged_samples_nor_photos_elsewhere(tmp_path: Path) -> None:
    prepared = PreparedSet(tmp_path, {"root": str(tmp_path / "set")})
    with pytest.raises(LeftOut, match=OUTSIDE):
        prepared.photo("../x.jpg")
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/a.npz").write_bytes(b"PK\x03\x04 and half a file")
    with pytest.raises(SetError, match="is damaged"):
        prepared.sample("a")


def test_a_prepared_folder_is_not_mixed_with_another_set(copies: dict[str, Path], tmp_path: Path) -> None:
    assert main(["data", "aflw2000", str(copies["aflw2000"]), "--out", str(tmp_path)]) == 0
    assert main(["data", "bfm", str(copies["bfm"]), "--out", str(tmp_path)]) == 2
    with pytest.raises(SetError, match="holds aflw2000, not bfm"):
        open_prepared(tmp_path, "bfm")
    assert research_sets({"source": [{"folder": str(tmp_path)}]}) == {"AFLW2000-3D (AFLW's: research only)"}


def test_a_scan_with_texture_coordinates_first_keeps_its_own_points(copies: dict[str, Path]) -> None:
    reader = reader_of("bu3dfe")
    sample = reader.read(listed(reader, copies["bu3dfe"])[0])
    assert np.allclose(sample["vertices"], head(0)[0], atol=1e-5)
    assert list(sample["groups"]) == ["NE00"]


def test_the_videos_of_a_scan_are_named_as_the_set_names_them(copies: dict[str, Path]) -> None:
    reader = reader_of("micc")
    sample = reader.read(listed(reader, copies["micc"])[0])
    assert list(sample["groups"]) == [name for name in ("Cooperative", "Indoor", "Outdoor") for _ in range(PHOTOS)]


def test_masks_are_those_of_the_test_part_s_people_and_fit_their_pictures(copies: dict[str, Path]) -> None:
    reader = reader_of("celebamask")
    items = listed(reader, copies["celebamask"])
    assert [item.key for item in items] == ["1", "3"]
    sample = reader.read(items[1])
    assert np.array_equal(sample["lips"][0], drawn().people.labels[3].numpy() == FaceClass.LIPS)
    assert np.abs(sample["picture"].astype(int) - drawn().pictures[3]).mean() < 3


def test_depth_maps_are_no_photographs(copies: dict[str, Path]) -> None:
    reader = reader_of("realy")
    assert list(reader.read(listed(reader, copies["realy"])[0])["photos"]) == ["REALY_image/1.png"]


@pytest.mark.slow
def test_other_topologies_become_our_head_and_300w_lp_lies_on_its_photos(
    copies: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path / "cache"))
    prepared = {}
    for name, person in (("300w_lp", "HELEN_HELEN_0_1"), ("face_model", "model"), ("flame", "person0")):
        assert main(["data", name, str(copies[name]), "--out", str(tmp_path / name)]) == 0
        prepared[name] = open_prepared(tmp_path / name, name)
        assert next(iter(prepared[name].card["kept"].values())) == person
    template, people = load_template(), drawn().people
    count = template.head.vertex_stop
    face = template.regions["face"][:count] > 0.5

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.linalg.norm((one - other)[..., :count, :][..., face, :], axis=-1).mean())

    model, modes = prepared["face_model"].sample("model"), template.identity_modes[:FACE_MODES]
    assert model["unit"] == 1e-6 and apart(model["neutral"], template.vertices) < 0.0002
    assert apart(model["identity"], modes) < 0.15 * apart(modes, 0 * modes)
    neutral = [prepared["flame"].sample(key)["neutral"] for key in prepared["flame"].keys]
    assert apart(np.stack(neutral), people.neutral[::PHOTOS].numpy()) < 0.0005
    sets = {"folder": str(tmp_path / "300w_lp"), "face_model": str(tmp_path / "face_model")}
    assert len(research_sets({"source": sets})) == 2
    batch = GraphFittedConfig(**sets, size=64, photos=PHOTOS).build().batch(range(2), people.person.device)
    true = people.neutral.numpy()
    assert batch.told.all() and batch.person.tolist() == [0, 0, 1, 1]
    assert apart(batch.neutral.numpy(), true) < 0.75 * apart(template.vertices, true)
    for row, marks in enumerate(points_on(template.landmarks68, batch.photos.places).numpy()):
        to_photo = face_square(people.landmarks478[row].numpy())
        pixels = (marks - 0.5) * to_photo.side + to_photo.centre
        assert np.linalg.norm(pixels - drawn().marks[row, :, :2], axis=1).mean() < 0.04 * to_photo.side
    heads = GraphShapesConfig(folder=str(tmp_path / "flame")).build().batch(range(3), people.person.device)
    assert np.allclose(heads.neutral[::2].numpy(), np.stack([*neutral, neutral[0]]))
