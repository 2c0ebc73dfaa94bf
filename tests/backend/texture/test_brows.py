"""Brows that no photo shows."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
from texture_scene import TRUTH_SIZE, Shot, make_scene, with_labels

from backend.models.parsing.accessories import brows_behind_glasses
from backend.photos.collection import FaceClass, PhotoFace
from backend.photos.regions import BROW_RIGHT, EYE_RIGHT, grown, mirrored, polygon_mask
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.parts import brow_masks, hidden_brows
from backend.texture.surface import head_surface, texture_space

SIZE = 512


def behind_a_fringe(face: PhotoFace) -> PhotoFace:
    """Dark hair over both brows."""
    side = face.labels.shape[0]
    brows = polygon_mask(face.landmarks, BROW_RIGHT, side) | polygon_mask(face.landmarks, mirrored(BROW_RIGHT), side)
    brows = grown(brows, 10.0) & (face.labels != FaceClass.BACKGROUND)
    pixels = np.where(brows[..., None], np.uint8((60, 40, 30)), face.pixels)
    return with_labels(face, np.where(brows, np.uint8(FaceClass.HAIR), face.labels), pixels)


def test_brows_that_no_photo_shows_are_made_up_and_those_that_one_shows_are_taken() -> None:
    scene = make_scene([Shot(0.0), Shot(25.0)])
    surface, space = head_surface(scene.template), texture_space(scene.template, TRUTH_SIZE)
    mask = np.zeros(TRUTH_SIZE**2, np.float32)
    mask[space.skin.texel] = space.skin.sample(surface.regions["brows"][:, None])[:, 0]
    place = cv2.resize(mask.reshape(TRUTH_SIZE, TRUTH_SIZE), (SIZE, SIZE), interpolation=cv2.INTER_AREA) > 0.95
    covered = [behind_a_fringe(face) for face in scene.faces]

    near = cv2.dilate(place.astype(np.uint8), np.ones((41, 25))) > 0  # and below, down to the lids

    def brightness(faces: list[PhotoFace]) -> np.ndarray:
        """(SIZE, SIZE) log brightness beside skin."""
        albedo = build_albedo(scene.template, scene.fitted, faces, SIZE).albedo
        log = np.log(np.maximum(linear_from_srgb(albedo), 1e-3)).mean(-1)
        return log - np.median(log[near])

    hidden, half = brightness(covered), brightness([scene.faces[0], covered[1]])
    hairy = near & (hidden < -0.3)
    for side in (np.s_[:, : SIZE // 2], np.s_[:, SIZE // 2 :]):
        assert 0.4 < hairy[side].sum() / place[side].sum() < 1.5, "nobody is without brows"
    assert np.median(half[place]) < -0.9, "as the photo has them"


def test_one_brow_is_enough() -> None:
    """The other is its mirror image, as all else on a side that no photo shows; half of each is none."""
    place = np.zeros((2, 40), np.float32)
    place[0, :20] = place[1, 20:] = 1.0
    across = np.where(np.arange(40) < 20, -1.0, 1.0)

    def photo(shown: slice) -> SimpleNamespace:
        labels, weight = np.full(40, FaceClass.SKIN, np.uint8), np.zeros(40, np.float32)
        labels[shown], weight[shown] = FaceClass.BROWS, 1.0
        return SimpleNamespace(unwrap=SimpleNamespace(labels=labels, weight=weight))

    assert not hidden_brows(place, across, [photo(np.s_[20:])])
    assert not hidden_brows(place, across, [photo(np.s_[:10]), photo(np.s_[10:20])])
    assert hidden_brows(place, across, [photo(np.s_[10:30])])
    assert hidden_brows(place, across, [photo(np.s_[:0])])


def test_thick_frames_and_dark_lenses_keep_their_label() -> None:
    face = make_scene([Shot(0.0)]).faces[0]
    frame, lenses = np.zeros(face.labels.shape, np.uint8), np.zeros(face.labels.shape, np.uint8)
    pixels = face.pixels.copy()
    for brow, part in ((BROW_RIGHT, EYE_RIGHT), (mirrored(BROW_RIGHT), mirrored(EYE_RIGHT))):
        pixels[polygon_mask(face.landmarks, brow, len(pixels))] = (70, 46, 34)
        eye = face.landmarks[list(part), :2]
        middle = tuple(int(value) for value in eye.mean(0).round())
        cv2.ellipse(frame, middle, (round(np.ptp(eye[:, 0])), 24), 0, 0, 360, 1, 11)
        cv2.ellipse(lenses, middle, (round(np.ptp(eye[:, 0])), 24), 0, 0, 360, 1, -1)
    glasses = np.uint8(FaceClass.GLASSES)
    labels = np.where(frame > 0, glasses, face.labels)
    wire = brows_behind_glasses(labels, pixels, face.landmarks)
    assert (wire != labels).any() and (wire[wire != labels] == FaceClass.BROWS).all()
    thick = np.where(frame[..., None] > 0, np.uint8((40, 36, 32)), pixels)
    np.testing.assert_array_equal(brows_behind_glasses(labels, thick, face.landmarks), labels)
    dark = np.where(lenses > 0, glasses, labels)
    np.testing.assert_array_equal(brows_behind_glasses(dark, pixels, face.landmarks), dark)


def raised_above_a_rim(face: PhotoFace, colour: tuple[int, int, int] | None) -> PhotoFace:
    """Both brows behind a thick rim, above which bits of them show in this colour; None: skin is there."""
    side = face.labels.shape[0]
    brows = polygon_mask(face.landmarks, BROW_RIGHT, side) | polygon_mask(face.landmarks, mirrored(BROW_RIGHT), side)
    rim = grown(brows, 8.0) | (face.labels == FaceClass.BROWS)
    between = [face.landmarks[list(brow), 0].mean() for brow in (BROW_RIGHT, mirrored(BROW_RIGHT))]
    inner = (np.arange(side) > min(between)) & (np.arange(side) < max(between))
    bits = np.roll(rim, -10, axis=0) & ~rim & inner
    pixels = np.where(rim[..., None], np.uint8((20, 20, 20)), face.pixels)
    labels = np.where(rim, np.uint8(FaceClass.GLASSES), face.labels)
    if colour is not None:
        labels = np.where(bits, np.uint8(FaceClass.BROWS), labels)
        pixels = np.where(bits[..., None], np.uint8(colour), pixels)
    return with_labels(face, labels, pixels)


def test_bits_of_brows_above_a_rim_say_how_dark_they_are_and_leave_no_marks() -> None:
    """Raised inner ends above thick frames stood as two black dots over grey brows."""
    scene = make_scene([Shot(0.0)])
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    cage = scene.fitted.neutral[: surface.count].astype(np.float64)
    landmarks = scene.template.landmarks478.positions(scene.fitted.neutral)
    place = space.skin.image(brow_masks(space.skin.sample(surface.lifted(cage)), landmarks).max(axis=0))
    above = (np.roll(place, -SIZE // 64, axis=0) > 0.95) & (place < 0.02)

    def brightness(colour: tuple[int, int, int] | None) -> np.ndarray:
        face = raised_above_a_rim(scene.faces[0], colour)
        albedo = build_albedo(scene.template, scene.fitted, [face], SIZE).albedo
        return np.log(np.maximum(linear_from_srgb(albedo), 1e-3)).mean(-1)

    dark, fair, skin = brightness((60, 40, 30)), brightness((135, 100, 80)), brightness(None)
    assert above.sum() > 50 and abs(dark - skin)[above].max() < 0.15, "no marks above the brows"
    assert np.median((dark - fair)[place > 0.95]) < -0.25
