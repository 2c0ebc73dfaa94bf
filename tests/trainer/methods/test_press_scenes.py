"""Scenes of press photos made from portraits: what changes, what stays, and that labels follow."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from backend.photos.collection import FaceClass
from trainer.methods.parsing.losses import IGNORE as UNKNOWN
from trainer.methods.parsing.scenes import (
    PressConfig,
    add_headbands,
    cast_shadows,
    change_scenes,
    dim_backdrops,
    put_microphones,
    tone_hair,
)

COUNT, SIDE = 8, 96
ALL = torch.ones(COUNT, dtype=torch.bool)


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
    dimmed = dim_backdrops(pictures, labels, ALL)
    for face_class in (FaceClass.SKIN, FaceClass.HAIR, FaceClass.NECK):
        where = inner(labels, face_class)[:, None].expand_as(pictures)
        assert torch.equal(dimmed[where], pictures[where])
    wall = (inner(labels, FaceClass.BACKGROUND) & (torch.arange(SIDE) < 60)[:, None])[:, None].expand_as(pictures)
    assert (dimmed[wall] < 0.7 * pictures[wall]).float().mean() > 0.95


def test_a_backdrop_may_become_as_bright_as_the_hair(heads: tuple[Tensor, Tensor]) -> None:
    pictures, labels = heads
    torch.manual_seed(2)
    dimmed = dim_backdrops(pictures, labels, ALL)
    hair = pictures[inner(labels, FaceClass.HAIR)[:, None].expand_as(pictures)].mean()
    walls = dimmed[:, :, 2:10, 10:90].mean((1, 2, 3))
    assert int(((walls / hair) - 1).abs().lt(0.7).sum()) >= 2
    assert float(walls.std()) > 0.03


def test_a_head_casts_its_shadow_beside_itself(heads: tuple[Tensor, Tensor]) -> None:
    pictures, labels = heads
    torch.manual_seed(3)
    shaded = cast_shadows(pictures, labels, ALL)
    where = inner(labels, FaceClass.HAIR)[:, None].expand_as(pictures)
    assert torch.equal(shaded[where], pictures[where])
    darker = (shaded < 0.8 * pictures).all(1)
    assert bool(darker.flatten(1).any(1).all())
    neck = inner(labels, FaceClass.NECK)
    assert not (darker & neck).any()
    columns = darker.any(1).float()
    left, right = columns[:, :28].sum(1), columns[:, 68:].sum(1)
    assert bool(((left > 2) ^ (right > 2)).all()), "the light comes from one side"


def test_hair_gets_another_tone_and_keeps_its_strands(heads: tuple[Tensor, Tensor]) -> None:
    pictures, labels = heads
    torch.manual_seed(4)
    toned = tone_hair(pictures, labels, ALL)
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
    worn, changed = add_headbands(pictures, labels, ALL)
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
    staged, changed = put_microphones(pictures, labels, ALL)
    new = changed != labels
    assert int(new.flatten(1).any(1).sum()) >= COUNT // 2
    assert bool((changed[new] == FaceClass.OCCLUDER).all())
    assert not (new & ((labels == FaceClass.BACKGROUND) | (labels == UNKNOWN))).any()
    assert not new[:, :40].any(), "below the brows"
    assert (staged - pictures).abs().mean(1)[new].mean() > 0.1


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(PressConfig)])
def test_only_a_share_of_the_pictures_changes(heads: tuple[Tensor, Tensor], name: str) -> None:
    pictures, labels = (part.repeat(8, *[1] * (part.dim() - 1)) for part in heads)
    torch.manual_seed(8)
    changed, _, where = change_scenes(pictures, labels, dataclasses.replace(PressConfig(), **{name: 0.5}))
    assert 16 <= int(where.flatten(1).any(1).sum()) <= 48
    assert float(changed.min()) >= 0 and float(changed.max()) <= 1
    same, unchanged, nowhere = change_scenes(pictures, labels, PressConfig())
    assert same is pictures and unchanged is labels and not nowhere.any()
