"""Where the photos stop: no border, no rim light, no hair on the face, a beard that goes on, bald heads that are so."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace

import cv2
import numpy as np
from texture_scene import Scene, Shot, make_scene, soft_light, with_labels

from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import AlbedoResult, build_albedo
from backend.texture.atlas import SurfaceAtlas
from backend.texture.blend import masked_lowpass
from backend.texture.complete import fill_from_mirror, fill_gaps, mirrored_alike
from backend.texture.hair import (
    coloured_like_hair,
    hair_colour,
    hair_evidence,
    hair_grows,
)
from backend.texture.photo_hair import PhotoHair, ScalpLook, photo_hair
from backend.texture.surface import head_surface, texture_space
from backend.texture.unseen import FADE, believed, calmed

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


def test_at_a_border_light_shadow_and_strange_colour_are_bounded() -> None:
    """Light from behind brightens, hair beside the face darkens and browns; small differences are the skin's."""
    bright, dark, brown, skin = calmed(np.array([[0.5] * 3, [-0.5] * 3, [0.0, -0.2, -0.4], [0.03, 0.02, 0.01]]))
    assert 0.10 < bright.mean() < 0.15 and -0.11 < dark.mean() < -0.08
    assert np.linalg.norm(brown - brown.mean()) < 0.07
    np.testing.assert_allclose(skin, [0.03, 0.02, 0.01], atol=0.003)


