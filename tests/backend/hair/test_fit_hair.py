"""Hair from photos: what a chosen style gets, and when there is none."""

import sys
from dataclasses import make_dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made_hair import made_view

from backend.geometry.template import Template
from backend.hair.fit_hair import AS_SKIN, HairLook, HairResult, _beside_face, fit_hair, from_skin, grooms_of, under_hat
from backend.hair.groom import grow_guides, load_grooms
from backend.hair.groom.dress import groom_strands
from backend.hair.groom.grow import GroomHead
from backend.hair.look import Look
from backend.models.hair_kind import FIELDS, HairKind
from protocol.options import OPTIONS


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch, template: Template, head: GroomHead):
    """Fits hair to photos with the hair of a groom, of a kind, in a style; colours are not asked for."""
    asked: list = []
    monkeypatch.setattr(
        "backend.hair.fit_hair.strand_colours", lambda line, *told: asked.append(told) or (line[:, 0], line[:, 1])
    )

    def result(groom, style="auto", kind=None, parting=("auto", 0.0), spots=False, hat=False):
        truth = None if groom is None else groom_strands(load_grooms()[groom], template.vertices).points
        views = tuple(made_view(template, yaw, truth) for yaw in (0.0, -35.0))
        if spots:
            views = tuple(replace(view, hair=view.hair * _spots(view.hair.shape)) for view in views)
        told = HairLook(head, Look("c", ("c", "a")), views, kind, hat=hat)
        photos = tuple(SimpleNamespace(name=name) for name in "abc")
        fitted = make_dataclass("Fitted", ["neutral", "photos"])(template.vertices, photos)
        return fit_hair(template, fitted, (), told_style=style, told=told, parting=parting), asked

    return result


