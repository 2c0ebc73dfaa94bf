"""People with several photos: who belongs to which half, which photos are compared, and what comes out."""

from __future__ import annotations

import argparse
import io
import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from plain_photo import plain_photo
from rich.console import Console

from backend.errors import LikenessError
from backend.geometry.template import load_template
from backend.models.lap.apply import LapModel
from backend.models.learned_basis.apply import BasisModel
from backend.models.registry import LAP, LEARNED_BASIS
from backend.photos.collection import PhotoCollection, SurfaceLandmarks
from trainer import commands
from trainer.evaluate import foreign
from trainer.evaluate.foreign import SETS, VARIANTS, PersonShapes, people_of, photo_sets, real_figures
from trainer.heads.foreign import half_of
from trainer.measures import estimate
from trainer.measures.estimate import Fitted, as_estimate
from trainer.measures.harness import write_figures

TEMPLATE = load_template()
MARKS = TEMPLATE.landmarks478.positions(TEMPLATE.vertices).astype(np.float64)


def folder_of_people(folder: Path, names: list[str], photos: int = 5) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(photos):
            (folder / name / f"{number}.jpg").write_bytes(f"{name} {number}".encode())
    return folder


def made_up_people(count: int, deviation: float) -> list[PersonShapes]:
    """Random identities, and fits to photos that miss them by ``deviation`` standard deviations."""
    generator = np.random.default_rng(3)
    people = []
    for _ in range(count):
        identity = generator.normal(size=40)
        codes = {name: identity + deviation * generator.normal(size=40) for name in SETS}
        modes = TEMPLATE.identity_modes[:40]
        heads = {name: TEMPLATE.vertices + np.tensordot(code, modes, 1) for name, code in codes.items()}
        people.append({name: {"full": heads[name], "without.lap": TEMPLATE.vertices} for name in SETS})
    return people


def test_a_person_stays_in_a_half_and_more_people_are_the_same_and_others(tmp_path):
    names = [f"Person_{number}" for number in range(30)]
    folder = folder_of_people(tmp_path, names)
    folder_of_people(tmp_path, ["Seldom_Seen"], photos=3)
    halves = [people_of(folder, half, 100) for half in ("development", "judgement")]
    assert sorted([*halves[0], *halves[1]]) == sorted(names)
    assert min(map(len, halves)) >= 8
    assert all(half_of(name) == "development" for name in halves[0])
    assert list(people_of(folder, "development", 5)) == list(halves[0])[:5]
    assert half_of("Abdullah_Gul") == half_of("Abdullah_Gul")


def test_no_photo_is_in_two_sets():
    photos = [Path(f"{number}.jpg") for number in range(7)]
    sets = photo_sets("A", photos, 3)
    used = [sets.first, sets.second, *sets.rest]
    assert len(set(used)) == 5
    assert sets == photo_sets("A", photos[::-1], 3)
    with pytest.raises(ValueError, match="3 photos"):
        photo_sets("A", photos[:3], 3)


def test_people_whom_the_fits_tell_apart_score_and_a_mean_face_does_not():
    figures = real_figures(made_up_people(12, 0.2), ("full", "without.lap"))
    assert figures["real.full.one_one.auc"] > 0.95
    assert figures["real.full.two_rest.rank1"] > 0.9
    assert figures["real.full.one_one.within_mm"] < figures["real.full.one_one.between_mm"]
    assert figures["real.full.one_rest.whitened.auc.low"] > 0.9
    assert figures["real.without.lap.one_one.auc"] == 0.5
    assert figures["real.without.lap.one_one.rank1"] == pytest.approx(1 / 12)
    assert figures["real.without.lap.one_one.auc_worth"] == pytest.approx(figures["real.full.one_one.auc"] - 0.5)
    assert figures["real.without.lap.one_one.from_mean_mm"] == pytest.approx(0, abs=1e-3)


def test_two_people_are_too_few():
    with pytest.raises(LikenessError, match="2 people"):
        real_figures(made_up_people(2, 0.2), ("full",))


def arguments_of(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    commands.add_arguments(parser)
    return parser.parse_args(["foreign", *words])


def test_a_finished_fit_is_found_again_and_faceless_people_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path / "cache"))
    names = [f"Person_{number}" for number in range(14)]
    folder = folder_of_people(tmp_path / "people", names)
    faceless = next(name for name in names if half_of(name) == "development")
    read = []

    def collected(photos):
        data = photos[0].read_bytes()
        read.append(data)
        if data.startswith(f"{faceless} ".encode()):
            raise LikenessError("no_face", "No photo shows a face.")
        return data

    def fitted(collection, variant):
        generator = np.random.default_rng(list(collection.split()[0]))
        modes = np.tensordot(generator.normal(size=20), TEMPLATE.identity_modes[:20], 1)
        neutral = (TEMPLATE.vertices + (modes if variant.lap else 0)).astype(np.float32)
        return estimate.Fitted(neutral, np.ones(1))

    monkeypatch.setattr(estimate, "collected", collected)
    monkeypatch.setattr(estimate, "fitted", fitted)
    words = ("--people", str(folder), "--variants", "full,without.lap")
    console = io.StringIO()
    arguments = arguments_of(*words, "--json", str(tmp_path / "figures.json"))
    first = foreign.run(arguments, Console(file=console, width=120))
    write_figures(arguments.json, first)
    assert json.loads(arguments.json.read_text())["real.full.one_one.auc"] == 1
    assert first["real.people"] == sum(half_of(name) == "development" for name in names) - 1
    assert f"{faceless}: a set of photos shows no usable face" in console.getvalue()
    seen = len(read)
    assert foreign.run(arguments, Console(file=io.StringIO())) == first
    assert all(data.startswith(f"{faceless} ".encode()) for data in read[seen:])


