"""Bald and balding heads: whether there is a ring of hair, and where it ends on the parts that no photo shows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from backend.photos.collection import FaceClass
from backend.texture.hair import HairEvidence, hair_colour, hair_evidence
from backend.texture.photo_hair import PhotoHair

SIZE, SEEN_FROM = 256, 60  # row from which photos show the head; above is its top, below SCALP the face
SCALP = 120
SKIN = np.log([0.48, 0.29, 0.21])
GREY = np.log([0.06, 0.055, 0.05])
ROWS, COLUMNS = (index.ravel() for index in np.indices((SIZE, SIZE)))


def evidence(hairy: np.ndarray, hairs: list[PhotoHair], seen: np.ndarray | None = None) -> HairEvidence:
    """Of photos that all label the places ``hairy`` (P,) bool as hair, all else as skin."""
    shown = (ROWS >= SEEN_FROM if seen is None else seen).astype(np.float32)
    labels = np.where(hairy, FaceClass.HAIR, FaceClass.SKIN).astype(np.uint8)
    scalp = np.clip((SCALP - ROWS) / 40, 0, 1).astype(np.float32)
    count = len(hairs)
    return hair_evidence(
        hairs,
        [SimpleNamespace(labels=labels, seen=shown)] * count,
        [1.0] * count,
        scalp,
        (ROWS < SCALP).astype(np.float32),
        lambda values: values.reshape(SIZE, SIZE, -1),
        SKIN,
    )


def at_sides(width: int) -> np.ndarray:
    return (np.minimum(COLUMNS, SIZE - 1 - COLUMNS) < width) & (ROWS < SCALP)


def test_behind_a_bare_top_there_is_no_hair() -> None:
    """A cap of hair began where photos end, in a jagged line."""
    cover = evidence(at_sides(70), [PhotoHair(0.2, GREY)] * 3).cover
    assert cover[: SEEN_FROM - 15, 115:141].max() < 0.05, "on the crown"
    assert cover[: SEEN_FROM - 15, 20:50].min() > 0.95, "behind the hair at the sides"


def test_behind_a_seen_hair_line_there_is_hair() -> None:
    cover = evidence(at_sides(70) | (ROWS < SEEN_FROM + 25), [PhotoHair(0.2, GREY)] * 3).cover
    assert cover[: SEEN_FROM - 15, 20:236].min() > 0.95


def test_what_one_side_shows_of_the_top_is_so_on_the_other() -> None:
    """From one side alone photos see hair to the top's edge, and the bare top's other half no farther than its line."""
    hairy = (COLUMNS < 150) & (ROWS < SCALP - 15)
    cover = evidence(hairy, [PhotoHair(0.2, GREY)] * 3, (ROWS >= SEEN_FROM) & (COLUMNS > 60)).cover
    np.testing.assert_allclose(cover[: SEEN_FROM - 25] > 0.5, cover[: SEEN_FROM - 25, ::-1] > 0.5)


def test_a_thin_ring_of_hair_is_hair_though_most_photos_do_not_tell_its_colour() -> None:
    """A man with dark grey hair around a bare top was bald: four of nine photos show it darker than skin."""
    dark, light = PhotoHair(0.15, GREY), PhotoHair(0.15, np.log([0.30, 0.21, 0.15]))
    hairs = [dark] * 4 + [light] * 5
    assert evidence(at_sides(24), [light] * 9).cover.max() > 0.9, "on a tenth of what photos see"
    assert evidence(at_sides(8), hairs).cover.max() > 0.9, "on a twentieth, and dark in a third of the photos"
    assert not evidence(at_sides(8), [light] * 9).cover.any()
    assert not evidence(at_sides(5), hairs).cover.any(), "less is a shadow beside the head"


def test_shaded_skin_on_a_bald_head_is_no_hair() -> None:
    """Skin beside a bald head, 0.45 to 0.7 log units darker than its lit forehead, gave it hair of its own colour."""
    hairs = [PhotoHair(0.08, SKIN - drop) for drop in (0.7, 0.55, 0.65, 0.6, 0.45)]
    assert hair_colour(hairs, [1.0] * 5, SKIN) is None
    assert hair_colour([PhotoHair(0.08, SKIN - 1.2)] * 5, [1.0] * 5, SKIN) is not None


def test_a_tuft_on_a_bald_crown_is_none() -> None:
    tuft = (np.abs(COLUMNS - 128) < 5) & (ROWS >= SEEN_FROM) & (ROWS < SEEN_FROM + 14)
    cover = evidence(at_sides(70) | tuft, [PhotoHair(0.2, GREY)] * 3).cover
    assert cover[: SEEN_FROM + 14, 115:141].max() < 0.05


def test_a_rim_of_skin_below_a_head_of_blond_hair_is_no_bald_top() -> None:
    """A boy whose one photo shows hardly any of his scalp, and that below his hair, was bald: blond hair is not much
    darker than skin."""
    blond = PhotoHair(0.88, SKIN - 0.7)
    rim = (ROWS >= 76) & (ROWS < 80)
    assert evidence(np.zeros(SIZE * SIZE, bool), [blond], rim | (ROWS >= SCALP)).cover.max() > 0.9
    some = (ROWS >= 70) & (ROWS < 80)
    assert evidence(np.zeros(SIZE * SIZE, bool), [blond], some | (ROWS >= SCALP)).cover.max() > 0.9
    little = PhotoHair(0.1, SKIN - 0.7)
    assert not evidence(np.zeros(SIZE * SIZE, bool), [little], some | (ROWS >= SCALP)).cover.any()
    assert evidence(np.zeros(SIZE * SIZE, bool), [little], (ROWS >= 79) & (ROWS < 80)).cover.max() > 0.9
