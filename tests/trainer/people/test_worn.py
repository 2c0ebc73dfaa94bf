"""What synthetic people wear."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.hair.groom import load_grooms
from backend.photos.collection import FaceClass
from trainer.people.look import PersonLook, draw_look
from trainer.people.worn import NO_GROOM, Wardrobe, WornMesh, WornParameters, draw_worn

COUNT = 6


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(load_template())


@pytest.fixture(scope="module")
def people() -> tuple[list[WornParameters], torch.Tensor]:
    """Six people's things without hat, mask and lump, and their heads."""
    drawn = [bare(draw_worn(np.random.default_rng((2, k)), look_of(k))) for k in range(COUNT)]
    template = load_template()
    weights = np.random.default_rng(3).normal(0, 1, (COUNT, 12)).astype(np.float32)
    heads = template.vertices + np.einsum("nk,kvc->nvc", weights, template.identity_modes[:12])
    return drawn, torch.from_numpy(heads.astype(np.float32))


def look_of(number: int, **changes: float) -> PersonLook:
    return replace(draw_look(np.random.default_rng((1, number))), **changes)


def bare(worn: WornParameters) -> WornParameters:
    return replace(worn, hat=worn.hat * [0, 1, 1, 1, 1, 1], on_nose=np.zeros(2), beard=np.zeros(4), mask=0.0, lump=0.0)


def styled(worn: WornParameters, groom: str) -> WornParameters:
    return replace(worn, groom=float(list(load_grooms()).index(groom)))


def area(mesh: WornMesh, label: FaceClass) -> torch.Tensor:
    """(N,) total area of the faces with a label."""
    a, b, c = (mesh.vertices[:, mesh.faces[mesh.labels == int(label), k]] for k in range(3))
    return torch.linalg.cross(b - a, c - a).norm(dim=-1).sum(1) / 2


def seen(mesh: WornMesh, label: FaceClass, person: int) -> torch.Tensor:
    """(V', 3) vertices of a person's faces with a label that have an area."""
    faces = mesh.faces[mesh.labels == int(label)]
    a, b, c = (mesh.vertices[person, faces[:, k]] for k in range(3))
    return mesh.vertices[person, faces[torch.linalg.cross(b - a, c - a).norm(dim=-1) > 1e-9].unique()]


def test_a_person_is_the_same_in_any_company(wardrobe, people) -> None:
    drawn, heads = people
    together, alone = wardrobe.mesh(drawn, heads), wardrobe.mesh(drawn[4:5], heads[4:5])
    for name in ("vertices", "normals", "tangent", "albedo", "gloss"):
        assert torch.allclose(getattr(together, name)[4], getattr(alone, name)[0], atol=2e-5), name
    assert torch.equal(together.faces, alone.faces) and torch.equal(together.labels, alone.labels)


def test_meshes_are_well_formed(wardrobe, people) -> None:
    drawn, heads = people
    mesh = wardrobe.mesh(drawn, heads)
    assert mesh.faces.min() == 0 and mesh.faces.max() == mesh.vertices.shape[1] - 1
    assert all(torch.isfinite(getattr(mesh, field.name).float()).all() for field in fields(WornMesh))
    assert mesh.albedo.min() >= 0 and mesh.albedo.max() <= 1
    bare_skin = {
        FaceClass.SKIN,
        FaceClass.BROWS,
        FaceClass.EYES,
        FaceClass.LIPS,
        FaceClass.MOUTH_INTERIOR,
        FaceClass.EARS,
    }
    assert set(mesh.labels.tolist()) == {int(label) for label in set(FaceClass) - bare_skin}


@pytest.mark.parametrize(
    ("label", "changes"),
    [
        (FaceClass.OCCLUDER, {"hat": np.array([1.0, 0.2, 0.3, 0.1, 0.1, 0.5])}),
        (FaceClass.OCCLUDER, {"mask": 1.0}),
        (FaceClass.FACIAL_HAIR, {"beard": np.array([1.0, 1.0, 1.0, 0.03])}),
        (FaceClass.OCCLUDER, {"lump": 1.0}),
        (FaceClass.GLASSES, {"on_nose": np.array([1.0, 0.0])}),
    ],
)
def test_what_is_not_worn_has_no_area(wardrobe, people, label, changes) -> None:
    drawn, heads = people
    assert (area(wardrobe.mesh(drawn, heads), label) < 1e-7).all()
    assert (area(wardrobe.mesh([replace(one, **changes) for one in drawn], heads), label) > 5e-4).all()


def test_long_hair_hangs_beside_the_face_and_lies_below_a_hat(wardrobe, people) -> None:
    head = torch.from_numpy(load_template().vertices)[None]
    long = styled(people[0][0], "long_straight")
    strands = seen(wardrobe.mesh([long], head), FaceClass.HAIR, 0)
    assert strands[:, 1].min() < 0.62  # below the chin
    in_front = (strands[:, 1] < 0.70) & (strands[:, 0].abs() < 0.025) & (strands[:, 2] > 0.10)
    assert in_front.float().mean() < 0.01  # nose and mouth stay free
    hat = np.array([1.0, 0.2, 0.3, 0.15, 0.0, 0.0])
    mesh = wardrobe.mesh([replace(styled(long, "afro"), hat=hat)], head)
    top = (seen(mesh, label, 0)[:, 1].max() for label in (FaceClass.HAIR, FaceClass.OCCLUDER))
    assert next(top) < next(top)


def test_the_bald_have_no_locks_and_the_same_person_the_same_hair(people) -> None:
    drawn = [draw_worn(np.random.default_rng(k), look_of(k, baldness=1.0)) for k in range(20)]
    assert 0.2 < np.mean([one.groom == NO_GROOM for one in drawn]) < 0.7
    again = draw_worn(np.random.default_rng(9), look_of(0), people[0][0])
    assert again.groom == people[0][0].groom and np.array_equal(again.locks, people[0][0].locks)
    assert not np.array_equal(again.cloth, people[0][0].cloth)


def test_dark_glasses_stand_before_the_eyes(wardrobe, people) -> None:
    drawn, heads = people
    mesh = wardrobe.mesh([replace(one, on_nose=np.ones(2)) for one in drawn], heads)
    for person in range(COUNT):
        worn = seen(mesh, FaceClass.GLASSES, person)
        for eye, sign in (("eye_left", 1), ("eye_right", -1)):
            part = load_template().parts[eye]
            ball = heads[person, part.vertex_start : part.vertex_stop]
            near = worn[(sign * worn[:, 0] > 0) & (worn[:, 2] > ball[:, 2].max() - 0.004)]
            assert near[:, 0].min() < ball[:, 0].mean() < near[:, 0].max()
            assert near[:, 1].min() < ball[:, 1].mean() < near[:, 1].max()
        assert worn[:, 2].min() < ball[:, 2].min()  # temples reach back to the ears
