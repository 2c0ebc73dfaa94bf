"""Attachments: the same person whatever the company, layers that fit the head, labels where they belong."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.hair.hull import AZIMUTHS, ROWS, head_hull, hull_surface
from backend.photos.collection import FaceClass
from trainer.people.dress import hair as hair_styles
from trainer.people.dress.grow import STYLES
from trainer.people.dress.hair import draw_hair
from trainer.people.dress.layers import SurfaceLayer
from trainer.people.dress.worn import KINDS, draw_hat
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


def test_everything_moves_with_the_head(attachments, people):
    _, drawn, heads = people
    shift = torch.tensor([0.3, -0.2, 0.5])
    before, after = attachments.mesh(drawn, heads), attachments.mesh(drawn, heads + shift)
    assert torch.allclose(after.opaque.vertices, before.opaque.vertices + shift, atol=3e-5)
    assert torch.allclose(after.veil.vertices, before.veil.vertices + shift, atol=3e-5)


def test_same_generator_same_drawing_and_others_differ(attachments, people):
    looks, drawn, heads = people
    again = attachments.draw(np.random.default_rng((2, 4)), looks[4])
    other = attachments.draw(np.random.default_rng((9, 4)), looks[4])
    meshes = [attachments.mesh([each], heads[:1]).opaque.vertices for each in (drawn[4], again, other)]
    assert torch.equal(meshes[0], meshes[1])
    assert not torch.allclose(meshes[0], meshes[2], atol=1e-3)


def test_other_pictures_keep_the_hair_but_not_the_strands(attachments, people):
    looks, drawn, _ = people
    for number, look in enumerate(looks):
        other = attachments.draw(np.random.default_rng((7, number)), look, like=drawn[number])
        assert int(other.hair.style) == int(drawn[number].hair.style)
        assert np.array_equal(other.hair.colour, drawn[number].hair.colour)
        assert not np.array_equal(other.hair.locks.phase, drawn[number].hair.locks.phase)
        assert np.array_equal(other.beard.colour, drawn[number].beard.colour)


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


def test_receding_hair_leaves_the_top_free(attachments, monkeypatch):
    head = torch.from_numpy(load_template().vertices)[None]
    full = attachments.mesh([_styled(attachments, monkeypatch, "crew", 5)], head)
    bald = attachments.mesh([_styled(attachments, monkeypatch, "crew", 5, baldness=0.9, femininity=0.1)], head)
    tops = [seen(mesh.opaque, FaceClass.HAIR, 0) for mesh in (full, bald)]
    above = [int(((top[:, 1] > 0.849) & (top[:, 2] > 0.0)).sum()) for top in tops]
    assert above[0] > 100
    assert above[1] < 0.1 * above[0]


def test_hair_is_pressed_under_a_hat(attachments, monkeypatch):
    head = torch.from_numpy(load_template().vertices)[None]
    loose = _styled(attachments, monkeypatch, "afro", 5)
    hull, look = head_hull(load_template()), draw_look(np.random.default_rng(5))
    hat = next(
        hat
        for seed in range(400)
        if KINDS[int((hat := draw_hat(np.random.default_rng(seed), look, hull, chance=1.0)).kind)] == "beanie"
    )
    heights = [
        float(seen(attachments.mesh([person], head).opaque, FaceClass.HAIR, 0)[:, 1].max())
        for person in (loose, replace(loose, hat=hat))
    ]
    assert heights[0] > heights[1] + 0.02
    assert area(attachments.mesh([replace(loose, hat=hat)], head).opaque, FaceClass.OCCLUDER)[0] > 0.03


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


def test_hull_keeps_to_the_skull():
    template = load_template()
    hull = head_hull(template)
    head = torch.from_numpy(template.vertices)[None]
    surface = hull_surface(hull, head, torch.zeros(1))
    points = surface.maps[0, :3, :, :AZIMUTHS].permute(1, 2, 0).numpy()
    assert np.allclose(points, hull.mean, atol=1e-5)
    assert points.shape == (ROWS, AZIMUTHS, 3)
    # every vertex of the scalp lies within 5 mm of the hull
    scalp = template.vertices[: template.head.vertex_stop][template.regions["scalp"][: template.head.vertex_stop] > 0.9]
    distance = np.linalg.norm(scalp[:, None] - points[:20].reshape(1, -1, 3), axis=2).min(1)
    assert np.quantile(distance, 0.95) < 0.012
    # heights fall along s
    assert (np.diff(hull.mean[1:, :, 1], axis=0) < 1e-6).all()
    a = np.array([0.0, 1.0])
    s = hull.s_at_height(a, np.array([0.75, 0.75]))
    heights = [
        np.interp(s[k], np.arange(ROWS) * 0.0125, hull.mean[:, round((a[k] / 2 / np.pi + 0.5) * 64), 1]) for k in (0, 1)
    ]
    assert np.allclose(heights, 0.75, atol=1e-3)


def test_hair_that_is_dyed_or_grey_varies_between_strands():
    hull = head_hull(load_template())
    look = replace(draw_look(np.random.default_rng(3)), greyness=0.5, baldness=0.0)
    hair = draw_hair(np.random.default_rng(1), look, hull, 200)
    assert hair.locks.tone.std() > 0.05
    assert not np.allclose(hair.colour, hair.second_colour)


def test_glasses_look_outwards(attachments, people):
    _, drawn, heads = people
    worn = [replace(person, glasses=replace(person.glasses, worn=1.0, tilt=0.0, wrap=0.0)) for person in drawn]
    layer = attachments.mesh(worn, heads).opaque
    for person in range(len(drawn)):
        faces = layer.faces[layer.labels[person] == int(FaceClass.GLASSES)]
        points, normals = layer.vertices[person, faces].mean(1), layer.normals[person, faces].mean(1)
        front = points[:, 2] > points[:, 2].max() - 0.0006
        assert normals[front, 2].mean() > 0.3
