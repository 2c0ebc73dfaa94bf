"""The inside of a mouth: gums at the teeth, a palate above the tongue, a throat behind."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from backend.geometry.template import load_template
from backend.rig.measure import mouth_tube, part_slice
from backend.rig.mouth import COLUMNS, FAUCES, FOLD, GUM, MOLARS, PREMOLARS, DentalArch, dental_arch, mouth_shapes
from backend.rig.personalise import bind_pocket, personalise_keys, pocket_depths
from protocol.names import ARKIT_INDEX, ARKIT_NAMES

FACES = (0, 1)


def _faces(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A face as it was fitted, the mean one or a random one, and with its mouth: neutral and keys of each."""
    template = load_template()
    modes = np.random.default_rng(seed).normal(size=len(template.identity_modes)) * (0.8 if seed else 0.0)
    neutral = (template.vertices + np.einsum("k,kvc->vc", modes, template.identity_modes)).astype(np.float32)
    keys = personalise_keys(template, neutral)
    return neutral, keys, *mouth_shapes(template, neutral, keys)


def _arches(mesh: np.ndarray, part: str) -> list[DentalArch]:
    return [dental_arch(load_template(), mesh, part, side) for side in (1, -1)]


def _lining(mesh: np.ndarray, columns: np.ndarray, first: int, last: int) -> np.ndarray:
    """Points on the quads between the loops ``first`` and ``last`` of the tube, half a millimetre apart or so."""
    grid = mesh[mouth_tube(load_template()).rows[first : last + 1][:, columns]].astype(np.float64)
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
    tube = mouth_tube(load_template())
    apart = []
    for neutral, keys in (_faces(seed)[:2], _faces(seed)[2:]):
        mesh = neutral + jaw * keys[ARKIT_INDEX["jawOpen"]]
        for part, columns in (("teeth_upper", tube.upper), ("teeth_lower", tube.lower)):
            wall = cKDTree(_lining(mesh, columns, MOLARS, FOLD))
            ends = [line[:7] for arch in _arches(mesh, part) for line in (arch.outer, arch.inner)]  # to the loops' last
            apart.append(wall.query(np.concatenate(ends))[0].max())
    assert min(apart[:2]) > 0.005
    assert max(apart[2:]) < 0.002, apart


@pytest.mark.parametrize("seed", FACES)
def test_a_palate_lies_as_high_above_the_teeth_as_palates_do(seed: int) -> None:
    """12 to 22 mm above the biting edges; hm08's roof is 4 cm above them."""
    before, _, neutral, _ = _faces(seed)
    roof = mouth_tube(load_template()).rows[[PREMOLARS, MOLARS]][:, mouth_tube(load_template()).upper[11]]
    heights = [mesh[roof, 1] - _arches(mesh, "teeth_upper")[0].bite[4, 1] for mesh in (before, neutral)]
    assert (heights[0] > 0.030).all() and (heights[1] > 0.010).all() and (heights[1] < 0.022).all()


@pytest.mark.parametrize("seed", FACES)
@pytest.mark.parametrize("jaw", [0.0, 0.4, 0.8])
def test_a_tongue_lies_behind_the_incisors_below_the_palate_with_a_furrow(seed: int, jaw: float) -> None:
    template = load_template()
    _, _, neutral, keys = _faces(seed)
    mesh = (neutral + jaw * keys[ARKIT_INDEX["jawOpen"]]).astype(np.float64)
    tongue = mesh[part_slice(template.parts["tongue"])]
    lower = _arches(mesh, "teeth_lower")[0]
    assert 0.0 < lower.inner[0, 2] - tongue[:, 2].max() < 0.006
    tube = mouth_tube(template)
    palate = _lining(mesh, tube.upper[5:18], FAUCES, GUM)
    above = [
        (palate[np.linalg.norm(palate[:, ::2] - point[::2], axis=1) < 0.001, 1] - point[1]).min(initial=1.0)
        for point in tongue[tongue[:, 2] > mesh[tube.rows[MOLARS, tube.upper[11]], 2]]
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
    tube = mouth_tube(load_template())
    _, _, neutral, keys = _faces(0)
    for name in ("mouthUpperUpLeft", "mouthSmileLeft", "mouthPucker", "mouthRollUpper", "mouthClose"):
        mesh = neutral + keys[ARKIT_INDEX[name]]
        wall = cKDTree(_lining(mesh, tube.upper, MOLARS, GUM))
        ends = np.concatenate([arch.inner[:7] for arch in _arches(mesh, "teeth_upper")])
        assert wall.query(ends)[0].max() < 0.002, name


def test_both_sides_of_an_arch_have_a_column_for_each_strip() -> None:
    template = load_template()
    for part in ("teeth_upper", "teeth_lower"):
        left, right = _arches(template.vertices, part)
        assert len(left.bite) + len(right.bite) - 1 == COLUMNS
        assert np.allclose(left.bite * [-1, 1, 1], right.bite, atol=2e-4)
        assert (np.diff(left.bite[:, 2]) < 0).all()  # from the front to the back