def test_unknown_fits_and_folders_are_told(tmp_path):
    console = Console(file=io.StringIO())
    with pytest.raises(LikenessError, match=r"without\.everything"):
        foreign.run(arguments_of("--variants", "full,without.everything"), console)
    with pytest.raises(LikenessError, match="no folder"):
        foreign.run(arguments_of("--people", str(tmp_path / "nowhere")), console)


@pytest.mark.parametrize("name", list(VARIANTS))
def test_what_is_switched_off_takes_no_part(monkeypatch, name):
    points = SurfaceLandmarks(np.zeros((478, 2)), np.ones(478))
    collection = PhotoCollection((plain_photo((64, 64), surface=points),))
    seen = {}

    def fit(given, options, models):
        lap, basis = models.of(LAP, LapModel), models.of(LEARNED_BASIS, BasisModel)
        seen.update(surface=given.faces[0].surface, lap=lap, basis=basis, dense=options.dense)
        return SimpleNamespace(neutral=TEMPLATE.vertices, photos=())

    monkeypatch.setattr(estimate, "fit_with", fit)
    estimate.fitted(collection, VARIANTS[name])
    assert (seen["surface"] is None) == (name in ("without.landmark_net", "landmarks_only"))
    assert (seen["basis"] is None) == (name in ("without.encoder", "landmarks_only", "graph"))
    assert (seen["dense"] is None) == (name == "landmarks_only")
    lap_wants_points = "landmarks" in LAP.load().needs
    assert (seen["lap"] is None) == (name in ("without.lap", "landmarks_only")) or lap_wants_points


def drawn_head(folder: Path, name: str, cage: np.ndarray, photos: int) -> None:
    """A folder of a drawn head with the true surface of cage (V, 3) near the nose, and empty photos."""
    true, marks = as_estimate(cage), TEMPLATE.landmarks478.positions(cage)
    near = np.linalg.norm(true.vertices - marks[1], axis=1) < 0.09
    folder_of_people(folder, [name], photos=photos)
    np.savez(folder / name / "truth.npz", scan=true.vertices[near][::18], marks=marks, focal=[400.0, 500.0, 800.0])


def fit_of(neutral: np.ndarray, focal: float = np.nan) -> Fitted:
    return Fitted(neutral, np.full(3, focal))


@pytest.mark.slow
def test_heads_of_another_renderer_are_measured_against_the_mean_face(tmp_path, monkeypatch):
    names = [name for name in (f"gnm_{number}" for number in range(10, 30)) if half_of(name) == "development"][:2]
    cage = TEMPLATE.vertices + np.tensordot([2.0, -2.0, 2.0], TEMPLATE.identity_modes[:3], 1)
    for name in names:
        drawn_head(tmp_path, name, cage, photos=3)
    turned = 1.3 * cage @ np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]]).T + 0.5  # scale and pose do not matter

    def fits(photos, variants):
        if photos[0].parent.name == names[1] and len(photos) == 1:
            return None  # no face
        worse = fit_of(TEMPLATE.vertices - (cage - TEMPLATE.vertices))
        full = fit_of(turned, 500.0) if len(photos) == 3 else fit_of((cage + TEMPLATE.vertices) / 2)
        return {"full": full, "without.lap": worse}

    monkeypatch.setattr(foreign, "fits_or_none", fits)
    words = ("--cycles", str(tmp_path), "--variants", "full,without.lap")
    figures = foreign.run(arguments_of(*words), Console(file=io.StringIO()))
    assert figures["drawn.heads"] == 2
    assert figures["drawn.full.n3.median_mm"] == pytest.approx(0, abs=1e-3)
    assert figures[f"drawn.person.{names[0]}.full.n1.median_mm"] < 0.7 * figures["drawn.template.median_mm"]
    assert figures["drawn.full.n1.faceless"] == 0.5
    assert figures[f"drawn.person.{names[1]}.full.n1.median_mm"] == pytest.approx(figures["drawn.template.median_mm"])
    assert (figures["drawn.without.lap.n3.worse"], figures["drawn.full.n3.worse"]) == (1, 0)
    assert figures["drawn.full.n3.bias_mm.nose_tip"] == pytest.approx(0, abs=1e-3)
    assert abs(figures["drawn.full.n1.bias_mm.nose_tip"]) > 0.1
    assert figures["drawn.full.n3.focal_ratio"] == 1.0
    assert "drawn.full.n1.focal_ratio" not in figures
    with pytest.raises(LikenessError, match="no heads"):
        foreign.run(arguments_of("--cycles", str(tmp_path / "nowhere")), Console(file=io.StringIO()))


