"""Where the photos stop: no border, no rim light, no hair on the face, a beard that goes on."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from texture_scene import Scene, Shot, make_scene, soft_light, with_labels

from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import AlbedoResult, build_albedo
from backend.texture.inpainting import INPAINTING, confidence, fill_from_mirror, fill_gaps, limited_difference
from backend.texture.surface import SurfaceAtlas, head_surface, masked_lowpass, texture_space

SIZE = 512
SKIN = np.log([0.40, 0.25, 0.18])

FADE = INPAINTING.fade


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


def test_at_a_border_light_shadow_and_strange_colour_are_bounded() -> None:
    """Light from behind brightens, hair beside the face darkens and browns; small differences are the skin's."""
    bright, dark, brown, skin = limited_difference(
        np.array([[0.5] * 3, [-0.5] * 3, [0.0, -0.2, -0.4], [0.03, 0.02, 0.01]])
    )
    assert 0.10 < bright.mean() < 0.15 and -0.11 < dark.mean() < -0.08
    assert np.linalg.norm(brown - brown.mean()) < 0.07
    np.testing.assert_allclose(skin, [0.03, 0.02, 0.01], atol=0.003)


def _strip_atlas() -> tuple[SurfaceAtlas, float]:
    """Every pixel of a 64-pixel chart, a millimetre each."""
    texel = np.arange(64 * 64)
    corners, triangle = np.zeros((1, 3), np.int32), np.zeros(len(texel), np.int32)
    return SurfaceAtlas(64, texel, corners, triangle, np.ones((len(texel), 3), np.float32) / 3), 1000.0


def test_photos_fade_inside_their_border() -> None:
    atlas, density = _strip_atlas()
    row, column = np.divmod(atlas.texel, 64)
    shown = ((row < 40) & ~((row == 10) & (column == 32))).astype(np.float32)
    facing = np.ones_like(shown)
    none = np.zeros_like(shown)
    sure = confidence([shown], [facing], none, atlas, density, FADE)
    assert (sure[40:] == 0).all() and sure[38].max() < 0.1 and (sure[: 39 - round(FADE * density)] > 0.95).all()
    assert (np.diff(sure[:40].mean(1)) <= 1e-6).all()  # the unseen speck does not count
    assert np.abs(np.diff(sure[:, 32])).max() < 2.0 / (FADE * density)
    assert (confidence([shown], [0.14 * facing], none, atlas, density, FADE) == 0).all()  # grazing views show nothing
    wide = confidence([shown], [facing], none, atlas, density, 2.0 * FADE)
    assert (wide <= sure + 1e-6).all() and wide[:40].mean() < sure[:40].mean() - 0.05


def test_glasses_are_no_border() -> None:
    """Skin goes on behind their rims, and what is left of the face between rim and eye is as good as the rest."""
    atlas, density = _strip_atlas()
    row, _ = np.divmod(atlas.texel, 64)
    rim = (row >= 20) & (row < 32)
    shown = (~rim).astype(np.float32)
    facing, none = np.ones_like(shown), np.zeros_like(shown)
    assert confidence([shown], [facing], none, atlas, density, FADE)[19].max() < 0.1
    assert (confidence([shown], [facing], rim.astype(np.float32), atlas, density, FADE) == 1).all()


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


def test_the_other_side_counts_as_shown() -> None:
    atlas, density = _strip_atlas()
    _, column = np.divmod(atlas.texel, 64)
    shown = (column < 40).astype(np.float32)
    assert (confidence([shown], [np.ones_like(shown)], np.zeros_like(shown), atlas, density, FADE) == 1).all()


def test_wide_gaps_are_filled_from_the_mirror() -> None:
    cover = np.ones((64, 64), np.float32)
    cover[40:, :24] = 0.0
    image = np.where(np.arange(64) < 32, 0.3, -1.2)[None, :, None] * np.ones((64, 1, 1))
    filled, total = fill_from_mirror(image.astype(np.float32), cover, 6.0)
    whole = fill_gaps(filled, total, np.zeros_like(filled))
    assert whole[58, 4:18].max() < -1.0 and whole[20, 4:18].min() > 0.25


def test_a_brow_that_one_side_shows_in_part_does_not_end_in_an_edge() -> None:
    """One side's photos end within the brow; the other side's brow lies elsewhere."""
    cover = np.ones((64, 64), np.float32)
    cover[:, :14] = 0.0
    image = np.zeros((64, 64, 1), np.float32)
    image[30:34, 14:28] = -1.0
    filled, total = fill_from_mirror(image, cover, 8.0)
    assert (total == 1.0).all()
    assert np.abs(np.diff(filled[32, :20, 0])).max() < 0.3
    assert filled[32, 23, 0] < -0.9, "what is well inside stays"


def test_eyes_keep_their_own_lids() -> None:
    """Both eyes are holes; their rims are not mixed with the other eye's."""
    cover = np.ones((64, 64), np.float32)
    cover[28:36, 10:22] = cover[28:36, 42:54] = 0.0
    image = np.where(np.arange(64) < 32, 0.3, -0.6)[None, :, None] * np.ones((64, 1, 1), np.float32)
    filled, _ = fill_from_mirror(image.astype(np.float32), cover, 8.0)
    assert np.abs(filled - image)[cover > 0].max() < 0.25
    assert np.abs(filled - image)[27, 10:22].max() < 0.15
