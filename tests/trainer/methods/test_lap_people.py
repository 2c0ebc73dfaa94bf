"""LAP on people with several photos: what a held-back photo is rendered from, and how it is compared."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lap_parts import SMALL_NET

from backend.models.lap.network import LapNet
from trainer.evaluate.metrics import ssim
from trainer.methods.lap import evaluate as lap_people


def picture(seed: int, size: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_ssim_is_one_for_the_same_and_falls_with_blur_and_contrast() -> None:
    import cv2

    first, mask = picture(0), np.ones((48, 48), bool)
    assert ssim(first, first, mask) == pytest.approx(1)
    blurred = cv2.GaussianBlur(first, (0, 0), 1.0)
    assert 0 < ssim(first, cv2.GaussianBlur(first, (0, 0), 3.0), mask) < ssim(first, blurred, mask) < 1
    assert ssim(first, 255 - first, mask) < 0
    with pytest.raises(ValueError, match="empty"):
        ssim(first, first, ~mask)


def test_a_held_back_photo_is_rendered_from_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = LapNet(dataclasses.replace(SMALL_NET, decoder="convolution")).eval()
    monkeypatch.setattr(
        lap_people, "upright_square", lambda landmarks: SimpleNamespace(cut=lambda pixels, size: pixels)
    )
    people = {
        name: [SimpleNamespace(pixels=picture(10 * number + k, 32), landmarks=None) for k in range(count)]
        for number, (name, count) in enumerate({"a": 3, "b": 2, "alone": 1}.items())
    }
    found = lap_people.held_back(network, people)
    assert {name: len(photos) for name, photos in found.items()} == {"a": 3, "b": 2}
    before = found["b"][0]
    people["b"][1] = SimpleNamespace(pixels=255 - people["b"][1].pixels, landmarks=None)
    after = lap_people.held_back(network, people)["b"][0]
    assert (before.photo == after.photo).all() and (before.render != after.render).any()


def test_distances_leave_out_the_photo_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def embedding(shown: np.ndarray) -> np.ndarray:
        return shown.reshape(-1, 3).mean(0)[:1].astype(float)

    monkeypatch.setattr(lap_people, "face_embedding", embedding)

    def one(photo: int, render: int) -> lap_people.HeldOutRender:
        plain = [np.full((16, 16, 3), value, np.uint8) for value in (photo, render, 128)]
        return lap_people.HeldOutRender(plain[0], plain[1], np.ones((16, 16), bool), plain[2])

    figures = lap_people.people_figures({"a": [one(100, 110), one(120, 110)], "b": [one(200, 210), one(200, 190)]})
    share = 0.36  # of the framed picture, (300 / 500) squared
    assert figures["people.identity.photo"] == pytest.approx(share * 10, rel=0.01), "20 apart in a, 0 in b"
    assert figures["people.identity"] == pytest.approx(share * 10, rel=0.01)
    assert figures["people.identity.others"] == pytest.approx(share * 90, rel=0.01)
    assert figures["people.identity.found"] == 1 and figures["people.photos"] == 4
