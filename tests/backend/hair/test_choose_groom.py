"""The groom that drawn photos of a groom show is that groom, deformed as it was."""

import sys
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_hair import SIDE, made_view

from backend.geometry.template import Template
from backend.hair.groom import load_grooms
from backend.hair.groom.choose import GroomFit, choose_groom
from backend.hair.groom.description import mirrored, receded
from backend.hair.groom.grow import ANGLES, HEIGHTS, GroomHead, comb
from backend.hair.hair_views import HairView
from backend.models.hair_kind import FIELDS, HairKind

YAWS = (0.0, -40.0, 35.0)


def shown(template: Template, head: GroomHead, name: str, yaws=YAWS, mirror: bool = False, **fitted) -> list[HairView]:
    groom = load_grooms()[name]
    combed = comb(mirrored(groom) if mirror else groom, head, **fitted, seed=5)
    lines = [combed.points[combed.thin > 0.5], *([combed.free] if len(combed.free) else [])]
    fine = [np.stack([np.linspace(a, b, 5) for a, b in zip(part[:, :-1], part[:, 1:], strict=True)]) for part in lines]
    dense = np.concatenate([each.transpose(0, 2, 1, 3).reshape(-1, 3) for each in fine])
    return [made_view(template, yaw, dense[None]) for yaw in yaws]


def mostly(told: dict[str, str]) -> HairKind:
    is_it = {field: np.array(FIELDS[field]) == value for field, value in told.items()}
    return HairKind({field: 0.6 * each + 0.4 * ~each / len(each) for field, each in is_it.items()})


@pytest.fixture(scope="module")
def fits(template: Template, head: GroomHead):
    found: dict[str, GroomFit] = {}

    def fit(name: str) -> GroomFit:
        if name not in found:
            kind = load_grooms()[name].kind.items()
            told = {field: value for field, value in kind if field not in ("flow", "parting", "tied")}
            found[name] = choose_groom(head, shown(template, head, name), mostly(told))
        return found[name]

    return fit


@pytest.mark.parametrize("name", ["buzz", "afro", "bob", "long_straight", "high_bun", "ring"])
def test_the_groom_of_the_photos_is_found(fits, name: str) -> None:
    """By photos of 112 pixels and a reader that is right in six of ten, and does not tell what is tied."""
    assert fits(name).groom.name == name and fits(name).overlap > 0.7


def test_the_side_to_which_hair_is_combed_is_found(template: Template, head: GroomHead) -> None:
    views = [shown(template, head, "side_part", mirror=mirror) for mirror in (False, True)]
    sides = [choose_groom(head, each, None, ("side_part",)).groom.kind["parting"] for each in views]
    assert sides == ["left", "right"]


def test_hair_that_leaves_the_photos_below_is_at_least_as_long(template: Template, head: GroomHead) -> None:
    """Long hair in photos that end at the neck came as a bob, later because the reader sees no more of it."""
    views = shown(template, head, "long_straight")
    rows = [int(view.camera.project(np.array([[0.0, 0.6, 0.02]]))[0, 1]) for view in views]
    seen = [view.visible * (np.arange(SIDE)[:, None] < row) for view, row in zip(views, rows, strict=True)]
    cut = [replace(view, visible=visible) for view, visible in zip(views, seen, strict=True)]
    for kind in (None, mostly({"length": "shoulder"})):
        assert choose_groom(head, cut, kind, ("lob", "long_straight")).groom.name == "long_straight"
    assert choose_groom(head, shown(template, head, "lob"), kind, ("lob", "long_straight")).groom.name == "lob"


@pytest.mark.parametrize("how", ["receding", "thinning"])
def test_hair_combed_back_recedes_where_the_reader_says_so(template: Template, head: GroomHead, how: str) -> None:
    """It came in full."""
    line, density = receded(load_grooms()["slicked"], how).hairline, load_grooms()[how].kind["density"]
    odds = {"full": 0.2, "receding": 0.7, "thinning_top": 0.0}  # never taught, so thin tops came with hair
    kind = HairKind({"density": np.array([odds.get(one, 0.05) for one in FIELDS["density"]])})
    fit = choose_groom(head, shown(template, head, "slicked", hairline=line), kind, ("slicked",))
    assert fit.groom.kind["density"] == density and np.abs(fit.hairline - line).max() < 6.0


@pytest.mark.parametrize(("sides", "tied"), [("behind_ears", True), ("over_ears", False)])
def test_hair_behind_the_ears_is_tied(template: Template, head: GroomHead, sides: str, tied: bool) -> None:
    """A man whose hair lies over his ears came with a bun, and what is tied, which is read as up, as a crop."""
    told = {"sides": sides, "length": "short" if tied else "ear", "flow": "up", "curl": "wavy", "fringe": "none"}
    groom = choose_groom(head, shown(template, head, "low_bun", (0.0, 20.0)), mostly(told)).groom
    assert (groom.kind["tied"] != "no") == tied


def test_it_is_deformed_as_the_photos_show_it(template: Template, head: GroomHead) -> None:
    line = load_grooms()["taper"].hairline
    higher = line - [0.0, 5.0] * np.exp(-((line[:, :1] / 40) ** 2))
    views = shown(template, head, "taper", hairline=higher)
    fit = choose_groom(head, views, None, ("taper",))
    assert fit.overlap > 0.85
    assert fit.hairline[0, 1] - line[0, 1] < -1.0
    views = shown(template, head, "lob", lengths=np.full((ANGLES, len(HEIGHTS)), 0.75))
    lengths = choose_groom(head, views[:1], None, ("lob",)).lengths
    assert lengths.mean() < 0.9 and np.ptp(lengths[:, -1]) < 0.1, "hair that hangs is cut as one"


def test_what_no_photo_shows_is_like_the_other_side(template: Template, head: GroomHead) -> None:
    wide = np.full((ANGLES, len(HEIGHTS)), 1.25)
    fit = choose_groom(head, shown(template, head, "bob", yaws=(60.0, 75.0), shells=wide), None, ("bob",))
    np.testing.assert_allclose(fit.shells, fit.shells[-np.arange(ANGLES) % ANGLES], rtol=0.3)


def test_it_is_the_same_every_time_and_soon(template: Template, head: GroomHead) -> None:
    start = process_time()
    again = choose_groom(head, shown(template, head, "taper"), None, ("taper", "bob"))
    assert process_time() - start < 20
    other = choose_groom(head, shown(template, head, "taper"), None, ("taper", "bob"))
    assert again.groom.name == other.groom.name == "taper"
    np.testing.assert_array_equal(again.lengths, other.lengths)
