"""Which photos share a look, and whose it is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plain_photo import plain_photo

sys.path.append(str(Path(__file__).parent))
from made_hair import SIDE, made_view

from backend.errors import LikenessError
from backend.geometry.template import Template
from backend.hair.groom.grow import GroomHead
from backend.hair.hair_views import HairView
from backend.hair.look import find_look
from backend.photos.collection import FaceClass, PhotoFace


def photo(
    template: Template, name: str, yaw: float, hair: str | None, beard: float = 0.0
) -> tuple[HairView, PhotoFace]:
    """A view and a face with the hair of a style; ``beard`` : share of the skin."""
    view = replace(made_view(template, yaw, hair), name=name)
    labels = np.where(view.face > 0.5, FaceClass.SKIN, FaceClass.BACKGROUND).astype(np.uint8)
    rows = np.cumsum((labels == FaceClass.SKIN).sum(1))
    bearded = (rows > (1 - beard) * rows[-1])[:, None] & (labels == FaceClass.SKIN)
    labels = np.where(bearded, FaceClass.FACIAL_HAIR, labels)
    labels = np.where(view.hair > 0.5, FaceClass.HAIR, labels).astype(np.uint8)
    pixels = np.where((labels == FaceClass.HAIR)[..., None], 60, 160).repeat(3, -1).astype(np.uint8)
    return view, plain_photo((SIDE, SIDE), name=name, pixels=pixels, labels=labels)


def look_of(head: GroomHead, photos: list[tuple[HairView, PhotoFace]], leader: str = ""):
    views, faces = zip(*photos, strict=True)
    return find_look(head, views, faces, leader)


def test_loose_and_cut_hair_are_two_looks_and_most_photos_decide(template: Template, head: GroomHead) -> None:
    loose = [photo(template, f"loose {yaw}", yaw, "bob") for yaw in (-20.0, 0.0, 25.0)]
    cut = [photo(template, f"cut {yaw}", yaw, "crew") for yaw in (-10.0, 15.0)]
    look = look_of(head, [*cut, *loose])
    assert set(look.photos) == {"loose -20.0", "loose 0.0", "loose 25.0"} and look.leader == look.photos[0]
    told = look_of(head, [*cut, *loose], "cut 15.0")
    assert told.photos == ("cut 15.0", "cut -10.0")


def test_a_shave_is_another_look_under_the_same_hair(template: Template, head: GroomHead) -> None:
    photos = [photo(template, name, 0.0, "side part", beard) for name, beard in (("a", 0.6), ("b", 0.0), ("c", 0.65))]
    assert set(look_of(head, photos).photos) == {"a", "c"}


def test_a_photo_with_a_hat_does_not_lead(template: Template, head: GroomHead) -> None:
    view, face = photo(template, "hat", 0.0, "side part")
    crown = view.camera.project(np.array([0.0, 0.80, 0.08]))[1]
    hidden = np.where(np.arange(SIDE)[:, None] < crown, 0.0, 1.0).astype(np.float32) * np.ones_like(view.visible)
    hat = replace(view, visible=hidden, trust=1.5)
    assert look_of(head, [(hat, face), photo(template, "bare", 5.0, "side part")]).leader == "bare"
    nothing = replace(hat, visible=np.zeros_like(hidden), trust=1.0)  # it differs from neither look
    two = [photo(template, "long", 0.0, "slicked back"), photo(template, "short", 0.0, "long straight")]
    assert look_of(head, [(nothing, face), *two]).leader != "hat"


def test_a_photo_that_is_not_there_cannot_lead(template: Template, head: GroomHead) -> None:
    with pytest.raises(LikenessError, match=r"'c\.jpg' is not among") as raised:
        look_of(head, [photo(template, name, 0.0, "crew") for name in ("a.jpg", "b.jpg")], "c.jpg")
    assert "a.jpg, b.jpg" in raised.value.advice
