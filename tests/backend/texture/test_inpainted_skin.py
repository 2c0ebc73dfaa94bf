"""Where the photos stop: no border, no rim light, no hair on the face, a beard that goes on."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from texture_scene import Scene, Shot, make_scene, soft_light, with_labels

from backend.geometry.template import load_template
from backend.geometry.vectors import vertex_normals
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import AlbedoResult, build_albedo
from backend.texture.skin_prior import modes_posterior, skin_prior
from backend.texture.surface import head_surface, masked_lowpass, texture_space

SIZE = 512
SKIN = np.log([0.40, 0.25, 0.18])


@cache
def _scene() -> Scene:
    """Three photos, drawn once; a test that wants others makes copies."""
    scene = make_scene([Shot(0.0), Shot(20.0, soft_light(-0.3)), Shot(-20.0, soft_light(0.4))])
    for face in scene.faces:
        face.pixels.flags.writeable = face.labels.flags.writeable = False
    return scene


def _built(scene: Scene, faces: list[PhotoFace]) -> tuple[np.ndarray, AlbedoResult]:
    """Log albedo (SIZE, SIZE, 3), and the result."""
    result = build_albedo(scene.template, scene.fitted, faces, SIZE)
    return np.log(np.maximum(linear_from_srgb(result.albedo), 1e-3)), result


def _regions(scene: Scene, *names: str) -> list[np.ndarray]:
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    masks = space.skin.image(space.skin.sample(np.stack([surface.regions[name] for name in names], 1)))
    return [masks[..., k] for k in range(len(names))]


def _smooth(log: np.ndarray, where: np.ndarray) -> np.ndarray:
    return masked_lowpass(log.astype(np.float32), where.astype(np.float32), SIZE / 128)[0]


def test_light_along_the_rim_leaves_no_border() -> None:
    """Bluish light from behind, which shines where the face turns away: gone where the photos end."""
    scene, faces = _scene(), []
    for face in scene.faces:
        inside = (face.labels != FaceClass.BACKGROUND).astype(np.uint8)
        rim = np.clip(1.0 - cv2.distanceTransform(inside, cv2.DIST_L2, 5) / 40.0, 0.0, 1.0) * inside
        pixels = face.pixels + (rim[..., None] ** 2) * np.array([60.0, 95.0, 125.0])
        faces.append(with_labels(face, face.labels, np.clip(pixels, 0, 250).astype(np.uint8)))
    log, _ = _built(scene, faces)
    cheeks, face, other, ears, scalp = _regions(scene, "cheeks", "face", "brows", "ears", "scalp")
    lips, nose, left, right = _regions(scene, "lips", "nose", "lids_left", "lids_right")
    plain = np.maximum.reduce([other, ears, scalp, lips, nose, left, right]) < 0.02
    skin = (face > 0.3) & plain
    smooth = _smooth(log, skin)
    skin &= cv2.erode(skin.astype(np.uint8), np.ones((9, 9))) > 0
    middle = np.median(log[cheeks > 0.9], axis=0)
    difference = smooth[skin] - middle
    assert np.percentile(difference.mean(1), 99.5) < 0.22
    chroma = difference - difference.mean(1, keepdims=True)
    assert np.percentile(np.linalg.norm(chroma, axis=1), 99.5) < 0.16
    step = np.linalg.norm(np.roll(smooth, 8, axis=1) - smooth, axis=2)  # over 6 mm
    both = skin & np.roll(skin, 8, axis=1)
    assert np.percentile(step[both], 99.5) < 0.22


def test_blotches_at_the_rim_of_small_photos_are_not_on_the_cheeks() -> None:
    """Where skin is seen aslant, compression, strands and shade make spots that are elsewhere in every photo."""
    scene, faces = _scene(), []
    for number, face in enumerate(scene.faces):
        inside = (face.labels != FaceClass.BACKGROUND).astype(np.uint8)
        rim = np.clip(1.0 - cv2.distanceTransform(inside, cv2.DIST_L2, 5) / 60.0, 0.0, 1.0) * inside
        spots = np.random.default_rng(number).random((len(rim) // 8, len(rim) // 8)) < 0.4
        spots = cv2.resize(spots.astype(np.float32), rim.shape, interpolation=cv2.INTER_LINEAR)
        pixels = face.pixels * (1.0 - 0.5 * spots * (rim > 0.1))[..., None]
        faces.append(with_labels(face, face.labels, pixels.astype(np.uint8)))
    log, _ = _built(scene, faces)
    face, brows, ears, scalp, lips = _regions(scene, "face", "brows", "ears", "scalp", "lips")
    side = np.abs(np.arange(SIZE)[None] - SIZE / 2) > 0.17 * SIZE
    skin = (face > 0.3) & (np.maximum.reduce([brows, ears, scalp, lips]) < 0.02) & side
    fine = _smooth(log, skin) - masked_lowpass(log.astype(np.float32), skin.astype(np.float32), SIZE / 24)[0]
    assert skin.sum() > 2000
    assert fine[skin].mean(1).std() < 0.13


def test_what_no_photo_shows_is_the_skin_that_goes_with_what_they_do() -> None:
    """Ears of a person drawn from the prior, of whom only the face is shown, under residual light of low order."""
    surface, prior = head_surface(load_template()), skin_prior()
    regions = {name: region[: surface.count] for name, region in surface.regions.items()}
    cage = load_template().vertices[: surface.count].astype(np.float64)
    harmonics = sh.basis(vertex_normals(cage, surface.cage_triangles))
    designs = 0.2 * np.repeat(harmonics[None, :, 1:, None], 3, axis=3)
    draw = np.random.default_rng(7)
    shown = (regions["face"] > 0.5) & (regions["ears"] < 0.1)
    errors, mean_errors = [], []
    for _ in range(8):
        truth = prior.mean + np.tensordot(draw.normal(size=len(prior.modes)), prior.modes, 1)
        light = harmonics[:, 1:] @ (0.1 * draw.normal(size=8))
        found, _ = modes_posterior(prior, (truth + light[:, None])[None], 0.02 * shown[None], designs)
        level = np.median(truth[shown] - prior.mean[shown], axis=0)
        ears = regions["ears"] > 0.5
        errors.append(np.abs(found - truth)[ears].mean())
        mean_errors.append(np.abs(prior.mean + level - truth)[ears].mean())
    assert np.mean(errors) < 0.7 * np.mean(mean_errors)
