"""Symmetry and likeness to the average face: what a person wishes of the shape."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from view_hand_made import seen_face

from backend.fitting.fit import fit_face, refit_face, resumable_fit
from backend.fitting.options import FitOptions, fit_options_for, with_shape_options
from backend.fitting.stages import FittedFace, ResumableFit, symmetric_state
from backend.geometry.template import load_template, symmetric_part
from backend.photos.collection import PhotoCollection, PhotoFace

SIZE = 600
TEMPLATE = load_template()
LANDMARKS_ALONE = FitOptions(canonical=None, encoded=None, dense=None, cage=None)
FACE = TEMPLATE.regions["face"] > 0.5


def lopsided() -> np.ndarray:
    """A person with twice the usual amount of every mode that is the negative of its mirror image."""
    identity = 0.5 * np.random.default_rng(3).normal(size=len(TEMPLATE.identity_modes))
    symmetric = symmetric_part(TEMPLATE.identity_modes, TEMPLATE.mirror)
    odd = np.abs(symmetric).max((1, 2)) < 1e-6
    identity[odd] = 2.0
    return TEMPLATE.vertices + np.tensordot(identity, TEMPLATE.identity_modes, 1)


def photo(name: str, yaw: float) -> PhotoFace:
    return seen_face(TEMPLATE, lopsided(), name, yaw, SIZE)


@pytest.fixture(scope="module")
def photos() -> PhotoCollection:
    return PhotoCollection((photo("a", 0.0), photo("b", 30.0), photo("c", -30.0)))


@pytest.fixture(scope="module")
def kept(photos: PhotoCollection) -> tuple[FittedFace, ResumableFit]:
    """The fit that nobody has wished anything of, and what it leaves behind."""
    begun = resumable_fit(photos, LANDMARKS_ALONE)
    return begun.face, begun


def asymmetry(fitted: FittedFace) -> float:
    """Millimetres rms of the face."""
    off = fitted.neutral - symmetric_part(fitted.neutral, TEMPLATE.mirror)
    return float(1000.0 * np.sqrt((off[FACE] ** 2).sum(-1).mean()))


def from_average(fitted: FittedFace) -> float:
    """Millimetres rms of the face."""
    off = (fitted.neutral - TEMPLATE.vertices)[FACE]
    return float(1000.0 * np.sqrt((off**2).sum(-1).mean()))


def seen_off(fitted: FittedFace, photos: PhotoCollection) -> float:
    """Pixels rms by which the head's landmarks lie beside where they are seen, of all photos."""
    places = np.concatenate([one.surface.positions for one in photos.faces])
    off = np.concatenate([one.landmarks[:, 2:] for one in fitted.photos]) - places
    return float(np.sqrt((off**2).sum(-1).mean()))


def test_wishing_nothing_changes_nothing() -> None:
    for quality in ("fast", "standard", "best"):
        options = fit_options_for(quality)
        assert with_shape_options(options, 0.0, 0.5) == options


def test_a_lopsided_head_becomes_symmetric(photos: PhotoCollection, kept: tuple[FittedFace, ResumableFit]) -> None:
    before = asymmetry(kept[0])
    assert before > 0.3
    half = fit_face(photos, with_shape_options(LANDMARKS_ALONE, 0.5, 0.5))
    whole = fit_face(photos, with_shape_options(LANDMARKS_ALONE, 1.0, 0.5))
    assert asymmetry(half) == pytest.approx(before / 2, rel=0.05)
    assert asymmetry(whole) < 0.02  # lips are closed afterwards
    assert seen_off(whole, photos) < 1.5 * seen_off(kept[0], photos)


def test_a_turned_face_stays_on_its_photos(photos: PhotoCollection, kept: tuple[FittedFace, ResumableFit]) -> None:
    """A face that looks 3 degrees aside in its own frame comes to look ahead, and the cameras turn instead."""
    turn = Rotation.from_euler("y", 3.0, degrees=True).as_matrix()
    middle = TEMPLATE.landmarks478.positions(TEMPLATE.vertices)[1]
    begun = kept[1].state
    aside = ((symmetric_part(begun.neutral, TEMPLATE.mirror) - middle) @ turn.T + middle).astype(np.float32)
    own = replace(begun.template, vertices=begun.template.vertices + (aside - begun.neutral).astype(np.float32))
    state = replace(begun, template=own)
    after = symmetric_state(state, 1.0)
    moved = np.linalg.norm(after.neutral - state.neutral, axis=-1)[FACE]
    assert moved.max() > 2e-3
    for one, other in zip(after.estimate.photos, state.estimate.photos, strict=True):
        seen, before = (p.camera().project(s.neutral)[FACE, :2] for p, s in ((one, after), (other, state)))
        assert np.abs(seen - before).max() < 0.5
        assert one.focal == pytest.approx(other.focal)


def test_an_average_face_is_nearer_to_the_mean_and_an_individual_one_to_the_photos(
    photos: PhotoCollection, kept: tuple[FittedFace, ResumableFit]
) -> None:
    own, mean = (fit_face(photos, with_shape_options(LANDMARKS_ALONE, 0.0, average)) for average in (0, 1))
    heads = own, kept[0], mean
    away, off = [from_average(head) for head in heads], [seen_off(head, photos) for head in heads]
    assert away[2] < 0.97 * min(away[:2])
    assert off[0] < 0.9 * off[1] and off[1] < 0.9 * off[2]


def test_a_kept_fit_obeys_both(photos: PhotoCollection, kept: tuple[FittedFace, ResumableFit]) -> None:
    wishes = with_shape_options(LANDMARKS_ALONE, 1.0, 1.0)
    refitted, whole = refit_face(kept[1], photos.faces, wishes), fit_face(photos, wishes)
    assert asymmetry(refitted) < 0.02
    moved = np.abs(whole.neutral - kept[0].neutral)[FACE].max()
    assert np.abs(refitted.neutral - whole.neutral)[FACE].max() < 0.3 * moved
    back = refit_face(kept[1], photos.faces, LANDMARKS_ALONE)  # sliders put back: as it was
    assert np.abs(back.neutral - kept[0].neutral)[FACE].max() < 0.3 * moved
