"""Black-and-white portraits as colour photographs: which change, and what each class gets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from backend.photos.collection import FaceClass
from trainer.losses.photometric import luminance
from trainer.losses.segmentation import IGNORE
from trainer.stages.colour_prints import colour_prints

COUNT, SIDE = 12, 64


@pytest.fixture
def labels() -> Tensor:
    """A face with hair, lips and a moustache before a wall; unknown pixels around the hair."""
    labels = torch.zeros(COUNT, SIDE, SIDE, dtype=torch.uint8)
    labels[:, 4:50, 12:52] = IGNORE
    labels[:, 6:48, 14:50] = FaceClass.HAIR
    labels[:, 16:56, 20:44] = FaceClass.SKIN
    labels[:, 34:40, 26:38] = FaceClass.FACIAL_HAIR
    labels[:, 40:46, 26:38] = FaceClass.LIPS
    return labels


def grey(seed: int = 0) -> Tensor:
    """(N, 3, H, W) grey pictures of all brightnesses."""
    return (0.1 + 0.8 * torch.rand(COUNT, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))).repeat(
        1, 3, 1, 1
    )


def red_to_blue(pictures: Tensor, where: Tensor) -> Tensor:
    """(N,) means of red over blue where each picture is ``where`` (N, H, W)."""
    ratio = (pictures[:, 0] + 0.01) / (pictures[:, 2] + 0.01)
    return torch.stack([ratio[index][where[index]].mean() for index in range(COUNT)])


def test_brightness_stays_and_skin_becomes_skin(labels: Tensor) -> None:
    torch.manual_seed(0)
    before = grey()
    coloured, changed = colour_prints(before, labels, 1.0)
    assert bool(changed.all())
    unclipped = (coloured.amax(1) < 0.999) & (coloured.amin(1) > 0.001)
    off = (luminance(coloured) - luminance(before))[:, 0][unclipped].abs()
    assert unclipped.float().mean() > 0.8 and float(off.max()) < 0.01
    skin = red_to_blue(coloured, labels == FaceClass.SKIN)
    assert float(skin.min()) > 1.1 and float(skin.max()) < 2.2
    assert float(skin.std()) > 0.02, "each time another skin"


def test_lips_are_redder_than_skin_and_beards_less(labels: Tensor) -> None:
    torch.manual_seed(1)
    coloured, _ = colour_prints(torch.full((COUNT, 3, SIDE, SIDE), 0.5), labels, 1.0)
    ratio = (coloured[:, 0] + 0.01) / (coloured[:, 1] + 0.01)
    skin, lips, beard = (
        ratio[:, area[0], area[1]].mean((1, 2))
        for area in ((slice(20, 30), slice(24, 40)), (slice(42, 44), slice(29, 35)), (slice(36, 38), slice(29, 35)))
    )
    assert bool((lips > skin).all())
    assert int((beard < skin).sum()) >= COUNT - 2


def test_old_prints_of_one_tint_get_colours_too_and_colour_photographs_stay(labels: Tensor) -> None:
    torch.manual_seed(2)
    sepia = grey() * torch.tensor([1.0, 0.85, 0.65]).view(1, 3, 1, 1)
    assert bool(colour_prints(sepia, labels, 1.0)[1].all())
    colour = torch.rand(COUNT, 3, SIDE, SIDE)
    kept, changed = colour_prints(colour, labels, 1.0)
    assert not bool(changed.any()) and torch.equal(kept, colour)


def test_a_share_of_the_prints_stays_as_it_is(labels: Tensor) -> None:
    torch.manual_seed(3)
    before = grey()
    coloured, changed = colour_prints(before, labels, 0.5)
    assert 0 < int(changed.sum()) < COUNT
    assert torch.equal(coloured[~changed], before[~changed])
    assert bool(((coloured - before).abs().amax((1, 2, 3)) > 0.02)[changed].all())


def test_what_nobody_knows_gets_the_colours_beside_it(labels: Tensor) -> None:
    labels[:] = IGNORE
    labels[:, :, SIDE // 2 :] = FaceClass.SKIN
    torch.manual_seed(4)
    coloured, _ = colour_prints(grey(), labels, 1.0)
    beside = torch.zeros_like(labels, dtype=torch.bool)
    beside[:, :, SIDE // 2 - 1] = True
    assert float(red_to_blue(coloured, beside).min()) > 1.05
