"""Living people: bone that weight leaves alone, lips that stay on their own side, a person's own crooked smile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from arkit_weights import arkit_weights

from backend.geometry.template import Template, load_template
from backend.rig.arkit import ARKIT_INDEX, mirrored_name
from protocol.names import ARKIT_NAMES
from trainer.methods.graph_face.living import LipContact, LivingFaces, LivingPerson, draw_living_person
from trainer.people.shape import CarriedExpressions, PeopleSurface

CPU = torch.device("cpu")
PEOPLE = 5


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template()


@pytest.fixture(scope="module")
def faces(template: Template) -> LivingFaces:
    return LivingFaces(PeopleSurface(template, CPU))


@pytest.fixture(scope="module")
def people(template: Template) -> list[LivingPerson]:
    generator = np.random.default_rng(5)
    return [draw_living_person(generator, len(template.identity_modes)) for _ in range(PEOPLE)]


def weights(**keys: float) -> torch.Tensor:
    return arkit_weights(PEOPLE, **keys)


def with_build(faces: LivingFaces, people: list[LivingPerson], bmi: float, age: float) -> torch.Tensor:
    return faces.neutral([replace(one, bmi=bmi, age=age) for one in people])


def marks(template: Template, vertices: torch.Tensor, numbers: list[int]) -> torch.Tensor:
    """(N, L, 3) MediaPipe's landmarks."""
    lists = template.landmarks478
    corners = torch.from_numpy(lists.vertices[numbers].astype(np.int64))
    return (vertices[:, corners] * torch.from_numpy(lists.barycentrics[numbers])[..., None]).sum(2)


BONE = [168, 6, 9, 33, 263, 133, 362]
"""Bridge of the nose, glabella, corners of the eyes."""
CHEEKS, CHINS, JOWLS = [187, 411], [152], [172, 397]


def test_weight_moves_cheeks_and_no_bone(template: Template, faces: LivingFaces, people: list[LivingPerson]) -> None:
    thin, heavy = (with_build(faces, people, bmi, 35.0) for bmi in (18.0, 38.0))
    apart = 1000 * (heavy - thin)
    count = template.head.vertex_stop
    assert float(apart[:, count:].abs().max()) == 0.0, "eyes, teeth, tongue and lashes are on bone"
    assert float(marks(template, apart, BONE).norm(dim=-1).max()) < 0.5
    cheeks = marks(template, apart, CHEEKS).norm(dim=-1)
    assert float(cheeks.min()) > 4.0 and float(cheeks.max()) < 15.0
    assert float(marks(template, apart, CHINS).norm(dim=-1).mean()) < 0.5 * float(cheeks.mean())


def test_age_hangs_and_hangs_lower_in_heavy_faces(
    template: Template, faces: LivingFaces, people: list[LivingPerson]
) -> None:
    sunk = {}
    for bmi in (21.0, 34.0):
        young, old = (with_build(faces, people, bmi, age) for age in (22.0, 82.0))
        sunk[bmi] = 1000 * (young - old)[..., 1]
        assert float(marks(template, young - old, BONE).norm(dim=-1).max()) < 0.001
    lean, heavy = (marks(template, one[..., None].expand(-1, -1, 3), JOWLS)[..., 0] for one in sunk.values())
    assert float(lean.min()) > 0.5
    assert bool((heavy > 1.2 * lean).all())
    assert float(marks(template, sunk[34.0][..., None].expand(-1, -1, 3), [10])[..., 0].abs().max()) < 0.2  # forehead


def test_faces_are_not_linear_in_weight_age_or_bone(faces: LivingFaces, people: list[LivingPerson]) -> None:
    thin, usual, heavy = (with_build(faces, people, bmi, 30.0) for bmi in (18.0, 27.0, 36.0))
    bend = (thin + heavy - 2 * usual).norm(dim=-1).amax(1)
    assert float(bend.min()) > 0.001, "no straight line from thin to heavy"
    both = with_build(faces, people, 34.0, 80.0) - with_build(faces, people, 34.0, 25.0)
    alone = with_build(faces, people, 21.0, 80.0) - with_build(faces, people, 21.0, 25.0)
    assert float((both - alone).norm(dim=-1).amax(1).min()) > 0.001, "age does more where there is more"
    gained = with_build(faces, people, 36.0, 30.0) - with_build(faces, people, 20.0, 30.0)
    assert float((gained[0] - gained[1]).norm(dim=-1).max()) > 0.001, "bones say where there is room"


@pytest.mark.parametrize("key", [name for name in ARKIT_NAMES if name.startswith(("mouth", "jaw", "cheek", "tongue"))])
def test_lips_do_not_go_through_each_other(
    template: Template, faces: LivingFaces, people: list[LivingPerson], key: str
) -> None:
    lips = LipContact(template, CPU)
    neutral = faces.neutral(people)
    assert float(lips.gaps(neutral).min()) > 0.0
    posed = faces.posed(neutral, weights(**{key: 1.0}), faces.idiosyncrasies(people))
    assert float(lips.gaps(posed).min()) >= 0.0