def test_loose_hair_beside_the_face_is_not_on_the_cheeks() -> None:
    """Dark hair that hangs over temples and cheeks in every photo: the head's own hair line ends above them."""
    scene, faces = _scene(), []
    for face in scene.faces:
        eyes, brows = face.landmarks[[33, 263], 0], face.landmarks[[105, 334], 1].mean()
        across, down = np.arange(face.labels.shape[1])[None], np.arange(face.labels.shape[0])[:, None]
        loose = (across < eyes[0] - 8) | (across > eyes[1] + 8) | (down < brows - 50)
        loose = loose & (face.labels != FaceClass.BACKGROUND)
        pixels, labels = face.pixels.copy(), face.labels.copy()
        pixels[loose], labels[loose] = (50, 34, 26), FaceClass.HAIR
        faces.append(with_labels(face, labels, pixels))
    log, _ = _built(scene, faces)
    cheeks, scalp, face, ears = _regions(scene, "cheeks", "scalp", "face", "ears")
    skin = np.median(log[cheeks > 0.95].mean(1))
    smooth = _smooth(log, np.ones_like(cheeks)).mean(2)
    assert (smooth[cheeks > 0.5] > skin - 0.3).all()
    assert np.median(smooth[scalp > 0.95]) < skin - 1.0
    # either hair or skin: what lies between them is a line, not an area
    head = (np.maximum(scalp, face) > 0.9) & (ears < 0.02)
    upper = head & (np.arange(SIZE)[:, None] < SIZE // 3)
    between = (smooth[upper] < skin - 0.45) & (smooth[upper] > skin - 0.9)
    assert between.mean() < 0.06


def test_hair_may_grow_on_all_of_the_scalp() -> None:
    scene = _scene()
    surface = head_surface(scene.template)
    positions = surface.lifted(scene.template.vertices[: surface.count].astype(np.float64))
    grows, regions = hair_grows(surface, positions), surface.regions
    scalp = (regions["scalp"] > 0.5) & (regions["ears"] < 0.02) & (regions["neck"] < 0.02)
    assert grows[scalp].min() > 0.95
    # the soft rims of scalp and cheeks overlap before the ear, where sideburns are
    assert grows[regions["cheeks"] > 0.7].max() < 0.01 and grows[regions["lids_left"] > 0.5].max() < 0.01


def _with_pale_hair(face: PhotoFace, place: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> PhotoFace:
    """Hair as pale as skin where ``place`` says, of columns and rows in heights from brows to chin, from between the
    brows on."""
    brows, chin = face.landmarks[[105, 334], :2].mean(0), face.landmarks[152, :2]
    rows, columns = np.mgrid[: face.labels.shape[0], : face.labels.shape[1]]
    size = chin[1] - brows[1]
    hair = place((columns - brows[0]) / size, (brows[1] - rows) / size) & (face.labels == FaceClass.SKIN)
    pixels, labels = face.pixels.copy(), face.labels.copy()
    pixels[hair], labels[hair] = (0.9 * pixels[hair]).astype(np.uint8), FaceClass.HAIR
    return with_labels(face, labels, pixels)


def test_a_ring_of_pale_hair_around_a_bare_top_is_hair_and_shine_is_not() -> None:
    scene = _scene()
    faces = [_with_pale_hair(face, lambda x, y: (y > 0) & (np.abs(x) > 0.42)) for face in scene.faces]
    ring = _built(scene, faces)[1].hair
    spots = [(-0.4, 0.5), (0.1, 0.3), (0.35, 0.55)]
    shine = [
        _with_pale_hair(face, lambda x, y, spot=spot: np.hypot(x - spot[0], y - spot[1]) < 0.2)
        for face, spot in zip(scene.faces, spots, strict=True)
    ]
    sides = scene.template.regions["scalp"][: len(ring)] > 0.95
    assert ring[sides].mean() > 0.5
    assert _built(scene, shine)[1].hair.max() == 0.0


def test_cloth_and_lawn_are_told_from_hair_by_their_colour() -> None:
    cloth = np.array([[0.60, 0.28, 0.33], [0.30, 0.06, 0.05], [0.10, 0.20, 0.08]])
    hair = np.array([[0.03, 0.02, 0.014], [0.25, 0.10, 0.04], [0.40, 0.28, 0.15], [0.35, 0.36, 0.39], [0.004] * 3])
    assert coloured_like_hair(cloth, np.zeros(3)).max() < 0.1
    assert coloured_like_hair(hair, np.zeros(3)).min() > 0.9
    warm = np.array([0.3, 0.0, -0.3])
    assert coloured_like_hair(hair * np.exp(warm), warm).min() > 0.9


def test_hats_do_not_make_a_head_bald() -> None:
    black = np.log([0.03, 0.02, 0.01])
    hats = [PhotoHair(0.01, None, hidden=True)] * 3
    assert hair_colour([*hats, PhotoHair(0.3, black), PhotoHair(0.25, black)], [1.0] * 5) is not None
    assert hair_colour([*hats, PhotoHair(0.3, black), PhotoHair(0.25, black)], [1.0] * 5, SKIN) is not None
    assert hair_colour([*hats, PhotoHair(0.01, black), PhotoHair(0.01, None)], [1.0] * 5) is None, (
        "seen without one: bald"
    )
    assert hair_colour(hats, [1.0] * 3) is None


def test_a_shaved_scalp_that_is_called_hair_stays_bare() -> None:
    """Shine on shaved heads was short white hair."""
    scene = _scene()
    shaved, white = [], []
    for face in scene.faces:
        height = face.landmarks[[105, 334], 1].mean()
        rows = np.arange(face.labels.shape[0])[:, None]
        labels = np.where((face.labels == FaceClass.SKIN) & (rows < height - 70), FaceClass.HAIR, face.labels)
        dark = np.where((labels == FaceClass.BROWS)[..., None], np.uint8(40), face.pixels)
        shaved.append(with_labels(face, labels.astype(np.uint8), dark.astype(np.uint8)))
        pale = np.where((labels == FaceClass.HAIR)[..., None], np.uint8((225, 222, 216)), face.pixels)
        white.append(with_labels(face, labels.astype(np.uint8), pale))
    assert _built(scene, shaved)[1].hair.max() == 0.0
    assert _built(scene, white)[1].hair.max() > 0.9, "brows that are no darker than skin go with white hair"


def test_shaved_is_what_most_photos_show() -> None:
    color = np.log([0.5, 0.4, 0.32])
    scalp = PhotoHair(0.2, color, scalp=ScalpLook(0.3, 0.02, 2.5))
    for hair in (
        PhotoHair(0.5, color, scalp=ScalpLook(0.3, 0.02, 2.5)),
        PhotoHair(0.2, color, scalp=ScalpLook(-1.2, 0.02, 2.5)),
        PhotoHair(0.2, color, scalp=ScalpLook(0.3, 0.08, 2.5)),
        PhotoHair(0.2, color, scalp=ScalpLook(0.3, 0.02, 0.9)),
    ):
        assert hair_colour([hair], [1.0]) is not None, "long, dark, in strands, or white above pale brows"
        assert hair_colour([scalp, hair, hair], [1.0] * 3) is not None
        assert hair_colour([scalp, hair, scalp], [1.0] * 3) is None
    high = [PhotoHair(amount, color, scalp=ScalpLook(0.03, 0.027, 1.9)) for amount in (0.44, 0.18)]
    caps = [PhotoHair(0.02, None, hidden=True)] * 5
    assert hair_colour([*high, *caps], [1.0] * 7) is None, "a high shaved head, in two photos without its cap"


def test_a_hat_above_the_brows_hides_the_hair() -> None:
    labels = np.full((100, 100), FaceClass.BACKGROUND, np.uint8)
    labels[45:90, 25:75] = FaceClass.SKIN
    labels[20:45, 25:75] = FaceClass.OCCLUDER
    labels[45:60, 20:25] = FaceClass.HAIR
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[105, :2], landmarks[334, :2] = (35, 55), (65, 55)
    face = SimpleNamespace(
        labels=labels, pixels=np.full((100, 100, 3), 60, np.uint8), landmarks=landmarks, monochrome=False
    )
    light = np.zeros((9, 3))
    light[0] = 1 / 0.2820948
    assert photo_hair(face, light).hidden and photo_hair(face, light).log_color is None
    labels[60:95, 15:27] = FaceClass.HAIR  # a plait below a cap: hair, of the colour that it has
    below = photo_hair(face, light)
    assert below.hidden and below.log_color is not None and hair_colour([below] * 3, [0.7] * 3) is not None
    labels[60:95, 15:27] = FaceClass.BACKGROUND
    labels[20:45, 25:75] = FaceClass.HAIR
    found = photo_hair(face, light)
    assert not found.hidden and found.amount > 0.3
    labels[80:90, 25:75] = FaceClass.OCCLUDER  # a hand below
    assert not photo_hair(face, light).hidden


def _strip_atlas() -> tuple[SurfaceAtlas, float]:
    """Every pixel of a 64-pixel chart, a millimetre each."""
    texel = np.arange(64 * 64)
    return SurfaceAtlas(
        64, texel, np.zeros((len(texel), 3), np.int32), np.ones((len(texel), 3), np.float32) / 3
    ), 1000.0


def test_photos_fade_inside_their_border() -> None:
    atlas, density = _strip_atlas()
    row, column = np.divmod(atlas.texel, 64)
    shown = ((row < 40) & ~((row == 10) & (column == 32))).astype(np.float32)
    facing, bald = np.ones_like(shown), np.zeros((64, 64), np.float32)
    none = np.zeros_like(shown)
    sure = believed([shown], [facing], bald, none, atlas, density)
    assert (sure[40:] == 0).all() and sure[38].max() < 0.1 and (sure[: 39 - round(FADE * density)] > 0.95).all()
    assert (np.diff(sure[:40].mean(1)) <= 1e-6).all()  # the unseen speck does not count
    assert np.abs(np.diff(sure[:, 32])).max() < 2.0 / (FADE * density)
    assert (believed([shown], [0.14 * facing], bald, none, atlas, density) == 0).all()  # grazing views show nothing
    wide = believed([shown], [facing], bald, none, atlas, density, 2.0 * FADE)
    assert (wide <= sure + 1e-6).all() and wide[:40].mean() < sure[:40].mean() - 0.05


def test_glasses_are_no_border() -> None:
    """Skin goes on behind their rims, and what is left of the face between rim and eye is as good as the rest."""
    atlas, density = _strip_atlas()
    row, _ = np.divmod(atlas.texel, 64)
    rim = (row >= 20) & (row < 32)
    shown, bald = (~rim).astype(np.float32), np.zeros((64, 64), np.float32)
    facing, none = np.ones_like(shown), np.zeros_like(shown)
    assert believed([shown], [facing], bald, none, atlas, density)[19].max() < 0.1
    assert (believed([shown], [facing], bald, rim.astype(np.float32), atlas, density) == 1).all()


def test_hair_is_believed_where_it_is_seen_aslant() -> None:
    """In portraits temples turn away; hair there has no shine at its rim, and beside it no skin."""
    atlas, density = _strip_atlas()
    row, _ = np.divmod(atlas.texel, 64)
    shown = (row < 40).astype(np.float32)
    bald, hair = np.zeros((64, 64), np.float32), np.ones((64, 64), np.float32)
    aslant, none = np.full(len(shown), 0.16, np.float32), np.zeros_like(shown)
    assert (believed([shown], [aslant], bald, none, atlas, density) == 0).all()
    assert (believed([shown], [aslant], hair, none, atlas, density)[:30] > 0.95).all()


def test_the_other_side_counts_where_both_have_hair_or_neither() -> None:
    atlas, density = _strip_atlas()
    _, column = np.divmod(atlas.texel, 64)
    shown = (column < 40).astype(np.float32)
    bald, none = np.zeros((64, 64), np.float32), np.zeros_like(shown)
    assert (believed([shown], [np.ones_like(shown)], bald, none, atlas, density) == 1).all()
    parted = bald.copy()
    parted[:, :20] = 1.0
    sure = believed([shown], [np.ones_like(shown)], parted, none, atlas, density)
    assert (sure[:, 48:] == 0).all() and (sure[:, :15] == 1).all()


def test_hair_of_the_other_side_without_skin_before_it_is_made_up() -> None:
    """A strip of it between made-up skin and made-up hair had a dark, jagged line before it (two women of 24)."""
    atlas, _ = _strip_atlas()
    density = 500.0  # texels of two millimetres: the chart is 13 cm wide
    row, column = np.divmod(atlas.texel, 64)
    hair = np.broadcast_to((np.arange(64) < 20)[:, None], (64, 64)).astype(np.float32)
    left, none = column < 32, np.zeros(64 * 64, np.float32)
    strip = left & (row >= 14) & (row < 20)
    face = left & (row >= 20) & (column > 24)
    sure = believed([(strip | face).astype(np.float32)], [np.ones_like(none)], hair, none, atlas, density)
    assert sure[15:18, 4:12].max() > 0.9, "the strip that the photo shows"
    assert sure[15:18, 52:60].max() == 0, "far from skin on the side that it does not show"
    assert sure[15:18, 33:38].max() > 0.9, "beside mirrored skin"


def test_narrow_gaps_in_hair_are_filled_from_around_not_from_the_mirror() -> None:
    """One side's hair line, thin and pale, had a dash of the other side's dark strands in a gap between two photos."""
    cover, hair = np.ones((64, 64), np.float32), np.zeros((64, 64), np.float32)
    cover[20:23, :24] = 0.0
    cover[40:, :24] = 0.0
    hair[:30] = 0.8
    image = np.where(np.arange(64) < 32, 0.3, -1.2)[None, :, None] * np.ones((64, 1, 1))
    alike = mirrored_alike(cover, hair, 6.0)
    assert alike[20:23, 2:20].max() < 0.2, "a narrow gap in hair"
    assert alike[34:, :].min() > 0.9, "skin is the same on both sides"
    filled, total = fill_from_mirror(image.astype(np.float32), cover, alike)
    whole = fill_gaps(filled, total, np.zeros_like(filled), 6.0)
    assert whole[21, 4:18].min() > 0.0
    assert whole[58, 4:18].max() < -1.0, "a wide one on the cheek"


def test_what_lies_between_locks_is_not_painted_into_the_hair() -> None:
    """Lawn and light between the locks of small photos, elsewhere in each: behind the hair line there is one hair."""
    scene, faces = _scene(), []
    for number, face in enumerate(scene.faces):
        height = np.arange(len(face.labels))[:, None] < face.landmarks[[105, 334], 1].mean() - 55
        hair = height & (face.labels != FaceClass.BACKGROUND)
        between = hair & (np.sin((np.arange(len(face.labels)) + 9 * number)[None] / 6.0) > 0.5)
        pixels, labels = face.pixels.copy(), face.labels.copy()
        pixels[hair], pixels[between], labels[hair] = (52, 36, 27), (88, 110, 70), FaceClass.HAIR
        faces.append(with_labels(face, labels, pixels))
    log, _ = _built(scene, faces)
    (scalp,) = _regions(scene, "scalp")
    line = np.where(log.mean(2) < -1.8, 0, np.arange(SIZE)[:, None]).astype(np.float32)
    line = np.array([np.flatnonzero(column)[0] if column.any() else SIZE for column in line.T])  # topmost skin
    above = line[None] - np.arange(SIZE)[:, None]
    deep = (scalp > 0.95) & (above > SIZE / 36) & (above < SIZE / 10)
    smooth = _smooth(log, deep)[deep]
    assert deep.sum() > 3000
    assert smooth.mean(1).std() < 0.1, "no locks"
    assert np.percentile(smooth[:, 1] - smooth[:, 0], 99) < -0.15, "no lawn"


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


def test_a_shaved_head_before_six_backgrounds_is_bald() -> None:
    """What six photos of a shaved head call hair: shine, a racket's rim, a dark hall. A ring of grey hair is alike."""
    skin = np.array([-1.14, -1.80, -2.30])
    seen = [
        (-1.10, -1.27, -1.49),
        (0.30, 0.17, 0.13),
        (-2.70, -3.38, -4.13),
        (-0.67, -0.79, -0.60),
        (0.58, 0.38, -0.07),
    ]
    seen.append((-0.98, -1.44, -1.89))
    amounts, trusts = (0.305, 0.149, 0.067, 0.222, 0.163, 0.175), (0.72, 0.70, 0.69, 0.59, 0.54, 0.48)
    shaved = [PhotoHair(amount, np.array(color)) for amount, color in zip(amounts, seen, strict=True)]
    assert hair_colour(shaved, trusts, skin) is None
    ring = [PhotoHair(amount, np.array([-1.5, -1.6, -1.7]) + 0.3 * k) for k, amount in enumerate(amounts[:3])]
    assert hair_colour(ring, trusts[:3], skin) is not None


def test_under_hats_the_hair_line_is_smooth_and_no_receding_one() -> None:
    """Patches of hair beside a headscarf stood as steps below a line as high as bare foreheads have it."""
    size = 128
    rows, columns = np.indices((size, size))
    skin, patch = rows >= 88, (rows >= 70) & (rows < 88) & (abs(columns - 64) > 30) & (abs(columns - 64) < 45)
    labels = np.where(skin, FaceClass.SKIN, np.where(patch, FaceClass.HAIR, FaceClass.OCCLUDER)).astype(np.uint8)
    unwrap = SimpleNamespace(labels=labels.ravel(), seen=np.ones(size * size, np.float32))
    scalp = np.clip((100 - rows) / 100, 0, 1).ravel().astype(np.float32)  # half at row 50
    allowed = np.ones(size * size, np.float32)

    def line(hidden: bool) -> np.ndarray:
        """(columns,) the lowest row with hair, between the patches and over them."""
        hairs = [PhotoHair(0.06, np.log([0.03, 0.02, 0.014]), hidden=hidden)] * 2
        evidence = hair_evidence(
            hairs, [unwrap] * 2, [1.0] * 2, scalp, allowed, lambda values: values.reshape(size, size, -1), SKIN
        )
        hair = evidence.cover[:, 24:104] > 0.5
        return size - 1 - np.argmax(hair[::-1], axis=0)

    seen, under_hats = line(False), line(True)
    assert np.ptp(under_hats) < 6
    assert np.median(under_hats) > np.median(seen) + 8
    assert np.abs(np.diff(under_hats)).max() <= 2
