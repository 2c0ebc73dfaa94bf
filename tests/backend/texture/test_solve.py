"""Photos of other light, holes and borders: the solved detail has no step that the photos do not have."""

from __future__ import annotations

import numpy as np

from backend.geometry.template import load_template
from backend.texture import blending
from backend.texture.skin_prior import skin_prior
from backend.texture.surface import head_surface

SIZE, BORDER = 128, 64
RNG = np.random.default_rng(5)


def _smooth(values: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft2(values, axes=(0, 1))
    far = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE))[..., None]
    return np.fft.irfft2(spectrum * np.exp(-((far / 0.06) ** 2)), s=(SIZE, SIZE), axes=(0, 1)).astype(np.float32)


def test_an_image_comes_back_from_its_differences() -> None:
    image = _smooth(RNG.normal(size=(SIZE, SIZE, 3)))
    image -= image.mean((0, 1))
    found = blending.screened_poisson(
        *blending.mean_gradients([image], [np.ones((SIZE, SIZE), np.float32)]), length=1e3
    )
    np.testing.assert_allclose(found, image, atol=2e-3)


def test_photos_confirm_what_they_share_and_not_what_each_has_alone() -> None:
    line = np.zeros((SIZE, SIZE, 3), np.float32)
    line[60:68, :64] = -0.3
    noise = [0.1 * np.repeat(_smooth(RNG.normal(size=(SIZE, SIZE, 1))) / 0.06, 3, axis=2) for _ in range(3)]
    weights = [np.ones((SIZE, SIZE), np.float32)] * 3
    one, confirmed = weights[:1], blending.confirmed
    share = confirmed([line + own for own in noise], weights, weights, 6.0, one[0])
    assert share[64, 14:50].min() > 0.8
    assert share[10:118, 80:118].mean() < 0.3
    lower = np.float32(np.arange(SIZE) < 64)[:, None] * one[0]
    alone = confirmed(noise, [one[0], lower, lower], weights, 6.0, one[0])
    assert alone[74:118].mean() < 0.35, "one photo is as noisy as where others show it"
    assert confirmed([line], one, one, 6.0, one[0])[64, 10:50].min() > 0.9, "one photo is believed above its noise"
    assert confirmed([0.05 * line], one, one, 6.0, one[0]).max() == 0.0


def test_detail_seen_aslant_is_not_believed() -> None:
    """A row of dots on the side of a face: the only photo shows it at 70 degrees, or squarely."""
    dots, weights = np.zeros((SIZE, SIZE, 3), np.float32), [np.ones((SIZE, SIZE), np.float32)]
    dots[10:118:16, 60:66] = -0.3
    shares = [blending.confirmed([dots], weights, [own * weights[0]], 6.0, weights[0])[58, 62] for own in (0.95, 0.34)]
    assert shares[0] > 0.7 and shares[1] < 0.2


def test_photos_of_other_light_meet_without_an_outline() -> None:
    detail = _smooth(RNG.normal(size=(SIZE, SIZE, 3)))
    photos = [detail - 0.4, detail + 0.4]
    left = np.broadcast_to(np.arange(SIZE) < BORDER, (SIZE, SIZE)).astype(np.float32)
    found = blending.screened_poisson(*blending.mean_gradients(photos, [left, 1.0 - left]), length=1e3)
    steps = np.abs(np.diff(found - detail, axis=1)).mean((0, 2))
    assert steps[BORDER - 3 : BORDER + 3].max() < 0.02, "joined by values it was 0.8"


def test_the_detail_fades_to_the_skin_beyond_the_border() -> None:
    """A photo whose border is 0.5 log units darker than the skin: no step there, and nothing far away."""
    photo = np.full((SIZE, SIZE, 1), -0.5, np.float32)
    photo += 0.5 * np.exp(-(((np.arange(SIZE) - 30.0) / 10.0) ** 2))[None, :, None].astype(np.float32)
    shown = np.broadcast_to(np.arange(SIZE) < BORDER, (SIZE, SIZE))
    cover = blending.photos_cover(shown, np.ones_like(shown), hole=9.0, fade=8.0)
    gradients = blending.mean_gradients([photo], [shown.astype(np.float32)])
    found = blending.screened_poisson(*(cover[..., None] * one for one in gradients), length=20.0)[SIZE // 2, :, 0]
    assert np.abs(np.diff(found)[BORDER - 4 : BORDER + 4]).max() < 0.03
    assert found[28:33].mean() - found[50:58].mean() > 0.3, "what the photo shows is there"
    assert np.abs(found[-8:]).max() < 0.05


def test_one_photo_of_two_decides_where_only_it_counts() -> None:
    first, second = _smooth(RNG.normal(size=(SIZE, SIZE, 3))), _smooth(RNG.normal(size=(SIZE, SIZE, 3)))
    alone = np.zeros((SIZE, SIZE), np.float32)
    across, down = blending.mean_gradients([first, second], [alone + 1.0, alone])
    np.testing.assert_allclose(across[:, :-1], np.diff(first, axis=1), atol=1e-6)
    np.testing.assert_allclose(down[:-1], np.diff(first, axis=0), atol=1e-6)


def test_what_only_the_other_side_shows_is_mirrored() -> None:
    whole = _smooth(RNG.normal(size=(SIZE, SIZE, 3)))
    whole = whole + whole[:, ::-1]
    cover = np.broadcast_to(np.arange(SIZE) < BORDER + 8, (SIZE, SIZE)).astype(np.float32)
    gradients = blending.mean_gradients([whole], [cover])
    found = blending.screened_poisson(
        *blending.mirrored_gradients(*gradients, cover, cover[:, ::-1] * (1.0 - cover)), length=1e3
    )
    np.testing.assert_allclose(found, whole - whole.mean((0, 1)), atol=0.05)


def test_a_speck_is_no_border_and_a_border_fades() -> None:
    shown = np.ones((SIZE, SIZE), bool)
    shown[100:], shown[40:42, 60:62] = False, False
    cover = blending.photos_cover(shown, np.ones_like(shown), hole=9.0, fade=10.0)
    assert (cover[100:] == 0).all() and cover[98].max() < 0.1 and (cover[:88] > 0.95).all()
    assert (np.diff(cover[:, 30]) <= 1e-6).all()


def test_the_necks_of_the_prior_have_the_tone_of_their_cheeks() -> None:
    surface, prior = head_surface(load_template()), skin_prior()
    neck, cheeks = (surface.regions[name][: surface.count] > 0.9 for name in ("neck", "cheeks"))
    for code in (-2.0, 0.0, 2.0):
        skin = prior.mean + code * prior.modes[0]
        assert np.abs(skin[neck].mean(0) - skin[cheeks].mean(0)).max() < 0.25
