"""Synthetic skin whose relief has a cause: it follows the strain, and light shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from backend.detail.skin_detail import group_weights
from backend.detail.window import observe, vertex_strain
from backend.geometry.template import load_template
from trainer.methods.detail.data import DetailPeopleConfig
from trainer.methods.detail.relief import Relief, ReliefParameters, cause, draw_relief, draw_shot, take_photo
from trainer.people.scene import draw_light

SIZE = 256
CPU = torch.device("cpu")


def strain_of(group: str | None) -> np.ndarray:
    template, known = load_template(), cause(SIZE)
    surface = known.window.surface
    moved = template.vertices.copy()
    if group is not None:
        moved += np.einsum("k,kvc->vc", group_weights(group), template.expressions)
    cages = (template.vertices[: surface.count], moved[: surface.count])
    rest, posed = (known.window.frames(surface.lifted(cage.astype(np.float64))) for cage in cages)
    return known.smoothed(known.window.image(vertex_strain(rest, posed)))


def skin(**changes: float) -> ReliefParameters:
    numbers = {"age": 0.5, "depth": 0.4, "stays": 0.0, "wavelength": (6.0,) * 9, "sharpness": 1.0, "fold": 0.0}
    return ReliefParameters(**(numbers | {"bag": 0.0, "pores": 0.0, "moles": 0, "seed": 3} | changes))


def test_young_skin_is_flat_at_rest_and_folds_across_the_forehead_when_brows_go_up() -> None:
    relief, known = Relief(skin(), SIZE), cause(SIZE)
    assert np.abs(relief.displacement(strain_of(None))).max() == 0.0
    raised = relief.displacement(strain_of("brows_up"))
    regions = known.window.surface.regions
    masks = {name: known.window.image(regions[name][:, None])[..., 0] > 0.7 for name in ("forehead", "chin")}
    assert raised[masks["forehead"]].std() > 0.03 > 10 * raised[masks["chin"]].std()
    down, across = np.gradient(raised)
    assert np.square(down[masks["forehead"]]).sum() > 2 * np.square(across[masks["forehead"]]).sum()  # lines lie


def test_old_skin_keeps_its_lines() -> None:
    rest = strain_of(None)
    assert Relief(skin(stays=0.6), SIZE).displacement(rest).std() > 0.01
    g = np.random.default_rng(4)
    young, old = ([draw_relief(g, age) for _ in range(50)] for age in (0.0, 1.0))
    assert np.mean([r.stays for r in old]) > 5 * np.mean([r.stays for r in young])


def test_lines_end_at_the_hair_line_where_skin_goes_on() -> None:
    known = cause(SIZE)
    above = (known.painted["scalp"] > 0.5) & (known.window.allowed > 0.5)
    forehead = known.window.image(known.window.surface.regions["forehead"][:, None])[..., 0] > 0.9
    assert above.sum() > 100 and known.most[0][above].max() > 0.1  # there is skin, which raised brows press together
    raised = Relief(skin(depth=1.0, stays=0.6), SIZE).displacement(strain_of("brows_up"))
    assert np.abs(raised[above]).max() < 0.02 < 0.1 < raised[forehead].std()


def test_brows_are_no_skin_in_photos_as_in_the_product() -> None:
    known = cause(SIZE)
    brows = known.window.image(known.window.surface.regions["brows"][:, None])[..., 0] > 0.6
    forehead = known.window.image(known.window.surface.regions["forehead"][:, None])[..., 0] > 0.9
    weight = DetailPeopleConfig(size=SIZE, coarse=64, seed=9).build().person(0).photos[:, 5].numpy()
    assert weight[:, brows].max() == 0.0 and weight[:, forehead].max() > 0.9


def test_the_same_number_is_the_same_person_and_others_are_others() -> None:
    source = DetailPeopleConfig(size=64, coarse=16, seed=5).build()
    one, again, other = source.batch(range(2), CPU), source.batch(range(1, 2), CPU), source.batch(range(2, 3), CPU)
    torch.testing.assert_close(one.displacement[3:], again.displacement)
    assert not torch.allclose(again.displacement, other.displacement)
    assert one.person.tolist() == sorted(one.person.tolist()) and one.displacement.shape == (6, 1, 64, 64)
    assert torch.isfinite(one.photos).all() and torch.isfinite(one.wanted).all()


def test_photos_show_the_relief_where_the_light_comes_from_the_side() -> None:
    known, weights = cause(SIZE), group_weights("brows_up")
    template = load_template()
    surface = known.window.surface
    moved = template.vertices + np.einsum("k,kvc->vc", weights, template.expressions)
    frames = known.window.frames(surface.lifted(moved[: surface.count].astype(np.float64)))
    height = Relief(skin(depth=0.6), SIZE).displacement(strain_of("brows_up"))
    lamp = replace(draw_light(np.random.default_rng(1)), directions=np.array([[0.0, 0.94, 0.34]] * 3, np.float32))
    shot = draw_shot(np.random.default_rng(2))
    shot = replace(shot, towards=np.array([0, 0, 1.0]), turn=np.eye(3), light=lamp, noise=0.0, quality=0, shadow=0.0)
    shot = replace(shot, slip=0.0, covered=0, light_error=0.0, pixels_per_metre=5000.0, exposure=1.0)
    clay = np.full((SIZE, SIZE, 3), 0.4, np.float32)
    photo = observe(take_photo(known, frames, height, clay, 0.0, shot), known.density)
    down, across = np.gradient(height)
    shown = -(photo[3] * across + photo[4] * down)
    forehead = known.window.image(surface.regions["forehead"][:, None])[..., 0] > 0.8
    assert np.corrcoef(shown[forehead], photo[0][forehead])[0, 1] > 0.7
    assert photo[0][forehead].std() > 0.05


def test_freckles_change_the_photos_and_not_the_relief() -> None:
    marked, plain = (
        DetailPeopleConfig(size=64, coarse=16, seed=7, colours=colours).build().person(0)
        for colours in ("marked", "plain")
    )
    torch.testing.assert_close(marked.displacement, plain.displacement)
    assert (marked.photos[0, 0] - plain.photos[0, 0]).abs().mean() > 0.005
