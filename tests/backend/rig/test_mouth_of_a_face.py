"""The mouth of a face: crowns in their gum, a tongue and a lining, lips that shut, smiles that show teeth."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from scipy.spatial import cKDTree

from backend.exchange.assemble import face_parts
from backend.exchange.face_asset import FacePart
from backend.fitting.fit import with_closed_lips
from backend.fitting.solver import FaceEstimate
from backend.fitting.stages import FitState
from backend.geometry.subdivision import catmull_clark, subdivide
from backend.geometry.template import load_template
from backend.rig.measure import face_loops, part_slice
from backend.rig.mouth import LEAST_OVERLAP, TEETH, abscissas_across, closed_lips, lips_apart, mouth_shapes, touch_lips
from backend.rig.personalise import personalise_keys, pocket_depths
from protocol.names import ARKIT_INDEX, ARKIT_NAMES
from protocol.similarity import fit_similarity

WIDTHS = {"teeth_upper": (8.5, 6.5, 7.5, 7.0, 7.0), "teeth_lower": (5.3, 5.8, 6.8, 7.0, 7.2)}
"""Millimetres, means of adults (Wheeler's Dental Anatomy)."""
FACES = (0, 1)
FAUCES, SOFT_PALATE, MOLARS, PREMOLARS, GUM, FOLD = range(1, 7)  # loops of the mouth's lining
OUTER, BITE, INNER = 0, 2, 3  # lines of a row of teeth: the ends of its plates in the gum, and its edge
GRID = load_template().sculpture.lining_vertices.astype(int)
UPPER, LOWER = face_loops(load_template()).mouth.upper, face_loops(load_template()).mouth.lower
UPPER_LIP = 13  # MediaPipe: inner edge, in the middle


@lru_cache
def _faces(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A face as it was fitted, the mean one or a random one, and with its mouth: neutral and keys of each."""
    template = load_template()
    modes = np.random.default_rng(seed).normal(size=len(template.identity_modes)) * (0.8 if seed else 0.0)
    neutral = (template.vertices + np.einsum("k,kvc->vc", modes, template.identity_modes)).astype(np.float32)
    keys = personalise_keys(template, neutral)
    return neutral, keys, *mouth_shapes(template, neutral, keys)


@pytest.fixture(scope="module", params=FACES)
def shapes(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Neutral and keys of the mean face, and of another."""
    return _faces(request.param)[2:]


def part(shapes: tuple[np.ndarray, np.ndarray], name: str) -> FacePart:
    return next(one for one in face_parts(load_template(), *shapes) if one.name == name)


def smooth(one: FacePart, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """Vertices of the surface as Blender draws it."""
    return catmull_clark(one.quads, len(one.vertices))[0] @ (one.vertices + offset)


@pytest.mark.parametrize("name", TEETH)
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


@pytest.mark.parametrize("name", TEETH)
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


@pytest.mark.parametrize("name", TEETH)
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


@pytest.mark.parametrize("name", TEETH)
def test_crowns_stay_behind_closed_lips(shapes: tuple[np.ndarray, np.ndarray], name: str) -> None:
    """They stand hardly further forward than the band, which lips clear by 4 mm."""
    neutral = shapes[0]
    crowns = smooth(part(shapes, name))
    band = neutral[part_slice(load_template().parts[name])]
    assert crowns[:, 2].max() < band[:, 2].max() + 0.0008
    lip = load_template().landmarks478.positions(neutral)[UPPER_LIP]
    assert crowns[:, 2].max() < lip[2] - 0.002
    front = crowns[np.abs(crowns[:, 0]) < 0.01]
    low = load_template().landmarks478.positions(neutral)[17, 1]
    assert front[:, 1].min() > low if name == "teeth_upper" else front[:, 1].max() < lip[1] + 0.006


def _arches(mesh: np.ndarray, part: str) -> list[np.ndarray]:
    """The left and the right half of a row of teeth, (9, 4, 3) each: from the midline backwards, by line."""
    strip = load_template().sculpture.crown_strip[TEETH.index(part)]
    points = mesh[part_slice(load_template().parts[part])].astype(np.float64)[strip[strip >= 0].reshape(17, 4)]
    halves = points[8:], points[8::-1]
    return sorted(halves, key=lambda half: -half[-1, 0, 0])


def _lining(mesh: np.ndarray, columns: np.ndarray, first: int, last: int) -> np.ndarray:
    """Points on the quads between the loops ``first`` and ``last`` of the tube, half a millimetre apart or so."""
    grid = mesh[GRID[first : last + 1][:, columns]].astype(np.float64)
    for axis in (0, 1):
        share = np.linspace(0.0, 1.0, 24)[:, None, None]
        low, high = (np.take(grid, range(s, grid.shape[axis] - 1 + s), axis) for s in (0, 1))
        low, high = (np.moveaxis(ends, axis, 0)[:, None] for ends in (low, high))
        grid = np.moveaxis((low + share[None] * (high - low)).reshape(-1, *low.shape[2:]), 0, axis)
    return grid.reshape(-1, 3)


@pytest.mark.parametrize("seed", FACES)
@pytest.mark.parametrize("jaw", [0.0, 0.4, 0.8])
def test_gums_reach_the_teeth_inside_and_outside(seed: int, jaw: float) -> None:
    """hm08's plates of teeth hang in the air: 5 mm and more from the mouth's wall."""
    apart = []
    for neutral, keys in (_faces(seed)[:2], _faces(seed)[2:]):
        mesh = neutral + jaw * keys[ARKIT_INDEX["jawOpen"]]
        for part, columns in (("teeth_upper", UPPER), ("teeth_lower", LOWER)):
            wall = cKDTree(_lining(mesh, columns, MOLARS, FOLD))
            ends = [arch[:7, [OUTER, INNER]].reshape(-1, 3) for arch in _arches(mesh, part)]  # to the loops' last
            apart.append(wall.query(np.concatenate(ends))[0].max())
    assert min(apart[:2]) > 0.005
    assert max(apart[2:]) < 0.002, apart


@pytest.mark.parametrize("seed", FACES)
def test_a_palate_lies_as_high_above_the_teeth_as_palates_do(seed: int) -> None:
    """12 to 22 mm above the biting edges; hm08's roof is 4 cm above them."""
    before, _, neutral, _ = _faces(seed)
    roof = GRID[[PREMOLARS, MOLARS]][:, UPPER[11]]
    heights = [mesh[roof, 1] - _arches(mesh, "teeth_upper")[0][4, BITE, 1] for mesh in (before, neutral)]
    assert (heights[0] > 0.030).all() and (heights[1] > 0.010).all() and (heights[1] < 0.022).all()


@pytest.mark.parametrize("seed", FACES)
@pytest.mark.parametrize("jaw", [0.0, 0.4, 0.8])
def test_a_tongue_lies_behind_the_incisors_below_the_palate_with_a_furrow(seed: int, jaw: float) -> None:
    template = load_template()
    _, _, neutral, keys = _faces(seed)
    mesh = (neutral + jaw * keys[ARKIT_INDEX["jawOpen"]]).astype(np.float64)
    tongue = mesh[part_slice(template.parts["tongue"])]
    lower = _arches(mesh, "teeth_lower")[0]
    assert 0.0 < lower[0, INNER, 2] - tongue[:, 2].max() < 0.006
    palate = _lining(mesh, UPPER[5:18], FAUCES, GUM)
    above = [
        (palate[np.linalg.norm(palate[:, ::2] - point[::2], axis=1) < 0.001, 1] - point[1]).min(initial=1.0)
        for point in tongue[tongue[:, 2] > mesh[GRID[MOLARS, UPPER[11]], 2]]
    ]
    assert min(above) > 0.002
    rest = neutral[part_slice(template.parts["tongue"])]
    level = neutral[part_slice(template.parts["teeth_lower"])][:, 1].max()
    assert abs(rest[:, 1].max() - level) < 0.005  # its back is at the level of the lower teeth
    front = rest[(rest[:, 2] > np.quantile(rest[:, 2], 0.4)) & (rest[:, 2] < np.quantile(rest[:, 2], 0.6))]
    middle, beside = np.abs(front[:, 0]) < 0.001, (np.abs(front[:, 0]) > 0.003) & (np.abs(front[:, 0]) < 0.008)
    edge = np.abs(front[:, 0]) > 0.011
    assert front[middle, 1].max() < front[beside, 1].max() - 0.0005
    assert front[edge, 1].max() < front[beside, 1].max() - 0.0010


@pytest.mark.parametrize("seed", FACES)
def test_the_lining_comes_no_nearer_to_the_skin_than_it_was_in_any_key(seed: int) -> None:
    template = load_template()
    pocket, skin = template.sculpture.pocket, template.sculpture.pocket_skin
    before, old_keys, neutral, keys = _faces(seed)
    for index, name in enumerate(ARKIT_NAMES):
        nearest = []
        for mesh in (before + old_keys[index], neutral + keys[index]):
            apart = np.linalg.norm(mesh[skin] - mesh[pocket][:, None], axis=2)
            nearest.append(pocket_depths(template, mesh)[0][apart < 0.006].min())
        assert nearest[1] > min(nearest[0], 0.0006) - 1e-5, name


def test_teeth_do_not_leave_the_gums_when_lips_move() -> None:
    _, _, neutral, keys = _faces(0)
    for name in ("mouthUpperUpLeft", "mouthSmileLeft", "mouthPucker", "mouthRollUpper", "mouthClose"):
        mesh = neutral + keys[ARKIT_INDEX[name]]
        wall = cKDTree(_lining(mesh, UPPER, MOLARS, GUM))
        ends = np.concatenate([arch[:7, INNER] for arch in _arches(mesh, "teeth_upper")])
        assert wall.query(ends)[0].max() < 0.002, name


@pytest.mark.parametrize("seed", [1, 2])
def test_the_mouth_goes_with_the_teeth_of_a_face(seed: int) -> None:
    """A face whose teeth and tongue are the mean ones, moved and larger, has the mean mouth, moved and larger."""
    template = load_template()
    rest = mouth_shapes(template, template.vertices, template.expressions)[0]
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)) * 0.1 + np.eye(3))[0]
    turn *= np.sign(np.diag(turn))
    moved = (1.1 * template.vertices @ turn.T + [0.0, 0.3, 0.1]).astype(np.float32)
    mouth = mouth_shapes(template, moved, template.expressions)[0]
    np.testing.assert_allclose(mouth, 1.1 * rest @ turn.T + [0.0, 0.3, 0.1], atol=2e-6)


