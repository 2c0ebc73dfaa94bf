"""``benchmarks/sensitivity.py``: numbers are changed for a while, each is halved and doubled, and a run can go on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

from sensitivity import constants_of, module_constants, responses, scaled, settings_constants


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
    constants = module_constants({"home": home, "other": other})
    assert list(constants) == ["home.SIDE", "home._OWN", "other._OWN"]
    with constants["home.SIDE"].changed(16), constants["home._OWN"].changed(1.0):
        assert (home.SIDE, other.SIDE, home._OWN, other._OWN) == (16, 16, 1.0, 2.0)
    assert (home.SIDE, other.SIDE, home._OWN) == (8, 8, 2.0)


def test_numbers_keep_their_kind_and_shares_their_bound() -> None:
    assert scaled(3, 0.5) == 2
    assert scaled(1, 0.25) == 1
    assert scaled((0.4, 0.8, 3.0), 2.0) == (0.8, 1.0, 6.0)


def test_what_is_felt_is_told_and_a_stopped_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, measured = _Settings(), []

    def measure(person: float) -> dict[str, float]:
        measured.append(person)
        return {"length": person * settings.width, "share": settings.share}

    constants = settings_constants(settings, "room")
    results = tmp_path / "results.jsonl"
    first = {name: constants[name] for name in ("room.width", "room.idle")}
    responses(first, measure, (1.0, 3.0), 0.01, results)
    assert capsys.readouterr().out.splitlines() == ["room.width = 2.0: length +4.0000", "room.idle = 5.0: nothing"]
    measured.clear()
    found = responses(first | {"room.share": constants["room.share"]}, measure, (1.0, 3.0), 0.01, results)
    assert len(measured) == 2 * 3
    assert found["room.share"] == {"share": pytest.approx(-0.375)}
    assert settings == _Settings()


@pytest.mark.parametrize(("what", "name"), [("textures", "blending."), ("hair", "hull.")])
def test_the_rooms_numbers_are_listed(what: str, name: str) -> None:
    constants = constants_of(what)
    assert len(constants) > 40
    assert any(key.startswith(name) for key in constants)
