"""``benchmarks/sensitivity``: constants are changed for a while, each is halved and doubled, and a run can go on."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.sensitivity.constants import Constant, module_constants, scaled, settings_constants
from benchmarks.sensitivity.frame import Measured, Subject, chosen, responses
from benchmarks.sensitivity.kept import Kept


@dataclass(frozen=True)
class _Inner:
    deep: float = 3.0


@dataclass(frozen=True)
class _Settings:
    width: float = 2.0
    idle: float = 5.0
    share: float = 0.75
    count: int = 1
    inner: _Inner = _Inner()


def test_fields_of_frozen_settings_change_and_come_back_also_after_an_error() -> None:
    settings = _Settings()
    constants = settings_constants(settings, "room")
    assert list(constants) == ["room.width", "room.idle", "room.share", "room.count", "room.inner.deep"]
    with pytest.raises(RuntimeError), constants["room.inner.deep"].changed(7.0):
        assert settings.inner.deep == 7.0
        raise RuntimeError
    assert settings.inner.deep == 3.0


def test_a_public_constant_changes_where_it_is_imported_and_a_private_one_only_at_home() -> None:
    home, other = ModuleType("home"), ModuleType("other")
    home.SIDE = other.SIDE = 8
    home._OWN = other._OWN = 2.0
    constants = module_constants({"home": home, "other": other}, ["home"])
    with constants["home.SIDE"].changed(16), constants["home._OWN"].changed(1.0):
        assert (home.SIDE, other.SIDE, home._OWN, other._OWN) == (16, 16, 1.0, 2.0)
    assert (home.SIDE, other.SIDE, home._OWN) == (8, 8, 2.0)


def test_numbers_keep_their_kind_and_shares_their_bound() -> None:
    assert scaled(3, 0.5, np.inf) == 2
    assert scaled(1, 0.25, np.inf) == 1
    assert scaled((0.4, 0.8), 2.0, 1.0) == (0.8, 1.0)


def test_what_is_felt_is_said_and_a_stopped_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, measured = _Settings(), []

    def measure(person: float, changed: str) -> Measured:
        measured.append(changed)
        return Measured({"length": person * settings.width, "share": settings.share, "unknown": np.nan}, settings.width)

    subject = Subject(
        constants=settings_constants(settings, "room"),
        shares=("room.share",),
        measure=measure,
        difference=lambda a, b: abs(a - b),
        unit="m",
        felt=0.01,
    )
    results = tmp_path / "results.jsonl"
    responses(subject, (1.0, 3.0), ["room.width", "room.idle"], results)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "length 4.0000  share 0.7500"
    assert told[1] == "room.width = 2.0: length +4.0000; 2.000 m"
    assert told[2] == "room.idle = 5.0: nothing; 0.000 m"
    measured.clear()
    responses(subject, (1.0, 3.0), chosen(subject.constants, ["room"]), results)
    assert "room.width" not in measured
    assert capsys.readouterr().out.splitlines()[3].startswith("room.share = 0.75: share -0.3750")


def test_results_are_kept_until_arguments_or_settings_differ() -> None:
    module, settings, calls = ModuleType("stage"), _Settings(), []
    module.step = lambda values: calls.append(1) or values * settings.width
    kept = Kept(())
    kept.keep(module, {"step": (settings,)})
    for _ in range(2):
        assert module.step(np.ones(2)).tolist() == [2.0, 2.0]
    assert len(calls) == 1
    kept.recording = False
    with Constant((settings,), "width").changed(3.0):
        assert module.step(np.ones(2)).tolist() == [3.0, 3.0]
    assert module.step(np.zeros(2)).tolist() == [0.0, 0.0]
    assert module.step(np.ones(2)).tolist() == [2.0, 2.0]
    assert len(calls) == 3


@pytest.mark.parametrize("name", ["texture", "photos"])
def test_shares_are_constants_that_are_at_most_1(name: str) -> None:
    tables = importlib.import_module(f"benchmarks.sensitivity.{name}")
    constants = {
        key: constant
        for room, held in tables.STAGE_SETTINGS.items()
        for key, constant in settings_constants(held, room).items()
    }
    assert set(tables.SHARES) <= set(constants)
    assert all(np.max(constants[share].value) <= 1.0 for share in tables.SHARES)
