"""Identity bases that a fit may move in: what they span, and that a fit in one finds a face of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from encoded_hand_made import TINY, photo_of

from backend.fitting import population
from backend.fitting.fit import fit_landmarks
from backend.fitting.identity_basis import BASIS_NAMES, cage_modes, in_basis, modes_beyond
from backend.fitting.landmark_targets import landmark_model
from backend.fitting.options import FitOptions
from backend.geometry.template import Template, load_template
from backend.models.learned_basis.network import FaceBases

TEMPLATE = load_template()
COUNT = TEMPLATE.head.vertex_stop
FACE = np.flatnonzero(TEMPLATE.regions["face"][:COUNT] > 0.5)


@pytest.fixture(scope="module")
def bases() -> FaceBases:
    """Smooth modes of about a millimetre that the template does not have."""
    bases = FaceBases(TINY)
    generator = torch.Generator().manual_seed(3)
    places = bases.mean[torch.from_numpy(np.random.default_rng(0).choice(COUNT, TINY.nodes))]
    with torch.no_grad():
        waves = torch.randn(TINY.identity, 3, 3, generator=generator) * 40
        bases.identity_raw.copy_(1.5 * torch.sin(torch.einsum("gc,mcd->mgd", places, waves)))
    return bases


def metric(modes: np.ndarray) -> np.ndarray:
    """(K, 3 V_head) of modes (K, V, 3)."""
    root = np.sqrt(0.02 + TEMPLATE.regions["face"][:COUNT].astype(np.float64))
    return (modes[:, :COUNT] * root[:, None]).reshape(len(modes), -1)


def test_every_basis_has_the_first_ones_modes_and_the_rest_at_right_angles_to_them(bases: FaceBases) -> None:
    own, learned = TEMPLATE.identity_modes, in_basis(TEMPLATE, bases, "learned").identity_modes
    assert in_basis(TEMPLATE, bases, "prior") is TEMPLATE
    assert len(learned) == TINY.identity
    np.testing.assert_allclose(learned[:, :COUNT], cage_modes(bases), atol=1e-7)
    for name, first, more in (("both", learned, own), ("extended", own, learned)):
        modes = in_basis(TEMPLATE, bases, name).identity_modes
        np.testing.assert_allclose(modes[: len(first)], first, atol=1e-7)
        known, rest = metric(first), metric(modes[len(first) :])
        angles = (known @ rest.T) / np.linalg.norm(known, axis=1)[:, None] / np.linalg.norm(rest, axis=1)
        assert np.abs(angles).max() < 0.01
        residual = metric(more) - metric(more) @ np.linalg.pinv(metric(modes)) @ metric(modes)
        assert np.linalg.norm(residual) < 0.03 * np.linalg.norm(metric(more)), "nothing of the second is lost"
    assert set(BASIS_NAMES) == {"prior", "learned", "both", "extended"}


def test_what_is_beyond_has_the_variance_that_is_left(bases: FaceBases) -> None:
    learned = in_basis(TEMPLATE, bases, "learned").identity_modes.astype(np.float64)
    rest = modes_beyond(TEMPLATE, learned[:3], learned)
    known = metric(learned[:3])
    outside = metric(learned) - metric(learned) @ np.linalg.pinv(known) @ known
    assert len(rest) == TINY.identity - 3
    assert (metric(rest) ** 2).sum() == pytest.approx((outside**2).sum(), rel=1e-3)


def test_eyes_and_teeth_follow_the_skin_around_them_as_a_whole(bases: FaceBases) -> None:
    moved = in_basis(TEMPLATE, bases, "learned").identity_modes[0]
    for name, part in TEMPLATE.parts.items():
        if name != "head":
            own = moved[part.vertex_start : part.vertex_stop]
            assert np.ptp(own, axis=0).max() == 0 and np.abs(own).max() > 1e-5, name
    shift = np.array([0.001, -0.002, 0.003])
    np.testing.assert_allclose(TEMPLATE.following_skin(np.tile(shift, (COUNT, 1))), np.tile(shift, (len(moved), 1)))


def fitted_off(template: Template, truth: np.ndarray, faces: tuple) -> float:
    """Mean distance over the face in mm from a true neutral (V, 3), shift taken out."""
    state = fit_landmarks(template, landmark_model(template), faces, FitOptions(encoded=None))
    apart = (state.neutral() - truth)[FACE]
    return float(1e3 * np.linalg.norm(apart - apart.mean(0), axis=-1).mean())


def test_a_fit_in_the_learned_basis_finds_a_face_that_the_prior_does_not_know(bases: FaceBases, monkeypatch) -> None:
    monkeypatch.setattr(population, "populations", lambda: None)  # only the template's modes have any: all alike here
    learned = in_basis(TEMPLATE, bases, "learned")
    code = np.array([1.5, -1.2, 1.0, 1.3, -1.0, 0.8])
    faces = tuple(photo_of(learned, code, np.zeros(52), yaw, 0.8, n)[0] for n, yaw in enumerate((0.0, 25.0, -25.0)))
    truth = TEMPLATE.vertices + np.tensordot(code, learned.identity_modes, 1)
    # "extended" leaves these modes so little variance that pose and camera explain most of what the photos show of them
    off = {name: fitted_off(in_basis(TEMPLATE, bases, name), truth, faces) for name in ("prior", "learned", "both")}
    assert off["learned"] < 0.5 * off["prior"]
    assert off["both"] < 0.8 * off["prior"]


def test_every_basis_with_the_learned_modes_has_a_face_that_the_prior_does_not_know(bases: FaceBases) -> None:
    """The most likely face of each, its vertices being known to a millimetre."""
    code = np.array([1.5, -1.2, 1.0, 1.3, -1.0, 0.8])
    truth = np.tensordot(code, in_basis(TEMPLATE, bases, "learned").identity_modes, 1)[FACE].ravel()
    off = {}
    for name in BASIS_NAMES:
        modes = in_basis(TEMPLATE, bases, name).identity_modes[:, FACE].reshape(-1, truth.size).astype(np.float64)
        found = np.linalg.solve(modes @ modes.T / 0.001**2 + np.eye(len(modes)), modes @ truth / 0.001**2)
        off[name] = np.abs(found @ modes - truth).mean()
    assert max(off["learned"], off["both"]) < 0.01 * off["prior"] and off["extended"] < 0.1 * off["prior"]
