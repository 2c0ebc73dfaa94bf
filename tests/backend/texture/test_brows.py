"""Brows that no photo shows."""

from __future__ import annotations

import cv2
import numpy as np
from texture_scene import TRUTH_SIZE, Shot, make_scene, with_labels

from backend.geometry.template import load_template
from backend.models.parsing.accessories import behind_frame
from backend.photos.collection import FaceClass, PhotoFace
from backend.photos.regions import BROW_RIGHT, EYE_RIGHT, grown, mirrored, polygon_mask
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.parts import hidden_brows
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
    working = texture_space(scene.template, SIZE).skin
    covered = [behind_a_fringe(face) for face in scene.faces]

    near = cv2.dilate(place.astype(np.uint8), np.ones((41, 25))) > 0  # and below, down to the lids

    def brightness(faces: list[PhotoFace]) -> np.ndarray:
        """(SIZE, SIZE) log brightness beside skin."""
        albedo = build_albedo(scene.template, scene.fitted, faces, SIZE).albedo
        log = np.log(np.maximum(linear_from_srgb(albedo), 1e-3)).mean(-1)
        return log - np.median(log[near])

    hidden, half = brightness(covered), brightness([scene.faces[0], covered[1]])
    where = working.sample(surface.lifted(scene.fitted.neutral[: surface.count]))
    marks = scene.template.landmarks478.positions(scene.fitted.neutral)
    mean = hidden_brows(working, (np.zeros((SIZE, SIZE)),), where, marks, 1500.0) > 0.9
    for side in (np.s_[:, : SIZE // 2], np.s_[:, SIZE // 2 :]):
        assert np.median(hidden[side][mean[side]]) < -0.3, "nobody is without brows"
    assert np.median(half[place]) < -0.9, "as the photo has them"


def test_a_brow_on_one_side_is_enough() -> None:
    """The other is its mirror image, as all else on a side that no photo shows."""
    template = load_template()
    surface, atlas = head_surface(template), texture_space(template, SIZE).skin
    where = atlas.sample(surface.lifted(template.vertices[: surface.count]))
    right = np.zeros((SIZE, SIZE), np.float32)
    right[:, : SIZE // 2] = 1.0
    for shown, left in ((0.0 * right, True), (right, False)):
        marks = template.landmarks478.positions(template.vertices)
        hidden = hidden_brows(atlas, (shown, 0.0 * right), where, marks, 1500.0)
        assert (hidden.max() > 0.9) == left


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
