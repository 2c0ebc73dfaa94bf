"""Press photos: scenes made from portraits, other backdrops, and decisions that are counted."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from backend.errors import EXIT_CODES
from backend.photos.collection import FaceClass
from trainer.__main__ import main
from trainer.methods.parsing import evaluate as parsing_press
from trainer.methods.parsing import scenes
from trainer.methods.parsing.evaluate import KINDS, PressPhoto, count_wrong, press_figures, read_press_photos
from trainer.methods.parsing.scenes import IGNORE as UNKNOWN
from trainer.portraits.collection import sheet_photographs

COUNT, SIDE = 8, 96
ALL = torch.ones(COUNT, dtype=torch.bool)
CHIN = 40


@pytest.fixture
def heads() -> tuple[Tensor, Tensor]:
    """Heads before a bright wall: dark hair, skin, brows, lips, a neck, clothes; unknown pixels at the left."""
    labels = torch.zeros(COUNT, SIDE, SIDE, dtype=torch.uint8)
    labels[:, 14:66, 28:68] = FaceClass.HAIR
    labels[:, 30:66, 34:62] = FaceClass.SKIN
    labels[:, 40:42, 38:58] = FaceClass.BROWS
    labels[:, 57:60, 42:54] = FaceClass.LIPS
    labels[:, 66:74, 40:56] = FaceClass.NECK
    labels[:, :, :6] = UNKNOWN
    generator = torch.Generator().manual_seed(0)
    tones = torch.full((FaceClass.OCCLUDER + 1,), 0.6)
    tones[FaceClass.BACKGROUND], tones[FaceClass.HAIR] = 0.8, 0.15
    pictures = tones[labels.clamp(max=FaceClass.OCCLUDER).long()][:, None].repeat(1, 3, 1, 1)
    pictures[:, 0] *= 1.1
    return (pictures + 0.05 * torch.rand(pictures.shape, generator=generator)).clamp(0, 1), labels


def inner(labels: Tensor, face_class: FaceClass) -> Tensor:
    """(N, H, W) bool: pixels of a class whose neighbours two pixels around have it too."""
    other = (labels != face_class).float()[:, None]
    return torch.nn.functional.max_pool2d(other, 5, stride=1, padding=2)[:, 0] == 0


def test_a_backdrop_becomes_dark_and_the_head_stays(heads: tuple[Tensor, Tensor]) -> None:
    pictures, labels = heads
    torch.manual_seed(1)
    dimmed = scenes.dim_backdrops(pictures, labels, ALL)
    for face_class in (FaceClass.SKIN, FaceClass.HAIR, FaceClass.NECK):
        where = inner(labels, face_class)[:, None].expand_as(pictures)
        assert torch.equal(dimmed[where], pictures[where])
    wall = (inner(labels, FaceClass.BACKGROUND) & (torch.arange(SIDE) < 60)[:, None])[:, None].expand_as(pictures)
    assert (dimmed[wall] < 0.7 * pictures[wall]).float().mean() > 0.95


def test_hair_gets_another_tone_and_keeps_its_strands(heads: tuple[Tensor, Tensor]) -> None:
    pictures, labels = heads
    torch.manual_seed(4)
    toned = scenes.tone_hair(pictures, labels, ALL)
    hair = inner(labels, FaceClass.HAIR)
    means = torch.stack([toned[index, 1][hair[index]].mean() for index in range(COUNT)])
    assert float(means.max() - means.min()) > 0.3
    before, after = pictures[0, 1][hair[0]], toned[0, 1][hair[0]]
    assert float(torch.corrcoef(torch.stack([before, after]))[0, 1]) > 0.8
    skin = inner(labels, FaceClass.SKIN)[:, None].expand_as(pictures)
    assert torch.equal(toned[skin], pictures[skin])


def test_a_band_is_an_occluder_between_hair_and_brows(heads: tuple[Tensor, Tensor]) -> None:
    pictures, labels = heads
    torch.manual_seed(6)
    worn, changed = scenes.add_headbands(pictures, labels, ALL)
    band = changed == FaceClass.OCCLUDER
    assert bool(band.flatten(1).any(1).all())
    assert not band[:, 41:].any(), "above the brows"
    assert torch.equal(changed[~band], labels[~band])
    assert not (band & (labels == FaceClass.BACKGROUND)).any()
    above_band = (changed[:, :20] == FaceClass.HAIR).flatten(1).any(1)
    assert int(above_band.sum()) >= COUNT // 2, "hair above a band stays hair"
    assert (worn - pictures).abs().mean(1)[band].mean() > 0.05


def test_a_microphone_hides_what_it_stands_before_and_no_backdrop(heads: tuple[Tensor, Tensor]) -> None:
    pictures, labels = heads
    torch.manual_seed(7)
    staged, changed = scenes.put_microphones(pictures, labels, ALL)
    new = changed != labels
    assert int(new.flatten(1).any(1).sum()) >= COUNT // 2
    assert bool((changed[new] == FaceClass.OCCLUDER).all())
    assert not (new & ((labels == FaceClass.BACKGROUND) | (labels == UNKNOWN))).any()
    assert not new[:, :40].any(), "below the brows"
    assert (staged - pictures).abs().mean(1)[new].mean() > 0.1


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(scenes.PressConfig)])
def test_only_a_share_of_the_pictures_changes(heads: tuple[Tensor, Tensor], name: str) -> None:
    pictures, labels = (part.repeat(8, *[1] * (part.dim() - 1)) for part in heads)
    torch.manual_seed(8)
    changed, _, where = scenes.change_scenes(pictures, labels, dataclasses.replace(scenes.PressConfig(), **{name: 0.5}))
    assert 16 <= int(where.flatten(1).any(1).sum()) <= 48
    assert float(changed.min()) >= 0 and float(changed.max()) <= 1
    same, unchanged, nowhere = scenes.change_scenes(pictures, labels, scenes.PressConfig())
    assert same is pictures and unchanged is labels and not nowhere.any()


@pytest.fixture
def heads_of_backdrops() -> tuple[torch.Tensor, torch.Tensor]:
    """Four pictures with a head of hair and skin down to row 39, clothes below, unknown pixels to the left."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(4, 64, 64, dtype=torch.uint8)
    labels[:, 8:20, 20:44] = FaceClass.HAIR
    labels[:, 20:CHIN, 22:42] = FaceClass.SKIN
    labels[:, CHIN:46, 26:38] = FaceClass.NECK
    labels[:, :, :5] = 255
    return torch.rand(4, 3, 64, 64, generator=generator), labels


