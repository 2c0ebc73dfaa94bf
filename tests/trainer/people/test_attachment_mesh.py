"""Attachments: the same person whatever the company, layers that fit the head, labels where they belong."""

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
from trainer.people.dress.worn import draw_hat
from trainer.people.look import draw_look
from trainer.people.scene import Attachments

LABELS = {int(c) for c in (FaceClass.BACKGROUND, FaceClass.GLASSES, FaceClass.HAIR, FaceClass.FACIAL_HAIR,
                           FaceClass.NECK, FaceClass.OCCLUDER)}  # fmt: skip


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


def test_beards_grow_on_the_lower_face(attachments):
    head = torch.from_numpy(load_template().vertices)[None]
    look = replace(draw_look(np.random.default_rng(0)), beard=0.9, moustache=0.9, chin=0.9, jaw=0.9, femininity=0.0)
    shaven = replace(look, beard=0.0, moustache=0.0, chin=0.0, jaw=0.0)
    for seed in range(12):
        full = attachments.draw(np.random.default_rng(seed), look)
        if full.thing.mask:
            continue
        mesh = attachments.mesh([full], head)
        beard = seen(mesh.opaque, FaceClass.FACIAL_HAIR, 0)
        assert len(beard) > 300
        assert beard[:, 1].max() < 0.735 and beard[:, 2].min() > 0.04
        none = attachments.mesh([attachments.draw(np.random.default_rng(seed), shaven)], head)
        assert area(none.opaque, FaceClass.FACIAL_HAIR)[0] == 0


def test_hands_and_masks_are_occluders_at_the_face(attachments, people):
    _, drawn, heads = people
    nothing = replace(drawn[0].thing, present=0.0, mask=0.0)
    shown = [replace(each, hand=replace(each.hand, present=1.0), thing=nothing) for each in drawn]
    shown = [replace(each, hat=replace(each.hat, kind=0.0)) for each in shown]
    mesh = attachments.mesh(shown, heads)
    hidden = attachments.mesh([replace(each, hand=replace(each.hand, present=0.0)) for each in shown], heads)
    assert (area(hidden.opaque, FaceClass.OCCLUDER) < 1e-8).all()
    for person in range(len(drawn)):
        hand = seen(mesh.opaque, FaceClass.OCCLUDER, person)
        face = heads[person][torch.from_numpy(load_template().regions["face"]) > 0.5]
        assert torch.cdist(hand, face).min() < 0.03
    masked = [replace(each, hand=replace(each.hand, present=0.0), thing=replace(nothing, mask=1.0)) for each in shown]
    mesh = attachments.mesh(masked, heads)
    lips = load_template().landmarks68.positions(heads.numpy())[:, [48, 51, 54, 57]]
    for person in range(len(drawn)):
        mask = seen(mesh.opaque, FaceClass.OCCLUDER, person)
        for point in torch.from_numpy(lips[person]).float():
            near = mask[(mask[:, :2] - point[:2]).norm(dim=1) < 0.012]
            assert len(near) and near[:, 2].max() > point[2]
