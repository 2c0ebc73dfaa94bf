"""Brows that no photo shows."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
from texture_scene import TRUTH_SIZE, Shot, make_scene, with_labels

from backend.models.parsing.accessories import behind_frame
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


def test_brows_and_skin_beside_a_frame_get_their_own_labels() -> None:
    face = make_scene([Shot(0.0)]).faces[0]
    wide, frame = np.zeros(face.labels.shape, np.uint8), np.zeros(face.labels.shape, np.uint8)
    pixels, side = face.pixels.copy(), len(face.pixels)
    brows = np.zeros(face.labels.shape, bool)
    for brow, part in ((BROW_RIGHT, EYE_RIGHT), (mirrored(BROW_RIGHT), mirrored(EYE_RIGHT))):
        brows |= polygon_mask(face.landmarks, brow, side)
        eye = face.landmarks[list(part), :2]
        middle = tuple(int(value) for value in eye.mean(0).round())
        for mask, thick in ((wide, 25), (frame, 5)):
            cv2.ellipse(mask, middle, (round(np.ptp(eye[:, 0])), 24), 0, 0, 360, 1, thick)
    pixels[brows] = (70, 46, 34)
    pixels[frame > 0] = (30, 30, 90)
    labels = np.where(wide > 0, np.uint8(FaceClass.GLASSES), face.labels)
    found = behind_frame(labels, pixels, face.landmarks, frame)
    assert (found[frame > 0] == FaceClass.GLASSES).all() and (found[wide == 0] == labels[wide == 0]).all()
    between = (wide > 0) & (frame == 0) & (labels == FaceClass.GLASSES)
    assert (found[between & brows] == FaceClass.BROWS).mean() > 0.9
    assert (found[between & ~brows & (face.labels == FaceClass.SKIN)] == FaceClass.SKIN).mean() > 0.7
    np.testing.assert_array_equal(behind_frame(labels, pixels, face.landmarks, wide), labels)
    within = behind_frame(labels, pixels, face.landmarks, np.where(frame > 0, 1, 2).astype(np.uint8))
    assert set(within[within != labels]) == {FaceClass.BROWS}, "lenses shine"


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
