"""The learned face model's figures against others: pairs, lights, clips, and the fit with and without its start."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.models.learned_basis.apply import encoder_input, render_face
from backend.models.learned_basis.network import LearnedBasisNet
from backend.rendering.spherical_harmonics import light_from_directions
from trainer.measures.metrics import dlib_box
from trainer.methods.learned_basis import evaluate
from trainer.methods.learned_basis.start import FaceMarks

sys.path.append(str(Path(__file__).resolve().parents[2] / "trainer"))
from basis_parts import small_people
from encoded_hand_made import photo_of, tiny_network


@pytest.fixture(scope="module")
def network() -> LearnedBasisNet:
    return tiny_network()


def test_equal_error_rate_by_hand() -> None:
    same, other = np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.6, 0.3, 0.1, 0.0])
    # at a threshold of 0.3 to 0.6 one of four is refused; 0.6 alone is taken above 0.3, so a quarter of each
    assert evaluate.equal_error_rate(same, other) == pytest.approx(0.25)
    assert evaluate.equal_error_rate(np.array([0.8, 0.9]), np.array([0.1, 0.7])) == 0.0
    assert evaluate.equal_error_rate(np.array([0.1, 0.2]), np.array([0.8, 0.9])) == 1.0
    draws = np.random.default_rng(0).normal(size=(2, 4000))
    assert evaluate.equal_error_rate(*draws) == pytest.approx(0.5, abs=0.02)


def test_cosines_of_pairs_by_hand() -> None:
    first, second = np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([[0.0, -2.0], [-2.0, 0.0]])
    same, other = evaluate.similarities(first, second)  # the mean code is zero
    np.testing.assert_allclose(same, [0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(other, [-1.0, -1.0])
    moved = evaluate.similarities(first + 5, second + 5)
    np.testing.assert_allclose(moved[1], other)


def test_people_with_one_photo_make_no_pair(tmp_path: Path) -> None:
    for name, count in (("a", 2), ("b", 1), ("c", 3)):
        (tmp_path / name).mkdir()
        for number in range(count):
            cv2.imwrite(str(tmp_path / name / f"{number}.jpg"), np.full((20, 20, 3), 99, np.uint8))
    pairs = evaluate.pairs_of_photos(tmp_path, 10)
    assert [(one.parent.name, one.name, two.name) for one, two in pairs] == [
        ("a", "0.jpg", "1.jpg"),
        ("c", "0.jpg", "1.jpg"),
    ]
    assert len(evaluate.pairs_of_photos(tmp_path, 1)) == 1
    assert evaluate.read_face(pairs[0][0]) is None, "a grey square is no face"


def test_the_best_light_is_the_one_that_a_picture_was_made_with(network: LearnedBasisNet) -> None:
    bases = network.bases
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    code = network(pictures, torch.arange(2))
    with torch.no_grad():
        face = network.face(code)
        pixels = code.pose.cameras(64).project(face.vertices)
        lamps = torch.tensor([[[0.4, 0.5, 0.77]], [[-0.6, 0.1, 0.79]]])
        true = torch.stack([light_from_directions(lamp, torch.tensor([[1.3, 1.1, 0.9]]), 0.5) for lamp in lamps])
        made = render_face(bases, face, pixels, true, 64)
        found = evaluate.best_lights(bases, face, pixels, made.image, made.mask)
        again = render_face(bases, face, pixels, found, 64)
        dark = render_face(bases, face, pixels, 0.3 * true, 64)
    off = (again.image - made.image).abs().mean(1)[made.mask].mean()
    assert off < 0.004 < 0.1 < (dark.image - made.image).abs().mean(1)[made.mask].mean()


def test_the_priors_face_is_near_and_has_nobodys_reflectance(network: LearnedBasisNet) -> None:
    with torch.no_grad():
        face = network.face(network(torch.rand(1, 3, 32, 32), torch.zeros(1, dtype=torch.long)))
        prior = evaluate.prior_face(network.bases, face)
    mean = network.bases.mean
    apart = (prior.neutral - face.neutral).norm(dim=-1).mean()
    assert apart < (mean - face.neutral).norm(dim=-1).mean()
    torch.testing.assert_close(prior.reflectance[0], network.bases.reflectance_mean)


def test_colours_are_compared_under_the_same_kinds_of_light(network: LearnedBasisNet) -> None:
    solved = copy.copy(network)
    solved.config = replace(network.config, light="solved")
    people = small_people()
    paper, ours = (evaluate.photometric_figures(one, people) for one in (network, solved))
    own, predicted = "photometric.learned", "photometric.learned_predicted_light"
    assert paper[own] == paper[predicted] == ours[predicted] > ours[own] > 0
    rest = {name: value for name, value in ours.items() if name != own}
    assert rest == {name: paper[name] for name in rest}, "the prior and other lights know nothing of it"
    assert {"photometric.prior", "photometric.prior_solved_light", "photometric.learned_best_light"} < set(rest)


def test_held_frames_get_who_they_are_from_the_others(network: LearnedBasisNet) -> None:
    people = small_people()
    chosen = people.set_of < 4  # two photos each
    batch = replace(evaluate.chosen_photos(people, chosen), set_of=people.set_of[chosen])
    held = evaluate.held_frames(network, batch, 2)
    first = network(batch.images[0::2] * 2 - 1, torch.arange(4), batch.landmarks[0::2] / 32)
    second = network(batch.images[1::2] * 2 - 1, torch.arange(4), batch.landmarks[1::2] / 32)
    torch.testing.assert_close(held.carried.identity, first.identity)
    torch.testing.assert_close(held.carried.expression, second.expression)
    torch.testing.assert_close(held.own.identity, second.identity)
    torch.testing.assert_close(held.batch.images, batch.images[1::2])
    errors = evaluate.frame_errors(network, FaceMarks(), held.carried, held.batch)
    assert errors["landmark"].shape == (4,) and bool((errors["landmark"] > 0).all())


def test_renders_show_who_it_is_without_expression(network: LearnedBasisNet) -> None:
    template = load_template()
    neutral, laughing = np.zeros(52), np.full(52, 0.3)
    zero = np.zeros(len(template.identity_modes))
    photos = [photo_of(template, zero, weights, 0.0, 1.0, 1)[0] for weights in (neutral, laughing)]
    faces = [evaluate.PairFace(photo.pixels, photo.landmarks) for photo in photos]
    renders = list(evaluate.identity_renders(network, faces))
    with torch.no_grad():
        given = encoder_input(faces, network.config.size)
        code = network(given.pictures * 2 - 1, torch.arange(2), given.landmarks)
    assert code.expression.abs().max() > 0.1, "the encoder sees some expression in each"
    for number, render in enumerate(renders):
        assert render.pixels.shape == (evaluate.RENDER_SIDE,) * 2 + (3,) and render.landmarks.shape == (468, 2)
        own = network.bases.vertices(network.bases.node_offsets(code.identity, code.expression)[0])[number]
        marks = FaceMarks().points(own[None])
        places = code.pose.cameras(evaluate.RENDER_SIDE).project(marks.expand(2, -1, -1))[number, :, :2]
        np.testing.assert_allclose(render.landmarks, places.detach().numpy(), atol=1e-2)
        top, right, bottom, left = dlib_box(render.landmarks)
        background = (render.pixels == 128).all(-1)
        assert background.mean() > 0.05 and not background[max(top, 0) : bottom, max(left, 0) : right].all()


def test_renders_and_photos_are_compared_in_a_recognition_networks_features(
    network: LearnedBasisNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = load_template()
    zero = np.zeros(len(template.identity_modes)), np.zeros(52)
    photos = [photo_of(template, *zero, 0.0, 1.0, number)[0] for number in range(4)]
    faces = [evaluate.PairFace(photo.pixels, photo.landmarks) for photo in photos]
    asked = []

    def embedding(picture: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
        asked.append(picture.shape[0])
        person = len(asked) - 1 < 4 or (len(asked) - 1) % 4 < 2  # renders: all alike; photos: two people
        return np.array([1.0, 0.0]) if person else np.array([0.0, 1.0])

    monkeypatch.setattr(evaluate, "embedding_in", embedding)
    found = evaluate.render_figures(network, [(faces[0], faces[1]), (faces[2], faces[3])])
    assert asked == [evaluate.RENDER_SIDE] * 4 + [400] * 4
    assert found["verification.renders.emd"] == 0 and found["verification.photos.emd"] == 1
    assert found["verification.photos.eer"] == 0