def _spots(shape: tuple[int, ...]) -> np.ndarray:
    return (np.indices(shape) // 12 % 2).all(0)


def kind_of(**sure: str) -> HairKind:
    odds = {field: np.full(len(values), 1 / len(values)) for field, values in FIELDS.items()}
    return HairKind(
        odds | {field: np.array([float(v == value) for v in FIELDS[field]]) for field, value in sure.items()}
    )


def lowest(result: HairResult) -> float:
    return float(np.percentile(result.strands.points[..., 1], 1))


def test_every_choice_is_a_groom() -> None:
    _, shaved, balding, *grooms = OPTIONS["hair_style"].values
    assert (shaved.name, balding.name) == ("shaved", "balding")
    told = {name: style.label for style in grooms for name in grooms_of(style.name)}
    assert told == {name: groom.label for name, groom in load_grooms().items() if name != "ring"}


def test_a_chosen_style_is_at_least_as_long_as_its_groom(fit, template: Template) -> None:
    """*Long and Straight* changed nothing on a head with short hair."""
    long, short = fit("taper", "long straight")[0], fit("taper", "taper")[0]
    own = groom_strands(load_grooms()["long_straight"], template.vertices).points
    assert lowest(long) < np.percentile(own[..., 1], 1) + 0.01 < lowest(short) - 0.1
    assert long.to_report()["groom"] == "long_straight" and long.strands.style == "long straight"


def test_spots_of_shade_on_a_shaved_head_are_no_hair(fit) -> None:
    """They came as a side parting."""
    assert "shaved" in fit("taper", kind=kind_of(length="short", density="bald"), spots=True)[0].reason
    assert fit("taper", kind=kind_of(length="short", density="receding"), spots=True)[0].strands is not None, "bald"
    assert fit("taper", "side part", kind=kind_of(length="short"), spots=True)[0].strands is not None


def test_below_a_hat_hair_goes_on(fit, template: Template, head: GroomHead) -> None:
    """Caps came as shaved heads."""
    view = made_view(template, 0.0, None)
    capped = replace(view, visible=np.where(np.arange(len(view.depth))[:, None] < 0.5 * len(view.depth), 0.0, 1.0))
    below = replace(view.camera, camera_from_head=view.camera.camera_from_head[:, [0, 2, 1, 3]] * [1, -1, 1, 1])
    hats = [under_hat(head, one) for one in (capped, view, replace(view, camera=below))]
    assert hats == [True, False, None], "chins up had no cap"
    assert fit(None, kind=kind_of(), hat=True)[0].strands is not None  # of whom the reader knows nothing
    assert fit("taper", kind=kind_of(length="shaved", density="full"), spots=True, hat=True)[0].strands is not None


def test_straight_hair_waves_where_the_reader_says_so(fit) -> None:
    told = [kind_of(length="shoulder", flow="parted_middle", curl=curl) for curl in ("straight", "wavy")]
    straight, wavy = (np.abs(np.diff(fit("lob", kind=kind)[0].strands.points[:, 10:], 2, 1)).mean() for kind in told)
    assert wavy > 2 * straight, "waves of photos came straight"


def test_a_parting_that_is_told_is_there_and_the_cut_stays(fit) -> None:
    assert fit("crew", parting=("middle", 0.0))[0].to_report()["groom"] == "crew", "was another cut"
    for side, sign in (("left", 1), ("right", -1)):
        points = fit("taper", "taper", parting=(side, 0.03))[0].strands.points
        top = (points[:, 0, 1] > 0.83) & (points[:, 0, 2] > 0.04)
        away, outer = (points[:, -1, 0] - points[:, 0, 0]) * sign, points[:, 0, 0] * sign > 0.035
        assert away[top & outer].mean() > 0.002 and away[top & ~outer].mean() < -0.002


def test_balding_is_a_ring_below_a_bare_top(fit) -> None:
    strands = fit("taper", "balding")[0].strands
    top = strands.scalp.density[strands.scalp.vertices[:, 1] > 0.865]
    assert (len(top) == 0 or top.max() < 0.1) and (strands.scalp.density > 0.5).sum() > 500


def test_there_is_a_reason_where_there_is_no_hair(fit, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit("taper", "shaved")[0].strands is None
    assert fit(None)[0].reason == "The photos show no hair."
    monkeypatch.setattr("backend.hair.fit_hair.beside_skin", lambda *_: (5.0, 0.0))
    assert fit("buzz", kind=kind_of(length="shaved", density="bald"))[0].reason == "The photos show a shaved head."
    assert fit("buzz", kind=kind_of(density="ring"))[0].groom.groom.name == "ring"
    unsure = HairKind(kind_of(length="buzz").odds | {"density": np.array([0.23, 0.23, 0.0, 0.19, 0.35])})
    assert fit("buzz", kind=unsure)[0].groom.groom.name == "ring"  # came as white specks all over


def test_the_leading_photo_is_the_first_wherever_it_is_in_the_fit(fit) -> None:
    ((seen, _, others, _),) = fit("taper", "taper")[1]
    assert [photo.name for photo in seen.photos] == ["c", "a"] and [photo.name for photo in others] == ["b"]


@pytest.mark.parametrize(("hue", "lighter", "bare"), [
    (6.8, -2.8, True), (9.3, 24.7, True), (12.5, 7.1, True), (9.2, -15.9, False), (7.8, -23.3, False),
    (9.7, 9.8, True), (13.7, 11.4, False), (14.5, -1.9, False),
])  # fmt: skip
def test_a_scalp_that_shines_is_skin_and_thin_or_dark_stubble_is_hair(hue: float, lighter: float, bare: bool) -> None:
    """Measured on three shaved heads, one with thin hair and one crop, then on official portraits, one shaved and two
    with thin white hair. Shine on the second passed for white hair."""
    assert (from_skin(hue, lighter) < AS_SKIN) == bare


def test_no_strand_hangs_before_skin_that_the_photos_show_bare(template: Template) -> None:
    """Strands from beside a parting crossed an eye; without them a bald strip stayed at the hairline."""
    slicked = groom_strands(load_grooms()["slicked"], template.vertices).points
    views = [made_view(template, yaw, slicked) for yaw in (0.0, 30.0)]
    fringe = grow_guides(load_grooms()["fringe"], template.vertices)
    bare = _beside_face(fringe, views)
    before = [(np.abs(hair.points - (0.0, 0.7, 0.15)) < (0.06, 0.06, 0.05)).all(-1).sum() for hair in (fringe, bare)]
    assert before[0] > 10 and before[1] < 0.5 * before[0]
    assert len(bare.points) == len(bare.root_uv) > 0.95 * len(fringe.points)


def test_hairs_are_combed_aside_no_further_than_they_are_long(template: Template, monkeypatch) -> None:
    """Sideburns that photos do not show lay across the ear."""
    crop = grow_guides(load_grooms()["textured"], template.vertices)
    burn = np.quantile(crop.points[crop.points[:, 0, 2] > 0.02, 0, 1], 0.1)
    monkeypatch.setattr("backend.hair.fit_hair.votes", lambda points, view: np.where(points[..., 1] < burn, -2.0, 0.0))
    before = {tuple(uv): line for uv, line in zip(crop.root_uv, crop.points, strict=True)}
    after = _beside_face(crop, [SimpleNamespace(trust=1.0)])
    own = np.array([before[tuple(uv)] for uv in after.root_uv])
    away = np.linalg.norm(after.points - own, axis=2)[:, -1] / np.linalg.norm(np.diff(own, axis=1), axis=2).sum(1)
    assert 0.0 < away.max() < 1.0