def _front(mesh: np.ndarray, name: str) -> np.ndarray:
    part = mesh[part_slice(load_template().parts[name])]
    return part[np.abs(part[:, 0]) < 0.006]


@pytest.mark.parametrize("jaw", [0.4, 0.8])
def test_an_open_mouth_shows_the_upper_and_the_lower_incisors(jaw: float) -> None:
    template = load_template()
    loops = face_loops(template).mouth
    before, old_keys, neutral, keys = _faces(0)
    seen = []
    for mesh, moves in ((before, old_keys), (neutral, keys)):
        posed = mesh + jaw * moves[ARKIT_INDEX["jawOpen"]]
        upper = posed[loops.rows[loops.contact - 1 :, loops.upper[11]], 1].min()
        seen.append(upper - _front(posed, "teeth_upper")[:, 1].min())
    lower = posed[loops.rows[loops.contact - 1 :, loops.lower[6]], 1].max()
    assert seen[0] < 0.002 and seen[1] > 0.0022
    assert _front(posed, "teeth_lower")[:, 1].max() > lower + 0.002
    assert _front(posed, "tongue")[:, 2].max() < _front(posed, "teeth_lower")[:, 2].max()


@pytest.mark.parametrize("seed", range(4))
def test_a_broad_smile_shows_teeth_and_hardly_any_gum(seed: int) -> None:
    """Crowns of incisors are 10 to 10.5 mm long; smiles show 7 to 12 mm of teeth and gum."""
    _, _, neutral, keys = _faces(seed)
    smile = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "mouthUpperUpLeft": 0.4, "mouthUpperUpRight": 0.4}
    posed = neutral + sum(weight * keys[ARKIT_INDEX[name]] for name, weight in smile.items())
    lip = load_template().landmarks478.positions(posed)[UPPER_LIP, 1]
    assert 0.007 < lip - _front(posed, "teeth_upper")[:, 1].min() < 0.012