def test_without_contact_some_keys_push_one_lip_through_the_other(
    template: Template, faces: LivingFaces, people: list[LivingPerson]
) -> None:
    """What the test above would be worth otherwise."""
    lips, carried = LipContact(template, CPU), CarriedExpressions(template, CPU)
    neutral = faces.neutral(people)
    for key in ("mouthShrugLower", "mouthDimpleLeft", "mouthClose"):
        assert float(lips.gaps(carried.posed(neutral, weights(**{key: 1.0}))).min()) < 0.0


def test_corners_stay_together_until_the_jaw_opens_far(
    template: Template, faces: LivingFaces, people: list[LivingPerson]
) -> None:
    lips, carried = LipContact(template, CPU), CarriedExpressions(template, CPU)
    neutral, idiosyncrasies = (
        faces.neutral(people),
        replace(faces.idiosyncrasies(people), stick=torch.full((PEOPLE,), 0.003)),
    )
    share = {}
    for opening in (0.05, 0.5):
        keys = weights(jawOpen=opening)
        stuck, free = (
            lips.gaps(one) - lips.gaps(neutral)
            for one in (faces.posed(neutral, keys, idiosyncrasies), carried.posed(neutral, keys))
        )
        share[opening] = stuck / free
    corners, middle = [0, 8], 4
    assert float(share[0.05][:, corners].max()) < 0.6
    assert float(share[0.5][:, corners].min()) > 0.75
    assert float((share[0.05][:, middle] - 1).abs().max()) < 0.1


def test_lips_close_over_an_open_jaw_and_no_further(
    template: Template, faces: LivingFaces, people: list[LivingPerson]
) -> None:
    lips, neutral, idiosyncrasies = LipContact(template, CPU), faces.neutral(people), faces.idiosyncrasies(people)
    gaps = lips.gaps(faces.posed(neutral, weights(jawOpen=0.6, mouthClose=0.6), idiosyncrasies))
    opened = lips.gaps(faces.posed(neutral, weights(jawOpen=0.6), idiosyncrasies))
    assert float(gaps.min()) >= 0.0
    assert float((gaps / opened).max()) < 0.3
    closed = faces.posed(neutral, weights(mouthClose=1.0), idiosyncrasies)
    assert torch.allclose(closed, neutral, atol=1e-6)


def test_a_smile_is_uneven_the_same_way_each_time(
    template: Template, faces: LivingFaces, people: list[LivingPerson]
) -> None:
    neutral, idiosyncrasies = faces.neutral(people), faces.idiosyncrasies(people)

    def lead(strength: float) -> torch.Tensor:
        keys = weights(mouthSmileLeft=strength, mouthSmileRight=strength)
        corners = marks(template, faces.posed(neutral, keys, idiosyncrasies) - neutral, [291, 61]).norm(dim=-1)
        return (corners[:, 0] - corners[:, 1]) / corners.mean(1)

    weak, strong = lead(0.4), lead(1.0)
    assert bool((weak.sign() == strong.sign()).all())
    assert float(strong.abs().max()) > 0.05
    assert float((weak - strong).abs().max()) < 0.5 * float(strong.abs().max())
    even = replace(idiosyncrasies, left=torch.zeros_like(idiosyncrasies.left))
    keys = weights(mouthSmileLeft=1.0, mouthSmileRight=1.0)
    corners = marks(template, faces.posed(neutral, keys, even) - neutral, [291, 61]).norm(dim=-1)
    least = (corners[:, 0] - corners[:, 1]).abs() / corners.mean(1)
    assert float(least.mean()) < float(strong.abs().mean())


def test_keys_of_both_sides_are_uneven_too(template: Template, faces: LivingFaces, people: list[LivingPerson]) -> None:
    neutral, idiosyncrasies = faces.neutral(people), faces.idiosyncrasies(people)
    left = replace(idiosyncrasies, left=torch.full((PEOPLE, 52), 0.3))
    brows = marks(template, faces.posed(neutral, weights(browInnerUp=1.0), left) - neutral, [336, 107]).norm(dim=-1)
    even = replace(idiosyncrasies, left=torch.zeros(PEOPLE, 52))
    usual = marks(template, faces.posed(neutral, weights(browInnerUp=1.0), even) - neutral, [336, 107]).norm(dim=-1)
    assert bool((brows[:, 0] > 1.05 * usual[:, 0]).all()) and bool((brows[:, 1] < 0.95 * usual[:, 1]).all())


def test_habits_leave_a_neutral_face_alone_and_pairs_share_one(faces: LivingFaces, people: list[LivingPerson]) -> None:
    neutral, idiosyncrasies = faces.neutral(people), faces.idiosyncrasies(people)
    assert torch.allclose(faces.posed(neutral, weights(), idiosyncrasies), neutral, atol=1e-6)
    for name, number in ARKIT_INDEX.items():
        assert torch.equal(idiosyncrasies.left[:, number], idiosyncrasies.left[:, ARKIT_INDEX[mirrored_name(name)]])


def test_people_are_adults_of_the_usual_weights() -> None:
    drawn = [draw_living_person(np.random.default_rng([7, number]), 140) for number in range(400)]
    bmi, age = (np.array([getattr(one, name) for one in drawn]) for name in ("bmi", "age"))
    assert 23.5 < np.median(bmi) < 27.5 and bmi.min() >= 16.5 and bmi.max() <= 43.0
    assert age.min() >= 18 and 40 < np.median(age) < 54
    assert bmi[(age > 50) & (age < 70)].mean() > bmi[age < 30].mean()
