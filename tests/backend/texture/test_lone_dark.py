"""Roots of hair that one photo's labels call skin are no part of the texture."""

from types import SimpleNamespace

import numpy as np

from backend.photos.collection import FaceClass
from backend.texture.leftovers import lone_dark, under_fringes

SIZE = 64
ATLAS = SimpleNamespace(resolution=SIZE, image=lambda values: values.reshape(SIZE, SIZE))


def photo(shows: np.ndarray) -> SimpleNamespace:
    """A photo that looks everywhere and shows what the texture has where ``shows`` (S, S)."""
    looks = np.ones(SIZE * SIZE)
    return SimpleNamespace(
        samples=SimpleNamespace(trust=1.0),
        unwrap=SimpleNamespace(weight=looks, with_hair=looks),
        shown=shows.astype(np.float64).ravel(),
    )


def test_what_one_photo_of_four_shows_dark_beside_the_hair_goes() -> None:
    columns = np.indices((SIZE, SIZE))[1]
    alone, dark = columns < SIZE // 2, np.zeros((SIZE, SIZE, 3), np.float32)
    dark[20:30] = -1.0
    photos = [photo(np.ones((SIZE, SIZE))), *[photo(~alone) for _ in range(3)]]
    found = lone_dark(ATLAS, photos, dark)
    assert found[22:28, :20].min() > 0.95, "dark, and in one photo only"
    assert found[22:28, 44:].max() < 0.05, "dark in all photos: hair"
    assert found[:12].max() < 0.05 and found[40:].max() < 0.05, "as light as what lies under it"


def test_a_single_photo_is_believed() -> None:
    dark = np.full((SIZE, SIZE, 3), -1.0, np.float32)
    assert lone_dark(ATLAS, [photo(np.ones((SIZE, SIZE)))], dark).max() < 0.05


def test_under_a_fringe_is_where_most_photos_show_hair() -> None:
    """A lone photo's strand lay on the forehead as a dark spot, farther below the texture's hair than roots do."""
    rows = np.indices((SIZE, SIZE))[0]

    def looking(hair: np.ndarray) -> SimpleNamespace:
        labels = np.where(hair, FaceClass.HAIR, FaceClass.SKIN).astype(np.uint8).ravel()
        return SimpleNamespace(
            samples=SimpleNamespace(trust=1.0), unwrap=SimpleNamespace(labels=labels, seen=np.ones(SIZE * SIZE))
        )

    fringe, bare = looking(rows < 24), looking(rows < 0)
    beside_px = 4.0
    density = beside_px / 0.007
    often = under_fringes(ATLAS, [fringe, fringe, bare], density)
    assert often[:26].min() > 0.9, "and right beside it"
    assert often[36:].max() < 0.1
    assert under_fringes(ATLAS, [fringe, bare, bare, bare], density).max() < 0.1, "one photo's strand is no fringe"
