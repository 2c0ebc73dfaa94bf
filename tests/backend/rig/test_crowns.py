"""Teeth are single crowns in their gum, where the smooth surface of hm08's band was."""

from __future__ import annotations

import numpy as np
import pytest

from backend.exchange.assemble import face_parts
from backend.exchange.face_asset import FacePart
from backend.geometry.subdivision import catmull_clark
from backend.geometry.template import load_template
from backend.rig.measure import part_slice
from backend.rig.mouth import TEETH as ROWS
from backend.rig.mouth import mouth_shapes
from backend.rig.personalise import personalise_keys
from protocol.names import ARKIT_INDEX
from protocol.similarity import fit_similarity

WIDTHS = {"teeth_upper": (8.5, 6.5, 7.5, 7.0, 7.0), "teeth_lower": (5.3, 5.8, 6.8, 7.0, 7.2)}
"""Millimetres, means of adults (Wheeler's Dental Anatomy)."""


@pytest.fixture(scope="module", params=[None, 1])
def shapes(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Neutral and keys of the mean face, and of another."""
    template = load_template()
    neutral = template.vertices.astype(np.float64)
    if request.param is not None:
        identity = np.random.default_rng(request.param).normal(0, 0.8, len(template.identity_modes))
        neutral = neutral + np.tensordot(identity, template.identity_modes, 1)
    return mouth_shapes(template, neutral, personalise_keys(template, neutral))


def part(shapes: tuple[np.ndarray, np.ndarray], name: str) -> FacePart:
    return next(one for one in face_parts(load_template(), *shapes) if one.name == name)


def smooth(one: FacePart, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """Vertices of the surface as Blender draws it."""
    return catmull_clark(one.quads, len(one.vertices))[0] @ (one.vertices + offset)


@pytest.mark.parametrize("name", ROWS)
def test_crowns_reach_the_biting_edges(shapes: tuple[np.ndarray, np.ndarray], name: str) -> None:
    """The smooth surface of hm08's band ended 2.8 mm above them, so that an open mouth showed no upper teeth."""
    template = load_template()
    span = template.parts[name]
    band = shapes[0][part_slice(span)]
    quads = template.quads[span.face_start : span.face_stop] - span.vertex_start
    flat = catmull_clark(quads, len(band))[0] @ band
    sign = 1.0 if name == "teeth_upper" else -1.0
    edges = []
    for points in (band, flat, smooth(part(shapes, name))):
        front = points[(np.abs(points[:, 0]) < 0.008) & (points[:, 2] > points[:, 2].max() - 0.004)]
        edges.append((sign * front[:, 1]).min())
    assert edges[1] - edges[0] > 0.0015
    assert abs(edges[2] - edges[0]) < 0.0012


@pytest.mark.parametrize("jaw", [0.5, 0.8])
def test_an_open_mouth_shows_the_upper_teeth_as_they_are_drawn(
    shapes: tuple[np.ndarray, np.ndarray], jaw: float
) -> None:
    neutral, keys = shapes
    lip = load_template().landmarks478.positions(neutral + jaw * keys[ARKIT_INDEX["jawOpen"]])[13]
    teeth = smooth(part(shapes, "teeth_upper"))
    incisors = teeth[np.abs(teeth[:, 0] - lip[0]) < 0.006]
    assert incisors[:, 1].min() < lip[1] - 0.0015
    assert incisors[:, 2].max() < lip[2]


@pytest.mark.parametrize("name", ROWS)
def test_between_two_crowns_is_a_furrow(shapes: tuple[np.ndarray, np.ndarray], name: str) -> None:
    one = part(shapes, name)
    line = one.vertices.reshape(-1, 16, 3)[:, 7]  # one line of the outer side
    middle = len(line) // 2
    steps = 6  # columns of a tooth
    for tooth in range(5):
        sides = line[[middle + steps * tooth, middle + steps * (tooth + 1)]]
        top = line[middle + steps * tooth + steps // 2]
        chord = np.linalg.norm((sides[1] - sides[0])[[0, 2]])
        assert chord == pytest.approx(1e-3 * WIDTHS[name][tooth], rel=0.35)
        out = np.cross(sides[1] - sides[0], [0.0, 1.0, 0.0])
        stands = abs(((top - sides[0]) * out).sum()) / np.linalg.norm(out)
        assert 0.0005 < stands < 0.0035


@pytest.mark.parametrize("name", ROWS)
def test_hm08s_vertices_are_all_there_and_where_its_band_has_them(
    shapes: tuple[np.ndarray, np.ndarray], name: str
) -> None:
    template = load_template()
    place = part_slice(template.parts[name])
    one = part(shapes, name)
    numbered = one.hm08_vertex >= 0
    order = np.argsort(one.hm08_vertex[numbered])
    np.testing.assert_array_equal(one.hm08_vertex[numbered][order], np.sort(template.hm08_vertex[place]))
    band = shapes[0][place][np.argsort(template.hm08_vertex[place])]
    away = np.linalg.norm(one.vertices[numbered][order] - band, axis=1)
    assert np.median(away) < 0.002 and away.max() < 0.006


def test_lower_teeth_move_rigidly_and_upper_ones_do_not_move(shapes: tuple[np.ndarray, np.ndarray]) -> None:
    assert not part(shapes, "teeth_upper").keys
    lower = part(shapes, "teeth_lower")
    posed = lower.vertices + lower.keys["jawOpen"]
    found = fit_similarity(lower.vertices, posed, scale=1.0)
    np.testing.assert_allclose(found.apply(lower.vertices), posed, atol=2e-5)
    place = part_slice(load_template().parts["teeth_lower"])
    band = shapes[0][place]
    with_band = fit_similarity(band, band + shapes[1][ARKIT_INDEX["jawOpen"], place], scale=1.0)
    np.testing.assert_allclose(with_band.apply(lower.vertices), posed, atol=1e-4)


def test_the_gum_climbs_between_the_teeth_and_ends_behind_them() -> None:
    crown, aside, _ = load_template().sculpture.tooth_profile[0].T  # at each tenth of a millimetre
    assert aside[85] < 1e-4 < aside[42] == aside[:86].max()
    assert crown[0] < 0.7 * crown[42] and crown[42] == crown[:86].max() == pytest.approx(0.010, rel=0.01)
    assert crown[-1] == 0.0


@pytest.mark.parametrize("name", ROWS)
def test_crowns_stay_behind_closed_lips(shapes: tuple[np.ndarray, np.ndarray], name: str) -> None:
    """They stand hardly further forward than the band, which lips clear by 4 mm."""
    neutral = shapes[0]
    crowns = smooth(part(shapes, name))
    band = neutral[part_slice(load_template().parts[name])]
    assert crowns[:, 2].max() < band[:, 2].max() + 0.0008
    lip = load_template().landmarks478.positions(neutral)[13]
    assert crowns[:, 2].max() < lip[2] - 0.002
    front = crowns[np.abs(crowns[:, 0]) < 0.01]
    low = load_template().landmarks478.positions(neutral)[17, 1]
    assert front[:, 1].min() > low if name == "teeth_upper" else front[:, 1].max() < lip[1] + 0.006