def test_looks_of_a_person_count_as_one(tmp_path, monkeypatch):
    amounts = {"scan_cgtub@0": 1, "scan_cgtub@1": 3, "scan_james@0": 2}
    cage = TEMPLATE.vertices + np.tensordot([2.0, -2.0, 2.0], TEMPLATE.identity_modes[:3], 1)
    for name in amounts:
        drawn_head(tmp_path, name, TEMPLATE.vertices, photos=1)

    def fits(photos, variants):
        return {"full": fit_of(TEMPLATE.vertices + amounts[photos[0].parent.name] * (cage - TEMPLATE.vertices))}

    monkeypatch.setattr(foreign, "fits_or_none", fits)
    measured = cache(foreign.head_figures)
    monkeypatch.setattr(foreign, "head_figures", lambda photos, variants: measured(tuple(photos), tuple(variants)))
    words = ("--cycles", str(tmp_path), "--variants", "full", "--half", "judgement")
    figures = foreign.run(arguments_of(*words), Console(file=io.StringIO()))
    assert (figures["drawn.heads"], figures["drawn.people"]) == (3, 2)
    own = {name: foreign.head_figures((tmp_path / name / "0.jpg",), ("full",))["full.n1.median_mm"] for name in amounts}
    assert own["scan_cgtub@1"] > 1.5 * own["scan_cgtub@0"] > 0
    of_people = [(own["scan_cgtub@0"] + own["scan_cgtub@1"]) / 2, own["scan_james@0"]]
    assert figures["drawn.person.scan_cgtub.full.n1.median_mm"] == pytest.approx(of_people[0])
    assert figures["drawn.full.n1.median_mm"] == pytest.approx(np.mean(of_people))
    assert figures["drawn.full.n1.median_mm.high"] <= max(of_people) + 1e-9


def test_what_another_skin_moves_is_told_beside_what_heads_differ_by(tmp_path, monkeypatch):
    names = [name for name in (f"gnm_{number}" for number in range(30)) if half_of(name) == "development"][:4]
    generator = np.random.default_rng(5)
    identities = {name: generator.normal(size=3) for name in names}
    skins = {f"{number}.jpg": generator.normal(size=3) for number in range(1, 3)}
    for name in names:
        folder_of_people(tmp_path, [name], photos=1)
        folder_of_people(tmp_path / name, ["skins"], photos=3)
        (tmp_path / name / "skins" / "0.jpg").unlink()

    def fits(photos, variants):
        (path,) = photos
        own = path.parent.name == "skins"
        if own and path.parent.parent.name == names[3]:
            return None  # no face
        identity = identities[(path.parent.parent if own else path.parent).name]
        doubt = skins[path.name] if own else 0 * identity
        return {
            name: fit_of(TEMPLATE.vertices + np.tensordot(identity + deviation * doubt, TEMPLATE.identity_modes[:3], 1))
            for name, deviation in (("full", 0.0), ("without.lap", 0.3))
        }

    monkeypatch.setattr(foreign, "fits_or_none", fits)
    heads = {name: (tmp_path / name / "0.jpg",) for name in names}
    figures = foreign.skin_figures(heads, ("full", "without.lap"))
    assert (figures["skins.heads"], figures["skins.faceless"]) == (3, 1)
    assert figures["skins.full.moved_mm"] == pytest.approx(0, abs=1e-6)
    assert 0.1 < figures["skins.without.lap.share"] < 0.6
    assert figures["skins.full.between_mm"] == pytest.approx(figures["skins.without.lap.between_mm"], abs=1e-9)
    assert foreign.skin_figures({name: heads[name] for name in names[:1]}, ("full",)) == {}


@pytest.mark.photos
@pytest.mark.slow
def test_real_photos_of_three_people(photo_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "people"
    johns = sorted((photo_dir / "people").glob("john_*"))[:3]
    # names that fall into the development half
    names = [name for name in (f"P{number}" for number in range(40)) if half_of(name) == "development"]
    for name, john in zip(names, johns, strict=False):
        folder.joinpath(name).mkdir(parents=True)
        for photo in sorted(john.glob("*.jpg"))[:4]:
            (folder / name / photo.name).write_bytes(photo.read_bytes())
    words = ("--people", str(folder), "--variants", "landmarks_only")
    figures = foreign.run(arguments_of(*words), Console(file=io.StringIO()))
    assert figures["real.people"] == len(johns)
    assert 0.3 < figures["real.landmarks_only.two_rest.within_mm"] < figures["real.landmarks_only.two_rest.between_mm"]