def test_what_is_behind_a_head_is_background_above_the_chin(
    heads_of_backdrops: tuple[torch.Tensor, torch.Tensor],
) -> None:
    _, labels = heads_of_backdrops
    behind = scenes.behind_heads(labels)
    assert torch.equal(behind[:, :CHIN], labels[:, :CHIN] == FaceClass.BACKGROUND)
    assert not behind[:, CHIN:].any(), "clothes are not behind a head"


def test_a_picture_without_a_face_has_nothing_behind_it() -> None:
    assert not scenes.behind_heads(torch.zeros(1, 16, 16, dtype=torch.uint8)).any()


def test_heads_clothes_and_unknown_pixels_stay(heads_of_backdrops: tuple[torch.Tensor, torch.Tensor]) -> None:
    pictures, labels = heads_of_backdrops
    torch.manual_seed(3)
    changed, where = scenes.change_backdrops(pictures, labels, 1.0)
    assert torch.equal(where, scenes.behind_heads(labels))
    kept = ~where[:, None].expand_as(pictures)
    assert torch.equal(changed[kept], pictures[kept])
    beside_kept = functional.max_pool2d((~where).float()[:, None], 3, stride=1, padding=1) > 0
    inner = ~beside_kept.expand_as(pictures)
    assert (changed - pictures)[inner].abs().mean() > 0.1, "another picture is there"


def test_missed_and_invented_are_counted_where_it_is_known() -> None:
    truths = [
        {"glasses": True, "beard": False},
        {"glasses": False, "beard": None},
        {"glasses": True, "beard": True},
        {"glasses": False, "beard": False},
    ]
    found = [
        {"glasses": False, "beard": True},
        {"glasses": True, "beard": True},
        {"glasses": True},
        {"glasses": False, "beard": False},
    ]
    assert count_wrong(truths, found) == {
        "glasses.worn": 2,
        "glasses.bare": 2,
        "glasses.missed": 1,
        "glasses.invented": 1,
        "beard.bare": 2,
        "beard.missed": 0,
        "beard.invented": 1,
    }


def test_the_list_names_each_photo_once_and_nobody_of_the_sheet() -> None:
    photos = read_press_photos()
    assert len({photo.path for photo in photos}) == len(photos) >= 800
    judged = {Path(path).parent.name for path in sheet_photographs() if "lfw" in path}
    assert judged and not judged & {photo.person for photo in photos}
    people = [photo.person for photo in photos]
    changes = sum(one != other for one, other in itertools.pairwise(people))
    assert changes + 1 == len(set(people)), "photos of one person lie in a row"
    worn = Counter(kind for photo in photos for kind in KINDS if photo.worn[kind])
    assert min(worn[kind] for kind in KINDS) > 20


@pytest.mark.photos
def test_real_photographs_are_looked_at_alone_and_with_votes(photo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = sorted((photo_dir / "people" / "emotions_a").glob("*"))[1:3]  # on the first, hands are on the head
    bare = dict.fromkeys(KINDS, False)
    listed = tuple(PressPhoto(str(photo.relative_to(photo_dir)), bare) for photo in photos)
    monkeypatch.setattr(parsing_press, "read_press_photos", lambda: listed)
    figures = press_figures(photo_dir)
    for kind in KINDS:
        assert figures[f"press.{kind}.bare"] == 2 and figures[f"press.{kind}.invented"] == 0
    assert figures["press.together.beard.bare"] == 2


@pytest.mark.parametrize("option", ["--press", "--portraits"])
def test_a_missing_photograph_is_one_sentence(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["trainer", "evaluate", "parsing", "--people", "0", option, str(tmp_path)])
    assert main() == EXIT_CODES["no_photo"]
    told = capsys.readouterr().err
    assert str(tmp_path) in told and "no such file" in told and "Traceback" not in told
