"""The inside of a mouth: gums at the teeth, a palate above the tongue, a throat behind."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from backend.geometry.template import load_template
from backend.rig.measure import face_loops, part_slice
from backend.rig.mouth import TEETH, mouth_shapes
from backend.rig.personalise import bind_pocket, personalise_keys, pocket_depths
from protocol.names import ARKIT_INDEX, ARKIT_NAMES

FACES = (0, 1)
THROAT, FAUCES, SOFT_PALATE, MOLARS, PREMOLARS, GUM, FOLD = range(7)  # loops of the mouth's lining
OUTER, BITE, INNER = 0, 2, 3  # lines of a row of teeth: the ends of its plates in the gum, and its edge
GRID = load_template().sculpture.lining_vertices.astype(int)
UPPER, LOWER = face_loops(load_template()).mouth.upper, face_loops(load_template()).mouth.lower


def _faces(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A face as it was fitted, the mean one or a random one, and with its mouth: neutral and keys of each."""
    template = load_template()
    modes = np.random.default_rng(seed).normal(size=len(template.identity_modes)) * (0.8 if seed else 0.0)
    neutral = (template.vertices + np.einsum("k,kvc->vc", modes, template.identity_modes)).astype(np.float32)
    keys = personalise_keys(template, neutral)
    return neutral, keys, *mouth_shapes(template, neutral, keys)


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
    binding = bind_pocket(template)
    before, old_keys, neutral, keys = _faces(seed)
    for index, name in enumerate(ARKIT_NAMES):
        nearest = []
        for mesh in (before + old_keys[index], neutral + keys[index]):
            apart = np.linalg.norm(mesh[binding.skin] - mesh[binding.pocket][:, None], axis=2)
            nearest.append(pocket_depths(template, binding, mesh)[apart < 0.006].min())
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