def overlap_mm(neutral: np.ndarray) -> float:
    """The least overlap of the smooth lips over the inner 80 % of the mouth, in the loop where it is largest."""
    template = load_template()
    head, mouth = template.head.vertex_stop, face_loops(template).mouth
    surface = (subdivide(template, 1).matrix[: len(neutral)] @ neutral)[:head]
    across = abscissas_across(neutral[:head], mouth)
    gaps = [lips_apart(surface, mouth, row, across) for row in (-2, -1, 0, 1)]
    return -1e3 * float(np.min(gaps, axis=0)[6:-6].max())


@pytest.mark.parametrize("deviations", [1.0, 2.5])
def test_a_fitted_face_has_its_lips_shut(deviations: float) -> None:
    template = load_template()
    random = np.random.default_rng(3)
    open_before = 0
    for _ in range(4):
        identity = deviations * random.standard_normal(len(template.identity_modes))
        state = FitState(template, (), FaceEstimate(identity, ()), (), ())
        before, after = state.neutral, with_closed_lips(state).neutral
        open_before += overlap_mm(before) < 0.35
        assert overlap_mm(after) > 0.8e3 * LEAST_OVERLAP
        moved = np.linalg.norm(after - before, axis=1)
        assert moved.max() < 0.001
        far = np.linalg.norm(before - before[face_loops(template).mouth.rows[8]].mean(0), axis=1) > 0.05
        assert moved[far & (template.regions["mouth_interior"] < 0.1)].max() < 1e-7
    assert open_before > 0


def test_lips_that_touch_stay_as_they_are() -> None:
    template = load_template()
    head = template.head.vertex_stop
    shut, smooth = template.vertices.astype(np.float64), subdivide(template, 1).matrix[:head, :head]
    shut[:head] = touch_lips(shut[:head], smooth, face_loops(template).mouth, overlap=0.0008)
    assert np.abs(shut - template.vertices).max() > 1e-5
    np.testing.assert_allclose(closed_lips(template, shut), shut, rtol=0.0, atol=1e-6)
