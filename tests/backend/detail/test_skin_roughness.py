"""Roughness of skin by region."""

from __future__ import annotations

import numpy as np
import pytest

from backend.detail.skin_detail import DEFAULT_ROUGHNESS, LID_MARGIN, REGION_ROUGHNESS, skin_roughness
from backend.geometry.template import load_template, unique_edges
from backend.rig.measure import face_loops


@pytest.fixture(scope="module")
def rough() -> np.ndarray:
    return skin_roughness(load_template())


def inside(name: str) -> np.ndarray:
    template = load_template()
    return template.regions[name][: template.head.vertex_stop] > 0.95


@pytest.mark.parametrize("name", REGION_ROUGHNESS)
def test_a_region_has_its_own_roughness(rough: np.ndarray, name: str) -> None:
    assert inside(name).sum() > 30
    assert np.median(rough[inside(name)]) == pytest.approx(REGION_ROUGHNESS[name], abs=0.02)


def test_lids_are_moist_on_their_edges_alone(rough: np.ndarray) -> None:
    for eye in face_loops(load_template()).eyes:
        lids = np.concatenate([eye.upper[3:-3], eye.lower[3:-3]])
        np.testing.assert_allclose(rough[eye.rows[eye.margin, lids]], LID_MARGIN, atol=1e-6)
        assert (np.diff(rough[eye.rows[eye.margin : eye.margin + 4]].mean(axis=1)) > 0.02).all()
        assert rough[eye.rows[eye.margin + 3]].min() > 0.4


def test_lids_are_dry_where_they_meet(rough: np.ndarray) -> None:
    """A moist corner mirrored lamps in a bright line on the skin beside the caruncle."""
    for eye in face_loops(load_template()).eyes:
        for corner in (eye.inner, eye.outer):
            beside = np.arange(corner - 1, corner + 2) % eye.rows.shape[1]
            assert rough[eye.rows[eye.margin :, beside]].min() > 0.45
        np.testing.assert_allclose(rough[eye.rows[: eye.margin]], LID_MARGIN, atol=1e-6)


def test_cheeks_are_between_the_oily_nose_and_the_dry_ears(rough: np.ndarray) -> None:
    nose, cheeks, ears = (np.median(rough[inside(name)]) for name in ("nose", "cheeks", "ears"))
    assert nose + 0.05 < cheeks < ears and cheeks == pytest.approx(DEFAULT_ROUGHNESS, abs=0.02)


def test_skin_changes_slowly_and_alike_on_both_sides(rough: np.ndarray) -> None:
    template = load_template()
    assert rough.shape == (template.head.vertex_stop,) and rough.dtype == np.float32
    np.testing.assert_allclose(rough, rough[template.mirror[: len(rough)]], atol=1e-6)
    edges = unique_edges(template.quads[: template.head.face_stop])
    wet = np.maximum.reduce(
        [template.regions[name] for name in ("lips", "mouth_interior", "eye_sockets", "lids_left", "lids_right")]
    )[: len(rough)]
    wet = np.maximum(wet, wet[template.mirror[: len(rough)]])
    dry = (wet[edges] < 0.02).all(axis=1)
    assert dry.sum() > 3000
    assert np.abs(np.diff(rough[edges[dry]], axis=1)).max() < 0.05
