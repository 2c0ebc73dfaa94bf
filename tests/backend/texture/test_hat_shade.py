"""Photos in which a hat shades the forehead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from texture_scene import Shot, make_scene, soft_light, with_labels

from backend.geometry.vectors import smoothstep
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.texture.delighting import hat_shade
from backend.texture.surface import head_surface, texels_per_metre, texture_space
from backend.texture.unwrap import PhotoUnwrap, plain_skin, prepare_photo, texel_regions, wears_hat

SIZE = 512
SHADE = 0.6  # log units by which the skin is darker at the hat's edge
_TOP, _BROW = 10, 105  # landmarks: top of the forehead, a brow's upper edge


def _shaded(face: PhotoFace) -> PhotoFace:
    """The photo with a dark hat on the upper forehead and above, and its shade from there down to the brows."""
    edge, brow = face.landmarks[_TOP, 1], face.landmarks[_BROW, 1]
    rows = np.arange(face.pixels.shape[0])[:, None]
    dark = np.exp(-SHADE * smoothstep(brow, edge, rows)) * np.ones(face.labels.shape)
    head = face.labels != FaceClass.BACKGROUND
    pixels = np.where(head[..., None], srgb_bytes(linear_from_srgb(face.pixels) * dark[..., None]), face.pixels)
    covered = head & (rows < edge)
    pixels = np.where(covered[..., None], np.array([20, 25, 60], np.uint8), pixels)
    return with_labels(face, np.where(covered, FaceClass.OCCLUDER, face.labels).astype(np.uint8), pixels)


def test_the_shade_of_a_hat_is_light_and_no_pigment() -> None:
    """Under light from everywhere a photo over its light is albedo, times the shade of the hat."""
    scene = make_scene([Shot(0.0, soft_light(0.0, key=0.0, ambient=0.9))])
    surface, atlas = head_surface(scene.template), texture_space(scene.template, SIZE).skin
    cage = scene.fitted.neutral[: surface.count].astype(np.float64)
    positions = surface.lifted(cage)
    density = texels_per_metre(surface, positions, SIZE)
    regions = texel_regions(surface, atlas, plain_skin(surface), np.ones(len(positions)), positions, density)
    space = texture_space(scene.template, SIZE)
    plain, hat = (
        prepare_photo(surface, space, face, scene.fitted.photos[0], cage, regions, density)
        for face in (scene.faces[0], _shaded(scene.faces[0]))
    )
    logs = [np.log(np.maximum(photo.unwrap.linear, 1e-3)) for photo in (plain, hat)]
    assert (hat_shade(surface, atlas, plain, logs[0], density) == 0.0).all()
    shade = atlas.sample(hat_shade(surface, atlas, hat, logs[1], density))
    forehead = (atlas.sample(surface.regions["forehead"][:, None])[:, 0] > 0.5) & (hat.unwrap.weight > 0.5)
    assert forehead.sum() > 100
    before = (logs[1] - logs[0]).mean(1)
    after = before - shade.mean(1)
    brows = hat.unwrap.labels == FaceClass.BROWS
    lit = hat.samples.weight[surface.regions["forehead"][: surface.count] > 0.5]
    assert before[forehead].min() < -0.25, "what is used of the photo is in the shade"
    assert np.abs(after[forehead]).mean() < 0.3 * np.abs(before[forehead]).mean()
    assert np.abs(shade[brows]).mean() < 0.08, "brows stay as dark as they are"
    assert lit.max() < 0.2, "and the photo's light is not solved from skin in the shade"


def test_a_hand_on_the_head_is_no_hat() -> None:
    labels = np.full(100, FaceClass.HAIR, np.uint8)
    none = np.zeros(100, np.float32)
    shown = PhotoUnwrap(none[:, None], labels, none + 1, none, none, none, none, none)
    top = np.where(np.arange(100) < 80, 1.0, 0.0)
    labels[:20] = FaceClass.OCCLUDER
    assert wears_hat(shown, top) == 0.0, "a hand hides a quarter of the hair"
    labels[:60] = FaceClass.OCCLUDER
    assert wears_hat(shown, top) == 1.0
    assert wears_hat(replace(shown, seen=none), top) == 0.0, "a photo that does not see the top tells nothing"
