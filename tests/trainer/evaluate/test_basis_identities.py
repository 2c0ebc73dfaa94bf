"""Identity bases beside each other: which there are, their angles, and what each explains of photos."""

from __future__ import annotations

import argparse
import dataclasses
import io
import math
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from backend.errors import LikenessError
from backend.models.learned_basis.apply import BasisModel
from backend.models.learned_basis.network import LearnedBasisNet
from trainer.evaluate import basis, basis_fitted, basis_heads, basis_identities
from trainer.evaluate.basis_angles import angle_figures, compared
from trainer.evaluate.basis_identities import COMPONENTS, LEARNED, ON_GRAPH, identities_of
from trainer.stages.learned_basis_start import begin_from_people, begin_from_prior

sys.path.append(str(Path(__file__).resolve().parents[2] / "trainer"))
from basis_parts import SMALL_NET, small_people

FEW = 40
"""Synthetic people; all 1,000 take seconds."""
CONFIG = dataclasses.replace(SMALL_NET, identity=30, nodes=100, orthogonal=False)


@pytest.fixture(scope="module")
def network() -> LearnedBasisNet:
    torch.manual_seed(0)
    made = LearnedBasisNet(CONFIG).eval()
    begin_from_people(made.bases, FEW)
    return made


def test_components_of_people_are_measured_beside_what_was_learned(network: LearnedBasisNet) -> None:
    same = identities_of(network, {}, FEW).named
    torch.testing.assert_close(same[LEARNED], same[COMPONENTS])
    figures = basis_heads.head_figures(same, 4, scans=False)
    assert figures["people.median_mm.components"] == pytest.approx(figures["people.median_mm.learned"])
    assert figures["ict.median_mm.components"] == figures["heads.median_mm.prior"] == "left out: not asked for"
    assert figures["people.median_mm.components"] < figures[f"people.median_mm.{ON_GRAPH}"], "people have bumps"
    assert figures["people.median_mm.prior"] == pytest.approx(figures[f"people.median_mm.{ON_GRAPH}"], rel=0.2)


def test_angles_of_every_basis_to_the_components(network: LearnedBasisNet) -> None:
    found = angle_figures(network.bases, identities_of(network, {}, FEW))
    assert found["basis.learned.between"] == pytest.approx(0, abs=0.1) and found["basis.learned.span"] > 0.9999
    assert found["basis.prior_on_graph.between"] > 5 and found["basis.prior_on_graph.span"] < 0.9999
    assert found["angles.identity.between"] == found["basis.learned.between"]


def test_principal_angles_by_hand() -> None:
    x, y, z = torch.eye(3).view(3, 1, 3)
    plain = torch.eye(3).double()
    turned = math.cos(math.radians(30)) * x + math.sin(math.radians(30)) * y
    assert compared(5 * turned[None], x[None], plain)["between"] == pytest.approx(30, abs=1e-3)
    assert compared(torch.stack([x + y, x - y]), torch.stack([y, x]), plain)["between"] == pytest.approx(0, abs=0.1)
    assert compared(z[None], x[None], plain)["between"] == pytest.approx(90)
    long = torch.diag(torch.tensor([1.0, 9.0, 1.0])).double()  # steps along y count three times as long
    assert compared((x + y)[None], x[None], long)["between"] == pytest.approx(math.degrees(math.atan(3)), abs=1e-3)


def test_another_models_identity_is_compared_where_its_sizes_are_the_same(
    network: LearnedBasisNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LearnedBasisNet(CONFIG)
    begin_from_prior(other.bases)
    models = {"same": other, "small": LearnedBasisNet(dataclasses.replace(CONFIG, identity=8))}
    loaded = {name: BasisModel(net, torch.device("cpu"), name) for name, net in models.items()}
    monkeypatch.setattr(basis_identities.BasisModel, "load", lambda folder: loaded[folder.name])
    named = identities_of(network, {"third": Path("same")}, FEW).named
    torch.testing.assert_close(named["third"], named[ON_GRAPH])
    for name, folder, why in (("learned", "same", "taken"), ("few", "small", r"\(8, 100, 3\)")):
        with pytest.raises(LikenessError, match=why):
            identities_of(network, {name: Path(folder)}, FEW)
    with pytest.raises(LikenessError, match="NAME=FOLDER"):
        basis._named_folders(["third"])


def test_a_basis_of_people_explains_photos_better_than_the_mean_face(network: LearnedBasisNet) -> None:
    people = dataclasses.replace(small_people(), truth=None)
    grey = torch.zeros(len(people.images), dtype=torch.bool)
    grey[3] = True
    people = dataclasses.replace(people, is_grey=grey)
    errors = basis_fitted.photo_errors(network, identities_of(network, {}, FEW).named, people, steps=12)
    assert set(errors) == {"mean_face", LEARNED, COMPONENTS, ON_GRAPH}
    assert all(len(own["photometric"]) == len(grey) - 1 for own in errors.values()), "grey photos have no say"
    assert errors[COMPONENTS]["landmark"].mean() < 0.9 * errors["mean_face"]["landmark"].mean()
    torch.testing.assert_close(errors[LEARNED]["landmark"], errors[COMPONENTS]["landmark"])
    figures = basis_fitted.fitted_figures(errors)
    key = "basis.mean_face.landmark"
    assert figures[f"{key}.low"] <= figures[key] <= figures[f"{key}.high"]
    ratio = errors["mean_face"]["landmark"].mean() / errors[COMPONENTS]["landmark"].mean()
    assert figures[f"{key}.of_components"] == pytest.approx(float(ratio), rel=1e-4)
    assert "basis.components.photometric.of_components" not in figures
    again = basis_fitted.photo_errors(network, {COMPONENTS: network.bases.identity_raw}, people, steps=12)
    torch.testing.assert_close(again[COMPONENTS]["photometric"], errors[COMPONENTS]["photometric"])


def test_an_evaluation_draws_the_components_once(network: LearnedBasisNet, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def begin(bases: object, people: int) -> None:
        drawn.append(people)
        begin_from_people(bases, FEW)

    monkeypatch.setattr(basis_identities, "begin_from_people", begin)
    monkeypatch.setattr(basis, "trained_or_none", lambda *_: BasisModel(network, torch.device("cpu"), "small"))
    for name in ("encoder_figures", "key_figures", "pair_figures"):
        monkeypatch.setattr(basis, name, lambda *_: {})
    parser = argparse.ArgumentParser()
    basis.add_arguments(parser)
    arguments = parser.parse_args(["--people", "2", "--no-scans", "--clips", "0"])
    figures = basis.run(arguments, Console(file=io.StringIO()))
    assert drawn == [basis_identities.PEOPLE]
    assert figures["angles.identity.mean_cosine"] == pytest.approx(1, abs=1e-4)
    assert figures["basis.learned.photometric"] == "left out: no portraits were given"
