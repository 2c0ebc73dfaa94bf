"""What photographs say of hair: the edges of bald heads, which parsing nets call hair."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from plain_photo import plain_photo

sys.path.append(str(Path(__file__).parent))
from made_hair import camera, made_view

from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import Template
from backend.geometry.vectors import disc
from backend.hair.hair_views import HairView, hair_density, hair_views, strand_direction
from backend.photos.collection import FaceClass, PhotoFace

SCALE = 2  # of the crop, beside the views of made_hair


def rimmed(
    template: Template, metres: float, hat: bool = False, thin_right_of: float = np.inf
) -> tuple[HairView, HairView]:
    """The view of a bald head whose upper edge is labelled as hair, so many metres wide, right of a column 10 mm, and
    that of the plain one."""
    bald = made_view(template, 0.0, None)
    size = (SCALE * bald.depth.shape[1], SCALE * bald.depth.shape[0])
    head = cv2.resize(np.isfinite(bald.depth).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    head[int(SCALE * bald.camera.project(np.array([0.0, 0.73, 0.0]))[1]) :] = 0
    inner = cv2.erode(head, disc(round(metres * SCALE * bald.pixels_per_metre)))
    narrow = cv2.erode(head, disc(round(0.010 * SCALE * bald.pixels_per_metre)))
    inner = np.where(np.arange(size[0]) > SCALE * thin_right_of, narrow, inner)
    labels = np.where(head > 0, FaceClass.SKIN, FaceClass.BACKGROUND).astype(np.uint8)
    plain = face_of(labels)
    labels = np.where((head > 0) & (inner == 0), FaceClass.HAIR, labels).astype(np.uint8)
    if hat:
        labels[: int(SCALE * bald.camera.project(np.array([0.0, 0.835, 0.0]))[1])] = FaceClass.OCCLUDER
    return tuple(view_of(template, one) for one in (face_of(labels), plain))


def view_of(template: Template, face: PhotoFace) -> HairView:
    """The view of a photo of the mean head."""
    photo = FittedPhoto("1.jpg", camera(0.0).scaled(SCALE), np.zeros(52), template.vertices, np.zeros((9, 3)), 1.0, 0.1)
    mean = np.zeros((template.head.vertex_stop, 3), np.float32)
    return hair_views(template, FittedFace(np.zeros(1), template.vertices, mean, (photo,)), [face])[0]


def face_of(labels: np.ndarray) -> PhotoFace:
    pixels = np.full((*labels.shape, 3), 90, np.uint8)
    return replace(plain_photo(labels.shape, name="1.jpg", pixels=pixels, labels=labels), name="1.jpg")


def on_top(template: Template, view: HairView) -> np.ndarray:
    """The pixels above the middle of the forehead."""
    return np.arange(len(view.hair))[:, None] < view.camera.project(np.array([0.0, 0.82, 0.0]))[1]


def test_the_edge_of_a_bald_head_is_no_hair(template: Template) -> None:
    view, plain = rimmed(template, 0.010)
    top = on_top(template, view)
    assert (view.hair * top).sum() < 0.02 * (plain.face * top).sum()
    np.testing.assert_allclose((view.face * top).sum(), (plain.face * top).sum(), rtol=0.02)


def test_hair_that_is_seen_aslant_beside_the_head_stays(template: Template) -> None:
    view, _ = rimmed(template, 0.010)
    assert (view.hair * ~on_top(template, view)).sum() > 20


def test_hair_that_is_as_wide_as_a_receding_hair_line_leaves_it_stays(template: Template) -> None:
    view, _ = rimmed(template, 0.025)
    top = on_top(template, view)
    assert (view.hair * top).sum() > 3 * (view.face * top).sum()


def test_a_strip_of_hair_below_a_hat_is_hair(template: Template) -> None:
    below, _ = rimmed(template, 0.010, hat=True)
    rows = np.arange(len(below.hair))[:, None]
    beside = rows < below.camera.project(np.array([0.0, 0.82, 0.0]))[1]
    assert (below.hair * beside).sum() > 3


def test_thin_parts_of_hair_that_is_mostly_wide_stay(template: Template) -> None:
    """A receding hair line leaves thin hair at one place: real hair, and seen aslant."""
    wide, _ = rimmed(template, 0.030)
    one_side = wide.camera.project(np.array([0.02, 0.85, 0.0]))[0]
    thin, _ = rimmed(template, 0.030, thin_right_of=float(one_side))
    top = on_top(template, thin)
    right = np.arange(thin.hair.shape[1]) > one_side
    assert (thin.hair * top * right).sum() > 10


def test_beside_the_border_of_the_file_labels_do_not_end_the_hair(template: Template) -> None:
    """Parsing nets round off hair that the file cuts."""
    shown = made_view(template, 0.0, "afro")
    labels = cv2.resize((shown.hair > 0.5).astype(np.uint8), None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_NEAREST)
    first = np.flatnonzero(labels.any(1))[0] + 12  # the file's first row
    labels[: first + 1] = 0
    face = replace(face_of(FaceClass.HAIR * labels), crop_offset=(0.0, -float(first)))
    view = view_of(template, face)
    start = np.flatnonzero((view.visible > 0).any(1))[0]
    hair = view.hair[start] > 0.5
    assert hair.sum() > 20, "the file's first row, which has no hair, is unknown"
    assert view.visible[start, hair].min() == 1 and view.visible[start, ~hair].max() == 0
    assert view.visible[start + 12].min() == 1


@pytest.mark.parametrize(("sides", "colour", "least", "most"), [
    ((70, 55, 45), (70, 55, 45), 1.0, 1.0), ((70, 55, 45), (150, 135, 125), 0.9, 1.0),
    ((49, 38, 20), (108, 86, 47), 0.9, 1.0), ((70, 55, 45), (139, 107, 87), 0.2, 0.8),
    ((70, 55, 45), (225, 182, 154), 0.0, 0.2),
])  # fmt: skip
def test_hair_on_top_is_as_dense_as_its_hue_is_that_of_hair(
    sides: tuple[int, ...], colour: tuple[int, ...], least: float, most: float
) -> None:
    """Hair of the sides' colour, the same with gloss, brown hair in four times the light (which came bald), half skin
    and half hair, and a scalp that shines: parsing nets call all of them hair."""
    hair, skin = np.zeros((2, 60, 60), np.float32)
    hair[:40], skin[40:] = 1, 1
    pixels = np.where(np.arange(60)[:, None, None] < 20, colour, sides) * np.ones((60, 60, 1))
    pixels[40:] = 189, 146, 118
    upward = np.where(np.arange(60)[:, None] < 20, 1.0, 0.0) * np.ones((60, 60))
    dense, much = hair_density(pixels.astype(np.uint8), hair, skin, upward)
    assert least <= np.median(dense[4:12]) <= most
    assert dense[20:40].min() == 1
    assert much == pytest.approx(1 - dense[:20].mean(), abs=0.01)


def test_the_outline_of_hair_is_no_strand() -> None:
    """Clear lines ran along hairlines and outlines, where skin and background begin: swept hair came parted."""
    rows = np.indices((160, 160))[0]
    hair = ((rows > 50) & (rows < 110)).astype(np.float32)
    light = np.where(hair > 0, 60.0, 190.0) + np.random.default_rng(2).normal(0, 3, hair.shape)
    strands = 8 * np.sin(np.arange(160) * 0.8) * hair
    for lines, clear in ((0.0, 0.45), (strands, 0.9)):
        pixels = cv2.GaussianBlur((light + lines).astype(np.float32), (0, 0), 2.0)
        pixels = np.repeat(pixels.clip(0, 255).astype(np.uint8)[..., None], 3, 2)
        direction = strand_direction(pixels, hair)[:, 40:-40]
        assert np.median(direction[53:60, :, 0]) < clear, "along the border"
        assert clear < 0.5 or np.median(direction[66:94, :, 0]) < -clear, "strands that run across it stay clear"
