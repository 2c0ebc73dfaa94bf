"""What synthetic people wear, and expressions as each face makes them."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.hair.hull import head_hull, hull_surface
from backend.photos.collection import FaceClass
from trainer.people.dress import hair as hair_styles
from trainer.people.dress.grow import STYLES
from trainer.people.dress.layers import SurfaceLayer
from trainer.people.dress.worn import KINDS, draw_hat
from trainer.people.dressed import DressedPeopleConfig, draw_headgear
from trainer.people.look import draw_look
from trainer.people.scene import Attachments
from trainer.people.source import PeopleConfig

CPU = torch.device("cpu")
LABELS = {int(c) for c in (FaceClass.BACKGROUND, FaceClass.GLASSES, FaceClass.HAIR, FaceClass.FACIAL_HAIR,
                           FaceClass.NECK, FaceClass.OCCLUDER)}  # fmt: skip


def test_an_index_is_the_same_picture_in_any_company() -> None:
    config = DressedPeopleConfig(size=48, seed=4, company=0.7)
    together, alone = config.build().batch(range(5, 8), CPU), config.build().batch(range(6, 7), CPU)
    assert together.person.tolist() == list(range(5, 8)) and alone.person.tolist() == [6]
    same = (alone.images - together.images[1:2]).abs().amax(1) <= 2 / 255
    assert same.float().mean() >= 0.999
    assert (alone.labels == together.labels[1:2]).float().mean() >= 0.999


def test_faces_are_those_of_people_with_the_same_numbers() -> None:
    plain = PeopleConfig(size=32, seed=9).build().batch(range(4), CPU)
    dressed = DressedPeopleConfig(size=32, seed=9).build().batch(range(4), CPU)
    torch.testing.assert_close(dressed.vertices, plain.vertices)
    torch.testing.assert_close(dressed.landmarks478, plain.landmarks478)


def test_more_is_worn() -> None:
    def shares(config: PeopleConfig) -> tuple[float, float, float]:
        people = config.build()
        shots = [people.shots(index)[0] for index in range(64)]
        hats = np.mean([shot.worn.hat.kind > 0 for shot in shots])
        glasses = np.mean([shot.worn.glasses.worn for shot in shots])
        men = [shot.person.look for shot in shots if shot.person.look.femininity < 0.45]
        return float(hats), float(glasses), float(np.mean([look.moustache + look.chin > 0 for look in men]))

    dressed = shares(DressedPeopleConfig(size=32, seed=2, hats=0.5, beards=0.8, glasses=0.6))
    np.testing.assert_allclose(dressed, (0.5, 0.6, 0.8), atol=0.2)
    assert all(more > less for more, less in zip(dressed, shares(PeopleConfig(size=32, seed=2)), strict=True))


def test_headgear_is_of_all_kinds_and_none_where_none_is_wanted() -> None:
    hull, look = head_hull(load_template()), draw_look(np.random.default_rng(1))
    generator = np.random.default_rng(0)
    drawn = [draw_headgear(generator, look, hull, 1.0) for _ in range(150)]
    kinds = Counter(KINDS[int(hat.kind)] for hat in drawn)
    assert {"turban", "helmet", "visor cap", "brim", "band", "beanie"} <= set(kinds) and "none" not in kinds
    for hat in drawn:
        assert all(np.isfinite(np.asarray(value)).all() for value in vars(hat).values())
        assert (np.asarray(hat.height) > 0).all(), "no headgear lies inside the head"
    assert all(draw_headgear(generator, look, hull, 0.0).kind == 0 for _ in range(10))


@pytest.mark.parametrize(("share", "label"), [("hats", FaceClass.OCCLUDER), ("glasses", FaceClass.GLASSES)])
def test_what_is_worn_is_labelled(share: str, label: FaceClass) -> None:
    config = DressedPeopleConfig(size=96, seed=6, hats=0.0, beards=0.0, glasses=0.0, company=0.0)
    without = config.build().batch(range(8), CPU).labels == int(label)
    with_it = replace(config, **{share: 1.0}).build().batch(range(8), CPU).labels == int(label)
    more = with_it.flatten(1).sum(1) > without.flatten(1).sum(1)
    assert more.sum() >= 7  # one may wear it where nobody sees it


def test_company_changes_the_background_alone() -> None:
    config = DressedPeopleConfig(size=96, seed=6, company=0.0)
    lonely, together = (replace(config, company=each).build().batch(range(4), CPU) for each in (0.0, 1.0))
    assert torch.equal(lonely.labels, together.labels)
    changed = (lonely.images != together.images).any(1)
    assert changed.any()
    assert (lonely.labels[changed] == int(FaceClass.BACKGROUND)).all()


@pytest.fixture(scope="module")
def attachments() -> Attachments:
    return Attachments(load_template())


@pytest.fixture(scope="module")
def people(attachments):
    looks = [draw_look(np.random.default_rng((1, k))) for k in range(8)]
    drawn = [attachments.draw(np.random.default_rng((2, k)), look) for k, look in enumerate(looks)]
    rng = np.random.default_rng(3)
    template = load_template()
    weights = rng.normal(0, 1, (8, 12)).astype(np.float32)
    heads = template.vertices + np.einsum("nk,kvc->nvc", weights, template.identity_modes[:12])
    return looks, drawn, torch.from_numpy(heads.astype(np.float32))


def area(layer: SurfaceLayer, label: FaceClass) -> torch.Tensor:
    """(N,) total area of the faces with a label."""
    a, b, c = (layer.vertices[:, layer.faces[:, k]] for k in range(3))
    size = torch.linalg.cross(b - a, c - a).norm(dim=-1) / 2
    return (size * (layer.labels == int(label))).sum(1)


def seen(layer: SurfaceLayer, label: FaceClass, person: int) -> torch.Tensor:
    """(V', 3) vertices of a person's faces with a label that have an area."""
    a, b, c = (layer.vertices[person, layer.faces[:, k]] for k in range(3))
    real = (torch.linalg.cross(b - a, c - a).norm(dim=-1) > 1e-9) & (layer.labels[person] == int(label))
    return layer.vertices[person, layer.faces[real].unique()]


def test_a_person_is_the_same_in_any_company(attachments, people):
    _, drawn, heads = people
    together = attachments.mesh(drawn, heads)
    alone = attachments.mesh(drawn[5:6], heads[5:6])
    for name in ("opaque", "veil"):
        first, second = getattr(together, name), getattr(alone, name)
        assert torch.equal(first.faces, second.faces)
        for field in fields(SurfaceLayer):
            if field.name != "faces":
                a, b = getattr(first, field.name)[5], getattr(second, field.name)[0]
                assert torch.allclose(a.float(), b.float(), atol=2e-5), (name, field.name)


def test_layers_are_well_formed(attachments, people):
    _, drawn, heads = people
    mesh = attachments.mesh(drawn, heads)
    for layer in (mesh.opaque, mesh.veil):
        count = layer.vertices.shape[1]
        assert layer.faces.min() >= 0 and layer.faces.max() < count
        assert set(layer.labels.unique().tolist()) <= LABELS
        for field in fields(SurfaceLayer):
            assert torch.isfinite(getattr(layer, field.name).float()).all(), field.name
        a, b, c = (layer.vertices[:, layer.faces[:, k]] for k in range(3))
        real = torch.linalg.cross(b - a, c - a).norm(dim=-1) > 1e-8
        length = layer.normals.norm(dim=-1)[:, layer.faces].amin(-1)
        assert ((length[real] - 1).abs() < 1e-3).float().mean() > 0.999
        assert layer.albedo.min() >= 0 and layer.albedo.max() <= 1
        assert layer.alpha.min() >= 0 and layer.alpha.max() <= 1
    assert (mesh.opaque.alpha == 1).all() and (mesh.opaque.mirror == 0).all()


def _styled(attachments, monkeypatch, name: str, seed: int, **changes):
    index = next(k for k, style in enumerate(STYLES) if style.name == name)
    monkeypatch.setattr(hair_styles, "_pick_style", lambda generator, look: index)
    look = replace(draw_look(np.random.default_rng(seed)), **({"baldness": 0.0} | changes))
    drawn = attachments.draw(np.random.default_rng(seed), look)
    hull = head_hull(load_template())
    bare = draw_hat(np.random.default_rng(0), look, hull, chance=0.0)
    return replace(drawn, hat=bare)


def test_bald_heads_have_no_hair_and_long_hair_hangs_beside_the_face(attachments, monkeypatch):
    head = torch.from_numpy(load_template().vertices)[None]
    shaved = attachments.mesh([_styled(attachments, monkeypatch, "shaved", 3)], head)
    long = attachments.mesh([_styled(attachments, monkeypatch, "long straight", 3)], head)
    # the cover of the scalp stays below the skin
    hull = hull_surface(head_hull(load_template()), head, torch.zeros(1))
    crown, _ = hull.sample(torch.zeros(1, 1), torch.zeros(1, 1))
    assert seen(shaved.opaque, FaceClass.HAIR, 0)[:, 1].max() < crown[0, 0, 1]
    assert area(long.opaque, FaceClass.HAIR)[0] > 0.2
    strands = seen(long.opaque, FaceClass.HAIR, 0)
    assert strands[:, 1].min() < 0.62  # below the chin
    below = strands[strands[:, 1] < 0.70]
    in_front = below[(below[:, 0].abs() < 0.025) & (below[:, 2] > 0.10)]
    assert len(in_front) < 0.01 * len(strands)  # nose and mouth stay free


def test_glasses_stand_before_the_eyes(attachments, people):
    _, drawn, heads = people
    worn = [replace(person, glasses=replace(person.glasses, worn=1.0)) for person in drawn]
    bare = [replace(person, glasses=replace(person.glasses, worn=0.0)) for person in drawn]
    mesh = attachments.mesh(worn, heads)
    assert (area(attachments.mesh(bare, heads).opaque, FaceClass.GLASSES) < 1e-8).all()
    pivots = load_template().parts
    for person in range(len(drawn)):
        lenses = seen(mesh.veil, FaceClass.GLASSES, person)
        for eye, sign in (("eye_left", 1), ("eye_right", -1)):
            ball = heads[person, pivots[eye].vertex_start : pivots[eye].vertex_stop]
            before = lenses[sign * lenses[:, 0] > 0]
            assert before[:, 2].min() > ball[:, 2].max() - 0.004
            middle = ball.mean(0)
            assert before[:, 0].min() < middle[0] < before[:, 0].max()
            assert before[:, 1].min() < middle[1] < before[:, 1].max()
        frame = seen(mesh.opaque, FaceClass.GLASSES, person)
        assert frame[:, 2].min() < ball[:, 2].min()  # temples reach back to the ears
